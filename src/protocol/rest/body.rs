//! Bodies of sessions, visitors, users, operators, channels, queues and reasons to be away.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{ErrorResponse, RestErrorKind};
use crate::domain::{AwayReasonId, ChannelId, CustomerId, QueueId, Rule, UserId};
use crate::protocol::answer::{RoleFrame, StatusFrame};
use crate::protocol::strict::read_object;
use crate::protocol::value::{TimeFrame, Token, Wire};

/// Reads the body of a request, strictly. Errors with what the client gets.
pub fn read_body<R: DeserializeOwned>(body: &[u8]) -> Result<R, ErrorResponse> {
    let kind = RestErrorKind::InvalidRequest;
    let text = std::str::from_utf8(body)
        .map_err(|_| ErrorResponse::new(kind, "the body is no UTF-8 text"))?;
    read_object(text, "body").map_err(|wrong| {
        let message = format!("{}: {}", wrong.field, wrong.cause);
        ErrorResponse::new(kind, message).at(&wrong.field)
    })
}

/// A password or another secret as it came. It does not show in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// `POST /api/v1/sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogInRequest {
    /// The login.
    pub login: String,
    /// The password.
    pub password: Secret,
    /// The `device_mark` that an earlier log-in with this login gave to this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_mark: Option<Secret>,
}

/// `POST /api/v1/sessions/refresh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// The refresh token; it works once.
    pub refresh_token: Wire<Token>,
}

/// Tokens of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokensResponse {
    /// Whose they are.
    pub user: Wire<UserId>,
    /// For `Authorization: Bearer` and `session.open`.
    pub access_token: Secret,
    /// When that ends.
    pub access_until: TimeFrame,
    /// For the next tokens, once.
    pub refresh_token: Secret,
    /// When that ends.
    pub refresh_until: TimeFrame,
    /// After a log-in: keep it on the device, also after a log-out, and send it with the next
    /// log-in. It gives no right; it keeps guesses of others from delaying this device. 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_mark: Option<Secret>,
}

/// `POST /api/v1/channels/{channel}/visitor-tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitorTokenRequest {
    /// A customer who was here before; a new one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Wire<CustomerId>>,
    /// How much sooner its chats are served, 0 to 10.
    #[serde(default)]
    pub priority: u8,
    /// The name to show to operators, at most 128 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A visitor's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VisitorTokenResponse {
    /// For the visitor's page.
    pub token: Secret,
    /// The customer; give it again for the same person's next token.
    pub customer: Wire<CustomerId>,
    /// When the token ends.
    pub until: TimeFrame,
}

/// What a user can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    /// Configures.
    Administrator,
    /// Sees and moves every chat.
    ChatAdministrator,
    /// Serves chats.
    Operator,
}

impl From<UserRole> for RoleFrame {
    fn from(role: UserRole) -> Self {
        match role {
            UserRole::Administrator => Self::Administrator,
            UserRole::ChatAdministrator => Self::ChatAdministrator,
            UserRole::Operator => Self::Operator,
        }
    }
}

/// `POST /api/v1/users`, `PUT /api/v1/users/{user}`; what `PATCH` makes of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// The version that was seen; 0 or absent when it is created.
    #[serde(default)]
    pub version: u64,
    /// The name that colleagues and, if the channel says so, customers see.
    pub name: String,
    /// What it logs in with: 1 to 64 of a-z, 0-9 and .-_@+.
    pub login: String,
    /// What it is.
    pub role: UserRole,
    /// Whether it may do anything. Deactivating ends its sessions.
    pub active: bool,
    /// How many chats it holds at most, 1 to 100.
    pub capacity: u32,
    /// A new password, 10 characters or more; absent: unchanged, or none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserResponse {
    /// The id.
    pub id: Wire<UserId>,
    /// Counts up with every change.
    pub version: u64,
    /// The name.
    pub name: String,
    /// The login.
    pub login: String,
    /// The role.
    pub role: UserRole,
    /// Whether it may do anything.
    pub active: bool,
    /// How many chats it holds at most.
    pub capacity: u32,
    /// Whether it can log in.
    pub has_password: bool,
    /// Whether its password is a published one.
    pub demo_password: bool,
}

/// `PUT /api/v1/users/{user}/password`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// The present one; needed for one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Secret>,
    /// The new one, 10 characters or more.
    pub password: Secret,
    /// With one's own: the `device_mark` of the log-in, as for a log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_mark: Option<Secret>,
}

/// `PUT /api/v1/operators/{operator}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorRequest {
    /// The version that was seen.
    pub version: u64,
    /// How many chats it holds at most, 1 to 100.
    pub capacity: u32,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorResponse {
    /// The id, that of its user.
    pub id: Wire<UserId>,
    /// The version of its user.
    pub version: u64,
    /// The name.
    pub name: String,
    /// Whether it may do anything.
    pub active: bool,
    /// How many chats it holds at most.
    pub capacity: u32,
    /// Its queues.
    pub queues: BTreeSet<Wire<QueueId>>,
    /// Its status, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusFrame>,
}

/// What connects a channel to its customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderWord {
    /// Employees and portal users.
    Internal,
    /// Visitors of a site.
    WebChat,
}

/// Whose name the customer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SenderWord {
    /// The channel's.
    Channel,
    /// The operator's own.
    Operator,
}

/// `POST /api/v1/channels`, `PUT /api/v1/channels/{channel}`; what `PATCH` makes of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelRequest {
    /// The version that was seen; 0 or absent when it is created.
    #[serde(default)]
    pub version: u64,
    /// The name.
    pub name: String,
    /// What connects it to its customers.
    pub provider: ProviderWord,
    /// Whether it takes new chats.
    pub active: bool,
    /// Where its chats wait.
    pub queue: Wire<QueueId>,
    /// A tag as `en` or `pt-BR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The address of its image; begins with `https://` or `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whose name the customer sees.
    pub sender: SenderWord,
    /// What it belongs to elsewhere: a shop, a site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// How many days a chat is kept after its end, 1 to 3,650; then it is forgotten for good. Absent:
    /// for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u16>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelResponse {
    /// The id.
    pub id: Wire<ChannelId>,
    /// What it is, with the present version.
    #[serde(flatten)]
    pub channel: ChannelRequest,
    /// Whether it has a site key.
    pub has_site_key: bool,
}

/// `POST /api/v1/channels/{channel}/site-key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteKeyRequest {
    /// The version of the channel that was seen.
    pub version: u64,
}

/// A new site key. It is shown this once; the former one no longer counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SiteKeyResponse {
    /// For `Authorization: Bearer` of the site's server.
    pub site_key: Secret,
}

/// `POST /api/v1/queues`, `PUT /api/v1/queues/{queue}`; what `PATCH` makes of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueRequest {
    /// The version that was seen; 0 or absent when it is created.
    #[serde(default)]
    pub version: u64,
    /// The name.
    pub name: String,
    /// Whether it takes new chats; an inactive one serves what it has.
    pub active: bool,
    /// How it chooses.
    pub rule: Wire<Rule>,
    /// Who may be asked, at most 1,000.
    pub members: BTreeSet<Wire<UserId>>,
    /// Added to the priority of its chats, 0 to 10.
    #[serde(default)]
    pub priority: u8,
    /// How long an offer stands, 100 to 600,000 ms.
    pub offer_timeout_ms: u64,
    /// Most chats of this queue that one operator holds; no limit of its own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_operator_limit: Option<u32>,
    /// How long an owner may be absent before chats return to the line, ms; never when it is not
    /// given. Absent is who is `offline` or not connected, not who is `away` or `busy`. Nobody counts as
    /// absent in the first 60 s after a start of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_owner_limit_ms: Option<u64>,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueResponse {
    /// The id.
    pub id: Wire<QueueId>,
    /// What it is, with the present version.
    #[serde(flatten)]
    pub queue: QueueRequest,
}

/// `POST /api/v1/away-reasons`, `PUT /api/v1/away-reasons/{away_reason}`; what `PATCH` makes of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwayReasonRequest {
    /// The version that was seen; 0 or absent when it is created.
    #[serde(default)]
    pub version: u64,
    /// What operators choose, at most 64 bytes; not `missed_offers`, which is the router's.
    pub name: String,
    /// Whether it can be chosen. Whoever is away for it stays so.
    pub active: bool,
}

/// A reason to be away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwayReasonResponse {
    /// The id.
    pub id: Wire<AwayReasonId>,
    /// What it is, with the present version.
    #[serde(flatten)]
    pub reason: AwayReasonRequest,
}

/// A change that took effect, or would have, if it was only tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenResponse {
    /// The id of what was written; of what would be created, nobody's.
    pub id: String,
    /// Its version now; of what would be created, 0.
    pub version: u64,
    /// What the routing lint warns of, about the configuration as a whole.
    pub warnings: Vec<String>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct PageResponse<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Give it as `after` for the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

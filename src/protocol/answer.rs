//! What the methods answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::event::ChatEventFrame;
use super::line_cursor::LineCursor;
use super::notify::OfferFrame;
use super::params::StatusWord;
use super::value::{TimeFrame, Wire};
use crate::domain::operator::Status;
use crate::domain::{ChannelId, ChatId, ChatState, CustomerId, QueueId, Seq, UserId};

/// Done; there is nothing to say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DoneFrame {}

/// What a person is to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleFrame {
    /// Configures.
    Administrator,
    /// Sees and moves every chat.
    ChatAdministrator,
    /// Serves chats.
    Operator,
    /// Writes in from outside.
    Customer,
}

/// Whose session it is. `id` is a user's, or a customer's when the role is `customer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeFrame {
    /// The role.
    pub role: RoleFrame,
    /// The id.
    pub id: String,
    /// The name, when one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An operator's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusFrame {
    /// The status.
    pub status: StatusWord,
    /// Why; with `away` only. `missed_offers` when the router set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<&Status> for StatusFrame {
    fn from(status: &Status) -> Self {
        let (status, reason) = match status {
            Status::Ready => (StatusWord::Ready, None),
            Status::Away(reason) => (StatusWord::Away, Some(reason.as_str().to_owned())),
            Status::Busy => (StatusWord::Busy, None),
            Status::Offline => (StatusWord::Offline, None),
        };
        Self { status, reason: reason.filter(|reason| !reason.is_empty()) }
    }
}

/// One chat of the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionChatFrame {
    /// The chat.
    pub id: Wire<ChatId>,
    /// Its state: `completed` and `missed` have ended.
    pub state: Wire<ChatState>,
    /// Where its log ends. Missed events up to here follow as `chat.event`, unless `reload`.
    pub cursor: Wire<Cursor>,
    /// How many messages of others are behind the session's read watermark.
    pub unread: u64,
    /// The gap is too old or too large: load the chat anew with `chat.history`.
    #[serde(default)]
    pub reload: bool,
}

/// `session.open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionOpenedFrame {
    /// Whose session it is.
    pub me: MeFrame,
    /// The status of an operator; absent for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusFrame>,
    /// For what an operator can be away, in the order of the alphabet; absent where it may say what it
    /// likes, and for others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub away_reasons: Vec<String>,
    /// The live offers of an operator, at most 100; further ones follow as `offer.presented`.
    pub offers: Vec<OfferFrame>,
    /// The person's open chats; a customer's latest also when it has ended; and those of `resume`
    /// that the person may still read.
    pub chats: Vec<SessionChatFrame>,
    /// Chats of `resume` that are no longer the session's: drop them.
    pub gone: Vec<Wire<ChatId>>,
    /// Chats that cannot be read at the moment, absent when there are none: keep the cursor, and
    /// load what is behind it with `chat.history` a little later. They are the session's own or of
    /// `resume`, and may be gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Wire<ChatId>>,
    /// When the token ends and with it the socket; renew before.
    pub expires_at: TimeFrame,
}

/// `session.renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRenewedFrame {
    /// When the new token ends.
    pub expires_at: TimeFrame,
}

/// `chat.open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatOpenedFrame {
    /// The chat: a new one, or the customer's open one on the channel.
    pub chat: Wire<ChatId>,
    /// Where its log ends.
    pub cursor: Wire<Cursor>,
}

/// `message.send`: the message is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSentFrame {
    /// The chat that has the message; another than was named when that one had ended.
    pub chat: Wire<ChatId>,
    /// Its position in the chat.
    pub seq: Seq,
    /// When.
    pub at: TimeFrame,
}

/// A chat's state after a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatStateFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// Its state.
    pub state: Wire<ChatState>,
}

/// `chat.history`: a page, the oldest event first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatHistoryPageFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// The events that the caller may see.
    pub events: Vec<ChatEventFrame>,
    /// For the page in front of this one; absent when the chat begins here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Wire<Cursor>>,
    /// For the page behind this one, also one that does not exist yet.
    pub after: Wire<Cursor>,
    /// Whether there are more events behind this page already.
    pub more: bool,
}

/// One chat of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatBriefFrame {
    /// The chat.
    pub id: Wire<ChatId>,
    /// Its state.
    pub state: Wire<ChatState>,
    /// Its channel.
    pub channel: Wire<ChannelId>,
    /// Its queue, or the last one it was in.
    pub queue: Wire<QueueId>,
    /// Whose it is.
    pub customer: Wire<CustomerId>,
    /// What the customer is called, if the site says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// The owner, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Wire<UserId>>,
    /// Since when it waits, or waited first.
    pub since: TimeFrame,
    /// Where its log ends.
    pub cursor: Wire<Cursor>,
    /// How many messages of others are behind the caller's read watermark.
    pub unread: u64,
}

/// `chat.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatListedFrame {
    /// At most 150 chats.
    pub chats: Vec<ChatBriefFrame>,
    /// How many there are in all, on whatever page.
    pub total: u64,
    /// For the page behind this one; absent when the list ends here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Wire<LineCursor>>,
    /// Chats of the list that cannot be read at the moment, absent when there are none: they are
    /// counted, and not among the others. Ask again a little later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Wire<ChatId>>,
}

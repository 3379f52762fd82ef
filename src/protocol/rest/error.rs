//! Every way in which a request over HTTP can fail. One list, as for the socket, in one form: a
//! problem of RFC 9457 with a few members of our own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::protocol::limits::ERROR_MESSAGE_MAX_BYTES;

macro_rules! kinds {
    ($($(#[doc = $meaning:literal])+ $kind:ident = $status:literal, $name:literal;)*) => {
        /// Why a request failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum RestErrorKind {
            $($(#[doc = $meaning])+ #[serde(rename = $name)] $kind,)*
        }

        impl RestErrorKind {
            /// All of them, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$kind => $status),* }
            }

            /// The word in `name`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            /// What it means and what to do.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$kind => concat!($($meaning),+).trim_ascii()),* }
            }
        }
    };
}

kinds! {
    /// The body is no JSON, has a wrong type, or a member that is not known: `field` names it.
    InvalidRequest = 400, "invalid_request";
    /// The body ended before it was whole, or its chunks are broken.
    BrokenBody = 400, "broken_body";
    /// The request does not open a socket: a header of the handshake is missing or wrong.
    BadHandshake = 400, "bad_handshake";
    /// There is no token, or it does not count. Refresh it or log in.
    Unauthorized = 401, "unauthorized";
    /// The login or the password is wrong.
    Credentials = 401, "credentials";
    /// The asker may not do this.
    Forbidden = 403, "forbidden";
    /// There is no such thing, or the asker may not know of it.
    NotFound = 404, "not_found";
    /// The path does not take this method.
    MethodNotAllowed = 405, "method_not_allowed";
    /// The body did not come in time.
    RequestTimeout = 408, "request_timeout";
    /// Somebody else changed it since it was read. Read it again and decide anew; `found` is the present version.
    VersionConflict = 409, "version_conflict";
    /// The login is another user's.
    LoginTaken = 409, "login_taken";
    /// The last active administrator cannot go.
    LastAdministrator = 409, "last_administrator";
    /// Chats refer to it, or it is still active. Deactivate it; delete it when nothing refers to it.
    InUse = 409, "in_use";
    /// The user has a published demo password. Give it another one to activate it.
    DemoPassword = 409, "demo_password";
    /// There are as many as there may be.
    TooMany = 409, "too_many";
    /// The body is larger than the limit.
    TooLarge = 413, "too_large";
    /// The body is not of the media type that the method takes: `application/json`, for `PATCH` `application/merge-patch+json`.
    UnsupportedMediaType = 415, "unsupported_media_type";
    /// The request names a host that the server does not go by.
    Misdirected = 421, "misdirected";
    /// A value is outside of its bounds: `field` or the message names it.
    InvalidValue = 422, "invalid_value";
    /// The change would bring in a routing that can never work; the message lists why.
    Routing = 422, "routing";
    /// Too many attempts. Try again after `retry_after_ms`.
    Throttled = 429, "throttled";
    /// The server failed in a way that it should not.
    Internal = 500, "internal";
    /// The server has too much to do. Nothing was done; try again after `retry_after_ms`.
    Overloaded = 503, "overloaded";
    /// The store does not answer. The change may have been made: read before trying again.
    Unavailable = 503, "unavailable";
}

/// The media type of every answer that is no success.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// The body of every answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ErrorResponse {
    /// What went wrong. Boxed, since it stands in every `Result` of the edge.
    pub error: Box<ProblemBody>,
}

/// A problem as RFC 9457 has it. `type` to `detail` are that text's own members, the others ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemBody {
    /// Names the kind, as a place in the document of this interface.
    #[serde(rename = "type")]
    pub kind_url: String,
    /// The kind in words; the same for every problem of that kind.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// For people, in English; at most 512 bytes.
    pub detail: String,
    /// For programs.
    pub name: RestErrorKind,
    /// What is wrong, as a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// `version_conflict`: the present version; 0: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
    /// How long to wait, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorResponse {
    /// An error with its kind's meaning as the detail.
    pub fn of(kind: RestErrorKind) -> Self {
        Self::new(kind, kind.meaning())
    }

    /// An error with a detail of its own, cut to 512 bytes.
    pub fn new(kind: RestErrorKind, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(ERROR_MESSAGE_MAX_BYTES));
        let error = Box::new(ProblemBody {
            kind_url: format!("/openapi.json#{}", kind.name()),
            title: kind.name().replace('_', " "),
            status: kind.status(),
            detail,
            name: kind,
            field: None,
            found: None,
            retry_after_ms: None,
        });
        Self { error }
    }

    /// With the member that is wrong.
    pub fn at(mut self, field: &str) -> Self {
        self.error.field = Some(field.to_owned());
        self
    }

    /// With the present version.
    pub fn found(mut self, version: u64) -> Self {
        self.error.found = Some(version);
        self
    }

    /// With the time to wait, ms.
    pub fn after(mut self, retry_after_ms: u64) -> Self {
        self.error.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// The kind.
    pub fn kind(&self) -> RestErrorKind {
        self.error.name
    }
}

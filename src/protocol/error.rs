//! Every way in which a call can fail, and what a client does about it.
//!
//! One list, from which the machine-readable document and `docs/protocol.md` are made. Numbers
//! and names are for programs and never change their meaning; messages are for people and may.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::ERROR_MESSAGE_MAX_BYTES;
use super::value::Wire;
use crate::domain::limits::{TEXT_MAX_BYTES, TEXT_MAX_VISIBLE};
use crate::domain::operator::Standing;
use crate::domain::text::BadText;
use crate::domain::{ChatId, ChatState};

/// What a client does with the call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same call fails again: mend it or give it up.
    Never,
    /// The same call, with the same `command_id` or `client_message_id`, after a wait.
    Later,
    /// The same call once something else has been done first, as the advice says.
    AfterAdvice,
}

macro_rules! kinds {
    ($($(#[doc = $meaning:literal])+ $kind:ident = $code:literal, $name:literal, $retry:ident, $advice:literal;)*) => {
        /// Why a call failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum ErrorKind {
            $($(#[doc = $meaning])+ #[serde(rename = $name)] $kind,)*
        }

        impl ErrorKind {
            /// All of them, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The number in `error.code`.
            pub fn code(self) -> i32 {
                match self { $(Self::$kind => $code),* }
            }

            /// The word in `error.data.name`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$kind => concat!($($meaning),+).trim_ascii()),* }
            }

            /// Whether the same call may be sent again.
            pub fn retry(self) -> Retry {
                match self { $(Self::$kind => Retry::$retry),* }
            }

            /// What the client should do.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$kind => $advice),* }
            }
        }
    };
}

kinds! {
    /// The frame is no JSON text.
    ParseError = -32700, "parse_error", Never, "Mend the client; too many such frames close the socket.";
    /// The frame is no JSON-RPC 2.0 request: `jsonrpc`, `id` and `method` are required, nothing but `params` may be added.
    InvalidRequest = -32600, "invalid_request", Never, "Mend the client; the message names the member.";
    /// There is no such method.
    MethodNotFound = -32601, "method_not_found", Never, "Mend the client; compare its version with GET /protocol.json.";
    /// The params are not those of the method.
    InvalidParams = -32602, "invalid_params", Never, "Mend the client; `field` names what is wrong.";
    /// The server failed in a way that it should not.
    Internal = -32603, "internal", Later, "Send the call again after a second, with the same id; report it if it stays.";
    /// The frame is an array. Batches are not supported.
    BatchNotSupported = 1000, "batch_not_supported", Never, "Send one request a frame.";
    /// The frame is larger than the limit.
    FrameTooLarge = 1001, "frame_too_large", Never, "Send less at a time; `limit` is in bytes.";
    /// The socket has no session yet.
    SessionRequired = 1010, "session_required", AfterAdvice, "Call `session.open` first.";
    /// The socket has a session already, or the new token is somebody else's.
    SessionExists = 1011, "session_exists", Never, "Renew with `session.renew`, or open another socket.";
    /// The token is not valid: damaged, expired or revoked.
    Unauthorized = 1012, "unauthorized", AfterAdvice, "Get a new token (refresh, log in, or ask the site's server), then open again.";
    /// The session may not do this.
    Forbidden = 1013, "forbidden", Never, "Do not offer this to the person; `docs/protocol.md` says who may.";
    /// There is no such thing, or the session may not know of it.
    NotFound = 1014, "not_found", Never, "Drop it from the client's state; load the list again.";
    /// The chat is over.
    ChatEnded = 1020, "chat_ended", Never, "Show the chat as ended; a customer's next message opens a new one.";
    /// The customer has left; nobody would read the message.
    VisitorLeft = 1021, "visitor_left", Never, "Show the message as failed for that reason.";
    /// The chat is not the session's any more, or never was.
    NotYours = 1022, "not_yours", Never, "Drop the chat from the client's state.";
    /// The id was used before for something else.
    IdReused = 1023, "id_reused", Never, "Mend the client: a new id for every new call, the same id only for the same call.";
    /// The text has more characters or bytes than the limit.
    TextTooLong = 1024, "text_too_long", Never, "Show `count` and `limit`; let the person shorten it.";
    /// The text has nothing that anybody could see.
    TextEmpty = 1025, "text_empty", Never, "Do not send it.";
    /// The chat is in a state that does not allow this.
    WrongState = 1026, "wrong_state", Never, "Show the chat as `state` says and drop the call.";
    /// A transfer of the chat is under way.
    TransferPending = 1027, "transfer_pending", Later, "Wait for the event that ends it, then decide anew.";
    /// The chat has as many messages as a chat may have.
    ChatFull = 1028, "chat_full", Never, "End the chat; the next message opens a new one.";
    /// The offer is over: accepted by another, declined, lapsed or withdrawn.
    OfferGone = 1030, "offer_gone", Never, "Take the offer off the screen.";
    /// The operator holds as many chats as fit.
    Full = 1031, "full", AfterAdvice, "End or transfer a chat first; an offer that still stands stays on the screen.";
    /// The operator is `offline`: who is not at work takes no chat.
    NotReady = 1032, "not_ready", AfterAdvice, "Call `operator.set_status` first, with any other status.";
    /// The answer reached the chat after its time.
    Late = 1033, "late", Never, "Take the offer off the screen; if it stands, it is presented again.";
    /// Who should get the chat cannot: `reason` says why. The chat stays where it is.
    TargetUnavailable = 1034, "target_unavailable", Never, "Show the reason; let the person choose another target.";
    /// The channel takes no new chats.
    ChannelInactive = 1035, "channel_inactive", Never, "Tell the visitor that nobody can be reached this way.";
    /// The cursor is damaged or belongs to another chat.
    CursorInvalid = 1040, "cursor_invalid", AfterAdvice, "Forget the cursor and load the chat anew with `chat.history`.";
    /// The server has too much to do, or the socket too many calls without an answer. Nothing was done.
    Overloaded = 1050, "overloaded", Later, "Send the call again after `retry_after_ms`, with the same id.";
    /// The socket sends more calls a second than allowed, or the visitor or its address opens more chats a minute, by `chat.open` or by writing after the end of one. Nothing was done.
    TooManyCalls = 1051, "too_many_calls", Later, "Send fewer; again after `retry_after_ms`, with the same id.";
    /// The server cannot answer at the moment. The call may have been carried out.
    Unavailable = 1052, "unavailable", Later, "Send the call again after `retry_after_ms`, with the same id: it takes effect once.";
}

/// Why somebody cannot get a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetReasonFrame {
    /// The operator is offline.
    Offline,
    /// The operator is away.
    Away,
    /// The operator is busy.
    Busy,
    /// No connection proves that the operator is there.
    NotConnected,
    /// The operator holds as many chats as fit.
    Full,
    /// The operator keeps the room that is left for chats that are offered to all.
    Kept,
    /// The operator is getting another chat at this moment.
    Choosing,
    /// The operator refused this chat a short while ago.
    CoolingDown,
    /// The operator declined this chat.
    Declined,
    /// The operator has this chat's offer already.
    Asked,
    /// The operator may not have chats of this queue.
    NotMember,
    /// The operator owns the chat already.
    Owner,
    /// The operator did not answer in time.
    NoAnswer,
    /// The chat went elsewhere meanwhile.
    Overtaken,
    /// The queue takes no chats.
    QueueInactive,
}

impl From<Standing> for TargetReasonFrame {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Offline => Self::Offline,
            Standing::Away => Self::Away,
            Standing::Busy => Self::Busy,
            Standing::NotConnected => Self::NotConnected,
            Standing::Full => Self::Full,
            Standing::Kept => Self::Kept,
            Standing::Choosing => Self::Choosing,
            Standing::CoolingDown => Self::CoolingDown,
            Standing::Declined => Self::Declined,
            Standing::Asked => Self::Asked,
            Standing::NotMember => Self::NotMember,
            Standing::Owner => Self::Owner,
            // Free and still not got: it did not say why. The last one is for queues' choices only.
            Standing::Free | Standing::Unknown | Standing::ShownLately => Self::NoAnswer,
        }
    }
}

/// The `error` of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorFrame {
    /// The number.
    pub code: i32,
    /// For people, in English; at most 512 bytes.
    pub message: String,
    /// For programs. Boxed, since it stands in every `Result` of the wire.
    pub data: Box<ErrorDataFrame>,
}

/// What a program needs to act on an error. Only `name` is always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorDataFrame {
    /// The kind.
    pub name: ErrorKind,
    /// `invalid_request`, `invalid_params`: what is wrong, as a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// `text_too_long`: what was counted, visible characters or bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<TextUnitFrame>,
    /// `text_too_long`, `frame_too_large`: how many there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// `text_too_long`, `frame_too_large`: how many are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// `target_unavailable`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<TargetReasonFrame>,
    /// `wrong_state`: the state that the chat is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Wire<ChatState>>,
    /// The chat that it is about, where the call named none or another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<Wire<ChatId>>,
    /// `overloaded`, `too_many_calls`, `unavailable`: how long to wait, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// What a limit of a text counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextUnitFrame {
    /// Extended grapheme clusters of which something shows.
    VisibleCharacters,
    /// Bytes of UTF-8.
    Bytes,
}

impl ErrorFrame {
    /// An error with its kind's meaning as the message.
    pub fn of(kind: ErrorKind) -> Self {
        Self::new(kind, kind.meaning())
    }

    /// An error with a message of its own, cut to
    /// [`ERROR_MESSAGE_MAX_BYTES`].
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(ERROR_MESSAGE_MAX_BYTES));
        Self {
            code: kind.code(),
            message,
            data: Box::new(ErrorDataFrame {
                name: kind,
                field: None,
                unit: None,
                count: None,
                limit: None,
                reason: None,
                state: None,
                chat: None,
                retry_after_ms: None,
            }),
        }
    }

    /// Params or a request with a wrong member.
    pub fn field(kind: ErrorKind, field: &str, message: impl Into<String>) -> Self {
        let mut error = Self::new(kind, message);
        let mut field = field.to_owned();
        field.truncate(field.floor_char_boundary(ERROR_MESSAGE_MAX_BYTES));
        error.data.field = Some(field);
        error
    }

    /// The target of a transfer cannot have the chat.
    pub fn target_unavailable(reason: TargetReasonFrame) -> Self {
        let mut error = Self::of(ErrorKind::TargetUnavailable);
        error.data.reason = Some(reason);
        error
    }

    /// The chat's state does not allow it.
    pub fn wrong_state(state: ChatState) -> Self {
        let mut error = Self::of(ErrorKind::WrongState);
        error.data.state = Some(Wire(state));
        error
    }

    /// One of the kinds that pass: overloaded, too many calls, unavailable.
    pub fn later(kind: ErrorKind, retry_after_ms: u64) -> Self {
        let mut error = Self::of(kind);
        error.data.retry_after_ms = Some(retry_after_ms);
        error
    }

    /// A frame above the limit, bytes.
    pub fn frame_too_large(count: usize, limit: usize) -> Self {
        let mut error = Self::new(
            ErrorKind::FrameTooLarge,
            format!("the frame has {count} bytes, the limit is {limit}"),
        );
        error.data.count = Some(count as u64);
        error.data.limit = Some(limit as u64);
        error
    }

    /// A text above a limit.
    pub fn text_too_long(message: String, unit: TextUnitFrame, count: usize, limit: usize) -> Self {
        let mut error = Self::new(ErrorKind::TextTooLong, message);
        error.data.unit = Some(unit);
        error.data.count = Some(count as u64);
        error.data.limit = Some(limit as u64);
        error
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.data.name
    }
}

impl From<BadText> for ErrorFrame {
    fn from(bad: BadText) -> Self {
        let message = bad.to_string();
        let (unit, count, limit) = match bad {
            BadText::Empty => return Self::new(ErrorKind::TextEmpty, message),
            BadText::TooLong { visible } => {
                (TextUnitFrame::VisibleCharacters, visible, TEXT_MAX_VISIBLE)
            }
            BadText::TooManyBytes { bytes } => (TextUnitFrame::Bytes, bytes, TEXT_MAX_BYTES),
        };
        Self::text_too_long(message, unit, count, limit)
    }
}

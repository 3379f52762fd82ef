//! The params of every method. Unknown members are refused, so that a misspelt one is noticed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::line_cursor::LineCursor;
use super::value::{Object, TextFrame, Token, Wire};
use crate::domain::operator::{AwayReason, BadAwayReason, Status};
use crate::domain::{ChannelId, ChatId, CommandId, OfferId, QueueId, Seq, UserId};

/// `session.open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionOpenFrame {
    /// An access token or a visitor's token.
    pub token: Wire<Token>,
    /// The chats that the client knows, each with the cursor of the last event that it has. At
    /// most 128.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resume: Vec<Object<ResumeFrame>>,
}

/// A chat that a client knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// The cursor of the last event that the client has.
    pub cursor: Wire<Cursor>,
}

/// `session.renew`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRenewFrame {
    /// A newer token of the same person.
    pub token: Wire<Token>,
}

/// `chat.open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatOpenFrame {
    /// The client's id of this call.
    pub command_id: Wire<CommandId>,
    /// By which channel: the token's.
    pub channel: Wire<ChannelId>,
}

/// `message.send`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageSendFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// The client's id of this message; a repeat with the same id takes effect once.
    pub client_message_id: Wire<CommandId>,
    /// 1 to 2,000 visible characters (extended grapheme clusters of which something shows), 16 KiB
    /// in all.
    pub text: TextFrame,
}

/// `message.received` and `message.read`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RaiseWatermarkFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// The `seq` of the last event that has been received or read. Watermarks only move forward.
    pub up_to: Seq,
}

/// `chat.end`, `chat.take`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatCommandFrame {
    /// The client's id of this call.
    pub command_id: Wire<CommandId>,
    /// The chat.
    pub chat: Wire<ChatId>,
}

/// `chat.history`. With neither cursor: the latest page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatHistoryFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// The page that ends in front of this cursor's event; not together with `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Wire<Cursor>>,
    /// The page that begins behind this cursor's event; not together with `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Wire<Cursor>>,
    /// Most events in the page, 1 to 100; 50 when absent. A page may have fewer, to fit a frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
}

/// What an operator may say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusWord {
    /// Gets offers.
    Ready,
    /// Finishes own chats, gets no offers.
    Away,
    /// Occupied elsewhere, gets no offers.
    Busy,
    /// Not at work.
    Offline,
}

/// `operator.set_status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetStatusFrame {
    /// The client's id of this call.
    pub command_id: Wire<CommandId>,
    /// The status.
    pub status: StatusWord,
    /// Why; with `away` only. At most 64 bytes, and one of the `away_reasons` that the session opened
    /// with, or of those that have been added since, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a status cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStatus {
    /// A reason with another status than `away`.
    #[error("a reason goes with `away` only")]
    ReasonWithoutAway,
    /// The reason is too long.
    #[error(transparent)]
    Reason(#[from] BadAwayReason),
}

impl SetStatusFrame {
    /// The status that is meant. Errors when the reason does not fit it.
    pub fn meant(&self) -> Result<Status, BadStatus> {
        let reason = self.reason.as_deref();
        match (self.status, reason) {
            (StatusWord::Away, reason) => {
                Ok(Status::Away(AwayReason::new(reason.unwrap_or_default())?))
            }
            (StatusWord::Ready | StatusWord::Busy | StatusWord::Offline, Some(_)) => {
                Err(BadStatus::ReasonWithoutAway)
            }
            (StatusWord::Ready, None) => Ok(Status::Ready),
            (StatusWord::Busy, None) => Ok(Status::Busy),
            (StatusWord::Offline, None) => Ok(Status::Offline),
        }
    }
}

/// `offer.shown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferShownFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// The offer.
    pub offer: Wire<OfferId>,
}

/// `offer.accept`, `offer.decline`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferAnswerFrame {
    /// The client's id of this call.
    pub command_id: Wire<CommandId>,
    /// The chat.
    pub chat: Wire<ChatId>,
    /// The offer.
    pub offer: Wire<OfferId>,
}

/// Which chats to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListScope {
    /// The caller's own open chats.
    Mine,
    /// The chats that wait in the queues that the caller serves, in the order of the line; for a
    /// chat administrator in all queues.
    Line,
    /// The last chats that the caller closed or lost.
    Closed,
}

/// `chat.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatListFrame {
    /// Which.
    pub scope: ListScope,
    /// The page behind this; with `line` only, the other lists are short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Wire<LineCursor>>,
}

/// Where a chat goes: `{"operator": id}` or `{"queue": id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferTarget {
    /// To an operator, who has it at once or cannot have it.
    Operator(Wire<UserId>),
    /// To a queue, where it waits with its age.
    Queue(Wire<QueueId>),
}

/// `chat.transfer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatTransferFrame {
    /// The client's id of this call.
    pub command_id: Wire<CommandId>,
    /// The chat.
    pub chat: Wire<ChatId>,
    /// Where to.
    pub to: TransferTarget,
}

/// The one state that is set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettableState {
    /// The work has begun.
    InProgress,
}

/// `chat.set_state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatSetStateFrame {
    /// The client's id of this call.
    pub command_id: Wire<CommandId>,
    /// The chat.
    pub chat: Wire<ChatId>,
    /// The state.
    pub state: SettableState,
}

/// `presence.answer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PresenceAnswerFrame {
    /// The `probe` of the `presence.probe` that it answers.
    pub probe: u64,
}

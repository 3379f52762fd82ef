//! What an operator is to the router.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::id::{ChatId, UserId};
use super::limits::AWAY_REASON_MAX_BYTES;
use super::time::Timestamp;

/// What an operator says about being there. Only `Ready` gets offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Status {
    /// Gets offers.
    Ready,
    /// Finishes own chats, gets no offers.
    Away(AwayReason),
    /// Occupied elsewhere, gets no offers.
    Busy,
    /// Not at work.
    #[default]
    Offline,
}

/// Why somebody is away: up to [`AWAY_REASON_MAX_BYTES`] bytes.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct AwayReason(Arc<str>);

impl AwayReason {
    /// Errors when longer than [`AWAY_REASON_MAX_BYTES`].
    pub fn new(text: &str) -> Result<Self, BadAwayReason> {
        if text.len() > AWAY_REASON_MAX_BYTES {
            return Err(BadAwayReason { bytes: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The reason given by the router when offers lapsed in a row.
    pub fn missed_offers() -> Self {
        Self("missed_offers".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AwayReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// A reason too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a reason has at most {AWAY_REASON_MAX_BYTES} bytes, got {bytes}")]
pub struct BadAwayReason {
    /// How long it is.
    pub bytes: usize,
}

/// How a member of a queue stands towards one chat: the single list of reasons that decisions,
/// refusals and explanations share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Could have it now.
    Free,
    /// Has not yet told its state.
    Unknown,
    /// Status `offline`, or deactivated.
    Offline,
    /// Status `away`.
    Away,
    /// Status `busy`.
    Busy,
    /// Ready, but no connection proves that somebody is there.
    NotConnected,
    /// Holds as many chats as fit.
    Full,
    /// Has room, and keeps it for a while for chats of smaller rank that are offered to all.
    Kept,
    /// Is choosing among its queues at this moment, or was just started.
    Choosing,
    /// Refused this chat a short while ago.
    CoolingDown,
    /// Refused this chat, and another who has not is eligible.
    Declined,
    /// Could have it, but was offered another chat of the same visitor a short while ago, and others
    /// wait.
    ShownLately,
    /// Has this chat's offer already.
    Asked,
    /// Is no member of the queue.
    NotMember,
    /// Owns the chat already.
    Owner,
}

/// What an operator tells its queues about itself. Newer is larger `(life, version)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorState {
    /// Who.
    pub operator: UserId,
    /// The life that says it.
    pub life: u64,
    /// Counts up within a life.
    pub version: u64,
    /// Can be given a chat, but for its slots: [`Standing::Free`] or why not.
    pub standing: Standing,
    /// Reserved, offered and active chats.
    pub load: u32,
    /// How many more chats of the queue that is told fit; for [`Standing::Kept`], how many of those
    /// slots are kept.
    pub free: u32,
    /// For [`Standing::Kept`]: chats of smaller rank than this may have a kept slot all the same.
    pub kept_below: Option<i64>,
    /// When it last accepted a chat.
    pub last_accept: Option<Timestamp>,
    /// Since when it has neither gained nor lost a chat nor become ready.
    pub idle_since: Timestamp,
    /// When this was true.
    pub at: Timestamp,
}

impl OperatorState {
    /// Whether this is newer than `other`.
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.life, self.version) > (other.life, other.version)
    }
}

/// The small durable record of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorRecord {
    /// The status that the operator chose, or that the router set.
    pub status: Status,
    /// When it last accepted a chat.
    pub last_accept: Option<Timestamp>,
    /// Directed offers that lapsed in a row.
    pub lapses_in_row: u32,
    /// The chats that it closed or lost last, latest first, at most
    /// [`LAST_CLOSED`](super::limits::LAST_CLOSED).
    pub last_closed: VecDeque<ChatId>,
}

//! The port of the chats' logs.

use super::StoreError;
use super::port::port;
use crate::domain::{ChatId, Recorded, Seq, Timestamp};

/// The right to append to one chat's log, until a later claim takes it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The chat.
    pub chat: ChatId,
    /// Grows with every claim of this chat.
    pub epoch: u64,
}

/// What a claim answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed<C = Claim> {
    /// The right.
    pub claim: C,
    /// The last position of the log; 0 when it is empty.
    pub tail: Seq,
}

/// Why an append was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A later claim exists. Nothing was written, and nothing under this claim ever will be.
    #[error("another claim has taken the chat over")]
    Fenced,
    /// The events do not continue the log. Nothing was written.
    #[error("the log ends at {tail}, the append begins at {first}")]
    Conflict {
        /// The last position.
        tail: Seq,
        /// Where the append begins.
        first: Seq,
    },
    /// It may have been written, or be written yet. Only a new claim tells.
    #[error("the outcome of the append is unknown: {reason}")]
    Unknown {
        /// What is wrong.
        reason: String,
    },
    /// Nothing was written. Try again later.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
    },
}

port! {
    /// The logs of the chats.
    pub trait ChatLog {
        /// Takes the right to append. After it answers, no append under an earlier claim of the chat
        /// ever becomes visible, and `tail` is final but for this claim. Errors with `Forgotten`.
        async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError>;

        /// Appends all events or none. They are durable when it answers `Ok`, on storage that loses
        /// its power. `events` is not empty and numbered without gaps from the tail.
        async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError>;

        /// The events from position `from` on, in order, at most `limit`. It sees every acknowledged
        /// append.
        async fn read(
            &self,
            chat: ChatId,
            from: Seq,
            limit: usize,
        ) -> Result<Vec<Recorded>, StoreError>;

        /// Forgets the chat for good. First its id is noted, durably: from then on it is not claimed,
        /// an append under any claim is refused or shows nothing, and reads find nothing, however late
        /// a write arrives. Then its log is removed; the id alone stays. May be repeated, and goes on
        /// where it was interrupted. Also of a chat that has no log yet.
        async fn forget(&self, chat: ChatId) -> Result<(), StoreError>;

        /// Whether the chat was forgotten.
        async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError>;

        /// The time of the latest append to any chat, so that a start can say that a store comes from the
        /// future. None when nothing was appended, or when this store cannot tell without reading all.
        async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
            Ok(None)
        }
    }
}

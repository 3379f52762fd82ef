//! The ports to durable storage: small, by aggregate, with their guarantees stated. No call spans
//! two aggregates, for a distributed store could not keep such a promise.
//!
//! Owns what storage promises. Refuses to know who asks. The conformance suite
//! (`tests/conformance`) holds every adapter to these words.
//!
//! Reading order: the ports below; `documents`; `ended`, the chats that have ended; [`clock_trust`]; `audit`, the trail
//! of who did what; `inventory`, the port for copies; [`incarnation`]; [`forget`]; [`erasures`];
//! [`memory`], the shortest adapter and the model of the others; [`record`], the bytes; [`sqlite`], the
//! embedded store; [`scylla`], the distributed one.

mod audit;
pub mod clock_trust;
mod documents;
mod ended;
pub mod erasures;
pub mod export;
pub(crate) mod files;
pub mod forget;
pub mod incarnation;
mod inventory;
pub mod memory;
pub mod record;
pub mod scylla;
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::operator::OperatorRecord;
use crate::domain::{
    ChannelId, ChatId, CommandId, Customer, Party, Place, Placement, Priority, QueueId, Reach,
    Recorded, Seq, Timestamp, UserId, Weight,
};

pub use audit::AuditTrail;
pub use clock_trust::{CLOCK_JUMP_MAX_MS, ClockTrust, Trust};
pub use documents::{Document, Documents, Listed};
pub(crate) use documents::{Unread, read_all, version_of};
pub use ended::{EndedChat, EndedChats, EndedRow, Filled};
pub use erasures::{Erased, ErasuresError, ErasuresFile, Mark};
pub use forget::{Trace, forget as forget_chats};
pub use inventory::{Conversation, Cursor, Inventory, Page};
#[cfg(test)]
pub(crate) use record::any_event;

/// What a store answers within the limit; it counts as unavailable when it does not. Whether a write
/// that was given up takes effect is not known: who asked for it looks again.
pub(crate) async fn in_time<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let silent = |_| StoreError::Unavailable { reason: format!("no answer within {limit:?}") };
    tokio::time::timeout(limit, asked).await.map_err(silent)?
}

/// One store, as its ports. Which adapter stands behind them only the outermost layer knows.
#[derive(Clone)]
pub struct Store {
    /// The logs of the chats.
    pub log: Arc<dyn ChatLog>,
    /// The index of open chats.
    pub open_chats: Arc<dyn OpenChats>,
    /// The chats that have ended.
    pub ended_chats: Arc<dyn EndedChats>,
    /// Which chat a customer is in.
    pub conversations: Arc<dyn Conversations>,
    /// The small records of operators.
    pub operators: Arc<dyn OperatorRecords>,
    /// How far participants have come.
    pub watermarks: Arc<dyn Watermarks>,
    /// Versioned documents.
    pub documents: Arc<dyn Documents>,
    /// The numbering of processes.
    pub processes: Arc<dyn Processes>,
    /// Who did what.
    pub audit: Arc<dyn AuditTrail>,
    /// What it holds altogether.
    pub inventory: Arc<dyn Inventory>,
}

impl Store {
    /// All ports of an adapter that implements every one of them.
    pub fn of<A>(adapter: Arc<A>) -> Self
    where
        A: ChatLog
            + OpenChats
            + EndedChats
            + Conversations
            + OperatorRecords
            + Watermarks
            + Documents
            + Processes
            + AuditTrail
            + Inventory,
    {
        Self {
            log: Arc::clone(&adapter) as _,
            open_chats: Arc::clone(&adapter) as _,
            ended_chats: Arc::clone(&adapter) as _,
            conversations: Arc::clone(&adapter) as _,
            operators: Arc::clone(&adapter) as _,
            watermarks: Arc::clone(&adapter) as _,
            documents: Arc::clone(&adapter) as _,
            processes: Arc::clone(&adapter) as _,
            audit: Arc::clone(&adapter) as _,
            inventory: adapter,
        }
    }
}

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
pub struct Claimed {
    /// The right.
    pub claim: Claim,
    /// The last position of the log; 0 when it is empty.
    pub tail: Seq,
}

/// A read, or a write that may be repeated as it is, did not happen or may not have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store does not answer, or refuses for now. Try again later.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
    },
    /// What is stored cannot be understood: damaged, or written by a newer release.
    #[error("the store holds what this release cannot read: {reason}")]
    Damaged {
        /// What and where.
        reason: String,
    },
    /// The chat is forgotten, for good: it can be neither claimed nor opened any more.
    #[error("chat {chat} is forgotten")]
    Forgotten {
        /// Which.
        chat: ChatId,
    },
    /// A document has another version than the writer saw.
    #[error("the document has version {found}, not {expected}; read it again")]
    VersionConflict {
        /// What the writer saw; 0 when it saw none.
        expected: u64,
        /// What is there; 0 when none is.
        found: u64,
    },
}

/// The store has failed for good: the process cannot promise anything any more and must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store has failed, the process must end: {reason}")]
pub struct StoreFailure {
    /// What failed first, and what to do about it.
    pub reason: String,
}

/// Whether the store answers. It is asked all the time, so this turns by itself, both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreHealth {
    /// It does.
    Answers,
    /// It does not. What is asked of it may be refused, and nothing is acknowledged meanwhile that
    /// is not durable.
    Away {
        /// What it said last, or that it said nothing.
        reason: String,
    },
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

/// The logs of the chats.
#[async_trait]
pub trait ChatLog: Send + Sync + 'static {
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

    /// Forgets the chat for good. First its id is marked, durably: from then on it is not claimed,
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

/// One open chat, with all that a start needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenChat {
    /// The chat.
    pub chat: ChatId,
    /// Its queue, or the last one it was in.
    pub queue: QueueId,
    /// Its placement.
    pub placement: Placement,
    /// Its own priority.
    pub priority: Priority,
    /// How many slots it takes.
    pub weight: Weight,
    /// The first time of waiting.
    pub since: Timestamp,
    /// Who refused it, and when.
    pub refused_by: BTreeMap<UserId, Timestamp>,
    /// Where it is. None: about to be opened, nothing is in its log yet.
    pub place: Option<Place>,
    /// When it wants to be woken; never later than its log says.
    pub next_deadline: Option<Timestamp>,
    /// Set while a change of place may be under way.
    pub moving: Option<Moving>,
}

impl OpenChat {
    /// As it is kept in a store: without the members to whom it is offered. An offer does not outlive
    /// its process, so that nobody asks for them, and there may be a thousand.
    pub fn kept(mut self) -> Self {
        if let Some(Place::Offered(offer)) = &mut self.place
            && offer.reach == Reach::ToAll
        {
            (offer.to, offer.returned) = Default::default();
        }
        self
    }
}

/// A change of place that may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moving {
    /// Who owns the chat when it comes true, if anybody.
    pub to: Option<UserId>,
}

/// The index of open chats: one row a chat, read once at the start of the process. A row that is
/// not marked as moving is exact in where the chat is. What else it says (whether the owner has
/// begun, the priority) may be older when a write was lost with its process, until the chat wakes.
#[async_trait]
pub trait OpenChats: Send + Sync + 'static {
    /// Writes the row anew, without a mark unless it has one.
    async fn put(&self, row: OpenChat) -> Result<(), StoreError>;

    /// Marks the row; durable when it answers. No effect when there is no row.
    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError>;

    /// Removes the row, if there is one; this also forgets it. Whoever writes it anew afterwards is
    /// an actor that has not heard of the end yet, and removes it when it has.
    async fn remove(&self, chat: ChatId) -> Result<(), StoreError>;

    /// Up to `limit` rows in the order of their chats, beginning after `after`; without those that
    /// cannot be read.
    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError>;

    /// The chats whose rows a scan came upon and could not read, until they are written or removed.
    /// Their logs say what belongs there.
    fn damaged(&self) -> Vec<ChatId> {
        Vec::new()
    }
}

/// What a claim of a conversation answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOpen {
    /// The new chat is the customer's open chat.
    Claimed,
    /// Another chat is, or the command opened that one.
    Existing(ChatId),
}

/// Which chat a customer is in.
#[async_trait]
pub trait Conversations: Send + Sync + 'static {
    /// A compare-and-set: makes `chat` the customer's chat if the present one is
    /// `after`, or if there never was one. A repeat of a command that once claimed gets the chat of
    /// that time as an existing one, whatever came after; also when it is `after` itself, and in
    /// no other way is `after` ever answered.
    async fn claim_open(
        &self,
        customer: Customer,
        command: &CommandId,
        chat: ChatId,
        after: Option<ChatId>,
    ) -> Result<ClaimOpen, StoreError>;

    /// The customer's latest chat.
    async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError>;

    /// Every command by which the customer ever claimed a chat, with its chat, but
    /// for those that were forgotten; in the order of the commands' texts.
    async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError>;

    /// Forgets a chat of the customer's, for good: its commands claim anew, and when it is the
    /// latest, the one before it is, if any. May be repeated.
    async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError>;

    /// Whether any customer ever had a chat on the channel. May still say so when all of them are
    /// forgotten.
    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError>;
}

/// Why an operator's record cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorRecordError {
    /// It is damaged. Whoever needs it goes on without one, and replaces it with the next save: nobody
    /// is kept from work, or kept at it, by bytes that say nothing.
    #[error("{what}")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// The store does not answer, or a newer release wrote the record.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<record::RecordError> for OperatorRecordError {
    fn from(error: record::RecordError) -> Self {
        use record::RecordError;
        match error {
            RecordError::Damaged { .. } => Self::Damaged { what: error.to_string() },
            RecordError::Newer { .. } | RecordError::Unwritable { .. } => Self::Store(error.into()),
        }
    }
}

/// The small records of operators.
#[async_trait]
pub trait OperatorRecords: Send + Sync + 'static {
    /// The record; the default when there is none.
    async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError>;

    /// Replaces the record; durable when it answers.
    async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError>;
}

/// How far a participant has come in a chat. Both only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermark {
    /// Delivered up to this position.
    pub delivered: Seq,
    /// Read up to this position; at most `delivered`.
    pub read: Seq,
}

/// The watermarks of the chats' participants.
#[async_trait]
pub trait Watermarks: Send + Sync + 'static {
    /// All of one chat.
    async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError>;

    /// Raises each given mark to at least the given value; never lowers one. Durable when it
    /// answers.
    async fn raise(
        &self,
        chat: ChatId,
        marks: BTreeMap<Party, Watermark>,
    ) -> Result<(), StoreError>;

    /// Removes all of a chat whose log is forgotten; a late raise brings none back. May be repeated.
    async fn forget(&self, chat: ChatId) -> Result<(), StoreError>;
}

/// The numbering of processes.
#[async_trait]
pub trait Processes: Send + Sync + 'static {
    /// Answers a number larger than any that it answered before; durable when it answers.
    async fn begin(&self) -> Result<u64, StoreError>;
}

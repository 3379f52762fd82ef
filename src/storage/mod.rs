//! The ports to durable storage: small, by aggregate, with their guarantees stated. No call spans
//! two aggregates, for a distributed store could not keep such a promise; but for [`ChatMoves`], which only a
//! store has that can.
//!
//! Owns what storage promises. Refuses to know who asks. The conformance suite
//! (`tests/conformance`) holds every adapter to these words.
//!
//! A port is a file, named after its aggregate, and so it is within each adapter: what is stored of it,
//! by which statements, and how it is read (`docs/decisions/0014-storage-by-aggregate.md` says how a
//! table is added).
//!
//! Reading order: the list of ports below, and each in its file; `port`, what they have alike;
//! [`clock_trust`]; [`incarnation`]; [`forget`]; [`erasures`]; [`memory`], the shortest adapter and the
//! model of the others; [`record`], the bytes; [`sqlite`], the embedded store; [`scylla`], the
//! distributed one.

mod audit;
pub mod clock_trust;
mod conversations;
mod documents;
mod ended;
pub mod erasures;
pub mod export;
mod feed;
pub(crate) mod files;
pub mod forget;
mod history;
mod history_places;
pub mod incarnation;
mod inventory;
mod log;
pub mod memory;
mod moves;
mod open_chats;
mod operators;
mod port;
mod processes;
pub mod record;
pub mod scylla;
pub mod sqlite;
mod watermarks;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ChatId;

use port::ports;

pub use audit::AuditTrail;
pub use clock_trust::{CLOCK_JUMP_MAX_MS, ClockTrust, Trust};
pub use conversations::{ClaimOpen, Conversations};
pub use documents::{Document, Documents, Listed};
pub(crate) use documents::{Unread, read_all, version_of};
pub use ended::{EndedChat, EndedChats, EndedRow, Filled};
pub use erasures::{CustomerHash, Erased, ErasuresError, ErasuresFile};
pub(crate) use feed::void_all as void_positions;
pub use feed::{
    FEED_HOUR_MS, FEED_KEPT_MS, FEED_SETTLES_MS, FEED_SHARDS, Feed, FeedConsumer, FeedDue,
    FeedHour, FeedPage, FeedPass, FeedPeriod, FeedPoint, FeedPosition, FeedPresent, FeedShard,
    Touched, follow_from_nothing, prune as prune_feed, void_position,
};
pub use forget::{Trace, forget as forget_chats};
pub use history::{
    HISTORY_OPERATORS_MAX, HISTORY_QUEUES_MAX, HISTORY_ROWS_MAX, History, HistoryEnd, HistoryOf,
    HistoryOrder, HistoryPoint, HistoryQuery, HistoryRow, HistoryRows,
};
pub use history_places::{HistoryPlace, off_other_lists};
pub use inventory::{Conversation, Cursor, Inventory, Page};
pub use log::{AppendError, ChatLog, Claim, Claimed};
pub use moves::{Beside, ChatMoves, RowUpdate};
pub use open_chats::{Moving, OpenChat, OpenChats};
pub use operators::{OperatorRecordError, OperatorRecords};
pub use port::InTime;
pub use processes::Processes;
#[cfg(test)]
pub(crate) use record::any_event;
pub use watermarks::{Watermark, Watermarks};

ports! {
    of every store {
        /// The logs of the chats.
        log: ChatLog,
        /// The index of open chats.
        open_chats: OpenChats,
        /// The chats that have ended.
        ended_chats: EndedChats,
        /// Which chats have changed.
        feed: Feed,
        /// What is known of every chat.
        history: History,
        /// Which chat a customer is in.
        conversations: Conversations,
        /// The small records of operators.
        operators: OperatorRecords,
        /// How far participants have come.
        watermarks: Watermarks,
        /// Versioned documents.
        documents: Documents,
        /// The numbering of processes.
        processes: Processes,
        /// Who did what.
        audit: AuditTrail,
        /// What it holds altogether.
        inventory: Inventory,
    }
    of some {
        /// Appends that write what stands beside the log, too.
        moves: ChatMoves,
    }
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
    /// The store did not answer in time. Whether a write takes effect, and when, is not known: who asked
    /// for it looks again.
    #[error("the store has not answered within {limit:?}")]
    Silent {
        /// How long it was waited for.
        limit: Duration,
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

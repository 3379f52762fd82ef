//! What the writer is asked for.

use std::time::Instant;

use rusqlite::Connection;

use crate::domain::{ChatId, Seq};
use crate::storage::sqlite::StoreFailure;
use crate::storage::sqlite::backup::Job;
use crate::storage::sqlite::moves::Encoded;
use crate::storage::{AppendError, Claim, Claimed, StoreError};

use super::answer::{Answer, Committed};

/// What waits for the writer.
pub(in crate::storage::sqlite) enum Write {
    /// A claim of a chat.
    Claim { chat: ChatId, answer: Answer<Result<Claimed, StoreError>> },
    /// An append to a chat's log.
    Append(Append, Answer<Result<(), AppendError>>),
    /// A slice of forgetting a chat; answers whether there is more to remove.
    Forget { chat: ChatId, answer: Answer<Result<bool, StoreError>> },
    /// A change of small rows.
    Rows(Box<dyn RowWrite>),
    /// A copy of the database; in no batch.
    Backup(Box<Job>),
}

/// A write with its time in the queue.
pub(in crate::storage::sqlite) struct Queued {
    /// When it was handed over.
    pub since: Instant,
    pub write: Write,
}

/// An append, encoded by its caller.
pub(in crate::storage::sqlite) struct Append {
    pub claim: Claim,
    /// Where it begins; 0 when it is empty.
    pub first: Seq,
    /// Whether its events are numbered without gaps, and there is one.
    pub whole: bool,
    pub records: Vec<Vec<u8>>,
    /// What is written with it.
    pub beside: Encoded,
}

/// A change of small rows within the batch's transaction. If it refuses, it has written nothing.
pub(in crate::storage::sqlite) trait RowWrite: Send {
    /// Changes rows, and answers who waits for the commit.
    fn run(self: Box<Self>, connection: &Connection) -> rusqlite::Result<Waiting>;
    /// Nothing was done, since the store has failed.
    fn refuse(self: Box<Self>, failure: &StoreFailure);
}

/// Someone to answer once it is known how the commit went.
pub(in crate::storage::sqlite) type Waiting = Box<dyn FnOnce(Committed<'_>) + Send>;

impl Write {
    /// Bytes that it adds to a batch, roughly.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Append(append, _) => {
                append.beside.size() + append.records.iter().map(Vec::len).sum::<usize>()
            }
            Self::Claim { .. } | Self::Forget { .. } | Self::Rows(_) | Self::Backup(_) => 0,
        }
    }

    /// Nothing of it was written.
    pub(super) fn refuse(self, failure: &StoreFailure) {
        match self {
            Self::Claim { answer, .. } => {
                answer.refuse(Err(failure.unavailable()));
            }
            Self::Forget { answer, .. } => {
                answer.refuse(Err(failure.unavailable()));
            }
            Self::Append(_, answer) => {
                let StoreFailure { reason } = failure.clone();
                answer.refuse(Err(AppendError::Unavailable { reason }));
            }
            Self::Rows(write) => write.refuse(failure),
            Self::Backup(job) => job.refuse(&failure.reason),
        }
    }
}

//! The port of the small records of operators.

use super::port::port;
use super::{StoreError, record};
use crate::domain::UserId;
use crate::domain::operator::OperatorRecord;

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

port! {
    /// The small records of operators.
    pub trait OperatorRecords {
        /// The record; the default when there is none.
        async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError>;

        /// Replaces the record; durable when it answers.
        async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError>;
    }
}

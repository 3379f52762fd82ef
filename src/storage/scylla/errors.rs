//! What the driver's errors mean for a write: that it surely had no effect, or that nobody knows.
//!
//! Invariant: an error that is not surely without effect is an unknown outcome. A statement is
//! tried again by the driver only after an error that is, or when it may be repeated; so the last
//! error speaks for all attempts.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

use crate::storage::{AppendError, StoreError};

/// Whether the write of this error surely had no effect and never will have.
pub(super) fn had_no_effect(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::UseKeyspaceError(_) => true,
        ExecutionError::LastAttemptError(attempt) => attempt_had_no_effect(attempt),
        // The time limit, and whatever a later driver adds.
        _ => false,
    }
}

fn attempt_had_no_effect(error: &RequestAttemptError) -> bool {
    match error {
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_)
        | RequestAttemptError::UnableToAllocStreamId
        | RequestAttemptError::RepreparedIdChanged { .. }
        | RequestAttemptError::RepreparedIdMissingInBatch => true,
        RequestAttemptError::DbError(error, _) => refused(error),
        // The connection broke, or the answer could not be read.
        _ => false,
    }
}

/// Whether the server refused before it did anything. `Overloaded` is not among them: a server
/// may find so when some replicas have the write already.
fn refused(error: &DbError) -> bool {
    match error {
        DbError::SyntaxError
        | DbError::Invalid
        | DbError::Unauthorized
        | DbError::AuthenticationError
        | DbError::ConfigError
        | DbError::Unprepared { .. }
        | DbError::IsBootstrapping
        | DbError::Unavailable { .. } => true,
        DbError::RateLimitReached { rejected_by_coordinator, .. } => *rejected_by_coordinator,
        _ => false,
    }
}

/// Whether a read was refused, or not answered in time, and a smaller one may be answered: so it is when
/// it passes over too much that was deleted.
pub(super) fn is_too_much(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::RequestTimeout(_) => true,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => {
            matches!(error, DbError::ReadFailure { .. } | DbError::ReadTimeout { .. })
        }
        _ => false,
    }
}

/// What an append answers for this error.
pub(super) fn append_error(error: &ExecutionError) -> AppendError {
    let reason = error.to_string();
    if had_no_effect(error) {
        AppendError::Unavailable { reason }
    } else {
        AppendError::Unknown { reason }
    }
}

/// What the other ports answer: for them it is the same whether it had an effect.
pub(super) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

/// A compare-and-set that lost every time.
pub(super) fn contended() -> StoreError {
    unavailable("others change the same row all the time")
}

/// Rows that are not as the schema has them.
pub(super) fn unreadable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { reason: format!("an answer of the database: {error}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scylla::errors::WriteType;
    use scylla::statement::Consistency;

    use super::*;

    fn answered(error: DbError) -> AppendError {
        let attempt = RequestAttemptError::DbError(error, String::new());
        append_error(&ExecutionError::LastAttemptError(attempt))
    }

    #[test]
    fn whoever_cannot_know_says_so() {
        let consistency = Consistency::LocalQuorum;
        let (received, required, write_type) = (1, 2, WriteType::Simple);
        let late = DbError::WriteTimeout { consistency, received, required, write_type };
        assert!(matches!(answered(late), AppendError::Unknown { .. }));
        assert!(matches!(answered(DbError::Overloaded), AppendError::Unknown { .. }));
        assert!(matches!(answered(DbError::ServerError), AppendError::Unknown { .. }));
        // A conditional write whose fate Cassandra does not know.
        assert!(matches!(answered(DbError::Other(0x1700)), AppendError::Unknown { .. }));
        let late = ExecutionError::RequestTimeout(Duration::from_secs(1));
        assert!(matches!(append_error(&late), AppendError::Unknown { .. }));
        let few = DbError::Unavailable { consistency, required: 2, alive: 1 };
        assert!(matches!(answered(few), AppendError::Unavailable { .. }));
        assert!(matches!(answered(DbError::IsBootstrapping), AppendError::Unavailable { .. }));
        let none = append_error(&ExecutionError::EmptyPlan);
        assert!(matches!(none, AppendError::Unavailable { .. }));
    }
}

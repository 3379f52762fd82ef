//! The session with the database.
//!
//! Owns how many requests are under way at once, and that nothing is written or acknowledged by a
//! process that is not the owner. How each is sent is [`profiles`](super::profiles)' matter.
//! Invariants: conditional writes, but for renewals of the lease, are never sent twice; plain writes to
//! rows carry a timestamp of this life.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row as CqlRow};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::storage::{AppendError, StoreError};

use super::errors::{append_error, is_too_much, unavailable, unreadable};
use super::lease::{Lease, now};
use super::limits::REQUESTS_MAX;
use super::profiles::{Kind, Profiles};
use super::{ScyllaOptions, Statements};

/// The session, its statements and the right to use them.
pub(super) struct Db {
    pub session: Session,
    pub statements: Statements,
    pub lease: Lease,
    profiles: Profiles,
    permits: Semaphore,
    permit_limit: Duration,
}

/// Why a part of a table was not read.
pub(super) enum PartError {
    /// It may be too much for one read.
    TooMuch(StoreError),
    /// Whatever else.
    Store(StoreError),
}

/// Why nothing is done: another process may be the owner by now.
const NOT_OWNER: &str = "this process could not renew its right to the keyspace";

impl Db {
    pub fn new(
        session: Session,
        statements: Statements,
        profiles: Profiles,
        lease: Lease,
        options: &ScyllaOptions,
    ) -> Self {
        let permits = Semaphore::new(REQUESTS_MAX);
        let permit_limit = options.request_limit;
        Self { session, statements, lease, profiles, permits, permit_limit }
    }

    /// Waits for its turn to send; no longer than a request may take.
    async fn permit(&self) -> Result<SemaphorePermit<'_>, String> {
        let permit = tokio::time::timeout(self.permit_limit, self.permits.acquire()).await;
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                crate::telemetry::store_refused();
                Err("too many requests wait".to_owned())
            }
        }
    }

    /// Errors unless this process is the owner.
    pub fn owned(&self) -> Result<(), StoreError> {
        if self.lease.holds() { Ok(()) } else { Err(unavailable(NOT_OWNER)) }
    }

    /// A timestamp for a plain write.
    pub fn stamp(&self) -> Result<i64, StoreError> {
        self.lease.stamp().ok_or_else(|| unavailable(NOT_OWNER))
    }

    /// Reads rows.
    pub async fn read(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, StoreError> {
        let _permit = self.permit().await.map_err(unavailable)?;
        let answer = self.session.execute_unpaged(statement, values).await;
        answer.map_err(unavailable)?.into_rows_result().map_err(unreadable)
    }

    /// Reads a part of a whole table.
    pub async fn read_part(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<QueryRowsResult, PartError> {
        let _permit =
            self.permit().await.map_err(|reason| PartError::Store(unavailable(reason)))?;
        let answer = self.session.execute_unpaged(statement, values).await;
        let answer = answer.map_err(|error| match is_too_much(&error) {
            true => PartError::TooMuch(unavailable(error)),
            false => PartError::Store(unavailable(error)),
        })?;
        answer.into_rows_result().map_err(|error| PartError::Store(unreadable(error)))
    }

    /// A plain write to rows.
    pub async fn write(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), StoreError> {
        let _permit = self.permit().await.map_err(unavailable)?;
        self.owned()?;
        self.session.execute_unpaged(statement, values).await.map_err(unavailable)?;
        self.lease.wrote();
        self.owned()
    }

    /// Plain writes to one partition, all or none.
    pub async fn write_all<V: SerializeRow>(
        &self,
        writes: Vec<(&PreparedStatement, V)>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_execution_profile_handle(Some(self.profiles.of(Kind::Write).clone()));
        batch.set_is_idempotent(true);
        let mut all = Vec::with_capacity(writes.len());
        for (statement, values) in writes {
            batch.append_statement(statement.clone());
            all.push(values);
        }
        let _permit = self.permit().await.map_err(unavailable)?;
        self.owned()?;
        self.session.batch(&batch, all).await.map_err(unavailable)?;
        self.lease.wrote();
        self.owned()
    }

    /// A row of a log. Whoever gets `Ok` was the owner when it was durable.
    pub async fn append(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<(), AppendError> {
        let refused = |reason| AppendError::Unavailable { reason };
        let _permit = self.permit().await.map_err(refused)?;
        if !self.lease.holds() {
            return Err(refused(NOT_OWNER.to_owned()));
        }
        let begun = now();
        let written = self.session.execute_unpaged(statement, values).await;
        written.map_err(|error| append_error(&error))?;
        self.lease.wrote();
        crate::telemetry::store_batch(1, 1, now() - begun);
        if !self.lease.holds() {
            return Err(AppendError::Unknown { reason: NOT_OWNER.to_owned() });
        }
        Ok(())
    }

    /// A conditional write by the owner: whether it was applied.
    pub async fn condition(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<bool, StoreError> {
        let _permit = self.permit().await.map_err(unavailable)?;
        self.owned()?;
        let applied = self.condition_by_anybody(statement, values).await.map_err(unavailable)?;
        self.owned()?;
        applied
    }

    /// Conditional writes to one partition by the owner: whether they were applied, all or none.
    pub async fn condition_all(
        &self,
        statements: [&PreparedStatement; 2],
        values: (impl SerializeRow, impl SerializeRow),
    ) -> Result<bool, StoreError> {
        // Logged or not is the same for a conditional batch; one name is known to both servers.
        let mut batch = Batch::new(BatchType::Logged);
        batch.set_execution_profile_handle(Some(self.profiles.of(Kind::Condition).clone()));
        for statement in statements {
            batch.append_statement(statement.clone());
        }
        let _permit = self.permit().await.map_err(unavailable)?;
        self.owned()?;
        let answer = self.session.batch(&batch, values).await.map_err(unavailable)?;
        self.owned()?;
        applied(answer)
    }

    /// A conditional write, also by a process that is not the owner. The outer error is the
    /// driver's.
    pub async fn condition_by_anybody(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Result<bool, StoreError>, ExecutionError> {
        Ok(applied(self.session.execute_unpaged(statement, values).await?))
    }
}

/// The first column says whether it was applied. What follows it differs from server to server.
fn applied(answer: QueryResult) -> Result<bool, StoreError> {
    let rows = answer.into_rows_result().map_err(unreadable)?;
    let row = rows.first_row::<CqlRow>().map_err(unreadable)?;
    match row.columns.first() {
        Some(Some(CqlValue::Boolean(applied))) => Ok(*applied),
        Some(_) | None => Err(unreadable("a conditional write does not say what became of it")),
    }
}

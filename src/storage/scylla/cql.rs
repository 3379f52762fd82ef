//! The session with the database: every statement, prepared, by kind.
//!
//! Owns how statements of a kind are sent ([`Kind`]), how many are under way at once, and that
//! nothing is written or acknowledged by a process that is not the owner.
//! Invariants: conditional writes, but for renewals of the lease, are never sent twice; plain
//! writes to rows carry a timestamp of this life; every request has a time limit.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::errors::{ExecutionError, PrepareError};
use scylla::policies::load_balancing::{DefaultPolicy, LoadBalancingPolicy};
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy, RetryPolicy};
use scylla::policies::speculative_execution::{
    SimpleSpeculativeExecutionPolicy, SpeculativeExecutionPolicy,
};
use scylla::response::PagingState;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency, Statement};
use scylla::value::{CqlValue, Row as CqlRow};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::storage::{AppendError, Cursor, StoreError};

use super::errors::{append_error, unavailable, unreadable};
use super::lease::{Lease, now};
use super::limits::{
    CONDITION_FACTOR, RENEWALS_PER_LEASE, REQUESTS_MAX, SPECULATE_AFTER, SPECULATE_SERIAL_AFTER,
};
use super::{ConsistencyOf, ScyllaOptions};

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A row of a log. Not told to the driver as repeatable, though it is: so the driver tries
    /// again only what surely had no effect, and an error tells the outcome.
    Append,
    /// A plain write with a timestamp: the same however often it arrives.
    Write,
    /// A plain read. Tried again, and a slow node is overtaken by a second.
    Read,
    /// A read of rows that are written on conditions: finishes what is under way there first.
    SerialRead,
    /// A conditional write. Never tried again: nobody knows what became of the first.
    Condition,
    /// A renewal of the lease: a conditional write that says the same however often it arrives, and
    /// never less than a later one. A node that hangs is overtaken, else it would cost the lease.
    Renew,
}

macro_rules! statements {
    ($($name:ident: $kind:ident = $text:expr;)*) => {
        /// The statements, prepared. In their texts `%` stands for the keyspace.
        pub(super) struct Statements { $(pub $name: PreparedStatement,)* }

        impl Statements {
            pub async fn prepare(
                session: &Session,
                profiles: &Profiles,
                keyspace: &str,
            ) -> Result<Self, PrepareError> {
                Ok(Self { $(
                    // A prepared statement must not depend on what its connection was told before.
                    $name: profiles
                        .prepare(session, Kind::$kind, &$text.replace('%', keyspace))
                        .await?,
                )* })
            }
        }
    };
}

statements! {
    append: Append = "INSERT INTO %.log (chat, bucket, seq, epoch, records) VALUES (?, ?, ?, ?, ?)";
    claim: Append = "INSERT INTO %.log (chat, bucket, seq, epoch) VALUES (?, ?, ?, ?)";
    log_end: Read = "SELECT seq, epoch, records FROM %.log WHERE chat = ? AND bucket = ? \
                     ORDER BY seq DESC, epoch ASC LIMIT ?";
    log_before: Read = "SELECT seq, epoch, records FROM %.log WHERE chat = ? AND bucket = ? \
                        AND seq <= ? ORDER BY seq DESC, epoch ASC LIMIT ?";
    log_after: Read = "SELECT seq, epoch, records FROM %.log WHERE chat = ? AND bucket = ? \
                       AND seq > ? LIMIT ?";

    log_drop: Write = "DELETE FROM %.log USING TIMESTAMP ? WHERE chat = ? AND bucket = ?";
    forgotten_put: Write = "INSERT INTO %.forgotten (chat) VALUES (?) USING TIMESTAMP ?";
    forgotten_get: Read = "SELECT chat FROM %.forgotten WHERE chat = ?";
    log_partitions: Read = "SELECT DISTINCT chat, bucket FROM %.log";

    open_put: Write = "INSERT INTO %.open_chats (hour, shard, chat, record, moving) \
                       VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    open_mark: Write = "UPDATE %.open_chats USING TIMESTAMP ? SET moving = ? \
                        WHERE hour = ? AND shard = ? AND chat = ?";
    open_remove: Write = "DELETE FROM %.open_chats USING TIMESTAMP ? \
                          WHERE hour = ? AND shard = ? AND chat = ?";
    open_drop: Write = "DELETE FROM %.open_chats USING TIMESTAMP ? WHERE hour = ? AND shard = ?";
    open_scan: Read = "SELECT chat, record, moving FROM %.open_chats \
                       WHERE hour = ? AND shard = ? AND chat > ? AND chat < ? LIMIT ?";
    open_tally_put: Write = "INSERT INTO %.open_tallies (list, hour, shard, at) VALUES (0, ?, ?, ?) \
                             USING TIMESTAMP ?";
    open_tally_drop: Write = "DELETE FROM %.open_tallies USING TIMESTAMP ? \
                              WHERE list = 0 AND hour = ? AND shard = ?";
    open_tallies_cut: Write = "DELETE FROM %.open_tallies USING TIMESTAMP ? \
                               WHERE list = 0 AND hour < ?";
    open_tallies: Read = "SELECT hour, shard, at FROM %.open_tallies \
                          WHERE list = 0 AND (hour, shard, at) > (?, ?, ?) LIMIT ?";
    list_put: Write = "INSERT INTO %.open_partitions (list, hour, shard) VALUES (0, ?, ?) \
                       USING TIMESTAMP ?";
    list_drop: Write = "DELETE FROM %.open_partitions USING TIMESTAMP ? \
                        WHERE list = 0 AND hour = ? AND shard = ?";
    list_cut: Write = "DELETE FROM %.open_partitions USING TIMESTAMP ? WHERE list = 0 AND hour < ?";
    list_read: Read = "SELECT hour, shard FROM %.open_partitions \
                       WHERE list = 0 AND (hour, shard) > (?, ?) LIMIT ?";

    ended_put: Write = "INSERT INTO %.ended_chats (channel, day, chat, record) VALUES (?, ?, ?, ?) \
                        USING TIMESTAMP ?";
    ended_remove: Write = "DELETE FROM %.ended_chats USING TIMESTAMP ? \
                           WHERE channel = ? AND day = ? AND chat = ?";
    ended_scan: Read = "SELECT chat, record FROM %.ended_chats \
                        WHERE channel = ? AND day = ? AND chat > ? AND chat < ? LIMIT ?";
    ended_day_put: Write = "INSERT INTO %.ended_days (channel, day) VALUES (?, ?) USING TIMESTAMP ?";
    ended_drop: Write = "DELETE FROM %.ended_chats USING TIMESTAMP ? WHERE channel = ? AND day = ?";
    ended_day_drop: Write = "DELETE FROM %.ended_days USING TIMESTAMP ? \
                             WHERE channel = ? AND day = ?";
    ended_days_drop: Write = "DELETE FROM %.ended_days USING TIMESTAMP ? \
                              WHERE channel = ? AND day <= ?";
    ended_days: Read = "SELECT day FROM %.ended_days WHERE channel = ? AND day >= ? AND day <= ? \
                        LIMIT ?";
    ended_tally_put: Write = "INSERT INTO %.ended_tallies (channel, day, at) VALUES (?, ?, ?) \
                              USING TIMESTAMP ?";
    ended_tally_drop: Write = "DELETE FROM %.ended_tallies USING TIMESTAMP ? \
                               WHERE channel = ? AND day = ?";
    ended_tallies: Read = "SELECT at FROM %.ended_tallies WHERE channel = ? AND day = ? LIMIT ?";

    talk_read: SerialRead = "SELECT command, chat FROM %.conversations \
                             WHERE channel = ? AND customer = ? AND command IN ('', ?)";
    talk_latest: SerialRead = "SELECT chat FROM %.conversations \
                               WHERE channel = ? AND customer = ? AND command = ''";
    talk_all: SerialRead = "SELECT command, chat FROM %.conversations \
                            WHERE channel = ? AND customer = ?";
    talks: Read = "SELECT DISTINCT channel, customer FROM %.conversations";
    talk_first: Condition = "INSERT INTO %.conversations (channel, customer, command, chat) \
                             VALUES (?, ?, '', ?) IF NOT EXISTS";
    talk_next: Condition = "UPDATE %.conversations SET chat = ? \
                            WHERE channel = ? AND customer = ? AND command = '' IF chat = ?";
    talk_command: Condition = "INSERT INTO %.conversations (channel, customer, command, chat) \
                               VALUES (?, ?, ?, ?) IF NOT EXISTS";
    talk_drop: Condition = "DELETE FROM %.conversations \
                            WHERE channel = ? AND customer = ? AND command = ? IF chat = ?";
    channel_use: Write = "INSERT INTO %.channels_used (channel) VALUES (?) USING TIMESTAMP ?";
    channel_used: Read = "SELECT channel FROM %.channels_used WHERE channel = ?";

    operator_load: Read = "SELECT record FROM %.operators WHERE operator = ?";
    operator_save: Write = "INSERT INTO %.operators (operator, record) VALUES (?, ?) \
                            USING TIMESTAMP ?";

    operator_ids: Read = "SELECT operator FROM %.operators";

    marks_load: Read = "SELECT party, delivered, read FROM %.watermarks WHERE chat = ?";
    marks_drop: Write = "DELETE FROM %.watermarks USING TIMESTAMP ? WHERE chat = ?";
    mark_chats: Read = "SELECT DISTINCT chat FROM %.watermarks";
    mark_delivered: Write = "UPDATE %.watermarks USING TIMESTAMP ? SET delivered = ? \
                             WHERE chat = ? AND party = ?";
    mark_read: Write = "UPDATE %.watermarks USING TIMESTAMP ? SET read = ? \
                        WHERE chat = ? AND party = ?";

    document_get: SerialRead = "SELECT id, version, body FROM %.documents \
                                WHERE kind = ? AND shard = ? AND id = ?";
    document_first: SerialRead = "SELECT id, version, body FROM %.documents \
                                  WHERE kind = ? AND shard = ? LIMIT ?";
    document_after: SerialRead = "SELECT id, version, body FROM %.documents \
                                  WHERE kind = ? AND shard = ? AND id > ? LIMIT ?";
    document_kinds: Read = "SELECT DISTINCT kind, shard FROM %.documents";
    document_shards: Read = "SELECT shard FROM %.documents WHERE kind = ? AND shard IN ? \
                             PER PARTITION LIMIT 1";
    document_new: Condition = "INSERT INTO %.documents (kind, shard, id, version, body) \
                               VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
    document_put: Condition = "UPDATE %.documents SET version = ?, body = ? \
                               WHERE kind = ? AND shard = ? AND id = ? IF version = ?";
    document_delete: Condition = "DELETE FROM %.documents \
                                  WHERE kind = ? AND shard = ? AND id = ? IF version = ?";

    audit_put: Write = "INSERT INTO %.audit (hour, id, entry) VALUES (?, ?, ?) USING TIMESTAMP ?";
    audit_conclude: Write = "UPDATE %.audit USING TIMESTAMP ? SET outcome = ? \
                             WHERE hour = ? AND id = ?";
    audit_page: Read = "SELECT id, entry, outcome FROM %.audit \
                        WHERE hour = ? AND id < ? AND id >= ? LIMIT ?";
    audit_remove: Write = "DELETE FROM %.audit USING TIMESTAMP ? WHERE hour = ? AND id = ?";
    audit_drop: Write = "DELETE FROM %.audit USING TIMESTAMP ? WHERE hour = ?";
    audit_hour_put: Write = "INSERT INTO %.audit_hours (list, hour) VALUES (0, ?) \
                             USING TIMESTAMP ?";
    audit_hour_drop: Write = "DELETE FROM %.audit_hours USING TIMESTAMP ? \
                              WHERE list = 0 AND hour <= ?";
    audit_hours: Read = "SELECT hour FROM %.audit_hours \
                         WHERE list = 0 AND hour < ? AND hour >= ? LIMIT ?";
    audit_oldest: Read = "SELECT hour FROM %.audit_hours WHERE list = 0 AND hour < ? \
                          ORDER BY hour ASC LIMIT 1";
    audit_customer_put: Write = "INSERT INTO %.audit_customers (channel, customer, id) \
                                 VALUES (?, ?, ?) USING TIMESTAMP ?";
    audit_customer_ids: Read = "SELECT id FROM %.audit_customers \
                                WHERE channel = ? AND customer = ? AND id > ? LIMIT ?";
    audit_customer_drop: Write = "DELETE FROM %.audit_customers USING TIMESTAMP ? \
                                  WHERE channel = ? AND customer = ?";

    counter_get: SerialRead = "SELECT value FROM %.counters WHERE name = ?";
    counter_new: Condition = "INSERT INTO %.counters (name, value) VALUES (?, ?) IF NOT EXISTS";
    counter_set: Condition = "UPDATE %.counters SET value = ? WHERE name = ? IF value = ?";

    lease_get: SerialRead = "SELECT life, beat, stamp, holder, home FROM %.lease \
                             WHERE name = 'owner'";
    lease_new: Condition = "INSERT INTO %.lease (name, life, beat, stamp, holder, home) \
                            VALUES ('owner', ?, 0, ?, ?, ?) IF NOT EXISTS";
    lease_take: Condition = "UPDATE %.lease SET life = ?, beat = 0, stamp = ?, holder = ?, \
                             home = ? WHERE name = 'owner' IF life = ? AND beat = ?";
    lease_renew: Renew = "UPDATE %.lease SET beat = ?, stamp = ? \
                          WHERE name = 'owner' IF life = ? AND beat <= ?";
    time: Read = "SELECT toTimestamp(now()) FROM system.local";
    // Of a row that never was: a write like those of the logs, which leaves nothing to be seen.
    log_probe: Append = "DELETE FROM %.log WHERE chat = 00000000-0000-0000-0000-000000000000 \
                         AND bucket = 0 AND seq = 0 AND epoch = 0";
    lease_release: Condition = "UPDATE %.lease SET beat = ?, stamp = ?, holder = '' \
                                WHERE name = 'owner' IF life = ?";
}

/// An execution profile for every kind.
pub(super) struct Profiles {
    append: ExecutionProfileHandle,
    write: ExecutionProfileHandle,
    read: ExecutionProfileHandle,
    serial_read: ExecutionProfileHandle,
    condition: ExecutionProfileHandle,
    renew: ExecutionProfileHandle,
}

impl Profiles {
    pub fn new(options: &ScyllaOptions) -> Self {
        let (consistency, serial, serial_read) = match options.consistency {
            ConsistencyOf::Datacentre => {
                (Consistency::LocalQuorum, SerialConsistency::LocalSerial, Consistency::LocalSerial)
            }
            ConsistencyOf::Cluster => {
                (Consistency::Quorum, SerialConsistency::Serial, Consistency::Serial)
            }
        };
        let nodes = nodes(&options.datacentre);
        let again: Arc<dyn RetryPolicy> = Arc::new(DefaultRetryPolicy::new());
        let never: Arc<dyn RetryPolicy> = Arc::new(FallthroughRetryPolicy::new());
        let profile = |consistency, factor: u32, retry: &Arc<dyn RetryPolicy>| {
            ExecutionProfile::builder()
                .consistency(consistency)
                .serial_consistency(Some(serial))
                .request_timeout(Some(options.request_limit * factor))
                .load_balancing_policy(Arc::clone(&nodes))
                .retry_policy(Arc::clone(retry))
        };
        let second_after = |retry_interval| -> Option<Arc<dyn SpeculativeExecutionPolicy>> {
            Some(Arc::new(SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval }))
        };
        let plain = |retry| profile(consistency, 1, retry);
        Self {
            append: plain(&again).build().into_handle(),
            write: plain(&again).build().into_handle(),
            read: plain(&again)
                .speculative_execution_policy(second_after(SPECULATE_AFTER))
                .build()
                .into_handle(),
            serial_read: profile(serial_read, CONDITION_FACTOR, &never)
                .speculative_execution_policy(second_after(SPECULATE_SERIAL_AFTER))
                .build()
                .into_handle(),
            condition: profile(consistency, CONDITION_FACTOR, &never).build().into_handle(),
            renew: profile(consistency, 1, &never)
                .request_timeout(Some(options.lease / RENEWALS_PER_LEASE * 2))
                .speculative_execution_policy(second_after(options.lease / RENEWALS_PER_LEASE))
                .build()
                .into_handle(),
        }
    }

    pub fn of(&self, kind: Kind) -> &ExecutionProfileHandle {
        match kind {
            Kind::Append => &self.append,
            Kind::Write => &self.write,
            Kind::Read => &self.read,
            Kind::SerialRead => &self.serial_read,
            Kind::Condition => &self.condition,
            Kind::Renew => &self.renew,
        }
    }

    async fn prepare(
        &self,
        session: &Session,
        kind: Kind,
        text: &str,
    ) -> Result<PreparedStatement, PrepareError> {
        let mut statement = Statement::new(text);
        statement.set_execution_profile_handle(Some(self.of(kind).clone()));
        let mut prepared = session.prepare(statement).await?;
        prepared.set_is_idempotent(match kind {
            Kind::Write | Kind::Read | Kind::SerialRead | Kind::Renew => true,
            Kind::Append | Kind::Condition => false,
        });
        Ok(prepared)
    }
}

/// Replicas first, of this datacentre only: a quorum of it is what a write needs.
pub(super) fn nodes(datacentre: &str) -> Arc<dyn LoadBalancingPolicy> {
    let policy = DefaultPolicy::builder().token_aware(true).permit_dc_failover(false);
    if datacentre.is_empty() {
        policy.prefer_no_datacenter().build()
    } else {
        policy.prefer_datacenter(datacentre.to_owned()).build()
    }
}

/// The session, its statements and the right to use them.
pub(super) struct Db {
    pub session: Session,
    pub statements: Statements,
    pub lease: Lease,
    profiles: Profiles,
    permits: Semaphore,
    permit_limit: Duration,
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

    /// Reads a page of a whole table, from a place that an earlier page named, and says where the
    /// next one begins.
    pub async fn read_page(
        &self,
        statement: &PreparedStatement,
        limit: usize,
        at: Option<&Cursor>,
    ) -> Result<(QueryRowsResult, Option<Cursor>), StoreError> {
        let mut statement = statement.clone();
        statement.set_page_size(i32::try_from(limit).unwrap_or(i32::MAX).max(1));
        let state = match at {
            Some(at) => PagingState::new_from_raw_bytes(at.place()),
            None => PagingState::start(),
        };
        let _permit = self.permit().await.map_err(unavailable)?;
        let answer = self.session.execute_single_page(&statement, (), state).await;
        let (answer, next) = answer.map_err(unavailable)?;
        let next = match next.into_paging_control_flow() {
            ControlFlow::Break(()) => None,
            ControlFlow::Continue(state) => state.as_bytes_slice().map(|raw| Cursor::new(&raw[..])),
        };
        Ok((answer.into_rows_result().map_err(unreadable)?, next))
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

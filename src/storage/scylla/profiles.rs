//! How statements of a kind are sent: to whom, with whose agreement, for how long, and whether again.
//!
//! Invariants: conditional writes, but for renewals of the lease, are never sent twice; every request
//! has a time limit.

use std::sync::Arc;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::policies::load_balancing::{DefaultPolicy, LoadBalancingPolicy};
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy, RetryPolicy};
use scylla::policies::speculative_execution::{
    SimpleSpeculativeExecutionPolicy, SpeculativeExecutionPolicy,
};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency, Statement};

use super::limits::{
    CONDITION_FACTOR, RENEWALS_PER_LEASE, SPECULATE_AFTER, SPECULATE_SERIAL_AFTER,
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

    /// A statement, prepared to be sent as its kind is.
    pub async fn prepare(
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

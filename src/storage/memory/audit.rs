//! The audit trail in memory.

use async_trait::async_trait;

use crate::domain::audit::{AuditEntry, AuditId, AuditOutcome};
use crate::domain::{ChannelId, Customer, CustomerId, Timestamp};
use crate::storage::{AuditTrail, StoreError};

use super::{FaultAt, MemoryStore};

/// Entries removed at a time.
const SLICE: usize = 8;

#[async_trait]
impl AuditTrail for MemoryStore {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.write(FaultAt::Audit, |state| {
            state.audit.entry(entry.id).or_insert(entry);
            Ok(())
        })
    }

    async fn conclude(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError> {
        self.write(FaultAt::Audit, |state| {
            if let Some(entry) = state.audit.get_mut(&id) {
                entry.outcome.get_or_insert(outcome);
            }
            Ok(())
        })
    }

    async fn newest(
        &self,
        before: AuditId,
        from: AuditId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        if before <= from {
            return Ok(Vec::new());
        }
        let state = self.lock();
        let found = state.audit.range(from..before).rev().take(limit);
        Ok(found.map(|(_, entry)| entry.clone()).collect())
    }

    async fn remove_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        let end = AuditId::first_of_hour(before);
        self.write(FaultAt::Audit, |state| {
            let mut old = state.audit.range(..end).map(|(id, _)| *id);
            let some: Vec<_> = old.by_ref().take(SLICE).collect();
            let more = old.next().is_some();
            some.iter().for_each(|id| drop(state.audit.remove(id)));
            Ok(more)
        })
    }

    async fn forget_customer(
        &self,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<(), StoreError> {
        let customer = Customer { channel, id: customer };
        self.write(FaultAt::Audit, |state| {
            for entry in state.audit.values_mut() {
                entry.forget_customer(customer);
            }
            Ok(())
        })
    }
}

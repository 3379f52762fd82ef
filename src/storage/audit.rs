//! The port of the audit trail.
//!
//! Owns what a store promises of it. Refuses to know which acts there are, and when they are
//! written: `crate::audit` above it does.

use async_trait::async_trait;

use crate::domain::audit::{AuditEntry, AuditId, AuditOutcome};
use crate::domain::{ChannelId, CustomerId, Timestamp};

use super::StoreError;

/// Who did what. Entries are added, concluded once, and removed when they are old: nothing else
/// changes one but the erasure of a customer.
#[async_trait]
pub trait AuditTrail: Send + Sync + 'static {
    /// Adds an entry, with its outcome if it has one; durable when it answers. The same entry may
    /// be added again, without effect as long as it was not concluded.
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError>;

    /// Says what became of an entry that was added by this process, or by one that has ended;
    /// durable when it answers. No effect when there is no such entry.
    async fn conclude(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError>;

    /// The newest entries first: from below `before` down to `from`, at most `limit`. Fewer only
    /// when there are no more.
    async fn newest(
        &self,
        before: AuditId,
        from: AuditId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError>;

    /// Removes entries of whole hours that ended by `before`, oldest first, a slice at a time.
    /// Answers whether there are more.
    async fn remove_before(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// Takes the customer's id out of every entry about it; the entries stay, for they say what
    /// somebody did. Durable when it answers, and may be repeated.
    async fn forget_customer(
        &self,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<(), StoreError>;
}

//! The port of the audit trail.
//!
//! Owns what a store promises of it. Refuses to know which acts there are, and when they are
//! written: `crate::audit` above it does.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::domain::audit::{AuditEntry, AuditId, AuditOutcome};
use crate::domain::{ChannelId, CustomerId, Timestamp};
use crate::telemetry::{self, DamagedRow};

use super::port::port;
use super::{StoreError, record};

/// Damaged entries that are remembered, so that each is named once, 16 bytes each; more is a disk that
/// is to be replaced, whatever the number.
const DAMAGED_REMEMBERED: usize = 65_536;

port! {
    /// Who did what. Entries are added, concluded once, and removed when they are old: nothing else
    /// changes one but the erasure of a customer.
    pub trait AuditTrail {
        /// Adds an entry, with its outcome if it has one; durable when it answers. The same entry may
        /// be added again, without effect as long as it was not concluded.
        async fn record(&self, entry: AuditEntry) -> Result<(), StoreError>;

        /// Says what became of an entry that was added by this process, or by one that has ended;
        /// durable when it answers. No effect when there is no such entry.
        async fn conclude(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError>;

        /// The newest entries first: from below `before` down to `from`, at most `limit`. Fewer only
        /// when there are no more. One that cannot be read is left out, named in the log and counted;
        /// one whose outcome cannot be read has an unknown one.
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
        /// somebody did, but for those that cannot be read. Durable when it answers, and may be repeated.
        async fn forget_customer(
            &self,
            channel: ChannelId,
            customer: CustomerId,
        ) -> Result<(), StoreError>;
    }
}

/// The entries that could not be read since the store was opened.
#[derive(Default)]
pub(super) struct DamagedEntries(Mutex<BTreeSet<AuditId>>);

impl DamagedEntries {
    /// An entry as it is stored, if it can be read.
    pub fn read(&self, id: AuditId, entry: &[u8], outcome: Option<&[u8]>) -> Option<AuditEntry> {
        let error = match record::decode_audit(id, entry, outcome) {
            Ok(entry) => return Some(entry),
            Err(error) => error,
        };
        self.note(id, &error);
        let entry = record::decode_audit(id, entry, None).ok()?;
        Some(AuditEntry { outcome: Some(AuditOutcome::Unknown), ..entry })
    }

    /// Something of the entry cannot be read.
    pub fn note(&self, id: AuditId, what: &dyn std::fmt::Display) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < DAMAGED_REMEMBERED && known.insert(id) {
            telemetry::store_damaged_rows(DamagedRow::AuditEntry, known.len());
            tracing::error!(
                %what,
                "an entry of the audit trail is damaged and left out, the others are served; \
                 see what else is with `switchboard store check`"
            );
        }
    }
}

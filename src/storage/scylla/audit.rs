//! The audit trail, by the hour in the ids of its entries.
//!
//! Invariants: an hour is on the list before it gets an entry, and an entry about a customer is
//! among that customer's before it is there; an hour is removed whole, with a timestamp before that
//! of whoever writes next, and leaves the list after it.

use async_trait::async_trait;

use crate::domain::audit::{AuditEntry, AuditId, AuditOutcome};
use crate::domain::{ChannelId, Customer, CustomerId, Timestamp};
use crate::storage::{AuditTrail, StoreError, record};

use super::ScyllaStore;
use super::errors::unreadable;
use super::limits::{AUDIT_HOURS_PAGE_ROWS, AUDIT_PAGE_ROWS};
use super::statements::statements;

statements! {
    put: Write = "INSERT INTO %.audit (hour, id, entry) VALUES (?, ?, ?) USING TIMESTAMP ?";
    conclude: Write = "UPDATE %.audit USING TIMESTAMP ? SET outcome = ? \
        WHERE hour = ? AND id = ?";
    page: Read = "SELECT id, entry, outcome FROM %.audit \
        WHERE hour = ? AND id < ? AND id >= ? LIMIT ?";
    remove: Write = "DELETE FROM %.audit USING TIMESTAMP ? WHERE hour = ? AND id = ?";
    drop: Write = "DELETE FROM %.audit USING TIMESTAMP ? WHERE hour = ?";
    hour_put: Write = "INSERT INTO %.audit_hours (list, hour) VALUES (0, ?) \
        USING TIMESTAMP ?";
    hour_drop: Write = "DELETE FROM %.audit_hours USING TIMESTAMP ? \
        WHERE list = 0 AND hour <= ?";
    hours: Read = "SELECT hour FROM %.audit_hours \
        WHERE list = 0 AND hour < ? AND hour >= ? LIMIT ?";
    oldest: Read = "SELECT hour FROM %.audit_hours WHERE list = 0 AND hour < ? \
        ORDER BY hour ASC LIMIT 1";
    customer_put: Write = "INSERT INTO %.audit_customers (channel, customer, id) \
        VALUES (?, ?, ?) USING TIMESTAMP ?";
    customer_ids: Read = "SELECT id FROM %.audit_customers \
        WHERE channel = ? AND customer = ? AND id > ? LIMIT ?";
    customer_drop: Write = "DELETE FROM %.audit_customers USING TIMESTAMP ? \
        WHERE channel = ? AND customer = ?";
}

pub(super) fn hour_of(id: AuditId) -> i64 {
    i64::try_from(id.hour()).unwrap_or(i64::MAX)
}

fn id_of(key: &[u8]) -> Result<AuditId, StoreError> {
    Ok(AuditId::from_key(key.try_into().map_err(unreadable)?))
}

impl ScyllaStore {
    /// Puts the hour on the list, once a life and hour.
    async fn list_audit_hour(&self, hour: i64) -> Result<(), StoreError> {
        if self.audit_hours.contains(&hour) {
            return Ok(());
        }
        let values = (hour, self.db.stamp()?);
        self.db.write(&self.db.statements.audit.hour_put, values).await?;
        // Entries are of the present; hours long gone are not written to again.
        self.audit_hours.retain(|known| hour - *known <= 1);
        self.audit_hours.insert(hour);
        Ok(())
    }

    /// Hours with entries, latest first: below `before` and not below `from`, a page.
    async fn audit_hours(&self, before: i64, from: i64) -> Result<Vec<i64>, StoreError> {
        let values = (before, from, AUDIT_HOURS_PAGE_ROWS);
        let answer = self.db.read(&self.db.statements.audit.hours, values).await?;
        let rows = answer.rows::<(i64,)>().map_err(unreadable)?;
        rows.map(|row| row.map(|(hour,)| hour).map_err(unreadable)).collect()
    }

    /// Entries of an hour, newest first, until there are `limit` in `found`.
    async fn audit_of(
        &self,
        hour: i64,
        mut before: AuditId,
        from: AuditId,
        limit: usize,
        found: &mut Vec<AuditEntry>,
    ) -> Result<(), StoreError> {
        type Stored<'a> = (&'a [u8], Option<&'a [u8]>, Option<&'a [u8]>);
        while found.len() < limit {
            let (below, least) = (before.key(), from.key());
            let page = i32::try_from(limit - found.len()).unwrap_or(AUDIT_PAGE_ROWS);
            let page = page.min(AUDIT_PAGE_ROWS);
            let values = (hour, below.as_slice(), least.as_slice(), page);
            let answer = self.db.read(&self.db.statements.audit.page, values).await?;
            let mut rows = 0;
            for row in answer.rows::<Stored<'_>>().map_err(unreadable)? {
                let (key, entry, outcome) = row.map_err(unreadable)?;
                (before, rows) = (id_of(key)?, rows + 1);
                if let Some(entry) = entry {
                    found.extend(self.damaged_entries.read(before, entry, outcome));
                }
            }
            if rows < page {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn write_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let sealed = record::encode_audit(entry)?;
        let key = entry.id.key();
        let values = (hour_of(entry.id), key.as_slice(), sealed, self.db.stamp()?);
        self.db.write(&self.db.statements.audit.put, values).await
    }
}

#[async_trait]
impl AuditTrail for ScyllaStore {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.list_audit_hour(hour_of(entry.id)).await?;
        if let Some(Customer { channel, id: customer }) = entry.customer() {
            let key = entry.id.key();
            let values = (channel.0, customer.0, key.as_slice(), self.db.stamp()?);
            self.db.write(&self.db.statements.audit.customer_put, values).await?;
        }
        self.write_audit(&entry).await?;
        match entry.outcome {
            Some(outcome) => self.conclude(entry.id, outcome).await,
            None => Ok(()),
        }
    }

    async fn conclude(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError> {
        let sealed = record::encode_audit_outcome(id, outcome)?;
        let key = id.key();
        let values = (self.db.stamp()?, sealed, hour_of(id), key.as_slice());
        self.db.write(&self.db.statements.audit.conclude, values).await
    }

    async fn newest(
        &self,
        before: AuditId,
        from: AuditId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut found = Vec::new();
        let (mut below, least) = (hour_of(before).saturating_add(1), hour_of(from));
        while before > from && found.len() < limit {
            let hours = self.audit_hours(below, least).await?;
            let Some(last) = hours.last() else { break };
            below = *last;
            for hour in &hours {
                if found.len() < limit {
                    self.audit_of(*hour, before, from, limit, &mut found).await?;
                }
            }
            if hours.len() < AUDIT_HOURS_PAGE_ROWS as usize {
                break;
            }
        }
        Ok(found)
    }

    async fn remove_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        let end = hour_of(AuditId::first_of_hour(before));
        let answer = self.db.read(&self.db.statements.audit.oldest, (end,)).await?;
        let Some((hour,)) = answer.maybe_first_row::<(i64,)>().map_err(unreadable)? else {
            return Ok(false);
        };
        let stamp = self.db.stamp()?;
        self.db.write(&self.db.statements.audit.drop, (stamp, hour)).await?;
        self.db.write(&self.db.statements.audit.hour_drop, (stamp, hour)).await?;
        Ok(true)
    }

    async fn forget_customer(
        &self,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<(), StoreError> {
        let statements = &self.db.statements;
        let known = Customer { channel, id: customer };
        let mut after = Vec::new();
        loop {
            let values = (channel.0, customer.0, after.clone(), AUDIT_PAGE_ROWS);
            let answer = self.db.read(&statements.audit.customer_ids, values).await?;
            let rows = answer.rows::<(Vec<u8>,)>().map_err(unreadable)?;
            let keys: Vec<Vec<u8>> = rows
                .map(|row| row.map(|(key,)| key).map_err(unreadable))
                .collect::<Result<_, _>>()?;
            for key in &keys {
                let id = id_of(key)?;
                let mut found = Vec::new();
                let hour = hour_of(id);
                self.audit_of(hour, id.next(), id, 1, &mut found).await?;
                match found.pop() {
                    Some(mut entry) => {
                        if entry.forget_customer(known) {
                            self.write_audit(&entry).await?;
                        }
                    }
                    // It cannot be read, and may name the customer; or there is none.
                    None => {
                        let values = (self.db.stamp()?, hour, key.as_slice());
                        self.db.write(&statements.audit.remove, values).await?;
                    }
                }
            }
            match keys.into_iter().next_back() {
                Some(last) => after = last,
                None => break,
            }
        }
        let values = (self.db.stamp()?, channel.0, customer.0);
        self.db.write(&statements.audit.customer_drop, values).await
    }
}

//! The audit trail: a table in the order of its ids. What is old, and what is about a customer who
//! is erased, goes in slices, so that no batch of the writer becomes long.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use crate::domain::audit::{AuditEntry, AuditId, AuditOutcome};
use crate::domain::{ChannelId, Customer, CustomerId, Timestamp};
use crate::storage::audit::DamagedEntries;
use crate::storage::record::{self, RecordError};
use crate::storage::{AuditTrail, StoreError};

use super::SqliteStore;
use super::limits::AUDIT_SLICE;
use super::sql::{ReadError, count};

/// The key of a customer.
fn customer_key(customer: Customer) -> Vec<u8> {
    [customer.channel.0.as_bytes().as_slice(), customer.id.0.as_bytes()].concat()
}

/// That of the customer whom an entry names.
pub(super) fn customer_of(entry: &AuditEntry) -> Option<Vec<u8>> {
    entry.customer().map(customer_key)
}

/// An entry as it is stored.
pub(super) struct AuditRow {
    id: AuditId,
    entry: Vec<u8>,
    outcome: Option<Vec<u8>>,
    customer: Option<Vec<u8>>,
}

impl AuditRow {
    /// The row of an entry.
    pub fn of(entry: &AuditEntry) -> Result<Self, RecordError> {
        let outcome = entry.outcome.map(|of| record::encode_audit_outcome(entry.id, of));
        Ok(Self {
            id: entry.id,
            entry: record::encode_audit(entry)?,
            outcome: outcome.transpose()?,
            customer: customer_of(entry),
        })
    }

    /// Adds it, unless it is there.
    pub fn add(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached(
            "INSERT INTO audit (id, entry, outcome, customer) VALUES (?, ?, ?, ?) \
             ON CONFLICT DO NOTHING",
        )?;
        insert.execute((self.id.key(), &self.entry, &self.outcome, &self.customer)).map(drop)
    }
}

fn newest(
    connection: &Connection,
    damaged: &DamagedEntries,
    before: AuditId,
    from: AuditId,
    limit: usize,
) -> Result<Vec<AuditEntry>, ReadError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, entry, outcome FROM audit WHERE id < ? AND id >= ? ORDER BY id DESC",
    )?;
    let mut rows = statement.query((before.key(), from.key()))?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        // Blobs by the schema, all three.
        let id = AuditId::from_key(row.get(0)?);
        let (entry, outcome): (Vec<u8>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
        found.extend(damaged.read(id, &entry, outcome.as_deref()));
    }
    Ok(found)
}

/// Removes a slice; answers whether there is more.
fn remove_before(connection: &Connection, end: AuditId) -> rusqlite::Result<bool> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM audit WHERE id IN \
             (SELECT id FROM audit WHERE id < ? ORDER BY id LIMIT ?)",
        )?
        .execute((end.key(), count(AUDIT_SLICE)))?;
    Ok(removed == AUDIT_SLICE)
}

/// Takes the customer out of a slice of entries, and removes those that cannot be read, for they may
/// name the customer; answers whether there may be more.
fn forget_some(
    connection: &Connection,
    damaged: &DamagedEntries,
    customer: Customer,
) -> Result<bool, ReadError> {
    let mut statement = connection
        .prepare_cached("SELECT id, entry FROM audit WHERE customer = ? ORDER BY id LIMIT ?")?;
    let mut rows = statement.query((customer_key(customer), count(AUDIT_SLICE)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = AuditId::from_key(row.get(0)?);
        let sealed = match damaged.read(id, &row.get::<_, Vec<u8>>(1)?, None) {
            Some(mut entry) => {
                entry.forget_customer(customer);
                Some(record::encode_audit(&entry)?)
            }
            None => None,
        };
        found.push((id, sealed));
    }
    let mut update =
        connection.prepare_cached("UPDATE audit SET entry = ?, customer = NULL WHERE id = ?")?;
    let mut remove = connection.prepare_cached("DELETE FROM audit WHERE id = ?")?;
    for (id, sealed) in &found {
        match sealed {
            Some(sealed) => update.execute((sealed, id.key()))?,
            None => remove.execute([id.key()])?,
        };
    }
    Ok(found.len() == AUDIT_SLICE)
}

#[async_trait]
impl AuditTrail for SqliteStore {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let row = AuditRow::of(&entry)?;
        self.write(move |connection| row.add(connection).map(Ok)).await
    }

    async fn conclude(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError> {
        let sealed = record::encode_audit_outcome(id, outcome)?;
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE audit SET outcome = ? WHERE id = ? AND outcome IS NULL")?
                .execute((sealed, id.key()))?;
            Ok(Ok(()))
        })
        .await
    }

    async fn newest(
        &self,
        before: AuditId,
        from: AuditId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let damaged = Arc::clone(&self.damaged_entries);
        let read = move |connection: &Connection| newest(connection, &damaged, before, from, limit);
        self.readers.read(read).await
    }

    async fn remove_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        let end = AuditId::first_of_hour(before);
        self.write(move |connection| remove_before(connection, end).map(Ok)).await
    }

    async fn forget_customer(
        &self,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<(), StoreError> {
        let customer = Customer { channel, id: customer };
        let mut more = true;
        while more {
            let damaged = Arc::clone(&self.damaged_entries);
            let some =
                move |connection: &Connection| match forget_some(connection, &damaged, customer) {
                    Ok(more) => Ok(Ok(more)),
                    Err(ReadError::Sqlite(error)) => Err(error),
                    Err(
                        error @ (ReadError::Record(_) | ReadError::Missing(_) | ReadError::Lost(_)),
                    ) => Ok(Err(error.into())),
                };
            more = self.write(some).await?;
        }
        Ok(())
    }
}

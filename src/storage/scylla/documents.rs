//! Documents: written on the condition of their version, spread over shards by their ids.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use scylla::response::query_result::QueryRowsResult;

use crate::storage::record::{self, Slot};
use crate::storage::{Document, Documents, Listed, StoreError};

use super::ScyllaStore;
use super::errors::{unavailable, unreadable};
use super::limits::{CONDITION_TRIES, RING_PAGE_ROWS, SHARDS};
use super::open_chats::shard;
use super::statements::statements;

statements! {
    get: SerialRead = "SELECT id, version, body FROM %.documents \
        WHERE kind = ? AND shard = ? AND id = ?";
    first: SerialRead = "SELECT id, version, body FROM %.documents \
        WHERE kind = ? AND shard = ? LIMIT ?";
    after: SerialRead = "SELECT id, version, body FROM %.documents \
        WHERE kind = ? AND shard = ? AND id > ? LIMIT ?";
    kinds: Read = "SELECT DISTINCT token(kind, shard), kind FROM %.documents \
        WHERE token(kind, shard) >= ? AND token(kind, shard) <= ? LIMIT ?";
    shards: Read = "SELECT shard FROM %.documents WHERE kind = ? AND shard IN ? \
        PER PARTITION LIMIT 1";
    new: Condition = "INSERT INTO %.documents (kind, shard, id, version, body) \
        VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
    put: Condition = "UPDATE %.documents SET version = ?, body = ? \
        WHERE kind = ? AND shard = ? AND id = ? IF version = ?";
    delete: Condition = "DELETE FROM %.documents \
        WHERE kind = ? AND shard = ? AND id = ? IF version = ?";
}

pub(super) fn big(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn listed(kind: &str, answer: &QueryRowsResult) -> Result<Vec<Listed>, StoreError> {
    let rows = answer.rows::<(&str, i64, &[u8])>().map_err(unreadable)?;
    rows.map(|row| {
        let (id, version, sealed) = row.map_err(unreadable)?;
        let version = version.unsigned_abs();
        let body = record::listed_body(Slot::Document(kind, id, version), sealed)?;
        Ok(Listed { id: id.to_owned(), version, body })
    })
    .collect()
}

#[async_trait]
impl Documents for ScyllaStore {
    async fn get(&self, kind: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let values = (kind, shard(id.as_bytes()), id);
        let answer = self.db.read(&self.db.statements.documents.get, values).await?;
        listed(kind, &answer)?.pop().map(Listed::document).transpose()
    }

    async fn put(
        &self,
        kind: &str,
        id: &str,
        expected: u64,
        body: Vec<u8>,
    ) -> Result<u64, StoreError> {
        let (version, shard) = (expected + 1, shard(id.as_bytes()));
        let sealed = record::seal(Slot::Document(kind, id, version), &body);
        let (statements, version_now) = (&self.db.statements, big(version));
        for _ in 0..CONDITION_TRIES {
            let applied = if expected == 0 {
                let values = (kind, shard, id, version_now, &sealed);
                self.db.condition(&statements.documents.new, values).await?
            } else {
                let values = (version_now, &sealed, kind, shard, id, big(expected));
                self.db.condition(&statements.documents.put, values).await?
            };
            if applied {
                return Ok(version);
            }
            self.conflict(kind, id, expected).await?;
        }
        Err(unavailable("others change the same document all the time"))
    }

    async fn delete(&self, kind: &str, id: &str, expected: u64) -> Result<(), StoreError> {
        let values = (kind, shard(id.as_bytes()), id, big(expected));
        for _ in 0..CONDITION_TRIES {
            if expected == 0 {
                return self.conflict(kind, id, 0).await;
            }
            let delete = &self.db.statements.documents.delete;
            if self.db.condition(delete, values).await? {
                return Ok(());
            }
            self.conflict(kind, id, expected).await?;
        }
        Err(unavailable("others change the same document all the time"))
    }

    async fn list(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let page = i32::try_from(limit).unwrap_or(i32::MAX);
        if page == 0 {
            return Ok(Vec::new());
        }
        let statements = &self.db.statements;
        // Most kinds have few documents, or none yet: only partitions that are there are asked. A
        // write that nobody was told of may begin one later; whoever lists did not miss a promise.
        let all: Vec<i16> = (0..SHARDS).collect();
        let answer = self.db.read(&statements.documents.shards, (kind, all)).await?;
        let shards = answer.rows::<(i16,)>().map_err(unreadable)?;
        let shards: Vec<_> = shards.collect::<Result<_, _>>().map_err(unreadable)?;
        let shards = shards.into_iter().map(async |(shard,)| {
            let answer = match after {
                None => self.db.read(&statements.documents.first, (kind, shard, page)).await?,
                Some(after) => {
                    let values = (kind, shard, after, page);
                    self.db.read(&statements.documents.after, values).await?
                }
            };
            listed(kind, &answer)
        });
        let mut found: Vec<_> = try_join_all(shards).await?.into_iter().flatten().collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.truncate(limit);
        Ok(found)
    }
}

impl ScyllaStore {
    /// The kinds of which there are documents.
    pub(super) async fn kinds(&self) -> Result<BTreeSet<String>, StoreError> {
        let (mut kinds, mut at) = (BTreeSet::new(), None);
        loop {
            let statement = &self.db.statements.documents.kinds;
            let keys =
                self.keys(statement, at.as_ref(), RING_PAGE_ROWS, |row: &(i64, String)| row.0);
            let page = keys.await?;
            kinds.extend(page.items.into_iter().map(|(_, kind)| kind));
            at = page.next;
            if at.is_none() {
                return Ok(kinds);
            }
        }
    }

    /// Errors when the document has another version than `expected`, as it was not applied for.
    /// It may have it again by now: then the write is to be tried again.
    async fn conflict(&self, kind: &str, id: &str, expected: u64) -> Result<(), StoreError> {
        let values = (kind, shard(id.as_bytes()), id);
        let answer = self.db.read(&self.db.statements.documents.get, values).await?;
        let row = answer.maybe_first_row::<(&str, i64, &[u8])>().map_err(unreadable)?;
        match row.map_or(0, |(_, version, _)| version.unsigned_abs()) {
            found if found == expected => Ok(()),
            found => Err(StoreError::VersionConflict { expected, found }),
        }
    }
}

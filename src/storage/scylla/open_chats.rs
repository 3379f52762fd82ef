//! The index of open chats, by the hour in their ids and a shard.
//!
//! A start reads the list of partitions that are not known to be empty, and these; nothing else.
//! A removed row leaves a tombstone, so an emptied partition of an earlier hour is deleted whole
//! and leaves the list: then nobody reads its tombstones again. Until then its removals are tallied
//! ([`open_tallies`](super::open_tallies)), and a crowded partition is read in slices of its hour.
//!
//! Invariants: a partition is on the list before it gets a row; it is deleted only while nobody
//! of this process writes to it, with a timestamp before that of whoever writes next; each life
//! lists again what it writes to, since a dead one's deletion may still be under way.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dashmap::{DashMap, DashSet};
use futures_util::future::try_join_all;
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::domain::ChatId;
use crate::storage::record::RecordError;
use crate::storage::{Moving, OpenChat, OpenChats, StoreError, record};
use crate::telemetry::{self, DamagedRow};

use super::ScyllaStore;
use super::errors::unreadable;
use super::limits::{HOUR_MS, LIST_PAGE_ROWS, OPEN_SLICE_MS, SCAN_AT_ONCE, SCAN_PAGE_ROWS, SHARDS};
use super::open_tallies::Removals;
use super::slices::{END, key_at};
use super::statements::statements;

statements! {
    put: Write = "INSERT INTO %.open_chats (hour, shard, chat, record, moving) \
        VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    mark: Write = "UPDATE %.open_chats USING TIMESTAMP ? SET moving = ? \
        WHERE hour = ? AND shard = ? AND chat = ?";
    remove: Write = "DELETE FROM %.open_chats USING TIMESTAMP ? \
        WHERE hour = ? AND shard = ? AND chat = ?";
    drop: Write = "DELETE FROM %.open_chats USING TIMESTAMP ? WHERE hour = ? AND shard = ?";
    scan: Read = "SELECT chat, record, moving FROM %.open_chats \
        WHERE hour = ? AND shard = ? AND chat > ? AND chat < ? LIMIT ?";
    tally_put: Write = "INSERT INTO %.open_tallies (list, hour, shard, at) VALUES (0, ?, ?, ?) \
        USING TIMESTAMP ?";
    tally_drop: Write = "DELETE FROM %.open_tallies USING TIMESTAMP ? \
        WHERE list = 0 AND hour = ? AND shard = ?";
    tallies_cut: Write = "DELETE FROM %.open_tallies USING TIMESTAMP ? \
        WHERE list = 0 AND hour < ?";
    tallies: Read = "SELECT hour, shard, at FROM %.open_tallies \
        WHERE list = 0 AND (hour, shard, at) > (?, ?, ?) LIMIT ?";
    list_put: Write = "INSERT INTO %.open_partitions (list, hour, shard) VALUES (0, ?, ?) \
        USING TIMESTAMP ?";
    list_drop: Write = "DELETE FROM %.open_partitions USING TIMESTAMP ? \
        WHERE list = 0 AND hour = ? AND shard = ?";
    list_cut: Write = "DELETE FROM %.open_partitions USING TIMESTAMP ? WHERE list = 0 AND hour < ?";
    list_read: Read = "SELECT hour, shard FROM %.open_partitions \
        WHERE list = 0 AND (hour, shard) > (?, ?) LIMIT ?";
}

/// Where the row of a chat lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PartitionKey {
    pub hour: i64,
    pub shard: i16,
}

impl PartitionKey {
    /// Ids begin with the milliseconds of their making, so hours are in the order of ids.
    fn of(chat: ChatId) -> Self {
        let hour = i64::try_from(chat.made_at().0 / HOUR_MS).unwrap_or(i64::MAX);
        Self { hour, shard: shard(chat.0.as_bytes()) }
    }

    /// Ranges of keys that are read one after the other: each behind the first key of its pair and
    /// before the second one.
    fn ranges(self, crowded: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
        if !crowded {
            return vec![(Vec::new(), END.to_vec())];
        }
        let begin = self.hour.unsigned_abs().saturating_mul(HOUR_MS);
        let slices = (0..HOUR_MS).step_by(OPEN_SLICE_MS as usize);
        let at = |ms: u64| key_at(begin.saturating_add(ms));
        slices.map(|slice| (at(slice), at(slice + OPEN_SLICE_MS))).collect()
    }
}

/// The shard of a key.
pub(super) fn shard(key: &[u8]) -> i16 {
    let shards = u32::from(SHARDS.unsigned_abs());
    i16::try_from(crc32c::crc32c(key) % shards).unwrap_or(0)
}

/// A partition as this process knows it.
#[derive(Default)]
pub(super) struct Partition {
    /// Whether this life has put it on the list. Held shared while rows are written.
    listed: RwLock<bool>,
    /// Whether it is on the list, as far as this life knows.
    pub on_list: AtomicBool,
    /// Chats with a row, as far as they are known.
    chats: Mutex<HashSet<ChatId>>,
    pub removals: tokio::sync::Mutex<Removals>,
}

impl Partition {
    fn with<T>(&self, work: impl FnOnce(&mut HashSet<ChatId>) -> T) -> T {
        work(&mut self.chats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The partitions that this process has to do with.
#[derive(Default)]
pub(super) struct Partitions {
    known: DashMap<PartitionKey, Arc<Partition>>,
    /// The latest hour that was seen. Later ones get new chats, earlier ones hardly.
    newest: AtomicI64,
    /// The latest hour before which the emptied ones were deleted.
    swept: AtomicI64,
    /// The tallies that former lives have left. Once they are read, so is the list, and what is not
    /// known to be on it is not.
    pub former: OnceCell<HashMap<PartitionKey, usize>>,
    /// Held shared while partitions are put on the list, alone while its front is cut off.
    list: RwLock<()>,
    /// The chats whose rows cannot be read, as far as scans have come upon them.
    damaged: DashSet<ChatId>,
}

/// What stands in a row.
enum Found {
    /// A mark that has no row.
    Mark,
    /// A row.
    Row(Box<OpenChat>),
    /// Something that cannot be read.
    Damaged(ChatId),
}

impl Partitions {
    pub fn at(&self, key: PartitionKey) -> Arc<Partition> {
        self.newest.fetch_max(key.hour, Relaxed);
        Arc::clone(&self.known.entry(key).or_default())
    }

    /// The partition, if it may have rows.
    fn listed(&self, key: PartitionKey) -> Option<Arc<Partition>> {
        let known = self.known.get(&key).map(|known| Arc::clone(known.value()));
        known.filter(|known| known.on_list.load(Relaxed))
    }

    /// Once an hour, those of earlier hours that have no chats: most were emptied within their own.
    fn to_sweep(&self) -> Option<Vec<(PartitionKey, Arc<Partition>)>> {
        let newest = self.newest.load(Relaxed);
        if self.swept.fetch_max(newest, Relaxed) >= newest {
            return None;
        }
        let earlier = self.known.iter().filter(|known| known.key().hour < newest);
        let empty = earlier.filter(|known| known.with(|chats| chats.is_empty()));
        Some(empty.map(|known| (*known.key(), Arc::clone(known.value()))).collect())
    }
}

#[async_trait]
impl OpenChats for ScyllaStore {
    async fn put(&self, row: OpenChat) -> Result<(), StoreError> {
        let sealed = record::encode_open_chat(&row)?;
        let mark = row.moving.map(|moving| record::encode_moving(row.chat, moving));
        // Bound as a value, for a null would leave a tombstone.
        let mark = mark.transpose()?.unwrap_or_default();
        let key = PartitionKey::of(row.chat);
        let partition = self.partitions.at(key);
        let _listed = self.listed(key, &partition).await?;
        partition.with(|chats| chats.insert(row.chat));
        let chat = row.chat.0.as_bytes().as_slice();
        let values = (key.hour, key.shard, chat, sealed, mark, self.db.stamp()?);
        self.db.write(&self.db.statements.open_chats.put, values).await?;
        self.row_replaced(row.chat);
        Ok(())
    }

    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError> {
        let mark = record::encode_moving(chat, moving)?;
        let key = PartitionKey::of(chat);
        self.former_tallies().await?;
        let Some(partition) = self.partitions.listed(key) else { return Ok(()) };
        let _shared = partition.listed.read().await;
        let id = chat.0.as_bytes().as_slice();
        let values = (self.db.stamp()?, mark, key.hour, key.shard, id);
        self.db.write(&self.db.statements.open_chats.mark, values).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        let key = PartitionKey::of(chat);
        self.former_tallies().await?;
        // Of most chats that are forgotten nothing is here any more.
        let Some(partition) = self.partitions.listed(key) else { return Ok(()) };
        let shared = partition.listed.read().await;
        self.tally_open(key, &partition).await?;
        let id = chat.0.as_bytes().as_slice();
        let values = (self.db.stamp()?, key.hour, key.shard, id);
        self.db.write(&self.db.statements.open_chats.remove, values).await?;
        drop(shared);
        self.row_replaced(chat);
        let empty = partition.with(|chats| {
            chats.remove(&chat);
            chats.is_empty()
        });
        if empty {
            self.tidy(key, partition).await;
        }
        if let Some(empty) = self.partitions.to_sweep() {
            for (key, partition) in empty {
                self.tidy(key, partition).await;
            }
            if let Err(error) = self.cut_lists().await {
                tracing::debug!(%error, "the front of the list of open chats was not cut off");
            }
        }
        Ok(())
    }

    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError> {
        self.former_tallies().await?;
        let mut found = Vec::new();
        let mut behind =
            after.map_or(i64::MIN, |chat| PartitionKey::of(chat).hour.saturating_sub(1));
        while found.len() < limit {
            let (keys, more) = self.listed_after(behind).await?;
            let Some(last) = keys.last() else { break };
            behind = last.hour;
            for keys in by_hours(&keys) {
                if found.len() >= limit {
                    break;
                }
                let rows = keys.iter().map(|key| self.rows_of(*key, after, limit));
                let mut rows: Vec<_> = try_join_all(rows).await?.into_iter().flatten().collect();
                rows.sort_by_key(|row| row.chat);
                found.extend(rows);
            }
            if !more {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn damaged(&self) -> Result<Vec<ChatId>, StoreError> {
        Ok(self.partitions.damaged.iter().map(|chat| *chat).collect())
    }
}

/// Runs of whole hours, each as long as may be asked at once, or one hour.
fn by_hours(keys: &[PartitionKey]) -> Vec<&[PartitionKey]> {
    let mut runs = Vec::new();
    let (mut begin, mut hour_begin) = (0, 0);
    for at in 1..=keys.len() {
        let ends = keys.get(at).is_none_or(|next| next.hour != keys[at - 1].hour);
        if !ends {
            continue;
        }
        if at - begin > SCAN_AT_ONCE && hour_begin > begin {
            runs.push(&keys[begin..hour_begin]);
            begin = hour_begin;
        }
        hour_begin = at;
    }
    if begin < keys.len() {
        runs.push(&keys[begin..]);
    }
    runs
}

impl ScyllaStore {
    /// Puts the partition on the list, once a life, and keeps it from being deleted.
    async fn listed<'a>(
        &self,
        key: PartitionKey,
        partition: &'a Partition,
    ) -> Result<RwLockReadGuard<'a, bool>, StoreError> {
        let shared = partition.listed.read().await;
        if *shared {
            return Ok(shared);
        }
        drop(shared);
        let mut alone = partition.listed.write().await;
        if !*alone {
            if self.partitions.former.initialized() && !partition.on_list.load(Relaxed) {
                partition.removals.lock().await.first = true;
            }
            let _list = self.partitions.list.read().await;
            partition.on_list.store(true, Relaxed);
            let values = (key.hour, key.shard, self.db.stamp()?);
            self.db.write(&self.db.statements.open_chats.list_put, values).await?;
            *alone = true;
        }
        Ok(RwLockWriteGuard::downgrade(alone))
    }

    /// Deletes the partition whole if it is of an earlier hour and empty. When that fails, a later
    /// start finds it empty.
    async fn tidy(&self, key: PartitionKey, partition: Arc<Partition>) {
        if key.hour >= self.partitions.newest.load(Relaxed) {
            return;
        }
        let mut alone = partition.listed.write().await;
        let deleted = self.delete_if_empty(key, &partition, &mut alone).await;
        match deleted {
            Ok(true) => {
                drop(alone);
                // Ours and the map's: nobody else has it, and nobody can get it meanwhile.
                let free = |_: &PartitionKey, known: &Arc<Partition>| Arc::strong_count(known) <= 2;
                self.partitions.known.remove_if(&key, free);
            }
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(%error, "an emptied partition of open chats was not deleted");
            }
        }
    }

    async fn delete_if_empty(
        &self,
        key: PartitionKey,
        partition: &Partition,
        listed: &mut bool,
    ) -> Result<bool, StoreError> {
        if !partition.with(|chats| chats.is_empty()) {
            return Ok(false);
        }
        if !partition.on_list.load(Relaxed) {
            return Ok(true);
        }
        for (behind, before) in key.ranges(self.is_crowded_partition(key, partition).await?) {
            let values = (key.hour, key.shard, behind, before, SCAN_PAGE_ROWS);
            let rows = self.page_of(values).await?;
            if rows.len() >= SCAN_PAGE_ROWS as usize
                || rows.iter().any(|(_, row)| !matches!(row, Found::Mark))
            {
                return Ok(false);
            }
        }
        // Whoever comes next lists it again, whatever becomes of this.
        *listed = false;
        let (statements, stamp) = (&self.db.statements, self.db.stamp()?);
        let values = (stamp, key.hour, key.shard);
        self.db.write(&statements.open_chats.drop, values).await?;
        if self.tallies_of(key, partition).await? > 0 {
            self.db.write(&statements.open_chats.tally_drop, values).await?;
        }
        self.db.write(&statements.open_chats.list_drop, values).await?;
        partition.on_list.store(false, Relaxed);
        *partition.removals.lock().await = Removals::default();
        Ok(true)
    }

    /// Leaves one tombstone of what was before the first partition of the list, and not one each.
    async fn cut_lists(&self) -> Result<(), StoreError> {
        let _alone = self.partitions.list.write().await;
        let answer =
            self.db.read(&self.db.statements.open_chats.list_read, (i64::MIN, SHARDS, 1)).await?;
        let first = answer.maybe_first_row::<(i64, i16)>().map_err(unreadable)?;
        let first = first.map_or(self.partitions.newest.load(Relaxed), |(hour, _)| hour);
        let (statements, stamp) = (&self.db.statements, self.db.stamp()?);
        self.db.write(&statements.open_chats.list_cut, (stamp, first)).await?;
        self.db.write(&statements.open_chats.tallies_cut, (stamp, first)).await
    }

    /// A page of the list, in its order, of hours after `hour`; and whether there is more. A page
    /// ends with a whole hour.
    pub(super) async fn listed_after(
        &self,
        hour: i64,
    ) -> Result<(Vec<PartitionKey>, bool), StoreError> {
        let values = (hour, SHARDS, LIST_PAGE_ROWS);
        let answer = self.db.read(&self.db.statements.open_chats.list_read, values).await?;
        let rows = answer.rows::<(i64, i16)>().map_err(unreadable)?;
        let mut keys = Vec::new();
        for row in rows {
            let (hour, shard) = row.map_err(unreadable)?;
            keys.push(PartitionKey { hour, shard });
        }
        let more = keys.len() >= LIST_PAGE_ROWS as usize;
        if let (true, Some(last)) = (more, keys.last().copied()) {
            keys.retain(|key| key.hour < last.hour);
        }
        if let Some(last) = keys.last() {
            self.partitions.newest.fetch_max(last.hour, Relaxed);
        }
        Ok((keys, more))
    }

    fn row_replaced(&self, chat: ChatId) {
        if self.partitions.damaged.remove(&chat).is_some() {
            telemetry::store_damaged_rows(DamagedRow::OpenChat, self.partitions.damaged.len());
        }
    }

    /// Says once that a row cannot be read.
    fn damaged_row(&self, chat: ChatId, error: &RecordError) {
        if self.partitions.damaged.insert(chat) {
            tracing::error!(
                %chat,
                %error,
                "the row of an open chat cannot be read; its log says what it was"
            );
            telemetry::store_damaged_rows(DamagedRow::OpenChat, self.partitions.damaged.len());
        }
    }

    /// Up to `limit` rows of one partition.
    async fn rows_of(
        &self,
        key: PartitionKey,
        after: Option<ChatId>,
        limit: usize,
    ) -> Result<Vec<OpenChat>, StoreError> {
        let partition = self.partitions.at(key);
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        // Every id comes after the empty key.
        let after = after.map_or(Vec::new(), |chat| chat.0.as_bytes().to_vec());
        let whole = after.is_empty();
        for (behind, before) in key.ranges(self.is_crowded_partition(key, &partition).await?) {
            let mut behind = behind.max(after.clone());
            while behind < before && found.len() < limit {
                let page = i32::try_from(limit - found.len()).unwrap_or(SCAN_PAGE_ROWS);
                let page = page.clamp(1, SCAN_PAGE_ROWS);
                let values = (key.hour, key.shard, &behind, &before, page);
                let rows = self.page_of(values).await?;
                let last = rows.len() < page as usize;
                for (key, row) in rows {
                    behind = key;
                    match row {
                        Found::Row(row) => found.push(*row),
                        Found::Damaged(chat) => damaged.push(chat),
                        Found::Mark => {}
                    }
                }
                if last {
                    break;
                }
            }
        }
        let there = found.iter().map(|row| row.chat).chain(damaged.iter().copied());
        partition.with(|chats| chats.extend(there));
        if whole && found.is_empty() && damaged.is_empty() {
            self.tidy(key, partition).await;
        }
        Ok(found)
    }

    /// Keys and rows of a page.
    async fn page_of(
        &self,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<Vec<(Vec<u8>, Found)>, StoreError> {
        type Stored<'a> = (&'a [u8], Option<&'a [u8]>, Option<&'a [u8]>);
        let answer = self.db.read(&self.db.statements.open_chats.scan, values).await?;
        let mut page = Vec::new();
        for row in answer.rows::<Stored<'_>>().map_err(unreadable)? {
            let (key, sealed, mark) = row.map_err(unreadable)?;
            let id = uuid::Uuid::from_slice(key).map_err(unreadable)?;
            let mark = mark.filter(|mark| !mark.is_empty());
            let chat = ChatId(id);
            let found = match sealed.map(|sealed| record::decode_open_chat(chat, sealed, mark)) {
                None => Found::Mark,
                Some(Ok(row)) => Found::Row(Box::new(row)),
                Some(Err(error @ RecordError::Damaged { .. })) => {
                    self.damaged_row(chat, &error);
                    Found::Damaged(chat)
                }
                Some(Err(error)) => return Err(error.into()),
            };
            page.push((key.to_vec(), found));
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hour: i64, shard: i16) -> PartitionKey {
        PartitionKey { hour, shard }
    }

    #[test]
    fn hours_are_in_the_order_of_ids() {
        let ms = |ms: u128| ChatId::from_u128(ms << 80 | 0x7000_8000_0000_0000_0000);
        assert_eq!(PartitionKey::of(ms(0)).hour, 0);
        assert_eq!(PartitionKey::of(ms(3_599_999)).hour, 0);
        assert_eq!(PartitionKey::of(ms(3_600_000)).hour, 1);
        assert!(
            (0..200)
                .map(|n| PartitionKey::of(ms(n)).shard)
                .all(|shard| (0..SHARDS).contains(&shard))
        );
    }

    #[test]
    fn hours_are_asked_whole_and_in_order() {
        let keys: Vec<_> =
            (0..10).flat_map(|hour| (0..SHARDS).map(move |shard| key(hour, shard))).collect();
        let runs = by_hours(&keys);
        assert_eq!(runs.concat(), keys);
        assert!(runs.iter().all(|run| run.len() == SCAN_AT_ONCE));
        assert_eq!(by_hours(&[]), [&[] as &[PartitionKey]; 0]);
        assert_eq!(by_hours(&keys[..3]), [&keys[..3]]);
        let lone: Vec<_> = (0..40).map(|hour| key(hour, 0)).collect();
        assert_eq!(by_hours(&lone).iter().map(|run| run.len()).collect::<Vec<_>>(), [32, 8]);
    }
}

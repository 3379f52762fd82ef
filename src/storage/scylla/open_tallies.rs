//! Tallies of the open chats' removed rows: which partitions are so full of tombstones that they are read
//! in slices.
//!
//! Invariant: all but the first removals of a partition that this life was the first to list have a
//! tally before them.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use crate::storage::StoreError;

use super::ScyllaStore;
use super::errors::unreadable;
use super::limits::{CROWDED_TALLIES, LIST_PAGE_ROWS, TALLIED_REMOVALS};
use super::open_chats::{Partition, PartitionKey};

/// The rows of a partition that this life removed.
#[derive(Default)]
pub(super) struct Removals {
    removed: u64,
    /// How many tallies it wrote of them.
    tallies: usize,
    /// Nobody had put rows there before it.
    pub first: bool,
}

impl ScyllaStore {
    /// Counts a removal: writes a tally for it and those that follow, if there is none. None is
    /// written for the first ones of a partition that was not there before this life, and none when
    /// it is crowded anyway.
    pub(super) async fn tally_open(
        &self,
        key: PartitionKey,
        partition: &Partition,
    ) -> Result<(), StoreError> {
        let mut removals = partition.removals.lock().await;
        let spared = removals.first && removals.removed < TALLIED_REMOVALS;
        let due = removals.removed.is_multiple_of(TALLIED_REMOVALS) && !spared;
        if due && removals.tallies < CROWDED_TALLIES {
            let stamp = self.db.stamp()?;
            let values = (key.hour, key.shard, stamp, stamp);
            self.db.write(&self.db.statements.open_chats.tally_put, values).await?;
            removals.tallies += 1;
        }
        removals.removed += 1;
        Ok(())
    }

    /// How many tallies the partition has.
    pub(super) async fn tallies_of(
        &self,
        key: PartitionKey,
        partition: &Partition,
    ) -> Result<usize, StoreError> {
        let former = self.former_tallies().await?.get(&key).copied().unwrap_or(0);
        Ok(former + partition.removals.lock().await.tallies)
    }

    /// Whether so many rows were removed there that it is not to be read at once.
    pub(super) async fn is_crowded_partition(
        &self,
        key: PartitionKey,
        partition: &Partition,
    ) -> Result<bool, StoreError> {
        Ok(self.tallies_of(key, partition).await? >= CROWDED_TALLIES)
    }

    /// What former lives have left: reads the list and all tallies, once a life.
    pub(super) async fn former_tallies(&self) -> Result<&HashMap<PartitionKey, usize>, StoreError> {
        self.partitions.former.get_or_try_init(|| self.read_former()).await
    }

    async fn read_former(&self) -> Result<HashMap<PartitionKey, usize>, StoreError> {
        let (mut hour, mut more) = (i64::MIN, true);
        while more {
            let keys;
            (keys, more) = self.listed_after(hour).await?;
            for key in &keys {
                self.partitions.at(*key).on_list.store(true, Relaxed);
                hour = key.hour;
            }
        }
        let mut tallies = HashMap::new();
        let mut behind = (i64::MIN, i16::MIN, i64::MIN);
        loop {
            let values = (behind.0, behind.1, behind.2, LIST_PAGE_ROWS);
            let answer = self.db.read(&self.db.statements.open_chats.tallies, values).await?;
            for row in answer.rows::<(i64, i16, i64)>().map_err(unreadable)? {
                behind = row.map_err(unreadable)?;
                let key = PartitionKey { hour: behind.0, shard: behind.1 };
                *tallies.entry(key).or_default() += 1;
            }
            if answer.rows_num() < LIST_PAGE_ROWS as usize {
                return Ok(tallies);
            }
        }
    }
}

//! Which chats have changed, in memory.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;

use crate::domain::ChatId;
use crate::storage::{Feed, FeedHour, FeedShard, StoreError, Touched};

use super::{FaultAt, MemoryStore};

/// Touches removed at a time.
const SLICE: usize = 8;

#[async_trait]
impl Feed for MemoryStore {
    async fn touch(&self, chat: ChatId, hour: FeedHour) -> Result<(), StoreError> {
        self.write(FaultAt::Feed, |state| {
            let touches = state.feed.entry(FeedShard::of(chat)).or_default();
            touches.insert(Touched { hour, chat });
            Ok(())
        })
    }

    async fn changed(
        &self,
        shard: FeedShard,
        after: Option<Touched>,
        limit: usize,
    ) -> Result<Vec<Touched>, StoreError> {
        let state = self.lock();
        let Some(touches) = state.feed.get(&shard) else { return Ok(Vec::new()) };
        let behind = touches.range((after.map_or(Unbounded, Excluded), Unbounded));
        Ok(behind.take(limit).copied().collect())
    }

    async fn newest(&self) -> Result<Option<FeedHour>, StoreError> {
        Ok(newest(self.lock().feed.values()))
    }

    async fn remove_before(&self, before: FeedHour) -> Result<bool, StoreError> {
        self.write(FaultAt::Feed, |state| {
            let end = newest(state.feed.values()).map_or(before, |newest| newest.min(before));
            let mut more = false;
            for touches in state.feed.values_mut() {
                let mut old = touches.iter().copied().take_while(|touched| touched.hour < end);
                let some: Vec<_> = old.by_ref().take(SLICE).collect();
                more |= old.next().is_some();
                for touched in &some {
                    touches.remove(touched);
                }
            }
            Ok(more)
        })
    }
}

fn newest<'a>(shards: impl Iterator<Item = &'a BTreeSet<Touched>>) -> Option<FeedHour> {
    shards.filter_map(|touches| Some(touches.last()?.hour)).max()
}

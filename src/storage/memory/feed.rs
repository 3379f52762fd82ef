//! Which chats have changed, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;

use crate::domain::ChatId;
use crate::storage::{Feed, FeedPage, FeedPlace, FeedShard, FeedSlot, StoreError, Touched};

use super::{FaultAt, MemoryStore};

/// Touches removed at a time.
const SLICE: usize = 8;

/// Slots that a page visits: so few that who follows meets pages without a touch.
const PAGE_SLOTS: usize = 4;

/// By slot and shard.
pub(super) type Touches = BTreeMap<FeedSlot, BTreeMap<FeedShard, BTreeSet<ChatId>>>;

#[async_trait]
impl Feed for MemoryStore {
    async fn touch(&self, chat: ChatId, slot: FeedSlot) -> Result<(), StoreError> {
        self.write(FaultAt::Feed, |state| {
            let shards = state.feed.entry(slot).or_default();
            shards.entry(FeedShard::of(chat)).or_default().insert(chat);
            Ok(())
        })
    }

    async fn changed(
        &self,
        shard: FeedShard,
        from: FeedPlace,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let state = self.lock();
        let mut slots = state.feed.range(from.slot..);
        let mut touched = Vec::new();
        for (slot, shards) in slots.by_ref().take(PAGE_SLOTS) {
            let after = from.after.filter(|_| *slot == from.slot).map_or(Unbounded, Excluded);
            let chats = shards.get(&shard).into_iter().flat_map(|of| of.range((after, Unbounded)));
            for chat in chats {
                touched.push(Touched { slot: *slot, chat: *chat });
                if touched.len() >= limit {
                    let next = touched.last().copied().map(FeedPlace::behind);
                    return Ok(FeedPage { touched, next });
                }
            }
        }
        let next = slots.next().map(|(slot, _)| FeedPlace::begin(*slot));
        Ok(FeedPage { touched, next })
    }

    async fn slots(&self, from: FeedSlot, limit: usize) -> Result<Vec<FeedSlot>, StoreError> {
        Ok(self.lock().feed.range(from..).take(limit).map(|(slot, _)| *slot).collect())
    }

    async fn remove_before(&self, before: FeedSlot) -> Result<bool, StoreError> {
        self.write(FaultAt::Feed, |state| {
            for _ in 0..SLICE {
                let Some(mut oldest) = state.feed.first_entry() else { return Ok(false) };
                if *oldest.key() >= before {
                    return Ok(false);
                }
                if let Some(mut shard) = oldest.get_mut().first_entry() {
                    shard.get_mut().pop_first();
                    if shard.get().is_empty() {
                        shard.remove();
                    }
                }
                if oldest.get().is_empty() {
                    oldest.remove();
                }
            }
            Ok(true)
        })
    }
}

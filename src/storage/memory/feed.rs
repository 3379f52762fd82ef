//! Which chats have changed, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;

use crate::domain::ChatId;
use crate::storage::{Feed, FeedPage, FeedPeriod, FeedPoint, FeedShard, StoreError, Touched};

use super::{FaultAt, MemoryStore, State};

/// Touches removed at a time.
const SLICE: usize = 8;

/// Periods that a page visits: so few that who follows meets pages without a touch.
const PAGE_SLOTS: usize = 4;

/// By period and shard.
pub(super) type Touches = BTreeMap<FeedPeriod, BTreeMap<FeedShard, BTreeSet<ChatId>>>;

impl State {
    pub(super) fn touch(&mut self, chat: ChatId, period: FeedPeriod) {
        let shards = self.feed.entry(period).or_default();
        shards.entry(FeedShard::of(chat)).or_default().insert(chat);
    }
}

#[async_trait]
impl Feed for MemoryStore {
    async fn touch(&self, chat: ChatId, period: FeedPeriod) -> Result<(), StoreError> {
        self.write(FaultAt::Feed, |state| {
            state.touch(chat, period);
            Ok(())
        })
    }

    async fn changed(
        &self,
        shard: FeedShard,
        from: FeedPoint,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let state = self.lock();
        let mut periods = state.feed.range(from.period..);
        let mut touched = Vec::new();
        for (period, shards) in periods.by_ref().take(PAGE_SLOTS) {
            let after = from.after.filter(|_| *period == from.period).map_or(Unbounded, Excluded);
            let chats = shards.get(&shard).into_iter().flat_map(|of| of.range((after, Unbounded)));
            for chat in chats {
                touched.push(Touched { period: *period, chat: *chat });
                if touched.len() >= limit {
                    let next = touched.last().copied().map(FeedPoint::behind);
                    return Ok(FeedPage { touched, next });
                }
            }
        }
        let next = periods.next().map(|(period, _)| FeedPoint::begin(*period));
        Ok(FeedPage { touched, next })
    }

    async fn periods(&self, from: FeedPeriod, limit: usize) -> Result<Vec<FeedPeriod>, StoreError> {
        Ok(self.lock().feed.range(from..).take(limit).map(|(period, _)| *period).collect())
    }

    async fn remove_before(&self, before: FeedPeriod) -> Result<bool, StoreError> {
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

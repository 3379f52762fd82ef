//! Has a consumer of the feed take chats, several at once, and knows which of them it cannot take.
//!
//! Invariants: a chat is taken by one at a time. One that fails so often in a row is set aside, so that the
//! others are taken; as long as it is, the position in the store stays before what was not taken of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use crate::domain::ChatId;
use crate::storage::StoreError;
use crate::telemetry;

use super::{FeedConsumer, FeedPoint, FeedShard};

/// Chats that a consumer takes at once: the wait for the store is shared, and those who talk are left most
/// of it.
const TAKEN_AT_ONCE: usize = 8;

/// Chats that could not be read are remembered, so that each is named once, 16 bytes each.
const PASSED_REMEMBERED: usize = 4_096;

/// How often in a row a chat fails before it is set aside: with waits that double from a second, a quarter
/// of a minute, which a store that is being started again takes.
const FAILURES_IN_A_ROW: u32 = 5;

/// Chats that are set aside at once. More are no matter of some chats, and hold up the others.
const ASIDE_MAX: usize = 64;

/// Chats whose failures are counted, as they fail.
const FAILING_MAX: usize = ASIDE_MAX + TAKEN_AT_ONCE;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Taking {
    /// Chats that could not be read.
    passed: BTreeSet<ChatId>,
    /// How often in a row a chat has failed.
    failing: BTreeMap<ChatId, u32>,
    /// Chats that are set aside, with where their shard was.
    aside: BTreeMap<ChatId, FeedPoint>,
}

impl Taking {
    /// Has the consumer take these chats, and tells which of them are dealt with. Once one fails, those under
    /// way are waited for and no other is begun. `at` says where a shard is.
    pub async fn take_all(
        &mut self,
        consumer: &dyn FeedConsumer,
        chats: Vec<ChatId>,
        at: impl Fn(FeedShard) -> FeedPoint,
        mut dealt_with: impl FnMut(ChatId),
    ) -> Result<(), StoreError> {
        let ended = AtomicBool::new(false);
        let take = async |chat| {
            let begun = !ended.load(Ordering::Relaxed);
            (chat, if begun { Some(consumer.take(chat).await) } else { None })
        };
        let mut taking = stream::iter(chats).map(take).buffer_unordered(TAKEN_AT_ONCE);
        let mut failed = Ok(());
        while let Some((chat, taken)) = taking.next().await {
            let Some(taken) = taken else { continue };
            match self.settle(consumer, chat, taken) {
                Ok(()) => {}
                Err(error) if !self.sets_aside(consumer, chat, &at, &error) => {
                    ended.store(true, Ordering::Relaxed);
                    failed = failed.and(Err(error));
                    continue;
                }
                // The position stays before it.
                Err(_) => {}
            }
            dealt_with(chat);
        }
        failed
    }

    /// What became of a chat. One that cannot be read hinders no other.
    pub fn settle(
        &mut self,
        consumer: &dyn FeedConsumer,
        chat: ChatId,
        taken: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match taken {
            Err(StoreError::Damaged { reason }) => {
                if self.passed.len() < PASSED_REMEMBERED && self.passed.insert(chat) {
                    telemetry::feed_passed_over(consumer.name());
                    tracing::error!(
                        consumer = consumer.name(), %chat, reason,
                        "a damaged chat is passed over by a consumer of the feed; all others are taken"
                    );
                }
            }
            // There is nothing of it to be taken.
            Err(StoreError::Forgotten { .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        self.failing.remove(&chat);
        self.aside.remove(&chat);
        Ok(())
    }

    /// Whether a chat that has failed is set aside, by now.
    fn sets_aside(
        &mut self,
        consumer: &dyn FeedConsumer,
        chat: ChatId,
        at: impl Fn(FeedShard) -> FeedPoint,
        error: &StoreError,
    ) -> bool {
        let shard_at = at(FeedShard::of(chat));
        if let Some(held) = self.aside.get_mut(&chat) {
            *held = shard_at.min(*held);
            return true;
        }
        if self.failing.len() >= FAILING_MAX && !self.failing.contains_key(&chat) {
            return false;
        }
        let failures = self.failing.entry(chat).or_default();
        *failures = failures.saturating_add(1);
        if *failures < FAILURES_IN_A_ROW || self.aside.len() >= ASIDE_MAX {
            return false;
        }
        self.failing.remove(&chat);
        self.aside.insert(chat, shard_at);
        tracing::error!(
            consumer = consumer.name(), %chat, %error,
            "a chat that a consumer of the feed cannot take is set aside and tried again later; all others \
             are taken"
        );
        true
    }

    /// The chats that are set aside.
    pub fn aside(&self) -> impl ExactSizeIterator<Item = ChatId> {
        self.aside.keys().copied()
    }

    /// Up to where a shard may be passed that has looked up to this point.
    pub fn held(&self, shard: FeedShard, looked: FeedPoint) -> FeedPoint {
        let of_shard = self.aside.iter().filter(|(chat, _)| FeedShard::of(**chat) == shard);
        of_shard.map(|(_, at)| *at).fold(looked, FeedPoint::min)
    }

    /// The position is another one, which has everything before it.
    pub fn forget_aside(&mut self) {
        self.aside.clear();
    }
}

#[cfg(test)]
mod tests;

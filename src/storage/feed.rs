//! The port that tells which chats have changed, for whatever follows the logs and is no part of a
//! decision: histories, searches, reports, what other systems are told. How far one of them has come it
//! keeps itself ([`FeedPosition`]).
//!
//! A chat is *touched* before its first append of an hour, and whenever a claim may have brought to light
//! what nobody was told of; so a message costs no write of its own. A touch says that the log may have
//! changed, never what: who follows reads the log from where it had come.
//!
//! Invariants: an append that is acknowledged has a touch of its hour, or of the one before when it was
//! under way as the hour ended, and the touch was durable before the append began. A touch without an
//! append, or several of them, harm nobody. What is forgotten is no matter of the feed: `forget` tells
//! every port that holds something of a chat.
//!
//! Not touched are chats that were written by no router: those of an import, and of a release that knew of
//! no feed. Who follows reads all logs once before, and again after an import.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::documents::Remembered;
use super::port::port;
use super::{Documents, StoreError};
use crate::domain::{ChatId, Timestamp};
use crate::telemetry;

/// The length of an hour of the feed, ms: how often a chat that goes on is touched again. Shorter costs
/// more touches, longer has who follows look at a chat's end for longer.
pub const FEED_HOUR_MS: u64 = 3_600_000;

/// How long after an hour nothing of it is under way any more, ms. Between a touch and the end of the
/// append that it covers lie two writes, each of which is given up after 10 s by default.
pub const FEED_SETTLES_MS: u64 = 300_000;

/// For how long touches are kept, ms: a fortnight. Who has not come so far begins from nothing.
pub const FEED_KEPT_MS: u64 = 14 * 24 * FEED_HOUR_MS;

/// Shards of the feed: as many as may be followed at once, and few enough to be asked one and all.
pub const FEED_SHARDS: u8 = 16;

/// Touches read at once, of some 40 bytes each.
const FEED_PAGE: usize = 500;

/// An hour of the feed, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedHour(pub u64);

impl FeedHour {
    /// The hour of a time.
    pub fn of(at: Timestamp) -> Self {
        Self(at.0 / FEED_HOUR_MS)
    }

    /// When it begins.
    pub fn begin(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(FEED_HOUR_MS))
    }

    /// Whether it is over, and nothing of it is under way any more.
    pub fn is_settled(self, now: Timestamp) -> bool {
        now.0 >= self.begin().0.saturating_add(FEED_HOUR_MS + FEED_SETTLES_MS)
    }
}

/// A part of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedShard(u8);

impl FeedShard {
    /// That of a chat: the last byte of its id says nothing of the time.
    pub fn of(chat: ChatId) -> Self {
        let [.., last] = chat.0.into_bytes();
        Self(last % FEED_SHARDS)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..FEED_SHARDS).map(Self)
    }

    /// Its number, below [`FEED_SHARDS`].
    pub fn number(self) -> u8 {
        self.0
    }
}

/// That the log of a chat may have changed; also a place in the feed of its shard. In their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Touched {
    /// When.
    pub hour: FeedHour,
    /// Which.
    pub chat: ChatId,
}

port! {
    /// Which chats have changed.
    pub trait Feed {
        /// Says that the chat's log may change in this hour. Durable when it answers, and may be repeated.
        /// No hour goes before the [`newest`](Self::newest) that there was when the process began: who
        /// follows may be past it.
        async fn touch(&self, chat: ChatId, hour: FeedHour) -> Result<(), StoreError>;

        /// Up to `limit` touches of a shard in their order, beginning after `after`. Each that was durable
        /// before the call is among them, once. Fewer than `limit` are the last ones.
        async fn changed(
            &self,
            shard: FeedShard,
            after: Option<Touched>,
            limit: usize,
        ) -> Result<Vec<Touched>, StoreError>;

        /// The latest hour in which any chat was touched.
        async fn newest(&self) -> Result<Option<FeedHour>, StoreError>;

        /// Removes touches of hours before this one, but for the newest hour, oldest first, a slice at a
        /// time. Answers whether there may be more.
        async fn remove_before(&self, before: FeedHour) -> Result<bool, StoreError>;
    }
}

/// Somebody who follows the feed.
#[async_trait]
pub trait FeedConsumer: Send {
    /// What it is called, for its position and its metric.
    fn name(&self) -> &'static str;

    /// The chat's log may have changed; at least once for each change. Durable when it answers.
    async fn take(&mut self, chat: ChatId) -> Result<(), StoreError>;
}

/// The kind of the documents that say how far each consumer has come. They go into no export: touches
/// do not either.
pub(crate) const POSITIONS: &str = "feed_positions";

/// How far one consumer has come, by shard: behind this touch nothing was passed. Lost with its document:
/// then all touches that are kept are taken once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPosition {
    at: BTreeMap<FeedShard, Touched>,
    document: Remembered,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceRecord {
    shard: u8,
    hour: u64,
    chat: Uuid,
}

impl FeedPosition {
    /// As it was left.
    pub async fn load(documents: &dyn Documents, name: &'static str) -> Result<Self, StoreError> {
        let loaded = Remembered::load::<Vec<PlaceRecord>>(documents, POSITIONS, name).await?;
        let (document, said) = loaded;
        let place = |said: PlaceRecord| {
            let touched = Touched { hour: FeedHour(said.hour), chat: ChatId(said.chat) };
            (FeedShard(said.shard % FEED_SHARDS), touched)
        };
        Ok(Self { at: said.unwrap_or_default().into_iter().map(place).collect(), document })
    }

    /// Behind which touch of a shard it goes on.
    pub fn at(&self, shard: FeedShard) -> Option<Touched> {
        self.at.get(&shard).copied()
    }

    async fn save(&mut self, documents: &dyn Documents) -> Result<(), StoreError> {
        let place = |(shard, at): (&FeedShard, &Touched)| PlaceRecord {
            shard: shard.0,
            hour: at.hour.0,
            chat: at.chat.0,
        };
        let said: Vec<_> = self.at.iter().map(place).collect();
        self.document.save(documents, &said).await
    }

    /// Has the consumer take every chat that was touched behind the position, and moves on past the hours
    /// that have settled: those after them are taken again the next time, since a touch covers what is
    /// appended after it. Errors with what the consumer or the store met; what was taken until then may be
    /// taken again.
    pub async fn follow(
        &mut self,
        feed: &dyn Feed,
        documents: &dyn Documents,
        now: Timestamp,
        consumer: &mut dyn FeedConsumer,
    ) -> Result<(), StoreError> {
        let mut stuck_at = None;
        let followed = self.follow_to(feed, documents, now, consumer, &mut stuck_at).await;
        let waits_ms = stuck_at.map_or(0, |hour: FeedHour| now.since_ms(hour.begin()));
        telemetry::feed_lag(consumer.name(), waits_ms);
        followed
    }

    async fn follow_to(
        &mut self,
        feed: &dyn Feed,
        documents: &dyn Documents,
        now: Timestamp,
        consumer: &mut dyn FeedConsumer,
        under_way: &mut Option<FeedHour>,
    ) -> Result<(), StoreError> {
        for shard in FeedShard::all() {
            let mut after = self.at(shard);
            loop {
                let page = feed.changed(shard, after, FEED_PAGE).await?;
                let mut settled = None;
                for touched in &page {
                    *under_way = Some(touched.hour);
                    consumer.take(touched.chat).await?;
                    settled = Some(*touched).filter(|at| at.hour.is_settled(now)).or(settled);
                }
                if let Some(settled) = settled {
                    self.at.insert(shard, settled);
                    self.save(documents).await?;
                }
                *under_way = None;
                if page.len() < FEED_PAGE {
                    break;
                }
                after = page.last().copied();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_settles_some_time_after_its_end() {
        let hour = FeedHour::of(Timestamp(5 * FEED_HOUR_MS + 7));
        assert_eq!((hour, hour.begin()), (FeedHour(5), Timestamp(5 * FEED_HOUR_MS)));
        let settled = Timestamp(6 * FEED_HOUR_MS + FEED_SETTLES_MS);
        assert!(hour.is_settled(settled) && !hour.is_settled(Timestamp(settled.0 - 1)));
        assert!(!FeedHour(u64::MAX).is_settled(Timestamp(u64::MAX - 1)));
    }

    #[test]
    fn chats_of_one_time_lie_in_all_shards() {
        let chats = (0..u128::from(FEED_SHARDS)).map(ChatId::from_u128);
        let shards: Vec<_> = chats.map(FeedShard::of).collect();
        assert_eq!(shards, FeedShard::all().collect::<Vec<_>>());
    }
}

//! The port that tells which chats have changed, for whatever follows the logs and is no part of a
//! decision: histories, searches, reports, what other systems are told. How far one of them has come it
//! keeps itself ([`FeedPosition`]).
//!
//! A chat is *touched* before its first append of an hour, and whenever a claim may have brought to light
//! what nobody was told of; so a message costs no write of its own. A touch says that the log may have
//! changed, never what: who follows reads the log from where it had come.
//!
//! A touch lies in a *period*: an hour of a process. A later process comes behind an earlier one, whatever
//! their clocks say; within a process the clock never goes back.
//!
//! Invariants: an append that is acknowledged has a touch of the hour in which it was asked for, by the
//! process that asked, and the touch was durable before, or with it. A touch without an append, or several of them,
//! harm nobody. Touches are removed only when no position that counts is behind them. What is forgotten is
//! no matter of the feed: `forget` tells every port that holds something of a chat.
//!
//! Not touched are chats that were written by no router: those of an import, and of a release that knew of
//! no feed. Who follows has no position that counts then, and begins from nothing.

mod damaged;
mod due;
mod pass;
mod position;
mod prune;
mod taking;

use async_trait::async_trait;

use super::port::port;
use super::{Cursor, Page, StoreError};
use crate::domain::{ChatEvent, ChatId, Timestamp};

pub(super) use damaged::DamagedTouches;
pub use due::FeedDue;
pub use pass::FeedPass;
pub use position::void as void_position;
pub use position::{FeedPosition, follow_from_nothing};
pub(crate) use position::{POSITIONS, void_all};
pub use prune::prune;

/// The length of an hour of the feed, ms: how often a chat that goes on is touched again. Shorter costs
/// more touches, longer has who follows look at a chat's end for longer.
pub const FEED_HOUR_MS: u64 = 3_600_000;

/// How long after an hour, and after the start of the next process, nothing of it is under way any more,
/// ms. What is under way is one append, which is given up after 10 s by default; a process that lost its
/// store to the next one writes for some seconds at most.
pub const FEED_SETTLES_MS: u64 = 300_000;

/// For how long touches are kept, ms: a fortnight. Who has not come so far begins from nothing.
pub const FEED_KEPT_MS: u64 = 14 * 24 * FEED_HOUR_MS;

/// Shards of the feed: as many as may be followed at once, and few enough to be asked one and all.
pub const FEED_SHARDS: u8 = 16;

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
}

/// An hour of a process. In their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPeriod {
    /// The number of the process.
    pub process: u64,
    /// The hour, by its clock.
    pub hour: FeedHour,
}

impl FeedPeriod {
    /// Before all that there are.
    pub const FIRST: Self = Self { process: 0, hour: FeedHour(0) };

    /// The one behind it, of the same process.
    pub fn next(self) -> Self {
        Self { hour: FeedHour(self.hour.0.saturating_add(1)), ..self }
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

/// That the log of a chat may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Touched {
    /// When.
    pub period: FeedPeriod,
    /// Which.
    pub chat: ChatId,
}

/// A point in the feed of a shard, from which it goes on. In their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPoint {
    /// In this period.
    pub period: FeedPeriod,
    /// Behind this chat; none: with the first one.
    pub after: Option<ChatId>,
}

impl FeedPoint {
    /// Before all touches of a period.
    pub fn begin(period: FeedPeriod) -> Self {
        Self { period, after: None }
    }

    /// Behind a touch.
    pub fn behind(touched: Touched) -> Self {
        Self { period: touched.period, after: Some(touched.chat) }
    }
}

/// A part of a shard's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// Some touches, in their order; it may be empty where others follow.
    pub touched: Vec<Touched>,
    /// Where the next page begins; none: there was nothing more.
    pub next: Option<FeedPoint>,
}

port! {
    /// Which chats have changed.
    pub trait Feed {
        /// Says that the chat's log may change in this period. Durable when it answers, and may be repeated.
        async fn touch(&self, chat: ChatId, period: FeedPeriod) -> Result<(), StoreError>;

        /// Touches of a shard in their order from a point on, at most `limit` (at least 1). Each that was
        /// durable before the call lies on one of the pages, once. One that cannot be read is passed over,
        /// named in the log and counted.
        async fn changed(
            &self,
            shard: FeedShard,
            from: FeedPoint,
            limit: usize,
        ) -> Result<FeedPage, StoreError>;

        /// The periods from this one on in which a chat may be touched, in their order, at most `limit`.
        /// Fewer are the last ones.
        async fn periods(&self, from: FeedPeriod, limit: usize) -> Result<Vec<FeedPeriod>, StoreError>;

        /// Removes touches of the periods before this one, oldest first, a slice at a time. Answers whether
        /// there may be more. Only when no position that counts is behind them: [`prune()`] does it.
        async fn remove_before(&self, before: FeedPeriod) -> Result<bool, StoreError>;
    }
}

/// Somebody who follows the feed.
#[async_trait]
pub trait FeedConsumer: Send + Sync {
    /// What it is called, for its position and its metrics.
    fn name(&self) -> &'static str;

    /// Whether a chat with such an event is worth to be taken at once; it is taken in any case, when the
    /// hour has settled at the latest.
    fn concerns(&self, event: &ChatEvent) -> bool;

    /// The chat's log may have changed; at least once for each change. Durable when it answers, and in
    /// time: what it asks of a store has a limit. It may be given up in the midst, by a crash. Errors
    /// with `Damaged` when the chat cannot be read: it is passed over. With any other error it is asked
    /// again.
    async fn take(&self, chat: ChatId) -> Result<(), StoreError>;

    /// Chats of which it holds something and whose logs may be gone, page by page from none on, each once, at
    /// most `limit` (at least 1) a page; of one whose log is there it may be silent. Who begins from nothing
    /// takes them when it has taken all others: what it missed of a chat that was forgotten nobody tells it.
    /// It may err as the store does; none by default, of who holds nothing of a chat.
    async fn held(&self, _at: Option<&Cursor>, _limit: usize) -> Result<Page<ChatId>, StoreError> {
        Ok(Page { items: Vec::new(), next: None })
    }
}

/// The present, as a process sees it that has its number from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPresent {
    /// The number of this process, or of the last one where none runs.
    pub process: u64,
    /// For how long it runs, ms.
    pub runs_ms: u64,
    /// What its clock says.
    pub now: Timestamp,
}

impl FeedPresent {
    /// The present period.
    pub fn period(self) -> FeedPeriod {
        FeedPeriod { process: self.process, hour: FeedHour::of(self.now) }
    }

    /// The first period that has not settled: of those before it nothing is under way any more. None has
    /// settled while it may be that the process before this one still writes.
    pub fn unsettled(self) -> FeedPeriod {
        if self.runs_ms < FEED_SETTLES_MS {
            return FeedPeriod::FIRST;
        }
        let settled = Timestamp(self.now.0.saturating_sub(FEED_SETTLES_MS));
        FeedPeriod { process: self.process, hour: FeedHour::of(settled) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_settles_some_time_after_its_end_and_former_processes_some_time_after_the_start() {
        let end = 6 * FEED_HOUR_MS;
        let at =
            |now, runs_ms| FeedPresent { process: 7, runs_ms, now: Timestamp(now) }.unsettled();
        let hour = |hour| FeedPeriod { process: 7, hour: FeedHour(hour) };
        assert_eq!(at(end + FEED_SETTLES_MS - 1, FEED_SETTLES_MS), hour(5));
        assert_eq!(at(end + FEED_SETTLES_MS, FEED_SETTLES_MS), hour(6));
        assert_eq!(at(end + FEED_SETTLES_MS, FEED_SETTLES_MS - 1), FeedPeriod::FIRST);
    }

    #[test]
    fn a_later_process_comes_behind_an_earlier_one_whatever_their_clocks_say() {
        let period = |process, hour| FeedPeriod { process, hour: FeedHour(hour) };
        assert!(period(1, 9) < period(2, 3) && period(2, 3) < period(2, 4));
        let chat = ChatId::from_u128(1);
        let (begin, behind) = (
            FeedPoint::begin(period(1, 9)),
            FeedPoint::behind(Touched { period: period(1, 9), chat }),
        );
        assert!(begin < behind && behind < FeedPoint::begin(period(1, 9).next()));
    }

    #[test]
    fn chats_of_one_time_lie_in_all_shards() {
        let chats = (0..u128::from(FEED_SHARDS)).map(ChatId::from_u128);
        let shards: Vec<_> = chats.map(FeedShard::of).collect();
        assert_eq!(shards, FeedShard::all().collect::<Vec<_>>());
    }
}

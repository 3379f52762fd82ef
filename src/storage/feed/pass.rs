//! How a consumer goes through the feed from its position on, and what it does about chats that fail.
//!
//! Invariants: a pass takes a chat that is touched in several periods once, since what has settled was in the
//! log before the pass began. A position moves over a page when each chat of it was taken or is set aside.

use std::collections::BTreeSet;

use crate::domain::{ChatId, Timestamp};
use crate::storage::{Documents, Store, StoreError};

use super::position::Stand;
use super::{
    FEED_SETTLES_MS, FEED_SHARDS, FeedConsumer, FeedHour, FeedPage, FeedPeriod, FeedPoint,
    FeedPosition, FeedPresent, FeedShard,
};

/// Touches read at once, of some 50 bytes each.
const FEED_PAGE: usize = 500;

/// Chats that a pass remembers to have taken of the shard that it is in, 16 bytes each: in a crash loop the
/// same ones are touched by each process. Beyond that they are taken again.
const TAKEN_REMEMBERED: usize = 16_384;

/// Behind all periods.
const NEVER: FeedPeriod = FeedPeriod { process: u64::MAX, hour: FeedHour(u64::MAX) };

/// A way through all shards, from a position on.
#[derive(Debug)]
pub struct FeedPass {
    /// What had settled before anything of it was read.
    unsettled: FeedPoint,
    shards: std::ops::Range<u8>,
    /// Where the first of these shards goes on; none: at the position.
    at: Option<FeedPoint>,
    /// Chats of this shard that it has taken: what had settled before it began is in their logs.
    taken: BTreeSet<ChatId>,
}

impl FeedPass {
    fn next_shard(&mut self) {
        (self.shards.start, self.at) = (self.shards.start + 1, None);
        self.taken.clear();
    }
}

impl FeedPosition {
    /// A way through the feed from this position on.
    pub fn pass(&self, present: FeedPresent) -> FeedPass {
        let unsettled = FeedPoint::begin(present.unsettled());
        FeedPass { unsettled, shards: 0..FEED_SHARDS, at: None, taken: BTreeSet::new() }
    }

    /// Takes the chats of a page of the feed; answers whether that was the end of the pass. The position
    /// moves on over what has settled: of what has not, a touch covers what is appended after it, so that
    /// it is taken again. Errors as [`walk`](Self::walk); the pass goes on where it was when the position is
    /// there as it was here.
    pub async fn follow(
        &mut self,
        pass: &mut FeedPass,
        store: &Store,
        consumer: &dyn FeedConsumer,
    ) -> Result<bool, StoreError> {
        let Stand::Following(points) = &self.stand else { return Ok(true) };
        if pass.shards.is_empty() {
            return Ok(true);
        }
        let shard = FeedShard(pass.shards.start);
        let position = points[usize::from(shard.number())];
        let page = store.feed.changed(shard, pass.at.unwrap_or(position), FEED_PAGE).await;
        let (page, looked) = match page {
            Err(StoreError::Damaged { reason }) => {
                tracing::error!(
                    consumer = consumer.name(),
                    shard = shard.number(),
                    reason,
                    "a part of the feed is damaged, and stays until it is repaired; the others are followed"
                );
                (FeedPage { touched: Vec::new(), next: None }, position)
            }
            page => {
                let page = page?;
                let looked = page.next.map_or(pass.unsettled, |next| next.min(pass.unsettled));
                (page, looked.max(position))
            }
        };
        let mut chats: Vec<_> = page.touched.iter().map(|touched| touched.chat).collect();
        chats.sort_unstable();
        chats.dedup();
        chats.retain(|chat| !pass.taken.contains(chat));
        let taken = &mut pass.taken;
        let remember = |chat| {
            if taken.len() < TAKEN_REMEMBERED {
                taken.insert(chat);
            }
        };
        self.taking.take_all(consumer, chats, |_| position, remember).await?;
        if let Stand::Following(points) = &mut self.stand {
            points[usize::from(shard.number())] = looked;
        }
        pass.at = page.next;
        if pass.at.is_none() {
            pass.next_shard();
        }
        // Whatever becomes of the other shards.
        if looked > position {
            self.save(&*store.documents).await?;
        }
        Ok(pass.shards.is_empty())
    }

    /// Has the consumer take chats, several at once; those that are dealt with leave the set. Errors with
    /// what the consumer met.
    pub async fn take_all(
        &mut self,
        consumer: &dyn FeedConsumer,
        chats: &mut BTreeSet<ChatId>,
    ) -> Result<(), StoreError> {
        let those = chats.iter().copied().collect();
        let points = match &self.stand {
            Stand::Walking { from: points, .. } | Stand::Following(points) => *points,
            // Whoever begins from nothing takes it anyway: there is nothing to be held.
            Stand::Nothing => [FeedPoint::begin(NEVER); FEED_SHARDS as usize],
        };
        let at = |shard: FeedShard| points[usize::from(shard.number())];
        let dealt_with = |chat| {
            chats.remove(&chat);
        };
        self.taking.take_all(consumer, those, at, dealt_with).await
    }

    /// How many chats are set aside: they fail whenever they are taken.
    pub fn aside(&self) -> usize {
        self.taking.aside().len()
    }

    /// Takes those that are set aside once more, and moves on over those that are taken. Errors when that
    /// is not written down: then the position is to be adopted again.
    pub async fn take_aside(
        &mut self,
        documents: &dyn Documents,
        consumer: &dyn FeedConsumer,
    ) -> Result<(), StoreError> {
        let mut chats: BTreeSet<_> = self.taking.aside().collect();
        let before = self.recorded();
        self.take_all(consumer, &mut chats).await?;
        if self.recorded() != before {
            self.save(documents).await?;
        }
        Ok(())
    }

    /// Since when something might be passed that is not, by the clock of a process that began then. None:
    /// nothing of what has settled; or it is on its way from nothing.
    pub fn waits_since(&self, present: FeedPresent) -> Option<Timestamp> {
        let Stand::Following(points) = self.recorded() else { return None };
        let (unsettled, process) = (FeedPoint::begin(present.unsettled()), present.process);
        let oldest = points.into_iter().filter(|point| *point < unsettled).min()?;
        // What former processes touched has settled some time after the start of this one, whatever their
        // clocks said.
        let began = Timestamp(present.now.0.saturating_sub(present.runs_ms));
        let ours = Some(oldest.period).filter(|period| period.process == process);
        let end = ours.map_or(began, |period| period.next().hour.begin().max(began));
        Some(end.plus_ms(FEED_SETTLES_MS))
    }
}

//! What the feed was told: nothing is appended of which it was not, and what an append of unknown outcome
//! left it is told of again.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::{ChatId, Timestamp};
use switchboard::storage::{FEED_SETTLES_MS, FeedHour};

use crate::planted::Planted;
use crate::world::World;

#[derive(Debug, Default)]
pub struct Told {
    hours: BTreeSet<(ChatId, FeedHour)>,
    /// When each chat was touched last, by the true time.
    last: BTreeMap<ChatId, u64>,
    /// When the latest append of a chat landed of which nobody was told, by the true time.
    landed: BTreeMap<ChatId, u64>,
}

impl World {
    pub fn touch(&mut self, chat: ChatId, hour: FeedHour) {
        let passed = self.passed();
        self.feed.hours.insert((chat, hour));
        self.feed.last.insert(chat, passed);
    }

    /// When an append is asked for: of this very hour, before or with it. Those who follow wait only for writes that were
    /// under way as an hour ended.
    pub fn is_in_the_feed(&self, chat: ChatId, with: Option<FeedHour>) {
        // A chat that counts by another clock tells the feed by that one, too; this fault is to show where
        // it does harm.
        if self.plan.planted == Some(Planted::ClockOfTheChat) {
            return;
        }
        let hour = FeedHour::of(Timestamp(self.now));
        assert!(
            with == Some(hour) || self.feed.hours.contains(&(chat, hour)),
            "{chat:?} appends at {}, and the feed was not told (seed {})",
            self.now,
            self.seed
        );
    }

    /// An append took effect whose asker does not know it.
    pub fn landed_unknown(&mut self, chat: ChatId) {
        let passed = self.passed();
        self.feed.landed.insert(chat, passed);
    }

    /// When all is quiet. A period of the feed is taken again until some time after its end, so that a touch
    /// covers what lands for so long after it; of what landed later nobody would learn.
    pub fn the_feed_has_all(&self, chat: ChatId) {
        let (landed, told) = (self.feed.landed.get(&chat), self.feed.last.get(&chat));
        assert!(
            landed.is_none_or(|landed| told.is_some_and(|told| *landed < told + FEED_SETTLES_MS)),
            "what {chat:?} appended at {landed:?} without knowing it was never told to the feed, at \
             {told:?} last (seed {})",
            self.seed
        );
    }
}

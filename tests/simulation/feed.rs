//! What the feed was told: nothing is appended of which it was not, and what an append of unknown outcome
//! left it is told of again.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::{ChatId, Timestamp};
use switchboard::storage::{FEED_SETTLES_MS, FeedHour};

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

    /// At an append: of this hour, or of the one before as long as it has not settled.
    pub fn is_in_the_feed(&self, chat: ChatId) {
        let covering = [0, FEED_SETTLES_MS - 1].map(|ago| self.now.saturating_sub(ago));
        let covering = covering.map(|at| (chat, FeedHour::of(Timestamp(at))));
        assert!(
            covering.iter().any(|touch| self.feed.hours.contains(touch)),
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

    /// When all is quiet.
    pub fn the_feed_has_all(&self, chat: ChatId) {
        let (landed, told) = (self.feed.landed.get(&chat), self.feed.last.get(&chat));
        assert!(
            landed <= told,
            "what {chat:?} appended at {landed:?} without knowing it was never told to the feed, at \
             {told:?} last (seed {})",
            self.seed
        );
    }
}

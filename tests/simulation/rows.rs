//! What is written beside the logs agrees with them, and what is in the logs is shown: the rows of the
//! index and of the store are what the fold says, and every event whose append was answered is published.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::{ChatId, Place, Priority};
use switchboard::machine::chat::Chat;
use switchboard::storage::OpenChat;

use crate::world::World;

/// See the module.
#[derive(Debug, Default)]
pub struct Rows {
    /// Chats of which the store has an older row, for a write of it failed. The next one brings it up to date.
    pub stale: BTreeSet<ChatId>,
    /// Up to where each life has appended and not yet published.
    pub unpublished: BTreeMap<ChatId, u64>,
    /// After which position this process may have told nobody: from the beginning of an append until its
    /// events are published, by whichever life.
    pub untold: BTreeMap<ChatId, u64>,
}

impl World {
    /// A chat whose append was answered has published it before anything else.
    pub fn has_published(&self, chat: ChatId) {
        let left = self.rows.unpublished.get(&chat);
        assert!(
            left.is_none(),
            "{chat:?} went on at {} without publishing what it appended up to {left:?} (seed {})",
            self.now,
            self.seed
        );
    }

    /// When a process starts over a store that writes rows with events: no chat has to be asked where it is.
    pub fn rows_say_where_chats_are(&self) {
        if !self.in_one_write {
            return;
        }
        let folds = self.checker.folds.iter();
        for (chat, fold) in folds.filter(|(chat, _)| !self.rows.stale.contains(chat)) {
            let row = self.store.rows.get(chat).cloned();
            let wanted = fold.next_deadline().filter(|_| row.is_some());
            let wakes = row.as_ref().and_then(|row| row.next_deadline);
            assert!(
                wanted.is_none_or(|at| wakes.is_some_and(|wakes| wakes <= at)),
                "{chat:?} is to be woken at {wanted:?}, not at {wakes:?}, as a process starts (seed {})",
                self.seed
            );
            assert_eq!(
                row.map(where_it_is),
                fold.row().map(OpenChat::kept).map(where_it_is),
                "{chat:?}: the row in the store and the log as a process starts, at {} (seed {})",
                self.now,
                self.seed
            );
        }
    }

    /// At rest.
    pub fn rows_are_true(&self, fold: &Chat) {
        let (chat, seed) = (fold.id(), self.seed);
        let row = fold.row();
        // It is about to move, or a write to its row is on its way.
        let moving = self.chats.get(&chat).is_some_and(|live| !live.driver.is_idle());
        let writing = self.rows_until.get(&chat).is_some_and(|until| *until >= self.now);
        if !self.settled(fold) || moving || writing || self.rows.stale.contains(&chat) {
            return;
        }
        self.index(chat).assert_invariants();
        assert_eq!(
            self.index(chat).get(chat),
            row.as_ref(),
            "{chat:?}: the row in the index and the log, at {} (seed {seed})",
            self.now
        );
        assert_eq!(
            self.store.rows.get(&chat),
            row.map(OpenChat::kept).as_ref(),
            "{chat:?}: the row in the store and the log, at {} (seed {seed})",
            self.now
        );
    }
}

/// The row without what changes while a chat stays where it is: that is written behind its events.
fn where_it_is(mut row: OpenChat) -> OpenChat {
    if let Some(Place::Assigned { begun, .. }) = &mut row.place {
        (*begun, row.priority) = (false, Priority::default());
    }
    OpenChat { next_deadline: None, ..row }
}

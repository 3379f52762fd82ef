//! The tail of the log that is not in the index yet: where the latest events of each chat lie.
//!
//! The writer adds to it after each commit and, once it is long, folds it into the index as one
//! sorted batch. Readers look here first and into the index second; since entries leave only
//! after their fold is committed, an event is always in at least one of the two.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::{ChatId, Seq};

/// A row of the log table; the first is 1, without gaps.
pub(super) type Position = i64;

/// Where an event lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub chat: ChatId,
    pub seq: Seq,
    pub position: Position,
}

/// Events of one chat without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// The first of them.
    pub first: Seq,
    /// Where each of them lies.
    pub positions: Vec<Position>,
}

impl Run {
    /// The last of them; a run is never empty.
    pub fn last(&self) -> Seq {
        self.first + self.positions.len() as u64 - 1
    }

    /// Up to `limit` of them from `from` on.
    pub fn part(&self, from: Seq, limit: usize) -> impl Iterator<Item = (Seq, Position)> {
        let skipped = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let numbered = (self.first..).zip(self.positions.iter().copied());
        numbered.skip(skipped).take(limit)
    }
}

/// What the tail knows of one chat.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// From here on the tail has everything; before it the index has.
    pub first: Seq,
    /// What was asked for.
    pub positions: Vec<(Seq, Position)>,
}

#[derive(Default)]
struct Tail {
    runs: HashMap<ChatId, Run>,
    events: usize,
}

/// The shared tail.
#[derive(Default)]
pub(super) struct Recent(Mutex<Tail>);

impl Recent {
    /// Adds what was committed, in the order of the log. An entry that does not continue its chat
    /// is answered as error: the log is damaged.
    pub fn add(&self, entries: impl IntoIterator<Item = Entry>) -> Result<(), Entry> {
        let mut tail = self.lock();
        for entry in entries {
            let run = tail
                .runs
                .entry(entry.chat)
                .or_insert_with(|| Run { first: entry.seq, positions: Vec::new() });
            if run.first + run.positions.len() as u64 != entry.seq {
                return Err(entry);
            }
            run.positions.push(entry.position);
            tail.events += 1;
        }
        Ok(())
    }

    /// The last event of the chat, if it lies in the tail.
    pub fn last(&self, chat: ChatId) -> Option<Seq> {
        self.lock().runs.get(&chat).map(Run::last)
    }

    /// Up to `limit` events of the chat from `from` on; none when the tail has nothing of it.
    pub fn part(&self, chat: ChatId, from: Seq, limit: usize) -> Option<Part> {
        let tail = self.lock();
        let run = tail.runs.get(&chat)?;
        Some(Part { first: run.first, positions: run.part(from, limit).collect() })
    }

    /// Where the events of the chat lie that it has.
    pub fn positions(&self, chat: ChatId) -> Vec<Position> {
        let tail = self.lock();
        tail.runs.get(&chat).map(|run| run.positions.clone()).unwrap_or_default()
    }

    /// Drops what it has of the chat, which is forgotten.
    pub fn remove(&self, chat: ChatId) {
        let mut tail = self.lock();
        let gone = tail.runs.remove(&chat).map_or(0, |run| run.positions.len());
        tail.events -= gone;
    }

    /// How many events it has.
    pub fn events(&self) -> usize {
        self.lock().events
    }

    /// The first event of each of its chats.
    pub fn firsts(&self) -> Vec<(ChatId, Seq)> {
        let tail = self.lock();
        tail.runs.iter().map(|(chat, run)| (*chat, run.first)).collect()
    }

    /// All of it in the order of the index.
    pub fn sorted(&self) -> Vec<(ChatId, Run)> {
        let tail = self.lock();
        let mut runs: Vec<_> = tail.runs.iter().map(|(chat, run)| (*chat, run.clone())).collect();
        drop(tail);
        runs.sort_unstable_by_key(|(chat, _)| *chat);
        runs
    }

    /// Forgets all of it: the index has it now. Only the writer adds, so nothing came between.
    pub fn clear(&self) {
        *self.lock() = Tail::default();
    }

    fn lock(&self) -> MutexGuard<'_, Tail> {
        // Nothing above leaves it half-changed in a way that a later reader could misread.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(chat: u128, seq: Seq, position: Position) -> Entry {
        Entry { chat: ChatId::from_u128(chat), seq, position }
    }

    #[test]
    fn answers_parts_and_sorts_for_the_index() {
        let recent = Recent::default();
        let added = [entry(2, 7, 1), entry(1, 1, 2), entry(2, 8, 3)];
        recent.add(added).unwrap();
        let part = recent.part(ChatId::from_u128(2), 8, 10).unwrap();
        assert_eq!((part.first, part.positions), (7, vec![(8, 3)]));
        let early = recent.part(ChatId::from_u128(2), 1, 1).unwrap();
        assert_eq!((early.first, early.positions), (7, vec![(7, 1)]));
        assert_eq!(recent.last(ChatId::from_u128(2)), Some(8));
        let run = |first, positions| Run { first, positions };
        let (one, two) = (ChatId::from_u128(1), ChatId::from_u128(2));
        let sorted = [(one, run(1, vec![2])), (two, run(7, vec![1, 3]))];
        assert_eq!(recent.sorted(), sorted);
        recent.clear();
        assert_eq!((recent.events(), recent.part(ChatId::from_u128(2), 1, 1)), (0, None));
    }

    #[test]
    fn refuses_a_gap() {
        let recent = Recent::default();
        let gap = entry(1, 3, 2);
        assert_eq!(recent.add([entry(1, 1, 1), gap]), Err(gap));
    }

    #[test]
    fn a_chat_that_is_removed_is_counted_no_more() {
        let recent = Recent::default();
        recent.add([entry(1, 1, 1), entry(2, 1, 2), entry(2, 2, 3)]).unwrap();
        let (one, two) = (ChatId::from_u128(1), ChatId::from_u128(2));
        recent.remove(two);
        recent.remove(two);
        assert_eq!((recent.events(), recent.last(two)), (1, None));
        assert_eq!((recent.last(one), recent.positions(two)), (Some(1), Vec::new()));
    }
}

//! States of actors that have stopped since nothing happened to them, until the next one goes on with them: an
//! actor that does nothing takes more memory than what it knows.
//!
//! A supervisor owns those of its children: the directory says of each that it is there, so that the next word
//! starts it. What is parked is in the middle of its life: nothing is read anew, and nobody notices.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use crate::domain::Timestamp;
use crate::machine::Life;

/// Room for so many states is kept however few there are, so that a quiet hour does not move the table again and again.
const ROOM_KEPT: usize = 64;

/// What a child that has stopped leaves.
pub(super) struct Left<S> {
    /// Its state.
    pub(super) state: S,
    /// When something is to be done with it though nobody sends to it; none: never.
    pub(super) due: Option<Timestamp>,
}

/// See the module.
pub(super) struct Parked<K, S> {
    all: HashMap<K, (Life, Left<S>)>,
    due: BTreeSet<(Timestamp, K)>,
}

impl<K: Copy + Eq + Hash + Ord, S> Parked<K, S> {
    pub(super) fn new() -> Self {
        Self { all: HashMap::new(), due: BTreeSet::new() }
    }

    /// Keeps what a child has left in that life.
    pub(super) fn park(&mut self, key: K, life: Life, left: Left<S>) {
        self.take(key);
        self.due.extend(left.due.map(|at| (at, key)));
        self.all.insert(key, (life, left));
    }

    /// Gives it to the next actor of the same life, or gives it up; none: it is not there.
    pub(super) fn take(&mut self, key: K) -> Option<(Life, S)> {
        let (life, left) = self.all.remove(&key)?;
        // After a busy hour the room for all its chats would stay, though they are long asleep.
        let room = ROOM_KEPT.max(2 * self.all.len());
        if self.all.capacity() > 2 * room {
            self.all.shrink_to(room);
        }
        if let Some(at) = left.due {
            self.due.remove(&(at, key));
        }
        Some((life, left.state))
    }

    /// Those whose time has come, each with its life, the earliest first.
    pub(super) fn due(&self, now: Timestamp) -> Vec<(K, Life)> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        due.filter_map(|(_, key)| Some((*key, self.all.get(key)?.0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parked_is_there_once_and_due_at_the_last_time_that_was_named() {
        let mut parked = Parked::new();
        let left = |state, due: Option<u64>| Left { state, due: due.map(Timestamp) };
        parked.park(1, 7, left("one", Some(10)));
        parked.park(2, 8, left("two", None));
        parked.park(1, 9, left("anew", Some(30)));
        assert_eq!(parked.due(Timestamp(29)), []);
        assert_eq!(parked.due(Timestamp(30)), [(1, 9)]);
        parked.park(3, 4, left("three", Some(20)));
        assert_eq!(parked.due(Timestamp(u64::MAX)), [(3, 4), (1, 9)]);
        assert_eq!(parked.take(1), Some((9, "anew")));
        assert_eq!(parked.take(1), None);
        assert_eq!(parked.due(Timestamp(u64::MAX)), [(3, 4)]);
        assert_eq!(parked.take(2), Some((8, "two")));
    }

    #[test]
    fn the_room_of_many_is_given_back_once_they_are_gone() {
        let mut parked = Parked::new();
        for key in 0..10_000 {
            parked.park(key, 1, Left { state: (), due: None });
        }
        for key in 0..9_990 {
            assert!(parked.take(key).is_some());
        }
        let room = parked.all.capacity();
        assert!((ROOM_KEPT..=2 * ROOM_KEPT).contains(&room), "{room}");
        assert!((9_990..10_000).all(|key| parked.take(key).is_some()));
    }
}

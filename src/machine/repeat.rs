//! What has been said and not yet answered, so that it is said again.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Timestamp;
use crate::domain::limits::REPEAT_MS;

/// Remembers keys until they are settled, and when each is to be said again: at once, then after
/// the first wait of [`REPEAT_MS`], doubling up to the second. It holds keys only: what is said is
/// made anew from the present state, so a repeat is never out of date.
#[derive(Debug, Clone)]
pub struct Repeater<K> {
    owed: BTreeMap<K, Owed>,
    by_time: BTreeSet<(Timestamp, K)>,
}

#[derive(Debug, Clone, Copy)]
struct Owed {
    due_at: Timestamp,
    wait_ms: u64,
}

impl<K: Ord + Copy> Default for Repeater<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + Copy> Repeater<K> {
    /// An empty one.
    pub fn new() -> Self {
        Self { owed: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Owes `key`, due at once. Starts afresh when it was owed already.
    pub fn owe(&mut self, key: K, now: Timestamp) {
        self.settle(key);
        self.owed.insert(key, Owed { due_at: now, wait_ms: REPEAT_MS.0 });
        self.by_time.insert((now, key));
    }

    /// Owes `key` unless it is owed already.
    pub fn keep(&mut self, key: K, now: Timestamp) {
        if !self.owed.contains_key(&key) {
            self.owe(key, now);
        }
    }

    /// Forgets `key`; answers whether it was owed.
    pub fn settle(&mut self, key: K) -> bool {
        let Some(owed) = self.owed.remove(&key) else { return false };
        self.by_time.remove(&(owed.due_at, key));
        if self.owed.is_empty() {
            // An emptied tree keeps a node, and most who owe nothing now owe nothing for long.
            *self = Self::new();
        }
        true
    }

    /// Whether `key` is owed.
    pub fn owes(&self, key: K) -> bool {
        self.owed.contains_key(&key)
    }

    /// Takes all that is due, and schedules it again.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<K> {
        let mut due = Vec::new();
        while let Some(&(at, key)) = self.by_time.first() {
            if at > now {
                break;
            }
            self.by_time.pop_first();
            due.push(key);
            if let Some(owed) = self.owed.get_mut(&key) {
                owed.due_at = now.plus_ms(owed.wait_ms);
                owed.wait_ms = (owed.wait_ms * 2).min(REPEAT_MS.1);
                self.by_time.insert((owed.due_at, key));
            }
        }
        due
    }

    /// What a speaker says of what is due; what has become void, for which there are no `words`, is
    /// settled.
    pub fn say_due<S, E>(
        speaker: &mut S,
        now: Timestamp,
        of: fn(&mut S) -> &mut Self,
        words: impl Fn(&mut S, K) -> Option<E>,
    ) -> Vec<E> {
        let mut said = Vec::new();
        for key in of(speaker).take_due(now) {
            match words(speaker, key) {
                Some(effect) => said.push(effect),
                None => {
                    of(speaker).settle(key);
                }
            }
        }
        said
    }

    /// When the next is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// All that is owed, in the order of the keys.
    pub fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.owed.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_become_void_is_settled_and_all_else_said_again() {
        let mut owed = Repeater::new();
        owed.owe('a', Timestamp(0));
        owed.owe('b', Timestamp(0));
        let say = |owed: &mut Repeater<char>| {
            let words = |_: &mut Repeater<char>, key| (key != 'a').then_some(key);
            Repeater::say_due(owed, Timestamp(0), |owed| owed, words)
        };
        assert_eq!(say(&mut owed), ['b']);
        assert!(!owed.owes('a') && owed.owes('b'));
        assert!(say(&mut owed).is_empty(), "not before its wait is over");
    }

    #[test]
    fn says_it_at_once_then_ever_more_seldom_until_settled() {
        let mut repeater = Repeater::new();
        repeater.owe('a', Timestamp(0));
        let mut said = Vec::new();
        for now in 0..8_000 {
            said.extend(repeater.take_due(Timestamp(now)).iter().map(|_| now));
        }
        assert_eq!(said, [0, 100, 300, 700, 1_500, 3_100, 5_100, 7_100]);
        assert!(repeater.settle('a'));
        assert_eq!(repeater.next(), None);
        assert!(!repeater.settle('a'));
    }

    #[test]
    fn what_is_owed_anew_is_said_at_once_and_what_is_kept_goes_on() {
        let mut repeater = Repeater::new();
        repeater.owe('a', Timestamp(0));
        for now in [0, 100, 300] {
            assert_eq!(repeater.take_due(Timestamp(now)), ['a']);
        }
        repeater.keep('a', Timestamp(400));
        assert_eq!(repeater.next(), Some(Timestamp(700)));
        repeater.owe('a', Timestamp(400));
        assert_eq!(repeater.take_due(Timestamp(400)), ['a']);
        assert_eq!(repeater.next(), Some(Timestamp(500)));
    }
}

//! Buckets of what somebody may do so often, as guess or open a chat: each holds so many and fills
//! again at one pace.

use std::collections::HashMap;
use std::hash::Hash;

use crate::domain::Timestamp;

/// Buckets of one size and pace. A bucket is the one moment at which it is full again; one that is
/// full is not kept.
///
/// Memory is bounded, and whoever is forgotten gains nothing by it: the fullest goes, and how empty
/// it was is remembered in one number from which everybody starts who is not known. A newcomer has
/// one guess nevertheless, so that filling this memory shuts nobody out.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    size: u64,
    every_ms: u64,
    most: usize,
    full_at: HashMap<K, Timestamp>,
    /// No bucket that was forgotten is full later than this.
    forgotten: Timestamp,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Buckets of `size` guesses, one more every `every_ms`, of which `most` are remembered.
    pub fn new(size: u32, every_ms: u64, most: usize) -> Self {
        let full_at = HashMap::new();
        Self { size: u64::from(size), every_ms, most, full_at, forgotten: Timestamp(0) }
    }

    /// How long until the bucket has a guess, ms; 0: it has one.
    pub fn wait_ms(&self, key: &K, now: Timestamp) -> u64 {
        self.full_at(key, now).since_ms(now).saturating_sub(self.emptiest_ms())
    }

    /// How many were taken out of the bucket and have not come back yet.
    pub fn taken(&self, key: &K, now: Timestamp) -> u64 {
        self.full_at(key, now).since_ms(now).div_ceil(self.every_ms.max(1))
    }

    /// Takes a guess out of the bucket.
    pub fn take(&mut self, key: &K, now: Timestamp) {
        let full_at = self.full_at(key, now).plus_ms(self.every_ms);
        if !self.full_at.contains_key(key) {
            self.make_room(now);
        }
        self.full_at.insert(key.clone(), full_at);
    }

    /// Puts the guess back: it was none.
    pub fn give_back(&mut self, key: &K, now: Timestamp) {
        let Some(full_at) = self.full_at.get_mut(key) else { return };
        full_at.0 = full_at.0.saturating_sub(self.every_ms);
        if *full_at <= now {
            self.full_at.remove(key);
        }
    }

    /// How long a bucket takes to fill from where it has one guess, ms.
    fn emptiest_ms(&self) -> u64 {
        self.size.saturating_sub(1) * self.every_ms
    }

    fn full_at(&self, key: &K, now: Timestamp) -> Timestamp {
        let unknown = || self.forgotten.min(now.plus_ms(self.emptiest_ms()));
        self.full_at.get(key).copied().unwrap_or_else(unknown).max(now)
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.full_at.len() < self.most {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.most {
            return;
        }
        let fullest = self.full_at.iter().min_by_key(|(_, full_at)| **full_at);
        if let Some((key, full_at)) = fullest.map(|(key, full_at)| (key.clone(), *full_at)) {
            self.forgotten = self.forgotten.max(full_at);
            self.full_at.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn buckets(most: usize) -> Buckets<u32> {
        Buckets::new(3, 1_000, most)
    }

    #[test]
    fn holds_so_many_and_fills_at_its_pace() {
        let mut buckets = buckets(10);
        for _ in 0..3 {
            assert_eq!(buckets.wait_ms(&1, NOW), 0);
            buckets.take(&1, NOW);
        }
        assert_eq!(buckets.wait_ms(&1, NOW), 1_000);
        assert_eq!(buckets.wait_ms(&1, NOW.plus_ms(999)), 1);
        assert_eq!(buckets.wait_ms(&2, NOW), 0);
        buckets.take(&1, NOW.plus_ms(1_000));
        assert_eq!(buckets.wait_ms(&1, NOW.plus_ms(1_000)), 1_000);
        assert_eq!(buckets.wait_ms(&1, NOW.plus_ms(4_000)), 0);
    }

    #[test]
    fn what_is_given_back_is_as_if_it_had_not_been_taken() {
        let mut buckets = buckets(10);
        for _ in 0..100 {
            buckets.take(&1, NOW);
            buckets.give_back(&1, NOW);
        }
        assert!(buckets.full_at.is_empty());
        for _ in 0..3 {
            buckets.take(&1, NOW);
        }
        buckets.give_back(&1, NOW.plus_ms(500));
        assert_eq!(buckets.wait_ms(&1, NOW.plus_ms(500)), 0);
        buckets.take(&1, NOW.plus_ms(500));
        assert_eq!(buckets.wait_ms(&1, NOW.plus_ms(500)), 500);
    }

    #[test]
    fn memory_is_bounded_and_to_be_forgotten_gains_nothing() {
        let mut buckets = buckets(4);
        let mut guess = |key, most| {
            let before = (0..most).take_while(|_| {
                let has = buckets.wait_ms(&key, NOW) == 0;
                if has {
                    buckets.take(&key, NOW);
                }
                has
            });
            let guessed = before.count();
            assert!(buckets.full_at.len() <= 4);
            guessed
        };
        assert_eq!(guess(0, 10), 3);
        // A guesser with many keys, two guesses with each for as long as there are any.
        for key in 1..=5 {
            guess(key, 2);
        }
        assert_eq!(guess(0, 10), 0, "who is emptiest is remembered");
        for key in 1..=5 {
            assert!(guess(key, 10) <= 1, "{key} has what it had left, and no more");
        }
        // What is full again is forgotten, and then everybody is new.
        buckets.take(&200, NOW.plus_ms(10_000));
        assert_eq!(buckets.full_at.len(), 1);
        assert_eq!(buckets.full_at(&1, NOW.plus_ms(10_000)), NOW.plus_ms(10_000));
    }

    #[test]
    fn filling_the_memory_shuts_no_newcomer_out() {
        let mut buckets = buckets(4);
        for n in 0..100 {
            for _ in 0..3 {
                buckets.take(&n, NOW);
            }
        }
        assert_eq!(buckets.wait_ms(&1_000, NOW), 0);
    }
}

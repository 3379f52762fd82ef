//! Whether a chat fits: the one place in which slots are counted.
//!
//! Something takes as many slots as it weighs. It fits when these are free of all that the operator may
//! hold, and within the limit of the chat's own queue, if that has one. Who asks says what counts as taken:
//! all that takes slots, or a part of it.
//!
//! Queues choose by free slots, not by weight: they would ask again and again for what is heavier than
//! that. So every chat weighs one until their choice looks at it as well.

use std::collections::BTreeMap;

use crate::domain::{QueueId, Weight};

/// Something that takes slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Of which queue; none while that is not known.
    pub queue: Option<QueueId>,
    /// How many slots.
    pub weight: Weight,
}

/// What counts as taken in a queue's limit though its queue is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It may turn out to be of any.
    CountsInAll,
    /// It counts in none.
    CountsInNone,
}

/// See the module. What is kept for later takes no slot: it is asked with [`Self::free_in`].
#[derive(Debug, Clone)]
pub struct Room<'a> {
    capacity: u32,
    limits: &'a BTreeMap<QueueId, u32>,
    unknown: Unknown,
    taken: Vec<Taken>,
}

impl<'a> Room<'a> {
    /// The room of an operator for whom so many slots are meant in all, and so many for chats of these
    /// queues, and who has this.
    pub fn new(
        capacity: u32,
        limits: &'a BTreeMap<QueueId, u32>,
        unknown: Unknown,
        taken: impl Iterator<Item = Taken>,
    ) -> Self {
        Self { capacity, limits, unknown, taken: taken.collect() }
    }

    /// How many slots are taken.
    pub fn taken(&self) -> u32 {
        sum(self.taken.iter())
    }

    /// How many slots are free.
    pub fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.taken())
    }

    /// How many slots are free for chats of a queue.
    pub fn free_in(&self, queue: QueueId) -> u32 {
        self.free_in_limit(queue).map_or(self.free(), |free| self.free().min(free))
    }

    /// Whether something of this weight fits; of no known queue: as far as is known.
    pub fn fits(&self, queue: Option<QueueId>, weight: Weight) -> bool {
        self.free() >= weight.slots() && queue.is_none_or(|queue| self.fits_limit(queue, weight))
    }

    /// Whether something of this weight is within the queue's own limit.
    pub fn fits_limit(&self, queue: QueueId, weight: Weight) -> bool {
        self.free_in_limit(queue).is_none_or(|free| free >= weight.slots())
    }

    /// Whether more is taken than fits: of a queue, or of all.
    pub fn is_over(&self, queue: Option<QueueId>) -> bool {
        match queue {
            None => self.taken() > self.capacity,
            Some(queue) => {
                self.limits.get(&queue).is_some_and(|limit| self.taken_in(queue) > *limit)
            }
        }
    }

    fn free_in_limit(&self, queue: QueueId) -> Option<u32> {
        let limit = self.limits.get(&queue)?;
        Some(limit.saturating_sub(self.taken_in(queue)))
    }

    fn taken_in(&self, queue: QueueId) -> u32 {
        let counts = |taken: &&Taken| match (taken.queue, self.unknown) {
            (Some(known), _) => known == queue,
            (None, Unknown::CountsInAll) => true,
            (None, Unknown::CountsInNone) => false,
        };
        sum(self.taken.iter().filter(counts))
    }
}

fn sum<'a>(taken: impl Iterator<Item = &'a Taken>) -> u32 {
    taken.map(|taken| taken.weight.slots()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One of few queues, so that they meet.
    fn queue(n: u8) -> QueueId {
        QueueId::from_u128(u128::from(n))
    }

    fn slots() -> impl Strategy<Value = Vec<(Option<u8>, u32)>> {
        prop::collection::vec((prop::option::weighted(0.8, 0..4u8), 1..4u32), 0..8)
    }

    /// Counts slot by slot: gives the new one away piece by piece until one is too much.
    fn fits_plainly(
        (capacity, limits): (u32, &BTreeMap<QueueId, u32>),
        slots: &[(Option<u8>, u32)],
        unknown: Unknown,
        (new, weight): (Option<u8>, u32),
    ) -> bool {
        let (mut all, mut here) = (0, 0);
        for (of, weight) in slots {
            for _ in 0..*weight {
                all += 1;
                match of {
                    Some(of) => here += u32::from(Some(*of) == new),
                    None => here += u32::from(unknown == Unknown::CountsInAll),
                }
            }
        }
        (0..weight).all(|_| {
            (all, here) = (all + 1, here + 1);
            let limit = new.and_then(|new| limits.get(&queue(new)));
            all <= capacity && limit.is_none_or(|limit| here <= *limit)
        })
    }

    proptest! {
        #[test]
        fn something_fits_when_each_of_its_slots_does(
            capacity in 0..20u32,
            limits in prop::collection::btree_map(0..4u8, 0..8u32, 0..4),
            slots in slots(),
            counts in prop::bool::ANY,
            new in (prop::option::weighted(0.9, 0..4u8), 1..5u32),
        ) {
            let limits = limits.into_iter().map(|(of, limit)| (queue(of), limit)).collect();
            let unknown = if counts { Unknown::CountsInAll } else { Unknown::CountsInNone };
            let weight = |slots| Weight::new(slots).unwrap();
            let taken = slots.iter().map(|(of, slots)| {
                Taken { queue: of.map(queue), weight: weight(*slots) }
            });
            let room = Room::new(capacity, &limits, unknown, taken);
            let plainly = |new| fits_plainly((capacity, &limits), &slots, unknown, new);
            prop_assert_eq!(room.fits(new.0.map(queue), weight(new.1)), plainly(new));
            // How much is free is how much fits.
            let most = |of| (1..=20).take_while(|slots| plainly((of, *slots))).count() as u32;
            prop_assert_eq!(room.free(), most(None));
            let of_each = (0..4).map(|of| (room.free_in(queue(of)), most(Some(of))));
            prop_assert!(of_each.clone().all(|(free, most)| free == most), "{:?}", of_each.collect::<Vec<_>>());
            // More than fits is over: what is taken would not fit into an empty room.
            let total: u32 = slots.iter().map(|(_, weight)| weight).sum();
            prop_assert_eq!(room.is_over(None), total > capacity);
            for of in 0..4 {
                let here = |(known, _): &&(Option<u8>, u32)| known.map_or(counts, |known| known == of);
                let total: u32 = slots.iter().filter(here).map(|(_, weight)| weight).sum();
                let limit = limits.get(&queue(of));
                prop_assert_eq!(room.is_over(Some(queue(of))), limit.is_some_and(|limit| total > *limit));
            }
        }
    }
}

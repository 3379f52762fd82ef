//! The ids that are no longer kept in memory with their answers: whether a command may stand in
//! the log, and between which positions. A filter: it may say "perhaps" of an id that was never
//! used, and never says "no" of one that was. At most two bytes an id, so at most 200 KB for a log
//! that is full ([`CHAT_MESSAGES_MAX`](crate::domain::limits::CHAT_MESSAGES_MAX)).
//!
//! The filter is a row of leaves, each a Bloom filter of its own over ids that follow each other,
//! and the positions of its first and last: so a "perhaps" is settled by reading a leaf's worth of
//! the log, not all of it. A leaf holds an eighth of what is in front of it: the log may grow by
//! a hundred times without the filter being made anew, and little of the last leaf is empty.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::domain::limits::{FILTER_BITS_PER_ID, FILTER_LEAF_IDS};
use crate::domain::{CommandId, Party, Seq};

/// Bits set for an id: with [`FILTER_BITS_PER_ID`] the number that errs least (14 × ln 2).
const PROBES: u64 = 10;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ids {
    leaves: Vec<Leaf>,
    held: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf {
    bits: Box<[u64]>,
    /// How many more ids fit.
    free: usize,
    first: Seq,
    last: Seq,
}

/// What of an id decides which bits are its own: a start and a stride.
#[derive(Debug, Clone, Copy)]
struct Probe(u64, u64);

impl Probe {
    fn of(party: Party, command: &CommandId) -> Self {
        let mut hasher = DefaultHasher::new();
        (party, command).hash(&mut hasher);
        let start = hasher.finish();
        start.hash(&mut hasher);
        // Odd, so that it never stands still.
        Self(start, hasher.finish() | 1)
    }

    fn bits(self, len: u64) -> impl Iterator<Item = (usize, u64)> {
        (0..PROBES).map(move |n| {
            let bit = self.0.wrapping_add(n.wrapping_mul(self.1)) % len;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }
}

impl Leaf {
    fn new(ids: usize, at: Seq) -> Self {
        let words = (ids * FILTER_BITS_PER_ID).div_ceil(64);
        Self { bits: vec![0; words].into(), free: ids, first: at, last: at }
    }

    fn bits_of(&self, probe: Probe) -> impl Iterator<Item = (usize, u64)> + use<> {
        probe.bits(self.bits.len() as u64 * 64)
    }

    fn may_hold(&self, probe: Probe) -> bool {
        self.bits_of(probe).all(|(word, bit)| self.bits[word] & bit != 0)
    }
}

impl Ids {
    /// The id stands in the log at this position.
    pub(super) fn insert(&mut self, party: Party, command: &CommandId, at: Seq) {
        if self.leaves.last().is_none_or(|leaf| leaf.free == 0) {
            let (least, most) = FILTER_LEAF_IDS;
            let ids = (self.held / 8).clamp(least, most);
            self.leaves.push(Leaf::new(ids, at));
        }
        let Some(leaf) = self.leaves.last_mut() else { return };
        for (word, bit) in leaf.bits_of(Probe::of(party, command)) {
            leaf.bits[word] |= bit;
        }
        leaf.free -= 1;
        leaf.first = leaf.first.min(at);
        leaf.last = leaf.last.max(at);
        self.held += 1;
    }

    /// Between which positions the id may stand, the latest first; nowhere when it is new.
    pub(super) fn may_stand(&self, party: Party, command: &CommandId) -> Vec<(Seq, Seq)> {
        if self.leaves.is_empty() {
            return Vec::new();
        }
        let probe = Probe::of(party, command);
        let leaves = self.leaves.iter().rev().filter(|leaf| leaf.may_hold(probe));
        leaves.map(|leaf| (leaf.first, leaf.last)).collect()
    }

    /// How much memory it takes, bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.leaves.iter().map(|leaf| size_of_val(leaf.bits.as_ref()) + size_of::<Leaf>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::CHAT_MESSAGES_MAX;
    use crate::machine::fixture::{CUSTOMER, command};

    const WHO: Party = Party::Customer(CUSTOMER.id);

    fn filled(ids: u64) -> Ids {
        let mut filter = Ids::default();
        for n in 1..=ids {
            filter.insert(WHO, &command(&format!("m{n}")), n);
        }
        filter
    }

    #[test]
    fn what_was_used_is_never_called_new_and_is_found_where_it_stands() {
        let filter = filled(20_000);
        for n in 1..=20_000 {
            let places = filter.may_stand(WHO, &command(&format!("m{n}")));
            assert!(places.iter().any(|(first, last)| (*first..=*last).contains(&n)), "m{n}");
        }
    }

    #[test]
    fn what_is_new_is_seldom_looked_for_and_what_is_read_then_is_little() {
        let filter = filled(CHAT_MESSAGES_MAX);
        let places = |n| filter.may_stand(WHO, &command(&format!("n{n}")));
        let read: Vec<u64> =
            (0..10_000).flat_map(places).map(|(first, last)| last - first + 1).collect();
        assert!(read.len() < 1_000, "{} of 10,000 are looked for in vain", read.len());
        let most = FILTER_LEAF_IDS.1 as u64;
        assert!(read.iter().all(|events| *events <= most), "{read:?}");
        // Somebody else's id is another one.
        assert!(filter.may_stand(Party::System, &command("m77")).len() < 3);
    }

    #[test]
    fn it_takes_two_bytes_an_id_at_most() {
        for ids in [1_000, 5_000, 30_000, CHAT_MESSAGES_MAX] {
            let (bytes, kept) = (filled(ids).bytes(), 256);
            assert!(bytes as u64 <= 2 * (ids + kept), "{bytes} for {ids}");
        }
        assert_eq!(Ids::default().bytes(), 0);
    }
}

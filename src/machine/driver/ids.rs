//! The ids that are no longer kept in memory with their answers: whether a command may stand in
//! the log, and between which positions. A filter: it may say "perhaps" of an id that was never
//! used, and never says "no" of one that was. About four bytes an id, so at most 400 KB for a log
//! that is full ([`CHAT_MESSAGES_MAX`](crate::domain::limits::CHAT_MESSAGES_MAX)).
//!
//! It has of each id a hash of four bytes, in leaves of ids that follow each other, with the positions of
//! the first and the last. So a "perhaps" is settled by reading a leaf's worth of the log, and of a full log
//! one new id in 50,000 is looked for in vain: reading a leaf costs a hundred times what else is done for a
//! message, so that smaller hashes would be paid for at each. In a leaf that is full they are in their order, and
//! so even that each stands near where its value says: a look at it touches a line or two. The one that fills is
//! looked through. Copies share all leaves but that one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::domain::limits::FILTER_LEAF_IDS;
use crate::domain::{CommandId, Party, Seq};

/// Two ids of somebody that are not told apart here.
#[cfg(test)]
pub(in crate::machine) fn alike(party: Party) -> (CommandId, CommandId) {
    let mut seen = std::collections::HashMap::new();
    let mut ids = (0..1_000_000).map(|n| CommandId::new(&format!("alike-{n}")).unwrap());
    let pair = ids.find_map(|id| Some((seen.insert(hash_of(party, &id), id.clone())?, id)));
    pair.unwrap()
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Ids {
    /// Their hashes in the order of their values.
    full: Vec<Leaf<Arc<[u32]>>>,
    /// In the order in which they came.
    last: Option<Leaf<Vec<u32>>>,
}

/// Ids by their hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf<H> {
    hashes: H,
    first: Seq,
    last: Seq,
}

impl<H> Leaf<H> {
    fn place(&self) -> (Seq, Seq) {
        (self.first, self.last)
    }
}

impl Leaf<Vec<u32>> {
    fn may_hold(&self, hash: u32) -> bool {
        // All of them, without a branch for each: cheaper than to stop at the first.
        self.hashes.iter().fold(false, |held, known| held | (*known == hash))
    }

    fn sealed(mut self) -> Leaf<Arc<[u32]>> {
        self.hashes.sort_unstable();
        Leaf { hashes: self.hashes.into(), first: self.first, last: self.last }
    }
}

impl Leaf<Arc<[u32]>> {
    /// From where the value would stand if they were spread evenly, to where it does: some ten steps, for
    /// they are hashes.
    fn may_hold(&self, hash: u32) -> bool {
        let near = (u64::from(hash) * self.hashes.len() as u64) >> u32::BITS;
        let (below, from_here) = self.hashes.split_at(near as usize);
        match from_here.first() {
            Some(here) if *here <= hash => {
                from_here.iter().find(|known| **known >= hash) == Some(&hash)
            }
            Some(_) | None => below.iter().rev().find(|known| **known <= hash) == Some(&hash),
        }
    }
}

/// The part of a hash that is kept.
fn hash_of(party: Party, command: &CommandId) -> u32 {
    let mut hasher = DefaultHasher::new();
    (party, command).hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

impl Ids {
    /// The id stands in the log at this position.
    pub(super) fn insert(&mut self, party: Party, command: &CommandId, at: Seq) {
        let fresh = || Leaf { hashes: Vec::new(), first: at, last: at };
        let leaf = self.last.get_or_insert_with(fresh);
        leaf.hashes.push(hash_of(party, command));
        leaf.first = leaf.first.min(at);
        leaf.last = leaf.last.max(at);
        if leaf.hashes.len() >= FILTER_LEAF_IDS
            && let Some(leaf) = self.last.take()
        {
            self.full.push(leaf.sealed());
        }
    }

    /// Between which positions the id may stand, the latest first; nowhere when it is new.
    pub(super) fn may_stand(&self, party: Party, command: &CommandId) -> Vec<(Seq, Seq)> {
        if self.full.is_empty() && self.last.is_none() {
            return Vec::new();
        }
        let hash = hash_of(party, command);
        let last = self.last.iter().filter(|leaf| leaf.may_hold(hash)).map(Leaf::place);
        let full = self.full.iter().rev().filter(|leaf| leaf.may_hold(hash)).map(Leaf::place);
        last.chain(full).collect()
    }

    /// How much memory it takes, bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let full = self.full.iter().map(|leaf| size_of_val(&*leaf.hashes) + size_of_val(leaf));
        let last = self.last.iter().map(|leaf| leaf.hashes.capacity() * size_of::<u32>());
        full.chain(last).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

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
    fn what_is_new_is_hardly_ever_looked_for_and_what_is_read_then_is_little() {
        let filter = filled(CHAT_MESSAGES_MAX);
        let places = |n| filter.may_stand(WHO, &command(&format!("n{n}")));
        let read: Vec<u64> =
            (0..100_000).flat_map(places).map(|(first, last)| last - first + 1).collect();
        assert!(read.len() < 20, "{} of 100,000 are looked for in vain", read.len());
        assert!(read.iter().all(|events| *events <= FILTER_LEAF_IDS as u64), "{read:?}");
        // Somebody else's id is another one.
        assert!(filter.may_stand(Party::System, &command("m77")).is_empty());
    }

    proptest! {
        #[test]
        fn a_leaf_holds_what_is_in_it_and_nothing_else(
            hashes in prop::collection::vec(prop_oneof![any::<u32>(), 0..40_u32, u32::MAX - 40..=u32::MAX], 1..99),
            others in prop::collection::vec(any::<u32>(), 0..20),
        ) {
            let known: BTreeSet<u32> = hashes.iter().copied().collect();
            let leaf = Leaf { hashes, first: 1, last: 99 }.sealed();
            let asked = known.iter().flat_map(|at| [at.wrapping_sub(1), *at, at.wrapping_add(1)]);
            for hash in asked.chain(others).chain([0, u32::MAX]) {
                prop_assert_eq!(leaf.may_hold(hash), known.contains(&hash), "{}", hash);
            }
        }
    }

    #[test]
    fn it_takes_little_more_than_four_bytes_an_id() {
        for ids in [1_000, 5_000, 30_000, CHAT_MESSAGES_MAX] {
            let (bytes, kept) = (filled(ids).bytes(), 256);
            assert!(bytes as u64 <= 4 * (ids + ids / 20 + kept), "{bytes} for {ids}");
        }
        assert_eq!(Ids::default().bytes(), 0);
    }

    #[test]
    fn a_copy_shares_what_is_full_and_goes_its_own_way() {
        let filter = filled(10 * FILTER_LEAF_IDS as u64 + 5);
        let mut copy = filter.clone();
        assert!(filter.full.iter().zip(&copy.full).all(|(a, b)| Arc::ptr_eq(&a.hashes, &b.hashes)));
        copy.insert(WHO, &command("more"), 9_999);
        assert_eq!(copy.may_stand(WHO, &command("more")).len(), 1);
        assert!(filter.may_stand(WHO, &command("more")).is_empty());
    }
}

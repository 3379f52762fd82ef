//! The ids that are no longer kept in memory with their answers: whether a command may stand in
//! the log, and between which positions. A filter: it may say "perhaps" of an id that was never
//! used, and never says "no" of one that was. About four bytes an id, so at most 400 KB for a log
//! that is full ([`CHAT_MESSAGES_MAX`](crate::domain::limits::CHAT_MESSAGES_MAX)).
//!
//! It has of each id a hash of four bytes, in leaves of ids that follow each other, with the positions of
//! the first and the last. So a "perhaps" is settled by reading a leaf's worth of the log, and of a full log
//! one new id in 50,000 is looked for in vain: reading a leaf costs a hundred times what else is done for a
//! message, so that smaller hashes would be paid for at each. All are looked through, which is cheap, since
//! they lie side by side. Copies share all leaves but the last.

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
    full: Vec<Leaf<Arc<[u32]>>>,
    last: Option<Leaf<Vec<u32>>>,
}

/// Ids by their hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf<H> {
    hashes: H,
    first: Seq,
    last: Seq,
}

impl<H: AsRef<[u32]>> Leaf<H> {
    fn may_hold(&self, hash: u32) -> bool {
        // All of them, without a branch for each: cheaper than to stop at the first.
        self.hashes.as_ref().iter().fold(false, |held, known| held | (*known == hash))
    }

    fn place(&self) -> (Seq, Seq) {
        (self.first, self.last)
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
            && let Some(Leaf { hashes, first, last }) = self.last.take()
        {
            self.full.push(Leaf { hashes: hashes.into(), first, last });
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

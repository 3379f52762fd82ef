//! What may have become possible since it was last found out that nothing is.
//!
//! Once all that can be given is given, nobody with room may have any of those who wait. Nothing makes
//! that otherwise but a change of a chat, or of a member. So those that changed are asked about, and no
//! others: each such chat, whoever has room; and each such member, whatever waits. Who can have nothing
//! in a line is skipped that way until something changes for it, and so is a chat that nobody may have.
//!
//! Owns no fact. Invariant: what a member with room may have of those who wait is [here](Fresh::has): the
//! chat is fresh, or the member is, from that turn on or an earlier one (`machine::queue` looks at every pair
//! in tests and in the simulation).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::domain::{ChatId, UserId};

use super::excluded::Turn;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Fresh {
    chats: BTreeSet<Turn>,
    turns: BTreeMap<ChatId, Turn>,
    /// By the first that each may have; none: nobody has looked yet, and it may be any.
    members: BTreeSet<AskedFrom>,
    first_of: BTreeMap<UserId, Option<Turn>>,
}

/// A member that is to be asked about, with the first of those who wait that it may have had when that
/// was found out.
pub type AskedFrom = (Option<Turn>, UserId);

impl Fresh {
    /// Something about the chat is otherwise than it was; it waits with this turn, or not.
    pub fn chat_changed(&mut self, chat: ChatId, turn: Option<Turn>) {
        let known = match turn {
            Some(turn) => self.turns.insert(chat, turn),
            None => self.turns.remove(&chat),
        };
        if known == turn {
            return;
        }
        if let Some(known) = known {
            self.chats.remove(&known);
        }
        self.chats.extend(turn);
    }

    /// Something about the member is otherwise than it was, and it has room.
    pub fn member_changed(&mut self, operator: UserId) {
        self.member_from(operator, None);
    }

    /// The first of those who wait that the member may have is this one, but for fresh chats.
    pub fn member_from(&mut self, operator: UserId, first: Option<Turn>) {
        if let Some(known) = self.first_of.insert(operator, first) {
            self.members.remove(&(known, operator));
        }
        self.members.insert((first, operator));
    }

    /// The member may have nothing, but for fresh chats.
    pub fn member_settled(&mut self, operator: UserId) {
        if let Some(known) = self.first_of.remove(&operator) {
            self.members.remove(&(known, operator));
        }
    }

    /// All these members are asked about instead of the chats.
    pub fn members_instead(&mut self, all: impl Iterator<Item = UserId>) {
        self.chats.clear();
        self.turns.clear();
        all.for_each(|operator| self.member_changed(operator));
    }

    /// Nothing waits, or nobody has room.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many chats there are.
    pub fn chats(&self) -> usize {
        self.chats.len()
    }

    /// The first of the chats behind that turn, if one is given.
    pub fn chat_behind(&self, passed: Option<Turn>) -> Option<Turn> {
        let from = passed.map_or(Bound::Unbounded, Bound::Excluded);
        self.chats.range((from, Bound::Unbounded)).next().copied()
    }

    /// The next of the members, in the order of what they may have had.
    pub fn member_behind(&self, before: Option<AskedFrom>) -> Option<AskedFrom> {
        let from = before.map_or(Bound::Unbounded, Bound::Excluded);
        self.members.range((from, Bound::Unbounded)).next().copied()
    }

    /// Whether it is to be asked whether the member may have the chat.
    pub fn has(&self, turn: Turn, operator: UserId) -> bool {
        let first_of = self.first_of.get(&operator);
        let of_member = first_of.is_some_and(|first| first.is_none_or(|first| first <= turn));
        of_member || self.chats.contains(&turn)
    }

    /// Panics when the views differ; for tests and the simulation.
    pub fn assert_invariants(&self) {
        let chats: BTreeSet<Turn> = self.turns.values().copied().collect();
        assert_eq!(chats, self.chats, "the chats by their ids");
        let members = self.first_of.iter().map(|(operator, first)| (*first, *operator));
        assert!(members.collect::<BTreeSet<_>>() == self.members, "the members by their ids");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turn(rank: i64, chat: u8) -> Turn {
        Turn { rank, chat: ChatId::from_u128(u128::from(chat)) }
    }

    fn member(n: u8) -> UserId {
        UserId::from_u128(u128::from(n))
    }

    proptest! {
        /// Chats come, go and change their turns; members are asked about from somewhere on, or no more.
        #[test]
        fn is_in_the_order_that_sorting_makes(
            changes in prop::collection::vec(
                (prop::bool::ANY, 0..12u8, prop::option::of(0..9i64), prop::bool::ANY),
                0..80,
            ),
        ) {
            let mut fresh = Fresh::default();
            let (mut chats, mut members) = (BTreeMap::new(), BTreeMap::new());
            for (of_chat, n, rank, settled) in changes {
                let turn = rank.map(|rank| turn(rank, n));
                if of_chat {
                    fresh.chat_changed(ChatId::from_u128(u128::from(n)), turn);
                    chats.insert(n, turn);
                } else if settled {
                    fresh.member_settled(member(n));
                    members.remove(&n);
                } else {
                    fresh.member_from(member(n), turn);
                    members.insert(n, turn);
                }
                fresh.assert_invariants();
            }
            let mut sorted: Vec<Turn> = chats.values().flatten().copied().collect();
            sorted.sort();
            let mut passed = None;
            let by_turn = std::iter::from_fn(|| {
                passed = Some(fresh.chat_behind(passed)?);
                passed
            });
            prop_assert_eq!(by_turn.collect::<Vec<_>>(), sorted);
            let mut sorted: Vec<AskedFrom> =
                members.iter().map(|(n, first)| (*first, member(*n))).collect();
            sorted.sort();
            let mut before = None;
            let in_order = std::iter::from_fn(|| {
                before = Some(fresh.member_behind(before)?);
                before
            });
            prop_assert_eq!(in_order.collect::<Vec<_>>(), sorted);
        }
    }

    #[test]
    fn a_member_is_asked_about_from_where_it_had_something_on() {
        let mut fresh = Fresh::default();
        fresh.member_from(member(1), Some(turn(5, 0)));
        fresh.member_changed(member(2));
        assert!(!fresh.has(turn(4, 9), member(1)) && fresh.has(turn(5, 0), member(1)));
        assert!(fresh.has(turn(0, 0), member(2)) && !fresh.has(turn(9, 0), member(3)));
        fresh.chat_changed(ChatId::from_u128(7), Some(turn(1, 7)));
        assert!(fresh.has(turn(1, 7), member(1)));
        fresh.members_instead([member(3)].into_iter());
        assert!(!fresh.has(turn(1, 7), member(1)) && fresh.has(turn(0, 0), member(3)));
        assert!(fresh.has(turn(5, 0), member(1)), "the others stay");
    }
}

//! The rules. A rule is one description: whom it asks, by what it prefers one to another,
//! what of an operator it goes by, and what becomes of a chat for which nobody has room. Whatever
//! differs between rules is said there, in [`describe`], and asked of it by queues and operators; nothing
//! else tells rules apart.
//!
//! To add one: a name ([`Rule`]), its words in the records and on the wire, and its entry in [`describe`]; a
//! new [`Fact`] if it goes by something else. What a rule goes by is told by the operators themselves, with
//! [`OperatorState`]; none remembers anything between two choices.

use crate::domain::operator::OperatorState;
use crate::domain::{Reach, Rule, Timestamp, UserId};

/// Whom a rule asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// The best of those with room, who holds a slot for the chat.
    One,
    /// All with room at once; the first accept wins, and takes the slot.
    All,
    /// Nobody.
    Nobody,
}

impl Asks {
    /// How its offers reach operators; none when it makes none.
    pub fn reach(self) -> Option<Reach> {
        match self {
            Self::One => Some(Reach::Directed),
            Self::All => Some(Reach::ToAll),
            Self::Nobody => None,
        }
    }
}

/// What of an operator a rule goes by: a number, of which the smaller is the better. Reservations on
/// their way to it count as if they had arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// How many slots are taken.
    Load,
    /// When it last accepted a chat; never having accepted is longest ago.
    LastAccept,
    /// Since when it is idle, which nobody is any more to whom something is on its way.
    IdleSince,
}

impl Fact {
    fn of(self, state: &OperatorState, on_the_way: u32) -> u64 {
        match self {
            Self::Load => u64::from(state.load) + u64::from(on_the_way),
            Self::LastAccept => state.last_accept.unwrap_or(Timestamp(0)).0,
            Self::IdleSince if on_the_way > 0 => u64::MAX,
            Self::IdleSince => state.idle_since.0,
        }
    }
}

/// What becomes of a chat while nobody has room for it whom the rule asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// It waits until somebody has: an operator whose slot came free asks the queue for its best chat, or
    /// is added to the offers to all that are out.
    FreeSlot,
    /// It waits until a member takes it by hand.
    ByHand,
}

/// What a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Whom it asks.
    pub asks: Asks,
    /// By what it prefers one to another, the first that tells them apart; else the smaller id is the better,
    /// so that the same facts always lead to the same choice.
    pub order: [Option<Fact>; 2],
    /// What becomes of a chat while nobody has room.
    pub otherwise: Otherwise,
}

/// The rules, each in one entry.
pub fn describe(rule: Rule) -> Description {
    match rule {
        Rule::LeastLoaded => Description {
            asks: Asks::One,
            order: [Some(Fact::Load), Some(Fact::LastAccept)],
            otherwise: Otherwise::FreeSlot,
        },
        Rule::LongestIdle => Description {
            asks: Asks::One,
            order: [Some(Fact::IdleSince), Some(Fact::Load)],
            otherwise: Otherwise::FreeSlot,
        },
        // All are asked: the order only makes the record stable.
        Rule::ToAll => {
            Description { asks: Asks::All, order: [None, None], otherwise: Otherwise::FreeSlot }
        }
        Rule::Manual => {
            Description { asks: Asks::Nobody, order: [None, None], otherwise: Otherwise::ByHand }
        }
    }
}

/// How good an operator is by a rule. Smaller is better; the last part is the operator's id, so no two
/// are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preference {
    by: [u64; 2],
    operator: UserId,
}

impl Preference {
    /// The operator that it is of.
    pub fn operator(self) -> UserId {
        self.operator
    }
}

/// How good an operator is by a rule, given what it told and the reservations on their way to it.
pub fn preference(rule: Rule, state: &OperatorState, on_the_way: u32) -> Preference {
    let by = |fact: Option<Fact>| fact.map_or(0, |fact| fact.of(state, on_the_way));
    Preference { by: describe(rule).order.map(by), operator: state.operator }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::operator::Standing;

    /// One who has so many chats, accepted last then, and is idle since then; the id counts last.
    fn one(id: u128, load: u32, last_accept: Option<u64>, idle_since: u64) -> OperatorState {
        OperatorState {
            operator: UserId::from_u128(id),
            life: 1,
            version: 1,
            standing: Standing::Free,
            load,
            free: 9,
            kept_below: None,
            last_accept: last_accept.map(Timestamp),
            idle_since: Timestamp(idle_since),
            at: Timestamp(0),
        }
    }

    fn order(rule: Rule, of: &[(OperatorState, u32)]) -> Vec<u128> {
        let mut order: Vec<Preference> =
            of.iter().map(|(state, on_the_way)| preference(rule, state, *on_the_way)).collect();
        order.sort();
        order.into_iter().map(|preference| preference.operator().0.as_u128()).collect()
    }

    #[test]
    fn the_least_loaded_is_asked_and_of_equals_who_accepted_longest_ago_or_never() {
        let of = [
            (one(1, 1, Some(20), 0), 0),
            (one(2, 1, Some(10), 0), 0),
            (one(3, 1, None, 0), 0),
            (one(4, 2, None, 0), 0),
            // What is on its way is load.
            (one(5, 0, None, 0), 3),
            (one(6, 0, Some(30), 0), 0),
            (one(7, 1, None, 0), 0),
        ];
        assert_eq!(order(Rule::LeastLoaded, &of), [6, 3, 7, 2, 1, 4, 5]);
    }

    #[test]
    fn the_longest_idle_is_asked_and_nobody_is_idle_to_whom_something_is_on_its_way() {
        let of = [
            (one(1, 0, None, 30), 0),
            (one(2, 2, None, 10), 0),
            (one(3, 1, None, 10), 0),
            (one(4, 0, None, 5), 1),
        ];
        assert_eq!(order(Rule::LongestIdle, &of), [3, 2, 1, 4]);
    }

    #[test]
    fn each_rule_says_whom_it_asks_and_who_gets_what_nobody_has_room_for() {
        for (rule, asks, reach, otherwise) in [
            (Rule::LeastLoaded, Asks::One, Some(Reach::Directed), Otherwise::FreeSlot),
            (Rule::LongestIdle, Asks::One, Some(Reach::Directed), Otherwise::FreeSlot),
            (Rule::ToAll, Asks::All, Some(Reach::ToAll), Otherwise::FreeSlot),
            (Rule::Manual, Asks::Nobody, None, Otherwise::ByHand),
        ] {
            let described = describe(rule);
            let said = (described.asks, described.asks.reach(), described.otherwise);
            assert_eq!(said, (asks, reach, otherwise), "{rule:?}");
        }
    }

    #[test]
    fn a_rule_without_an_order_goes_by_the_ids() {
        let of = [(one(3, 0, None, 1), 0), (one(1, 9, Some(9), 9), 2), (one(2, 4, None, 5), 0)];
        assert_eq!(order(Rule::ToAll, &of), [1, 2, 3]);
    }
}

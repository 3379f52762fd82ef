//! The rules (features.md C2): who of several is the best.

use crate::domain::operator::OperatorState;
use crate::domain::{Rule, Timestamp, UserId};

/// What a rule looks at. Smaller is better; the last part is the operator's id, so no two are
/// equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preference {
    first: u64,
    second: u64,
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
    let load = u64::from(state.load) + u64::from(on_the_way);
    let (first, second) = match rule {
        // Never having accepted is longest ago.
        Rule::LeastLoaded => (load, state.last_accept.unwrap_or(Timestamp(0)).0),
        // Somebody for whom a reservation is on its way is not idle any more.
        Rule::LongestIdle if on_the_way > 0 => (u64::MAX, load),
        Rule::LongestIdle => (state.idle_since.0, load),
        // Everybody is asked or nobody: the order only makes the record stable.
        Rule::ToAll | Rule::Manual => (0, 0),
    };
    Preference { first, second, operator: state.operator }
}

/// Whether the queue asks one operator at a time, who holds a slot for it.
pub fn is_directed(rule: Rule) -> bool {
    match rule {
        Rule::LeastLoaded | Rule::LongestIdle => true,
        Rule::ToAll | Rule::Manual => false,
    }
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
}

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

//! The beginning of an operator's life: when it may count its slots, and what it hears first.

use crate::domain::Timestamp;
use crate::domain::limits::ASSIGN_LIMIT_MS;

use super::{ConnectionId, OnScreen, OperatorInput};

/// When a life begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// Now.
    pub now: Timestamp,
    /// Whether it follows another life in the same process.
    pub follows: bool,
    /// Deadlines that wait for people fire no earlier.
    pub grace_until: Timestamp,
}

impl Beginning {
    /// When the slots may be counted: at once in the first life of a process, since the process
    /// that was before it sends nothing more; else once no `Assign` of the life before can land.
    pub fn live_at(self) -> Timestamp {
        if self.follows { self.now.plus_ms(ASSIGN_LIMIT_MS) } else { self.now }
    }
}

/// What a new life is fed, in this order, before all else: what screens show, the time, and who is
/// connected.
pub fn first_inputs(
    on_screens: Vec<OnScreen>,
    connections: impl IntoIterator<Item = ConnectionId>,
) -> Vec<OperatorInput> {
    let mut inputs = vec![OperatorInput::OnScreens(on_screens), OperatorInput::Tick];
    inputs.extend(connections.into_iter().map(OperatorInput::Connected));
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_life_after_another_waits_for_what_that_one_has_sent() {
        let now = Timestamp(1_000);
        let beginning = Beginning { now, follows: false, grace_until: now };
        assert_eq!(beginning.live_at(), now);
        let next = Beginning { follows: true, ..beginning };
        assert_eq!(next.live_at(), now.plus_ms(ASSIGN_LIMIT_MS));
    }

    #[test]
    fn screens_come_before_all_else_and_connections_after_the_time() {
        let inputs = first_inputs(Vec::new(), [7, 8]);
        let expected = [
            OperatorInput::OnScreens(Vec::new()),
            OperatorInput::Tick,
            OperatorInput::Connected(7),
            OperatorInput::Connected(8),
        ];
        assert_eq!(inputs, expected);
    }
}

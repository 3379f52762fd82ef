//! The beginning of an operator's life: what it hears first, when it may count its slots, and what
//! they are by the index.

use crate::domain::limits::ASSIGN_LIMIT_MS;
use crate::domain::{Place, Reach, Timestamp};
use crate::machine::message::ChatAt;
use crate::storage::OpenChat;

use super::{ConnectionId, Held, OnScreen, Operator, OperatorEffect, OperatorInput, Slot, Stage};

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

impl Operator {
    /// The index's rows, at the start of a life.
    pub(super) fn recovered(
        &mut self,
        now: Timestamp,
        rows: Vec<OpenChat>,
        effects: &mut Vec<OperatorEffect>,
    ) {
        if self.stage != Stage::Reading {
            return;
        }
        self.stage = Stage::Live;
        self.wants_pull = true;
        for row in rows {
            let (queue, placement, weight) = (Some(row.queue), row.placement, row.weight);
            let held = match (&row.place, row.moving) {
                (_, Some(_)) => Held::Unsure,
                (Some(Place::Assigned { owner, .. }), None) if *owner == self.id => Held::Active,
                (Some(Place::Offered(offer)), None) if offer.reach == Reach::ToAll => {
                    let at = ChatAt::of_row(&row, now);
                    let offer = offer.clone();
                    if let (Some(at), true) = (at, offer.to.contains(&self.id)) {
                        self.invited(now, &at, &offer, effects);
                    }
                    continue;
                }
                (Some(Place::Offered(offer)), None) if offer.to.contains(&self.id) => {
                    if let Some(at) = ChatAt::of_row(&row, now) {
                        self.present(&at, offer, effects);
                    }
                    let (offer, expires_at) = (offer.id, offer.expires_at);
                    Held::Offered { offer, expires_at, since: now, shown: false }
                }
                (Some(_) | None, None) => continue,
            };
            // Chats told where they are before the index was read. Such a word may be newer than
            // the row, or have been on its way since before the restart.
            let invited = self.invites.get(&row.chat).map(|invite| invite.placement);
            let is_newer =
                |heard| heard > placement || (heard == placement && held != Held::Unsure);
            if invited.is_some_and(is_newer) {
                continue;
            }
            self.drop_invite(row.chat, effects);
            if self.slots.get(&row.chat).is_none_or(|slot| slot.placement < placement) {
                self.slots.insert(row.chat, Slot { queue, placement, weight, held });
            }
        }
        self.compare_with_held();
    }
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

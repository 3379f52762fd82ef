//! What counts as taken, and what is taken back when a limit falls. Whether something fits is said by
//! [`Room`] alone.
//!
//! A lowered limit takes no chat away. What stands above it and is not owned yet goes back to its
//! queue, the newest first; an accept that would go above it is refused.

use std::collections::BTreeSet;

use crate::domain::event::WithdrawReason;
use crate::domain::{ChatId, OfferId, QueueId, Timestamp};

use super::room::{Taken, Unknown};
use super::{Held, Operator, Owed, Reservation, Room, Slot};

/// Something that an operator holds and may give back, ordered by its age: slots for offers to
/// come are newer than any offer, since nobody has seen these yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum GivenBack {
    Offer(Timestamp, ChatId),
    Reservation(Timestamp, OfferId),
}

impl Operator {
    /// Free slots.
    pub fn free(&self) -> u32 {
        self.room().free()
    }

    /// How many more slots are free for chats of a queue.
    pub fn free_in(&self, queue: QueueId) -> u32 {
        self.room().free_in(queue)
    }

    /// What it has room for. A slot whose queue is not known yet may turn out to be of any.
    pub fn room(&self) -> Room<'_> {
        let taken = self.slots.values().map(taken_by).chain(self.reserved.values().map(held_for));
        self.room_beside(Unknown::CountsInAll, taken)
    }

    /// What it has room for beside all but this chat.
    pub(super) fn room_without(&self, chat: ChatId) -> Room<'_> {
        let others = self.slots.iter().filter(|(other, _)| **other != chat);
        let others = others.map(|(_, slot)| taken_by(slot));
        let taken = others.chain(self.reserved.values().map(held_for));
        self.room_beside(Unknown::CountsInAll, taken)
    }

    /// Whether the offer that takes this slot already could be accepted: what the operator has
    /// and what it has asked for leave room for it.
    pub(super) fn fits_beside_its_own(&self, chat: ChatId) -> bool {
        let Some(slot) = self.slots.get(&chat) else { return false };
        let others = self.slots.iter().filter(|(other, slot)| **other != chat && is_own(slot));
        let own = others.map(|(_, slot)| taken_by(slot));
        self.room_beside(Unknown::CountsInNone, own).fits(slot.queue, slot.weight)
    }

    /// What is owned, asked for, offered or reserved, against what fits: not what is going back, nor what
    /// may be a late word.
    fn room_beside_what_stands(&self) -> Room<'_> {
        let slots = self.slots.values().filter(|slot| stands(slot)).map(taken_by);
        let taken = slots.chain(self.reserved.values().map(held_for));
        self.room_beside(Unknown::CountsInNone, taken)
    }

    fn room_beside(&self, unknown: Unknown, taken: impl Iterator<Item = Taken>) -> Room<'_> {
        let limits = &self.account.per_operator_limits;
        Room::new(self.account.capacity, limits, unknown, taken)
    }

    /// Takes back what queues offered of which it is no member, without waiting for their word: once the
    /// account says so, nothing of them is accepted.
    pub(super) fn give_back_of_lost_queues(&mut self, now: Timestamp) {
        let queues = &self.account.queues;
        let lost = |queue: &QueueId| !queues.contains_key(queue);
        let reserved = self.reserved.iter().filter(|(_, held)| lost(&held.queue));
        let reserved: Vec<_> = reserved.map(|(offer, _)| *offer).collect();
        for (chat, slot) in &mut self.slots {
            if let Held::Offered { offer, .. } = slot.held
                && slot.queue.as_ref().is_some_and(lost)
            {
                let reason = WithdrawReason::NotEligible;
                slot.held = Held::Withdrawing { offer, reason };
                self.owed.owe(Owed::Withdraw(*chat), now);
            }
        }
        for (chat, invite) in &mut self.invites {
            if lost(&invite.queue) && invite.is_open() {
                invite.withdrawing = true;
                self.owed.owe(Owed::Withdraw(*chat), now);
            }
        }
        for offer in reserved {
            self.release(offer);
        }
    }

    /// Takes back what stands above the limits in force, the newest first. An `Assign` on its way
    /// stands: it was sent when there was room.
    pub(super) fn give_back_above_limits(&mut self, now: Timestamp) {
        let queues: BTreeSet<QueueId> = self
            .slots
            .values()
            .filter_map(|slot| slot.queue)
            .chain(self.reserved.values().map(|held| held.queue))
            .collect();
        for limited in queues.into_iter().map(Some).chain([None]) {
            while self.room_beside_what_stands().is_over(limited)
                && let Some(newest) = self.newest_in(limited)
            {
                self.give_back(newest, now);
            }
        }
    }

    fn give_back(&mut self, newest: GivenBack, now: Timestamp) {
        match newest {
            GivenBack::Reservation(_, offer) => {
                self.release(offer);
            }
            GivenBack::Offer(_, chat) => {
                if let Some(slot) = self.slots.get_mut(&chat)
                    && let Held::Offered { offer, .. } = slot.held
                {
                    let reason = WithdrawReason::NotEligible;
                    slot.held = Held::Withdrawing { offer, reason };
                    self.owed.owe(Owed::Withdraw(chat), now);
                }
            }
        }
    }

    fn newest_in(&self, queue: Option<QueueId>) -> Option<GivenBack> {
        let here = |of| queue.is_none() || of == queue;
        let reserved = self.reserved.iter().filter(|(_, held)| here(Some(held.queue)));
        let reserved =
            reserved.map(|(offer, held)| GivenBack::Reservation(held.expires_at, *offer));
        let offers = self.slots.iter().filter(|(_, slot)| here(slot.queue));
        let offers = offers.filter_map(|(chat, slot)| match slot.held {
            Held::Offered { since, .. } => Some(GivenBack::Offer(since, *chat)),
            Held::Withdrawing { .. }
            | Held::Declining { .. }
            | Held::Assigning { .. }
            | Held::Active
            | Held::Unsure => None,
        });
        reserved.chain(offers).max()
    }
}

fn taken_by(slot: &Slot) -> Taken {
    Taken { queue: slot.queue, weight: slot.weight }
}

fn held_for(reservation: &Reservation) -> Taken {
    Taken { queue: Some(reservation.queue), weight: reservation.weight }
}

/// Whether the chat is the operator's, was asked for, or may be either.
fn is_own(slot: &Slot) -> bool {
    match slot.held {
        Held::Active | Held::Assigning { .. } | Held::Unsure => true,
        Held::Offered { .. } | Held::Withdrawing { .. } | Held::Declining { .. } => false,
    }
}

fn stands(slot: &Slot) -> bool {
    match slot.held {
        Held::Active | Held::Assigning { .. } | Held::Offered { .. } => true,
        Held::Withdrawing { .. } | Held::Declining { .. } | Held::Unsure => false,
    }
}

//! The arithmetic of slots: how many more chats fit, and what is taken back when a limit falls.
//!
//! A lowered limit takes no chat away. What stands above it and is not owned yet goes back to its
//! queue, the newest first; an accept that would go above it is refused.

use std::collections::BTreeSet;

use crate::domain::event::WithdrawReason;
use crate::domain::{ChatId, OfferId, QueueId, Timestamp};

use super::{Held, Operator, Owed, Slot};

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
        self.account.capacity.saturating_sub(self.load())
    }

    /// How many more chats of a queue fit.
    pub fn free_in(&self, queue: QueueId) -> u32 {
        match self.account.per_operator_limits.get(&queue) {
            None => self.free(),
            Some(limit) => {
                // A slot whose queue is not known yet may turn out to be of this one.
                let counts = |slot: &&Slot| slot.queue.is_none_or(|known| known == queue);
                let slots = self.slots.values().filter(counts).count();
                let reserved = self.reserved.values().filter(|r| r.queue == queue).count();
                self.free().min(limit.saturating_sub((slots + reserved) as u32))
            }
        }
    }

    /// Whether the offer that takes this slot already could be accepted: what the operator has
    /// and what it has asked for leave room for it.
    pub(super) fn fits_beside_its_own(&self, chat: ChatId, queue: Option<QueueId>) -> bool {
        let others = self.slots.iter().filter(|(other, slot)| **other != chat && is_own(slot));
        let (mut all, mut here) = (0, 0);
        for (_, slot) in others {
            all += 1;
            here += u32::from(queue.is_some() && slot.queue == queue);
        }
        all < self.account.capacity && self.limit_of(queue).is_none_or(|limit| here < limit)
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
            let limit = match limited {
                None => Some(self.account.capacity),
                Some(_) => self.limit_of(limited),
            };
            while limit.is_some_and(|limit| self.standing_in(limited) > limit)
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

    fn limit_of(&self, queue: Option<QueueId>) -> Option<u32> {
        self.account.per_operator_limits.get(&queue?).copied()
    }

    /// What is owned, asked for, offered or reserved, of one queue or of all: not what is going
    /// back, nor what may be a late word.
    fn standing_in(&self, queue: Option<QueueId>) -> u32 {
        let here = |of| queue.is_none() || of == queue;
        let slots = self.slots.values().filter(|slot| here(slot.queue) && stands(slot)).count();
        let reserved = self.reserved.values().filter(|held| here(Some(held.queue))).count();
        (slots + reserved) as u32
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

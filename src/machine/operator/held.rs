//! What an operator holds. How much of it fits is in [`super::fitting`].

use crate::domain::event::WithdrawReason;
use crate::domain::{
    ChatId, CommandId, OfferId, Placement, Priority, QueueId, Seq, Stay, Timestamp,
};
use crate::machine::CallId;
use crate::machine::message::{AssignBy, Peer, ToChat, ToQueue};

use super::{Operator, OperatorEffect, Owed, Recall, ask_after};

/// A slot held for an offer to come. Free again at its own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The queue that offers.
    pub queue: QueueId,
    /// When it ends unless the chat confirms.
    pub expires_at: Timestamp,
    /// The rank for which the operator gave the slot; none when the queue asked for it.
    pub given_for: Option<i64>,
}

/// A taken slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The chat's queue; none while it is not known.
    pub queue: Option<QueueId>,
    /// The placement that the slot is about; 0 while it is not known.
    pub placement: Placement,
    /// By what it is taken.
    pub held: Held,
}

/// By what a slot is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// A live directed offer.
    Offered {
        /// The offer.
        offer: OfferId,
        /// When it lapses.
        expires_at: Timestamp,
        /// Since when it is here.
        since: Timestamp,
        /// Whether it reached a screen.
        shown: bool,
    },
    /// An offer that is being taken back.
    Withdrawing {
        /// The offer.
        offer: OfferId,
        /// Why.
        reason: WithdrawReason,
    },
    /// An offer that is being declined.
    Declining {
        /// The offer.
        offer: OfferId,
        /// The command.
        command: CommandId,
        /// Who waits for the answer.
        calls: Vec<CallId>,
    },
    /// An `Assign` that is not answered yet.
    Assigning {
        /// On what ground.
        by: AssignBy,
        /// The command; none for a transfer.
        command: Option<CommandId>,
        /// After this it is void.
        valid_until: Timestamp,
        /// Who waits for the answer.
        calls: Vec<CallId>,
    },
    /// An owned chat.
    Active,
    /// A chat that was moving when the index was read: its own word will tell.
    Unsure,
}

impl Slot {
    /// When to ask what became of it, if it may have been forgotten.
    pub(super) fn ask_at(&self) -> Option<Timestamp> {
        match &self.held {
            Held::Offered { expires_at, .. } => Some(ask_after(*expires_at)),
            Held::Unsure => Some(Timestamp::default()),
            Held::Withdrawing { .. }
            | Held::Declining { .. }
            | Held::Assigning { .. }
            | Held::Active => None,
        }
    }
}

/// Nobody comes back into a directed offer.
pub(super) const DIRECTED_STAY: Stay = 0;

/// A live `to_all` offer: takes no slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The chat's queue.
    pub queue: QueueId,
    /// The placement of the offer.
    pub placement: Placement,
    /// The chat's version when it said so last.
    pub version: Seq,
    /// The offer.
    pub offer: OfferId,
    /// Which time the operator is in it.
    pub stay: Stay,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Since when it is here.
    pub since: Timestamp,
    /// Since when there is room for it in its queue's own limit; none while there is none.
    pub room_since: Option<Timestamp>,
    /// The chat's first time of waiting and its priority, which make its rank.
    pub waits: (Timestamp, Priority),
    /// The decline under way, and who waits for its answer.
    pub declining: Option<(CommandId, Vec<CallId>)>,
    /// It is being taken back.
    pub withdrawing: bool,
}

impl Invite {
    /// Whether it could be accepted, by what has become of it: nobody declines it or takes it back.
    pub fn is_open(&self) -> bool {
        self.declining.is_none() && !self.withdrawing
    }

    pub(super) fn ask_at(&self) -> Timestamp {
        ask_after(self.expires_at)
    }
}

impl Operator {
    /// Holds a slot for an offer to come.
    pub(super) fn reserve(&mut self, offer: OfferId, reservation: Reservation) {
        debug_assert!(self.free_in(reservation.queue) > 0, "a reservation needs a free slot");
        self.reserved.insert(offer, reservation);
    }

    pub(super) fn release(&mut self, offer: OfferId) -> Option<Reservation> {
        self.owed.settle(Owed::Give(offer));
        self.reserved.remove(&offer)
    }

    pub(super) fn expire_reservations(&mut self, now: Timestamp) {
        let over = self.reserved.iter().filter(|(_, held)| now >= held.expires_at);
        for offer in over.map(|(offer, _)| *offer).collect::<Vec<_>>() {
            self.release(offer);
            self.wants_pull = true;
        }
    }

    /// Frees a slot, and forgets what was said about it.
    pub(super) fn free_slot(&mut self, chat: ChatId, now: Timestamp) -> Option<Slot> {
        self.quiet(chat);
        let slot = self.slots.remove(&chat)?;
        self.idle_since = now;
        self.wants_pull = true;
        Some(slot)
    }

    /// Nothing more is to be said about the chat.
    pub(super) fn quiet(&mut self, chat: ChatId) {
        for owed in [
            Owed::Assign(chat),
            Owed::Decline(chat),
            Owed::Withdraw(chat),
            Owed::OwnerGone(chat),
            Owed::Ask(chat),
        ] {
            self.owed.settle(owed);
        }
        self.strays.remove(&chat);
    }

    /// Leaving `ready` takes live offers back, and frees slots that no offer has reached; an
    /// `Assign` on its way stands.
    pub(super) fn withdraw_offers(&mut self, now: Timestamp) {
        let reason = self.leaving();
        for offer in self.reserved.keys().copied().collect::<Vec<_>>() {
            self.release(offer);
        }
        for (chat, slot) in &mut self.slots {
            if let Held::Offered { offer, .. } = slot.held {
                slot.held = Held::Withdrawing { offer, reason };
                self.owed.owe(Owed::Withdraw(*chat), now);
            }
        }
        for (chat, invite) in &mut self.invites {
            if invite.is_open() {
                invite.withdrawing = true;
                self.owed.owe(Owed::Withdraw(*chat), now);
            }
        }
    }

    /// The owned chats that it has been away from for too long.
    pub(super) fn abandoned(&self, now: Timestamp) -> Vec<ChatId> {
        let over = |slot: &Slot| self.abandoned_at(slot).is_some_and(|at| now >= at);
        self.slots.iter().filter(|(_, slot)| over(slot)).map(|(chat, _)| *chat).collect()
    }

    /// When the next owned chat will have been left alone for too long.
    pub(super) fn next_abandoned(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting =
            self.slots.iter().filter(|(chat, _)| !self.owed.owes(Owed::OwnerGone(**chat)));
        waiting.filter_map(|(_, slot)| self.abandoned_at(slot)).map(|at| at.max(now)).min()
    }

    fn abandoned_at(&self, slot: &Slot) -> Option<Timestamp> {
        if slot.held != Held::Active {
            return None;
        }
        if !self.account.active {
            return Some(Timestamp::default());
        }
        let gone = self.absent_since?;
        let limit_ms = self.account.absent_owner_limits_ms.get(&slot.queue?)?;
        Some(gone.plus_ms(*limit_ms).max(self.grace_until))
    }

    /// What is said about something owed; none when it has become void.
    pub(super) fn words(&mut self, owed: Owed, now: Timestamp) -> Option<OperatorEffect> {
        let operator = self.id;
        let peer = Peer::Operator(operator);
        let (chat, said) = match owed {
            Owed::State(queue) => {
                let state = self.state(queue, now);
                return Some(OperatorEffect::ToQueue(queue, ToQueue::State(state)));
            }
            Owed::Give(offer) => {
                let held = *self.reserved.get(&offer)?;
                let state = self.state(held.queue, now);
                let (rank, expires_at) = (held.given_for?, held.expires_at);
                let give = ToQueue::Give { offer, rank, expires_at, state };
                return Some(OperatorEffect::ToQueue(held.queue, give));
            }
            Owed::Recall(chat, call) => {
                let Recall { command, asked, .. } = self.recalls.get(&(chat, call))?.clone();
                (chat, ToChat::Recall { operator, command, asked })
            }
            Owed::Ask(chat) => (chat, ToChat::Ask { peer }),
            Owed::Assign(chat) => match &self.slots.get(&chat)?.held {
                Held::Assigning { by, command, valid_until, .. } => {
                    let (by, command, valid_until) = (by.clone(), command.clone(), *valid_until);
                    (chat, ToChat::Assign { operator, command, by, valid_until })
                }
                Held::Offered { .. }
                | Held::Withdrawing { .. }
                | Held::Declining { .. }
                | Held::Active
                | Held::Unsure => return None,
            },
            Owed::Decline(chat) => {
                let (offer, stay, command) = self.declining(chat)?;
                (chat, ToChat::Decline { offer, operator, stay, command })
            }
            Owed::Withdraw(chat) => {
                let (offer, stay, reason) = self.withdrawing(chat)?;
                (chat, ToChat::Withdraw { peer, offer, operator, stay, reason })
            }
            Owed::OwnerGone(chat) => {
                let slot = self.slots.get(&chat)?;
                // Back in time: the owner keeps the chat.
                self.abandoned_at(slot).filter(|at| now >= *at)?;
                (chat, ToChat::OwnerGone { operator, placement: slot.placement })
            }
        };
        Some(OperatorEffect::ToChat(chat, said))
    }

    fn declining(&self, chat: ChatId) -> Option<(OfferId, Stay, CommandId)> {
        if let Some(Slot { held: Held::Declining { offer, command, .. }, .. }) =
            self.slots.get(&chat)
        {
            return Some((*offer, DIRECTED_STAY, command.clone()));
        }
        let invite = self.invites.get(&chat)?;
        let (command, _) = invite.declining.as_ref()?;
        Some((invite.offer, invite.stay, command.clone()))
    }

    fn withdrawing(&self, chat: ChatId) -> Option<(OfferId, Stay, WithdrawReason)> {
        if let Some(offer) = self.strays.get(&chat) {
            return Some((*offer, DIRECTED_STAY, WithdrawReason::NotReserved));
        }
        if let Some(Slot { held: Held::Withdrawing { offer, reason }, .. }) = self.slots.get(&chat)
        {
            return Some((*offer, DIRECTED_STAY, *reason));
        }
        let invite = self.invites.get(&chat).filter(|invite| invite.withdrawing)?;
        let member = self.account.queues.contains_key(&invite.queue);
        let reason = if member { self.leaving() } else { WithdrawReason::NotEligible };
        Some((invite.offer, invite.stay, reason))
    }

    /// Why its offers are taken back.
    pub(super) fn leaving(&self) -> WithdrawReason {
        if self.account.active { WithdrawReason::NotReady } else { WithdrawReason::NotEligible }
    }
}

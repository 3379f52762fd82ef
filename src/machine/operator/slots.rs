//! What takes an operator's slots, and how they are held and freed. How many chats fit is in
//! [`super::fitting`], for what slots are only kept in [`super::kept_slots`].

use crate::domain::event::WithdrawReason;
use crate::domain::{
    ChatId, CommandId, OfferId, Placement, Priority, QueueId, Seq, Stay, Timestamp, Weight,
};
use crate::machine::CallId;
use crate::machine::message::AssignBy;

use super::{Operator, Owed, ask_after};

/// A slot held for an offer to come. Free again at its own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The queue that offers.
    pub queue: QueueId,
    /// How many slots are held.
    pub weight: Weight,
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
    /// How many slots it takes; as many as a chat does by default while that is not known.
    pub weight: Weight,
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
    /// How many slots the chat takes.
    pub weight: Weight,
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
        let (queue, weight) = (Some(reservation.queue), reservation.weight);
        debug_assert!(self.room().fits(queue, weight), "a reservation needs free slots");
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

    /// Why its offers are taken back.
    pub(super) fn leaving(&self) -> WithdrawReason {
        if self.account.active { WithdrawReason::NotReady } else { WithdrawReason::NotEligible }
    }
}

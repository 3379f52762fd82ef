//! What chats and queues say to an operator: which slots it holds for them. Where a chat is stands in
//! [`super::chat_moved`], what became of an accept, a take or a decline in [`super::answers`].

use crate::domain::limits::ASSIGN_LIMIT_MS;
use crate::domain::operator::Standing;
use crate::domain::{ChatId, OfferId, QueueId, Timestamp, Weight};
use crate::machine::message::{AssignBy, Peer, ToChat, ToOperator, ToQueue};

use super::{Held, Operator, OperatorEffect, Owed, Reservation, Slot};

impl Operator {
    pub(super) fn on_said(
        &mut self,
        now: Timestamp,
        said: ToOperator,
        effects: &mut Vec<OperatorEffect>,
    ) {
        match said {
            ToOperator::At(at) => {
                let peer = Peer::Operator(self.id);
                let (placement, version) = (at.placement, at.version);
                let seen = ToChat::Seen { peer, placement, version };
                effects.push(OperatorEffect::ToChat(at.chat, seen));
                self.chat_at(now, at, effects);
            }
            ToOperator::AssignAnswer { command, by, result, at, chat } => {
                self.assign_answered(now, chat, (command, by), result, at, effects);
            }
            ToOperator::Recalled { chat, command, asked, result, at } => {
                self.recalled(chat, &command, asked, result, at.as_ref(), effects);
                if let Some(at) = at {
                    self.chat_at(now, at, effects);
                }
            }
            ToOperator::Reserve { queue, offer, chat, rank, weight, expires_at } => {
                let reservation = Reservation { queue, weight, expires_at, given_for: None };
                let result = self.on_reserve(now, chat, offer, reservation, rank);
                let state = self.state(queue, now);
                let answer = ToQueue::ReserveAnswer { offer, chat, result, state };
                effects.push(OperatorEffect::ToQueue(queue, answer));
            }
            ToOperator::Release { offer } => {
                if self.release(offer).is_some() {
                    self.wants_pull = true;
                }
            }
            ToOperator::ReserveTransfer {
                chat, queue, weight, reservation, expires_at, ..
            } => {
                self.on_transfer(now, chat, (queue, weight), reservation, expires_at, effects);
            }
            ToOperator::Best { queue, pull, best } => self.quoted(now, queue, pull, best),
            ToOperator::GiveAnswer { offer, chat } => match chat {
                Some(_) => {
                    self.owed.settle(Owed::Give(offer));
                }
                None => {
                    if self.release(offer).is_some() {
                        self.wants_pull = true;
                    }
                }
            },
            ToOperator::StateSeen { queue, known: (life, version) } => {
                if life == self.life && version >= self.changed_version {
                    self.owed.settle(Owed::State(queue));
                }
            }
            ToOperator::AskState { queue } => {
                let state = self.state(queue, now);
                effects.push(OperatorEffect::ToQueue(queue, ToQueue::State(state)));
            }
        }
    }

    fn on_reserve(
        &mut self,
        now: Timestamp,
        chat: ChatId,
        offer: OfferId,
        reservation: Reservation,
        rank: i64,
    ) -> Result<(), Standing> {
        let Reservation { queue, weight, expires_at, .. } = reservation;
        let live = self.slots.get(&chat).is_some_and(
            |slot| matches!(slot.held, Held::Offered { offer: live, .. } if live == offer),
        );
        if live || self.reserved.contains_key(&offer) {
            return Ok(());
        }
        if !self.account.queues.contains_key(&queue) {
            return Err(Standing::NotMember);
        }
        match self.standing() {
            Standing::Free if now >= expires_at => Err(Standing::Choosing),
            Standing::Free if self.make_room((queue, weight), rank) => {
                self.reserve(offer, reservation);
                Ok(())
            }
            Standing::Free if self.room().fits(Some(queue), weight) => Err(Standing::Kept),
            Standing::Free => Err(Standing::Full),
            standing => Err(standing),
        }
    }

    /// A chat is to be transferred here: takes a slot and sends the `Assign` at once.
    fn on_transfer(
        &mut self,
        now: Timestamp,
        chat: ChatId,
        (queue, weight): (QueueId, Weight),
        reservation: OfferId,
        expires_at: Timestamp,
        effects: &mut Vec<OperatorEffect>,
    ) {
        if self.slots.get(&chat).is_some_and(|slot| slot.is_transfer(reservation)) {
            self.owed.owe(Owed::Assign(chat), now);
            return;
        }
        let standing = match self.standing() {
            // In a pull there may still be room: the slots are counted here, not there.
            Standing::Choosing if self.is_live() && self.free() > 0 => Standing::Free,
            standing => standing,
        };
        let (busy, fits) = (self.slots.contains_key(&chat), self.room().fits(Some(queue), weight));
        if standing != Standing::Free || !fits || busy || now >= expires_at {
            let standing = match standing {
                Standing::Free if !fits => Standing::Full,
                Standing::Free => Standing::Choosing,
                standing => standing,
            };
            let refused = ToChat::ReserveRefused { reservation, standing };
            effects.push(OperatorEffect::ToChat(chat, refused));
            return;
        }
        let held = Held::Assigning {
            by: AssignBy::Transfer(reservation),
            command: None,
            valid_until: now.plus_ms(ASSIGN_LIMIT_MS),
            calls: Vec::new(),
        };
        self.drop_invite(chat, effects);
        self.slots.insert(chat, Slot { queue: Some(queue), placement: 0, weight, held });
        self.owed.owe(Owed::Assign(chat), now);
    }
}

impl Slot {
    fn is_transfer(&self, reservation: OfferId) -> bool {
        matches!(&self.held, Held::Assigning { by: AssignBy::Transfer(r), .. } if *r == reservation)
    }
}

//! What an operator says until it is answered, and the words for it.

use crate::domain::event::WithdrawReason;
use crate::domain::{ChatId, CommandId, OfferId, QueueId, Stay, Timestamp};
use crate::machine::CallId;
use crate::machine::message::{Peer, ToChat, ToQueue};
use crate::machine::repeat::Repeater;

use super::slots::DIRECTED_STAY;
use super::{Held, Operator, OperatorEffect, Recall, Reservation, Slot};

/// What an operator says until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owed {
    State(QueueId),
    Assign(ChatId),
    Decline(ChatId),
    Withdraw(ChatId),
    OwnerGone(ChatId),
    Ask(ChatId),
    Give(OfferId),
    Recall(ChatId, CallId),
}

impl Operator {
    /// Says what is due.
    pub(super) fn say_due(&mut self, now: Timestamp, effects: &mut Vec<OperatorEffect>) {
        let words = |operator: &mut Self, owed| operator.words(owed, now);
        effects.extend(Repeater::say_due(self, now, |operator| &mut operator.owed, words));
    }

    /// What is said about something owed; none when it has become void.
    fn words(&mut self, owed: Owed, now: Timestamp) -> Option<OperatorEffect> {
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
                let Reservation { weight, expires_at, .. } = held;
                let rank = held.given_for?;
                let give = ToQueue::Give { offer, rank, weight, expires_at, state };
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
}

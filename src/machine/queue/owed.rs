//! What a queue says until it is answered, and the words for it.

use crate::domain::event::WithdrawReason;
use crate::domain::{ChatId, OfferId, Placement, Timestamp, UserId};
use crate::machine::message::{Peer, ToChat, ToOperator};
use crate::machine::repeat::Repeater;

use super::{Phase, Queue, QueueEffect};

/// What a queue says until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owed {
    AskState(UserId),
    /// Asks a chat where it is.
    Ask(ChatId),
    Reserve(ChatId),
    Offer(ChatId),
    Widen(ChatId),
    Lapse(ChatId),
    Withdraw(ChatId, UserId),
}

impl Queue {
    /// Says what is due, and settles what has become void.
    pub(super) fn say_due(&mut self, now: Timestamp, effects: &mut Vec<QueueEffect>) {
        let words = |queue: &mut Self, owed| queue.words(owed);
        effects.extend(Repeater::say_due(self, now, |queue| &mut queue.owed, words));
    }

    /// What is said about something owed; none when it has become void.
    fn words(&self, owed: Owed) -> Option<QueueEffect> {
        let queue = self.config.id;
        match owed {
            Owed::AskState(operator) => {
                Some(QueueEffect::ToOperator(operator, ToOperator::AskState { queue }))
            }
            Owed::Ask(chat) => {
                let entry = self.line.get(chat)?;
                let peer = Peer::Queue(queue);
                Some(QueueEffect::ToChat(entry.at.chat, ToChat::Ask { peer }))
            }
            Owed::Reserve(chat) => {
                let entry = self.line.get(chat)?;
                match &entry.phase {
                    Phase::Reserving { offer, operator, expires_at, .. } => {
                        let reserve = ToOperator::Reserve {
                            queue,
                            offer: *offer,
                            chat,
                            rank: entry.rank,
                            weight: entry.at.weight,
                            expires_at: *expires_at,
                        };
                        Some(QueueEffect::ToOperator(*operator, reserve))
                    }
                    Phase::Waiting | Phase::Offering { .. } | Phase::Offered => None,
                }
            }
            Owed::Offer(chat) => {
                let entry = self.line.get(chat)?;
                let Phase::Offering { offer, reach, to, decision } = &entry.phase else {
                    return None;
                };
                let said = ToChat::Offer {
                    queue,
                    placement: entry.at.placement,
                    offer: *offer,
                    reach: *reach,
                    to: to.clone(),
                    timeout_ms: self.config.offer_timeout_ms,
                    decision: decision.clone(),
                };
                Some(QueueEffect::ToChat(chat, said))
            }
            Owed::Widen(chat) => {
                let (placement, offer) = self.live(chat)?;
                let to = self.widening.get(&chat)?.iter().copied().collect();
                Some(QueueEffect::ToChat(chat, ToChat::Widen { placement, offer, to }))
            }
            Owed::Lapse(chat) => {
                let (placement, offer) = self.live(chat)?;
                let stands_ms = self.config.offer_timeout_ms;
                Some(QueueEffect::ToChat(chat, ToChat::Lapse { placement, offer, stands_ms }))
            }
            Owed::Withdraw(chat, operator) => {
                let live = self.line.get(chat)?.at.place.offer()?;
                let (offer, stay) = (live.id, live.stay(operator)?);
                let reason = WithdrawReason::NotEligible;
                let peer = Peer::Queue(queue);
                let said = ToChat::Withdraw { peer, offer, operator, stay, reason };
                Some(QueueEffect::ToChat(chat, said))
            }
        }
    }

    /// The live offer of a chat and its placement.
    pub(super) fn live(&self, chat: ChatId) -> Option<(Placement, OfferId)> {
        let at = &self.line.get(chat)?.at;
        at.place.offer().map(|offer| (at.placement, offer.id))
    }
}

//! Push, pull and the offers to all.
//!
//! Push: whenever something changed, the line is walked in the order of rank, and each chat goes
//! to the best free member who could have it. Since smaller ranks come first, none is passed over.
//! Pull: an operator with a free slot asks for the best chat that it could serve; see
//! `machine::operator`.

use crate::domain::event::Trigger;
use crate::domain::limits::{RESERVATION_MS, TO_ALL_OFFERS_MAX};
use crate::domain::{ChatId, OfferId, Reach, Rule, Timestamp, UserId};
use crate::machine::message::ToOperator;
use crate::routing::rule::is_directed;

use super::line::Phase;
use super::{Owed, Queue, QueueEffect};

impl Queue {
    /// Gives waiting chats to free members, as far as both reach.
    pub(super) fn match_line(&mut self, now: Timestamp) {
        match self.config.rule {
            Rule::LeastLoaded | Rule::LongestIdle => self.push(now),
            Rule::ToAll => {
                self.offer_to_all(now);
                self.widen(now);
            }
            Rule::Manual => {}
        }
    }

    fn push(&mut self, now: Timestamp) {
        let mut passed = None;
        while self.pool.anybody_free() {
            let Some(next) = self.line.waiting_after(passed) else {
                break;
            };
            passed = Some(next);
            let chat = next.1;
            let able = self.able(chat, now);
            let Some((operator, others)) = able.split_first() else {
                continue;
            };
            let operator = *operator;
            let decision = self.decision(chat, Trigger::Push, others, now);
            let offer = self.next_offer();
            let expires_at = now.plus_ms(RESERVATION_MS);
            self.pool.send(operator);
            self.line.set_phase(chat, Phase::Reserving { offer, operator, expires_at, decision });
            self.line.set_timer(chat, expires_at);
            self.owed.owe(Owed::Reserve(chat), now);
        }
    }

    fn offer_to_all(&mut self, now: Timestamp) {
        let mut passed = None;
        while self.pool.anybody_free() && self.line.to_all().len() < TO_ALL_OFFERS_MAX {
            let Some(next) = self.line.waiting_after(passed) else {
                break;
            };
            passed = Some(next);
            let chat = next.1;
            let to = self.able(chat, now);
            if to.is_empty() {
                continue;
            }
            let decision = self.decision(chat, Trigger::Push, &[], now);
            let offer = self.next_offer();
            let reach = Reach::ToAll;
            self.line.set_phase(chat, Phase::Offering { offer, reach, to, decision });
            self.owed.owe(Owed::Offer(chat), now);
        }
    }

    /// Adds those who came free to the offers that are out.
    fn widen(&mut self, now: Timestamp) {
        if !self.pool.anybody_free() {
            return;
        }
        for chat in self.line.to_all().clone() {
            let Some(offer) = self.line.get(chat).and_then(|entry| entry.at.place.offer()) else {
                continue;
            };
            let mut missing = self.able(chat, now);
            missing.retain(|operator| !offer.to.contains(operator));
            if missing.is_empty() || self.widening.get(&chat) == Some(&missing) {
                continue;
            }
            self.widening.insert(chat, missing);
            self.owed.owe(Owed::Widen(chat), now);
        }
    }

    /// Reservations on their way to operators who are no longer members are given up.
    pub(super) fn release_strangers(&mut self, now: Timestamp, effects: &mut Vec<QueueEffect>) {
        let stranger = |phase: &Phase| match phase {
            Phase::Reserving { operator, offer, .. } if !self.pool.contains(*operator) => {
                Some((*operator, *offer))
            }
            Phase::Reserving { .. } | Phase::Waiting | Phase::Offering { .. } | Phase::Offered => {
                None
            }
        };
        let given_up: Vec<(ChatId, UserId, OfferId)> = self
            .reserving()
            .filter_map(|chat| Some((chat, stranger(&self.line.get(chat)?.phase)?)))
            .map(|(chat, (operator, offer))| (chat, operator, offer))
            .collect();
        for (chat, operator, offer) in given_up {
            self.end_reservation(chat, operator);
            effects.push(QueueEffect::ToOperator(operator, ToOperator::Release { offer }));
            self.line.set_phase(chat, Phase::Waiting);
            self.wait_for_cool_down(chat, now);
        }
    }

    fn reserving(&self) -> impl Iterator<Item = ChatId> + '_ {
        self.owed.keys().filter_map(|owed| match owed {
            Owed::Reserve(chat) => Some(chat),
            Owed::AskState(_)
            | Owed::Offer(_)
            | Owed::Widen(_)
            | Owed::Lapse(_)
            | Owed::Withdraw(..) => None,
        })
    }

    /// An operator has answered a reservation.
    pub(super) fn reserve_answered(
        &mut self,
        now: Timestamp,
        (offer, chat, operator): (OfferId, ChatId, UserId),
        held: bool,
        effects: &mut Vec<QueueEffect>,
    ) {
        let phase = self.line.get(chat).map(|entry| entry.phase.clone());
        match phase {
            Some(Phase::Reserving { offer: asked, decision, .. }) if asked == offer => {
                self.end_reservation(chat, operator);
                if held {
                    let (reach, to) = (Reach::Directed, vec![operator]);
                    self.line.set_phase(chat, Phase::Offering { offer, reach, to, decision });
                    self.owed.owe(Owed::Offer(chat), now);
                } else {
                    self.line.set_phase(chat, Phase::Waiting);
                    self.wait_for_cool_down(chat, now);
                }
            }
            // A repeat of what is under way already.
            Some(Phase::Offering { offer: live, .. }) if live == offer => {}
            Some(Phase::Offered) if self.live(chat).is_some_and(|(_, live)| live == offer) => {}
            // The chat is somewhere else by now.
            Some(_) | None if held => {
                effects.push(QueueEffect::ToOperator(operator, ToOperator::Release { offer }));
            }
            Some(_) | None => {}
        }
    }

    /// The best chat that a member with a free slot could serve.
    pub(super) fn best_for(&self, operator: UserId, now: Timestamp) -> Option<(i64, ChatId)> {
        if !is_directed(self.config.rule) || !self.pool.contains(operator) {
            return None;
        }
        let cool_down_ms = self.settings.cool_down_ms;
        self.line.waiting().find(|(_, chat)| {
            self.line.get(*chat).is_some_and(|entry| {
                self.pool.could_serve(operator, &entry.at.refused_by, cool_down_ms, now)
            })
        })
    }

    /// Uses the slot that an operator holds for the best chat it could serve, which may have a
    /// smaller rank than was quoted, never a larger one. Answers the chat.
    pub(super) fn give(
        &mut self,
        now: Timestamp,
        operator: UserId,
        (offer, expires_at): (OfferId, Timestamp),
        quoted: i64,
    ) -> Option<ChatId> {
        self.given.retain(|_, (_, ends_at)| *ends_at > now);
        if let Some((chat, _)) = self.given.get(&offer) {
            return Some(*chat);
        }
        if now >= expires_at {
            return None;
        }
        let (rank, chat) = self.best_for(operator, now)?;
        if rank > quoted {
            return None;
        }
        let decision = self.decision(chat, Trigger::Pull, &[], now);
        let (reach, to) = (Reach::Directed, vec![operator]);
        self.line.set_phase(chat, Phase::Offering { offer, reach, to, decision });
        self.owed.owe(Owed::Offer(chat), now);
        self.given.insert(offer, (chat, expires_at));
        Some(chat)
    }

    /// The free members who could have the chat, best first.
    fn able(&self, chat: ChatId, now: Timestamp) -> Vec<UserId> {
        let Some(entry) = self.line.get(chat) else {
            return Vec::new();
        };
        let cool_down_ms = self.settings.cool_down_ms;
        self.pool.choose(self.config.rule, &entry.at.refused_by, cool_down_ms, now)
    }

    fn decision(
        &self,
        chat: ChatId,
        trigger: Trigger,
        runners_up: &[UserId],
        now: Timestamp,
    ) -> crate::domain::event::Decision {
        let nobody = Default::default();
        let refusals = self.line.get(chat).map_or(&nobody, |entry| &entry.at.refused_by);
        let when = (self.settings.cool_down_ms, now);
        let version = self.config.version;
        self.pool.decision(self.config.rule, version, trigger, runners_up, refusals, when)
    }
}

//! Push, pull and the offers to all.
//!
//! Push: whenever something changed, each chat that somebody with room may have goes to the best of
//! them, smallest rank first, so none is passed over. The others are not walked past: the first that
//! somebody may have is found by what is excluded ([`Queue::look`]).
//! Pull: an operator with a free slot asks for the best chat that it could serve, be it waiting or
//! offered to all; see `machine::operator`.

use std::collections::BTreeSet;

use crate::domain::event::{Decision, Trigger};
use crate::domain::limits::{RESERVATION_MS, RUNNERS_UP};
use crate::domain::{ChatId, Customer, OfferId, Reach, Rule, Timestamp, UserId, Weight};
use crate::machine::message::{Quote, ToOperator};
use crate::routing::Case;
use crate::routing::excluded::Turn;
use crate::routing::rule::is_directed;

use super::line::{Entry, Phase};
use super::{Owed, Queue, QueueEffect};

impl Queue {
    /// Gives waiting chats to free members, as far as both reach.
    pub(super) fn match_line(&mut self, now: Timestamp) {
        self.look(now);
        self.end_long_offers(now);
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
        while let Some(next) = self.first_able(passed) {
            passed = Some(next);
            let (_, chat) = next;
            let Some(entry) = self.line.get(chat) else { continue };
            let able: Vec<UserId> = self.able(entry).take(1 + RUNNERS_UP).collect();
            let Some((operator, others)) = able.split_first() else {
                continue;
            };
            let operator = *operator;
            let decision = self.decision(chat, Trigger::Push, others, now);
            let offer = self.next_offer();
            let expires_at = now.plus_ms(RESERVATION_MS);
            self.pool.send(operator);
            self.line.set_phase(chat, Phase::Reserving { offer, operator, expires_at, decision });
            self.look_again(chat, now);
            self.owed.owe(Owed::Reserve(chat), now);
            self.look(now);
        }
    }

    fn offer_to_all(&mut self, now: Timestamp) {
        let mut passed = None;
        while self.line.has_room_to_all()
            && let Some(next) = self.first_able(passed)
        {
            passed = Some(next);
            let (_, chat) = next;
            let Some(entry) = self.line.get(chat) else { continue };
            let to: Vec<UserId> = self.able(entry).collect();
            let decision = self.decision(chat, Trigger::Push, &[], now);
            let offer = self.next_offer();
            self.offer(now, chat, (offer, Reach::ToAll, to), decision);
            self.look(now);
        }
    }

    /// The first of those who wait, after that turn if one is given, whom somebody with room may have.
    ///
    /// The head of the line nearly always is, and if many are excluded from it, the next one. As many
    /// members are looked at for that as have room; were these looks in vain, each of them is asked for
    /// its own first.
    pub(super) fn first_able(&self, passed: Option<Turn>) -> Option<Turn> {
        let turns = self.line.turns();
        let first = passed.map_or(0, |passed| turns.up_to(&passed));
        let mut looks = self.pool.with_room().len();
        let mut n = first;
        while looks > 0 {
            let (rank, chat) = turns.nth(n).filter(|(rank, _)| self.pool.anybody_for(*rank))?;
            let may_have = self.may_have(self.line.get(chat)?);
            for operator in self.pool.with_room_for(rank).take(looks) {
                looks -= 1;
                if may_have(operator) {
                    return Some((rank, chat));
                }
            }
            n += 1;
        }
        let firsts = self.pool.with_room().filter_map(|(operator, room)| {
            let first = self.first_for(operator, passed).next();
            first.filter(|(rank, _)| room.is_for(*rank))
        });
        firsts.min()
    }

    /// An offer to all that nobody answered stands for longer than the queue's offers do, as long as
    /// that is in nobody's way: not when all places are taken and a chat of smaller rank has none, nor
    /// under another rule. Then its time is that of all offers, the largest rank first.
    fn end_long_offers(&mut self, now: Timestamp) {
        let to_all = self.config.rule == Rule::ToAll;
        if self.line.to_all().is_empty() || (to_all && self.line.has_room_to_all()) {
            return;
        }
        let out = self.line.to_all().iter().filter_map(|chat| self.line.get(*chat));
        let mut out: Vec<(i64, ChatId)> = out.map(|entry| (entry.rank, entry.at.chat)).collect();
        out.sort_unstable_by(|one, other| other.cmp(one));
        if to_all {
            let largest = out.first().copied();
            let mut passed = None;
            let wanting = std::iter::from_fn(|| {
                passed = Some(self.first_able(passed)?);
                passed
            });
            let wanting = wanting.take_while(|next| largest.is_some_and(|largest| *next < largest));
            let gives_way = out.iter().zip(wanting).take_while(|(out, wanting)| wanting < *out);
            let places = gives_way.count();
            out.truncate(places);
        }
        for (_, chat) in out {
            let stood =
                |entry: &&Entry| entry.phase == Phase::Offered && now >= self.stood_at(entry);
            if self.line.get(chat).filter(stood).is_some() && !self.owed.owes(Owed::Lapse(chat)) {
                self.owed.owe(Owed::Lapse(chat), now);
                self.await_answer(chat, now);
            }
        }
    }

    /// When a live offer has stood for as long as the queue's offers do.
    pub(super) fn stood_at(&self, entry: &Entry) -> Timestamp {
        let stood = entry.at.moved_at.plus_ms(self.config.offer_timeout_ms);
        entry.at.place.offer().map_or(stood, |offer| match offer.reach {
            Reach::ToAll => stood.min(offer.expires_at),
            Reach::Directed => offer.expires_at,
        })
    }

    /// Asks the chat to offer itself.
    pub(super) fn offer(
        &mut self,
        now: Timestamp,
        chat: ChatId,
        (offer, reach, to): (OfferId, Reach, Vec<UserId>),
        decision: Decision,
    ) {
        self.note_asked((chat, offer), &to, now);
        self.line.set_phase(chat, Phase::Offering { offer, reach, to, decision });
        self.await_answer(chat, now);
        self.owed.owe(Owed::Offer(chat), now);
    }

    /// Adds those who came free to the offers that are out.
    fn widen(&mut self, now: Timestamp) {
        let came = std::mem::take(&mut self.came);
        for chat in self.line.to_all().clone() {
            let anew = self.to_widen.remove(&chat);
            let mut came_to = self.came_to.remove(&chat).unwrap_or_default();
            came_to.extend(&came);
            let Some(missing) = self.missing_anew(chat, anew, &came_to) else { continue };
            if missing.is_empty() {
                self.missing.remove(&chat);
                continue;
            }
            self.missing.insert(chat, missing.clone());
            if self.widening.get(&chat) == Some(&missing) {
                continue;
            }
            let to: Vec<UserId> = missing.iter().copied().collect();
            self.note_shown(chat, &to, now, now);
            self.widening.insert(chat, missing);
            self.owed.owe(Owed::Widen(chat), now);
            self.look(now);
        }
    }

    /// Whom a live offer to all does not reach and could; none when nothing has changed. Looks at what
    /// has changed alone: at all members for an offer that did, else at those members for whom something
    /// did.
    fn missing_anew(
        &self,
        chat: ChatId,
        anew: bool,
        came: &BTreeSet<UserId>,
    ) -> Option<BTreeSet<UserId>> {
        let entry = self.line.get(chat)?;
        let offer = entry.at.place.offer()?;
        if anew {
            let able = self.able(entry);
            return Some(able.filter(|operator| !offer.to.contains(operator)).collect());
        }
        let may_have = self.may_have(entry);
        let is_missing = |operator: &UserId| {
            self.pool.has_room(*operator, entry.rank)
                && may_have(*operator)
                && !offer.to.contains(operator)
        };
        let known = self.missing.get(&chat);
        let was_missing = |operator: &UserId| known.is_some_and(|known| known.contains(operator));
        if came.iter().all(|operator| is_missing(operator) == was_missing(operator)) {
            return None;
        }
        let stay = known.into_iter().flatten().filter(|known| !came.contains(known));
        Some(stay.chain(came.iter().filter(|operator| is_missing(operator))).copied().collect())
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
            self.look_again(chat, now);
        }
    }

    fn reserving(&self) -> impl Iterator<Item = ChatId> + '_ {
        self.owed.keys().filter_map(|owed| match owed {
            Owed::Reserve(chat) => Some(chat),
            Owed::AskState(_)
            | Owed::Ask(_)
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
                    self.offer(now, chat, (offer, Reach::Directed, vec![operator]), decision);
                } else {
                    self.line.set_phase(chat, Phase::Waiting);
                    self.look_again(chat, now);
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

    /// The best chat that a member with a free slot could serve, but for those `except`.
    pub(super) fn quote(&self, operator: UserId, except: &[ChatId]) -> Option<Quote> {
        if !self.pool.contains(operator) {
            return None;
        }
        let reach = match self.config.rule {
            Rule::LeastLoaded | Rule::LongestIdle => Reach::Directed,
            Rule::ToAll => Reach::ToAll,
            Rule::Manual => return None,
        };
        let best = match reach {
            Reach::Directed => self.best_waiting(operator, &[]),
            Reach::ToAll => {
                let out = self.line.to_all();
                let live = out.iter().filter(|chat| !except.contains(chat));
                let live = live.filter_map(|chat| self.line.get(*chat));
                let live = live.filter(|entry| self.may_have(entry)(operator));
                let live = live.map(|entry| (entry.rank, entry.at.chat));
                let room = self.line.has_room_to_all();
                let next = room.then(|| self.best_waiting(operator, except)).flatten();
                live.chain(next).min()
            }
        };
        let (rank, chat) = best?;
        let weight = self.line.get(chat)?.at.weight;
        Some(Quote { rank, weight, chat, reach })
    }

    /// The best waiting chat that a member with a free slot could serve.
    fn best_waiting(&self, operator: UserId, except: &[ChatId]) -> Option<Turn> {
        self.first_for(operator, None).find(|(_, chat)| !except.contains(chat))
    }

    /// Uses the slot that an operator holds for the best chat it could serve, which may have a
    /// smaller rank than was quoted, never a larger one. Answers the chat.
    pub(super) fn give(
        &mut self,
        now: Timestamp,
        operator: UserId,
        (offer, expires_at): (OfferId, Timestamp),
        (quoted, held): (i64, Weight),
    ) -> Option<ChatId> {
        self.given.retain(|_, (_, ends_at)| *ends_at > now);
        if let Some((chat, _)) = self.given.get(&offer) {
            return Some(*chat);
        }
        if now >= expires_at {
            return None;
        }
        if !is_directed(self.config.rule) || !self.pool.contains(operator) {
            return None;
        }
        let (rank, chat) = self.best_waiting(operator, &[])?;
        if rank > quoted || self.line.get(chat)?.at.weight > held {
            return None;
        }
        let decision = self.decision(chat, Trigger::Pull, &[], now);
        self.offer(now, chat, (offer, Reach::Directed, vec![operator]), decision);
        self.given.insert(offer, (chat, expires_at));
        Some(chat)
    }

    /// The members with room who may have the chat, best first.
    fn able<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = UserId> + 'a {
        let may_have = self.may_have(entry);
        self.pool.best_first(entry.rank).filter(move |operator| may_have(*operator))
    }

    pub(super) fn decision(
        &self,
        chat: ChatId,
        trigger: Trigger,
        runners_up: &[UserId],
        now: Timestamp,
    ) -> Decision {
        let nobody = Default::default();
        let unknown = Case {
            refusals: &nobody,
            rank: i64::MAX,
            cool_down_ms: 0,
            chat,
            lately: None,
            visitor_offer_every_ms: 0,
            now,
        };
        let case = self.line.get(chat).map_or(unknown, |entry| self.case(entry, now));
        self.pool.decision(self.config.version, trigger, runners_up, case)
    }

    /// What of a chat of the line matters to a choice.
    pub(super) fn case<'a>(&'a self, entry: &'a Entry, now: Timestamp) -> Case<'a> {
        let others_wait = |customer: &Customer| self.line.others_wait(*customer);
        let visitor = entry.at.customer.filter(others_wait);
        Case {
            refusals: &entry.at.refused_by,
            rank: entry.rank,
            cool_down_ms: self.settings.cool_down_ms,
            chat: entry.at.chat,
            lately: visitor.and_then(|customer| self.shown.of(customer)),
            visitor_offer_every_ms: self.settings.visitor_offer_every_ms,
            now,
        }
    }
}

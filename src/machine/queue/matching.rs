//! Who gets what. What is wanted stands in [`crate::routing`]; here is how a queue comes there.
//!
//! Two occasions. Whenever something has changed, the queue looks for operators for its chats, in four
//! phases ([`Queue::match_line`]):
//! 1. *Look* at what has changed, and at nothing else: who may have what ([`Queue::look`]).
//! 2. *Make way*: offers to all that have stood for as long as others do end, where a chat of smaller rank
//!    has no place beside them.
//! 3. *Ask*: the first of those who wait whom somebody with room may have, then the next one, until nobody
//!    can have any; so none is passed over, and the others are not walked past. What goes beyond the bounds
//!    of a step is done in the next one, at once, in the same order. Whom it asks is said by its rule
//!    ([`Asks`]): the best of them, who is to hold a slot; or all of them, as long as there is room for one
//!    more offer; or nobody.
//! 4. *Widen*: who came free, or may have a chat now, comes into the offers to all that are out.
//!
//! And an operator whose slot came free looks for a chat: it asks all its queues ([`Queue::quote`]), and
//! gives the slot to the one that quoted the smallest rank ([`Queue::give`]); see `machine::operator`.

use std::collections::BTreeSet;

use crate::domain::event::{Decision, Trigger};
use crate::domain::limits::{LOOK_OF_MEMBER_PAIRS, RESERVATION_MS, RUNNERS_UP};
use crate::domain::{ChatId, Customer, OfferId, Reach, Timestamp, UserId, Weight};
use crate::machine::message::{Quote, ToOperator};
use crate::routing::{Asks, Case, Turn, describe};

use super::line::{Entry, Phase, turn_of};
use super::{Owed, Queue, QueueEffect};

/// An offer that a chat is to make of itself.
pub(super) struct NewOffer {
    pub(super) id: OfferId,
    pub(super) reach: Reach,
    pub(super) to: Vec<UserId>,
}

/// A slot that an operator was asked to hold.
#[derive(Clone, Copy)]
pub(super) struct Reserved {
    /// The offer to come.
    pub(super) offer: OfferId,
    pub(super) chat: ChatId,
    pub(super) operator: UserId,
}

/// A slot that an operator holds for the best chat it could serve.
pub(super) struct GivenSlot {
    /// The offer to make.
    pub(super) offer: OfferId,
    /// The rank for which it was given; a larger one is not wanted.
    pub(super) quoted: i64,
    /// How many slots are held.
    pub(super) weight: Weight,
    /// When it is free again.
    pub(super) expires_at: Timestamp,
}

/// The chat that such a slot went to, for a repeat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given {
    chat: ChatId,
    ends_at: Timestamp,
}

impl Queue {
    /// Gives waiting chats to free members, as far as both reach.
    pub(super) fn match_line(&mut self, now: Timestamp) {
        (self.goes_on, self.looks) = (false, 0);
        self.look(now);
        self.end_long_offers(now);
        match self.asks() {
            Asks::One => self.push(now),
            Asks::All => {
                self.offer_to_all(now);
                self.widen(now);
            }
            Asks::Nobody => {}
        }
    }

    /// Whom the queue's rule asks.
    pub(super) fn asks(&self) -> Asks {
        describe(self.config.rule).asks
    }

    /// Asks the best for each chat that somebody may have to hold a slot.
    fn push(&mut self, now: Timestamp) {
        let (mut passed, mut asked) = (None, 0);
        while let Some(next) = self.first_able(passed) {
            if asked >= self.at_most.asked {
                self.goes_on = true;
                return;
            }
            asked += 1;
            passed = Some(next);
            let chat = next.chat;
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

    /// Offers each chat that somebody may have to all of them, while there is room for more such offers.
    fn offer_to_all(&mut self, now: Timestamp) {
        let (mut passed, mut asked) = (None, 0);
        while self.line.has_room_to_all()
            && let Some(next) = self.first_able(passed)
        {
            if asked >= self.at_most.asked {
                self.goes_on = true;
                return;
            }
            passed = Some(next);
            let chat = next.chat;
            let Some(entry) = self.line.get(chat) else { continue };
            let to: Vec<UserId> = self.able(entry).collect();
            asked += to.len();
            let decision = self.decision(chat, Trigger::Push, &[], now);
            let offer = NewOffer { id: self.next_offer(), reach: Reach::ToAll, to };
            self.offer(now, chat, offer, decision);
            self.look(now);
        }
    }

    /// The first of those who wait, after that turn if one is given, whom somebody with room may have. Of
    /// whom that is not so it is known from now on, until something changes for it. None also when the step
    /// has looked at as many pairs as it may: then it goes on at once.
    pub(super) fn first_able(&mut self, passed: Option<Turn>) -> Option<Turn> {
        let mut first = self.first_fresh(passed);
        let head = self.waits_from(passed, None)?;
        let mut asked = None;
        // Who had something may have it still, or something behind it.
        while first != Some(head)
            && let Some((had, operator)) = self.fresh.member_behind(asked)
            && first.is_none_or(|first| self.waits_from(passed, had).is_some_and(|at| at < first))
        {
            let still = had.filter(|had| self.still_has(operator, *had));
            if still.is_none() && !self.may_look(LOOK_OF_MEMBER_PAIRS) {
                break;
            }
            let Some(has) = still.or_else(|| self.first_fitting(operator, had)) else {
                self.fresh.member_settled(operator);
                continue;
            };
            if had == Some(has) {
                asked = Some((had, operator));
            } else {
                self.fresh.member_from(operator, Some(has));
            }
            let able = Some(has).filter(|has| passed.is_none_or(|passed| passed < *has));
            let able = able.or_else(|| self.first_fitting(operator, passed));
            first = first.into_iter().chain(able).min();
        }
        first.filter(|_| !self.goes_on)
    }

    /// Whether this step may look at so many pairs of a chat and a member more. If not, it goes on at once.
    /// Of what is looked at it is known from then on, so that each step comes further.
    fn may_look(&mut self, pairs: usize) -> bool {
        self.goes_on |= self.looks >= self.at_most.pairs;
        self.looks += pairs;
        !self.goes_on
    }

    /// The first of those who wait, after one turn if it is given and not before the other.
    fn waits_from(&self, after: Option<Turn>, from: Option<Turn>) -> Option<Turn> {
        let turns = self.line.turns();
        let after = after.map_or(0, |after| turns.up_to(&after));
        turns.nth(after.max(from.map_or(0, |from| turns.position(&from).0)))
    }

    /// The first of the chats that changed, behind that turn, whom somebody with room may have.
    fn first_fresh(&mut self, passed: Option<Turn>) -> Option<Turn> {
        loop {
            let next = self.fresh.chat_behind(passed)?;
            let mut pairs = 0;
            let able = self.line.get(next.chat).is_some_and(|entry| {
                let may_have = self.may_have(entry);
                let mut members = self.pool.best_first(entry.rank).inspect(|_| pairs += 1);
                members.any(may_have)
            });
            if able {
                return Some(next);
            }
            if !self.may_look(pairs) {
                return None;
            }
            self.fresh.chat_changed(next.chat, None);
        }
    }

    /// Whether the chat waits in that turn, and the member has room for it and may have it.
    fn still_has(&self, operator: UserId, turn: Turn) -> bool {
        let entry = self.line.get(turn.chat).filter(|_| self.line.turn(turn.chat) == Some(turn));
        let may_have = entry.is_some_and(|entry| self.may_have(entry)(operator));
        may_have && self.pool.has_room(operator, turn.rank)
    }

    /// The first of those who wait, after that turn, that a member may have and has room for.
    fn first_fitting(&self, operator: UserId, after: Option<Turn>) -> Option<Turn> {
        let first = self.first_for(operator, after).next();
        first.filter(|first| self.pool.has_room(operator, first.rank))
    }

    /// An offer to all that nobody answered stands for longer than the queue's offers do, as long as
    /// that is in nobody's way: not when all places are taken and a chat of smaller rank has none, nor
    /// under another rule. Then its time is that of all offers, the largest rank first.
    fn end_long_offers(&mut self, now: Timestamp) {
        let to_all = self.asks() == Asks::All;
        if self.line.to_all().is_empty() || (to_all && self.line.has_room_to_all()) {
            return;
        }
        let out = self.line.to_all().iter().filter_map(|chat| self.line.get(*chat));
        let mut out: Vec<Turn> = out.map(turn_of).collect();
        out.sort_unstable_by(|one, other| other.cmp(one));
        if to_all {
            let mut places = 0;
            let mut passed = None;
            while let Some(largest) = out.get(places)
                && self.line.turns().iter().next().is_some_and(|head| head < *largest)
                && let Some(wanting) = self.first_able(passed)
                && wanting < *largest
            {
                (places, passed) = (places + 1, Some(wanting));
            }
            out.truncate(places);
        }
        for Turn { chat, .. } in out {
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
        offer: NewOffer,
        decision: Decision,
    ) {
        let NewOffer { id: offer, reach, to } = offer;
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
        let of_stranger = |chat| match self.line.get(chat)?.phase {
            Phase::Reserving { operator, offer, .. } if !self.pool.contains(operator) => {
                Some(Reserved { offer, chat, operator })
            }
            Phase::Reserving { .. } | Phase::Waiting | Phase::Offering { .. } | Phase::Offered => {
                None
            }
        };
        let given_up: Vec<Reserved> = self.reserving().filter_map(of_stranger).collect();
        for Reserved { offer, chat, operator } in given_up {
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
        Reserved { offer, chat, operator }: Reserved,
        held: bool,
        effects: &mut Vec<QueueEffect>,
    ) {
        let phase = self.line.get(chat).map(|entry| entry.phase.clone());
        match phase {
            Some(Phase::Reserving { offer: asked, decision, .. }) if asked == offer => {
                self.end_reservation(chat, operator);
                if held {
                    let (reach, to) = (Reach::Directed, vec![operator]);
                    self.offer(now, chat, NewOffer { id: offer, reach, to }, decision);
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
        let reach = self.asks().reach()?;
        let best = match reach {
            Reach::Directed => self.best_waiting(operator, &[]),
            Reach::ToAll => {
                let out = self.line.to_all();
                let live = out.iter().filter(|chat| !except.contains(chat));
                let live = live.filter_map(|chat| self.line.get(*chat));
                let live = live.filter(|entry| self.may_have(entry)(operator));
                let live = live.map(turn_of);
                let room = self.line.has_room_to_all();
                let next = room.then(|| self.best_waiting(operator, except)).flatten();
                live.chain(next).min()
            }
        };
        let Turn { rank, chat } = best?;
        let weight = self.line.get(chat)?.at.weight;
        Some(Quote { rank, weight, chat, reach })
    }

    /// The best waiting chat that a member with a free slot could serve.
    fn best_waiting(&self, operator: UserId, except: &[ChatId]) -> Option<Turn> {
        self.first_for(operator, None).find(|turn| !except.contains(&turn.chat))
    }

    /// Uses the slot that an operator holds for the best chat it could serve, which may have a
    /// smaller rank than was quoted, never a larger one. Answers the chat.
    pub(super) fn give(
        &mut self,
        now: Timestamp,
        operator: UserId,
        slot: GivenSlot,
    ) -> Option<ChatId> {
        self.given.retain(|_, given| given.ends_at > now);
        if let Some(given) = self.given.get(&slot.offer) {
            return Some(given.chat);
        }
        if now >= slot.expires_at {
            return None;
        }
        if self.asks() != Asks::One || !self.pool.contains(operator) {
            return None;
        }
        let Turn { rank, chat } = self.best_waiting(operator, &[])?;
        if rank > slot.quoted || self.line.get(chat)?.at.weight > slot.weight {
            return None;
        }
        let decision = self.decision(chat, Trigger::Pull, &[], now);
        let (id, reach, to) = (slot.offer, Reach::Directed, vec![operator]);
        self.offer(now, chat, NewOffer { id, reach, to }, decision);
        self.given.insert(slot.offer, Given { chat, ends_at: slot.expires_at });
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

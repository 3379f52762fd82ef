//! What has changed about the chats of the line, and for whom each may be meant since then.
//!
//! Everything that may change whom a chat may go to notes that it did: the line, the pool, what was
//! shown. Before anything is decided those chats are looked at, and no others. Of what was shown no chat
//! that waits need be: it is asked for when somebody looks for a chat ([`Queue::held_back`]); of the
//! offers to all, it is found out for the one operator anew.

use std::collections::BTreeSet;

use crate::domain::limits::FEW_WITH_ROOM;
use crate::domain::operator::Standing;
use crate::domain::{ChatId, Customer, Timestamp, UserId};

use crate::routing::excluded::HeldBack;
use crate::routing::pool::Eligible;
use crate::routing::{Asks, Ranked, Turn};

use super::Queue;
use super::line::Entry;

impl Queue {
    /// Looks at what has changed: chats that came, went or said something, or that a time is over for. Offers
    /// to all also, when somebody has become eligible or is so no more, when another chat of the visitor was
    /// offered, or somebody else waits beside it, or does no more. What all who are eligible have refused is
    /// found out bit by bit: until then who has refused a chat is not asked again.
    pub(super) fn look(&mut self, now: Timestamp) {
        self.looked_at = now;
        let mut chats = self.line.take_changed();
        chats.extend(self.excluded.due(now));
        let mut pool = self.pool.take_changed();
        let mut of_all = false;
        if pool.eligible {
            of_all = self.excluded.of_eligibility(&self.pool);
            chats.extend(self.line.to_all());
            // It may have what it refused, now that nobody else is there for it.
            if let Eligible::One(alone) = self.excluded.were_eligible() {
                pool.room.insert(alone);
            }
        }
        let only_visitor = self.line.only_visitor();
        let former = std::mem::replace(&mut self.only_visitor, only_visitor);
        let is_another = former != only_visitor;
        if is_another {
            // An offer stands though its chat may be offered no more: not even its visitor counts then.
            chats.extend(self.line.to_all());
        }
        for chat in chats {
            self.look_at(chat, now);
        }
        of_all |= self.lift();
        let shown = self.shown.take_changed();
        let freed = self.shown.take_freed();
        let alone = only_visitor.flatten().filter(|_| is_another);
        if of_all {
            pool.room.extend(self.pool.with_room().map(|(operator, _)| operator));
        }
        self.note_fresh(pool.room.union(&freed), alone);
        match self.asks() {
            Asks::All => {
                self.came.extend(pool.room);
                self.note_who_was_shown(&shown);
            }
            // Another configuration has all looked at.
            Asks::One | Asks::Nobody => {}
        }
    }

    /// Finds out some more of what all who are eligible have refused, if that is not known. Answers whether
    /// something may have changed for all members.
    fn lift(&mut self) -> bool {
        let left = (self.at_most.pairs / 2).saturating_sub(self.looks);
        let lift = self.excluded.lift(left);
        self.looks += lift.pairs;
        for chat in lift.chats {
            self.fresh.chat_changed(chat, self.line.turn(chat));
            if self.line.to_all().contains(&chat) {
                self.to_widen.insert(chat);
            }
        }
        if lift.known {
            self.to_widen.extend(self.line.to_all());
        }
        lift.known
    }

    /// Notes the members for whom something has changed: their room, or that something they were shown counts
    /// no more. What they were shown of one visitor does not matter once nobody else waits: that is noted of its
    /// chats. The other chats are noted as they are looked at. Where they are more, the members are noted instead.
    fn note_fresh<'a>(
        &mut self,
        members: impl Iterator<Item = &'a UserId>,
        alone: Option<Customer>,
    ) {
        let with_room = self.pool.with_room();
        if with_room.len() == 0 || self.line.turns().is_empty() {
            self.fresh.clear();
            return;
        }
        let of_visitor = alone.and_then(|alone| self.line.turns_of(alone));
        let many = self.fresh.chats() > with_room.len() && with_room.len() <= FEW_WITH_ROOM;
        if many || of_visitor.is_some_and(|turns| turns.len() > with_room.len()) {
            self.fresh.members_instead(with_room.map(|(operator, _)| operator));
            return;
        }
        for turn in of_visitor.into_iter().flat_map(Ranked::iter) {
            self.fresh.chat_changed(turn.chat, Some(turn));
        }
        for operator in members {
            if self.pool.room(*operator).is_some() {
                self.fresh.member_changed(*operator);
            } else {
                self.fresh.member_settled(*operator);
            }
        }
    }

    /// Of these visitors and operators something else is known: notes them for the offers to all.
    fn note_who_was_shown(&mut self, shown: &BTreeSet<(Customer, UserId)>) {
        for chat in self.line.to_all() {
            let customer = self.line.get(*chat).and_then(|entry| entry.at.customer);
            let Some(customer) = customer else { continue };
            let of_visitor = shown.range((customer, UserId::from_u128(0))..);
            let of_visitor = of_visitor.take_while(|(of, _)| *of == customer);
            let mut operators = of_visitor.map(|(_, operator)| *operator).peekable();
            if operators.peek().is_some() {
                self.came_to.entry(*chat).or_default().extend(operators);
            }
        }
    }

    fn look_at(&mut self, chat: ChatId, now: Timestamp) {
        let is_offered = self.line.to_all().contains(&chat);
        if is_offered {
            self.to_widen.insert(chat);
        } else {
            self.to_widen.remove(&chat);
            self.came_to.remove(&chat);
            self.missing.remove(&chat);
        }
        let turn = self.line.turn(chat);
        self.fresh.chat_changed(chat, turn);
        let mut excluded = std::mem::take(&mut self.excluded);
        match self.line.get(chat).filter(|_| is_offered || turn.is_some()) {
            Some(entry) => {
                let of = (entry.at.customer, turn);
                excluded.look(&self.pool, self.case(entry, now), &entry.at.refused_by, of);
            }
            None => excluded.forget(chat),
        }
        self.excluded = excluded;
    }

    /// Whether a member may have the chat, as far as the chat goes: it has not refused it, and was not
    /// offered another one of its visitor. As of the last look.
    pub(super) fn may_have<'a>(&'a self, entry: &'a Entry) -> impl Fn(UserId) -> bool + 'a {
        let (chat, now) = (entry.at.chat, self.looked_at);
        let case = self.case(entry, now);
        let shown = move |operator| case.shown_until(operator).is_some_and(|until| now < until);
        move |operator| !self.excluded.has(chat, operator) && !shown(operator)
    }

    /// What waits of the visitors of whom the member was offered a chat lately. As of the last look.
    pub(super) fn held_back(&self, operator: UserId) -> Vec<HeldBack<'_>> {
        let every_ms = self.settings.visitor_offer_every_ms;
        let held_back = |customer| {
            let turns = self.line.turns_of(customer)?;
            let (chat, at) = *self.shown.of(customer)?.get(&operator)?;
            let but = self.line.turn(chat).filter(|turn| turns.contains(turn));
            let holds = self.looked_at < at.plus_ms(every_ms) && self.line.others_wait(customer);
            holds.then_some(HeldBack { customer, turns, but })
        };
        self.shown.to(operator).filter_map(held_back).collect()
    }

    /// The first of those who wait, after that turn if one is given, that a member may have; and the
    /// ones after it.
    pub(super) fn first_for(
        &self,
        operator: UserId,
        after: Option<Turn>,
    ) -> impl Iterator<Item = Turn> + '_ {
        let held_back = self.held_back(operator);
        self.excluded.first_for(operator, held_back, self.line.turns(), after)
    }

    /// Panics when something is not what a look at everything would give; for tests and the
    /// simulation.
    pub(super) fn assert_looked(&self) {
        let now = self.looked_at;
        let waits = self.line.waiting().map(|turn| turn.chat);
        let looked: Vec<ChatId> = waits.chain(self.line.to_all().iter().copied()).collect();
        for chat in looked {
            let Some(entry) = self.line.get(chat) else { panic!("{chat:?} is not in the line") };
            let case = self.case(entry, now);
            let turn = self.line.turn(chat);
            let others = case.lately.into_iter().flat_map(|lately| lately.keys());
            let may_have = self.may_have(entry);
            for operator in self.pool.members().chain(others.copied()) {
                let (could, may) = (self.pool.could_serve(operator, case), may_have(operator));
                let known = could == may || (could && self.excluded.is_lifting());
                assert!(known, "whether {chat:?} may go to {operator:?}: {could}, {may}");
            }
            for (operator, standing, _) in self.pool.standings(case) {
                let may_be_given =
                    turn.filter(|_| standing == Standing::Free && may_have(operator));
                assert!(
                    may_be_given.is_none_or(|turn| self.fresh.has(turn, operator)),
                    "{operator:?} may have {chat:?}, and it would not be asked about them"
                );
            }
        }
        self.fresh.assert_invariants();
        self.excluded.assert_invariants(&self.pool, self.line.turns());
        self.assert_widened();
    }

    /// Whom an offer to all does not reach and could is known of each that is not to be found out anew.
    fn assert_widened(&self) {
        let live = |chat: &&ChatId| self.live(**chat).is_some();
        let offers: BTreeSet<ChatId> = self.line.to_all().iter().filter(live).copied().collect();
        for noted in [
            self.missing.keys().collect(),
            self.came_to.keys().collect(),
            self.to_widen.iter().collect(),
        ] {
            let noted: Vec<&ChatId> = noted;
            assert!(
                noted.iter().all(|chat| self.line.to_all().contains(chat)),
                "{noted:?}: offers"
            );
        }
        if self.asks() != Asks::All || self.excluded.is_lifting() {
            return;
        }
        assert!(self.came.is_empty(), "{:?} came, and it was not looked at what for", self.came);
        for chat in offers
            .iter()
            .filter(|chat| !self.to_widen.contains(*chat) && !self.came_to.contains_key(*chat))
        {
            let Some(entry) = self.line.get(*chat) else { panic!("{chat:?} is not in the line") };
            let reached = |operator: &UserId| {
                entry.at.place.offer().is_some_and(|offer| offer.to.contains(operator))
            };
            let standings = self.pool.standings(self.case(entry, self.looked_at));
            let able = standings.filter(|(_, standing, _)| *standing == Standing::Free);
            let missing = able.map(|(operator, ..)| operator).filter(|able| !reached(able));
            let missing: BTreeSet<UserId> = missing.collect();
            let known = self.missing.get(chat).cloned().unwrap_or_default();
            assert_eq!(known, missing, "whom the offer of {chat:?} does not reach and could");
        }
    }
}

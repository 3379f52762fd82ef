//! What has changed about the chats of the line, and for whom each may be meant since then.
//!
//! Everything that may change whom a chat may go to notes that it did: the line, the pool, what was
//! shown. Before anything is decided those chats are looked at, and no others.

use crate::domain::operator::Standing;
use crate::domain::{ChatId, Customer, Rule, Timestamp};

use super::Queue;

impl Queue {
    /// Looks at what has changed: chats that came, went or said something, that a time is over for,
    /// whose visitor's other chats were offered, beside whom somebody else waits or does no more, or
    /// whom now all who are eligible have refused, or not all any more.
    pub(super) fn look(&mut self, now: Timestamp) {
        self.looked_at = now;
        let mut chats = self.line.take_changed();
        chats.extend(self.excluded.due(now));
        let pool = self.pool.take_changed();
        if pool.eligible {
            chats.extend(self.excluded.of_eligibility(&self.pool));
        }
        for customer in self.shown.take_changed() {
            chats.extend(self.offered_or_waiting(customer));
        }
        let only_visitor = self.line.only_visitor();
        let former = std::mem::replace(&mut self.only_visitor, only_visitor);
        if former != only_visitor {
            // An offer stands though its chat may be offered no more: not even its visitor counts then.
            chats.extend(self.line.to_all());
            for customer in [former, only_visitor].into_iter().flatten().flatten() {
                chats.extend(self.line.of_visitor(customer));
            }
        }
        for chat in chats {
            self.look_at(chat, now);
        }
        match self.config.rule {
            Rule::ToAll => self.came.extend(pool.room),
            // Another configuration has all looked at.
            Rule::LeastLoaded | Rule::LongestIdle | Rule::Manual => {}
        }
    }

    fn offered_or_waiting(&self, customer: Customer) -> impl Iterator<Item = ChatId> + '_ {
        let offered = self.line.to_all().iter().copied().filter(move |chat| {
            self.line.get(*chat).is_some_and(|entry| entry.at.customer == Some(customer))
        });
        offered.chain(self.line.of_visitor(customer))
    }

    fn look_at(&mut self, chat: ChatId, now: Timestamp) {
        let is_offered = self.line.to_all().contains(&chat);
        if is_offered {
            self.to_widen.insert(chat);
        } else {
            self.to_widen.remove(&chat);
            self.missing.remove(&chat);
        }
        let turn = self.line.turn(chat);
        let mut excluded = std::mem::take(&mut self.excluded);
        match self.line.get(chat).filter(|_| is_offered || turn.is_some()) {
            Some(entry) => {
                excluded.look(&self.pool, self.case(entry, now), &entry.at.refused_by, turn);
            }
            None => excluded.forget(chat),
        }
        self.excluded = excluded;
    }

    /// Panics when something is not what a look at everything would give; for tests and the
    /// simulation.
    pub(super) fn assert_looked(&self) {
        let now = self.looked_at;
        let waits = self.line.waiting().map(|(_, chat)| chat);
        let looked: Vec<ChatId> = waits.chain(self.line.to_all().iter().copied()).collect();
        let mut first = None;
        for chat in looked {
            let Some(entry) = self.line.get(chat) else { panic!("{chat:?} is not in the line") };
            let case = self.case(entry, now);
            let turn = self.line.turn(chat);
            let others = case.lately.into_iter().flat_map(|lately| lately.keys());
            for operator in self.pool.members().chain(others.copied()) {
                assert_eq!(
                    self.pool.could_serve(operator, case),
                    !self.excluded.has(chat, operator),
                    "whether {chat:?} may go to {operator:?}"
                );
            }
            let mut standings = self.pool.standings(case);
            let able = standings.any(|(_, standing, _)| standing == Standing::Free);
            first = first.or(turn.filter(|_| able));
        }
        assert_eq!(self.first_able(None), first, "the first that somebody may have");
        self.excluded.assert_invariants(self.line.turns());
    }
}

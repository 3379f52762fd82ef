//! The queue: decides who is asked next for which chat, on beliefs that chats and operators
//! correct.
//!
//! Owns: the order of its line, what it believes of its members, the timers of its offers.
//! Refuses: to say where a chat is (the chat's) or that an operator has room (the operator's).
//! It has no log: a new life reads its line from the index and asks every member for its state.
//!
//! Invariants ([`Queue::assert_invariants`]): the waiting chats are ordered by rank; every chat of
//! the line is in one phase; a reservation on its way is counted at its operator.

mod asked;
mod explain;
mod line;
mod looked;
mod matching;
mod owed;
mod timers;

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::limits::{ASKED_AT_ONCE_MAX, FORGET_TOGETHER_MS, LOOKED_AT_ONCE_MAX};
use crate::domain::operator::OperatorState;
use crate::domain::time::earliest;
use crate::domain::{
    self, ChatId, Customer, OfferId, Place, Reach, RoutingSettings, Timestamp, UserId,
};
use crate::machine::Life;
use crate::machine::message::{ChatAt, Peer, ToChat, ToOperator, ToQueue};
use crate::machine::repeat::Repeater;
use crate::routing::{Excluded, Fresh, Pool, Shown, rank};
use crate::storage::OpenChat;

use asked::Asked;
pub use line::{Entry, Line, Phase};
use matching::{Given, GivenSlot, Reserved};
use owed::Owed;
pub use timers::{Cause, Look};

/// An input of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueInput {
    /// The rows of the index, read after the queue could be reached.
    Recovered(Vec<OpenChat>),
    /// The configuration changed.
    Configure(domain::Queue),
    /// The settings changed.
    Settings(RoutingSettings),
    /// From a chat or an operator.
    Said(ToQueue),
    /// A deadline came.
    Tick,
}

/// An effect of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueEffect {
    /// Say something to a chat.
    ToChat(ChatId, ToChat),
    /// Say something to an operator.
    ToOperator(UserId, ToOperator),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Queue {
    config: domain::Queue,
    settings: RoutingSettings,
    life: Life,
    offers_made: u64,
    pool: Pool,
    line: Line,
    owed: Repeater<Owed>,
    /// Slots that were given, with the chat they went to and the time at which they end: a repeat
    /// must not get another chat.
    given: BTreeMap<OfferId, Given>,
    /// Whom a `to_all` offer is to be widened to, until the chat says that it was.
    widening: BTreeMap<ChatId, BTreeSet<UserId>>,
    /// Whom each live `to_all` offer does not reach and could.
    missing: BTreeMap<ChatId, BTreeSet<UserId>>,
    /// The `to_all` offers of which that is to be found out anew.
    to_widen: BTreeSet<ChatId>,
    /// The members for each of whom it is to be found out, of all of these offers.
    came: BTreeSet<UserId>,
    /// Those for whom it is to be found out of one of these offers.
    came_to: BTreeMap<ChatId, BTreeSet<UserId>>,
    /// To whom chats of each visitor were offered lately.
    shown: Shown,
    /// Of these what stands in `shown` only because it was asked for, by chat; until the chat says what
    /// became of it.
    asked: BTreeMap<ChatId, Vec<Asked>>,
    /// Which chats may not go to whom, though there be room.
    excluded: Excluded,
    /// For which chats and members something has changed since nobody might have any.
    fresh: Fresh,
    /// The one visitor whose chats may be offered, when the line was looked at last.
    only_visitor: Option<Option<Customer>>,
    /// When that was.
    looked_at: Timestamp,
    /// More are to be asked, or looked for, than may be in one step: it goes on at once.
    goes_on: bool,
    /// Pairs of a chat and a member that this step has looked at, to find out who may have something.
    looks: usize,
    /// What a step does at most.
    at_most: AtMost,
}

/// What a step does before it goes on in the next one, at once.
#[derive(Debug, Clone, Copy)]
struct AtMost {
    /// Operators who are asked.
    asked: usize,
    /// Pairs of a chat and a member that are looked at.
    pairs: usize,
}

impl Queue {
    /// A new life of a queue. It asks every member for its state.
    pub fn new(
        config: domain::Queue,
        settings: RoutingSettings,
        life: Life,
        now: Timestamp,
    ) -> Self {
        let mut queue = Self {
            pool: Pool::new(config.rule),
            line: Line::new(),
            owed: Repeater::new(),
            given: BTreeMap::new(),
            widening: BTreeMap::new(),
            missing: BTreeMap::new(),
            to_widen: BTreeSet::new(),
            came: BTreeSet::new(),
            came_to: BTreeMap::new(),
            shown: Shown::default(),
            asked: BTreeMap::new(),
            excluded: Excluded::default(),
            fresh: Fresh::default(),
            only_visitor: None,
            looked_at: now,
            goes_on: false,
            looks: 0,
            at_most: AtMost { asked: ASKED_AT_ONCE_MAX, pairs: LOOKED_AT_ONCE_MAX },
            config: config.clone(),
            settings,
            life,
            offers_made: 0,
        };
        queue.configure(config, now);
        queue
    }

    /// The configuration in force.
    pub fn config(&self) -> &domain::Queue {
        &self.config
    }

    /// The line.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// What it believes of its members.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// When to feed a [`QueueInput::Tick`].
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let at_once = self.goes_on().then_some(self.looked_at);
        let next = earliest(at_once, earliest(self.owed.next(), self.line.next_timer()));
        earliest(next, self.forgets_at())
    }

    /// When it forgets what was shown, if no other step does before: what comes together, together.
    fn forgets_at(&self) -> Option<Timestamp> {
        let after_ms = self.settings.visitor_offer_every_ms.saturating_add(FORGET_TOGETHER_MS);
        self.shown.oldest().map(|at| at.plus_ms(after_ms))
    }

    /// Whether a step has left something to the next one.
    fn goes_on(&self) -> bool {
        self.goes_on || self.excluded.is_lifting()
    }

    /// Takes an input and answers what is to be done.
    pub fn step(&mut self, now: Timestamp, input: QueueInput) -> Vec<QueueEffect> {
        let mut effects = self.hear(now, input);
        self.match_line(now);
        self.say_due(now, &mut effects);
        effects
    }

    fn hear(&mut self, now: Timestamp, input: QueueInput) -> Vec<QueueEffect> {
        let mut effects = Vec::new();
        let over = now.0.saturating_sub(self.settings.visitor_offer_every_ms);
        self.shown.forget_until(Timestamp(over));
        match input {
            QueueInput::Recovered(rows) => {
                for row in rows {
                    self.recover(row, now, &mut effects);
                }
            }
            QueueInput::Configure(config) => {
                self.configure(config, now);
                self.release_strangers(now, &mut effects);
            }
            QueueInput::Settings(settings) => {
                self.settings = settings;
                self.rank_anew();
                self.look_again_at_all(now);
            }
            QueueInput::Said(said) => self.on_said(now, said, &mut effects),
            QueueInput::Tick => self.on_timers(now, &mut effects),
        }
        effects
    }

    fn on_said(&mut self, now: Timestamp, said: ToQueue, effects: &mut Vec<QueueEffect>) {
        match said {
            ToQueue::At(at) => {
                let peer = Peer::Queue(self.config.id);
                let (placement, version) = (at.placement, at.version);
                let seen = ToChat::Seen { peer, placement, version };
                effects.push(QueueEffect::ToChat(at.chat, seen));
                self.chat_at(at, now, effects);
            }
            ToQueue::State(state) => {
                let (operator, known) = (state.operator, (state.life, state.version));
                self.believe(state);
                let seen = ToOperator::StateSeen { queue: self.config.id, known };
                effects.push(QueueEffect::ToOperator(operator, seen));
            }
            ToQueue::ReserveAnswer { offer, chat, result, state } => {
                let operator = state.operator;
                self.believe(state);
                let reserved = Reserved { offer, chat, operator };
                self.reserve_answered(now, reserved, result.is_ok(), effects);
            }
            ToQueue::Pull { pull, except, state } => {
                let operator = state.operator;
                self.believe(state);
                self.look(now);
                let best = self.quote(operator, &except);
                let best = ToOperator::Best { queue: self.config.id, pull, best };
                effects.push(QueueEffect::ToOperator(operator, best));
            }
            ToQueue::Give { offer, rank, weight, expires_at, state } => {
                let operator = state.operator;
                self.believe(state);
                self.look(now);
                let slot = GivenSlot { offer, quoted: rank, weight, expires_at };
                let chat = self.give(now, operator, slot);
                let answer = ToOperator::GiveAnswer { offer, chat };
                effects.push(QueueEffect::ToOperator(operator, answer));
            }
        }
    }

    fn believe(&mut self, state: OperatorState) {
        let operator = state.operator;
        if self.pool.contains(operator) {
            self.pool.believe(state);
            self.owed.settle(Owed::AskState(operator));
        }
    }

    /// A chat says where it is.
    fn chat_at(&mut self, at: ChatAt, now: Timestamp, effects: &mut Vec<QueueEffect>) {
        let chat = at.chat;
        let known = self.line.get(chat);
        let said = (at.placement, at.version);
        if let Some(known) = known.map(|entry| (entry.at.placement, entry.at.version))
            && known >= said
        {
            if known == said {
                self.owed.settle(Owed::Ask(chat));
            }
            return;
        }
        // The index does not know how old it is. What was said before it was read, and comes late,
        // would undo it, and the chat, which was heard by the life before, would not say it again.
        let doubtful = known.is_some_and(|entry| entry.at.version == ChatAt::NOT_SAID)
            || self.owed.owes(Owed::Ask(chat));
        let renewed = at.place == Place::Waiting && !at.spent;
        if known.is_some_and(|e| e.at.placement == at.placement) && renewed {
            // Read from the index before, now said by the chat itself. An offer that was asked for
            // meanwhile will be made, for it names this placement: its slot stays held.
            let rank = rank(at.since, self.config.priority, at.priority, &self.settings);
            self.line.renew(at, rank);
            if self.owed.owes(Owed::Offer(chat)) {
                self.await_answer(chat, now);
            }
            // Whose it is may not have been known.
            self.look_again(chat, now);
            if doubtful {
                self.owed.owe(Owed::Ask(chat), now);
            }
            return;
        }
        self.forget(chat, at.place.offer().map(|offer| offer.id), effects);
        self.take_back_asked(chat, at.placement, at.place.offer(), now);
        let here = at.queue == self.config.id;
        let phase = match &at.place {
            Place::Waiting if here => Phase::Waiting,
            Place::Offered(_) if here => Phase::Offered,
            Place::Waiting | Place::Offered(_) | Place::Assigned { .. } | Place::Ended { .. } => {
                return;
            }
        };
        let rank = rank(at.since, self.config.priority, at.priority, &self.settings);
        let (offer, moved_at) = (at.place.offer().cloned(), at.moved_at);
        self.line.insert(Entry { at, rank, phase, silent: false, answers_by: None });
        self.look_again(chat, now);
        if doubtful {
            self.owed.owe(Owed::Ask(chat), now);
        }
        if let Some(offer) = offer {
            let to: Vec<UserId> = offer.to.iter().copied().collect();
            self.note_shown(chat, &to, moved_at.min(now), now);
            self.withdraw_from_strangers(chat, now);
        }
    }

    fn recover(&mut self, row: OpenChat, now: Timestamp, effects: &mut Vec<QueueEffect>) {
        // A chat about to be opened tells us itself once it is.
        let Some(at) = ChatAt::of_row(&row, now) else { return };
        let marked = row.moving.is_some();
        let chat = at.chat;
        self.chat_at(at, now, effects);
        if marked {
            let peer = Peer::Queue(self.config.id);
            effects.push(QueueEffect::ToChat(chat, ToChat::Ask { peer }));
        }
    }

    /// Takes a chat out of the line, and with it all that was under way about it. A slot that is
    /// held for an offer which did not come true is given back; `live` is the one that did.
    fn forget(&mut self, chat: ChatId, live: Option<OfferId>, effects: &mut Vec<QueueEffect>) {
        let Some(entry) = self.line.remove(chat) else {
            return;
        };
        self.widening.remove(&chat);
        for owed in [Owed::Ask(chat), Owed::Offer(chat), Owed::Lapse(chat), Owed::Widen(chat)] {
            self.owed.settle(owed);
        }
        if let Some(offer) = entry.at.place.offer() {
            for operator in offer.to.iter() {
                self.owed.settle(Owed::Withdraw(chat, *operator));
            }
        }
        match entry.phase {
            Phase::Reserving { offer, operator, .. } => {
                self.end_reservation(chat, operator);
                effects.push(QueueEffect::ToOperator(operator, ToOperator::Release { offer }));
            }
            Phase::Offering { offer, reach: Reach::Directed, to, .. } if live != Some(offer) => {
                let release = |to| QueueEffect::ToOperator(to, ToOperator::Release { offer });
                effects.extend(to.into_iter().map(release));
            }
            Phase::Offering { .. } | Phase::Waiting | Phase::Offered => {}
        }
    }

    fn end_reservation(&mut self, chat: ChatId, operator: UserId) {
        self.owed.settle(Owed::Reserve(chat));
        self.pool.arrived(operator);
    }

    fn configure(&mut self, config: domain::Queue, now: Timestamp) {
        self.pool.set_rule(config.rule);
        let came = self.pool.set_members(&config.members);
        let same_priority = self.config.priority == config.priority;
        self.config = config;
        let strangers: Vec<Owed> = self
            .owed
            .keys()
            .filter(|owed| matches!(owed, Owed::AskState(op) if !self.pool.contains(*op)))
            .collect();
        for owed in strangers {
            self.owed.settle(owed);
        }
        for operator in came {
            self.owed.owe(Owed::AskState(operator), now);
        }
        if !same_priority {
            self.rank_anew();
        }
        // Nothing of a chat that waits depends on the rest, but on who is a member: that the pool notes.
        for chat in self.line.not_waiting().collect::<Vec<_>>() {
            self.line.changed(chat);
            self.withdraw_from_strangers(chat, now);
            self.look_again(chat, now);
        }
    }

    fn look_again_at_all(&mut self, now: Timestamp) {
        for chat in self.line.chats().collect::<Vec<_>>() {
            self.look_again(chat, now);
        }
    }

    fn rank_anew(&mut self) {
        let (priority, settings) = (self.config.priority, self.settings);
        self.line.rank_anew(|at| rank(at.since, priority, at.priority, &settings));
    }

    /// Takes a live offer back from those who are no longer members.
    fn withdraw_from_strangers(&mut self, chat: ChatId, now: Timestamp) {
        let Some(entry) = self.line.get(chat) else {
            return;
        };
        let Some(offer) = entry.at.place.offer() else {
            return;
        };
        let strangers = offer.to.iter().filter(|operator| !self.pool.contains(**operator));
        for operator in strangers.copied().collect::<Vec<_>>() {
            self.owed.keep(Owed::Withdraw(chat, operator), now);
        }
    }

    fn next_offer(&mut self) -> OfferId {
        self.offers_made += 1;
        OfferId::of(self.life, self.offers_made)
    }

    /// Panics when the queue contradicts itself; for tests and the simulation.
    pub fn assert_invariants(&self) {
        self.pool.assert_invariants();
        self.line.assert_invariants();
        self.shown.assert_invariants();
        self.assert_looked();
        let in_line = |chat: &ChatId| self.line.get(*chat).is_some();
        assert!(self.asked.keys().all(in_line), "only chats of the line are asked for");
        for entry in self.line.entries() {
            let chat = entry.at.chat;
            let live = entry.at.place.offer().is_some();
            assert_eq!(live, entry.phase == Phase::Offered, "{chat:?}: phase and place agree");
            let reserving = matches!(entry.phase, Phase::Reserving { .. });
            assert_eq!(reserving, self.owed.owes(Owed::Reserve(chat)), "{chat:?}: reserve owed");
            let offering = matches!(entry.phase, Phase::Offering { .. });
            assert_eq!(offering, self.owed.owes(Owed::Offer(chat)), "{chat:?}: offer owed");
            if let Phase::Offering { reach: Reach::Directed, to, .. } = &entry.phase {
                assert_eq!(to.len(), 1, "{chat:?}: a directed offer goes to one");
            }
        }
    }
}

#[cfg(test)]
mod tests;

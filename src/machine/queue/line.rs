//! The line: the chats in a queue's care, in the order of their rank, each in one phase.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::domain::event::Decision;
use crate::domain::limits::TO_ALL_OFFERS_MAX;
use crate::domain::{ChatId, Customer, OfferId, Reach, Timestamp, UserId};
use crate::machine::message::ChatAt;
use crate::routing::{Ranked, Turn};

/// How far the queue has come with a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is being asked.
    Waiting,
    /// An operator is asked to hold a slot.
    Reserving {
        /// The offer to come.
        offer: OfferId,
        /// Who is asked.
        operator: UserId,
        /// When the slot is free again.
        expires_at: Timestamp,
        /// Why that operator.
        decision: Decision,
    },
    /// The chat is asked to offer itself.
    Offering {
        /// The offer.
        offer: OfferId,
        /// How it reaches operators.
        reach: Reach,
        /// To whom.
        to: Vec<UserId>,
        /// Why so.
        decision: Decision,
    },
    /// The chat has a live offer, as it says itself.
    Offered,
}

/// A chat in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the chat said last.
    pub at: ChatAt,
    /// Its rank.
    pub rank: i64,
    /// How far the queue has come with it.
    pub phase: Phase,
    /// It does not answer what it was asked to do: nobody is kept waiting for it.
    pub silent: bool,
    /// Until when it is to answer what it was asked to do; none when nothing is asked, or it is
    /// silent.
    pub answers_by: Option<Timestamp>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Line {
    entries: BTreeMap<ChatId, Entry>,
    /// Those whom nobody is being asked for.
    waiting: Ranked<Turn>,
    /// The same by whose they are, as far as that is known.
    waiting_of: BTreeMap<Customer, Ranked<Turn>>,
    /// Those whom somebody is being asked for, or nobody any more: never many, for each takes a slot, a
    /// place among the offers to all, or a year of offers.
    others: BTreeSet<Turn>,
    /// Those with a `to_all` offer live or under way, but for silent ones.
    to_all: BTreeSet<ChatId>,
    /// The silent ones.
    silent: BTreeSet<ChatId>,
    /// Those that may be offered, by whose they are; of nobody those of whom that is not known.
    of_visitor: BTreeMap<Option<Customer>, BTreeSet<ChatId>>,
    /// Those that came, went or changed since that was asked last.
    changed: BTreeSet<ChatId>,
    timers: BTreeSet<(Timestamp, ChatId)>,
    timer_of: BTreeMap<ChatId, Timestamp>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A chat in the line.
    pub fn get(&self, chat: ChatId) -> Option<&Entry> {
        self.entries.get(&chat)
    }

    /// How many chats are in the line, in whatever phase.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The chats that nobody is being asked for, in their turns.
    pub fn waiting(&self) -> impl Iterator<Item = Turn> + '_ {
        self.waiting.iter()
    }

    /// The same, by their positions.
    pub(super) fn turns(&self) -> &Ranked<Turn> {
        &self.waiting
    }

    /// The visitor's chats that nobody is being asked for, if there are any.
    pub(super) fn turns_of(&self, customer: Customer) -> Option<&Ranked<Turn>> {
        self.waiting_of.get(&customer)
    }

    /// The chats that came, went or changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> BTreeSet<ChatId> {
        std::mem::take(&mut self.changed)
    }

    /// Something that is not said here has changed about the chat.
    pub(super) fn changed(&mut self, chat: ChatId) {
        self.changed.insert(chat);
    }

    /// Those whom somebody is being asked for, or nobody any more, in their turns.
    pub(super) fn not_waiting(&self) -> impl Iterator<Item = ChatId> + '_ {
        self.others.iter().map(|turn| turn.chat)
    }

    /// When the chat is served, if nobody is being asked for it.
    pub(super) fn turn(&self, chat: ChatId) -> Option<Turn> {
        let entry = self.get(chat).filter(|entry| is_waiting(entry))?;
        Some(turn_of(entry))
    }

    /// The chats with a `to_all` offer live or under way, but for silent ones.
    pub(super) fn to_all(&self) -> &BTreeSet<ChatId> {
        &self.to_all
    }

    /// Whether one more `to_all` offer may be made: as many as may be out, and when that many are
    /// silent, one at a time. Then it is the store that does not answer, and not a chat; all that
    /// was asked for comes true when it is back.
    pub(super) fn has_room_to_all(&self) -> bool {
        let asked = |chat: &ChatId| {
            self.get(*chat).is_some_and(|entry| matches!(entry.phase, Phase::Offering { .. }))
        };
        self.to_all.len() < TO_ALL_OFFERS_MAX
            && (self.silent.len() < TO_ALL_OFFERS_MAX || !self.to_all.iter().any(asked))
    }

    /// Whether a chat of anybody else is in the line, waiting or on screens: such a one of whom
    /// nobody may be asked any more does not count.
    pub(super) fn others_wait(&self, customer: Customer) -> bool {
        let own = usize::from(self.of_visitor.contains_key(&Some(customer)));
        self.of_visitor.len() > own
    }

    /// The one visitor whose chats may be offered, if nobody else has any: of nobody if that is not
    /// known.
    pub(super) fn only_visitor(&self) -> Option<Option<Customer>> {
        let mut visitors = self.of_visitor.keys();
        visitors.next().copied().filter(|_| visitors.next().is_none())
    }

    /// The visitor's chats that may be offered.
    pub(super) fn of_visitor(&self, customer: Customer) -> impl Iterator<Item = ChatId> + '_ {
        self.of_visitor.get(&Some(customer)).into_iter().flatten().copied()
    }

    /// How many chats wait in front of one with this rank.
    pub fn ahead_of(&self, rank: i64, chat: ChatId) -> u64 {
        self.waiting.position(&Turn { rank, chat }).0 as u64
    }

    /// All chats of the line in their turns, behind that one if it is given. Costs what is taken of it.
    pub fn behind(&self, after: Option<Turn>) -> impl Iterator<Item = &Entry> {
        let first = after.map_or(0, |after| self.waiting.up_to(&after));
        let mut waiting = (first..).map_while(|n| self.waiting.nth(n)).peekable();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut others = self.others.range((from, Bound::Unbounded)).copied().peekable();
        let in_turn = std::iter::from_fn(move || match (waiting.peek(), others.peek()) {
            (Some(one), Some(other)) if other < one => others.next(),
            (Some(_), _) => waiting.next(),
            (None, _) => others.next(),
        });
        in_turn.filter_map(|turn| self.get(turn.chat))
    }

    /// All chats of the line, in the order of their ids.
    pub fn chats(&self) -> impl Iterator<Item = ChatId> + '_ {
        self.entries.keys().copied()
    }

    /// All entries, in the order of the chats' ids.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.link(&entry);
        self.entries.insert(entry.at.chat, entry);
    }

    pub(super) fn remove(&mut self, chat: ChatId) -> Option<Entry> {
        let entry = self.entries.remove(&chat)?;
        self.unlink(&entry);
        self.clear_timer(chat);
        Some(entry)
    }

    /// What the chat says of itself anew, in the place that it is in: its phase goes on.
    pub(super) fn renew(&mut self, at: ChatAt, rank: i64) {
        if let Some(former) = self.entries.remove(&at.chat) {
            self.unlink(&former);
            self.insert(Entry { at, rank, silent: false, ..former });
        }
    }

    /// Changes the phase, which drops the timer of the former one.
    pub(super) fn set_phase(&mut self, chat: ChatId, phase: Phase) {
        if let Some(mut entry) = self.remove(chat) {
            (entry.phase, entry.silent, entry.answers_by) = (phase, false, None);
            self.insert(entry);
        }
    }

    /// The chat did not answer in time.
    pub(super) fn set_silent(&mut self, chat: ChatId) {
        if let Some(mut entry) = self.entries.remove(&chat) {
            self.unlink(&entry);
            (entry.silent, entry.answers_by) = (true, None);
            self.insert(entry);
        }
    }

    /// The chat is to answer by then.
    pub(super) fn set_answers_by(&mut self, chat: ChatId, until: Timestamp) {
        if let Some(entry) = self.entries.get_mut(&chat) {
            entry.answers_by = Some(until);
        }
    }

    pub(super) fn rank_anew(&mut self, rank: impl Fn(&ChatAt) -> i64) {
        self.changed.extend(self.entries.keys());
        for entry in self.entries.values_mut() {
            entry.rank = rank(&entry.at);
        }
        (self.waiting, self.waiting_of, self.others) = Default::default();
        let entries = std::mem::take(&mut self.entries);
        entries.values().for_each(|entry| self.link_turn(entry));
        self.entries = entries;
    }

    /// The one time at which the chat is looked at again, if it is.
    pub(super) fn set_timer(&mut self, chat: ChatId, at: Option<Timestamp>) {
        self.clear_timer(chat);
        if let Some(at) = at {
            self.timers.insert((at, chat));
            self.timer_of.insert(chat, at);
        }
    }

    /// When the chat is looked at again.
    pub(super) fn timer(&self, chat: ChatId) -> Option<Timestamp> {
        self.timer_of.get(&chat).copied()
    }

    pub(super) fn take_timers(&mut self, now: Timestamp) -> Vec<ChatId> {
        let mut due = Vec::new();
        while let Some(&(at, chat)) = self.timers.first() {
            if at > now {
                break;
            }
            self.clear_timer(chat);
            due.push(chat);
        }
        due
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn clear_timer(&mut self, chat: ChatId) {
        if let Some(at) = self.timer_of.remove(&chat) {
            self.timers.remove(&(at, chat));
        }
    }

    fn link(&mut self, entry: &Entry) {
        let chat = entry.at.chat;
        self.changed.insert(chat);
        if !entry.at.spent {
            self.of_visitor.entry(entry.at.customer).or_default().insert(chat);
        }
        self.link_turn(entry);
        if is_to_all(entry) {
            let offers = if entry.silent { &mut self.silent } else { &mut self.to_all };
            offers.insert(chat);
        }
    }

    fn link_turn(&mut self, entry: &Entry) {
        let turn = turn_of(entry);
        if !is_waiting(entry) {
            self.others.insert(turn);
            return;
        }
        self.waiting.insert(turn);
        if let Some(customer) = entry.at.customer {
            self.waiting_of.entry(customer).or_default().insert(turn);
        }
    }

    fn unlink(&mut self, entry: &Entry) {
        self.changed.insert(entry.at.chat);
        let turn = turn_of(entry);
        self.waiting.remove(&turn);
        self.others.remove(&turn);
        if let Some(customer) = entry.at.customer
            && let Some(turns) = self.waiting_of.get_mut(&customer)
        {
            turns.remove(&turn);
            if turns.is_empty() {
                self.waiting_of.remove(&customer);
            }
        }
        self.to_all.remove(&entry.at.chat);
        self.silent.remove(&entry.at.chat);
        if let Some(chats) = self.of_visitor.get_mut(&entry.at.customer) {
            chats.remove(&entry.at.chat);
            if chats.is_empty() {
                self.of_visitor.remove(&entry.at.customer);
            }
        }
    }

    pub(super) fn assert_invariants(&self) {
        let mut fresh = Self::new();
        for entry in self.entries.values() {
            fresh.link(entry);
        }
        self.waiting.assert_invariants();
        assert!(
            fresh.waiting.iter().eq(self.waiting.iter()),
            "who waits is derived from the entries"
        );
        let by_visitor = |line: &Self| -> Vec<(Customer, Vec<Turn>)> {
            line.waiting_of.iter().map(|(of, turns)| (*of, turns.iter().collect())).collect()
        };
        assert_eq!(by_visitor(&fresh), by_visitor(self), "whose chats wait, by the entries");
        self.waiting_of.values().for_each(Ranked::assert_invariants);
        assert_eq!(fresh.others, self.others, "who does not is derived from the entries");
        assert_eq!(fresh.to_all, self.to_all, "who is offered to all is derived from the entries");
        assert_eq!(fresh.silent, self.silent, "who is silent is derived from the entries");
        assert_eq!(fresh.of_visitor, self.of_visitor, "whose they are is derived from the entries");
        let timers: BTreeSet<_> = self.timer_of.iter().map(|(chat, at)| (*at, *chat)).collect();
        assert_eq!(timers, self.timers, "one timer a chat");
    }
}

/// When the chat would be served.
pub(super) fn turn_of(entry: &Entry) -> Turn {
    Turn { rank: entry.rank, chat: entry.at.chat }
}

/// Nobody is being asked for it, and somebody may be.
fn is_waiting(entry: &Entry) -> bool {
    entry.phase == Phase::Waiting && !entry.at.spent
}

fn is_to_all(entry: &Entry) -> bool {
    match &entry.phase {
        Phase::Waiting | Phase::Reserving { .. } => false,
        Phase::Offering { reach, .. } => *reach == Reach::ToAll,
        Phase::Offered => entry.at.place.offer().is_some_and(|o| o.reach == Reach::ToAll),
    }
}

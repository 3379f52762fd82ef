//! The answers that were given, by participant and command, so that a repeat gets its first
//! answer: the latest [`COMMANDS_REMEMBERED`] for each of [`PARTIES_REMEMBERED`] participants as
//! they are, all others as a filter over the log, in which they stand ([`super::ids`]).

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::domain::limits::{COMMANDS_REMEMBERED, PARTIES_REMEMBERED};
use crate::domain::{CommandId, Party, Seq, Timestamp};

use super::ids::Ids;
use super::sourced::Refuses;

/// How many of the latest answers are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent {
    /// For each participant.
    pub commands: usize,
    /// For so many participants.
    pub parties: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self { commands: COMMANDS_REMEMBERED, parties: PARTIES_REMEMBERED }
    }
}

/// The answer to a call that changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The position of the event.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
}

/// What is known of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<R> {
    /// Nothing: it is new, or only the log knows.
    New,
    /// It is under way; the answer will come.
    Pending,
    /// It was answered.
    Known(Result<Answer, R>),
}

/// Tells calls with the same id apart: a hash of all that the call says. Lives as long as the
/// process, so a standard hasher with fixed keys will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of all that a call says.
    pub fn of(call: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        call.hash(&mut hasher);
        Self(hasher.finish())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Remembered<R> {
    command: CommandId,
    fingerprint: Fingerprint,
    lookup: Lookup<R>,
    /// Where it stands in the log.
    at: Seq,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers<R> {
    recent: Recent,
    by_party: BTreeMap<Party, VecDeque<Remembered<R>>>,
    /// Least recent first.
    recency: VecDeque<Party>,
    /// What is no longer among the recent ones.
    older: Ids,
}

impl<R: Refuses> Answers<R> {
    /// None yet, of which so many are to be kept in memory.
    pub(super) fn new(recent: Recent) -> Self {
        let (by_party, recency) = (BTreeMap::new(), VecDeque::new());
        Self { recent, by_party, recency, older: Ids::default() }
    }

    /// How many are kept in memory.
    pub(super) fn recent(&self) -> Recent {
        self.recent
    }

    /// Between which positions of the log the command may stand, the latest first. Nowhere when it
    /// is known, or surely new.
    pub(in crate::machine) fn may_stand(
        &self,
        party: Party,
        command: &CommandId,
    ) -> Vec<(Seq, Seq)> {
        match self.find(party, command) {
            Some(_) => Vec::new(),
            None => self.older.may_stand(party, command),
        }
    }

    /// What is known of the command; [`Refuses::ID_REUSED`] when it said something else.
    pub fn lookup(&self, party: Party, command: &CommandId, said: Fingerprint) -> Lookup<R> {
        match self.find(party, command) {
            Some(known) if known.fingerprint != said => Lookup::Known(Err(R::ID_REUSED)),
            Some(known) => known.lookup,
            None => Lookup::New,
        }
    }

    /// What is known of the command, whatever it said.
    pub fn recall(&self, party: Party, command: &CommandId) -> Lookup<R> {
        self.find(party, command).map_or(Lookup::New, |known| known.lookup)
    }

    /// A command of which the event at `at` says that it was carried out, or is under way.
    pub(super) fn remember(
        &mut self,
        party: Party,
        command: &CommandId,
        (fingerprint, lookup): (Fingerprint, Lookup<R>),
        at: Seq,
    ) {
        self.recency.retain(|known| *known != party);
        self.recency.push_back(party);
        if self.recency.len() > self.recent.parties
            && let Some(least) = self.recency.pop_front()
        {
            for known in self.by_party.remove(&least).into_iter().flatten() {
                self.older.insert(least, &known.command, known.at);
            }
        }
        let known = self.by_party.entry(party).or_default();
        if known.len() >= self.recent.commands
            && let Some(oldest) = known.pop_front()
        {
            self.older.insert(party, &oldest.command, oldest.at);
        }
        known.push_back(Remembered { command: command.clone(), fingerprint, lookup, at });
    }

    /// Replaces what is known of a command that was pending.
    pub(super) fn settle(&mut self, party: Party, command: &CommandId, answer: Result<Answer, R>) {
        let known = self.by_party.get_mut(&party).into_iter().flatten();
        for known in known.filter(|known| known.command == *command) {
            known.lookup = Lookup::Known(answer);
        }
    }

    fn find(&self, party: Party, command: &CommandId) -> Option<&Remembered<R>> {
        // The latest first: a repeat follows its first soon.
        self.by_party.get(&party)?.iter().rev().find(|known| known.command == *command)
    }
}

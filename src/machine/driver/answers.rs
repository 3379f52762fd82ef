//! The answers that were given, by participant and command, so that a repeat gets its first
//! answer: the latest [`COMMANDS_REMEMBERED`] for each of [`PARTIES_REMEMBERED`] participants as
//! they are, all others as a filter over the log, in which they stand ([`super::ids`]).

use std::collections::VecDeque;
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

/// The latest commands of a participant, oldest first. A new command is looked for among all of them, so that
/// first their hashes are looked through, which lie side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Latest<R> {
    hashes: VecDeque<u64>,
    commands: VecDeque<Remembered<R>>,
}

impl<R> Default for Latest<R> {
    fn default() -> Self {
        Self { hashes: VecDeque::new(), commands: VecDeque::new() }
    }
}

impl<R> Latest<R> {
    fn push(&mut self, known: Remembered<R>) {
        self.hashes.push_back(hash_of(&known.command));
        self.commands.push_back(known);
    }

    fn pop(&mut self) -> Option<Remembered<R>> {
        self.hashes.pop_front();
        self.commands.pop_front()
    }

    /// Where a command stands; the latest, should there be several.
    fn position(&self, command: &CommandId) -> Option<usize> {
        let hash = hash_of(command);
        let (older, newer) = self.hashes.as_slices();
        // All of a slice, without a branch for each: cheaper than to stop at the first.
        if !older.iter().chain(newer).fold(false, |found, known| found | (*known == hash)) {
            return None;
        }
        let alike = |(at, known): (usize, &u64)| (*known == hash).then_some(at);
        let places = self.hashes.iter().enumerate().rev().filter_map(alike);
        places.into_iter().find(|at| self.commands.get(*at).is_some_and(|k| k.command == *command))
    }
}

fn hash_of(command: &CommandId) -> u64 {
    let mut hasher = DefaultHasher::new();
    command.hash(&mut hasher);
    hasher.finish()
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers<R> {
    recent: Recent,
    /// Of few: least recent first.
    by_party: Vec<(Party, Latest<R>)>,
    /// What is no longer among the recent ones.
    older: Ids,
}

impl<R: Refuses> Answers<R> {
    /// None yet, of which so many are to be kept in memory.
    pub(super) fn new(recent: Recent) -> Self {
        Self { recent, by_party: Vec::new(), older: Ids::default() }
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
        let mut known = match self.position(party) {
            Some(at) => self.by_party.remove(at).1,
            None => Latest::default(),
        };
        if self.by_party.len() >= self.recent.parties.max(1) {
            let (least, latest) = self.by_party.remove(0);
            for known in latest.commands {
                self.older.insert(least, &known.command, known.at);
            }
        }
        if known.commands.len() >= self.recent.commands
            && let Some(oldest) = known.pop()
        {
            self.older.insert(party, &oldest.command, oldest.at);
        }
        known.push(Remembered { command: command.clone(), fingerprint, lookup, at });
        // Mostly two: no room for more is kept.
        self.by_party.reserve_exact(1);
        self.by_party.push((party, known));
    }

    /// Replaces what is known of a command that was pending.
    pub(super) fn settle(&mut self, party: Party, command: &CommandId, answer: Result<Answer, R>) {
        let Some(latest) = self.position(party).map(|at| &mut self.by_party[at].1) else { return };
        if let Some(at) = latest.position(command)
            && let Some(known) = latest.commands.get_mut(at)
        {
            known.lookup = Lookup::Known(answer);
        }
    }

    fn find(&self, party: Party, command: &CommandId) -> Option<&Remembered<R>> {
        let latest = &self.by_party[self.position(party)?].1;
        latest.commands.get(latest.position(command)?)
    }

    fn position(&self, party: Party) -> Option<usize> {
        self.by_party.iter().rposition(|(known, _)| *known == party)
    }
}

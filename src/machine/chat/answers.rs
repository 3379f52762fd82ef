//! The answers that a chat has given, by participant and command, so that a repeat gets its first
//! answer: [`COMMANDS_REMEMBERED`] for each of [`PARTIES_REMEMBERED`] participants.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::domain::limits::{COMMANDS_REMEMBERED, PARTIES_REMEMBERED};
use crate::domain::{CommandId, Party, Seq, Timestamp};
use crate::machine::message::Asked;

use super::refusal::Refusal;

/// The answer to a call that changed the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The position of the event.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
}

/// What is known of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing: it is new, or forgotten.
    New,
    /// It is under way; the answer will come.
    Pending,
    /// It was answered.
    Known(Result<Answer, Refusal>),
}

/// Tells calls with the same id apart: a hash of all that the call says. Lives as long as the
/// process, so a standard hasher with fixed keys will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) fn of(call: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        call.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Of what an operator's client asked for.
    pub(super) fn asked(asked: Asked) -> Self {
        match asked {
            Asked::Accept(offer) => Self::of(("accept", offer)),
            Asked::Decline(offer) => Self::of(("decline", offer)),
            Asked::Take => Self::of("take"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Remembered {
    command: CommandId,
    fingerprint: Fingerprint,
    lookup: Lookup,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answers {
    by_party: BTreeMap<Party, VecDeque<Remembered>>,
    /// Least recent first.
    recency: VecDeque<Party>,
}

impl Answers {
    /// What is known of the command; `IdReused` when it said something else.
    pub(super) fn lookup(&self, party: Party, command: &CommandId, said: Fingerprint) -> Lookup {
        match self.find(party, command) {
            Some(known) if known.fingerprint != said => Lookup::Known(Err(Refusal::IdReused)),
            Some(known) => known.lookup,
            None => Lookup::New,
        }
    }

    /// What is known of the command, whatever it said.
    pub(super) fn recall(&self, party: Party, command: &CommandId) -> Lookup {
        self.find(party, command).map_or(Lookup::New, |known| known.lookup)
    }

    pub(super) fn remember(
        &mut self,
        party: Party,
        command: &CommandId,
        fingerprint: Fingerprint,
        lookup: Lookup,
    ) {
        self.recency.retain(|known| *known != party);
        self.recency.push_back(party);
        if self.recency.len() > PARTIES_REMEMBERED
            && let Some(forgotten) = self.recency.pop_front()
        {
            self.by_party.remove(&forgotten);
        }
        let known = self.by_party.entry(party).or_default();
        if known.len() == COMMANDS_REMEMBERED {
            known.pop_front();
        }
        known.push_back(Remembered { command: command.clone(), fingerprint, lookup });
    }

    /// Replaces what is known of a command that was pending.
    pub(super) fn settle(
        &mut self,
        party: Party,
        command: &CommandId,
        answer: Result<Answer, Refusal>,
    ) {
        let known = self.by_party.entry(party).or_default();
        if let Some(known) = known.iter_mut().find(|known| known.command == *command) {
            known.lookup = Lookup::Known(answer);
        }
    }

    fn find(&self, party: Party, command: &CommandId) -> Option<&Remembered> {
        // The latest first: a repeat follows its first soon.
        self.by_party.get(&party)?.iter().rev().find(|known| known.command == *command)
    }
}

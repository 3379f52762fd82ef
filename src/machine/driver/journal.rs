//! What a fold keeps of its log, whatever the log is of.
//!
//! Owns: where the log ends, when its last event was, and the answers to commands, which change with an event
//! or its outcome and by nothing else. Refuses: to know what an event does to the aggregate, and to look
//! into the log for a command that memory has let go (`search.rs`).

use crate::domain::{CommandId, Party, Recorded, Seq, Timestamp};

use super::answers::{Answer, Answers, Lookup, Recent};
use super::sourced::{EventSourced, Refuses};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal<R> {
    tail: Seq,
    last_at: Timestamp,
    answers: Answers<R>,
}

impl<R: Refuses> Journal<R> {
    /// Of an empty log.
    pub fn new(recent: Recent) -> Self {
        Self { tail: 0, last_at: Timestamp::default(), answers: Answers::new(recent) }
    }

    /// The same of an empty log.
    pub fn emptied(&self) -> Self {
        Self::new(self.answers.recent())
    }

    /// The last position of the log; 0 when it is empty.
    pub fn tail(&self) -> Seq {
        self.tail
    }

    /// The time of the last event: time never runs backwards in a log.
    pub fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// The answers that were given.
    pub fn answers(&self) -> &Answers<R> {
        &self.answers
    }

    /// Takes an event that follows the tail: the first thing that is done when one is applied.
    pub fn record<A: EventSourced<Refusal = R>>(&mut self, recorded: &Recorded<A::Event>) {
        debug_assert_eq!(recorded.seq, self.tail + 1, "a log has no gaps");
        self.tail = recorded.seq;
        self.last_at = recorded.at;
        if let Some(stands) = A::command_in(&recorded.event) {
            let done = Lookup::Known(Ok(Answer { seq: recorded.seq, at: recorded.at }));
            let answer = if stands.under_way { Lookup::Pending } else { done };
            let known = (stands.said, answer);
            self.answers.remember(stands.party, stands.command, known, recorded.seq);
        }
    }

    /// The outcome of a command that was under way.
    pub fn settle(&mut self, party: Party, command: &CommandId, answer: Result<Answer, R>) {
        self.answers.settle(party, command, answer);
    }
}

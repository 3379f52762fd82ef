//! A look for a command's first call in the log, page by page, when the fold no longer has its
//! answer in memory and cannot say that it is new.
//!
//! Owns: which positions are read, and what the log says of the command. Refuses: to read by itself, and to
//! decide by what it found.

use crate::domain::{CommandId, Party, Recorded, Seq};

use super::answers::{Answer, Fingerprint, Lookup};
use super::sourced::{EventSourced, Refuses};
use super::words::Input;

/// What the log says of a command: what it said, and what it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<R> {
    fingerprint: Fingerprint,
    lookup: Lookup<R>,
}

impl<R: Refuses> Found<R> {
    /// What is known of the command when it says this.
    pub fn lookup(&self, said: Fingerprint) -> Lookup<R> {
        if self.fingerprint == said { self.lookup } else { Lookup::Known(Err(R::ID_REUSED)) }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(in crate::machine) struct Search<A: EventSourced> {
    party: Party,
    command: CommandId,
    /// Where it may stand, to be read one after the other, from the end of the list.
    places: Vec<(Seq, Seq)>,
    /// The next position to read, and the last of this place.
    next: Seq,
    last: Seq,
    /// The end of the log.
    tail: Seq,
    /// The event with which it began, if its outcome stands further on.
    begun: Option<(Fingerprint, A::Event)>,
}

/// How a search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::machine) enum Step<R> {
    /// Read from here on.
    Read(Seq),
    /// It is over; none: the command is new.
    Over(Option<Found<R>>),
    /// The log has a gap here.
    Gap(Seq),
}

impl<A: EventSourced> Search<A> {
    /// The search that an input needs before anything is decided on it, and where it begins.
    pub(in crate::machine) fn of(fold: &A, input: &Input<A>) -> Option<(Self, Seq)> {
        let (party, command) = fold.asked_by(input)?;
        let journal = fold.journal();
        let mut places = journal.answers().may_stand(party, command);
        places.reverse();
        let (next, last) = places.pop()?;
        let (command, tail) = (command.clone(), journal.tail());
        Some((Self { party, command, places, next, last, tail, begun: None }, next))
    }

    /// Takes what was read from where it asked for.
    pub(in crate::machine) fn page(&mut self, page: &[Recorded<A::Event>]) -> Step<A::Refusal> {
        if page.is_empty() {
            return Step::Gap(self.next);
        }
        let tail = self.tail;
        for recorded in page.iter().take_while(|recorded| recorded.seq <= tail) {
            if recorded.seq != self.next {
                return Step::Gap(self.next);
            }
            if let Some(found) = self.look_at(recorded) {
                return Step::Over(Some(found));
            }
            self.next += 1;
            if self.next > self.last {
                return self.next_place();
            }
        }
        Step::Read(self.next)
    }

    fn next_place(&mut self) -> Step<A::Refusal> {
        if let Some((fingerprint, _)) = self.begun {
            return Step::Over(Some(Found { fingerprint, lookup: Lookup::Pending }));
        }
        match self.places.pop() {
            Some((next, last)) => {
                (self.next, self.last) = (next, last);
                Step::Read(next)
            }
            None => Step::Over(None),
        }
    }

    fn look_at(&mut self, recorded: &Recorded<A::Event>) -> Option<Found<A::Refusal>> {
        let answer = Answer { seq: recorded.seq, at: recorded.at };
        if let Some((fingerprint, asked)) = &self.begun {
            let outcome = A::outcome_in(&recorded.event, asked)?;
            let lookup = Lookup::Known(outcome.map(|()| answer));
            return Some(Found { fingerprint: *fingerprint, lookup });
        }
        let stands = A::command_in(&recorded.event)?;
        if stands.party != self.party || *stands.command != self.command {
            return None;
        }
        if stands.under_way {
            // Its outcome is its answer, wherever that stands.
            self.begun = Some((stands.said, recorded.event.clone()));
            self.last = self.tail;
            return None;
        }
        Some(Found { fingerprint: stands.said, lookup: Lookup::Known(Ok(answer)) })
    }
}

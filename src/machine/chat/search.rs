//! A look for a command's first call in the log, page by page, when the chat no longer has its
//! answer in memory and cannot say that it is new.

use crate::domain::event::{AssignedHow, PlacedCause};
use crate::domain::{ChatEvent, CommandId, OfferId, Party, Recorded, Seq};
use crate::machine::message::{Asked, ToChat};

use super::answers::{Answer, Fingerprint, Lookup};
use super::call::{ChatInput, Target};
use super::decide::identity;
use super::fold::Chat;
use super::refusal::Refusal;

/// What the log says of a command: what it said, and what it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    fingerprint: Fingerprint,
    lookup: Lookup,
}

impl Found {
    /// What is known of the command when it says this.
    pub(super) fn lookup(&self, said: Fingerprint) -> Lookup {
        if self.fingerprint == said { self.lookup } else { Lookup::Known(Err(Refusal::IdReused)) }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Search {
    party: Party,
    command: CommandId,
    /// Where it may stand, to be read one after the other, from the end of the list.
    places: Vec<(Seq, Seq)>,
    /// The next position to read, and the last of this place.
    next: Seq,
    last: Seq,
    /// The end of the log.
    tail: Seq,
    /// A transfer that it asked for, whose outcome stands further on.
    transfer: Option<(Fingerprint, OfferId)>,
}

/// How a search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Read from here on.
    Read(Seq),
    /// It is over; none: the command is new.
    Over(Option<Found>),
    /// The log has a gap here.
    Gap(Seq),
}

impl Chat {
    /// The search that an input needs before anything is decided on it, and where it begins.
    pub(super) fn search(&self, input: &ChatInput) -> Option<(Search, Seq)> {
        let (party, command) = self.asked_by(input)?;
        let mut places = self.answers.may_stand(party, command);
        places.reverse();
        let (next, last) = places.pop()?;
        let (command, tail) = (command.clone(), self.tail);
        Some((Search { party, command, places, next, last, tail, transfer: None }, next))
    }

    /// By whom and under which id an input asks for something.
    fn asked_by<'a>(&self, input: &'a ChatInput) -> Option<(Party, &'a CommandId)> {
        match input {
            ChatInput::Call(_, call) => {
                let (by, command, _) = identity(call)?;
                // A stranger's call is refused whatever it names.
                Some((self.party(by.person)?, command))
            }
            ChatInput::Said(
                ToChat::Decline { operator, command, .. }
                | ToChat::Recall { operator, command, .. }
                | ToChat::Assign { operator, command: Some(command), .. },
            ) => Some((Party::User(*operator), command)),
            ChatInput::Said(
                ToChat::Assign { command: None, .. }
                | ToChat::Offer { .. }
                | ToChat::Widen { .. }
                | ToChat::Lapse { .. }
                | ToChat::Withdraw { .. }
                | ToChat::OwnerGone { .. }
                | ToChat::ReserveRefused { .. }
                | ToChat::Seen { .. }
                | ToChat::Rehome { .. }
                | ToChat::Ask { .. },
            )
            | ChatInput::Started
            | ChatInput::Tick => None,
        }
    }
}

impl Search {
    /// Takes what was read from where it asked for.
    pub(super) fn page(&mut self, page: &[Recorded]) -> Step {
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

    fn next_place(&mut self) -> Step {
        if let Some((fingerprint, _)) = self.transfer {
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

    fn look_at(&mut self, recorded: &Recorded) -> Option<Found> {
        if let Some((fingerprint, reservation)) = self.transfer {
            let answer = outcome_of(recorded, reservation)?;
            return Some(Found { fingerprint, lookup: Lookup::Known(answer) });
        }
        let (party, command, fingerprint) = id_of(&recorded.event)?;
        if party != self.party || *command != self.command {
            return None;
        }
        if let ChatEvent::TransferAsked { reservation, .. } = &recorded.event {
            // Its outcome is its answer, wherever that stands.
            self.transfer = Some((fingerprint, *reservation));
            self.last = self.tail;
            return None;
        }
        let answer = Answer { seq: recorded.seq, at: recorded.at };
        Some(Found { fingerprint, lookup: Lookup::Known(Ok(answer)) })
    }
}

/// How a transfer to an operator ended, if it did here.
fn outcome_of(recorded: &Recorded, asked: OfferId) -> Option<Result<Answer, Refusal>> {
    if let ChatEvent::Assigned { how: AssignedHow::Transferred { reservation, .. }, .. } =
        &recorded.event
        && *reservation == asked
    {
        return Some(Ok(Answer { seq: recorded.seq, at: recorded.at }));
    }
    if let ChatEvent::TransferFailed { reservation, reason } = &recorded.event
        && *reservation == asked
    {
        return Some(Err(Refusal::TargetUnavailable { reason: *reason }));
    }
    None
}

/// By whom and under which id an event was asked for, and what that call said.
pub(super) fn id_of(event: &ChatEvent) -> Option<(Party, &CommandId, Fingerprint)> {
    let to = |target: Target| Fingerprint::of(("transfer", target));
    match event {
        ChatEvent::Message { from, id, text } => Some((*from, id, Fingerprint::of(("send", text)))),
        ChatEvent::Begun { by, command } => Some((*by, command, Fingerprint::of("begin"))),
        ChatEvent::Ended { by, command, .. } => {
            Some((*by, command.as_ref()?, Fingerprint::of("end")))
        }
        ChatEvent::Placed { queue, cause: PlacedCause::Transferred { by, command }, .. } => {
            Some((*by, command, to(Target::Queue(*queue))))
        }
        ChatEvent::TransferAsked { by, command, to: operator, .. } => {
            Some((*by, command, to(Target::Operator(*operator))))
        }
        ChatEvent::Declined { offer, operator, command } => {
            let said = Fingerprint::asked(Asked::Decline(*offer));
            Some((Party::User(*operator), command, said))
        }
        ChatEvent::Assigned { operator, how, command, .. } => {
            let asked = match how {
                AssignedHow::Accepted { offer } => Asked::Accept(*offer),
                AssignedHow::Taken => Asked::Take,
                // The answer to whoever asked for the transfer.
                AssignedHow::Transferred { .. } => return None,
            };
            Some((Party::User(*operator), command, Fingerprint::asked(asked)))
        }
        // The command of `Opened` is looked up where conversations are claimed, not among the ids
        // of the chat's own calls.
        ChatEvent::Opened { .. }
        | ChatEvent::CustomerUpdated { .. }
        | ChatEvent::Placed {
            cause: PlacedCause::Opened | PlacedCause::OwnerGone { .. }, ..
        }
        | ChatEvent::Offered { .. }
        | ChatEvent::OfferWidened { .. }
        | ChatEvent::OfferNarrowed { .. }
        | ChatEvent::OfferEnded { .. }
        | ChatEvent::TransferFailed { .. }
        | ChatEvent::ContinuedIn { .. } => None,
    }
}

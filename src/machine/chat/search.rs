//! Which commands stand in a chat's log, and by whom an input asks for one.
//!
//! Owns: which event carried out whose command, and what ended one that was only begun. Refuses: to search the
//! log for it; that is the same for all (`machine::driver`).

use crate::domain::event::{AssignedHow, PlacedCause};
use crate::domain::{ChatEvent, CommandId, Party};
use crate::machine::driver::{Fingerprint, Stands};
use crate::machine::message::{Asked, ToChat};

use super::call::{ChatInput, Target};
use super::decide::identity;
use super::fold::Chat;
use super::refusal::Refusal;

/// By whom and under which id an input asks for something.
pub(super) fn asked_by<'a>(chat: &Chat, input: &'a ChatInput) -> Option<(Party, &'a CommandId)> {
    match input {
        ChatInput::Call(_, call) => {
            let (by, command, _) = identity(call)?;
            // A stranger's call is refused whatever it names.
            Some((chat.party(by.person)?, command))
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

/// How a transfer to an operator ended, if it did with this event.
pub(super) fn outcome_in(event: &ChatEvent, asked: &ChatEvent) -> Option<Result<(), Refusal>> {
    let ChatEvent::TransferAsked { reservation: asked, .. } = asked else { return None };
    if let ChatEvent::Assigned { how: AssignedHow::Transferred { reservation, .. }, .. } = event
        && reservation == asked
    {
        return Some(Ok(()));
    }
    if let ChatEvent::TransferFailed { reservation, reason } = event
        && reservation == asked
    {
        return Some(Err(Refusal::TargetUnavailable { reason: *reason }));
    }
    None
}

/// By whom and under which id an event was asked for, and what that call said.
pub(super) fn command_in(event: &ChatEvent) -> Option<Stands<'_>> {
    let to = |target: Target| Fingerprint::of(("transfer", target));
    let (party, command, said) = match event {
        ChatEvent::Message { from, id, text } => (*from, id, Fingerprint::of(("send", text))),
        ChatEvent::Begun { by, command } => (*by, command, Fingerprint::of("begin")),
        ChatEvent::Ended { by, command, .. } => (*by, command.as_ref()?, Fingerprint::of("end")),
        ChatEvent::Placed { queue, cause: PlacedCause::Transferred { by, command }, .. } => {
            (*by, command, to(Target::Queue(*queue)))
        }
        ChatEvent::TransferAsked { by, command, to: operator, .. } => {
            (*by, command, to(Target::Operator(*operator)))
        }
        ChatEvent::Declined { offer, operator, command } => {
            (Party::User(*operator), command, said_by(Asked::Decline(*offer)))
        }
        ChatEvent::Assigned { operator, how, command, .. } => {
            let asked = match how {
                AssignedHow::Accepted { offer } => Asked::Accept(*offer),
                AssignedHow::Taken => Asked::Take,
                // The answer to whoever asked for the transfer.
                AssignedHow::Transferred { .. } => return None,
            };
            (Party::User(*operator), command, said_by(asked))
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
        | ChatEvent::ContinuedIn { .. } => return None,
    };
    // The outcome of a transfer is its answer.
    let under_way = matches!(event, ChatEvent::TransferAsked { .. });
    Some(Stands { party, command, said, under_way })
}

/// What an operator's client asked for.
pub(super) fn said_by(asked: Asked) -> Fingerprint {
    match asked {
        Asked::Accept(offer) => Fingerprint::of(("accept", offer)),
        Asked::Decline(offer) => Fingerprint::of(("decline", offer)),
        Asked::Take => Fingerprint::of("take"),
    }
}

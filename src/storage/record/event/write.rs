//! From the domain's events to their mirrors; never fails.

use uuid::Uuid;

use crate::domain::event::{AssignedHow, Decision, OfferEnd, PlacedCause, TransferFailure};
use crate::domain::{ChatEvent, CommandId, EventNames, Name, Recorded, UserId};

use super::{
    AssignedHowRecord, DecisionRecord, EventRecord, NamesRecord, OfferEndRecord, PlacedCauseRecord,
    RecordedRecord, TransferFailureRecord,
};

impl From<&Recorded> for RecordedRecord {
    fn from(recorded: &Recorded) -> Self {
        let EventNames { by, other, channel } = &recorded.names;
        let names = NamesRecord {
            by: text(by.as_ref()),
            other: text(other.as_ref()),
            channel: text(channel.as_ref()),
        };
        Self { at: recorded.at.0, event: EventRecord::from(&recorded.event), names }
    }
}

fn uuids(users: &[UserId]) -> Vec<Uuid> {
    users.iter().map(|user| user.0).collect()
}

fn text_of(command: &CommandId) -> String {
    command.as_str().to_owned()
}

fn text(name: Option<&Name>) -> Option<String> {
    name.map(|name| name.as_str().to_owned())
}

impl From<&ChatEvent> for EventRecord {
    fn from(event: &ChatEvent) -> Self {
        match event {
            ChatEvent::Opened { customer, command, profile, continues } => Self::Opened {
                channel: customer.channel.0,
                customer: customer.id.0,
                command: text_of(command),
                priority: profile.priority.points(),
                continues: continues.map(|chat| chat.0),
                name: text(profile.name.as_ref()),
                issued_at: profile.issued_at.0,
            },
            ChatEvent::CustomerUpdated { profile } => Self::CustomerUpdated {
                priority: profile.priority.points(),
                name: text(profile.name.as_ref()),
                issued_at: profile.issued_at.0,
            },
            ChatEvent::Message { from, id, text } => Self::Message {
                from: (*from).into(),
                id: text_of(id),
                text: text.as_str().to_owned(),
            },
            ChatEvent::Placed { placement, queue, weight, cause } => Self::Placed {
                placement: *placement,
                queue: queue.0,
                weight: weight.slots(),
                cause: cause.into(),
            },
            ChatEvent::Offered { placement, offer, reach, to, expires_at, process, decision } => {
                Self::Offered {
                    placement: *placement,
                    offer: offer.0,
                    reach: (*reach).into(),
                    to: uuids(to),
                    expires_at: expires_at.0,
                    process: *process,
                    decision: decision.into(),
                }
            }
            ChatEvent::OfferWidened { offer, to } => {
                Self::OfferWidened { offer: offer.0, to: uuids(to) }
            }
            ChatEvent::Declined { offer, operator, command } => {
                Self::Declined { offer: offer.0, operator: operator.0, command: text_of(command) }
            }
            ChatEvent::OfferNarrowed { offer, operator, reason } => Self::OfferNarrowed {
                offer: offer.0,
                operator: operator.0,
                reason: (*reason).into(),
            },
            ChatEvent::OfferEnded { placement, offer, how } => {
                Self::OfferEnded { placement: *placement, offer: offer.0, how: (*how).into() }
            }
            ChatEvent::Assigned { placement, operator, how, command } => Self::Assigned {
                placement: *placement,
                operator: operator.0,
                how: (*how).into(),
                command: text_of(command),
            },
            ChatEvent::Begun { by, command } => {
                Self::Begun { by: (*by).into(), command: text_of(command) }
            }
            ChatEvent::TransferAsked { by, command, to, reservation, expires_at } => {
                Self::TransferAsked {
                    by: (*by).into(),
                    command: text_of(command),
                    to: to.0,
                    reservation: reservation.0,
                    expires_at: expires_at.0,
                }
            }
            ChatEvent::TransferFailed { reservation, reason } => {
                Self::TransferFailed { reservation: reservation.0, reason: (*reason).into() }
            }
            ChatEvent::Ended { placement, by, command, outcome } => Self::Ended {
                placement: *placement,
                by: (*by).into(),
                command: command.as_ref().map(text_of),
                outcome: (*outcome).into(),
            },
            ChatEvent::ContinuedIn { chat } => Self::ContinuedIn { chat: chat.0 },
        }
    }
}

impl From<&PlacedCause> for PlacedCauseRecord {
    fn from(cause: &PlacedCause) -> Self {
        match cause {
            PlacedCause::Opened => Self::Opened,
            PlacedCause::Transferred { by, command } => {
                Self::Transferred { by: (*by).into(), command: text_of(command) }
            }
            PlacedCause::OwnerGone { operator } => Self::OwnerGone { operator: operator.0 },
        }
    }
}

impl From<OfferEnd> for OfferEndRecord {
    fn from(end: OfferEnd) -> Self {
        match end {
            OfferEnd::Declined => Self::Declined,
            OfferEnd::Lapsed => Self::Lapsed,
            OfferEnd::Withdrawn(reason) => Self::Withdrawn(reason.into()),
            OfferEnd::Restart => Self::Restart,
        }
    }
}

impl From<AssignedHow> for AssignedHowRecord {
    fn from(how: AssignedHow) -> Self {
        match how {
            AssignedHow::Accepted { offer } => Self::Accepted { offer: offer.0 },
            AssignedHow::Taken => Self::Taken,
            AssignedHow::Transferred { by, reservation } => {
                Self::Transferred { by: by.into(), reservation: reservation.0 }
            }
        }
    }
}

impl From<TransferFailure> for TransferFailureRecord {
    fn from(failure: TransferFailure) -> Self {
        match failure {
            TransferFailure::Refused(standing) => Self::Refused(standing.into()),
            TransferFailure::NoAnswer => Self::NoAnswer,
            TransferFailure::Overtaken => Self::Overtaken,
        }
    }
}

impl From<&Decision> for DecisionRecord {
    fn from(decision: &Decision) -> Self {
        let standings = decision.standings.iter();
        Self {
            rule: decision.rule.into(),
            config_version: decision.config_version,
            trigger: decision.trigger.into(),
            runners_up: uuids(&decision.runners_up),
            standings: standings.map(|(one, count)| ((*one).into(), *count)).collect(),
        }
    }
}

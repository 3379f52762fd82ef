//! From the mirrors back to the domain's events; refuses what the domain refuses.

use uuid::Uuid;

use crate::domain::event::{AssignedHow, Decision, OfferEnd, PlacedCause, TransferFailure};
use crate::domain::{
    ChannelId, ChatEvent, ChatId, CommandId, Customer, CustomerId, EventNames, MessageText, Name,
    OfferId, Priority, Profile, QueueId, Recorded, Seq, Timestamp, UserId, Weight,
};

use super::{
    AssignedHowRecord, DecisionRecord, EventRecord, OfferEndRecord, PlacedCauseRecord,
    RecordedRecord, Refusal, TransferFailureRecord,
};

impl RecordedRecord {
    pub(in crate::storage::record) fn into_domain(self, seq: Seq) -> Result<Recorded, Refusal> {
        let names = EventNames {
            by: name_of(self.names.by.as_deref())?,
            other: name_of(self.names.other.as_deref())?,
            channel: name_of(self.names.channel.as_deref())?,
        };
        Ok(Recorded { seq, at: Timestamp(self.at), event: self.event.into_domain()?, names })
    }
}

fn users(uuids: Vec<Uuid>) -> Vec<UserId> {
    uuids.into_iter().map(UserId).collect()
}

fn command_of(text: &str) -> Result<CommandId, Refusal> {
    CommandId::new(text).map_err(|error| error.to_string())
}

fn name_of(text: Option<&str>) -> Result<Option<Name>, Refusal> {
    text.map(Name::kept).transpose().map_err(|error| error.to_string())
}

fn profile(priority: u8, name: Option<&str>, issued_at: u64) -> Result<Profile, Refusal> {
    Ok(Profile {
        issued_at: Timestamp(issued_at),
        priority: Priority::new(priority).map_err(|error| error.to_string())?,
        name: name_of(name)?,
    })
}

impl EventRecord {
    fn into_domain(self) -> Result<ChatEvent, Refusal> {
        Ok(match self {
            Self::Opened { channel, customer, command, priority, continues, name, issued_at } => {
                ChatEvent::Opened {
                    customer: Customer { channel: ChannelId(channel), id: CustomerId(customer) },
                    command: command_of(&command)?,
                    profile: profile(priority, name.as_deref(), issued_at)?,
                    continues: continues.map(ChatId),
                }
            }
            Self::CustomerUpdated { priority, name, issued_at } => ChatEvent::CustomerUpdated {
                profile: profile(priority, name.as_deref(), issued_at)?,
            },
            Self::Message { from, id, text } => ChatEvent::Message {
                from: from.into(),
                id: command_of(&id)?,
                text: MessageText::kept(&text).map_err(|error| error.to_string())?,
            },
            Self::Placed { placement, queue, weight, cause } => ChatEvent::Placed {
                placement,
                queue: QueueId(queue),
                weight: Weight::new(weight).map_err(|error| error.to_string())?,
                cause: cause.into_domain()?,
            },
            Self::Offered { placement, offer, reach, to, expires_at, process, decision } => {
                ChatEvent::Offered {
                    placement,
                    offer: OfferId(offer),
                    reach: reach.into(),
                    to: users(to),
                    expires_at: Timestamp(expires_at),
                    process,
                    decision: decision.into(),
                }
            }
            Self::OfferWidened { offer, to } => {
                ChatEvent::OfferWidened { offer: OfferId(offer), to: users(to) }
            }
            Self::Declined { offer, operator, command } => ChatEvent::Declined {
                offer: OfferId(offer),
                operator: UserId(operator),
                command: command_of(&command)?,
            },
            Self::OfferNarrowed { offer, operator, reason } => ChatEvent::OfferNarrowed {
                offer: OfferId(offer),
                operator: UserId(operator),
                reason: reason.into(),
            },
            Self::OfferEnded { placement, offer, how } => {
                ChatEvent::OfferEnded { placement, offer: OfferId(offer), how: how.into() }
            }
            Self::Assigned { placement, operator, how, command } => ChatEvent::Assigned {
                placement,
                operator: UserId(operator),
                how: how.into(),
                command: command_of(&command)?,
            },
            Self::Begun { by, command } => {
                ChatEvent::Begun { by: by.into(), command: command_of(&command)? }
            }
            Self::TransferAsked { by, command, to, reservation, expires_at } => {
                ChatEvent::TransferAsked {
                    by: by.into(),
                    command: command_of(&command)?,
                    to: UserId(to),
                    reservation: OfferId(reservation),
                    expires_at: Timestamp(expires_at),
                }
            }
            Self::TransferFailed { reservation, reason } => ChatEvent::TransferFailed {
                reservation: OfferId(reservation),
                reason: reason.into(),
            },
            Self::Ended { placement, by, command, outcome } => ChatEvent::Ended {
                placement,
                by: by.into(),
                command: command.as_deref().map(command_of).transpose()?,
                outcome: outcome.into(),
            },
            Self::ContinuedIn { chat } => ChatEvent::ContinuedIn { chat: ChatId(chat) },
        })
    }
}

impl PlacedCauseRecord {
    fn into_domain(self) -> Result<PlacedCause, Refusal> {
        Ok(match self {
            Self::Opened => PlacedCause::Opened,
            Self::Transferred { by, command } => {
                PlacedCause::Transferred { by: by.into(), command: command_of(&command)? }
            }
            Self::OwnerGone { operator } => PlacedCause::OwnerGone { operator: UserId(operator) },
        })
    }
}

impl From<OfferEndRecord> for OfferEnd {
    fn from(record: OfferEndRecord) -> Self {
        match record {
            OfferEndRecord::Declined => Self::Declined,
            OfferEndRecord::Lapsed => Self::Lapsed,
            OfferEndRecord::Withdrawn(reason) => Self::Withdrawn(reason.into()),
            OfferEndRecord::Restart => Self::Restart,
        }
    }
}

impl From<AssignedHowRecord> for AssignedHow {
    fn from(record: AssignedHowRecord) -> Self {
        match record {
            AssignedHowRecord::Accepted { offer } => Self::Accepted { offer: OfferId(offer) },
            AssignedHowRecord::Taken => Self::Taken,
            AssignedHowRecord::Transferred { by, reservation } => {
                Self::Transferred { by: by.into(), reservation: OfferId(reservation) }
            }
        }
    }
}

impl From<TransferFailureRecord> for TransferFailure {
    fn from(record: TransferFailureRecord) -> Self {
        match record {
            TransferFailureRecord::Refused(standing) => Self::Refused(standing.into()),
            TransferFailureRecord::NoAnswer => Self::NoAnswer,
            TransferFailureRecord::Overtaken => Self::Overtaken,
        }
    }
}

impl From<DecisionRecord> for Decision {
    fn from(record: DecisionRecord) -> Self {
        let standings = record.standings.into_iter();
        Self {
            rule: record.rule.into(),
            config_version: record.config_version,
            trigger: record.trigger.into(),
            runners_up: users(record.runners_up),
            standings: standings.map(|(one, count)| (one.into(), count)).collect(),
        }
    }
}

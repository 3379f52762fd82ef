//! Mirrors of the small rows: open chats, their marks, chats that have ended, operators.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::operator::{AwayReason, OperatorRecord};
use crate::domain::{
    ChannelId, ChatId, Customer, CustomerId, Offer, OfferId, Place, Priority, QueueId, Status,
    Timestamp, UserId, Weight,
};
use crate::storage::{EndedChat, Moving, OpenChat};

use super::event::{OutcomeRecord, ReachRecord, Refusal, is_one_slot, one_slot};
use super::party::PartyRecord;

/// Mirrors [`OpenChat`] but for the chat, which the record is of, and the mark.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenChatRecord {
    queue: Uuid,
    placement: u64,
    priority: u8,
    /// Not written when it is that of all chats of before, which had none.
    #[serde(default = "one_slot", skip_serializing_if = "is_one_slot")]
    weight: u32,
    since: u64,
    refused_by: BTreeMap<Uuid, u64>,
    place: Option<PlaceRecord>,
    next_deadline: Option<u64>,
}

/// Mirrors [`EndedChat`] but for channel and chat, which the record is of.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndedChatRecord {
    customer: Uuid,
    at: u64,
}

impl From<&EndedChat> for EndedChatRecord {
    fn from(ended: &EndedChat) -> Self {
        Self { customer: ended.customer.id.0, at: ended.at.0 }
    }
}

impl EndedChatRecord {
    pub(super) fn into_domain(self, channel: ChannelId, chat: ChatId) -> EndedChat {
        let customer = Customer { channel, id: CustomerId(self.customer) };
        EndedChat { chat, customer, at: Timestamp(self.at) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum PlaceRecord {
    Waiting,
    Offered { id: Uuid, reach: ReachRecord, to: Vec<Uuid>, expires_at: u64 },
    Assigned { owner: Uuid, begun: bool },
    Ended { outcome: OutcomeRecord, by: PartyRecord },
}

impl From<&OpenChat> for OpenChatRecord {
    fn from(row: &OpenChat) -> Self {
        let refusals = row.refused_by.iter();
        Self {
            queue: row.queue.0,
            placement: row.placement,
            priority: row.priority.points(),
            weight: row.weight.slots(),
            since: row.since.0,
            refused_by: refusals.map(|(user, at)| (user.0, at.0)).collect(),
            place: row.place.as_ref().map(PlaceRecord::from),
            next_deadline: row.next_deadline.map(|at| at.0),
        }
    }
}

impl OpenChatRecord {
    pub(super) fn into_domain(
        self,
        chat: ChatId,
        moving: Option<Moving>,
    ) -> Result<OpenChat, Refusal> {
        let refusals = self.refused_by.into_iter();
        Ok(OpenChat {
            chat,
            queue: QueueId(self.queue),
            placement: self.placement,
            priority: Priority::new(self.priority).map_err(|error| error.to_string())?,
            weight: Weight::new(self.weight).map_err(|error| error.to_string())?,
            since: Timestamp(self.since),
            refused_by: refusals.map(|(user, at)| (UserId(user), Timestamp(at))).collect(),
            place: self.place.map(Place::from),
            next_deadline: self.next_deadline.map(Timestamp),
            moving,
        })
    }
}

impl From<&Place> for PlaceRecord {
    fn from(place: &Place) -> Self {
        match place {
            Place::Waiting => Self::Waiting,
            Place::Offered(offer) => Self::Offered {
                id: offer.id.0,
                reach: offer.reach.into(),
                to: offer.to.iter().map(|user| user.0).collect(),
                expires_at: offer.expires_at.0,
            },
            Place::Assigned { owner, begun } => Self::Assigned { owner: owner.0, begun: *begun },
            Place::Ended { outcome, by } => {
                Self::Ended { outcome: (*outcome).into(), by: (*by).into() }
            }
        }
    }
}

impl From<PlaceRecord> for Place {
    fn from(record: PlaceRecord) -> Self {
        match record {
            PlaceRecord::Waiting => Self::Waiting,
            PlaceRecord::Offered { id, reach, to, expires_at } => Self::Offered(Offer {
                id: OfferId(id),
                reach: reach.into(),
                to: Arc::new(to.into_iter().map(UserId).collect()),
                // An offer does not outlive its process, and so do the stays in it.
                returned: Arc::default(),
                expires_at: Timestamp(expires_at),
            }),
            PlaceRecord::Assigned { owner, begun } => {
                Self::Assigned { owner: UserId(owner), begun }
            }
            PlaceRecord::Ended { outcome, by } => {
                Self::Ended { outcome: outcome.into(), by: by.into() }
            }
        }
    }
}

/// Mirrors [`Moving`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MovingRecord {
    to: Option<Uuid>,
}

impl From<Moving> for MovingRecord {
    fn from(moving: Moving) -> Self {
        Self { to: moving.to.map(|user| user.0) }
    }
}

impl From<MovingRecord> for Moving {
    fn from(record: MovingRecord) -> Self {
        Self { to: record.to.map(UserId) }
    }
}

/// Mirrors [`OperatorRecord`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorStoredRecord {
    status: StatusRecord,
    last_accept: Option<u64>,
    lapses_in_row: u32,
    last_closed: Vec<Uuid>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StatusRecord {
    Ready,
    Away { reason: String },
    Busy,
    Offline,
}

impl From<&OperatorRecord> for OperatorStoredRecord {
    fn from(record: &OperatorRecord) -> Self {
        let status = match &record.status {
            Status::Ready => StatusRecord::Ready,
            Status::Away(reason) => StatusRecord::Away { reason: reason.as_str().to_owned() },
            Status::Busy => StatusRecord::Busy,
            Status::Offline => StatusRecord::Offline,
        };
        Self {
            status,
            last_accept: record.last_accept.map(|at| at.0),
            lapses_in_row: record.lapses_in_row,
            last_closed: record.last_closed.iter().map(|chat| chat.0).collect(),
        }
    }
}

impl OperatorStoredRecord {
    pub(super) fn into_domain(self) -> Result<OperatorRecord, Refusal> {
        let status = match self.status {
            StatusRecord::Ready => Status::Ready,
            StatusRecord::Away { reason } => {
                Status::Away(AwayReason::new(&reason).map_err(|error| error.to_string())?)
            }
            StatusRecord::Busy => Status::Busy,
            StatusRecord::Offline => Status::Offline,
        };
        let closed = self.last_closed.into_iter();
        Ok(OperatorRecord {
            status,
            last_accept: self.last_accept.map(Timestamp),
            lapses_in_row: self.lapses_in_row,
            last_closed: closed.map(ChatId).collect::<VecDeque<_>>(),
        })
    }
}

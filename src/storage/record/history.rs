//! Mirrors of the rows of the history.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{ChannelId, ChatState, Customer, CustomerId, Name, QueueId, Timestamp, UserId};
use crate::storage::{HistoryEnd, HistoryPoint, HistoryRow};

use super::event::{Refusal, mirror};
use super::party::PartyRecord;

mirror!(StateRecord = ChatState { Waiting, Offered, New, InProgress, Completed, Missed });

/// Mirrors [`HistoryRow`] but for chat and start, which the record's place says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryRecord {
    channel: Uuid,
    customer: Uuid,
    name: Option<String>,
    queues: Vec<Uuid>,
    queue: Option<Uuid>,
    operators: Vec<Uuid>,
    owner: Option<Uuid>,
    state: StateRecord,
    ended: Option<EndRecord>,
}

/// Mirrors [`HistoryEnd`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndRecord {
    at: u64,
    by: PartyRecord,
    owner: Option<Uuid>,
}

impl From<&HistoryRow> for HistoryRecord {
    fn from(row: &HistoryRow) -> Self {
        Self {
            channel: row.customer.channel.0,
            customer: row.customer.id.0,
            name: row.name.as_ref().map(|name| name.as_str().to_owned()),
            queues: row.queues.iter().map(|queue| queue.0).collect(),
            queue: row.queue.map(|queue| queue.0),
            operators: row.operators.iter().map(|operator| operator.0).collect(),
            owner: row.owner.map(|owner| owner.0),
            state: row.state.into(),
            ended: row.ended.map(|end| EndRecord {
                at: end.at.0,
                by: end.by.into(),
                owner: end.owner.map(|owner| owner.0),
            }),
        }
    }
}

impl HistoryRecord {
    pub(super) fn into_domain(self, place: HistoryPoint) -> Result<HistoryRow, Refusal> {
        let name = self.name.map(|name| Name::kept(&name)).transpose();
        Ok(HistoryRow {
            chat: place.chat,
            started: place.started,
            customer: Customer { channel: ChannelId(self.channel), id: CustomerId(self.customer) },
            name: name.map_err(|error| error.to_string())?,
            queues: self.queues.into_iter().map(QueueId).collect(),
            queue: self.queue.map(QueueId),
            operators: self.operators.into_iter().map(UserId).collect(),
            owner: self.owner.map(UserId),
            state: self.state.into(),
            ended: self.ended.map(|end| HistoryEnd {
                at: Timestamp(end.at),
                by: end.by.into(),
                owner: end.owner.map(UserId),
            }),
        })
    }
}

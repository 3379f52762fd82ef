//! Mirrors of the audit trail's entries and their outcomes.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::audit::{
    AuditAct, AuditActor, AuditChange, AuditEntry, AuditId, AuditOutcome, AuditSubject,
};
use crate::domain::{AwayReasonId, ChannelId, CustomerId, QueueId, UserId};

use super::event::Refusal;

/// Mirrors [`AuditEntry`] but for its id, which the record is of, and its outcome.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditRecord {
    actor: ActorRecord,
    address: Option<IpAddr>,
    act: String,
    subject: Option<SubjectRecord>,
    changes: Vec<ChangeRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ActorRecord {
    System,
    CommandLine,
    Unknown,
    User(Uuid),
    Site(Uuid),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SubjectRecord {
    User(Uuid),
    Queue(Uuid),
    Channel(Uuid),
    AwayReason(Uuid),
    Customer { channel: Uuid, customer: Option<Uuid> },
    Store,
    Trail,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeRecord {
    field: String,
    from: Option<String>,
    to: Option<String>,
}

/// Mirrors [`AuditOutcome`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum AuditOutcomeRecord {
    Done,
    Refused,
    Counted(u64),
    Unknown,
}

impl From<&AuditEntry> for AuditRecord {
    fn from(entry: &AuditEntry) -> Self {
        let changes = entry.changes.iter().map(|change| ChangeRecord {
            field: change.field.clone(),
            from: change.from.clone(),
            to: change.to.clone(),
        });
        Self {
            actor: match entry.actor {
                AuditActor::System => ActorRecord::System,
                AuditActor::CommandLine => ActorRecord::CommandLine,
                AuditActor::Unknown => ActorRecord::Unknown,
                AuditActor::User(user) => ActorRecord::User(user.0),
                AuditActor::Site(channel) => ActorRecord::Site(channel.0),
            },
            address: entry.address,
            act: entry.act.word().to_owned(),
            subject: entry.subject.map(|subject| match subject {
                AuditSubject::User(user) => SubjectRecord::User(user.0),
                AuditSubject::Queue(queue) => SubjectRecord::Queue(queue.0),
                AuditSubject::Channel(channel) => SubjectRecord::Channel(channel.0),
                AuditSubject::AwayReason(reason) => SubjectRecord::AwayReason(reason.0),
                AuditSubject::Customer { channel, customer } => SubjectRecord::Customer {
                    channel: channel.0,
                    customer: customer.map(|customer| customer.0),
                },
                AuditSubject::Store => SubjectRecord::Store,
                AuditSubject::Trail => SubjectRecord::Trail,
            }),
            changes: changes.collect(),
        }
    }
}

impl AuditRecord {
    pub(super) fn into_domain(
        self,
        id: AuditId,
        outcome: Option<AuditOutcome>,
    ) -> Result<AuditEntry, Refusal> {
        let changes = self.changes.into_iter().map(|change| AuditChange {
            field: change.field,
            from: change.from,
            to: change.to,
        });
        Ok(AuditEntry {
            id,
            actor: match self.actor {
                ActorRecord::System => AuditActor::System,
                ActorRecord::CommandLine => AuditActor::CommandLine,
                ActorRecord::Unknown => AuditActor::Unknown,
                ActorRecord::User(user) => AuditActor::User(UserId(user)),
                ActorRecord::Site(channel) => AuditActor::Site(ChannelId(channel)),
            },
            address: self.address,
            act: AuditAct::of_word(&self.act).ok_or_else(|| "its act is not known".to_owned())?,
            subject: self.subject.map(|subject| match subject {
                SubjectRecord::User(user) => AuditSubject::User(UserId(user)),
                SubjectRecord::Queue(queue) => AuditSubject::Queue(QueueId(queue)),
                SubjectRecord::Channel(channel) => AuditSubject::Channel(ChannelId(channel)),
                SubjectRecord::AwayReason(reason) => AuditSubject::AwayReason(AwayReasonId(reason)),
                SubjectRecord::Customer { channel, customer } => AuditSubject::Customer {
                    channel: ChannelId(channel),
                    customer: customer.map(CustomerId),
                },
                SubjectRecord::Store => AuditSubject::Store,
                SubjectRecord::Trail => AuditSubject::Trail,
            }),
            changes: changes.collect(),
            outcome,
        })
    }
}

impl From<AuditOutcome> for AuditOutcomeRecord {
    fn from(outcome: AuditOutcome) -> Self {
        match outcome {
            AuditOutcome::Done => Self::Done,
            AuditOutcome::Refused => Self::Refused,
            AuditOutcome::Counted(count) => Self::Counted(count),
            AuditOutcome::Unknown => Self::Unknown,
        }
    }
}

impl From<AuditOutcomeRecord> for AuditOutcome {
    fn from(record: AuditOutcomeRecord) -> Self {
        match record {
            AuditOutcomeRecord::Done => Self::Done,
            AuditOutcomeRecord::Refused => Self::Refused,
            AuditOutcomeRecord::Counted(count) => Self::Counted(count),
            AuditOutcomeRecord::Unknown => Self::Unknown,
        }
    }
}

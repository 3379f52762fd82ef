//! Entries of the audit trail, and how actors and subjects are written.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::audit::{AuditActor, AuditEntry, AuditOutcome, AuditSubject};
use crate::domain::{AwayReasonId, ChannelId, CustomerId, QueueId, UserId};
use crate::protocol::value::TimeFrame;

/// One entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntryResponse {
    /// Its place; in the order of time.
    pub id: String,
    /// When.
    pub at: TimeFrame,
    /// By whom: `system`, `command_line`, `unknown`, `user:ID` or `site:CHANNEL`.
    pub actor: String,
    /// The client's address, or its network where entries are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// What was done, as `user.changed`.
    pub act: String,
    /// To what: `user:ID`, `queue:ID`, `channel:ID`, `customer:CHANNEL:ID`, `store` or `trail`. A
    /// customer who was erased has no id any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it changed. Secrets have no values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<AuditChangeBody>,
    /// `done`, `refused`, `unknown` (the process ended meanwhile); absent: under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Of what failed: how often, in this minute and from this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// A field that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditChangeBody {
    /// Its name.
    pub field: String,
    /// What it was; absent: nothing, or a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it became; absent: nothing, or a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl From<AuditEntry> for AuditEntryResponse {
    fn from(entry: AuditEntry) -> Self {
        let (outcome, count) = match entry.outcome {
            None => (None, None),
            Some(AuditOutcome::Done) => (Some("done"), None),
            Some(AuditOutcome::Refused) => (Some("refused"), None),
            Some(AuditOutcome::Counted(count)) => (Some("refused"), Some(count)),
            Some(AuditOutcome::Unknown) => (Some("unknown"), None),
        };
        let changes = entry.changes.into_iter().map(|change| AuditChangeBody {
            field: change.field,
            from: change.from,
            to: change.to,
        });
        Self {
            id: entry.id.to_string(),
            at: entry.id.at().into(),
            actor: actor_text(entry.actor),
            address: entry.address,
            act: entry.act.word().to_owned(),
            subject: entry.subject.map(subject_text),
            changes: changes.collect(),
            outcome: outcome.map(str::to_owned),
            count,
        }
    }
}

/// An actor as it is written.
pub fn actor_text(actor: AuditActor) -> String {
    match actor {
        AuditActor::System => "system".to_owned(),
        AuditActor::CommandLine => "command_line".to_owned(),
        AuditActor::Unknown => "unknown".to_owned(),
        AuditActor::User(user) => format!("user:{user}"),
        AuditActor::Site(channel) => format!("site:{channel}"),
    }
}

/// The actor of that text.
pub fn read_actor(text: &str) -> Option<AuditActor> {
    match text.split_once(':') {
        None if text == "system" => Some(AuditActor::System),
        None if text == "command_line" => Some(AuditActor::CommandLine),
        None if text == "unknown" => Some(AuditActor::Unknown),
        Some(("user", id)) => Some(AuditActor::User(UserId(uuid(id)?))),
        Some(("site", id)) => Some(AuditActor::Site(ChannelId(uuid(id)?))),
        Some(_) | None => None,
    }
}

/// A subject as it is written.
pub fn subject_text(subject: AuditSubject) -> String {
    match subject {
        AuditSubject::User(user) => format!("user:{user}"),
        AuditSubject::Queue(queue) => format!("queue:{queue}"),
        AuditSubject::Channel(channel) => format!("channel:{channel}"),
        AuditSubject::AwayReason(reason) => format!("away_reason:{reason}"),
        AuditSubject::Customer { channel, customer: Some(customer) } => {
            format!("customer:{channel}:{customer}")
        }
        AuditSubject::Customer { channel, customer: None } => format!("customer:{channel}"),
        AuditSubject::Store => "store".to_owned(),
        AuditSubject::Trail => "trail".to_owned(),
    }
}

/// The subject of that text.
pub fn read_subject(text: &str) -> Option<AuditSubject> {
    match text.split_once(':') {
        None if text == "store" => Some(AuditSubject::Store),
        None if text == "trail" => Some(AuditSubject::Trail),
        Some(("user", id)) => Some(AuditSubject::User(UserId(uuid(id)?))),
        Some(("queue", id)) => Some(AuditSubject::Queue(QueueId(uuid(id)?))),
        Some(("channel", id)) => Some(AuditSubject::Channel(ChannelId(uuid(id)?))),
        Some(("away_reason", id)) => Some(AuditSubject::AwayReason(AwayReasonId(uuid(id)?))),
        Some(("customer", ids)) => {
            let (channel, customer) = match ids.split_once(':') {
                Some((channel, customer)) => (channel, Some(CustomerId(uuid(customer)?))),
                None => (ids, None),
            };
            Some(AuditSubject::Customer { channel: ChannelId(uuid(channel)?), customer })
        }
        Some(_) | None => None,
    }
}

fn uuid(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_and_subjects_are_read_as_they_are_written() {
        let (user, channel) = (UserId::from_u128(1), ChannelId::from_u128(2));
        let customer = Some(CustomerId::from_u128(3));
        for actor in [
            AuditActor::System,
            AuditActor::CommandLine,
            AuditActor::Unknown,
            AuditActor::User(user),
            AuditActor::Site(channel),
        ] {
            assert_eq!(read_actor(&actor_text(actor)), Some(actor));
        }
        for subject in [
            AuditSubject::User(user),
            AuditSubject::Queue(QueueId::from_u128(4)),
            AuditSubject::Channel(channel),
            AuditSubject::AwayReason(AwayReasonId::from_u128(5)),
            AuditSubject::Customer { channel, customer },
            AuditSubject::Customer { channel, customer: None },
            AuditSubject::Store,
            AuditSubject::Trail,
        ] {
            assert_eq!(read_subject(&subject_text(subject)), Some(subject));
        }
        for wrong in ["", "user", "user:", "user:anna", "customer:1:2", "nobody", "system:1"] {
            assert_eq!((read_actor(wrong), read_subject(wrong)), (None, None), "{wrong}");
        }
    }
}

//! How users, queues, channels and reasons to be away are written into documents. Every record names its form; a form
//! that this release does not know is refused rather than guessed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::channel::{Channel, Provider, Sender};
use super::reason::ListedReason;
use super::user::{PasswordHash, Role, User};
use crate::domain::{AwayReasonId, ChannelId, Priority, Queue, QueueId, Rule, UserId};
use crate::storage::{Document, StoreError, Unread};

/// The form of all records of this release.
const FORM: u32 = 1;

/// An entity that is kept as a document.
pub trait Kept: Sized {
    /// The kind of its documents.
    const KIND: &'static str;

    /// The id of its document.
    fn document_id(&self) -> String;

    /// Its version.
    fn version(&self) -> u64;

    /// Its document's body.
    fn encode(&self) -> Result<Vec<u8>, StoreError>;

    /// The entity in a document.
    fn decode(document: &Document) -> Result<Self, Unread>;
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRecord {
    form: u32,
    name: String,
    login: String,
    role: String,
    active: bool,
    capacity: u32,
    password: Option<String>,
    demo_password: bool,
    epoch: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelRecord {
    form: u32,
    name: String,
    provider: String,
    active: bool,
    queue: Uuid,
    language: Option<String>,
    image: Option<String>,
    sender: String,
    reference: Option<String>,
    /// Not written where it is none, as in records before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention_days: Option<u16>,
    site_key: u64,
    visitor_epoch: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueRecord {
    form: u32,
    name: String,
    active: bool,
    rule: String,
    members: BTreeSet<Uuid>,
    priority: u8,
    offer_timeout_ms: u64,
    per_operator_limit: Option<u32>,
    absent_owner_limit_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AwayReasonRecord {
    form: u32,
    name: String,
    active: bool,
}

/// The word of a rule in documents and files.
pub fn rule_word(rule: Rule) -> &'static str {
    match rule {
        Rule::ToAll => "to_all",
        Rule::LeastLoaded => "least_loaded",
        Rule::LongestIdle => "longest_idle",
        Rule::Manual => "manual",
    }
}

/// The rule of that word.
pub fn rule_of_word(word: &str) -> Option<Rule> {
    let all = [Rule::ToAll, Rule::LeastLoaded, Rule::LongestIdle, Rule::Manual];
    all.into_iter().find(|rule| rule_word(*rule) == word)
}

fn damaged(kind: &str, id: &str, what: impl std::fmt::Display) -> Unread {
    Unread::Damaged(format!("{kind} {id}: {what}"))
}

fn write<R: Serialize>(kind: &str, id: &str, record: &R) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| damaged(kind, id, error).into())
}

/// Reads the form first, so that a newer release's record is named as such.
fn read<R: DeserializeOwned>(kind: &str, document: &Document) -> Result<R, Unread> {
    #[derive(Deserialize)]
    struct Form {
        form: u32,
    }
    let wrong = |what: String| damaged(kind, &document.id, what);
    let form: Form =
        serde_json::from_slice(&document.body).map_err(|error| wrong(error.to_string()))?;
    if form.form != FORM {
        let (id, form) = (&document.id, form.form);
        let what = format!("{kind} {id}: form {form} is not known, this release has {FORM}");
        return Err(Unread::Newer(what));
    }
    serde_json::from_slice(&document.body).map_err(|error| wrong(error.to_string()))
}

fn id_of(kind: &str, document: &Document) -> Result<Uuid, Unread> {
    Uuid::parse_str(&document.id).map_err(|error| damaged(kind, &document.id, error))
}

fn word<T>(kind: &str, document: &Document, found: Option<T>, word: &str) -> Result<T, Unread> {
    found.ok_or_else(|| damaged(kind, &document.id, format!("`{word}` is not known")))
}

impl Kept for User {
    const KIND: &'static str = "user";

    fn document_id(&self) -> String {
        self.id.to_string()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let record = UserRecord {
            form: FORM,
            name: self.name.clone(),
            login: self.login.clone(),
            role: self.role.word().to_owned(),
            active: self.active,
            capacity: self.capacity,
            password: self.password.as_ref().map(|hash| hash.expose().to_owned()),
            demo_password: self.demo_password,
            epoch: self.epoch,
        };
        write(Self::KIND, &self.document_id(), &record)
    }

    fn decode(document: &Document) -> Result<Self, Unread> {
        let record: UserRecord = read(Self::KIND, document)?;
        let role = Role::of_word(&record.role);
        Ok(Self {
            id: UserId(id_of(Self::KIND, document)?),
            version: document.version,
            name: record.name,
            login: record.login,
            role: word(Self::KIND, document, role, &record.role)?,
            active: record.active,
            capacity: record.capacity,
            password: record.password.map(PasswordHash::from_phc),
            demo_password: record.demo_password,
            epoch: record.epoch,
        })
    }
}

impl Kept for Channel {
    const KIND: &'static str = "channel";

    fn document_id(&self) -> String {
        self.id.to_string()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let record = ChannelRecord {
            form: FORM,
            name: self.name.clone(),
            provider: self.provider.word().to_owned(),
            active: self.active,
            queue: self.queue.0,
            language: self.language.clone(),
            image: self.image.clone(),
            sender: self.sender.word().to_owned(),
            reference: self.reference.clone(),
            retention_days: self.retention_days,
            site_key: self.site_key,
            visitor_epoch: self.visitor_epoch,
        };
        write(Self::KIND, &self.document_id(), &record)
    }

    fn decode(document: &Document) -> Result<Self, Unread> {
        let record: ChannelRecord = read(Self::KIND, document)?;
        let provider = Provider::of_word(&record.provider);
        let sender = Sender::of_word(&record.sender);
        Ok(Self {
            id: ChannelId(id_of(Self::KIND, document)?),
            version: document.version,
            name: record.name,
            provider: word(Self::KIND, document, provider, &record.provider)?,
            active: record.active,
            queue: QueueId(record.queue),
            language: record.language,
            image: record.image,
            sender: word(Self::KIND, document, sender, &record.sender)?,
            reference: record.reference,
            retention_days: record.retention_days,
            site_key: record.site_key,
            visitor_epoch: record.visitor_epoch,
        })
    }
}

impl Kept for Queue {
    const KIND: &'static str = "queue";

    fn document_id(&self) -> String {
        self.id.to_string()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let record = QueueRecord {
            form: FORM,
            name: self.name.clone(),
            active: self.active,
            rule: rule_word(self.rule).to_owned(),
            members: self.members.iter().map(|user| user.0).collect(),
            priority: self.priority.points(),
            offer_timeout_ms: self.offer_timeout_ms,
            per_operator_limit: self.per_operator_limit,
            absent_owner_limit_ms: self.absent_owner_limit_ms,
        };
        write(Self::KIND, &self.document_id(), &record)
    }

    fn decode(document: &Document) -> Result<Self, Unread> {
        let record: QueueRecord = read(Self::KIND, document)?;
        let rule = rule_of_word(&record.rule);
        let wrong = |error| damaged(Self::KIND, &document.id, error);
        Ok(Self {
            id: QueueId(id_of(Self::KIND, document)?),
            version: document.version,
            name: record.name,
            active: record.active,
            rule: word(Self::KIND, document, rule, &record.rule)?,
            members: record.members.into_iter().map(UserId).collect(),
            priority: Priority::new(record.priority).map_err(wrong)?,
            offer_timeout_ms: record.offer_timeout_ms,
            per_operator_limit: record.per_operator_limit,
            absent_owner_limit_ms: record.absent_owner_limit_ms,
        })
    }
}

impl Kept for ListedReason {
    const KIND: &'static str = "away_reason";

    fn document_id(&self) -> String {
        self.id.to_string()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let (name, active) = (self.name.clone(), self.active);
        let record = AwayReasonRecord { form: FORM, name, active };
        write(Self::KIND, &self.document_id(), &record)
    }

    fn decode(document: &Document) -> Result<Self, Unread> {
        let record: AwayReasonRecord = read(Self::KIND, document)?;
        Ok(Self {
            id: AwayReasonId(id_of(Self::KIND, document)?),
            version: document.version,
            name: record.name,
            active: record.active,
        })
    }
}

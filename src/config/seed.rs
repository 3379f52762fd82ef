//! The seed: users, queues, channels and reasons to be away that fill an empty store, once.
//!
//! A seed file names things by their names; their ids are derived from these, so that a seeding
//! that was interrupted goes on where it was, and a demonstration's ids can be written down.

use std::collections::BTreeSet;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::access::published::is_published;
use crate::access::{Access, AccessError, Act, PasswordError, password};
use crate::catalog::{
    Catalog, CatalogError, Channel, Entity, Finding, ListedReason, Provider, Role, Sender,
    Severity, Snapshot, User, lint, rule_of_word,
};
use crate::domain::limits::{OFFER_TIMEOUT_MS, OPERATOR_CAPACITY};
use crate::domain::{AwayReasonId, ChannelId, Name, Priority, Queue, QueueId, UserId};
use crate::storage::{Documents, StoreError};

/// The kind and id of the document that says that the store was seeded.
const SEEDED: (&str, &str) = ("seed", "1");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedFile {
    #[serde(default)]
    demo: bool,
    #[serde(default, rename = "user")]
    users: Vec<SeedUser>,
    #[serde(default, rename = "queue")]
    queues: Vec<SeedQueue>,
    #[serde(default, rename = "channel")]
    channels: Vec<SeedChannel>,
    #[serde(default, rename = "away_reason")]
    reasons: Vec<SeedReason>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedUser {
    login: String,
    name: String,
    role: String,
    password: Option<String>,
    #[serde(default = "capacity")]
    capacity: u32,
}

impl std::fmt::Debug for SeedUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SeedUser({})", self.login)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedQueue {
    name: String,
    rule: String,
    members: BTreeSet<String>,
    #[serde(default)]
    priority: u8,
    #[serde(default = "offer_timeout")]
    offer_timeout_ms: u64,
    per_operator_limit: Option<u32>,
    absent_owner_limit_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedChannel {
    name: String,
    provider: String,
    queue: String,
    #[serde(default = "sender")]
    sender: String,
    language: Option<String>,
    image: Option<String>,
    reference: Option<String>,
    retention_days: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedReason {
    name: String,
}

fn capacity() -> u32 {
    OPERATOR_CAPACITY
}

fn offer_timeout() -> u64 {
    OFFER_TIMEOUT_MS
}

fn sender() -> String {
    Sender::Operator.word().to_owned()
}

/// Why a seed is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// The file cannot be read as a seed.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong, with the line.
        reason: String,
    },
    /// One entry is wrong.
    #[error("{file}: {kind} `{name}`: {reason}")]
    Entry {
        /// The file.
        file: String,
        /// What it is.
        kind: &'static str,
        /// Which one.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// More of a kind than there may be. Planted as far as it goes, it would fail at every start.
    #[error("{file}: {found} entries of `{kind}`, at most {most} are allowed")]
    TooMany {
        /// The file.
        file: String,
        /// What they are.
        kind: &'static str,
        /// How many there are.
        found: usize,
        /// Most of them.
        most: usize,
    },
    /// All together would not work.
    #[error("{file}: {}", .findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("; "))]
    Lint {
        /// The file.
        file: String,
        /// The errors.
        findings: Vec<Finding>,
    },
    /// Nobody could change anything.
    #[error("{file}: there is no user with the role `administrator` and a password")]
    NoAdministrator {
        /// The file.
        file: String,
    },
}

/// Why a store was not seeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedingError {
    /// The catalog refused an entry.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A password could not be hashed.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The store failed. Start again: the seeding goes on where it was.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a seeding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeded {
    /// The store was empty and is filled now.
    Filled,
    /// The store was seeded before; nothing was done.
    Before,
    /// The store holds other things; nothing was done.
    NotEmpty,
}

/// A seed that can be planted. It holds passwords in clear: it does not show in logs.
#[derive(Clone)]
pub struct Seed {
    users: Vec<(User, Option<String>)>,
    queues: Vec<Queue>,
    channels: Vec<Channel>,
    reasons: Vec<ListedReason>,
    warnings: Vec<Finding>,
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (users, queues) = (self.users.len(), self.queues.len());
        let (channels, reasons) = (self.channels.len(), self.reasons.len());
        write!(f, "Seed({users} users, {queues} queues, {channels} channels, {reasons} reasons)")
    }
}

/// The id of what a seed calls so: the same in every installation.
pub fn seed_id(kind: &str, name: &str) -> Uuid {
    let hash = Sha256::digest(format!("switchboard seed\0{kind}\0{name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl Seed {
    /// Reads and checks a seed file. Errors name the file and the entry.
    pub fn parse(file: &str, text: &str) -> Result<Self, SeedError> {
        let read: SeedFile = toml::from_str(text).map_err(|error| SeedError::File {
            file: file.to_owned(),
            reason: error.to_string(),
        })?;
        let demo = read.demo;
        let entry = |kind, name: &str, reason: String| SeedError::Entry {
            file: file.to_owned(),
            kind,
            name: name.to_owned(),
            reason,
        };
        let mut seen = BTreeSet::new();
        let mut once = |kind, name: &str| {
            let new = seen.insert((kind, name.to_owned()));
            let twice = || entry(kind, name, "occurs twice".to_owned());
            if new { Ok(()) } else { Err(twice()) }
        };
        let logins: BTreeSet<_> = read.users.iter().map(|user| user.login.clone()).collect();
        let names: BTreeSet<_> = read.queues.iter().map(|queue| queue.name.clone()).collect();
        let mut seed = Self {
            users: Vec::new(),
            queues: Vec::new(),
            channels: Vec::new(),
            reasons: Vec::new(),
            warnings: Vec::new(),
        };
        for user in read.users {
            once("user", &user.login)?;
            let login = user.login.clone();
            let made = make_user(user, demo).map_err(|reason| entry("user", &login, reason))?;
            seed.users.push(made);
        }
        for queue in read.queues {
            once("queue", &queue.name)?;
            if let Some(login) = queue.members.difference(&logins).next() {
                let reason = format!("there is no user with the login `{login}`");
                return Err(entry("queue", &queue.name, reason));
            }
            let made = make_queue(&queue).map_err(|reason| entry("queue", &queue.name, reason))?;
            seed.queues.push(made);
        }
        for channel in read.channels {
            once("channel", &channel.name)?;
            if !names.contains(&channel.queue) {
                let reason = format!("there is no queue `{}`", channel.queue);
                return Err(entry("channel", &channel.name, reason));
            }
            let name = channel.name.clone();
            let made = make_channel(channel).map_err(|reason| entry("channel", &name, reason))?;
            seed.channels.push(made);
        }
        for reason in read.reasons {
            let wrong = |reason_of: String| entry("away_reason", &reason.name, reason_of);
            let made = make_reason(&reason).map_err(wrong)?;
            // As the catalog will have it: of two with one name it would refuse the second.
            let name = Name::new(&reason.name).map_err(|error| wrong(error.to_string()))?;
            once("away_reason", name.as_str())?;
            seed.reasons.push(made);
        }
        seed.check_whole(file)
    }

    /// What the lint warns of.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// Fills the store if it is empty, once. What an interrupted seeding has made already is left
    /// as it is.
    pub async fn plant(
        &self,
        catalog: &Catalog,
        access: &Access,
        documents: &dyn Documents,
        act: &Act<'_>,
    ) -> Result<Seeded, SeedingError> {
        let (kind, id) = SEEDED;
        match documents.get(kind, id).await {
            // It says nothing but that it is there.
            Ok(Some(_)) | Err(StoreError::Damaged { .. }) => return Ok(Seeded::Before),
            found => drop(found?),
        }
        let found = catalog.snapshot();
        if !self.covers(&found) {
            return Ok(Seeded::NotEmpty);
        }
        for (user, password) in &self.users {
            if found.user(user.id).is_none() {
                let mut user = user.clone();
                if let Some(password) = password {
                    // Only a user with the flag may have a published password.
                    let hash = match user.demo_password {
                        true => access.demo_password(password.clone()).await?,
                        false => access.new_password(password.clone()).await?,
                    };
                    user.password = Some(hash);
                }
                catalog.put(user, act).await?;
            }
        }
        for queue in self.queues.iter().filter(|q| found.queue(q.id).is_none()) {
            catalog.put(queue.clone(), act).await?;
        }
        let missing = |channel: &&Channel| found.channel(channel.id).is_none();
        for channel in self.channels.iter().filter(missing) {
            catalog.put(channel.clone(), act).await?;
        }
        let missing = |reason: &&ListedReason| !found.reasons().any(|one| one.id == reason.id);
        for reason in self.reasons.iter().filter(missing) {
            catalog.put(reason.clone(), act).await?;
        }
        documents.put(kind, id, 0, Vec::new()).await?;
        Ok(Seeded::Filled)
    }

    /// Whether everything in the catalog could be of this seed.
    fn covers(&self, found: &Snapshot) -> bool {
        let user = |id: UserId| self.users.iter().any(|(user, _)| user.id == id);
        let queue = |id: QueueId| self.queues.iter().any(|queue| queue.id == id);
        let channel = |id: ChannelId| self.channels.iter().any(|channel| channel.id == id);
        let reason = |id: AwayReasonId| self.reasons.iter().any(|reason| reason.id == id);
        found.users().all(|one| user(one.id))
            && found.queues().all(|one| queue(one.id))
            && found.channels().all(|one| channel(one.id))
            && found.reasons().all(|one| reason(one.id))
    }

    fn check_whole(mut self, file: &str) -> Result<Self, SeedError> {
        at_most::<User>(file, self.users.len())?;
        at_most::<Queue>(file, self.queues.len())?;
        at_most::<Channel>(file, self.channels.len())?;
        at_most::<ListedReason>(file, self.reasons.len())?;
        let file = file.to_owned();
        let rules = |(user, password): &(User, Option<String>)| {
            user.role == Role::Administrator && password.is_some()
        };
        if !self.users.iter().any(rules) {
            return Err(SeedError::NoAdministrator { file });
        }
        let users = self.users.iter().map(|(user, _)| user.clone());
        let whole = Snapshot::of(users, self.queues.clone(), self.channels.clone());
        let (findings, warnings): (Vec<_>, Vec<_>) =
            lint(&whole).into_iter().partition(|finding| finding.severity() == Severity::Error);
        if !findings.is_empty() {
            return Err(SeedError::Lint { file, findings });
        }
        self.warnings = warnings;
        Ok(self)
    }
}

/// What the catalog will say of so many, said before anything is planted.
fn at_most<E: Entity>(file: &str, found: usize) -> Result<(), SeedError> {
    let (kind, most) = (E::KIND, E::MOST);
    if found > most {
        return Err(SeedError::TooMany { file: file.to_owned(), kind, found, most });
    }
    Ok(())
}

fn make_user(seed: SeedUser, demo: bool) -> Result<(User, Option<String>), String> {
    let role = Role::of_word(&seed.role);
    let role = role.ok_or_else(|| not_among(&seed.role, Role::ALL.iter().map(|r| r.word())))?;
    let id = UserId(seed_id("user", &seed.login));
    let user = User {
        capacity: seed.capacity,
        demo_password: demo && seed.password.is_some(),
        ..User::new(id, &seed.name, &seed.login, role)
    };
    named(&seed.name)?;
    user.check().map_err(|error| error.to_string())?;
    if let Some(text) = &seed.password {
        password::check(text).map_err(|error: PasswordError| error.to_string())?;
        if !user.demo_password && is_published(text) {
            return Err(PasswordError::Published.to_string());
        }
    }
    Ok((user, seed.password))
}

fn make_queue(seed: &SeedQueue) -> Result<Queue, String> {
    let words = ["to_all", "least_loaded", "longest_idle", "manual"];
    let rule = rule_of_word(&seed.rule).ok_or_else(|| not_among(&seed.rule, words.into_iter()))?;
    let members = seed.members.iter();
    let queue = Queue {
        version: 0,
        members: members.map(|login| UserId(seed_id("user", login))).collect(),
        priority: Priority::new(seed.priority).map_err(|error| error.to_string())?,
        offer_timeout_ms: seed.offer_timeout_ms,
        per_operator_limit: seed.per_operator_limit,
        absent_owner_limit_ms: seed.absent_owner_limit_ms,
        ..Queue::new(QueueId(seed_id("queue", &seed.name)), &seed.name, rule)
    };
    named(&seed.name)?;
    queue.check().map_err(|error| error.to_string())?;
    Ok(queue)
}

fn make_channel(seed: SeedChannel) -> Result<Channel, String> {
    let provider = Provider::of_word(&seed.provider);
    let providers = Provider::ALL.iter().map(|one| one.word());
    let provider = provider.ok_or_else(|| not_among(&seed.provider, providers))?;
    let senders = Sender::ALL.iter().map(|one| one.word());
    let sender = Sender::of_word(&seed.sender).ok_or_else(|| not_among(&seed.sender, senders))?;
    let id = ChannelId(seed_id("channel", &seed.name));
    let queue = QueueId(seed_id("queue", &seed.queue));
    let channel = Channel {
        sender,
        language: seed.language,
        image: seed.image,
        reference: seed.reference,
        retention_days: seed.retention_days,
        ..Channel::new(id, &seed.name, provider, queue)
    };
    named(&channel.name)?;
    channel.check().map_err(|error| error.to_string())?;
    channel.check_change(None).map_err(|error| error.to_string())?;
    Ok(channel)
}

fn make_reason(seed: &SeedReason) -> Result<ListedReason, String> {
    let reason = ListedReason::new(AwayReasonId(seed_id("away_reason", &seed.name)), &seed.name);
    named(&reason.name)?;
    reason.check().map_err(|error| error.to_string())?;
    Ok(reason)
}

/// What the catalog will say of a name, said before anything is planted.
fn named(text: &str) -> Result<(), String> {
    Name::new(text).map(drop).map_err(|error| error.to_string())
}

fn not_among<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.collect();
    format!("`{word}` is none of {}", known.join(", "))
}

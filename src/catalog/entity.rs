//! What a kind of document needs to be kept in the catalog: one description a kind, from which it is
//! read, shown, checked, changed, deleted and told of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::sync::Arc;

use uuid::Uuid;

use super::channel::Channel;
use super::limits::{
    ABSENT_OWNER_LIMIT_MAX_MS, AWAY_REASONS_MAX, CHANNELS_MAX, QUEUES_MAX, USERS_MAX,
};
use super::note;
use super::reason::{BadListedReason, ListedReason};
use super::record::Kept;
use super::snapshot::Snapshot;
use super::user::User;
use super::write::CatalogError;
use crate::access::Asker;
use crate::audit::Note;
use crate::domain::limits::NAME_MAX_BYTES;
use crate::domain::{AwayReasonId, ChannelId, Queue, QueueId, UserId};

/// Of whom a change takes something away: what they began before has to end before it is answered.
pub type TakenFrom = Box<dyn Fn(Asker) -> bool + Send + Sync>;

/// A kind of document of the catalog.
pub trait Entity: Kept + Clone + Debug + Send + Sync + 'static {
    /// What it is known by.
    type Id: Copy + Ord + Debug + Display + Send + Sync;

    /// Most of them.
    const MOST: usize;

    /// The id of that number.
    fn id_of(id: Uuid) -> Self::Id;

    /// The number of that id.
    fn uuid(id: Self::Id) -> Uuid;

    /// The id.
    fn id(&self) -> Self::Id;

    /// The name that people see.
    fn name(&self) -> &str;

    /// Gives it another name.
    fn rename(&mut self, name: &str);

    /// It is stored, as this version.
    fn stored_as(&mut self, version: u64);

    /// All of them in the order of their ids.
    fn all(snapshot: &Snapshot) -> &BTreeMap<Self::Id, Arc<Self>>;

    /// Puts it among them.
    fn show(self, snapshot: &mut Snapshot);

    /// Takes it away from them.
    fn hide(id: Self::Id, snapshot: &mut Snapshot);

    /// Checks what is within it, and against what it was.
    fn check(&self, former: Option<&Self>) -> Result<(), CatalogError>;

    /// Checks it against the others, and sets what is the catalog's own.
    fn fit(&mut self, _former: Option<&Self>, _now: &Snapshot) -> Result<(), CatalogError> {
        Ok(())
    }

    /// What the audit trail says of its creation or change.
    fn note(&self, former: Option<&Self>) -> Note;

    /// From whom the change takes something away.
    fn taken_from(&self, former: Option<&Self>) -> Option<TakenFrom>;
}

/// A kind of document that can be deleted, once it is inactive and nothing refers to it.
pub trait Deletable: Entity {
    /// Whether it is in use by configuration.
    fn is_active(&self) -> bool;

    /// What the audit trail says of its deletion.
    fn note_of_deletion(&self) -> Note;

    /// From whom the deletion takes something away.
    fn deleted_from(&self) -> Option<TakenFrom>;
}

/// What is said alike of every kind: its id, its name and its version are members of it.
macro_rules! identified {
    ($id:ident) => {
        type Id = $id;

        fn id_of(id: Uuid) -> $id {
            $id(id)
        }

        fn uuid(id: $id) -> Uuid {
            id.0
        }

        fn id(&self) -> $id {
            self.id
        }

        fn name(&self) -> &str {
            &self.name
        }

        fn rename(&mut self, name: &str) {
            name.clone_into(&mut self.name);
        }

        fn stored_as(&mut self, version: u64) {
            self.version = version;
        }
    };
}

impl Entity for User {
    identified!(UserId);

    const MOST: usize = USERS_MAX;

    fn all(snapshot: &Snapshot) -> &BTreeMap<UserId, Arc<Self>> {
        &snapshot.users
    }

    fn show(self, snapshot: &mut Snapshot) {
        snapshot.put_user(self);
    }

    fn hide(id: UserId, snapshot: &mut Snapshot) {
        snapshot.remove_user(id);
    }

    fn check(&self, _: Option<&Self>) -> Result<(), CatalogError> {
        Ok(User::check(self)?)
    }

    /// The epoch is the catalog's own: it counts up when the user's sessions must end.
    fn fit(&mut self, former: Option<&Self>, now: &Snapshot) -> Result<(), CatalogError> {
        let same_login = now.user_by_login(&self.login);
        if same_login.is_some_and(|other| other.id != self.id) {
            return Err(CatalogError::LoginTaken);
        }
        self.epoch =
            former.map_or(0, |former| former.epoch + u64::from(self.ends_sessions_of(former)));
        // A password that was changed is no published one any more.
        self.demo_password &= former.is_none_or(|former| former.password == self.password);
        let returns = former.is_some_and(|former| !former.active) && self.active;
        if returns && self.demo_password {
            return Err(CatalogError::DemoPassword);
        }
        Ok(())
    }

    fn note(&self, former: Option<&Self>) -> Note {
        note::user(former, self)
    }

    fn taken_from(&self, former: Option<&Self>) -> Option<TakenFrom> {
        let id = self.id;
        let ends = self.ends_sessions_of(former?);
        ends.then(|| -> TakenFrom { Box::new(move |asker| asker == Asker::User(id)) })
    }
}

impl Entity for Queue {
    identified!(QueueId);

    const MOST: usize = QUEUES_MAX;

    fn all(snapshot: &Snapshot) -> &BTreeMap<QueueId, Arc<Self>> {
        &snapshot.queues
    }

    fn show(self, snapshot: &mut Snapshot) {
        snapshot.queues.insert(self.id, Arc::new(self));
    }

    fn hide(id: QueueId, snapshot: &mut Snapshot) {
        snapshot.queues.remove(&id);
    }

    fn check(&self, _: Option<&Self>) -> Result<(), CatalogError> {
        Queue::check(self)?;
        if self.name.len() > NAME_MAX_BYTES {
            return Err(CatalogError::QueueName);
        }
        let limit = self.absent_owner_limit_ms;
        if limit.is_some_and(|limit| limit > ABSENT_OWNER_LIMIT_MAX_MS) {
            return Err(CatalogError::AbsentOwnerLimit);
        }
        Ok(())
    }

    fn note(&self, former: Option<&Self>) -> Note {
        note::queue(former, Some(self))
    }

    fn taken_from(&self, former: Option<&Self>) -> Option<TakenFrom> {
        let gone = former?.members.difference(&self.members).copied();
        members_gone(gone)
    }
}

impl Deletable for Queue {
    fn is_active(&self) -> bool {
        self.active
    }

    fn note_of_deletion(&self) -> Note {
        note::queue(Some(self), None)
    }

    fn deleted_from(&self) -> Option<TakenFrom> {
        members_gone(self.members.iter().copied())
    }
}

/// Those who are members no more.
fn members_gone(gone: impl Iterator<Item = UserId>) -> Option<TakenFrom> {
    let gone: BTreeSet<UserId> = gone.collect();
    if gone.is_empty() {
        return None;
    }
    Some(Box::new(move |asker| matches!(asker, Asker::User(user) if gone.contains(&user))))
}

impl Entity for Channel {
    identified!(ChannelId);

    const MOST: usize = CHANNELS_MAX;

    fn all(snapshot: &Snapshot) -> &BTreeMap<ChannelId, Arc<Self>> {
        &snapshot.channels
    }

    fn show(self, snapshot: &mut Snapshot) {
        snapshot.channels.insert(self.id, Arc::new(self));
    }

    fn hide(id: ChannelId, snapshot: &mut Snapshot) {
        snapshot.channels.remove(&id);
    }

    fn check(&self, former: Option<&Self>) -> Result<(), CatalogError> {
        Channel::check(self)?;
        Ok(self.check_change(former)?)
    }

    fn note(&self, former: Option<&Self>) -> Note {
        note::channel(former, Some(self))
    }

    fn taken_from(&self, former: Option<&Self>) -> Option<TakenFrom> {
        let former = former?;
        let (id, closes) = (self.id, former.active && !self.active);
        let ends = former.site_key != self.site_key || closes;
        ends.then(|| -> TakenFrom { Box::new(move |asker| asker == Asker::Site(id)) })
    }
}

impl Deletable for Channel {
    fn is_active(&self) -> bool {
        self.active
    }

    fn note_of_deletion(&self) -> Note {
        note::channel(Some(self), None)
    }

    fn deleted_from(&self) -> Option<TakenFrom> {
        let id = self.id;
        Some(Box::new(move |asker| match asker {
            Asker::Site(channel) => channel == id,
            Asker::Visitor(customer) => customer.channel == id,
            Asker::User(_) => false,
        }))
    }
}

impl Entity for ListedReason {
    identified!(AwayReasonId);

    const MOST: usize = AWAY_REASONS_MAX;

    fn all(snapshot: &Snapshot) -> &BTreeMap<AwayReasonId, Arc<Self>> {
        &snapshot.reasons
    }

    fn show(self, snapshot: &mut Snapshot) {
        snapshot.reasons.insert(self.id, Arc::new(self));
    }

    fn hide(id: AwayReasonId, snapshot: &mut Snapshot) {
        snapshot.reasons.remove(&id);
    }

    fn check(&self, _: Option<&Self>) -> Result<(), CatalogError> {
        Ok(ListedReason::check(self)?)
    }

    /// Operators choose by the name alone.
    fn fit(&mut self, _: Option<&Self>, now: &Snapshot) -> Result<(), CatalogError> {
        let same = |other: &&Arc<Self>| other.id != self.id && other.name == self.name;
        if self.active && now.reasons().filter(same).any(|other| other.active) {
            return Err(BadListedReason::Taken.into());
        }
        Ok(())
    }

    fn note(&self, former: Option<&Self>) -> Note {
        note::reason(former, Some(self))
    }

    /// Whoever is away for it stays so.
    fn taken_from(&self, _: Option<&Self>) -> Option<TakenFrom> {
        None
    }
}

impl Deletable for ListedReason {
    fn is_active(&self) -> bool {
        self.active
    }

    fn note_of_deletion(&self) -> Note {
        note::reason(Some(self), None)
    }

    fn deleted_from(&self) -> Option<TakenFrom> {
        None
    }
}

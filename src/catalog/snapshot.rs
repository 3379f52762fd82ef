//! All users, queues, channels and reasons to be away at one moment. Immutable: whoever holds one sees one truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::channel::Channel;
use super::reason::ListedReason;
use super::record::Kept;
use super::user::{Role, User};
use crate::domain::{AwayReasonId, ChannelId, Queue, QueueId, UserId};

/// The catalog at one moment. Cloning copies pointers only.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts up with every change in this process.
    pub revision: u64,
    pub(super) users: BTreeMap<UserId, Arc<User>>,
    pub(super) logins: BTreeMap<String, UserId>,
    pub(super) queues: BTreeMap<QueueId, Arc<Queue>>,
    pub(super) channels: BTreeMap<ChannelId, Arc<Channel>>,
    pub(super) reasons: BTreeMap<AwayReasonId, Arc<ListedReason>>,
    /// Kinds and ids of documents that are there and cannot be read.
    pub(super) unread: BTreeSet<(&'static str, String)>,
}

impl Snapshot {
    /// A catalog that is not stored, to be looked at as a whole.
    pub fn of(
        users: impl IntoIterator<Item = User>,
        queues: impl IntoIterator<Item = Queue>,
        channels: impl IntoIterator<Item = Channel>,
    ) -> Self {
        let mut snapshot = Self::default();
        for user in users {
            snapshot.put_user(user);
        }
        for queue in queues {
            snapshot.queues.insert(queue.id, Arc::new(queue));
        }
        for channel in channels {
            snapshot.channels.insert(channel.id, Arc::new(channel));
        }
        snapshot
    }

    /// A user.
    pub fn user(&self, id: UserId) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    /// The user who logs in with that.
    pub fn user_by_login(&self, login: &str) -> Option<&Arc<User>> {
        self.logins.get(login).and_then(|id| self.users.get(id))
    }

    /// A queue.
    pub fn queue(&self, id: QueueId) -> Option<&Arc<Queue>> {
        self.queues.get(&id)
    }

    /// A channel.
    pub fn channel(&self, id: ChannelId) -> Option<&Arc<Channel>> {
        self.channels.get(&id)
    }

    /// All users in the order of their ids.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// All queues in the order of their ids.
    pub fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.queues.values()
    }

    /// All channels in the order of their ids.
    pub fn channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels.values()
    }

    /// All reasons to be away in the order of their ids.
    pub fn reasons(&self) -> impl Iterator<Item = &Arc<ListedReason>> {
        self.reasons.values()
    }

    /// For what operators can be away, in the order of the alphabet; none: for whatever they say. A
    /// reason that cannot be read is none to choose, but there is a list: damage does not open it.
    pub fn reasons_to_choose(&self) -> Option<BTreeSet<&str>> {
        let active = self.reasons().filter(|reason| reason.active);
        let names: BTreeSet<&str> = active.map(|reason| reason.name.as_str()).collect();
        let unread = self.unread.iter().any(|(kind, _)| *kind == ListedReason::KIND);
        (unread || !names.is_empty()).then_some(names)
    }

    /// The queues of which the user is a member.
    pub fn queues_of(&self, user: UserId) -> BTreeSet<QueueId> {
        let member = |queue: &&Arc<Queue>| queue.members.contains(&user);
        self.queues().filter(member).map(|queue| queue.id).collect()
    }

    /// The logins of active users whose password is a published one.
    pub fn demo_logins(&self) -> Vec<&str> {
        let published = |user: &&Arc<User>| user.active && user.demo_password;
        let logins = self.users().filter(published);
        logins.map(|user| user.login.as_str()).collect()
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
            && self.queues.is_empty()
            && self.channels.is_empty()
            && self.reasons.is_empty()
    }

    /// Whether there is a document with this id that cannot be read.
    pub fn is_unread(&self, id: &str) -> bool {
        self.unread.iter().any(|(_, unread)| unread == id)
    }

    /// Queues whose documents cannot be read.
    pub(super) fn queues_unread(&self) -> impl Iterator<Item = &str> {
        let unread = self.unread.iter();
        unread.filter(|(kind, _)| *kind == Queue::KIND).map(|(_, id)| id.as_str())
    }

    pub(super) fn administrators(&self) -> usize {
        let rules = |user: &&Arc<User>| user.active && user.role == Role::Administrator;
        self.users().filter(rules).count()
    }

    pub(super) fn put_user(&mut self, user: User) {
        self.remove_user(user.id);
        self.logins.insert(user.login.clone(), user.id);
        self.users.insert(user.id, Arc::new(user));
    }

    pub(super) fn remove_user(&mut self, id: UserId) {
        if let Some(former) = self.users.remove(&id) {
            self.logins.remove(&former.login);
        }
    }
}

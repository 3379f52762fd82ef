//! The one way by which the catalog changes: check, lint, store, then show.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::channel::{BadChannel, Channel};
use super::limits::{ABSENT_OWNER_LIMIT_MAX_MS, CHANNELS_MAX, LOAD_PAGE, QUEUES_MAX, USERS_MAX};
use super::lint::{Finding, Severity, lint};
use super::note;
use super::record::Kept;
use super::snapshot::Snapshot;
use super::user::{BadUser, User};
use crate::access::{Act, ActError, Asker, Lost};
use crate::domain::limits::NAME_MAX_BYTES;
use crate::domain::name::{BadName, Name};
use crate::domain::queue::BadQueue;
use crate::domain::{ChannelId, Queue, QueueId, UserId};
use crate::storage::{Document, Documents, StoreError, read_all};

/// Whether chats stand in the way of a deletion. Ask after the deactivation: an inactive queue or
/// channel gets no new chats, so that the answer stays true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A queue has open chats; a channel has had any.
    InUse,
    /// It has none.
    Unused,
}

/// Why the catalog does not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Within the user.
    #[error(transparent)]
    User(#[from] BadUser),
    /// A name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// Within the channel.
    #[error(transparent)]
    Channel(#[from] BadChannel),
    /// Within the queue.
    #[error(transparent)]
    Queue(#[from] BadQueue),
    /// A queue's name.
    #[error("name is at most {NAME_MAX_BYTES} bytes")]
    QueueName,
    /// A queue's limit for absent owners.
    #[error("absent_owner_limit_ms is at most {ABSENT_OWNER_LIMIT_MAX_MS}; leave it out for never")]
    AbsentOwnerLimit,
    /// With the whole: it would bring in these errors.
    #[error("the routing would not work: {}", .0.iter().map(Finding::to_string).collect::<Vec<_>>().join("; "))]
    Lint(Vec<Finding>),
    /// The login is another user's.
    #[error("the login is taken")]
    LoginTaken,
    /// Nobody could configure any more.
    #[error("this is the last active administrator; make another one first")]
    LastAdministrator,
    /// The server may listen on more than loopback since the user was deactivated.
    #[error("its password is a published demo password; give it another one to activate it")]
    DemoPassword,
    /// There are as many as there may be.
    #[error("there are {limit} already, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// There is none.
    #[error("there is no such document")]
    NotFound,
    /// There is one, and nobody knows what it says.
    #[error("the stored document is damaged and is not written over; restore it from a backup")]
    Unread,
    /// Only what is inactive can be deleted.
    #[error("deactivate it first")]
    StillActive,
    /// Chats refer to it.
    #[error("it has chats; it can be deactivated, not deleted")]
    InUse,
    /// The right to change it was taken away meanwhile.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The writer saw another version, or the store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ActError> for CatalogError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Lost(lost) => lost.into(),
            ActError::Store(error) => error.into(),
        }
    }
}

/// A write that took effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The new version.
    pub version: u64,
    /// Warnings of the lint about the whole as it is now.
    pub warnings: Vec<Finding>,
}

/// Users, queues and channels. Reading never waits.
pub struct Catalog {
    documents: Arc<dyn Documents>,
    current: watch::Sender<Arc<Snapshot>>,
    writing: Mutex<()>,
}

impl Catalog {
    /// Reads everything. A document that is damaged is named, counted and left out, and not written
    /// over. Errors when the store fails, or holds what a newer release wrote.
    pub async fn load(documents: Arc<dyn Documents>) -> Result<Self, StoreError> {
        let mut unread = BTreeSet::new();
        let mut snapshot = Snapshot::of(
            load_all::<User>(&*documents, &mut unread).await?,
            load_all::<Queue>(&*documents, &mut unread).await?,
            load_all::<Channel>(&*documents, &mut unread).await?,
        );
        snapshot.unread = unread;
        for queue in snapshot.queues_unread() {
            let to = snapshot.channels().filter(|channel| channel.queue.to_string() == *queue);
            let channels: Vec<_> = to.map(|channel| channel.id.to_string()).collect();
            tracing::error!(
                queue,
                channels = channels.join(" "),
                "chats of a queue that cannot be read wait until it is mended, unless their channel \
                 leads to another; give these channels another queue"
            );
        }
        Ok(Self {
            documents,
            current: watch::Sender::new(Arc::new(snapshot)),
            writing: Mutex::new(()),
        })
    }

    /// The catalog as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// Wakes after every change; who is slow sees the latest only.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.current.subscribe()
    }

    /// Creates the user (version 0) or changes it (the version that was seen). The epoch is the
    /// catalog's own: it counts up when the user's sessions must end.
    pub async fn put_user(&self, mut user: User, act: &Act<'_>) -> Result<Written, CatalogError> {
        act.ready().await?;
        let writing = self.writing.lock().await;
        let now = self.snapshot();
        readable::<User>(&now, &user.document_id())?;
        let former = now.user(user.id);
        tidy(&mut user.name, former.map(|former| former.name.as_str()))?;
        user.check()?;
        if former.is_none() && now.users.len() >= USERS_MAX {
            return Err(CatalogError::TooMany { limit: USERS_MAX });
        }
        let same_login = now.user_by_login(&user.login);
        if same_login.is_some_and(|other| other.id != user.id) {
            return Err(CatalogError::LoginTaken);
        }
        user.epoch =
            former.map_or(0, |former| former.epoch + u64::from(user.ends_sessions_of(former)));
        // A password that was changed is no published one any more.
        let same = former.is_none_or(|former| former.password == user.password);
        user.demo_password &= same;
        let returns = former.is_some_and(|former| !former.active) && user.active;
        if returns && user.demo_password {
            return Err(CatalogError::DemoPassword);
        }
        let mut next = Snapshot::clone(&now);
        next.put_user(user.clone());
        if now.administrators() > 0 && next.administrators() == 0 {
            return Err(CatalogError::LastAdministrator);
        }
        let warnings = allowed(&now, &next)?;
        let told = user.clone();
        let (id, former) = (user.id, former.map(|former| (**former).clone()));
        let change = async {
            let version = self.store(&user).await?;
            user.version = version;
            self.show(|snapshot| snapshot.put_user(user.clone()));
            Ok(version)
        };
        let version = act.carry_out(note::user(former.as_ref(), &told), change).await?;
        drop(writing);
        if former.is_some_and(|former| told.ends_sessions_of(&former)) {
            act.settle(self.snapshot().revision, |asker| asker == Asker::User(id)).await;
        }
        Ok(Written { version, warnings })
    }

    /// Creates the queue (version 0) or changes it (the version that was seen).
    pub async fn put_queue(
        &self,
        mut queue: Queue,
        act: &Act<'_>,
    ) -> Result<Written, CatalogError> {
        act.ready().await?;
        let writing = self.writing.lock().await;
        let now = self.snapshot();
        readable::<Queue>(&now, &queue.document_id())?;
        tidy(&mut queue.name, now.queue(queue.id).map(|former| former.name.as_str()))?;
        check_queue(&queue)?;
        if now.queue(queue.id).is_none() && now.queues.len() >= QUEUES_MAX {
            return Err(CatalogError::TooMany { limit: QUEUES_MAX });
        }
        let mut next = Snapshot::clone(&now);
        next.queues.insert(queue.id, Arc::new(queue.clone()));
        let warnings = allowed(&now, &next)?;
        let former = now.queue(queue.id).cloned();
        let note = note::queue(former.as_deref(), Some(&queue));
        let members = queue.members.clone();
        let change = async {
            let version = self.store(&queue).await?;
            queue.version = version;
            self.show(|snapshot| drop(snapshot.queues.insert(queue.id, Arc::new(queue))));
            Ok(version)
        };
        let version = act.carry_out(note, change).await?;
        drop(writing);
        let gone = former.map(|former| former.members.difference(&members).copied().collect());
        self.removed_from_a_queue(gone.unwrap_or_default(), act).await;
        Ok(Written { version, warnings })
    }

    /// Creates the channel (version 0) or changes it (the version that was seen).
    pub async fn put_channel(
        &self,
        mut channel: Channel,
        act: &Act<'_>,
    ) -> Result<Written, CatalogError> {
        act.ready().await?;
        let writing = self.writing.lock().await;
        let now = self.snapshot();
        readable::<Channel>(&now, &channel.document_id())?;
        let former = now.channel(channel.id);
        tidy(&mut channel.name, former.map(|former| former.name.as_str()))?;
        channel.check()?;
        channel.check_change(former.map(|former| &**former))?;
        if now.channel(channel.id).is_none() && now.channels.len() >= CHANNELS_MAX {
            return Err(CatalogError::TooMany { limit: CHANNELS_MAX });
        }
        let mut next = Snapshot::clone(&now);
        next.channels.insert(channel.id, Arc::new(channel.clone()));
        let warnings = allowed(&now, &next)?;
        let former = now.channel(channel.id).cloned();
        let note = note::channel(former.as_deref(), Some(&channel));
        let (id, key, active) = (channel.id, channel.site_key, channel.active);
        let change = async {
            let version = self.store(&channel).await?;
            channel.version = version;
            self.show(|snapshot| drop(snapshot.channels.insert(channel.id, Arc::new(channel))));
            Ok(version)
        };
        let version = act.carry_out(note, change).await?;
        drop(writing);
        let ends = |former: &Channel| former.site_key != key || (former.active && !active);
        if former.is_some_and(|former| ends(&former)) {
            act.settle(self.snapshot().revision, |asker| asker == Asker::Site(id)).await;
        }
        Ok(Written { version, warnings })
    }

    /// Waits for what those began as members who are none any more.
    async fn removed_from_a_queue(&self, gone: BTreeSet<UserId>, act: &Act<'_>) {
        if gone.is_empty() {
            return;
        }
        let of = |asker| matches!(asker, Asker::User(user) if gone.contains(&user));
        act.settle(self.snapshot().revision, of).await;
    }

    /// Deletes an inactive queue without open chats, to which no active channel leads.
    pub async fn delete_queue(
        &self,
        id: QueueId,
        version: u64,
        usage: Usage,
        act: &Act<'_>,
    ) -> Result<(), CatalogError> {
        act.ready().await?;
        let writing = self.writing.lock().await;
        let now = self.snapshot();
        readable::<Queue>(&now, &id.to_string())?;
        let queue = now.queue(id).ok_or(CatalogError::NotFound)?;
        deletable(queue.active, usage)?;
        let mut next = Snapshot::clone(&now);
        next.queues.remove(&id);
        allowed(&now, &next)?;
        let change = async {
            self.erase::<Queue>(&id.to_string(), version).await?;
            self.show(|snapshot| drop(snapshot.queues.remove(&id)));
            Ok(())
        };
        act.carry_out(note::queue(Some(queue), None), change).await?;
        drop(writing);
        self.removed_from_a_queue(queue.members.clone(), act).await;
        Ok(())
    }

    /// Deletes an inactive channel that never had a chat.
    pub async fn delete_channel(
        &self,
        id: ChannelId,
        version: u64,
        usage: Usage,
        act: &Act<'_>,
    ) -> Result<(), CatalogError> {
        act.ready().await?;
        let writing = self.writing.lock().await;
        let now = self.snapshot();
        readable::<Channel>(&now, &id.to_string())?;
        let channel = now.channel(id).ok_or(CatalogError::NotFound)?;
        deletable(channel.active, usage)?;
        let change = async {
            self.erase::<Channel>(&id.to_string(), version).await?;
            self.show(|snapshot| drop(snapshot.channels.remove(&id)));
            Ok(())
        };
        act.carry_out(note::channel(Some(channel), None), change).await?;
        drop(writing);
        let of = |asker| match asker {
            Asker::Site(channel) => channel == id,
            Asker::Visitor(customer) => customer.channel == id,
            Asker::User(_) => false,
        };
        act.settle(self.snapshot().revision, of).await;
        Ok(())
    }

    /// Writes the document. When that fails, what is stored is shown: the write may have taken
    /// effect, or another process was first.
    async fn store<K: Kept>(&self, entity: &K) -> Result<u64, StoreError> {
        let id = entity.document_id();
        let body = entity.encode()?;
        let put = self.documents.put(K::KIND, &id, entity.version(), body);
        match put.await {
            Ok(version) => Ok(version),
            Err(error) => {
                self.catch_up(K::KIND, &id).await;
                Err(error)
            }
        }
    }

    async fn erase<K: Kept>(&self, id: &str, version: u64) -> Result<(), StoreError> {
        match self.documents.delete(K::KIND, id, version).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.catch_up(K::KIND, id).await;
                Err(error)
            }
        }
    }

    /// Reads one document again. A store that does not answer leaves the snapshot as it is; the
    /// next write of that document finds the difference by its version.
    async fn catch_up(&self, kind: &str, id: &str) {
        if let Ok(found) = self.documents.get(kind, id).await {
            self.show(|snapshot| show_document(snapshot, kind, id, found));
        }
    }

    fn show(&self, change: impl FnOnce(&mut Snapshot)) {
        self.current.send_modify(|current| {
            let mut next = Snapshot::clone(current);
            change(&mut next);
            next.revision += 1;
            *current = Arc::new(next);
        });
    }
}

fn show_document(snapshot: &mut Snapshot, kind: &str, id: &str, found: Option<Document>) {
    let Ok(uuid) = uuid::Uuid::parse_str(id) else {
        return;
    };
    if kind == User::KIND {
        match found.map(|document| User::decode(&document)) {
            Some(Ok(user)) => snapshot.put_user(user),
            Some(Err(_)) => {}
            None => snapshot.remove_user(UserId(uuid)),
        }
    } else if kind == Queue::KIND {
        match found.map(|document| Queue::decode(&document)) {
            Some(Ok(queue)) => drop(snapshot.queues.insert(queue.id, Arc::new(queue))),
            Some(Err(_)) => {}
            None => drop(snapshot.queues.remove(&QueueId(uuid))),
        }
    } else if kind == Channel::KIND {
        match found.map(|document| Channel::decode(&document)) {
            Some(Ok(channel)) => drop(snapshot.channels.insert(channel.id, Arc::new(channel))),
            Some(Err(_)) => {}
            None => drop(snapshot.channels.remove(&ChannelId(uuid))),
        }
    }
}

async fn load_all<K: Kept>(
    documents: &dyn Documents,
    unread: &mut BTreeSet<(&'static str, String)>,
) -> Result<Vec<K>, StoreError> {
    let (all, lost) = read_all(documents, K::KIND, LOAD_PAGE, K::decode).await?;
    unread.extend(lost.into_iter().map(|lost| (K::KIND, lost.id)));
    Ok(all)
}

/// What cannot be read is not written over.
fn readable<K: Kept>(now: &Snapshot, id: &str) -> Result<(), CatalogError> {
    let known = now.unread.contains(&(K::KIND, id.to_owned()));
    if known { Err(CatalogError::Unread) } else { Ok(()) }
}

/// A name that is written anew follows the rule of names. One that was stored before there was that
/// rule may stay, so that all else of what has it can still be changed.
fn tidy(text: &mut String, former: Option<&str>) -> Result<(), BadName> {
    if former != Some(text.as_str()) {
        Name::new(text)?.as_str().clone_into(text);
    }
    Ok(())
}

fn check_queue(queue: &Queue) -> Result<(), CatalogError> {
    queue.check()?;
    if queue.name.len() > NAME_MAX_BYTES {
        return Err(CatalogError::QueueName);
    }
    let limit = queue.absent_owner_limit_ms;
    if limit.is_some_and(|limit| limit > ABSENT_OWNER_LIMIT_MAX_MS) {
        return Err(CatalogError::AbsentOwnerLimit);
    }
    Ok(())
}

fn deletable(active: bool, usage: Usage) -> Result<(), CatalogError> {
    match (active, usage) {
        (true, Usage::InUse | Usage::Unused) => Err(CatalogError::StillActive),
        (false, Usage::InUse) => Err(CatalogError::InUse),
        (false, Usage::Unused) => Ok(()),
    }
}

/// Refuses errors that `next` brings in; answers its warnings. An error that was there before
/// (from another release, or another process) stands in nobody's way.
fn allowed(now: &Snapshot, next: &Snapshot) -> Result<Vec<Finding>, CatalogError> {
    let before: BTreeSet<Finding> = lint(now);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        lint(next).into_iter().partition(|finding| finding.severity() == Severity::Error);
    let new: Vec<_> = errors.into_iter().filter(|finding| !before.contains(finding)).collect();
    if new.is_empty() { Ok(warnings) } else { Err(CatalogError::Lint(new)) }
}

//! The one way by which the catalog changes: check, lint, store, then show.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::channel::{BadChannel, Channel};
use super::entity::{Deletable, Entity, TakenFrom};
use super::limits::{ABSENT_OWNER_LIMIT_MAX_MS, LOAD_PAGE};
use super::lint::{Finding, Severity, lint};
use super::reason::{BadListedReason, ListedReason};
use super::snapshot::Snapshot;
use super::user::{BadUser, User};
use crate::access::{Act, ActError, Lost};
use crate::domain::Queue;
use crate::domain::limits::NAME_MAX_BYTES;
use crate::domain::name::{BadName, Name};
use crate::domain::queue::BadQueue;
use crate::storage::{Documents, StoreError, read_all};

/// Whether chats stand in the way of a deletion. Ask after the deactivation: an inactive queue or
/// channel gets no new chats, so that the answer stays true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A queue has open chats; a channel has had any.
    InUse,
    /// It has none.
    Unused,
}

impl From<bool> for Usage {
    fn from(in_use: bool) -> Self {
        if in_use { Self::InUse } else { Self::Unused }
    }
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
    /// Within the reason to be away.
    #[error(transparent)]
    Reason(#[from] BadListedReason),
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

/// Users, queues, channels and reasons to be away. Reading never waits.
pub struct Catalog {
    documents: Arc<dyn Documents>,
    current: watch::Sender<Arc<Snapshot>>,
    writing: Mutex<()>,
}

impl Catalog {
    /// Reads everything. A document that is damaged is named, counted and left out, and not written
    /// over. Errors when the store fails, or holds what a newer release wrote.
    pub async fn load(documents: Arc<dyn Documents>) -> Result<Self, StoreError> {
        let mut snapshot = Snapshot::default();
        load::<User>(&*documents, &mut snapshot).await?;
        load::<Queue>(&*documents, &mut snapshot).await?;
        load::<Channel>(&*documents, &mut snapshot).await?;
        load::<ListedReason>(&*documents, &mut snapshot).await?;
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

    /// Creates it (version 0) or changes it (the version that was seen).
    pub async fn put<E: Entity>(
        &self,
        mut entity: E,
        act: &Act<'_>,
    ) -> Result<Written, CatalogError> {
        act.ready().await?;
        let writing = self.writing.lock().await;
        let now = self.snapshot();
        let former = E::all(&now).get(&entity.id()).map(|former| &**former);
        let warnings = fits(&mut entity, former, &now)?;
        let (note, taken_from) = (entity.note(former), entity.taken_from(former));
        let change = async {
            let version = self.store(&entity).await?;
            entity.stored_as(version);
            self.show(|snapshot| entity.show(snapshot));
            Ok(version)
        };
        let version = act.carry_out(note, change).await?;
        drop(writing);
        self.settle(taken_from, act).await;
        Ok(Written { version, warnings })
    }

    /// What [`Self::put`] would answer now, without doing it. The version is the present one.
    pub async fn try_put<E: Entity>(
        &self,
        mut entity: E,
        act: &Act<'_>,
    ) -> Result<Written, CatalogError> {
        act.ready().await?;
        let now = self.snapshot();
        let former = E::all(&now).get(&entity.id()).map(|former| &**former);
        let warnings = fits(&mut entity, former, &now)?;
        let found = former.map_or(0, E::version);
        seen(entity.version(), found)?;
        Ok(Written { version: found, warnings })
    }

    /// Deletes what is inactive and unused, if the rest works without it.
    pub async fn delete<E: Deletable>(
        &self,
        id: E::Id,
        version: u64,
        usage: Usage,
        act: &Act<'_>,
    ) -> Result<(), CatalogError> {
        act.ready().await?;
        let writing = self.writing.lock().await;
        let now = self.snapshot();
        let entity = deletable::<E>(id, usage, &now)?;
        let change = async {
            self.erase::<E>(id, version).await?;
            self.show(|snapshot| E::hide(id, snapshot));
            Ok(())
        };
        act.carry_out(entity.note_of_deletion(), change).await?;
        drop(writing);
        self.settle(entity.deleted_from(), act).await;
        Ok(())
    }

    /// What [`Self::delete`] would answer now, without doing it.
    pub async fn try_delete<E: Deletable>(
        &self,
        id: E::Id,
        version: u64,
        usage: Usage,
        act: &Act<'_>,
    ) -> Result<(), CatalogError> {
        act.ready().await?;
        let now = self.snapshot();
        let entity = deletable::<E>(id, usage, &now)?;
        seen(version, entity.version())
    }

    /// Waits for what those began from whom something was taken away.
    async fn settle(&self, taken_from: Option<TakenFrom>, act: &Act<'_>) {
        if let Some(taken_from) = taken_from {
            act.settle(self.snapshot().revision, taken_from).await;
        }
    }

    /// Writes the document. When that fails, what is stored is shown: the write may have taken
    /// effect, or another process was first.
    async fn store<E: Entity>(&self, entity: &E) -> Result<u64, StoreError> {
        let id = entity.document_id();
        let body = entity.encode()?;
        let put = self.documents.put(E::KIND, &id, entity.version(), body);
        match put.await {
            Ok(version) => Ok(version),
            Err(error) => {
                self.catch_up::<E>(entity.id()).await;
                Err(error)
            }
        }
    }

    async fn erase<E: Entity>(&self, id: E::Id, version: u64) -> Result<(), StoreError> {
        match self.documents.delete(E::KIND, &id.to_string(), version).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.catch_up::<E>(id).await;
                Err(error)
            }
        }
    }

    /// Reads one document again. A store that does not answer leaves the snapshot as it is; the
    /// next write of that document finds the difference by its version. One that cannot be read
    /// stays as it was shown.
    async fn catch_up<E: Entity>(&self, id: E::Id) {
        let Ok(found) = self.documents.get(E::KIND, &id.to_string()).await else { return };
        self.show(|snapshot| match found.map(|document| E::decode(&document)) {
            Some(Ok(entity)) => entity.show(snapshot),
            Some(Err(_)) => {}
            None => E::hide(id, snapshot),
        });
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

/// Reads all of a kind into the snapshot.
async fn load<E: Entity>(
    documents: &dyn Documents,
    snapshot: &mut Snapshot,
) -> Result<(), StoreError> {
    let (all, lost) = read_all(documents, E::KIND, LOAD_PAGE, E::decode).await?;
    for entity in all {
        entity.show(snapshot);
    }
    snapshot.unread.extend(lost.into_iter().map(|lost| (E::KIND, lost.id)));
    Ok(())
}

/// Whether it may be written; answers the warnings about the whole with it.
fn fits<E: Entity>(
    entity: &mut E,
    former: Option<&E>,
    now: &Snapshot,
) -> Result<Vec<Finding>, CatalogError> {
    readable::<E>(now, entity.id())?;
    if let Some(name) = tidy(entity.name(), former.map(E::name))? {
        entity.rename(name.as_str());
    }
    entity.check(former)?;
    if former.is_none() && E::all(now).len() >= E::MOST {
        return Err(CatalogError::TooMany { limit: E::MOST });
    }
    entity.fit(former, now)?;
    let mut next = Snapshot::clone(now);
    entity.clone().show(&mut next);
    allowed(now, &next)
}

/// What may be deleted.
fn deletable<E: Deletable>(id: E::Id, usage: Usage, now: &Snapshot) -> Result<&E, CatalogError> {
    readable::<E>(now, id)?;
    let entity = E::all(now).get(&id).ok_or(CatalogError::NotFound)?;
    match (entity.is_active(), usage) {
        (true, Usage::InUse | Usage::Unused) => return Err(CatalogError::StillActive),
        (false, Usage::InUse) => return Err(CatalogError::InUse),
        (false, Usage::Unused) => {}
    }
    let mut next = Snapshot::clone(now);
    E::hide(id, &mut next);
    allowed(now, &next)?;
    Ok(entity)
}

/// As the store says it of a write.
fn seen(expected: u64, found: u64) -> Result<(), CatalogError> {
    if expected == found {
        return Ok(());
    }
    Err(StoreError::VersionConflict { expected, found }.into())
}

/// What cannot be read is not written over.
fn readable<E: Entity>(now: &Snapshot, id: E::Id) -> Result<(), CatalogError> {
    let known = now.unread.contains(&(E::KIND, id.to_string()));
    if known { Err(CatalogError::Unread) } else { Ok(()) }
}

/// What a name that is written anew is by the rule of names. One that was stored before there was that
/// rule may stay, so that all else of what has it can still be changed.
fn tidy(text: &str, former: Option<&str>) -> Result<Option<Name>, BadName> {
    if former == Some(text) { Ok(None) } else { Name::new(text).map(Some) }
}

/// Refuses errors that `next` brings in; answers its warnings. An error that was there before
/// (from another release, or another process) stands in nobody's way.
fn allowed(now: &Snapshot, next: &Snapshot) -> Result<Vec<Finding>, CatalogError> {
    if now.administrators() > 0 && next.administrators() == 0 {
        return Err(CatalogError::LastAdministrator);
    }
    let before: BTreeSet<Finding> = lint(now);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        lint(next).into_iter().partition(|finding| finding.severity() == Severity::Error);
    let new: Vec<_> = errors.into_iter().filter(|finding| !before.contains(finding)).collect();
    if new.is_empty() { Ok(warnings) } else { Err(CatalogError::Lint(new)) }
}

//! The sessions of users: a document for each user, all held in memory. A session that is not in its
//! user's has ended, so that ending one is writing the others, durably: a user's document is written
//! again and again and never removed, since a removed one is looked over by every later start on a
//! store that keeps tombstones.
//!
//! A session's refresh tokens are numbered. The present number gives the next tokens; an earlier
//! one was used before, by its owner or by a thief, and ends the session.
//!
//! Invariants: what one user waits for from the store holds up no other; a session that ended in
//! memory comes back in no way, whatever the store said when it was told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::limits::{LOAD_PAGE, SESSIONS_PER_USER};
use crate::domain::{Timestamp, UserId};
use crate::storage::{Document, Documents, StoreError, Unread, read_all};

/// The kind of the documents; the id is the user's.
const KIND: &str = "sessions";

/// The kind of former releases: a document for each session. They are brought into their users'.
const FORMER_KIND: &str = "session";

/// The form of the records of this release.
const FORM: u32 = 1;

/// One session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    /// Whose it is.
    pub user: UserId,
    /// The user's epoch when it began.
    pub epoch: u64,
    /// The number of the refresh token that is good.
    pub n: u64,
    /// When it began; later than any other of its user's before it.
    pub began: Timestamp,
    /// When its refresh token ends, and it with it.
    pub until: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionsRecord {
    form: u32,
    sessions: BTreeMap<Uuid, SessionRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionRecord {
    epoch: u64,
    n: u64,
    began: u64,
    until: u64,
}

/// A session as a document of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormerRecord {
    #[serde(rename = "form")]
    _form: u32,
    user: Uuid,
    epoch: u64,
    n: u64,
    began: u64,
    until: u64,
}

/// What the use of a refresh token leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turned {
    /// The session goes on with the next number.
    Next(Session),
    /// The token was used before: the session is to be ended.
    Reused,
    /// There is no such session.
    Gone,
}

/// The sessions of one user.
#[derive(Debug, Clone, Default)]
struct Own {
    sessions: BTreeMap<Uuid, Session>,
    /// Ended here, and perhaps still in the store.
    ended: BTreeSet<Uuid>,
    /// The version of the document; none: a write failed, and what is stored is not known.
    version: Option<u64>,
}

/// All users', and the lock of whoever changes one's.
#[derive(Default)]
struct Live {
    own: HashMap<UserId, Own>,
    users: HashMap<Uuid, UserId>,
    /// One for every user who ever had a session here.
    writing: HashMap<UserId, Arc<Mutex<()>>>,
}

impl Live {
    fn show(&mut self, user: UserId, own: Own) {
        let former = self.own.remove(&user).unwrap_or_default();
        for id in former.sessions.keys() {
            self.users.remove(id);
        }
        self.users.extend(own.sessions.keys().map(|id| (*id, user)));
        self.own.insert(user, own);
    }
}

pub(super) struct Sessions {
    documents: Arc<dyn Documents>,
    live: RwLock<Live>,
}

impl Sessions {
    /// Reads all of them, and moves those that a former release wrote. Whose document is damaged is
    /// logged out.
    pub async fn load(documents: Arc<dyn Documents>) -> Result<Self, StoreError> {
        let read = |document: &Document| decode(document);
        let found = read_all(&*documents, KIND, LOAD_PAGE, read).await?;
        let (all, lost) = found;
        let mut live = Live::default();
        for (user, own) in all {
            live.show(user, own);
        }
        for lost in lost {
            // The next log-in writes it anew.
            if let Ok(user) = UserId::parse(&lost.id) {
                live.show(user, Own { version: Some(lost.version), ..Own::default() });
            }
        }
        let sessions = Self { documents, live: RwLock::new(live) };
        sessions.bring_former().await?;
        Ok(sessions)
    }

    /// Each user's first, then the documents that were brought: what is interrupted in between is
    /// done again, and nobody was served meanwhile.
    async fn bring_former(&self) -> Result<(), StoreError> {
        let read = |document: &Document| decode_former(document);
        let (all, _) = read_all(&*self.documents, FORMER_KIND, LOAD_PAGE, read).await?;
        let mut brought: BTreeMap<UserId, Own> = BTreeMap::new();
        for (_, id, session) in &all {
            let own = brought.entry(session.user).or_insert_with(|| self.own(session.user));
            own.sessions.entry(*id).or_insert(*session);
        }
        for (user, mut own) in brought {
            while own.sessions.len() > SESSIONS_PER_USER {
                own.drop_oldest();
            }
            self.write(user, own).await?;
        }
        for (document, ..) in &all {
            let deleted = self.documents.delete(FORMER_KIND, &document.id, document.version).await;
            match deleted {
                Ok(()) | Err(StoreError::VersionConflict { found: 0, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub fn get(&self, id: Uuid) -> Option<Session> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let user = live.users.get(&id)?;
        live.own.get(user)?.sessions.get(&id).copied()
    }

    /// Begins a session; a user with too many loses the oldest. Answers whether that was so.
    pub async fn begin(
        &self,
        id: Uuid,
        user: UserId,
        epoch: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(Session, bool), StoreError> {
        let _writing = self.lock(user).await;
        let mut own = self.known(user).await?;
        let too_many = own.sessions.len() >= SESSIONS_PER_USER;
        while own.sessions.len() >= SESSIONS_PER_USER {
            own.drop_oldest();
        }
        // Behind the others: also those of one millisecond, or of a clock that was set back, are in the
        // order in which they began.
        let latest = own.sessions.values().map(|other| other.began.plus_ms(1)).max();
        let began = latest.map_or(now, |after| after.max(now));
        let session = Session { user, epoch, n: 0, began, until };
        own.sessions.insert(id, session);
        self.write(user, own).await?;
        Ok((session, too_many))
    }

    /// Uses refresh token number `n`.
    pub async fn turn(
        &self,
        id: Uuid,
        user: UserId,
        n: u64,
        until: Timestamp,
    ) -> Result<Turned, StoreError> {
        let _writing = self.lock(user).await;
        let mut own = self.known(user).await?;
        // It ends when its newest token does, and that one is still good.
        let Some(session) = own.sessions.get_mut(&id) else { return Ok(Turned::Gone) };
        if session.n != n {
            return Ok(Turned::Reused);
        }
        (session.n, session.until) = (n + 1, until);
        let next = *session;
        self.write(user, own).await?;
        Ok(Turned::Next(next))
    }

    /// Ends a session of the user; it stays ended after a restart. No effect when there is none. It is
    /// over in memory before the store is asked: should that fail, whoever holds its tokens is out
    /// until the caller, who is told, has tried again.
    pub async fn end(&self, id: Uuid, user: UserId) -> Result<(), StoreError> {
        let _writing = self.lock(user).await;
        let mut own = self.own(user);
        if own.sessions.remove(&id).is_some() {
            own.ended.insert(id);
            self.show(user, own);
        } else if !own.ended.contains(&id) {
            return Ok(());
        }
        let own = self.known(user).await?;
        self.write(user, own).await
    }

    /// Removes the sessions that are over, of up to a page of users.
    pub async fn prune(&self, over: impl Fn(&Session) -> bool) -> Result<(), StoreError> {
        let users: Vec<UserId> = {
            let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
            let old = live.own.iter().filter(|(_, own)| own.sessions.values().any(&over));
            old.map(|(user, _)| *user).take(LOAD_PAGE).collect()
        };
        for user in users {
            let _writing = self.lock(user).await;
            let mut own = self.known(user).await?;
            own.sessions.retain(|_, session| !over(session));
            self.write(user, own).await?;
        }
        Ok(())
    }

    /// Whether the user has such a session.
    pub fn any(&self, user: UserId, so: impl Fn(&Session) -> bool) -> bool {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.own.get(&user).is_some_and(|own| own.sessions.values().any(so))
    }

    /// Held by whoever changes this user's.
    async fn lock(&self, user: UserId) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(live.writing.entry(user).or_default())
        };
        lock.lock_owned().await
    }

    /// The user's, as memory has them.
    fn own(&self, user: UserId) -> Own {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let none = || Own { version: Some(0), ..Own::default() };
        live.own.get(&user).cloned().unwrap_or_else(none)
    }

    /// The user's, as they are stored, but for those that ended meanwhile.
    async fn known(&self, user: UserId) -> Result<Own, StoreError> {
        let own = self.own(user);
        if own.version.is_some() {
            return Ok(own);
        }
        self.read_again(user).await
    }

    async fn read_again(&self, user: UserId) -> Result<Own, StoreError> {
        let mut own = self.own(user);
        match self.documents.get(KIND, &user.to_string()).await? {
            Some(document) => {
                let (_, stored) = decode(&document)?;
                own.sessions = stored.sessions;
                own.version = stored.version;
            }
            None => (own.sessions, own.version) = (BTreeMap::new(), Some(0)),
        }
        own.sessions.retain(|id, _| !own.ended.contains(id));
        self.show(user, own.clone());
        Ok(own)
    }

    /// Writes and shows the user's. When that fails, what is stored is shown, if it is known.
    async fn write(&self, user: UserId, mut own: Own) -> Result<(), StoreError> {
        let sessions = own.sessions.iter().map(|(id, session)| (*id, session.into()));
        let record = SessionsRecord { form: FORM, sessions: sessions.collect() };
        let id = user.to_string();
        let body = serde_json::to_vec(&record).map_err(|error| damaged(KIND, &id, error))?;
        // Until it has answered nobody knows what is stored; who waits for it may give up.
        let mut unsure = self.own(user);
        let expected = own.version.unwrap_or_default();
        unsure.version = None;
        self.show(user, unsure);
        match self.documents.put(KIND, &id, expected, body).await {
            Ok(version) => {
                (own.version, own.ended) = (Some(version), BTreeSet::new());
                self.show(user, own);
                Ok(())
            }
            Err(error) => {
                // If this fails too, whoever comes next reads it.
                let _ = self.read_again(user).await;
                Err(error)
            }
        }
    }

    fn show(&self, user: UserId, own: Own) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.show(user, own);
    }
}

impl Own {
    fn drop_oldest(&mut self) {
        let oldest = self.sessions.iter().min_by_key(|(id, session)| (session.began, **id));
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.sessions.remove(&id);
        }
    }
}

impl From<&Session> for SessionRecord {
    fn from(session: &Session) -> Self {
        Self { epoch: session.epoch, n: session.n, began: session.began.0, until: session.until.0 }
    }
}

fn damaged(kind: &str, id: &str, what: impl std::fmt::Display) -> Unread {
    Unread::Damaged(format!("{kind} {id}: {what}"))
}

/// Reads the form first, so that a newer release's record is named as such.
fn read<R: serde::de::DeserializeOwned>(kind: &str, document: &Document) -> Result<R, Unread> {
    #[derive(Deserialize)]
    struct Form {
        form: u32,
    }
    let id = &document.id;
    let wrong = |error: serde_json::Error| damaged(kind, id, error);
    let Form { form } = serde_json::from_slice(&document.body).map_err(wrong)?;
    if form != FORM {
        return Err(Unread::Newer(format!("{kind} {id}: form {form} is not known")));
    }
    serde_json::from_slice(&document.body).map_err(wrong)
}

fn decode(document: &Document) -> Result<(UserId, Own), Unread> {
    let user = UserId::parse(&document.id).map_err(|error| damaged(KIND, &document.id, error))?;
    let record: SessionsRecord = read(KIND, document)?;
    let session = |(id, of): (Uuid, SessionRecord)| {
        let (began, until) = (Timestamp(of.began), Timestamp(of.until));
        (id, Session { user, epoch: of.epoch, n: of.n, began, until })
    };
    let sessions = record.sessions.into_iter().map(session).collect();
    Ok((user, Own { sessions, ended: BTreeSet::new(), version: Some(document.version) }))
}

/// The document, without its body, and the session in it.
fn decode_former(document: &Document) -> Result<(Document, Uuid, Session), Unread> {
    let wrong = |error| damaged(FORMER_KIND, &document.id, error);
    let id = Uuid::parse_str(&document.id).map_err(wrong)?;
    let record: FormerRecord = read(FORMER_KIND, document)?;
    let session = Session {
        user: UserId(record.user),
        epoch: record.epoch,
        n: record.n,
        began: Timestamp(record.began),
        until: Timestamp(record.until),
    };
    let at = Document { body: Vec::new(), ..document.clone() };
    Ok((at, id, session))
}

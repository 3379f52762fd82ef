//! The sessions of users: each a document, all held in memory. A session that is not there has
//! ended, so that ending one is deleting it, durably.
//!
//! A session's refresh tokens are numbered. The present number gives the next tokens; an earlier
//! one was used before, by its owner or by a thief, and ends the session.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::limits::{LOAD_PAGE, SESSIONS_PER_USER};
use crate::domain::{Timestamp, UserId};
use crate::storage::{Document, Documents, StoreError};

/// The kind of the documents.
const KIND: &str = "session";

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
    /// When it began.
    pub began: Timestamp,
    /// When its refresh token ends, and it with it.
    pub until: Timestamp,
    /// The version of its document.
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionRecord {
    form: u32,
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

pub(super) struct Sessions {
    documents: Arc<dyn Documents>,
    live: RwLock<HashMap<Uuid, Session>>,
    writing: Mutex<()>,
}

impl Sessions {
    pub async fn load(documents: Arc<dyn Documents>) -> Result<Self, StoreError> {
        let mut live = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = documents.list(KIND, after.as_deref(), LOAD_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for document in &page {
                let (id, session) = decode(document)?;
                live.insert(id, session);
            }
        }
        Ok(Self { documents, live: RwLock::new(live), writing: Mutex::new(()) })
    }

    pub fn get(&self, id: Uuid) -> Option<Session> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.get(&id).copied()
    }

    /// Begins a session; a user with too many loses the oldest.
    pub async fn begin(
        &self,
        id: Uuid,
        user: UserId,
        epoch: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Session, StoreError> {
        let _writing = self.writing.lock().await;
        while let Some(oldest) = self.oldest_beyond_limit(user) {
            self.erase(oldest).await?;
        }
        let session = Session { user, epoch, n: 0, began: now, until, version: 0 };
        self.write(id, session).await
    }

    /// Uses refresh token number `n`.
    pub async fn turn(
        &self,
        id: Uuid,
        n: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Turned, StoreError> {
        let _writing = self.writing.lock().await;
        let Some(session) = self.get(id).filter(|session| session.until > now) else {
            return Ok(Turned::Gone);
        };
        if session.n != n {
            return Ok(Turned::Reused);
        }
        let next = Session { n: n + 1, until, ..session };
        Ok(Turned::Next(self.write(id, next).await?))
    }

    /// Ends a session; it stays ended after a restart. No effect when there is none.
    pub async fn end(&self, id: Uuid) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        self.erase(id).await
    }

    /// Removes up to a page of sessions that are over.
    pub async fn prune(&self, over: impl Fn(&Session) -> bool) -> Result<(), StoreError> {
        let old: Vec<Uuid> = {
            let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
            let old = live.iter().filter(|(_, session)| over(session));
            old.map(|(id, _)| *id).take(LOAD_PAGE).collect()
        };
        for id in old {
            self.end(id).await?;
        }
        Ok(())
    }

    /// Whether there is such a session.
    pub fn any(&self, so: impl Fn(&Session) -> bool) -> bool {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.values().any(so)
    }

    fn oldest_beyond_limit(&self, user: UserId) -> Option<Uuid> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let mut own: Vec<_> = live
            .iter()
            .filter(|(_, session)| session.user == user)
            .map(|(id, session)| (session.began, *id))
            .collect();
        own.sort_unstable();
        let full = own.len() >= SESSIONS_PER_USER;
        own.first().filter(|_| full).map(|(_, id)| *id)
    }

    async fn write(&self, id: Uuid, mut session: Session) -> Result<Session, StoreError> {
        let record = SessionRecord {
            form: FORM,
            user: session.user.0,
            epoch: session.epoch,
            n: session.n,
            began: session.began.0,
            until: session.until.0,
        };
        let body = serde_json::to_vec(&record).map_err(|error| damaged(&id.to_string(), error))?;
        let text = id.to_string();
        match self.documents.put(KIND, &text, session.version, body).await {
            Ok(version) => {
                session.version = version;
                self.show(id, Some(session));
                Ok(session)
            }
            Err(error) => {
                self.catch_up(id).await;
                Err(error)
            }
        }
    }

    /// The session is over in memory before the store is asked: should that fail, whoever holds
    /// its tokens is out until the caller, who is told, has tried again.
    async fn erase(&self, id: Uuid) -> Result<(), StoreError> {
        let known = self.show(id, None).map(|session| session.version);
        let text = id.to_string();
        let version = match known {
            Some(version) => version,
            None => match self.documents.get(KIND, &text).await? {
                Some(document) => document.version,
                None => return Ok(()),
            },
        };
        match self.documents.delete(KIND, &text, version).await {
            Ok(()) | Err(StoreError::VersionConflict { found: 0, .. }) => Ok(()),
            Err(StoreError::VersionConflict { found, .. }) => {
                self.documents.delete(KIND, &text, found).await
            }
            Err(error) => Err(error),
        }
    }

    async fn catch_up(&self, id: Uuid) {
        if let Ok(found) = self.documents.get(KIND, &id.to_string()).await {
            let session = found.and_then(|document| decode(&document).ok());
            self.show(id, session.map(|(_, session)| session));
        }
    }

    fn show(&self, id: Uuid, session: Option<Session>) -> Option<Session> {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        match session {
            Some(session) => live.insert(id, session),
            None => live.remove(&id),
        }
    }
}

fn damaged(id: &str, what: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { reason: format!("{KIND} {id}: {what}") }
}

fn decode(document: &Document) -> Result<(Uuid, Session), StoreError> {
    let wrong = |error: String| damaged(&document.id, error);
    let id = Uuid::parse_str(&document.id).map_err(|error| wrong(error.to_string()))?;
    let record: SessionRecord =
        serde_json::from_slice(&document.body).map_err(|error| wrong(error.to_string()))?;
    if record.form != FORM {
        return Err(wrong(format!("form {} is not known", record.form)));
    }
    let session = Session {
        user: UserId(record.user),
        epoch: record.epoch,
        n: record.n,
        began: Timestamp(record.began),
        until: Timestamp(record.until),
        version: document.version,
    };
    Ok((id, session))
}

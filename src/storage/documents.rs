//! The port of versioned documents, and the one way to read all of a kind.
//!
//! Owns what happens when one of them cannot be read: it is named and counted, and the others serve.
//! Refuses to know what a document says.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::telemetry::{self, DamagedRow};

use super::StoreError;
use super::port::port;

/// A configuration document as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its id within its kind.
    pub id: String,
    /// Counts up from 1.
    pub version: u64,
    /// What it says, as its owner encodes it.
    pub body: Vec<u8>,
}

/// A document of a listing. Its id and version can be read also when its body cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id within its kind.
    pub id: String,
    /// Its version.
    pub version: u64,
    /// What it says; `Damaged` when that cannot be read.
    pub body: Result<Vec<u8>, StoreError>,
}

impl Listed {
    /// The document. Errors with `Damaged` when its body cannot be read.
    pub fn document(self) -> Result<Document, StoreError> {
        Ok(Document { id: self.id, version: self.version, body: self.body? })
    }
}

impl From<Document> for Listed {
    fn from(document: Document) -> Self {
        Self { id: document.id, version: document.version, body: Ok(document.body) }
    }
}

port! {
    /// Documents with versions: users, queues, channels, reasons to be away, tokens' keys.
    pub trait Documents {
        /// One document.
        async fn get(&self, kind: &str, id: &str) -> Result<Option<Document>, StoreError>;

        /// Writes a document whose present version is `expected` (0: there is none), and answers the
        /// new version. Errors with `VersionConflict` when it is another, also when the present one
        /// cannot be read.
        async fn put(
            &self,
            kind: &str,
            id: &str,
            expected: u64,
            body: Vec<u8>,
        ) -> Result<u64, StoreError>;

        /// Removes a document whose version is `expected`. Errors like `put`.
        async fn delete(&self, kind: &str, id: &str, expected: u64) -> Result<(), StoreError>;

        /// Up to `limit` documents of a kind in the order of their ids, beginning after `after`. One
        /// that is damaged is among them without its body; what a newer release wrote is an error.
        async fn list(
            &self,
            kind: &str,
            after: Option<&str>,
            limit: usize,
        ) -> Result<Vec<Listed>, StoreError>;
    }
}

/// The version of a document that cannot be read; 0 when there is none. For what can be found out
/// anew, and is to be written over.
pub(crate) async fn version_of(
    documents: &dyn Documents,
    kind: &str,
    id: &str,
) -> Result<u64, StoreError> {
    // Nothing is removed on this condition; whoever refuses it names the version.
    match documents.delete(kind, id, 0).await {
        Err(StoreError::VersionConflict { found, .. }) => Ok(found),
        done => done.map(|()| 0),
    }
}

/// One small JSON document whose owner can do without: what it said is found out anew when it cannot be
/// read. One process writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    kind: &'static str,
    id: &'static str,
    version: u64,
}

impl Remembered {
    /// The document, and what it says; none when it is not there or cannot be read.
    pub async fn load<T: DeserializeOwned>(
        documents: &dyn Documents,
        kind: &'static str,
        id: &'static str,
    ) -> Result<(Self, Option<T>), StoreError> {
        let found = found(documents, kind, id).await?;
        let version = match &found {
            Some(found) => found.version,
            None => version_of(documents, kind, id).await?,
        };
        Ok((Self { kind, id, version }, said(found)))
    }

    /// What it says, for who only reads: nothing is written to the store, as it may be to load it.
    pub async fn read<T: DeserializeOwned>(
        documents: &dyn Documents,
        kind: &'static str,
        id: &'static str,
    ) -> Result<Option<T>, StoreError> {
        found(documents, kind, id).await.map(said)
    }

    /// Its id.
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// Writes over what it said; durable when it answers.
    pub async fn save(
        &mut self,
        documents: &dyn Documents,
        said: &impl Serialize,
    ) -> Result<(), StoreError> {
        let body = serde_json::to_vec(said)
            .map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
        let put = documents.put(self.kind, self.id, self.version, body).await;
        match &put {
            Ok(version) => self.version = *version,
            // An earlier try took effect and was not told; the next one says all of it.
            Err(StoreError::VersionConflict { found, .. }) => self.version = *found,
            Err(_) => {}
        }
        put.map(drop)
    }
}

/// The document; none when it is damaged, too.
async fn found(
    documents: &dyn Documents,
    kind: &'static str,
    id: &'static str,
) -> Result<Option<Document>, StoreError> {
    match documents.get(kind, id).await {
        Err(StoreError::Damaged { .. }) => Ok(None),
        found => found,
    }
}

/// What it says, if it can be read.
fn said<T: DeserializeOwned>(found: Option<Document>) -> Option<T> {
    found.and_then(|found| serde_json::from_slice(&found.body).ok())
}

/// Why a document says nothing to its owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// It is not what was written.
    #[error("{0}")]
    Damaged(String),
    /// A newer release wrote it: this one must not go on without it.
    #[error("{0}; run the release that wrote it, or a newer one")]
    Newer(String),
}

impl From<Unread> for StoreError {
    fn from(unread: Unread) -> Self {
        Self::Damaged { reason: unread.to_string() }
    }
}

/// A document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Its id within its kind.
    pub id: String,
    /// Its version.
    pub version: u64,
}

/// Reads every document of a kind, `page` at a time, each by `read`. Those that are damaged are named
/// in the log, counted, and answered as lost: all else serves. Errors when the store fails, and with
/// what a newer release wrote.
pub(crate) async fn read_all<T>(
    documents: &dyn Documents,
    kind: &str,
    page: usize,
    read: impl Fn(&Document) -> Result<T, Unread>,
) -> Result<(Vec<T>, Vec<Lost>), StoreError> {
    let (mut all, mut lost) = (Vec::new(), Vec::new());
    let mut after: Option<String> = None;
    loop {
        let found = documents.list(kind, after.as_deref(), page).await?;
        let Some(last) = found.last() else { break };
        after = Some(last.id.clone());
        for listed in found {
            let (id, version) = (listed.id.clone(), listed.version);
            let document = listed.document().map_err(|error| Unread::Damaged(error.to_string()));
            match document.and_then(|document| read(&document)) {
                Ok(one) => all.push(one),
                Err(error @ Unread::Newer(_)) => return Err(error.into()),
                Err(error @ Unread::Damaged(_)) => {
                    tracing::error!(
                        kind,
                        id,
                        %error,
                        "a document cannot be read and is left out, all others are served; it stays \
                         as it is: restore a backup, or see what else is with `switchboard store check`"
                    );
                    lost.push(Lost { id, version });
                }
            }
        }
    }
    telemetry::store_damaged_rows(DamagedRow::of_document(kind), lost.len());
    Ok((all, lost))
}

//! Which store stands behind the ports.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::storage::Store;
use crate::storage::memory::MemoryStore;
use crate::storage::sqlite::{OpenError, SqliteOptions, SqliteStore, StoreFailure};

/// Which one.
#[derive(Clone)]
pub enum StoreChoice {
    /// SQLite in a folder.
    Sqlite(PathBuf),
    /// Memory; for tests, nothing is kept.
    Memory(Arc<MemoryStore>),
}

/// A store that is open.
pub struct OpenedStore {
    /// Its ports.
    pub store: Store,
    failure: Option<watch::Receiver<Option<StoreFailure>>>,
}

impl StoreChoice {
    /// Opens it; blocks for a moment. Errors say what to do.
    pub fn open(&self) -> Result<OpenedStore, OpenError> {
        match self {
            Self::Sqlite(folder) => {
                let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(folder))?);
                let failure = Some(sqlite.failure());
                Ok(OpenedStore { store: sqlite.store(), failure })
            }
            Self::Memory(memory) => {
                Ok(OpenedStore { store: Store::of(Arc::clone(memory)), failure: None })
            }
        }
    }
}

impl OpenedStore {
    /// Ends with the reason when the store has failed for good.
    pub async fn failed(failure: Option<watch::Receiver<Option<StoreFailure>>>) -> String {
        let Some(mut failure) = failure else { return std::future::pending().await };
        match failure.wait_for(Option::is_some).await {
            Ok(failure) => failure.as_ref().map(ToString::to_string).unwrap_or_default(),
            // Whoever still holds the store takes a closed channel as a failure too.
            Err(_) => "the store has ended by itself; look at the log, then start again".to_owned(),
        }
    }

    /// What [`failed`](Self::failed) waits for.
    pub fn failure(&self) -> Option<watch::Receiver<Option<StoreFailure>>> {
        self.failure.clone()
    }
}

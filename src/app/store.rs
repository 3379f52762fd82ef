//! Which store stands behind the ports.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::relist::relist;
use crate::config::Settings;
use crate::config::settings::{StoreConsistency, StoreKind, StoreSettings};
use crate::storage::scylla::{self, ConsistencyOf, Login, ScyllaOptions, ScyllaStore};
use crate::storage::sqlite::{self, SqliteOptions, SqliteStore};
use crate::storage::{Store, StoreFailure, StoreHealth};

/// The file of erasures beside the embedded store, unless the settings name another.
pub const ERASURES_FILE: &str = "switchboard.erasures";

/// Which one.
#[derive(Clone)]
pub enum StoreChoice {
    /// SQLite in a folder.
    Sqlite(PathBuf),
    /// ScyllaDB, or another server that speaks CQL.
    Scylla(Box<ScyllaOptions>),
    /// Ports that are open already; for tests.
    Given(Store),
}

/// Why a store cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// ScyllaDB.
    #[error(transparent)]
    Scylla(#[from] scylla::OpenError),
}

/// A store that is open.
pub struct OpenedStore {
    /// Its ports.
    pub store: Store,
    failure: Option<watch::Receiver<Option<StoreFailure>>>,
    scylla: Option<Arc<ScyllaStore>>,
    sqlite: Option<(PathBuf, Arc<SqliteStore>)>,
}

impl StoreChoice {
    /// The one that the settings name.
    pub fn of(settings: &Settings) -> Self {
        match settings.store.kind {
            StoreKind::Sqlite => Self::Sqlite(settings.server.data.clone()),
            StoreKind::Scylla => Self::Scylla(Box::new(scylla_options(&settings.store))),
        }
    }

    /// Where its erasures are kept besides: where the settings say, or beside the embedded store.
    pub fn erasures(&self, settings: &Settings) -> Option<PathBuf> {
        let named = &settings.server.erasures;
        match self {
            _ if !named.as_os_str().is_empty() => Some(named.clone()),
            Self::Sqlite(folder) => Some(folder.join(ERASURES_FILE)),
            Self::Scylla(_) | Self::Given(_) => None,
        }
    }

    /// The same, for a command that a person waits for: a process that owns it is an error.
    pub fn at_once(mut self) -> Self {
        if let Self::Scylla(options) = &mut self {
            options.wait = scylla::Wait::ForTheDead;
        }
        self
    }

    /// Opens it. SQLite blocks for a moment; ScyllaDB waits while another process owns the
    /// keyspace. Errors say what to do.
    pub async fn open(&self) -> Result<OpenedStore, OpenError> {
        match self {
            Self::Sqlite(folder) => {
                let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(folder))?);
                let (store, failure) = (sqlite.store(), Some(sqlite.failure()));
                relist(&sqlite, &store).await.map_err(|error| sqlite::OpenError::Refused {
                    file: folder.join(sqlite::DATABASE_FILE),
                    what: format!("the index of open chats was not made anew: {error}"),
                })?;
                let sqlite = Some((folder.clone(), sqlite));
                Ok(OpenedStore { store, failure, scylla: None, sqlite })
            }
            Self::Scylla(options) => {
                let scylla = Arc::new(ScyllaStore::open(options).await?);
                let failure = Some(scylla.failure());
                Ok(OpenedStore {
                    store: scylla.store(),
                    failure,
                    scylla: Some(scylla),
                    sqlite: None,
                })
            }
            Self::Given(store) => {
                Ok(OpenedStore { store: store.clone(), failure: None, scylla: None, sqlite: None })
            }
        }
    }
}

/// The settings as the adapter takes them.
pub(super) fn scylla_options(settings: &StoreSettings) -> ScyllaOptions {
    let login =
        Login { user: settings.user.clone(), password: settings.password.reveal().to_owned() };
    let named = !settings.tls_ca.as_os_str().is_empty();
    ScyllaOptions {
        contact_points: settings.contact_points.clone(),
        datacentre: settings.datacentre.clone(),
        replication: settings.replication,
        login: (!login.user.is_empty()).then_some(login),
        tls_ca: named.then(|| settings.tls_ca.clone()),
        consistency: match settings.consistency {
            StoreConsistency::LocalQuorum => ConsistencyOf::Datacentre,
            StoreConsistency::Quorum => ConsistencyOf::Cluster,
        },
        request_limit: Duration::from_millis(settings.request_ms),
        connect_limit: Duration::from_millis(settings.connect_ms),
        ..ScyllaOptions::local(&settings.keyspace, &holder())
    }
}

/// What this process is called where people look who owns the keyspace; unlike every other.
fn holder() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut bytes = [0; 8];
    // Without randomness the process does not start anyway: tokens need it.
    let _ = getrandom::fill(&mut bytes);
    let unique = u64::from_le_bytes(bytes);
    format!("process {} on {} ({unique:016x})", std::process::id(), host.trim())
}

impl OpenError {
    /// Whether it may pass by itself.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Scylla(error) => error.may_pass(),
        }
    }

    /// Whether the store is there and does not let this process in.
    pub fn is_login(&self) -> bool {
        matches!(self, Self::Scylla(scylla::OpenError::LoginRefused { .. }))
    }
}

impl OpenedStore {
    /// The embedded store and its folder, if it is that one.
    pub fn embedded(&self) -> Option<(PathBuf, Arc<SqliteStore>)> {
        self.sqlite.clone()
    }

    /// Whether the store answers. None: one that always does, or fails for good.
    pub fn health(&self) -> Option<watch::Receiver<StoreHealth>> {
        self.scylla.as_ref().map(|scylla| scylla.health())
    }

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

    /// Errors unless this process has been its only owner since it was opened.
    pub async fn still_owns(&self) -> Result<(), String> {
        match &self.scylla {
            None => Ok(()),
            Some(scylla) => match scylla.still_owns().await {
                Ok(true) => Ok(()),
                Ok(false) => Err("another process has taken the keyspace meanwhile".to_owned()),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// Lets go of what others may wait for; nothing is written after it.
    pub async fn close(&self) {
        if let Some(scylla) = &self.scylla {
            scylla.close().await;
        }
    }
}

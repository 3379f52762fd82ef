//! The stores under test, each with a way to start again on what it has stored.

use std::sync::Arc;

use switchboard::domain::audit::AuditEntry;
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::scylla::ScyllaStore;
use switchboard::storage::sqlite::{Mended, OpenError, SqliteOptions, SqliteStore};
use tempfile::TempDir;

use crate::cql_support::{Keyspace, RUNTIME};
use crate::disk::Disk;
use crate::power_loss_vfs::{Mount, VFS, mount};

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Sqlite,
    SqliteOnOurDisk,
    /// The distributed store on whichever database speaks CQL.
    Cql,
}

/// A store in a test. Its folder goes with it.
pub struct Subject {
    pub store: Store,
    back: Back,
}

enum Back {
    Memory(Arc<MemoryStore>),
    Sqlite(Rig),
    Cql(OnCql),
}

/// A distributed store in a keyspace, which it lets go of before another may have it.
struct OnCql {
    scylla: Arc<ScyllaStore>,
    /// None: it has gone on to the next process.
    keyspace: Option<Keyspace>,
}

impl Drop for OnCql {
    fn drop(&mut self) {
        if self.keyspace.is_none() {
            return;
        }
        let scylla = Arc::clone(&self.scylla);
        // Not within the runtime that may be running this.
        let closed = std::thread::spawn(move || RUNTIME.block_on(scylla.close()));
        let _ = closed.join();
    }
}

/// SQLite in a folder of its own, on this machine's disk or on ours.
pub struct Rig {
    pub options: SqliteOptions,
    pub disk: Arc<Disk>,
    pub folder: TempDir,
    _mount: Mount,
}

impl Rig {
    /// Folds and checkpoints after a handful of events, so that both happen all the time.
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::new());
        let mut options = SqliteOptions::new(folder.path());
        options.fold_at = 7;
        options.checkpoint_at_pages = 24;
        if kind == Kind::SqliteOnOurDisk {
            options.vfs = Some(VFS.to_owned());
        }
        Self { _mount: mount(folder.path(), &disk), options, disk, folder }
    }

    /// Opens the store.
    pub fn open(&self) -> Result<Arc<SqliteStore>, OpenError> {
        until_free(|| SqliteStore::open(&self.options)).map(Arc::new)
    }

    /// Repairs the database.
    pub fn repair(&self, entry: AuditEntry) -> Result<Mended, OpenError> {
        until_free(|| SqliteStore::repair(&self.options, Some(entry.clone())))
    }
}

/// A folder of ours that is in use still is waited for: a test that starts a program at this moment
/// holds every lock of this process until the program has begun.
fn until_free<T>(attempt: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let mut tries = TRIES_UNTIL_FREE;
    loop {
        match attempt() {
            Err(OpenError::InUse { holder, .. })
                if holder.contains(&std::process::id().to_string()) && tries > 0 =>
            {
                tries -= 1;
                std::thread::yield_now();
            }
            done => return done,
        }
    }
}

/// How often a folder that this process holds is tried again.
const TRIES_UNTIL_FREE: u32 = 20_000;

impl Subject {
    /// A new one, empty. None: this machine has none of the kind, and that was said aloud.
    pub async fn new(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Memory => {
                let memory = MemoryStore::new();
                Some(Self { store: memory.store_with_moves(), back: Back::Memory(memory) })
            }
            Kind::Sqlite | Kind::SqliteOnOurDisk => {
                let rig = Rig::new(kind);
                let store = rig.open().unwrap().store();
                Some(Self { store, back: Back::Sqlite(rig) })
            }
            Kind::Cql => Some(Self::on(Keyspace::left_or_new().await?).await),
        }
    }

    async fn on(keyspace: Keyspace) -> Self {
        let scylla = Arc::new(ScyllaStore::open(&keyspace.options).await.unwrap());
        let store = scylla.store();
        Self { store, back: Back::Cql(OnCql { scylla, keyspace: Some(keyspace) }) }
    }

    /// The process ends and starts again on the same data.
    pub async fn restart(self) -> Self {
        let Self { store, back } = self;
        drop(store);
        match back {
            Back::Memory(memory) => {
                memory.restart();
                Self { store: memory.store_with_moves(), back: Back::Memory(memory) }
            }
            Back::Sqlite(rig) => {
                let store = rig.open().unwrap().store();
                Self { store, back: Back::Sqlite(rig) }
            }
            Back::Cql(mut on) => {
                on.scylla.close().await;
                let keyspace = on.keyspace.take().unwrap();
                drop(on);
                Self::on(keyspace).await
            }
        }
    }
}

/// Runs a test to its end on one thread.
pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
}

/// Runs a test of a store to its end, where that store can live.
pub fn block_on_of<T>(kind: Kind, test: impl Future<Output = T>) -> T {
    match kind {
        Kind::Memory | Kind::Sqlite | Kind::SqliteOnOurDisk => block_on(test),
        Kind::Cql => RUNTIME.block_on(test),
    }
}

//! The stores under test, each with a way to start again on what it has stored.

use std::sync::Arc;

use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::sqlite::{OpenError, SqliteOptions, SqliteStore};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::power_loss_vfs::{Mount, VFS, mount};

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Sqlite,
    SqliteOnOurDisk,
}

/// A store in a test. Its folder goes with it.
pub struct Subject {
    pub store: Store,
    back: Back,
}

enum Back {
    Memory(Arc<MemoryStore>),
    Sqlite(Rig),
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

    pub fn open(&self) -> Result<Arc<SqliteStore>, OpenError> {
        SqliteStore::open(&self.options).map(Arc::new)
    }
}

impl Subject {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Memory => {
                let memory = MemoryStore::new();
                Self { store: memory.store(), back: Back::Memory(memory) }
            }
            Kind::Sqlite | Kind::SqliteOnOurDisk => {
                let rig = Rig::new(kind);
                let store = rig.open().unwrap().store();
                Self { store, back: Back::Sqlite(rig) }
            }
        }
    }

    /// The process ends and starts again on the same data.
    pub fn restart(self) -> Self {
        let Self { store, back } = self;
        drop(store);
        match back {
            Back::Memory(memory) => {
                memory.restart();
                Self { store: memory.store(), back: Back::Memory(memory) }
            }
            Back::Sqlite(rig) => {
                let store = rig.open().unwrap().store();
                Self { store, back: Back::Sqlite(rig) }
            }
        }
    }
}

/// Runs a test to its end on one thread.
pub fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
}

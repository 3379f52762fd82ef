//! A copy of the database while it is used: pages in slices on the writer's connection, between
//! commits. What the writer changes meanwhile goes into the copy with it, so the copying never
//! begins anew, and the copy is the state of one moment: that of its last slice.
//!
//! Invariants: a commit waits for one slice at most; what goes wrong ends the copy, not the store;
//! the file has its name when it is whole, durable and marked as a copy, or not at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::storage::files;

use super::SqliteStore;
use super::copies::mark_as_copy;
use super::limits::{BACKUP_SLICE_SLOW, BACKUP_SLOW_MAX, BACKUP_WAL_PAGES_MAX};
use super::writer::Write;

/// Why there is no copy. The store goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// A file of this name is there.
    #[error("{0} is there already; give another name")]
    Exists(PathBuf),
    /// The copy would have cost the store too much, or somebody wants none any more.
    #[error("the backup was given up, the router goes on: {0}")]
    GivenUp(String),
    /// The file cannot be written.
    #[error("{file}: {what}")]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// What a copy may cost whoever writes meanwhile; beyond it, it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupBounds {
    /// A slice that takes longer is a slow one.
    pub slice_slow: Duration,
    /// Slow slices in succession.
    pub slow_max: u32,
    /// Pages in the WAL.
    pub wal_pages_max: u32,
}

impl Default for BackupBounds {
    fn default() -> Self {
        Self {
            slice_slow: BACKUP_SLICE_SLOW,
            slow_max: BACKUP_SLOW_MAX,
            wal_pages_max: BACKUP_WAL_PAGES_MAX,
        }
    }
}

/// How far a copy is, in pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Copied.
    pub done: u64,
    /// All, at present.
    pub of: u64,
}

/// A copy that the writer is to make.
pub(super) struct Job {
    /// The new database.
    pub to: Connection,
    /// Hears how far it is. Nobody listens any more: it is given up.
    pub progress: watch::Sender<Progress>,
    /// Gets the database back, or why it is not whole.
    pub answer: Answer,
}

/// See [`Job`].
pub(super) type Answer = oneshot::Sender<Result<Connection, String>>;

impl Job {
    /// Nothing was copied.
    pub fn refuse(self, why: &str) {
        let _ = self.answer.send(Err(why.to_owned()));
    }
}

impl SqliteStore {
    /// Copies the database into a new file, which a store can be started on. Drop the future to
    /// give it up.
    pub async fn back_up(
        &self,
        file: &Path,
        progress: watch::Sender<Progress>,
    ) -> Result<(), BackupError> {
        if file.exists() {
            return Err(BackupError::Exists(file.to_owned()));
        }
        let part = Part::of(file);
        let begun = part.0.clone();
        let to = blocking(move || begin(&begun)).await.map_err(|what| part.blame(what))?;
        let (answer, answered) = oneshot::channel();
        let job = Job { to, progress, answer };
        self.submit(Write::Backup(Box::new(job))).map_err(BackupError::GivenUp)?;
        let gone = |_| Err("the store is being closed".to_owned());
        let copy = answered.await.unwrap_or_else(gone).map_err(BackupError::GivenUp)?;
        let (from, to) = (part.0.clone(), file.to_owned());
        blocking(move || finish(copy, &from, &to)).await.map_err(|what| part.blame(what))
    }
}

/// A file under way; removed unless it got its name.
struct Part(PathBuf);

impl Part {
    fn of(file: &Path) -> Self {
        let mut name = file.as_os_str().to_owned();
        name.push(".part");
        Self(name.into())
    }

    fn blame(&self, what: String) -> BackupError {
        BackupError::File { file: self.0.clone(), what }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After it got its name there is none.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// An empty database that nothing is lost with: it is synced when it is whole.
fn begin(part: &Path) -> Result<Connection, String> {
    files::make_anew(part).map_err(|error| error.to_string())?;
    let to = Connection::open(part).map_err(|error| error.to_string())?;
    let set = to
        .pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))
        .and_then(|()| to.pragma_update(None, "synchronous", "OFF"));
    set.map_err(|error| error.to_string())?;
    Ok(to)
}

/// Marks the copy, makes it durable, and gives it its name.
fn finish(copy: Connection, part: &Path, file: &Path) -> Result<(), String> {
    let marked = copy
        // Else whoever looks at it alone would leave files beside it.
        .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .and_then(|()| mark_as_copy(&copy));
    marked.map_err(|error| error.to_string())?;
    copy.close().map_err(|(_, error)| error.to_string())?;
    named(part, file).map_err(|error| error.to_string())
}

fn named(part: &Path, file: &Path) -> std::io::Result<()> {
    std::fs::File::open(part)?.sync_all()?;
    // A link, unlike a new name, takes no file's place.
    std::fs::hard_link(part, file)?;
    std::fs::remove_file(part)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::SqliteOptions;
    use super::*;
    use crate::storage::Documents;

    /// Slices of the copy: there are more than the slow ones that are borne.
    const SLICES: usize = 5;

    async fn gives_up(bounds: BackupBounds) -> String {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions {
            backup_bounds: bounds,
            ..SqliteOptions::new(folder.path().join("data"))
        };
        let store = SqliteStore::open(&options).unwrap();
        let body = || vec![7; 256 * 4_096];
        for n in 0..SLICES {
            store.put("queue", &n.to_string(), 0, body()).await.unwrap();
        }
        let file = folder.path().join("copy");
        let (progress, _watch) = watch::channel(Progress::default());
        let failed = store.back_up(&file, progress).await.unwrap_err();
        assert!(matches!(failed, BackupError::GivenUp(_)), "{failed}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing of the copy is left: {left:?}");
        store.put("queue", "0", 1, body()).await.expect("the store goes on");
        assert_eq!(*store.failure().borrow(), None);
        failed.to_string()
    }

    #[tokio::test]
    async fn a_backup_on_a_slow_disk_gives_up_and_the_store_goes_on() {
        let bounds = BackupBounds { slice_slow: Duration::ZERO, slow_max: 3, ..Default::default() };
        let why = gives_up(bounds).await;
        assert!(why.contains("the disk is too slow"), "{why}");
    }

    #[tokio::test]
    async fn a_backup_beside_a_long_wal_gives_up_and_the_store_goes_on() {
        let why = gives_up(BackupBounds { wal_pages_max: 1, ..Default::default() }).await;
        assert!(why.contains("the log of writes grew too long"), "{why}");
    }
}

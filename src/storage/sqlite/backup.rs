//! A copy of the database while it is used: pages in slices on the writer's connection, between
//! commits. What the writer changes meanwhile goes into the copy with it, so the copying never
//! begins anew, and the copy is the state of one moment: that of its last slice.
//!
//! Invariants: a commit waits for one slice at most; what goes wrong ends the copy, not the store;
//! the file has its name when it is whole, durable and flagged as a copy, or not at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::storage::files;

use super::SqliteStore;
use super::checksums::Pages;
use super::connect::{Access, open_as, reserve};
use super::copies::flag_as_copy;
use super::limits::{
    BACKUP_STILL_MAX, BACKUP_WAIT_FACTOR, BACKUP_WAIT_LEAST, BACKUP_WAL_PAGES_MAX,
    BACKUP_WINDOWS_MAX, WAITS_MIN, WAITS_WINDOW,
};
use super::write_back::WriteBack;
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
    /// How many times longer the 99th of a hundred writes may wait than before.
    pub wait_factor: u32,
    /// What it waited before, at least.
    pub wait_least: Duration,
    /// Windows in succession in which it may wait longer.
    pub windows_max: u64,
    /// How long a window of waits lasts.
    pub window: Duration,
    /// How many writes are in it, at least.
    pub window_writes: u64,
    /// Pages in the WAL.
    pub wal_pages_max: u32,
    /// How long it may have no fewer pages left than before.
    pub still_max: Duration,
}

impl Default for BackupBounds {
    fn default() -> Self {
        Self {
            wait_factor: BACKUP_WAIT_FACTOR,
            wait_least: BACKUP_WAIT_LEAST,
            windows_max: BACKUP_WINDOWS_MAX,
            window: WAITS_WINDOW,
            window_writes: WAITS_MIN,
            wal_pages_max: BACKUP_WAL_PAGES_MAX,
            still_max: BACKUP_STILL_MAX,
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
    /// Its file.
    pub file: WriteBack,
    /// Hears how far it is. Nobody listens any more: it is given up.
    pub progress: watch::Sender<Progress>,
    /// Gets the database back, or why it is not whole.
    pub answer: Answer,
}

/// See [`Job`].
pub(super) type Answer = oneshot::Sender<Result<(Connection, WriteBack), String>>;

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
        let (begun, has_checksums) = (part.0.clone(), self.has_checksums);
        let begun = blocking(move || begin(&begun, has_checksums))
            .await
            .map_err(|what| part.blame(what))?;
        let (to, written) = begun;
        let (answer, answered) = oneshot::channel();
        let job = Job { to, file: written, progress, answer };
        self.submit(Write::Backup(Box::new(job))).map_err(BackupError::GivenUp)?;
        let gone = |_| Err("the store is being closed".to_owned());
        let (copy, written) = answered.await.unwrap_or_else(gone).map_err(BackupError::GivenUp)?;
        let (from, to) = (part.0.clone(), file.to_owned());
        blocking(move || finish(copy, written, &from, &to)).await.map_err(|what| part.blame(what))
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

/// An empty database that nothing is lost with: it counts for nothing before it is whole and synced. Its
/// pages have checksums if those of what is copied do.
fn begin(part: &Path, has_checksums: bool) -> Result<(Connection, WriteBack), String> {
    let file = files::make_anew(part).map_err(|error| error.to_string())?;
    let to = open_copy(part, has_checksums).map_err(|error| error.to_string())?;
    let file = WriteBack::start(file).map_err(|error| error.to_string())?;
    Ok((to, file))
}

fn open_copy(part: &Path, has_checksums: bool) -> rusqlite::Result<Connection> {
    let to = open_as(part, Access::Write, None, Pages::Verified)?;
    to.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    to.pragma_update(None, "synchronous", "OFF")?;
    if has_checksums {
        reserve(&to)?;
        // The first page is copied last, and those before it must know of it: any number makes one.
        to.pragma_update(None, "user_version", 1)?;
    }
    Ok(to)
}

/// Flags the copy, makes it durable, and gives it its name.
fn finish(copy: Connection, written: WriteBack, part: &Path, file: &Path) -> Result<(), String> {
    // First: a copy of which a sync failed was given up before it was whole.
    let synced = written.end().map_err(|error| error.to_string())?;
    let flagged = copy
        // Else whoever looks at it alone would leave files beside it.
        .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .and_then(|()| flag_as_copy(&copy));
    flagged.map_err(|error| error.to_string())?;
    copy.close().map_err(|(_, error)| error.to_string())?;
    named(&synced, part, file).map_err(|error| error.to_string())
}

fn named(synced: &std::fs::File, part: &Path, file: &Path) -> std::io::Result<()> {
    synced.sync_all()?;
    // A link, unlike a new name, takes no file's place.
    std::fs::hard_link(part, file)?;
    std::fs::remove_file(part)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::timeout;

    use super::super::limits::BACKUP_AHEAD_PAGES_MAX;
    use super::super::{DATABASE_FILE, SqliteOptions};
    use super::*;
    use crate::domain::Incarnation;
    use crate::storage::{Documents, incarnation};

    /// MiB of a store: many slices, and the file of its copy is synced once before its end.
    const MIB: usize = 10;

    /// A folder with a store, with some slices for a copy.
    async fn store(bounds: BackupBounds) -> (tempfile::TempDir, Arc<SqliteStore>) {
        store_of(MIB, bounds).await
    }

    /// The same, of so many MiB.
    async fn store_of(mib: usize, bounds: BackupBounds) -> (tempfile::TempDir, Arc<SqliteStore>) {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions {
            backup_bounds: bounds,
            ..SqliteOptions::new(folder.path().join("data"))
        };
        let store = Arc::new(SqliteStore::open(&options).unwrap());
        for n in 0..mib {
            store.put("queue", &n.to_string(), 0, vec![7; 256 * 4_096]).await.unwrap();
        }
        (folder, store)
    }

    async fn back_up(store: &SqliteStore, file: &Path) -> Result<(), BackupError> {
        let (progress, _watch) = watch::channel(Progress::default());
        store.back_up(file, progress).await
    }

    async fn given_up(folder: &Path, store: &SqliteStore, failed: BackupError) -> String {
        assert!(matches!(failed, BackupError::GivenUp(_)), "{failed}");
        let left: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing of the copy is left: {left:?}");
        store.put("queue", "0", 1, vec![7]).await.expect("the store goes on");
        assert_eq!(*store.failure().borrow(), None);
        failed.to_string()
    }

    /// Any wait is too long.
    const UNBEARABLE: BackupBounds = BackupBounds {
        wait_factor: 0,
        wait_least: Duration::ZERO,
        windows_max: 1,
        window: Duration::ZERO,
        window_writes: 1,
        wal_pages_max: u32::MAX,
        still_max: Duration::MAX,
    };

    /// Copies that may end before anybody writes beside them.
    const ROUNDS_MAX: u32 = 100;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_backup_beside_which_writes_wait_too_long_gives_up_and_the_store_goes_on() {
        let (folder, store) = store(UNBEARABLE).await;
        let writer = Arc::clone(&store);
        let writing = tokio::spawn(async move {
            for version in 0.. {
                writer.put("channel", "0", version, vec![7]).await.unwrap();
            }
        });
        let file = folder.path().join("copy");
        let mut failed = None;
        for _ in 0..ROUNDS_MAX {
            match back_up(&store, &file).await {
                Ok(()) => std::fs::remove_file(&file).unwrap(),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        writing.abort();
        let why = given_up(folder.path(), &store, failed.expect("it gives up")).await;
        assert!(why.contains("one write in a hundred waited"), "{why}");
    }

    #[test]
    fn a_copy_takes_no_files_place_also_not_of_one_that_came_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let (part, file) = (folder.path().join("copy.part"), folder.path().join("copy"));
        std::fs::write(&part, "copied").unwrap();
        std::fs::write(&file, "another").unwrap();
        let synced = std::fs::File::open(&part).unwrap();
        named(&synced, &part, &file).unwrap_err();
        assert_eq!(std::fs::read(&file).unwrap(), b"another");
        std::fs::remove_file(&file).unwrap();
        named(&synced, &part, &file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"copied");
        assert!(!part.exists());
    }

    #[tokio::test]
    async fn a_backup_is_made_while_nobody_writes_however_little_waiting_is_borne() {
        let (folder, store) = store(UNBEARABLE).await;
        let file = folder.path().join("copy");
        back_up(&store, &file).await.unwrap();
        assert_eq!(SqliteStore::check_copy(&file).unwrap().problems, [""; 0]);
    }

    #[tokio::test]
    async fn whoever_starts_on_a_backup_begins_a_new_incarnation() {
        let (folder, store) = store_of(0, BackupBounds::default()).await;
        let (first, second) = (Incarnation::from_u128(1), Incarnation::from_u128(2));
        assert_eq!(incarnation::begin(&*store, first).await, Ok(first));
        let copy = folder.path().join("copy");
        std::fs::create_dir(&copy).unwrap();
        back_up(&store, &copy.join(DATABASE_FILE)).await.unwrap();
        let copied = SqliteStore::open(&SqliteOptions::new(copy)).unwrap();
        assert_eq!(incarnation::begin(&copied, second).await, Ok(second));
        assert_eq!(incarnation::begin(&*store, second).await, Ok(first), "the original goes on");
    }

    type Answered = oneshot::Receiver<Result<(Connection, WriteBack), String>>;

    /// A copy under way into this file, which is synced like this.
    fn copying(
        store: &SqliteStore,
        part: &Path,
        file: WriteBack,
    ) -> (watch::Receiver<Progress>, Answered) {
        let to = open_copy(part, store.has_checksums).unwrap();
        let (progress, seen) = watch::channel(Progress::default());
        let (answer, answered) = oneshot::channel();
        let job = Job { to, file, progress, answer };
        store.submit(Write::Backup(Box::new(job))).unwrap();
        (seen, answered)
    }

    /// The file of a copy, with a disk that syncs nothing before the sender is gone.
    fn hung(part: &Path) -> (std::sync::mpsc::Sender<()>, WriteBack) {
        let (hangs, goes_on) = std::sync::mpsc::channel();
        let sync = move |file: &std::fs::File| {
            let _ = goes_on.recv();
            file.sync_data()
        };
        (hangs, WriteBack::synced_by(files::make_anew(part).unwrap(), sync).unwrap())
    }

    /// Longest wait for a copy: far more than any of these needs.
    const LIMIT: Duration = Duration::from_secs(60);

    /// MiB of a store of which a copy runs ahead of a disk that hangs.
    const LARGE_MIB: usize = 36;

    #[tokio::test]
    async fn a_copy_waits_for_a_slow_disk_while_writes_go_on_and_is_whole() {
        let (folder, store) = store_of(LARGE_MIB, BackupBounds::default()).await;
        let (part, file) = (folder.path().join("copy.part"), folder.path().join("copy"));
        let (hangs, written) = hung(&part);
        let (mut seen, answered) = copying(&store, &part, written);
        let far = seen.wait_for(|copied| copied.done >= BACKUP_AHEAD_PAGES_MAX);
        timeout(LIMIT, far).await.expect("it goes on").expect("until then");
        for version in 0..10 {
            store.put("channel", "0", version, vec![7]).await.unwrap();
        }
        let Progress { done, of } = *seen.borrow();
        assert!(done == BACKUP_AHEAD_PAGES_MAX && done < of, "{done} of {of}");
        drop(hangs);
        let (copy, written) = timeout(LIMIT, answered).await.unwrap().unwrap().unwrap();
        finish(copy, written, &part, &file).unwrap();
        assert_eq!(SqliteStore::check_copy(&file).unwrap().problems, [""; 0]);
    }

    #[tokio::test]
    async fn a_backup_to_a_disk_that_hangs_gives_up_and_the_store_goes_on() {
        let bounds = BackupBounds { still_max: Duration::from_millis(100), ..Default::default() };
        let (folder, store) = store_of(LARGE_MIB, bounds).await;
        let part = folder.path().join("copy.part");
        let (_hangs, written) = hung(&part);
        let (_seen, answered) = copying(&store, &part, written);
        let answered = timeout(LIMIT, answered).await.expect("it gives up");
        let why = answered.unwrap().err().expect("it is not whole");
        assert!(why.contains("it came no nearer to its end"), "{why}");
        store.put("queue", "0", 1, vec![7]).await.expect("the store goes on");
    }

    #[tokio::test]
    async fn a_copy_of_which_a_sync_failed_gets_no_name() {
        let (folder, store) = store(BackupBounds::default()).await;
        let (part, file) = (folder.path().join("copy.part"), folder.path().join("copy"));
        let unsyncable = WriteBack::start(std::fs::File::open("/dev/null").unwrap()).unwrap();
        let (_seen, answered) = copying(&store, &part, unsyncable);
        let (copy, written) = answered.await.unwrap().unwrap();
        let why = finish(copy, written, &part, &file).unwrap_err();
        assert!(why.contains("os error"), "{why}");
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn a_backup_beside_a_long_wal_gives_up_and_the_store_goes_on() {
        let (folder, store) = store(BackupBounds { wal_pages_max: 1, ..Default::default() }).await;
        let failed = back_up(&store, &folder.path().join("copy")).await.unwrap_err();
        let why = given_up(folder.path(), &store, failed).await;
        assert!(why.contains("the log of writes grew too long"), "{why}");
    }
}

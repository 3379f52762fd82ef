//! The embedded store: SQLite in one folder, behind every port.
//!
//! Owns the data folder from [`SqliteStore::open`] until it is dropped. Refuses a folder in use,
//! damage, and what a newer release wrote ([`OpenError`] says what to do).
//!
//! Why it is built so (`docs/decisions/0002-embedded-store.md` has the figures):
//! - Events are appended to one table by position, and no index is touched in the commit.
//!   The log's tail is also held in memory; once it is long it is *folded* into the index
//!   `(chat, seq) -> position` as one sorted batch, and a start rebuilds what was not folded yet.
//! - One thread writes. It takes everything that waits, commits once with `synchronous=FULL`,
//!   and then answers all; before the next commit it waits a little for those who have not heard yet
//!   (`docs/decisions/0019-gathering-writes.md`). Claims go the same way; so what a claim answers is final.
//! - Readers stand beside it, each statement with a short snapshot of its own.
//! - Checkpoints run between commits, not within them.
//! - A lock that another process holds is waited for; a batch that does not get it was not begun.
//! - Every page in the database file has a checksum. One that does not fit is damage, but for rows that
//!   have checksums of their own: there these decide, so that damage stays as small as it is.
//! - After the first failed write or sync the store has failed for good ([`StoreFailure`]): those
//!   in the batch get `Unknown`, and nothing is synced again. End the process and start anew.
//!
//! Reading order: `writer` (the heart), `recent`, `claims`, `open`, `readers`, `log`, the other
//! aggregates, each in a file with its statements and its port; `checksums`, `log_rows`, `damage` and `mend`
//! for what is not what was written.

mod audit;
mod backup;
mod checksum_vfs;
mod checksums;
mod claims;
mod connect;
mod conversations;
mod copies;
pub mod counters;
mod damage;
mod documents;
mod ended;
mod feed;
mod history;
mod inventory;
mod limits;
mod log;
mod log_rows;
mod mend;
mod moves;
mod open;
mod open_chats;
mod operators;
mod processes;
mod readers;
mod recent;
mod schema;
mod scrub;
mod sql;
mod watermarks;
mod write_back;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use crate::domain::ChatId;
use crate::domain::audit::AuditEntry;
use crate::storage::audit::DamagedEntries;
use crate::storage::feed::DamagedTouches;
use crate::storage::history::DamagedHistory;
use crate::storage::{AppendError, ChatMoves, Store, StoreError, StoreFailure};

use counters::Counters;
use damage::{Damage, is_damage, told};
use limits::{CHECKPOINT_AT_PAGES, FOLD_AT_EVENTS, GATHER_MAX, LOCK_WAIT, WRITE_QUEUE_MAX};
use open::OpenedToRead;
use readers::Readers;
use recent::Recent;
use writer::{Answer, Queued, RowWrite, Waiting, Write, Writer, answer, now};

pub use backup::{BackupBounds, BackupError, Progress};
pub use connect::open_past_the_store;
pub use copies::flag_as_copy;
pub use mend::Mended;
pub use open::{DATABASE_FILE, LOCK_FILE, OpenError, Unlisted};
pub use scrub::Scrubbed;

/// How hard SQLite tries to make a commit durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// Every commit is on the disk before it is answered. The only one for use.
    Full,
    /// Nothing is synced. Loses acknowledged events; a test shows that the suite notices.
    Off,
}

/// How to open a data folder.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The folder; made if it does not exist.
    pub folder: PathBuf,
    /// How hard to try; `Full`.
    pub synchronous: Synchronous,
    /// The name of a registered SQLite VFS to go through; none for the system's own. Tests put
    /// a disk that loses its power there.
    pub vfs: Option<String>,
    /// How many events the tail may have before it is folded into the index. Tests make it small.
    pub fold_at: usize,
    /// How many pages the WAL may have before a checkpoint follows the batch. Tests make it small.
    pub checkpoint_at_pages: u32,
    /// How long a batch waits for the lock of another process. Tests make it short.
    pub lock_wait: Duration,
    /// How long a batch waits for those of the one before who have not heard their answer. Tests make it long.
    pub gather_max: Duration,
    /// When a running backup costs too much. Tests make it little.
    pub backup_bounds: BackupBounds,
}

impl SqliteOptions {
    /// The options for use.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            synchronous: Synchronous::Full,
            vfs: None,
            fold_at: FOLD_AT_EVENTS,
            checkpoint_at_pages: CHECKPOINT_AT_PAGES,
            lock_wait: LOCK_WAIT,
            gather_max: GATHER_MAX,
            backup_bounds: BackupBounds::default(),
        }
    }
}

impl StoreFailure {
    fn unavailable(&self) -> StoreError {
        StoreError::Unavailable { reason: self.reason.clone() }
    }

    fn unknown(&self) -> AppendError {
        AppendError::Unknown { reason: self.reason.clone() }
    }
}

impl From<&rusqlite::Error> for StoreFailure {
    fn from(error: &rusqlite::Error) -> Self {
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "; free some space, then start again",
            _ if is_damage(error) => "; start again: what can be rebuilt is rebuilt then",
            _ => "; check the disk, then start again",
        };
        Self { reason: format!("{}{advice}", told(error)) }
    }
}

/// The embedded store. Dropping the last of it finishes what waits and frees the folder, which
/// may take as long as a commit and a checkpoint.
pub struct SqliteStore {
    readers: Readers,
    recent: Arc<Recent>,
    queue: Option<SyncSender<Queued>>,
    writer: Option<JoinHandle<()>>,
    failed: watch::Receiver<Option<StoreFailure>>,
    counters: Arc<Counters>,
    damage: Arc<Damage>,
    damaged_entries: Arc<DamagedEntries>,
    damaged_touches: Arc<DamagedTouches>,
    damaged_history: Arc<DamagedHistory>,
    unlisted: Unlisted,
    has_checksums: bool,
    /// That of the folder, where no writer has it.
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens the data folder: locks it, verifies it, brings its schema up to date. Blocks; the
    /// time is bounded by the tail of the log, not by its length.
    pub fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        let mut opened = open::open(options)?;
        let refused =
            |what: String| OpenError::Refused { file: options.folder.join(DATABASE_FILE), what };
        let recent = Arc::new(std::mem::take(&mut opened.recent));
        let counters = Arc::new(Counters::default());
        let (queue, waiting) = sync_channel(WRITE_QUEUE_MAX);
        let (failing, failed) = watch::channel(None);
        let (damage, unlisted) = (Arc::clone(&opened.damage), opened.unlisted.clone());
        let has_checksums = opened.has_checksums;
        let readers = Readers::start(options, Arc::clone(&counters), Arc::clone(&damage));
        let readers = readers.map_err(refused)?;
        let shared = (Arc::clone(&recent), options.clone(), Arc::clone(&counters));
        let writer = std::thread::Builder::new()
            .name("store-write".to_owned())
            .spawn(move || Writer::run_with(opened, shared, waiting, failing))
            .map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            readers,
            recent,
            queue: Some(queue),
            writer: Some(writer),
            failed,
            counters,
            damage,
            damaged_entries: Arc::default(),
            damaged_touches: Arc::default(),
            damaged_history: Arc::default(),
            unlisted,
            has_checksums,
            _lock: None,
        })
    }

    /// Opens a data folder to read it: nothing in it is changed, and every write is refused. None: it is as an
    /// earlier release has left it, with other tables. Blocks as [`open`](Self::open) does.
    pub fn open_to_read(options: &SqliteOptions) -> Result<Option<Self>, OpenError> {
        let Some(opened) = open::open_to_read(options)? else { return Ok(None) };
        let OpenedToRead { lock, recent, damage, has_checksums } = opened;
        let counters = Arc::new(Counters::default());
        let readers = Readers::start(options, Arc::clone(&counters), Arc::clone(&damage));
        let refused =
            |what: String| OpenError::Refused { file: options.folder.join(DATABASE_FILE), what };
        let (_, failed) = watch::channel(None);
        Ok(Some(Self {
            readers: readers.map_err(refused)?,
            recent: Arc::new(recent),
            queue: None,
            writer: None,
            failed,
            counters,
            damage,
            damaged_entries: Arc::default(),
            damaged_touches: Arc::default(),
            damaged_history: Arc::default(),
            unlisted: Unlisted::These(Vec::new()),
            has_checksums,
            _lock: Some(lock),
        }))
    }

    /// Rebuilds the database of a folder from all of it that can be read, and answers what cannot.
    /// The damaged one is kept beside it. `entry` says in the audit trail who did it, with what was
    /// lost: it comes with the new database. Blocks, for about as long as it takes to copy it twice.
    pub fn repair(options: &SqliteOptions, entry: Option<AuditEntry>) -> Result<Mended, OpenError> {
        open::repair(options, entry)
    }

    /// Looks at everything in a folder that nobody uses, and changes nothing of it: the log of writes is
    /// brought into the database, as at a start. Blocks for as long as it takes to read all of it twice,
    /// and the log once more.
    pub fn check(options: &SqliteOptions) -> Result<Scrubbed, OpenError> {
        scrub::folder(options)
    }

    /// The same for a copy, which is a database by itself.
    pub fn check_copy(file: &Path) -> Result<Scrubbed, OpenError> {
        scrub::file(file)
    }

    /// Whether the pages of its database have checksums: those of one that an earlier release made get
    /// them by a [`repair`](Self::repair).
    pub fn has_checksums(&self) -> bool {
        self.has_checksums
    }

    /// The open chats whose rows are damaged, so that [`scan`](crate::storage::OpenChats::scan)
    /// fails or leaves them out, until whoever knows what a log means has written them anew and
    /// said so ([`all_listed`](Self::all_listed)).
    pub fn unlisted(&self) -> &Unlisted {
        &self.unlisted
    }

    /// The rows of all [`unlisted`](Self::unlisted) chats are written.
    pub async fn all_listed(&self) -> Result<(), StoreError> {
        let forget = |connection: &Connection| {
            let text = "DELETE FROM counters WHERE name = ?";
            connection.execute(text, [sql::OPEN_CHATS_LOST]).map(|_| Ok(()))
        };
        self.write(forget).await
    }

    /// Chats of which something could not be read since the store was opened.
    pub fn damaged_chats(&self) -> Vec<ChatId> {
        self.damage.chats()
    }

    /// Its ports.
    pub fn store(self: &Arc<Self>) -> Store {
        let moves: Arc<dyn ChatMoves> = Arc::<Self>::clone(self);
        Store { moves: Some(moves), ..Store::of(Arc::clone(self)) }
    }

    /// Turns to `Some` when the store has failed; from then on every write is refused. The
    /// channel closes without one when the store was dropped, and also if its writer panicked:
    /// whoever still holds the store takes a closed channel as a failure too.
    pub fn failure(&self) -> watch::Receiver<Option<StoreFailure>> {
        self.failed.clone()
    }

    /// Events that are not in the index yet.
    pub fn tail_events(&self) -> u64 {
        self.recent.events() as u64
    }

    /// What it counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Hands a write to the writer. Errors with the reason when the queue is full or the store
    /// has failed; then nothing was written.
    fn submit(&self, write: Write) -> Result<(), String> {
        // Whoever was told of a failure is refused from then on, however fast.
        if self.failed.borrow().is_some() {
            return Err(self.reason());
        }
        let queue = self.queue.as_ref().ok_or_else(|| self.reason())?;
        queue.try_send(Queued { since: now(), write }).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                self.counters.refused();
                "too many writes wait".to_owned()
            }
            TrySendError::Disconnected(_) => self.reason(),
        })
    }

    /// Why the writer does not answer.
    fn reason(&self) -> String {
        match self.failed.borrow().as_ref() {
            Some(failure) => failure.reason.clone(),
            None => "its writer has ended".to_owned(),
        }
    }

    /// Runs `work` within the next batch and answers once that is durable. When `work` refuses
    /// (the inner error), it has written nothing.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = answer();
        self.submit(Write::Rows(Box::new(Rows { work, answer }))).map_err(unavailable)?;
        answered.heard().await.unwrap_or_else(|| Err(unavailable(self.reason())))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn unavailable(reason: String) -> StoreError {
    StoreError::Unavailable { reason }
}

/// A change of small rows and who asked for it.
struct Rows<T, W> {
    work: W,
    answer: Answer<Result<T, StoreError>>,
}

impl<T, W> RowWrite for Rows<T, W>
where
    T: Send + 'static,
    W: FnOnce(&Connection) -> rusqlite::Result<Result<T, StoreError>> + Send,
{
    fn run(self: Box<Self>, connection: &Connection) -> rusqlite::Result<Waiting> {
        let Self { work, answer } = *self;
        let done = work(connection)?;
        Ok(Box::new(move |committed| {
            answer.settle(committed, done, |failure| Err(failure.unavailable()));
        }))
    }

    fn refuse(self: Box<Self>, failure: &StoreFailure) {
        self.answer.refuse(Err(failure.unavailable()));
    }
}

//! Opening a data folder: the lock, the checks, the migrations, the tail.
//!
//! Owns the refusals: a folder in use, a foreign file, a newer schema, damage of what is nobody's in
//! particular. Their cost is bounded: the end of the log is verified, never all of it. What lies
//! deeper is verified when it is read, by its checksum. Damage that can be made good, or is one
//! chat's, stops no start: the database is rebuilt first ([`mend`]).

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use crate::domain::ChatId;
use crate::domain::audit::AuditEntry;
use crate::storage::files;
use crate::storage::record::{self, RecordError};

use super::checksum_vfs;
use super::checksums::Pages;
use super::connect::{Access, connect};
use super::damage::{Damage, is_damage, told};
use super::limits::RECORDS_CHECKED;
use super::log_rows::{LogRows, Unverified};
use super::mend::{self, Loss, MendError, Mended};
use super::recent::{Position, Recent};
use super::schema::{check_schema, is_current, migrate};
use super::sql::ReadError;
use super::{SqliteOptions, open_chats, sql};

/// The file that holds everything.
pub const DATABASE_FILE: &str = "switchboard.db";

/// The file whose lock says that the folder is in use; it names the process.
pub const LOCK_FILE: &str = "switchboard.lock";

/// Why a data folder cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or its lock file cannot be used.
    #[error("cannot use the data folder {folder}: {source}; check that it may be written")]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error(
        "the data folder {folder} is in use by process {holder}: stop that one first, \
         or choose another folder"
    )]
    InUse {
        /// Which folder.
        folder: PathBuf,
        /// Its process, as far as it could be read.
        holder: String,
    },
    /// A newer release wrote it.
    #[error(
        "{file} has schema {found}, this release knows up to {known}: \
         run the release that wrote it, or a newer one"
    )]
    Newer {
        /// Which file.
        file: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A newer release wrote records into it.
    #[error("{file}: {what}")]
    NewerRecord {
        /// Which file.
        file: PathBuf,
        /// Which record, and what to do.
        what: String,
    },
    /// Another program's database.
    #[error("{file} is no database of this program; choose another data folder")]
    Foreign {
        /// Which file.
        file: PathBuf,
    },
    /// It is not what was written.
    #[error(
        "{file} is damaged: {what}; keep a copy of the folder, then restore the latest backup, or let \
         `switchboard store repair` keep what can be read and say what cannot"
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It is not what was written, and a repair is refused as well.
    #[error(
        "{file} is damaged: {what}; no repair goes on without that: keep a copy of the folder, then restore \
         the latest backup"
    )]
    Unrepairable {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// SQLite or the system refuses.
    #[error("cannot open {file}: {what}")]
    Refused {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// A data folder that this process holds.
pub(super) struct Opened {
    /// Dropped last: it frees the folder.
    pub lock: File,
    /// The one connection that writes.
    pub connection: Connection,
    /// The tail, rebuilt.
    pub recent: Recent,
    /// The last row of the log.
    pub last_position: Position,
    /// How often the store was opened, this time included.
    pub life: u64,
    /// What is known to be damaged.
    pub damage: Arc<Damage>,
    /// Where rows of the log are read whose pages are.
    pub unverified: Unverified,
    /// Whether the pages have checksums.
    pub has_checksums: bool,
    /// Open chats without a row that can be read.
    pub unlisted: Unlisted,
    /// Whether nothing was left in the WAL; else it may have what was forgotten.
    pub wal_cut: bool,
}

/// Open chats whose rows have to be made anew from their logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlisted {
    /// These; none, as a rule.
    These(Vec<ChatId>),
    /// Perhaps any.
    Any,
}

/// Opens the folder and makes it if need be.
pub(super) fn open(options: &SqliteOptions) -> Result<Opened, OpenError> {
    let lock = lock(&options.folder)?;
    if options.vfs.is_none() {
        let made = files::open_or_make(&options.folder.join(DATABASE_FILE));
        made.map_err(|source| OpenError::Folder { folder: options.folder.clone(), source })?;
        say_who_may_read(&options.folder);
    }
    let damage = Arc::new(Damage::new(&options.folder));
    if damage.is_suspect() {
        // A page is damaged, though perhaps none that a start looks at.
        match rebuild(options, &damage) {
            Ok(()) => {}
            Err(error @ OpenError::NewerRecord { .. }) => return Err(error),
            Err(error) => {
                tracing::error!(%error, "the database was not rebuilt; it is used as it is")
            }
        }
    }
    match attempt(options, &damage) {
        Err(OpenError::Damaged { what, .. }) => {
            tracing::error!(what, "the database is damaged; what can be rebuilt is rebuilt");
            rebuild(options, &damage)?;
            attempt(options, &damage)
        }
        opened => opened,
    }
    .map(|opened| {
        // They have what may be forgotten from now on.
        mend::remove_remains(options);
        if !opened.has_checksums {
            tracing::warn!(
                file = %options.folder.join(DATABASE_FILE).display(),
                "the database was made before pages had checksums, so not every damage of it is seen; \
                 `switchboard store repair`, with the router stopped, makes it anew with them"
            );
        }
        let Attempt { connection, unverified, has_checksums, .. } = opened;
        let Attempt { recent, last_position, life, unlisted, wal_cut, .. } = opened;
        Opened {
            lock,
            connection,
            recent,
            last_position,
            life,
            damage,
            unverified,
            has_checksums,
            unlisted,
            wal_cut,
        }
    })
}

/// What a store is read by.
pub(super) struct OpenedToRead {
    pub lock: File,
    pub recent: Recent,
    pub damage: Arc<Damage>,
    pub has_checksums: bool,
}

/// Opens the folder for one who only reads, and changes nothing in it but the name in the lock. None: its
/// tables are those of an earlier release.
pub(super) fn open_to_read(options: &SqliteOptions) -> Result<Option<OpenedToRead>, OpenError> {
    let file = options.folder.join(DATABASE_FILE);
    let blame = blame(&file);
    let lock = lock(&options.folder)?;
    let connection = connect(options, Access::Read, Pages::Verified).map_err(blame)?;
    if !is_current(check_schema(&connection, &file, blame)?) {
        return Ok(None);
    }
    let damage = Arc::new(Damage::unwritten(&options.folder));
    let unverified = Unverified::new(options, Arc::clone(&damage));
    let log = LogRows { connection: &connection, unverified: Some(&unverified) };
    let (recent, _) = rebuild_tail(log, &file, &damage, blame)?;
    let has_checksums = checksum_vfs::has_checksums(&connection).map_err(blame)?;
    Ok(Some(OpenedToRead { lock, recent, damage, has_checksums }))
}

/// Rebuilds the database if nothing is lost with it but what is named chats'.
fn rebuild(options: &SqliteOptions, damage: &Damage) -> Result<(), OpenError> {
    let mended = mend_folder(options, Loss::OfChats, None)?;
    for (chat, events) in &mended.damaged {
        damage.note_chat(*chat, &format!("chat {chat} has lost {events} events"));
    }
    tracing::warn!(
        kept = %mended.kept.display(),
        damaged_chats = mended.damaged.len(),
        lost = ?mended.dispensed,
        "the database was rebuilt; the damaged one is kept"
    );
    Ok(())
}

/// Rebuilds the database of a folder that this process holds.
fn mend_folder(
    options: &SqliteOptions,
    loss: Loss,
    entry: Option<AuditEntry>,
) -> Result<Mended, OpenError> {
    let file = options.folder.join(DATABASE_FILE);
    mend::mend(options, loss, entry).map_err(|error| match error {
        MendError::Newer(what) => OpenError::NewerRecord { file: file.clone(), what },
        MendError::Needed(what) => OpenError::Damaged { file: file.clone(), what },
        MendError::Unrepairable(what) => OpenError::Unrepairable { file: file.clone(), what },
        MendError::Sqlite(error) => blame(&file)(error),
        MendError::Folder(source) => OpenError::Folder { folder: options.folder.clone(), source },
    })
}

/// Rebuilds the database of a folder and answers what was lost, whatever that is.
pub(super) fn repair(
    options: &SqliteOptions,
    entry: Option<AuditEntry>,
) -> Result<Mended, OpenError> {
    let _lock = lock(&options.folder)?;
    let file = options.folder.join(DATABASE_FILE);
    let blame = blame(&file);
    let current = connect(options, Access::Write, Pages::Verified)
        .map_err(blame)
        .and_then(|mut connection| migrate(&mut connection, &file, blame));
    match current {
        Ok(()) => {}
        // The pages of its schema are: then it is taken as it is, if that is ours.
        Err(OpenError::Damaged { .. }) => {
            let connection = connect(options, Access::Read, Pages::Unverified).map_err(blame)?;
            check_schema(&connection, &file, blame)?;
        }
        Err(error) => return Err(error),
    }
    mend_folder(options, Loss::Accepted, entry)
}

/// What is wrong with a file, by what SQLite says.
pub(super) fn blame(file: &Path) -> impl Fn(rusqlite::Error) -> OpenError + Copy {
    move |error| {
        let (file, what) = (file.to_owned(), told(&error));
        match is_damage(&error) {
            true => OpenError::Damaged { file, what },
            false => OpenError::Refused { file, what },
        }
    }
}

/// An open database, or why it is none.
struct Attempt {
    connection: Connection,
    unverified: Unverified,
    has_checksums: bool,
    recent: Recent,
    last_position: Position,
    life: u64,
    unlisted: Unlisted,
    wal_cut: bool,
}

fn attempt(options: &SqliteOptions, damage: &Arc<Damage>) -> Result<Attempt, OpenError> {
    let file = options.folder.join(DATABASE_FILE);
    let blame = blame(&file);
    let mut connection = connect(options, Access::Write, Pages::Verified).map_err(blame)?;
    migrate(&mut connection, &file, blame)?;
    // After a kill the WAL may hold a commit that was written but not synced. This syncs it, so
    // that nothing is answered that a loss of power could still take back.
    let wal_cut = sql::checkpoint(&connection, "TRUNCATE").map_err(blame)?;
    sync_folder(&options.folder)?;
    let has_checksums = checksum_vfs::has_checksums(&connection).map_err(blame)?;
    let unverified = Unverified::new(options, Arc::clone(damage));
    let log = LogRows { connection: &connection, unverified: Some(&unverified) };
    let (recent, last_position) = rebuild_tail(log, &file, damage, blame)?;
    let unlisted = unlisted(&connection, &file, blame)?;
    // What of these is damaged is one row's trouble once their pages are whole: a rebuild sees to that, or
    // refuses.
    sql::look_at_pages(&connection).map_err(blame)?;
    let life = begin_life(&mut connection).map_err(blame)?;
    Ok(Attempt {
        connection,
        unverified,
        has_checksums,
        recent,
        last_position,
        life,
        unlisted,
        wal_cut,
    })
}

/// The open chats whose rows cannot be read.
fn unlisted(
    connection: &Connection,
    file: &Path,
    blame: impl Fn(rusqlite::Error) -> OpenError + Copy,
) -> Result<Unlisted, OpenError> {
    if sql::counter_if_there(connection, sql::OPEN_CHATS_LOST).map_err(blame)?.is_some() {
        return Ok(Unlisted::Any);
    }
    open_chats::damaged_open_chats(connection).map(Unlisted::These).map_err(|error| match error {
        ReadError::Sqlite(error) => blame(error),
        error => OpenError::NewerRecord { file: file.to_owned(), what: error.to_string() },
    })
}

/// Counts this opening, durably, so that no epoch of an earlier life is given again.
fn begin_life(connection: &mut Connection) -> rusqlite::Result<u64> {
    let transaction = connection.transaction()?;
    let life = sql::count_up(&transaction, "life")?;
    transaction.commit()?;
    Ok(life)
}

pub(super) fn lock(folder: &Path) -> Result<File, OpenError> {
    let refuse = |source| OpenError::Folder { folder: folder.to_owned(), source };
    files::make_folder(folder).map_err(refuse)?;
    let mut file = files::open_or_make(&folder.join(LOCK_FILE)).map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The number only helps; without it the refusal is the same.
            let _ = file.read_to_string(&mut holder);
            let known = holder.trim();
            let holder = if known.is_empty() { "(unknown)" } else { known }.to_owned();
            return Err(OpenError::InUse { folder: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(refuse(source)),
    }
    file.set_len(0).map_err(refuse)?;
    file.rewind().map_err(refuse)?;
    writeln!(file, "{}", std::process::id()).map_err(refuse)?;
    Ok(file)
}

/// Says so when others may read the data. It stays as it is: they may have been given the right
/// on purpose, as by a volume with a group.
fn say_who_may_read(folder: &Path) {
    let open = files::open_to_others(folder);
    if !open.is_empty() {
        tracing::warn!(
            folder = %folder.display(),
            ?open,
            "others than their owner may use these: the data has messages, password hashes and \
             keys; unless that is wanted, take the right away with `chmod -R go-rwx` on the folder"
        );
    }
}

/// Makes the names of the files durable, and the name of a folder that was just made.
fn sync_folder(folder: &Path) -> Result<(), OpenError> {
    let sync = |path: &Path| File::open(path)?.sync_all();
    let parent = folder.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
    sync(folder)
        .and_then(|()| parent.map_or(Ok(()), |parent| sync(&parent)))
        .map_err(|source| OpenError::Folder { folder: folder.to_owned(), source })
}

/// Reads what was not folded yet and the last records before it, and verifies that nothing is
/// missing between them. A record whose checksum does not fit is its chat's damage.
///
/// A page that does not fit its checksum is damage here, whatever its records are: the writer appends to
/// the last one, and a rebuild keeps what fits.
fn rebuild_tail(
    log: LogRows<'_>,
    file: &Path,
    damage: &Damage,
    blame: impl Fn(rusqlite::Error) -> OpenError + Copy,
) -> Result<(Recent, Position), OpenError> {
    let connection = log.connection;
    let damaged = |what: String| OpenError::Damaged { file: file.to_owned(), what };
    let folded = sql::counter(connection, "folded").map_err(blame)?;
    let found = sql::last_position(connection).map_err(blame)?;
    // Rows of forgotten chats are gone, the last ones too. No position is given twice: what the
    // index has names rows up to here.
    let gaps = sql::any_forgotten(connection).map_err(blame)?;
    if found < folded && !gaps {
        return Err(damaged(format!("the log ends at row {found}, the index at {folded}")));
    }
    let last = found.max(folded);
    let after = folded.min(last - RECORDS_CHECKED).max(0);
    let recent = Recent::default();
    let mut expected = after;
    let mut statement = connection
        .prepare("SELECT position, chat, seq, record FROM log WHERE position > ? ORDER BY position")
        .map_err(blame)?;
    let mut rows = statement.query([after]).map_err(blame)?;
    while let Some(row) = rows.next().map_err(blame)? {
        let (entry, sealed) = sql::log_row(row).map_err(blame)?;
        expected += 1;
        if gaps {
            expected = entry.position;
        }
        if entry.position != expected {
            return Err(damaged(format!("row {expected} of the log is missing")));
        }
        match record::decode_event(entry.chat, entry.seq, &sealed) {
            Ok(_) => {}
            Err(error @ RecordError::Newer { .. }) => {
                let (file, what) = (file.to_owned(), error.to_string());
                return Err(OpenError::NewerRecord { file, what });
            }
            Err(error @ (RecordError::Damaged { .. } | RecordError::Unwritable { .. })) => {
                damage.note_chat(entry.chat, &error);
            }
        }
        if entry.position > folded {
            recent.add([entry]).map_err(|entry| damaged(gap(entry.chat, entry.seq)))?;
        }
    }
    for (chat, first) in recent.firsts() {
        let tail = sql::indexed_tail(log, chat).map_err(|error| match error {
            ReadError::Sqlite(error) => blame(error),
            error => damaged(error.to_string()),
        })?;
        if tail + 1 != first {
            return Err(damaged(gap(chat, first)));
        }
    }
    Ok((recent, last))
}

fn gap(chat: ChatId, seq: u64) -> String {
    format!("event {seq} of chat {chat} does not continue its log")
}

//! A whole database out of a damaged one.
//!
//! Owns what follows from damage: what is derived is made anew from the log, what is one chat's is
//! that chat's loss, and what is nobody's in particular is lost only if somebody says so. The
//! damaged database is kept beside the new one. A new file is filled, then put in the place of the
//! old one's content in one transaction, so that power may be lost at any moment.
//!
//! Pages that do not fit their checksums are read only where something else tells what is damaged: rows
//! of the log, documents, records of operators and entries of the trail have checksums of their own.
//!
//! Invariants: every row of the log that can be read is in the new log, and no chat's log ends
//! earlier than it is known to have ended: positions that were lost answer damage.

mod log;
mod tables;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::Backup;
use rusqlite::config::DbConfig;

use crate::domain::ChatId;
use crate::domain::audit::{AuditChange, AuditEntry, AuditOutcome};
use crate::storage::{ended, feed};

use super::audit::AuditRow;
use super::checksum_vfs;
use super::checksums::{HEADER_BYTES, Pages, RESERVED_BYTES, VERSIONS_AT, has_room, page_bytes};
use super::connect::{Access, connect, give_back_in_slices, open_file, set_up};
use super::copies::flag_as_copy;
use super::damage::{Damage, is_failing_page};
use super::limits::DAMAGED_KEPT_MAX;
use super::open::DATABASE_FILE;
use super::schema::create_schema;
use super::sql::ReadError;
use super::{SqliteOptions, documents, sql};

use log::LogCopy;
use tables::Table;

/// The file that the new database is made in.
const NEW_FILE: &str = "switchboard.db.new";

/// The file that the damaged database is copied to, until all of it is there.
const KEEPING_FILE: &str = "switchboard.db.keeping";

/// What of it each copy says of itself: how it is written, and counts of changes, of those of the schema, and
/// who made the last one.
const OF_THE_COPY: [Range<usize>; 4] = [VERSIONS_AT, 24..28, 40..44, 92..100];

/// Tables that cannot be made from anything else, and without which nobody may go on.
const DEMANDED: &[&str] = &["documents", "counters", "forgotten"];

/// Tables of which the log knows all that matters.
const FROM_THE_LOG: &[&str] = &[
    "conversations",
    "conversation_commands",
    "open_chats",
    "ended_chats",
    "feed",
    "history",
    "history_lists",
];

/// Tables without whose rows everybody goes on: an operator whose record is lost has no status, and
/// chooses one. That rows are lost is said.
const DISPENSABLE: &[&str] = &["operators", "audit"];

/// How far participants have read. Nothing vouches for such a row, and one that says too much would hide
/// what nobody has read: those on a page that fails are lost, so what was read is unread again.
const WATERMARKS: &str = "watermarks";

/// Tables whose rows are one chat's each.
const OF_CHATS: &[&str] = &[WATERMARKS, "open_chats"];

/// What may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing but what is a named chat's: nobody was asked.
    OfChats,
    /// Whatever cannot be read: somebody has asked for the repair, and is told.
    Accepted,
}

/// What a repair has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// Chats of which something is lost, with the number of events that are.
    pub damaged: BTreeMap<ChatId, u64>,
    /// What is lost that nobody needs to go on, in words.
    pub dispensed: Vec<String>,
    /// What is lost besides, in words; empty when nothing is.
    pub lost: Vec<String>,
    /// The damaged database.
    pub kept: PathBuf,
}

/// Why a database was not rebuilt.
#[derive(Debug, thiserror::Error)]
pub(super) enum MendError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Newer(String),
    #[error("{0}")]
    Needed(String),
    /// Not even who accepts every loss goes on without it.
    #[error("{0}")]
    Unrepairable(String),
    #[error(transparent)]
    Folder(#[from] std::io::Error),
}

impl From<ReadError> for MendError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Sqlite(error) => Self::Sqlite(error),
            error => Self::Needed(error.to_string()),
        }
    }
}

/// Rebuilds the database of a folder that this process holds.
/// `entry` goes into the new one, with what was found.
pub(super) fn mend(
    options: &SqliteOptions,
    loss: Loss,
    entry: Option<AuditEntry>,
) -> Result<Mended, MendError> {
    remove_remains(options);
    let raw = connect(options, Access::Write, Pages::Unverified)?;
    // From here on the file has all of it, each page with the checksum that it was written with.
    if !sql::checkpoint(&raw, "TRUNCATE")? {
        return Err(locked());
    }
    let verified = connect(options, Access::Read, Pages::Verified)?;
    let old = Old { has_schema: has_schema(&verified)?, verified, raw };
    let new = emptied(options)?;
    let mut mended = fill(&old, &new, loss)?;
    if !mended.lost.is_empty() {
        // Clients may know what is lost.
        flag_as_copy(&new)?;
    }
    if let Some(entry) = entry {
        add_entry(&new, entry, &mended)?;
    }
    mended.kept = keep(options, &old.raw)?;
    drop(old);
    put_back(options, &new)?;
    drop(new);
    discard(options)?;
    Ok(mended)
}

/// The damaged database.
struct Old {
    /// Whether the pages of its schema fit their checksums.
    has_schema: bool,
    verified: Connection,
    raw: Connection,
}

impl Old {
    /// What reads what nothing else vouches for. Without a schema nothing can be read but as it is.
    fn sure(&self) -> &Connection {
        if self.has_schema { &self.verified } else { &self.raw }
    }
}

fn has_schema(verified: &Connection) -> rusqlite::Result<bool> {
    let count = verified.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()));
    match count {
        Err(error) if is_failing_page(&error) => Ok(false),
        count => count.map(|()| true),
    }
}

fn locked() -> MendError {
    MendError::Needed("another process holds a lock of the database".to_owned())
}

/// Says in the new database's trail that it was repaired, and what that took: there is no repair
/// without its entry, since both come into force with the same transaction.
fn add_entry(new: &Connection, entry: AuditEntry, mended: &Mended) -> Result<(), MendError> {
    let told =
        |field: &str, to: String| AuditChange { field: field.to_owned(), from: None, to: Some(to) };
    let lost: Vec<_> = mended.dispensed.iter().chain(&mended.lost).map(String::as_str).collect();
    let mut changes = vec![told("damaged_chats", mended.damaged.len().to_string())];
    if !lost.is_empty() {
        changes.push(told("lost", lost.join("; ")));
    }
    let entry = AuditEntry { changes, outcome: Some(AuditOutcome::Done), ..entry };
    let row = AuditRow::of(&entry).map_err(|error| MendError::Needed(error.to_string()))?;
    Ok(row.add(new)?)
}

/// A database of our schema, without rows. Nothing is lost with it, so nothing is synced.
fn emptied(options: &SqliteOptions) -> Result<Connection, MendError> {
    let mut new = anew(options, NEW_FILE, Pages::Verified)?;
    new.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
    new.pragma_update(None, "synchronous", "OFF")?;
    create_schema(&mut new)?;
    new.execute("DELETE FROM counters", ())?;
    Ok(new)
}

/// An empty database, whatever is in the file: a repair that was interrupted leaves anything there.
fn anew(options: &SqliteOptions, name: &str, pages: Pages) -> rusqlite::Result<Connection> {
    let connection = open_file(options, name, Access::Write, Pages::Unverified)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true)?;
    // From here on nothing that is there is read.
    set_up(&connection, Access::Write)?;
    give_back_in_slices(&connection)?;
    connection.execute_batch("VACUUM")?;
    drop(connection);
    let connection = open_file(options, name, Access::Write, pages)?;
    set_up(&connection, Access::Write)?;
    Ok(connection)
}

fn fill(old: &Old, new: &Connection, loss: Loss) -> Result<Mended, MendError> {
    let tables = Table::all(new)?;
    let mut mended = Mended::default();
    let sure = old.sure();
    if !old.has_schema {
        let what = "perhaps anything, since the pages that say where everything lies are damaged";
        mended.lost.push(what.to_owned());
    }
    new.execute_batch("BEGIN")?;
    let mut broken = Vec::new();
    for table in &tables {
        if !table.copy(sure, new)? {
            broken.push(table);
        }
    }
    for table in &broken {
        let name = table.name.as_str();
        if DEMANDED.contains(&name) {
            demanded(table, &old.raw, new, &mut mended)?;
        } else if DISPENSABLE.contains(&name) {
            // Each record tells whether it is whole. Only who asked for it loses one that is not.
            match (name, loss) {
                ("operators", Loss::OfChats) => table.copy_as_found(&old.raw, new)?,
                _ => table.copy(&old.raw, new)?,
            };
            mended.dispensed.push(format!("rows of the table {name}"));
        } else if name == WATERMARKS {
            mended.dispensed.push(format!("rows of the table {name}"));
        } else if !FROM_THE_LOG.contains(&name) {
            mended.lost.push(format!("rows of the table {name}"));
        }
    }
    new.execute_batch("COMMIT")?;
    let has = |names: &[&str]| broken.iter().any(|table| names.contains(&table.name.as_str()));
    let conversations = has(&FROM_THE_LOG[..2]);
    let found = LogCopy::new((sure, &old.raw), new, conversations).run()?;
    mended.damaged = found.damaged;
    new.execute_batch("BEGIN")?;
    for table in &broken {
        let name = table.name.as_str();
        // What can be read is the truth, and the log knew only what was opened.
        if FROM_THE_LOG.contains(&name) {
            table.copy(sure, new)?;
        }
        if OF_CHATS.contains(&name) {
            rows_of_chats(table, sure, new)?;
        }
    }
    if has(&["ended_chats"]) {
        // They are filled from the logs again.
        new.execute("DELETE FROM documents WHERE kind = ?", [ended::KIND])?;
    }
    if has(&["open_chats"]) {
        sql::set_counter(new, sql::OPEN_CHATS_LOST, 1)?;
    }
    if found.end_unknown {
        mended
            .lost
            .push("perhaps the last events, since the end of the log cannot be read".to_owned());
    }
    if found.unknown_rows > 0 {
        let rows = found.unknown_rows;
        mended.lost.push(format!("{rows} events of chats that nothing names"));
    }
    let log_lost = !mended.damaged.is_empty() || !mended.lost.is_empty();
    if log_lost || has(&["feed", "history", "history_lists"]) {
        // Who follows begins from nothing: what it wrote down may be of events, or of whole chats, that are
        // there no more.
        new.execute("DELETE FROM documents WHERE kind = ?", [feed::POSITIONS])?;
    }
    new.execute_batch("COMMIT")?;
    match loss {
        Loss::OfChats if !mended.lost.is_empty() => Err(MendError::Needed(mended.lost.join("; "))),
        Loss::OfChats | Loss::Accepted => Ok(mended),
    }
}

/// Copies a table without which nobody goes on from pages as they are, and says what may be lost of it.
/// Documents have checksums of their own: where none can have vanished, one that is damaged is that one's
/// trouble, and is named, since its name may have been another one.
fn demanded(
    table: &Table,
    raw: &Connection,
    new: &Connection,
    mended: &mut Mended,
) -> Result<(), MendError> {
    let name = table.name.as_str();
    if name == "documents" {
        // First those that tell that they are whole: none that damage has given another one's name is
        // taken for it.
        table.copy_whole(raw, new)?;
    }
    if !table.copy_as_found(raw, new)? {
        let what =
            format!("the table {name} cannot be read, and nothing else tells what was in it");
        return Err(MendError::Unrepairable(what));
    }
    if name == "documents" {
        let damaged = documents::damaged_documents(new)?;
        mended.dispensed.extend(damaged.iter().map(ToString::to_string));
        let nameless = table.count(raw)? - table.count(new)?;
        if nameless > 0 {
            mended.dispensed.push(format!("{nameless} documents whose names have become others'"));
        }
    } else {
        let what = format!(
            "perhaps rows of the table {name}, on a damaged page: they are as they were found"
        );
        mended.lost.push(what);
    }
    Ok(())
}

/// Looks for every chat's rows in a table that cannot be read in one go. An open chat's row that is lost is
/// made anew from its log.
fn rows_of_chats(table: &Table, old: &Connection, new: &Connection) -> Result<(), MendError> {
    let mut statement = new.prepare("SELECT DISTINCT chat FROM log_index")?;
    let mut chats = statement.query(())?;
    while let Some(row) = chats.next()? {
        table.copy_of(sql::id(row, 0)?.as_bytes(), old, new)?;
    }
    Ok(())
}

/// Copies the damaged database, page by page as it is, and answers where to. A copy that an interrupted
/// repair has kept of it is replaced.
fn keep(options: &SqliteOptions, old: &Connection) -> Result<PathBuf, MendError> {
    let mut kept = anew(options, KEEPING_FILE, Pages::Kept)?;
    kept.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    copy(old, &mut kept)?;
    drop(kept);
    let from = options.folder.join(KEEPING_FILE);
    if options.vfs.is_some() {
        return Ok(from);
    }
    // Only what is whole takes one of the names; and one alone, however often its repair is cut.
    let name = |n: usize| options.folder.join(format!("{DATABASE_FILE}.damaged-{n}"));
    let names = || (1..=DAMAGED_KEPT_MAX).map(name);
    let mut same = None;
    for taken in names().filter(|taken| taken.exists()) {
        if has_same_pages(&from, &taken)? {
            same = Some(taken);
        }
    }
    let Some(to) = same.or_else(|| names().find(|name| !name.exists())) else {
        let what = format!(
            "it was rebuilt {DAMAGED_KEPT_MAX} times already: look at the disk and the memory of \
             this machine, then move the files {DATABASE_FILE}.damaged-* away"
        );
        return Err(MendError::Needed(what));
    };
    std::fs::rename(from, &to)?;
    File::open(&options.folder)?.sync_all()?;
    Ok(to)
}

/// Whether two copies are of the same database: what else its header says is the copy's own.
fn has_same_pages(one: &Path, other: &Path) -> std::io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one), BufReader::new(other));
    if first_page(&mut one)? != first_page(&mut other)? {
        return Ok(false);
    }
    loop {
        let (left, right) = (one.fill_buf()?, other.fill_buf()?);
        let both = left.len().min(right.len());
        if left[..both] != right[..both] {
            return Ok(false);
        }
        if both == 0 {
            return Ok(true);
        }
        one.consume(both);
        other.consume(both);
    }
}

/// The first page of a copy, without what is the copy's own.
fn first_page(of: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut page = vec![0; HEADER_BYTES];
    of.read_exact(&mut page)?;
    let bytes = page_bytes(&page).unwrap_or(HEADER_BYTES);
    page.resize(bytes, 0);
    of.read_exact(&mut page[HEADER_BYTES..])?;
    OF_THE_COPY.into_iter().for_each(|own| page[own].fill(0));
    if has_room(&page) {
        page.truncate(bytes - RESERVED_BYTES);
    }
    Ok(page)
}

/// Makes the new content that of the database: in one transaction, durable when it answers.
fn put_back(options: &SqliteOptions, new: &Connection) -> Result<(), MendError> {
    // Without a log of writes what is there would be kept in a journal, and power that is lost then would
    // bring it back with checksums, damage and all.
    match connect(options, Access::Write, Pages::Verified) {
        Err(error) if is_failing_page(&error) => {
            let damaged = connect(options, Access::Write, Pages::Unverified)?;
            checksum_vfs::give_log_of_writes(&damaged)?;
        }
        connected => drop(connected?),
    }
    // What is there is read first, and replaced.
    let mut to = connect(options, Access::Write, Pages::Unverified)?;
    copy(new, &mut to)?;
    // At once: whoever is cut from here on has a good database, which is not to be rebuilt.
    Damage::new(&options.folder).mended()?;
    sql::checkpoint(&to, "TRUNCATE")?;
    Ok(())
}

fn copy(from: &Connection, to: &mut Connection) -> Result<(), MendError> {
    let copying = Backup::new(from, to)?;
    match copying.step(-1)? {
        rusqlite::backup::StepResult::Done => Ok(()),
        _ => Err(locked()),
    }
}

fn discard(options: &SqliteOptions) -> Result<(), MendError> {
    if options.vfs.is_some() {
        anew(options, NEW_FILE, Pages::Unverified)?;
    }
    remove_remains(options);
    Ok(())
}

/// Removes what a repair leaves that was interrupted. What cannot be removed is made anew by the next.
pub(super) fn remove_remains(options: &SqliteOptions) {
    for file in [NEW_FILE, KEEPING_FILE] {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = std::fs::remove_file(options.folder.join(format!("{file}{suffix}")));
        }
    }
}

//! A look at everything: the checksum of every page, SQLite's own order in them, every record, and the
//! index against the log. Changes nothing.
//!
//! What does not fit its checksum is counted, and then read all the same: so what it costs is named too.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, Row};

use crate::domain::audit::AuditId;
use crate::domain::{ChannelId, ChatId, Seq, Timestamp, UserId};
use crate::storage::HistoryPoint;
use crate::storage::record::{self, Slot};

use super::checksum_vfs::{self, Failing};
use super::checksums::Pages;
use super::connect::{Access, connect, open_as};
use super::damage::{is_damage, told};
use super::limits::PROBLEMS_NAMED;
use super::log_rows::LogRows;
use super::open::{OpenError, blame, lock};
use super::recent::Position;
use super::schema::check_schema;
use super::sql::{self, LOST, ReadError};
use super::{DATABASE_FILE, SqliteOptions};

/// What a check has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Events that were read.
    pub events: u64,
    /// Chats that were read.
    pub chats: u64,
    /// What is wrong, in words; the first of it.
    pub problems: Vec<String>,
    /// How many more problems there are.
    pub more: u64,
    /// What could not be looked at, in words, and what to do.
    pub notes: Vec<String>,
}

impl Scrubbed {
    fn problem(&mut self, what: impl std::fmt::Display) {
        if self.problems.len() < PROBLEMS_NAMED {
            self.problems.push(what.to_string());
        } else {
            self.more += 1;
        }
    }
}

/// Checks the store in a folder, which nobody may use meanwhile.
pub(super) fn folder(options: &SqliteOptions) -> Result<Scrubbed, OpenError> {
    let file = options.folder.join(DATABASE_FILE);
    if options.vfs.is_none() && !file.exists() {
        let what = "there is no such store".to_owned();
        return Err(OpenError::Refused { file, what });
    }
    let _lock = lock(&options.folder)?;
    let connection = connect(options, Access::Write, Pages::Unverified).map_err(blame(&file))?;
    connection.busy_timeout(options.lock_wait).map_err(blame(&file))?;
    // What a checkpoint that was cut left half written is written whole.
    let is_brought = sql::checkpoint(&connection, "TRUNCATE").map_err(blame(&file))?;
    let mut found = scrub(&connection, &file)?;
    if !is_brought {
        found.notes.push(
            "another process has the database open, so its log of writes was not brought into it: pages \
             were looked at as they are in the file. Stop that process and check again"
                .to_owned(),
        );
    }
    Ok(found)
}

/// Checks a database by itself: a copy that nobody runs on.
pub(super) fn file(file: &Path) -> Result<Scrubbed, OpenError> {
    let connection = open_as(file, Access::Read, None, Pages::Unverified).map_err(blame(file))?;
    scrub(&connection, file)
}

fn scrub(connection: &Connection, file: &Path) -> Result<Scrubbed, OpenError> {
    check_schema(connection, file, blame(file))?;
    let mut found = Scrubbed::default();
    let steps: [(&str, Step); 5] = [
        ("the checksums of pages", checksums),
        ("the pages", pages),
        ("the log", log),
        ("the index", index),
        ("the small tables", rows),
    ];
    for (what, step) in steps {
        match step(connection, &mut found) {
            Ok(()) => {}
            Err(error) if is_damage(&error) => found.problem(format!("{what}: {}", told(&error))),
            Err(error) => return Err(blame(file)(error)),
        }
    }
    Ok(found)
}

type Step = fn(&Connection, &mut Scrubbed) -> rusqlite::Result<()>;

fn checksums(connection: &Connection, found: &mut Scrubbed) -> rusqlite::Result<()> {
    if !checksum_vfs::has_checksums(connection)? {
        found.notes.push(
            "its pages have no checksums, so not every damage of it is seen; `switchboard store repair`, \
             with the router stopped, makes it anew with them"
                .to_owned(),
        );
    }
    let failing = checksum_vfs::failing(connection)?;
    if failing.pages > 0 {
        let Failing { pages, first } = failing;
        found.problem(format!(
            "{pages} pages do not fit their checksums, the first is page {first}"
        ));
    }
    Ok(())
}

fn pages(connection: &Connection, found: &mut Scrubbed) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({PROBLEMS_NAMED})"))?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            found.problem(format!("the pages: {line}"));
        }
    }
    Ok(())
}

fn log(connection: &Connection, found: &mut Scrubbed) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT position, chat, seq, record FROM log ORDER BY position")?;
    let mut rows = statement.query(())?;
    // Where the rows of forgotten chats were.
    let holes = forgot(connection)?;
    let mut expected: Position = 0;
    while let Some(row) = rows.next()? {
        expected += 1;
        let Ok((entry, sealed)) = sql::log_row(row) else {
            found.problem(format!("row {expected} of the log is none"));
            continue;
        };
        if entry.position != expected {
            if !holes {
                found.problem(format!("row {expected} of the log is missing"));
            }
            expected = entry.position;
        }
        found.events += 1;
        if let Err(error) = record::decode_event(entry.chat, entry.seq, &sealed) {
            found.problem(error);
        }
    }
    Ok(())
}

/// The index has every event up to `folded` once, where it is; the log the rest, without gaps.
fn index(connection: &Connection, found: &mut Scrubbed) -> rusqlite::Result<()> {
    let folded = sql::counter(connection, "folded")?;
    let mut tails: HashMap<ChatId, Seq> = HashMap::new();
    let mut tail =
        connection.prepare("SELECT chat, seq FROM log WHERE position > ? ORDER BY position")?;
    let mut rows = tail.query([folded])?;
    while let Some(row) = rows.next()? {
        let (chat, seq): (ChatId, Seq) = (ChatId(sql::id(row, 0)?), row.get(1)?);
        let last = match tails.get(&chat) {
            Some(last) => *last,
            None => match sql::indexed_tail(LogRows { connection, unverified: None }, chat) {
                Ok(tail) => {
                    found.chats += u64::from(tail == 0);
                    tail
                }
                Err(ReadError::Sqlite(error)) => return Err(error),
                Err(error) => {
                    found.problem(error);
                    continue;
                }
            },
        };
        if seq != last + 1 {
            found.problem(format!("event {seq} of chat {chat} does not continue its log"));
        }
        tails.insert(chat, seq);
    }
    let mut statement = connection
        .prepare("SELECT chat, first, last, positions FROM log_index ORDER BY chat, first")?;
    let mut rows = statement.query(())?;
    let (mut before, mut indexed): ((Option<ChatId>, Seq), Position) = Default::default();
    while let Some(row) = rows.next()? {
        let (chat, first): (ChatId, Seq) = (ChatId(sql::id(row, 0)?), row.get(1)?);
        let (last, positions): (Seq, Vec<u8>) = (row.get(2)?, row.get(3)?);
        if before.0 != Some(chat) {
            before = (Some(chat), 0);
            found.chats += 1;
        }
        let (positions, rest) = positions.as_chunks();
        let counted = first + positions.len() as u64 == last + 1 && rest.is_empty();
        // Of a chat that is being forgotten the first runs go first.
        let follows = first == before.1 + 1 || (before.1 == 0 && forgot(connection)?);
        if !counted || !follows {
            found.problem(format!("the index of chat {chat} is not whole at event {first}"));
        }
        before.1 = last;
        for (seq, position) in (first..).zip(positions) {
            let position = Position::from_le_bytes(*position);
            indexed += Position::from(position != LOST);
            if position == LOST {
                found.problem(format!("event {seq} of chat {chat} was lost by damage"));
            } else if !is_at(connection, position, chat, seq)? {
                found.problem(format!("the index does not find event {seq} of chat {chat}"));
            }
        }
    }
    let rows: Position =
        connection.query_row("SELECT count(*) FROM log WHERE position <= ?", [folded], |row| {
            row.get(0)
        })?;
    if indexed != rows {
        found.problem(format!("the index has {indexed} events of {rows}"));
    }
    if rows < folded && !forgot(connection)? {
        found.problem(format!("the index was made from {folded} events, there are {rows}"));
    }
    Ok(())
}

/// Whether any chat was forgotten; none was before there was a table of them.
fn forgot(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(connection.table_exists(None, "forgotten")? && sql::any_forgotten(connection)?)
}

fn is_at(
    connection: &Connection,
    position: Position,
    chat: ChatId,
    seq: Seq,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM log WHERE position = ? AND chat = ? AND seq = ?")?
        .exists((position, chat.0.as_bytes(), sql::clamp(seq)))
}

fn rows(connection: &Connection, found: &mut Scrubbed) -> rusqlite::Result<()> {
    each(connection, "SELECT chat, record, moving FROM open_chats", found, |row| {
        let (chat, mark) = (ChatId(sql::id(row, 0)?), row.get::<_, Option<Vec<u8>>>(2)?);
        let read = record::decode_open_chat(chat, &row.get::<_, Vec<u8>>(1)?, mark.as_deref());
        Ok(read.err().map(|error| error.to_string()))
    })?;
    each(connection, "SELECT operator, record FROM operators", found, |row| {
        let read = record::decode_operator(UserId(sql::id(row, 0)?), &row.get::<_, Vec<u8>>(1)?);
        Ok(read.err().map(|error| error.to_string()))
    })?;
    each(connection, "SELECT kind, id, version, body FROM documents", found, |row| {
        let (kind, id): (String, String) = (row.get(0)?, row.get(1)?);
        let (slot, body) = (Slot::Document(&kind, &id, row.get(2)?), row.get::<_, Vec<u8>>(3)?);
        Ok(record::unseal(slot, &body).err().map(|error| error.to_string()))
    })?;
    // Not there before its migration.
    if connection.table_exists(None, "audit")? {
        each(connection, "SELECT id, entry, outcome FROM audit", found, |row| {
            let (id, outcome) = (AuditId::from_key(row.get(0)?), row.get::<_, Option<Vec<u8>>>(2)?);
            let read = record::decode_audit(id, &row.get::<_, Vec<u8>>(1)?, outcome.as_deref());
            Ok(read.err().map(|error| error.to_string()))
        })?;
    }
    if connection.table_exists(None, "ended_chats")? {
        each(connection, "SELECT channel, chat, record FROM ended_chats", found, |row| {
            let (channel, chat) = (ChannelId(sql::id(row, 0)?), ChatId(sql::id(row, 1)?));
            let read = record::decode_ended_chat(channel, chat, &row.get::<_, Vec<u8>>(2)?);
            Ok(read.err().map(|error| error.to_string()))
        })?;
    }
    if connection.table_exists(None, "history")? {
        each(connection, "SELECT chat, started, record FROM history", found, |row| {
            let (chat, started) = (ChatId(sql::id(row, 0)?), Timestamp(row.get(1)?));
            let place = HistoryPoint { started, chat };
            let read = record::decode_history(place, &row.get::<_, Vec<u8>>(2)?);
            Ok(read.err().map(|error| error.to_string()))
        })?;
    }
    each(connection, "SELECT chat, party FROM watermarks", found, |row| {
        let (chat, party) = (sql::id(row, 0)?, row.get::<_, Vec<u8>>(1)?);
        let named = record::decode_party(&party).is_some();
        Ok((!named).then(|| format!("a watermark of chat {chat} names no party")))
    })
}

fn each(
    connection: &Connection,
    text: &str,
    found: &mut Scrubbed,
    look: impl Fn(&Row<'_>) -> rusqlite::Result<Option<String>>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(text)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        match look(row) {
            Ok(None) => {}
            Ok(Some(problem)) => found.problem(problem),
            Err(error) => found.problem(format!("a row of `{text}` is none: {error}")),
        }
    }
    Ok(())
}

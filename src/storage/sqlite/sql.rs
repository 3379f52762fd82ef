//! The statements over the log, its index and the counters. No policy: rows in, rows out.

use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use crate::domain::{ChatId, Seq};

use super::recent::{Entry, Position};

/// A read that did not find what it was after, by SQLite's fault or the record's.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Record(#[from] crate::storage::record::RecordError),
    #[error("{0}")]
    Missing(String),
}

/// The id in column `n`; 16 bytes.
pub(super) fn id(row: &Row<'_>, n: usize) -> rusqlite::Result<Uuid> {
    row.get::<_, [u8; 16]>(n).map(Uuid::from_bytes)
}

/// The columns `position, chat, seq, record`.
pub(super) fn log_row(row: &Row<'_>) -> rusqlite::Result<(Entry, Vec<u8>)> {
    let entry = Entry {
        position: row.get(0)?,
        chat: ChatId(id(row, 1)?),
        seq: row.get(2)?,
    };
    Ok((entry, row.get(3)?))
}

/// The last row of the log; 0 when it is empty.
pub(super) fn last_position(connection: &Connection) -> rusqlite::Result<Position> {
    connection.query_row("SELECT ifnull(max(position), 0) FROM log", (), |row| {
        row.get(0)
    })
}

/// The last event of the chat that the index has; 0 when it has none.
pub(super) fn indexed_tail(connection: &Connection, chat: ChatId) -> rusqlite::Result<Seq> {
    connection
        .prepare_cached("SELECT ifnull(max(seq), 0) FROM log_index WHERE chat = ?")?
        .query_row([chat.0.as_bytes()], |row| row.get(0))
}

/// Appends one record to the log.
pub(super) fn append(connection: &Connection, entry: Entry, record: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO log (position, chat, seq, record) VALUES (?, ?, ?, ?)")?
        .execute((entry.position, entry.chat.0.as_bytes(), entry.seq, record))
        .map(drop)
}

/// Writes sorted entries into the index, which then reaches up to `folded`.
pub(super) fn fold(
    connection: &Connection,
    entries: &[Entry],
    folded: Position,
) -> rusqlite::Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO log_index (chat, seq, position) VALUES (?, ?, ?)")?;
    for entry in entries {
        insert.execute((entry.chat.0.as_bytes(), entry.seq, entry.position))?;
    }
    connection
        .prepare_cached("UPDATE counters SET value = ? WHERE name = 'folded'")?
        .execute([folded])
        .map(drop)
}

/// The records of one chat that the index knows, from `from` to before `end`, in order.
pub(super) fn indexed(
    connection: &Connection,
    chat: ChatId,
    from: Seq,
    end: Seq,
    limit: usize,
    mut each: impl FnMut(Seq, &[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut statement = connection.prepare_cached(
        "SELECT i.seq, l.record FROM log_index i JOIN log l ON l.position = i.position \
         WHERE i.chat = ? AND i.seq >= ? AND i.seq < ? ORDER BY i.seq LIMIT ?",
    )?;
    let mut rows = statement.query((chat.0.as_bytes(), clamp(from), clamp(end), count(limit)))?;
    while let Some(row) = rows.next()? {
        each(
            row.get(0)?,
            row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?,
        )?;
    }
    Ok(())
}

/// The record in a row of the log.
pub(super) fn at(connection: &Connection, position: Position) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT record FROM log WHERE position = ?")?
        .query_row([position], |row| row.get(0))
        .optional()
}

/// The value of a counter.
pub(super) fn counter(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT value FROM counters WHERE name = ?")?
        .query_row([name], |row| row.get(0))
}

/// Raises a counter by one and answers its new value; within the caller's transaction. Two
/// statements: rusqlite does not see the end of one that returns rows, nor how that went.
pub(super) fn count_up(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("UPDATE counters SET value = value + 1 WHERE name = ?")?
        .execute([name])?;
    connection
        .prepare_cached("SELECT value FROM counters WHERE name = ?")?
        .query_row([name], |row| row.get(0))
}

/// Copies the WAL into the database, as far as `mode` and the readers let it. Errors only when the
/// disk or SQLite does; that readers held it up is no error.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
        .query_row((), |_| Ok(()))
}

/// A bound of a range of positions; nothing is stored beyond SQLite's largest integer.
pub(super) fn clamp(seq: Seq) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A limit as SQL takes it.
pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

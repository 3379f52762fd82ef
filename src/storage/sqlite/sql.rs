//! The statements over the log, its index and the counters. No policy: rows in, rows out.

use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use crate::domain::{ChatId, Seq};

use super::damage::told;
use super::log_rows::LogRows;
use super::recent::{Entry, Position, Run};

/// The position of an event that was there and is lost. No row has it.
pub(super) const LOST: Position = 0;

/// The counter that says that rows of open chats are missing, until they are made anew.
pub(super) const OPEN_CHATS_LOST: &str = "open_chats_lost";

/// A read that did not find what it was after, by SQLite's fault or the record's.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{}", told(.0))]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Record(#[from] crate::storage::record::RecordError),
    /// What ought to be there, by the store's own account.
    #[error("{0}")]
    Missing(String),
    /// What was lost by damage earlier, as a repair wrote down.
    #[error("{0}")]
    Lost(String),
}

/// Runs a cached statement that answers no rows.
pub(super) fn execute(
    connection: &Connection,
    text: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<()> {
    connection.prepare_cached(text)?.execute(parameters).map(drop)
}

/// Reads every page of the tables that are read whole, or without which nobody may go on. Else a page of
/// them is met later, by whoever is the first to need it. Counting reads no more of a row than its key;
/// a long record lies on pages of its own.
pub(super) fn look_at_pages(connection: &Connection) -> rusqlite::Result<()> {
    for text in [
        "SELECT count(*) FROM counters",
        "SELECT count(*) FROM forgotten",
        "SELECT body FROM documents",
        "SELECT record FROM operators",
    ] {
        let mut statement = connection.prepare(text)?;
        let mut rows = statement.query(())?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// The id in column `n`; 16 bytes.
pub(super) fn id(row: &Row<'_>, n: usize) -> rusqlite::Result<Uuid> {
    row.get::<_, [u8; 16]>(n).map(Uuid::from_bytes)
}

/// The columns `position, chat, seq, record`.
pub(super) fn log_row(row: &Row<'_>) -> rusqlite::Result<(Entry, Vec<u8>)> {
    let entry = Entry { position: row.get(0)?, chat: ChatId(id(row, 1)?), seq: row.get(2)? };
    Ok((entry, row.get(3)?))
}

/// The last row of the log; 0 when it is empty.
pub(super) fn last_position(connection: &Connection) -> rusqlite::Result<Position> {
    connection.query_row("SELECT ifnull(max(position), 0) FROM log", (), |row| row.get(0))
}

/// The last row of the log itself.
pub(super) fn newest_row(connection: &Connection) -> rusqlite::Result<Option<(Entry, Vec<u8>)>> {
    let text = "SELECT position, chat, seq, record FROM log ORDER BY position DESC LIMIT 1";
    connection.prepare_cached(text)?.query_row((), log_row).optional()
}

/// The last event of the chat that the index has; 0 when it has none. Errors unless the run agrees
/// with itself and with the log: whoever appends behind a wrong tail would hide what is there.
pub(super) fn indexed_tail(log: LogRows<'_>, chat: ChatId) -> Result<Seq, ReadError> {
    let text =
        "SELECT first, last, positions FROM log_index WHERE chat = ? ORDER BY first DESC LIMIT 1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let mut statement = log.connection.prepare_cached(text)?;
    let found: Option<(Seq, Seq, Vec<u8>)> =
        statement.query_row([chat.0.as_bytes()], read).optional()?;
    let Some((first, last, positions)) = found else { return Ok(0) };
    let (positions, rest) = positions.as_chunks();
    let counted = first.checked_add(positions.len() as u64) == last.checked_add(1);
    let position = positions.last().map(|last| Position::from_le_bytes(*last));
    match position.filter(|_| counted && rest.is_empty()) {
        Some(LOST) => Ok(last),
        Some(position) if log.at(Entry { chat, seq: last, position })?.is_some() => Ok(last),
        Some(_) | None => Err(ReadError::Missing(format!("the index of chat {chat} is damaged"))),
    }
}

/// Appends one record to the log.
pub(super) fn append(connection: &Connection, entry: Entry, record: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO log (position, chat, seq, record) VALUES (?, ?, ?, ?)")?
        .execute((entry.position, entry.chat.0.as_bytes(), entry.seq, record))
        .map(drop)
}

/// Notes the chat as forgotten.
pub(super) fn note_forgotten(connection: &Connection, chat: ChatId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO forgotten (chat) VALUES (?)")?
        .execute([chat.0.as_bytes()])
        .map(drop)
}

/// Whether the chat is forgotten.
pub(super) fn is_forgotten(connection: &Connection, chat: ChatId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM forgotten WHERE chat = ?)")?
        .query_row([chat.0.as_bytes()], |row| row.get(0))
}

/// Whether any chat is forgotten.
pub(super) fn any_forgotten(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM forgotten)", (), |row| row.get(0))
}

/// Removes rows of the log that are the chat's. Where an index is wrong, another chat's row stays.
pub(super) fn remove_rows(
    connection: &Connection,
    chat: ChatId,
    positions: impl IntoIterator<Item = Position>,
) -> rusqlite::Result<()> {
    let mut remove =
        connection.prepare_cached("DELETE FROM log WHERE position = ? AND chat = ?")?;
    for position in positions {
        remove.execute((position, chat.0.as_bytes()))?;
    }
    Ok(())
}

/// Removes the chat's first run that is left from the index, and its rows of the log. Answers how
/// many events it had; none when the index has nothing of the chat any more.
pub(super) fn remove_run(connection: &Connection, chat: ChatId) -> rusqlite::Result<Option<usize>> {
    let found = connection
        .prepare_cached(
            "SELECT first, positions FROM log_index WHERE chat = ? ORDER BY first LIMIT 1",
        )?
        .query_row([chat.0.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let Some((first, bytes)) = found else { return Ok(None) };
    // What a damaged run names besides whole positions is nothing.
    let (positions, _) = bytes.as_chunks();
    remove_rows(connection, chat, positions.iter().map(|one| Position::from_le_bytes(*one)))?;
    connection
        .prepare_cached("DELETE FROM log_index WHERE chat = ? AND first = ?")?
        .execute((chat.0.as_bytes(), first))?;
    Ok(Some(positions.len()))
}

/// Gives up to `pages` free pages back to the file system, and answers how many are left. In a
/// database that was made before this was chosen there are none to give: they are used again.
pub(super) fn give_back(connection: &Connection, pages: u32) -> rusqlite::Result<i64> {
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query(())?;
    // Each step frees a page.
    while rows.next()?.is_some() {}
    let mode: i64 = connection.query_row("PRAGMA auto_vacuum", (), |row| row.get(0))?;
    if mode == 0 {
        return Ok(0);
    }
    connection.query_row("PRAGMA freelist_count", (), |row| row.get(0))
}

/// Writes sorted runs into the index, which then reaches up to `folded`.
pub(super) fn fold(
    connection: &Connection,
    runs: &[(ChatId, Run)],
    folded: Position,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO log_index (chat, first, last, positions) VALUES (?, ?, ?, ?)",
    )?;
    for (chat, run) in runs {
        let positions = run.positions.iter().flat_map(|one| one.to_le_bytes());
        let positions: Vec<u8> = positions.collect();
        insert.execute((chat.0.as_bytes(), run.first, run.last(), positions))?;
    }
    set_counter(connection, "folded", folded)
}

/// Where the index has the events of one chat, from `from` to before `end`, in order, at most
/// `limit`. Says nothing of gaps: whoever reads the events finds them.
pub(super) fn indexed(
    connection: &Connection,
    chat: ChatId,
    from: Seq,
    end: Seq,
    limit: usize,
) -> Result<Vec<(Seq, Position)>, ReadError> {
    let mut statement = connection.prepare_cached(
        "SELECT first, positions FROM log_index WHERE chat = ?1 AND first < ?3 AND first >= \
         ifnull((SELECT max(first) FROM log_index WHERE chat = ?1 AND first <= ?2), 0) \
         ORDER BY first",
    )?;
    let mut rows = statement.query((chat.0.as_bytes(), clamp(from), clamp(end)))?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let bytes: Vec<u8> = row.get(1)?;
        let (positions, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(ReadError::Missing(format!("the index of chat {chat} is damaged")));
        }
        let run = Run {
            first: row.get(0)?,
            positions: positions.iter().map(|one| Position::from_le_bytes(*one)).collect(),
        };
        found.extend(run.part(from, limit - found.len()));
    }
    Ok(found)
}

/// The record of an event that is said to be in a row of the log; none if another one is.
pub(super) fn at(connection: &Connection, entry: Entry) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT record FROM log WHERE position = ? AND chat = ? AND seq = ?")?
        .query_row((entry.position, entry.chat.0.as_bytes(), clamp(entry.seq)), |row| row.get(0))
        .optional()
}

/// The value of a counter.
pub(super) fn counter(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT value FROM counters WHERE name = ?")?
        .query_row([name], |row| row.get(0))
}

/// The value of a counter that may not be there.
pub(super) fn counter_if_there(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM counters WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Sets a counter, also one that was not there.
pub(super) fn set_counter(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO counters (name, value) VALUES (?, ?) \
             ON CONFLICT DO UPDATE SET value = excluded.value",
        )?
        .execute((name, value))
        .map(drop)
}

/// Writes down which chat a customer opened by which command, as its log says; the latest that is
/// written counts as the customer's latest.
pub(super) fn opened(
    connection: &Connection,
    channel: &[u8; 16],
    customer: &[u8; 16],
    command: &str,
    chat: ChatId,
) -> rusqlite::Result<()> {
    let chat = chat.0.as_bytes();
    connection
        .prepare_cached(
            "INSERT INTO conversations (channel, customer, chat) VALUES (?, ?, ?) \
             ON CONFLICT DO UPDATE SET chat = excluded.chat",
        )?
        .execute((channel, customer, chat))?;
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO conversation_commands (channel, customer, command, chat) \
             VALUES (?, ?, ?, ?)",
        )?
        .execute((channel, customer, command, chat))
        .map(drop)
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
/// disk or SQLite does; that readers held it up is no error, and is answered with `false`: then not all
/// that the mode asks for was done.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
    let held_up = |row: &Row<'_>| row.get::<_, i64>(0);
    let text = format!("PRAGMA wal_checkpoint({mode})");
    Ok(connection.prepare_cached(&text)?.query_row((), held_up)? == 0)
}

/// A bound of a range of positions; nothing is stored beyond SQLite's largest integer.
pub(super) fn clamp(seq: Seq) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A limit as SQL takes it.
pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_over_several_runs_has_as_many_events_as_were_asked_for() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("migrations/0001_first.sql")).unwrap();
        let chat = ChatId::from_u128(1);
        for first in [1, 4, 7] {
            let positions = (0..3).map(|n| (first + n) as Position * 10).collect();
            fold(&connection, &[(chat, Run { first, positions })], 100).unwrap();
        }
        let page = |from, limit| {
            let found = indexed(&connection, chat, from, 100, limit).unwrap();
            found.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>()
        };
        assert_eq!(page(2, 4), [2, 3, 4, 5]);
        assert_eq!(page(1, 3), [1, 2, 3]);
        assert_eq!(page(6, 100), [6, 7, 8, 9]);
    }

    #[test]
    fn an_index_that_names_another_row_is_damaged() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("migrations/0001_first.sql")).unwrap();
        let [chat, other] = [1, 2].map(ChatId::from_u128);
        for (position, chat, seq) in [(1, chat, 1), (2, chat, 2), (3, other, 2)] {
            append(&connection, Entry { chat, seq, position }, b"record").unwrap();
        }
        let log = LogRows { connection: &connection, unverified: None };
        let tail = |last: Position| {
            connection.execute("DELETE FROM log_index", ()).unwrap();
            fold(&connection, &[(chat, Run { first: 1, positions: vec![1, last] })], 3).unwrap();
            indexed_tail(log, chat)
        };
        assert_eq!(tail(2).unwrap(), 2);
        for wrong in [1, 3, 4] {
            assert!(matches!(tail(wrong), Err(ReadError::Missing(_))), "{wrong}");
        }
        assert_eq!(tail(LOST).unwrap(), 2, "it was there");
    }
}

//! The history: a row a chat, and the lists that it is on.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use crate::domain::{ChatId, Timestamp};
use crate::storage::history::{DamagedHistory, HistoryBound, NO_CHAT, chat_of, stored};
use crate::storage::{
    Cursor, History, HistoryOf, HistoryOrder, HistoryPlace, HistoryPoint, HistoryQuery, HistoryRow,
    HistoryRows, Page, StoreError, record,
};

use super::SqliteStore;
use super::inventory::{after, bytes, ids, page};
use super::sql::{ReadError, count, execute};

/// The migration that makes the tables.
pub(super) const MIGRATION: &str = "
-- What is known of every chat since it was opened. All of it follows from the logs.
CREATE TABLE history (
    chat    BLOB    NOT NULL PRIMARY KEY,
    started INTEGER NOT NULL,
    record  BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- The lists that those are on: all, and those of a queue, a channel, an operator, a customer.
CREATE TABLE history_lists (
    list    BLOB    NOT NULL,
    started INTEGER NOT NULL,
    chat    BLOB    NOT NULL,
    PRIMARY KEY (list, started, chat)
) STRICT, WITHOUT ROWID;
CREATE INDEX history_lists_of_chat ON history_lists (chat);
";

#[async_trait]
impl History for SqliteStore {
    async fn put(&self, row: HistoryRow) -> Result<(), StoreError> {
        let sealed = record::encode_history(&row)?;
        self.write(move |connection| put(connection, &row, &sealed).map(Ok)).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(move |connection| remove(connection, chat).map(Ok)).await
    }

    async fn list(&self, query: HistoryQuery) -> Result<HistoryRows, StoreError> {
        let damaged = Arc::clone(&self.damaged_history);
        self.readers.read(move |connection| list(connection, &damaged, &query)).await
    }

    async fn places(&self, chat: ChatId) -> Result<Vec<HistoryPlace>, StoreError> {
        self.readers.read(move |connection| places(connection, chat)).await
    }

    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let after = after(at);
        // Each by its index. What is no chat's key names none that could be taken out.
        let text = "SELECT chat FROM history WHERE chat > ?1 AND length(chat) = 16 \
                    UNION SELECT chat FROM history_lists WHERE chat > ?1 AND length(chat) = 16 \
                    ORDER BY chat LIMIT ?2";
        let ids = move |connection: &Connection| ids(connection, text, &after, limit + 1);
        let found = self.readers.read(ids).await?.into_iter().map(ChatId).collect();
        Ok(page(found, limit, |last: &ChatId| bytes(last.0)))
    }
}

fn put(connection: &Connection, row: &HistoryRow, sealed: &[u8]) -> rusqlite::Result<()> {
    let (started, chat) = (stored(row.started), row.chat.0.as_bytes());
    let text = "INSERT INTO history (chat, started, record) VALUES (?, ?, ?) \
                ON CONFLICT DO UPDATE SET record = excluded.record";
    execute(connection, text, (chat, started, sealed))?;
    for list in row.lists() {
        let text = "INSERT OR IGNORE INTO history_lists (list, started, chat) VALUES (?, ?, ?)";
        execute(connection, text, (list.key(), started, chat))?;
    }
    Ok(())
}

fn remove(connection: &Connection, chat: ChatId) -> rusqlite::Result<()> {
    let chat = chat.0.as_bytes();
    execute(connection, "DELETE FROM history_lists WHERE chat = ?", [chat])?;
    execute(connection, "DELETE FROM history WHERE chat = ?", [chat])
}

fn places(connection: &Connection, chat: ChatId) -> Result<Vec<HistoryPlace>, ReadError> {
    let mut statement = connection.prepare_cached(
        "SELECT list, history_lists.started, record \
         FROM history_lists LEFT JOIN history ON history.chat = history_lists.chat \
         WHERE history_lists.chat = ? ORDER BY list, history_lists.started",
    )?;
    let mut rows = statement.query([chat.0.as_bytes()])?;
    let mut places = Vec::new();
    while let Some(row) = rows.next()? {
        let started = Timestamp(row.get::<_, i64>(1)?.unsigned_abs());
        let sealed = row.get::<_, Option<Vec<u8>>>(2)?;
        let place = HistoryPoint { started, chat };
        let decoded = sealed.map(|sealed| record::decode_history(place, &sealed)).transpose();
        places.push(HistoryPlace {
            list: HistoryOf::of_key(&row.get::<_, Vec<u8>>(0)?),
            started,
            row: decoded.map_err(|error| error.to_string()),
        });
    }
    Ok(places)
}

fn list(
    connection: &Connection,
    damaged: &DamagedHistory,
    query: &HistoryQuery,
) -> Result<HistoryRows, ReadError> {
    let mut page = HistoryRows { rows: Vec::new(), next: None };
    let Some((low, high)) = query.bounds() else { return Ok(page) };
    let way = match query.order {
        HistoryOrder::OldestFirst => "ASC",
        HistoryOrder::NewestFirst => "DESC",
    };
    let text = format!(
        "SELECT history_lists.chat, history_lists.started, record \
         FROM history_lists CROSS JOIN history ON history.chat = history_lists.chat \
         WHERE list = ? AND (history_lists.started, history_lists.chat) > (?, ?) \
         AND (history_lists.started, history_lists.chat) < (?, ?) \
         ORDER BY history_lists.started {way}, history_lists.chat {way} LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&text)?;
    let (HistoryBound { started: from, chat: low }, HistoryBound { started: to, chat: high }) =
        (low, high);
    // One more tells whether there are more.
    let limit = query.rows();
    let mut rows = statement.query((query.of.key(), from, low, to, high, count(limit + 1)))?;
    let (mut read, mut last) = (0, None::<HistoryBound>);
    while let Some(row) = rows.next()? {
        if read == limit {
            page.next = last.map(|last| last.place(query.order));
            break;
        }
        let (key, started) = (row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?);
        let place = chat_of(&key)
            .map(|chat| HistoryPoint { started: Timestamp(started.unsigned_abs()), chat });
        let sealed = row.get::<_, Vec<u8>>(2)?;
        match place.map(|place| record::decode_history(place, &sealed)) {
            Some(Ok(row)) => page.rows.push(row),
            Some(Err(error)) => damaged.note(&key, &error),
            None => damaged.note(&key, &NO_CHAT),
        }
        (read, last) = (read + 1, Some(HistoryBound { started, chat: key }));
    }
    Ok(page)
}

//! The index of open chats.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use crate::domain::ChatId;
use crate::storage::record::{self, RecordError};
use crate::storage::{Moving, OpenChat, OpenChats, StoreError};

use super::SqliteStore;
use super::sql::{ReadError, execute, id};

#[async_trait]
impl OpenChats for SqliteStore {
    async fn put(&self, row: OpenChat) -> Result<(), StoreError> {
        let sealed = Sealed::of(&row)?;
        self.write(move |connection| put_open_chat(connection, row.chat, &sealed).map(Ok)).await
    }

    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError> {
        let mark = record::encode_moving(chat, moving)?;
        self.write(move |connection| mark_open_chat(connection, chat, &mark).map(Ok)).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(move |connection| remove_open_chat(connection, chat).map(Ok)).await
    }

    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError> {
        let damage = Arc::clone(&self.damage);
        let scan = move |connection: &Connection| {
            scan_open_chats(connection, after, limit, |chat| !damage.has(chat))
        };
        self.readers.read(scan).await
    }
}

/// A row, encoded by its caller.
pub(super) struct Sealed {
    pub record: Vec<u8>,
    mark: Option<Vec<u8>>,
}

impl Sealed {
    pub fn of(row: &OpenChat) -> Result<Self, RecordError> {
        let mark = row.moving.map(|moving| record::encode_moving(row.chat, moving));
        Ok(Self { record: record::encode_open_chat(row)?, mark: mark.transpose()? })
    }
}

pub(super) fn put_open_chat(
    connection: &Connection,
    chat: ChatId,
    sealed: &Sealed,
) -> rusqlite::Result<()> {
    let text = "INSERT INTO open_chats (chat, record, moving) VALUES (?, ?, ?) \
                ON CONFLICT DO UPDATE SET record = excluded.record, moving = excluded.moving";
    execute(connection, text, (chat.0.as_bytes(), &sealed.record, &sealed.mark))
}

fn mark_open_chat(connection: &Connection, chat: ChatId, mark: &[u8]) -> rusqlite::Result<()> {
    let text = "UPDATE open_chats SET moving = ? WHERE chat = ?";
    execute(connection, text, (mark, chat.0.as_bytes()))
}

pub(super) fn remove_open_chat(connection: &Connection, chat: ChatId) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM open_chats WHERE chat = ?", [chat.0.as_bytes()])
}

/// The rows of chats that can be served: one that is damaged would only hold up its queue and its
/// owner.
fn scan_open_chats(
    connection: &Connection,
    after: Option<ChatId>,
    limit: usize,
    can_be_served: impl Fn(ChatId) -> bool,
) -> Result<Vec<OpenChat>, ReadError> {
    // Every id comes after the empty key.
    let after = after.map_or(Vec::new(), |chat| chat.0.as_bytes().to_vec());
    let mut statement = connection.prepare_cached(
        "SELECT chat, record, moving FROM open_chats WHERE chat > ? ORDER BY chat",
    )?;
    let mut rows = statement.query([after])?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let chat = ChatId(id(row, 0)?);
        if !can_be_served(chat) {
            continue;
        }
        let (sealed, mark): (Vec<u8>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
        found.push(record::decode_open_chat(chat, &sealed, mark.as_deref())?);
    }
    Ok(found)
}

/// The open chats whose rows are not what was written. Errors with what a newer release wrote.
pub(super) fn damaged_open_chats(connection: &Connection) -> Result<Vec<ChatId>, ReadError> {
    let mut statement = connection.prepare("SELECT chat, record, moving FROM open_chats")?;
    let mut rows = statement.query(())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let chat = ChatId(id(row, 0)?);
        let (sealed, mark): (Vec<u8>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
        match record::decode_open_chat(chat, &sealed, mark.as_deref()) {
            Ok(_) => {}
            Err(error @ RecordError::Newer { .. }) => return Err(error.into()),
            Err(RecordError::Damaged { .. } | RecordError::Unwritable { .. }) => found.push(chat),
        }
    }
    Ok(found)
}

//! What the store holds. Every listing is in the order of its keys, and its cursor is the last key.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::domain::{ChannelId, ChatId, Customer, CustomerId, UserId};
use crate::storage::record::{self, Slot};
use crate::storage::{Conversation, Cursor, Document, Inventory, Page, StoreError};

use super::sql::{ReadError, count, id};
use super::{SqliteStore, conversations, sql};

/// The page of the first `limit` of the keys, of which there is one more if there is a next page.
pub(super) fn page<T>(mut items: Vec<T>, limit: usize, key: impl FnOnce(&T) -> Vec<u8>) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| Cursor::new(key(last)));
    Page { items, next }
}

pub(super) fn bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// The key that a listing goes on after. Every id comes after the empty one.
pub(super) fn after(at: Option<&Cursor>) -> Vec<u8> {
    at.map_or(Vec::new(), |at| at.raw().to_vec())
}

/// Runs a statement over `after` and `limit` that answers ids.
pub(super) fn ids(
    connection: &Connection,
    text: &str,
    after: &[u8],
    limit: usize,
) -> Result<Vec<Uuid>, ReadError> {
    let mut statement = connection.prepare_cached(text)?;
    let rows = statement.query_map((after, count(limit)), |row| id(row, 0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn conversations(
    connection: &Connection,
    after: &[u8],
    limit: usize,
) -> Result<Vec<Conversation>, ReadError> {
    let (channel, customer) = after.split_at(after.len() / 2);
    let mut statement = connection.prepare_cached(
        "SELECT channel, customer, chat FROM conversations \
         WHERE (channel, customer) > (?, ?) ORDER BY channel, customer LIMIT ?",
    )?;
    let mut rows = statement.query((channel, customer, count(limit)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let customer = Customer { channel: ChannelId(id(row, 0)?), id: CustomerId(id(row, 1)?) };
        let commands = conversations::commands(connection, customer)?;
        found.push(Conversation { customer, latest: ChatId(id(row, 2)?), commands });
    }
    Ok(found)
}

fn restore(
    connection: &Connection,
    kind: &str,
    document: &Document,
) -> rusqlite::Result<Result<(), StoreError>> {
    let found = connection
        .prepare_cached("SELECT version FROM documents WHERE kind = ? AND id = ?")?
        .query_row((kind, &document.id), |row| row.get::<_, u64>(0))
        .optional()?;
    match found {
        Some(found) if found == document.version => {}
        Some(found) => return Ok(Err(StoreError::VersionConflict { expected: 0, found })),
        None => {
            let slot = Slot::Document(kind, &document.id, document.version);
            let sealed = record::seal(slot, &document.body);
            connection
                .prepare_cached(
                    "INSERT INTO documents (kind, id, version, body) VALUES (?, ?, ?, ?)",
                )?
                .execute((kind, &document.id, document.version, sealed))?;
        }
    }
    Ok(Ok(()))
}

#[async_trait]
impl Inventory for SqliteStore {
    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let after = after(at);
        // The tail first, the index after it, as in a read.
        let mut chats: Vec<_> = self.recent.firsts().into_iter().map(|(chat, _)| chat).collect();
        chats.retain(|chat| chat.0.as_bytes().as_slice() > after.as_slice());
        let text = "SELECT chat FROM log_index WHERE chat > ? \
                    AND NOT EXISTS (SELECT 1 FROM forgotten WHERE forgotten.chat = log_index.chat) \
                    GROUP BY chat ORDER BY chat LIMIT ?";
        let ids = move |connection: &Connection| ids(connection, text, &after, limit + 1);
        chats.extend(self.readers.read(ids).await?.into_iter().map(ChatId));
        chats.sort_unstable();
        chats.dedup();
        Ok(page(chats, limit, |last| bytes(last.0)))
    }

    async fn watched(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let after = after(at);
        let text = "SELECT chat FROM watermarks WHERE chat > ? GROUP BY chat ORDER BY chat LIMIT ?";
        let ids = move |connection: &Connection| ids(connection, text, &after, limit + 1);
        let found = self.readers.read(ids).await?.into_iter().map(ChatId).collect();
        Ok(page(found, limit, |last: &ChatId| bytes(last.0)))
    }

    async fn conversations(
        &self,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Conversation>, StoreError> {
        let after = after(at);
        let read = move |connection: &Connection| conversations(connection, &after, limit + 1);
        let found = self.readers.read(read).await?;
        Ok(page(found, limit, |last| {
            [bytes(last.customer.channel.0), bytes(last.customer.id.0)].concat()
        }))
    }

    async fn operators(
        &self,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<UserId>, StoreError> {
        let after = after(at);
        let text = "SELECT operator FROM operators WHERE operator > ? ORDER BY operator LIMIT ?";
        let ids = move |connection: &Connection| ids(connection, text, &after, limit + 1);
        let found = self.readers.read(ids).await?.into_iter().map(UserId).collect();
        Ok(page(found, limit, |last: &UserId| bytes(last.0)))
    }

    async fn document_kinds(&self) -> Result<Vec<String>, StoreError> {
        let read = |connection: &Connection| {
            let mut statement = connection
                .prepare_cached("SELECT kind FROM documents GROUP BY kind ORDER BY kind")?;
            let kinds = statement.query_map((), |row| row.get(0))?;
            Ok(kinds.collect::<rusqlite::Result<_>>()?)
        };
        self.readers.read(read).await
    }

    async fn last_process(&self) -> Result<u64, StoreError> {
        let read = |connection: &Connection| Ok(sql::counter(connection, "process")?);
        let number = self.readers.read(read).await?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    async fn restore(&self, kind: &str, document: Document) -> Result<(), StoreError> {
        let kind = kind.to_owned();
        self.write(move |connection| restore(connection, &kind, &document)).await
    }
}

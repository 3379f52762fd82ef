//! The chats that have ended.

use async_trait::async_trait;
use rusqlite::Connection;

use crate::domain::{ChannelId, ChatId, Timestamp};
use crate::storage::{EndedChat, EndedChats, EndedRow, StoreError, record};

use super::SqliteStore;
use super::sql::{ReadError, count, id};

#[async_trait]
impl EndedChats for SqliteStore {
    async fn put(&self, ended: EndedChat) -> Result<(), StoreError> {
        let sealed = record::encode_ended_chat(&ended)?;
        let (channel, chat) = (ended.customer.channel, ended.chat);
        self.write(move |connection| put(connection, channel, chat, &sealed).map(Ok)).await
    }

    async fn remove(&self, channel: ChannelId, chat: ChatId) -> Result<(), StoreError> {
        self.write(move |connection| remove(connection, channel, chat).map(Ok)).await
    }

    async fn scan(
        &self,
        channel: ChannelId,
        after: Option<ChatId>,
        made_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<EndedRow>, StoreError> {
        let end = ChatId::first_at(made_before);
        self.readers.read(move |connection| scan(connection, channel, after, end, limit)).await
    }
}

pub(super) fn put(
    connection: &Connection,
    channel: ChannelId,
    chat: ChatId,
    sealed: &[u8],
) -> rusqlite::Result<()> {
    let text = "INSERT INTO ended_chats (channel, chat, record) VALUES (?, ?, ?) \
                ON CONFLICT DO UPDATE SET record = excluded.record";
    let values = (channel.0.as_bytes(), chat.0.as_bytes(), sealed);
    connection.prepare_cached(text)?.execute(values).map(drop)
}

fn remove(connection: &Connection, channel: ChannelId, chat: ChatId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM ended_chats WHERE channel = ? AND chat = ?")?
        .execute((channel.0.as_bytes(), chat.0.as_bytes()))
        .map(drop)
}

fn scan(
    connection: &Connection,
    channel: ChannelId,
    after: Option<ChatId>,
    end: ChatId,
    limit: usize,
) -> Result<Vec<EndedRow>, ReadError> {
    // Every id comes after the empty key.
    let after = after.map_or(Vec::new(), |chat| chat.0.as_bytes().to_vec());
    let mut statement = connection.prepare_cached(
        "SELECT chat, record FROM ended_chats WHERE channel = ? AND chat > ? AND chat < ? \
         ORDER BY chat LIMIT ?",
    )?;
    let values = (channel.0.as_bytes(), after, end.0.as_bytes(), count(limit));
    let mut rows = statement.query(values)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (chat, sealed) = (ChatId(id(row, 0)?), row.get::<_, Vec<u8>>(1)?);
        let ended = record::decode_ended_chat(channel, chat, &sealed).ok();
        found.push(EndedRow { chat, ended });
    }
    Ok(found)
}

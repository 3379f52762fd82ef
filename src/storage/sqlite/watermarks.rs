//! How far participants have come.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::Connection;

use crate::domain::{ChatId, Party};
use crate::storage::{StoreError, Watermark, Watermarks, record};

use super::SqliteStore;
use super::sql::{self, ReadError, clamp, execute};

#[async_trait]
impl Watermarks for SqliteStore {
    async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError> {
        self.readers.read(move |connection| load_watermarks(connection, chat)).await
    }

    async fn raise(
        &self,
        chat: ChatId,
        watermarks: BTreeMap<Party, Watermark>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| raise_watermarks(connection, chat, &watermarks).map(Ok)).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(move |connection| forget_watermarks(connection, chat).map(Ok)).await
    }
}

fn load_watermarks(
    connection: &Connection,
    chat: ChatId,
) -> Result<BTreeMap<Party, Watermark>, ReadError> {
    let mut statement = connection
        .prepare_cached("SELECT party, delivered, read FROM watermarks WHERE chat = ?")?;
    let mut rows = statement.query([chat.0.as_bytes()])?;
    let mut watermarks = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let key: Vec<u8> = row.get(0)?;
        let party = record::decode_party(&key).ok_or_else(|| {
            ReadError::Missing(format!("a watermark of chat {chat} names no party"))
        })?;
        let watermark = Watermark { delivered: row.get(1)?, read: row.get(2)? };
        watermarks.insert(party, watermark);
    }
    Ok(watermarks)
}

fn raise_watermarks(
    connection: &Connection,
    chat: ChatId,
    watermarks: &BTreeMap<Party, Watermark>,
) -> rusqlite::Result<()> {
    let text = "INSERT INTO watermarks (chat, party, delivered, read) VALUES (?, ?, ?, ?) \
                ON CONFLICT DO UPDATE SET delivered = max(delivered, excluded.delivered), \
                                          read = max(read, excluded.read)";
    if sql::is_forgotten(connection, chat)? {
        return Ok(());
    }
    for (party, given) in watermarks {
        let watermark = Watermark::default().raised_to(*given);
        let delivered = clamp(watermark.delivered);
        let key = record::encode_party(*party);
        execute(connection, text, (chat.0.as_bytes(), key, delivered, clamp(watermark.read)))?;
    }
    Ok(())
}

fn forget_watermarks(connection: &Connection, chat: ChatId) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM watermarks WHERE chat = ?", [chat.0.as_bytes()])
}

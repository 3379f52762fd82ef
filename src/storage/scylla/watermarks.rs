//! Watermarks: each value is its own timestamp, so that the largest wins.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::domain::{ChatId, Party};
use crate::storage::{StoreError, Watermark, Watermarks, record};

use super::ScyllaStore;
use super::errors::unreadable;
use super::statements::statements;

statements! {
    load: Read = "SELECT party, delivered, read FROM %.watermarks WHERE chat = ?";
    drop: Write = "DELETE FROM %.watermarks USING TIMESTAMP ? WHERE chat = ?";
    chats: Read = "SELECT DISTINCT token(chat), chat FROM %.watermarks \
        WHERE token(chat) >= ? AND token(chat) <= ? LIMIT ?";
    delivered: Write = "UPDATE %.watermarks USING TIMESTAMP ? SET delivered = ? \
        WHERE chat = ? AND party = ?";
    read: Write = "UPDATE %.watermarks USING TIMESTAMP ? SET read = ? \
        WHERE chat = ? AND party = ?";
}

#[async_trait]
impl Watermarks for ScyllaStore {
    async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError> {
        let answer = self.db.read(&self.db.statements.watermarks.load, (chat.0,)).await?;
        let mut watermarks = BTreeMap::new();
        for row in answer.rows::<(&[u8], Option<i64>, Option<i64>)>().map_err(unreadable)? {
            let (key, delivered, read) = row.map_err(unreadable)?;
            let party = record::decode_party(key).ok_or_else(|| StoreError::Damaged {
                reason: format!("a watermark of chat {chat} names no party"),
            })?;
            let seq = |at: Option<i64>| at.unwrap_or(0).unsigned_abs();
            // What was read was delivered, whatever was given, or written of a raise that failed.
            watermarks.insert(party, Watermark::of(seq(delivered), seq(read)));
        }
        Ok(watermarks)
    }

    async fn raise(
        &self,
        chat: ChatId,
        watermarks: BTreeMap<Party, Watermark>,
    ) -> Result<(), StoreError> {
        let (statements, mut writes) = (&self.db.statements, Vec::new());
        let seq = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
        for (party, watermark) in &watermarks {
            let key = record::encode_party(*party);
            // Each is its own timestamp.
            let (delivered, read) = (seq(watermark.delivered), seq(watermark.read));
            let values = (delivered, delivered, chat.0, key.clone());
            writes.push((&statements.watermarks.delivered, values));
            writes.push((&statements.watermarks.read, (read, read, chat.0, key)));
        }
        if writes.is_empty() {
            return Ok(());
        }
        self.db.write_all(writes).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        // Values are their own timestamps, and all of them are smaller: none is raised any more.
        let values = (self.db.stamp()?, chat.0);
        self.db.write(&self.db.statements.watermarks.drop, values).await
    }
}

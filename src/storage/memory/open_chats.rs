//! The index of open chats, in memory.

use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;

use crate::domain::ChatId;
use crate::storage::{Moving, OpenChat, OpenChats, StoreError};

use super::{FaultAt, MemoryStore};

#[async_trait]
impl OpenChats for MemoryStore {
    async fn put(&self, row: OpenChat) -> Result<(), StoreError> {
        self.write(FaultAt::OpenChats, |state| {
            state.open_chats.insert(row.chat, row);
            Ok(())
        })
    }

    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError> {
        self.write(FaultAt::OpenChats, |state| {
            if let Some(row) = state.open_chats.get_mut(&chat) {
                row.moving = Some(moving);
            }
            Ok(())
        })
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::OpenChats, |state| {
            state.open_chats.remove(&chat);
            Ok(())
        })
    }

    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError> {
        let state = self.lock();
        let rows = state.open_chats.range((after.map_or(Unbounded, Excluded), Unbounded));
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }
}

//! A row of an open chat that cannot be read when a process starts.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use switchboard::domain::ChatId;
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::{Moving, OpenChat, OpenChats, Store, StoreError};

use crate::whole::until_line;
use crate::world::*;

/// Rows of open chats of which one cannot be read until it is written.
struct OneDamaged {
    inner: Arc<dyn OpenChats>,
    damaged: Mutex<Option<ChatId>>,
}

#[async_trait]
impl OpenChats for OneDamaged {
    async fn put(&self, row: OpenChat) -> Result<(), StoreError> {
        let chat = row.chat;
        self.inner.put(row).await?;
        self.damaged.lock().unwrap().take_if(|damaged| *damaged == chat);
        Ok(())
    }

    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError> {
        self.inner.mark(chat, moving).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.inner.remove(chat).await
    }

    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError> {
        let mut rows = self.inner.scan(after, limit).await?;
        let damaged = *self.damaged.lock().unwrap();
        rows.retain(|row| damaged != Some(row.chat));
        Ok(rows)
    }

    async fn damaged(&self) -> Result<Vec<ChatId>, StoreError> {
        Ok(self.damaged.lock().unwrap().iter().copied().collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_makes_the_row_of_an_open_chat_anew_and_serves_it_in_its_place() {
    let memory = MemoryStore::new();
    let router = start(memory.store()).await;
    let (first, second) = (open(&router, 1).await, open(&router, 2).await);
    until_line(&router, &[first, second]).await;
    router.stop().await;
    memory.restart();

    let inner = memory.store();
    let rows = Arc::new(OneDamaged {
        inner: Arc::clone(&inner.open_chats),
        damaged: Mutex::new(Some(first)),
    });
    let router = start(Store { open_chats: Arc::clone(&rows) as _, ..inner }).await;
    until_line(&router, &[first, second]).await;
    assert_eq!(rows.damaged().await, Ok(Vec::new()), "it is written");
}

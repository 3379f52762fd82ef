//! Rows of open chats that were damaged, made anew: a row says where its chat's log says it is.

use crate::actors::read_chat;
use crate::domain::ChatId;
use crate::storage::sqlite::{SqliteStore, Unlisted};
use crate::storage::{Store, StoreError};

use super::limits::RELIST_PAGE;

/// Writes what is missing. Nobody may run on the store yet.
pub(super) async fn relist(sqlite: &SqliteStore, store: &Store) -> Result<(), StoreError> {
    match sqlite.unlisted() {
        Unlisted::These(chats) => {
            for chat in chats {
                list(store, *chat).await?;
            }
            if !chats.is_empty() {
                tracing::warn!(chats = chats.len(), "damaged rows of open chats were made anew");
            }
            Ok(())
        }
        Unlisted::Any => {
            let mut at = None;
            loop {
                let page = store.inventory.chats(at.as_ref(), RELIST_PAGE).await?;
                for chat in page.items {
                    list(store, chat).await?;
                }
                at = page.next;
                if at.is_none() {
                    break;
                }
            }
            tracing::warn!("the index of open chats was damaged; it was made anew from the logs");
            sqlite.all_listed().await
        }
    }
}

/// Writes the chat's row as its log has it. A log that cannot be read leaves none: nobody could
/// serve the chat.
async fn list(store: &Store, id: ChatId) -> Result<(), StoreError> {
    let chat = match read_chat(store, id).await {
        Err(StoreError::Damaged { .. }) => return store.open_chats.remove(id).await,
        chat => chat?,
    };
    match chat.row() {
        Some(row) => store.open_chats.put(row).await,
        None => {
            if let Some(ended) = chat.ended_row() {
                store.ended_chats.put(ended).await?;
            }
            store.open_chats.remove(id).await
        }
    }
}

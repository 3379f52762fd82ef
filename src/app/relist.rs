//! Rows of open chats that were damaged, made anew: a row says where its chat's log says it is.

use crate::actors::relist_chat;
use crate::storage::sqlite::{SqliteStore, Unlisted};
use crate::storage::{Store, StoreError};

use super::limits::RELIST_PAGE;

/// Writes what is missing. Nobody may run on the store yet.
pub(super) async fn relist(sqlite: &SqliteStore, store: &Store) -> Result<(), StoreError> {
    match sqlite.unlisted() {
        Unlisted::These(chats) => {
            for chat in chats {
                relist_chat(store, *chat).await?;
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
                    relist_chat(store, chat).await?;
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

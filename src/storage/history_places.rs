//! Where a chat is in the history, list by list: for whoever looks whether that is where it belongs.
//!
//! A put joins lists and leaves none. So a list that a chat does not belong to, by damage or a fault, stays
//! as it is until the chat is removed, or put by who looks at its lists first ([`off_other_lists`]).

use std::sync::Arc;

use async_trait::async_trait;

use super::{Cursor, History, HistoryOf, HistoryQuery, HistoryRow, HistoryRows, Page, StoreError};
use crate::domain::{ChatId, Timestamp};

/// A list on which a chat is said to be, and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPlace {
    /// The list; none: its key is no list's.
    pub list: Option<HistoryOf>,
    /// The time by which it is there.
    pub started: Timestamp,
    /// Its row there; none: there is none. Errors with what is wrong with one that cannot be read.
    pub row: Result<Option<HistoryRow>, String>,
}

impl HistoryPlace {
    /// Whether a row belongs there.
    pub fn is_of(&self, row: &HistoryRow) -> bool {
        self.started == row.started
            && self.list.is_some_and(|list| row.lists().any(|of| of == list))
    }
}

/// The same history, in which whoever puts a chat takes it off all lists that its row does not name. It looks
/// at all lists of the chat each time, and the chat may be on none for a moment: for a history that is made
/// anew while nobody reads it.
pub fn off_other_lists(history: Arc<dyn History>) -> Arc<dyn History> {
    Arc::new(OffOtherLists(history))
}

struct OffOtherLists(Arc<dyn History>);

#[async_trait]
impl History for OffOtherLists {
    async fn put(&self, row: HistoryRow) -> Result<(), StoreError> {
        let places = self.0.places(row.chat).await?;
        if !places.iter().all(|place| place.is_of(&row)) {
            self.0.remove(row.chat).await?;
        }
        self.0.put(row).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.0.remove(chat).await
    }

    async fn list(&self, query: HistoryQuery) -> Result<HistoryRows, StoreError> {
        self.0.list(query).await
    }

    async fn places(&self, chat: ChatId) -> Result<Vec<HistoryPlace>, StoreError> {
        self.0.places(chat).await
    }

    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        self.0.chats(at, limit).await
    }
}

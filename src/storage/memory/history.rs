//! The history, in memory: the rows that are asked for, in the order that is asked for.

use async_trait::async_trait;

use crate::domain::ChatId;
use crate::storage::{
    Cursor, History, HistoryOf, HistoryOrder, HistoryPlace, HistoryQuery, HistoryRow, HistoryRows,
    Page, StoreError,
};

use super::inventory::chats_page;
use super::{FaultAt, MemoryStore};

#[async_trait]
impl History for MemoryStore {
    async fn put(&self, row: HistoryRow) -> Result<(), StoreError> {
        self.write(FaultAt::History, |state| {
            state.history.insert(row.chat, row);
            Ok(())
        })
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::History, |state| {
            state.history.remove(&chat);
            Ok(())
        })
    }

    async fn list(&self, query: HistoryQuery) -> Result<HistoryRows, StoreError> {
        let HistoryQuery { of, from, to, order, after, .. } = query;
        let state = self.lock();
        let asked = |row: &&HistoryRow| {
            let behind = after.is_none_or(|after| match order {
                HistoryOrder::OldestFirst => row.place() > after,
                HistoryOrder::NewestFirst => row.place() < after,
            });
            behind && (from..to).contains(&row.started) && row.lists().any(|list| list == of)
        };
        let mut rows: Vec<HistoryRow> = state.history.values().filter(asked).cloned().collect();
        rows.sort_unstable_by_key(HistoryRow::place);
        match order {
            HistoryOrder::OldestFirst => {}
            HistoryOrder::NewestFirst => rows.reverse(),
        }
        let is_all = rows.len() <= query.rows();
        rows.truncate(query.rows());
        let next = rows.last().filter(|_| !is_all).map(HistoryRow::place);
        Ok(HistoryRows { rows, next })
    }

    async fn places(&self, chat: ChatId) -> Result<Vec<HistoryPlace>, StoreError> {
        let state = self.lock();
        let rows = state.history.get(&chat).into_iter();
        let places = rows.flat_map(|row| row.lists().map(move |list| (list, row)));
        let place = |(list, row): (HistoryOf, &HistoryRow)| HistoryPlace {
            list: Some(list),
            started: row.started,
            row: Ok(Some(row.clone())),
        };
        Ok(places.map(place).collect())
    }

    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        Ok(chats_page(self.lock().history.keys().copied(), at, limit))
    }
}

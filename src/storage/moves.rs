//! The port that writes what stands beside a chat's log together with its events.
//!
//! Only a store with transactions over all of a chat has it. With any other, whoever appends marks the
//! row before, and writes it after.

use super::port::port;
use super::{AppendError, Claim, EndedChat, FeedPeriod, OpenChat, Store, StoreError};
use crate::domain::{ChatId, Recorded};

/// A write to a row of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowUpdate {
    /// To that among the open chats.
    Open(OpenChat),
    /// To that among those that have ended.
    Ended(EndedChat),
    /// It is open no more.
    NotOpen,
}

/// What is written with events, besides them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside {
    /// The chat has changed in this period of the feed.
    pub touched: Option<FeedPeriod>,
    /// Its rows, as the events leave them.
    pub rows: Vec<RowUpdate>,
}

port! {
    /// Appends that write what stands beside the log. A port that not every store has.
    pub trait ChatMoves {
        /// As [`ChatLog::append`](super::ChatLog::append), and with the events what stands beside them:
        /// all of it or none, whatever fails. Nothing of a process that has ended lands after the next one
        /// has begun: that one reads the rows and asks no chat.
        async fn append(
            &self,
            claim: Claim,
            events: Vec<Recorded>,
            beside: Beside,
        ) -> Result<(), AppendError>;
    }
}

impl Store {
    /// Writes one of a chat's rows by itself.
    pub async fn update_row(&self, chat: ChatId, update: RowUpdate) -> Result<(), StoreError> {
        match update {
            RowUpdate::Open(row) => self.open_chats.put(row).await,
            RowUpdate::Ended(ended) => self.ended_chats.put(ended).await,
            RowUpdate::NotOpen => self.open_chats.remove(chat).await,
        }
    }
}

//! The chats that have ended, in memory.

use std::ops::Bound::{Excluded, Included};

use async_trait::async_trait;

use crate::domain::{ChannelId, ChatId, Timestamp};
use crate::storage::{EndedChat, EndedChats, EndedRow, StoreError};

use super::{FaultAt, MemoryStore};

#[async_trait]
impl EndedChats for MemoryStore {
    async fn put(&self, ended: EndedChat) -> Result<(), StoreError> {
        self.write(FaultAt::EndedChats, |state| {
            state.ended_chats.insert((ended.customer.channel, ended.chat), ended);
            Ok(())
        })
    }

    async fn remove(&self, channel: ChannelId, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::EndedChats, |state| {
            state.ended_chats.remove(&(channel, chat));
            Ok(())
        })
    }

    async fn scan(
        &self,
        channel: ChannelId,
        after: Option<ChatId>,
        made_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<EndedRow>, StoreError> {
        let first = match after {
            Some(after) => Excluded((channel, after)),
            None => Included((channel, ChatId::from_u128(0))),
        };
        let end = (channel, ChatId::first_at(made_before));
        if after.is_some_and(|after| (channel, after) >= end) {
            return Ok(Vec::new());
        }
        let state = self.lock();
        let rows = state.ended_chats.range((first, Excluded(end)));
        let row = |(_, ended): (_, &EndedChat)| EndedRow { chat: ended.chat, ended: Some(*ended) };
        Ok(rows.take(limit).map(row).collect())
    }
}

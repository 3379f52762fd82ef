//! The chats that have ended, by channel and the day in their ids.
//!
//! A channel's list names the days that are not known to be empty. A removed row leaves a tombstone,
//! so a day that is found empty leaves the list: then nobody reads its tombstones again.
//!
//! Invariants: a day is on the list before it gets a row; it leaves the list only while nobody of this
//! process writes to it; each life lists again what it writes to, since a dead one's removal may still
//! be under way.

use async_trait::async_trait;
use dashmap::DashSet;
use tokio::sync::RwLock;

use crate::domain::{ChannelId, ChatId, Timestamp};
use crate::storage::{EndedChat, EndedChats, EndedRow, StoreError, record};

use super::ScyllaStore;
use super::errors::unreadable;
use super::limits::{DAY_MS, DAYS_KNOWN_MAX, DAYS_PAGE_ROWS, SCAN_PAGE_ROWS};

/// The days that this life has put on the lists.
#[derive(Default)]
pub(super) struct EndedDays {
    known: DashSet<(ChannelId, i64)>,
    /// Held shared while rows are written, alone while a day is taken off a list.
    writing: RwLock<()>,
}

fn day_of(chat: ChatId) -> i64 {
    i64::try_from(chat.made_at().0 / DAY_MS).unwrap_or(i64::MAX)
}

#[async_trait]
impl EndedChats for ScyllaStore {
    async fn put(&self, ended: EndedChat) -> Result<(), StoreError> {
        let sealed = record::encode_ended_chat(&ended)?;
        let (channel, day) = (ended.customer.channel, day_of(ended.chat));
        let _shared = self.ended_days.writing.read().await;
        self.list_day(channel, day).await?;
        let chat = ended.chat.0.as_bytes().as_slice();
        let values = (channel.0, day, chat, sealed, self.db.stamp()?);
        self.db.write(&self.db.statements.ended_put, values).await
    }

    async fn remove(&self, channel: ChannelId, chat: ChatId) -> Result<(), StoreError> {
        let values = (self.db.stamp()?, channel.0, day_of(chat), chat.0.as_bytes().as_slice());
        self.db.write(&self.db.statements.ended_remove, values).await
    }

    async fn scan(
        &self,
        channel: ChannelId,
        after: Option<ChatId>,
        made_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<EndedRow>, StoreError> {
        let end = ChatId::first_at(made_before);
        let (mut from, last) = (after.map_or(0, day_of), day_of(end));
        let mut found = Vec::new();
        loop {
            let values = (channel.0, from, last, DAYS_PAGE_ROWS);
            let answer = self.db.read(&self.db.statements.ended_days, values).await?;
            let rows = answer.rows::<(i64,)>().map_err(unreadable)?;
            let days: Vec<i64> = rows
                .map(|row| row.map(|(day,)| day).map_err(unreadable))
                .collect::<Result<_, _>>()?;
            for day in &days {
                if found.len() >= limit {
                    return Ok(found);
                }
                let begins = after.is_none_or(|after| day_of(after) < *day);
                let rows = self.ended_of(channel, *day, after, end, limit - found.len()).await?;
                if rows.is_empty() && begins && *day < last {
                    self.drop_if_empty(channel, *day).await?;
                }
                found.extend(rows);
            }
            match days.last() {
                Some(day) if days.len() >= DAYS_PAGE_ROWS as usize => from = day + 1,
                Some(_) | None => return Ok(found),
            }
        }
    }
}

impl ScyllaStore {
    /// Puts the day on the channel's list, once a life.
    async fn list_day(&self, channel: ChannelId, day: i64) -> Result<(), StoreError> {
        let known = &self.ended_days.known;
        if known.contains(&(channel, day)) {
            return Ok(());
        }
        let values = (channel.0, day, self.db.stamp()?);
        self.db.write(&self.db.statements.ended_day_put, values).await?;
        if known.len() >= DAYS_KNOWN_MAX {
            known.clear();
        }
        known.insert((channel, day));
        Ok(())
    }

    /// Takes the day off the channel's list unless it got a row meanwhile.
    async fn drop_if_empty(&self, channel: ChannelId, day: i64) -> Result<(), StoreError> {
        let _alone = self.ended_days.writing.write().await;
        let end = ChatId::from_u128(u128::MAX);
        if !self.ended_of(channel, day, None, end, 1).await?.is_empty() {
            return Ok(());
        }
        // Whoever comes next lists it again, whatever becomes of this.
        self.ended_days.known.remove(&(channel, day));
        let values = (self.db.stamp()?, channel.0, day);
        self.db.write(&self.db.statements.ended_day_drop, values).await
    }

    /// Up to `limit` rows of one day.
    async fn ended_of(
        &self,
        channel: ChannelId,
        day: i64,
        after: Option<ChatId>,
        end: ChatId,
        limit: usize,
    ) -> Result<Vec<EndedRow>, StoreError> {
        // Every id comes after the empty key.
        let mut behind = after.map_or(Vec::new(), |chat| chat.0.as_bytes().to_vec());
        let mut found = Vec::new();
        while found.len() < limit {
            let page = i32::try_from(limit - found.len()).unwrap_or(SCAN_PAGE_ROWS);
            let page = page.min(SCAN_PAGE_ROWS);
            let values = (channel.0, day, &behind, end.0.as_bytes().as_slice(), page);
            let answer = self.db.read(&self.db.statements.ended_scan, values).await?;
            let rows = answer.rows::<(&[u8], Option<&[u8]>)>().map_err(unreadable)?;
            let before = found.len();
            for row in rows {
                let (key, sealed) = row.map_err(unreadable)?;
                let chat = ChatId(uuid::Uuid::from_slice(key).map_err(unreadable)?);
                let read = |sealed| record::decode_ended_chat(channel, chat, sealed).ok();
                found.push(EndedRow { chat, ended: sealed.and_then(read) });
                behind = key.to_vec();
            }
            if found.len() - before < page as usize {
                break;
            }
        }
        Ok(found)
    }
}

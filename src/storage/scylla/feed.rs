//! Which chats have changed, by shard and hour.
//!
//! Invariants: an hour is on the list before it gets a touch; it is removed by whole partitions, when no
//! process touches a chat in it any more, and leaves the list after them.

use async_trait::async_trait;
use dashmap::DashSet;

use crate::domain::ChatId;
use crate::storage::{Feed, FeedHour, FeedShard, StoreError, Touched};

use super::ScyllaStore;
use super::errors::unreadable;
use super::limits::{FEED_HOURS_PAGE_ROWS, SCAN_PAGE_ROWS};
use super::statements::statements;

/// The step of the schema that makes the tables. What a release does not touch that does not know it,
/// who follows finds when it begins from nothing.
pub(super) const STEP: &str = "
-- Which chats may have changed, by a shard of theirs and the hour since 1970. What is old is removed by
-- whole partitions.
CREATE TABLE IF NOT EXISTS feed (
    shard smallint,
    hour  bigint,
    chat  blob,
    PRIMARY KEY ((shard, hour), chat)
) WITH CLUSTERING ORDER BY (chat ASC);

-- The hours of which there may be touches; `list` is always 0.
CREATE TABLE IF NOT EXISTS feed_hours (
    list smallint,
    hour bigint,
    PRIMARY KEY ((list), hour)
) WITH CLUSTERING ORDER BY (hour ASC);
";

statements! {
    put: Write = "INSERT INTO %.feed (shard, hour, chat) VALUES (?, ?, ?) USING TIMESTAMP ?";
    scan: Read = "SELECT chat FROM %.feed WHERE shard = ? AND hour = ? AND chat > ? LIMIT ?";
    drop: Write = "DELETE FROM %.feed USING TIMESTAMP ? WHERE shard = ? AND hour = ?";
    hour_put: Write = "INSERT INTO %.feed_hours (list, hour) VALUES (0, ?) USING TIMESTAMP ?";
    hours_cut: Write = "DELETE FROM %.feed_hours USING TIMESTAMP ? WHERE list = 0 AND hour <= ?";
    hours: Read = "SELECT hour FROM %.feed_hours WHERE list = 0 AND hour >= ? LIMIT ?";
    newest: Read = "SELECT hour FROM %.feed_hours WHERE list = 0 ORDER BY hour DESC LIMIT 1";
}

/// Hours that this life has put on the list: the present one, and the one before.
pub(super) type FeedHours = DashSet<i64>;

/// No hour comes near the limit.
fn big(hour: FeedHour) -> i64 {
    i64::try_from(hour.0).unwrap_or(i64::MAX)
}

impl ScyllaStore {
    /// Puts the hour on the list, once a life and hour.
    async fn list_feed_hour(&self, hour: i64) -> Result<(), StoreError> {
        if self.feed_hours.contains(&hour) {
            return Ok(());
        }
        let values = (hour, self.db.stamp()?);
        self.db.write(&self.db.statements.feed.hour_put, values).await?;
        self.feed_hours.retain(|known| hour - *known <= 1);
        self.feed_hours.insert(hour);
        Ok(())
    }

    /// The hours with touches, from this one on, a page.
    async fn hours_of_feed(&self, from: i64) -> Result<Vec<i64>, StoreError> {
        let values = (from, FEED_HOURS_PAGE_ROWS);
        let answer = self.db.read(&self.db.statements.feed.hours, values).await?;
        let rows = answer.rows::<(i64,)>().map_err(unreadable)?;
        rows.map(|row| row.map(|(hour,)| hour).map_err(unreadable)).collect()
    }

    /// Touches of a shard in an hour behind a key, until there are `limit` in `found`.
    async fn touches_of(
        &self,
        (shard, hour): (i16, i64),
        mut behind: Vec<u8>,
        limit: usize,
        found: &mut Vec<Touched>,
    ) -> Result<(), StoreError> {
        while found.len() < limit {
            let page = i32::try_from(limit - found.len()).unwrap_or(SCAN_PAGE_ROWS);
            let page = page.min(SCAN_PAGE_ROWS);
            let values = (shard, hour, &behind, page);
            let answer = self.db.read(&self.db.statements.feed.scan, values).await?;
            let before = found.len();
            for row in answer.rows::<(&[u8],)>().map_err(unreadable)? {
                let (key,) = row.map_err(unreadable)?;
                let chat = ChatId(uuid::Uuid::from_slice(key).map_err(unreadable)?);
                found.push(Touched { hour: FeedHour(hour.unsigned_abs()), chat });
                behind = key.to_vec();
            }
            if found.len() - before < page as usize {
                break;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Feed for ScyllaStore {
    async fn touch(&self, chat: ChatId, hour: FeedHour) -> Result<(), StoreError> {
        self.list_feed_hour(big(hour)).await?;
        let shard = i16::from(FeedShard::of(chat).number());
        let values = (shard, big(hour), chat.0.as_bytes().as_slice(), self.db.stamp()?);
        self.db.write(&self.db.statements.feed.put, values).await
    }

    async fn changed(
        &self,
        shard: FeedShard,
        after: Option<Touched>,
        limit: usize,
    ) -> Result<Vec<Touched>, StoreError> {
        let shard = i16::from(shard.number());
        let mut from = after.map_or(0, |after| big(after.hour));
        let mut found = Vec::new();
        while found.len() < limit {
            let hours = self.hours_of_feed(from).await?;
            for hour in &hours {
                let behind = match after {
                    Some(after) if big(after.hour) == *hour => after.chat.0.as_bytes().to_vec(),
                    Some(_) | None => Vec::new(),
                };
                self.touches_of((shard, *hour), behind, limit, &mut found).await?;
                if found.len() >= limit {
                    break;
                }
            }
            match hours.last() {
                Some(last) if hours.len() >= FEED_HOURS_PAGE_ROWS as usize => from = last + 1,
                Some(_) | None => break,
            }
        }
        Ok(found)
    }

    async fn newest(&self) -> Result<Option<FeedHour>, StoreError> {
        let answer = self.db.read(&self.db.statements.feed.newest, ()).await?;
        let row = answer.maybe_first_row::<(i64,)>().map_err(unreadable)?;
        Ok(row.map(|(hour,)| FeedHour(hour.unsigned_abs())))
    }

    async fn remove_before(&self, before: FeedHour) -> Result<bool, StoreError> {
        let Some(newest) = Feed::newest(self).await? else { return Ok(false) };
        let end = big(newest.min(before));
        let hours = self.hours_of_feed(0).await?;
        let Some(oldest) = hours.first().copied().filter(|oldest| *oldest < end) else {
            return Ok(false);
        };
        for shard in FeedShard::all() {
            let values = (self.db.stamp()?, i16::from(shard.number()), oldest);
            self.db.write(&self.db.statements.feed.drop, values).await?;
        }
        // Of what was cut from the list one tombstone is left.
        self.db.write(&self.db.statements.feed.hours_cut, (self.db.stamp()?, oldest)).await?;
        Ok(true)
    }
}

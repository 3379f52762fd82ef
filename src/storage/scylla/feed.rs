//! Which chats have changed, by shard and period.
//!
//! Invariants: a period is on the list before it gets a touch; it is removed by whole partitions, when no
//! process touches a chat in it any more, and leaves the list after them.

use async_trait::async_trait;
use dashmap::DashSet;
use uuid::Uuid;

use crate::domain::ChatId;
use crate::storage::{
    Feed, FeedHour, FeedPage, FeedPeriod, FeedPoint, FeedShard, StoreError, Touched,
};

use super::ScyllaStore;
use super::errors::unreadable;
use super::limits::{FEED_PAGE_SLOTS, FEED_PERIODS_PAGE_ROWS, SCAN_PAGE_ROWS};
use super::statements::statements;

/// The step of the schema that makes the tables. What a release does not touch that does not know it,
/// who follows finds when it begins from nothing.
pub(super) const STEP: &str = "
-- Which chats may have changed, by a shard of theirs, the process and the hour since 1970. What is old is
-- removed by whole partitions.
CREATE TABLE IF NOT EXISTS feed (
    shard   smallint,
    process bigint,
    hour    bigint,
    chat    blob,
    PRIMARY KEY ((shard, process, hour), chat)
) WITH CLUSTERING ORDER BY (chat ASC);

-- The hours of processes of which there may be touches; `list` is always 0.
CREATE TABLE IF NOT EXISTS feed_periods (
    list    smallint,
    process bigint,
    hour    bigint,
    PRIMARY KEY ((list), process, hour)
) WITH CLUSTERING ORDER BY (process ASC, hour ASC);
";

statements! {
    put: Write = "INSERT INTO %.feed (shard, process, hour, chat) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    scan: Read = "SELECT chat FROM %.feed WHERE shard = ? AND process = ? AND hour = ? AND chat > ? LIMIT ?";
    drop: Write = "DELETE FROM %.feed USING TIMESTAMP ? WHERE shard = ? AND process = ? AND hour = ?";
    period_put: Write = "INSERT INTO %.feed_periods (list, process, hour) VALUES (0, ?, ?) USING TIMESTAMP ?";
    periods_cut: Write = "DELETE FROM %.feed_periods USING TIMESTAMP ? WHERE list = 0 AND process = ? AND hour <= ?";
    periods: Read = "SELECT process, hour FROM %.feed_periods WHERE list = 0 AND (process, hour) >= (?, ?) LIMIT ?";
}

/// Periods that this life has put on the list: the present one, and the one before.
pub(super) type FeedPeriods = DashSet<FeedPeriod>;

/// The columns `process` and `hour`; neither comes near the limit.
fn cells(period: FeedPeriod) -> (i64, i64) {
    let big = |n| i64::try_from(n).unwrap_or(i64::MAX);
    (big(period.process), big(period.hour.0))
}

impl ScyllaStore {
    /// Puts the period on the list, once a life.
    async fn list_feed_period(&self, period: FeedPeriod) -> Result<(), StoreError> {
        if self.feed_periods.contains(&period) {
            return Ok(());
        }
        let (process, hour) = cells(period);
        let values = (process, hour, self.db.stamp()?);
        self.db.write(&self.db.statements.feed.period_put, values).await?;
        self.feed_periods.retain(|known| known.next() == period);
        self.feed_periods.insert(period);
        Ok(())
    }

    /// The periods with touches, from this one on.
    async fn periods_of_feed(
        &self,
        from: FeedPeriod,
        limit: i32,
    ) -> Result<Vec<FeedPeriod>, StoreError> {
        let (process, hour) = cells(from);
        let answer = self.db.read(&self.db.statements.feed.periods, (process, hour, limit)).await?;
        let rows = answer.rows::<(i64, i64)>().map_err(unreadable)?;
        let period = |(process, hour): (i64, i64)| FeedPeriod {
            process: process.unsigned_abs(),
            hour: FeedHour(hour.unsigned_abs()),
        };
        rows.map(|row| row.map(period).map_err(unreadable)).collect()
    }

    /// Touches of a shard in a period behind a key, until there are `limit` in `found`.
    async fn touches_of(
        &self,
        (shard, period): (FeedShard, FeedPeriod),
        mut behind: Vec<u8>,
        limit: usize,
        found: &mut Vec<Touched>,
    ) -> Result<(), StoreError> {
        let (process, hour) = cells(period);
        while found.len() < limit {
            let page = i32::try_from(limit - found.len()).unwrap_or(SCAN_PAGE_ROWS);
            let page = page.min(SCAN_PAGE_ROWS);
            let values = (i16::from(shard.number()), process, hour, &behind, page);
            let answer = self.db.read(&self.db.statements.feed.scan, values).await?;
            let (mut rows, mut last) = (0, Vec::new());
            for row in answer.rows::<(&[u8],)>().map_err(unreadable)? {
                let (key,) = row.map_err(unreadable)?;
                match Uuid::from_slice(key) {
                    Ok(id) => found.push(Touched { period, chat: ChatId(id) }),
                    Err(_) => self.damaged_touches.note(shard, period, key),
                }
                (rows, last) = (rows + 1, key.to_vec());
            }
            if rows < page {
                break;
            }
            behind = last;
        }
        Ok(())
    }
}

#[async_trait]
impl Feed for ScyllaStore {
    async fn touch(&self, chat: ChatId, period: FeedPeriod) -> Result<(), StoreError> {
        self.list_feed_period(period).await?;
        let ((process, hour), shard) = (cells(period), i16::from(FeedShard::of(chat).number()));
        let values = (shard, process, hour, chat.0.as_bytes().as_slice(), self.db.stamp()?);
        self.db.write(&self.db.statements.feed.put, values).await
    }

    async fn changed(
        &self,
        shard: FeedShard,
        from: FeedPoint,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let limit = limit.max(1);
        let mut periods = self.periods_of_feed(from.period, FEED_PAGE_SLOTS + 1).await?;
        let further = periods.drain(periods.len().min(FEED_PAGE_SLOTS as usize)..).next();
        let mut touched = Vec::new();
        for period in periods {
            let after = from.after.filter(|_| period == from.period);
            let behind = after.map_or(Vec::new(), |chat| chat.0.as_bytes().to_vec());
            self.touches_of((shard, period), behind, limit, &mut touched).await?;
            if touched.len() >= limit {
                let next = touched.last().copied().map(FeedPoint::behind);
                return Ok(FeedPage { touched, next });
            }
        }
        Ok(FeedPage { touched, next: further.map(FeedPoint::begin) })
    }

    async fn periods(&self, from: FeedPeriod, limit: usize) -> Result<Vec<FeedPeriod>, StoreError> {
        let (mut from, mut found) = (from, Vec::new());
        while found.len() < limit {
            let page = i32::try_from(limit - found.len()).unwrap_or(FEED_PERIODS_PAGE_ROWS);
            let page = page.min(FEED_PERIODS_PAGE_ROWS);
            let periods = self.periods_of_feed(from, page).await?;
            found.extend(&periods);
            match periods.last().filter(|_| periods.len() >= page as usize) {
                Some(last) => from = last.next(),
                None => break,
            }
        }
        Ok(found)
    }

    async fn remove_before(&self, before: FeedPeriod) -> Result<bool, StoreError> {
        let oldest = self.periods_of_feed(FeedPeriod::FIRST, 1).await?;
        let Some(oldest) = oldest.into_iter().next().filter(|oldest| *oldest < before) else {
            return Ok(false);
        };
        let (process, hour) = cells(oldest);
        for shard in FeedShard::all() {
            let values = (self.db.stamp()?, i16::from(shard.number()), process, hour);
            self.db.write(&self.db.statements.feed.drop, values).await?;
        }
        // Of what was cut from the list one tombstone a process is left.
        let values = (self.db.stamp()?, process, hour);
        self.db.write(&self.db.statements.feed.periods_cut, values).await?;
        // Who touches a chat in it all the same puts it on the list again.
        let cut = |known: &FeedPeriod| known.process == oldest.process && *known <= oldest;
        self.feed_periods.retain(|known| !cut(known));
        Ok(true)
    }
}

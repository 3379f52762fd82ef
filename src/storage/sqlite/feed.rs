//! Which chats have changed.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::domain::ChatId;
use crate::storage::feed::DamagedTouches;
use crate::storage::{
    Feed, FeedHour, FeedPage, FeedPeriod, FeedPoint, FeedShard, StoreError, Touched,
};

use super::SqliteStore;
use super::sql::{ReadError, clamp, count, execute};

/// The migration that makes the table.
pub(super) const MIGRATION: &str = "
-- Which chats may have changed, by shard, process and hour since 1970. All of it is old in a fortnight.
CREATE TABLE feed (
    shard   INTEGER NOT NULL,
    process INTEGER NOT NULL,
    hour    INTEGER NOT NULL,
    chat    BLOB    NOT NULL,
    PRIMARY KEY (shard, process, hour, chat)
) STRICT, WITHOUT ROWID;
";

/// Touches of a shard removed within one batch: some ms, between which the writes that wait are taken.
const SLICE: usize = 1_000;

#[async_trait]
impl Feed for SqliteStore {
    async fn touch(&self, chat: ChatId, period: FeedPeriod) -> Result<(), StoreError> {
        self.write(move |connection| touch(connection, chat, period).map(Ok)).await
    }

    async fn changed(
        &self,
        shard: FeedShard,
        from: FeedPoint,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let damaged = std::sync::Arc::clone(&self.damaged_touches);
        self.readers.read(move |connection| changed(connection, shard, from, limit, &damaged)).await
    }

    async fn periods(&self, from: FeedPeriod, limit: usize) -> Result<Vec<FeedPeriod>, StoreError> {
        self.readers.read(move |connection| Ok(periods(connection, from, limit)?)).await
    }

    async fn remove_before(&self, before: FeedPeriod) -> Result<bool, StoreError> {
        self.write(move |connection| remove_before(connection, before).map(Ok)).await
    }
}

/// The columns `process` and `hour`.
fn cells(period: FeedPeriod) -> (i64, i64) {
    (clamp(period.process), clamp(period.hour.0))
}

fn period((process, hour): (i64, i64)) -> FeedPeriod {
    FeedPeriod { process: process.unsigned_abs(), hour: FeedHour(hour.unsigned_abs()) }
}

pub(super) fn touch(
    connection: &Connection,
    chat: ChatId,
    period: FeedPeriod,
) -> rusqlite::Result<()> {
    let text = "INSERT OR IGNORE INTO feed (shard, process, hour, chat) VALUES (?, ?, ?, ?)";
    let (process, hour) = cells(period);
    let shard = FeedShard::of(chat).number();
    execute(connection, text, (shard, process, hour, chat.0.as_bytes()))
}

fn changed(
    connection: &Connection,
    shard: FeedShard,
    from: FeedPoint,
    limit: usize,
    damaged: &DamagedTouches,
) -> Result<FeedPage, ReadError> {
    let ((process, hour), limit) = (cells(from.period), limit.max(1));
    // Every id comes after the empty key.
    let chat = from.after.map_or(Vec::new(), |chat| chat.0.as_bytes().to_vec());
    let mut statement = connection.prepare_cached(
        "SELECT process, hour, chat FROM feed \
         WHERE shard = ? AND (process, hour, chat) > (?, ?, ?) ORDER BY process, hour, chat",
    )?;
    let mut rows = statement.query((shard.number(), process, hour, chat))?;
    let mut touched = Vec::new();
    while let Some(row) = rows.next()? {
        let period = period((row.get(0)?, row.get(1)?));
        let key = row.get_ref(2)?.as_blob().unwrap_or_default();
        match Uuid::from_slice(key) {
            Ok(id) => touched.push(Touched { period, chat: ChatId(id) }),
            Err(_) => damaged.note(shard, period, key),
        }
        if touched.len() >= limit {
            let next = touched.last().copied().map(FeedPoint::behind);
            return Ok(FeedPage { touched, next });
        }
    }
    Ok(FeedPage { touched, next: None })
}

/// From one to the next, each time over all shards, as the table is ordered by them first.
fn periods(
    connection: &Connection,
    from: FeedPeriod,
    limit: usize,
) -> rusqlite::Result<Vec<FeedPeriod>> {
    let mut statement = connection.prepare_cached(
        "SELECT process, hour FROM feed WHERE shard = ? AND (process, hour) >= (?, ?) \
         ORDER BY process, hour LIMIT 1",
    )?;
    let (mut from, mut found) = (from, Vec::new());
    while found.len() < limit {
        let (process, hour) = cells(from);
        let mut first: Option<FeedPeriod> = None;
        for shard in FeedShard::all() {
            let of_shard = statement
                .query_row((shard.number(), process, hour), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?
                .map(period);
            first = first.into_iter().chain(of_shard).min();
        }
        let Some(period) = first else { break };
        found.push(period);
        from = period.next();
    }
    Ok(found)
}

fn remove_before(connection: &Connection, before: FeedPeriod) -> rusqlite::Result<bool> {
    let (process, hour) = cells(before);
    for shard in FeedShard::all() {
        let last = connection
            .prepare_cached(
                "SELECT process, hour, chat FROM feed WHERE shard = ? AND (process, hour) < (?, ?) \
                 ORDER BY process, hour, chat LIMIT 1 OFFSET ?",
            )?
            .query_row((shard.number(), process, hour, count(SLICE - 1)), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
            })
            .optional()?;
        match last {
            None => {
                let text = "DELETE FROM feed WHERE shard = ? AND (process, hour) < (?, ?)";
                execute(connection, text, (shard.number(), process, hour))?;
            }
            Some((process, hour, chat)) => {
                let text =
                    "DELETE FROM feed WHERE shard = ? AND (process, hour, chat) <= (?, ?, ?)";
                execute(connection, text, (shard.number(), process, hour, chat))?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touch_that_names_no_chat_is_passed_over_and_goes_with_the_others() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MIGRATION).unwrap();
        let shard = FeedShard::of(ChatId::from_u128(0));
        let at = |hour| FeedPeriod { process: 1, hour: FeedHour(hour) };
        for n in 0..3 {
            touch(&connection, ChatId::from_u128(n << 8), at(5)).unwrap();
        }
        for key in [&b"short"[..], &[0; 17], b""] {
            let text = "INSERT INTO feed (shard, process, hour, chat) VALUES (?, 1, 5, ?)";
            connection.execute(text, (shard.number(), key)).unwrap();
        }
        touch(&connection, ChatId::from_u128(0), at(6)).unwrap();
        let damaged = DamagedTouches::default();
        for limit in 1..6 {
            let (mut from, mut found) = (Some(FeedPoint::begin(FeedPeriod::FIRST)), Vec::new());
            while let Some(point) = from {
                let page = changed(&connection, shard, point, limit, &damaged).unwrap();
                found.extend(page.touched.iter().map(|touched| touched.chat.0.as_u128() >> 8));
                from = page.next;
            }
            assert_eq!(found, [0, 1, 2, 0], "{limit} a page");
        }
        assert_eq!(damaged.count(), 3, "each once");
        remove_before(&connection, at(6)).unwrap();
        let left: i64 =
            connection.query_row("SELECT count(*) FROM feed", (), |row| row.get(0)).unwrap();
        assert_eq!(left, 1);
    }
}

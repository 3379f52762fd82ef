//! Which chats have changed.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::domain::ChatId;
use crate::storage::{Feed, FeedHour, FeedShard, StoreError, Touched};

use super::SqliteStore;
use super::sql::{ReadError, clamp, count, execute, id};

/// The migration that makes the table.
pub(super) const MIGRATION: &str = "
-- Which chats may have changed, by shard and hour since 1970. All of it is old in a fortnight.
CREATE TABLE feed (
    shard INTEGER NOT NULL,
    hour  INTEGER NOT NULL,
    chat  BLOB    NOT NULL,
    PRIMARY KEY (shard, hour, chat)
) STRICT, WITHOUT ROWID;
";

/// Touches of a shard removed within one batch: some ms, between which the writes that wait are taken.
const SLICE: usize = 1_000;

#[async_trait]
impl Feed for SqliteStore {
    async fn touch(&self, chat: ChatId, hour: FeedHour) -> Result<(), StoreError> {
        self.write(move |connection| touch(connection, chat, hour).map(Ok)).await
    }

    async fn changed(
        &self,
        shard: FeedShard,
        after: Option<Touched>,
        limit: usize,
    ) -> Result<Vec<Touched>, StoreError> {
        self.readers.read(move |connection| changed(connection, shard, after, limit)).await
    }

    async fn newest(&self) -> Result<Option<FeedHour>, StoreError> {
        self.readers.read(|connection| Ok(newest(connection)?)).await
    }

    async fn remove_before(&self, before: FeedHour) -> Result<bool, StoreError> {
        self.write(move |connection| remove_before(connection, before).map(Ok)).await
    }
}

fn touch(connection: &Connection, chat: ChatId, hour: FeedHour) -> rusqlite::Result<()> {
    let text = "INSERT OR IGNORE INTO feed (shard, hour, chat) VALUES (?, ?, ?)";
    let shard = FeedShard::of(chat).number();
    execute(connection, text, (shard, clamp(hour.0), chat.0.as_bytes()))
}

fn changed(
    connection: &Connection,
    shard: FeedShard,
    after: Option<Touched>,
    limit: usize,
) -> Result<Vec<Touched>, ReadError> {
    // Every id comes after the empty key.
    let (hour, chat) = match after {
        Some(Touched { hour, chat }) => (clamp(hour.0), chat.0.as_bytes().to_vec()),
        None => (0, Vec::new()),
    };
    let mut statement = connection.prepare_cached(
        "SELECT hour, chat FROM feed WHERE shard = ? AND (hour, chat) > (?, ?) \
         ORDER BY hour, chat LIMIT ?",
    )?;
    let rows = statement.query_map((shard.number(), hour, chat, count(limit)), |row| {
        Ok(Touched { hour: FeedHour(row.get(0)?), chat: ChatId(id(row, 1)?) })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// By shard, as the table is ordered by it first.
fn newest(connection: &Connection) -> rusqlite::Result<Option<FeedHour>> {
    let mut statement = connection.prepare_cached("SELECT max(hour) FROM feed WHERE shard = ?")?;
    let mut newest = None;
    for shard in FeedShard::all() {
        let of_shard: Option<u64> = statement.query_row([shard.number()], |row| row.get(0))?;
        newest = newest.max(of_shard);
    }
    Ok(newest.map(FeedHour))
}

fn remove_before(connection: &Connection, before: FeedHour) -> rusqlite::Result<bool> {
    let Some(newest) = newest(connection)? else { return Ok(false) };
    let end = clamp(newest.min(before).0);
    for shard in FeedShard::all() {
        let last = connection
            .prepare_cached(
                "SELECT hour, chat FROM feed WHERE shard = ? AND hour < ? \
                 ORDER BY hour, chat LIMIT 1 OFFSET ?",
            )?
            .query_row((shard.number(), end, count(SLICE - 1)), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
            })
            .optional()?;
        match last {
            None => {
                let text = "DELETE FROM feed WHERE shard = ? AND hour < ?";
                execute(connection, text, (shard.number(), end))?;
            }
            Some((hour, chat)) => {
                let text = "DELETE FROM feed WHERE shard = ? AND (hour, chat) <= (?, ?)";
                execute(connection, text, (shard.number(), hour, chat))?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

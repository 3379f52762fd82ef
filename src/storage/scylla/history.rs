//! The history: the rows of each list by a part of its time, an hour of the list of all and a day of the
//! others; a customer's are one part.
//!
//! Beside the lists stands of each chat on which of them it is, for whoever removes it. A list has a list
//! of its parts; a part that is found empty is deleted whole and leaves it, so that nobody reads again
//! over what was removed there.
//!
//! Invariants: all writes of one put have the timestamp of its beginning. A chat's places are written
//! before its rows, and a removal takes its timestamp after it has read the places, and removes those and
//! no others: so a row of a put that began before goes, whenever it lands, and one that is left has its
//! place. A part is on its list before it gets a row, and leaves the list while nobody of this process
//! puts. What was given up is put again by whoever gave it up.

use async_trait::async_trait;
use dashmap::DashSet;
use futures_util::future::try_join_all;
use tokio::sync::RwLock;

use crate::domain::{ChatId, Timestamp};
use crate::storage::history::{DamagedHistory, HistoryBound, NO_CHAT, chat_of, stored};
use crate::storage::{
    Cursor, History, HistoryOf, HistoryOrder, HistoryPlace, HistoryPoint, HistoryQuery, HistoryRow,
    HistoryRows, Page, StoreError, record,
};

use super::ScyllaStore;
use super::cql::PartError;
use super::errors::unreadable;
use super::history_spans::{Pieces, Span, end_of, part_ms, part_of};
use super::limits::{DAYS_KNOWN_MAX, HISTORY_PARTS_MAX, HISTORY_READS_MAX, SCAN_PAGE_ROWS};
use super::statements::statements;

/// The step of the schema that makes the tables. A release that does not know it writes no rows; whoever
/// follows the feed begins from nothing when one was here.
pub(super) const STEP: &str = "
-- What is known of every chat, by a list that it is on and a part of the time when it was opened. All of
-- it follows from the logs.
CREATE TABLE IF NOT EXISTS history (
    list    blob,
    part    bigint,
    started bigint,
    chat    blob,
    record  blob,
    PRIMARY KEY ((list, part), started, chat)
) WITH CLUSTERING ORDER BY (started ASC, chat ASC);

-- The parts of a list of which there may be rows.
CREATE TABLE IF NOT EXISTS history_parts (
    list blob,
    part bigint,
    PRIMARY KEY ((list), part)
) WITH CLUSTERING ORDER BY (part ASC);

-- Where a chat may be on which lists.
CREATE TABLE IF NOT EXISTS history_lists_of (
    chat    blob,
    list    blob,
    started bigint,
    PRIMARY KEY ((chat), list, started)
) WITH CLUSTERING ORDER BY (list ASC, started ASC);
";

statements! {
    put: Write = "INSERT INTO %.history (list, part, started, chat, record) \
        VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    remove: Write = "DELETE FROM %.history USING TIMESTAMP ? \
        WHERE list = ? AND part = ? AND started = ? AND chat = ?";
    drop: Write = "DELETE FROM %.history USING TIMESTAMP ? WHERE list = ? AND part = ?";
    oldest: Read = "SELECT started, chat, record FROM %.history WHERE list = ? AND part = ? \
        AND (started, chat) > (?, ?) AND (started, chat) < (?, ?) LIMIT ?";
    newest: Read = "SELECT started, chat, record FROM %.history WHERE list = ? AND part = ? \
        AND (started, chat) > (?, ?) AND (started, chat) < (?, ?) \
        ORDER BY started DESC, chat DESC LIMIT ?";
    part_put: Write = "INSERT INTO %.history_parts (list, part) VALUES (?, ?) USING TIMESTAMP ?";
    part_drop: Write = "DELETE FROM %.history_parts USING TIMESTAMP ? \
        WHERE list = ? AND part = ?";
    parts_drop: Write = "DELETE FROM %.history_parts USING TIMESTAMP ? \
        WHERE list = ? AND part <= ?";
    oldest_parts: Read = "SELECT part FROM %.history_parts \
        WHERE list = ? AND part >= ? AND part <= ? LIMIT ?";
    newest_parts: Read = "SELECT part FROM %.history_parts \
        WHERE list = ? AND part >= ? AND part <= ? ORDER BY part DESC LIMIT ?";
    place_put: Write = "INSERT INTO %.history_lists_of (chat, list, started) VALUES (?, ?, ?) \
        USING TIMESTAMP ?";
    place_remove: Write = "DELETE FROM %.history_lists_of USING TIMESTAMP ? \
        WHERE chat = ? AND list = ? AND started = ?";
    row: Read = "SELECT record FROM %.history \
        WHERE list = ? AND part = ? AND started = ? AND chat = ?";
    places: Read = "SELECT list, started FROM %.history_lists_of WHERE chat = ?";
    chats: Read = "SELECT DISTINCT token(chat), chat FROM %.history_lists_of \
        WHERE token(chat) >= ? AND token(chat) <= ? LIMIT ?";
}

/// The parts that this life has put on their lists.
#[derive(Default)]
pub(super) struct HistoryParts {
    listed: DashSet<(Vec<u8>, i64)>,
    /// Held shared while rows are put, alone while a part is taken off its list.
    writing: RwLock<()>,
    damaged: DamagedHistory,
}

/// What is read of a list, and how much of what may be.
struct Reading<'a> {
    query: &'a HistoryQuery,
    page: HistoryRows,
    rows: usize,
    reads: usize,
}

#[async_trait]
impl History for ScyllaStore {
    async fn put(&self, row: HistoryRow) -> Result<(), StoreError> {
        let sealed = record::encode_history(&row)?;
        if self.history_parts.listed.len() >= DAYS_KNOWN_MAX {
            self.history_parts.listed.clear();
        }
        let _shared = self.history_parts.writing.read().await;
        let stamp = self.db.stamp()?;
        let (started, chat) = (stored(row.started), row.chat.0.as_bytes().as_slice());
        let lists: Vec<_> = row.lists().map(HistoryOf::key).collect();
        let listed = lists.iter().map(|list| self.list_history_part(list, part_of(list, started)));
        try_join_all(listed).await?;
        let statements = &self.db.statements.history;
        let places = lists.iter().map(|list| (&statements.place_put, (chat, list, started, stamp)));
        self.db.write_all(places.collect()).await?;
        let rows = lists.iter().map(|list| {
            let values = (list, part_of(list, started), started, chat, &sealed, stamp);
            self.db.write(&statements.put, values)
        });
        try_join_all(rows).await.map(drop)
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        let places = self.history_places(chat).await?;
        let (statements, chat) = (&self.db.statements.history, chat.0.as_bytes().as_slice());
        if places.is_empty() {
            return Ok(());
        }
        let stamp = self.db.stamp()?;
        let rows = places.iter().map(|(list, started)| {
            let values = (stamp, list, part_of(list, *started), *started, chat);
            self.db.write(&statements.remove, values)
        });
        try_join_all(rows).await?;
        let places = places
            .iter()
            .map(|(list, started)| (&statements.place_remove, (stamp, chat, list, *started)));
        self.db.write_all(places.collect()).await
    }

    async fn list(&self, query: HistoryQuery) -> Result<HistoryRows, StoreError> {
        let page = HistoryRows { rows: Vec::new(), next: None };
        let Some((low, high)) = query.bounds() else { return Ok(page) };
        let list = query.of.key();
        let mut reading = Reading { query: &query, page, rows: 0, reads: 0 };
        // Before all chats of its time nothing is of that time.
        let end = high.started - i64::from(high.chat.is_empty());
        let (first, last) = (part_of(&list, low.started), part_of(&list, end));
        // One more tells whether there are more.
        let mut parts = self.listed_parts(&list, (first, last), query.order).await?;
        let more = parts.len() > HISTORY_PARTS_MAX;
        parts.truncate(HISTORY_PARTS_MAX);
        for part in &parts {
            let span = Span::within(&list, *part, (&low, &high));
            if let Some(next) = self.read_history(span, &mut reading).await? {
                reading.page.next = Some(next);
                return Ok(reading.page);
            }
        }
        reading.page.next =
            parts.last().filter(|_| more).map(|part| end_of(&list, *part, query.order));
        Ok(reading.page)
    }

    async fn places(&self, chat: ChatId) -> Result<Vec<HistoryPlace>, StoreError> {
        let places = self.history_places(chat).await?;
        let found = places.iter().map(async |(list, started)| {
            let key = (list, part_of(list, *started), *started, chat.0.as_bytes().as_slice());
            let answer = self.db.read(&self.db.statements.history.row, key).await?;
            let row = answer.maybe_first_row::<(Option<Vec<u8>>,)>().map_err(unreadable)?;
            let started = Timestamp(started.unsigned_abs());
            let place = HistoryPoint { started, chat };
            let decoded =
                row.map(|(sealed,)| record::decode_history(place, &sealed.unwrap_or_default()));
            let row = decoded.transpose().map_err(|error| error.to_string());
            Ok(HistoryPlace { list: HistoryOf::of_key(list), started, row })
        });
        try_join_all(found).await
    }

    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let statement = &self.db.statements.history.chats;
        let keys = self.keys(statement, at, limit, |row: &(i64, Vec<u8>)| row.0).await?;
        // What is no chat's key names none that could be taken out.
        let chat = |(_, key): &(i64, Vec<u8>)| chat_of(key);
        Ok(Page { items: keys.items.iter().filter_map(chat).collect(), next: keys.next })
    }
}

impl ScyllaStore {
    /// The lists on which a chat may be, as they are stored, and the times by which it is there.
    async fn history_places(&self, chat: ChatId) -> Result<Vec<(Vec<u8>, i64)>, StoreError> {
        let chat = chat.0.as_bytes().as_slice();
        let answer = self.db.read(&self.db.statements.history.places, (chat,)).await?;
        let rows = answer.rows::<(Vec<u8>, i64)>().map_err(unreadable)?;
        rows.collect::<Result<_, _>>().map_err(unreadable)
    }

    /// Puts the part on its list, once a life.
    async fn list_history_part(&self, list: &[u8], part: i64) -> Result<(), StoreError> {
        if part_ms(list).is_none() {
            return Ok(());
        }
        let known = (list.to_vec(), part);
        if !self.history_parts.listed.contains(&known) {
            let values = (list, part, self.db.stamp()?);
            self.db.write(&self.db.statements.history.part_put, values).await?;
            self.history_parts.listed.insert(known);
        }
        Ok(())
    }

    /// The parts of a list from one to another in the order asked for; one more than a page visits.
    async fn listed_parts(
        &self,
        list: &[u8],
        (first, last): (i64, i64),
        order: HistoryOrder,
    ) -> Result<Vec<i64>, StoreError> {
        if part_ms(list).is_none() {
            return Ok(vec![0]);
        }
        let statements = &self.db.statements.history;
        let statement = match order {
            HistoryOrder::OldestFirst => &statements.oldest_parts,
            HistoryOrder::NewestFirst => &statements.newest_parts,
        };
        let limit = i32::try_from(HISTORY_PARTS_MAX + 1).unwrap_or(i32::MAX);
        let answer = self.db.read(statement, (list, first, last, limit)).await?;
        let rows = answer.rows::<(i64,)>().map_err(unreadable)?;
        rows.map(|row| row.map(|(part,)| part).map_err(unreadable)).collect()
    }

    /// Reads a part of a list. Answers where the page ends, if it does. What the server refuses to read at
    /// once, for all that was removed there, is read in halves.
    async fn read_history(
        &self,
        span: Span<'_>,
        reading: &mut Reading<'_>,
    ) -> Result<Option<HistoryPoint>, StoreError> {
        let (query, had) = (reading.query, reading.rows);
        let mut pieces = Pieces::of(span.clone(), query.order);
        while let Some(piece) = pieces.next() {
            let left = query.rows() - reading.rows;
            if left == 0 || reading.reads >= HISTORY_READS_MAX {
                return Ok(Some(pieces.place()));
            }
            reading.reads += 1;
            let asked = i32::try_from(left).unwrap_or(SCAN_PAGE_ROWS).min(SCAN_PAGE_ROWS);
            match self.history_between(&piece, asked, reading).await {
                Ok(last) => pieces.read(piece, last),
                Err(PartError::TooMuch(error)) => {
                    if !pieces.refused(&piece) {
                        return Err(error);
                    }
                }
                Err(PartError::Store(error)) => return Err(error),
            }
        }
        if reading.rows == had && span.is_whole {
            self.drop_history_part(&span).await?;
        }
        Ok(None)
    }

    /// Reads rows between bounds. Answers where the last one was when there may be more.
    async fn history_between(
        &self,
        span: &Span<'_>,
        limit: i32,
        reading: &mut Reading<'_>,
    ) -> Result<Option<HistoryBound>, PartError> {
        let statements = &self.db.statements.history;
        let statement = match reading.query.order {
            HistoryOrder::OldestFirst => &statements.oldest,
            HistoryOrder::NewestFirst => &statements.newest,
        };
        let (low, high) = (&span.low, &span.high);
        let (from, to) = ((low.started, &low.chat), (high.started, &high.chat));
        let values = (span.list, span.part, from.0, from.1, to.0, to.1, limit);
        let answer = self.db.read_part(statement, values).await?;
        let rows = answer.rows::<(i64, &[u8], Option<&[u8]>)>().map_err(broken)?;
        let (mut read, mut last) = (0, None);
        for row in rows {
            let (started, key, sealed) = row.map_err(broken)?;
            let place = chat_of(key)
                .map(|chat| HistoryPoint { started: Timestamp(started.unsigned_abs()), chat });
            let sealed = sealed.unwrap_or_default();
            match place.map(|place| record::decode_history(place, sealed)) {
                Some(Ok(row)) => reading.page.rows.push(row),
                Some(Err(error)) => self.history_parts.damaged.note(key, &error),
                None => self.history_parts.damaged.note(key, &NO_CHAT),
            }
            (read, last) = (read + 1, Some(HistoryBound { started, chat: key.to_vec() }));
        }
        reading.rows += usize::try_from(read).unwrap_or(usize::MAX);
        Ok(last.filter(|_| read >= limit))
    }

    /// Deletes the part and takes it off its list unless it got a row meanwhile.
    async fn drop_history_part(&self, span: &Span<'_>) -> Result<(), StoreError> {
        let _alone = self.history_parts.writing.write().await;
        let (list, part) = (span.list, span.part);
        let query = HistoryQuery {
            of: HistoryOf::All,
            from: Timestamp(0),
            to: Timestamp(u64::MAX),
            order: HistoryOrder::OldestFirst,
            after: None,
            limit: 1,
        };
        let page = HistoryRows { rows: Vec::new(), next: None };
        let mut reading = Reading { query: &query, page, rows: 0, reads: 0 };
        match self.history_between(span, 1, &mut reading).await {
            Ok(_) if reading.rows == 0 => {}
            // What is too much to be looked at is dropped when it has been compacted.
            Ok(_) | Err(PartError::TooMuch(_)) => return Ok(()),
            Err(PartError::Store(error)) => return Err(error),
        }
        // Whoever comes next lists it again, whatever becomes of this.
        self.history_parts.listed.remove(&(list.to_vec(), part));
        let (statements, stamp) = (&self.db.statements.history, self.db.stamp()?);
        self.db.write(&statements.drop, (stamp, list, part)).await?;
        // Of a list's first parts one tombstone is left, and not one each.
        let before = self.listed_parts(list, (0, part), HistoryOrder::OldestFirst).await?;
        let is_first = before.first() == Some(&part);
        let drop = if is_first { &statements.parts_drop } else { &statements.part_drop };
        self.db.write(drop, (stamp, list, part)).await
    }
}

fn broken(error: impl std::fmt::Display) -> PartError {
    PartError::Store(unreadable(error))
}

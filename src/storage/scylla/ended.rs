//! The chats that have ended, by channel and the day in their ids.
//!
//! A channel's list names the days that are not known to be empty. A removed row leaves a tombstone,
//! so a day that is found empty is deleted whole and leaves the list: then nobody reads its tombstones
//! again. Until then its removals are tallied, and a crowded day is read by the minute.
//!
//! Invariants: a day is on the list before it gets a row; it leaves the list only while nobody of this
//! process writes to it, nor has given up a write to it; each life lists again what it writes to, since a dead one's removal may still
//! be under way. A tally stands before the removals that it counts.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dashmap::DashMap;
use futures_util::future::try_join_all;
use tokio::sync::RwLock;

use crate::domain::{ChannelId, ChatId, Timestamp};
use crate::storage::{EndedChat, EndedChats, EndedRow, StoreError, record};

use super::ScyllaStore;
use super::errors::unreadable;
use super::limits::{
    CROWDED_TALLIES, DAY_MS, DAYS_KNOWN_MAX, DAYS_PAGE_ROWS, MINUTE_MS, SCAN_AT_ONCE,
    SCAN_PAGE_ROWS, TALLIED_REMOVALS,
};
use super::slices::{END, key_at};
use super::statements::statements;

statements! {
    put: Write = "INSERT INTO %.ended_chats (channel, day, chat, record) VALUES (?, ?, ?, ?) \
        USING TIMESTAMP ?";
    remove: Write = "DELETE FROM %.ended_chats USING TIMESTAMP ? \
        WHERE channel = ? AND day = ? AND chat = ?";
    scan: Read = "SELECT chat, record FROM %.ended_chats \
        WHERE channel = ? AND day = ? AND chat > ? AND chat < ? LIMIT ?";
    day_put: Write = "INSERT INTO %.ended_days (channel, day) VALUES (?, ?) USING TIMESTAMP ?";
    drop: Write = "DELETE FROM %.ended_chats USING TIMESTAMP ? WHERE channel = ? AND day = ?";
    day_drop: Write = "DELETE FROM %.ended_days USING TIMESTAMP ? \
        WHERE channel = ? AND day = ?";
    days_drop: Write = "DELETE FROM %.ended_days USING TIMESTAMP ? \
        WHERE channel = ? AND day <= ?";
    days: Read = "SELECT day FROM %.ended_days WHERE channel = ? AND day >= ? AND day <= ? \
        LIMIT ?";
    tally_put: Write = "INSERT INTO %.ended_tallies (channel, day, at) VALUES (?, ?, ?) \
        USING TIMESTAMP ?";
    tally_drop: Write = "DELETE FROM %.ended_tallies USING TIMESTAMP ? \
        WHERE channel = ? AND day = ?";
    tallies: Read = "SELECT at FROM %.ended_tallies WHERE channel = ? AND day = ? LIMIT ?";
}

/// Minutes of a day.
const MINUTES: u64 = DAY_MS / MINUTE_MS;

/// The days that this life has to do with.
#[derive(Default)]
pub(super) struct EndedDays {
    known: DashMap<(ChannelId, i64), Arc<Day>>,
    /// Too many were doubtful to remember which: now each is.
    all_doubtful: AtomicBool,
    /// Held shared while rows are written, alone while a day is taken off a list.
    writing: RwLock<()>,
}

/// A day of a channel as this life knows it.
#[derive(Default)]
struct Day {
    /// Whether this life has put it on the list.
    listed: AtomicBool,
    tally: tokio::sync::Mutex<Tally>,
    minutes: Mutex<Minutes>,
}

/// The removals of a day.
#[derive(Default)]
struct Tally {
    /// By this life.
    removed: u64,
    /// Tallies that are written, as far as they matter; none before they were read.
    written: Option<usize>,
}

/// The minutes of a crowded day that were found empty: a scan that comes by again passes them over.
#[derive(Default)]
struct Minutes {
    empty: MinuteSet,
    /// Those of puts whose outcome nobody knows: a row may land in one at any time, so that this life never
    /// takes it for empty.
    doubtful: MinuteSet,
    /// How often a put was begun or ended.
    changes: u64,
}

/// Some minutes of a day.
#[derive(Default)]
struct MinuteSet([u64; MINUTES.div_ceil(64) as usize]);

impl MinuteSet {
    fn has(&self, minute: u64) -> bool {
        self.0.get((minute / 64) as usize).is_some_and(|word| word & (1 << (minute % 64)) != 0)
    }

    fn set(&mut self, minute: u64, to: bool) {
        if let Some(word) = self.0.get_mut((minute / 64) as usize) {
            let bit = 1 << (minute % 64);
            *word = if to { *word | bit } else { *word & !bit };
        }
    }
}

/// A put that is under way. One that is dropped has an outcome that nobody knows.
struct Put<'a> {
    day: &'a Day,
    minute: u64,
    is_known: bool,
}

impl Drop for Put<'_> {
    fn drop(&mut self) {
        self.day.minutes(|minutes| {
            minutes.changes += 1;
            // Whoever has read since it was begun may not have seen it.
            minutes.empty.set(self.minute, false);
            if !self.is_known {
                minutes.doubtful.set(self.minute, true);
            }
        });
    }
}

impl EndedDays {
    /// What this life knows of the day.
    fn day(&self, channel: ChannelId, day: i64) -> Arc<Day> {
        let new = || {
            let day = Day::default();
            if self.all_doubtful.load(Relaxed) {
                day.minutes(|minutes| minutes.doubtful = MinuteSet([u64::MAX; _]));
            }
            Arc::new(day)
        };
        Arc::clone(&self.known.entry((channel, day)).or_insert_with(new))
    }

    /// Begins to know days anew, but for the doubtful ones. Called while nobody writes rows.
    fn make_room(&self, most: usize) {
        if !self.all_doubtful.load(Relaxed) {
            self.known.retain(|_, day| day.is_doubtful());
            if self.known.len() <= most / 2 {
                return;
            }
            // What this life cannot remember it must not take for empty, and it reads on.
            self.all_doubtful.store(true, Relaxed);
            tracing::warn!(
                doubtful_days = self.known.len(),
                "so many rows of ended chats were given up that until the next start no day of them is \
                 taken for empty"
            );
        }
        self.known.clear();
    }
}

impl Day {
    fn minutes<T>(&self, work: impl FnOnce(&mut Minutes) -> T) -> T {
        work(&mut self.minutes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A row of this chat is about to be put.
    fn begin_put(&self, chat: ChatId) -> Put<'_> {
        let minute = chat.made_at().0 % DAY_MS / MINUTE_MS;
        self.minutes(|minutes| {
            minutes.changes += 1;
            minutes.empty.set(minute, false);
        });
        Put { day: self, minute, is_known: false }
    }

    /// Whether there was a put whose outcome nobody knows.
    fn is_doubtful(&self) -> bool {
        self.minutes(|minutes| minutes.doubtful.0.iter().any(|word| *word != 0))
    }

    /// The minutes that are not known to be empty, and the state of things.
    fn to_read(&self) -> (Vec<u64>, u64) {
        self.minutes(|minutes| {
            let unknown = (0..MINUTES).filter(|minute| !minutes.empty.has(*minute));
            (unknown.collect(), minutes.changes)
        })
    }

    /// The minute was read whole and had no rows; `seen` is the state of things before.
    fn found_empty(&self, minute: u64, seen: u64) {
        self.minutes(|minutes| {
            if minutes.changes == seen && !minutes.doubtful.has(minute) {
                minutes.empty.set(minute, true);
            }
        });
    }
}

/// What a scan wants of a day: rows behind the first key and before the second one, so many at most.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    behind: &'a [u8],
    before: &'a [u8],
    limit: usize,
}

fn day_of(chat: ChatId) -> i64 {
    i64::try_from(chat.made_at().0 / DAY_MS).unwrap_or(i64::MAX)
}

#[async_trait]
impl EndedChats for ScyllaStore {
    async fn put(&self, ended: EndedChat) -> Result<(), StoreError> {
        let sealed = record::encode_ended_chat(&ended)?;
        let (channel, day) = (ended.customer.channel, day_of(ended.chat));
        self.make_room().await;
        let _shared = self.ended_days.writing.read().await;
        let known = self.day(channel, day);
        self.list_day(channel, day, &known).await?;
        let mut put = known.begin_put(ended.chat);
        let chat = ended.chat.0.as_bytes().as_slice();
        let values = (channel.0, day, chat, sealed, self.db.stamp()?);
        let written = self.db.write(&self.db.statements.ended.put, values).await;
        put.is_known = written.is_ok();
        written
    }

    async fn remove(&self, channel: ChannelId, chat: ChatId) -> Result<(), StoreError> {
        let day = day_of(chat);
        self.make_room().await;
        let _shared = self.ended_days.writing.read().await;
        self.tally(channel, day).await?;
        let values = (self.db.stamp()?, channel.0, day, chat.0.as_bytes().as_slice());
        self.db.write(&self.db.statements.ended.remove, values).await
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
        // Every id comes after the empty key.
        let behind = after.map_or(Vec::new(), |chat| chat.0.as_bytes().to_vec());
        let mut found = Vec::new();
        loop {
            let days = self.days(channel, from, last, DAYS_PAGE_ROWS).await?;
            for day in &days {
                if found.len() >= limit {
                    return Ok(found);
                }
                let begins = after.is_none_or(|after| day_of(after) < *day);
                let limit = limit - found.len();
                let wanted = Wanted { behind: &behind, before: end.0.as_bytes(), limit };
                let rows = self.ended_of(channel, *day, wanted).await?;
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
    /// What this life knows of the day.
    fn day(&self, channel: ChannelId, day: i64) -> Arc<Day> {
        self.ended_days.day(channel, day)
    }

    async fn make_room(&self) {
        if self.ended_days.known.len() >= DAYS_KNOWN_MAX {
            let _alone = self.ended_days.writing.write().await;
            self.ended_days.make_room(DAYS_KNOWN_MAX);
        }
    }

    /// Puts the day on the channel's list, once a life.
    async fn list_day(&self, channel: ChannelId, day: i64, known: &Day) -> Result<(), StoreError> {
        if !known.listed.load(Relaxed) {
            let values = (channel.0, day, self.db.stamp()?);
            self.db.write(&self.db.statements.ended.day_put, values).await?;
            known.listed.store(true, Relaxed);
        }
        Ok(())
    }

    /// The days of the channel's list, in order.
    async fn days(
        &self,
        channel: ChannelId,
        from: i64,
        last: i64,
        limit: i32,
    ) -> Result<Vec<i64>, StoreError> {
        let values = (channel.0, from, last, limit);
        let answer = self.db.read(&self.db.statements.ended.days, values).await?;
        let rows = answer.rows::<(i64,)>().map_err(unreadable)?;
        rows.map(|row| row.map(|(day,)| day).map_err(unreadable)).collect()
    }

    /// Counts a removal: writes a tally for it and those that follow, if there is none.
    async fn tally(&self, channel: ChannelId, day: i64) -> Result<(), StoreError> {
        let known = self.day(channel, day);
        let mut tally = known.tally.lock().await;
        if tally.removed.is_multiple_of(TALLIED_REMOVALS) {
            let stamp = self.db.stamp()?;
            let values = (channel.0, day, stamp, stamp);
            self.db.write(&self.db.statements.ended.tally_put, values).await?;
            tally.written = tally.written.map(|written| written + 1);
        }
        tally.removed += 1;
        Ok(())
    }

    /// Whether so many rows of the day were removed that it is not to be read at once.
    async fn is_crowded(
        &self,
        channel: ChannelId,
        day: i64,
        known: &Day,
    ) -> Result<bool, StoreError> {
        let mut tally = known.tally.lock().await;
        let written = match tally.written {
            Some(written) => written,
            None => {
                let limit = i32::try_from(CROWDED_TALLIES).unwrap_or(i32::MAX);
                let tallies = &self.db.statements.ended.tallies;
                self.db.read(tallies, (channel.0, day, limit)).await?.rows_num()
            }
        };
        tally.written = Some(written);
        Ok(written >= CROWDED_TALLIES)
    }

    /// Deletes the day and takes it off the channel's list unless it got a row meanwhile, or may get one
    /// of a put that somebody gave up.
    async fn drop_if_empty(&self, channel: ChannelId, day: i64) -> Result<(), StoreError> {
        let _alone = self.ended_days.writing.write().await;
        if self.day(channel, day).is_doubtful() {
            return Ok(());
        }
        let any = Wanted { behind: &[], before: &END, limit: 1 };
        if !self.ended_of(channel, day, any).await?.is_empty() {
            return Ok(());
        }
        // Whoever comes next lists it again, whatever becomes of this.
        self.ended_days.known.remove(&(channel, day));
        let (statements, stamp) = (&self.db.statements, self.db.stamp()?);
        let values = (stamp, channel.0, day);
        self.db.write(&statements.ended.drop, values).await?;
        self.db.write(&statements.ended.tally_drop, values).await?;
        // Of a list's first days one tombstone is left, and not one each.
        let is_first = self.days(channel, 0, day, 1).await?.first() == Some(&day);
        let drop = if is_first { &statements.ended.days_drop } else { &statements.ended.day_drop };
        self.db.write(drop, values).await
    }

    /// Rows of one day.
    async fn ended_of(
        &self,
        channel: ChannelId,
        day: i64,
        wanted: Wanted<'_>,
    ) -> Result<Vec<EndedRow>, StoreError> {
        let known = self.day(channel, day);
        if !self.is_crowded(channel, day, &known).await? {
            return self.ended_between(channel, day, wanted).await;
        }
        let (minutes, seen) = known.to_read();
        let first = day.unsigned_abs().saturating_mul(DAY_MS);
        let read = async |minute: u64| {
            let begin = first.saturating_add(minute * MINUTE_MS);
            let (begin, end) = (key_at(begin), key_at(begin.saturating_add(MINUTE_MS)));
            let behind = wanted.behind.max(begin.as_slice());
            let before = wanted.before.min(end.as_slice());
            if behind >= before {
                return Ok(Vec::new());
            }
            let of_minute = Wanted { behind, before, ..wanted };
            let rows = self.ended_between(channel, day, of_minute).await?;
            if rows.is_empty() && (behind, before) == (begin.as_slice(), end.as_slice()) {
                known.found_empty(minute, seen);
            }
            Ok::<_, StoreError>(rows)
        };
        let mut found = Vec::new();
        for minutes in minutes.chunks(SCAN_AT_ONCE) {
            let rows = try_join_all(minutes.iter().map(|minute| read(*minute))).await?;
            found.extend(rows.into_iter().flatten());
            if found.len() >= wanted.limit {
                break;
            }
        }
        found.truncate(wanted.limit);
        Ok(found)
    }

    /// Rows of one day that are read at once.
    async fn ended_between(
        &self,
        channel: ChannelId,
        day: i64,
        Wanted { behind, before, limit }: Wanted<'_>,
    ) -> Result<Vec<EndedRow>, StoreError> {
        let mut behind = behind.to_vec();
        let mut found = Vec::new();
        while found.len() < limit {
            let page = i32::try_from(limit - found.len()).unwrap_or(SCAN_PAGE_ROWS);
            let page = page.min(SCAN_PAGE_ROWS);
            let values = (channel.0, day, &behind, before, page);
            let answer = self.db.read(&self.db.statements.ended.scan, values).await?;
            let rows = answer.rows::<(&[u8], Option<&[u8]>)>().map_err(unreadable)?;
            let read = found.len();
            for row in rows {
                let (key, sealed) = row.map_err(unreadable)?;
                let chat = ChatId(uuid::Uuid::from_slice(key).map_err(unreadable)?);
                let read = |sealed| record::decode_ended_chat(channel, chat, sealed).ok();
                found.push(EndedRow { chat, ended: sealed.and_then(read) });
                behind = key.to_vec();
            }
            if found.len() - read < page as usize {
                break;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_passed_over(day: &Day, minute: u64) -> bool {
        !day.to_read().0.contains(&minute)
    }

    #[test]
    fn a_minute_is_empty_only_if_nothing_was_put_since_it_was_begun_to_be_read() {
        let day = Day::default();
        let chat = ChatId::first_at(Timestamp(40 * DAY_MS + 5 * MINUTE_MS));
        // Put while it was read.
        let (_, seen) = day.to_read();
        day.begin_put(chat).is_known = true;
        day.found_empty(5, seen);
        assert!(!is_passed_over(&day, 5));
        // Read while it was put.
        let mut put = day.begin_put(chat);
        let (_, seen) = day.to_read();
        day.found_empty(5, seen);
        put.is_known = true;
        drop(put);
        assert!(!is_passed_over(&day, 5));
        let (_, seen) = day.to_read();
        day.found_empty(5, seen);
        assert!(is_passed_over(&day, 5), "there was nothing after all");
        // Given up, and on its way still.
        drop(day.begin_put(chat));
        let (_, seen) = day.to_read();
        (4..6).for_each(|minute| day.found_empty(minute, seen));
        assert!(!is_passed_over(&day, 5) && is_passed_over(&day, 4));
    }

    #[test]
    fn room_for_more_days_is_made_of_those_without_a_doubt_and_bounded_all_the_same() {
        let channel = ChannelId::from_u128(1);
        let days = EndedDays::default();
        let first = |day: i64| ChatId::first_at(Timestamp(day.unsigned_abs() * DAY_MS));
        for day in 0..8 {
            days.day(channel, day);
        }
        drop(days.day(channel, 3).begin_put(first(3)));
        days.make_room(8);
        assert_eq!(days.known.len(), 1);
        assert!(days.day(channel, 3).is_doubtful() && !days.day(channel, 2).is_doubtful());
        // More than can be remembered.
        for day in 0..8 {
            drop(days.day(channel, day).begin_put(first(day)));
        }
        days.make_room(8);
        assert_eq!(days.known.len(), 0);
        let known = days.day(channel, 3);
        let (_, seen) = known.to_read();
        known.found_empty(0, seen);
        assert!(known.is_doubtful() && !is_passed_over(&known, 0));
    }
}

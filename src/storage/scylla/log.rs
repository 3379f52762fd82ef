//! The logs of the chats. See [`super::chain`] for what is visible and why.
//!
//! Invariants: an append is one row, so it is there whole or not at all, also at the boundary of
//! a bucket, and lies where its first event does; one append of a chat is under way at a time;
//! after one without a known outcome its claim appends no more.

use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;

use crate::domain::{ChatId, Recorded, Seq};
use crate::storage::{AppendError, ChatLog, Claim, Claimed, StoreError, record};

use super::ScyllaStore;
use super::chain::{Append, Broken, Chain, Row, first_append};
use super::errors::{unavailable, unreadable};
use super::known_chats::Held;
use super::limits::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, BUCKET_EVENTS, LATE_US, LOG_PAGE_ROWS, TAIL_ROWS,
    TAIL_ROWS_FACTOR,
};
use super::statements::statements;

statements! {
    append: Append = "INSERT INTO %.log (chat, bucket, seq, epoch, records) VALUES (?, ?, ?, ?, ?)";
    claim: Append = "INSERT INTO %.log (chat, bucket, seq, epoch) VALUES (?, ?, ?, ?)";
    end: Read = "SELECT seq, epoch, records FROM %.log WHERE chat = ? AND bucket = ? \
        ORDER BY seq DESC, epoch ASC LIMIT ?";
    before: Read = "SELECT seq, epoch, records FROM %.log WHERE chat = ? AND bucket = ? \
        AND seq <= ? ORDER BY seq DESC, epoch ASC LIMIT ?";
    after: Read = "SELECT seq, epoch, records FROM %.log WHERE chat = ? AND bucket = ? \
        AND seq > ? LIMIT ?";
    drop: Write = "DELETE FROM %.log USING TIMESTAMP ? WHERE chat = ? AND bucket = ?";
    forgotten_put: Write = "INSERT INTO %.forgotten (chat) VALUES (?) USING TIMESTAMP ?";
    forgotten_get: Read = "SELECT chat FROM %.forgotten WHERE chat = ?";
    partitions: Read = "SELECT DISTINCT token(chat, bucket), chat, bucket FROM %.log \
        WHERE token(chat, bucket) >= ? AND token(chat, bucket) <= ? LIMIT ?";
}

fn bucket(seq: Seq) -> u64 {
    seq / BUCKET_EVENTS
}

/// Positions, buckets and epochs as the database has them; no chat comes near the limit.
fn big(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Where a log ends, as a claim finds it.
struct End {
    chain: Chain,
    last: Option<Append>,
    /// The highest epoch of all rows that were seen, counting or not.
    newest: u64,
}

fn missing(chat: ChatId, Broken { at }: Broken) -> StoreError {
    StoreError::Damaged { reason: format!("event {at} of chat {chat} is missing") }
}

#[async_trait]
impl ChatLog for ScyllaStore {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        self.db.owned()?;
        let known = self.known_chats.make(chat);
        let mut held = known.turn.lock().await;
        // The turn may have been long in coming.
        self.db.owned()?;
        let epoch = self.first_epoch + self.claims.fetch_add(1, Relaxed);
        // Nothing is in doubt, and all of it is this process's: the next claim takes its place here,
        // and the database needs not know.
        if let Held::By { epoch: written, tail, .. } = *held {
            *held = Held::By { claim: epoch, epoch: written, tail };
            return Ok(Claimed { claim: Claim { chat, epoch }, tail });
        }
        // Whatever comes of this, nobody appends under an earlier claim.
        *held = Held::Free;
        let end = match tokio::join!(self.is_forgotten(chat), self.end_of(chat)) {
            (Ok(true), _) => return Err(StoreError::Forgotten { chat }),
            (Ok(false), end) => end?,
            (Err(error), _) => return Err(error),
        };
        if end.newest >= epoch {
            let reason = format!("chat {chat} was claimed by a later owner of the keyspace");
            self.db.lease.lose(reason.clone());
            return Err(unavailable(reason));
        }
        let (next, tail) = (end.chain.next, end.chain.next - 1);
        let seal = async {
            match end.last {
                Some(last) => self.put(chat, last.first, epoch, Some(&last.records)).await,
                None => Ok(()),
            }
        };
        let (sealed, fenced) = tokio::join!(seal, self.put(chat, next, epoch, None));
        sealed.and(fenced).map_err(unavailable)?;
        *held = Held::By { claim: epoch, epoch, tail };
        known.show(tail);
        Ok(Claimed { claim: Claim { chat, epoch }, tail })
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        let records = encode(claim.chat, &events)?;
        let known = self.known_chats.get(claim.chat).ok_or(AppendError::Fenced)?;
        let mut held = known.turn.lock().await;
        let (epoch, tail) = match *held {
            Held::By { claim: by, epoch, tail } if by == claim.epoch => (epoch, tail),
            Held::Uncertain { claim: by } if by == claim.epoch => {
                let reason = "an earlier append of this claim has no known outcome".to_owned();
                return Err(AppendError::Unknown { reason });
            }
            Held::Free | Held::By { .. } | Held::Uncertain { .. } => {
                return Err(AppendError::Fenced);
            }
        };
        let first = events.first().map_or(0, |event| event.seq);
        let numbered = events.iter().zip(tail + 1..).all(|(event, seq)| event.seq == seq);
        if events.is_empty() || !numbered {
            return Err(AppendError::Conflict { tail, first });
        }
        // Stays so when the caller gives up meanwhile.
        *held = Held::Uncertain { claim: claim.epoch };
        let written = self.put(claim.chat, first, epoch, Some(&records)).await;
        let tail = match &written {
            Ok(()) => tail + events.len() as u64,
            Err(AppendError::Unknown { .. }) => return written,
            Err(
                AppendError::Unavailable { .. }
                | AppendError::Fenced
                | AppendError::Conflict { .. },
            ) => tail,
        };
        *held = Held::By { claim: claim.epoch, epoch, tail };
        known.show(tail);
        written
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let known = self.known_chats.get(chat);
        let read = self.read_rows(chat, from.max(1), limit).await;
        // Asked after the rows: whatever is acknowledged is shown.
        let shown = known.map_or(Seq::MAX, |known| known.shown());
        // Whoever claimed it in this process knows whether it is forgotten. Of others the forgotten tell,
        // and they are asked of those only that have something to show, or to complain of.
        let doubtful = shown == Seq::MAX && !matches!(&read, Ok(events) if events.is_empty());
        if doubtful && self.is_forgotten(chat).await? {
            return Ok(Vec::new());
        }
        let mut events = read?;
        events.retain(|event| event.seq <= shown);
        Ok(events)
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        let known = self.known_chats.make(chat);
        let mut held = known.turn.lock().await;
        let values = (chat.0, self.db.stamp()?);
        self.db.write(&self.db.statements.log.forgotten_put, values).await?;
        *held = Held::Free;
        known.show(0);
        // One behind the last, where a late append may begin; that which stays behind an interruption
        // is without a gap at the front.
        let mut last = 0;
        while !self.rows(&self.db.statements.log.end, (chat.0, big(last), 1)).await?.is_empty() {
            last += 1;
        }
        for at in (0..=last).rev() {
            let stamp = self.db.stamp()?.saturating_add(LATE_US);
            self.db.write(&self.db.statements.log.drop, (stamp, chat.0, big(at))).await?;
        }
        Ok(())
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        let answer = self.db.read(&self.db.statements.log.forgotten_get, (chat.0,)).await?;
        Ok(answer.rows_num() > 0)
    }
}

impl ScyllaStore {
    /// The events that the rows show, whatever is known of the chat.
    async fn read_rows(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        // No log is that long, and the next bucket has a number too.
        if limit == 0 || from > big(Seq::MAX) as u64 {
            return Ok(Vec::new());
        }
        let mut reading = Reading { chat, from, limit, events: Vec::new() };
        let (mut chain, rows) = self.beginning(chat, from).await?;
        let mut at = bucket(chain.next);
        let mut behind = rows.last().map_or(0, |row| row.seq);
        for row in rows {
            reading.take(&mut chain, row)?;
        }
        while !reading.is_full() {
            let page = reading.page_rows();
            let rows = self.rows_after(chat, at, behind, page).await?;
            let whole = rows.len() < page as usize;
            for row in rows {
                behind = row.seq;
                reading.take(&mut chain, row)?;
            }
            match bucket(chain.next) {
                next if whole && next == at => break,
                next if whole => at = next,
                _ => {}
            }
        }
        Ok(reading.events)
    }
}

/// The sealed records of an append. Errors when it is larger than a row may be.
fn encode(chat: ChatId, events: &[Recorded]) -> Result<Vec<Vec<u8>>, AppendError> {
    let refused = |reason: String| AppendError::Unavailable { reason };
    let encoded = events.iter().map(|event| record::encode_event(chat, event));
    let records: Vec<_> =
        encoded.collect::<Result<_, _>>().map_err(|error| refused(error.to_string()))?;
    let bytes: usize = records.iter().map(Vec::len).sum();
    if records.len() > APPEND_EVENTS_MAX || bytes > APPEND_BYTES_MAX {
        let n = records.len();
        return Err(refused(format!("{n} events of {bytes} bytes are too much for one append")));
    }
    Ok(records)
}

/// Events picked from appends.
struct Reading {
    chat: ChatId,
    from: Seq,
    limit: usize,
    events: Vec<Recorded>,
}

impl Reading {
    fn is_full(&self) -> bool {
        self.events.len() >= self.limit
    }

    /// How many rows to read next: a row has an event at least, and few are not appends.
    fn page_rows(&self) -> i32 {
        let missing = self.limit.saturating_sub(self.events.len());
        let rows = i32::try_from(missing).unwrap_or(i32::MAX).saturating_add(TAIL_ROWS);
        rows.min(LOG_PAGE_ROWS)
    }

    fn take(&mut self, chain: &mut Chain, row: Row) -> Result<(), StoreError> {
        if self.is_full() {
            return Ok(());
        }
        let append = chain.take(row).map_err(|broken| missing(self.chat, broken))?;
        let Some(append) = append else { return Ok(()) };
        for (seq, sealed) in (append.first..).zip(&append.records) {
            if seq >= self.from && !self.is_full() {
                self.events.push(record::decode_event(self.chat, seq, sealed)?);
            }
        }
        Ok(())
    }
}

impl ScyllaStore {
    /// Writes one row: an append, or the fence of a claim.
    async fn put(
        &self,
        chat: ChatId,
        seq: Seq,
        epoch: u64,
        records: Option<&Vec<Vec<u8>>>,
    ) -> Result<(), AppendError> {
        let key = (chat.0, big(bucket(seq)), big(seq), big(epoch));
        let statements = &self.db.statements;
        match records {
            Some(records) => {
                let row = (key.0, key.1, key.2, key.3, records);
                self.db.append(&statements.log.append, row).await
            }
            None => self.db.append(&statements.log.claim, key).await,
        }
    }

    /// Where the log ends. A long one is walked bucket by bucket, at most twenty of them.
    async fn end_of(&self, chat: ChatId) -> Result<End, StoreError> {
        let mut end = End { chain: Chain::start(), last: None, newest: 0 };
        let mut at = 0;
        loop {
            let rows = self.last_rows(chat, at, Seq::MAX).await?;
            let newest = rows.iter().map(|row| row.epoch).max();
            end.newest = end.newest.max(newest.unwrap_or(0));
            let begin = first_append(&rows);
            if let Some(row) = begin.and_then(|begin| rows.get(begin)) {
                end.chain = Chain::from(row.seq);
            }
            for row in rows.into_iter().skip(begin.unwrap_or(0)) {
                let counts = end.chain.take(row).map_err(|broken| missing(chat, broken))?;
                end.last = counts.or(end.last);
            }
            if bucket(end.chain.next) == at {
                return Ok(end);
            }
            at = bucket(end.chain.next);
        }
    }

    /// Where to begin reading so that position `from` is found, and the rows up to there.
    async fn beginning(&self, chat: ChatId, from: Seq) -> Result<(Chain, Vec<Row>), StoreError> {
        let at = bucket(from);
        // An append that holds `from` may have begun in the bucket before.
        for at in [Some(at), at.checked_sub(1)].into_iter().flatten() {
            if from == 1 {
                break;
            }
            let mut rows = self.last_rows(chat, at, from).await?;
            if let Some(begin) = first_append(&rows) {
                rows.drain(..begin);
                return Ok((Chain::from(rows[0].seq), rows));
            }
        }
        let chain = if at == 0 { Chain::start() } else { Chain::from(from) };
        Ok((chain, Vec::new()))
    }

    /// The last rows of a bucket up to position `up_to`, in their order; so many that an append
    /// which counts is among them, if there is one.
    async fn last_rows(&self, chat: ChatId, at: u64, up_to: Seq) -> Result<Vec<Row>, StoreError> {
        let statements = &self.db.statements;
        let mut limit = TAIL_ROWS;
        loop {
            let mut rows = if up_to == Seq::MAX {
                self.rows(&statements.log.end, (chat.0, big(at), limit)).await?
            } else {
                self.rows(&statements.log.before, (chat.0, big(at), big(up_to), limit)).await?
            };
            let whole = rows.len() < limit as usize;
            rows.reverse();
            if !whole {
                // Of the first position not all rows may be here.
                let first = rows.first().map(|row| row.seq);
                rows.retain(|row| Some(row.seq) != first);
            }
            if whole || first_append(&rows).is_some() {
                return Ok(rows);
            }
            limit = limit.saturating_mul(TAIL_ROWS_FACTOR);
        }
    }

    async fn rows_after(
        &self,
        chat: ChatId,
        at: u64,
        behind: Seq,
        page: i32,
    ) -> Result<Vec<Row>, StoreError> {
        let values = (chat.0, big(at), big(behind), page);
        self.rows(&self.db.statements.log.after, values).await
    }

    async fn rows(
        &self,
        statement: &scylla::statement::prepared::PreparedStatement,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<Vec<Row>, StoreError> {
        let answer = self.db.read(statement, values).await?;
        let rows = answer.rows::<(i64, i64, Option<Vec<Vec<u8>>>)>().map_err(unreadable)?;
        rows.map(|row| {
            let (seq, epoch, records) = row.map_err(unreadable)?;
            Ok(Row { seq: seq.unsigned_abs(), epoch: epoch.unsigned_abs(), records })
        })
        .collect()
    }
}

//! The logs of the chats, over the writer and the readers.

use async_trait::async_trait;

use crate::domain::{ChatId, Recorded, Seq, Timestamp};
use crate::storage::{AppendError, ChatLog, Claim, Claimed, StoreError, record};

use super::log_rows::LogRows;
use super::moves::Encoded;
use super::recent::{Entry, Part};
use super::sql::ReadError;
use super::writer::{Append, Write, answer};
use super::{SqliteStore, sql, unavailable};

#[async_trait]
impl ChatLog for SqliteStore {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        let (answer, answered) = answer();
        self.submit(Write::Claim { chat, answer }).map_err(unavailable)?;
        answered.heard().await.unwrap_or_else(|| Err(unavailable(self.reason())))
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        self.append_with(claim, &events, Encoded::default()).await
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let from = from.max(1);
        // The tail first, the index after it: a fold in between leaves events in both, never in
        // neither.
        let part = self.recent.part(chat, from, limit);
        let read = move |log: LogRows<'_>| read_log(log, chat, from, limit, part);
        let read = self.readers.read_log(read).await;
        if let Err(StoreError::Damaged { reason }) = &read {
            self.damage.note_chat(chat, reason);
        }
        read
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        loop {
            let (answer, answered) = answer();
            self.submit(Write::Forget { chat, answer }).map_err(unavailable)?;
            let more = answered.heard().await;
            if !more.unwrap_or_else(|| Err(unavailable(self.reason())))? {
                return Ok(());
            }
        }
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        self.readers.read(move |connection| Ok(sql::is_forgotten(connection, chat)?)).await
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        let newest = self.readers.read(|connection| Ok(sql::newest_row(connection)?)).await?;
        // One that is damaged is found by whoever reads its chat.
        let decoded = newest
            .and_then(|(entry, sealed)| record::decode_event(entry.chat, entry.seq, &sealed).ok());
        Ok(decoded.map(|recorded| recorded.at))
    }
}

impl SqliteStore {
    /// Appends, and writes what stands beside the log.
    pub(super) async fn append_with(
        &self,
        claim: Claim,
        events: &[Recorded],
        beside: Encoded,
    ) -> Result<(), AppendError> {
        let first = events.first().map_or(0, |event| event.seq);
        let follows = |pair: &[Recorded]| pair[0].seq.checked_add(1) == Some(pair[1].seq);
        let numbered = events.windows(2).all(follows);
        let encoded = events.iter().map(|event| record::encode_event(claim.chat, event));
        let append = Append {
            claim,
            first,
            whole: numbered && !events.is_empty(),
            records: encoded
                .collect::<Result<_, _>>()
                .map_err(|error| AppendError::Unavailable { reason: error.to_string() })?,
            beside,
        };
        let (answer, answered) = answer();
        self.submit(Write::Append(append, answer))
            .map_err(|reason| AppendError::Unavailable { reason })?;
        answered.heard().await.unwrap_or_else(|| {
            let reason = self.reason();
            Err(AppendError::Unknown { reason })
        })
    }
}

fn read_log(
    log: LogRows<'_>,
    chat: ChatId,
    from: Seq,
    limit: usize,
    part: Option<Part>,
) -> Result<Vec<Recorded>, ReadError> {
    let connection = log.connection;
    if sql::is_forgotten(connection, chat)? {
        return Ok(Vec::new());
    }
    match read_rows(log, chat, from, limit, part) {
        // It may have been forgotten between two statements.
        Err(ReadError::Missing(_)) if sql::is_forgotten(connection, chat)? => Ok(Vec::new()),
        read => read,
    }
}

fn read_rows(
    log: LogRows<'_>,
    chat: ChatId,
    from: Seq,
    limit: usize,
    part: Option<Part>,
) -> Result<Vec<Recorded>, ReadError> {
    let missing = |what: String| ReadError::Missing(format!("{what} is missing"));
    let end = part.as_ref().map_or(Seq::MAX, |part| part.first);
    let mut found = Vec::new();
    if from < end {
        found = sql::indexed(log.connection, chat, from, end, limit)?;
    }
    found.extend(part.into_iter().flat_map(|part| part.positions));
    found.truncate(limit);
    let mut events = Vec::with_capacity(found.len());
    for ((seq, position), expected) in found.into_iter().zip(from..) {
        if seq != expected {
            return Err(missing(format!("event {expected} of chat {chat}")));
        }
        if position == sql::LOST {
            return Err(ReadError::Lost(format!("event {seq} of chat {chat} was lost by damage")));
        }
        let sealed = log.at(Entry { chat, seq, position })?;
        let what =
            || missing(format!("row {position} of the log, with event {seq} of chat {chat},"));
        let sealed = sealed.ok_or_else(what)?;
        events.push(record::decode_event(chat, seq, &sealed)?);
    }
    Ok(events)
}

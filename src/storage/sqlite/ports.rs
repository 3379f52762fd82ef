//! The ports over the writer and the readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::domain::operator::OperatorRecord;
use crate::domain::{
    ChannelId, ChatId, CommandId, Customer, Party, Recorded, Seq, Timestamp, UserId,
};
use crate::storage::{
    AppendError, ChatLog, Claim, ClaimOpen, Claimed, Conversations, Document, Documents, Listed,
    Moving, OpenChat, OpenChats, OperatorRecordError, OperatorRecords, Processes, StoreError,
    Watermark, Watermarks, record,
};

use super::log_rows::LogRows;
use super::recent::{Entry, Part};
use super::sql::ReadError;
use super::writer::{Append, Write};
use super::{SqliteStore, rows, sql, unavailable};

#[async_trait]
impl ChatLog for SqliteStore {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.submit(Write::Claim { chat, answer }).map_err(unavailable)?;
        let gone = |_| Err(unavailable(self.reason()));
        answered.await.unwrap_or_else(gone)
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
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
        };
        let (answer, answered) = oneshot::channel();
        self.submit(Write::Append(append, answer))
            .map_err(|reason| AppendError::Unavailable { reason })?;
        answered.await.unwrap_or_else(|_| {
            let reason = self.reason();
            Err(AppendError::Unknown { reason })
        })
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
            let (answer, answered) = oneshot::channel();
            self.submit(Write::Forget { chat, answer }).map_err(unavailable)?;
            let gone = |_| Err(unavailable(self.reason()));
            if !answered.await.unwrap_or_else(gone)? {
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

#[async_trait]
impl OpenChats for SqliteStore {
    async fn put(&self, row: OpenChat) -> Result<(), StoreError> {
        let sealed = record::encode_open_chat(&row)?;
        let mark = row.moving.map(|moving| record::encode_moving(row.chat, moving));
        let mark = mark.transpose()?;
        self.write(move |connection| {
            rows::put_open_chat(connection, row.chat, &sealed, mark.as_deref()).map(Ok)
        })
        .await
    }

    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError> {
        let mark = record::encode_moving(chat, moving)?;
        self.write(move |connection| rows::mark_open_chat(connection, chat, &mark).map(Ok)).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(move |connection| rows::remove_open_chat(connection, chat).map(Ok)).await
    }

    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError> {
        let damage = Arc::clone(&self.damage);
        let scan = move |connection: &Connection| {
            rows::scan_open_chats(connection, after, limit, |chat| !damage.has(chat))
        };
        self.readers.read(scan).await
    }
}

#[async_trait]
impl Conversations for SqliteStore {
    async fn claim_open(
        &self,
        customer: Customer,
        command: &CommandId,
        chat: ChatId,
        after: Option<ChatId>,
    ) -> Result<ClaimOpen, StoreError> {
        let command = command.clone();
        self.write(move |connection| {
            rows::claim_open(connection, customer, &command, chat, after).map(Ok)
        })
        .await
    }

    async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError> {
        self.readers.read(move |connection| Ok(rows::latest(connection, customer)?)).await
    }

    async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError> {
        self.readers.read(move |connection| rows::commands(connection, customer)).await
    }

    async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError> {
        let forget =
            move |connection: &_| rows::forget_conversation(connection, customer, chat).map(Ok);
        self.write(forget).await
    }

    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError> {
        self.readers.read(move |connection| Ok(rows::any_of(connection, channel)?)).await
    }
}

#[async_trait]
impl OperatorRecords for SqliteStore {
    async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError> {
        let read = move |connection: &_| Ok(rows::operator(connection, operator)?);
        match self.readers.read(read).await? {
            Some(sealed) => Ok(record::decode_operator(operator, &sealed)?),
            None => Ok(OperatorRecord::default()),
        }
    }

    async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError> {
        let sealed = record::encode_operator(operator, &record)?;
        self.write(move |connection| rows::save_operator(connection, operator, &sealed).map(Ok))
            .await
    }
}

#[async_trait]
impl Watermarks for SqliteStore {
    async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError> {
        self.readers.read(move |connection| rows::load_watermarks(connection, chat)).await
    }

    async fn raise(
        &self,
        chat: ChatId,
        marks: BTreeMap<Party, Watermark>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| rows::raise_watermarks(connection, chat, &marks).map(Ok)).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(move |connection| rows::forget_watermarks(connection, chat).map(Ok)).await
    }
}

#[async_trait]
impl Documents for SqliteStore {
    async fn get(&self, kind: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.readers.read(move |connection| rows::get_document(connection, &kind, &id)).await
    }

    async fn put(
        &self,
        kind: &str,
        id: &str,
        expected: u64,
        body: Vec<u8>,
    ) -> Result<u64, StoreError> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.write(move |connection| rows::put_document(connection, &kind, &id, expected, &body))
            .await
    }

    async fn delete(&self, kind: &str, id: &str, expected: u64) -> Result<(), StoreError> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.write(move |connection| rows::delete_document(connection, &kind, &id, expected)).await
    }

    async fn list(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let (kind, after) = (kind.to_owned(), after.map(str::to_owned));
        self.readers
            .read(move |connection| {
                rows::list_documents(connection, &kind, after.as_deref(), limit)
            })
            .await
    }
}

#[async_trait]
impl Processes for SqliteStore {
    async fn begin(&self) -> Result<u64, StoreError> {
        self.write(|connection| sql::count_up(connection, "process").map(Ok)).await
    }
}

//! The statements over the small rows. What writes runs inside a batch of the writer: it decides
//! first and writes after, so that a refusal has written nothing.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::domain::{ChannelId, ChatId, CommandId, Customer, Party, UserId};
use crate::storage::record::{self, RecordError, Slot};
use crate::storage::{ClaimOpen, Document, Listed, OpenChat, StoreError, Watermark};

use super::sql::{self, ReadError, clamp, count, id};

/// Runs a cached statement that answers no rows.
fn execute(
    connection: &Connection,
    text: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<()> {
    connection.prepare_cached(text)?.execute(parameters).map(drop)
}

pub(super) fn put_open_chat(
    connection: &Connection,
    chat: ChatId,
    sealed: &[u8],
    mark: Option<&[u8]>,
) -> rusqlite::Result<()> {
    let text = "INSERT INTO open_chats (chat, record, moving) VALUES (?, ?, ?) \
                ON CONFLICT DO UPDATE SET record = excluded.record, moving = excluded.moving";
    execute(connection, text, (chat.0.as_bytes(), sealed, mark))
}

pub(super) fn mark_open_chat(
    connection: &Connection,
    chat: ChatId,
    mark: &[u8],
) -> rusqlite::Result<()> {
    let text = "UPDATE open_chats SET moving = ? WHERE chat = ?";
    execute(connection, text, (mark, chat.0.as_bytes()))
}

pub(super) fn remove_open_chat(connection: &Connection, chat: ChatId) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM open_chats WHERE chat = ?", [chat.0.as_bytes()])
}

/// The rows of chats that can be served: one that is damaged would only hold up its queue and its
/// owner.
pub(super) fn scan_open_chats(
    connection: &Connection,
    after: Option<ChatId>,
    limit: usize,
    can_be_served: impl Fn(ChatId) -> bool,
) -> Result<Vec<OpenChat>, ReadError> {
    // Every id comes after the empty key.
    let after = after.map_or(Vec::new(), |chat| chat.0.as_bytes().to_vec());
    let mut statement = connection.prepare_cached(
        "SELECT chat, record, moving FROM open_chats WHERE chat > ? ORDER BY chat",
    )?;
    let mut rows = statement.query([after])?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let chat = ChatId(id(row, 0)?);
        if !can_be_served(chat) {
            continue;
        }
        let (sealed, mark): (Vec<u8>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
        found.push(record::decode_open_chat(chat, &sealed, mark.as_deref())?);
    }
    Ok(found)
}

/// The open chats whose rows are not what was written. Errors with what a newer release wrote.
pub(super) fn damaged_open_chats(connection: &Connection) -> Result<Vec<ChatId>, ReadError> {
    let mut statement = connection.prepare("SELECT chat, record, moving FROM open_chats")?;
    let mut rows = statement.query(())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let chat = ChatId(id(row, 0)?);
        let (sealed, mark): (Vec<u8>, Option<Vec<u8>>) = (row.get(1)?, row.get(2)?);
        match record::decode_open_chat(chat, &sealed, mark.as_deref()) {
            Ok(_) => {}
            Err(error @ RecordError::Newer { .. }) => return Err(error.into()),
            Err(RecordError::Damaged { .. } | RecordError::Unwritable { .. }) => found.push(chat),
        }
    }
    Ok(found)
}

/// The compare-and-set. A repeat of a command that claimed gets its chat as an existing one.
pub(super) fn claim_open(
    connection: &Connection,
    of: Customer,
    command: &CommandId,
    chat: ChatId,
    after: Option<ChatId>,
) -> rusqlite::Result<ClaimOpen> {
    let (channel, customer) = (of.channel.0.as_bytes(), of.id.0.as_bytes());
    let opened = connection
        .prepare_cached(
            "SELECT chat FROM conversation_commands \
             WHERE channel = ? AND customer = ? AND command = ?",
        )?
        .query_row((channel, customer, command.as_str()), |row| id(row, 0))
        .optional()?;
    if let Some(opened) = opened {
        return Ok(ClaimOpen::Existing(ChatId(opened)));
    }
    let present = latest(connection, of)?;
    if let Some(present) = present.filter(|_| present != after) {
        return Ok(ClaimOpen::Existing(present));
    }
    let text = "INSERT INTO conversations (channel, customer, chat) VALUES (?, ?, ?) \
                ON CONFLICT DO UPDATE SET chat = excluded.chat";
    execute(connection, text, (channel, customer, chat.0.as_bytes()))?;
    let text = "INSERT INTO conversation_commands (channel, customer, command, chat) \
                VALUES (?, ?, ?, ?)";
    let row = (channel, customer, command.as_str(), chat.0.as_bytes());
    execute(connection, text, row)?;
    Ok(ClaimOpen::Claimed)
}

/// Every command by which the customer claimed a chat, with its chat, in the order of the texts.
pub(super) fn commands(
    connection: &Connection,
    of: Customer,
) -> Result<Vec<(CommandId, ChatId)>, ReadError> {
    let mut statement = connection.prepare_cached(
        "SELECT command, chat FROM conversation_commands \
         WHERE channel = ? AND customer = ? ORDER BY command",
    )?;
    let mut rows = statement.query((of.channel.0.as_bytes(), of.id.0.as_bytes()))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let command = CommandId::new(&row.get::<_, String>(0)?).map_err(|error| {
            ReadError::Missing(format!("a command of customer {}: {error}", of.id))
        })?;
        found.push((command, ChatId(id(row, 1)?)));
    }
    Ok(found)
}

/// Removes the chat from the customer's; the one before it is the latest, if it was.
pub(super) fn forget_conversation(
    connection: &Connection,
    of: Customer,
    chat: ChatId,
) -> rusqlite::Result<()> {
    let (channel, customer) = (of.channel.0.as_bytes(), of.id.0.as_bytes());
    let text = "DELETE FROM conversation_commands WHERE channel = ? AND customer = ? AND chat = ?";
    execute(connection, text, (channel, customer, chat.0.as_bytes()))?;
    if latest(connection, of)? != Some(chat) {
        return Ok(());
    }
    let before = connection
        .prepare_cached(
            "SELECT chat FROM conversation_commands WHERE channel = ? AND customer = ? \
             ORDER BY chat DESC LIMIT 1",
        )?
        .query_row((channel, customer), |row| id(row, 0))
        .optional()?;
    match before {
        Some(before) => {
            let text = "UPDATE conversations SET chat = ? WHERE channel = ? AND customer = ?";
            execute(connection, text, (before.as_bytes(), channel, customer))
        }
        None => {
            let text = "DELETE FROM conversations WHERE channel = ? AND customer = ?";
            execute(connection, text, (channel, customer))
        }
    }
}

/// Reads every page of the tables that are read whole, or without which nobody may go on. Else a page of
/// them is met later, by whoever is the first to need it. Counting reads no more of a row than its key;
/// a long record lies on pages of its own.
pub(super) fn look_at_pages(connection: &Connection) -> rusqlite::Result<()> {
    for text in [
        "SELECT count(*) FROM counters",
        "SELECT count(*) FROM forgotten",
        "SELECT body FROM documents",
        "SELECT record FROM operators",
    ] {
        let mut statement = connection.prepare(text)?;
        let mut rows = statement.query(())?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// The documents that are not what was written, each as what is wrong with it.
pub(super) fn damaged_documents(connection: &Connection) -> rusqlite::Result<Vec<RecordError>> {
    let mut statement = connection.prepare("SELECT kind, id, version, body FROM documents")?;
    let mut rows = statement.query(())?;
    let mut damaged = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, id): (String, String) = (row.get(0)?, row.get(1)?);
        let (slot, body) = (Slot::Document(&kind, &id, row.get(2)?), row.get::<_, Vec<u8>>(3)?);
        match record::unseal(slot, &body) {
            Ok(_) | Err(RecordError::Newer { .. }) => {}
            Err(error) => damaged.push(error),
        }
    }
    Ok(damaged)
}

/// Whether any customer ever had a chat on the channel.
pub(super) fn any_of(connection: &Connection, channel: ChannelId) -> rusqlite::Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM conversations WHERE channel = ?1)";
    connection.prepare_cached(text)?.query_row([channel.0.as_bytes().as_slice()], |row| row.get(0))
}

pub(super) fn latest(connection: &Connection, of: Customer) -> rusqlite::Result<Option<ChatId>> {
    connection
        .prepare_cached("SELECT chat FROM conversations WHERE channel = ? AND customer = ?")?
        .query_row((of.channel.0.as_bytes(), of.id.0.as_bytes()), |row| id(row, 0))
        .optional()
        .map(|found| found.map(ChatId))
}

/// An operator's record as it is stored.
pub(super) fn operator(
    connection: &Connection,
    operator: UserId,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT record FROM operators WHERE operator = ?")?
        .query_row([operator.0.as_bytes()], |row| row.get(0))
        .optional()
}

pub(super) fn save_operator(
    connection: &Connection,
    operator: UserId,
    sealed: &[u8],
) -> rusqlite::Result<()> {
    let text = "INSERT INTO operators (operator, record) VALUES (?, ?) \
                ON CONFLICT DO UPDATE SET record = excluded.record";
    execute(connection, text, (operator.0.as_bytes(), sealed))
}

pub(super) fn load_watermarks(
    connection: &Connection,
    chat: ChatId,
) -> Result<BTreeMap<Party, Watermark>, ReadError> {
    let mut statement = connection
        .prepare_cached("SELECT party, delivered, read FROM watermarks WHERE chat = ?")?;
    let mut rows = statement.query([chat.0.as_bytes()])?;
    let mut marks = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let key: Vec<u8> = row.get(0)?;
        let party = record::decode_party(&key).ok_or_else(|| {
            ReadError::Missing(format!("a watermark of chat {chat} names no party"))
        })?;
        let mark = Watermark { delivered: row.get(1)?, read: row.get(2)? };
        marks.insert(party, mark);
    }
    Ok(marks)
}

pub(super) fn raise_watermarks(
    connection: &Connection,
    chat: ChatId,
    marks: &BTreeMap<Party, Watermark>,
) -> rusqlite::Result<()> {
    let text = "INSERT INTO watermarks (chat, party, delivered, read) VALUES (?, ?, ?, ?) \
                ON CONFLICT DO UPDATE SET delivered = max(delivered, excluded.delivered), \
                                          read = max(read, excluded.read)";
    if sql::is_forgotten(connection, chat)? {
        return Ok(());
    }
    for (party, mark) in marks {
        // Nobody has read what was not delivered.
        let delivered = clamp(mark.delivered.max(mark.read));
        let key = record::encode_party(*party);
        execute(connection, text, (chat.0.as_bytes(), key, delivered, clamp(mark.read)))?;
    }
    Ok(())
}

pub(super) fn forget_watermarks(connection: &Connection, chat: ChatId) -> rusqlite::Result<()> {
    execute(connection, "DELETE FROM watermarks WHERE chat = ?", [chat.0.as_bytes()])
}

/// A row of `id, version, body`.
fn document(kind: &str, row: &Row<'_>) -> Result<Document, ReadError> {
    let (id, version, sealed): (String, u64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let body = record::unseal(Slot::Document(kind, &id, version), &sealed)?.to_vec();
    Ok(Document { id, version, body })
}

/// The same, of a listing.
fn listed(kind: &str, row: &Row<'_>) -> Result<Listed, ReadError> {
    let (id, version, sealed): (String, u64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let body = record::listed_body(Slot::Document(kind, &id, version), &sealed)?;
    Ok(Listed { id, version, body })
}

pub(super) fn get_document(
    connection: &Connection,
    kind: &str,
    id: &str,
) -> Result<Option<Document>, ReadError> {
    let mut statement = connection
        .prepare_cached("SELECT id, version, body FROM documents WHERE kind = ? AND id = ?")?;
    let mut rows = statement.query((kind, id))?;
    rows.next()?.map(|row| document(kind, row)).transpose()
}

/// The first documents of a kind.
const LIST_FIRST: &str =
    "SELECT id, version, body FROM documents WHERE kind = ? ORDER BY id LIMIT ?";
/// Those behind an id.
const LIST_AFTER: &str =
    "SELECT id, version, body FROM documents WHERE kind = ? AND id > ? ORDER BY id LIMIT ?";

pub(super) fn list_documents(
    connection: &Connection,
    kind: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Listed>, ReadError> {
    // Two statements: one for both would look at every document in front of the page again.
    let mut statement = connection.prepare_cached(match after {
        Some(_) => LIST_AFTER,
        None => LIST_FIRST,
    })?;
    let mut rows = match after {
        Some(after) => statement.query((kind, after, count(limit)))?,
        None => statement.query((kind, count(limit)))?,
    };
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(listed(kind, row)?);
    }
    Ok(found)
}

/// The version that a document has, if it is the expected one.
fn expect_version(
    connection: &Connection,
    kind: &str,
    id: &str,
    expected: u64,
) -> rusqlite::Result<Result<(), StoreError>> {
    let found = connection
        .prepare_cached("SELECT version FROM documents WHERE kind = ? AND id = ?")?
        .query_row((kind, id), |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    if found == expected {
        Ok(Ok(()))
    } else {
        Ok(Err(StoreError::VersionConflict { expected, found }))
    }
}

pub(super) fn put_document(
    connection: &Connection,
    kind: &str,
    id: &str,
    expected: u64,
    body: &[u8],
) -> rusqlite::Result<Result<u64, StoreError>> {
    if let Err(conflict) = expect_version(connection, kind, id, expected)? {
        return Ok(Err(conflict));
    }
    let version = expected + 1;
    let sealed = record::seal(Slot::Document(kind, id, version), body);
    let text = "INSERT INTO documents (kind, id, version, body) VALUES (?, ?, ?, ?) \
                ON CONFLICT DO UPDATE SET version = excluded.version, body = excluded.body";
    execute(connection, text, (kind, id, version, sealed))?;
    Ok(Ok(version))
}

pub(super) fn delete_document(
    connection: &Connection,
    kind: &str,
    id: &str,
    expected: u64,
) -> rusqlite::Result<Result<(), StoreError>> {
    if let Err(conflict) = expect_version(connection, kind, id, expected)? {
        return Ok(Err(conflict));
    }
    execute(connection, "DELETE FROM documents WHERE kind = ? AND id = ?", (kind, id))?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_documents_begins_where_the_last_one_ended() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("migrations/0001_first.sql")).unwrap();
        for (text, sought) in [(LIST_FIRST, "kind=?"), (LIST_AFTER, "kind=? AND id>?")] {
            // Its parameters do not matter for the way that it takes.
            let text = format!("EXPLAIN QUERY PLAN {text}").replace('?', "'1'");
            let plan: String = connection.query_row(&text, (), |row| row.get("detail")).unwrap();
            assert!(plan.contains("SEARCH") && plan.contains(sought), "{plan}");
        }
    }
}

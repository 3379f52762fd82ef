//! Which chat a customer is in. A write decides first and writes after, so that a refusal has written
//! nothing.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::domain::{ChannelId, ChatId, CommandId, Customer};
use crate::storage::{ClaimOpen, Conversations, StoreError};

use super::SqliteStore;
use super::sql::{ReadError, execute, id};

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
            claim_open(connection, customer, &command, chat, after).map(Ok)
        })
        .await
    }

    async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError> {
        self.readers.read(move |connection| Ok(latest(connection, customer)?)).await
    }

    async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError> {
        self.readers.read(move |connection| commands(connection, customer)).await
    }

    async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError> {
        let forget = move |connection: &_| forget_conversation(connection, customer, chat).map(Ok);
        self.write(forget).await
    }

    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError> {
        self.readers.read(move |connection| Ok(any_of(connection, channel)?)).await
    }
}

/// The compare-and-set. A repeat of a command that claimed gets its chat as an existing one.
fn claim_open(
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
fn forget_conversation(
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

/// Whether any customer ever had a chat on the channel.
fn any_of(connection: &Connection, channel: ChannelId) -> rusqlite::Result<bool> {
    let text = "SELECT EXISTS (SELECT 1 FROM conversations WHERE channel = ?1)";
    connection.prepare_cached(text)?.query_row([channel.0.as_bytes().as_slice()], |row| row.get(0))
}

fn latest(connection: &Connection, of: Customer) -> rusqlite::Result<Option<ChatId>> {
    connection
        .prepare_cached("SELECT chat FROM conversations WHERE channel = ? AND customer = ?")?
        .query_row((of.channel.0.as_bytes(), of.id.0.as_bytes()), |row| id(row, 0))
        .optional()
        .map(|found| found.map(ChatId))
}

//! Appends that write what stands beside the log in the same transaction.

use async_trait::async_trait;
use rusqlite::Connection;

use crate::domain::{ChannelId, ChatId, Recorded};
use crate::storage::record::{self, RecordError};
use crate::storage::{AppendError, Beside, ChatMoves, Claim, FeedPeriod, RowUpdate};

use super::{SqliteStore, ended, feed, open_chats};

#[async_trait]
impl ChatMoves for SqliteStore {
    async fn append(
        &self,
        claim: Claim,
        events: Vec<Recorded>,
        beside: Beside,
    ) -> Result<(), AppendError> {
        let beside = Encoded::of(&beside).map_err(|error| {
            // No repeat mends it, and the chat stays where it is.
            tracing::error!(chat = %claim.chat, %error, "a row of a chat cannot be written");
            AppendError::Unavailable { reason: error.to_string() }
        })?;
        self.append_with(claim, &events, beside).await
    }
}

/// What stands beside an append, encoded by its caller.
#[derive(Default)]
pub(super) struct Encoded {
    touched: Option<FeedPeriod>,
    rows: Vec<Row>,
}

enum Row {
    Open(open_chats::Sealed),
    Ended { channel: ChannelId, sealed: Vec<u8> },
    NotOpen,
}

impl Encoded {
    fn of(beside: &Beside) -> Result<Self, RecordError> {
        let rows = beside.rows.iter().map(Row::of);
        Ok(Self { touched: beside.touched, rows: rows.collect::<Result<_, _>>()? })
    }

    /// Bytes that it adds to a batch, roughly.
    pub fn size(&self) -> usize {
        let sizes = self.rows.iter().map(|row| match row {
            Row::Open(sealed) => sealed.record.len(),
            Row::Ended { sealed, .. } => sealed.len(),
            Row::NotOpen => 0,
        });
        sizes.sum()
    }

    /// Writes it, within the transaction of the append.
    pub fn write(&self, connection: &Connection, chat: ChatId) -> rusqlite::Result<()> {
        if let Some(period) = self.touched {
            feed::touch(connection, chat, period)?;
        }
        for row in &self.rows {
            match row {
                Row::Open(sealed) => open_chats::put_open_chat(connection, chat, sealed)?,
                Row::Ended { channel, sealed } => ended::put(connection, *channel, chat, sealed)?,
                Row::NotOpen => open_chats::remove_open_chat(connection, chat)?,
            }
        }
        Ok(())
    }
}

impl Row {
    fn of(row: &RowUpdate) -> Result<Self, RecordError> {
        Ok(match row {
            RowUpdate::Open(row) => Self::Open(open_chats::Sealed::of(row)?),
            RowUpdate::Ended(ended) => Self::Ended {
                channel: ended.customer.channel,
                sealed: record::encode_ended_chat(ended)?,
            },
            RowUpdate::NotOpen => Self::NotOpen,
        })
    }
}

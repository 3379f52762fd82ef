//! The port that knows which chats have ended and when, so that whoever keeps chats for so many days
//! finds those whose time has come without reading logs.
//!
//! All of it follows from the logs ([`EndedChat`] says what of them): a store in which something is
//! missing is filled from them. Rows are found by the time in a chat's id, that of its making: an id
//! is known to whoever forgets the chat, and the time of its end is not.

use serde::{Deserialize, Serialize};

use crate::domain::{ChannelId, ChatId, Customer, Timestamp};

use super::documents::Remembered;
use super::port::port;
use super::{Cursor, Documents, StoreError};

/// A chat that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedChat {
    /// The chat.
    pub chat: ChatId,
    /// Whose it was, by which channel.
    pub customer: Customer,
    /// When it ended.
    pub at: Timestamp,
}

/// A row as it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedRow {
    /// The chat.
    pub chat: ChatId,
    /// What the row says; none when it cannot be read. The log tells it anew.
    pub ended: Option<EndedChat>,
}

port! {
    /// The chats that have ended and are not forgotten.
    pub trait EndedChats {
        /// Writes down that the chat has ended; over what was there. Durable when it answers. To be done
        /// before its row among the open chats is removed, so that a crash leaves one of the two.
        async fn put(&self, ended: EndedChat) -> Result<(), StoreError>;

        /// Removes the row of a chat of the channel, if there is one. May be repeated.
        async fn remove(&self, channel: ChannelId, chat: ChatId) -> Result<(), StoreError>;

        /// Up to `limit` rows of a channel in the order of their chats, beginning after `after`: of chats
        /// whose ids were made before `made_before`. No chat ends before it is made. Fewer than `limit`
        /// are the last ones.
        async fn scan(
            &self,
            channel: ChannelId,
            after: Option<ChatId>,
            made_before: Timestamp,
            limit: usize,
        ) -> Result<Vec<EndedRow>, StoreError>;
    }
}

/// The kind of the document that says how far the rows are filled. It goes into no export: an import
/// writes logs, not rows.
pub(crate) const KIND: &str = "ended_chats";

/// The id of that document.
const ID: &str = "1";

/// How far the rows of chats that ended without one are filled from the logs. Such chats are those of a
/// release that knew of no rows, of an import, and of what a repair could not read.
///
/// Invariant: a filling counts only for the process that it is said by and the one after it, for what
/// runs in between may be a release that writes no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Where the walk over all chats goes on.
    pub at: Option<Cursor>,
    /// Whether it has come to its end.
    pub whole: bool,
    process: u64,
    document: Remembered,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilledRecord {
    process: u64,
    at: Option<Vec<u8>>,
    whole: bool,
}

impl Filled {
    /// As the process before this one left it, or from the beginning; said by this process from now on.
    /// Durable when it answers.
    pub async fn load(documents: &dyn Documents, process: u64) -> Result<Self, StoreError> {
        let (document, said) = Remembered::load::<FilledRecord>(documents, KIND, ID).await?;
        let counts = |said: &FilledRecord| said.process + 1 == process || said.process == process;
        let (at, whole) = match said.filter(counts) {
            Some(said) => (said.at.map(Cursor::new), said.whole),
            None => (None, false),
        };
        let mut filled = Self { at, whole, process, document };
        filled.save(documents).await?;
        Ok(filled)
    }

    /// Makes it durable.
    pub async fn save(&mut self, documents: &dyn Documents) -> Result<(), StoreError> {
        let at = self.at.as_ref().map(|at| at.raw().to_vec());
        let record = FilledRecord { process: self.process, at, whole: self.whole };
        self.document.save(documents, &record).await
    }
}

//! The port that says what a whole store holds, so that it can be copied into another one.
//!
//! Owns the listings that no other port has, and the one write that a copy needs besides the other
//! ports' writes. Refuses to be used while a router runs on the store: a listing that is read
//! while things change may miss what changed.

use crate::domain::{ChatId, CommandId, Customer, UserId};

use super::port::port;
use super::{Document, StoreError};

/// Where a listing goes on. Only the adapter that made it knows what it says (a key, a token of a
/// ring), and only for the same listing of the same store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

impl Cursor {
    /// What an adapter wants to find again.
    pub fn new(raw: impl Into<Vec<u8>>) -> Self {
        Self(raw.into())
    }

    /// What it was made of.
    pub fn raw(&self) -> &[u8] {
        &self.0
    }
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Some of the items; it may be empty in the middle of a listing.
    pub items: Vec<T>,
    /// Where the next page begins; none after the last one.
    pub next: Option<Cursor>,
}

/// All that is known of a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The customer.
    pub customer: Customer,
    /// The customer's latest chat: that of one of the commands.
    pub latest: ChatId,
    /// Every command that ever claimed, with its chat, in the order of the commands' texts; as many
    /// as the customer opened chats.
    pub commands: Vec<(CommandId, ChatId)>,
}

port! {
    /// What a store holds.
    ///
    /// A listing is read page by page from `None` on, `limit` (at least 1) items a page at most; each
    /// item comes once. Its order is unspecified, for a distributed store reads its partitions in the
    /// order of their tokens; while nothing is written it is the same every time.
    pub trait Inventory {
        /// The chats with at least one event.
        async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError>;

        /// The chats with at least one watermark.
        async fn watched(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError>;

        /// The customers who ever opened a chat.
        async fn conversations(
            &self,
            at: Option<&Cursor>,
            limit: usize,
        ) -> Result<Page<Conversation>, StoreError>;

        /// The operators with a record.
        async fn operators(
            &self,
            at: Option<&Cursor>,
            limit: usize,
        ) -> Result<Page<UserId>, StoreError>;

        /// The kinds of which there is a document, in the order of their names. There are about ten.
        async fn document_kinds(&self) -> Result<Vec<String>, StoreError>;

        /// The number that the last process got; 0 when there was none.
        async fn last_process(&self) -> Result<u64, StoreError>;

        /// Writes a document as it is, with its version; durable when it answers. No effect when that
        /// very version is there; errors with `VersionConflict` (expected 0) when another one is.
        async fn restore(&self, kind: &str, document: Document) -> Result<(), StoreError>;
    }
}

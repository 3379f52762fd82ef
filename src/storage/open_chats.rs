//! The port of the index of open chats.

use std::collections::BTreeMap;

use super::StoreError;
use super::port::port;
use crate::domain::{
    ChatId, Place, Placement, Priority, QueueId, Reach, Timestamp, UserId, Weight,
};

/// One open chat, with all that a start needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenChat {
    /// The chat.
    pub chat: ChatId,
    /// Its queue, or the last one it was in.
    pub queue: QueueId,
    /// Its placement.
    pub placement: Placement,
    /// Its own priority.
    pub priority: Priority,
    /// How many slots it takes.
    pub weight: Weight,
    /// The first time of waiting.
    pub since: Timestamp,
    /// Who refused it, and when.
    pub refused_by: BTreeMap<UserId, Timestamp>,
    /// Where it is. None: about to be opened, nothing is in its log yet.
    pub place: Option<Place>,
    /// When it wants to be woken; never later than its log says.
    pub next_deadline: Option<Timestamp>,
    /// Set while a change of place may be under way.
    pub moving: Option<Moving>,
}

impl OpenChat {
    /// As it is kept in a store: without the members to whom it is offered. An offer does not outlive
    /// its process, so that nobody asks for them, and there may be a thousand.
    pub fn kept(mut self) -> Self {
        if let Some(Place::Offered(offer)) = &mut self.place
            && offer.reach == Reach::ToAll
        {
            (offer.to, offer.returned) = Default::default();
        }
        self
    }
}

/// A change of place that may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moving {
    /// Who owns the chat when it comes true, if anybody.
    pub to: Option<UserId>,
}

port! {
    /// The index of open chats: one row a chat, read once at the start of the process. A row that is
    /// not marked as moving is exact in where the chat is. What else it says (whether the owner has
    /// begun, the priority) may be older when a write was lost with its process, until the chat wakes.
    pub trait OpenChats {
        /// Writes the row anew, without a mark unless it has one.
        async fn put(&self, row: OpenChat) -> Result<(), StoreError>;

        /// Marks the row; durable when it answers. No effect when there is no row.
        async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError>;

        /// Removes the row, if there is one; this also forgets it. Whoever writes it anew afterwards is
        /// an actor that has not heard of the end yet, and removes it when it has.
        async fn remove(&self, chat: ChatId) -> Result<(), StoreError>;

        /// Up to `limit` rows in the order of their chats, beginning after `after`; without those that
        /// cannot be read.
        async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError>;

        /// The chats whose rows a scan came upon and could not read, until they are written or removed.
        /// Their logs say what belongs there.
        async fn damaged(&self) -> Result<Vec<ChatId>, StoreError> {
            Ok(Vec::new())
        }
    }
}

//! The port of the watermarks: how far the participants of a chat have come.

use std::collections::BTreeMap;

use super::StoreError;
use super::port::port;
use crate::domain::{ChatId, Party, Seq};

/// How far a participant has come in a chat. Both only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermark {
    /// Delivered up to this position.
    pub delivered: Seq,
    /// Read up to this position; at most `delivered`.
    pub read: Seq,
}

port! {
    /// The watermarks of the chats' participants.
    pub trait Watermarks {
        /// All of one chat.
        async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError>;

        /// Raises each given watermark to at least the given value; never lowers one. Durable when it
        /// answers.
        async fn raise(
            &self,
            chat: ChatId,
            watermarks: BTreeMap<Party, Watermark>,
        ) -> Result<(), StoreError>;

        /// Removes all of a chat whose log is forgotten; a late raise brings none back. May be repeated.
        async fn forget(&self, chat: ChatId) -> Result<(), StoreError>;
    }
}

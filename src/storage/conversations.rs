//! The port that knows which chat a customer is in.

use super::StoreError;
use super::port::port;
use crate::domain::{ChannelId, ChatId, CommandId, Customer};

/// What a claim of a conversation answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOpen {
    /// The new chat is the customer's open chat.
    Claimed,
    /// Another chat is, or the command opened that one.
    Existing(ChatId),
}

port! {
    /// Which chat a customer is in.
    pub trait Conversations {
        /// A compare-and-set: makes `chat` the customer's chat if the present one is
        /// `after`, or if there never was one. A repeat of a command that once claimed gets the chat of
        /// that time as an existing one, whatever came after; also when it is `after` itself, and in
        /// no other way is `after` ever answered.
        async fn claim_open(
            &self,
            customer: Customer,
            command: &CommandId,
            chat: ChatId,
            after: Option<ChatId>,
        ) -> Result<ClaimOpen, StoreError>;

        /// The customer's latest chat.
        async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError>;

        /// Every command by which the customer ever claimed a chat, with its chat, but
        /// for those that were forgotten; in the order of the commands' texts.
        async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError>;

        /// Forgets a chat of the customer's, for good: its commands claim anew, and when it is the
        /// latest, the one before it is, if any. May be repeated.
        async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError>;

        /// Whether any customer ever had a chat on the channel. May still say so when all of them are
        /// forgotten.
        async fn any(&self, channel: ChannelId) -> Result<bool, StoreError>;
    }
}

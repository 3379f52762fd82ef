//! Forgetting what there is of a customer: chats that are open are ended first, those concerned are
//! told, the actors let go of what they hold, and then the store forgets.
//!
//! Invariant: a chat that was forgotten is never opened again. What its customer still sends to it
//! goes on in the customer's present chat, or in a new one.

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::domain::{ChatId, CommandId, Customer, Person, Profile};
use crate::machine::chat::{Author, ChatCall, Refusal};
use crate::storage::{StoreError, Trace, forget_chats};
use crate::telemetry;

use super::charges::Opens;
use super::limits::AGAIN_AFTER;
use super::message::ChatMessage;
use super::retention::read_chat;
use super::router::{CallError, Router};

/// Who ends the chats of an erased customer.
const BY: Author = Author { person: Person::System, chat_administrator: true };

impl Router {
    /// Every chat that a customer has or had, but for those that are forgotten.
    pub async fn chats_of(&self, customer: Customer) -> Result<Vec<ChatId>, CallError> {
        let commands = self.within(self.store().conversations.commands(customer)).await?;
        let mut chats: Vec<ChatId> = commands.into_iter().map(|(_, chat)| chat).collect();
        chats.sort_unstable();
        chats.dedup();
        Ok(chats)
    }

    /// Ends those of a customer's chats that are open, so that whoever is concerned hears of it. One whose
    /// log is damaged cannot be ended: it leaves the index of open chats, for nobody can serve it.
    pub async fn end_to_erase(&self, chats: &[ChatId]) -> Result<(), CallError> {
        for chat in chats {
            // Before it is asked: one that is damaged fails at once whenever it is started, and its asker
            // would wait for as long as a call may take.
            if self.is_damaged(*chat).await? {
                tracing::error!(%chat, "a damaged chat cannot be ended; it is forgotten as it is");
                self.shared.index(*chat, |index| index.drop_unreadable(*chat));
                self.within(self.store().open_chats.remove(*chat)).await?;
                continue;
            }
            let end = ChatCall::End { by: BY, command: CommandId::erases(*chat) };
            match self.call_chat(*chat, end).await {
                // It had ended, or was claimed and never opened, or is forgotten already.
                Ok(_) | Err(CallError::Refused(Refusal::Ended { .. } | Refusal::UnknownChat)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Forgets chats of a customer and all that is known of them, for good; at most
    /// [`FORGET_SLICE`](super::limits::FORGET_SLICE). Those that are still open are ended first. May be
    /// repeated, and goes on where it was interrupted. Revoke the customer's tokens before: a chat that
    /// is opened meanwhile may stay.
    pub async fn erase(&self, customer: Customer, chats: &[ChatId]) -> Result<(), CallError> {
        self.end_to_erase(chats).await?;
        let chats: Vec<_> = chats.iter().map(|chat| (*chat, customer)).collect();
        self.forget_ended(&chats).await
    }

    /// Forgets whom entries of the audit trail were about, when it was this customer.
    pub async fn erase_from_trail(&self, customer: Customer) -> Result<(), CallError> {
        self.within(self.store().audit.forget_customer(customer.channel, customer.id)).await
    }

    /// Forgets chats that have ended, with their customers. One that is not let go of hinders no other;
    /// then its error is answered when all others are forgotten.
    pub(super) async fn forget_ended(&self, chats: &[(ChatId, Customer)]) -> Result<(), CallError> {
        let (mut traces, mut held) = (Vec::with_capacity(chats.len()), None);
        // All at once: each may take as long as a call.
        let gone = join_all(chats.iter().map(|(chat, _)| self.let_go(*chat))).await;
        for ((chat, customer), gone) in chats.iter().zip(gone) {
            match gone {
                Ok(()) => traces.push(Trace::new(*chat, *customer)),
                Err(error) => {
                    tracing::warn!(%chat, %error, "a chat is not let go of; it is forgotten later");
                    held = Some(error);
                }
            }
        }
        {
            // One at a time: what is being forgotten is written down in one place.
            let _alone = self.shared.forgetting.lock().await;
            self.within(forget_chats(self.store(), &traces)).await?;
        }
        telemetry::chats_forgotten(traces.len() as u64);
        held.map_or(Ok(()), Err)
    }

    /// Where a customer goes on who writes to a chat that was forgotten: in the present chat, or in
    /// a new one. None: the chat is not forgotten. The same chat again for a repeat.
    pub async fn instead_of_forgotten(
        &self,
        forgotten: ChatId,
        customer: Customer,
        profile: &Profile,
        opens: &dyn Opens,
    ) -> Result<Option<ChatId>, CallError> {
        if !self.is_forgotten(forgotten).await? {
            return Ok(None);
        }
        let command = CommandId::after(forgotten);
        let (chat, _) = self.open(customer, &command, profile, opens).await?;
        Ok(Some(chat))
    }

    /// Whether the chat was forgotten.
    pub(super) async fn is_forgotten(&self, chat: ChatId) -> Result<bool, CallError> {
        self.within(self.store().log.is_forgotten(chat)).await
    }

    /// Whether the chat's log cannot be read, whoever asks.
    async fn is_damaged(&self, chat: ChatId) -> Result<bool, CallError> {
        let read = async {
            match read_chat(self.store(), chat).await {
                Err(StoreError::Damaged { .. }) => Ok(true),
                read => read.map(|_| false),
            }
        };
        self.within(read).await
    }

    /// Has the chat's actor, if there is one, let go of what it knows, once everybody concerned has
    /// heard of the end. One whose log is damaged knows nothing.
    async fn let_go(&self, chat: ChatId) -> Result<(), CallError> {
        match self.ask_to_let_go(chat).await {
            Err(_) if self.is_damaged(chat).await? => Ok(()),
            asked => asked,
        }
    }

    async fn ask_to_let_go(&self, chat: ChatId) -> Result<(), CallError> {
        let until = Instant::now() + self.options.call_limit;
        while self.shared.chats.contains(chat) {
            let gone = self.ask_until(|reply| {
                self.shared.call_chat(chat, |permit| ChatMessage::LetGo(reply, permit))
            });
            if gone.await? {
                break;
            }
            if Instant::now() >= until {
                return Err(CallError::Unavailable);
            }
            sleep(AGAIN_AFTER).await;
        }
        Ok(())
    }
}

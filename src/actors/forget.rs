//! Forgetting what there is of a customer: chats that are open are ended first, those concerned are
//! told, the actors let go of what they hold, and then the store forgets.
//!
//! Invariant: a chat that was forgotten is never opened again. What its customer still sends to it
//! goes on in the customer's present chat, or in a new one.

use tokio::time::{Instant, sleep};

use crate::domain::{ChatId, CommandId, Customer, Person, Profile};
use crate::machine::chat::{Author, ChatCall, Refusal};
use crate::storage::{Trace, forget_chats};
use crate::telemetry;

use super::chat::ChatMessage;
use super::intake::Opens;
use super::limits::AGAIN_AFTER;
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

    /// Ends those of a customer's chats that are open, so that whoever is concerned hears of it.
    pub async fn end_to_erase(&self, chats: &[ChatId]) -> Result<(), CallError> {
        for chat in chats {
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

    /// Forgets chats that have ended, with their customers.
    pub(super) async fn forget_ended(&self, chats: &[(ChatId, Customer)]) -> Result<(), CallError> {
        for (chat, _) in chats {
            self.let_go(*chat).await?;
        }
        let traces: Vec<Trace> =
            chats.iter().map(|(chat, customer)| Trace::new(*chat, *customer)).collect();
        // One at a time: what is being forgotten is written down in one place.
        let _alone = self.shared.forgetting.lock().await;
        self.within(forget_chats(self.store(), &traces)).await?;
        telemetry::chats_forgotten(chats.len() as u64);
        Ok(())
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

    /// Has the chat's actor, if there is one, let go of what it knows, once everybody concerned has
    /// heard of the end.
    async fn let_go(&self, chat: ChatId) -> Result<(), CallError> {
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

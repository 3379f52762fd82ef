//! How a customer comes into a chat: at most one open chat a customer, whoever asks,
//! however often, from however many tabs (design §5, "Claim of a conversation").
//!
//! The claim comes first, then the chat; whoever meets a claimed chat with an empty log opens it.
//! So a crash in between leaves nothing behind that the next call does not finish.
//!
//! Invariant: a chat goes on only in one that was claimed after it. What follows an ended chat is
//! claimed under a command of that chat's own ([`CommandId::after`]), never under the client's: that
//! one may have claimed a chat before, and may be repeated after the chat that it claimed has ended.

use std::sync::Arc;

use tokio::time::Instant;

use crate::domain::{ChatId, CommandId, Customer, MessageText, Person, Priority, QueueId};
use crate::machine::chat::{Answer, Author, ChatCall, Refusal};
use crate::storage::ClaimOpen;
use crate::telemetry;

use super::limits::{CLAIM_TRIES, CONTINUATIONS_MAX};
use super::router::{CallError, Router};
use super::ways::Way;

/// Who comes, by which way.
#[derive(Debug, Clone)]
struct Arrival {
    customer: Customer,
    queue: QueueId,
    priority: Priority,
    /// For as long as this goes on, the channel is not deleted.
    _way: Arc<Way>,
}

impl Router {
    /// The customer's open chat; opened if there is none. Repeats of a command get
    /// the chat of its first time, even when that has ended.
    pub async fn open(
        &self,
        customer: Customer,
        command: &CommandId,
        priority: Priority,
    ) -> Result<(ChatId, Answer), CallError> {
        let (queue, _way) = self.queue_of(customer.channel)?;
        let arrival = Arrival { customer, queue, priority, _way };
        self.arrive(&arrival, command, None).await
    }

    /// Writes into a chat. A customer who writes after the end goes on in another chat, which the
    /// answer names. Every ended chat on the way there is asked, for the message may be in it: so a
    /// repeat finds its first answer. Errors with `Ended` and the chat that it got to when there are
    /// more than [`CONTINUATIONS_MAX`] on the way.
    pub async fn send(
        &self,
        by: Author,
        chat: ChatId,
        id: &CommandId,
        text: &MessageText,
    ) -> Result<(ChatId, Answer), CallError> {
        let started = Instant::now();
        let (mut ended, mut chat) = (None, chat);
        for _ in 0..=CONTINUATIONS_MAX {
            let wanted = ChatCall::Send { by, id: id.clone(), text: text.clone() };
            let refused = match self.call_chat(chat, wanted).await {
                Ok(answer) => {
                    telemetry::message_durable(started.elapsed());
                    return Ok((chat, answer));
                }
                Err(error) => error,
            };
            match (refused, by.person, ended) {
                (
                    CallError::Refused(Refusal::Ended { continued_in, .. }),
                    Person::Customer(customer),
                    _,
                ) => {
                    let next = match continued_in {
                        Some(next) => next,
                        None => self.go_on(chat, customer).await?,
                    };
                    (ended, chat) = (Some(chat), next);
                }
                // A continuation that has been named and not opened.
                (
                    CallError::Refused(Refusal::UnknownChat),
                    Person::Customer(customer),
                    Some(ended),
                ) => chat = self.ensure_open(chat, ended, customer).await?,
                (refused, _, _) => return Err(refused),
            }
        }
        let got_to = Refusal::Ended { visitor_left: false, continued_in: Some(chat) };
        Err(CallError::Refused(got_to))
    }

    /// The chat in which a customer goes on after the end of another.
    async fn go_on(&self, ended: ChatId, customer: Customer) -> Result<ChatId, CallError> {
        let arrival = self.arrival_after(ended, customer).await?;
        let (next, _) = self.arrive(&arrival, &CommandId::after(ended), Some(ended)).await?;
        match self.call_chat(ended, ChatCall::Continue { chat: next }).await {
            Ok(_) => Ok(next),
            Err(CallError::Refused(Refusal::Ended { continued_in: Some(other), .. })) => {
                self.ensure_open(other, ended, customer).await
            }
            Err(error) => Err(error),
        }
    }

    /// A chat that another names as its continuation may have been claimed and not opened.
    async fn ensure_open(
        &self,
        chat: ChatId,
        ended: ChatId,
        customer: Customer,
    ) -> Result<ChatId, CallError> {
        let arrival = self.arrival_after(ended, customer).await?;
        let command = CommandId::after(ended);
        match self.open_claimed(&arrival, chat, &command, Some(ended)).await {
            Ok(_) => Ok(chat),
            Err(CallError::Refused(Refusal::UnknownChat)) if self.is_forgotten(chat).await? => {
                let (next, _) = self.arrive(&arrival, &command, Some(ended)).await?;
                Ok(next)
            }
            Err(error) => Err(error),
        }
    }

    async fn arrival_after(&self, ended: ChatId, customer: Customer) -> Result<Arrival, CallError> {
        let view = self.look(ended).await?;
        let opened = view.opened.ok_or(CallError::Refused(Refusal::UnknownChat))?;
        if opened.customer != customer {
            return Err(CallError::Refused(Refusal::NotYours));
        }
        let (queue, _way) = self.queue_of(customer.channel)?;
        Ok(Arrival { customer, queue, priority: view.priority, _way })
    }

    async fn arrive(
        &self,
        arrival: &Arrival,
        command: &CommandId,
        after: Option<ChatId>,
    ) -> Result<(ChatId, Answer), CallError> {
        let fresh = Self::new_chat();
        let mut after = after;
        for _ in 0..CLAIM_TRIES {
            let conversations = &self.store().conversations;
            let claim = conversations.claim_open(arrival.customer, command, fresh, after);
            let claimed = self.within(claim).await?;
            let (chat, mine) = match claimed {
                ClaimOpen::Claimed => (fresh, true),
                // It may be replaced, and yet it is answered: this command has claimed it. Who then
                // opened it is no matter; it may have been another tab.
                ClaimOpen::Existing(chat) => (chat, after == Some(chat)),
            };
            let answer = match self.open_claimed(arrival, chat, command, after).await {
                // It is being forgotten: nothing of it stands in the way of another.
                Err(CallError::Refused(Refusal::UnknownChat))
                    if self.is_forgotten(chat).await? =>
                {
                    self.within(conversations.forget(arrival.customer, chat)).await?;
                    continue;
                }
                answer => answer?,
            };
            if mine || !self.look(chat).await?.state.is_some_and(|state| state.is_final()) {
                return Ok((chat, answer));
            }
            after = Some(chat);
        }
        Err(CallError::Unavailable)
    }

    /// Opens a claimed chat; one that is open already answers as it did the first time.
    async fn open_claimed(
        &self,
        arrival: &Arrival,
        chat: ChatId,
        command: &CommandId,
        continues: Option<ChatId>,
    ) -> Result<Answer, CallError> {
        let wanted = ChatCall::Open {
            customer: arrival.customer,
            command: command.clone(),
            queue: arrival.queue,
            priority: arrival.priority,
            continues: continues.filter(|ended| *ended != chat),
        };
        self.call_chat(chat, wanted).await
    }
}

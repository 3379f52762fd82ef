//! How a customer comes into a chat: at most one open chat a customer, whoever asks,
//! however often, from however many tabs.
//!
//! The claim comes first, then the chat; whoever meets a claimed chat with an empty log opens it.
//! So a crash in between leaves nothing behind that the next call does not finish.
//!
//! Invariant: a chat goes on only in one that was claimed after it. What follows an ended chat is
//! claimed under a command of that chat's own ([`CommandId::after`]), never under the client's: that
//! one may have claimed a chat before, and may be repeated after the chat that it claimed has ended.

use std::sync::Arc;

use tokio::time::Instant;

use crate::domain::{ChatId, CommandId, Customer, MessageText, Person, Profile, QueueId};
use crate::machine::chat::{Answer, Author, ChatCall, Refusal};
use crate::storage::ClaimOpen;
use crate::telemetry;

use super::charges::Opens;
use super::limits::{CLAIM_TRIES, CONTINUATIONS_MAX};
use super::router::{CallError, Router};
use super::ways::Way;

/// Who comes, by which way.
#[derive(Clone)]
struct Arrival<'a> {
    customer: Customer,
    queue: QueueId,
    profile: Profile,
    opens: &'a dyn Opens,
    /// For as long as this goes on, the channel is not deleted.
    _way: Arc<Way>,
}

impl Router {
    /// The customer's open chat; opened if there is none. Repeats of a command get
    /// the chat of its first time, even when that has ended. Either way `profile` counts in an open
    /// chat, if it is later than what the chat knows.
    pub async fn open(
        &self,
        customer: Customer,
        command: &CommandId,
        profile: &Profile,
        opens: &dyn Opens,
    ) -> Result<(ChatId, Answer), CallError> {
        let (queue, _way) = self.queue_of(customer.channel)?;
        let arrival = Arrival { customer, queue, profile: profile.clone(), opens, _way };
        self.arrive(&arrival, command, None).await
    }

    /// Writes messages into a chat, one behind the other, and answers each: `Unavailable` for one means so for
    /// all behind it. Of a customer's, one that has not gone into this chat is to be [sent](Self::send) to
    /// where the customer goes on, and so are those behind it.
    pub async fn send_all(
        &self,
        by: Author,
        chat: ChatId,
        messages: &[(CommandId, MessageText)],
        profile: Option<&Profile>,
    ) -> Vec<Result<Answer, CallError>> {
        if messages.is_empty() {
            return Vec::new();
        }
        let started = Instant::now();
        let send = |(id, text): &(CommandId, MessageText)| {
            let (id, text, profile) = (id.clone(), text.clone(), profile.cloned());
            ChatCall::Send { by, id, text, profile }
        };
        let wanted: Vec<ChatCall> = messages.iter().map(send).collect();
        let answers = async {
            self.must_exist(chat).await?;
            self.ask_chat(chat, &wanted, None).await
        };
        let answers = match answers.await {
            Ok(answers) => answers,
            Err(error) => return messages.iter().map(|_| Err(error)).collect(),
        };
        for _ in answers.iter().flatten() {
            telemetry::message_durable(started.elapsed());
        }
        answers.into_iter().map(|answer| answer.map_err(CallError::from)).collect()
    }

    /// Writes into a chat. A customer who writes after the end goes on in another chat, which the
    /// answer names. Every ended chat on the way there is asked, for the message may be in it: so a
    /// repeat finds its first answer. The other chat begins with the latest that is known of the
    /// customer: `profile`, or what the ended one knew. Errors with `Ended` and the chat that it got to when there are
    /// more than [`CONTINUATIONS_MAX`] on the way.
    pub async fn send(
        &self,
        by: Author,
        chat: ChatId,
        id: &CommandId,
        text: &MessageText,
        opens: &dyn Opens,
        profile: Option<&Profile>,
    ) -> Result<(ChatId, Answer), CallError> {
        let started = Instant::now();
        let (mut ended, mut chat) = (None, chat);
        for _ in 0..=CONTINUATIONS_MAX {
            let (id, text, token) = (id.clone(), text.clone(), profile.cloned());
            let wanted = ChatCall::Send { by, id, text, profile: token };
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
                        None => self.go_on(chat, (customer, profile), opens).await?,
                    };
                    (ended, chat) = (Some(chat), next);
                }
                // A continuation that has been named and not opened.
                (
                    CallError::Refused(Refusal::UnknownChat),
                    Person::Customer(customer),
                    Some(ended),
                ) => chat = self.ensure_open(chat, ended, (customer, profile), opens).await?,
                (refused, _, _) => return Err(refused),
            }
        }
        let got_to = Refusal::Ended { visitor_left: false, continued_in: Some(chat) };
        Err(CallError::Refused(got_to))
    }

    /// The chat in which a customer goes on after the end of another.
    async fn go_on(
        &self,
        ended: ChatId,
        comes: (Customer, Option<&Profile>),
        opens: &dyn Opens,
    ) -> Result<ChatId, CallError> {
        let arrival = self.arrival_after(ended, comes, opens).await?;
        let (next, _) = self.arrive(&arrival, &CommandId::after(ended), Some(ended)).await?;
        match self.call_chat(ended, ChatCall::Continue { chat: next }).await {
            Ok(_) => Ok(next),
            Err(CallError::Refused(Refusal::Ended { continued_in: Some(other), .. })) => {
                self.ensure_open(other, ended, comes, opens).await
            }
            Err(error) => Err(error),
        }
    }

    /// A chat that another names as its continuation may have been claimed and not opened.
    async fn ensure_open(
        &self,
        chat: ChatId,
        ended: ChatId,
        comes: (Customer, Option<&Profile>),
        opens: &dyn Opens,
    ) -> Result<ChatId, CallError> {
        let arrival = self.arrival_after(ended, comes, opens).await?;
        let command = CommandId::after(ended);
        match self.open_claimed(&arrival, (chat, false), &command, Some(ended)).await {
            Ok(_) => Ok(chat),
            Err(CallError::Refused(Refusal::UnknownChat)) if self.is_forgotten(chat).await? => {
                let (next, _) = self.arrive(&arrival, &command, Some(ended)).await?;
                Ok(next)
            }
            Err(error) => Err(error),
        }
    }

    async fn arrival_after<'a>(
        &self,
        ended: ChatId,
        (customer, profile): (Customer, Option<&Profile>),
        opens: &'a dyn Opens,
    ) -> Result<Arrival<'a>, CallError> {
        // It has told its customer that it has ended, and nobody else; it may be forgotten since.
        let view = self.look(ended).await?;
        if view.opened.is_none() {
            return Err(CallError::Refused(Refusal::UnknownChat));
        }
        let (queue, _way) = self.queue_of(customer.channel)?;
        let profile = profile.cloned().map_or(view.profile.clone(), |said| said.max(view.profile));
        Ok(Arrival { customer, queue, profile, opens, _way })
    }

    async fn arrive(
        &self,
        arrival: &Arrival<'_>,
        command: &CommandId,
        after: Option<ChatId>,
    ) -> Result<(ChatId, Answer), CallError> {
        let Arrival { customer, opens, .. } = *arrival;
        // Before anything is claimed: what is refused leaves nothing behind.
        if opens.look(customer).is_err() && !self.is_known(customer, command, after).await? {
            let give_back = opens.take(customer).map_err(CallError::TooManyOpenings)?;
            // There was room again.
            give_back();
        }
        let (fresh, mut arrival) = (Self::new_chat(), arrival.clone());
        let mut after = after;
        for _ in 0..CLAIM_TRIES {
            let conversations = &self.store().conversations;
            let claim = conversations.claim_open(arrival.customer, command, fresh, after);
            let claimed = self.within(claim).await?;
            let is_fresh = claimed == ClaimOpen::Claimed;
            let (chat, mine) = match claimed {
                ClaimOpen::Claimed => (fresh, true),
                // It may be replaced, and yet it is answered: this command has claimed it. Who then
                // opened it is no matter; it may have been another tab.
                ClaimOpen::Existing(chat) => (chat, after == Some(chat)),
            };
            let opened = self.open_claimed(&arrival, (chat, is_fresh), command, after);
            let answer = match opened.await {
                // It is being forgotten: nothing of it stands in the way of another.
                Err(CallError::Refused(Refusal::UnknownChat))
                    if self.is_forgotten(chat).await? =>
                {
                    self.within(conversations.forget(arrival.customer, chat)).await?;
                    continue;
                }
                answer => answer?,
            };
            if mine {
                return Ok((chat, answer));
            }
            let view = self.look(chat).await?;
            if !view.state.is_some_and(|state| state.is_final()) {
                return Ok((chat, answer));
            }
            // The one that follows begins with the latest that is known of the customer.
            arrival.profile = arrival.profile.max(view.profile);
            after = Some(chat);
        }
        Err(CallError::Unavailable)
    }

    /// Whether the command, or the customer's open chat, is answered without opening another one.
    async fn is_known(
        &self,
        customer: Customer,
        command: &CommandId,
        after: Option<ChatId>,
    ) -> Result<bool, CallError> {
        let conversations = &self.store().conversations;
        let latest = self.within(conversations.latest(customer)).await?;
        if let Some(latest) = latest.filter(|latest| Some(*latest) != after)
            && (self.shared.charges.covers(latest) || self.is_opened(latest).await?)
            && !self.look(latest).await?.state.is_some_and(|state| state.is_final())
        {
            return Ok(true);
        }
        let commands = self.within(conversations.commands(customer)).await?;
        match commands.into_iter().find(|(known, _)| known == command) {
            Some((_, chat)) => self.is_opened(chat).await,
            None => Ok(false),
        }
    }

    /// Opens a claimed chat; one that is open already answers as it did the first time, for nothing. One
    /// that is too many after all, since another was opened meanwhile, stays claimed: the customer's next
    /// call finds it and opens it then. `is_fresh`: this call has claimed it just now.
    async fn open_claimed(
        &self,
        arrival: &Arrival<'_>,
        (chat, is_fresh): (ChatId, bool),
        command: &CommandId,
        continues: Option<ChatId>,
    ) -> Result<Answer, CallError> {
        let wanted = ChatCall::Open {
            customer: arrival.customer,
            command: command.clone(),
            queue: arrival.queue,
            profile: arrival.profile.clone(),
            continues: continues.filter(|ended| *ended != chat),
        };
        // Of a chat that was claimed just now the index tells whether another call has opened it.
        let is_opened = async || match is_fresh {
            true => Ok(self.waits_since(chat).is_some()),
            false => self.is_opened(chat).await,
        };
        if is_opened().await? {
            return self.call_chat(chat, wanted).await;
        }
        let Arrival { customer, opens, .. } = *arrival;
        let charge = self.shared.charges.take(chat, customer, opens);
        let charge = charge.map_err(CallError::TooManyOpenings)?;
        // Another call may have opened it between the look and the charge.
        match is_opened().await {
            Ok(false) => {}
            Ok(true) => {
                charge.not_earned();
                return self.call_chat(chat, wanted).await;
            }
            Err(error) => {
                charge.not_earned();
                return Err(error);
            }
        }
        let opened = self.call_chat(chat, wanted).await;
        match opened {
            Ok(_) => drop(charge),
            Err(_) => charge.not_earned(),
        }
        opened
    }

    /// Whether a chat that was claimed has been opened, too.
    async fn is_opened(&self, chat: ChatId) -> Result<bool, CallError> {
        Ok(self.waits_since(chat).is_some() || !self.log(chat, 1, 1).await?.is_empty())
    }
}

//! Messages that a client sends into a chat, those that have come in one go together.
//!
//! Invariant: when one has to be sent again, none behind it has been written.

use std::pin::pin;

use super::caller::Caller;
use super::calls::Answer;
use super::carry::{answer, later_ms};
use super::refusals::refused;
use crate::actors::CallError;
use crate::domain::{ChatId, CommandId, MessageText};
use crate::machine::chat::{self, Author, Refusal};
use crate::protocol::answer::MessageSentFrame;
use crate::protocol::params::MessageSendFrame;
use crate::protocol::{ErrorFrame, ErrorKind, Method, RequestId, Wire};

const METHOD: Method = Method::MessageSend;

/// What became of a message: where it stands, if it was written.
type Sent = Result<MessageSentFrame, ErrorFrame>;

/// A message whose text holds.
type Checked = Result<(CommandId, MessageText), ErrorFrame>;

/// Sends messages into one chat, and answers each.
pub(super) async fn send(by: &Caller, messages: Vec<(RequestId, MessageSendFrame)>) -> Vec<Answer> {
    let Some(chat) = messages.first().map(|(_, message)| message.chat.0) else {
        return Vec::new();
    };
    let checked =
        |message: MessageSendFrame| Ok((message.client_message_id.0, message.text.check()?));
    let (ids, messages): (Vec<RequestId>, Vec<Checked>) =
        messages.into_iter().map(|(id, message)| (id, checked(message))).unzip();
    let work = pin!(async { Ok(send_together(by, chat, messages).await) });
    match by.permitted(METHOD, work).await {
        Ok(sent) => ids.iter().zip(sent).map(|(id, sent)| answer(id, sent)).collect(),
        Err(error) => ids.iter().map(|id| answer::<()>(id, Err(error.clone()))).collect(),
    }
}

async fn send_together(by: &Caller, chat: ChatId, messages: Vec<Checked>) -> Vec<Sent> {
    let author = match by.author(METHOD) {
        Ok(author) => author,
        Err(error) => return messages.into_iter().map(|_| Err(error.clone())).collect(),
    };
    let profile = by.customer().ok().map(|(_, profile)| profile);
    let whole: Vec<_> = messages.iter().flatten().cloned().collect();
    let mut written = by.edge.router.send_all(author, chat, &whole, profile).await.into_iter();
    let mut sent: Vec<Sent> = Vec::with_capacity(messages.len());
    // Once one has not gone into this chat, each goes by itself, behind the one in front of it.
    let (mut by_itself, mut put_off) = (false, None::<ErrorFrame>);
    for message in messages {
        let outcome = match (message, &put_off) {
            (Err(bad), _) => Err(bad),
            (Ok(_), Some(error)) => Err(error.clone()),
            (Ok(message), None) => {
                let here = written.next().unwrap_or(Err(CallError::Unavailable));
                by_itself |= here.is_err_and(went_elsewhere);
                match here {
                    // On the heap, as whatever is seldom: it would be in the future of each message.
                    _ if by_itself => Box::pin(alone(by, author, chat, &message)).await,
                    Ok(answer) => Ok(frame(chat, answer)),
                    Err(error) => Err(Box::pin(by.hide(METHOD, chat, error)).await),
                }
            }
        };
        if let Err(error) = &outcome
            && later_ms(error).is_some()
        {
            put_off = Some(error.clone());
        }
        sent.push(outcome);
    }
    sent
}

/// Whether a message may stand in another chat, or go there.
fn went_elsewhere(error: CallError) -> bool {
    matches!(error, CallError::Refused(Refusal::Ended { .. } | Refusal::UnknownChat))
}

/// Sends a message to wherever its author goes on.
async fn alone(
    by: &Caller,
    author: Author,
    chat: ChatId,
    (id, text): &(CommandId, MessageText),
) -> Sent {
    let router = &by.edge.router;
    let profile = by.customer().ok().map(|(_, profile)| profile);
    let send = async |chat| match router.send(author, chat, id, text, by, profile).await {
        Ok(sent) => Ok(sent),
        Err(error) => Err(by.hide(METHOD, chat, error).await),
    };
    let (went, answer) = match send(chat).await {
        Err(refusal) if refusal.kind() == ErrorKind::NotFound => {
            send(instead(by, chat).await?.ok_or(refusal)?).await?
        }
        sent => sent?,
    };
    Ok(frame(went, answer))
}

/// Where a customer goes on who writes to a chat that was forgotten; none when it was not.
async fn instead(by: &Caller, chat: ChatId) -> Result<Option<ChatId>, ErrorFrame> {
    let Ok((customer, profile)) = by.customer() else { return Ok(None) };
    let router = &by.edge.router;
    let instead = router.instead_of_forgotten(chat, customer, profile, by).await;
    instead.map_err(refused)
}

fn frame(chat: ChatId, answer: chat::Answer) -> MessageSentFrame {
    MessageSentFrame { chat: Wire(chat), seq: answer.seq, at: answer.at.into() }
}

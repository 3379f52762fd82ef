//! Reads whole chats again, page by page, for verification.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use switchboard::domain::ChatId;
use switchboard::protocol::answer::ChatHistoryPageFrame;
use switchboard::protocol::event::ChatEventFrame;
use switchboard::protocol::{Call, ErrorKind};
use tokio::time::timeout;

use super::RunError;
use crate::client::chats::history;
use crate::client::{Client, Happening, Inbox, answer};

/// How long a server may be silent while it is read, s.
const SILENCE_LIMIT_S: u64 = 30;

/// Chats read at a time: fewer than the calls that may be without an answer.
const AT_A_TIME: usize = 32;

/// What a chat was read as: its events from the first to the last, or why it cannot be read.
pub type Read = Result<Vec<ChatEventFrame>, ErrorKind>;

/// Reads chats by a client whose session is open, or will be. Whatever else comes is dropped.
pub async fn read_whole(
    who: &str,
    client: &mut Client,
    inbox: &mut Inbox,
    chats: impl IntoIterator<Item = ChatId>,
) -> Result<BTreeMap<ChatId, Read>, RunError> {
    let mut left: VecDeque<ChatId> = chats.into_iter().collect();
    let mut pages: BTreeMap<ChatId, VecDeque<Vec<ChatEventFrame>>> = BTreeMap::new();
    let mut read = BTreeMap::new();
    loop {
        while pages.len() < AT_A_TIME {
            let Some(chat) = left.pop_front() else { break };
            pages.insert(chat, VecDeque::new());
            client.call(history(chat, None, None));
        }
        if pages.is_empty() {
            return Ok(read);
        }
        let (call, outcome) = next_answer(who, inbox).await?;
        let Call::ChatHistory(asked) = call else {
            continue;
        };
        let chat = asked.chat.0;
        let page = match outcome {
            Ok(raw) => answer::<ChatHistoryPageFrame>(&raw),
            Err(error) => {
                pages.remove(&chat);
                read.insert(chat, Err(error.data.name));
                continue;
            }
        };
        let page = page.ok_or(RunError::Answer("chat.history"))?;
        let Some(got) = pages.get_mut(&chat) else {
            continue;
        };
        got.push_front(page.events);
        match page.before {
            Some(before) => {
                client.call(history(chat, Some(before.0), None));
            }
            None => {
                let events = pages.remove(&chat).unwrap_or_default();
                read.insert(chat, Ok(events.into_iter().flatten().collect()));
            }
        }
    }
}

type Answered = (Call, Result<Box<serde_json::value::RawValue>, switchboard::protocol::ErrorFrame>);

async fn next_answer(who: &str, inbox: &mut Inbox) -> Result<Answered, RunError> {
    let over = |why: String| RunError::Person { who: who.to_owned(), why };
    let next = async {
        loop {
            match inbox.recv().await {
                Some((_, Happening::Answered { call, outcome, .. })) => {
                    return Ok((*call, outcome));
                }
                Some((_, Happening::Over(why))) => return Err(over(why)),
                Some(_) => {}
                None => return Err(over("the client has ended".to_owned())),
            }
        }
    };
    let limit = Duration::from_secs(SILENCE_LIMIT_S);
    timeout(limit, next).await.map_err(|_| RunError::Limit {
        what: format!("{who} reads histories"),
        limit_s: SILENCE_LIMIT_S,
    })?
}

//! Chats of long ago, put into the store before a run, which the server forgets during it, since their
//! channel keeps chats for a day. What was forgotten must not come back, whatever crashes; at the end
//! nothing of them is left.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use switchboard::app::StoreChoice;
use switchboard::domain::event::PlacedCause;
use switchboard::domain::{
    ChatEvent, ChatId, CommandId, Customer, CustomerId, MessageText, Outcome, Party, Profile,
    Recorded, Timestamp,
};
use switchboard::storage::{EndedChat, Store};
use tokio::time::{Instant, sleep};

use super::RunError;
use super::provision::{Door, Operator};
use super::traces::{self, Place};
use crate::client::clock::wall_ms;
use crate::client::{Rest, RestError};

/// What begins every text of theirs. Nobody else writes it.
const PREFIX: &str = "long-ago-";

/// For how many days the channel keeps chats.
pub const KEPT_DAYS: u16 = 1;

/// How long ago they were, ms: three days.
const AGO_MS: u64 = 3 * 24 * 3_600_000;

/// Chats written at once.
const AT_ONCE: usize = 64;

/// How long the server may take to forget what is left when the load is over, s.
const LIMIT_S: u64 = 300;

/// How often it is asked whether it has, ms.
const ASK_EVERY_MS: u64 = 200;

/// The chats, and what is left of them.
pub struct Past {
    /// The first one to be forgotten, and the last: retention goes by the order of ids.
    ends: Option<(ChatId, ChatId)>,
    /// The texts that were found at the last look.
    left: BTreeSet<String>,
    /// Whether there was a look.
    looked: bool,
    planted: usize,
    traces: Vec<String>,
}

impl Past {
    /// Writes so many chats into the store of a server that does not run.
    pub async fn plant(store: StoreChoice, door: &Door, chats: u32) -> Result<Self, RunError> {
        let failed = |why: String| RunError::Person { who: "chats of long ago".to_owned(), why };
        let opened = store.at_once().open().await.map_err(|error| failed(error.to_string()))?;
        let ports = &opened.store;
        let begin = wall_ms().saturating_sub(AGO_MS);
        let made: Vec<(ChatId, String)> = stream::iter(0..u64::from(chats))
            .map(|n| one(ports, door, Timestamp(begin + n)))
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .map_err(failed)?;
        opened.close().await;
        let ends = made.first().zip(made.last()).map(|((first, _), (last, _))| (*first, *last));
        let left: BTreeSet<String> = made.into_iter().map(|(_, text)| text).collect();
        Ok(Self { ends, planted: left.len(), left, looked: false, traces: Vec::new() })
    }

    /// Looks into what a server that was killed has left: there is nothing that was gone before. Answers
    /// whether some have gone since the look before; what had gone by the first one may have gone before
    /// there was any load.
    pub async fn look(&mut self, place: &Place) -> Result<bool, RunError> {
        let left = self.find(place).await?;
        let fewer = left.len() < self.left.len();
        self.left = left;
        Ok(std::mem::replace(&mut self.looked, true) && fewer)
    }

    /// Looks into a copy that was begun after the last look: likewise.
    pub async fn look_into_copy(&mut self, place: &Place) -> Result<(), RunError> {
        self.find(place).await.map(drop)
    }

    async fn find(&mut self, place: &Place) -> Result<BTreeSet<String>, RunError> {
        let length = PREFIX.len() + uuid::fmt::Hyphenated::LENGTH;
        let found = traces::texts(place, PREFIX, length).await?;
        let back = found.difference(&self.left);
        self.traces.extend(back.map(|text| format!("{text} is back in {place}")));
        Ok(found)
    }

    /// Waits until the server has begun to forget them: before, it looks through the whole store for
    /// chats that ended without a word of it, which a slow one is not done with between two kills.
    pub async fn begun(&self, rest: &Rest, auditor: &mut Operator) -> Result<(), RunError> {
        let Some((first, _)) = self.ends else { return Ok(()) };
        forgotten(first, rest, auditor).await
    }

    /// Waits until the server has forgotten all of them.
    pub async fn gone(&self, rest: &Rest, auditor: &mut Operator) -> Result<(), RunError> {
        let Some((_, last)) = self.ends else { return Ok(()) };
        forgotten(last, rest, auditor).await
    }

    /// How many there were, and what came back or was left.
    pub fn end(self) -> (usize, Vec<String>) {
        let left = self.left.iter().map(|text| format!("{text} was to be forgotten, and is there"));
        let traces = self.traces.into_iter().chain(left).collect();
        (self.planted, traces)
    }
}

/// Waits until the server has forgotten this one.
async fn forgotten(chat: ChatId, rest: &Rest, auditor: &mut Operator) -> Result<(), RunError> {
    let until = Instant::now() + Duration::from_secs(LIMIT_S);
    let bearer = auditor.tokens.fresh().await?;
    while Instant::now() < until {
        let path = format!("/api/v1/chats/{chat}");
        match rest.get::<serde_json::Value>(bearer.token.expose(), &path).await {
            Err(RestError::Refused { status: 404, .. }) => return Ok(()),
            Err(error @ RestError::Refused { status: 400..=499, .. }) => {
                return Err(error.into());
            }
            Ok(_) | Err(_) => sleep(Duration::from_millis(ASK_EVERY_MS)).await,
        }
    }
    Err(RunError::Limit { what: "chats of long ago are forgotten".to_owned(), limit_s: LIMIT_S })
}

/// A chat in which somebody wrote and left. Errors with what the store says.
async fn one(store: &Store, door: &Door, at: Timestamp) -> Result<(ChatId, String), String> {
    let text = format!("{PREFIX}{}", uuid::Uuid::new_v4());
    let id = CustomerId::from_u128(uuid::Uuid::new_v4().as_u128());
    let customer = Customer { channel: door.channel, id };
    let random = uuid::Uuid::new_v4().as_u128() & 0xffff_ffff;
    let chat = ChatId::from_u128(ChatId::first_at(at).0.as_u128() | random);
    let command = |word: &str| CommandId::new(word).map_err(|error| error.to_string());
    let (opens, writes, ends) = (command("opens")?, command("writes")?, command("ends")?);
    let by = Party::Customer(id);
    let events = [
        ChatEvent::Opened {
            customer,
            command: opens.clone(),
            profile: Profile::default(),
            continues: None,
        },
        ChatEvent::Placed {
            queue: door.queue,
            placement: 1,
            weight: Default::default(),
            cause: PlacedCause::Opened,
        },
        ChatEvent::Message {
            from: by,
            id: writes,
            text: MessageText::new(&text).map_err(|error| error.to_string())?,
        },
        ChatEvent::Ended { placement: 2, by, command: Some(ends), outcome: Outcome::Missed },
    ];
    let record = |(seq, event)| Recorded { seq, at, event, names: Default::default() };
    let events = (1..).zip(events).map(record).collect();
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let opened = store.conversations.claim_open(customer, &opens, chat, None).await;
    opened.map_err(|error| said(&error))?;
    let claim = store.log.claim(chat).await.map_err(|error| said(&error))?.claim;
    store.log.append(claim, events).await.map_err(|error| said(&error))?;
    let ended = EndedChat { chat, customer, at };
    store.ended_chats.put(ended).await.map_err(|error| said(&error))?;
    Ok((chat, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_went_before_the_first_look_is_no_kills() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stored");
        let texts: Vec<String> =
            (0..3).map(|_| format!("{PREFIX}{}", uuid::Uuid::new_v4())).collect();
        let left = texts.iter().cloned().collect();
        let mut past =
            Past { ends: None, left, looked: false, planted: texts.len(), traces: Vec::new() };
        let place = Place::Files(folder.path().to_owned());
        for (there, met) in [(2, false), (1, true), (1, false), (0, true)] {
            std::fs::write(&file, texts[..there].join(" ")).unwrap();
            assert_eq!(past.look(&place).await.unwrap(), met, "{there}");
        }
        assert!(past.traces.is_empty());
        std::fs::write(&file, &texts[0]).unwrap();
        assert!(!past.look(&place).await.unwrap());
        assert_eq!(past.end().1.len(), 2, "it is back, and left");
    }
}

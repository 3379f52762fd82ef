//! Customers who come, write, and have themselves erased: one after the other, while everybody else
//! goes on. What they wrote is nobody's any more once the erasure is answered, whatever crashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use switchboard::domain::{ChatId, CustomerId, Party, Priority};
use switchboard::protocol::answer::{ChatOpenedFrame, MessageSentFrame};
use switchboard::protocol::params::{ChatOpenFrame, MessageSendFrame};
use switchboard::protocol::value::TextFrame;
use switchboard::protocol::{Call, Wire};
use tokio::time::{sleep, timeout};

use super::WAITS;
use super::hall::{Conduct, Hall, Stage};
use crate::client::{Client, Happening, Inbox, RestError, TokenSource, answer};
use crate::run::RunError;
use crate::run::provision::Door;
use crate::run::traces::{self, Place};

/// What begins every text of theirs, so that one look finds all. Nobody else writes it.
pub const PREFIX: &str = "forget-me-";

/// Messages of one leaver, from and to before.
const MESSAGES: (u64, u64) = (2, 6);

/// How long a leaver stays, ms.
const STAYS_MS: (u64, u64) = (200, 2_500);

/// How long a leaver's calls may take, over restarts and outages of the server, s.
const LIMIT_S: u64 = 240;

/// What is kept of what is left of them; more says nothing more.
const TRACES_MAX: usize = 50;

/// Between two attempts to erase, ms.
const AGAIN_AFTER_MS: u64 = 50;

/// What became of a leaver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// Not yet.
    No,
    /// Never: what it wrote is acknowledged, and stays.
    Never,
    /// It was asked for, and perhaps done.
    Asked,
    /// It was answered.
    Done,
}

/// The leavers of a run by what each writes.
#[derive(Debug, Default)]
pub struct Leavers(BTreeMap<String, (ChatId, Erasure)>);

impl Leavers {
    /// The chats whose erasure was asked for at least.
    pub fn gone(&self) -> impl Iterator<Item = (ChatId, Erasure)> {
        let asked = |erasure| matches!(erasure, Erasure::Asked | Erasure::Done);
        self.0.values().copied().filter(move |(_, erasure)| asked(*erasure))
    }

    /// Texts of those whose erasure was answered.
    pub fn forgotten(&self) -> impl Iterator<Item = &str> {
        let done = self.0.iter().filter(|(_, (_, erasure))| *erasure == Erasure::Done);
        done.map(|(text, _)| text.as_str())
    }

    /// What who stays wrote.
    pub fn stays(&self) -> Option<&str> {
        let mut here = self.0.iter().filter(|(_, (_, erasure))| *erasure == Erasure::Never);
        here.next().map(|(text, _)| text.as_str())
    }

    fn set(&mut self, text: &str, chat: ChatId, erasure: Erasure) {
        self.0.insert(text.to_owned(), (chat, erasure));
    }
}

/// What is known of the leavers at a moment.
#[derive(Debug)]
pub struct Known {
    /// Texts of those whose erasure was answered.
    forgotten: BTreeSet<String>,
    /// What who stays wrote, once all of it was acknowledged.
    stays: Option<String>,
}

/// Looks for what leavers wrote.
pub struct Searcher {
    hall: Arc<Hall>,
    traces: Vec<String>,
}

impl Searcher {
    /// For the leavers of this run.
    pub fn new(hall: Arc<Hall>) -> Self {
        Self { hall, traces: Vec::new() }
    }

    /// What is known now.
    pub fn known(&self) -> Known {
        let leavers = self.hall.leavers();
        Known {
            forgotten: leavers.forgotten().map(str::to_owned).collect(),
            stays: leavers.stays().map(str::to_owned),
        }
    }

    /// Looks in a place for those who were forgotten then. Who stayed must be found there: else the
    /// search is blind.
    pub async fn look(&mut self, place: &Place, known: &Known) -> Result<(), RunError> {
        let length = PREFIX.len() + uuid::fmt::Hyphenated::LENGTH;
        let found = traces::texts(place, PREFIX, length).await?;
        let left = found.intersection(&known.forgotten);
        self.traces.extend(left.map(|text| format!("{text} stands in {place}")));
        if let Some(stays) = known.stays.as_ref().filter(|stays| !found.contains(*stays)) {
            let blind = format!("{stays} was not erased and is not in {place}");
            self.traces.push(blind);
        }
        self.traces.truncate(TRACES_MAX);
        Ok(())
    }

    /// What was left, the first of it.
    pub fn traces(self) -> Vec<String> {
        self.traces
    }
}

/// Plays one leaver after the other until the run closes. The first of the first place stays, so
/// that a search has something to find.
pub async fn play(hall: Arc<Hall>, place: usize, seed: u64, door: Door) -> Result<(), RunError> {
    let mut conduct = Conduct::new(seed, 'l', place);
    let stage = hall.stage.clone();
    let mut stays = place == 0;
    while *stage.borrow() == Stage::Load {
        let one = one(&hall, &mut conduct, &door, stays);
        timeout(Duration::from_secs(LIMIT_S), one).await.map_err(|_| RunError::Limit {
            what: format!("leaver {place} comes and is erased"),
            limit_s: LIMIT_S,
        })??;
        stays = false;
    }
    Ok(())
}

async fn one(hall: &Hall, conduct: &mut Conduct, door: &Door, stays: bool) -> Result<(), RunError> {
    let customer = CustomerId::from_u128(uuid::Uuid::new_v4().as_u128());
    let mut source = door.visitor(Some(customer), Priority::default());
    // One token and no other: who is erased must not get a new one by itself.
    let fresh = loop {
        match source.fresh().await {
            Ok(fresh) => break fresh,
            Err(error) => put_off(error).await?,
        }
    };
    let source = TokenSource::Given(fresh);
    let seed = conduct.between(0, 1 << 30);
    let (mut client, mut inbox) =
        Client::start(&hall.address, source, WAITS, hall.clock, seed, Arc::clone(&hall.out));
    let open = ChatOpenFrame { command_id: Wire(conduct.command()?), channel: Wire(door.channel) };
    client.call(Call::ChatOpen(open));
    let opened: ChatOpenedFrame = answered(&mut inbox).await?;
    let chat = opened.chat.0;
    let text = format!("{PREFIX}{}", uuid::Uuid::new_v4());
    hall.leavers().set(&text, chat, Erasure::No);
    let messages = conduct.between(MESSAGES.0, MESSAGES.1);
    for _ in 0..messages {
        let id = conduct.command()?;
        let from = Party::Customer(customer);
        hall.recorder.book().sent(from, &id, &text, hall.clock.us());
        client.call(Call::MessageSend(MessageSendFrame {
            chat: Wire(chat),
            client_message_id: Wire(id),
            text: TextFrame::from(text.as_str()),
        }));
    }
    if stays {
        for _ in 0..messages {
            answered::<MessageSentFrame>(&mut inbox).await?;
        }
        hall.leavers().set(&text, chat, Erasure::Never);
        return Ok(());
    }
    // Whether the last are acknowledged before the erasure, or ever, is left to chance.
    let stay = conduct.between(STAYS_MS.0, STAYS_MS.1);
    let drained = async { while inbox.recv().await.is_some() {} };
    let _ = timeout(Duration::from_millis(stay), drained).await;
    hall.leavers().set(&text, chat, Erasure::Asked);
    if conduct.chance(50) {
        drop(client);
    }
    while let Err(error) = door.erase(customer).await {
        put_off(error).await?;
    }
    hall.leavers().set(&text, chat, Erasure::Done);
    Ok(())
}

/// The next answer.
async fn answered<A: serde::de::DeserializeOwned>(inbox: &mut Inbox) -> Result<A, RunError> {
    let failed = |why: String| RunError::Person { who: "a leaver".to_owned(), why };
    while let Some((_, happening)) = inbox.recv().await {
        match happening {
            Happening::Answered { outcome: Ok(raw), .. } => {
                return answer(&raw).ok_or(RunError::Answer("a call"));
            }
            Happening::Answered { outcome: Err(error), .. } => return Err(failed(error.message)),
            Happening::Over(why) => return Err(failed(why)),
            _ => {}
        }
    }
    Err(failed("the client has ended".to_owned()))
}

/// What is to be asked again after a pause: the server may be away. What it refuses for good is an
/// error.
async fn put_off(error: RestError) -> Result<(), RunError> {
    if let RestError::Refused { status: 400..=428 | 430..=499, .. } = error {
        return Err(error.into());
    }
    sleep(Duration::from_millis(AGAIN_AFTER_MS)).await;
    Ok(())
}

//! A crowd that keeps a server busy whatever becomes of it: customers open chats and write in bursts,
//! operators accept, decline, ignore, transfer and end, and some customers have themselves erased.
//! What happens to the server meanwhile is
//! another's ([`super::crash`], [`super::outage`]).
//!
//! At the end nobody opens chats any more, all are ended, and both sides and somebody who may read
//! everything read the whole history of every chat again.

mod customer;
mod hall;
mod leaver;
mod operator;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard::domain::{ChatId, Party, Rule};
use switchboard::protocol::ErrorKind;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::hall::{Gauge, Hall, Stage};
use self::leaver::Erasure;
pub use self::leaver::Searcher;
use super::RunError;
use super::past::KEPT_DAYS;
use super::provision::{Operator, Provisioned, WantedOperator, WantedQueue};
use super::reading::read_whole;
use super::recorder::Recorder;
use super::replay::joined;
use super::server::Server;
use crate::client::clock::Clock;
use crate::client::{Client, Inbox, Waits};
use crate::stats::WireFigures;
use crate::verify::{Observation, Violation};

/// Chats that are open when there is load.
pub const OPEN_MIN: usize = 50;

/// Customers, each with one open chat most of the time.
const CUSTOMERS: usize = 90;

/// Customers who have themselves erased, one after the other in each place.
const LEAVERS: usize = 3;

/// Operators and how many chats each holds: fewer than there are customers, so that some wait.
const OPERATORS: usize = 16;
const CAPACITY: u32 = 4;

/// The queues' rules; a customer asks for one of them.
const RULES: [(&str, Rule); 3] =
    [("idle", Rule::LongestIdle), ("loaded", Rule::LeastLoaded), ("all", Rule::ToAll)];

/// How long offers stand, ms: an operator who ignores one is found out within the round.
const OFFER_TIMEOUT_MS: u64 = 1_500;

/// How long who declined is not asked again, ms.
const COOL_DOWN_MS: u64 = 1_000;

/// How long the load may take to be there, ms.
const LOAD_LIMIT_MS: u64 = 20_000;

/// How long the last chats may take to end, s.
const CLOSE_LIMIT_S: u64 = 90;

/// Waits between attempts to connect.
const WAITS: Waits = Waits { first_ms: 50, most_ms: 400 };

/// The server's settings, as names and values.
pub const SETTINGS: &[(&str, u64)] = &[("ROUTING_COOL_DOWN_MS", COOL_DOWN_MS)];

/// What the server is told before anybody comes.
pub fn wanted() -> (Vec<WantedOperator>, Vec<WantedQueue>) {
    let operators =
        (1..=OPERATORS).map(|n| WantedOperator { name: format!("op-{n:02}"), capacity: CAPACITY });
    let queues = RULES.iter().enumerate().map(|(place, (name, rule))| {
        // Each operator serves two of the three.
        let members = (0..OPERATORS).filter(|who| who % RULES.len() != place);
        WantedQueue {
            name: (*name).to_owned(),
            rule: *rule,
            members: members.collect(),
            offer_timeout_ms: OFFER_TIMEOUT_MS,
            retention_days: Some(KEPT_DAYS),
        }
    });
    (operators.collect(), queues.collect())
}

/// A person whose part is over and who reads its chats again.
pub(crate) struct Reader {
    who: String,
    by: Party,
    chats: BTreeSet<ChatId>,
    client: Client,
    inbox: Inbox,
}

/// How much is going on at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Open chats.
    pub open: usize,
    /// Offers that are out.
    pub offers: usize,
    /// Calls in flight.
    pub calls: usize,
}

impl Load {
    /// Whether it is enough for what is tried to mean something.
    pub fn counts(self) -> bool {
        self.open >= OPEN_MIN && self.offers > 0 && self.calls > 0
    }
}

/// What the people of a run saw, all histories read again.
#[derive(Debug)]
pub struct Verified {
    /// Chats, and how many of them were read again by customers, operators and the auditor.
    pub chats: usize,
    /// See `chats`.
    pub read: [usize; 3],
    /// Histories that their readers were refused, with the reason.
    pub unread: Vec<String>,
    /// Customers whose erasure was answered, and whose chat nobody can read any more.
    pub erased: usize,
    /// What is left of erased customers, the first of it.
    pub traces: Vec<String>,
    /// The figures of the wire.
    pub wire: WireFigures,
    /// Refusals that people met, by name.
    pub met: Vec<(String, u64)>,
    /// What was found, the first ones.
    pub violations: Vec<Violation>,
    /// How many were found.
    pub violations_count: u64,
}

impl Verified {
    /// Whether nothing was found, nobody was refused its history, and nothing is left of who was
    /// erased.
    pub fn holds(&self) -> bool {
        self.violations_count == 0 && self.unread.is_empty() && self.traces.is_empty()
    }
}

/// Tells the ledger who the operators are.
fn introduce(hall: &Hall, there: &Provisioned) {
    let mut book = hall.recorder.book();
    for (place, who) in there.operators.iter().enumerate() {
        book.name(&who.name, who.id);
        let doors = there.doors.iter().enumerate();
        let queues = doors.filter(|(n, _)| place % RULES.len() != *n);
        book.ledger.observe(Observation::Operator {
            operator: who.id,
            at_ms: 0,
            capacity: CAPACITY,
            queues: queues.map(|(_, door)| door.queue).collect(),
        });
    }
}

/// Everybody of a run.
pub struct Crowd {
    hall: Arc<Hall>,
    stage: watch::Sender<Stage>,
    auditor: Operator,
    customers: JoinSet<Result<Reader, RunError>>,
    operators: JoinSet<Result<Reader, RunError>>,
    leavers: JoinSet<Result<(), RunError>>,
    readers: Vec<Reader>,
}

impl Crowd {
    /// Everybody comes.
    pub fn gather(address: String, there: Provisioned, seed: u64) -> Self {
        let (stage, seen) = watch::channel(Stage::Load);
        let hall = Arc::new(Hall {
            address,
            clock: Clock::start(),
            recorder: Recorder::default(),
            out: Arc::new(AtomicUsize::new(0)),
            open: Gauge::default(),
            offers: Gauge::default(),
            queues: there.doors.iter().map(|door| door.queue).collect(),
            operators: there.operators.iter().map(|who| who.id).collect(),
            stage: seen,
            leavers: Mutex::default(),
        });
        introduce(&hall, &there);
        let (mut customers, mut operators) = (JoinSet::new(), JoinSet::new());
        for place in 0..CUSTOMERS {
            let door = there.doors[place % there.doors.len()].clone();
            customers.spawn(customer::play(Arc::clone(&hall), place, seed, door));
        }
        let mut leavers = JoinSet::new();
        for (place, door) in there.doors.iter().cycle().take(LEAVERS).enumerate() {
            leavers.spawn(leaver::play(Arc::clone(&hall), place, seed, door.clone()));
        }
        for (place, who) in there.operators.into_iter().enumerate() {
            operators.spawn(operator::play(Arc::clone(&hall), place, seed, who));
        }
        let auditor = there.auditor;
        Self { hall, stage, auditor, customers, operators, leavers, readers: Vec::new() }
    }

    /// Looks for what erased customers wrote.
    pub fn searcher(&self) -> Searcher {
        Searcher::new(Arc::clone(&self.hall))
    }

    /// The run's time, ms.
    pub fn now_ms(&self) -> u64 {
        self.hall.clock.ms()
    }

    /// Messages that were acknowledged so far, and violations found.
    pub fn so_far(&self) -> (u64, u64) {
        let book = self.hall.recorder.book();
        (book.wire.messages, book.ledger.violations().count())
    }

    /// What is going on.
    pub fn load(&self) -> Load {
        Load {
            open: self.hall.open.get(),
            offers: self.hall.offers.get(),
            calls: self.hall.out.load(Ordering::Relaxed),
        }
    }

    /// Lets so much time pass, and waits then for the load.
    pub async fn busy(&mut self, process: &mut Server, ms: u64) -> Result<Load, RunError> {
        let since_ms = self.now_ms();
        loop {
            sleep(Duration::from_millis(1)).await;
            let for_ms = self.now_ms() - since_ms;
            let load = self.load();
            if for_ms >= ms && (load.counts() || for_ms >= ms + LOAD_LIMIT_MS) {
                return Ok(load);
            }
            self.look(process)?;
        }
    }

    /// Nobody may give up before the time.
    pub fn look(&mut self, process: &mut Server) -> Result<(), RunError> {
        let died = |why: String| RunError::Person {
            who: "the server".to_owned(),
            why: format!("ended by itself: {why}"),
        };
        if let Some(status) = process.ended() {
            return Err(died(status));
        }
        for people in [&mut self.customers, &mut self.operators] {
            while let Some(done) = people.try_join_next() {
                self.readers.push(reader(done)?);
            }
        }
        while let Some(done) = self.leavers.try_join_next() {
            joined(done)?;
        }
        Ok(())
    }

    /// Ends all chats, takes everybody's part, and has all histories read again. `kills_wall_ms` are
    /// the times at which the server was killed, UTC ms, in order.
    pub async fn verify(
        mut self,
        process: &mut Server,
        kills_wall_ms: &[u64],
    ) -> Result<Verified, RunError> {
        self.stage.send_replace(Stage::Closing);
        let until_ms = self.now_ms() + CLOSE_LIMIT_S * 1_000;
        let here = |crowd: &Self| !crowd.customers.is_empty() || !crowd.leavers.is_empty();
        while here(&self) && self.now_ms() < until_ms {
            sleep(Duration::from_millis(20)).await;
            self.look(process)?;
        }
        self.stage.send_replace(Stage::Over);
        for mut people in [self.customers, self.operators] {
            while let Some(done) = people.join_next().await {
                self.readers.push(reader(done)?);
            }
        }
        read_again(&self.hall, self.readers, &self.auditor, kills_wall_ms).await
    }
}

fn reader(
    done: Result<Result<Reader, RunError>, tokio::task::JoinError>,
) -> Result<Reader, RunError> {
    let mut reader = None;
    joined(done.map(|result| result.map(|read| reader = Some(read))))?;
    reader.ok_or(RunError::Answer("a person"))
}

async fn read_again(
    hall: &Hall,
    readers: Vec<Reader>,
    auditor: &Operator,
    kills_wall_ms: &[u64],
) -> Result<Verified, RunError> {
    let (mut read, mut unread) = ([0; 3], Vec::new());
    let gone: BTreeMap<ChatId, Erasure> = hall.leavers().gone().collect();
    let mut all = BTreeSet::new();
    for mut reader in readers {
        let chats = reader.chats.iter().copied().filter(|chat| !gone.contains_key(chat));
        let got = read_whole(&reader.who, &mut reader.client, &mut reader.inbox, chats).await?;
        let side = match reader.by {
            Party::Customer(_) => 0,
            Party::User(_) | Party::System => 1,
        };
        let mut book = hall.recorder.book();
        for (chat, events) in got {
            if side == 0 {
                all.insert(chat);
            }
            match events {
                Ok(events) => {
                    read[side] += 1;
                    book.history(chat, reader.by, &events);
                }
                Err(kind) => unread.push(format!("{} of {chat}: {}", reader.who, kind.name())),
            }
        }
    }
    let (mut client, mut inbox) = Client::start(
        &hall.address,
        auditor.tokens.clone(),
        WAITS,
        hall.clock,
        0,
        Arc::clone(&hall.out),
    );
    let done = gone.iter().filter(|(_, erasure)| **erasure == Erasure::Done).map(|(chat, _)| *chat);
    let (mut erased, mut traces) = (0, Vec::new());
    for (chat, events) in read_whole("auditor", &mut client, &mut inbox, done).await? {
        match events {
            Err(ErrorKind::NotFound) => erased += 1,
            Err(kind) => unread.push(format!("auditor of erased {chat}: {}", kind.name())),
            Ok(_) => traces.push(format!("chat {chat} was erased and is read")),
        }
    }
    let got = read_whole("auditor", &mut client, &mut inbox, all.iter().copied()).await?;
    let mut book = hall.recorder.book();
    for (chat, events) in got {
        match events {
            Ok(events) => {
                read[2] += 1;
                let by = Party::User(auditor.id);
                book.audited(chat, by, &events, kills_wall_ms);
            }
            Err(kind) => unread.push(format!("auditor of {chat}: {}", kind.name())),
        }
    }
    book.ledger.finish(hall.clock.ms());
    let found = book.ledger.violations();
    let met = book.refused.iter();
    Ok(Verified {
        chats: all.len(),
        read,
        unread,
        erased,
        traces,
        wire: book.wire.clone(),
        met: met.map(|(name, n)| ((*name).to_owned(), *n)).collect(),
        violations: found.kept().to_vec(),
        violations_count: found.count(),
    })
}

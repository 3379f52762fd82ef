//! Kills the server under load, again and again, and verifies from the clients' side that nothing
//! acknowledged is lost, doubled or reordered, that no chat has two owners, that nobody holds too
//! many, and that no chat is stuck.
//!
//! A kill counts when, at that moment, at least [`OPEN_MIN`] chats are open, offers are out and
//! calls are in flight. At the end nobody opens chats any more, all are ended, and both sides and
//! somebody who may read everything read the whole history of every chat again.

mod customer;
mod hall;
mod operator;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchboard::domain::{ChatId, Party, Rule};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::hall::{Gauge, Hall, Stage};
use super::RunError;
use super::progress::Progress;
use super::provision::{Operator, Provisioned, WantedOperator, WantedQueue};
use super::reading::read_whole;
use super::recorder::Recorder;
use super::replay::joined;
use super::server::{Server, Setup};
use crate::client::clock::{Clock, wall_ms};
use crate::client::{Client, Inbox, Waits};
use crate::draw::{Draw, Purpose};
use crate::stats::{Samples, WireFigures};
use crate::verify::{Observation, Violation};

/// Chats that are open at a kill that counts.
pub const OPEN_MIN: usize = 50;

/// Customers, each with one open chat most of the time.
const CUSTOMERS: usize = 90;

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

/// From the server's answer to the earliest and the latest kill, ms. Operators come back within the
/// first, since a restarted one waits for late assignments of its former life.
const UP_MS: (u64, u64) = (3_000, 5_500);

/// How long a round waits for the load to be there, ms.
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

/// The load at the moment of a kill.
#[derive(Debug, Clone, Copy)]
pub struct AtKill {
    /// Open chats.
    pub open: usize,
    /// Offers that were out.
    pub offers: usize,
    /// Calls in flight.
    pub calls: usize,
}

impl AtKill {
    fn counts(self) -> bool {
        self.open >= OPEN_MIN && self.offers > 0 && self.calls > 0
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The load at each kill that counts.
    pub kills: Vec<AtKill>,
    /// Kills in all.
    pub tried: u32,
    /// From the kill to the first answer of the next process, ms.
    pub restart_ms: Samples,
    /// Chats, and how many of them were read again by customers, operators and the auditor.
    pub chats: usize,
    /// See `chats`.
    pub read: [usize; 3],
    /// Histories that their readers were refused, with the reason.
    pub unread: Vec<String>,
    /// The figures of the wire.
    pub wire: WireFigures,
    /// Refusals that people met, by name.
    pub met: Vec<(String, u64)>,
    /// What was found, the first ones.
    pub violations: Vec<Violation>,
    /// How many were found.
    pub violations_count: u64,
}

/// Runs the rounds. `process` is the server that runs already.
pub async fn crash(
    setup: &Setup,
    process: Server,
    there: Provisioned,
    rounds: u32,
    seed: u64,
) -> Result<Outcome, RunError> {
    let (stage, seen) = watch::channel(Stage::Load);
    let hall = Arc::new(Hall {
        address: setup.address(),
        clock: Clock::start(),
        recorder: Recorder::default(),
        out: Arc::new(AtomicUsize::new(0)),
        open: Gauge::default(),
        offers: Gauge::default(),
        queues: there.doors.iter().map(|door| door.queue).collect(),
        operators: there.operators.iter().map(|who| who.id).collect(),
        stage: seen,
    });
    introduce(&hall, &there);
    let mut people = Crowd {
        hall: Arc::clone(&hall),
        customers: JoinSet::new(),
        operators: JoinSet::new(),
        readers: Vec::new(),
        progress: Progress::default(),
    };
    for place in 0..CUSTOMERS {
        let door = there.doors[place % there.doors.len()].clone();
        let hall = Arc::clone(&hall);
        people.customers.spawn(customer::play(hall, place, seed, door));
    }
    for (place, who) in there.operators.iter().enumerate() {
        let (hall, who) = (Arc::clone(&hall), who.clone());
        people.operators.spawn(operator::play(hall, place, seed, who));
    }
    let mut done = people.rounds(setup, process, rounds, seed).await?;
    stage.send_replace(Stage::Closing);
    people.close(&mut done.process).await?;
    stage.send_replace(Stage::Over);
    let readers = people.leave().await?;
    let result = verify(&hall, readers, &there.auditor, &done).await;
    done.process.stop().await?;
    result
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

/// What the rounds came to.
struct Rounds {
    process: Server,
    kills: Vec<AtKill>,
    kills_wall_ms: Vec<u64>,
    tried: u32,
    restart_ms: Samples,
}

struct Crowd {
    hall: Arc<Hall>,
    customers: JoinSet<Result<Reader, RunError>>,
    operators: JoinSet<Result<Reader, RunError>>,
    readers: Vec<Reader>,
    progress: Progress,
}

impl Crowd {
    async fn rounds(
        &mut self,
        setup: &Setup,
        process: Server,
        rounds: u32,
        seed: u64,
    ) -> Result<Rounds, RunError> {
        let mut draw = Draw::new(seed, Purpose::Kill, 0);
        let mut done = Rounds {
            process,
            kills: Vec::new(),
            kills_wall_ms: Vec::new(),
            tried: 0,
            restart_ms: Samples::default(),
        };
        let begun_ms = self.hall.clock.ms();
        while done.kills.len() < rounds as usize {
            let random_ms = draw.below((UP_MS.1 - UP_MS.0) as usize) as u64;
            let load = self.load(&mut done.process, UP_MS.0 + random_ms).await?;
            let Rounds { process, mut kills, mut kills_wall_ms, tried, mut restart_ms } = done;
            process.kill().await?;
            kills_wall_ms.push(wall_ms());
            let killed_ms = self.hall.clock.ms();
            if load.counts() {
                kills.push(load);
            } else if tried + 1 > 2 * rounds + 2 {
                return Err(RunError::Rounds {
                    counted: u32::try_from(kills.len()).unwrap_or(u32::MAX),
                    wanted: rounds,
                    tried: tried + 1,
                    last: format!("{load:?}"),
                });
            }
            let process = setup.start().await?;
            restart_ms.add(self.hall.clock.ms() - killed_ms);
            done = Rounds { process, kills, kills_wall_ms, tried: tried + 1, restart_ms };
            self.show(&done, rounds, begun_ms);
        }
        Ok(done)
    }

    /// Waits for the moment, and then for the load.
    async fn load(&mut self, process: &mut Server, up_ms: u64) -> Result<AtKill, RunError> {
        let up_since_ms = self.hall.clock.ms();
        loop {
            sleep(Duration::from_millis(1)).await;
            let up_for_ms = self.hall.clock.ms() - up_since_ms;
            let load = AtKill {
                open: self.hall.open.get(),
                offers: self.hall.offers.get(),
                calls: self.hall.out.load(Ordering::Relaxed),
            };
            if up_for_ms >= up_ms && (load.counts() || up_for_ms >= up_ms + LOAD_LIMIT_MS) {
                return Ok(load);
            }
            self.look(process)?;
        }
    }

    /// Nobody may give up before the time.
    fn look(&mut self, process: &mut Server) -> Result<(), RunError> {
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
        Ok(())
    }

    fn show(&mut self, done: &Rounds, rounds: u32, begun_ms: u64) {
        let (counted, now_ms) = (done.kills.len() as u64, self.hall.clock.ms());
        let took_ms = (now_ms - begun_ms) / counted.max(1);
        let left_ms = took_ms * (u64::from(rounds).saturating_sub(counted));
        let book = self.hall.recorder.book();
        let words = format!(
            "round {counted} of {rounds}, {} messages, {} violations",
            book.wire.messages,
            book.ledger.violations().count(),
        );
        drop(book);
        let part = counted as f64 / f64::from(rounds.max(1));
        self.progress.show(now_ms, part, left_ms, &words);
    }

    /// Until all customers have ended their last chat, or the limit.
    async fn close(&mut self, process: &mut Server) -> Result<(), RunError> {
        let until_ms = self.hall.clock.ms() + CLOSE_LIMIT_S * 1_000;
        while !self.customers.is_empty() && self.hall.clock.ms() < until_ms {
            sleep(Duration::from_millis(20)).await;
            self.look(process)?;
        }
        self.progress.done();
        Ok(())
    }

    /// Takes everybody's part.
    async fn leave(mut self) -> Result<Vec<Reader>, RunError> {
        while let Some(done) = self.customers.join_next().await {
            self.readers.push(reader(done)?);
        }
        while let Some(done) = self.operators.join_next().await {
            self.readers.push(reader(done)?);
        }
        Ok(self.readers)
    }
}

fn reader(
    done: Result<Result<Reader, RunError>, tokio::task::JoinError>,
) -> Result<Reader, RunError> {
    let mut reader = None;
    joined(done.map(|result| result.map(|read| reader = Some(read))))?;
    reader.ok_or(RunError::Answer("a person"))
}

async fn verify(
    hall: &Hall,
    readers: Vec<Reader>,
    auditor: &Operator,
    done: &Rounds,
) -> Result<Outcome, RunError> {
    let (mut read, mut unread) = ([0; 3], Vec::new());
    let mut all = BTreeSet::new();
    for mut reader in readers {
        let chats = reader.chats.iter().copied();
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
    let got = read_whole("auditor", &mut client, &mut inbox, all.iter().copied()).await?;
    let mut book = hall.recorder.book();
    for (chat, events) in got {
        match events {
            Ok(events) => {
                read[2] += 1;
                let by = Party::User(auditor.id);
                book.audited(chat, by, &events, &done.kills_wall_ms);
            }
            Err(kind) => unread.push(format!("auditor of {chat}: {}", kind.name())),
        }
    }
    book.ledger.finish(hall.clock.ms());
    let found = book.ledger.violations();
    let met = book.refused.iter();
    Ok(Outcome {
        kills: done.kills.clone(),
        tried: done.tried,
        restart_ms: done.restart_ms.clone(),
        chats: all.len(),
        read,
        unread,
        wire: book.wire.clone(),
        met: met.map(|(name, n)| ((*name).to_owned(), *n)).collect(),
        violations: found.kept().to_vec(),
        violations_count: found.count(),
    })
}

//! What a session costs that does nothing: memory, time to come about, and a share of a processor. Beside it
//! the same number of sockets at a floor, which have no session.
//!
//! [`ledger`] has what must hold, [`idle`] is one socket.

pub mod idle;
pub mod ledger;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use hdrhistogram::Histogram;
use switchboard::domain::Rule;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};

use self::idle::{Hall, Stage, To, Visit, live};
use self::ledger::Ledger;
use super::files::{CONNECTIONS_BESIDE, TooFewFiles, allow};
use super::floor::PAIRS_MAX;
use super::place::{Cores, Pinned, Taken, taken_by};
use super::report::Round;
use super::scenario::{FloorProcess, ScenarioError, Target};
use super::tokens::{self, TOKEN_MS, TokenError, own_address};
use super::watch::{Seen, Watch, Watched};
use crate::client::Rest;
use crate::run::RunError;
use crate::run::progress::Progress;
use crate::run::provision::{ADMINISTRATOR, WantedOperator, WantedQueue, provision};
use crate::run::server::{ServerError, Setup};

/// Most sockets: a floor has so many places.
pub const SOCKETS_MAX: usize = PAIRS_MAX * 2;

/// Sockets that may be coming about at a time; a server that is slower is waited for, and that counts.
const COMING_MAX: usize = 512;

/// How long the last ones may take to come, or to answer.
const LAST_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked how far all are, and the line of progress drawn.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The longest time that is told from longer ones, µs, and to how many digits.
const LONGEST_US: u64 = 120_000_000;
const DIGITS: u8 = 3;

/// What of the router's metrics is noted meanwhile.
const METRICS: &[(&str, &str)] = &[("connections", "switchboard_connections")];

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Customers, each with a session.
    pub customers: usize,
    /// Operators, each with a session.
    pub operators: usize,
    /// Sockets that come a second.
    pub per_second: u32,
    /// How often each asks for a sign of life; none: only the server does.
    pub ping_every: Option<Duration>,
    /// How long they stay.
    pub hold: Duration,
    /// Cores of server and driver; none: they share all.
    pub cores: Option<Cores>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionsError {
    /// The router's process.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// What the router needs.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A floor's process.
    #[error(transparent)]
    Floor(#[from] ScenarioError),
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The system's limit.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// More sockets than a floor has places.
    #[error("{0} sockets, and {SOCKETS_MAX} are the most")]
    TooMany(usize),
    /// The cores.
    #[error("taking a core (with --unpinned, none is): {0}")]
    Core(std::io::Error),
    /// The clock's times do not fit.
    #[error("no such times: {0}")]
    Times(String),
}

impl Wanted {
    /// Sessions in all.
    pub fn sessions(&self) -> usize {
        self.customers + self.operators
    }

    fn limit(&self) -> Duration {
        self.ramp() + LAST_LIMIT
    }

    fn ramp(&self) -> Duration {
        Duration::from_secs_f64(self.sessions() as f64 / f64::from(self.per_second.max(1)))
    }
}

/// Room for all of them: names and values of the router's settings. No throttle is out of the way: everybody
/// comes from an address of its own.
pub fn settings(wanted: &Wanted) -> [(&'static str, u64); 2] {
    [
        ("LIMITS_CONNECTIONS", wanted.sessions() as u64 + CONNECTIONS_BESIDE),
        ("ACCESS_ACCESS_TOKEN_MS", TOKEN_MS),
    ]
}

/// Looks whether the machine lets all of them come, before anything is started.
pub fn prepare(wanted: &Wanted) -> Result<(), ConnectionsError> {
    if wanted.sessions() > SOCKETS_MAX {
        return Err(ConnectionsError::TooMany(wanted.sessions()));
    }
    Ok(allow(wanted.sessions() as u64)?)
}

/// Measures the router once. Needs a thread with local tasks.
pub async fn router(
    wanted: &Wanted,
    (setup, password): (&Setup, &str),
    words: &str,
) -> Result<Round, ConnectionsError> {
    let process = {
        let _pinned = Pinned::server(wanted.cores).map_err(ConnectionsError::Core)?;
        setup.start().await?
    };
    let _pinned = Pinned::driver(wanted.cores).map_err(ConnectionsError::Core)?;
    let visits = visits(wanted, &setup.address(), password).await?;
    let watched =
        Watched { process: process.id(), operations: Some(setup.operations()), metrics: METRICS };
    let round = measured(wanted, setup.address(), visits, watched, words).await?;
    process.stop().await?;
    Ok(round)
}

/// Measures as many sockets at the floor that answers, once. Needs a thread with local tasks.
pub async fn floor(wanted: &Wanted, words: &str) -> Result<Round, ConnectionsError> {
    let process = {
        let _pinned = Pinned::server(wanted.cores).map_err(ConnectionsError::Core)?;
        FloorProcess::start(Target::Echo).await?
    };
    let _pinned = Pinned::driver(wanted.cores).map_err(ConnectionsError::Core)?;
    let visit = |place: usize| {
        let side = if place.is_multiple_of(2) { "customer" } else { "operator" };
        let path = format!("/ws?pair={}&side={side}", place / 2);
        Visit { own: own_address(place), to: To::Socket(path) }
    };
    let visits = (0..wanted.sessions()).map(visit).collect();
    let watched = Watched { process: process.id(), ..Watched::default() };
    measured(wanted, process.address().to_owned(), visits, watched, words).await
}

/// Everybody, with a token.
async fn visits(
    wanted: &Wanted,
    address: &str,
    password: &str,
) -> Result<Vec<Visit>, ConnectionsError> {
    let operators = (0..wanted.operators)
        .map(|n| WantedOperator { name: format!("idle {n}"), capacity: 1 })
        .collect::<Vec<_>>();
    // Nobody opens a chat; a channel has to lead somewhere.
    let queue = WantedQueue {
        name: "idle".to_owned(),
        rule: Rule::Manual,
        members: Vec::new(),
        offer_timeout_ms: switchboard::domain::limits::OFFER_TIMEOUT_MS,
        retention_days: None,
    };
    let administrator = (ADMINISTRATOR, password);
    let there = provision(&Rest::new(address), administrator, &operators, &[queue]).await?;
    let mut all = tokens::operators(address, &there.operators).await?;
    all.extend(tokens::visitors(&there.doors, wanted.customers).await?);
    let visits = all.into_iter().enumerate();
    Ok(visits
        .map(|(place, token)| Visit { own: own_address(place), to: To::Session(token) })
        .collect())
}

/// What was seen of a server.
struct Measured {
    before: Option<Taken>,
    ramped: Option<Taken>,
    /// The driver while they came, which took so many seconds.
    coming: Seen,
    ramp_s: f64,
    server: Seen,
    sessions: usize,
}

async fn measured(
    wanted: &Wanted,
    address: String,
    visits: Vec<Visit>,
    watched: Watched,
    words: &str,
) -> Result<Round, ConnectionsError> {
    let taken = || watched.process.and_then(taken_by);
    let before = taken();
    // Times are made while they come, so that it is then that the driver must not be short of its core.
    let own = Watched { process: Some(std::process::id()), ..Watched::default() };
    let (coming, began) = (Watch::begin(own, BTreeMap::new), Instant::now());
    let mut there = There::come(wanted, address, visits, words).await?;
    let (coming, ramp_s) = (coming.end(), began.elapsed().as_secs_f64());
    let ramped = taken();
    let sessions = there.hall.ledger.borrow().open();
    let server = Watch::begin(watched.clone(), BTreeMap::new);
    there.shown.until(Instant::now() + wanted.hold, wanted, || false, &there.hall).await;
    let server = server.end();
    let mut round = there.end(wanted).await;
    let measured = Measured { before, ramped, coming, ramp_s, server, sessions };
    note(&mut round, measured, wanted.hold.as_secs_f64());
    Ok(round)
}

/// Everybody is there, and does nothing.
pub(super) struct There<'a> {
    hall: Rc<Hall>,
    tell: watch::Sender<Stage>,
    people: Vec<JoinHandle<()>>,
    shown: Shown<'a>,
}

impl<'a> There<'a> {
    /// Everybody comes, at the pace that is wanted.
    pub(super) async fn come(
        wanted: &Wanted,
        address: String,
        visits: Vec<Visit>,
        words: &'a str,
    ) -> Result<Self, ConnectionsError> {
        let (tell, stage) = watch::channel(Stage::Idle);
        let open_us = Histogram::new_with_bounds(1, LONGEST_US, DIGITS)
            .map_err(|error| ConnectionsError::Times(error.to_string()))?;
        let hall = Rc::new(Hall {
            address,
            ping_every: wanted.ping_every,
            stage,
            ledger: RefCell::new(Ledger::new(visits.len())),
            open_us: RefCell::new(open_us),
        });
        let mut shown = Shown::new(words);
        let people = come(wanted, &hall, visits, &mut shown).await;
        Ok(Self { hall, tell, people, shown })
    }

    /// Each is asked for an answer, and goes. What was found, and how long they took to come.
    pub(super) async fn end(mut self, wanted: &Wanted) -> Round {
        self.tell.send_replace(Stage::Asked);
        let answered = || self.hall.ledger.borrow().is_answered();
        // Everybody is woken first; who has not called yet has no answer either.
        self.shown.until(Instant::now() + LAST_LIMIT, wanted, answered, &self.hall).await;
        self.tell.send_replace(Stage::Over);
        let _ = timeout(LAST_LIMIT, all(self.people)).await;
        self.shown.progress.done();
        let mut round = self.hall.ledger.borrow_mut().finish().into_round();
        round.time("session_open", &self.hall.open_us.borrow());
        round
    }
}

async fn all(people: Vec<JoinHandle<()>>) {
    for one in people {
        // Whatever ended it, the ledger knows that it is not there.
        let _ = one.await;
    }
}

/// Lets everybody come when they are due, and waits until they are there or have failed.
async fn come(
    wanted: &Wanted,
    hall: &Rc<Hall>,
    visits: Vec<Visit>,
    shown: &mut Shown<'_>,
) -> Vec<JoinHandle<()>> {
    let (began, count) = (Instant::now(), visits.len());
    let coming = Arc::new(Semaphore::new(COMING_MAX));
    let limit = began + wanted.limit();
    let mut people = Vec::new();
    for (place, visit) in visits.into_iter().enumerate() {
        let due = began + wanted.ramp().mul_f64(place as f64 / count.max(1) as f64);
        sleep_until(due).await;
        let permit = tokio::time::timeout_at(limit, Arc::clone(&coming).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { break };
        people.push(spawn_local(live(Rc::clone(hall), place, visit, due, permit)));
        shown.look(wanted, hall);
    }
    let are_there = || hall.ledger.borrow().settled() >= count;
    shown.until(limit, wanted, are_there, hall).await;
    people
}

/// The line that says how far it is.
struct Shown<'a> {
    progress: Progress,
    began: Instant,
    next: Instant,
    words: &'a str,
}

impl<'a> Shown<'a> {
    fn new(words: &'a str) -> Self {
        let began = Instant::now();
        Self { progress: Progress::default(), began, next: began, words }
    }

    fn look(&mut self, wanted: &Wanted, hall: &Hall) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + LOOK_EVERY;
        let (now, whole) = (self.began.elapsed(), wanted.ramp() + wanted.hold);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let words = format!(
            "{}: {} of {} sessions",
            self.words,
            hall.ledger.borrow().open(),
            wanted.sessions()
        );
        let part = now.as_secs_f64() / whole.as_secs_f64().max(1e-3);
        self.progress.show(ms(now), part, ms(whole.saturating_sub(now)), &words);
    }

    /// Waits until then, or until it is enough.
    async fn until(
        &mut self,
        then: Instant,
        wanted: &Wanted,
        is_enough: impl Fn() -> bool,
        hall: &Hall,
    ) {
        while Instant::now() < then {
            sleep(LOOK_EVERY.min(then.duration_since(Instant::now()))).await;
            if is_enough() {
                return;
            }
            self.look(wanted, hall);
        }
    }
}

/// Figures of what was seen.
fn note(round: &mut Round, measured: Measured, hold_s: f64) {
    let Measured { before, ramped, coming, ramp_s, server, sessions } = measured;
    round.set("sessions", sessions as f64);
    let kib = |then: Option<Taken>| {
        let (before, then) = before.zip(then)?;
        let grown = then.anonymous_bytes as f64 - before.anonymous_bytes as f64;
        Some(grown / 1_024.0 / sessions as f64)
    };
    let resident = |taken: Option<Taken>| taken.map(|taken| taken.resident_bytes as f64);
    let share = |seen: &Seen, time_s: f64| seen.cpu_ms().map(|ms| ms / 1_000.0 / time_s);
    let figures = [
        ("session_open_kib", kib(ramped)),
        ("session_idle_kib", kib(server.after)),
        ("resident_before_bytes", resident(before)),
        ("resident_bytes", resident(server.after)),
        ("server_cpu_share", share(&server, hold_s)),
        ("driver_cpu_share", share(&coming, ramp_s)),
    ];
    for (name, value) in figures {
        if let Some(value) = value {
            round.set(name, value);
        }
    }
    round.samples = server.samples;
}

#[cfg(test)]
mod tests;

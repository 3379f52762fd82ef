//! Messages between pairs, or into many chats, in rounds: each server in turn, from its start to its end, so that what the
//! machine does meanwhile meets all alike.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Duration, timeout};

use super::files::{CONNECTIONS_BESIDE, TooFewFiles, allow};
use super::floor::Kind;
use super::pairs::{Counts, Load, Measured, Pair, PairError, drive};
use super::place::{Cores, Pinned};
use super::report::{BEFORE, ROUTER, Round};
use super::seats::{self, COMING_AT_A_TIME, SeatError};
use super::tokens::TOKEN_MS;
use super::watch::{Seen, Watch, Watched};
use crate::client::Rest;
use crate::run::RunError;
use crate::run::guard::SUBCOMMAND;
use crate::run::provision::{ADMINISTRATOR, provision};
use crate::run::server::{ServerError, Setup};

/// How long a floor may take until it says where it serves.
const FLOOR_LIMIT: Duration = Duration::from_secs(10);

/// What of the router's metrics is noted while it is measured.
const METRICS: &[(&str, &str)] = &[
    ("appends", "switchboard_store_appends_total"),
    ("calls_under_way", "switchboard_calls_under_way"),
    ("tail_events", "switchboard_store_tail_events"),
    ("wal_bytes", "switchboard_store_wal_bytes"),
];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The floor that answers.
    Echo,
    /// The floor that forwards too.
    Forward,
    /// The floor that makes durable before.
    Durable,
    /// The router.
    Router,
    /// Another program of the router, to be held against.
    Before,
}

impl Target {
    /// What it is called in a report, and as a floor on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Forward => "forward",
            Self::Durable => "durable",
            Self::Router => ROUTER,
            Self::Before => BEFORE,
        }
    }
}

/// What is asked of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Who writes to whom.
    pub people: People,
    /// What they do.
    pub load: Load,
    /// Cores of server and driver; none: they share all.
    pub cores: Option<Cores>,
}

/// Who writes to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum People {
    /// So many customers, each to the operator who owns its chat.
    Pairs(usize),
    /// Operators, each into as many chats as it may own, of so many in all, whose customers have gone.
    Chats(usize),
}

/// Chats of one operator, where there are many.
const CHATS_OF_ONE: u32 = switchboard::domain::limits::OPERATOR_CAPACITY_MAX;

impl People {
    /// Those who write, each with a second socket beside its own.
    pub fn writers(self) -> usize {
        match self {
            Self::Pairs(pairs) => pairs,
            Self::Chats(chats) => chats.div_ceil(CHATS_OF_ONE as usize),
        }
    }

    /// Chats in all.
    fn chats(self) -> usize {
        match self {
            Self::Pairs(chats) | Self::Chats(chats) => chats,
        }
    }

    fn of_each(self) -> u32 {
        match self {
            Self::Pairs(_) => 1,
            Self::Chats(_) => CHATS_OF_ONE,
        }
    }
}

impl Wanted {
    fn sockets(&self) -> u64 {
        self.people.writers() as u64 * 2
    }
}

/// Makes sure, before anything is started, that there are files for all sockets.
pub fn prepare(wanted: &Wanted) -> Result<(), ScenarioError> {
    Ok(allow(wanted.sockets())?)
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// There are too few files.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The router's process.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// What the router needs.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Somebody has no seat.
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// The pairs.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// A floor's process, or the cores.
    #[error("{what}: {error}")]
    Io {
        /// What.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
}

/// What is done when a core is taken.
const CORES: &str = "taking a core (with --unpinned none is)";

fn io(what: &'static str) -> impl Fn(io::Error) -> ScenarioError {
    move |error| ScenarioError::Io { what, error }
}

/// The router's limits stand out of the way: names and values of its settings. They stand in the report.
pub fn settings(wanted: &Wanted) -> [(&'static str, u64); 6] {
    let connections = wanted.sockets() + COMING_AT_A_TIME as u64 + CONNECTIONS_BESIDE;
    [
        ("LIMITS_CONNECTIONS", connections),
        ("LIMITS_CONNECTIONS_PER_ADDRESS", connections),
        ("LIMITS_CALLS_PER_SECOND", 100_000),
        ("LIMITS_CALL_BURST", 100_000),
        ("LIMITS_CALLS_IN_FLIGHT", 100_000),
        ("ACCESS_ACCESS_TOKEN_MS", TOKEN_MS),
    ]
}

/// Measures the router once. Needs a thread with local tasks.
pub async fn router(
    wanted: &Wanted,
    (setup, password): (&Setup, &str),
) -> Result<Round, ScenarioError> {
    let process = {
        let _pinned = Pinned::server(wanted.cores).map_err(io(CORES))?;
        setup.start().await?
    };
    let _pinned = Pinned::driver(wanted.cores).map_err(io(CORES))?;
    let people = wanted.people;
    let (operators, queues) = seats::wanted(people.writers(), people.of_each());
    let rest = Rest::new(&setup.address());
    let there = provision(&rest, (ADMINISTRATOR, password), &operators, &queues).await?;
    let pairs = match people {
        People::Pairs(_) => seats::at_the_router(&setup.address(), &there).await?,
        People::Chats(chats) => seats::of_many_chats(&setup.address(), &there, chats).await?,
    };
    let watched =
        Watched { process: process.id(), operations: Some(setup.operations()), metrics: METRICS };
    let measured = measured(wanted, pairs, watched).await?;
    process.stop().await?;
    Ok(measured)
}

/// Measures a floor once. Needs a thread with local tasks.
pub async fn floor(wanted: &Wanted, kind: Target) -> Result<Round, ScenarioError> {
    let process = {
        let _pinned = Pinned::server(wanted.cores).map_err(io(CORES))?;
        FloorProcess::start(kind).await?
    };
    let _pinned = Pinned::driver(wanted.cores).map_err(io(CORES))?;
    let (of, are_shown) = ((wanted.people.writers(), wanted.people.chats()), kind != Target::Echo);
    let pairs = seats::at_a_floor(&process.address, of, are_shown).await?;
    let watched = Watched { process: process.id(), ..Watched::default() };
    measured(wanted, pairs, watched).await
}

/// Drives pairs that have their seats, and says what came of it.
pub(super) async fn measured(
    wanted: &Wanted,
    pairs: Vec<Pair>,
    watched: Watched,
) -> Result<Round, ScenarioError> {
    let own = Watched { process: Some(std::process::id()), ..Watched::default() };
    let mut watches = None;
    let mut seen = None;
    let mark = |counts: &Counts| match watches.take() {
        None => {
            let counts = counts.clone();
            let server = Watch::begin(watched.clone(), move || counts.since_the_last());
            watches = Some((server, Watch::begin(own.clone(), BTreeMap::new)));
        }
        Some((server, driver)) => seen = Some((server.end(), driver.end())),
    };
    let measured = drive(pairs, wanted.load, mark).await?;
    let (server, driver) = seen.unwrap_or_default();
    Ok(round(wanted, &measured, server, &driver))
}

/// What was measured, in the form of all reports.
fn round(wanted: &Wanted, measured: &Measured, server: Seen, driver: &Seen) -> Round {
    let mut round = Round {
        violations: measured.violations.clone(),
        violated: measured.violated,
        refused: measured.refused.clone(),
        ..Round::default()
    };
    let seconds = measured.seconds;
    round.set("acknowledged_per_second", measured.acknowledged as f64 / seconds);
    round.set("delivered_per_second", measured.delivered as f64 / seconds);
    round.time("acknowledge", &measured.acknowledge_us);
    round.time("deliver", &measured.deliver_us);
    round.set("stall_max_us", measured.stall_us as f64);
    if let Some(cpu_ms) = server.cpu_ms() {
        round.set("cpu_us_per_message", cpu_ms * 1_000.0 / measured.acknowledged as f64);
        round.set("server_cpu_share", cpu_ms / 1_000.0 / seconds);
    }
    if wanted.load.rate.is_some() {
        round.set("unsent", measured.unsent as f64);
        round.time("sent_late", &measured.sent_late_us);
    }
    if let Some(cpu_ms) = driver.cpu_ms() {
        round.set("driver_cpu_share", cpu_ms / 1_000.0 / seconds);
    }
    if let Some(after) = server.after {
        round.set("resident_bytes", after.resident_bytes as f64);
    }
    round.samples = server.samples;
    round
}

/// A floor's process; it ends with this, and with whoever started it.
pub(super) struct FloorProcess {
    child: Child,
    address: String,
    /// Its store's, removed behind it.
    _folder: TempDir,
}

impl FloorProcess {
    pub(super) async fn start(kind: Target) -> Result<Self, ScenarioError> {
        let own = std::env::current_exe().map_err(io("finding the own program"))?;
        let folder = TempDir::with_prefix("loadtest-").map_err(io("making a folder"))?;
        let child = Command::new(&own)
            .args([SUBCOMMAND, "--parent"])
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&own)
            .args(["floor", kind.name(), "--data"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Nothing that it has is wanted behind it.
            .kill_on_drop(true)
            .spawn();
        let child = child.map_err(io("starting a floor"))?;
        let mut floor = Self { child, address: String::new(), _folder: folder };
        let told = floor.child.stdout.take();
        let told = told.ok_or_else(|| io("asking a floor")(io::ErrorKind::BrokenPipe.into()))?;
        // It says where it serves, or ends.
        let mut told = BufReader::new(told);
        let asked = timeout(FLOOR_LIMIT, told.read_line(&mut floor.address)).await;
        asked
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(io("asking a floor"))?;
        floor.address.truncate(floor.address.trim_end().len());
        if floor.address.is_empty() {
            return Err(io("starting a floor")(io::Error::other("it has ended")));
        }
        Ok(floor)
    }

    /// The number of its process.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its `host:port`.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

/// Which floor a name means, with its folder.
pub fn kind(target: Target, folder: PathBuf) -> Option<Kind> {
    match target {
        Target::Echo => Some(Kind::Echo),
        Target::Forward => Some(Kind::Forward),
        Target::Durable => Some(Kind::Durable(folder)),
        Target::Router | Target::Before => None,
    }
}

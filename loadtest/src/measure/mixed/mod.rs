//! All at once at one router: pairs that write, chats that find their operators, colleagues who read the history, and
//! sessions that do nothing. Each is what it is alone, and verified as it is alone.
//!
//! Owns who shares the router with whom, and puts the figures of all into one round. What the server takes is that of
//! all together.

mod reading;

use tokio::time::{Duration, Instant};

use self::reading::Reading;
use super::connections::idle::{To, Visit};
use super::connections::{self, ConnectionsError, There};
use super::files::{CONNECTIONS_BESIDE, TooFewFiles, allow};
use super::pairs::Load;
use super::place::{Cores, Pinned};
use super::report::{Round, Sample};
use super::routing::{self, RoutingError, Run};
use super::scenario::{self, People, ScenarioError, Target};
use super::seats::{self, SeatError};
use super::tokens::{self, TOKEN_MS, TokenError, own_address};
use super::watch::Watched;
use crate::client::{Rest, RestError};
use crate::run::RunError;
use crate::run::provision::{ADMINISTRATOR, Provisioned, provision};
use crate::run::server::{ServerError, Setup};

/// What of the router's metrics is noted meanwhile.
const METRICS: &[(&str, &str)] = &[
    ("appends", "switchboard_store_appends_total"),
    ("chats", "switchboard_chats"),
    ("connections", "switchboard_connections"),
    ("oldest_wait_s", "switchboard_chat_oldest_wait_seconds"),
    ("tail_events", "switchboard_store_tail_events"),
    ("wal_bytes", "switchboard_store_wal_bytes"),
];

/// What is asked of the router.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Pairs that write.
    pub pairs: usize,
    /// How.
    pub load: Load,
    /// Chats that come and go, for as long.
    pub routing: routing::Wanted,
    /// Sessions that do nothing, for as long.
    pub idle: connections::Wanted,
    /// Pages of the history that colleagues read a second, all together.
    pub reads_per_second: u32,
    /// Cores of server and driver; none: they share all.
    pub cores: Option<Cores>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MixedError {
    /// The router's process.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// What the router needs.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The colleagues' token.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// A pair has no seat.
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// The pairs, or the floor.
    #[error(transparent)]
    Pairs(#[from] ScenarioError),
    /// The chats that come and go.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// The sessions that do nothing.
    #[error(transparent)]
    Idle(#[from] ConnectionsError),
    /// The system's limit.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// The cores.
    #[error("taking a core (with --unpinned, none is): {0}")]
    Core(std::io::Error),
    /// The clock's times do not fit.
    #[error("no such times: {0}")]
    Times(String),
}

impl Wanted {
    /// The pairs as they are alone.
    fn writing(&self) -> scenario::Wanted {
        scenario::Wanted { people: People::Pairs(self.pairs), load: self.load, cores: self.cores }
    }

    fn sessions(&self) -> u64 {
        let routed = self.routing.operators + self.routing.customers;
        (2 * self.pairs + routed + self.idle.sessions()) as u64
    }
}

/// The router's limits stand out of the way, as they do for each alone: names and values of its settings. They stand in
/// the report.
pub fn settings(wanted: &Wanted) -> Vec<(&'static str, u64)> {
    let connections = wanted.sessions() + CONNECTIONS_BESIDE;
    let routing = routing::settings(&wanted.routing).into_iter();
    let mut settings: Vec<_> = routing.filter(|(name, _)| *name != "LIMITS_CONNECTIONS").collect();
    settings.extend([
        ("LIMITS_CONNECTIONS", connections),
        ("LIMITS_CONNECTIONS_PER_ADDRESS", connections),
    ]);
    debug_assert!(settings.contains(&("ACCESS_ACCESS_TOKEN_MS", TOKEN_MS)));
    settings
}

/// Looks whether all of it fits, before anything is started.
pub fn prepare(wanted: &Wanted) -> Result<(), MixedError> {
    routing::prepare(&wanted.routing)?;
    connections::prepare(&wanted.idle)?;
    Ok(allow(wanted.sessions())?)
}

/// Measures as many pairs at the durable floor, which does nothing else. Needs a thread with local tasks.
pub async fn floor(wanted: &Wanted, time: Duration) -> Result<Round, MixedError> {
    let mut alone = wanted.writing();
    alone.load.time = time.min(alone.load.time);
    Ok(scenario::floor(&alone, Target::Durable).await?)
}

/// Measures the router once. Needs a thread with local tasks.
pub async fn router(
    wanted: &Wanted,
    (setup, password): (&Setup, &str),
    words: &str,
) -> Result<Round, MixedError> {
    let process = {
        let _pinned = Pinned::server(wanted.cores).map_err(MixedError::Core)?;
        setup.start().await?
    };
    let _pinned = Pinned::driver(wanted.cores).map_err(MixedError::Core)?;
    let address = setup.address();
    let [of_pairs, of_routing] = provisioned(wanted, &address, password).await?;
    // Those who wait for the others serve their sockets meanwhile; pairs do not, so they come last.
    let visits = idle(wanted, &of_pairs).await?;
    let idle = There::come(&wanted.idle, address.clone(), visits, words).await?;
    let run = Run::begin(&wanted.routing, &address, &of_routing, words).await?;
    let pairs = seats::at_the_router(&address, &of_pairs).await?;
    let token = of_pairs.auditor.tokens.clone().fresh().await?.token;
    let began = Instant::now() + wanted.load.warm_up;
    let read = Reading::new(Rest::new(&address), token, wanted.reads_per_second)?;
    let watched =
        Watched { process: process.id(), operations: Some(setup.operations()), metrics: METRICS };
    let (mut all, routed, read) = tokio::try_join!(
        async { Ok::<_, MixedError>(scenario::measured(&wanted.writing(), pairs, watched).await?) },
        async {
            Ok::<_, MixedError>(
                run.measured(&wanted.routing, Watched::default(), &of_routing).await?,
            )
        },
        async { Ok::<_, MixedError>(read.between(began, began + wanted.load.time).await) },
    )?;
    // The server has worked for all of them.
    all.figures.remove("cpu_us_per_message");
    for more in [routed, read, idle.end(&wanted.idle).await] {
        all = together(all, more);
    }
    process.stop().await?;
    Ok(all)
}

/// What the pairs need, and what the chats that come and go need.
async fn provisioned(
    wanted: &Wanted,
    address: &str,
    password: &str,
) -> Result<[Provisioned; 2], MixedError> {
    let (mut operators, mut queues) = seats::wanted(wanted.pairs, 1);
    let (pairs, doors) = (operators.len(), queues.len());
    let (more, lines) = routing::provisioned(&wanted.routing);
    operators.extend(more);
    queues.extend(lines.into_iter().map(|mut line| {
        line.members.iter_mut().for_each(|member| *member += pairs);
        line
    }));
    let administrator = (ADMINISTRATOR, password);
    let mut all = provision(&Rest::new(address), administrator, &operators, &queues).await?;
    let rest = Provisioned {
        operators: all.operators.split_off(pairs),
        doors: all.doors.split_off(doors),
        auditor: all.auditor.clone(),
    };
    Ok([all, rest])
}

/// Customers who open no chat.
async fn idle(wanted: &Wanted, there: &Provisioned) -> Result<Vec<Visit>, MixedError> {
    let tokens = tokens::visitors(&there.doors, wanted.idle.sessions()).await?;
    let before = 2 * wanted.pairs + wanted.routing.operators + wanted.routing.customers;
    let visit = |(place, token)| Visit { own: own_address(place), to: To::Session(token) };
    Ok((before..).zip(tokens).map(visit).collect())
}

/// Two rounds that were at the same time. Of a figure that both have the first one's is kept, but for what was due and
/// not sent, which is that of both.
fn together(mut all: Round, more: Round) -> Round {
    for (name, value) in more.figures {
        let is_sum = name == "unsent";
        let known = all.figures.entry(name).or_insert(if is_sum { 0.0 } else { value });
        *known += if is_sum { value } else { 0.0 };
    }
    all.times.extend(more.times);
    let longer = more.samples.len().saturating_sub(all.samples.len());
    all.samples.extend(more.samples.iter().rev().take(longer).rev().cloned());
    for (sample, more) in all.samples.iter_mut().zip(more.samples) {
        let Sample { values, .. } = more;
        values.into_iter().for_each(|(name, value)| {
            sample.values.entry(name).or_insert(value);
        });
    }
    all.violations.extend(more.violations);
    all.violated += more.violated;
    for (name, count) in more.refused {
        *all.refused.entry(name).or_default() += count;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_of_one_time_are_one_round_with_all_that_was_found() {
        let sample = |name: &str, at_s| Sample { at_s, values: [(name.to_owned(), at_s)].into() };
        let mut first = Round { samples: vec![sample("a", 1.0)], violated: 1, ..Round::default() };
        first.set("unsent", 1.0);
        first.set("driver_cpu_share", 0.5);
        first.violations = vec!["x".to_owned()];
        first.refused.insert("late".to_owned(), 1);
        let mut second = Round { violated: 2, ..first.clone() };
        second.samples = vec![sample("b", 1.1), sample("b", 2.1)];
        second.set("driver_cpu_share", 0.7);
        second.set("declined", 3.0);
        let all = together(first, second);
        let figure = |name: &str| all.figures[name];
        assert_eq!(
            (figure("unsent"), figure("driver_cpu_share"), figure("declined")),
            (2.0, 0.5, 3.0)
        );
        assert_eq!((all.violated, all.violations.len(), all.refused["late"]), (3, 2, 2));
        assert_eq!(all.samples.len(), 2);
        assert_eq!((all.samples[0].values["a"], all.samples[0].values["b"]), (1.0, 1.1));
        assert_eq!(all.samples[1].values["b"], 2.1);
    }
}

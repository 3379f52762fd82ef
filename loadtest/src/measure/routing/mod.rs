//! How chats find their operators: arrivals, accepts, declines, operators who come and go, and a line.
//!
//! [`ledger`] has what must hold, [`hall`] what all have in common, [`customer`] and [`operator`] are the people.
//! All of them are on one thread. A customer's session opens one chat after the other, so a run needs as
//! many of them as chats are open at a time.

pub mod customer;
pub mod hall;
pub mod ledger;
pub mod operator;
mod run;

use std::collections::BTreeSet;

use switchboard::domain::Rule;
use switchboard::domain::limits::{COOL_DOWN_MS, OFFER_TIMEOUT_MS, QUEUE_MEMBERS_MAX};
use tokio::time::Duration;

pub(super) use self::run::Run;
use super::files::{CONNECTIONS_BESIDE, TooFewFiles, allow};
use super::pairs::Load;
use super::place::{Cores, Pinned};
use super::report::Round;
use super::scenario::{self, People, ScenarioError, Target};
use super::session::SessionError;
use super::tokens::{TOKEN_MS, TokenError};
use super::watch::Watched;
use crate::client::{Rest, RestError};
use crate::run::RunError;
use crate::run::provision::{ADMINISTRATOR, WantedOperator, WantedQueue, provision};
use crate::run::server::{ServerError, Setup};

/// Most operators: each logs in, and the server hashes a password for it.
pub const OPERATORS_MAX: usize = 5_000;

/// Most customers: their sessions fit 20,000 files beside the operators'.
pub const CUSTOMERS_MAX: usize = 12_000;

/// Queues of one operator: two, so that lines are served by people who serve others, too.
const QUEUES_OF_ONE: usize = 2;

/// How long the floor is measured in each round, and what comes before.
const FLOOR_TIME: Duration = Duration::from_secs(3);
const FLOOR_WARM_UP: Duration = Duration::from_millis(500);

/// What of the router's metrics is noted meanwhile.
const METRICS: &[(&str, &str)] = &[
    ("appends", "switchboard_store_appends_total"),
    ("oldest_wait_s", "switchboard_chat_oldest_wait_seconds"),
    ("wal_bytes", "switchboard_store_wal_bytes"),
];

/// How chats come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// So many a second, whatever became of earlier ones, as long as there are customers.
    PerSecond(f64),
    /// So many are open at a time.
    AtATime(usize),
}

/// What is asked of the router.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Operators.
    pub operators: usize,
    /// How many chats each may have.
    pub capacity: u32,
    /// Queues; each operator serves two of them.
    pub queues: usize,
    /// How all of them choose.
    pub rule: Rule,
    /// Chats that wait when operators begin.
    pub line: usize,
    /// How chats come.
    pub arrivals: Arrivals,
    /// Customers: most chats that are open at a time.
    pub customers: usize,
    /// Offers that are declined, of a hundred.
    pub declines_percent: u32,
    /// How often an operator steps away, all together, a minute.
    pub steps_away_per_minute: u32,
    /// How long an operator keeps a chat.
    pub keeps: Duration,
    /// Whether it writes a message before the end.
    pub writes: bool,
    /// What is not measured, in front.
    pub warm_up: Duration,
    /// What is.
    pub time: Duration,
    /// Cores of server and driver; none: they share all.
    pub cores: Option<Cores>,
    /// What operators do hangs on it.
    pub seed: u64,
}

impl Wanted {
    /// What is measured, with what comes before.
    fn whole(&self) -> Duration {
        self.warm_up + self.time
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// The router's process.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// What the router needs.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The auditor's token.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// Somebody could not come.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The floor.
    #[error(transparent)]
    Floor(#[from] ScenarioError),
    /// The system's limit.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// What is wanted does not fit together.
    #[error("{0}")]
    Wanted(String),
    /// The line did not form.
    #[error("{opened} of {wanted} chats were open after {} s; {refusals}", run::STEP_LIMIT.as_secs())]
    Late {
        /// Chats that were opened.
        opened: usize,
        /// Chats that should have been.
        wanted: usize,
        /// What was refused meanwhile.
        refusals: String,
    },
    /// Somebody's task ended that should not have.
    #[error("somebody who plays a part has ended: {0}")]
    Ended(String),
    /// The cores.
    #[error("taking a core (with --unpinned, none is): {0}")]
    Core(std::io::Error),
    /// The clock's times do not fit.
    #[error("no such times: {0}")]
    Times(String),
}

/// The router's limits stand out of the way, and one customer may stand for many: names and values of its
/// settings. They stand in the report.
pub fn settings(wanted: &Wanted) -> [(&'static str, u64); 7] {
    let connections = people(wanted) + CONNECTIONS_BESIDE;
    [
        ("LIMITS_CONNECTIONS", connections),
        ("LIMITS_CALLS_PER_SECOND", 100_000),
        ("LIMITS_CALL_BURST", 100_000),
        ("LIMITS_CALLS_IN_FLIGHT", 100_000),
        ("ROUTING_COOL_DOWN_MS", COOL_DOWN_MS),
        // Who has just ended a chat opens the next one here, and is a new customer in every other way.
        ("ROUTING_VISITOR_OFFER_EVERY_MS", 0),
        ("ACCESS_ACCESS_TOKEN_MS", TOKEN_MS),
    ]
}

fn people(wanted: &Wanted) -> u64 {
    wanted.operators as u64 + wanted.customers as u64
}

/// Looks whether all of it fits, before anything is started.
pub fn prepare(wanted: &Wanted) -> Result<(), RoutingError> {
    let at_a_time = match wanted.arrivals {
        Arrivals::PerSecond(_) => 0,
        Arrivals::AtATime(chats) => chats,
    };
    let bad = |why: String| Err(RoutingError::Wanted(why));
    if wanted.operators < wanted.queues {
        return bad("there have to be as many operators as queues: each queue needs one".to_owned());
    }
    let members =
        (wanted.operators * QUEUES_OF_ONE.min(wanted.queues)).div_ceil(wanted.queues.max(1));
    if members > QUEUE_MEMBERS_MAX {
        return bad(format!(
            "{members} operators of one queue, and {QUEUE_MEMBERS_MAX} are the most: more --queues"
        ));
    }
    if wanted.customers < wanted.line.max(at_a_time) || wanted.customers > CUSTOMERS_MAX {
        return bad(format!(
            "{} customers, of {CUSTOMERS_MAX} at most: as many as chats in line and at a time",
            wanted.customers
        ));
    }
    Ok(allow(people(wanted))?)
}

/// Measures one message at the durable floor, to hold the router's times against. Needs a thread with local
/// tasks.
pub async fn floor(wanted: &Wanted) -> Result<Round, RoutingError> {
    let (warm_up, time) = (FLOOR_WARM_UP, FLOOR_TIME);
    let load = Load { in_flight: 1, rate: None, warm_up, time, messages: None };
    let one = scenario::Wanted { people: People::Pairs(1), load, cores: wanted.cores };
    Ok(scenario::floor(&one, Target::Durable).await?)
}

/// Measures the router once. Needs a thread with local tasks.
pub async fn router(
    wanted: &Wanted,
    (setup, password): (&Setup, &str),
    words: &str,
) -> Result<Round, RoutingError> {
    let process = {
        let _pinned = Pinned::server(wanted.cores).map_err(RoutingError::Core)?;
        setup.start().await?
    };
    let _pinned = Pinned::driver(wanted.cores).map_err(RoutingError::Core)?;
    let (operators, queues) = provisioned(wanted);
    let rest = Rest::new(&setup.address());
    let there = provision(&rest, (ADMINISTRATOR, password), &operators, &queues).await?;
    let watched =
        Watched { process: process.id(), operations: Some(setup.operations()), metrics: METRICS };
    let run = Run::begin(wanted, &setup.address(), &there, words).await?;
    let round = run.measured(wanted, watched, &there).await?;
    process.stop().await?;
    Ok(round)
}

/// Operators, and queues of which each has two neighbours' operators.
pub(super) fn provisioned(wanted: &Wanted) -> (Vec<WantedOperator>, Vec<WantedQueue>) {
    let operator = |n| WantedOperator { name: format!("router {n}"), capacity: wanted.capacity };
    let queue = |number| WantedQueue {
        name: format!("line {number}"),
        rule: wanted.rule,
        members: (0..wanted.operators)
            .filter(|operator| serves(*operator, wanted.queues).contains(&number))
            .collect(),
        offer_timeout_ms: OFFER_TIMEOUT_MS,
        retention_days: None,
    };
    ((0..wanted.operators).map(operator).collect(), (0..wanted.queues).map(queue).collect())
}

/// The queues that an operator serves.
fn serves(operator: usize, queues: usize) -> BTreeSet<usize> {
    (0..QUEUES_OF_ONE).map(|next| (operator + next) % queues.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_serves_two_queues_and_each_queue_has_somebody() {
        assert_eq!(serves(0, 1), BTreeSet::from([0]));
        assert_eq!(serves(3, 4), BTreeSet::from([3, 0]));
        let all: BTreeSet<usize> = (0..4).flat_map(|who| serves(who, 4)).collect();
        assert_eq!(all, (0..4).collect());
    }
}

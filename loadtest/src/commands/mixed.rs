//! `loadtest mixed`: all at once at one router.

use std::time::Duration;

use clap::Args;
use loadtest::measure::connections;
use loadtest::measure::floor::PAIRS_MAX;
use loadtest::measure::mixed::{self, Wanted};
use loadtest::measure::pairs::Load;
use loadtest::measure::place::Cores;
use loadtest::measure::report::Report;
use loadtest::measure::routing::{self, Arrivals, CUSTOMERS_MAX, OPERATORS_MAX};
use loadtest::measure::scenario::Target;
use switchboard::domain::Rule;
use switchboard::protocol::limits::UNANSWERED_MAX;

use super::rounds::{self, RoundsArguments};
use super::routing::{ARRIVALS_MAX, CUSTOMERS_OF_CAPACITY, KEEP_MAX_MS};
use super::target::until_interrupted;

/// Longest measurement, s.
const SECONDS_MAX: u64 = 600;

/// How long the floor is measured in each round: it is the same all the time.
const FLOOR_TIME: Duration = Duration::from_secs(5);

/// Most messages a second.
const RATE_MAX: i64 = 100_000;

/// Most sessions that do nothing: beside all others they fit 20,000 files.
const IDLE_MAX: i64 = 10_000;

/// Most pages of the history a second.
const READS_MAX: i64 = 1_000;

/// Sessions that do nothing come so many a second.
const RAMP: u32 = 500;

/// Chats that an operator may have, and queues: those of `routing` when nothing is said.
const CAPACITY: u32 = 3;
const QUEUES: usize = 4;

/// Who shares the router.
#[derive(Debug, Args)]
pub struct PeopleArguments {
    /// Pairs of a customer who writes and an operator who is shown it
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=PAIRS_MAX as i64))]
    pairs: u32,
    /// Messages a second of all pairs together, sent when they are due
    #[arg(long, value_name = "PER_SECOND", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=RATE_MAX))]
    rate: u32,
    /// Operators to whom chats come that are accepted, kept and ended
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(QUEUES as i64..=OPERATORS_MAX as i64))]
    operators: u32,
    /// Chats that come to them a second
    #[arg(long, value_name = "PER_SECOND", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=ARRIVALS_MAX))]
    arrivals: u32,
    /// How long an operator keeps a chat, ms
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(0..=KEEP_MAX_MS))]
    keep: u64,
    /// Sessions that do nothing
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=IDLE_MAX))]
    idle: u32,
    /// Pages of the history that colleagues read a second over REST
    #[arg(long, value_name = "PER_SECOND", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=READS_MAX))]
    reads: u32,
    /// What operators do hangs on it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl PeopleArguments {
    /// All of it, for so long.
    pub fn wanted(&self, (warm_up, time): (Duration, Duration), cores: Option<Cores>) -> Wanted {
        let room = (self.operators * CAPACITY) as usize;
        Wanted {
            pairs: self.pairs as usize,
            load: Load {
                in_flight: UNANSWERED_MAX,
                rate: Some(f64::from(self.rate)),
                warm_up,
                time,
                messages: None,
            },
            routing: routing::Wanted {
                operators: self.operators as usize,
                capacity: CAPACITY,
                queues: QUEUES,
                rule: Rule::LeastLoaded,
                line: 0,
                arrivals: Arrivals::PerSecond(f64::from(self.arrivals)),
                customers: (room * CUSTOMERS_OF_CAPACITY).min(CUSTOMERS_MAX),
                declines_percent: 0,
                steps_away_per_minute: 0,
                keeps: Duration::from_millis(self.keep),
                writes: true,
                warm_up,
                time,
                cores,
                seed: self.seed,
            },
            idle: connections::Wanted {
                customers: self.idle as usize,
                operators: 0,
                per_second: RAMP,
                ping_every: None,
                hold: warm_up + time,
                cores,
            },
            reads_per_second: self.reads,
            cores,
        }
    }

    /// For the report.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        vec![
            ("pairs", self.pairs.to_string()),
            ("rate", self.rate.to_string()),
            ("operators", self.operators.to_string()),
            ("arrivals", self.arrivals.to_string()),
            ("keep", self.keep.to_string()),
            ("idle", self.idle.to_string()),
            ("reads", self.reads.to_string()),
        ]
    }
}

/// The options of `mixed`.
#[derive(Debug, Args)]
pub struct MixedArguments {
    #[command(flatten)]
    people: PeopleArguments,
    /// For how long, s
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// What comes before and is not measured, s
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=60))]
    warm_up: u64,
    #[command(flatten)]
    common: RoundsArguments,
}

impl MixedArguments {
    /// Runs and prints; says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let times = (Duration::from_secs(self.warm_up), Duration::from_secs(self.seconds));
        let wanted = self.people.wanted(times, self.common.run.cores()?);
        mixed::prepare(&wanted)?;
        let mut options = self.people.options();
        options
            .extend([("seconds", self.seconds.to_string()), ("warm_up", self.warm_up.to_string())]);
        let mut report = self.common.begin("mixed", &options, &mixed::settings(&wanted))?;
        let ended = until_interrupted(self.measure(&wanted, &mut report)).await;
        self.common.run.finish(report, ended)
    }

    /// Measures round by round, into the report.
    async fn measure(&self, wanted: &Wanted, report: &mut Report) -> anyhow::Result<()> {
        let settings = mixed::settings(wanted);
        let mut targets = [Target::Durable, Target::Router];
        for number in 1..=self.common.rounds {
            for target in targets {
                let round = if target == Target::Router {
                    let (setup, password) = self.common.run.own.prepare(&settings)?;
                    let words = format!("round {number}");
                    mixed::router(wanted, (&setup, &password), &words).await?
                } else {
                    mixed::floor(wanted, FLOOR_TIME).await?
                };
                rounds::add(report, target.name(), round);
            }
            // What the machine does in turn meets nobody always first.
            targets.rotate_left(1);
        }
        Ok(())
    }
}

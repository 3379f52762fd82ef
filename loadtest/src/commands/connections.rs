//! `loadtest connections`: what an idle session costs, beside a socket without one.

use std::time::Duration;

use clap::Args;
use loadtest::measure::connections::{self, Wanted};
use loadtest::measure::report::Report;
use loadtest::measure::scenario::Target;

use super::rounds::{self, RoundsArguments};
use super::target::until_interrupted;

/// Most customers: with what a server keeps free beside them they fit 20,000 files.
const CUSTOMERS_MAX: i64 = 18_000;

/// Most operators: each logs in, and the server hashes a password for it.
const OPERATORS_MAX: i64 = 5_000;

/// Fewest and most sockets that come a second: the most come within half an hour.
const PER_SECOND: std::ops::RangeInclusive<i64> = 10..=100_000;

/// Longest stay, s.
const HOLD_MAX_S: u64 = 600;

/// The options of `connections`.
#[derive(Debug, Args)]
pub struct ConnectionsArguments {
    /// Customers, each with a session
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=CUSTOMERS_MAX))]
    customers: u32,
    /// Operators, each logged in from an address of its own, with a session
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=OPERATORS_MAX))]
    operators: u32,
    /// Sessions that come a second
    #[arg(long, value_name = "PER_SECOND", default_value_t = 500, value_parser = clap::value_parser!(u32).range(PER_SECOND))]
    ramp: u32,
    /// How often each asks the server for a sign of life, s; without it only the server asks
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=HOLD_MAX_S))]
    ping_every: Option<u64>,
    /// How long they stay and do nothing, s: the server asks for signs of life every 30 s
    #[arg(long, value_name = "S", default_value_t = 35, value_parser = clap::value_parser!(u64).range(1..=HOLD_MAX_S))]
    hold: u64,
    #[command(flatten)]
    common: RoundsArguments,
}

impl ConnectionsArguments {
    /// Runs and prints; says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let wanted = Wanted {
            customers: self.customers as usize,
            operators: self.operators as usize,
            per_second: self.ramp,
            ping_every: self.ping_every.map(Duration::from_secs),
            hold: Duration::from_secs(self.hold),
            cores: self.common.run.cores()?,
        };
        connections::prepare(&wanted)?;
        let settings = connections::settings(&wanted);
        let mut report = self.common.begin("connections", &self.options(), &settings)?;
        let ended = until_interrupted(self.measure(&wanted, &mut report)).await;
        self.common.run.finish(report, ended)
    }

    fn options(&self) -> [(&'static str, String); 5] {
        let every = |s: u64| s.to_string();
        [
            ("customers", self.customers.to_string()),
            ("operators", self.operators.to_string()),
            ("ramp", self.ramp.to_string()),
            ("ping_every", self.ping_every.map_or("never".to_owned(), every)),
            ("hold", self.hold.to_string()),
        ]
    }

    /// Measures round by round, into the report.
    async fn measure(&self, wanted: &Wanted, report: &mut Report) -> anyhow::Result<()> {
        let settings = connections::settings(wanted);
        let mut targets = [Target::Echo, Target::Router];
        for number in 1..=self.common.rounds {
            for target in targets {
                let words = format!("round {number}, {}", target.name());
                let round = if target == Target::Router {
                    let (setup, password) = self.common.run.own.prepare(&settings)?;
                    connections::router(wanted, (&setup, &password), &words).await?
                } else {
                    connections::floor(wanted, &words).await?
                };
                rounds::add(report, target.name(), round);
            }
            // What the machine does in turn meets nobody always first.
            targets.rotate_left(1);
        }
        Ok(())
    }
}

//! `loadtest soak`: all at once at one router for long, while its memory is watched.

use std::time::Duration;

use clap::Args;
use loadtest::measure::report::{ROUTER, Report};
use loadtest::measure::{flat, mixed};

use super::mixed::PeopleArguments;
use super::rounds::{self, RunArguments};
use super::target::until_interrupted;

/// Fewest and most minutes: what comes before is not judged, and tokens live for a day.
const MINUTES: std::ops::RangeInclusive<i64> = 2..=720;

/// What comes before and is not measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// The options of `soak`.
#[derive(Debug, Args)]
pub struct SoakArguments {
    #[command(flatten)]
    people: PeopleArguments,
    /// For how long, min; resident memory may grow by less than 5 % after the first one
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(MINUTES))]
    minutes: u32,
    #[command(flatten)]
    common: RunArguments,
}

impl SoakArguments {
    /// Runs and prints; says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let time = Duration::from_secs(u64::from(self.minutes) * 60);
        let wanted = self.people.wanted((WARM_UP, time), self.common.cores()?);
        mixed::prepare(&wanted)?;
        let mut options = self.people.options();
        options.push(("minutes", self.minutes.to_string()));
        let mut report = self.common.begin("soak", &options, &mixed::settings(&wanted))?;
        let ended = until_interrupted(self.measure(&wanted, &mut report)).await;
        self.common.finish(report, ended)
    }

    async fn measure(&self, wanted: &mixed::Wanted, report: &mut Report) -> anyhow::Result<()> {
        let (setup, password) = self.common.own.prepare(&mixed::settings(wanted))?;
        let mut round = mixed::router(wanted, (&setup, &password), "soak").await?;
        flat::look(&mut round);
        rounds::add(report, ROUTER, round);
        Ok(())
    }
}

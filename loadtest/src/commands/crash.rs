//! `loadtest crash`: the server is killed under load, again and again, and nothing may be missing.

use clap::Args;
use loadtest::measure::outcomes;
use loadtest::measure::report::ROUTER;
use loadtest::run::crash::{Outcome, crash};
use loadtest::run::crowd::{self, Load, OPEN_MIN};

use super::output::OutputArguments;
use super::seen::{print_seen, spread};
use super::target::{OwnServerArguments, until_interrupted};

/// Most rounds of one run: a few hours.
const ROUNDS_MAX: i64 = 2_000;

/// The options of `crash`.
#[derive(Debug, Args)]
pub struct CrashArguments {
    /// Kills under load; a kill without it is repeated
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX))]
    rounds: u32,
    /// What people's choices and the moments of the kills hang on
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    own: OwnServerArguments,
}

impl CrashArguments {
    /// Runs, prints, and says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let options = [("rounds", self.rounds.to_string()), ("seed", self.seed.to_string())];
        let mut report = self.output.begin(("crash", &self.own), &options, crowd::SETTINGS)?;
        let ended = until_interrupted(async {
            let (setup, process, there) = self.own.start_for_a_crowd().await?;
            let outcome = crash(&setup, process, there, self.rounds, self.seed).await?;
            print(&outcome);
            report.warnings.extend(outcomes::met(&outcome.seen.met));
            report.rounds.insert(ROUTER.to_owned(), vec![outcomes::crash(&outcome)]);
            Ok(())
        })
        .await;
        self.output.finish(report, ended, |_| ())
    }
}

fn print(outcome: &Outcome) {
    let least = |of: fn(&Load) -> usize| {
        outcome.kills.iter().map(|kill| of(&kill.load)).min().unwrap_or_default()
    };
    println!(
        "rounds: {} with at least {OPEN_MIN} chats open, offers out and calls in flight, of {} kills",
        outcome.kills.len(),
        outcome.tried
    );
    let mean = |of: fn(&Load) -> usize| {
        let sum: usize = outcome.kills.iter().map(|kill| of(&kill.load)).sum();
        sum as f64 / outcome.kills.len().max(1) as f64
    };
    println!(
        "at the kills, least (mean): open chats {} ({:.0}), offers out {} ({:.1}), calls in flight {} ({:.1})",
        least(|kill| kill.open),
        mean(|kill| kill.open),
        least(|kill| kill.offers),
        mean(|kill| kill.offers),
        least(|kill| kill.calls),
        mean(|kill| kill.calls),
    );
    spread("from kill to answer, ms", &outcome.restart_ms, 1);
    let (whole, without) = outcome.copies;
    println!("backups: {whole} whole, {without} that a kill met or prevented");
    let (forgotten, under_way) = outcome.past;
    println!(
        "chats of long ago: {forgotten} forgotten by retention, which {under_way} kills but the first met"
    );
    print_seen(&outcome.seen);
}

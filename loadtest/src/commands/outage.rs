//! `loadtest outage`: the server's store goes away under load and comes back; nothing may be missing.

use clap::Args;
use loadtest::measure::outcomes;
use loadtest::measure::report::ROUTER;
use loadtest::run::crowd;
use loadtest::run::outage::{Moment, Outcome, Phase, Plan, outage};

use super::output::OutputArguments;
use super::seen::print_seen;
use super::target::{OwnServerArguments, until_interrupted};

/// Longest outage, s.
const AWAY_MAX_S: u64 = 3_600;

/// How often a line of the story is printed when nothing changes, ms.
const LINE_EVERY_MS: u64 = 5_000;

/// The options of `outage`.
#[derive(Debug, Args)]
pub struct OutageArguments {
    /// What takes the store away, for a shell: "scripts/cql-server kill DIR"
    #[arg(long, value_name = "COMMAND")]
    down: String,
    /// What gives it back: "scripts/cql-server start DIR"
    #[arg(long, value_name = "COMMAND")]
    up: String,
    /// How long it is away, s
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=AWAY_MAX_S))]
    away_s: u64,
    /// What people's choices hang on
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    own: OwnServerArguments,
}

impl OutageArguments {
    /// Runs, prints, and says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let plan = Plan { down: self.down.clone(), up: self.up.clone(), away_s: self.away_s };
        let options = [
            ("down", self.down.clone()),
            ("up", self.up.clone()),
            ("for", self.away_s.to_string()),
            ("seed", self.seed.to_string()),
        ];
        let mut report = self.output.begin(("outage", &self.own), &options, crowd::SETTINGS)?;
        let ended = until_interrupted(async {
            let (setup, process, there) = self.own.start_for_a_crowd().await?;
            let outcome = outage(&setup, process, there, &plan, self.seed).await?;
            print(&outcome);
            report.warnings.extend(outcomes::met(&outcome.seen.met));
            report.rounds.insert(ROUTER.to_owned(), vec![outcomes::outage(&outcome)]);
            Ok(())
        })
        .await;
        self.output.finish(report, ended, |_| ())
    }
}

fn print(outcome: &Outcome) {
    println!("what the server told, and what its clients were acknowledged:");
    println!(
        "      s  store    ready  available   appends     calls  connected  restarts  messages"
    );
    let mut last: Option<&Moment> = None;
    for moment in &outcome.moments {
        let changed = last.is_none_or(|last| {
            let of = |moment: &Moment| (moment.phase, moment.ready.is_ok(), moment.available);
            of(last) != of(moment) || moment.at_ms >= last.at_ms + LINE_EVERY_MS
        });
        if changed {
            line(moment, last);
            last = Some(moment);
        }
    }
    let (down_ms, up_ms) = outcome.away_ms;
    println!("away: {:.1} s", (up_ms - down_ms) as f64 / 1_000.0);
    told("from its going to not ready", outcome.noticed_ms());
    told("from its return to ready", outcome.recovered_ms());
    told("from its return to the first acknowledged message", outcome.acknowledged_ms());
    print_seen(&outcome.seen);
}

fn line(moment: &Moment, last: Option<&Moment>) {
    let store = match moment.phase {
        Phase::Before => "there",
        Phase::Away => "away",
        Phase::Back => "back",
    };
    let yes = |is: bool| if is { "yes" } else { "no" };
    println!(
        "{:7.1}  {store:7}  {:5}  {:9}  {:8}  {:8}  {:9}  {:8}  {:8}",
        moment.at_ms as f64 / 1_000.0,
        yes(moment.ready.is_ok()),
        yes(moment.available),
        moment.appends,
        moment.calls,
        moment.connections,
        moment.restarts,
        moment.acknowledged,
    );
    if let Err(why) = &moment.ready
        && last.is_none_or(|last| last.ready.as_ref().err() != Some(why))
    {
        println!("         /readyz: {why}");
    }
}

fn told(what: &str, ms: Option<u64>) {
    match ms {
        Some(ms) => println!("{what}: {:.1} s", ms as f64 / 1_000.0),
        None => println!("{what}: never"),
    }
}

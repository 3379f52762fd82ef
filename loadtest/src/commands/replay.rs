//! `loadtest replay`: a plan on real sockets, beside what was recorded and what is ideal.

use std::collections::BTreeMap;

use clap::Args;
use loadtest::measure::outcomes;
use loadtest::measure::report::{ROUTER, Sample};
use loadtest::measure::watch::{Watch, Watched};
use loadtest::predict::predict;
use loadtest::report::{Column, skips, table};
use loadtest::run::provision::provision;
use loadtest::run::replay::{self, Outcome};
use loadtest::stats::Figures;

use super::output::OutputArguments;
use super::target::{TargetArguments, until_interrupted};
use super::traffic::{Traffic, TrafficArguments};

/// Violations that are printed; the rest are counted.
const SHOWN_MAX: usize = 20;

/// What of the router's metrics is noted meanwhile.
const METRICS: &[(&str, &str)] = &[
    ("appends", "switchboard_store_appends_total"),
    ("chats", "switchboard_chats"),
    ("calls_under_way", "switchboard_calls_under_way"),
    ("connections", "switchboard_connections"),
    ("oldest_wait_s", "switchboard_chat_oldest_wait_seconds"),
];

/// What the others of a report are called there: the recorded day, and what an ideal router would make of it.
const RECORDED: &str = "recorded";
const IDEAL: &str = "ideal";

/// The options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    target: TargetArguments,
}

impl ReplayArguments {
    /// Plays, prints, and says whether all held. Needs a thread with local tasks.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let traffic = self.traffic.load()?;
        let prediction = predict(&traffic.plan);
        let settings = replay::settings(traffic.speed);
        let options = [("traffic", traffic.title.clone())];
        let own = self.target.own();
        let mut report = self.output.begin(("replay", own), &options, &settings)?;
        println!("{}", traffic.title);
        let ended = until_interrupted(async {
            let (outcome, samples) = self.play(&traffic, &settings).await?;
            print(&traffic, &prediction.figures, &outcome);
            let speed = traffic.speed;
            report.warnings.extend(outcomes::met(&outcome.met));
            let mut add = |name: &str, round| report.rounds.insert(name.to_owned(), vec![round]);
            add(ROUTER, outcomes::replay(&outcome, speed, samples));
            add(IDEAL, outcomes::fared(&prediction.figures, speed));
            if let Some(recorded) = &traffic.plan.recorded {
                add(RECORDED, outcomes::fared(recorded, speed));
            }
            Ok(())
        })
        .await;
        self.output.finish(report, ended, |_| ())
    }

    /// What came of it, and what was seen of a server of our own meanwhile.
    async fn play(
        &self,
        traffic: &Traffic,
        settings: &[(&str, u64)],
    ) -> anyhow::Result<(Outcome, Vec<Sample>)> {
        let mut target = self.target.open(settings).await?;
        let (operators, queues) = replay::wanted(&traffic.plan, traffic.speed);
        let administrator = (target.login.as_str(), target.password.as_str());
        let there = provision(&target.rest, administrator, &operators, &queues).await?;
        let plan = traffic.plan.clone();
        let own = target.own.as_ref();
        let watched = Watched {
            process: own.and_then(|(process, _)| process.id()),
            operations: own.map(|(_, setup)| setup.operations()),
            metrics: METRICS,
        };
        let watch = Watch::begin(watched, BTreeMap::new);
        let outcome = replay::replay(target.rest.address(), plan, traffic.speed, there).await;
        let samples = watch.end().samples;
        if let Some((mut process, _setup)) = target.own.take() {
            if let Some(status) = process.ended() {
                anyhow::bail!("the server ended while it was used: {status}");
            }
            process.stop().await?;
        }
        Ok((outcome?, samples))
    }
}

fn print(traffic: &Traffic, ideal: &Figures, outcome: &Outcome) {
    let mut columns = Vec::new();
    if let Some(recorded) = &traffic.plan.recorded {
        columns.push(Column { title: "recorded", figures: recorded });
    }
    columns.push(Column { title: "ideal router", figures: ideal });
    columns.push(Column { title: "measured", figures: &outcome.figures });
    print!("{}", skips(&traffic.plan.skipped));
    print!("{}", table(&columns, traffic.speed));
    println!("histories read again by the auditor: {}", outcome.read);
    for (name, count) in &outcome.met {
        println!("met besides: {count} {name}");
    }
    print_violations(&outcome.violations, outcome.violations_count);
}

/// Prints the first violations and how many there were.
pub fn print_violations(kept: &[loadtest::verify::Violation], count: u64) {
    for violation in kept.iter().take(SHOWN_MAX) {
        println!("violation: {violation}");
    }
    println!("violations: {count}");
}

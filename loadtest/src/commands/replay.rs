//! `loadtest replay`: a plan on real sockets, beside what was recorded and what is ideal.

use clap::Args;
use loadtest::predict::predict;
use loadtest::report::{Column, skips, table};
use loadtest::run::provision::provision;
use loadtest::run::replay;

use super::target::{TargetArguments, until_interrupted};
use super::traffic::TrafficArguments;

/// Violations that are printed; the rest are counted.
const SHOWN_MAX: usize = 20;

/// The options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
    #[command(flatten)]
    target: TargetArguments,
}

impl ReplayArguments {
    /// Plays, prints, and says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let traffic = self.traffic.load()?;
        let prediction = predict(&traffic.plan);
        let settings = replay::settings(traffic.speed);
        println!("{}", traffic.title);
        let outcome = until_interrupted(async {
            let mut target = self.target.open(&settings).await?;
            let (operators, queues) = replay::wanted(&traffic.plan, traffic.speed);
            let administrator = (target.login.as_str(), target.password.as_str());
            let there = provision(&target.rest, administrator, &operators, &queues).await?;
            let plan = traffic.plan.clone();
            let address = target.rest.address();
            let outcome = replay::replay(address, plan, traffic.speed, there).await;
            if let Some((mut process, _setup)) = target.own.take() {
                if let Some(status) = process.ended() {
                    anyhow::bail!("the server ended while it was used: {status}");
                }
                process.stop().await?;
            }
            Ok(outcome?)
        })
        .await?;
        let mut columns = Vec::new();
        if let Some(recorded) = &traffic.plan.recorded {
            columns.push(Column { title: "recorded", figures: recorded });
        }
        columns.push(Column { title: "ideal router", figures: &prediction.figures });
        columns.push(Column { title: "measured", figures: &outcome.figures });
        print!("{}", skips(&traffic.plan.skipped));
        print!("{}", table(&columns, traffic.speed));
        println!("histories read again by the auditor: {}", outcome.read);
        for (name, count) in &outcome.met {
            println!("met besides: {count} {name}");
        }
        print_violations(&outcome.violations, outcome.violations_count);
        Ok(outcome.violations_count == 0)
    }
}

/// Prints the first violations and how many there were.
pub fn print_violations(kept: &[loadtest::verify::Violation], count: u64) {
    for violation in kept.iter().take(SHOWN_MAX) {
        println!("violation: {violation}");
    }
    println!("violations: {count}");
}

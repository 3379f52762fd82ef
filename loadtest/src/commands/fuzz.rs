//! `loadtest fuzz`: frames and requests of every kind, by everybody, and nothing may break.

use clap::Args;
use loadtest::client::Rest;
use loadtest::run::crowd;
use loadtest::run::fuzz::{Amount, Outcome, SETTINGS, fuzz};
use loadtest::run::provision::{ADMINISTRATOR, provision};

use super::target::{OwnServerArguments, until_interrupted};

/// Most frames of one run: some hours.
const FRAMES_MAX: u64 = 100_000_000;

/// Most requests of one run.
const REQUESTS_MAX: u64 = 10_000_000;

/// The options of `fuzz`.
#[derive(Debug, Args)]
pub struct FuzzArguments {
    /// Frames over sockets
    #[arg(long, value_name = "N", default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(0..=FRAMES_MAX))]
    frames: u64,
    /// Requests over REST
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(0..=REQUESTS_MAX))]
    requests: u64,
    /// What is sent hangs on this
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    own: OwnServerArguments,
}

impl FuzzArguments {
    /// Runs, prints, and says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let amount = Amount { frames: self.frames, requests: self.requests, seed: self.seed };
        let outcome = until_interrupted(async {
            let (setup, password) = self.own.prepare(SETTINGS)?;
            let process = setup.start().await?;
            let (operators, queues) = crowd::wanted();
            let administrator = (ADMINISTRATOR, password.as_str());
            let rest = Rest::new(&setup.address());
            let there = provision(&rest, administrator, &operators, &queues).await?;
            Ok(fuzz(&setup, process, there, administrator, amount).await?)
        })
        .await?;
        print(&outcome);
        Ok(outcome.faults.is_empty())
    }
}

fn print(outcome: &Outcome) {
    println!("frames: {}, requests: {}", outcome.frames, outcome.requests);
    counts("answers to calls", &outcome.answers);
    counts("statuses of requests (0: closed)", &outcome.statuses);
    counts("sockets ended by (0: without a code)", &outcome.closes);
    if let Some((warm, end)) = outcome.resident {
        println!("memory after a third: {} MiB, at the end: {} MiB", warm >> 20, end >> 20);
    }
    println!(
        "acknowledged messages in their places after a restart: {}; erased with their customers: {}",
        outcome.found, outcome.erased
    );
    for fault in &outcome.faults {
        println!("fault: {fault}");
    }
    println!("faults: {}", outcome.faults.len());
}

fn counts<K: std::fmt::Display>(what: &str, counts: &std::collections::BTreeMap<K, u64>) {
    let counts: Vec<String> = counts.iter().map(|(key, n)| format!("{key} {n}")).collect();
    println!("{what}: {}", counts.join(", "));
}

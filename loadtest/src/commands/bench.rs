//! `loadtest bench`: what a server does at most, and what an idle socket costs it.

use clap::Args;
use loadtest::client::Rest;
use loadtest::run::bench::{self, Outcome, Wanted};
use loadtest::run::provision::{ADMINISTRATOR, provision};

use super::target::{OwnServerArguments, until_interrupted};

/// Most customers who write, and most idle sockets: a machine has so many ports for one address.
const SOCKETS_MAX: i64 = 20_000;

/// Longest measurement, s.
const SECONDS_MAX: i64 = 600;

/// Most messages that one customer has under way, as the protocol says.
const IN_FLIGHT_MAX: i64 = switchboard::protocol::limits::UNANSWERED_MAX as i64;

/// The options of `bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// Customers who write
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=SOCKETS_MAX))]
    clients: u32,
    /// Messages that each has under way
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=IN_FLIGHT_MAX))]
    in_flight: u32,
    /// For how long, s
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX as u64))]
    seconds: u64,
    /// Sockets beside them that only have a session
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=SOCKETS_MAX))]
    idle: u32,
    #[command(flatten)]
    own: OwnServerArguments,
}

impl BenchArguments {
    /// Runs and prints; says whether every message was acknowledged.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let wanted = Wanted {
            clients: self.clients as usize,
            in_flight: self.in_flight as usize,
            seconds: self.seconds,
            idle: self.idle as usize,
        };
        let outcome = until_interrupted(async {
            let (setup, password) = self.own.prepare(&bench::settings(wanted))?;
            let process = setup.start().await?;
            let rest = Rest::new(&setup.address());
            let administrator = (ADMINISTRATOR, password.as_str());
            let queues = bench::wanted_queues();
            let there = provision(&rest, administrator, &[], &queues).await?;
            let outcome = bench::bench(&setup.address(), &process, &there, wanted).await;
            process.stop().await?;
            Ok(outcome?)
        })
        .await?;
        print(wanted, &outcome);
        Ok(outcome.refused.is_empty() && outcome.messages > 0)
    }
}

fn print(wanted: Wanted, outcome: &Outcome) {
    let summary = outcome.acknowledge_us.summary();
    let ms = |us: Option<u64>| us.map_or("-".to_owned(), |us| format!("{:.1}", us as f64 / 1e3));
    let bytes = outcome.idle_bytes.map_or("-".to_owned(), |bytes| format!("{:.1}", bytes / 1024.0));
    println!(
        "clients  in flight  messages/s  ack p50 ms  ack p99 ms  idle sockets  KiB per idle socket"
    );
    println!(
        "{:<7}  {:<9}  {:<10.0}  {:<10}  {:<10}  {:<12}  {bytes}",
        wanted.clients,
        wanted.in_flight,
        outcome.messages as f64 / outcome.seconds,
        ms(summary.map(|summary| summary.p50)),
        ms(summary.map(|summary| summary.p99)),
        wanted.idle,
    );
    for (name, count) in &outcome.refused {
        println!("refused: {count} {name}");
    }
}

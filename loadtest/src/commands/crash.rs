//! `loadtest crash`: the server is killed under load, again and again, and nothing may be missing.

use clap::Args;
use loadtest::client::Rest;
use loadtest::run::crash::{self, AtKill, OPEN_MIN, Outcome};
use loadtest::run::provision::{ADMINISTRATOR, provision};
use loadtest::stats::Samples;
use loadtest::verify::Violation;

use super::replay::print_violations;
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
    own: OwnServerArguments,
}

impl CrashArguments {
    /// Runs, prints, and says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let outcome = until_interrupted(async {
            let (setup, password) = self.own.prepare(crash::SETTINGS)?;
            let process = setup.start().await?;
            let rest = Rest::new(&setup.address());
            let (operators, queues) = crash::wanted();
            let administrator = (ADMINISTRATOR, password.as_str());
            let there = provision(&rest, administrator, &operators, &queues).await?;
            Ok(crash::crash(&setup, process, there, self.rounds, self.seed).await?)
        })
        .await?;
        print(&outcome);
        Ok(outcome.violations_count == 0 && outcome.unread.is_empty())
    }
}

fn print(outcome: &Outcome) {
    let least = |of: fn(&AtKill) -> usize| outcome.kills.iter().map(of).min().unwrap_or_default();
    println!(
        "rounds: {} with at least {OPEN_MIN} chats open, offers out and calls in flight, of {} kills",
        outcome.kills.len(),
        outcome.tried
    );
    let mean = |of: fn(&AtKill) -> usize| {
        let sum: usize = outcome.kills.iter().map(of).sum();
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
    println!("acknowledged messages: {}", outcome.wire.messages);
    spread("acknowledged, ms", &outcome.wire.acknowledge_us, 1_000);
    // Of a chat that waits for an operator, or for the server, the time of that is in it.
    spread("delivered, waits included, ms", &outcome.wire.delivery_us, 1_000);
    let [customers, operators, auditor] = outcome.read;
    println!(
        "chats: {}; read again by customers {customers}, by last owners {operators}, by the auditor {auditor}",
        outcome.chats
    );
    for (name, count) in &outcome.met {
        println!("met besides: {count} {name}");
    }
    for why in &outcome.unread {
        println!("unread: {why}");
    }
    let kinds: Vec<String> = KINDS
        .iter()
        .map(|kind| {
            let of_kind = outcome.violations.iter().filter(|one| kind_of(one) == *kind);
            format!("{} {kind}", of_kind.count())
        })
        .collect();
    println!("{}", kinds.join(", "));
    print_violations(&outcome.violations, outcome.violations_count);
}

fn spread(label: &str, samples: &Samples, per: u64) {
    if let Some(summary) = samples.summary() {
        let scaled = |value: u64| value as f64 / per as f64;
        println!(
            "{label}: p50 {:.1}, p99 {:.1}, max {:.1}",
            scaled(summary.p50),
            scaled(summary.p99),
            scaled(summary.max)
        );
    }
}

/// What people call the violations.
const KINDS: [&str; 7] =
    ["lost", "doubled", "reordered", "above capacity", "double owners", "stuck", "other"];

/// The word of [`KINDS`] for a violation.
fn kind_of(one: &Violation) -> &'static str {
    match one {
        Violation::NotSeen { .. } | Violation::Missing { .. } => "lost",
        Violation::Doubled { .. } | Violation::SeenTwice { .. } => "doubled",
        Violation::Reordered { .. }
        | Violation::SeenOutOfOrder { .. }
        | Violation::HistoryOrder { .. }
        | Violation::Disagreement { .. }
        | Violation::SeqTaken { .. } => "reordered",
        Violation::AboveCapacity { .. } => "above capacity",
        Violation::TwoOwners { .. }
        | Violation::OwnersDisagree { .. }
        | Violation::NotTheOwner { .. }
        | Violation::WroteWithoutOwning { .. } => "double owners",
        Violation::Stuck { .. } => "stuck",
        Violation::NeverSent { .. } | Violation::IdleBesideWaiting { .. } => "other",
    }
}

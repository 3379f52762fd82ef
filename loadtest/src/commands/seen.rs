//! What the people of a crowd saw, as lines.

use loadtest::run::crowd::Verified;
use loadtest::stats::Samples;
use loadtest::verify::Violation;

use super::replay::print_violations;

/// Prints it, the violations last.
pub fn print_seen(seen: &Verified) {
    println!("acknowledged messages: {}", seen.wire.messages);
    spread("acknowledged, ms", &seen.wire.acknowledge_us, 1_000);
    // Of a chat that waits for an operator, or for the server, the time of that is in it.
    spread("delivered, waits included, ms", &seen.wire.delivery_us, 1_000);
    let [customers, operators, auditor] = seen.read;
    println!(
        "chats: {}; read again by customers {customers}, by last owners {operators}, by the auditor {auditor}",
        seen.chats
    );
    for (name, count) in &seen.met {
        println!("met besides: {count} {name}");
    }
    println!("erased: {} customers; traces of them: {}", seen.erased, seen.traces.len());
    for trace in &seen.traces {
        println!("trace: {trace}");
    }
    for why in &seen.unread {
        println!("unread: {why}");
    }
    let kinds: Vec<String> = KINDS
        .iter()
        .map(|kind| {
            let of_kind = seen.violations.iter().filter(|one| kind_of(one) == *kind);
            format!("{} {kind}", of_kind.count())
        })
        .collect();
    println!("{}", kinds.join(", "));
    print_violations(&seen.violations, seen.violations_count);
}

/// Prints a few quantiles, if there is anything, in units of `per`.
pub fn spread(label: &str, samples: &Samples, per: u64) {
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

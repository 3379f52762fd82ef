//! What two measurements have in common and what not, in words.

use std::collections::{BTreeMap, BTreeSet};

use super::{LIKELY_MIN, PROVEN_MIN};
use crate::measure::number::number;
use crate::measure::report::{Report, Round};

/// The option that says how many rounds there are: how many were measured is said anyway.
const ROUNDS: &str = "rounds";

/// Whether so many pairs can tell anything from chance.
pub fn of_pairs(before: usize, after: usize, pairs: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if before != after {
        notes.push(format!("of {before} and {after} rounds the first {pairs} are compared"));
    }
    if pairs < LIKELY_MIN {
        notes.push(format!("{pairs} pairs of rounds tell nothing from chance"));
    } else if pairs < PROVEN_MIN {
        let least = number(2.0 / 2f64.powi(i32::try_from(pairs).unwrap_or(i32::MAX)));
        notes.push(format!(
            "with {pairs} pairs of rounds p is never below {least}: \"likely\" says that all rounds agree and that \
             the median change exceeds the threshold, which chance alone can do"
        ));
    }
    notes
}

/// What else is different between two reports, or is wrong with either.
pub fn of_both(before: &Report, after: &Report) -> Vec<String> {
    let mut notes = machines(before, after);
    let (first, second) = (&before.build, &after.build);
    if first.version != second.version {
        notes.push(different(
            "version of the driver and the floors",
            &first.version,
            &second.version,
        ));
    }
    if first.is_optimised != second.is_optimised {
        notes.push("one report is of an optimised build, the other one is not".to_owned());
    }
    notes.extend(options("option", &before.options, &after.options));
    notes.extend(options("setting", &before.settings, &after.settings));
    let floors = |report: &Report| report.floors().map(str::to_owned).collect::<BTreeSet<_>>();
    if floors(before).is_disjoint(&floors(after)) {
        notes.push(
            "there is no floor in both: what the machine did meanwhile is in the changes"
                .to_owned(),
        );
    }
    for (which, report) in [("first", before), ("second", after)] {
        if let Some(why) = &report.failed {
            notes.push(format!("the {which} run ended before its last round: {why}"));
        }
        let is_broken = |round: &Round| round.violated > 0 || !round.refused.is_empty();
        for floor in report.floors() {
            if report.rounds.get(floor).into_iter().flatten().any(is_broken) {
                notes.push(format!("the floor {floor} of the {which} report did not hold"));
            }
        }
        notes
            .extend(report.warnings.iter().map(|warning| format!("the {which} report: {warning}")));
    }
    notes
}

fn machines(before: &Report, after: &Report) -> Vec<String> {
    let (first, second) = (&before.machine, &after.machine);
    let facts = [
        ("number of cores", first.cores.to_string(), second.cores.to_string()),
        ("processor", first.processor.clone(), second.processor.clone()),
        ("kernel", first.kernel.clone(), second.kernel.clone()),
        ("memory", first.memory_bytes.to_string(), second.memory_bytes.to_string()),
        ("file system", first.file_system.clone(), second.file_system.clone()),
    ];
    let differ = facts.iter().filter(|(_, first, second)| first != second);
    differ.map(|(what, first, second)| different(what, first, second)).collect()
}

fn options(
    what: &str,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let notes = names.into_iter().filter(|name| *name != ROUNDS).filter_map(|name| {
        let [first, second] =
            [before, after].map(|all| all.get(name).map_or("none", String::as_str));
        (first != second).then(|| different(&format!("{what} {name}"), first, second))
    });
    notes.collect()
}

fn different(what: &str, first: &str, second: &str) -> String {
    format!("another {what}: {first:?}, then {second:?}")
}

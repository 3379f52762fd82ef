//! A report for tests: one that was written down, so that what is kept can be read later, too.

use super::report::Report;

/// A report in the form of version 1, as it was written first. It is never written anew: what reads reports has to
/// read it.
pub const WRITTEN: &[u8] = include_bytes!("../../tests/golden/report.json");

/// That report with its first rounds only; it has three.
pub fn report(rounds: usize) -> Report {
    let mut report = Report::read(WRITTEN).unwrap();
    report.rounds.values_mut().for_each(|all| all.truncate(rounds));
    report
}

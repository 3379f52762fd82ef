//! What the commands that measure in rounds have in common: the empty report, and what is done with a full one.

use std::collections::BTreeMap;

use loadtest::client::clock::wall_ms;
use loadtest::measure::report::{Build, Machine, Report, Round, VERSION};
use loadtest::measure::table::table;

use super::output::OutputArguments;
use super::target::OwnServerArguments;

/// Most rounds.
pub const ROUNDS_MAX: i64 = 25;

/// A report before anything was measured.
pub fn empty(
    scenario: &str,
    own: &OwnServerArguments,
    options: &[(&str, String)],
    settings: &[(&str, u64)],
) -> Report {
    let config = own.config.as_ref().map_or("none".to_owned(), |file| file.display().to_string());
    let config = ("config", config);
    let options = options.iter().chain([&config]);
    let options = options.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let settings = settings.iter().map(|(name, value)| (name.to_lowercase(), value.to_string()));
    Report {
        version: VERSION,
        scenario: scenario.to_owned(),
        began_ms: wall_ms(),
        build: Build::here(own.server_binary.as_deref()),
        machine: Machine::here(&std::env::temp_dir()),
        options: options.collect(),
        settings: settings.collect(),
        rounds: BTreeMap::new(),
        warnings: Vec::new(),
        failed: None,
    }
}

/// Notes a round, and tells what in it should not have been.
pub fn add(report: &mut Report, server: &str, round: Round) {
    for violation in &round.violations {
        println!("VIOLATION: {violation}");
    }
    for (refusal, count) in &round.refused {
        println!("refused: {count} {refusal}");
    }
    report.rounds.entry(server.to_owned()).or_default().push(round);
}

/// Prints the medians side by side, and writes the report where it is wanted, also that of a run that has ended
/// early. Says whether all held.
pub fn finish(
    mut report: Report,
    ended: anyhow::Result<()>,
    output: &OutputArguments,
) -> anyhow::Result<bool> {
    if let Err(error) = &ended {
        report.failed = Some(format!("{error:#}"));
    }
    report.warn();
    println!("\n{}", table(&report));
    let written = output.write(&report);
    // Of two errors the one of the run came first, and says more.
    ended?;
    written?;
    Ok(report.holds())
}

//! What the commands that measure in rounds have in common: the empty report, and what is done with a full one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use loadtest::client::clock::wall_ms;
use loadtest::measure::report::{Build, FIGURES, Machine, Report, Round, VERSION, median};

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

/// Prints the medians side by side, and writes the report where it is wanted. Says whether all held.
pub fn finish(
    mut report: Report,
    ended: anyhow::Result<()>,
    servers: &[&str],
    json: Option<&Path>,
) -> anyhow::Result<bool> {
    if let Err(error) = &ended {
        report.failed = Some(format!("{error:#}"));
    }
    report.warn();
    print(&report, servers);
    for warning in &report.warnings {
        println!("note: {warning}");
    }
    if let Some(path) = json {
        let json = serde_json::to_vec_pretty(&report).context("writing the report")?;
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    ended.map(|()| report.holds())
}

/// Medians side by side, and the ratio of the last server's to the first one's.
fn print(report: &Report, servers: &[&str]) {
    let row = |heading: &str, unit: &str, cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>14}")).collect();
        println!("{heading:<28} {unit:>10}{}", cells.concat());
    };
    let cell = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    let headings = servers.iter().copied().chain(["ratio"]).map(str::to_owned);
    row("", "", headings.collect());
    for figure in FIGURES {
        let medians: Vec<_> =
            servers.iter().map(|server| report.median(server, figure.name)).collect();
        if medians.iter().all(Option::is_none) {
            continue;
        }
        let ends = servers.last().zip(servers.first());
        let ratio = ends.and_then(|(of, to)| median(report.ratios(of, to, figure.name)));
        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        row(figure.heading, figure.unit, medians.into_iter().map(cell).chain([ratio]).collect());
    }
}

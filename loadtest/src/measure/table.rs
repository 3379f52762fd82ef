//! A report for a terminal: medians by server, and what the router is beside each other one.

use super::number::{NONE, Unit, number};
use super::report::{ROUTER, Report};
use crate::report::aligned;

/// Medians, ratios, and what is wrong or to be known.
pub fn table(report: &Report) -> String {
    let (servers, others) = (report.servers(), report.others());
    let mut rows = vec![vec!["median".to_owned(), "unit".to_owned()]];
    rows[0].extend(servers.iter().map(|name| (*name).to_owned()));
    for figure in report.measured() {
        let values: Vec<Option<f64>> =
            servers.iter().map(|name| report.median(name, figure.name)).collect();
        let largest = values.iter().flatten().fold(0.0_f64, |most, value| most.max(value.abs()));
        let unit = Unit::of(figure.unit, largest);
        let mut row = vec![figure.heading.to_owned(), unit.name.to_owned()];
        let cells = values.into_iter().map(|value| value.map(|value| unit.write(value)));
        row.extend(cells.map(|cell| cell.unwrap_or(NONE.to_owned())));
        rows.push(row);
    }
    let mut text = aligned(&rows, |column| column < 2);
    for other in others.into_iter().filter(|_| report.rounds.contains_key(ROUTER)) {
        text += &format!("\nrouter against {other}: ratios round by round\n");
        text += &ratios(report, other);
    }
    text += &remarks(report);
    text
}

fn ratios(report: &Report, other: &str) -> String {
    let head = ["", "median", "lowest", "highest"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for figure in report.measured() {
        if let Some(spread) = report.spread(ROUTER, other, figure.name) {
            let mut row = vec![figure.heading.to_owned()];
            row.extend([spread.median, spread.lowest, spread.highest].map(number));
            rows.push(row);
        }
    }
    aligned(&rows, |column| column == 0)
}

fn remarks(report: &Report) -> String {
    let mut text = String::new();
    for (name, rounds) in &report.rounds {
        let violated: u64 = rounds.iter().map(|round| round.violated).sum();
        let refused: u64 = rounds.iter().flat_map(|round| round.refused.values()).sum();
        if violated > 0 || refused > 0 {
            text += &format!("{name} did not hold: {violated} violations, {refused} refusals\n");
        }
    }
    for warning in &report.warnings {
        text += &format!("warning: {warning}\n");
    }
    if let Some(why) = &report.failed {
        text += &format!("ended before its last round: {why}\n");
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::sample;

    #[test]
    fn medians_stand_side_by_side_and_ratios_below() {
        let text = table(&sample::report(3));
        assert_eq!(text, include_str!("../../tests/golden/report.txt"));
    }

    #[test]
    fn what_did_not_hold_is_told_even_when_nothing_was_measured() {
        let mut report = sample::report(0);
        report.failed = Some("the server is gone".to_owned());
        assert!(table(&report).contains("ended before its last round: the server is gone"));
    }
}

//! A report as one page that can be sent, printed and kept: it loads nothing and runs nothing.
//!
//! Owns what stands on it and in which order: whether the run held, medians and ratios, plots, rounds, and all
//! that is needed to run it again. Refuses to compute more than places on a plot.

mod curves;
mod elements;
mod markup;
mod plot;
mod scale;
mod words;

use std::collections::BTreeMap;

use elements::{
    fact, figure, heading_cell, key, number_cell, section, table, unit_cell, value_cell,
};
use markup::Markup;

use super::number::{NONE, Unit, moment, number, with_unit};
use super::report::{Better, Figure, ROUTER, Report, Round, Times};

/// The sheet. It holds neither `<` nor `&`, and names no file.
const STYLE: &str = include_str!("page.css");

/// Nothing is loaded, whatever somebody finds a way to write into a report.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The parts of times that stand in a table.
const PARTS: [(f64, &str); 6] = [
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.999_9, "99.99 %"),
    (1.0, "longest"),
];

/// The whole page, in UTF-8.
pub fn page(report: &Report) -> String {
    let title = format!("{}: load test of Switchboard", report.scenario);
    let policy = [("http-equiv", "Content-Security-Policy"), ("content", POLICY)];
    let view = [("name", "viewport"), ("content", "width=device-width, initial-scale=1")];
    let head = [
        Markup::element("meta", &[("charset", "utf-8")], []),
        Markup::element("meta", &policy, []),
        Markup::element("meta", &view, []),
        Markup::of("title", &title),
        Markup::style(STYLE),
    ];
    let sections = [
        heading(report),
        verdict(report),
        medians(report),
        times(report),
        over_time(report),
        rounds(report),
        circumstances(report),
        words::how_to_read(report),
    ];
    let main = Markup::element("main", &[], sections);
    let body = Markup::element("body", &[], [main]);
    let head = Markup::element("head", &[], head);
    Markup::element("html", &[("lang", "en")], [head, body]).into_page()
}

fn heading(report: &Report) -> Markup {
    let rounds = report.rounds.values().map(Vec::len).max().unwrap_or_default();
    let when = format!(
        "{} UTC · {} · {} · {}",
        moment(report.began_ms),
        counted(report.rounds.len(), "server"),
        counted(rounds, "round"),
        report.machine.processor,
    );
    let inside = [
        Markup::element("p", &[("class", "kind")], [Markup::text("Load test of Switchboard")]),
        Markup::of("h1", &report.scenario),
        Markup::element("p", &[("class", "when")], [Markup::text(&when)]),
    ];
    Markup::element("header", &[], inside)
}

/// What stands first: whether the figures may be believed.
fn verdict(report: &Report) -> Markup {
    let (class, word) = if report.holds() {
        (
            "verdict held",
            "✓ It held: nothing was violated or refused, and every round was measured.",
        )
    } else {
        ("verdict broken", "✗ It did not hold.")
    };
    let mut inside = vec![Markup::of("h2", word)];
    if let Some(why) = &report.failed {
        let text = format!("It ended before its last round: {why}");
        inside.push(Markup::of("p", &text));
    }
    if report.rounds.values().flatten().next().is_none() {
        inside.push(Markup::of("p", "Nothing was measured."));
    }
    let wrong: Vec<Markup> =
        report.servers().into_iter().flat_map(|name| broken(report, name)).collect();
    if !wrong.is_empty() {
        inside.push(Markup::element("ul", &[], wrong));
    }
    if !report.warnings.is_empty() {
        inside.push(Markup::of("h3", "To be known before the figures are read"));
        let each = report.warnings.iter().map(|warning| Markup::of("li", warning));
        inside.push(Markup::element("ul", &[("class", "warnings")], each));
    }
    Markup::element("section", &[("class", class)], inside)
}

/// What a server did that it should not have, round by round.
fn broken(report: &Report, name: &str) -> Vec<Markup> {
    let mut told = Vec::new();
    for (number, round) in numbered(report, name) {
        if round.violated > 0 {
            let head = format!(
                "{name}, round {number}: {}",
                counted(round.violated as usize, "violation")
            );
            let each = round.violations.iter().map(|violation| Markup::of("li", violation));
            let inside = [Markup::text(&head), Markup::element("ul", &[], each)];
            told.push(Markup::element("li", &[], inside));
        }
        for (refusal, count) in &round.refused {
            told.push(Markup::of(
                "li",
                &format!("{name}, round {number}: {count} refused, {refusal}"),
            ));
        }
    }
    told
}

/// Medians by server, and what the router is beside each other one.
fn medians(report: &Report) -> Markup {
    let servers = report.servers();
    let mut head = vec!["".to_owned(), "unit".to_owned()];
    head.extend(servers.iter().map(|name| (*name).to_owned()));
    let body = report.measured().into_iter().map(|figure| {
        let values: Vec<Option<f64>> =
            servers.iter().map(|name| report.median(name, figure.name)).collect();
        let unit = unit_of(figure, values.iter().flatten().copied());
        let name =
            [Markup::text(figure.heading), Markup::of("small", better(figure, &report.scenario))];
        let mut cells = vec![heading_cell(name), unit_cell(unit.name)];
        cells.extend(values.into_iter().map(|value| value_cell(value, unit)));
        cells
    });
    let medians = table("The median of all rounds of each server.", &head, body);
    section("Medians", [medians].into_iter().chain(ratios(report)))
}

fn ratios(report: &Report) -> Option<Markup> {
    let others = report.others();
    let is_beside = report.rounds.contains_key(ROUTER) && !others.is_empty();
    let mut head = vec!["".to_owned()];
    head.extend(others.iter().map(|name| format!("router ÷ {name}")));
    let body = report.measured().into_iter().map(|figure| {
        let mut cells = vec![heading_cell([Markup::text(figure.heading)])];
        cells.extend(others.iter().map(|other| ratio_cell(report, other, figure)));
        cells
    });
    let caption = "What the router is beside the others: the median of the ratios round by round, and under it the \
                   lowest and the highest of them.";
    is_beside.then(|| table(caption, &head, body))
}

fn ratio_cell(report: &Report, other: &str, figure: &Figure) -> Markup {
    let Some(spread) = report.spread(ROUTER, other, figure.name) else {
        return Markup::element("td", &[("class", "number")], [Markup::text(NONE)]);
    };
    let ends = format!("{} to {}", number(spread.lowest), number(spread.highest));
    let inside = [Markup::text(&number(spread.median)), Markup::of("small", &ends)];
    Markup::element("td", &[("class", "number ratio")], inside)
}

/// Plots and tables of times.
fn times(report: &Report) -> Markup {
    let plots = curves::by_percentile(report);
    if plots.is_empty() {
        return section("Times", [Markup::of("p", "No times were measured.")]);
    }
    let mut inside = vec![key(report)];
    for (what, plot) in plots {
        inside.push(figure("wide", &plot));
        inside.push(times_table(report, &what));
    }
    section("Times", inside)
}

fn times_table(report: &Report, what: &str) -> Markup {
    let mut head = vec!["".to_owned(), "round".to_owned(), "count".to_owned()];
    head.extend(PARTS.map(|(_, written)| written.to_owned()));
    let body = report.servers().into_iter().filter_map(|name| {
        let rounds: Vec<(usize, &Round)> = numbered(report, name).collect();
        let times: Vec<Option<&Times>> =
            rounds.iter().map(|(_, round)| round.times.get(what)).collect();
        let halves: Vec<Option<f64>> =
            times.iter().map(|times| Some((*times)?.at(0.5)? as f64)).collect();
        let middle = curves::median_round(&halves)?;
        let (times, (number_of, _)) = ((*times.get(middle)?)?, rounds.get(middle)?);
        let mut cells = vec![heading_cell([Markup::text(name)])];
        cells.push(number_cell(&number_of.to_string()));
        cells.push(number_cell(&number(times.count as f64)));
        let at =
            |(part, _)| times.at(part).map_or(NONE.to_owned(), |us| with_unit(us as f64, "µs"));
        cells.extend(PARTS.map(at).iter().map(|text| number_cell(text)));
        Some(cells)
    });
    let caption =
        format!("{what}: what part of them took not longer, in the round of each server's median.");
    table(&caption, &head, body)
}

/// Small plots of what was sampled.
fn over_time(report: &Report) -> Markup {
    let plots = curves::over_time(report);
    if plots.is_empty() {
        return section("Over time", [Markup::of("p", "Nothing was sampled.")]);
    }
    let figures = plots.iter().map(|plot| figure("small", plot));
    let grid = Markup::element("div", &[("class", "plots")], figures);
    section("Over time", [key(report), grid])
}

/// Every figure of every round.
fn rounds(report: &Report) -> Markup {
    let tables = report.servers().into_iter().map(|name| {
        let rounds: Vec<&Round> = report.rounds.get(name).into_iter().flatten().collect();
        let mut head = vec!["".to_owned(), "unit".to_owned()];
        head.extend((1..=rounds.len()).map(|number| number.to_string()));
        let has =
            |figure: &&Figure| rounds.iter().any(|round| round.figures.contains_key(figure.name));
        let measured = report.measured().into_iter().filter(has);
        let mut body: Vec<Vec<Markup>> = measured
            .map(|figure| {
                let value = |round: &&Round| round.figures.get(figure.name).copied();
                let unit = unit_of(figure, rounds.iter().filter_map(value));
                let mut cells = vec![heading_cell([Markup::text(figure.heading)])];
                cells.push(unit_cell(unit.name));
                cells.extend(rounds.iter().map(|round| value_cell(value(round), unit)));
                cells
            })
            .collect();
        let violated = rounds.iter().map(|round| round.violated).collect();
        let refused = rounds.iter().map(|round| round.refused.values().sum()).collect();
        let counts: [(&str, Vec<u64>); 2] = [("violations", violated), ("refused", refused)];
        for (heading, counts) in counts {
            let mut cells = vec![heading_cell([Markup::text(heading)]), unit_cell("")];
            cells.extend(counts.iter().map(|count| number_cell(&count.to_string())));
            body.push(cells);
        }
        table(&format!("{name}, by round"), &head, body)
    });
    section("Rounds", tables)
}

/// What is needed to run it again.
fn circumstances(report: &Report) -> Markup {
    let head = ["".to_owned(), "".to_owned()];
    let facts = |all: &BTreeMap<String, String>| -> Vec<Vec<Markup>> {
        all.iter().map(|(name, value)| fact(name, value)).collect()
    };
    let (options, settings) = (facts(&report.options), facts(&report.settings));
    let tables = [
        table("Machine and programs", &head, machine(report)),
        table(&format!("Options of {}", report.scenario), &head, options),
        table("Settings of the router that are not its default ones", &head, settings),
    ];
    section("To run it again", [Markup::element("div", &[("class", "facts")], tables)])
}

fn machine(report: &Report) -> Vec<Vec<Markup>> {
    let (machine, build) = (&report.machine, &report.build);
    let program = |(name, bytes): &(String, u64)| format!("{name}, {bytes} bytes");
    let beside_the_driver = "the one beside the driver".to_owned();
    let mut facts = vec![
        fact("processor", &machine.processor),
        fact("cores", &machine.cores.to_string()),
        fact("memory", &with_unit(machine.memory_bytes as f64, "bytes")),
        fact("kernel", &machine.kernel),
        fact("file system of the stores", &machine.file_system),
        fact("version of the driver and the floors", &build.version),
        fact("optimised", if build.is_optimised { "yes" } else { "no" }),
        fact("router's program", &build.server.as_ref().map_or(beside_the_driver, program)),
    ];
    facts.extend(build.before.as_ref().map(|before| fact("program before", &program(before))));
    facts
}

fn unit_of(figure: &Figure, values: impl Iterator<Item = f64>) -> Unit {
    Unit::of(figure.unit, values.fold(0.0, |largest, value| value.abs().max(largest)))
}

fn better(figure: &Figure, scenario: &str) -> &'static str {
    match figure.better_in(scenario) {
        Better::More => "more is better",
        Better::Less => "less is better",
        Better::Neither => "",
    }
}

fn numbered<'a>(report: &'a Report, name: &str) -> impl Iterator<Item = (usize, &'a Round)> {
    (1..).zip(report.rounds.get(name).into_iter().flatten())
}

/// A count in words: `1 round`, `2 rounds`.
fn counted(count: usize, what: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {what}{many}")
}

#[cfg(test)]
mod tests;

//! Which plots a report has: times by percentile, and everything that was sampled, over time.
//!
//! Owns which round stands for a server, and what is along which axis.

use std::collections::BTreeSet;

use super::plot::{Line, Plot};
use super::scale::{Axis, depth};
use crate::measure::number::with_unit;
use crate::measure::report::{FIGURES, Report, Round, median};
use crate::measure::view::wording;

/// The size of a plot that has the whole width, and of one of many.
const LARGE: (f64, f64) = (920.0, 400.0);
const SMALL: (f64, f64) = (460.0, 250.0);

/// The value by which a round is found that stands for the others, and its points.
type Drawn = (f64, Vec<(f64, f64)>);

/// The place of the round in whose value the median is; none where no round has a value.
pub fn median_round(values: &[Option<f64>]) -> Option<usize> {
    let middle = median(values.iter().flatten().copied().collect())?;
    values.iter().position(|value| *value == Some(middle))
}

/// One plot of times by percentile for each thing that was timed.
pub fn by_percentile(report: &Report) -> Vec<(String, Plot<'_>)> {
    let rounds = report.rounds.values().flatten();
    let what: BTreeSet<&str> =
        rounds.flat_map(|round| round.times.keys().map(String::as_str)).collect();
    let plots = (0..).zip(what).filter_map(|(number, what)| {
        Some((what.to_owned(), percentiles(report, what, format!("percentiles-{number}"))?))
    });
    plots.collect()
}

fn percentiles<'a>(report: &'a Report, what: &str, id: String) -> Option<Plot<'a>> {
    let lines = lines(report, |round| {
        let times = round.times.get(what)?;
        let part = |(part, us): &(f64, u64)| (depth(*part, times.count), *us as f64);
        // Beyond what so many times can tell the curve says the longest again.
        let told = |(at, _): &(f64, f64)| *at < depth(1.0, times.count);
        let longest = (depth(1.0, times.count), times.max_us as f64);
        let points = times.curve.iter().map(part).filter(told).chain([longest]);
        (times.count > 0).then(|| (times.at(0.5).unwrap_or_default() as f64, points.collect()))
    });
    let counts =
        report.rounds.values().flatten().filter_map(|round| Some(round.times.get(what)?.count));
    let most = counts.max().filter(|most| *most > 0)?;
    let heights = lines.iter().flat_map(|line| line.points.iter().map(|(_, us)| us.max(1.0)));
    let y = Axis::of_ratios(heights, ("time", "µs"));
    Some(Plot {
        id,
        title: format!("{what}: time by percentile"),
        description: described(&lines, ("at 50 %", depth(0.5, most)), "the longest", "µs"),
        x: Axis::of_parts(most, "part of them that took not longer"),
        y,
        lines,
        size: LARGE,
    })
}

/// One plot for each value that was sampled anywhere, figures first.
pub fn over_time(report: &Report) -> Vec<Plot<'_>> {
    let samples = report.rounds.values().flatten().flat_map(|round| &round.samples);
    let mut names: BTreeSet<&str> =
        samples.flat_map(|sample| sample.values.keys().map(String::as_str)).collect();
    let mut ordered: Vec<&str> =
        FIGURES.iter().map(|figure| figure.name).filter(|name| names.remove(name)).collect();
    ordered.extend(names);
    let plots = (0..).zip(ordered);
    plots.map(|(number, name)| sampled(report, name, format!("over-time-{number}"))).collect()
}

fn sampled<'a>(report: &'a Report, name: &str, id: String) -> Plot<'a> {
    let (heading, unit) = wording(name);
    let lines = lines(report, |round| {
        let points = round.samples.iter().filter_map(|sample| {
            let value = sample.values.get(name)?;
            Some((sample.at_s, *value))
        });
        let points: Vec<(f64, f64)> = points.collect();
        let middle = median(points.iter().map(|(_, value)| *value).collect())?;
        Some((middle, points))
    });
    let all = || lines.iter().flat_map(|line| &line.points);
    Plot {
        id,
        title: format!("{heading} over time"),
        description: described(&lines, ("first", f64::MIN), "last", unit),
        x: Axis::linear(all().map(|(at_s, _)| *at_s), ("measured time", "s"), false),
        y: Axis::linear(all().map(|(_, value)| *value), (&heading, unit), true),
        lines,
        size: SMALL,
    }
}

/// A line for each round of each server; `of` gives its points, and the value by which the round is found that
/// stands for the others. Those come last, so that they lie above.
fn lines<'a>(report: &'a Report, of: impl Fn(&Round) -> Option<Drawn>) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for (style, name) in report.servers().into_iter().enumerate() {
        let rounds = report.rounds.get(name).into_iter().flatten();
        let of_rounds: Vec<Option<Drawn>> = rounds.map(&of).collect();
        let values: Vec<Option<f64>> =
            of_rounds.iter().map(|round| round.as_ref().map(|(value, _)| *value)).collect();
        let middle = median_round(&values);
        for (place, round) in of_rounds.into_iter().enumerate() {
            let points = round.map(|(_, points)| points).filter(|points| !points.is_empty());
            let is_median = middle == Some(place);
            lines.extend(points.map(|points| Line { name, style, is_median, points }));
        }
    }
    lines.sort_by_key(|line| line.is_median);
    lines
}

/// What each line that stands for others says, in words: its value at some place, and its last one.
fn described(
    lines: &[Line<'_>],
    (first, from): (&str, f64),
    last: &str,
    unit: &'static str,
) -> String {
    let medians = lines.iter().filter(|line| line.is_median);
    let says = medians.filter_map(|line| {
        let (_, end) = line.points.last()?;
        let begin = line.points.iter().find(|(at, _)| *at >= from).map_or(end, |(_, value)| value);
        let [begin, end] = [begin, end].map(|value| with_unit(*value, unit));
        Some(format!("{}: {first} {begin}, {last} {end}", line.name))
    });
    let says: Vec<String> = says.collect();
    if says.is_empty() { "Nothing was noted.".to_owned() } else { format!("{}.", says.join("; ")) }
}

//! Two measurements held against each other: which figures of the router differ by more than chance.
//!
//! Owns which values make a pair, when a difference is one, and which way it is. Refuses to hold measurements
//! of different things against each other. What has another machine, build, option or setting is said.
//!
//! A pair are the two values of a round of the same number. Where both reports have a floor in common, a value
//! is the router's figure as a part of that floor's in the same round, so that what the machine did meanwhile
//! is divided out; sizes and counts are compared as they are. The change of a pair is the logarithm of the ratio
//! of its values: to double and to halve are equally far, and to swap the reports changes signs only.

mod notes;
pub mod permutation;
mod show;

use std::collections::BTreeMap;

use serde::Serialize;

use super::report::{BEFORE, Better, Figure, ROUTER, Report, Round};
use permutation::{CONFIDENCE, chance, interval, middle};

/// The version of the form of a [`Comparison`]: it changes when a member goes or means something else.
pub const VERSION: u32 = 1;

/// Fewest pairs of which chance can be ruled out: with five, one of 16 equal measurements has them all on one
/// side.
pub const PROVEN_MIN: usize = 6;

/// Fewest pairs of which something is said at all.
pub const LIKELY_MIN: usize = 3;

/// The floors, the one that does most of what the router does first. Others follow.
const BY_LIKENESS: [&str; 3] = ["durable", "forward", "echo"];

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// [`VERSION`].
    pub version: u32,
    /// What both measured.
    pub scenario: String,
    /// What a change has to exceed, as a part: 0.02 for 2 %.
    pub threshold: f64,
    /// Pairs.
    pub pairs: usize,
    /// Figure by figure.
    pub figures: Vec<Compared>,
    /// What should not have been: violations, refusals, an early end.
    pub faults: Vec<Fault>,
    /// What whoever reads it has to know, in words.
    pub notes: Vec<String>,
}

/// A figure of the router in both measurements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// Its [`Figure::name`].
    pub figure: &'static str,
    /// The floor of which values are parts; none: they are the figure itself.
    pub floor: Option<String>,
    /// The median of the first measurement, of the figure itself.
    pub before: f64,
    /// The same of the second one.
    pub after: f64,
    /// The median change, as a part of the first: 0.1 for a tenth more. Where a value of some round is 0, the
    /// median difference as a part of the mean of all values.
    pub change: f64,
    /// Between which changes the mean one lies in 95 of 100 cases; with fewer than [`PROVEN_MIN`] pairs the lowest
    /// and the highest.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// How likely chance alone is to make as large a mean change; none with fewer than [`PROVEN_MIN`] pairs, and
    /// of a figure that is not judged.
    pub chance: Option<f64>,
    /// What that means.
    pub verdict: Verdict,
}

/// Something that should not have been, a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// What.
    pub what: String,
    /// How many a round in the first measurement.
    pub before: f64,
    /// The same in the second one.
    pub after: f64,
    /// More of it is worse, however little.
    pub verdict: Verdict,
}

/// Which way the second measurement differs from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better, beyond chance.
    Better,
    /// Better in each pair, of which there are too few to rule out chance.
    LikelyBetter,
    /// No difference was seen, which is not to say that there is none.
    Same,
    /// There are fewer than [`LIKELY_MIN`] pairs.
    Unknown,
    /// It is shown only: [`Figure::is_judged_in`].
    NotJudged,
    /// Worse in each pair, of which there are too few to rule out chance.
    LikelyWorse,
    /// Worse, beyond chance.
    Worse,
}

/// Why two measurements are not compared.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CompareError {
    /// They measured different things.
    #[error(
        "the first report is of {first}, the second one of {second}: only the same scenario is compared"
    )]
    Scenario {
        /// What the first one did.
        first: String,
        /// What the second one did.
        second: String,
    },
    /// A report has no round of a router.
    #[error("the {which} report has no round of {server:?}")]
    NoRound {
        /// Which report.
        which: &'static str,
        /// Whose round.
        server: &'static str,
    },
    /// There is one report, with one router in it.
    #[error("the report has one router only: name a second report, or measure with --against")]
    OneRouter,
    /// There is no figure in both.
    #[error("the reports have no figure in common")]
    NoFigure,
}

/// The rounds of one measurement.
struct Side<'a> {
    report: &'a Report,
    router: &'a [Round],
}

/// Holds a report against an earlier one. `threshold` is a part: 0.02 for 2 %.
pub fn reports(
    before: &Report,
    after: &Report,
    threshold: f64,
) -> Result<Comparison, CompareError> {
    if before.scenario != after.scenario {
        let (first, second) = (before.scenario.clone(), after.scenario.clone());
        return Err(CompareError::Scenario { first, second });
    }
    let sides = (side(before, "first", ROUTER)?, side(after, "second", ROUTER)?);
    let floors =
        BY_LIKENESS.into_iter().chain(before.floors().filter(|name| !BY_LIKENESS.contains(name)));
    let common: Vec<&str> = floors
        .filter(|name| before.rounds.contains_key(*name) && after.rounds.contains_key(*name))
        .collect();
    let mut comparison = compared(&sides, common.first().copied(), threshold)?;
    comparison.notes.extend(notes::of_both(before, after));
    Ok(comparison)
}

/// Holds the router of a report against the one that was measured before it in the same rounds.
pub fn within(report: &Report, threshold: f64) -> Result<Comparison, CompareError> {
    if !report.rounds.contains_key(BEFORE) {
        return Err(CompareError::OneRouter);
    }
    let sides = (side(report, "only", BEFORE)?, side(report, "only", ROUTER)?);
    // The floor of a round would be the same for both.
    compared(&sides, None, threshold)
}

fn side<'a>(
    report: &'a Report,
    which: &'static str,
    server: &'static str,
) -> Result<Side<'a>, CompareError> {
    let router = report.rounds.get(server).filter(|rounds| !rounds.is_empty());
    let router = router.ok_or(CompareError::NoRound { which, server })?;
    Ok(Side { report, router })
}

fn compared(
    (before, after): &(Side<'_>, Side<'_>),
    floor: Option<&str>,
    threshold: f64,
) -> Result<Comparison, CompareError> {
    let scenario = &before.report.scenario;
    let figures = super::report::FIGURES.iter().filter_map(|figure| {
        let with_floor = floor.filter(|_| figure.beside_floor).map(|floor| {
            let pairs = pairs(before.beside(figure, floor), after.beside(figure, floor));
            (pairs, Some(floor.to_owned()))
        });
        // A floor that has this figure in each round; else the figure alone.
        let pairs_alone = pairs(before.alone(figure), after.alone(figure));
        let with_floor = with_floor.filter(|(pairs, _)| pairs.len() == pairs_alone.len());
        let (pairs, floor) = with_floor.unwrap_or((pairs_alone, None));
        let [before, after] = [before, after].map(|side| side.median(figure));
        let judged_of = judged(figure, scenario, (before?, after?), &pairs, threshold.ln_1p());
        Some(Compared { floor, ..judged_of? })
    });
    let figures: Vec<Compared> = figures.collect();
    if figures.is_empty() {
        return Err(CompareError::NoFigure);
    }
    let pairs = before.router.len().min(after.router.len());
    Ok(Comparison {
        version: VERSION,
        scenario: before.report.scenario.clone(),
        threshold,
        pairs,
        figures,
        faults: faults(before, after),
        notes: notes::of_pairs(before.router.len(), after.router.len(), pairs),
    })
}

impl Side<'_> {
    /// The figure, by round.
    fn alone(&self, figure: &Figure) -> Vec<Option<f64>> {
        self.router.iter().map(|round| round.figures.get(figure.name).copied()).collect()
    }

    /// The figure as a part of a floor's, by round; none where the floor has none, or it is 0.
    fn beside(&self, figure: &Figure, floor: &str) -> Vec<Option<f64>> {
        let floors = self.report.rounds.get(floor).into_iter().flatten();
        let floors = floors.map(|round| round.figures.get(figure.name).copied());
        let both = self.alone(figure).into_iter().zip(floors);
        both.map(|(own, floor)| Some(own? / floor.filter(|floor| *floor > 0.0)?)).collect()
    }

    fn median(&self, figure: &Figure) -> Option<f64> {
        super::report::median(self.alone(figure).into_iter().flatten().collect())
    }
}

/// The values of rounds of the same number that both have.
fn pairs(before: Vec<Option<f64>>, after: Vec<Option<f64>>) -> Vec<(f64, f64)> {
    before.into_iter().zip(after).filter_map(|(before, after)| Some((before?, after?))).collect()
}

/// What the pairs of a figure say; none of no pair, and of a figure that is better neither way anywhere. `least`
/// is what a change has to exceed, as a logarithm, so that it is as large in either direction.
fn judged(
    figure: &'static Figure,
    scenario: &str,
    (before, after): (f64, f64),
    pairs: &[(f64, f64)],
    least: f64,
) -> Option<Compared> {
    let is_better = match figure.better {
        Better::More => 1.0,
        Better::Less => -1.0,
        Better::Neither => return None,
    };
    let changes = Changes::of(pairs);
    let each = &changes.each;
    let ends = || {
        let lowest = each.iter().copied().min_by(f64::total_cmp)?;
        Some((lowest, each.iter().copied().max_by(f64::total_cmp)?))
    };
    let (low, high) = interval(each).or_else(ends)?;
    let median = middle(each);
    let is_judged = figure.is_judged_in(scenario);
    let chance = (is_judged && each.len() >= PROVEN_MIN).then(|| chance(each));
    let is_beyond = median.abs() > least && median * each.iter().sum::<f64>() > 0.0;
    let agree = each.iter().all(|change| change * median > 0.0);
    let verdict = match chance {
        _ if !is_judged => Verdict::NotJudged,
        _ if each.len() < LIKELY_MIN => Verdict::Unknown,
        _ if !is_beyond => Verdict::Same,
        Some(chance) if chance <= 1.0 - CONFIDENCE => Verdict::of(median * is_better, true),
        Some(_) => Verdict::Same,
        None if agree => Verdict::of(median * is_better, false),
        None => Verdict::Same,
    };
    let [change, low, high] = [median, low, high].map(|change| changes.part(change));
    let floor = None;
    Some(Compared { figure: figure.name, floor, before, after, change, low, high, chance, verdict })
}

/// The changes of pairs.
struct Changes {
    /// Of each pair; all have another sign when its values are swapped.
    each: Vec<f64>,
    /// Whether they are logarithms of ratios, not differences.
    are_of_ratios: bool,
}

impl Changes {
    /// Where some value is 0, or less, there is no ratio: then a change is the difference, as a part of the mean
    /// size of all values.
    fn of(pairs: &[(f64, f64)]) -> Self {
        if pairs.iter().all(|(before, after)| *before > 0.0 && *after > 0.0) {
            let each = pairs.iter().map(|(before, after)| after.ln() - before.ln()).collect();
            return Self { each, are_of_ratios: true };
        }
        let sizes: f64 = pairs.iter().map(|(before, after)| before.abs() + after.abs()).sum();
        let mean = sizes / (2 * pairs.len()) as f64;
        let part =
            |(before, after): &(f64, f64)| if mean > 0.0 { (after - before) / mean } else { 0.0 };
        Self { each: pairs.iter().map(part).collect(), are_of_ratios: false }
    }

    /// What people read: a part of what was before; where there is no ratio, of the mean.
    fn part(&self, change: f64) -> f64 {
        if self.are_of_ratios { change.exp_m1() } else { change }
    }
}

impl Verdict {
    fn of(towards_better: f64, is_proven: bool) -> Self {
        match (towards_better > 0.0, is_proven) {
            (true, true) => Self::Better,
            (true, false) => Self::LikelyBetter,
            (false, false) => Self::LikelyWorse,
            (false, true) => Self::Worse,
        }
    }

    /// Whether the second measurement is worse, beyond chance or likely.
    pub fn is_worse(self) -> bool {
        match self {
            Self::Worse | Self::LikelyWorse => true,
            Self::Better | Self::LikelyBetter | Self::Same | Self::Unknown | Self::NotJudged => {
                false
            }
        }
    }
}

impl Comparison {
    /// Whether anything is worse.
    pub fn has_worse(&self) -> bool {
        let figures = self.figures.iter().map(|figure| figure.verdict);
        let faults = self.faults.iter().map(|fault| fault.verdict);
        figures.chain(faults).any(Verdict::is_worse)
    }
}

/// What should not have been, a round, of either router.
fn faults(before: &Side<'_>, after: &Side<'_>) -> Vec<Fault> {
    let counted = |side: &Side<'_>| {
        let mut counts = BTreeMap::from([("violations".to_owned(), 0)]);
        for round in side.router {
            *counts.entry("violations".to_owned()).or_default() += round.violated;
            for (name, count) in &round.refused {
                *counts.entry(format!("refused: {name}")).or_default() += count;
            }
        }
        // An early end is the report's: in one with two routers it is neither one's more than the other's.
        let early = u64::from(side.report.failed.is_some());
        let rounds = side.router.len() as f64;
        let counts = counts.into_iter().map(|(what, count)| (what, count as f64 / rounds));
        counts.chain([("ended early".to_owned(), early as f64)]).collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (counted(before), counted(after));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let fault = |name: &String| {
        let of = |counts: &BTreeMap<String, f64>| counts.get(name).copied().unwrap_or_default();
        let (before, after) = (of(&before), of(&after));
        let verdict = match after.total_cmp(&before) {
            std::cmp::Ordering::Less => Verdict::Better,
            std::cmp::Ordering::Equal => Verdict::Same,
            std::cmp::Ordering::Greater => Verdict::Worse,
        };
        Fault { what: name.clone(), before, after, verdict }
    };
    let faults = names.into_iter().map(fault);
    faults.filter(|fault| fault.before > 0.0 || fault.after > 0.0).collect()
}

pub use show::table;

#[cfg(test)]
mod tests;

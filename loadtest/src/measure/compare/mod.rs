//! Two measurements held against each other: which figures of the router differ by more than chance.
//!
//! Owns which values make a pair, when a difference is one, and which way it is. Refuses to hold measurements
//! of different things against each other. What has another machine, build, option or setting is said.
//!
//! A pair are the two values of a round of the same number. Where both reports have a floor in common, a value
//! is the router's figure as a part of that floor's in the same round, so that what the machine did meanwhile
//! is divided out; sizes and counts are compared as they are. The change of a pair is the logarithm of the ratio
//! of its values: to double and to halve are equally far, and to swap the reports changes signs only.

mod holm;
mod judge;
mod notes;
pub mod permutation;
mod show;

use std::collections::BTreeMap;

use serde::Serialize;

use super::report::{BEFORE, FIGURES, Figure, ROUTER, Report, Round};
use judge::Open;

/// The version of the form of a [`Comparison`]: it changes when a member goes or means something else.
pub const VERSION: u32 = 2;

/// Fewest pairs of which chance can be ruled out, where one figure is judged: with five, one of 16 equal
/// measurements has them all on one side.
pub const PROVEN_MIN: usize = 6;

/// Fewest pairs of which something is said at all.
pub const LIKELY_MIN: usize = 3;

/// The floors, the one that does most of what the router does first. Others follow.
const BY_LIKENESS: [&str; 3] = ["durable", "forward", "echo"];

/// What is asked of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What a median change has to exceed, as a part: 0.02 for 2 %.
    pub threshold: f64,
    /// The names of the figures that are judged; all where it is empty.
    pub figures: Vec<String>,
}

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
    /// How many figures are judged: for so many chance is corrected.
    pub judged: usize,
    /// Fewest pairs of which a change of one of so many figures can be proven.
    pub pairs_to_prove: usize,
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
    /// The same, corrected for all figures that are judged: how often chance alone makes any of them differ so.
    pub corrected: Option<f64>,
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
    /// A violation more, and a refusal or an early end of which there was none, is worse, however little it is; more
    /// of a refusal that was there is likely worse.
    pub verdict: Verdict,
}

/// Which way the second measurement differs from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better, beyond chance, with all figures that are judged.
    Better,
    /// Better beyond chance if it were the only figure; with fewer than [`PROVEN_MIN`] pairs, better in each.
    LikelyBetter,
    /// No difference was seen, which is not to say that there is none.
    Same,
    /// There are fewer than [`LIKELY_MIN`] pairs.
    Unknown,
    /// It is shown only: [`Figure::is_judged_in`].
    NotJudged,
    /// Worse beyond chance if it were the only figure; with fewer than [`PROVEN_MIN`] pairs, worse in each.
    LikelyWorse,
    /// Worse, beyond chance, with all figures that are judged.
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
    /// A figure is to be judged that is not.
    #[error("{name} is none of the figures that are judged here: {}", .judged.join(", "))]
    NotJudged {
        /// Which.
        name: String,
        /// Which ones are.
        judged: Vec<&'static str>,
    },
}

/// The rounds of one measurement.
struct Side<'a> {
    report: &'a Report,
    router: &'a [Round],
}

/// Holds a report against an earlier one.
pub fn reports(before: &Report, after: &Report, asked: &Asked) -> Result<Comparison, CompareError> {
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
    let mut comparison = compared(&sides, common.first().copied(), asked)?;
    comparison.notes.extend(notes::of_both(before, after));
    Ok(comparison)
}

/// Holds the router of a report against the one that was measured before it in the same rounds.
pub fn within(report: &Report, asked: &Asked) -> Result<Comparison, CompareError> {
    if !report.rounds.contains_key(BEFORE) {
        return Err(CompareError::OneRouter);
    }
    let sides = (side(report, "only", BEFORE)?, side(report, "only", ROUTER)?);
    // The floor of a round would be the same for both.
    let mut comparison = compared(&sides, None, asked)?;
    comparison.notes.extend(report.warnings.iter().cloned());
    Ok(comparison)
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
    asked: &Asked,
) -> Result<Comparison, CompareError> {
    let scenario = &before.report.scenario;
    let open = FIGURES.iter().filter_map(|figure| {
        let with_floor = floor.filter(|_| figure.beside_floor).map(|floor| {
            let pairs = pairs(before.beside(figure, floor), after.beside(figure, floor));
            (pairs, Some(floor.to_owned()))
        });
        // A floor that has this figure in each round; else the figure alone.
        let pairs_alone = pairs(before.alone(figure), after.alone(figure));
        let with_floor = with_floor.filter(|(pairs, _)| pairs.len() == pairs_alone.len());
        let (pairs, floor) = with_floor.unwrap_or((pairs_alone, None));
        let [before, after] = [before, after].map(|side| side.median(figure));
        Open::of(figure, (floor, before?, after?), &pairs, figure.is_judged_in(scenario))
    });
    let mut open: Vec<Open> = open.collect();
    if open.is_empty() {
        return Err(CompareError::NoFigure);
    }
    judge::restrict(&mut open, &asked.figures)?;
    let judged = open.iter().filter(|open| open.is_judged()).count();
    let pairs = before.router.len().min(after.router.len());
    Ok(Comparison {
        version: VERSION,
        scenario: before.report.scenario.clone(),
        threshold: asked.threshold,
        pairs,
        judged,
        pairs_to_prove: holm::pairs_to_prove(judged),
        figures: judge::all(open, asked.threshold.ln_1p()),
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

impl Verdict {
    fn of(towards_better: f64, is_proven: bool) -> Self {
        match (towards_better > 0.0, is_proven) {
            (true, true) => Self::Better,
            (true, false) => Self::LikelyBetter,
            (false, false) => Self::LikelyWorse,
            (false, true) => Self::Worse,
        }
    }
}

impl Comparison {
    /// Whether a figure is worse beyond chance, or something is new that should not have been.
    pub fn has_worse(&self) -> bool {
        let figures = self.figures.iter().map(|figure| figure.verdict);
        let faults = self.faults.iter().map(|fault| fault.verdict);
        figures.chain(faults).any(|verdict| verdict == Verdict::Worse)
    }
}

/// What violations are called among faults.
const VIOLATIONS: &str = "violations";

/// What should not have been, a round, of either router.
fn faults(before: &Side<'_>, after: &Side<'_>) -> Vec<Fault> {
    let counted = |side: &Side<'_>| {
        let mut counts = BTreeMap::from([(VIOLATIONS.to_owned(), 0)]);
        for round in side.router {
            *counts.entry(VIOLATIONS.to_owned()).or_default() += round.violated;
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
        let is_proven = before.min(after) == 0.0 || *name == VIOLATIONS;
        let verdict =
            if before == after { Verdict::Same } else { Verdict::of(before - after, is_proven) };
        Fault { what: name.clone(), before, after, verdict }
    };
    let faults = names.into_iter().map(fault);
    faults.filter(|fault| fault.before > 0.0 || fault.after > 0.0).collect()
}

pub use show::table;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

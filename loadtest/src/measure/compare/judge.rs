//! What the pairs of a figure say, and what of that is said when many figures are judged at once.

use super::holm::corrected;
use super::permutation::{CONFIDENCE, chance, interval, middle};
use super::{CompareError, Compared, LIKELY_MIN, PROVEN_MIN, Verdict};
use crate::measure::report::{Better, Figure};

/// How likely chance may be, at most, where something else is said to be the reason.
const CHANCE_MAX: f64 = 1.0 - CONFIDENCE;

/// A figure before all are judged together.
pub struct Open {
    shown: Compared,
    changes: Changes,
    /// 1 where more is better, -1 where less is.
    is_better: f64,
    is_judged: bool,
}

impl Open {
    /// None of no pair, and of a figure that is better neither way anywhere.
    pub fn of(
        figure: &'static Figure,
        (floor, before, after): (Option<String>, f64, f64),
        pairs: &[(f64, f64)],
        is_judged: bool,
    ) -> Option<Self> {
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
        let [change, low, high] = [middle(each), low, high].map(|change| changes.part(change));
        let shown = Compared {
            figure: figure.name,
            floor,
            before,
            after,
            change,
            low,
            high,
            chance: None,
            corrected: None,
            verdict: Verdict::NotJudged,
        };
        Some(Self { shown, changes, is_better, is_judged })
    }

    /// Whether it is to be judged.
    pub fn is_judged(&self) -> bool {
        self.is_judged
    }

    fn chance(&self) -> Option<f64> {
        let each = &self.changes.each;
        (self.is_judged && each.len() >= PROVEN_MIN).then(|| chance(each))
    }

    fn verdict(&self, chance: Option<f64>, corrected: Option<f64>, least: f64) -> Verdict {
        let each = &self.changes.each;
        let median = middle(each);
        let is_beyond = median.abs() > least && median * each.iter().sum::<f64>() > 0.0;
        let agree = each.iter().all(|change| change * median > 0.0);
        let is_unlikely = |chance: Option<f64>| chance.is_some_and(|chance| chance <= CHANCE_MAX);
        if !self.is_judged {
            Verdict::NotJudged
        } else if each.len() < LIKELY_MIN {
            Verdict::Unknown
        } else if !is_beyond {
            Verdict::Same
        } else if is_unlikely(corrected) {
            Verdict::of(median * self.is_better, true)
        } else if is_unlikely(chance) || (chance.is_none() && agree) {
            Verdict::of(median * self.is_better, false)
        } else {
            Verdict::Same
        }
    }
}

/// Has only the named figures judged; all where none is named.
pub fn restrict(open: &mut [Open], names: &[String]) -> Result<(), CompareError> {
    let judged = open.iter().filter(|open| open.is_judged).map(|open| open.shown.figure);
    let judged: Vec<&'static str> = judged.collect();
    if let Some(name) = names.iter().find(|name| !judged.contains(&name.as_str())) {
        return Err(CompareError::NotJudged { name: name.clone(), judged });
    }
    for open in open {
        let is_named = names.iter().any(|name| name == open.shown.figure);
        open.is_judged &= names.is_empty() || is_named;
    }
    Ok(())
}

/// Judges all figures together. `least` is what a median change has to exceed, as a logarithm, so that it is as
/// large in either direction.
pub fn all(open: Vec<Open>, least: f64) -> Vec<Compared> {
    let chances: Vec<Option<f64>> = open.iter().map(Open::chance).collect();
    let known: Vec<f64> = chances.iter().copied().flatten().collect();
    let mut corrected = corrected(&known).into_iter();
    let judged = open.into_iter().zip(chances).map(|(open, chance)| {
        let corrected = chance.and_then(|_| corrected.next());
        let verdict = open.verdict(chance, corrected, least);
        Compared { chance, corrected, verdict, ..open.shown }
    });
    judged.collect()
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

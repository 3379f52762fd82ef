//! Whether paired differences are more than chance: an exact test, and an interval, neither of which supposes
//! how differences are spread.

use crate::draw::{Draw, Purpose};

/// Up to how many pairs all ways to swap them are tried: 4,096 of them.
const EXACT_MAX: usize = 12;

/// How many are drawn beyond: enough that p is known to a hundredth of itself where it matters.
const DRAWN: u32 = 100_000;

/// The seed of what is drawn: the same pairs always say the same.
const SEED: u64 = 1;

/// Sums that differ by less than this part are the same one: they were added up in another order.
const ROUNDING: f64 = 1e-9;

/// The chance of seeing, if the two sides of each pair were the same but for chance, a mean difference as far
/// from 0 as this one, to either side. That is: how many of all ways to swap pairs have one. With n pairs it is
/// not below 2 / 2^n. 1 of no pair.
///
/// The test of matched pairs of Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses" (2005);
/// where ways are drawn, what was seen counts as one of them (Phipson and Smyth, "Permutation p-values should
/// never be zero", 2010).
pub fn chance(differences: &[f64]) -> f64 {
    let seen: f64 = differences.iter().sum();
    let size: f64 = differences.iter().map(|difference| difference.abs()).sum();
    let least = seen.abs() - size * ROUNDING;
    let (mut ways, mut as_far) = (0_u32, 0_u32);
    each_part(differences, |swapped, _| {
        ways += 1;
        as_far += u32::from((seen - 2.0 * swapped).abs() >= least);
    });
    match differences.len() {
        0..=EXACT_MAX => f64::from(as_far) / f64::from(ways),
        _ => f64::from(1 + as_far) / f64::from(1 + ways),
    }
}

/// Between which two values the mean of all differences that could have been measured lies, as sure as
/// [`CONFIDENCE`] says: those from which what was measured is not further away than chance explains, so that 0 is
/// outside exactly where [`chance`] is small. None where there are too few differences for that: below six.
///
/// The means of all parts of the differences cut the line into pieces of equal chance (Hartigan, "Using subsample
/// values as typical values", 1969).
pub fn interval(differences: &[f64]) -> Option<(f64, f64)> {
    let (mut ways, mut means) = (0_u32, Vec::new());
    each_part(differences, |sum, count| {
        ways += 1;
        if count > 0 {
            means.push(sum / count as f64);
        }
    });
    means.sort_by(f64::total_cmp);
    let outside = (f64::from(ways) * (1.0 - CONFIDENCE) / 2.0).floor() as usize;
    let end = outside.checked_sub(1)?;
    means.get(end).copied().zip(means.iter().rev().nth(end).copied())
}

/// Shows the sum and the number of each part of the differences, from none of them to all: all parts, or those
/// that are drawn.
fn each_part(differences: &[f64], mut see: impl FnMut(f64, usize)) {
    let mut add = |is_in: &mut dyn FnMut(usize) -> bool| {
        let within = (0..).zip(differences).filter(|(place, _)| is_in(*place));
        let (sum, count) =
            within.fold((0.0, 0), |(sum, count), (_, value)| (sum + value, count + 1));
        see(sum, count);
    };
    if differences.len() <= EXACT_MAX {
        (0..1_u32 << differences.len()).for_each(|way| add(&mut |place| (way >> place) & 1 == 1));
    } else {
        let mut draw = Draw::new(SEED, Purpose::Swap, 0);
        (0..DRAWN).for_each(|_| add(&mut |_| draw.below(2) == 1));
    }
}

/// How sure an interval is, and 1 - how unlikely chance has to be.
pub const CONFIDENCE: f64 = 0.95;

/// The value in the middle; of an even number the mean of the two, so that it changes its sign, and nothing
/// else, when all values do. 0 of none.
pub fn middle(differences: &[f64]) -> f64 {
    let mut sorted = differences.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
    match sorted.len() {
        0 => 0.0,
        count => (at((count - 1) / 2) + at(count / 2)) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_chance_of_pairs_that_all_agree_is_that_of_two_ways() {
        for count in 1..=EXACT_MAX {
            let expected = 2.0 / f64::from(1_u32 << count);
            assert_eq!(chance(&vec![0.1; count]), expected);
        }
        assert_eq!(chance(&[]), 1.0);
        assert_eq!(chance(&[0.0; 8]), 1.0);
    }

    #[test]
    fn the_chance_is_that_of_a_worked_example() {
        // Of the 32 sums of ±1 ±2 ±3 ±4 ±5 those are as far as 13 that leave out nothing or 1: 15 and 13.
        assert_eq!(chance(&[-1.0, 2.0, 3.0, 4.0, 5.0]), 4.0 / 32.0);
    }

    #[test]
    fn what_is_drawn_agrees_with_what_is_counted() {
        // With a pair of no difference the thirteenth doubles all ways, and changes no share of them.
        let twelve = [0.3, -0.1, 0.2, 0.25, 0.05, 0.4, -0.2, 0.1, 0.15, 0.3, -0.05, 0.02];
        let mut thirteen = twelve.to_vec();
        thirteen.push(0.0);
        let (exact, drawn) = (chance(&twelve), chance(&thirteen));
        // Five standard errors of a share of about a fiftieth.
        assert!((exact - drawn).abs() < 0.0025, "{exact} {drawn}");
    }

    #[test]
    fn an_interval_is_that_of_the_means_of_all_parts() {
        let of = |count: u32| {
            let values: Vec<f64> = (1..=count).map(f64::from).collect();
            interval(&values)
        };
        assert_eq!([of(0), of(1), of(5)], [None; 3]);
        // One mean of 63 is outside at either end, then three of 127.
        assert_eq!(of(6), Some((1.0, 6.0)));
        assert_eq!(of(7), Some((2.0, 6.0)));
    }

    proptest! {
        #[test]
        fn other_signs_change_signs_only(values in prop::collection::vec(-1.0..1.0, 0..14)) {
            let mirrored: Vec<f64> = values.iter().map(|value| -value).collect();
            prop_assert_eq!(chance(&values), chance(&mirrored));
            prop_assert_eq!(middle(&values), -middle(&mirrored));
            let turned = interval(&mirrored).map(|(low, high)| (-high, -low));
            prop_assert_eq!(interval(&values), turned);
            // The two say the same, but for what is rounded or drawn.
            if let Some((low, high)) = interval(&values).filter(|_| values.len() <= EXACT_MAX) {
                prop_assert_eq!(low > 0.0 || high < 0.0, chance(&values) <= 1.0 - CONFIDENCE);
            }
        }
    }
}

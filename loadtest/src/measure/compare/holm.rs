//! Chance where many figures are judged at once: of twenty that are the same, one by itself differs "beyond
//! chance" more often than not.

use super::permutation::CONFIDENCE;

/// For each of some chances (p), the lowest share of wrong findings, over all of them together, at which it would be
/// found; 1 at most. What is found where that is not above 0.05 is wrong, be it in one figure or in several, in one
/// comparison of twenty at most, however the figures hang together.
///
/// The step-down procedure of Holm, "A simple sequentially rejective multiple test procedure" (1979): the smallest
/// one counts as often as there are figures, the next one once less.
pub fn corrected(chances: &[f64]) -> Vec<f64> {
    let mut ordered: Vec<(usize, f64)> = chances.iter().copied().enumerate().collect();
    ordered.sort_by(|(_, first), (_, second)| first.total_cmp(second));
    let (mut corrected, mut largest) = (Vec::new(), 0.0_f64);
    for (left, (place, chance)) in (1..=chances.len()).rev().zip(ordered) {
        // Who comes later is never found more easily.
        largest = largest.max(left as f64 * chance).min(1.0);
        corrected.push((place, largest));
    }
    corrected.sort_by_key(|(place, _)| *place);
    corrected.into_iter().map(|(_, chance)| chance).collect()
}

/// Fewest pairs of which a change of one of so many figures can be proven: with n pairs no chance is below 2 / 2^n.
pub fn pairs_to_prove(figures: usize) -> usize {
    let ways = 2.0 * figures.max(1) as f64 / (1.0 - CONFIDENCE);
    ways.log2().ceil() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::PROVEN_MIN;
    use super::super::permutation::chance;
    use super::*;

    #[test]
    fn chances_are_corrected_as_in_a_worked_example() {
        // 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04, which is not below the one before.
        let expected = [0.03, 0.06, 0.06, 0.02];
        for (is, expected) in corrected(&[0.01, 0.04, 0.03, 0.005]).iter().zip(expected) {
            assert!((is - expected).abs() < 1e-12, "{is} {expected}");
        }
        assert_eq!(corrected(&[0.7, 0.9]), [1.0, 1.0]);
        assert_eq!(corrected(&[0.04]), [0.04]);
        assert_eq!(corrected(&[]), [0.0; 0]);
    }

    #[test]
    fn with_so_many_pairs_a_change_can_be_proven_and_with_one_fewer_not() {
        assert_eq!(pairs_to_prove(1), PROVEN_MIN);
        for figures in 1..=40 {
            let pairs = pairs_to_prove(figures);
            let smallest = |pairs: usize| figures as f64 * chance(&vec![1.0; pairs]);
            assert!(pairs > 12 || smallest(pairs) <= 1.0 - CONFIDENCE, "{figures}");
            assert!(smallest(pairs - 1) > 1.0 - CONFIDENCE, "{figures}");
        }
    }

    proptest! {
        #[test]
        fn a_correction_keeps_the_order_and_makes_nothing_more_certain(
            chances in prop::collection::vec(0.0..=1.0, 0..12),
        ) {
            let corrected = corrected(&chances);
            prop_assert_eq!(corrected.len(), chances.len());
            for (own, is) in chances.iter().zip(&corrected) {
                prop_assert!(own <= is && *is <= 1.0);
                prop_assert!(*is <= chances.len() as f64 * own);
                for (other, is_other) in chances.iter().zip(&corrected) {
                    prop_assert!(own > other || is <= is_other);
                }
            }
        }
    }
}

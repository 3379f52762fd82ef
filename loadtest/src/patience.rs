//! How long customers are willing to wait, as one day shows it.
//!
//! Who left shows their patience; who was served shows only that it was longer than the wait. The
//! product-limit estimate makes the best of both (E. L. Kaplan and P. Meier, "Nonparametric
//! estimation from incomplete observations", JASA 53, 1958). Beyond the last observed leaving
//! nothing is known: whoever's patience falls there waits without end.
//!
//! Invariants: the shares who left grow strictly with time and stay within 0 to 1.

use crate::draw::Draw;

/// One contact's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// How long it was, in the unit of the estimate.
    pub length: u64,
    /// Whether it ended because the customer left; else it is censored.
    pub left: bool,
}

/// The estimated distribution of patience.
#[derive(Debug, Clone, PartialEq)]
pub struct Patience {
    steps: Vec<Step>,
}

/// At this wait the share of those who would have left reaches that value.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    length: u64,
    left: f64,
}

impl Patience {
    /// Estimates from what was observed. A wait censored at the moment of a leaving counts as at
    /// risk then, as is the custom.
    pub fn estimate(mut waits: Vec<Wait>) -> Self {
        waits.sort_by_key(|wait| wait.length);
        let mut steps = Vec::new();
        let (mut seen, mut willing) = (0, 1.0);
        for same in waits.chunk_by(|a, b| a.length == b.length) {
            let leaving = same.iter().filter(|wait| wait.left).count();
            if leaving > 0 {
                let at_risk = waits.len() - seen;
                willing *= (at_risk - leaving) as f64 / at_risk as f64;
                let length = same[0].length;
                steps.push(Step { length, left: 1.0 - willing });
            }
            seen += same.len();
        }
        Self { steps }
    }

    /// The share of customers who are willing to wait longer than this.
    pub fn willing_beyond(&self, length: u64) -> f64 {
        let before = self.steps.partition_point(|step| step.length <= length);
        before
            .checked_sub(1)
            .and_then(|last| self.steps.get(last))
            .map_or(1.0, |step| 1.0 - step.left)
    }

    /// The patience below which the share `part` (0 to 1) of customers leave; none is endless.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let below = self.steps.partition_point(|step| step.left <= part);
        self.steps.get(below).map(|step| step.length)
    }

    /// One customer's patience, by inversion; none is endless.
    pub fn draw(&self, draw: &mut Draw) -> Option<u64> {
        self.quantile(draw.unit())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::draw::Purpose;

    fn left(length: u64) -> Wait {
        Wait { length, left: true }
    }

    fn served(length: u64) -> Wait {
        Wait { length, left: false }
    }

    fn close(got: f64, wanted: f64) {
        assert!((got - wanted).abs() < 1e-12, "got {got}, wanted {wanted}");
    }

    #[test]
    fn a_small_day_by_hand() {
        // At risk 6 at 1, 4 at 3 (one left, one censored at 1), 2 at 5; the last is censored.
        let estimate =
            Patience::estimate(vec![left(3), served(1), left(1), served(4), left(5), served(6)]);
        close(estimate.willing_beyond(0), 1.0);
        close(estimate.willing_beyond(1), 5.0 / 6.0);
        close(estimate.willing_beyond(2), 5.0 / 6.0);
        close(estimate.willing_beyond(3), 5.0 / 6.0 * 3.0 / 4.0);
        close(estimate.willing_beyond(5), 5.0 / 16.0);
        close(estimate.willing_beyond(1_000), 5.0 / 16.0);
        assert_eq!(estimate.quantile(0.0), Some(1));
        assert_eq!(estimate.quantile(0.3), Some(3));
        assert_eq!(estimate.quantile(0.68), Some(5));
        assert_eq!(estimate.quantile(0.69), None);
    }

    #[test]
    fn a_served_wait_as_long_as_a_leaving_counts_as_at_risk() {
        let estimate = Patience::estimate(vec![served(2), left(2)]);
        close(estimate.willing_beyond(2), 0.5);
    }

    #[test]
    fn each_leaving_has_its_share_of_the_draws() {
        let estimate = Patience::estimate(vec![left(1), left(2)]);
        assert_eq!(estimate.quantile(0.499), Some(1));
        assert_eq!(estimate.quantile(0.5), Some(2));
    }

    #[test]
    fn nobody_left_means_endless_patience() {
        let mut draw = Draw::new(1, Purpose::Patience, 0);
        assert_eq!(Patience::estimate(vec![]).draw(&mut draw), None);
        assert_eq!(Patience::estimate(vec![served(9)]).draw(&mut draw), None);
    }

    fn waits() -> impl Strategy<Value = Vec<Wait>> {
        let wait = (0u64..40, any::<bool>()).prop_map(|(length, left)| Wait { length, left });
        prop::collection::vec(wait, 0..60)
    }

    proptest! {
        #[test]
        fn without_censoring_it_is_what_was_observed(
            lengths in prop::collection::vec(0u64..40, 1..60), at in 0u64..45,
        ) {
            let estimate = Patience::estimate(lengths.iter().copied().map(left).collect());
            let longer = lengths.iter().filter(|length| **length > at).count();
            let share = longer as f64 / lengths.len() as f64;
            prop_assert!((estimate.willing_beyond(at) - share).abs() < 1e-9);
        }

        #[test]
        fn fewer_are_willing_to_wait_longer(waits in waits()) {
            let estimate = Patience::estimate(waits);
            let shares: Vec<f64> = (0..45).map(|at| estimate.willing_beyond(at)).collect();
            prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            prop_assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]));
        }

        #[test]
        fn a_drawn_patience_was_observed_as_a_leaving(waits in waits(), seed in any::<u64>()) {
            let drawn = Patience::estimate(waits.clone())
                .draw(&mut Draw::new(seed, Purpose::Patience, 0));
            if let Some(length) = drawn {
                prop_assert!(waits.contains(&left(length)));
            }
        }

        #[test]
        fn draws_follow_the_estimate(waits in waits(), seed in any::<u64>()) {
            const N: u32 = 2_000;
            let estimate = Patience::estimate(waits);
            let mut draw = Draw::new(seed, Purpose::Patience, 0);
            let beyond = (0..N)
                .filter(|_| estimate.draw(&mut draw).is_none_or(|length| length > 20))
                .count();
            let share = beyond as f64 / f64::from(N);
            // Six standard errors of a share of 2,000.
            prop_assert!((share - estimate.willing_beyond(20)).abs() < 0.067);
        }
    }
}

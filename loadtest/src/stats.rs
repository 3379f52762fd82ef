//! Figures of a run: what became of its customers, how long they waited, how busy operators were.
//!
//! Samples are kept and sorted, so a quantile is a value that occurred; their number is bounded.

use std::collections::BTreeMap;

use crate::trace::Skip;

/// Most values that one set of samples keeps: 32 MB. What comes later is only counted.
pub const SAMPLES_MAX: usize = 4_000_000;

/// Up to which wait a customer counts as answered in time, ms of the trace.
pub const IN_TIME_MS: u64 = 20_000;

/// Values of one kind, all in one unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples {
    values: Vec<u64>,
    beyond: u64,
}

/// What a set of samples says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many values there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The smallest value that at least half of them do not exceed.
    pub p50: u64,
    /// The same for 95 of 100.
    pub p95: u64,
    /// The same for 99 of 100.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

impl Samples {
    /// Adds a value, up to [`SAMPLES_MAX`] of them.
    pub fn add(&mut self, value: u64) {
        if self.values.len() < SAMPLES_MAX {
            self.values.push(value);
        } else {
            self.beyond += 1;
        }
    }

    /// The values, as they came.
    pub fn values(&self) -> &[u64] {
        &self.values
    }

    /// How many values came after [`SAMPLES_MAX`] and are in no summary.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// None when there is no value. Sorts a copy.
    pub fn summary(&self) -> Option<Summary> {
        let mut sorted = self.values.clone();
        sorted.sort_unstable();
        let max = *sorted.last()?;
        // The nearest rank: the smallest index that covers `percent` of the values.
        let rank = |percent: usize| {
            let covering = (sorted.len() * percent).div_ceil(100);
            sorted.get(covering.saturating_sub(1)).copied().unwrap_or(max)
        };
        let sum: u128 = sorted.iter().map(|value| u128::from(*value)).sum();
        Some(Summary {
            count: sorted.len() as u64,
            mean: sum as f64 / sorted.len() as f64,
            p50: rank(50),
            p95: rank(95),
            p99: rank(99),
            max,
        })
    }
}

/// What became of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Somebody answered.
    Served,
    /// Patience ended first.
    Left,
    /// Waited without end for a queue that nobody on duty serves any more.
    Unserved,
}

/// The figures of one run, recorded, predicted or measured. Times in ms of the trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Customers who asked for somebody.
    pub offered: u64,
    /// How many met which fate; they sum up to `offered`.
    pub fates: BTreeMap<Fate, u64>,
    /// How long each customer was in line, whatever its fate.
    pub waits: Samples,
    /// How long those waited who were served.
    pub waits_of_served: Samples,
    /// How many were answered within [`IN_TIME_MS`].
    pub in_time: u64,
    /// Operators' time with a customer, within the hours of the plan.
    pub busy_ms: u64,
    /// Operators' time on duty, within the hours of the plan.
    pub on_duty_ms: u64,
    /// What only a run against a server has.
    pub wire: Option<WireFigures>,
}

/// What is measured at the sockets. Real time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WireFigures {
    /// Acknowledged messages.
    pub messages: u64,
    /// From sending to the acknowledgement, µs.
    pub acknowledge_us: Samples,
    /// From sending to the other side's sight, µs.
    pub delivery_us: Samples,
    /// For each stretch of waiting, the longest that one eligible operator stood free beside it, ms.
    pub idle_beside_ms: Samples,
}

impl Figures {
    /// Counts one customer.
    pub fn customer(&mut self, fate: Fate, waited_ms: u64) {
        self.offered += 1;
        *self.fates.entry(fate).or_default() += 1;
        self.waits.add(waited_ms);
        match fate {
            Fate::Served => {
                self.waits_of_served.add(waited_ms);
                self.in_time += u64::from(waited_ms <= IN_TIME_MS);
            }
            Fate::Left | Fate::Unserved => {}
        }
    }

    /// How many met this fate.
    pub fn count(&self, fate: Fate) -> u64 {
        self.fates.get(&fate).copied().unwrap_or_default()
    }

    /// The share of all offered customers who were answered within [`IN_TIME_MS`].
    pub fn share_in_time(&self) -> Option<f64> {
        ratio(self.in_time, self.offered)
    }

    /// The share of their time on duty that operators were with a customer.
    pub fn occupancy(&self) -> Option<f64> {
        ratio(self.busy_ms, self.on_duty_ms)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// How many rows were skipped, by reason.
pub type Skips = BTreeMap<Skip, u64>;

/// The length of the union of half-open stretches, none of which needs to be sorted.
pub fn covered(mut stretches: Vec<(u64, u64)>) -> u64 {
    stretches.sort_unstable();
    let (mut sum, mut until) = (0, 0);
    for (from, to) in stretches {
        sum += to.saturating_sub(from.max(until));
        until = until.max(to);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut samples = Samples::default();
        (1..=200).rev().for_each(|value| samples.add(value));
        let summary = samples.summary().unwrap();
        assert_eq!((summary.p50, summary.p95, summary.p99, summary.max), (100, 190, 198, 200));
        assert!((summary.mean - 100.5).abs() < 1e-9);
    }

    #[test]
    fn few_and_no_values() {
        let mut samples = Samples::default();
        assert_eq!(samples.summary(), None);
        samples.add(7);
        let one = samples.summary().unwrap();
        assert_eq!((one.p50, one.p99, one.count), (7, 7, 1));
    }

    #[test]
    fn a_wait_of_twenty_seconds_is_in_time() {
        let mut figures = Figures::default();
        figures.customer(Fate::Served, 20_000);
        figures.customer(Fate::Served, 20_001);
        figures.customer(Fate::Left, 1_000);
        figures.customer(Fate::Unserved, 1_000);
        assert_eq!(figures.share_in_time(), Some(0.25));
        assert_eq!(figures.count(Fate::Served), 2);
        assert_eq!(figures.waits.summary().unwrap().count, 4);
        assert_eq!(figures.waits_of_served.summary().unwrap().count, 2);
        assert_eq!(figures.occupancy(), None);
    }

    #[test]
    fn overlapping_stretches_count_once() {
        assert_eq!(covered(vec![(10, 20), (0, 5), (15, 30), (16, 17), (30, 31)]), 26);
        assert_eq!(covered(vec![]), 0);
    }
}

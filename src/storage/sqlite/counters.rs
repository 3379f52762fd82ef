//! What the embedded store counts about itself, for the metrics of whoever runs it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets of commit durations, µs. The last bucket has no bound.
pub const COMMIT_BOUNDS_US: [u64; 9] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000];

/// Upper bounds of the buckets of batch sizes, writes. The last bucket has no bound.
pub const BATCH_BOUNDS: [u64; 9] = [1, 2, 4, 8, 16, 64, 256, 1_024, 4_096];

/// A histogram: counts by bucket, and the sum of what was counted.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; 10],
    sum: AtomicU64,
}

impl Histogram {
    fn add(&self, value: u64, bounds: &[u64; 9]) {
        let bucket = bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }

    /// How many values fell into each bucket (not cumulated); the last has no upper bound.
    pub fn buckets(&self) -> [u64; 10] {
        std::array::from_fn(|n| self.buckets[n].load(Relaxed))
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.buckets().iter().sum()
    }
}

/// All counters; they only grow, from 0 at the opening of the store.
#[derive(Debug, Default)]
pub struct Counters {
    /// Durations of commits, µs, by [`COMMIT_BOUNDS_US`]: from the first statement of the batch
    /// until it is durable.
    pub commit_us: Histogram,
    /// Writes of a batch, by [`BATCH_BOUNDS`].
    pub batch: Histogram,
    appends: AtomicU64,
    events: AtomicU64,
    refused_full: AtomicU64,
    folded: AtomicU64,
    checkpoints: AtomicU64,
}

impl Counters {
    /// Acknowledged appends.
    pub fn appends(&self) -> u64 {
        self.appends.load(Relaxed)
    }

    /// Events in them.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Reads and writes refused because a queue was full.
    pub fn refused_full(&self) -> u64 {
        self.refused_full.load(Relaxed)
    }

    /// Events folded into the index.
    pub fn folded(&self) -> u64 {
        self.folded.load(Relaxed)
    }

    /// Checkpoints made.
    pub fn checkpoints(&self) -> u64 {
        self.checkpoints.load(Relaxed)
    }

    pub(super) fn batch_done(&self, writes: usize, appends: u64, events: u64, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commit_us.add(us, &COMMIT_BOUNDS_US);
        self.batch.add(writes as u64, &BATCH_BOUNDS);
        self.appends.fetch_add(appends, Relaxed);
        self.events.fetch_add(events, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused_full.fetch_add(1, Relaxed);
    }

    pub(super) fn fold_done(&self, events: u64) {
        self.folded.fetch_add(events, Relaxed);
    }

    pub(super) fn checkpoint_done(&self) {
        self.checkpoints.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for value in [1, 2, 3, 5_000] {
            histogram.add(value, &BATCH_BOUNDS);
        }
        assert_eq!(histogram.buckets(), [1, 1, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((histogram.sum(), histogram.count()), (5_006, 4));
    }
}

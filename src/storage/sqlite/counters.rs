//! What the embedded store counts about itself: for the metrics of whoever runs it, and for tests
//! that ask one store.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::telemetry;

/// All counters; they only grow, from 0 at the opening of the store.
#[derive(Debug, Default)]
pub struct Counters {
    batches: AtomicU64,
    commit_us: AtomicU64,
    appends: AtomicU64,
    events: AtomicU64,
    refused_full: AtomicU64,
    folded: AtomicU64,
    checkpoints: AtomicU64,
    readers_replaced: AtomicU64,
}

impl Counters {
    /// Commits that made writes durable.
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }

    /// The time of all of them, µs: each from its first statement until it was durable.
    pub fn commit_us(&self) -> u64 {
        self.commit_us.load(Relaxed)
    }

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

    /// Readers that panicked and were made anew.
    pub fn readers_replaced(&self) -> u64 {
        self.readers_replaced.load(Relaxed)
    }

    pub(super) fn batch_done(&self, writes: usize, appends: u64, events: u64, took: Duration) {
        self.batches.fetch_add(1, Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commit_us.fetch_add(us, Relaxed);
        self.appends.fetch_add(appends, Relaxed);
        self.events.fetch_add(events, Relaxed);
        telemetry::store_batch(writes, appends, took);
    }

    pub(super) fn refused(&self) {
        self.refused_full.fetch_add(1, Relaxed);
        telemetry::store_refused();
    }

    pub(super) fn fold_done(&self, events: u64, took: Duration) {
        self.folded.fetch_add(events, Relaxed);
        telemetry::store_folded(took);
    }

    pub(super) fn checkpoint_done(&self, took: Duration) {
        self.checkpoints.fetch_add(1, Relaxed);
        telemetry::store_checkpoint(took);
    }

    pub(super) fn read_done(&self, took: Duration) {
        telemetry::store_read(took);
    }

    pub(super) fn reader_replaced(&self) {
        self.readers_replaced.fetch_add(1, Relaxed);
        telemetry::store_reader_replaced();
    }
}

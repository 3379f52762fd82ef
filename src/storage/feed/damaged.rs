//! Touches that cannot be read: passed over, named once, counted.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::telemetry::{self, DamagedRow};

use super::{FeedPeriod, FeedShard};

/// Damaged touches that are remembered, so that each is named once; more is a disk that is to be
/// replaced, whatever the number.
const DAMAGED_REMEMBERED: usize = 4_096;

/// Those that were met since the store was opened.
#[derive(Default)]
pub(crate) struct DamagedTouches(Mutex<BTreeSet<(FeedShard, FeedPeriod, Vec<u8>)>>);

impl DamagedTouches {
    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// This key is no chat's.
    pub fn note(&self, shard: FeedShard, period: FeedPeriod, key: &[u8]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < DAMAGED_REMEMBERED && known.insert((shard, period, key.to_vec())) {
            telemetry::store_damaged_rows(DamagedRow::Touch, known.len());
            tracing::error!(
                shard = shard.number(),
                ?period,
                "a touch of the feed names no chat and is passed over, all others are taken; see what \
                 else is damaged with `switchboard store check`"
            );
        }
    }
}

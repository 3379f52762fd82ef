//! Randomness and time of the operating system.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::access::{Entropy, NoEntropy};
use crate::domain::Timestamp;

/// The system's own source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        getrandom::fill(bytes).map_err(|_| NoEntropy)
    }
}

/// What the wall clock shows, for what is noted before the router has a clock, or without one.
#[allow(clippy::disallowed_methods, reason = "noted only: nothing decides by it")]
pub(super) fn wall_now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

//! Points in time. Durations are plain `u64` milliseconds whose names end in `_ms`.

use std::fmt;
use std::time::Duration;

/// UTC milliseconds since 1970. The outermost layer makes it never step back (`docs/decisions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The point `ms` later; stays at the end of time rather than overflow.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The point so much later, in whole ms; stays at the end of time rather than overflow.
    pub fn plus(self, duration: Duration) -> Self {
        self.plus_ms(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// How long ago `earlier` was, in ms; 0 when it is not earlier.
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// How long to wait after so many failures in a row, ms: the first of the two waits, doubling with each up to
/// the second.
pub fn backoff_ms((first, longest): (u64, u64), failures: u32) -> u64 {
    let times = 2_u64.saturating_pow(failures.saturating_sub(1));
    first.saturating_mul(times).min(longest)
}

/// The earlier of two optional points, for choosing what to wake up for.
pub fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

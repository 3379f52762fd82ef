//! The clocks of a run: one that never steps, and the wall's for what the server dates.

use tokio::time::{Duration, Instant};

/// Counts from the moment it was made.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the beginning, µs.
    pub fn us(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Time since the beginning, ms.
    pub fn ms(self) -> u64 {
        self.us() / 1_000
    }

    /// That many ms after the beginning.
    pub fn at_ms(self, ms: u64) -> Instant {
        self.0 + Duration::from_millis(ms)
    }
}

/// UTC ms since 1970, by this machine. Tokens are dated so.
#[allow(clippy::disallowed_methods, reason = "nobody hands a client the time")]
pub fn wall_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

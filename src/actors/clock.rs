//! The one clock of a process: wall time read at its start, carried on by the monotonic clock, so
//! that it never steps back (design §3, "Time").

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started_at: Timestamp,
    started: Instant,
}

impl Clock {
    /// Reads the wall clock, once.
    #[allow(clippy::disallowed_methods, reason = "the outermost layer reads the time")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let started_at = Timestamp(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
        Self { started_at, started: Instant::now() }
    }

    /// Begins no earlier than `at`: what is durable is never in the future.
    #[must_use]
    pub fn raised_to(mut self, at: Timestamp) -> Self {
        self.started_at = self.started_at.max(at);
        self
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        let gone = self.started.elapsed().as_millis();
        self.started_at.plus_ms(u64::try_from(gone).unwrap_or(u64::MAX))
    }

    /// How long until `at`; zero when it has passed.
    pub fn until(&self, at: Timestamp) -> Duration {
        Duration::from_millis(at.since_ms(self.now()))
    }
}

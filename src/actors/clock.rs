//! The one clock of a process: wall time read at its start, carried on by the monotonic clock, so
//! that it never steps back (design §3, "Time").

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

/// See the module.
#[derive(Debug)]
pub struct Clock {
    started_at: Timestamp,
    started: Instant,
    /// How far it was set forward because something durable was later, ms.
    ahead_ms: AtomicU64,
}

impl Clock {
    /// Reads the wall clock, once.
    #[allow(clippy::disallowed_methods, reason = "the outermost layer reads the time")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let started_at = Timestamp(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
        Self { started_at, started: Instant::now(), ahead_ms: AtomicU64::new(0) }
    }

    /// What is durable is never in the future: when the wall clock was set back between two
    /// processes, this one goes on from the last event's time, for all actors alike.
    pub fn raise(&self, at: Timestamp) {
        // In one step: several may find the same gap at once, and it is to be closed once.
        self.ahead_ms.fetch_max(at.since_ms(self.unraised()), Ordering::Relaxed);
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.unraised().plus_ms(self.ahead_ms.load(Ordering::Relaxed))
    }

    fn unraised(&self) -> Timestamp {
        let gone = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.started_at.plus_ms(gone)
    }

    /// How long until `at`; zero when it has passed.
    pub fn until(&self, at: Timestamp) -> Duration {
        Duration::from_millis(at.since_ms(self.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_goes_on_from_the_last_event() {
        let clock = Clock::start();
        let event = clock.now().plus_ms(180_000);
        clock.raise(event);
        assert!(clock.now() >= event);
        let raised = clock.now();
        clock.raise(Timestamp(5));
        assert!(clock.now() >= raised, "it never steps back");
        assert!(clock.now().since_ms(event) < 60_000, "and not further than it must");
    }
}

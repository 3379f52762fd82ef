//! How fast trace time passes, and what that asks of the server.
//!
//! At speed N a second of real time is N seconds of the trace. What the server measures in its own
//! seconds and the trace means in trace seconds (the worth of a priority, an offer's time) has to
//! shrink alike.

use switchboard::domain::limits::{OFFER_TIMEOUT_MS, OFFER_TIMEOUT_RANGE_MS, PRIORITY_STEP_MS};

/// Fastest speed: beyond it an offer would stand shorter than the router allows.
pub const SPEED_MAX: u32 = (OFFER_TIMEOUT_MS / OFFER_TIMEOUT_RANGE_MS.0) as u32;

/// How many times faster than recorded a trace is replayed: 1 to [`SPEED_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed(u32);

impl Speed {
    /// None when out of range.
    pub fn new(times: u32) -> Option<Self> {
        (1..=SPEED_MAX).contains(&times).then_some(Self(times))
    }

    /// How many times.
    pub fn times(self) -> u32 {
        self.0
    }

    /// Real time for trace time, ms, cut down.
    pub fn real_ms(self, trace_ms: u64) -> u64 {
        trace_ms / u64::from(self.0)
    }

    /// Trace time for real time, ms.
    pub fn trace_ms(self, real_ms: u64) -> u64 {
        real_ms.saturating_mul(u64::from(self.0))
    }

    /// The server's worth of a point of priority at this speed, ms.
    pub fn priority_step_ms(self) -> u64 {
        self.real_ms(PRIORITY_STEP_MS)
    }

    /// How long the server's offers stand at this speed, ms.
    pub fn offer_timeout_ms(self) -> u64 {
        self.real_ms(OFFER_TIMEOUT_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_keeps_pace() {
        let speed = Speed::new(60).unwrap();
        assert_eq!(speed.priority_step_ms(), 1_000);
        assert_eq!(speed.offer_timeout_ms(), 500);
        assert_eq!(speed.trace_ms(speed.real_ms(90_000)), 90_000);
    }

    #[test]
    fn no_speed_asks_for_offers_that_the_router_refuses() {
        let fastest = Speed::new(SPEED_MAX).unwrap();
        assert!(fastest.offer_timeout_ms() >= OFFER_TIMEOUT_RANGE_MS.0);
        assert_eq!(Speed::new(SPEED_MAX + 1), None);
        assert_eq!(Speed::new(0), None);
    }
}

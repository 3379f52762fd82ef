//! How fast one socket may call. A plain machine: time comes in.

use crate::domain::Timestamp;

/// A second, in the thousandth of ms in which the pace is kept, so that it divides evenly enough.
const SECOND_US: u64 = 1_000_000;

/// Calls of one socket: a bucket of `burst` calls that fills with `per_second`.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    every_us: u64,
    burst: u64,
    /// When the bucket is full again, in thousandths of ms.
    full_at_us: u64,
}

/// The socket is too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooFast {
    /// When the next call is taken, ms from now.
    pub retry_after_ms: u64,
}

impl Pace {
    /// A full bucket. Zeros count as one.
    pub fn new(per_second: u64, burst: u64) -> Self {
        Self {
            every_us: SECOND_US / per_second.clamp(1, SECOND_US),
            burst: burst.max(1),
            full_at_us: 0,
        }
    }

    /// Takes a call. A refused one costs nothing, so that a client that waits as told is served.
    pub fn take(&mut self, now: Timestamp) -> Result<(), TooFast> {
        let now_us = now.0.saturating_mul(1_000);
        let full_at = self.full_at_us.max(now_us);
        let most = (self.burst - 1).saturating_mul(self.every_us);
        let wait_us = (full_at - now_us).saturating_sub(most);
        if wait_us > 0 {
            let retry_after_ms = wait_us.div_ceil(1_000);
            return Err(TooFast { retry_after_ms });
        }
        self.full_at_us = full_at.saturating_add(self.every_us);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_thousand_calls_at_once_get_the_burst_and_then_the_pace() {
        let mut pace = Pace::new(50, 200);
        let now = Timestamp(1_000);
        let taken = (0..1_000).filter(|_| pace.take(now).is_ok()).count();
        assert_eq!(taken, 200);
        let refused = pace.take(now).unwrap_err();
        assert_eq!(refused.retry_after_ms, 20);
        assert!(pace.take(now.plus_ms(19)).is_err());
        assert!(pace.take(now.plus_ms(20)).is_ok());
        assert!(pace.take(now.plus_ms(20)).is_err());
        let rested = now.plus_ms(20 + 200 * 20);
        assert_eq!(
            (0..1_000).filter(|_| pace.take(rested).is_ok()).count(),
            200
        );
    }

    proptest! {
        /// Whoever waits as told is served, and over any time no more than burst and pace allow.
        #[test]
        fn waiting_as_told_helps(per_second in 1_u64..5_000, burst in 1_u64..300, steps in 1_usize..400) {
            let mut pace = Pace::new(per_second, burst);
            let (start, mut now, mut taken) = (Timestamp(7), Timestamp(7), 0_u64);
            for _ in 0..steps {
                match pace.take(now) {
                    Ok(()) => taken += 1,
                    Err(too_fast) => {
                        now = now.plus_ms(too_fast.retry_after_ms);
                        prop_assert!(pace.take(now).is_ok());
                        taken += 1;
                    }
                }
            }
            let every_us = 1_000_000 / per_second;
            prop_assert!(taken <= burst + now.since_ms(start) * 1_000 / every_us + 1);
        }
    }
}

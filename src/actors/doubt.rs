//! The one judgement of the process's clock, asked by all that removes for its age: retention, and the
//! pruning of sessions, revocations and the audit trail.
//!
//! Owns the document of [`clock_trust`](crate::storage::clock_trust): one asker at a time, so that no two
//! write it.

use crate::storage::{ClockTrust, Trust};
use crate::telemetry;

use super::router::{CallError, Router};

/// The length of an hour, ms.
const HOUR_MS: u64 = 3_600_000;

impl Router {
    /// Whether the clock is not doubted, so that what is too old by it may be removed. To be asked before
    /// each time that something is, and now and then also while nothing is: what the clock said last is
    /// to be known by then. Errors when the store does not say so in time: nothing is to be removed then.
    pub async fn may_trust_the_clock(&self) -> Result<bool, CallError> {
        let (documents, doubted) = (&*self.store().documents, &self.shared.clock_doubt);
        let mut clock = doubted.clock.lock().await;
        let clock = match &mut *clock {
            Some(clock) => clock,
            none => {
                let loaded = self.within(ClockTrust::load(documents, doubted.newest)).await?;
                none.insert(loaded)
            }
        };
        let (now, doubt) = (self.shared.now(), self.options.clock_doubt);
        let doubt_ms = u64::try_from(doubt.as_millis()).unwrap_or(u64::MAX);
        let seen = clock.look(now, doubt_ms);
        telemetry::clock_doubted(seen != Trust::Trusted);
        let saved = self.within(clock.save(documents)).await;
        match seen {
            Trust::Trusted => saved.map(|_| true),
            Trust::Doubted { since, waited_ms } => {
                // As often as it is written down.
                if saved? {
                    let left_hours = doubt_ms.saturating_sub(waited_ms).div_ceil(HOUR_MS);
                    tracing::error!(
                        %now, known = %since, left_hours,
                        "the clock is more than 30 days ahead of what it said last: nothing is removed for \
                         its age, neither chats nor sessions, revocations or entries of the audit trail. If \
                         it is wrong, set it and start again; if it is right, for this was switched off, \
                         that goes on by itself after so many hours of running"
                    );
                }
                Ok(false)
            }
        }
    }
}

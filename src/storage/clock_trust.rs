//! Whether a clock may be trusted with what cannot be undone: it is held against the time that it said
//! before, which is kept in a document, so that a machine that starts years ahead forgets nothing.
//!
//! Invariants: a clock that goes on from where it was, or was set back, is trusted. One that jumped ahead
//! by more than [`CLOCK_JUMP_MAX_MS`] is so only when a process has run on it for as long as its asker
//! wants to wait: long enough that people would have seen it. So who was switched off for long goes on
//! by itself. What the clock wrote meanwhile explains nothing, and is not looked at.

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

use super::documents::Remembered;
use super::{Documents, StoreError};

/// How far a clock may be ahead of what it said last before it is doubted, ms: 30 days. Longer than most
/// are switched off, and no longer than the usual shortest time for which chats are kept.
pub const CLOCK_JUMP_MAX_MS: u64 = 30 * 24 * 3_600_000;

/// How often the document is written, ms: an hour. As much of a wait is lost when a process is killed.
const SAVE_EVERY_MS: u64 = 3_600_000;

/// The kind of the document. It goes into no export: the clock of a copy is held against its newest
/// record.
pub(crate) const KIND: &str = "clock_trust";

/// The id of that document.
const ID: &str = "1";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockTrust {
    said: ClockTrustRecord,
    /// When this process looked last.
    looked: Option<Timestamp>,
    saved: Option<Timestamp>,
    document: Remembered,
}

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockTrustRecord {
    /// The latest time that was trusted, ms; 0 when there is none.
    trusted: u64,
    doubt: Option<DoubtRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoubtRecord {
    /// What the clock said last, ms.
    said: u64,
    /// How long processes have run on it, ms.
    waited_ms: u64,
}

/// What to think of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It goes on from where it was.
    Trusted,
    /// It is ahead of this time, which it said last, or the store's newest record did.
    Doubted {
        /// The last time that was trusted.
        since: Timestamp,
        /// How long processes have run on it, ms.
        waited_ms: u64,
    },
}

impl ClockTrust {
    /// As former processes left it; should they have left nothing that can be read, from the newest time
    /// that the store knew of before this process wrote to it (0 for none).
    pub async fn load(documents: &dyn Documents, newest: Timestamp) -> Result<Self, StoreError> {
        let (document, said) = Remembered::load(documents, KIND, ID).await?;
        let said = said.unwrap_or(ClockTrustRecord { trusted: newest.0, doubt: None });
        Ok(Self { said, looked: None, saved: None, document })
    }

    /// Looks at the clock, which is not doubted for longer than `wait_ms` of running on it.
    pub fn look(&mut self, now: Timestamp, wait_ms: u64) -> Trust {
        let ran_ms = self.looked.map_or(0, |looked| now.since_ms(looked));
        self.looked = Some(now);
        let trusted = Timestamp(self.said.trusted);
        if trusted.0 == 0 || now.since_ms(trusted) <= CLOCK_JUMP_MAX_MS {
            self.said = ClockTrustRecord { trusted: now.0, doubt: None };
            return Trust::Trusted;
        }
        let before = self.said.doubt.unwrap_or(DoubtRecord { said: now.0, waited_ms: 0 });
        // One that jumps again is doubted anew.
        let again = now.since_ms(Timestamp(before.said)) > CLOCK_JUMP_MAX_MS;
        let waited_ms = if again { 0 } else { before.waited_ms.saturating_add(ran_ms) };
        if waited_ms >= wait_ms {
            self.said = ClockTrustRecord { trusted: now.0, doubt: None };
            return Trust::Trusted;
        }
        self.said.doubt = Some(DoubtRecord { said: now.0, waited_ms });
        Trust::Doubted { since: trusted, waited_ms }
    }

    /// Makes what was seen durable, from time to time; answers whether it did.
    pub async fn save(&mut self, documents: &dyn Documents) -> Result<bool, StoreError> {
        let now = self.looked.unwrap_or_default();
        if self.saved.is_some_and(|saved| now.since_ms(saved) < SAVE_EVERY_MS) {
            return Ok(false);
        }
        self.document.save(documents, &self.said).await?;
        self.saved = Some(now);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryStore;

    const HOUR_MS: u64 = 3_600_000;
    const DAY_MS: u64 = 24 * HOUR_MS;
    const WEEK_MS: u64 = 7 * DAY_MS;
    const NOW: Timestamp = Timestamp(20_000 * DAY_MS);

    async fn loaded(store: &crate::storage::Store, newest: Timestamp) -> ClockTrust {
        ClockTrust::load(&*store.documents, newest).await.unwrap()
    }

    /// Runs for so many days from `from` on, looking every hour; answers how many days were doubted.
    async fn runs(store: &crate::storage::Store, from: Timestamp, days: u64) -> u64 {
        let mut clock = loaded(store, from).await;
        let mut doubted = 0;
        for hour in 0..days * 24 {
            let seen = clock.look(from.plus_ms(hour * HOUR_MS), WEEK_MS);
            doubted += u64::from(seen != Trust::Trusted);
            clock.save(&*store.documents).await.unwrap();
        }
        doubted.div_ceil(24)
    }

    #[tokio::test]
    async fn who_jumped_is_doubted_for_a_week_of_running_and_no_longer() {
        let store = MemoryStore::new().store();
        assert_eq!(runs(&store, NOW, 40).await, 0, "as time goes");
        let later = NOW.plus_ms(69 * DAY_MS);
        assert_eq!(runs(&store, later, 2).await, 0, "off for 29 days");
        let ahead = later.plus_ms(3_650 * DAY_MS);
        assert_eq!(runs(&store, ahead, 3).await, 3);
        // Switched off and on again: what was waited counts, the time between does not.
        assert_eq!(runs(&store, ahead.plus_ms(20 * DAY_MS), 3).await, 3);
        let last = ahead.plus_ms(23 * DAY_MS);
        assert_eq!(runs(&store, last, 10).await, 2, "some hours of a week are lost");
        assert_eq!(runs(&store, last.plus_ms(12 * DAY_MS), 10).await, 0);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_right_is_trusted_at_once_and_one_that_jumps_again_doubted_anew() {
        let store = MemoryStore::new().store();
        runs(&store, NOW, 1).await;
        let ahead = NOW.plus_ms(3_650 * DAY_MS);
        assert_eq!(runs(&store, ahead, 6).await, 6);
        assert_eq!(runs(&store, ahead.plus_ms(1_000 * DAY_MS), 6).await, 6, "the wait begins anew");
        assert_eq!(runs(&store, NOW.plus_ms(14 * DAY_MS), 1).await, 0);
        // Set back and right again within the bound.
        assert_eq!(runs(&store, NOW, 1).await, 0);
        assert_eq!(runs(&store, NOW.plus_ms(14 * DAY_MS), 1).await, 0);
    }

    #[tokio::test]
    async fn without_a_document_the_newest_record_counts() {
        let store = MemoryStore::new().store();
        let mut clock = loaded(&store, Timestamp(0)).await;
        assert_eq!(clock.look(NOW, WEEK_MS), Trust::Trusted, "nothing to be forgotten");
        let mut clock = loaded(&store, NOW).await;
        assert_eq!(clock.look(NOW.plus_ms(CLOCK_JUMP_MAX_MS), WEEK_MS), Trust::Trusted);
        let mut clock = loaded(&store, NOW).await;
        let ahead = NOW.plus_ms(CLOCK_JUMP_MAX_MS + 1);
        let doubted = Trust::Doubted { since: NOW, waited_ms: 0 };
        assert_eq!(clock.look(ahead, WEEK_MS), doubted);
        assert!(clock.save(&*store.documents).await.unwrap());
        // What was written on the doubted clock explains nothing.
        assert_eq!(loaded(&store, ahead).await.look(ahead, WEEK_MS), doubted);
        // A document that says nothing is written over.
        store.documents.put(KIND, ID, 1, b"?".to_vec()).await.unwrap();
        let mut clock = loaded(&store, NOW).await;
        assert_eq!(clock.look(ahead, WEEK_MS), doubted);
        assert!(clock.save(&*store.documents).await.unwrap());
        assert!(!clock.save(&*store.documents).await.unwrap(), "not at every look");
    }
}

//! When the feed is told that the log may change ([`Feed`](crate::storage::Feed)).
//!
//! Invariants: what is appended was announced before, in the same hour of the same claim; and after a claim
//! so was what a former life wrote last, unless that life went to sleep knowing all of it: a write of unknown
//! outcome comes to light, or not, with the claim that follows it.

use crate::domain::Timestamp;
use crate::storage::{FeedHour, StoreError};

use super::{Action, Decided, Driver, EventSourced, Failure, Looked, Phase, StoreCall};

impl<A: EventSourced> Driver<A> {
    /// The hour to be announced before what was decided is begun; none: nothing is to be written, or it is
    /// announced.
    pub(super) fn to_announce(&self, now: Timestamp, decided: &Decided<A>) -> Option<FeedHour> {
        let writes = decided.intent.is_some() || !decided.events.is_empty();
        let hour = FeedHour::of(now);
        (writes && self.touched != Some(hour)).then_some(hour)
    }

    /// The same after a claim, when the log is read.
    pub(super) fn to_announce_at_a_claim(&self, now: Timestamp) -> Option<FeedHour> {
        let tail = self.tail();
        let known = tail == 0 || self.rested == Some(tail);
        (!known).then_some(FeedHour::of(now))
    }

    /// Announces, and goes on with the input then.
    pub(super) fn announce(
        &mut self,
        claim: A::Claim,
        hour: FeedHour,
        input: Option<Looked<A>>,
        actions: &mut Vec<Action<A>>,
    ) {
        self.phase = Phase::Touching { claim, hour, input };
        actions.push(Action::Store(StoreCall::Touch(hour)));
    }

    /// The feed was told, or not.
    pub(super) fn told_the_feed(
        &mut self,
        now: Timestamp,
        (claim, hour): (A::Claim, FeedHour),
        input: Option<Looked<A>>,
        result: Result<(), StoreError>,
    ) -> Vec<Action<A>> {
        match (result, input) {
            (Ok(()), None) => {
                self.touched = Some(hour);
                self.begin_idle(now, claim)
            }
            (Ok(()), Some((input, found))) => {
                self.touched = Some(hour);
                let mut actions = Vec::new();
                // Time has passed, so that it is decided anew.
                self.decide(now, claim, input, found, &mut actions);
                // When the row was marked for it before, and it is void now.
                if let Phase::Idle { .. } = self.phase {
                    self.list(&mut actions);
                }
                actions
            }
            // The next life claims and reads it anew, and tells the feed then.
            (Err(error), None) => self.fail(Failure::Untouched(error)),
            (Err(_), Some((input, _))) => {
                let mut actions = Vec::new();
                self.phase = Phase::Idle { claim };
                self.unavailable(now, input.call(), &mut actions);
                actions
            }
        }
    }
}

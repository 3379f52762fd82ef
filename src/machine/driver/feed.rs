//! When the feed is told that the log may change ([`Feed`](crate::storage::Feed)).
//!
//! Invariants: what is appended was announced before or is with it, in the same hour of the same claim; and after a claim
//! so was what a former life wrote last, unless that life went to sleep knowing all of it: a write of unknown
//! outcome comes to light, or not, with the claim that follows it.

use crate::domain::Timestamp;
use crate::domain::limits::TOUCH_AGAIN_MS;
use crate::domain::time::backoff_ms;
use crate::storage::{FeedHour, StoreError};

use super::append::Stage;
use super::{Action, Decided, Driver, EventSourced, Input, Looked, Phase, StoreCall};

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
        (!self.nothing_came_to_light()).then_some(FeedHour::of(now))
    }

    fn nothing_came_to_light(&self) -> bool {
        let tail = self.tail();
        tail == 0 || self.rested == Some(tail)
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

    /// Whether the feed could not be told of what this life's claim may have brought to light, and was not
    /// told of anything since, or what the life was to write first was not decided for want of that: it is
    /// told again, and meanwhile whatever is to be written tells it first.
    pub(super) fn owes_the_feed(&self) -> bool {
        let claimed = matches!(self.phase, Phase::Idle { .. });
        let untold = self.touched.is_none() && !self.nothing_came_to_light();
        claimed && (untold || self.starts_again)
    }

    /// The feed was told, or not; nobody may know whether it was, and a touch too many harms nobody.
    pub(super) fn told_the_feed(
        &mut self,
        now: Timestamp,
        (claim, hour): (A::Claim, FeedHour),
        input: Option<Looked<A>>,
        result: Result<(), StoreError>,
    ) -> Vec<Action<A>> {
        let told = result.is_ok();
        if told {
            self.feed_knows(now, hour);
        } else if matches!(&input, None | Some((Input::Started, _))) {
            // Of its own accord: writes of others try as often as they like.
            self.untaken = self.untaken.saturating_add(1);
        }
        if let Some((Input::Started, _)) = &input {
            self.starts_again = !told;
        }
        let mut actions = Vec::new();
        match input {
            Some(looked) if told => {
                self.decide(now, claim, looked, Stage::Announced, &mut actions);
            }
            // The append was not asked for, so that its outcome is known, whatever became of the touch.
            Some((input, _)) => {
                self.phase = Phase::Idle { claim };
                self.unavailable(now, input.call(), &mut actions);
                if self.owes_the_feed() {
                    self.touch_later(now);
                }
            }
            None => {
                // The log is claimed and read: whoever asks is served, and the feed is owed the touch. Of a
                // life that ends before, the next claim knows nothing and touches.
                if !told {
                    self.touch_later(now);
                }
                return self.begin_idle(now, claim);
            }
        }
        actions
    }

    /// The feed was told of this hour.
    pub(super) fn feed_knows(&mut self, now: Timestamp, hour: FeedHour) {
        self.touched = Some(hour);
        self.untaken = 0;
        // What has waited for it is due.
        self.quiet_until = self.quiet_until.min(now);
    }

    /// What is owed is tried again soon, and ever more seldom while the feed does not take it.
    fn touch_later(&mut self, now: Timestamp) {
        self.quiet_until = now.plus_ms(backoff_ms(TOUCH_AGAIN_MS, self.untaken));
    }
}

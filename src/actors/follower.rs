//! The follower of a consumer of the feed: has it take every chat that changed, at least once.
//!
//! Owns the consumer's position, and when it is looked what there is: first what this process says has
//! changed, soon; then all chats, page by page with pauses, if nothing is known of where the consumer had
//! come; else the feed, once at the start and whenever an hour of it has settled, or when what was said in
//! the process could not be kept.
//! Refuses to know what a consumer does with a chat.
//! Invariants: what the feed has is what guarantees; a position that may not be what is in the store is
//! adopted again before it is moved. What fails ends the turn, and the next one goes on where it was, later
//! each time. A chat that fails again and again holds up no other for long: it is set aside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::domain::Timestamp;
use crate::machine::Life;
use crate::storage::{FeedConsumer, FeedPass, FeedPeriod, FeedPosition, StoreError};
use crate::telemetry;

use super::followed::{Followed, Haste};
use super::limits::{ASIDE_AGAIN_MS, FOLLOW_AGAIN_MAX, FOLLOW_EVERY, HASTE_SLICE, WALK_PAUSE};
use super::message::FollowerMessage;
use super::shared::Shared;

/// See the module.
pub(super) struct FollowerShell;

/// How far it is.
pub(super) struct Follow {
    shared: Arc<Shared>,
    name: &'static str,
    /// None before the first turn.
    position: Option<FeedPosition>,
    /// What the store has may be another one.
    doubtful: bool,
    /// The pass through the feed that is under way.
    pass: Option<FeedPass>,
    /// What had not settled when the latest pass began; none: there is to be one.
    passed: Option<FeedPeriod>,
    /// A pass has come to its end since there was to be one.
    caught_up: bool,
    waits: Waits,
}

/// What it could not do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Waits {
    /// Turns that failed, in a row.
    failures: u32,
    /// Since when.
    failing_since: Option<Timestamp>,
    /// Since when chats are set aside.
    aside_since: Option<Timestamp>,
    /// When those were tried last.
    aside_tried: Timestamp,
}

impl Waits {
    /// A turn has ended, with so many chats set aside.
    fn turned(&mut self, failed: bool, aside: usize, now: Timestamp) {
        if aside == 0 {
            self.aside_since = None;
        } else if self.aside_since.is_none() {
            (self.aside_since, self.aside_tried) = (Some(self.failing_since.unwrap_or(now)), now);
        }
        if failed {
            self.failures = self.failures.saturating_add(1);
            self.failing_since.get_or_insert(now);
        } else {
            if self.failures > 0 {
                // What failed with the rest may be well with the rest.
                self.aside_tried = Timestamp(0);
            }
            (self.failures, self.failing_since) = (0, None);
        }
    }

    /// How long to wait after a turn that failed.
    fn again_after(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures.saturating_sub(1));
        FOLLOW_EVERY.saturating_mul(doubled).min(FOLLOW_AGAIN_MAX)
    }

    /// Whether those that are set aside are to be tried again; then they count as tried.
    fn tries_aside(&mut self, now: Timestamp) -> bool {
        let tries = self.aside_since.is_some() && now.since_ms(self.aside_tried) >= ASIDE_AGAIN_MS;
        if tries {
            self.aside_tried = now;
        }
        tries
    }

    fn since(&self) -> Option<Timestamp> {
        self.failing_since.into_iter().chain(self.aside_since).min()
    }
}

impl Actor for FollowerShell {
    type Msg = FollowerMessage;
    type State = Follow;
    type Arguments = (Arc<Shared>, &'static str, Life);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (shared, name, _): Self::Arguments,
    ) -> Result<Follow, ActorProcessingErr> {
        myself.send_message(FollowerMessage::Turn)?;
        Ok(Follow {
            shared,
            name,
            position: None,
            doubtful: false,
            pass: None,
            passed: None,
            caught_up: false,
            waits: Waits::default(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        follow: &mut Follow,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FollowerMessage::Turn => {}
            #[allow(clippy::panic, reason = "this is what it is for")]
            FollowerMessage::Crash => panic!("crashed by a test"),
        }
        if follow.shared.is_stopping() {
            return Ok(());
        }
        // On the heap: the path through the store is long.
        let turned = Box::pin(follow.turn()).await;
        let aside = follow.position.as_ref().map_or(0, FeedPosition::aside);
        follow.waits.turned(turned.is_err(), aside, follow.shared.now());
        let wait = turned.unwrap_or_else(|error| {
            let wait = follow.waits.again_after();
            tracing::warn!(consumer = follow.name, %error, ?wait, "the feed was not followed; it goes on later");
            wait
        });
        follow.show();
        myself.send_after(wait, || FollowerMessage::Turn);
        Ok(())
    }
}

impl Follow {
    /// One turn; answers how long to wait before the next.
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        let shared = Arc::clone(&self.shared);
        let Some(followed) = shared.followed.get(self.name) else { return Ok(FOLLOW_EVERY) };
        let documents = &*shared.store.documents;
        let mut position = match self.position.take() {
            Some(position) => position,
            None => FeedPosition::adopt(documents, self.name, shared.process).await?,
        };
        if self.doubtful {
            match position.adopt_again(documents).await {
                Ok(true) => {}
                Ok(false) => {
                    (self.pass, self.passed, self.caught_up) = (None, None, false);
                }
                Err(error) => {
                    self.position = Some(position);
                    return Err(error);
                }
            }
        }
        self.doubtful = false;
        let mut haste = followed.haste();
        let turned = self.turn_with(&mut position, &*followed.consumer, &mut haste).await;
        self.position = Some(position);
        if turned.is_err() {
            followed.put_back(haste);
            self.doubtful = true;
        }
        turned
    }

    /// What is dealt with of the haste is gone from it.
    async fn turn_with(
        &mut self,
        position: &mut FeedPosition,
        consumer: &dyn FeedConsumer,
        haste: &mut Haste,
    ) -> Result<Duration, StoreError> {
        let shared = Arc::clone(&self.shared);
        if std::mem::take(&mut haste.lost) {
            (self.passed, self.caught_up) = (None, false);
        }
        // Before those that fail now, of which there may be too many to be set aside.
        if self.waits.tries_aside(shared.now()) {
            position.take_aside(&*shared.store.documents, consumer).await?;
        }
        while !haste.chats.is_empty() {
            if shared.is_stopping() {
                return Ok(FOLLOW_EVERY);
            }
            let mut slice: BTreeSet<_> = haste.chats.iter().take(HASTE_SLICE).copied().collect();
            let all = slice.clone();
            let taken = position.take_all(consumer, &mut slice).await;
            haste.chats.retain(|chat| !all.contains(chat) || slice.contains(chat));
            taken?;
        }
        haste.since = None;
        if !position.is_begun() {
            // While touches are removed, which may take long, it goes on with what it is told.
            let Ok(_ends) = shared.feed_ends.try_lock() else { return Ok(FOLLOW_EVERY) };
            tracing::info!(consumer = self.name, "a consumer of the feed begins from nothing");
            let store = &shared.store;
            position.begin(&*store.feed, &*store.documents, shared.feed_present()).await?;
        }
        if position.from_nothing().is_some() {
            let whole = position.walk(&shared.store, consumer).await?;
            if whole {
                tracing::info!(consumer = self.name, "a consumer of the feed has taken all chats");
                (self.passed, self.caught_up) = (None, false);
            }
            return Ok(WALK_PAUSE);
        }
        let present = shared.feed_present();
        let pass = match &mut self.pass {
            Some(pass) => pass,
            None if self.passed == Some(present.unsettled()) => return Ok(FOLLOW_EVERY),
            none => {
                self.passed = Some(present.unsettled());
                none.insert(position.pass(present))
            }
        };
        if position.follow(pass, &shared.store, consumer).await? {
            self.pass = None;
            // One that was begun before more was lost leaves that to the next.
            self.caught_up = self.passed.is_some();
        }
        Ok(Duration::ZERO)
    }

    /// Since when the oldest change waits of which it knows.
    fn waits_since(&self) -> Option<Timestamp> {
        let followed = self.shared.followed.get(self.name);
        let hint = followed.and_then(Followed::waits_since);
        hint.into_iter().chain(self.behind_since()).min()
    }

    /// The same, but for what it was told of since its latest turn.
    fn behind_since(&self) -> Option<Timestamp> {
        let present = self.shared.feed_present();
        let feed = self.position.as_ref().and_then(|position| position.waits_since(present));
        feed.into_iter().chain(self.waits.since()).min()
    }

    /// Whether it has taken all that there was by its latest turn. A pass that has only begun takes again
    /// what it was told of before.
    fn is_up_to_date(&self) -> bool {
        let follows = self.position.as_ref().is_some_and(|it| it.from_nothing().is_none());
        let behind = match &self.pass {
            Some(_) => self.waits.since(),
            None => self.behind_since(),
        };
        follows && self.caught_up && behind.is_none()
    }

    /// Shows for how long a change waits, what is set aside, and how far the consumer is on its way from nothing.
    fn show(&self) {
        let now = self.shared.now();
        let waits_ms = self.waits_since().map_or(0, |since| now.since_ms(since));
        telemetry::feed_lag(self.name, waits_ms);
        let aside = self.position.as_ref().map_or(0, FeedPosition::aside);
        telemetry::feed_set_aside(self.name, aside);
        let from_nothing = self.position.as_ref().and_then(FeedPosition::from_nothing);
        telemetry::feed_from_nothing(self.name, from_nothing);
        if let Some(followed) = self.shared.followed.get(self.name) {
            followed.turned(self.is_up_to_date());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_waits_longer_each_time_up_to_a_minute_and_what_waits_is_over_with_the_first_success()
     {
        let mut waits = Waits::default();
        let mut seconds = Vec::new();
        for n in 1..=9 {
            waits.turned(true, 0, Timestamp(n));
            seconds.push(waits.again_after().as_secs());
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(waits.since(), Some(Timestamp(1)));
        waits.turned(false, 0, Timestamp(10));
        assert_eq!(waits, Waits::default());
        waits.turned(true, 0, Timestamp(11));
        assert_eq!((waits.again_after(), waits.since()), (FOLLOW_EVERY, Some(Timestamp(11))));
    }

    #[test]
    fn what_is_set_aside_waits_since_it_failed_and_is_tried_now_and_then() {
        let began = Timestamp(10 * ASIDE_AGAIN_MS);
        let mut waits = Waits::default();
        waits.turned(true, 0, began);
        let well = began.plus_ms(1);
        waits.turned(false, 1, well);
        assert_eq!(waits.since(), Some(began));
        assert!(waits.tries_aside(well), "what failed with the rest may be well with the rest");
        let again = well.plus_ms(ASIDE_AGAIN_MS);
        assert!(!waits.tries_aside(Timestamp(again.0 - 1)) && waits.tries_aside(again));
        assert!(!waits.tries_aside(again), "it was");
        waits.turned(false, 1, again);
        assert!(!waits.tries_aside(again), "nothing else had failed");
        assert_eq!(waits.since(), Some(began));
        waits.turned(false, 0, again);
        assert_eq!(waits.since(), None);
    }
}

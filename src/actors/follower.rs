//! The follower of a consumer of the feed: has it take every chat that changed, at least once.
//!
//! Owns the consumer's position, and when it is looked what there is: first what this process says has
//! changed, soon; then all chats, page by page with pauses, if nothing is known of where the consumer had
//! come; else the feed, once at the start and whenever an hour of it has settled, or when what was said in
//! the process could not be kept.
//! Refuses to know what a consumer does with a chat.
//! Invariants: what the feed has is what guarantees; a position that may not be what is in the store is
//! adopted again before it is moved. What fails ends the turn, and the next one goes on.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::domain::Timestamp;
use crate::machine::Life;
use crate::storage::{FeedConsumer, FeedPass, FeedPeriod, FeedPosition, FeedPresent, StoreError};
use crate::telemetry;

use super::followed::Haste;
use super::limits::{FOLLOW_EVERY, WALK_PAUSE};
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
    /// Since when a change waits that could not be taken.
    waits_since: Option<Timestamp>,
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
            waits_since: None,
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
        let wait = Box::pin(follow.turn()).await.unwrap_or_else(|error| {
            tracing::warn!(consumer = follow.name, %error, "the feed was not followed; it goes on in a while");
            FOLLOW_EVERY
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
        if self.doubtful
            && let Err(error) = position.adopt_again(documents).await
        {
            self.position = Some(position);
            return Err(error);
        }
        self.doubtful = false;
        let haste = followed.haste();
        let turned = self.turn_with(&mut position, &*followed.consumer, haste).await;
        self.position = Some(position);
        if turned.is_err() {
            // What was not taken of the haste, the feed has.
            followed.lose();
            let stuck = self.pass.take().and_then(|pass| pass.waits_since(shared.process));
            self.waits_since.get_or_insert(stuck.unwrap_or(shared.now()));
            self.doubtful = true;
        }
        turned
    }

    async fn turn_with(
        &mut self,
        position: &mut FeedPosition,
        consumer: &dyn FeedConsumer,
        haste: Haste,
    ) -> Result<Duration, StoreError> {
        let shared = Arc::clone(&self.shared);
        for chat in haste.chats {
            if shared.is_stopping() {
                return Ok(FOLLOW_EVERY);
            }
            if let Err(error) = position.take(consumer, chat).await {
                self.waits_since = self.waits_since.or(haste.since);
                return Err(error);
            }
        }
        if haste.lost {
            self.passed = None;
        }
        if !position.is_begun() {
            tracing::info!(consumer = self.name, "a consumer of the feed begins from nothing");
            let _ends = shared.feed_ends.lock().await;
            let store = &shared.store;
            position.begin(&*store.feed, &*store.documents, self.present()).await?;
        }
        if position.from_nothing().is_some() {
            let whole = position.walk(&shared.store, consumer).await?;
            if whole {
                tracing::info!(consumer = self.name, "a consumer of the feed has taken all chats");
                self.passed = None;
            }
            return Ok(WALK_PAUSE);
        }
        let present = self.present();
        let pass = match &mut self.pass {
            Some(pass) => pass,
            None if self.passed == Some(present.unsettled()) => {
                self.waits_since = None;
                return Ok(FOLLOW_EVERY);
            }
            none => {
                self.passed = Some(present.unsettled());
                none.insert(position.pass(present))
            }
        };
        if position.follow(pass, &shared.store, consumer).await? {
            self.pass = None;
        }
        Ok(Duration::ZERO)
    }

    fn present(&self) -> FeedPresent {
        let shared = &self.shared;
        let now = shared.now();
        FeedPresent { process: shared.process, runs_ms: now.since_ms(shared.started_at), now }
    }

    /// Shows for how long a change waits, and how far the consumer is on its way from nothing.
    fn show(&self) {
        let now = self.shared.now();
        let waits_ms = self.waits_since.map_or(0, |since| now.since_ms(since));
        telemetry::feed_lag(self.name, waits_ms);
        let from_nothing = self.position.as_ref().and_then(FeedPosition::from_nothing);
        telemetry::feed_from_nothing(self.name, from_nothing);
        if let Some(followed) = self.shared.followed.get(self.name) {
            let follows = self.position.is_some() && from_nothing.is_none();
            followed.turned(follows && self.waits_since.is_none());
        }
    }
}

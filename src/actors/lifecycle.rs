//! The router's life: the start from what is durable, the end in good order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::domain::limits::CHAT_SHARDS;
use crate::domain::{ChatId, QueueId, Timestamp, UserId};
use crate::machine::index::{Index, shard};
use crate::storage::{FeedConsumer, FeedPosition, Store, StoreError};

use super::clock::Clock;
use super::followed::{AllFollowed, Followed};
use super::limits::{AGAIN_AFTER, SCAN_PAGE};
use super::options::Options;
use super::retention::relist_chat;
use super::roster::{Roster, SharedRoster};
use super::router::Router;
use super::shared::Shared;
use super::supervise;

/// Why the router could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Two consumers of the feed have one name, and so would have one position.
    #[error("two consumers of the feed are called {0}")]
    SameName(&'static str),
    /// The supervision tree could not be built.
    #[error("the supervision tree did not start: {0}")]
    Tree(String),
}

impl Router {
    /// Reads the open chats, starts the tree, the queues, the operators who own chats, and the
    /// chats that were moving when the former process ended.
    pub async fn start(store: Store, roster: Roster, options: Options) -> Result<Self, StartError> {
        Self::start_followed(store, roster, options, Vec::new()).await
    }

    /// The same, with those who follow the feed of what changes; each has a name of its own.
    pub async fn start_followed(
        store: Store,
        roster: Roster,
        options: Options,
        consumers: Vec<Arc<dyn FeedConsumer>>,
    ) -> Result<Self, StartError> {
        let store = store.in_time(options.store_limit);
        let process = store.processes.begin().await?;
        // Before anything else: the next process counts on it, should this one end here.
        for consumer in &consumers {
            FeedPosition::adopt(&*store.documents, consumer.name(), process).await?;
        }
        let mut followed = AllFollowed::new();
        for consumer in consumers {
            let name = consumer.name();
            if followed.insert(name, Followed::new(consumer)).is_some() {
                return Err(StartError::SameName(name));
            }
        }
        let followers: Vec<&'static str> = followed.keys().copied().collect();
        let (indexes, latest) = read_index(&store).await?;
        let clock = Clock::start();
        let newest = store.log.newest().await?;
        let (latest, now) = (newest.map_or(latest, |newest| newest.max(latest)), clock.now());
        if latest > now {
            tracing::error!(
                newest = %latest, %now,
                "the store holds times of the future: the clock of this machine is behind, or the \
                 store was written by one that was ahead. Set the clock; until it has caught up, what \
                 happens in those chats is dated by their last event"
            );
        }
        let mut moving: Vec<ChatId> =
            indexes.iter().flat_map(|index| index.moving().iter().copied()).collect();
        let owners: BTreeSet<UserId> = indexes.iter().flat_map(Index::operators).collect();
        let is_queue = |queue| roster.queues.contains_key(&queue);
        let homeless: Vec<ChatId> =
            indexes.iter().flat_map(|index| index.homeless(is_queue)).collect();
        let queues: Vec<QueueId> = roster.queues.keys().copied().collect();
        let roster = SharedRoster::new(roster);
        let process = (process, followed);
        let shared = Shared::new(store, (clock, latest), process, roster, indexes, &options);
        shared.ways.unsettled(&moving);
        // They look for a queue that is there when they say where they are.
        moving.extend(homeless);
        let (root, ended) = supervise::start(Arc::clone(&shared))
            .await
            .map_err(|error| StartError::Tree(error.to_string()))?;
        let (stopping, _) = watch::channel(false);
        let router = Self { shared, root, ended, options, stopping: Arc::new(stopping) };
        supervise::start_sweeper(&router)
            .await
            .map_err(|error| StartError::Tree(error.to_string()))?;
        for queue in queues {
            router.start_queue(queue);
        }
        for consumer in followers {
            if router.shared.followers.reserve(consumer) {
                router.shared.start_follower(consumer);
            }
        }
        for operator in owners {
            router.start_operator(operator);
        }
        for chat in moving {
            if router.shared.chats.reserve(chat) {
                router.shared.start_chat(chat);
            }
        }
        Ok(router)
    }

    /// Lets calls under way end, then ends all actors. What was acknowledged is durable already.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let until = Instant::now() + self.options.drain_limit;
        while self.under_way() > 0 && Instant::now() < until {
            sleep(AGAIN_AFTER).await;
        }
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(supervisors) = self.shared.supervisors.get() {
            supervisors.drain().await;
        }
        self.root.stop_children_and_wait(None, Some(self.options.drain_limit)).await;
        let _ = self.root.stop_and_wait(None, Some(self.options.drain_limit)).await;
    }

    /// Turns true when a supervisor has failed: the process cannot go on.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    /// The present, as the router counts it.
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// When this process started.
    pub fn started_at(&self) -> Timestamp {
        self.shared.started_at
    }

    pub(super) fn start_queue(&self, queue: QueueId) {
        if self.shared.queues.reserve(queue) {
            self.shared.start_queue(queue);
        }
    }

    fn start_operator(&self, operator: UserId) {
        if self.shared.operators.reserve(operator) {
            self.shared.start_operator(operator);
        }
    }
}

/// The open chats as the former process left them, and the latest time that they name.
async fn read_index(store: &Store) -> Result<([Index; CHAT_SHARDS], Timestamp), StoreError> {
    let mut indexes: [Index; CHAT_SHARDS] = Default::default();
    let (mut latest, mut after) = (Timestamp::default(), None);
    loop {
        let mut page = store.open_chats.scan(after, SCAN_PAGE).await?;
        let last = page.last().map(|last| last.chat);
        if last.is_none() {
            for chat in store.open_chats.damaged().await? {
                page.extend(relist_chat(store, chat).await?);
                tracing::warn!(%chat, "the damaged row of an open chat was made anew");
            }
        }
        for row in page {
            latest = latest.max(row.since);
            latest = row.refused_by.values().copied().fold(latest, Timestamp::max);
            indexes[shard(row.chat)].load(row);
        }
        let Some(last) = last else { return Ok((indexes, latest)) };
        after = Some(last);
    }
}

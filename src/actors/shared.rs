//! What all actors of a process share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use dashmap::DashMap;

use crate::domain::{ChatId, Place, QueueId, Timestamp, UserId};
use crate::machine::Life;
use crate::machine::index::Index;
use crate::machine::message::{ChatAt, Peer, ToChat, ToQueue};
use crate::storage::Store;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::chat::ChatMessage;
use super::clock::Clock;
use super::directory::{Directory, Overloaded};
use super::hub::Hub;
use super::lifecycle::Options;
use super::observe::StatusSeen;
use super::operator::OperatorMessage;
use super::queue::QueueMessage;
use super::roster::SharedRoster;
use super::supervise::Supervisors;
use super::untold::Untold;

/// The store does not answer. Whether the call takes effect, and when, is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has not answered within {limit:?}")]
pub(super) struct StoreSilent {
    limit: Duration,
}

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) process: u64,
    pub(super) started_at: Timestamp,
    pub(super) chats: Directory<ChatId, ChatMessage>,
    pub(super) queues: Directory<QueueId, QueueMessage>,
    pub(super) operators: Directory<UserId, OperatorMessage>,
    pub(super) supervisors: OnceLock<Supervisors>,
    pub(super) roster: SharedRoster,
    pub(super) hub: Hub,
    pub(super) idle_after: Duration,
    /// How long the store may take over one call of an actor.
    store_limit: Duration,
    pub(super) grace_until: Timestamp,
    index: Mutex<Index>,
    lives: AtomicU64,
    pub(super) restarts: AtomicU64,
    /// What is counted of the operators that have had a life; as many as are configured.
    pub(super) statuses: DashMap<UserId, StatusSeen>,
    /// Held by whoever forgets chats.
    pub(super) forgetting: tokio::sync::Mutex<()>,
    /// Appends that nobody was told of yet.
    pub(super) untold: Untold,
    /// The process is ending in good order: what ends now is neither a failure nor started again.
    pub(super) stopping: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        store: Store,
        clock: Clock,
        process: u64,
        roster: SharedRoster,
        index: Index,
        options: &Options,
    ) -> Arc<Self> {
        let now = clock.now();
        Arc::new(Self {
            store,
            clock,
            process,
            started_at: now,
            chats: Directory::new(),
            queues: Directory::new(),
            operators: Directory::new(),
            supervisors: OnceLock::new(),
            roster,
            hub: Hub::new(options.outbox_max),
            idle_after: options.idle_after,
            store_limit: options.store_limit,
            grace_until: now.plus_ms(options.restart_grace_ms),
            index: Mutex::new(index),
            lives: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            statuses: DashMap::new(),
            forgetting: tokio::sync::Mutex::default(),
            untold: Untold::new(),
            stopping: AtomicBool::new(false),
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What the store answers, if it does in time.
    pub(super) async fn in_time<T>(
        &self,
        asked: impl Future<Output = T>,
    ) -> Result<T, StoreSilent> {
        let limit = self.store_limit;
        timeout(limit, asked).await.map_err(|_| StoreSilent { limit })
    }

    /// The number of a new life: larger than all before it, in whatever process.
    pub(super) fn next_life(&self) -> Life {
        (self.process << 32) | (self.lives.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A look at, or a change of, the index of open chats. Short, and never across a wait.
    pub(super) fn index<T>(&self, look: impl FnOnce(&mut Index) -> T) -> T {
        look(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    // ---- messages between actors: no permit, and they may be lost ----

    pub(super) fn to_chat(&self, chat: ChatId, message: ChatMessage) {
        if self.chats.send(chat, message) {
            self.start_chat(chat);
        }
    }

    /// There is no actor for a queue that is not configured, and nobody to hear it. A chat that
    /// has left it is answered in its stead, else the chat would tell it for as long as it lives.
    /// One that waits there goes on telling: the queue may come back, and nobody else serves it.
    pub(super) fn to_queue(&self, queue: QueueId, message: QueueMessage) {
        if self.is_queue(queue) {
            if self.queues.send(queue, message) {
                self.start_queue(queue);
            }
        } else if let QueueMessage::Said(ToQueue::At(at)) = message
            && !waits_in(&at, queue)
        {
            let peer = Peer::Queue(queue);
            let seen = ToChat::Seen { peer, placement: at.placement, version: at.version };
            self.chats.send_if_there(at.chat, ChatMessage::Said(seen));
        }
    }

    pub(super) fn to_operator(&self, operator: UserId, message: OperatorMessage) {
        if self.operators.send(operator, message) {
            self.start_operator(operator);
        }
    }

    // ---- calls of clients: bounded ----

    pub(super) fn call_chat(
        &self,
        chat: ChatId,
        call: impl FnOnce(OwnedSemaphorePermit) -> ChatMessage,
    ) -> Result<(), Overloaded> {
        if self.chats.call(chat, call)? {
            self.start_chat(chat);
        }
        Ok(())
    }

    /// A queue that is not configured drops the call unanswered.
    pub(super) fn call_queue(
        &self,
        queue: QueueId,
        call: impl FnOnce(OwnedSemaphorePermit) -> QueueMessage,
    ) -> Result<(), Overloaded> {
        if self.is_queue(queue) && self.queues.call(queue, call)? {
            self.start_queue(queue);
        }
        Ok(())
    }

    pub(super) fn call_operator(
        &self,
        operator: UserId,
        call: impl FnOnce(OwnedSemaphorePermit) -> OperatorMessage,
    ) -> Result<(), Overloaded> {
        if self.operators.call(operator, call)? {
            self.start_operator(operator);
        }
        Ok(())
    }

    fn is_queue(&self, queue: QueueId) -> bool {
        self.roster.look(|roster| roster.queues.contains_key(&queue))
    }

    // ---- starts: the directory has an entry that says `Starting` ----

    pub(super) fn start_chat(&self, chat: ChatId) {
        if let Some(supervisors) = self.supervisors.get() {
            supervisors.start_chat(chat);
        }
    }

    pub(super) fn start_queue(&self, queue: QueueId) {
        if let Some(supervisors) = self.supervisors.get() {
            supervisors.start_queue(queue);
        }
    }

    pub(super) fn start_operator(&self, operator: UserId) {
        if let Some(supervisors) = self.supervisors.get() {
            supervisors.start_operator(operator);
        }
    }
}

fn waits_in(at: &ChatAt, queue: QueueId) -> bool {
    at.queue == queue
        && match at.place {
            Place::Waiting | Place::Offered(_) => true,
            Place::Assigned { .. } | Place::Ended { .. } => false,
        }
}

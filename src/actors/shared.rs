//! What all actors of a process share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::domain::{ChatId, QueueId, Timestamp, UserId};
use crate::machine::Life;
use crate::machine::index::Index;
use crate::storage::Store;

use super::chat::ChatMessage;
use super::clock::Clock;
use super::directory::Directory;
use super::hub::Hub;
use super::operator::OperatorMessage;
use super::queue::QueueMessage;
use super::roster::SharedRoster;
use super::tree::Supervisors;

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
    pub(super) grace_until: Timestamp,
    index: Mutex<Index>,
    lives: AtomicU64,
    pub(super) restarts: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        store: Store,
        clock: Clock,
        process: u64,
        roster: SharedRoster,
        index: Index,
        (idle_after, grace_ms, outbox_max): (Duration, u64, usize),
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
            hub: Hub::new(outbox_max),
            idle_after,
            grace_until: now.plus_ms(grace_ms),
            index: Mutex::new(index),
            lives: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The number of a new life: larger than all before it, in whatever process.
    pub(super) fn next_life(&self) -> Life {
        (self.process << 32) | (self.lives.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A look at, or a change of, the index of open chats. Short, and never across a wait.
    pub(super) fn index<T>(&self, look: impl FnOnce(&mut Index) -> T) -> T {
        look(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn to_chat(&self, chat: ChatId, message: ChatMessage) {
        if self.chats.send(chat, message) {
            self.start_chat(chat);
        }
    }

    pub(super) fn to_queue(&self, queue: QueueId, message: QueueMessage) {
        if self.roster.look(|roster| roster.queues.contains_key(&queue))
            && self.queues.send(queue, message)
            && let Some(supervisors) = self.supervisors.get()
        {
            supervisors.start_queue(queue);
        }
    }

    pub(super) fn to_operator(&self, operator: UserId, message: OperatorMessage) {
        if self.operators.send(operator, message)
            && let Some(supervisors) = self.supervisors.get()
        {
            supervisors.start_operator(operator);
        }
    }

    pub(super) fn start_chat(&self, chat: ChatId) {
        if let Some(supervisors) = self.supervisors.get() {
            supervisors.start_chat(chat);
        }
    }
}

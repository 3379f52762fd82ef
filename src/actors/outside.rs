//! What can be seen of a running router from outside, and what tests of supervision do to it.

use std::sync::atomic::Ordering;

use ractor::{ActorCell, ActorStatus};

use crate::domain::{ChatId, QueueId, UserId};
use crate::telemetry::Gauges;

use super::message::{ChatMessage, FollowerMessage, OperatorMessage, QueueMessage};
use super::observe;
use super::router::Router;

impl Router {
    /// How many run of a kind of the [`TREE`](super::tree::TREE), by the supervisors' own links;
    /// none of what it does not name.
    pub fn count(&self, name: &str) -> usize {
        let cells = self.shared.supervisors.get().map(|supervisors| supervisors.cells(name));
        let runs = |cell: &ActorCell| {
            matches!(
                cell.get_status(),
                ActorStatus::Starting | ActorStatus::Running | ActorStatus::Upgrading
            )
        };
        cells.into_iter().flatten().filter(runs).count()
    }

    /// How many are linked to the root of the tree.
    pub fn supervisors(&self) -> usize {
        self.root.get_children().len()
    }

    /// A look at the present, for the metrics.
    pub fn gauges(&self) -> Gauges {
        observe::gauges(&self.shared, |name| self.count(name), self.under_way())
    }

    /// Calls that wait for an answer.
    pub fn under_way(&self) -> usize {
        let shared = &self.shared;
        shared.chats.calls_under_way()
            + shared.queues.calls_under_way()
            + shared.operators.calls_under_way()
    }

    /// Actors started again after a failure.
    pub fn restarts(&self) -> u64 {
        self.shared.restarts.load(Ordering::Relaxed)
    }

    /// Connections, and how many were closed because they did not keep up.
    pub fn connections(&self) -> (usize, u64) {
        (self.shared.hub.len(), self.shared.hub.overflows())
    }

    /// Open chats in the index, of which so many are being moved.
    pub fn open_chats(&self) -> (usize, usize) {
        let shards = self.shared.indexes(|index| (index.len(), index.moving().len()));
        shards.fold((0, 0), |(open, moving), shard| (open + shard.0, moving + shard.1))
    }

    // ---- for tests of supervision ----

    /// Makes a chat's actor panic, if it runs or is parked.
    #[doc(hidden)]
    pub fn crash_chat(&self, chat: ChatId) {
        self.shared.to_chat_if_there(chat, ChatMessage::Crash);
    }

    /// Whether a chat's actor runs, or is starting, stopping or parked.
    #[doc(hidden)]
    pub fn has_chat(&self, chat: ChatId) -> bool {
        self.shared.chats.contains(chat)
    }

    /// Whether a queue's actor runs, or is starting or stopping.
    #[doc(hidden)]
    pub fn has_queue(&self, queue: QueueId) -> bool {
        self.shared.queues.contains(queue)
    }

    /// Makes a queue's actor panic, if it runs.
    #[doc(hidden)]
    pub fn crash_queue(&self, queue: QueueId) {
        self.shared.to_queue_if_there(queue, QueueMessage::Crash);
    }

    /// Makes an operator's actor panic, if it runs or is parked.
    #[doc(hidden)]
    pub fn crash_operator(&self, operator: UserId) {
        self.shared.to_operator_if_there(operator, OperatorMessage::Crash);
    }

    /// Makes a follower's actor panic, if it runs.
    #[doc(hidden)]
    pub fn crash_follower(&self, consumer: &'static str) {
        if self.shared.followers.send_if_there(consumer, FollowerMessage::Crash) {
            self.shared.start_follower(consumer);
        }
    }

    /// Makes a supervisor fail, by its name in the tree.
    #[doc(hidden)]
    pub fn crash_supervisor(&self, name: &str) {
        if let Some(supervisors) = self.shared.supervisors.get() {
            supervisors.crash(name);
        }
    }
}

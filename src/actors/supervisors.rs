//! The addresses of the supervisors, by which children are started, counted and let end.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ractor::{ActorCell, ActorRef};

use crate::domain::{ChatId, QueueId, UserId};
use crate::machine::index::shard;

use super::tree::TREE;

/// To a supervisor.
pub(super) enum SupervisorMessage<I> {
    Start(I),
    /// Look what is due of what is parked.
    Tick,
    /// For tests of supervision: panic, here and now.
    Crash,
}

/// The addresses of the supervisors.
pub(super) struct Supervisors {
    pub(super) chats: Vec<ActorRef<SupervisorMessage<ChatId>>>,
    pub(super) queues: ActorRef<SupervisorMessage<QueueId>>,
    pub(super) operators: ActorRef<SupervisorMessage<UserId>>,
    pub(super) followers: ActorRef<SupervisorMessage<&'static str>>,
    pub(super) alarm: ActorCell,
    /// Begins when the router is whole.
    pub(super) retention: OnceLock<ActorCell>,
    /// Operators that have had a life in this process.
    pub(super) lived: Mutex<HashSet<UserId>>,
}

impl Supervisors {
    /// The chat has an entry in the directory that says `Starting`.
    pub(super) fn start_chat(&self, chat: ChatId) {
        if let Some(supervisor) = self.chats.get(shard(chat)) {
            let _ = supervisor.send_message(SupervisorMessage::Start(chat));
        }
    }

    pub(super) fn start_queue(&self, queue: QueueId) {
        let _ = self.queues.send_message(SupervisorMessage::Start(queue));
    }

    pub(super) fn start_operator(&self, operator: UserId) {
        let _ = self.operators.send_message(SupervisorMessage::Start(operator));
    }

    pub(super) fn start_follower(&self, consumer: &'static str) {
        let _ = self.followers.send_message(SupervisorMessage::Start(consumer));
    }

    /// Some time has passed: those who keep what is parked look whether something of it is due.
    pub(super) fn tick(&self) {
        for supervisor in &self.chats {
            let _ = supervisor.send_message(SupervisorMessage::Tick);
        }
        let _ = self.operators.send_message(SupervisorMessage::Tick);
    }

    /// What is linked to the supervisors of a kind of child, or the supervisors themselves; by the
    /// names of the [`TREE`].
    pub(super) fn cells(&self, name: &str) -> Vec<ActorCell> {
        let chats = || self.chats.iter().map(ActorRef::get_cell);
        match name {
            "chats" => chats().collect(),
            "queues" => vec![self.queues.get_cell()],
            "operators" => vec![self.operators.get_cell()],
            "followers" => vec![self.followers.get_cell()],
            "follower" => self.followers.get_cell().get_children(),
            "alarm" => vec![self.alarm.clone()],
            "retention" => self.retention.get().cloned().into_iter().collect(),
            "chat" => chats().flat_map(|supervisor| supervisor.get_children()).collect(),
            "queue" => self.queues.get_cell().get_children(),
            "operator" => self.operators.get_cell().get_children(),
            _ => Vec::new(),
        }
    }

    /// Lets the children finish what they have, one kind after the other in the order of the
    /// [`TREE`], each no longer than it says there. What has not ended then is cut off.
    pub(super) async fn drain(&self) {
        for child in TREE.iter().filter(|child| child.parent != "root") {
            let limit = Some(Duration::from_millis(child.shutdown_ms));
            for supervisor in self.cells(child.parent) {
                supervisor.drain_children_and_wait(limit).await;
            }
        }
    }

    /// For tests of supervision.
    pub(super) fn crash(&self, name: &str) {
        let _ = match name {
            "chats" => self.chats[0].send_message(SupervisorMessage::Crash).map_err(drop),
            "queues" => self.queues.send_message(SupervisorMessage::Crash).map_err(drop),
            "operators" => self.operators.send_message(SupervisorMessage::Crash).map_err(drop),
            "followers" => self.followers.send_message(SupervisorMessage::Crash).map_err(drop),
            "alarm" => {
                self.alarm.kill();
                Ok(())
            }
            "retention" => {
                self.retention.get().into_iter().for_each(ActorCell::kill);
                Ok(())
            }
            _ => Ok(()),
        };
    }

    /// Whether the operator had a life in this process; from now on it has.
    pub(super) fn operator_lived(&self, operator: UserId) -> bool {
        !self.lived.lock().unwrap_or_else(PoisonError::into_inner).insert(operator)
    }
}

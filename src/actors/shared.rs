//! What all actors of a process share.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::{DashMap, DashSet};
use futures_util::FutureExt;

use crate::domain::limits::CHAT_SHARDS;
use crate::domain::{ChatId, QueueId, Timestamp, UserId};
use crate::machine::chat::Told;
use crate::machine::index::Index;
use crate::machine::message::{ChatAt, ToQueue};
use crate::machine::operator::ShownOffers;
use crate::machine::{Life, life};
use crate::storage::{FeedPresent, Store, StoreError};

use super::charges::Charges;
use super::clock::{Clock, ClockDoubt};
use super::directory::{Directory, Overloaded};
use super::followed::AllFollowed;
use super::held::CallPermit;
use super::hub::Hub;
use super::message::{ChatMessage, FollowerMessage, OperatorMessage, QueueMessage};
use super::options::Options;
use super::roster::SharedRoster;
use super::sharded::Sharded;
use super::supervisors::Supervisors;
use super::untold::Untold;
use super::view::StatusSeen;
use super::ways::{Way, Ways};

/// By operator.
pub(super) type Screens = DashMap<UserId, ShownOffers>;

/// A call to the store beside a mailbox, a panic of which is an error as well: its actor waits for a word.
pub(super) async fn guarded<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let panicked = || StoreError::Unavailable { reason: "the store panicked".to_owned() };
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| Err(panicked()))
}

pub(super) struct Shared {
    /// Each of its calls answers in time, or counts as silent.
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) process: u64,
    pub(super) started_at: Timestamp,
    /// How far the store was ahead of the clock at the start, ms.
    pub(super) store_ahead_ms: u64,
    /// What to think of the clock.
    pub(super) clock_doubt: ClockDoubt,
    pub(super) chats: Directory<ChatId, ChatMessage>,
    pub(super) queues: Directory<QueueId, QueueMessage>,
    pub(super) operators: Directory<UserId, OperatorMessage>,
    /// By the name of the consumer.
    pub(super) followers: Directory<&'static str, FollowerMessage>,
    /// Those who follow the feed.
    pub(super) followed: AllFollowed,
    pub(super) supervisors: OnceLock<Supervisors>,
    pub(super) roster: SharedRoster,
    pub(super) hub: Hub,
    pub(super) idle_chats_park_after: Duration,
    pub(super) idle_operators_park_after: Duration,
    pub(super) idle_after: Duration,
    pub(super) ended_idle_after: Duration,
    pub(super) grace_until: Timestamp,
    indexes: Sharded<Index>,
    lives: AtomicU64,
    pub(super) restarts: AtomicU64,
    /// What is counted of the operators that have had a life; as many as are configured.
    pub(super) statuses: DashMap<UserId, StatusSeen>,
    /// Operators whose records were damaged when they were read; as many as are configured.
    pub(super) damaged_operators: DashSet<UserId>,
    /// Held by whoever forgets chats.
    pub(super) forgetting: tokio::sync::Mutex<()>,
    /// Openings that are under way, with what they cost.
    pub(super) charges: Charges,
    /// Appends that nobody was told of yet.
    pub(super) untold: Untold,
    /// The offers on each operator's screens; no entry for one whose screens show none.
    pub(super) screens: Screens,
    /// What is on its way into queues and through channels.
    pub(super) ways: Ways,
    /// Held by whoever removes touches of the feed, and by a consumer that notes from where it follows.
    pub(super) feed_ends: tokio::sync::Mutex<()>,
    /// The process is ending in good order: what ends now is neither a failure nor started again.
    pub(super) stopping: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        store: Store,
        (clock, newest): (Clock, Timestamp),
        (process, followed): (u64, AllFollowed),
        roster: SharedRoster,
        indexes: [Index; CHAT_SHARDS],
        options: &Options,
    ) -> Arc<Self> {
        let now = clock.now();
        Arc::new(Self {
            store,
            clock,
            process,
            started_at: now,
            store_ahead_ms: newest.since_ms(now),
            clock_doubt: ClockDoubt::new(newest),
            chats: Directory::new(),
            queues: Directory::new(),
            operators: Directory::new(),
            followers: Directory::new(),
            followed,
            supervisors: OnceLock::new(),
            roster,
            hub: Hub::new(options.outbox_max),
            idle_chats_park_after: options.idle_chats_park_after,
            idle_operators_park_after: options.idle_operators_park_after,
            idle_after: options.idle_after,
            ended_idle_after: options.ended_idle_after.min(options.idle_after),
            grace_until: now.plus_ms(options.restart_grace_ms),
            indexes: Sharded::new(indexes),
            lives: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            statuses: DashMap::new(),
            damaged_operators: DashSet::new(),
            forgetting: tokio::sync::Mutex::default(),
            charges: Charges::default(),
            untold: Untold::new(),
            screens: DashMap::new(),
            ways: Ways::default(),
            feed_ends: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The number of a new life: larger than all before it, in whatever process.
    pub(super) fn next_life(&self) -> Life {
        life(self.process, self.lives.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A look at, or a change of, what the index of open chats has of a chat. Short, and never across a
    /// wait.
    pub(super) fn index<T>(&self, chat: ChatId, look: impl FnOnce(&mut Index) -> T) -> T {
        self.indexes.of(chat, look)
    }

    /// A look at all of the index, shard after shard: no chat waits for the look at the others.
    pub(super) fn indexes<T>(&self, look: impl Fn(&Index) -> T) -> impl Iterator<Item = T> {
        self.indexes.each(look)
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

    /// To one that is there, or is coming, going or parked.
    pub(super) fn to_chat_if_there(&self, chat: ChatId, message: ChatMessage) {
        if self.chats.send_if_there(chat, message) {
            self.start_chat(chat);
        }
    }

    /// There is no actor for a queue that is not configured, and nobody to hear it. A chat that
    /// has left it is answered in its stead ([`ChatAt::heard_by_nobody`]). One that waits there goes
    /// on telling, and each time looks for another queue ([`Homeless`]).
    ///
    /// [`Homeless`]: super::homeless::Homeless
    pub(super) fn to_queue(&self, queue: QueueId, message: QueueMessage) {
        if self.is_queue(queue) {
            if self.queues.send(queue, message) {
                self.start_queue(queue);
            }
        } else if let QueueMessage::Said(ToQueue::At(at)) = message
            && let Some(seen) = at.heard_by_nobody(queue)
        {
            self.to_chat_if_there(at.chat, ChatMessage::Said(seen));
        }
    }

    pub(super) fn to_operator(&self, operator: UserId, message: OperatorMessage) {
        if self.operators.send(operator, message) {
            self.start_operator(operator);
        }
    }

    /// To one that is there, or is coming, going or parked.
    pub(super) fn to_operator_if_there(&self, operator: UserId, message: OperatorMessage) {
        if self.operators.send_if_there(operator, message) {
            self.start_operator(operator);
        }
    }

    /// To one that is there, or is coming or going.
    pub(super) fn to_queue_if_there(&self, queue: QueueId, message: QueueMessage) {
        if self.queues.send_if_there(queue, message) {
            self.start_queue(queue);
        }
    }

    // ---- calls of clients: bounded ----

    pub(super) fn call_chat(
        &self,
        chat: ChatId,
        call: impl FnOnce(CallPermit) -> ChatMessage,
    ) -> Result<(), Overloaded> {
        self.calls_of_chat(chat, 1, call)
    }

    /// So many calls in one message.
    pub(super) fn calls_of_chat(
        &self,
        chat: ChatId,
        number: u32,
        calls: impl FnOnce(CallPermit) -> ChatMessage,
    ) -> Result<(), Overloaded> {
        if self.chats.calls(chat, number, calls)? {
            self.start_chat(chat);
        }
        Ok(())
    }

    /// A queue that is not configured drops the call unanswered.
    pub(super) fn call_queue(
        &self,
        queue: QueueId,
        call: impl FnOnce(CallPermit) -> QueueMessage,
    ) -> Result<(), Overloaded> {
        if self.is_queue(queue) && self.queues.call(queue, call)? {
            self.start_queue(queue);
        }
        Ok(())
    }

    pub(super) fn call_operator(
        &self,
        operator: UserId,
        call: impl FnOnce(CallPermit) -> OperatorMessage,
    ) -> Result<(), Overloaded> {
        if self.operators.call(operator, call)? {
            self.start_operator(operator);
        }
        Ok(())
    }

    pub(super) fn is_queue(&self, queue: QueueId) -> bool {
        self.roster.look(|roster| roster.queues.contains_key(&queue))
    }

    /// A way into a queue, if it takes chats. In one look: whoever closes the queue after it finds
    /// the way.
    pub(super) fn way_into(&self, queue: QueueId) -> Option<Arc<Way>> {
        self.roster.look(|roster| {
            let open = roster.queues.get(&queue).is_some_and(|queue| queue.active);
            open.then(|| self.ways.to_queue(queue))
        })
    }

    /// Whether a chat waits in a queue that is not there.
    pub(super) fn is_homeless(&self, at: &ChatAt) -> bool {
        at.place.waits() && !self.is_queue(at.queue)
    }

    /// Such events of a chat are durable: those who follow the feed need not wait for it.
    pub(super) fn changed(&self, chat: ChatId, events: &[Told]) {
        for followed in self.followed.values() {
            followed.changed(chat, events.iter().map(|told| &told.recorded.event), self.now());
        }
    }

    /// The present, as those who follow the feed see it.
    pub(super) fn feed_present(&self) -> FeedPresent {
        let now = self.now();
        FeedPresent { process: self.process, runs_ms: now.since_ms(self.started_at), now }
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

    pub(super) fn start_follower(&self, consumer: &'static str) {
        if let Some(supervisors) = self.supervisors.get() {
            supervisors.start_follower(consumer);
        }
    }
}

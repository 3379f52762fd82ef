//! The one handle to the router: everything that the edge, and tests, may ask for.
//!
//! Every call has a time limit. A call whose actor fails in between is asked again, with the same
//! ids, until the limit; what cannot be answered then is `Unavailable`, and harmless to repeat.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{ActorCell, ActorStatus};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::domain::limits::RESTART_GRACE_MS;
use crate::domain::{
    ChannelId, ChatId, CustomerId, Party, QueueId, Recorded, Seq, Timestamp, UserId,
};
use crate::machine::chat::{Answer, ChatCall, Refusal, Target};
use crate::machine::index::Index;
use crate::machine::operator::{ConnectionId, OperatorAnswer, OperatorCall};
use crate::routing::Explanation;
use crate::storage::{Store, StoreError};
use crate::telemetry::{self, Gauges};

use super::chat::{ChatMessage, Reply};
use super::clock::Clock;
use super::directory::Overloaded;
use super::hub::{Connection, OUTBOX_MAX};
use super::observe;
use super::operator::OperatorMessage;
use super::queue::QueueMessage;
use super::roster::{Roster, SharedRoster};
use super::shared::Shared;
use super::supervise;
use super::view::{ChatView, OperatorView, Routed, WaitingChat};

/// Rows read at once at the start.
const SCAN_PAGE: usize = 1_000;
/// How long to wait before a call whose actor has failed is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Events read at once when the steps of a chat's routing are looked for.
const ROUTED_PAGE: usize = 1_000;
/// Latest steps that an explanation names.
pub const ROUTED_MAX: usize = 20;

/// What an installation may choose.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long a chat is idle before it goes to sleep.
    pub idle_after: Duration,
    /// How long a call may take.
    pub call_limit: Duration,
    /// Deadlines that wait for people fire no earlier than this after the start, ms.
    pub restart_grace_ms: u64,
    /// How long calls under way may take to end when the process stops; after that the actors
    /// have the times of the [`TREE`](super::tree::TREE).
    pub drain_limit: Duration,
    /// Most messages that wait for one connection; then it is closed.
    pub outbox_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            idle_after: Duration::from_secs(60),
            call_limit: Duration::from_secs(5),
            restart_grace_ms: RESTART_GRACE_MS,
            drain_limit: Duration::from_secs(5),
            outbox_max: OUTBOX_MAX,
        }
    }
}

/// Why a call has no good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The router says no, and nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many calls for the same chat or operator.
    #[error(transparent)]
    Overloaded(Overloaded),
    /// No answer in time, or the store does not answer. Repeat it with the same id.
    #[error("no answer in time; try again with the same id")]
    Unavailable,
    /// The channel takes no chats.
    #[error("the channel does not exist or takes no chats at present")]
    ChannelClosed,
    /// There is no such queue.
    #[error("there is no such queue")]
    UnknownQueue,
    /// There is no such operator.
    #[error("there is no such operator")]
    UnknownOperator,
}

impl From<Overloaded> for CallError {
    fn from(overloaded: Overloaded) -> Self {
        telemetry::overloaded();
        Self::Overloaded(overloaded)
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store did not answer");
        Self::Unavailable
    }
}

/// Why the router could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The supervision tree could not be built.
    #[error("the supervision tree did not start: {0}")]
    Tree(String),
}

/// See the module.
#[derive(Clone)]
pub struct Router {
    pub(super) shared: Arc<Shared>,
    root: ActorCell,
    ended: watch::Receiver<bool>,
    options: Options,
    stopping: Arc<watch::Sender<bool>>,
}

impl Router {
    /// Reads the open chats, starts the tree, the queues, the operators who own chats, and the
    /// chats that were moving when the former process ended.
    pub async fn start(store: Store, roster: Roster, options: Options) -> Result<Self, StartError> {
        let process = store.processes.begin().await?;
        let (index, latest) = read_index(&store).await?;
        let clock = Clock::start();
        clock.raise(latest);
        let (moving, owners) = (index.moving(), index.operators());
        let queues: Vec<QueueId> = roster.queues.keys().copied().collect();
        let roster = SharedRoster::new(roster);
        let times = (options.idle_after, options.restart_grace_ms, options.outbox_max);
        let shared = Shared::new(store, clock, process, roster, index, times);
        let (root, ended) = supervise::start(Arc::clone(&shared))
            .await
            .map_err(|error| StartError::Tree(error.to_string()))?;
        let (stopping, _) = watch::channel(false);
        let router = Self { shared, root, ended, options, stopping: Arc::new(stopping) };
        for queue in queues {
            router.start_queue(queue);
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

    // ---- chats ----

    /// A call that changes a chat. Errors with the refusal, or when there is no answer in time.
    pub async fn call_chat(&self, chat: ChatId, wanted: ChatCall) -> Result<Answer, CallError> {
        if !matches!(wanted, ChatCall::Open { .. }) {
            self.must_exist(chat).await?;
        }
        let wanted = self.with_a_target(wanted);
        let answer = self.ask_until(|reply| {
            let call = |permit| ChatMessage::Call(wanted.clone(), reply, permit);
            self.shared.call_chat(chat, call)
        });
        match answer.await? {
            Ok(answer) => Ok(answer),
            Err(Refusal::Unavailable) => Err(CallError::Unavailable),
            Err(refusal) => Err(CallError::Refused(refusal)),
        }
    }

    /// A transfer to nowhere is refused by the chat, which alone knows whether the command is a
    /// repeat of one that was carried out while its target was still there.
    fn with_a_target(&self, wanted: ChatCall) -> ChatCall {
        let ChatCall::Transfer { by, command, to } = wanted else { return wanted };
        let there = self.shared.roster.look(|roster| match to {
            Target::Queue(queue) => roster.queues.get(&queue).is_some_and(|queue| queue.active),
            Target::Operator(operator) => roster.operators.contains_key(&operator),
        });
        match there {
            true => ChatCall::Transfer { by, command, to },
            false => ChatCall::TransferNowhere { by, command, to },
        }
    }

    /// The chat as it is durable. Errors with `UnknownChat`.
    pub async fn look(&self, chat: ChatId) -> Result<ChatView, CallError> {
        self.must_exist(chat).await?;
        let look = |reply| self.shared.call_chat(chat, |permit| ChatMessage::Look(reply, permit));
        let view = self.ask_until(look).await?;
        // One about to be opened has a row and nothing else.
        if view.opened.is_none() {
            return Err(CallError::Refused(Refusal::UnknownChat));
        }
        Ok(view)
    }

    /// The customer's latest chat on the channel.
    pub async fn latest(
        &self,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<Option<ChatId>, CallError> {
        self.within(self.shared.store.conversations.latest(channel, customer)).await
    }

    /// Whether the channel ever had a chat.
    pub async fn channel_had_chats(&self, channel: ChannelId) -> Result<bool, StoreError> {
        self.shared.store.conversations.any(channel).await
    }

    /// Since when an open chat waits, or waited first; none when it is not open.
    pub fn waits_since(&self, chat: ChatId) -> Option<Timestamp> {
        self.shared.index(|index| index.get(chat).map(|row| row.since))
    }

    /// Events from a position on, at most `limit`.
    pub async fn history(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, CallError> {
        self.within(self.shared.store.log.read(chat, from.max(1), limit)).await
    }

    /// A participant has received or read the chat up to a position. Errors with `NotYours`.
    pub async fn mark(
        &self,
        chat: ChatId,
        party: Party,
        up_to: Seq,
        read: bool,
    ) -> Result<(), CallError> {
        self.must_exist(chat).await?;
        let marked = self.ask_until(|reply| {
            let mark = |permit| ChatMessage::Mark { party, up_to, read, reply, permit };
            self.shared.call_chat(chat, mark)
        });
        if marked.await? { Ok(()) } else { Err(CallError::Refused(Refusal::NotYours)) }
    }

    /// Why the chat waits, by its queue; none when it does not. And the latest steps by which
    /// it went where it went, the last first.
    pub async fn explain(
        &self,
        chat: ChatId,
    ) -> Result<(Option<Explanation>, Vec<Routed>), CallError> {
        let view = self.look(chat).await?;
        let waits =
            view.place.as_ref().is_some_and(|p| p.owner().is_none() && !p.state().is_final());
        let explanation = match view.queue {
            Some(queue) if waits => {
                self.ask_until(|reply| {
                    let explain = |permit| QueueMessage::Explain(chat, reply, permit);
                    self.shared.call_queue(queue, explain)
                })
                .await?
            }
            Some(_) | None => None,
        };
        Ok((explanation, self.routed(chat, view.tail).await?))
    }

    /// The latest steps by which the chat went where it went, the last first: read backwards, so
    /// that a long chat costs no more than a short one.
    async fn routed(&self, chat: ChatId, tail: Seq) -> Result<Vec<Routed>, CallError> {
        let (mut routed, mut end) = (Vec::new(), tail);
        while end > 0 && routed.len() < ROUTED_MAX {
            let first = end.saturating_sub(ROUTED_PAGE as u64 - 1).max(1);
            let page = self.history(chat, first, (end - first + 1) as usize).await?;
            let steps = page.iter().rev().filter_map(Routed::of);
            routed.extend(steps.take(ROUTED_MAX - routed.len()));
            end = first - 1;
        }
        Ok(routed)
    }

    // ---- queues and operators ----

    /// The first `limit` chats of a queue's line. Errors with `UnknownQueue`.
    pub async fn line(&self, queue: QueueId, limit: usize) -> Result<Vec<WaitingChat>, CallError> {
        if !self.shared.roster.look(|roster| roster.queues.contains_key(&queue)) {
            return Err(CallError::UnknownQueue);
        }
        self.ask_until(|reply| {
            let line = |permit| QueueMessage::Line { limit, reply, permit };
            self.shared.call_queue(queue, line)
        })
        .await
    }

    /// A call of an operator's client.
    pub async fn call_operator(
        &self,
        operator: UserId,
        wanted: OperatorCall,
    ) -> Result<OperatorAnswer, CallError> {
        if let OperatorCall::Accept { chat, .. }
        | OperatorCall::Decline { chat, .. }
        | OperatorCall::Take { chat, .. }
        | OperatorCall::Shown { chat, .. } = &wanted
        {
            self.must_exist(*chat).await?;
        }
        let answer = self.ask_until(|reply| {
            let call = |permit| OperatorMessage::Call(wanted.clone(), reply, permit);
            self.shared.call_operator(operator, call)
        });
        match answer.await? {
            Ok(answer) => Ok(answer),
            Err(Refusal::Unavailable) => Err(CallError::Unavailable),
            Err(refusal) => Err(CallError::Refused(refusal)),
        }
    }

    /// The operator as it is. `Unavailable` while its slots are being counted after a restart.
    /// Errors with `UnknownOperator`.
    pub async fn operator(&self, operator: UserId) -> Result<OperatorView, CallError> {
        if !self.shared.roster.look(|roster| roster.operators.contains_key(&operator)) {
            return Err(CallError::UnknownOperator);
        }
        let view = self.ask_until(|reply| {
            let look = |permit| OperatorMessage::Look(reply, permit);
            self.shared.call_operator(operator, look)
        });
        view.await?.ok_or(CallError::Unavailable)
    }

    /// The operator as it is, if its actor runs; none otherwise, or while its slots are counted.
    pub async fn known_operator(&self, operator: UserId) -> Option<OperatorView> {
        if !self.shared.operators.contains(operator) {
            return None;
        }
        self.operator(operator).await.ok()
    }

    /// Whether open chats are in the queue, or were in it last.
    pub fn queue_in_use(&self, queue: QueueId) -> bool {
        self.shared.index(|index| index.rows().any(|row| row.queue == queue))
    }

    // ---- connections ----

    /// Registers a connection: from now on it is sent what concerns the party. Read what came
    /// before after this, and drop doubles by position.
    pub fn connect(&self, party: Party) -> Connection {
        let connection = self.shared.hub.connect(party);
        if let Party::User(operator) = party {
            self.shared.to_operator(operator, OperatorMessage::Connected(connection.id));
        }
        connection
    }

    /// The connection has ended.
    pub fn disconnect(&self, party: Party, connection: ConnectionId) {
        self.shared.hub.disconnect(party, connection);
        if let Party::User(operator) = party {
            let gone = OperatorMessage::Disconnected(connection);
            self.shared.operators.send_if_there(operator, gone);
        }
    }

    /// The client's own code has answered a probe.
    pub fn probe_answered(&self, operator: UserId, connection: ConnectionId, probe: u64) {
        let answered = OperatorMessage::ProbeAnswered(connection, probe);
        self.shared.operators.send_if_there(operator, answered);
    }

    // ---- what can be seen from outside ----

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
        self.shared.index(|index| (index.rows().count(), index.moving().len()))
    }

    // ---- for tests of supervision ----

    /// Makes a chat's actor panic, if it runs.
    #[doc(hidden)]
    pub fn crash_chat(&self, chat: ChatId) {
        self.shared.chats.send_if_there(chat, ChatMessage::Crash);
    }

    /// Makes a queue's actor panic, if it runs.
    #[doc(hidden)]
    pub fn crash_queue(&self, queue: QueueId) {
        self.shared.queues.send_if_there(queue, QueueMessage::Crash);
    }

    /// Makes an operator's actor panic, if it runs.
    #[doc(hidden)]
    pub fn crash_operator(&self, operator: UserId) {
        self.shared.operators.send_if_there(operator, OperatorMessage::Crash);
    }

    /// Makes a supervisor fail, by its name in the tree.
    #[doc(hidden)]
    pub fn crash_supervisor(&self, name: &str) {
        if let Some(supervisors) = self.shared.supervisors.get() {
            supervisors.crash(name);
        }
    }

    // ---- shared ----

    pub(super) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// A new chat's id: sorts by time, needs no coordination.
    #[allow(clippy::disallowed_methods, reason = "ids are made here and nowhere below")]
    pub(super) fn new_chat() -> ChatId {
        ChatId(uuid::Uuid::now_v7())
    }

    pub(super) fn queue_of(&self, channel: ChannelId) -> Result<QueueId, CallError> {
        let queue = self.shared.roster.look(|roster| roster.channels.get(&channel).copied());
        queue.ok_or(CallError::ChannelClosed)
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

    /// What the store answers, within the limit of a call.
    pub(super) async fn within<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, CallError> {
        let answer = timeout(self.options.call_limit, asked).await;
        Ok(answer.map_err(|_| CallError::Unavailable)??)
    }

    /// A chat that nobody ever opened gets no actor: anybody may ask for any id.
    async fn must_exist(&self, chat: ChatId) -> Result<(), CallError> {
        let known = self.shared.index(|index| index.get(chat).is_some());
        if known || !self.history(chat, 1, 1).await?.is_empty() {
            return Ok(());
        }
        Err(CallError::Refused(Refusal::UnknownChat))
    }

    /// Asks, and asks again when the life that was asked ends without an answer.
    async fn ask_until<T>(
        &self,
        ask: impl Fn(Reply<T>) -> Result<(), Overloaded>,
    ) -> Result<T, CallError> {
        if *self.stopping.borrow() {
            return Err(CallError::Unavailable);
        }
        let until = Instant::now() + self.options.call_limit;
        loop {
            let (reply, answer) = oneshot::channel();
            ask(reply)?;
            match timeout_at(until, answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(_)) => {
                    if timeout(until - Instant::now(), sleep(AGAIN_AFTER)).await.is_err() {
                        return Err(CallError::Unavailable);
                    }
                }
                Err(_) => return Err(CallError::Unavailable),
            }
        }
    }
}

/// The open chats as the former process left them, and the latest time that they name.
async fn read_index(store: &Store) -> Result<(Index, Timestamp), StoreError> {
    let (mut index, mut latest, mut after) = (Index::new(), Timestamp::default(), None);
    loop {
        let page = store.open_chats.scan(after, SCAN_PAGE).await?;
        let Some(last) = page.last() else { return Ok((index, latest)) };
        after = Some(last.chat);
        for row in page {
            latest = latest.max(row.since);
            latest = row.refused_by.values().copied().fold(latest, Timestamp::max);
            index.load(row);
        }
    }
}

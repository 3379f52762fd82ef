//! The one handle to the router: everything that the edge, and tests, may ask for.
//!
//! Every call has a time limit. A call whose actor fails in between is asked again, with the same
//! ids, until the limit; what cannot be answered then is `Unavailable`, and harmless to repeat.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::ActorCell;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::domain::event::Decision;
use crate::domain::limits::RESTART_GRACE_MS;
use crate::domain::{
    ChannelId, ChatEvent, ChatId, CustomerId, Party, Queue, QueueId, Recorded, RoutingSettings,
    Seq, Timestamp, UserId,
};
use crate::machine::chat::{Answer, ChatCall, Refusal};
use crate::machine::index::Index;
use crate::machine::operator::{ConnectionId, OperatorAnswer, OperatorCall};
use crate::routing::Explanation;
use crate::storage::{Store, StoreError};

use super::chat::{ChatMessage, Reply};
use super::clock::Clock;
use super::directory::Overloaded;
use super::hub::{Connection, OUTBOX_MAX};
use super::operator::OperatorMessage;
use super::queue::QueueMessage;
use super::roster::{OperatorSettings, Roster, SharedRoster};
use super::shared::Shared;
use super::tree;
use super::view::{ChatView, OperatorView, WaitingChat};

/// Rows read at once at the start.
const SCAN_PAGE: usize = 1_000;
/// How long to wait before a call whose actor has failed is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Events read at once when decisions are looked for.
const DECISIONS_PAGE: usize = 1_000;
/// Latest decisions that an explanation names.
pub const DECISIONS_MAX: usize = 20;

/// What an installation may choose.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long a chat is idle before it goes to sleep.
    pub idle_after: Duration,
    /// How long a call may take.
    pub call_limit: Duration,
    /// Deadlines that wait for people fire no earlier than this after the start, ms.
    pub restart_grace_ms: u64,
    /// How long calls under way may take to end when the process stops.
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
    Overloaded(#[from] Overloaded),
    /// No answer in time, or the store does not answer. Repeat it with the same id.
    #[error("no answer in time; try again with the same id")]
    Unavailable,
    /// The channel takes no chats.
    #[error("the channel does not exist or takes no chats at present")]
    ChannelClosed,
    /// There is no such queue.
    #[error("there is no such queue")]
    UnknownQueue,
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
    shared: Arc<Shared>,
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
        let clock = Clock::start().raised_to(latest);
        let (moving, owners) = (index.moving(), index.operators());
        let queues: Vec<QueueId> = roster.queues.keys().copied().collect();
        let roster = SharedRoster::new(roster);
        let times = (options.idle_after, options.restart_grace_ms, options.outbox_max);
        let shared = Shared::new(store, clock, process, roster, index, times);
        let (root, ended) = tree::start(Arc::clone(&shared))
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
        let _ = self.root.stop_children_and_wait(None, Some(self.options.drain_limit)).await;
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
        let answer = self.ask_until(|reply| {
            let permit = self.shared.chats.permit(chat)?;
            self.shared.to_chat(chat, ChatMessage::Call(wanted.clone(), reply, permit));
            Ok(())
        });
        match answer.await? {
            Ok(answer) => Ok(answer),
            Err(Refusal::Unavailable) => Err(CallError::Unavailable),
            Err(refusal) => Err(CallError::Refused(refusal)),
        }
    }

    /// The chat as it is durable. Errors with `UnknownChat`.
    pub async fn look(&self, chat: ChatId) -> Result<ChatView, CallError> {
        self.must_exist(chat).await?;
        self.ask_until(|reply| {
            let permit = self.shared.chats.permit(chat)?;
            self.shared.to_chat(chat, ChatMessage::Look(reply, permit));
            Ok(())
        })
        .await
    }

    /// The customer's latest chat on the channel.
    pub async fn latest(
        &self,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<Option<ChatId>, CallError> {
        Ok(self.shared.store.conversations.latest(channel, customer).await?)
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
        Ok(self.shared.store.log.read(chat, from.max(1), limit).await?)
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
            let permit = self.shared.chats.permit(chat)?;
            self.shared.to_chat(chat, ChatMessage::Mark { party, up_to, read, reply, permit });
            Ok(())
        });
        if marked.await? { Ok(()) } else { Err(CallError::Refused(Refusal::NotYours)) }
    }

    /// Why the chat waits, by its queue; none when it does not. And the latest decisions about it,
    /// the last first.
    pub async fn explain(
        &self,
        chat: ChatId,
    ) -> Result<(Option<Explanation>, Vec<(Timestamp, Decision)>), CallError> {
        let view = self.look(chat).await?;
        let waits =
            view.place.as_ref().is_some_and(|p| p.owner().is_none() && !p.state().is_final());
        let explanation = match view.queue {
            Some(queue) if waits => {
                self.ask_until(|reply| {
                    self.shared.to_queue(queue, QueueMessage::Explain(chat, reply));
                    Ok(())
                })
                .await?
            }
            Some(_) | None => None,
        };
        Ok((explanation, self.decisions(chat).await?))
    }

    async fn decisions(&self, chat: ChatId) -> Result<Vec<(Timestamp, Decision)>, CallError> {
        let (mut decisions, mut from) = (Vec::new(), 1);
        loop {
            let page = self.history(chat, from, DECISIONS_PAGE).await?;
            for recorded in &page {
                if let ChatEvent::Offered { decision, .. } = &recorded.event {
                    decisions.push((recorded.at, decision.clone()));
                }
            }
            let Some(last) = page.last() else { break };
            from = last.seq + 1;
        }
        decisions.reverse();
        decisions.truncate(DECISIONS_MAX);
        Ok(decisions)
    }

    // ---- queues and operators ----

    /// The first `limit` chats of a queue's line. Errors with `UnknownQueue`.
    pub async fn line(&self, queue: QueueId, limit: usize) -> Result<Vec<WaitingChat>, CallError> {
        if !self.shared.roster.look(|roster| roster.queues.contains_key(&queue)) {
            return Err(CallError::UnknownQueue);
        }
        self.ask_until(|reply| {
            self.shared.to_queue(queue, QueueMessage::Line { limit, reply });
            Ok(())
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
            let permit = self.shared.operators.permit(operator)?;
            let call = OperatorMessage::Call(wanted.clone(), reply, permit);
            self.shared.to_operator(operator, call);
            Ok(())
        });
        match answer.await? {
            Ok(answer) => Ok(answer),
            Err(Refusal::Unavailable) => Err(CallError::Unavailable),
            Err(refusal) => Err(CallError::Refused(refusal)),
        }
    }

    /// The operator as it is. `Unavailable` while its slots are being counted after a restart.
    pub async fn operator(&self, operator: UserId) -> Result<OperatorView, CallError> {
        let view = self.ask_until(|reply| {
            let permit = self.shared.operators.permit(operator)?;
            self.shared.to_operator(operator, OperatorMessage::Look(reply, permit));
            Ok(())
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
            self.shared.operators.send_if_running(operator, gone);
        }
    }

    /// The client's own code has answered a probe.
    pub fn probe_answered(&self, operator: UserId, connection: ConnectionId, probe: u64) {
        let answered = OperatorMessage::ProbeAnswered(connection, probe);
        self.shared.operators.send_if_running(operator, answered);
    }

    // ---- configuration ----

    /// Adds or changes a queue; in force at once, and nobody loses a place in line.
    pub fn set_queue(&self, queue: Queue) {
        let (id, mut affected) = (queue.id, queue.members.clone());
        let (known, all) = self.shared.roster.change(|roster| {
            let former = roster.queues.insert(id, queue.clone());
            affected.extend(former.iter().flat_map(|former| former.members.iter().copied()));
            // An owner's absence is limited by the queue, whether or not it is a member.
            let limit = |queue: &Queue| queue.absent_owner_limit_ms;
            (former.is_some(), former.as_ref().map(limit) != Some(limit(&queue)))
        });
        if known {
            let configure = QueueMessage::Configure(Box::new(queue));
            self.shared.to_queue(id, configure);
        } else {
            self.start_queue(id);
        }
        if all {
            affected.extend(self.shared.operators.keys());
        }
        self.tell_operators(&affected);
    }

    /// Forgets a queue that has no chats and to which nothing leads.
    pub fn remove_queue(&self, queue: QueueId) {
        let former = self.shared.roster.change(|roster| roster.queues.remove(&queue));
        if let Some(former) = former {
            self.tell_operators(&former.members);
        }
    }

    /// Adds or changes an operator; in force at once.
    pub fn set_operator(&self, operator: UserId, settings: OperatorSettings) {
        self.shared.roster.change(|roster| roster.operators.insert(operator, settings));
        self.tell_operators(&BTreeSet::from([operator]));
    }

    /// The queue of a channel that takes chats; none for one that does not.
    pub fn set_channel(&self, channel: ChannelId, queue: Option<QueueId>) {
        self.shared.roster.change(|roster| match queue {
            Some(queue) => roster.channels.insert(channel, queue),
            None => roster.channels.remove(&channel),
        });
    }

    /// Changes what holds for all queues; in force at once.
    pub fn set_settings(&self, settings: RoutingSettings) {
        let queues: Vec<QueueId> = self.shared.roster.change(|roster| {
            roster.settings = settings;
            roster.queues.keys().copied().collect()
        });
        for queue in queues {
            self.shared.to_queue(queue, QueueMessage::Settings(settings));
        }
        self.tell_operators(&self.shared.operators.keys().into_iter().collect());
    }

    fn tell_operators(&self, operators: &BTreeSet<UserId>) {
        for operator in operators {
            let account = self.shared.roster.look(|roster| roster.account(*operator));
            let changed = OperatorMessage::Account(Box::new(account));
            self.shared.operators.send_if_running(*operator, changed);
        }
    }

    // ---- what can be seen from outside ----

    /// How many there are of a kind of the [`tree`](tree::TREE).
    pub fn count(&self, name: &str) -> usize {
        match name {
            "chat" => self.shared.chats.len(),
            "queue" => self.shared.queues.len(),
            "operator" => self.shared.operators.len(),
            "chats" => tree::CHAT_SHARDS,
            _ => 1,
        }
    }

    /// Calls that wait for an answer.
    pub fn under_way(&self) -> usize {
        self.shared.chats.calls_under_way() + self.shared.operators.calls_under_way()
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
        self.shared.chats.send_if_running(chat, ChatMessage::Crash);
    }

    /// Makes a queue's actor panic, if it runs.
    #[doc(hidden)]
    pub fn crash_queue(&self, queue: QueueId) {
        self.shared.queues.send_if_running(queue, QueueMessage::Crash);
    }

    /// Makes an operator's actor panic, if it runs.
    #[doc(hidden)]
    pub fn crash_operator(&self, operator: UserId) {
        self.shared.operators.send_if_running(operator, OperatorMessage::Crash);
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

    fn start_queue(&self, queue: QueueId) {
        if self.shared.queues.reserve(queue)
            && let Some(supervisors) = self.shared.supervisors.get()
        {
            supervisors.start_queue(queue);
        }
    }

    fn start_operator(&self, operator: UserId) {
        if self.shared.operators.reserve(operator)
            && let Some(supervisors) = self.shared.supervisors.get()
        {
            supervisors.start_operator(operator);
        }
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
        ask: impl Fn(Reply<T>) -> Result<(), CallError>,
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
            index.load(row);
        }
    }
}

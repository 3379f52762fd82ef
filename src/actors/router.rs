//! The one handle to the router: everything that the edge, and tests, may ask for.
//!
//! Every call has a time limit. A call whose actor fails in between is asked again, with the same
//! ids, until the limit; what cannot be answered then is `Unavailable`, and harmless to repeat.

use std::sync::Arc;

use ractor::ActorCell;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::domain::{
    Audience, ChannelId, ChatId, Customer, Name, Person, QueueId, Recorded, Seq, Timestamp, UserId,
};
use crate::machine::chat::{Answer, ChatCall, Refusal, Target};
use crate::machine::operator::{ConnectionId, OperatorAnswer, OperatorCall};
use crate::routing::{Explanation, Turn};
use crate::storage::{OpenChat, Store, StoreError};
use crate::telemetry;

use super::charges::TooMany;
use super::directory::Overloaded;
use super::hub::Connection;
use super::limits::{AGAIN_AFTER, ROUTED_MAX, ROUTED_PAGE};
use super::message::{ChatCalls, ChatMessage, OperatorMessage, QueueMessage, Reply};
use super::options::Options;
use super::roster::Roster;
use super::shared::Shared;
use super::view::{ChatView, HistoryPage, LinePage, OperatorView, Routed};
use super::ways::Way;

/// Why a call has no good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The router says no, and nothing has changed.
    #[error(transparent)]
    Refused(Refusal),
    /// Too many calls for the same chat or operator.
    #[error(transparent)]
    Overloaded(Overloaded),
    /// The customer, or its address, opens too many chats. Nothing was opened.
    #[error(transparent)]
    TooManyOpenings(TooMany),
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

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unavailable => Self::Unavailable,
            refusal => Self::Refused(refusal),
        }
    }
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

/// See the module.
#[derive(Clone)]
pub struct Router {
    pub(super) shared: Arc<Shared>,
    pub(super) root: ActorCell,
    pub(super) ended: watch::Receiver<bool>,
    pub(super) options: Options,
    pub(super) stopping: Arc<watch::Sender<bool>>,
}

impl Router {
    // ---- chats ----

    /// A call that changes a chat. Errors with the refusal, or when there is no answer in time.
    pub async fn call_chat(&self, chat: ChatId, wanted: ChatCall) -> Result<Answer, CallError> {
        if !matches!(wanted, ChatCall::Open { .. }) {
            self.must_exist(chat).await?;
        }
        let (wanted, way) = self.with_a_way(chat, wanted).await?;
        let answers = self.ask_chat(chat, &[wanted], way).await?;
        let answer = answers.into_iter().next().unwrap_or(Err(Refusal::Unavailable));
        answer.map_err(CallError::from)
    }

    /// Has calls carried out one behind the other, and answers each; `Unavailable` for one means so for all
    /// behind it. Errors when none is answered in time.
    pub(super) async fn ask_chat(
        &self,
        chat: ChatId,
        wanted: &[ChatCall],
        way: Option<Arc<Way>>,
    ) -> Result<Vec<Result<Answer, Refusal>>, CallError> {
        self.ask_until(|reply| {
            let (wanted, way) = (wanted.to_vec(), way.clone());
            let number = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
            self.shared.calls_of_chat(chat, number, |permit| {
                ChatMessage::Calls(ChatCalls { wanted, reply, permit, way })
            })
        })
        .await
    }

    /// The call, and the way that it goes if it leads into a queue. A transfer to nowhere is refused
    /// by the chat, which alone knows whether the command is a repeat of one that was carried out
    /// while its target was still there; so does an opened chat know that it was opened.
    async fn with_a_way(
        &self,
        chat: ChatId,
        wanted: ChatCall,
    ) -> Result<(ChatCall, Option<Arc<Way>>), CallError> {
        let into = match &wanted {
            ChatCall::Transfer { to: Target::Queue(queue), .. } | ChatCall::Open { queue, .. } => {
                *queue
            }
            ChatCall::Transfer { to: Target::Operator(operator), .. } => {
                let known = |roster: &Roster| roster.operators.get(operator).copied();
                let there = self.shared.roster.look(known).is_some_and(|known| known.active);
                return Ok((if there { wanted } else { to_nowhere(wanted) }, None));
            }
            ChatCall::Send { .. }
            | ChatCall::UpdateCustomer { .. }
            | ChatCall::Continue { .. }
            | ChatCall::End { .. }
            | ChatCall::Begin { .. }
            | ChatCall::TransferNowhere { .. } => return Ok((wanted, None)),
        };
        match self.shared.way_into(into) {
            Some(way) => Ok((wanted, Some(way))),
            // The log, not the index: a row may be all that there is of it.
            None if !matches!(wanted, ChatCall::Open { .. }) => Ok((to_nowhere(wanted), None)),
            None if self.log(chat, 1, 1).await?.is_empty() => Err(CallError::ChannelClosed),
            None => Ok((wanted, None)),
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

    /// The customer's latest chat.
    pub async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, CallError> {
        self.within(self.shared.store.conversations.latest(customer)).await
    }

    /// Since when an open chat waits, or waited first; none when it is not open.
    pub fn waits_since(&self, chat: ChatId) -> Option<Timestamp> {
        let opened = |row: &&OpenChat| row.place.is_some();
        self.shared.index(chat, |index| index.get(chat).filter(opened).map(|row| row.since))
    }

    /// What the customer of an open chat is called, if its site says so and the chat was awake since
    /// the start, as every chat that is offered was.
    pub fn customer_name(&self, chat: ChatId) -> Option<Name> {
        self.shared.index(chat, |index| index.customer_name(chat).cloned())
    }

    /// What an audience may see of the events from a position on, of which at most `limit` are read.
    pub async fn history(
        &self,
        chat: ChatId,
        to: Audience,
        from: Seq,
        limit: usize,
    ) -> Result<HistoryPage, CallError> {
        let read = self.log(chat, from, limit).await?;
        let last = read.last().map(|last| last.seq);
        let shown = read.into_iter().filter_map(|recorded| to.show(Arc::new(recorded)));
        Ok(HistoryPage { shown: shown.collect(), last })
    }

    /// Events from a position on, at most `limit`; not to be shown to anybody as they are.
    pub(super) async fn log(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, CallError> {
        self.within(self.shared.store.log.read(chat, from.max(1), limit)).await
    }

    /// A participant has received or read the chat up to a position. Durable when it answers, which
    /// is within about [`WATERMARKS_EVERY_MS`](super::limits::WATERMARKS_EVERY_MS). Errors with
    /// `NotYours`.
    pub async fn raise_watermark(
        &self,
        chat: ChatId,
        person: Person,
        up_to: Seq,
        read: bool,
    ) -> Result<(), CallError> {
        self.must_exist(chat).await?;
        let raised = self.ask_until(|reply| {
            let message =
                |permit| ChatMessage::RaiseWatermark { person, up_to, read, reply, permit };
            self.shared.call_chat(chat, message)
        });
        raised.await?.map_err(CallError::from)
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
            Some(queue) if waits && !self.shared.is_queue(queue) => {
                self.waits_since(chat).map(|since| Explanation::without_queue(chat, queue, since))
            }
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
            let page = self.log(chat, first, (end - first + 1) as usize).await?;
            let steps = page.iter().rev().filter_map(Routed::of);
            routed.extend(steps.take(ROUTED_MAX - routed.len()));
            end = first - 1;
        }
        Ok(routed)
    }

    // ---- queues and operators ----

    /// The first `limit` chats of a queue's line behind `after`. Errors with `UnknownQueue`.
    pub async fn line(
        &self,
        queue: QueueId,
        after: Option<Turn>,
        limit: usize,
    ) -> Result<LinePage, CallError> {
        if !self.shared.roster.look(|roster| roster.queues.contains_key(&queue)) {
            return Err(CallError::UnknownQueue);
        }
        self.ask_until(|reply| {
            let line = |permit| QueueMessage::Line { after, limit, reply, permit };
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
        answer.await?.map_err(CallError::from)
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

    /// The operator as it is, if its life has begun, which the look wakes if it is parked; none otherwise, or while
    /// its slots are counted.
    pub async fn known_operator(&self, operator: UserId) -> Option<OperatorView> {
        if !self.shared.operators.contains(operator) {
            return None;
        }
        self.operator(operator).await.ok()
    }

    /// Closes a queue that is inactive in this version of its configuration: from now on nothing
    /// begins that leads into it. Answers whether open chats are in it, were in it last, or are on
    /// their way; one that is not may be removed.
    pub fn retire_queue(&self, queue: QueueId, version: u64) -> bool {
        let closed = self.shared.roster.change(|roster| match roster.queues.get_mut(&queue) {
            Some(known) if known.version > version => false,
            Some(known) => {
                (known.active, known.version) = (false, version);
                true
            }
            None => true,
        });
        !closed || self.queue_has_chats(queue)
    }

    /// Whether open chats are in the queue, were in it last, or are on their way.
    pub fn queue_has_chats(&self, queue: QueueId) -> bool {
        // On their way first: they may arrive in between.
        self.shared.ways.lead_into(queue)
            || self.shared.indexes(|index| index.is_in_use(queue)).any(|is_used| is_used)
    }

    /// Closes an inactive channel: from now on nobody comes through it. Answers whether somebody did,
    /// or is about to.
    pub async fn retire_channel(&self, channel: ChannelId) -> Result<bool, StoreError> {
        self.set_channel(channel, None);
        self.channel_had_chats(channel).await
    }

    /// Whether somebody came through the channel, or is about to.
    pub async fn channel_had_chats(&self, channel: ChannelId) -> Result<bool, StoreError> {
        if self.shared.ways.lead_through(channel) {
            return Ok(true);
        }
        self.shared.store.conversations.any(channel).await
    }

    // ---- connections ----

    /// Registers a connection: from now on it is sent what concerns the person. Read what came
    /// before after this, and drop doubles by position.
    pub fn connect(&self, person: Person) -> Connection {
        let connection = self.shared.hub.connect(person);
        if let Person::User(operator) = person {
            self.shared.to_operator(operator, OperatorMessage::Connected(connection.id));
        }
        connection
    }

    /// The connection has ended.
    pub fn disconnect(&self, person: Person, connection: ConnectionId) {
        self.shared.hub.disconnect(person, connection);
        if let Person::User(operator) = person {
            let gone = OperatorMessage::Disconnected(connection);
            self.shared.to_operator_if_there(operator, gone);
        }
    }

    /// The client's own code has answered a probe.
    pub fn probe_answered(&self, operator: UserId, connection: ConnectionId, probe: u64) {
        let answered = OperatorMessage::ProbeAnswered(connection, probe);
        self.shared.to_operator_if_there(operator, answered);
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

    /// The queue of a channel that takes chats, and the way through it.
    pub(super) fn queue_of(&self, channel: ChannelId) -> Result<(QueueId, Arc<Way>), CallError> {
        let found = self.shared.roster.look(|roster| {
            let queue = roster.channels.get(&channel).copied()?;
            Some((queue, self.shared.ways.through(channel)))
        });
        found.ok_or(CallError::ChannelClosed)
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
    pub(super) async fn must_exist(&self, chat: ChatId) -> Result<(), CallError> {
        let open = self.shared.index(chat, |index| index.get(chat).is_some());
        // An actor that is there says itself whether its chat was opened.
        if open || self.shared.chats.contains(chat) || !self.log(chat, 1, 1).await?.is_empty() {
            return Ok(());
        }
        Err(CallError::Refused(Refusal::UnknownChat))
    }

    /// Asks, and asks again when the life that was asked ends without an answer.
    pub(super) async fn ask_until<T>(
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

fn to_nowhere(wanted: ChatCall) -> ChatCall {
    match wanted {
        ChatCall::Transfer { by, command, to } => ChatCall::TransferNowhere { by, command, to },
        ChatCall::Open { .. }
        | ChatCall::Send { .. }
        | ChatCall::UpdateCustomer { .. }
        | ChatCall::Continue { .. }
        | ChatCall::End { .. }
        | ChatCall::Begin { .. }
        | ChatCall::TransferNowhere { .. } => wanted,
    }
}

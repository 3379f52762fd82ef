//! The order in which a chat does things: claim, read, then for each input look the command up in
//! the log if memory does not know it, decide, mark the row, decide again, append, apply, tell. A pure value: the actor around it carries out what it says
//! and feeds it the answers, and so does the simulation.
//!
//! Invariants: one call to the store at a time; an input comes only while [`Driver::is_idle`];
//! nothing is answered or told before its events are durable; when the outcome of an append is
//! not known, nothing is applied and the driver asks to be ended: its next life claims the chat
//! and reads what became of it.

use crate::domain::limits::{CALLS_HELD_MAX, REPEAT_MS};
use crate::domain::time::earliest;
use crate::domain::{ChatId, Place, QueueId, Reach, Recorded, Seq, Timestamp, UserId};
use crate::machine::message::{ChatAt, Peer, ToChat, ToOperator, ToQueue};
use crate::machine::{CallId, Life};
use crate::storage::{AppendError, Claim, Claimed, Moving, OpenChat, StoreError};

use super::answers::{Answer, Lookup, Recent};
use super::call::{ChatEffect, ChatInput, Context, Decided};
use super::fold::Chat;
use super::notices::{Before, Notices, Owed};
use super::refusal::Refusal;
use super::search::{Found, Search, Step};

/// Events read at once in recovery.
pub const READ_PAGE: usize = 1_000;

/// A call to the store, to be awaited before anything else is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreCall {
    /// Claims the log.
    Claim,
    /// Reads from a position on, at most [`READ_PAGE`] events.
    Read {
        /// The first position.
        from: u64,
    },
    /// Writes the first row, of a chat about to be opened.
    PutRow(OpenChat),
    /// Marks the row.
    Mark(Moving),
    /// Appends.
    Append(Claim, Vec<Recorded>),
}

/// The answer to the [`StoreCall`] under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAnswer {
    /// To `Claim`.
    Claimed(Result<Claimed, StoreError>),
    /// To `Read`.
    Page(Result<Vec<Recorded>, StoreError>),
    /// To `PutRow` and `Mark`.
    Marked(Result<(), StoreError>),
    /// To `Append`.
    Appended(Result<(), AppendError>),
}

/// What the actor has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Call the store, then feed the answer.
    Store(StoreCall),
    /// The row has changed: at once in the index in memory; in the store in order, not awaited.
    /// None: remove it.
    Row(Option<OpenChat>),
    /// A change of place may be under way: mark the row in the index in memory.
    MarkIndex(Moving),
    /// Answer a call.
    Answer(CallId, Result<Answer, Refusal>),
    /// Say something to a queue.
    ToQueue(QueueId, ToQueue),
    /// Say something to an operator.
    ToOperator(UserId, ToOperator),
    /// Events are durable: show them to whoever watches the chat.
    Publish(Vec<Recorded>),
    /// End this life; the next one finds out.
    Fail(Failure),
}

/// Why a life ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Another life has claimed the chat.
    #[error("the chat was claimed elsewhere")]
    Fenced,
    /// The outcome of a write is not known.
    #[error("the outcome of a write is unknown: {0}")]
    Unknown(String),
    /// The log could not be claimed or read.
    #[error("the log cannot be read: {0}")]
    Unreadable(StoreError),
    /// The store answered what was not asked, or the log has a gap.
    #[error("the log is not what it was: {0}")]
    Broken(String),
}

#[derive(Debug, Clone)]
enum Phase {
    Claiming,
    Reading {
        claim: Claim,
        tail: u64,
    },
    Idle {
        claim: Claim,
    },
    /// The log is asked for the input's command.
    Looking {
        claim: Claim,
        input: ChatInput,
        search: Search,
    },
    Marking {
        claim: Claim,
        input: ChatInput,
    },
    Appending {
        claim: Claim,
        events: Vec<Recorded>,
        effects: Vec<ChatEffect>,
    },
    /// The chat was forgotten: it knows of nothing, whoever asks.
    Forgotten,
    Failed,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Driver {
    chat: Chat,
    notices: Notices,
    phase: Phase,
    process: u64,
    life: Life,
    /// The row as the index has it; the outer none when it has been marked meanwhile, so that it
    /// is written anew whatever comes of the move.
    listed: Option<Option<OpenChat>>,
    /// Up to where everybody had been told when the former life went to sleep.
    rested: Option<Seq>,
    /// Calls whose answer is still to come.
    held: Vec<(CallId, crate::domain::Party, crate::domain::CommandId)>,
    /// The store refused: deadlines wait until then.
    quiet_until: Timestamp,
}

impl Driver {
    /// A new life of a chat. `listed` is its row in the index in memory, `rested` the position up to
    /// which everybody was told when the former life went to sleep; none after a failure, or in a
    /// new process. Begins with a claim.
    pub fn begin(
        chat: ChatId,
        process: u64,
        life: Life,
        listed: Option<OpenChat>,
        rested: Option<Seq>,
    ) -> (Self, Vec<Action>) {
        let driver = Self {
            chat: Chat::new(chat),
            notices: Notices::new(),
            phase: Phase::Claiming,
            process,
            life,
            listed: Some(listed),
            rested,
            held: Vec::new(),
            quiet_until: Timestamp::default(),
        };
        (driver, vec![Action::Store(StoreCall::Claim)])
    }

    /// Keeps fewer answers in memory, or more; to be said at the beginning.
    pub fn remembering(mut self, recent: Recent) -> Self {
        self.chat = Chat::remembering(self.chat.id(), recent);
        self
    }

    /// The chat as it is durable.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// Whether it can take an input.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle { .. } | Phase::Forgotten)
    }

    /// Whether nothing would be lost if it were let go: nobody waits for a word or an answer.
    pub fn can_rest(&self) -> bool {
        self.is_idle() && self.notices.is_empty() && self.held.is_empty()
    }

    /// When to feed a [`ChatInput::Tick`].
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let own = self.chat.next_deadline().map(|at| at.max(self.quiet_until));
        earliest(own, self.notices.next())
    }

    /// Drops all that is known of the chat, since it is to be forgotten. None: it is open, or
    /// somebody has not heard of its end yet.
    pub fn let_go(&mut self) -> Option<Vec<Action>> {
        let open = self.chat.place().is_some_and(|place| !place.state().is_final());
        if open || !self.can_rest() {
            return None;
        }
        self.chat = Chat::new(self.chat.id());
        self.phase = Phase::Forgotten;
        self.listed = Some(None);
        Some(vec![Action::Row(None)])
    }

    /// Takes an input; only while idle.
    pub fn input(&mut self, now: Timestamp, input: ChatInput) -> Vec<Action> {
        if let Phase::Forgotten = self.phase {
            let unknown = |call| Action::Answer(call, Err(Refusal::UnknownChat));
            return call_of(&input).map(unknown).into_iter().collect();
        }
        let Phase::Idle { claim } = self.phase else {
            return self.fail(Failure::Broken("an input came while the store was busy".into()));
        };
        let mut actions = Vec::new();
        if let ChatInput::Said(ToChat::Seen { peer, placement, version }) = &input {
            self.notices.seen(*peer, (*placement, *version), &self.chat, now);
            self.tell_due(now, &mut actions);
        }
        if input == ChatInput::Tick {
            self.tell_due(now, &mut actions);
            if now < self.quiet_until {
                return actions;
            }
        }
        if let Some((search, from)) = self.chat.search(&input) {
            self.phase = Phase::Looking { claim, input, search };
            actions.push(Action::Store(StoreCall::Read { from }));
            return actions;
        }
        self.decide(now, claim, input, None, &mut actions);
        actions
    }

    fn decide(
        &mut self,
        now: Timestamp,
        claim: Claim,
        input: ChatInput,
        found: Option<Found>,
        actions: &mut Vec<Action>,
    ) {
        let context = Context { found, ..self.context(now) };
        let decided = self.chat.decide(&context, &input);
        match decided.moving {
            Some(moving) => {
                let call = if self.chat.opened().is_none() {
                    let row = self.first_row(&input);
                    self.listed = Some(Some(row.clone()));
                    StoreCall::PutRow(row)
                } else {
                    self.listed = None;
                    actions.push(Action::MarkIndex(moving));
                    StoreCall::Mark(moving)
                };
                actions.push(Action::Store(call));
                self.phase = Phase::Marking { claim, input };
            }
            None => self.commit(now, claim, decided, actions),
        }
    }

    /// A page of the log in which the input's command may stand.
    fn looked(
        &mut self,
        now: Timestamp,
        claim: Claim,
        input: ChatInput,
        mut search: Search,
        page: Result<Vec<Recorded>, StoreError>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        match page.map(|page| search.page(&page)) {
            Ok(Step::Read(from)) => {
                self.phase = Phase::Looking { claim, input, search };
                actions.push(Action::Store(StoreCall::Read { from }));
            }
            Ok(Step::Over(found)) => self.decide(now, claim, input, found, &mut actions),
            Ok(Step::Gap(at)) => return self.fail(Failure::Broken(format!("no {at} any more"))),
            // Whoever speaks without a call says it again.
            Err(_) => {
                self.phase = Phase::Idle { claim };
                self.unavailable(now, call_of(&input), &mut actions);
            }
        }
        actions
    }

    /// Takes the answer of the store.
    pub fn stored(&mut self, now: Timestamp, answer: StoreAnswer) -> Vec<Action> {
        let phase = std::mem::replace(&mut self.phase, Phase::Failed);
        match (phase, answer) {
            (Phase::Claiming, StoreAnswer::Claimed(Ok(Claimed { claim, tail }))) => {
                self.phase = Phase::Reading { claim, tail };
                self.read_on(now)
            }
            (Phase::Reading { claim, tail }, StoreAnswer::Page(Ok(page))) => {
                self.phase = Phase::Reading { claim, tail };
                self.read(now, tail, &page)
            }
            (Phase::Claiming, StoreAnswer::Claimed(Err(StoreError::Forgotten { .. }))) => {
                self.phase = Phase::Forgotten;
                self.listed = Some(None);
                vec![Action::Row(None)]
            }
            (Phase::Claiming, StoreAnswer::Claimed(Err(error)))
            | (Phase::Reading { .. }, StoreAnswer::Page(Err(error))) => {
                self.fail(Failure::Unreadable(error))
            }
            (Phase::Looking { claim, input, search }, StoreAnswer::Page(page)) => {
                self.looked(now, claim, input, search, page)
            }
            (Phase::Marking { claim, input }, StoreAnswer::Marked(result)) => {
                self.marked(now, claim, input, result)
            }
            (Phase::Appending { claim, events, effects }, StoreAnswer::Appended(result)) => {
                self.appended(now, claim, events, effects, result)
            }
            (phase, answer) => {
                self.fail(Failure::Broken(format!("{answer:?} came while {phase:?}")))
            }
        }
    }

    fn read_on(&mut self, now: Timestamp) -> Vec<Action> {
        let Phase::Reading { claim, tail } = self.phase else {
            return Vec::new();
        };
        if self.chat.tail() < tail {
            return vec![Action::Store(StoreCall::Read { from: self.chat.tail() + 1 })];
        }
        self.phase = Phase::Idle { claim };
        if self.rested != Some(self.chat.tail()) {
            self.notices.resume(&self.chat, now);
        }
        let mut actions = Vec::new();
        self.list(&mut actions);
        actions.extend(self.input(now, ChatInput::Started));
        actions
    }

    fn read(&mut self, now: Timestamp, tail: u64, page: &[Recorded]) -> Vec<Action> {
        for recorded in page.iter().take_while(|recorded| recorded.seq <= tail) {
            if recorded.seq != self.chat.tail() + 1 {
                let (got, tail) = (recorded.seq, self.chat.tail());
                return self.fail(Failure::Broken(format!("{got} follows {tail}")));
            }
            self.chat.apply(recorded);
        }
        if page.is_empty() {
            return self.fail(Failure::Broken(format!("{} of {tail}", self.chat.tail())));
        }
        self.read_on(now)
    }

    fn marked(
        &mut self,
        now: Timestamp,
        claim: Claim,
        input: ChatInput,
        result: Result<(), StoreError>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if result.is_err() {
            self.phase = Phase::Idle { claim };
            self.unavailable(now, call_of(&input), &mut actions);
            return actions;
        }
        // Time has passed: what was valid before the mark may be void now.
        let decided = self.chat.decide(&self.context(now), &input);
        if decided.moving.is_none() {
            self.list(&mut actions);
        }
        self.commit(now, claim, decided, &mut actions);
        actions
    }

    fn commit(
        &mut self,
        now: Timestamp,
        claim: Claim,
        decided: Decided,
        actions: &mut Vec<Action>,
    ) {
        if decided.events.is_empty() {
            self.phase = Phase::Idle { claim };
            self.carry_out(now, decided.effects, actions);
            return;
        }
        // An event is never before the one in front of it, whatever the clock says.
        let at = now.max(self.chat.last_at);
        let first = self.chat.tail() + 1;
        let events: Vec<Recorded> =
            (first..).zip(decided.events).map(|(seq, event)| Recorded { seq, at, event }).collect();
        actions.push(Action::Store(StoreCall::Append(claim, events.clone())));
        self.phase = Phase::Appending { claim, events, effects: decided.effects };
    }

    fn appended(
        &mut self,
        now: Timestamp,
        claim: Claim,
        events: Vec<Recorded>,
        effects: Vec<ChatEffect>,
        result: Result<(), AppendError>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        match result {
            Ok(()) => {}
            Err(AppendError::Unavailable { .. }) => {
                self.phase = Phase::Idle { claim };
                let call = effects.iter().find_map(call_in);
                self.unavailable(now, call, &mut actions);
                return actions;
            }
            Err(AppendError::Fenced) => return self.fail(Failure::Fenced),
            Err(AppendError::Unknown { reason }) => return self.fail(Failure::Unknown(reason)),
            Err(AppendError::Conflict { tail, first }) => {
                return self.fail(Failure::Broken(format!("{first} after {tail}")));
            }
        }
        let before = Before::of(&self.chat);
        for recorded in &events {
            self.chat.apply(recorded);
        }
        self.phase = Phase::Idle { claim };
        self.list(&mut actions);
        self.notices.changed(&before, &self.chat, now);
        actions.push(Action::Publish(events));
        self.carry_out(now, effects, &mut actions);
        self.tell_due(now, &mut actions);
        actions
    }

    /// Carries out effects, after the events that they go with are durable.
    fn carry_out(&mut self, now: Timestamp, effects: Vec<ChatEffect>, actions: &mut Vec<Action>) {
        for effect in effects {
            match effect {
                ChatEffect::AnswerRecorded(call, seq) => {
                    let at = self.chat.last_at;
                    actions.push(Action::Answer(call, Ok(Answer { seq, at })));
                }
                ChatEffect::Answer(call, answer) => actions.push(Action::Answer(call, answer)),
                ChatEffect::AnswerLater(call, _, _) if self.held.len() >= CALLS_HELD_MAX => {
                    actions.push(Action::Answer(call, Err(Refusal::Unavailable)));
                }
                ChatEffect::AnswerLater(call, party, command) => {
                    self.held.push((call, party, command));
                }
                ChatEffect::ToOperator(to, said) => actions.push(Action::ToOperator(to, *said)),
                ChatEffect::Tell(peer) => {
                    actions.extend(self.chat.told_at(now).map(|at| tell(peer, at)));
                }
            }
        }
        let chat = &self.chat;
        self.held.retain(|(call, party, command)| match chat.recall(*party, command) {
            Lookup::Pending => true,
            Lookup::Known(answer) => {
                actions.push(Action::Answer(*call, answer));
                false
            }
            Lookup::New => {
                actions.push(Action::Answer(*call, Err(Refusal::Unavailable)));
                false
            }
        });
    }

    fn tell_due(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        for owed in self.notices.take_due(now) {
            match (owed, self.chat.transfer()) {
                (Owed::At(peer), _) => {
                    actions.extend(self.chat.told_at(now).map(|at| tell(peer, at)));
                }
                (Owed::Reserve(target), Some(transfer)) if transfer.to == target => {
                    let Some(queue) = self.chat.queue else {
                        continue;
                    };
                    let said = ToOperator::ReserveTransfer {
                        chat: self.chat.id(),
                        queue,
                        reservation: transfer.reservation,
                        by: transfer.by,
                        expires_at: transfer.expires_at,
                    };
                    actions.push(Action::ToOperator(target, said));
                }
                (Owed::Reserve(_), _) => {}
            }
        }
    }

    /// Nothing was written: the caller may ask again, the router's own deadlines wait a little.
    fn unavailable(&mut self, now: Timestamp, call: Option<CallId>, actions: &mut Vec<Action>) {
        self.quiet_until = now.plus_ms(REPEAT_MS.1);
        actions.extend(call.map(|call| Action::Answer(call, Err(Refusal::Unavailable))));
        self.list(actions);
    }

    /// Brings the row in the index up to date.
    fn list(&mut self, actions: &mut Vec<Action>) {
        let row = self.chat.row();
        if self.listed.as_ref() != Some(&row) {
            self.listed = Some(row.clone());
            actions.push(Action::Row(row));
        }
    }

    /// The row of a chat about to be opened: there before the log, so that no opened chat is
    /// missed by a start.
    fn first_row(&self, input: &ChatInput) -> OpenChat {
        let (queue, priority) = match input {
            ChatInput::Call(_, super::ChatCall::Open { queue, profile, .. }) => {
                (*queue, profile.priority)
            }
            ChatInput::Call(..) | ChatInput::Started | ChatInput::Said(_) | ChatInput::Tick => {
                (QueueId::from_u128(0), crate::domain::Priority::default())
            }
        };
        OpenChat {
            chat: self.chat.id(),
            queue,
            placement: 0,
            priority,
            since: Timestamp::default(),
            refused_by: std::collections::BTreeMap::new(),
            place: None::<Place>,
            next_deadline: None,
            moving: Some(Moving { to: None }),
        }
    }

    fn context(&self, now: Timestamp) -> Context {
        let directed = self.chat.offer().filter(|offer| offer.reach == Reach::Directed);
        let mut asked = directed.iter().flat_map(|offer| offer.to.iter());
        Context {
            now,
            process: self.process,
            life: self.life,
            unheard: asked.any(|operator| self.notices.owes(Peer::Operator(*operator))),
            found: None,
        }
    }

    fn fail(&mut self, failure: Failure) -> Vec<Action> {
        self.phase = Phase::Failed;
        vec![Action::Fail(failure)]
    }
}

fn tell(peer: Peer, at: ChatAt) -> Action {
    match peer {
        Peer::Queue(queue) => Action::ToQueue(queue, ToQueue::At(at)),
        Peer::Operator(operator) => Action::ToOperator(operator, ToOperator::At(at)),
    }
}

fn call_of(input: &ChatInput) -> Option<CallId> {
    match input {
        ChatInput::Call(call, _) => Some(*call),
        ChatInput::Started | ChatInput::Said(_) | ChatInput::Tick => None,
    }
}

fn call_in(effect: &ChatEffect) -> Option<CallId> {
    match effect {
        ChatEffect::AnswerRecorded(call, _)
        | ChatEffect::Answer(call, _)
        | ChatEffect::AnswerLater(call, _, _) => Some(*call),
        ChatEffect::ToOperator(..) | ChatEffect::Tell(_) => None,
    }
}

//! The order in which a chat does things: claim, read, then for each input look the command up in
//! the log if memory does not know it, decide, tell the feed once an hour, mark the row, decide again,
//! append, apply, tell. A pure
//! value: the actor around it carries out what it says and feeds it the answers, and so does the
//! simulation.
//!
//! Invariants: one call to the store at a time; an input comes only while [`Driver::is_idle`];
//! nothing is answered or told before its events are durable; when the outcome of an append is
//! not known, or the store does not answer, nothing is applied and the driver asks to be ended: its
//! next life claims the chat and reads what became of it. A chat that is not among the open ones sleeps
//! until somebody wants something of it: a look only reads, and what was read without a claim is only
//! shown. Whatever may change the chat claims it first and reads it anew.

mod append;
mod feed;
mod recover;
mod tell;

use crate::domain::time::earliest;
use crate::domain::{ChatId, QueueId, Recorded, Seq, Timestamp, UserId};
use crate::machine::index::Former;
use crate::machine::message::{ToChat, ToOperator, ToQueue};
use crate::machine::{CallId, Life};
use crate::storage::{AppendError, Claim, Claimed, FeedHour, Moving, OpenChat, StoreError};

use super::answers::{Answer, Recent};
use super::call::{ChatEffect, ChatInput};
use super::fold::Chat;
use super::names::Called;
use super::notices::Notices;
use super::people::Told;
use super::refusal::Refusal;
use super::search::{Found, Search};

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
    /// Says in the feed that the log may change in this hour.
    Touch(FeedHour),
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
    /// To `Touch`.
    Touched(Result<(), StoreError>),
    /// To `Append`.
    Appended(Result<(), AppendError>),
}

impl StoreAnswer {
    /// Why the life ends when the store did not answer: of a row nobody knows what becomes of it, while a
    /// claim, a read or a word to the feed has only not come. An append says so by itself.
    fn silence(&self) -> Option<Failure> {
        match self {
            Self::Claimed(Err(silent @ StoreError::Silent { .. }))
            | Self::Page(Err(silent @ StoreError::Silent { .. })) => {
                Some(Failure::Silent(silent.clone()))
            }
            Self::Touched(Err(silent @ StoreError::Silent { .. })) => {
                Some(Failure::Untouched(silent.clone()))
            }
            Self::Marked(Err(silent @ StoreError::Silent { .. })) => {
                Some(Failure::Unknown(silent.to_string()))
            }
            Self::Claimed(_)
            | Self::Page(_)
            | Self::Marked(_)
            | Self::Touched(_)
            | Self::Appended(_) => None,
        }
    }
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
    /// Events are durable: show each to those whom it concerns.
    Publish(Vec<Told>),
    /// The same of events that a former life appended and told nobody of: see [`Driver::untold`].
    PublishLate(Vec<Told>),
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
    /// The store did not answer a claim or a read: nothing was to be written of the chat.
    #[error("the log could not be claimed or read in time: {0}")]
    Silent(StoreError),
    /// The feed could not be told that the log changes: nothing was to be written before it was.
    #[error("the feed could not be told of the chat: {0}")]
    Untouched(StoreError),
    /// The log could not be claimed or read.
    #[error("the log cannot be read: {0}")]
    Unreadable(StoreError),
    /// The store answered what was not asked, or the log has a gap.
    #[error("the log is not what it was: {0}")]
    Broken(String),
}

impl Failure {
    /// Whether each further life would end likewise.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unreadable(error) => matches!(error, StoreError::Damaged { .. }),
            Self::Broken(_) => true,
            Self::Fenced | Self::Unknown(_) | Self::Silent(_) | Self::Untouched(_) => false,
        }
    }
}

#[derive(Debug, Clone)]
enum Phase {
    /// Nothing is known of the log, and nobody needs to know: the chat is not among the open ones.
    Asleep,
    /// The log is read without a claim, since somebody looks.
    Peeking,
    /// It was; what may change the chat claims and reads it anew.
    Peeked,
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
    /// The feed is told that the log may change; none: of what the claim may have brought to light.
    Touching {
        claim: Claim,
        hour: FeedHour,
        input: Option<(ChatInput, Option<Found>)>,
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
    /// What the chat remembers of its answers.
    recent: Recent,
    notices: Notices,
    phase: Phase,
    process: u64,
    life: Life,
    /// The row as the index has it; the outer none when it has been marked meanwhile, so that it
    /// is written anew whatever comes of the move.
    listed: Option<Option<OpenChat>>,
    /// Up to where everybody had been told when the former life went to sleep.
    rested: Option<Seq>,
    /// The hour in which the feed was told of the chat last, within this claim.
    touched: Option<FeedHour>,
    /// What woke the chat, until it is claimed and read.
    woken_by: Option<ChatInput>,
    /// Calls whose answer is still to come.
    held: Vec<(CallId, crate::domain::Party, crate::domain::CommandId)>,
    /// The store refused: deadlines wait until then.
    quiet_until: Timestamp,
    /// What those are called whom the input under way concerns.
    called: Called,
    /// The position after which a former life may have told nobody; until the log has been read.
    untold_after: Option<Seq>,
    /// What was read of it behind that.
    untold: Vec<Told>,
}

impl Driver {
    /// A new life of a chat, after what the former one left. Begins with a claim when the chat is
    /// open, or ended and somebody may not have heard of it; else asleep.
    pub fn begin(chat: ChatId, process: u64, life: Life, former: Former) -> (Self, Vec<Action>) {
        let awake = former.row.is_some() || former.ending;
        // Whether the store has heard that a chat ended, nobody knows after a failure.
        let listed = (!former.ending).then_some(former.row);
        let mut driver = Self {
            chat: Chat::new(chat),
            recent: Recent::default(),
            notices: Notices::new(),
            phase: Phase::Asleep,
            process,
            life,
            listed,
            rested: former.rested,
            touched: None,
            woken_by: None,
            held: Vec::new(),
            quiet_until: Timestamp::default(),
            called: Called::default(),
            untold_after: None,
            untold: Vec::new(),
        };
        let actions = if awake { driver.wake() } else { Vec::new() };
        (driver, actions)
    }

    /// Keeps fewer answers in memory, or more; to be said at the beginning.
    pub fn remembering(mut self, recent: Recent) -> Self {
        self.chat = Chat::remembering(self.chat.id(), recent);
        self.recent = recent;
        self
    }

    /// A former life may have told nobody of what stands behind this position: once the log is claimed
    /// and read, that is published, before anything that comes later. To be said at the beginning.
    pub fn untold(mut self, after: Option<Seq>) -> Self {
        self.untold_after = after;
        self
    }

    /// The chat as it is durable.
    pub fn chat(&self) -> &Chat {
        &self.chat
    }

    /// Whether it can take an input.
    pub fn is_idle(&self) -> bool {
        match self.phase {
            Phase::Asleep | Phase::Peeked | Phase::Idle { .. } | Phase::Forgotten => true,
            Phase::Peeking
            | Phase::Claiming
            | Phase::Reading { .. }
            | Phase::Looking { .. }
            | Phase::Marking { .. }
            | Phase::Touching { .. }
            | Phase::Appending { .. }
            | Phase::Failed => false,
        }
    }

    /// Whether this life owns the log, or is about to.
    pub fn is_claimed(&self) -> bool {
        !matches!(self.phase, Phase::Asleep | Phase::Peeking | Phase::Peeked)
    }

    /// Up to where everybody has been told; to be remembered when the chat rests. None: not known.
    pub fn told_up_to(&self) -> Option<Seq> {
        if self.is_claimed() { Some(self.chat.tail()) } else { self.rested }
    }

    /// Somebody wants to see the chat: reads the log of one that sleeps, and writes nothing.
    pub fn look(&mut self) -> Vec<Action> {
        let Phase::Asleep = self.phase else { return Vec::new() };
        self.phase = Phase::Peeking;
        vec![Action::Store(StoreCall::Read { from: 1 })]
    }

    /// Claims a chat that was not claimed yet, and forgets what was read of it without that.
    pub fn wake(&mut self) -> Vec<Action> {
        let (Phase::Asleep | Phase::Peeking | Phase::Peeked) = self.phase else {
            return Vec::new();
        };
        self.chat = Chat::remembering(self.chat.id(), self.recent);
        self.untold.clear();
        self.phase = Phase::Claiming;
        vec![Action::Store(StoreCall::Claim)]
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

    /// What those are called whom the next input concerns ([`Chat::people_of`]); said before it.
    pub fn called(&mut self, called: Called) {
        self.called = called;
    }

    /// Takes an input; only while idle.
    pub fn input(&mut self, now: Timestamp, input: ChatInput) -> Vec<Action> {
        if let Phase::Forgotten = self.phase {
            let unknown = |call| Action::Answer(call, Err(Refusal::UnknownChat));
            return call_of(&input).map(unknown).into_iter().collect();
        }
        if let Phase::Asleep | Phase::Peeked = self.phase {
            self.woken_by = Some(input);
            return self.wake();
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

    /// Takes the answer of the store.
    pub fn stored(&mut self, now: Timestamp, answer: StoreAnswer) -> Vec<Action> {
        let mut actions = self.take(now, answer);
        if self.is_idle()
            && let Some(input) = self.woken_by.take()
        {
            actions.extend(self.input(now, input));
        }
        actions
    }

    fn take(&mut self, now: Timestamp, answer: StoreAnswer) -> Vec<Action> {
        if let Some(silent) = answer.silence() {
            return self.fail(silent);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Failed);
        match (phase, answer) {
            (Phase::Claiming, StoreAnswer::Claimed(Ok(Claimed { claim, tail }))) => {
                self.phase = Phase::Reading { claim, tail };
                self.read_on(now)
            }
            (Phase::Reading { claim, tail }, StoreAnswer::Page(Ok(page))) => {
                self.phase = Phase::Reading { claim, tail };
                self.read(now, tail, page)
            }
            (Phase::Peeking, StoreAnswer::Page(Ok(page))) => self.peek(&page),
            (Phase::Claiming, StoreAnswer::Claimed(Err(StoreError::Forgotten { .. }))) => {
                self.phase = Phase::Forgotten;
                self.listed = Some(None);
                vec![Action::Row(None)]
            }
            (Phase::Claiming, StoreAnswer::Claimed(Err(error)))
            | (Phase::Reading { .. } | Phase::Peeking, StoreAnswer::Page(Err(error))) => {
                self.fail(Failure::Unreadable(error))
            }
            (Phase::Looking { claim, input, search }, StoreAnswer::Page(page)) => {
                self.looked(now, claim, input, search, page)
            }
            (Phase::Marking { claim, input }, StoreAnswer::Marked(result)) => {
                self.marked(now, claim, input, result)
            }
            (Phase::Touching { claim, hour, input }, StoreAnswer::Touched(result)) => {
                self.told_the_feed(now, (claim, hour), input, result)
            }
            (Phase::Appending { claim, events, effects }, StoreAnswer::Appended(result)) => {
                self.appended(now, claim, events, effects, result)
            }
            (phase, answer) => {
                self.fail(Failure::Broken(format!("{answer:?} came while {phase:?}")))
            }
        }
    }

    fn fail(&mut self, failure: Failure) -> Vec<Action> {
        self.phase = Phase::Failed;
        vec![Action::Fail(failure)]
    }
}

fn call_of(input: &ChatInput) -> Option<CallId> {
    match input {
        ChatInput::Call(call, _) => Some(*call),
        ChatInput::Started | ChatInput::Said(_) | ChatInput::Tick => None,
    }
}

//! What comes into a driver and what goes out of it.

use std::sync::Arc;

use crate::domain::{CommandId, Party, Person, Recorded, Seq};
use crate::machine::CallId;
use crate::storage::{AppendError, Claimed, FeedHour, StoreError};

use super::answers::Answer;
use super::sourced::EventSourced;

/// An input of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<A: EventSourced> {
    /// Its actor has read its log.
    Started,
    /// From a client, by way of the edge.
    Call(CallId, A::Call),
    /// From another actor.
    Said(A::Said),
    /// A deadline came.
    Tick,
}

impl<A: EventSourced> Input<A> {
    /// The call that waits for an answer to it.
    pub(super) fn call(&self) -> Option<CallId> {
        match self {
            Self::Call(call, _) => Some(*call),
            Self::Started | Self::Said(_) | Self::Tick => None,
        }
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided<A: EventSourced> {
    /// What happened, to be appended in one piece; then applied.
    pub events: Vec<A::Event>,
    /// To be carried out once the events are durable.
    pub effects: Vec<Effect<A>>,
    /// What has to be written down elsewhere before the events are appended, or with them.
    pub intent: Option<A::Intent>,
}

impl<A: EventSourced> Default for Decided<A> {
    fn default() -> Self {
        Self { events: Vec::new(), effects: Vec::new(), intent: None }
    }
}

/// An effect, besides events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<A: EventSourced> {
    /// Answers a call with the event at this position, now durable.
    AnswerRecorded(CallId, Seq),
    /// Answers a call.
    Answer(CallId, Result<Answer, A::Refusal>),
    /// Answers the call as soon as the command's answer is known; the command is pending.
    AnswerLater(CallId, Party, CommandId),
    /// What only this aggregate does.
    Own(A::Effect),
}

/// A call to the store, to be awaited before anything else is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreCall<A: EventSourced> {
    /// Claims the log.
    Claim,
    /// Reads from a position on, at most [`READ_PAGE`](super::READ_PAGE) events.
    Read {
        /// The first position.
        from: u64,
    },
    /// Says in the feed that the log may change in this hour.
    Touch(FeedHour),
    /// Writes down elsewhere what is about to be appended.
    Prepare(A::Preparation),
    /// Appends.
    Append(A::Claim, Vec<Recorded<A::Event>>),
    /// Appends, and writes with the events what stands beside them: all of it or none. Only to a store that
    /// can ([`Driver::in_one_write`](super::Driver::in_one_write)).
    AppendWith(A::Claim, Vec<Recorded<A::Event>>, Beside<A>),
}

/// What is written with events, besides them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside<A: EventSourced> {
    /// The feed is told of this hour.
    pub hour: Option<FeedHour>,
    /// What the index has of it then.
    pub rows: A::Rows,
}

impl<A: EventSourced> StoreCall<A> {
    /// The events that it appends; none when it appends nothing.
    pub fn events(&self) -> &[Recorded<A::Event>] {
        match self {
            Self::Append(_, events) | Self::AppendWith(_, events, _) => events,
            Self::Claim | Self::Read { .. } | Self::Touch(_) | Self::Prepare(_) => &[],
        }
    }
}

/// The answer to the [`StoreCall`] under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAnswer<A: EventSourced> {
    /// To `Claim`.
    Claimed(Result<Claimed<A::Claim>, StoreError>),
    /// To `Read`.
    Page(Result<Vec<Recorded<A::Event>>, StoreError>),
    /// To `Touch`.
    Touched(Result<(), StoreError>),
    /// To `Prepare`.
    Prepared(Result<(), StoreError>),
    /// To `Append` and `AppendWith`.
    Appended(Result<(), AppendError>),
}

impl<A: EventSourced> StoreAnswer<A> {
    /// Why the life ends when the store did not answer: of what was to be prepared nobody knows what becomes
    /// of it, while a claim or a read has only not come. An append says so by itself. A word to the feed ends
    /// none: it may come late or twice, and what it goes before is not asked for without it.
    pub(super) fn silence(&self) -> Option<Failure> {
        match self {
            Self::Claimed(Err(silent @ StoreError::Silent { .. }))
            | Self::Page(Err(silent @ StoreError::Silent { .. })) => {
                Some(Failure::Silent(silent.clone()))
            }
            Self::Prepared(Err(silent @ StoreError::Silent { .. })) => {
                Some(Failure::Unknown(silent.to_string()))
            }
            Self::Claimed(_)
            | Self::Page(_)
            | Self::Touched(_)
            | Self::Prepared(_)
            | Self::Appended(_) => None,
        }
    }
}

/// What the actor has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<A: EventSourced> {
    /// Call the store, then feed the answer.
    Store(StoreCall<A>),
    /// Answer a call.
    Answer(CallId, Result<Answer, A::Refusal>),
    /// Events are durable: show each to those whom it concerns.
    Publish(Vec<Told<A::Event>>),
    /// The same of events that a former life appended and told nobody of: see
    /// [`Driver::untold`](super::Driver::untold).
    PublishLate(Vec<Told<A::Event>>),
    /// What only this aggregate's actor does.
    Own(A::Action),
    /// End this life; the next one finds out.
    Fail(Failure),
}

/// Takes what an aggregate does by itself. It answers no call and publishes nothing: that is the driver's,
/// when it is durable.
#[derive(Debug)]
pub struct Outbox<'a, A: EventSourced>(pub(super) &'a mut Vec<Action<A>>);

impl<A: EventSourced> Outbox<'_, A> {
    /// To be done after what was put in before.
    pub fn push(&mut self, action: A::Action) {
        self.0.push(Action::Own(action));
    }
}

/// An event that is durable, and whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<E> {
    /// The event.
    pub recorded: Arc<Recorded<E>>,
    /// Who saw the aggregate when it happened: just before it, or just after. Whoever left with an earlier
    /// event of the same append is not among them.
    /// Each once, in the order of people.
    pub to: Vec<Person>,
}

impl<E> Told<E> {
    /// Applies an event that follows the tail, and says whom it concerns.
    pub(super) fn apply<A: EventSourced<Event = E>>(fold: &mut A, recorded: Recorded<E>) -> Self {
        let mut to = fold.seen_by();
        fold.apply(&recorded);
        to.extend(fold.seen_by());
        to.sort_unstable();
        to.dedup();
        Self { recorded: Arc::new(recorded), to }
    }
}

/// Why a life ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Another life has claimed the log.
    #[error("the log was claimed elsewhere")]
    Fenced,
    /// The outcome of a write is not known.
    #[error("the outcome of a write is unknown: {0}")]
    Unknown(String),
    /// The store did not answer a claim or a read: nothing was to be written of the log.
    #[error("the log could not be claimed or read in time: {0}")]
    Silent(StoreError),
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
            Self::Fenced | Self::Unknown(_) | Self::Silent(_) => false,
        }
    }
}

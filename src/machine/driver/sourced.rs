//! What the driver asks of an aggregate: the fold over its log, and, each only if it has one, whom it tells
//! of itself and what stands of it in an index.
//!
//! Owns: the words between the two, and `()` for who has no notices and no index. Refuses: to say in which
//! order anything is done; that is the driver's.

use std::convert::Infallible;
use std::fmt::Debug;

use crate::domain::{CommandId, EventNames, Party, Person, Recorded, Timestamp};

use super::answers::Fingerprint;
use super::journal::Journal;
use super::search::Found;
use super::words::{Decided, Input, Outbox};

/// A plain value, as all that goes in and out of a machine.
pub trait Value: Debug + Clone + PartialEq + Eq {}
impl<T: Debug + Clone + PartialEq + Eq> Value for T {}

/// What everything that has a log refuses alike.
pub trait Refuses: Value + Copy {
    /// It was forgotten, or never was.
    const UNKNOWN: Self;
    /// Nothing was written; the same call may be made again.
    const UNAVAILABLE: Self;
    /// The command's id was used for something else.
    const ID_REUSED: Self;
}

/// An aggregate whose state is the fold over its log.
///
/// Deciding reads only; [`apply`](Self::apply) is the one way it changes, live and in recovery. A life of
/// it is driven by [`Driver`](super::Driver), which alone says in which order things are done.
pub trait EventSourced: Value {
    /// The right to append to its log, as its store gives it.
    type Claim: Value + Copy;
    /// What can happen to it.
    type Event: Value;
    /// What clients ask of it.
    type Call: Value;
    /// What other actors say to it.
    type Said: Value;
    /// Why it refuses.
    type Refusal: Refuses;
    /// What it does beside answering, once its events are durable.
    type Effect: Value;
    /// What has to be written down elsewhere before its events are appended, or with them; [`Infallible`] when
    /// nothing has.
    type Intent: Value;
    /// The call to the store that writes an intent down.
    type Preparation: Value;
    /// What is written of it in an index, where the store writes that with its events; `()` when nothing.
    type Rows: Value + Default;
    /// What its actor does for it, besides what it does for all.
    type Action: Value;
    /// What it is given from without and has not in its log: numbers of the process and the life, names.
    type Given: Debug + Clone;
    /// Whom it tells of itself, until they have heard; `()` when nobody.
    type Notices: Notices<Self>;
    /// What stands of it in an index; `()` when nothing.
    type Listing: Listing<Self>;

    /// The version of the fold. Another one says that a log folds to another state than it did: what was
    /// kept of a fold of a former version, beside its log, counts for nothing then.
    const FOLD_VERSION: u16;

    /// Where its log ends, and what was answered.
    fn journal(&self) -> &Journal<Self::Refusal>;

    /// The same with an empty log.
    fn emptied(&self) -> Self;

    /// Applies an event that follows the tail.
    fn apply(&mut self, recorded: &Recorded<Self::Event>);

    /// Decides on an input, without changing anything.
    fn decide(&self, moment: &Moment<'_, Self>, input: &Input<Self>) -> Decided<Self>;

    /// By whom and under which id an input asks for something; none: nothing is answered to it, or it is
    /// refused whatever it names.
    fn asked_by<'a>(&self, input: &'a Input<Self>) -> Option<(Party, &'a CommandId)>;

    /// The command that an event carried out, or began.
    fn command_in(event: &Self::Event) -> Option<Stands<'_>>;

    /// Whether an event ends what `asked` began, and how.
    fn outcome_in(event: &Self::Event, asked: &Self::Event) -> Option<Result<(), Self::Refusal>> {
        let _ = (event, asked);
        None
    }

    /// About how much an event takes in the log, bytes; what a batch is bounded by.
    fn bytes_of(event: &Self::Event) -> usize;

    /// Who sees it at present, each once, in any order.
    fn seen_by(&self) -> Vec<Person>;

    /// What those are called who are in each of these events, which follow the present ones.
    fn names_in(&self, events: &[Self::Event], given: &Self::Given) -> Vec<EventNames>;

    /// Whether it has anything to do of itself, so that it is claimed when it is found, and never let go.
    fn is_open(&self) -> bool;

    /// When it wants to be woken though nothing happens.
    fn next_deadline(&self) -> Option<Timestamp>;

    /// Carries out an effect, by the state after its events.
    fn carry_out(&self, now: Timestamp, effect: Self::Effect, out: &mut Outbox<'_, Self>);
}

/// What is decided by, besides the state and the input.
#[derive(Debug)]
pub struct Moment<'a, A: EventSourced> {
    /// The present.
    pub now: Timestamp,
    /// What is given from without.
    pub given: &'a A::Given,
    /// Who has yet to hear.
    pub notices: &'a A::Notices,
    /// What the log says of the input's command, when memory does not know it.
    pub found: Option<Found<A::Refusal>>,
}

/// A command as it stands in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands<'a> {
    /// Whose.
    pub party: Party,
    /// Its id.
    pub command: &'a CommandId,
    /// What it said.
    pub said: Fingerprint,
    /// Whether it was only begun: its outcome stands further on, and is its answer.
    pub under_way: bool,
}

/// Those who are told of an aggregate until they have heard. Lost in a crash; then all whom it concerns are
/// told again.
pub trait Notices<A: EventSourced>: Debug + Clone + Default {
    /// What is compared with what is so after events.
    type Before;

    /// That, before they are applied.
    fn before(fold: &A) -> Self::Before;

    /// Events were applied.
    fn changed(&mut self, before: &Self::Before, fold: &A, now: Timestamp);

    /// A former life may have told nobody.
    fn resume(&mut self, fold: &A, now: Timestamp);

    /// Somebody says something; answers whether that is a word on what was heard, after which something may
    /// be due.
    fn heard(&mut self, fold: &A, said: &A::Said, now: Timestamp) -> bool;

    /// Says what is due.
    fn say_due(&mut self, fold: &A, now: Timestamp, out: &mut Outbox<'_, A>);

    /// When something is to be said again.
    fn next(&self) -> Option<Timestamp>;

    /// Whether everybody has heard everything.
    fn is_empty(&self) -> bool;
}

/// What stands of an aggregate in an index beside its log, so that a start finds it.
pub trait Listing<A: EventSourced>: Debug + Clone {
    /// Events are about to be appended that the index must not miss. Answers what is to be durable before.
    fn prepare(
        &mut self,
        fold: &A,
        input: &Input<A>,
        intent: A::Intent,
        out: &mut Outbox<'_, A>,
    ) -> A::Preparation;

    /// The same where the store writes the index with the events: nothing has to be durable before, but
    /// whoever reads the index in memory must not miss them.
    fn begin(&mut self, fold: &A, input: &Input<A>, intent: A::Intent, out: &mut Outbox<'_, A>);

    /// What the store writes with events that lead to this state.
    fn rows(&self, ahead: &A) -> A::Rows;

    /// It has written that: brings the index in memory up to date.
    fn written(&mut self, fold: &A, out: &mut Outbox<'_, A>);

    /// Brings the index up to date.
    fn list(&mut self, fold: &A, out: &mut Outbox<'_, A>);

    /// Nobody knows any more what the index has: the next time it is written, whatever it is.
    fn doubt(&mut self);
}

impl<A: EventSourced> Notices<A> for () {
    type Before = ();

    fn before(_: &A) {}

    fn changed(&mut self, (): &(), _: &A, _: Timestamp) {}

    fn resume(&mut self, _: &A, _: Timestamp) {}

    fn heard(&mut self, _: &A, _: &A::Said, _: Timestamp) -> bool {
        false
    }

    fn say_due(&mut self, _: &A, _: Timestamp, _: &mut Outbox<'_, A>) {}

    fn next(&self) -> Option<Timestamp> {
        None
    }

    fn is_empty(&self) -> bool {
        true
    }
}

impl<A: EventSourced<Intent = Infallible, Rows = ()>> Listing<A> for () {
    fn prepare(
        &mut self,
        _: &A,
        _: &Input<A>,
        intent: Infallible,
        _: &mut Outbox<'_, A>,
    ) -> A::Preparation {
        match intent {}
    }

    fn begin(&mut self, _: &A, _: &Input<A>, intent: Infallible, _: &mut Outbox<'_, A>) {
        match intent {}
    }

    fn rows(&self, _: &A) {}

    fn written(&mut self, _: &A, _: &mut Outbox<'_, A>) {}

    fn list(&mut self, _: &A, _: &mut Outbox<'_, A>) {}

    fn doubt(&mut self) {}
}

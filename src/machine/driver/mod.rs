//! The order in which everything is done that has a log: claim, read, then for each input look the command
//! up in the log if memory does not know it, decide, tell the feed once an hour, prepare, decide again,
//! append, apply, tell. Where the store writes all that belongs to an append in one piece, nothing is told or
//! prepared before: decide, append, apply, tell. A pure value over an [`EventSourced`] aggregate: the actor around it carries out
//! what it says and feeds it the answers, and so does the simulation.
//!
//! Owns: that order. Refuses: to know what the log is of; what only one aggregate does is its own
//! ([`EventSourced::Action`], [`Notices`], [`Listing`]).
//!
//! Invariants: one call to the store at a time; an input comes only while [`Driver::is_idle`]; of calls that
//! come together each is decided by what the one before has made of the aggregate, on a copy that is dropped
//! when the append fails ([`batch`]), and none is written when one in front of it was not;
//! nothing is answered or told before its events are durable; when the outcome of an append is
//! not known, or the store does not answer (but to a word to the feed), nothing is applied and the driver asks to be ended: its
//! next life claims the log and reads what became of it. What is not open sleeps
//! until somebody wants something of it: a look only reads, and what was read without a claim is only
//! shown. Whatever may change it claims the log first and reads it anew.

mod answers;
mod append;
mod batch;
mod feed;
mod ids;
mod journal;
mod recover;
mod search;
mod sourced;
mod tell;
mod words;

use std::collections::VecDeque;

use crate::domain::time::earliest;
use crate::domain::{CommandId, Party, Seq, Timestamp};
use crate::machine::CallId;
use crate::storage::{Claimed, FeedHour, StoreError};

use append::Stage;
use batch::Batch;

pub use answers::{Answer, Answers, Fingerprint, Lookup, Recent};
#[cfg(test)]
pub(in crate::machine) use ids::alike;
pub use journal::Journal;
pub use recover::Snapshot;
pub use search::Found;
pub(in crate::machine) use search::Search;
#[cfg(test)]
pub(in crate::machine) use search::Step;
pub use sourced::{EventSourced, Listing, Moment, Notices, Refuses, Stands, Value};
pub use words::{
    Action, Beside, Decided, Effect, Failure, Input, Outbox, StoreAnswer, StoreCall, Told,
};

#[cfg(test)]
mod tests;

/// Events read at once in recovery.
pub const READ_PAGE: usize = 1_000;

/// An input whose command was looked up, and what was found.
type Looked<A> = (Input<A>, Option<Found<<A as EventSourced>::Refusal>>);

#[derive(Debug, Clone)]
enum Phase<A: EventSourced> {
    /// Nothing is known of the log, and nobody needs to know: it is not open.
    Asleep,
    /// The log is read without a claim, since somebody looks.
    Peeking,
    /// It was; what may change it claims and reads it anew.
    Peeked,
    Claiming,
    Reading {
        claim: A::Claim,
        tail: Seq,
    },
    Idle {
        claim: A::Claim,
    },
    /// The log is asked for the input's command.
    Looking {
        claim: A::Claim,
        input: Input<A>,
        search: Search<A>,
    },
    Preparing {
        claim: A::Claim,
        input: Input<A>,
    },
    /// The feed is told that the log may change; none: of what the claim may have brought to light.
    Touching {
        claim: A::Claim,
        hour: FeedHour,
        input: Option<Looked<A>>,
    },
    Appending {
        claim: A::Claim,
        batch: Batch<A>,
    },
    /// It was forgotten: it knows of nothing, whoever asks.
    Forgotten,
    Failed,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Driver<A: EventSourced> {
    fold: A,
    given: A::Given,
    notices: A::Notices,
    listing: A::Listing,
    phase: Phase<A>,
    /// The store writes what stands beside the log with the events.
    in_one_write: bool,
    /// Up to where everybody had been told when the former life went to sleep.
    rested: Option<Seq>,
    /// The hour in which the feed was told of the log last, within this claim.
    touched: Option<FeedHour>,
    /// How often in a row the feed did not take what it was told.
    untaken: u32,
    /// Nothing was in the log when this life claimed it.
    begins_the_log: bool,
    /// What the life was to write first was not written, since the store refused that, or to tell the feed.
    starts_again: bool,
    /// What woke it, until the log is claimed and read.
    woken_by: Option<Input<A>>,
    /// Calls that came together with the one under way, and are behind it; none while idle.
    behind: VecDeque<Input<A>>,
    /// Calls whose answer is still to come.
    held: Vec<(CallId, Party, CommandId)>,
    /// The store refused: deadlines wait until then.
    quiet_until: Timestamp,
    /// The position after which a former life may have told nobody; until the log has been read.
    untold_after: Option<Seq>,
    /// What was read of it behind that.
    untold: Vec<Told<A::Event>>,
}

impl<A: EventSourced> Driver<A> {
    /// A new life, over an empty fold, and asleep. `rested` is up to where everybody had been told when
    /// the former one went to sleep; none after a failure, or in a new process.
    pub fn new(fold: A, given: A::Given, listing: A::Listing, rested: Option<Seq>) -> Self {
        Self {
            fold,
            given,
            notices: A::Notices::default(),
            listing,
            phase: Phase::Asleep,
            in_one_write: false,
            rested,
            touched: None,
            untaken: 0,
            begins_the_log: false,
            starts_again: false,
            woken_by: None,
            behind: VecDeque::new(),
            held: Vec::new(),
            quiet_until: Timestamp::default(),
            untold_after: None,
            untold: Vec::new(),
        }
    }

    /// Whether the store writes what stands beside the log with the events, so that nothing of it has to be
    /// durable before. To be said at the beginning.
    pub fn in_one_write(mut self, can: bool) -> Self {
        self.in_one_write = can;
        self
    }

    /// A former life may have told nobody of what stands behind this position: once the log is claimed
    /// and read, that is published, before anything that comes later. To be said at the beginning.
    pub fn untold(mut self, after: Option<Seq>) -> Self {
        self.untold_after = after;
        self
    }

    /// The aggregate as it is durable.
    pub fn fold(&self) -> &A {
        &self.fold
    }

    /// What it is given from without, to be changed before an input.
    pub(in crate::machine) fn given(&mut self) -> &mut A::Given {
        &mut self.given
    }

    /// Whether it can take an input.
    pub fn is_idle(&self) -> bool {
        match self.phase {
            Phase::Asleep | Phase::Peeked | Phase::Idle { .. } | Phase::Forgotten => true,
            Phase::Peeking
            | Phase::Claiming
            | Phase::Reading { .. }
            | Phase::Looking { .. }
            | Phase::Preparing { .. }
            | Phase::Touching { .. }
            | Phase::Appending { .. }
            | Phase::Failed => false,
        }
    }

    /// Whether this life owns the log, or is about to.
    pub fn is_claimed(&self) -> bool {
        !matches!(self.phase, Phase::Asleep | Phase::Peeking | Phase::Peeked)
    }

    /// Whether nothing was in the log when this life claimed it: then nobody has kept anything beside it either.
    pub fn begins_the_log(&self) -> bool {
        self.begins_the_log
    }

    /// Up to where everybody has been told; to be remembered when it rests. None: not known.
    pub fn told_up_to(&self) -> Option<Seq> {
        if self.is_claimed() { Some(self.tail()) } else { self.rested }
    }

    /// Whether nothing would be lost if it were let go: nobody waits for a word or an answer, and the feed has
    /// what it is owed.
    pub fn can_rest(&self) -> bool {
        self.is_idle() && self.notices.is_empty() && self.held.is_empty() && !self.owes_the_feed()
    }

    /// When to feed an [`Input::Tick`].
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let own = self.fold.next_deadline().map(|at| at.max(self.quiet_until));
        let owed = self.owes_the_feed().then_some(self.quiet_until);
        earliest(earliest(own, owed), self.notices.next())
    }

    /// Drops all that is known, since the log is to be forgotten. None: it is open, or somebody has not
    /// heard of its end yet.
    pub fn let_go(&mut self) -> Option<Vec<Action<A>>> {
        // What is owed to the feed goes with the log: forgetting is no matter of the feed.
        let waited_for = !self.notices.is_empty() || !self.held.is_empty();
        if self.fold.is_open() || !self.is_idle() || waited_for {
            return None;
        }
        Some(self.forgotten())
    }

    /// Takes calls that came one behind the other, in this order; only while idle. What they lead to is
    /// appended in as few pieces as it can be.
    pub fn calls(
        &mut self,
        now: Timestamp,
        calls: impl IntoIterator<Item = (CallId, A::Call)>,
    ) -> Vec<Action<A>> {
        if !self.is_idle() {
            return self.fail(Failure::Broken("calls came while the store was busy".into()));
        }
        let mut inputs = calls.into_iter().map(|(call, wanted)| Input::Call(call, wanted));
        let first = inputs.next();
        // Mostly none; then nothing is kept for them.
        self.behind.extend(inputs);
        let mut actions = Vec::new();
        if let Some(first) = first {
            self.take_input(now, first, &mut actions);
            self.go_on(now, &mut actions);
        }
        actions
    }

    /// Takes an input; only while idle.
    pub fn input(&mut self, now: Timestamp, input: Input<A>) -> Vec<Action<A>> {
        let mut actions = Vec::new();
        self.take_input(now, input, &mut actions);
        actions
    }

    fn take_input(&mut self, now: Timestamp, input: Input<A>, actions: &mut Vec<Action<A>>) {
        if let Phase::Forgotten = self.phase {
            let unknown = |call| Action::Answer(call, Err(A::Refusal::UNKNOWN));
            actions.extend(input.call().map(unknown));
            return;
        }
        if let Phase::Asleep | Phase::Peeked = self.phase {
            self.woken_by = Some(input);
            actions.extend(self.wake());
            return;
        }
        let Phase::Idle { claim } = self.phase else {
            let broken = Failure::Broken("an input came while the store was busy".into());
            actions.extend(self.fail(broken));
            return;
        };
        if let Input::Said(said) = &input
            && self.notices.heard(&self.fold, said, now)
        {
            self.say_due(now, actions);
        }
        if let Input::Tick = input {
            self.say_due(now, actions);
            if now < self.quiet_until {
                return;
            }
            if self.owes_the_feed() {
                // As at the start: what was to be written then may not have been, for want of the same touch.
                let input = Some((Input::Started, None));
                self.announce(claim, FeedHour::of(now), input, actions);
                return;
            }
        }
        if let Some((search, from)) = Search::of(&self.fold, &input) {
            self.phase = Phase::Looking { claim, input, search };
            actions.push(Action::Store(StoreCall::Read { from }));
            return;
        }
        self.decide(now, claim, (input, None), Stage::Fresh, actions);
    }

    /// Takes the answer of the store.
    pub fn stored(&mut self, now: Timestamp, answer: StoreAnswer<A>) -> Vec<Action<A>> {
        let mut actions = self.take(now, answer);
        self.go_on(now, &mut actions);
        actions
    }

    /// Goes on with what waits for the store, as long as it waits for nothing.
    fn go_on(&mut self, now: Timestamp, actions: &mut Vec<Action<A>>) {
        while self.is_idle()
            && let Some(input) = self.woken_by.take().or_else(|| self.behind.pop_front())
        {
            self.take_input(now, input, actions);
        }
    }

    fn take(&mut self, now: Timestamp, answer: StoreAnswer<A>) -> Vec<Action<A>> {
        if let Some(silent) = answer.silence() {
            return self.fail(silent);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Failed);
        match (phase, answer) {
            (Phase::Claiming, StoreAnswer::Claimed(Ok(Claimed { claim, tail }))) => {
                self.claimed(now, claim, tail)
            }
            (Phase::Reading { claim, tail }, StoreAnswer::Page(Ok(page))) => {
                self.phase = Phase::Reading { claim, tail };
                self.read(now, tail, page)
            }
            (Phase::Peeking, StoreAnswer::Page(Ok(page))) => self.peek(&page),
            (Phase::Claiming, StoreAnswer::Claimed(Err(StoreError::Forgotten { .. }))) => {
                self.forgotten()
            }
            (Phase::Claiming, StoreAnswer::Claimed(Err(error)))
            | (Phase::Reading { .. } | Phase::Peeking, StoreAnswer::Page(Err(error))) => {
                self.fail(Failure::Unreadable(error))
            }
            (Phase::Looking { claim, input, search }, StoreAnswer::Page(page)) => {
                self.looked(now, claim, input, search, page)
            }
            (Phase::Preparing { claim, input }, StoreAnswer::Prepared(result)) => {
                self.prepared(now, claim, input, result)
            }
            (Phase::Touching { claim, hour, input }, StoreAnswer::Touched(result)) => {
                self.told_the_feed(now, (claim, hour), input, result)
            }
            (Phase::Appending { claim, batch }, StoreAnswer::Appended(result)) => {
                self.appended(now, claim, batch, result)
            }
            (phase, answer) => {
                self.fail(Failure::Broken(format!("{answer:?} came while {phase:?}")))
            }
        }
    }

    fn fail(&mut self, failure: Failure) -> Vec<Action<A>> {
        self.phase = Phase::Failed;
        vec![Action::Fail(failure)]
    }

    fn forgotten(&mut self) -> Vec<Action<A>> {
        self.fold = self.fold.emptied();
        self.phase = Phase::Forgotten;
        let mut actions = Vec::new();
        self.listing.doubt();
        self.list(&mut actions);
        actions
    }

    fn tail(&self) -> Seq {
        self.fold.journal().tail()
    }
}

//! From an input to its events in the log: decide, tell the feed, prepare, decide again, append,
//! apply; or all of that in one write.

use crate::domain::{Recorded, Timestamp};
use crate::storage::{AppendError, FeedHour, StoreError};

use super::batch::Batch;
use super::search::{Found, Search, Step};
use super::{
    Action, Beside, Decided, Driver, EventSourced, Failure, Input, Listing, Looked, Moment,
    Notices, Outbox, Phase, StoreCall, Told,
};

/// What was done for an input before it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing that took time.
    Fresh,
    /// The feed was told.
    Announced,
    /// What has to be written down elsewhere was.
    Prepared,
}

impl<A: EventSourced> Driver<A> {
    /// Decides on an input. When something was awaited for it, time has passed: what was valid before may be
    /// void now, and the hour may be over of which the feed was told.
    pub(super) fn decide(
        &mut self,
        now: Timestamp,
        claim: A::Claim,
        (input, found): Looked<A>,
        stage: Stage,
        actions: &mut Vec<Action<A>>,
    ) {
        let mut decided = self.decided(&self.fold, now, &input, found);
        let hour = self.to_announce(now, &decided);
        if let Some(hour) = hour
            && !self.in_one_write
        {
            self.announce(claim, hour, Some((input, found)), actions);
            return;
        }
        let moves = decided.intent.is_some();
        match (decided.intent.take(), stage) {
            (Some(intent), _) if self.in_one_write => {
                self.listing.begin(&self.fold, &input, intent, &mut Outbox(actions));
            }
            (Some(intent), Stage::Fresh | Stage::Announced) => {
                let out = &mut Outbox(actions);
                let preparation = self.listing.prepare(&self.fold, &input, intent, out);
                actions.push(Action::Store(StoreCall::Prepare(preparation)));
                self.phase = Phase::Preparing { claim, input };
                return;
            }
            (None, Stage::Announced | Stage::Prepared) => {
                // What the row was marked for, before or just now, is void.
                self.list(actions);
            }
            (Some(_), Stage::Prepared) | (None, Stage::Fresh) => {}
        }
        self.commit(now, claim, &input, (decided, moves, hour), actions);
    }

    /// A page of the log in which the input's command may stand.
    pub(super) fn looked(
        &mut self,
        now: Timestamp,
        claim: A::Claim,
        input: Input<A>,
        mut search: Search<A>,
        page: Result<Vec<Recorded<A::Event>>, StoreError>,
    ) -> Vec<Action<A>> {
        let mut actions = Vec::new();
        match page.map(|page| search.page(&page)) {
            Ok(Step::Read(from)) => {
                self.phase = Phase::Looking { claim, input, search };
                actions.push(Action::Store(StoreCall::Read { from }));
            }
            Ok(Step::Over(found)) => {
                self.decide(now, claim, (input, found), Stage::Fresh, &mut actions)
            }
            Ok(Step::Gap(at)) => return self.fail(Failure::Broken(format!("no {at} any more"))),
            // Whoever speaks without a call says it again.
            Err(_) => {
                self.phase = Phase::Idle { claim };
                self.unavailable(now, input.call(), &mut actions);
            }
        }
        actions
    }

    pub(super) fn prepared(
        &mut self,
        now: Timestamp,
        claim: A::Claim,
        input: Input<A>,
        result: Result<(), StoreError>,
    ) -> Vec<Action<A>> {
        let mut actions = Vec::new();
        if result.is_err() {
            self.phase = Phase::Idle { claim };
            self.unavailable(now, input.call(), &mut actions);
            return actions;
        }
        self.decide(now, claim, (input, None), Stage::Prepared, &mut actions);
        actions
    }

    fn commit(
        &mut self,
        now: Timestamp,
        claim: A::Claim,
        input: &Input<A>,
        (decided, moves, hour): (Decided<A>, bool, Option<FeedHour>),
        actions: &mut Vec<Action<A>>,
    ) {
        if decided.events.is_empty() {
            self.phase = Phase::Idle { claim };
            self.carry_out(now, decided.effects, actions);
            return;
        }
        let mut batch = Batch::of(&self.fold, &self.given, now, input.call(), decided);
        batch.hour = hour;
        batch.starts = matches!(input, Input::Started);
        batch.moves = moves && self.in_one_write;
        if !moves {
            self.join(now, &mut batch);
        }
        let events = batch.events.clone();
        let beside = self.beside(&batch);
        actions.push(Action::Store(match beside {
            Some(beside) => StoreCall::AppendWith(claim, events, beside),
            None => StoreCall::Append(claim, events),
        }));
        self.phase = Phase::Appending { claim, batch };
    }

    /// What is to be written with a batch, if anything is.
    fn beside(&self, batch: &Batch<A>) -> Option<Beside<A>> {
        let hour = batch.hour;
        if !batch.moves {
            return hour.is_some().then(|| Beside { hour, rows: A::Rows::default() });
        }
        let mut ahead = self.fold.clone();
        batch.events.iter().for_each(|recorded| ahead.apply(recorded));
        Some(Beside { hour, rows: self.listing.rows(&ahead) })
    }

    pub(super) fn appended(
        &mut self,
        now: Timestamp,
        claim: A::Claim,
        batch: Batch<A>,
        result: Result<(), AppendError>,
    ) -> Vec<Action<A>> {
        let mut actions = Vec::new();
        match result {
            Ok(()) => {}
            Err(AppendError::Unavailable { .. }) => {
                self.phase = Phase::Idle { claim };
                self.starts_again |= batch.starts;
                self.unavailable(now, batch.calls, &mut actions);
                return actions;
            }
            Err(AppendError::Fenced) => return self.fail(Failure::Fenced),
            Err(AppendError::Unknown { reason }) => return self.fail(Failure::Unknown(reason)),
            Err(AppendError::Conflict { tail, first }) => {
                return self.fail(Failure::Broken(format!("{first} after {tail}")));
            }
        }
        let before = A::Notices::before(&self.fold);
        let events = batch.events.into_iter();
        let told = events.map(|event| Told::apply(&mut self.fold, event)).collect();
        self.phase = Phase::Idle { claim };
        if let Some(hour) = batch.hour {
            self.feed_knows(now, hour);
        }
        if batch.moves {
            self.listing.written(&self.fold, &mut Outbox(&mut actions));
        } else {
            self.list(&mut actions);
        }
        self.notices.changed(&before, &self.fold, now);
        actions.push(Action::Publish(told));
        self.carry_out(now, batch.effects, &mut actions);
        self.say_due(now, &mut actions);
        actions
    }

    /// What a state of the aggregate decides on an input: the durable one, or one ahead of it.
    pub(super) fn decided(
        &self,
        fold: &A,
        now: Timestamp,
        input: &Input<A>,
        found: Option<Found<A::Refusal>>,
    ) -> Decided<A> {
        let (given, notices) = (&self.given, &self.notices);
        fold.decide(&Moment { now, given, notices, found }, input)
    }
}

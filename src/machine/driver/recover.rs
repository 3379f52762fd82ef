//! From a claim to the aggregate as its log has it.

use crate::domain::{Recorded, Seq, Timestamp};

use super::{
    Action, Driver, EventSourced, Failure, Input, Notices, Phase, READ_PAGE, StoreCall, Told,
};

/// A state of a fold that was kept beside its log, to begin with instead of the first event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<A> {
    /// The version of the fold that made it.
    pub fold_version: u16,
    /// The state.
    pub state: A,
}

impl<A: EventSourced> Driver<A> {
    /// Begins with a state that was kept, instead of an empty one: only what follows it is read, if it is
    /// of this version of the fold, of what the log still has, and of nothing that is untold. That is known of
    /// a claimed log only, so that a look reads from the first event. To be said at the beginning, after what
    /// the fold remembers.
    pub fn kept(mut self, snapshot: Snapshot<A>) -> Self {
        if snapshot.fold_version == A::FOLD_VERSION {
            self.fold = snapshot.state;
        }
        self
    }

    /// Begins with an empty fold that remembers otherwise; to be said at the beginning, before a state that
    /// was [`kept`](Self::kept).
    pub(in crate::machine) fn over(mut self, empty: A) -> Self {
        debug_assert_eq!(self.tail(), 0, "a state that was kept is dropped");
        self.fold = empty;
        self
    }

    /// Somebody wants to see it: reads a log that sleeps, and writes nothing. From the first event, whatever
    /// was kept: without a claim nobody says where the log ends, or that it was forgotten.
    pub fn look(&mut self) -> Vec<Action<A>> {
        let Phase::Asleep = self.phase else { return Vec::new() };
        self.fold = self.fold.emptied();
        self.phase = Phase::Peeking;
        vec![Action::Store(StoreCall::Read { from: self.tail() + 1 })]
    }

    /// Claims a log that was not claimed yet, and forgets what was read of it without that.
    pub fn wake(&mut self) -> Vec<Action<A>> {
        match self.phase {
            Phase::Asleep => {}
            Phase::Peeking | Phase::Peeked => self.fold = self.fold.emptied(),
            Phase::Claiming
            | Phase::Reading { .. }
            | Phase::Idle { .. }
            | Phase::Looking { .. }
            | Phase::Preparing { .. }
            | Phase::Touching { .. }
            | Phase::Appending { .. }
            | Phase::Forgotten
            | Phase::Failed => return Vec::new(),
        }
        self.untold.clear();
        self.phase = Phase::Claiming;
        vec![Action::Store(StoreCall::Claim)]
    }

    pub(super) fn claimed(&mut self, now: Timestamp, claim: A::Claim, tail: Seq) -> Vec<Action<A>> {
        let told_from = self.untold_after.unwrap_or(Seq::MAX).min(tail);
        if self.tail() > told_from {
            self.fold = self.fold.emptied();
        }
        self.begins_the_log = tail == 0;
        self.phase = Phase::Reading { claim, tail };
        self.read_on(now)
    }

    pub(super) fn read_on(&mut self, now: Timestamp) -> Vec<Action<A>> {
        let Phase::Reading { claim, tail } = self.phase else {
            return Vec::new();
        };
        if self.tail() < tail {
            return vec![Action::Store(StoreCall::Read { from: self.tail() + 1 })];
        }
        if let Some(hour) = self.to_announce_at_a_claim(now) {
            let mut actions = Vec::new();
            self.announce(claim, hour, None, &mut actions);
            return actions;
        }
        self.begin_idle(now, claim)
    }

    /// All is read, and the feed knows: what the former life owed is done.
    pub(super) fn begin_idle(&mut self, now: Timestamp, claim: A::Claim) -> Vec<Action<A>> {
        self.phase = Phase::Idle { claim };
        if self.rested != Some(self.tail()) {
            self.notices.resume(&self.fold, now);
        }
        let mut actions = Vec::new();
        self.list(&mut actions);
        self.untold_after = None;
        if !self.untold.is_empty() {
            actions.push(Action::PublishLate(std::mem::take(&mut self.untold)));
        }
        actions.extend(self.input(now, Input::Started));
        actions
    }

    pub(super) fn read(
        &mut self,
        now: Timestamp,
        tail: Seq,
        page: Vec<Recorded<A::Event>>,
    ) -> Vec<Action<A>> {
        if page.is_empty() {
            return self.fail(Failure::Broken(format!("{} of {tail}", self.tail())));
        }
        for recorded in page.into_iter().take_while(|recorded| recorded.seq <= tail) {
            if let Some(gap) = self.gap(&recorded) {
                return self.fail(gap);
            }
            if self.untold_after.is_some_and(|after| recorded.seq > after) {
                self.untold.push(Told::apply(&mut self.fold, recorded));
            } else {
                self.fold.apply(&recorded);
            }
        }
        self.read_on(now)
    }

    /// A page of a log that is not claimed. Acknowledged events are in it; what is not acknowledged
    /// may be, and go again, so that nothing but a look is answered from it. One that is open after
    /// all is claimed.
    pub(super) fn peek(&mut self, page: &[Recorded<A::Event>]) -> Vec<Action<A>> {
        for recorded in page {
            if let Some(gap) = self.gap(recorded) {
                return self.fail(gap);
            }
            self.fold.apply(recorded);
        }
        if page.len() >= READ_PAGE {
            self.phase = Phase::Peeking;
            return vec![Action::Store(StoreCall::Read { from: self.tail() + 1 })];
        }
        self.phase = Phase::Peeked;
        if self.fold.is_open() { self.wake() } else { Vec::new() }
    }

    /// Why an event cannot be the next one, if it cannot.
    fn gap(&self, recorded: &Recorded<A::Event>) -> Option<Failure> {
        let (got, tail) = (recorded.seq, self.tail());
        (got != tail + 1).then(|| Failure::Broken(format!("{got} follows {tail}")))
    }
}

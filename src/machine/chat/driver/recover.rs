//! From a claim to the chat as its log has it.

use crate::domain::{Recorded, Timestamp};
use crate::storage::Claim;

use super::super::call::ChatInput;
use super::{Action, Driver, Failure, Phase, READ_PAGE, StoreCall};

impl Driver {
    pub(super) fn read_on(&mut self, now: Timestamp) -> Vec<Action> {
        let Phase::Reading { claim, tail } = self.phase else {
            return Vec::new();
        };
        if self.chat.tail() < tail {
            return vec![Action::Store(StoreCall::Read { from: self.chat.tail() + 1 })];
        }
        if let Some(hour) = self.to_announce_at_a_claim(now) {
            let mut actions = Vec::new();
            self.announce(claim, hour, None, &mut actions);
            return actions;
        }
        self.begin_idle(now, claim)
    }

    /// All is read, and the feed knows: what the former life owed is done.
    pub(super) fn begin_idle(&mut self, now: Timestamp, claim: Claim) -> Vec<Action> {
        self.phase = Phase::Idle { claim };
        if self.rested != Some(self.chat.tail()) {
            self.notices.resume(&self.chat, now);
        }
        let mut actions = Vec::new();
        self.list(&mut actions);
        self.untold_after = None;
        if !self.untold.is_empty() {
            actions.push(Action::PublishLate(std::mem::take(&mut self.untold)));
        }
        actions.extend(self.input(now, ChatInput::Started));
        actions
    }

    pub(super) fn read(&mut self, now: Timestamp, tail: u64, page: Vec<Recorded>) -> Vec<Action> {
        if page.is_empty() {
            return self.fail(Failure::Broken(format!("{} of {tail}", self.chat.tail())));
        }
        for recorded in page.into_iter().take_while(|recorded| recorded.seq <= tail) {
            if let Some(gap) = self.gap(&recorded) {
                return self.fail(gap);
            }
            if self.untold_after.is_some_and(|after| recorded.seq > after) {
                let told = self.chat.apply_and_tell(recorded);
                self.untold.push(told);
            } else {
                self.chat.apply(&recorded);
            }
        }
        self.read_on(now)
    }

    /// A page of a log that is not claimed. Acknowledged events are in it; what is not acknowledged
    /// may be, and go again, so that nothing but a look is answered from it. One that is open after
    /// all is claimed.
    pub(super) fn peek(&mut self, page: &[Recorded]) -> Vec<Action> {
        for recorded in page {
            if let Some(gap) = self.gap(recorded) {
                return self.fail(gap);
            }
            self.chat.apply(recorded);
        }
        if page.len() >= READ_PAGE {
            self.phase = Phase::Peeking;
            return vec![Action::Store(StoreCall::Read { from: self.chat.tail() + 1 })];
        }
        self.phase = Phase::Peeked;
        let open = self.chat.place().is_some_and(|place| !place.state().is_final());
        if open { self.wake() } else { Vec::new() }
    }

    /// Why an event cannot be the next one, if it cannot.
    fn gap(&self, recorded: &Recorded) -> Option<Failure> {
        let (got, tail) = (recorded.seq, self.chat.tail());
        (got != tail + 1).then(|| Failure::Broken(format!("{got} follows {tail}")))
    }
}

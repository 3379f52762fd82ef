//! From a claim to the chat as its log has it.

use crate::domain::{Recorded, Timestamp};

use super::super::call::ChatInput;
use super::{Action, Driver, Failure, Phase, StoreCall};

impl Driver {
    pub(super) fn read_on(&mut self, now: Timestamp) -> Vec<Action> {
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

    pub(super) fn read(&mut self, now: Timestamp, tail: u64, page: &[Recorded]) -> Vec<Action> {
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
}

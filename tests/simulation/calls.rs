//! Calls of clients: made, answered, and made again when no answer comes.

use switchboard::domain::{ChatId, UserId};
use switchboard::machine::chat::{Answer, ChatCall, ChatInput, Refusal};
use switchboard::machine::operator::{OperatorAnswer, OperatorCall};

use crate::tables;
use crate::world::{Happening, Pending, World};

impl World {
    pub fn call_chat(&mut self, chat: ChatId, wanted: ChatCall) -> u64 {
        self.call(Pending::Chat(chat, wanted), self.now)
    }

    pub fn call_operator(&mut self, operator: UserId, wanted: OperatorCall) -> u64 {
        self.call(Pending::Operator(operator, wanted), self.now)
    }

    pub fn call(&mut self, pending: Pending, since: u64) -> u64 {
        self.call_n += 1;
        let call = self.call_n;
        self.calls.insert(call, pending.clone());
        self.call_since.insert(call, since);
        let at = self.now + self.rng.within(1, 5);
        let what = match pending {
            Pending::Chat(chat, wanted) => Happening::ToChat(chat, ChatInput::Call(call, wanted)),
            Pending::Operator(operator, wanted) => Happening::OperatorCall(operator, call, wanted),
        };
        if self.up {
            self.at(at, Some(self.process), what);
        }
        let patience = self.rng.within(800, 2_500);
        self.at(self.now + patience, None, Happening::CallTimeout(call));
        call
    }

    /// No answer: the client asks again, with the same id.
    pub fn call_again(&mut self, call: u64) {
        let since = self.call_since.remove(&call).unwrap_or(self.now);
        let Some(pending) = self.calls.remove(&call) else {
            return;
        };
        if self.faulty() && self.rng.chance(100) {
            self.coverage.count("fault", "client hung up");
            self.checker.hung_up(&pending);
            return;
        }
        self.call(pending, since);
    }

    pub fn answered(&mut self, call: u64, answer: Result<Answer, Refusal>) {
        let Some(pending) = self.calls.get(&call).cloned() else {
            return;
        };
        let Pending::Chat(chat, wanted) = pending else {
            return;
        };
        match answer {
            Ok(answer) => {
                self.calls.remove(&call);
                self.checker.acknowledged(chat, &wanted, answer, &self.store, self.seed);
                self.customer_heard(chat, &wanted, Ok(answer));
            }
            Err(refusal) => {
                self.coverage.refusal(refusal);
                tables::check(tables::of_chat(&wanted), refusal, self.seed);
                // The time-out asks again when it may help.
                if refusal != Refusal::Unavailable {
                    self.calls.remove(&call);
                    self.customer_heard(chat, &wanted, Err(refusal));
                }
            }
        }
    }

    pub fn operator_answered(&mut self, call: u64, answer: Result<OperatorAnswer, Refusal>) {
        let Some(pending) = self.calls.get(&call).cloned() else {
            return;
        };
        let Pending::Operator(operator, wanted) = pending else {
            return;
        };
        match answer {
            Ok(answer) => {
                self.calls.remove(&call);
                let since = self.call_since.get(&call).copied().unwrap_or(self.now);
                self.checker.operator_acknowledged(
                    operator,
                    &wanted,
                    answer,
                    since,
                    &self.store,
                    self.seed,
                );
            }
            Err(refusal) => {
                self.coverage.refusal(refusal);
                tables::check(tables::of_operator(&wanted), refusal, self.seed);
                if refusal != Refusal::Unavailable {
                    self.calls.remove(&call);
                }
            }
        }
    }
}

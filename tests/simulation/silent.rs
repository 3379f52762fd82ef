//! A store that does not answer, and rows that it does not write. As the shells do: a call that is not
//! answered in time is an unknown outcome, and ends the life that made it, but for a touch; a row that was not written stays
//! as it was, marked.

use std::time::Duration;

use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{ChatId, Recorded, UserId};
use switchboard::machine::chat::driver::{Beside, Preparation, StoreAnswer, StoreCall};
use switchboard::storage::{Claim, Moving, OpenChat, RowUpdate, StoreError};

use crate::world::{Actor, Happening, World};

/// How long a shell waits for the store here, ms: less than a calm phase, as in life it is less than
/// people's patience.
const STORE_LIMIT_MS: u64 = 2_000;

/// How much later than it was asked for a write without an answer may take effect, ms.
const LATE_MS: u64 = 3_000;

impl World {
    /// Nobody answers the chat. What it asked for is done, now or later, or not at all.
    pub fn silence(&mut self, chat: ChatId, life: u64, call: StoreCall) {
        let done = self.rng.chance(500);
        let touches = matches!(call, StoreCall::Touch(_));
        self.fault(if done { "store silent, done" } else { "store silent, not done" });
        match call {
            StoreCall::Append(claim, events) if done => self.late(claim, events, None),
            StoreCall::AppendWith(claim, events, beside) if done => {
                self.late(claim, events, Some(beside));
            }
            StoreCall::Prepare(Preparation::PutRow(row)) => {
                self.index_mut(chat).put(chat, Some(row.clone()));
                if done {
                    self.row_written(chat, row);
                }
            }
            StoreCall::Prepare(Preparation::Mark(moving)) if done => self.marked(chat, moving),
            StoreCall::Claim if done => drop(self.store.claim(chat)),
            StoreCall::Touch(hour) if done => self.touch(chat, hour),
            StoreCall::Append(..)
            | StoreCall::AppendWith(..)
            | StoreCall::Touch(_)
            | StoreCall::Prepare(Preparation::Mark(_))
            | StoreCall::Claim
            | StoreCall::Read { .. } => {}
        }
        let silent = if touches {
            let limit = Duration::from_millis(STORE_LIMIT_MS);
            let answer = StoreAnswer::Touched(Err(StoreError::Silent { limit }));
            Happening::Stored(chat, life, answer)
        } else {
            Happening::Silent(Actor::Chat(chat), life)
        };
        self.at(self.now + STORE_LIMIT_MS, Some(self.process), silent);
    }

    /// It takes effect, unless another claim comes before.
    fn late(&mut self, claim: Claim, events: Vec<Recorded>, beside: Option<Beside>) {
        let at = self.now + self.rng.below(LATE_MS);
        self.at(at, self.lands_of(), Happening::Written(claim, events, beside));
    }

    /// A mark was not answered as it should, and was written all the same.
    pub fn marked(&mut self, chat: ChatId, moving: Moving) {
        let row = self.index(chat).get(chat).cloned();
        if let Some(row) = row.map(|row| OpenChat { moving: Some(moving), ..row }) {
            self.row_written(chat, row);
        }
    }

    /// In the order in which writes to the chat's row were asked for.
    pub fn row_written(&mut self, chat: ChatId, row: OpenChat) {
        let at = self.row_time(chat);
        self.at(at, Some(self.process), Happening::RowWritten(chat, RowUpdate::Open(row)));
    }

    /// Nobody answers the operator, whose record is written or not.
    pub fn save_in_silence(&mut self, operator: UserId, life: u64, record: OperatorRecord) {
        self.fault("save silent");
        if self.rng.chance(500) {
            self.store.records.insert(operator, record);
        }
        let at = self.now + STORE_LIMIT_MS;
        self.at(at, Some(self.process), Happening::Silent(Actor::Operator(operator), life));
    }

    /// The time for an answer is over: the life that waits for it ends.
    pub fn given_up(&mut self, actor: Actor, life: u64) {
        let known = match actor {
            Actor::Chat(chat) => self.chats.get(&chat).map(|live| live.life),
            Actor::Queue(queue) => self.queues.get(&queue).map(|live| live.life),
            Actor::Operator(operator) => self.operators.get(&operator).map(|live| live.life),
        };
        if known == Some(life) {
            self.crash(actor);
        }
    }
}

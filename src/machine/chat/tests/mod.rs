//! The chat machine by itself, and its driver.

mod answering;
mod customers;
mod driving;
mod folding;
mod history;
mod moves;
mod offering;
mod ordering;
mod refusing;
mod rows;
mod telling;

use crate::domain::{Recorded, Timestamp};
use crate::machine::chat::{Chat, ChatCall, ChatEffect, ChatInput, Context, Decided, Refusal};
use crate::machine::fixture::{CHAT, open};
use crate::machine::message::ToChat;

/// A chat and the log that it is the fold of.
#[derive(Clone)]
pub struct Bench {
    pub chat: Chat,
    pub log: Vec<Recorded>,
    pub now: Timestamp,
    pub process: u64,
    /// Nobody has heard of the offer.
    pub unheard: bool,
    calls: u64,
}

impl Bench {
    pub fn new() -> Self {
        let (chat, log) = (Chat::new(CHAT), Vec::new());
        Self { chat, log, now: Timestamp(10_000), process: 1, unheard: false, calls: 0 }
    }

    pub fn opened() -> Self {
        let mut bench = Self::new();
        bench.call(open());
        bench
    }

    /// Decides, sees that deciding changed nothing, and applies.
    pub fn input(&mut self, input: &ChatInput) -> Decided {
        let before = self.chat.clone();
        let (now, process) = (self.now, self.process);
        let context = Context { now, process, life: 7, unheard: self.unheard, found: None };
        let decided = self.chat.decide(&context, input);
        assert_eq!(self.chat, before, "deciding reads only: {input:?}");
        for event in &decided.events {
            let seq = self.chat.tail() + 1;
            let recorded =
                Recorded { seq, at: self.now, event: event.clone(), names: Default::default() };
            self.chat.apply(&recorded);
            self.log.push(recorded);
        }
        decided
    }

    pub fn call(&mut self, call: ChatCall) -> Decided {
        self.calls += 1;
        self.input(&ChatInput::Call(self.calls, call))
    }

    pub fn say(&mut self, said: ToChat) -> Decided {
        self.input(&ChatInput::Said(said))
    }

    pub fn later(&mut self, ms: u64) -> &mut Self {
        self.now = self.now.plus_ms(ms);
        self
    }

    /// As the next process finds it.
    pub fn folded(&self) -> Chat {
        let mut chat = Chat::new(CHAT);
        for recorded in &self.log {
            chat.apply(recorded);
        }
        chat
    }
}

/// The refusal of a call, which changes nothing.
pub fn refusal(decided: &Decided) -> Option<Refusal> {
    match decided.effects.as_slice() {
        [ChatEffect::Answer(_, Err(refusal))] if decided.events.is_empty() => Some(*refusal),
        _ => None,
    }
}

/// The first word of a value's debug text: its variant.
pub fn variant(value: impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

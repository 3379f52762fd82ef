//! The calls of clients that a chat has: those that have come and were not begun, and those without an answer.

use std::sync::Arc;

use crate::machine::CallId;
use crate::machine::chat::{Answer, ChatCall, Refusal};

use crate::actors::held::CallPermit;
use crate::actors::message::{ChatCalls, Reply};
use crate::actors::ways::Way;

/// See the module. As many as have a permit of the mailbox.
#[derive(Default)]
pub(super) struct Calls {
    waiting: Vec<ChatCalls>,
    begun: Vec<Begun>,
    made: CallId,
}

/// Calls that came together, under way, and what is held until all are answered.
struct Begun {
    first: CallId,
    answers: Vec<Option<Result<Answer, Refusal>>>,
    unanswered: usize,
    reply: Reply<Vec<Result<Answer, Refusal>>>,
    _permit: CallPermit,
    _way: Option<Arc<Way>>,
}

impl Calls {
    /// Calls have come. Answers whether they are the first that wait.
    pub fn came(&mut self, calls: ChatCalls) -> bool {
        self.waiting.push(calls);
        self.waiting.len() == 1
    }

    /// Begins all that wait, in the order in which they came, each by its number.
    pub fn begin(&mut self) -> Vec<(CallId, ChatCall)> {
        let mut begun = Vec::new();
        for calls in self.waiting.drain(..) {
            let ChatCalls { wanted, reply, permit, way } = calls;
            // Whoever asked was told to ask again: its right to these calls has ended with its wait.
            if reply.is_closed() {
                continue;
            }
            if wanted.is_empty() {
                let _ = reply.send(Vec::new());
                continue;
            }
            let (first, unanswered) = (self.made + 1, wanted.len());
            self.made += unanswered as CallId;
            begun.extend((first..).zip(wanted));
            let answers = vec![None; unanswered];
            let (_permit, _way) = (permit, way);
            self.begun.push(Begun { first, answers, unanswered, reply, _permit, _way });
        }
        begun
    }

    /// A call is answered: whoever asked hears it once all are that came with it.
    pub fn answered(&mut self, call: CallId, answer: Result<Answer, Refusal>) {
        let is_among = |begun: &Begun| {
            let end = begun.first + begun.answers.len() as CallId;
            (begun.first..end).contains(&call)
        };
        let Some(at) = self.begun.iter().position(is_among) else { return };
        let begun = &mut self.begun[at];
        let known = begun.answers[(call - begun.first) as usize].replace(answer);
        begun.unanswered -= usize::from(known.is_none());
        if begun.unanswered == 0 {
            let Begun { answers, reply, .. } = self.begun.remove(at);
            let _ = reply.send(answers.into_iter().flatten().collect());
        }
    }
}

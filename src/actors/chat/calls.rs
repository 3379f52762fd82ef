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

/// When calls that have come are to be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// At once: nothing that has a permit is on its way to the chat.
    Now,
    /// Behind all that is in the mailbox: what has come meanwhile is appended in one piece.
    Behind,
    /// That was said already.
    AsSaid,
}

/// Calls that came together, under way, and what is held until all are answered.
struct Begun {
    first: CallId,
    answers: Vec<Option<Result<Answer, Refusal>>>,
    unanswered: usize,
    reply: Reply<Vec<Result<Answer, Refusal>>>,
    permit: CallPermit,
    _way: Option<Arc<Way>>,
}

impl Calls {
    /// Calls have come.
    pub fn came(&mut self, calls: ChatCalls) -> When {
        let under_way = calls.permit.calls_under_way();
        if self.waiting.is_empty() {
            self.waiting.reserve_exact(1);
        }
        self.waiting.push(calls);
        let waiting = self.waiting.iter().map(|calls| &calls.permit);
        let here = waiting.chain(self.begun.iter().map(|begun| &begun.permit));
        if here.map(CallPermit::calls).sum::<usize>() == under_way {
            return When::Now;
        }
        if self.waiting.len() > 1 { When::AsSaid } else { When::Behind }
    }

    /// Begins all that wait, in the order in which they came, each by its number.
    pub fn begin(&mut self) -> Vec<(CallId, ChatCall)> {
        let wanted = self.waiting.iter().map(|calls| calls.wanted.len()).sum();
        let mut begun = Vec::with_capacity(wanted);
        // Neither list keeps its room: most chats have nothing under way.
        for calls in std::mem::take(&mut self.waiting) {
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
            let _way = way;
            if self.begun.is_empty() {
                self.begun.reserve_exact(1);
            }
            self.begun.push(Begun { first, answers, unanswered, reply, permit, _way });
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
            if self.begun.is_empty() {
                self.begun = Vec::new();
            }
            let _ = reply.send(answers.into_iter().flatten().collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Semaphore, oneshot};

    use super::*;
    use crate::actors::held::calls_under_way;
    use crate::actors::limits::CALLS_MAX;
    use crate::domain::ChatId;

    type Answers = oneshot::Receiver<Vec<Result<Answer, Refusal>>>;

    /// So many calls on their way to a chat.
    fn calls(mailbox: &Arc<Semaphore>, number: u32) -> (ChatCalls, Answers) {
        let others = calls_under_way(mailbox) as u128;
        let permit = Arc::clone(mailbox).try_acquire_many_owned(number).unwrap();
        let (reply, answers) = oneshot::channel();
        let call = |n| ChatCall::Continue { chat: ChatId::from_u128(others + u128::from(n)) };
        let wanted = (1..=number).map(call).collect();
        (ChatCalls { wanted, reply, permit: CallPermit::new(permit), way: None }, answers)
    }

    #[test]
    fn what_comes_alone_is_begun_at_once_and_else_behind_what_is_on_its_way() {
        let (mailbox, mut here) = (Arc::new(Semaphore::new(CALLS_MAX)), Calls::default());
        let (first, _first) = calls(&mailbox, 3);
        assert_eq!(here.came(first), When::Now);
        assert_eq!(here.begin().len(), 3);
        // Those without an answer are with the chat, and nobody waits for them to come.
        let on_their_way = [1, 2, 1].map(|number| calls(&mailbox, number));
        let (look, _look) = calls(&mailbox, 1);
        let came = on_their_way.into_iter().map(|(calls, answers)| (here.came(calls), answers));
        let (begin, _answers): (Vec<_>, Vec<_>) = came.unzip();
        assert_eq!(begin, [When::Behind, When::AsSaid, When::AsSaid]);
        assert_eq!(here.begin().len(), 4);
        // It is said anew after that.
        let (next, _next) = calls(&mailbox, 1);
        assert_eq!(here.came(next), When::Behind);
        assert_eq!(here.begin().len(), 1);
        drop(look);
        let (last, _last) = calls(&mailbox, 1);
        assert_eq!(here.came(last), When::Now);
    }

    #[test]
    fn the_last_of_those_on_their_way_need_not_wait_for_its_turn() {
        let (mailbox, mut here) = (Arc::new(Semaphore::new(CALLS_MAX)), Calls::default());
        let [(one, _one), (other, _other)] = [1, 1].map(|number| calls(&mailbox, number));
        assert_eq!(here.came(one), When::Behind);
        assert_eq!(here.came(other), When::Now);
        let begun: Vec<ChatCall> = here.begin().into_iter().map(|(_, call)| call).collect();
        let by_arrival = [1, 2].map(|n| ChatCall::Continue { chat: ChatId::from_u128(n) });
        assert_eq!(begun, by_arrival);
        assert!(here.begin().is_empty(), "the turn that was put behind finds nothing");
    }

    #[test]
    fn those_who_came_together_are_answered_together_once_all_are() {
        let (mailbox, mut here) = (Arc::new(Semaphore::new(CALLS_MAX)), Calls::default());
        let (both, mut answers) = calls(&mailbox, 2);
        here.came(both);
        let numbers: Vec<CallId> = here.begin().iter().map(|(call, _)| *call).collect();
        here.answered(numbers[1], Err(Refusal::NotYours));
        here.answered(numbers[1], Err(Refusal::Late));
        assert!(answers.try_recv().is_err());
        here.answered(numbers[0], Err(Refusal::UnknownChat));
        let answered = answers.try_recv().unwrap();
        assert_eq!(answered, [Err(Refusal::UnknownChat), Err(Refusal::Late)]);
        assert_eq!(mailbox.available_permits(), CALLS_MAX);
    }
}

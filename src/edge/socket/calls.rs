//! The calls of one socket that are under way: those of one lane in the order of their arrival,
//! those of different lanes side by side, all within the socket's one task. What was put off keeps
//! its turn ([`super::turns`]).

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::{FuturesUnordered, Stream};

use super::turns::{Order, Ticket, Turns};
use crate::domain::Timestamp;
use crate::edge::limits::ABANDONED_LIMIT;
use crate::protocol::Lane;
use crate::protocol::limits::UNANSWERED_MAX;

/// What a client is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The frame.
    pub frame: String,
    /// It is to send the call again after so many ms.
    pub later_ms: Option<u64>,
}

/// A call being carried out; it ends with its answer.
pub(super) type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A call that has come, and how to put it off.
pub(super) struct Arrived {
    /// Its lane, and its turn there.
    pub ticket: Ticket,
    /// What it does.
    pub work: Work,
    /// What it is answered when it has to wait for another one, after so many ms.
    pub put_off: Box<dyn FnOnce(u64) -> Answer + Send>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Calls {
    running: FuturesUnordered<InLane>,
    /// An entry stands for a lane in which a call runs.
    behind: HashMap<Lane, VecDeque<Arrived>>,
    turns: Turns,
    unanswered: usize,
}

/// The socket has as many calls without an answer as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

struct InLane {
    /// Until it is answered.
    ticket: Option<Ticket>,
    work: Work,
}

impl Future for InLane {
    type Output = (Option<Ticket>, Answer);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(self.work.as_mut().poll(context));
        Poll::Ready((self.ticket.take(), answer))
    }
}

impl Calls {
    /// Whether one more may come.
    pub fn room(&self) -> Result<(), TooMany> {
        if self.unanswered < UNANSWERED_MAX { Ok(()) } else { Err(TooMany) }
    }

    /// The turn of a call that has come.
    pub fn ticket(&mut self, lane: Lane, order: Order) -> Ticket {
        self.turns.ticket(lane, order)
    }

    /// A call was put off before it was anybody's turn.
    pub fn put_off(&mut self, ticket: Ticket, later_ms: u64, now: Timestamp) {
        self.turns.answered(&ticket, Some(later_ms), now);
    }

    /// Begins a call, or lets it wait for those of its lane in front of it.
    pub fn push(&mut self, arrived: Arrived, now: Timestamp) {
        self.unanswered += 1;
        let lane = arrived.ticket.lane;
        if !lane.keeps_order() {
            return self.begin(arrived, now);
        }
        match self.behind.get_mut(&lane) {
            Some(behind) => behind.push_back(arrived),
            None => {
                self.behind.insert(lane, VecDeque::new());
                self.begin(arrived, now);
            }
        }
    }

    fn begin(&mut self, arrived: Arrived, now: Timestamp) {
        let Arrived { ticket, work, put_off } = arrived;
        let work = match self.turns.turn(&ticket, now) {
            Ok(()) => work,
            Err(wait_ms) => Box::pin(std::future::ready(put_off(wait_ms))),
        };
        self.running.push(InLane { ticket: Some(ticket), work });
    }

    /// The next answer; pending while there is none.
    pub fn poll_answer(&mut self, context: &mut Context<'_>, now: Timestamp) -> Poll<String> {
        match Pin::new(&mut self.running).poll_next(context) {
            Poll::Ready(Some((ticket, answer))) => {
                if let Some(ticket) = ticket {
                    self.ended(ticket, answer.later_ms, now);
                }
                Poll::Ready(answer.frame)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The socket has ended. What was begun goes on in the router anyway: it is followed to its end,
    /// so that a revocation that closed the socket waits for it. What waited for its turn is not
    /// carried out.
    pub fn abandon(self) {
        let mut running = self.running;
        if running.is_empty() {
            return;
        }
        let ends = async move { while running.next().await.is_some() {} };
        tokio::spawn(tokio::time::timeout(ABANDONED_LIMIT, ends));
    }

    fn ended(&mut self, ticket: Ticket, later_ms: Option<u64>, now: Timestamp) {
        self.unanswered -= 1;
        let lane = ticket.lane;
        self.turns.answered(&ticket, later_ms, now);
        match self.behind.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(arrived) => self.begin(arrived, now),
            None => drop(self.behind.remove(&lane)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;

    use super::super::turns::Change;
    use super::*;
    use crate::domain::{ChatId, CommandId};
    use crate::protocol::Method;

    type Began = Arc<Mutex<Vec<&'static str>>>;

    const NOW: Timestamp = Timestamp(1_000);

    fn work(name: &'static str, began: &Began, until: oneshot::Receiver<Option<u64>>) -> Work {
        let began = Arc::clone(began);
        Box::pin(async move {
            began.lock().unwrap().push(name);
            let later_ms = until.await.unwrap_or_default();
            Answer { frame: name.to_owned(), later_ms }
        })
    }

    fn push(calls: &mut Calls, lane: Lane, order: Order, work: Work) {
        let ticket = calls.ticket(lane, order);
        let put_off = Box::new(|ms| Answer { frame: format!("after {ms}"), later_ms: Some(ms) });
        calls.push(Arrived { ticket, work, put_off }, NOW);
    }

    async fn answer(calls: &mut Calls) -> String {
        poll_fn(|context| calls.poll_answer(context, NOW)).await
    }

    #[tokio::test]
    async fn what_waits_behind_a_message_that_is_put_off_is_put_off_and_not_carried_out() {
        let (mut calls, began) = (Calls::default(), Began::default());
        let mut ends = Vec::new();
        for name in ["a", "b"] {
            let (end, until) = oneshot::channel();
            ends.push(end);
            let id = CommandId::new(name).unwrap();
            let order = Order::Keeps(Change { chat: None, method: Method::MessageSend, id });
            push(&mut calls, Lane::Conversation, order, work(name, &began, until));
        }
        ends.remove(0).send(Some(500)).unwrap();
        // Should it be carried out, it ends.
        drop(ends);
        assert_eq!(answer(&mut calls).await, "a");
        assert_eq!(answer(&mut calls).await, "after 550");
        assert_eq!(*began.lock().unwrap(), ["a"]);
        assert!(calls.unanswered == 0 && calls.behind.is_empty());
    }

    #[tokio::test]
    async fn a_lane_keeps_its_order_and_does_not_hold_up_the_others() {
        let (mut calls, began) = (Calls::default(), Began::default());
        let (one, two) = (Lane::Chat(ChatId::from_u128(1)), Lane::Chat(ChatId::from_u128(2)));
        let mut ends = Vec::new();
        for (name, lane) in [("a", one), ("b", one), ("c", two)] {
            let (end, until) = oneshot::channel();
            ends.push(end);
            push(&mut calls, lane, Order::Free, work(name, &began, until));
        }
        let (c, b, a) = (ends.pop().unwrap(), ends.pop().unwrap(), ends.pop().unwrap());
        // `b` could end at once, but `a` stands in front of it.
        b.send(None).unwrap();
        c.send(None).unwrap();
        assert_eq!(answer(&mut calls).await, "c");
        assert_eq!(*began.lock().unwrap(), ["a", "c"]);
        a.send(None).unwrap();
        assert_eq!(answer(&mut calls).await, "a");
        assert_eq!(answer(&mut calls).await, "b");
        assert!(calls.unanswered == 0 && calls.behind.is_empty());
    }

    #[tokio::test]
    async fn watermarks_hold_up_nobody() {
        let (mut calls, began) = (Calls::default(), Began::default());
        let mut ends = Vec::new();
        for (name, lane) in
            [("a", Lane::Watermarks), ("b", Lane::Watermarks), ("c", Lane::Conversation)]
        {
            let (end, until) = oneshot::channel();
            ends.push(end);
            push(&mut calls, lane, Order::Free, work(name, &began, until));
        }
        for (end, name) in ends.into_iter().zip(["a", "b", "c"]).rev() {
            end.send(None).unwrap();
            assert_eq!(answer(&mut calls).await, name);
        }
        assert!(calls.unanswered == 0 && calls.behind.is_empty());
    }

    #[tokio::test]
    async fn the_unanswered_are_bounded() {
        let (mut calls, began) = (Calls::default(), Began::default());
        for _ in 0..UNANSWERED_MAX {
            assert_eq!(calls.room(), Ok(()));
            let (end, until) = oneshot::channel();
            drop(end);
            push(&mut calls, Lane::List, Order::Free, work("x", &began, until));
        }
        assert_eq!(calls.room(), Err(TooMany));
        answer(&mut calls).await;
        assert_eq!(calls.room(), Ok(()));
    }
}

//! The calls of one socket that are under way: those of one lane in the order of their arrival,
//! those of different lanes side by side, all within the socket's one task.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};

use crate::domain::ChatId;
use crate::protocol::limits::UNANSWERED_MAX;

/// What keeps its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// An operator's calls about one chat; a customer's readings of one.
    Chat(ChatId),
    /// What a customer does, in whatever chat: its chats follow each other, and what it sends into
    /// an ended one goes into the next, where it must stand before what is sent there afterwards.
    Conversation,
    /// The operator's status.
    Status,
    /// Lists.
    List,
    /// Marks, of whatever chat. They wait for a write that comes once a second, and only the
    /// highest of a chat counts: so they keep no order and hold up nobody, not even each other.
    Marks,
}

impl Lane {
    fn keeps_order(self) -> bool {
        match self {
            Self::Chat(_) | Self::Conversation | Self::Status | Self::List => true,
            Self::Marks => false,
        }
    }
}

/// A call being carried out; it ends with the frame of its answer.
pub(super) type Work = Pin<Box<dyn Future<Output = String> + Send>>;

/// See the module.
#[derive(Default)]
pub(super) struct Calls {
    running: FuturesUnordered<InLane>,
    /// An entry stands for a lane in which a call runs.
    behind: HashMap<Lane, VecDeque<Work>>,
    unanswered: usize,
}

/// The socket has as many calls without an answer as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

struct InLane {
    lane: Lane,
    work: Work,
}

impl Future for InLane {
    type Output = (Lane, String);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let lane = self.lane;
        self.work.as_mut().poll(context).map(|frame| (lane, frame))
    }
}

impl Calls {
    /// Whether one more may come.
    pub fn room(&self) -> Result<(), TooMany> {
        if self.unanswered < UNANSWERED_MAX { Ok(()) } else { Err(TooMany) }
    }

    /// Begins a call, or lets it wait for those of its lane in front of it.
    pub fn push(&mut self, lane: Lane, work: Work) {
        self.unanswered += 1;
        if !lane.keeps_order() {
            self.running.push(InLane { lane, work });
            return;
        }
        match self.behind.get_mut(&lane) {
            Some(behind) => behind.push_back(work),
            None => {
                self.behind.insert(lane, VecDeque::new());
                self.running.push(InLane { lane, work });
            }
        }
    }

    /// The next answer; pending while there is none.
    pub fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<String> {
        match Pin::new(&mut self.running).poll_next(context) {
            Poll::Ready(Some((lane, frame))) => {
                self.ended(lane);
                Poll::Ready(frame)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn ended(&mut self, lane: Lane) {
        self.unanswered -= 1;
        match self.behind.get_mut(&lane).and_then(VecDeque::pop_front) {
            Some(work) => self.running.push(InLane { lane, work }),
            None => drop(self.behind.remove(&lane)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;

    use super::*;

    type Began = Arc<Mutex<Vec<&'static str>>>;

    fn work(name: &'static str, began: &Began, until: oneshot::Receiver<()>) -> Work {
        let began = Arc::clone(began);
        Box::pin(async move {
            began.lock().unwrap().push(name);
            let _ = until.await;
            name.to_owned()
        })
    }

    #[tokio::test]
    async fn a_lane_keeps_its_order_and_does_not_hold_up_the_others() {
        let (mut calls, began) = (Calls::default(), Began::default());
        let (one, two) = (Lane::Chat(ChatId::from_u128(1)), Lane::Chat(ChatId::from_u128(2)));
        let mut ends = Vec::new();
        for (name, lane) in [("a", one), ("b", one), ("c", two)] {
            let (end, until) = oneshot::channel();
            ends.push(end);
            calls.push(lane, work(name, &began, until));
        }
        let (c, b, a) = (ends.pop().unwrap(), ends.pop().unwrap(), ends.pop().unwrap());
        // `b` could end at once, but `a` stands in front of it.
        b.send(()).unwrap();
        c.send(()).unwrap();
        assert_eq!(poll_fn(|context| calls.poll_answer(context)).await, "c");
        assert_eq!(*began.lock().unwrap(), ["a", "c"]);
        a.send(()).unwrap();
        assert_eq!(poll_fn(|context| calls.poll_answer(context)).await, "a");
        assert_eq!(poll_fn(|context| calls.poll_answer(context)).await, "b");
        assert!(calls.unanswered == 0 && calls.behind.is_empty());
    }

    #[tokio::test]
    async fn marks_hold_up_nobody() {
        let (mut calls, began) = (Calls::default(), Began::default());
        let mut ends = Vec::new();
        for (name, lane) in [("a", Lane::Marks), ("b", Lane::Marks), ("c", Lane::Conversation)] {
            let (end, until) = oneshot::channel();
            ends.push(end);
            calls.push(lane, work(name, &began, until));
        }
        for (end, name) in ends.into_iter().zip(["a", "b", "c"]).rev() {
            end.send(()).unwrap();
            assert_eq!(poll_fn(|context| calls.poll_answer(context)).await, name);
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
            calls.push(Lane::List, work("x", &began, until));
        }
        assert_eq!(calls.room(), Err(TooMany));
        poll_fn(|context| calls.poll_answer(context)).await;
        assert_eq!(calls.room(), Ok(()));
    }
}

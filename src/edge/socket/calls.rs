//! The calls of one socket that are under way: those of one lane in the order of their arrival,
//! those of different lanes side by side, all within the socket's one task. Those that wait one behind the
//! other and go together are carried out together. What was put off keeps its turn ([`super::turns`]).

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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

/// Tasks being carried out; it ends with the answer of each. When one is to be sent again, none behind it has
/// been carried out.
pub(super) type Work = Pin<Box<dyn Future<Output = Vec<Answer>> + Send>>;

/// What a call leads to.
pub(super) trait Task: Sized {
    /// Whether the one that comes behind it can be carried out together with it.
    fn goes_with(&self, behind: &Self) -> bool;

    /// Carries out what goes together: one or more, in this order.
    fn carry_out(together: Vec<Self>) -> Work;

    /// What it is answered when it has to wait for another call, for so many ms.
    fn put_off(&self, wait_ms: u64) -> Answer;
}

/// See the module.
pub(super) struct Calls<T> {
    running: FuturesUnordered<InLane>,
    /// An entry stands for a lane in which a call runs or is due.
    behind: HashMap<Lane, VecDeque<(Ticket, T)>>,
    /// The lanes in which nothing runs, and perhaps something waits: it begins when answers are asked for, so
    /// that what comes in one go is together by then.
    due: Vec<Lane>,
    answered: VecDeque<String>,
    turns: Turns,
    unanswered: usize,
}

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Self {
            running: FuturesUnordered::new(),
            behind: HashMap::new(),
            due: Vec::new(),
            answered: VecDeque::new(),
            turns: Turns::default(),
            unanswered: 0,
        }
    }
}

/// The socket has as many calls without an answer as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

struct InLane {
    /// Until they are answered.
    tickets: Vec<Ticket>,
    work: Work,
}

impl Future for InLane {
    type Output = (Vec<Ticket>, Vec<Answer>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answers = ready!(self.work.as_mut().poll(context));
        Poll::Ready((std::mem::take(&mut self.tickets), answers))
    }
}

impl<T: Task> Calls<T> {
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

    /// Takes a call, which begins when answers are asked for, or waits for those of its lane in front of it.
    pub fn push(&mut self, ticket: Ticket, task: T, now: Timestamp) {
        self.unanswered += 1;
        let lane = ticket.lane;
        if !lane.keeps_order() {
            return self.begin(lane, vec![(ticket, task)], now);
        }
        let due = &mut self.due;
        let behind = self.behind.entry(lane).or_insert_with(|| {
            due.push(lane);
            // Most lanes have one call at a time.
            VecDeque::with_capacity(1)
        });
        behind.push_back((ticket, task));
    }

    /// The next answer; pending while there is none.
    pub fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
        now: impl Fn() -> Timestamp,
    ) -> Poll<String> {
        loop {
            if !self.due.is_empty() {
                self.begin_due(now());
            }
            if let Some(frame) = self.answered.pop_front() {
                return Poll::Ready(frame);
            }
            match Pin::new(&mut self.running).poll_next(context) {
                Poll::Ready(Some((tickets, answers))) => {
                    self.due.extend(tickets.first().map(|ticket| ticket.lane));
                    let now = now();
                    let answered = tickets.into_iter().zip(answers);
                    answered.for_each(|(ticket, answer)| self.answered(&ticket, answer, now));
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn begin_due(&mut self, now: Timestamp) {
        while let Some(lane) = self.due.pop() {
            let Some(behind) = self.behind.get_mut(&lane) else { continue };
            let mut together: Vec<(Ticket, T)> = behind.pop_front().into_iter().collect();
            while let (Some((_, last)), Some((_, next))) = (together.last(), behind.front())
                && last.goes_with(next)
            {
                together.extend(behind.pop_front());
            }
            if together.is_empty() {
                self.behind.remove(&lane);
            } else {
                self.begin(lane, together, now);
            }
        }
    }

    /// Begins what goes together; what has to wait for a call that was put off is answered so.
    fn begin(&mut self, lane: Lane, together: Vec<(Ticket, T)>, now: Timestamp) {
        let mut tickets = Vec::with_capacity(together.len());
        let mut tasks = Vec::with_capacity(together.len());
        for (ticket, task) in together {
            match self.turns.turn(&ticket, &tickets, now) {
                Ok(()) => {
                    tickets.push(ticket);
                    tasks.push(task);
                }
                Err(wait_ms) => self.answered(&ticket, task.put_off(wait_ms), now),
            }
        }
        if tasks.is_empty() {
            self.due.push(lane);
        } else {
            self.running.push(InLane { tickets, work: T::carry_out(tasks) });
        }
    }

    fn answered(&mut self, ticket: &Ticket, answer: Answer, now: Timestamp) {
        self.unanswered -= 1;
        self.turns.answered(ticket, answer.later_ms, now);
        self.answered.push_back(answer.frame);
    }

    /// The socket has ended. What was begun goes on in the router anyway: it is followed to its end,
    /// so that a revocation that closed the socket waits for it. What waited for its turn is not
    /// carried out.
    pub fn abandon(mut self, now: Timestamp) {
        self.begin_due(now);
        let mut running = self.running;
        if running.is_empty() {
            return;
        }
        let ends = async move { while running.next().await.is_some() {} };
        tokio::spawn(tokio::time::timeout(ABANDONED_LIMIT, ends));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::{Arc, Mutex};

    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    use super::super::turns::Change;
    use super::*;
    use crate::domain::{ChatId, CommandId};
    use crate::protocol::Method;

    type Began = Arc<Mutex<Vec<Vec<&'static str>>>>;

    const NOW: Timestamp = Timestamp(1_000);

    /// Ends when it is told to; goes with others if it says so.
    struct Fake {
        name: &'static str,
        goes: bool,
        began: Began,
        until: oneshot::Receiver<Option<u64>>,
    }

    impl Task for Fake {
        fn goes_with(&self, behind: &Self) -> bool {
            self.goes && behind.goes
        }

        fn carry_out(together: Vec<Self>) -> Work {
            Box::pin(async move {
                let names = together.iter().map(|task| task.name).collect();
                together[0].began.lock().unwrap().push(names);
                let mut answers = Vec::new();
                for task in together {
                    let later_ms = task.until.await.unwrap_or_default();
                    answers.push(Answer { frame: task.name.to_owned(), later_ms });
                }
                answers
            })
        }

        fn put_off(&self, ms: u64) -> Answer {
            Answer { frame: format!("{} after {ms}", self.name), later_ms: Some(ms) }
        }
    }

    fn keeps(id: &str) -> Order {
        let id = CommandId::new(id).unwrap();
        Order::Keeps(Change { chat: None, method: Method::MessageSend, id })
    }

    /// Sockets' calls, and how each ends.
    #[derive(Default)]
    struct Bench {
        calls: Calls<Fake>,
        began: Began,
        ends: HashMap<&'static str, oneshot::Sender<Option<u64>>>,
    }

    impl Bench {
        fn push(&mut self, name: &'static str, lane: Lane, order: Order, goes: bool) {
            let (end, until) = oneshot::channel();
            self.ends.insert(name, end);
            let ticket = self.calls.ticket(lane, order);
            let began = Arc::clone(&self.began);
            self.calls.push(ticket, Fake { name, goes, began, until }, NOW);
        }

        fn ends(&mut self, name: &'static str, later_ms: Option<u64>) {
            self.ends.remove(name).unwrap().send(later_ms).unwrap();
        }

        async fn answer(&mut self) -> String {
            poll_fn(|context| self.calls.poll_answer(context, || NOW)).await
        }

        /// Begins what is due.
        fn none_yet(&mut self) {
            let answer = poll_fn(|context| self.calls.poll_answer(context, || NOW)).now_or_never();
            assert_eq!(answer, None);
        }

        fn began(&self) -> Vec<Vec<&'static str>> {
            self.began.lock().unwrap().clone()
        }

        fn is_over(&self) -> bool {
            self.calls.unanswered == 0 && self.calls.behind.is_empty()
        }
    }

    #[tokio::test]
    async fn what_waits_behind_a_message_that_is_put_off_is_put_off_and_not_carried_out() {
        let mut bench = Bench::default();
        for name in ["a", "b"] {
            bench.push(name, Lane::Conversation, keeps(name), false);
        }
        bench.ends("a", Some(500));
        // Should it be carried out, it ends.
        bench.ends.clear();
        assert_eq!(bench.answer().await, "a");
        assert_eq!(bench.answer().await, "b after 550");
        assert_eq!(bench.began(), [["a"]]);
        assert!(bench.is_over());
    }

    #[tokio::test]
    async fn a_lane_keeps_its_order_and_does_not_hold_up_the_others() {
        let mut bench = Bench::default();
        let (one, two) = (Lane::Chat(ChatId::from_u128(1)), Lane::Chat(ChatId::from_u128(2)));
        for (name, lane) in [("a", one), ("b", one), ("c", two)] {
            bench.push(name, lane, Order::Free, false);
        }
        // `b` could end at once, but `a` stands in front of it.
        bench.ends("b", None);
        bench.ends("c", None);
        assert_eq!(bench.answer().await, "c");
        bench.none_yet();
        let mut began = bench.began();
        began.sort();
        assert_eq!(began, [["a"], ["c"]]);
        bench.ends("a", None);
        assert_eq!(bench.answer().await, "a");
        assert_eq!(bench.answer().await, "b");
        assert!(bench.is_over());
    }

    #[tokio::test]
    async fn those_that_go_together_and_wait_one_behind_the_other_begin_together() {
        let mut bench = Bench::default();
        let lane = Lane::Conversation;
        for (name, goes) in [("a", true), ("b", true), ("c", false), ("d", true), ("e", true)] {
            bench.push(name, lane, keeps(name), goes);
        }
        bench.none_yet();
        // What comes while they are under way is behind them.
        bench.push("f", lane, keeps("f"), true);
        for name in ["a", "b", "c", "d", "e", "f"] {
            bench.ends(name, None);
        }
        for name in ["a", "b", "c", "d", "e", "f"] {
            assert_eq!(bench.answer().await, name);
        }
        assert_eq!(bench.began(), [vec!["a", "b"], vec!["c"], vec!["d", "e", "f"]]);
        bench.none_yet();
        assert!(bench.is_over());
    }

    #[tokio::test]
    async fn repeats_of_what_was_put_off_go_together_and_what_is_not_repeated_holds_up_the_rest() {
        let mut bench = Bench::default();
        let lane = Lane::Conversation;
        for name in ["a", "b", "c"] {
            bench.push(name, lane, keeps(name), true);
            bench.ends(name, Some(500));
        }
        for name in ["a", "b", "c"] {
            assert_eq!(bench.answer().await, name);
        }
        // `b` is not sent again yet.
        for name in ["a", "c"] {
            bench.push(name, lane, keeps(name), true);
        }
        bench.ends("a", None);
        assert_eq!(bench.answer().await, "c after 550");
        assert_eq!(bench.answer().await, "a");
        for name in ["b", "c"] {
            bench.push(name, lane, keeps(name), true);
            bench.ends(name, None);
        }
        assert_eq!(bench.answer().await, "b");
        assert_eq!(bench.answer().await, "c");
        assert_eq!(bench.began(), [vec!["a", "b", "c"], vec!["a"], vec!["b", "c"]]);
        assert!(bench.is_over());
    }

    #[tokio::test]
    async fn watermarks_hold_up_nobody() {
        let mut bench = Bench::default();
        for (name, lane) in
            [("a", Lane::Watermarks), ("b", Lane::Watermarks), ("c", Lane::Conversation)]
        {
            bench.push(name, lane, Order::Free, false);
        }
        for name in ["c", "b", "a"] {
            bench.ends(name, None);
            assert_eq!(bench.answer().await, name);
        }
        bench.none_yet();
        assert!(bench.is_over());
    }

    #[tokio::test]
    async fn what_had_come_when_the_socket_ended_is_begun_and_what_waited_is_not() {
        let mut bench = Bench::default();
        bench.push("a", Lane::Conversation, Order::Free, false);
        bench.push("b", Lane::Conversation, Order::Free, false);
        let (began, mut ends) = (Arc::clone(&bench.began), bench.ends);
        bench.calls.abandon(NOW);
        let ended = ends.remove("a").unwrap();
        while began.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        ended.send(None).unwrap();
        ends.remove("b").unwrap().closed().await;
        assert_eq!(*began.lock().unwrap(), [["a"]]);
    }

    #[tokio::test]
    async fn the_unanswered_are_bounded() {
        let mut bench = Bench::default();
        for _ in 0..UNANSWERED_MAX {
            assert_eq!(bench.calls.room(), Ok(()));
            bench.push("x", Lane::List, Order::Free, false);
        }
        assert_eq!(bench.calls.room(), Err(TooMany));
        bench.ends.clear();
        bench.answer().await;
        assert_eq!(bench.calls.room(), Ok(()));
    }
}

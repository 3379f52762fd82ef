//! What everybody of a run has in common: what is to be done, what is known, and what was timed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::{CreationError, Histogram};
use tokio::sync::{Notify, watch};
use tokio::time::Duration;
use uuid::Uuid;

use super::ledger::{Ledger, Wait};
use crate::client::clock::Clock;
use crate::measure::report::Round;

/// The longest time that is told from longer ones, µs, and to how many digits.
const LONGEST_US: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// How long everybody waits for what is still to come when all is over: as long as a server that is busy may take for
/// an answer.
const LAST_ANSWERS_LIMIT: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Customers come, and nobody serves them.
    Line,
    /// Everybody does as is asked.
    Going,
    /// Nobody opens chats any more, and all operators serve.
    Draining,
    /// Nobody asks for anything any more, and everybody goes when all is answered.
    Over,
}

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Chats that were opened.
    pub opened: u64,
    /// Chats that were offered for the first time.
    pub offered: u64,
    /// Chats that were accepted, or taken.
    pub accepted: u64,
    /// Chats that were ended.
    pub ended: u64,
    /// Offers that were declined.
    pub declined: u64,
    /// Accepts that came too late: another one was first, or the operator stepped away.
    pub missed: u64,
    /// Operators who were back by another socket, by when they left.
    pub came_back: u64,
    /// Chats that were due and that nobody was there to open.
    pub unsent: u64,
    /// Chats that were due in the measured time and offered to nobody until the end.
    pub never_offered: u64,
}

/// What was timed, µs: what began in the measured time, however late it came to its end. A time that would count
/// by its end would be one of those who were served in time.
#[derive(Debug)]
pub struct Times {
    /// From when a chat was due to the answer to its `chat.open`.
    pub open: Histogram<u64>,
    /// From that answer to the first offer. Chats count by when they were due; what was never offered is in here,
    /// too, as long as it has waited at least.
    pub assign: Histogram<u64>,
    /// Of those the ones for which there was room: see [`Wait::was_room`].
    pub assign_free: Histogram<u64>,
    /// From when a chat was due to the first offer: what its customer waits in all.
    pub route: Histogram<u64>,
    /// Of those the ones for which there was room.
    pub route_free: Histogram<u64>,
    /// `offer.accept` or `chat.take`, until the answer.
    pub accept: Histogram<u64>,
    /// From the answer to `chat.end` to the next offer to that operator, if somebody who may be given to it waits
    /// all the time.
    pub next: Histogram<u64>,
}

impl Times {
    fn new() -> Result<Self, CreationError> {
        let times = || Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Ok(Self {
            open: times()?,
            assign: times()?,
            assign_free: times()?,
            route: times()?,
            route_free: times()?,
            accept: times()?,
            next: times()?,
        })
    }
}

/// See the module.
pub struct Hall {
    /// The run's clock.
    pub clock: Clock,
    /// What is to be done.
    pub stage: watch::Receiver<Stage>,
    /// How long is waited for the last answers.
    pub patience: Duration,
    /// What must hold.
    pub ledger: RefCell<Ledger>,
    /// The numbers of the queues.
    pub queues: BTreeMap<Uuid, usize>,
    /// Chats that are open at a time in a closed loop; none: they come when they are due.
    at_a_time: Option<usize>,
    /// Between which times is measured, µs.
    window: Cell<(u64, u64)>,
    times: RefCell<Times>,
    measured: Cell<Counts>,
    lately: Cell<Counts>,
    /// Since the beginning.
    opened: Cell<usize>,
    /// Chats that are open or about to be.
    open: Cell<usize>,
    idle: RefCell<VecDeque<usize>>,
    /// How each customer is told to open a chat, and when that one was due, µs.
    calls: Vec<(Notify, Cell<u64>)>,
}

impl Hall {
    /// With so many customers, all of them idle. Errors when the clock's times do not fit.
    pub fn new(
        stage: watch::Receiver<Stage>,
        ledger: Ledger,
        queues: BTreeMap<Uuid, usize>,
        at_a_time: Option<usize>,
        customers: usize,
    ) -> Result<Self, CreationError> {
        Ok(Self {
            clock: Clock::start(),
            stage,
            patience: LAST_ANSWERS_LIMIT,
            ledger: RefCell::new(ledger),
            queues,
            at_a_time,
            window: Cell::new((u64::MAX, u64::MAX)),
            times: RefCell::new(Times::new()?),
            measured: Cell::default(),
            lately: Cell::default(),
            opened: Cell::new(0),
            open: Cell::new(0),
            idle: RefCell::new((0..customers).collect()),
            calls: (0..customers).map(|_| (Notify::new(), Cell::new(0))).collect(),
        })
    }

    /// Measures from now on for so long, µs. What was before is in no look either.
    pub fn measure(&self, for_us: u64) {
        self.lately.take();
        let now_us = self.clock.us();
        self.window.set((now_us, now_us.saturating_add(for_us)));
    }

    fn is_measured(&self, at_us: u64) -> bool {
        let (from_us, to_us) = self.window.get();
        (from_us..to_us).contains(&at_us)
    }

    /// Something happened.
    pub fn count(&self, now_us: u64, what: impl Fn(&mut Counts)) {
        let add = |counts: &Cell<Counts>| {
            let mut more = counts.get();
            what(&mut more);
            counts.set(more);
        };
        add(&self.lately);
        if self.is_measured(now_us) {
            add(&self.measured);
        }
    }

    /// Something that began, or was due, then took so long.
    pub fn time(&self, began_us: u64, what: impl Fn(&mut Times) -> &mut Histogram<u64>, us: u64) {
        if self.is_measured(began_us) {
            what(&mut self.times.borrow_mut()).saturating_record(us);
        }
    }

    /// A chat has waited so long for its first offer.
    pub fn assigned(&self, wait: Wait) {
        self.time(wait.due_us, |times| &mut times.assign, wait.us);
        self.time(wait.due_us, |times| &mut times.route, wait.since_due_us);
        if wait.was_room {
            self.time(wait.due_us, |times| &mut times.assign_free, wait.us);
            self.time(wait.due_us, |times| &mut times.route_free, wait.since_due_us);
        }
    }

    /// Nothing is offered any more since then: whoever was offered to nobody has waited as long at least.
    pub fn is_late(&self, now_us: u64) {
        for wait in self.ledger.borrow().never_offered(now_us) {
            self.assigned(wait);
            self.count(wait.due_us, |counts| counts.never_offered += 1);
        }
    }

    /// Figures of a look each second.
    pub fn since_the_last(&self) -> BTreeMap<String, f64> {
        let Counts { opened, offered, accepted, ended, .. } = self.lately.take();
        let line = self.ledger.borrow().waiting();
        let figures = [
            ("opened_per_second", opened as f64),
            ("offered_per_second", offered as f64),
            ("accepted_per_second", accepted as f64),
            ("ended_per_second", ended as f64),
            ("line", line as f64),
        ];
        figures.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// What was measured within so many seconds.
    pub fn note(&self, round: &mut Round, seconds: f64) -> Counts {
        let counts = self.measured.get();
        let Counts { opened, offered, accepted, ended, .. } = counts;
        for (name, count) in [
            ("opened_per_second", opened),
            ("offered_per_second", offered),
            ("accepted_per_second", accepted),
            ("ended_per_second", ended),
        ] {
            round.set(name, count as f64 / seconds);
        }
        for (name, count) in [
            ("declined", counts.declined),
            ("accepts_missed", counts.missed),
            ("came_back", counts.came_back),
            ("unsent", counts.unsent),
            ("never_offered", counts.never_offered),
        ] {
            round.set(name, count as f64);
        }
        let times = self.times.borrow();
        round.time("open", &times.open);
        round.time("assign", &times.assign);
        round.time("assign_free", &times.assign_free);
        round.time("route", &times.route);
        round.time("route_free", &times.route_free);
        round.time("accept", &times.accept);
        round.time("next", &times.next);
        counts
    }

    /// How many chats have been opened.
    pub fn opened(&self) -> usize {
        self.opened.get()
    }

    /// A customer was answered that its chat is open.
    pub fn has_opened(&self) {
        self.opened.set(self.opened.get() + 1);
    }

    /// Whether no chat is open, or about to be.
    pub fn is_settled(&self) -> bool {
        self.open.get() == 0 && self.ledger.borrow().unsettled() == 0
    }

    /// Has an idle customer open a chat that was due then. Whether there was one.
    pub fn send_one(&self, due_us: u64) -> bool {
        if !self.ledger.borrow_mut().may_have_more() {
            return false;
        }
        let Some(customer) = self.idle.borrow_mut().pop_front() else { return false };
        self.open.set(self.open.get() + 1);
        if let Some((call, due)) = self.calls.get(customer) {
            due.set(due_us);
            call.notify_one();
        }
        true
    }

    /// Has customers open chats until so many are open as are wanted at a time.
    pub fn fill(&self) {
        while self.at_a_time.is_some_and(|most| self.open.get() < most)
            && self.send_one(self.clock.us())
        {}
    }

    /// Waits until a customer is to open a chat; when that was due, µs.
    pub async fn called(&self, customer: usize) -> u64 {
        match self.calls.get(customer) {
            Some((call, due)) => {
                call.notified().await;
                due.get()
            }
            None => std::future::pending().await,
        }
    }

    /// A customer's chat is over, or was not opened. In a closed loop whoever is idle opens the next one.
    pub fn is_over(&self, customer: usize) {
        self.open.set(self.open.get().saturating_sub(1));
        self.idle.borrow_mut().push_back(customer);
        if *self.stage.borrow() == Stage::Going {
            self.fill();
        }
    }

    /// A customer goes for a reason of its own: its chat counts as open no more.
    pub fn is_gone(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::routing::ledger::Rules;

    fn hall(stage: Stage, at_a_time: Option<usize>) -> (Hall, watch::Sender<Stage>) {
        hall_of(0, stage, at_a_time)
    }

    /// With so many operators, who serve queue 0.
    fn hall_of(
        operators: usize,
        stage: Stage,
        at_a_time: Option<usize>,
    ) -> (Hall, watch::Sender<Stage>) {
        let (tell, stage) = watch::channel(stage);
        let serves = vec![[0].into(); operators];
        let rules = Rules { capacity: 1, serves, cool_down_us: 0, are_asked: true, chats_max: 3 };
        (Hall::new(stage, Ledger::new(rules), BTreeMap::new(), at_a_time, 3).unwrap(), tell)
    }

    #[test]
    fn in_a_closed_loop_somebody_else_opens_the_next_chat_until_the_time_is_over() {
        let (hall, tell) = hall(Stage::Going, Some(2));
        hall.fill();
        assert_eq!((hall.open.get(), hall.idle.borrow().len()), (2, 1));
        hall.is_over(0);
        assert_eq!((hall.open.get(), hall.idle.borrow().iter().copied().collect()), (2, vec![0]));
        tell.send_replace(Stage::Draining);
        hall.is_over(1);
        assert_eq!((hall.open.get(), hall.is_settled()), (1, false));
        hall.is_over(2);
        assert!(hall.is_settled());
    }

    #[test]
    fn a_chat_that_is_due_needs_somebody_idle() {
        let (hall, _tell) = hall(Stage::Going, None);
        hall.fill();
        assert_eq!(hall.open.get(), 0, "nobody comes before it is due");
        assert_eq!([(); 4].map(|()| hall.send_one(0)), [true, true, true, false]);
    }

    #[test]
    fn a_chat_counts_by_when_it_was_due_and_one_that_is_never_offered_has_waited_until_the_end() {
        let (hall, _tell) = hall_of(1, Stage::Going, None);
        hall.window.set((10, 20));
        let chats = [(9, 15), (10, 25), (19, 25), (20, 25)];
        for (number, (due_us, opened_us)) in (1..).zip(chats) {
            let chat = Uuid::from_u128(number);
            assert_eq!(hall.ledger.borrow_mut().opened(chat, 0, (due_us, opened_us)), None);
        }
        hall.ledger.borrow_mut().status(0, true, 25);
        let first = Uuid::from_u128(2);
        let wait = hall.ledger.borrow_mut().presented(0, (first, first), Some(0), 1_025);
        hall.assigned(wait.unwrap());
        hall.is_late(5_025);
        let mut round = Round::default();
        hall.note(&mut round, 1.0);
        let assign = &round.times["assign"];
        assert_eq!((assign.count, assign.at(0.0), assign.max_us), (2, Some(1_000), 5_003));
        let route = &round.times["route"];
        assert_eq!((route.count, route.at(0.0), route.max_us), (2, Some(1_015), 5_007));
        assert_eq!(round.figures["never_offered"], 1.0);
        assert_eq!(round.times["assign_free"].count, 0, "nobody was ready when they were opened");
    }

    #[test]
    fn who_has_had_all_chats_of_a_run_before_its_end_is_told_once() {
        let (hall, _tell) = hall_of(1, Stage::Going, None);
        for chat in 1..=3 {
            assert!(hall.send_one(0));
            hall.ledger.borrow_mut().opened(Uuid::from_u128(chat), 0, (0, 0));
            hall.is_over(0);
        }
        assert_eq!([(); 2].map(|()| hall.send_one(0)), [false, false]);
        let told = hall.ledger.borrow().found().violations().to_vec();
        assert_eq!(told, ["there were 3 chats before the time was over"]);
    }

    #[test]
    fn the_first_look_has_nothing_of_what_was_before() {
        let (hall, _tell) = hall(Stage::Going, None);
        (0..3).for_each(|now_us| hall.count(now_us, |counts| counts.opened += 1));
        hall.measure(u64::MAX);
        hall.count(hall.clock.us(), |counts| counts.opened += 1);
        assert_eq!(hall.since_the_last()["opened_per_second"], 1.0);
    }

    #[test]
    fn only_what_falls_into_the_measured_time_is_in_the_figures() {
        let (hall, _tell) = hall(Stage::Going, None);
        hall.window.set((10, 20));
        for now_us in [9, 10, 19, 20] {
            hall.count(now_us, |counts| counts.opened += 1);
            hall.time(now_us, |times| &mut times.open, now_us);
        }
        let mut round = Round::default();
        assert_eq!(hall.note(&mut round, 2.0).opened, 2);
        assert_eq!(round.figures["opened_per_second"], 1.0);
        assert_eq!((round.times["open"].count, round.times["open"].max_us), (2, 19));
        assert_eq!(hall.since_the_last()["opened_per_second"], 4.0);
        assert_eq!(hall.since_the_last()["opened_per_second"], 0.0);
    }
}

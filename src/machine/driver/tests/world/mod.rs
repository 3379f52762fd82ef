//! A store in which everything goes wrong, a shell that crashes, guests who answer or do not, and people who
//! ask until they are answered; and what has to be true of them all.

mod people;
mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::domain::{Person, Recorded, Seq, Timestamp, UserId};
use crate::machine::CallId;
use crate::machine::driver::{Action, Answer, Driver, EventSourced, Input, Snapshot, Told};
use crate::storage::{FEED_HOUR_MS, FeedHour};

use super::group::{Ask, Deed, Does, Done, Event, Group, Key, Listed, RECENT, Refusal, Row};

pub use people::{ATTEMPTS, Got, done};
use store::Late;

/// What goes wrong with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process dies before it.
    CrashBefore,
    /// Or when it was done, before anybody knows.
    CrashAfter,
    /// The store refuses, and has done nothing; of a read, all but its first event.
    Refused,
    /// It refuses, and has done it all the same; of an append nobody knows.
    RefusedDone,
    /// It does not answer, and has done nothing.
    Silent,
    /// It does not answer, and has done it.
    SilentDone,
    /// It does not answer, and does it later, unless another claim comes before; a page is short.
    Late,
    /// It takes an hour.
    Slow,
    /// The clock is set back.
    Back,
    /// A page shows what is not in the log.
    Phantom,
}

pub const FAULTS: [Fault; 10] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::Refused,
    Fault::RefusedDone,
    Fault::Silent,
    Fault::SilentDone,
    Fault::Late,
    Fault::Slow,
    Fault::Back,
    Fault::Phantom,
];

/// How far the clock is set back, ms.
const BACK_MS: u64 = 10_000;

/// Which steps go wrong.
#[derive(Debug, Clone)]
pub enum Plan {
    /// One alone.
    At(usize, Fault),
    /// As the bytes say; none when they are used up.
    Random(VecDeque<u8>),
}

/// This life is over.
#[derive(Debug)]
struct Over;

#[derive(Debug)]
pub struct World {
    plan: Plan,
    /// What the store can.
    in_one_write: bool,
    pub step: usize,
    pub now: Timestamp,
    pub log: Vec<Recorded<Event>>,
    /// What stands of the group in the index.
    row: Option<Row>,
    epoch: u64,
    late: Option<Late>,
    hours: BTreeSet<FeedHour>,
    /// The steps at which the feed was told last, and something landed of which nobody knows.
    touched: usize,
    landed: usize,
    driver: Driver<Group>,
    /// As the shells know it: after which position nobody was told.
    untold: Option<Seq>,
    published: Seq,
    /// Calls that have come while another was under way.
    mailbox: VecDeque<(CallId, Ask)>,
    /// Calls without an answer, also those.
    waiting: BTreeMap<CallId, Ask>,
    calls: CallId,
    answers: BTreeMap<CallId, Result<Answer, Refusal>>,
    answered: BTreeMap<Key, Result<Answer, Refusal>>,
    /// The invitations of which the guests have heard, and whether they come, of those who said it.
    asked: BTreeSet<Key>,
    said: BTreeMap<Key, bool>,
    kept: Option<Snapshot<Group>>,
    /// What has happened, for whoever wants to know whether a run was eventful.
    pub seen: BTreeSet<String>,
}

impl World {
    pub fn new(plan: Plan, in_one_write: bool) -> Self {
        let listed = Listed(Some(None));
        let driver = Driver::new(Group::new(RECENT), (), listed, None).in_one_write(in_one_write);
        Self {
            plan,
            in_one_write,
            step: 0,
            now: Timestamp(10 * FEED_HOUR_MS),
            log: Vec::new(),
            row: None,
            epoch: 0,
            late: None,
            hours: BTreeSet::new(),
            touched: 0,
            landed: 0,
            driver,
            untold: None,
            published: 0,
            mailbox: VecDeque::new(),
            waiting: BTreeMap::new(),
            calls: 0,
            answers: BTreeMap::new(),
            answered: BTreeMap::new(),
            asked: BTreeSet::new(),
            said: BTreeMap::new(),
            kept: None,
            seen: BTreeSet::new(),
        }
    }

    /// A number that the plan chooses.
    pub fn pick(&mut self, below: u8) -> u8 {
        match &mut self.plan {
            Plan::At(..) => 0,
            Plan::Random(bytes) => bytes.pop_front().unwrap_or_default() % below,
        }
    }

    /// Whether anything may still go wrong.
    pub fn is_well(&self) -> bool {
        matches!(&self.plan, Plan::Random(bytes) if bytes.is_empty())
    }

    fn fault(&mut self) -> Option<Fault> {
        self.step += 1;
        self.land();
        let fault = match &mut self.plan {
            Plan::At(step, fault) => (*step == self.step).then_some(*fault),
            Plan::Random(bytes) => {
                let byte = usize::from(bytes.pop_front().unwrap_or_default());
                FAULTS.get(byte.wrapping_sub(1)).copied()
            }
        };
        self.seen.extend(fault.map(|fault| format!("{fault:?}")));
        match fault {
            Some(Fault::Slow) => self.now = self.now.plus_ms(FEED_HOUR_MS),
            Some(Fault::Back) => self.now = Timestamp(self.now.0 - BACK_MS),
            _ => self.now = self.now.plus_ms(1),
        }
        fault
    }

    /// The group as its log has it.
    pub fn durable(&self) -> Group {
        Group::folded(&self.log)
    }

    fn saw(&mut self, what: &str) {
        if !self.seen.contains(what) {
            self.seen.insert(what.to_owned());
        }
    }

    // ---- the shell ----

    /// Its deadline comes, if it has one.
    pub fn tick(&mut self) {
        let Some(at) = self.driver.next_deadline() else { return };
        self.saw("ticked");
        self.now = self.now.max(at);
        let actions = self.driver.input(self.now, Input::Tick);
        self.go_on(actions);
    }

    /// It goes to sleep, if it may, and the next life knows up to where everybody had been told.
    pub fn rest(&mut self) {
        if !self.driver.can_rest() {
            return;
        }
        self.saw("rested");
        assert!(self.waiting.is_empty(), "nobody who waits is let down: {:?}", self.waiting);
        if self.driver.is_claimed() {
            assert_eq!(*self.driver.fold(), self.durable(), "what is durable is known");
            assert!(self.landed <= self.touched, "who rests owes the feed nothing");
            let (fold_version, state) = (Group::FOLD_VERSION, self.driver.fold().clone());
            self.kept = Some(Snapshot { fold_version, state });
        }
        let rested = self.driver.told_up_to();
        self.begin(rested);
    }

    /// A new life, or as many as it takes. It wakes by itself when it stands in the index, or a former life
    /// may have told nobody.
    fn begin(&mut self, mut rested: Option<Seq>) {
        loop {
            let (group, listed) = (Group::new(RECENT), Listed(Some(self.row)));
            self.driver = Driver::new(group, (), listed, rested)
                .untold(self.untold)
                .in_one_write(self.in_one_write);
            if let Some(kept) = self.kept.clone().filter(|_| self.pick(2) == 1) {
                self.saw("kept");
                self.driver = self.driver.clone().kept(kept);
            }
            for (what, so) in [
                ("untold", self.untold.is_some()),
                ("found open", matches!(self.row, Some(Row::Until(_)))),
                ("found marked", self.row == Some(Row::Marked)),
            ] {
                if so {
                    self.saw(what);
                }
            }
            if self.untold.is_none() && self.row.is_none() {
                return;
            }
            let actions = self.driver.wake();
            if self.carry_out(actions).is_ok() {
                self.untold = None;
                self.check();
                return;
            }
            rested = None;
        }
    }

    fn go_on(&mut self, actions: Vec<Action<Group>>) {
        if self.carry_out(actions).is_err() {
            self.mailbox.clear();
            self.waiting.clear();
            self.begin(None);
        } else {
            self.check();
        }
    }

    /// What is true of a life that has nothing to do.
    fn check(&self) {
        assert!(self.driver.is_idle(), "the mailbox goes on: {:?}", self.driver);
        let mut calls: BTreeSet<CallId> = self.waiting.keys().copied().collect();
        calls.retain(|call| self.mailbox.iter().all(|(next, _)| next != call));
        let held = self.driver.held.iter().map(|(call, _, _)| *call).collect();
        assert_eq!(calls, held, "whoever asks is answered, or waits for an outcome");
        if self.driver.is_claimed() {
            let open = self.durable();
            for ask in calls.iter().filter_map(|call| self.waiting.get(call)) {
                assert!(open.invited.contains_key(&ask.wanted.key()), "{ask:?} waits for nothing");
            }
            assert_eq!(self.row, open.row(), "the index has what is open");
        }
    }

    fn carry_out(&mut self, actions: Vec<Action<Group>>) -> Result<(), Over> {
        let mut todo = VecDeque::from(actions);
        // When the last of them was said.
        let mut said_at = self.now;
        while let Some(action) = todo.pop_front() {
            let fault = self.fault();
            if fault == Some(Fault::CrashBefore) {
                return Err(Over);
            }
            match action {
                Action::Store(call) => {
                    let more = todo.iter().any(|action| matches!(action, Action::Store(_)));
                    assert!(!more, "one call to the store at a time");
                    let answer = self.store(call, fault, said_at);
                    if fault == Some(Fault::CrashAfter) {
                        return Err(Over);
                    }
                    said_at = self.now;
                    todo.extend(self.driver.stored(self.now, answer));
                }
                Action::Answer(call, answer) => self.is_answered(call, answer),
                Action::Publish(told) => self.publish(&told),
                Action::PublishLate(told) => {
                    self.saw("published late");
                    self.publish(&told);
                }
                Action::Own(Does::Lists(row)) => self.row = row,
                Action::Own(Does::Asks(key, guest)) => self.hears(key, guest),
                Action::Fail(failure) => {
                    assert!(!failure.is_lasting(), "{failure}");
                    self.saw("failed");
                    return Err(Over);
                }
            }
        }
        Ok(())
    }

    /// Nothing is told before it is durable, nothing is left out, and each who was there hears it.
    fn publish(&mut self, told: &[Told<Event>]) {
        for Told { recorded, to } in told {
            let at = recorded.seq as usize;
            assert_eq!(self.log.get(at - 1), Some(&**recorded), "it is durable as it is told");
            assert!(recorded.seq <= self.published + 1, "{at} is told after {}", self.published);
            self.published = self.published.max(recorded.seq);
            let there = |log| Group::folded(log).members.into_iter().map(Person::User);
            let all: BTreeSet<_> =
                there(&self.log[..at - 1]).chain(there(&self.log[..at])).collect();
            assert_eq!(*to, Vec::from_iter(all), "of {at}");
        }
        self.untold = None;
    }

    /// A guest is asked: whatever becomes of the process, the log has it that she was.
    fn hears(&mut self, key: Key, guest: UserId) {
        let open = self.durable().invited.get(&key).map(|open| open.guest);
        assert_eq!(open, Some(guest), "{key:?} is asked before it is in the log");
        if !self.asked.insert(key) {
            self.saw("asked again");
        }
    }

    /// All is well again, and everybody asks everything again.
    pub fn finish(&mut self, asked: &[Done]) {
        if let Plan::Random(bytes) = &mut self.plan {
            bytes.clear();
        }
        for wanted in asked {
            let known = self.answered.get(&wanted.key()).copied();
            let answer = self.ask(wanted);
            if let (Some(known), false) = (known, answer == Err(Refusal::IdReused)) {
                assert_eq!(answer, known, "{wanted:?}");
            }
        }
        // Somebody of whom nothing is known yet, so that the log is claimed in any case.
        let last = done(UserId::from_u128(99), "last", Deed::Joins);
        assert!(self.ask(&last).is_ok());
        assert_eq!(self.published, self.log.len() as u64, "everything was told");
        assert!(self.landed <= self.touched, "the feed knows of what came to light");
        let durable = self.durable();
        assert_eq!(*self.driver.fold(), durable);
        assert!(durable.invited.is_empty() && self.waiting.is_empty(), "nobody waits any more");
    }
}

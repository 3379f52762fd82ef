//! A store in which everything goes wrong, a shell that crashes, and people who ask until they are answered;
//! and what has to be true of them all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::domain::{CommandId, Person, Recorded, Seq, Timestamp, UserId};
use crate::machine::CallId;
use crate::machine::driver::{
    Action, Answer, Driver, EventSourced, Input, READ_PAGE, Snapshot, StoreAnswer, StoreCall, Told,
};
use crate::machine::fixture::command;
use crate::storage::{AppendError, Claimed, FEED_HOUR_MS, FeedHour, StoreError};

use super::group::{Ask, Deed, Done, Group, RECENT, Refusal};

/// How long whoever asks gives the group, ms.
const PATIENCE_MS: u64 = 5_000;

/// How often somebody asks before a test gives up: more often than anything goes wrong in a row.
const ATTEMPTS: usize = 1_000;

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

/// An append that takes effect after so many steps.
#[derive(Debug)]
struct Late {
    claim: u64,
    events: Vec<Recorded<Done>>,
    steps: u8,
}

#[derive(Debug)]
pub struct World {
    plan: Plan,
    pub step: usize,
    pub now: Timestamp,
    pub log: Vec<Recorded<Done>>,
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
    waiting: BTreeMap<CallId, Ask>,
    calls: CallId,
    answer: Option<Result<Answer, Refusal>>,
    answered: BTreeMap<(UserId, CommandId), Answer>,
    kept: Option<Snapshot<Group>>,
    /// What has happened, for whoever wants to know whether a run was eventful.
    pub seen: BTreeSet<String>,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            step: 0,
            now: Timestamp(10 * FEED_HOUR_MS),
            log: Vec::new(),
            epoch: 0,
            late: None,
            hours: BTreeSet::new(),
            touched: 0,
            landed: 0,
            driver: Driver::new(Group::new(RECENT), (), (), None),
            untold: None,
            published: 0,
            waiting: BTreeMap::new(),
            calls: 0,
            answer: None,
            answered: BTreeMap::new(),
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
            Some(Fault::Back) => self.now = Timestamp(self.now.0 - 2 * PATIENCE_MS),
            _ => self.now = self.now.plus_ms(1),
        }
        fault
    }

    // ---- people ----

    /// Asks until it is answered, and looks at the answer.
    pub fn ask(&mut self, wanted: &Done) -> Result<Answer, Refusal> {
        for _ in 0..ATTEMPTS {
            match self.try_once(wanted) {
                None | Some(Err(Refusal::Unavailable | Refusal::Late)) => {}
                Some(answer) => return answer,
            }
        }
        panic!("{wanted:?} is never answered");
    }

    /// Asks once; none: nobody answers.
    pub fn try_once(&mut self, wanted: &Done) -> Option<Result<Answer, Refusal>> {
        self.calls += 1;
        let ask = Ask { wanted: wanted.clone(), until: self.now.plus_ms(PATIENCE_MS) };
        self.waiting = BTreeMap::from([(self.calls, ask.clone())]);
        self.answer = None;
        assert!(self.driver.is_idle(), "the mailbox goes on: {:?}", self.driver);
        let actions = self.driver.input(self.now, Input::Call(self.calls, ask));
        self.go_on(actions);
        let answer = self.answer.take();
        if let Some(answer) = answer {
            self.judge(wanted, answer);
        }
        answer
    }

    /// What was answered is in the log, and what was refused is not.
    fn judge(&mut self, wanted: &Done, answer: Result<Answer, Refusal>) {
        let (who, id) = (wanted.who, &wanted.command);
        let same = |r: &&Recorded<Done>| r.event.who == who && r.event.command == *id;
        let stands: Vec<_> = self.log.iter().filter(same).collect();
        assert!(stands.len() < 2, "{wanted:?} is in the log {} times", stands.len());
        match (answer, stands.first()) {
            (Ok(answer), Some(stands)) => {
                assert_eq!((answer.seq, answer.at), (stands.seq, stands.at), "{wanted:?}");
                assert_eq!(stands.event.deed, wanted.deed, "the id was for something else");
                let first = self.answered.entry((who, id.clone())).or_insert(answer);
                assert_eq!(*first, answer, "whoever asks again gets the same answer");
            }
            (Err(Refusal::Unavailable), _) => {}
            (Err(Refusal::IdReused), Some(stands)) => {
                assert_ne!(stands.event.deed, wanted.deed);
                self.seen.insert("id reused".into());
            }
            (answer, None) => assert!(answer.is_err(), "{wanted:?} is answered and not written"),
            (answer, Some(stands)) => panic!("{wanted:?} stands as {stands:?}: {answer:?}"),
        }
    }

    /// Somebody looks, and nothing is written for it.
    pub fn look(&mut self) {
        let (tail, hours) = (self.log.len(), self.hours.len());
        let actions = self.driver.look();
        self.go_on(actions);
        if self.late.is_none() {
            assert!(self.log.len() == tail && self.hours.len() == hours, "a look writes nothing");
        }
    }

    /// Its deadline comes, if it has one.
    pub fn tick(&mut self) {
        let Some(at) = self.driver.next_deadline() else { return };
        self.seen.insert("ticked".into());
        self.now = self.now.max(at);
        let actions = self.driver.input(self.now, Input::Tick);
        self.go_on(actions);
    }

    /// It goes to sleep, if it may, and the next life knows up to where everybody had been told.
    pub fn rest(&mut self) {
        if !self.driver.can_rest() {
            return;
        }
        self.seen.insert("rested".into());
        if self.driver.is_claimed() {
            assert_eq!(*self.driver.fold(), Group::folded(&self.log), "what is durable is known");
            assert!(self.landed <= self.touched, "who rests owes the feed nothing");
            let (fold_version, state) = (Group::FOLD_VERSION, self.driver.fold().clone());
            self.kept = Some(Snapshot { fold_version, state });
        }
        let rested = self.driver.told_up_to();
        self.begin(rested);
    }

    // ---- the shell ----

    /// A new life, or as many as it takes.
    fn begin(&mut self, mut rested: Option<Seq>) {
        loop {
            let group = Group::new(RECENT);
            self.driver = Driver::new(group, (), (), rested).untold(self.untold);
            if let Some(kept) = self.kept.clone().filter(|_| self.pick(2) == 1) {
                self.seen.insert("kept".into());
                self.driver = self.driver.clone().kept(kept);
            }
            if self.untold.is_none() {
                return;
            }
            self.seen.insert("untold".into());
            let actions = self.driver.wake();
            if self.carry_out(actions).is_ok() {
                self.untold = None;
                return;
            }
            rested = None;
        }
    }

    fn go_on(&mut self, actions: Vec<Action<Group>>) {
        if self.carry_out(actions).is_err() {
            self.waiting.clear();
            self.begin(None);
        } else {
            assert!(self.waiting.is_empty(), "whoever asks is answered");
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
                Action::Answer(call, answer) => {
                    let asked = self.waiting.remove(&call);
                    assert!(asked.is_some(), "nobody waits for the answer to {call}");
                    if let Ok(Answer { seq, at }) = answer {
                        let stands = self.log.get(seq as usize - 1).map(|recorded| recorded.at);
                        assert_eq!(stands, Some(at), "answered before it is durable");
                    }
                    self.answer = Some(answer);
                }
                Action::Publish(told) => self.publish(&told),
                Action::PublishLate(told) => {
                    self.seen.insert("published late".into());
                    self.publish(&told);
                }
                Action::Own(never) => match never {},
                Action::Fail(failure) => {
                    assert!(!failure.is_lasting(), "{failure}");
                    self.seen.insert("failed".into());
                    return Err(Over);
                }
            }
        }
        Ok(())
    }

    /// Nothing is told before it is durable, nothing is left out, and each who was there hears it.
    fn publish(&mut self, told: &[Told<Done>]) {
        for Told { recorded, to } in told {
            let at = recorded.seq as usize;
            assert_eq!(self.log.get(at - 1), Some(&**recorded), "it is durable as it is told");
            assert!(recorded.seq <= self.published + 1, "{at} is told after {}", self.published);
            self.published = self.published.max(recorded.seq);
            let there = |log| Group::folded(log).members.into_iter().map(Person::User);
            let all: BTreeSet<_> =
                there(&self.log[..at - 1]).chain(there(&self.log[..at])).collect();
            assert_eq!(*to, all, "of {at}");
        }
        self.untold = None;
    }

    // ---- the store ----

    fn store(
        &mut self,
        call: StoreCall<Group>,
        fault: Option<Fault>,
        said_at: Timestamp,
    ) -> StoreAnswer<Group> {
        let refused = StoreError::Unavailable { reason: "planned".into() };
        let silent = StoreError::Silent { limit: Duration::from_secs(10) };
        // What it answers, if not that it was done; and whether it was.
        let (error, done) = match fault {
            Some(Fault::Refused) => (Some(refused), false),
            Some(Fault::RefusedDone) => (Some(refused), true),
            Some(Fault::Silent) => (Some(silent), false),
            Some(Fault::SilentDone | Fault::Late) => (Some(silent), true),
            _ => (None, true),
        };
        let answer = |error: Option<StoreError>| error.map_or(Ok(()), Err);
        match call {
            StoreCall::Claim => {
                self.epoch += u64::from(done);
                let claimed = Claimed { claim: self.epoch, tail: self.log.len() as u64 };
                StoreAnswer::Claimed(answer(error).map(|()| claimed))
            }
            StoreCall::Read { from } => {
                let whole = fault != Some(Fault::Late);
                let error = error.filter(|_| whole);
                let limit = if whole { READ_PAGE } else { 1 };
                let rest = self.log.iter().skip(from as usize - 1);
                let mut page: Vec<_> = rest.take(limit).cloned().collect();
                if fault == Some(Fault::Phantom) {
                    page.extend(self.phantom());
                }
                if self.driver.fold().journal().tail() >= from {
                    self.seen.insert("looked up".into());
                }
                StoreAnswer::Page(answer(error).map(|()| page))
            }
            StoreCall::Touch(hour) => {
                if done {
                    self.hours.insert(hour);
                    self.touched = self.step;
                }
                StoreAnswer::Touched(answer(error))
            }
            StoreCall::Prepare(never) => match never {},
            StoreCall::Append(claim, events) => {
                self.check_append(&events, said_at);
                StoreAnswer::Appended(self.append(claim, events, fault))
            }
        }
    }

    /// What a late write of a dead claim would look like.
    fn phantom(&self) -> Option<Recorded<Done>> {
        let mut phantom = self.log.last()?.clone();
        phantom.seq += 1;
        phantom.event.command = command("phantom");
        Some(phantom)
    }

    fn append(
        &mut self,
        claim: u64,
        events: Vec<Recorded<Done>>,
        fault: Option<Fault>,
    ) -> Result<(), AppendError> {
        self.untold.get_or_insert(events[0].seq - 1);
        let unknown = || AppendError::Unknown { reason: "planned".into() };
        match fault {
            Some(Fault::Refused) => Err(AppendError::Unavailable { reason: "planned".into() }),
            Some(Fault::RefusedDone | Fault::SilentDone) => {
                self.write(claim, events)?;
                self.landed = self.step;
                Err(unknown())
            }
            Some(Fault::Silent) => Err(unknown()),
            Some(Fault::Late) => {
                let steps = 1 + self.pick(4);
                self.late = Some(Late { claim, events, steps });
                Err(unknown())
            }
            _ => {
                self.write(claim, events)?;
                // Until it is told, nobody knows.
                if fault == Some(Fault::CrashAfter) {
                    self.landed = self.step;
                }
                Ok(())
            }
        }
    }

    /// The feed was told, and it is what somebody asks for, and not too late.
    fn check_append(&self, events: &[Recorded<Done>], said_at: Timestamp) {
        let hour = FeedHour::of(said_at);
        assert!(self.hours.contains(&hour), "the feed was not told of {hour:?}");
        for recorded in events {
            let asked = self.waiting.values().find(|ask| ask.wanted == recorded.event);
            let ask = asked.unwrap_or_else(|| panic!("{recorded:?} was not asked for"));
            assert!(said_at <= ask.until, "{recorded:?} comes too late");
        }
    }

    fn write(&mut self, claim: u64, events: Vec<Recorded<Done>>) -> Result<(), AppendError> {
        if claim != self.epoch {
            return Err(AppendError::Fenced);
        }
        let (tail, first) = (self.log.len() as u64, events[0].seq);
        if first != tail + 1 {
            return Err(AppendError::Conflict { tail, first });
        }
        let latest = self.log.last().map_or(Timestamp::default(), |last| last.at);
        assert!(events.iter().all(|recorded| recorded.at >= latest), "time runs backwards");
        self.log.extend(events);
        Ok(())
    }

    /// What was asked for long ago takes effect, if its claim still counts.
    fn land(&mut self) {
        let Some(late) = &mut self.late else { return };
        late.steps -= 1;
        if late.steps == 0
            && let Some(Late { claim, events, .. }) = self.late.take()
            && self.write(claim, events).is_ok()
        {
            self.seen.insert("landed late".into());
            self.landed = self.step;
        }
    }

    // ---- the end ----

    /// All is well again, and everybody asks everything again.
    pub fn finish(&mut self, asked: &[Done]) {
        if let Plan::Random(bytes) = &mut self.plan {
            bytes.clear();
        }
        for wanted in asked {
            let known = self.answered.get(&(wanted.who, wanted.command.clone())).copied();
            let answer = self.ask(wanted);
            if let (Some(known), false) = (known, answer == Err(Refusal::IdReused)) {
                assert_eq!(answer, Ok(known), "{wanted:?}");
            }
        }
        // Somebody of whom nothing is known yet, so that the log is claimed in any case.
        let last = Done { who: UserId::from_u128(99), command: command("last"), deed: Deed::Joins };
        assert!(self.ask(&last).is_ok());
        assert_eq!(self.published, self.log.len() as u64, "everything was told");
        assert!(self.landed <= self.touched, "the feed knows of what came to light");
        assert_eq!(*self.driver.fold(), Group::folded(&self.log));
    }
}

//! What all people of a replay share: the plan, the time, and who waits in which line.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard::domain::{ChatId, CustomerId, UserId};
use tokio::sync::watch;

use crate::client::clock::Clock;
use crate::pace::Speed;
use crate::plan::Plan;
use crate::run::provision::Door;
use crate::run::recorder::Recorder;
use crate::stats::Fate;
use crate::verify::Observation;

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// People come.
    Open,
    /// Whoever still waits, waits for nobody: they leave.
    GiveUp,
    /// All customers are gone: operators leave.
    Drained,
}

/// See the module.
pub struct Floor {
    /// Who does what, when.
    pub plan: Plan,
    /// How fast.
    pub speed: Speed,
    /// Where the server is.
    pub address: String,
    /// The run's clock.
    pub clock: Clock,
    /// The queues of the plan.
    pub doors: Vec<Door>,
    /// What people see.
    pub recorder: Recorder,
    /// Calls without an answer, of all clients.
    pub out: Arc<AtomicUsize>,
    /// How far the run is.
    pub phase: watch::Receiver<Phase>,
    start_us: u64,
    state: Mutex<State>,
    served: AtomicUsize,
}

#[derive(Default)]
struct State {
    customers: HashMap<CustomerId, usize>,
    fates: BTreeMap<usize, (Fate, u64)>,
    /// In which queue each chat is, and whether it is over.
    chats: BTreeMap<ChatId, (usize, bool)>,
    /// Customers in a line.
    waiting: BTreeMap<usize, usize>,
    busy_ms: u64,
    on_duty_ms: u64,
}

impl Floor {
    /// A floor whose trace begins at `start_ms` of the clock.
    pub fn new(
        plan: Plan,
        speed: Speed,
        address: String,
        clock: Clock,
        doors: Vec<Door>,
        (start_ms, phase): (u64, watch::Receiver<Phase>),
    ) -> Self {
        Self {
            plan,
            speed,
            address,
            clock,
            doors,
            recorder: Recorder::default(),
            out: Arc::default(),
            phase,
            start_us: start_ms * 1_000,
            state: Mutex::default(),
            served: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When that time of the trace is, µs of the run.
    pub fn us_of(&self, trace_ms: u64) -> u64 {
        self.start_us + self.length_us(trace_ms)
    }

    /// How long that time of the trace takes, µs.
    pub fn length_us(&self, trace_ms: u64) -> u64 {
        trace_ms.saturating_mul(1_000) / u64::from(self.speed.times())
    }

    /// The time of the trace at that time of the run, ms.
    pub fn trace_ms(&self, us: u64) -> u64 {
        us.saturating_sub(self.start_us) * u64::from(self.speed.times()) / 1_000
    }

    /// A customer has an id.
    pub fn is_customer(&self, id: CustomerId, place: usize) {
        self.state().customers.insert(id, place);
    }

    /// Who has that id.
    pub fn customer(&self, id: CustomerId) -> Option<usize> {
        self.state().customers.get(&id).copied()
    }

    /// A customer's chat waits.
    pub fn waits(&self, place: usize, chat: ChatId, at_us: u64) {
        let Some(who) = self.plan.customers.get(place) else {
            return;
        };
        let mut state = self.state();
        state.chats.insert(chat, (who.queue, false));
        state.waiting.insert(place, who.queue);
        self.wait_began(chat, who.queue, at_us);
    }

    /// A chat is offered: it waits no more, for now.
    pub fn offered(&self, chat: ChatId, at_us: u64) {
        let at_ms = at_us / 1_000;
        let over = Observation::WaitOver { chat, at_ms };
        self.recorder.book().ledger.observe(over);
    }

    /// The offer came to nothing; the operator is not asked again for `cool_down_ms`.
    pub fn waits_again(&self, chat: ChatId, operator: UserId, at_us: u64, cool_down_ms: u64) {
        let state = self.state();
        if let Some((queue, false)) = state.chats.get(&chat) {
            let at_ms = at_us / 1_000;
            let until_ms = Some(at_ms + cool_down_ms);
            let excluded = Observation::Excluded { chat, operator, at_ms, until_ms };
            self.recorder.book().ledger.observe(excluded);
            self.wait_began(chat, *queue, at_us);
        }
    }

    /// A customer is served, or its chat is over: it waits no more, for good.
    pub fn waits_no_more(&self, place: usize, chat: ChatId, at_us: u64) {
        let mut state = self.state();
        state.waiting.remove(&place);
        if let Some((_, over)) = state.chats.get_mut(&chat) {
            *over = true;
        }
        self.offered(chat, at_us);
    }

    fn wait_began(&self, chat: ChatId, queue: usize, at_us: u64) {
        let Some(door) = self.doors.get(queue) else {
            return;
        };
        let began = Observation::WaitBegan { chat, queue: door.queue, at_ms: at_us / 1_000 };
        self.recorder.book().ledger.observe(began);
    }

    /// What became of a customer, and how long it was in line, ms of the trace.
    pub fn met(&self, place: usize, fate: Fate, waited_ms: u64) {
        if fate == Fate::Served {
            self.served.fetch_add(1, Ordering::Relaxed);
        }
        self.state().fates.insert(place, (fate, waited_ms));
    }

    /// An operator was with a customer, or on duty, from one µs of the run to another.
    pub fn worked(&self, busy: bool, from_us: u64, to_us: u64) {
        let within = |us| self.trace_ms(us).min(self.plan.length_ms);
        let length_ms = within(to_us).saturating_sub(within(from_us));
        let mut state = self.state();
        if busy {
            state.busy_ms += length_ms;
        } else {
            state.on_duty_ms += length_ms;
        }
    }

    /// How many have met which fate so far, by the plan's places.
    pub fn fates(&self) -> BTreeMap<usize, (Fate, u64)> {
        self.state().fates.clone()
    }

    /// Operators' time with a customer and on duty, ms of the trace.
    pub fn work(&self) -> (u64, u64) {
        let state = self.state();
        (state.busy_ms, state.on_duty_ms)
    }

    /// Customers served, all who have met their fate, and those in a line.
    pub fn counts(&self) -> (usize, usize, usize) {
        let state = self.state();
        let served = self.served.load(Ordering::Relaxed);
        (served, state.fates.len(), state.waiting.len())
    }

    /// All chats that were opened.
    pub fn chats(&self) -> Vec<ChatId> {
        self.state().chats.keys().copied().collect()
    }

    /// Whether all who are not gone wait in queues that nobody will serve any more.
    pub fn all_wait_for_nobody(&self, now_us: u64) -> bool {
        let state = self.state();
        let left = self.plan.customers.len() - state.fates.len();
        left == state.waiting.len()
            && state.waiting.values().all(|queue| !self.is_served(*queue, now_us))
    }

    fn is_served(&self, queue: usize, now_us: u64) -> bool {
        let now_ms = self.trace_ms(now_us);
        let members = self.plan.operators.iter().filter(|who| who.queues.contains(&queue));
        members
            .flat_map(|who| &who.shifts)
            .any(|shift| shift.to_ms.is_none_or(|to_ms| to_ms > now_ms))
    }
}

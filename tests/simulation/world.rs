//! The world: a seeded heap of events, the real machines, and all that can go wrong around them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use switchboard::domain::limits::CHAT_SHARDS;
use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{self, ChatId, QueueId, Recorded, RoutingSettings, Timestamp, UserId};
use switchboard::machine::chat::driver::{Beside, Driver, StoreAnswer};
use switchboard::machine::chat::{ChatCall, ChatInput};
use switchboard::machine::index::{Index, shard};
use switchboard::machine::message::{ToChat, ToOperator, ToQueue};
use switchboard::machine::operator::{Operator, OperatorCall, OperatorInput, ShownOffers};
use switchboard::machine::queue::{Queue, QueueInput};
use switchboard::machine::timer::Armed;
use switchboard::storage::{Claim, FEED_HOUR_MS, RowUpdate};

use crate::check::Checker;
use crate::coverage::Coverage;
use crate::healing::Healing;
use crate::heard::Heard;
use crate::lapses::Lapses;
use crate::overtaking::Overtaking;
use crate::people::{Customer, Human};
use crate::planted::Planted;
use crate::pulls::Pulls;
use crate::refusals::Refusals;
use crate::rng::Rng;
use crate::rows::Rows;
use crate::store::Store;
use crate::time::Heap;
use crate::told::Told;
use crate::visitors::VISITOR_OFFER_EVERY_MS;

/// How hard a world is.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Whether anything goes wrong at all.
    pub faults: bool,
    /// Actors crash, and nothing else goes wrong.
    pub crashes: bool,
    /// Many operators and queues.
    pub large: bool,
    /// A fault in the code, planted by hand to see that it is caught.
    pub planted: Option<Planted>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { faults: true, crashes: false, large: false, planted: None }
    }
}

/// A faulty phase and a calm one take turns; the world is looked over at the end of a calm one.
const FAULTY_MS: u64 = 8_000;
const CALM_MS: u64 = 12_000;
/// How long before the end of a calm phase people stop acting, so that the router comes to rest.
/// Longer than every repeat, reservation, `Assign` and restarted operator needs together.
const REST_MS: u64 = 9_000;

/// When the world begins, ms: the clock can be set back by days, and an hour of the feed ends in the midst
/// of the first faulty phase.
const START_MS: u64 = 2_778 * FEED_HOUR_MS - FAULTY_MS / 2;

/// How long a message takes where a fault is planted that makes it slow, ms.
const SLOW_MS: u64 = 6_000;

#[derive(Debug, Clone)]
pub enum Happening {
    ToChat(ChatId, ChatInput),
    ToQueue(QueueId, ToQueue),
    ToOperator(UserId, ToOperator),
    OperatorCall(UserId, u64, OperatorCall),
    Stored(ChatId, u64, StoreAnswer),
    Written(Claim, Vec<Recorded>, Option<Beside>),
    RowWritten(ChatId, RowUpdate),
    Saved(UserId, u64, OperatorRecord, bool),
    Wake(Actor, u64, Timestamp),
    /// The store has not answered this life in time.
    Silent(Actor, u64),
    Restart(Actor),
    /// Chats that sleep are woken by the deadlines of their rows.
    Deadlines,
    Process,
    Customer(usize),
    Human(usize),
    ProbeAnswer(UserId, u64, u64),
    CallTimeout(u64),
    Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    Chat(ChatId),
    Queue(QueueId),
    Operator(UserId),
}

pub struct ChatActor {
    pub driver: Driver,
    pub life: u64,
    pub mailbox: VecDeque<ChatInput>,
    pub armed: Armed,
}

pub struct Live<M> {
    pub machine: M,
    pub life: u64,
    pub armed: Armed,
}

/// A call on its way.
#[derive(Debug, Clone)]
pub enum Pending {
    Chat(ChatId, ChatCall),
    Operator(UserId, OperatorCall),
}

pub struct World {
    pub seed: u64,
    pub plan: Plan,
    /// The store writes what stands beside a log with the events: so with every odd seed.
    pub in_one_write: bool,
    pub rng: Rng,
    /// The clock that the process reads, ms.
    pub now: u64,
    /// How far that clock is behind the time that really passes, ms: it was set back before the
    /// process started. Negative: ahead.
    pub behind: i64,
    pub heap: Heap<Happening>,
    pub steps: u64,
    pub process: u64,
    pub up: bool,
    pub lives: u64,
    pub last_fault: u64,
    pub store: Store,
    pub rows_until: BTreeMap<ChatId, u64>,
    pub indexes: [Index; CHAT_SHARDS],
    pub chats: BTreeMap<ChatId, ChatActor>,
    pub queues: BTreeMap<QueueId, Live<Queue>>,
    pub operators: BTreeMap<UserId, Live<Operator>>,
    /// What was sent to screens, as the process keeps it over the operators' lives.
    pub screens: BTreeMap<UserId, ShownOffers>,
    pub configs: BTreeMap<QueueId, domain::Queue>,
    pub queues_made: u64,
    pub capacities: BTreeMap<UserId, u32>,
    pub inactive: BTreeSet<UserId>,
    pub settings: RoutingSettings,
    pub customers: Vec<Customer>,
    pub humans: Vec<Human>,
    pub calls: BTreeMap<u64, Pending>,
    /// When each was asked for the first time.
    pub call_since: BTreeMap<u64, u64>,
    pub call_n: u64,
    pub checker: Checker,
    pub overtaking: Overtaking,
    /// What each queue has heard.
    pub heard: Heard,
    pub pulls: Pulls,
    pub refusals: Refusals,
    pub lapses: Lapses,
    pub told: Told,
    pub rows: Rows,
    pub feed: crate::feed::Told,
    pub healing: Healing,
    pub coverage: Coverage,
    pub started_at: u64,
    /// Prints every happening; set by `SWITCHBOARD_SIM_TRACE`.
    trace: bool,
}

impl World {
    pub fn new(seed: u64, plan: Plan) -> Self {
        let settings = RoutingSettings {
            cool_down_ms: 3_000,
            visitor_offer_every_ms: VISITOR_OFFER_EVERY_MS,
            lapses_to_away: 3,
            ..Default::default()
        };
        let mut world = Self {
            seed,
            plan,
            in_one_write: !seed.is_multiple_of(2),
            now: START_MS,
            behind: 0,
            heap: Heap::new(),
            steps: 0,
            process: 0,
            up: false,
            lives: 0,
            last_fault: 0,
            store: Store::default(),
            rows_until: BTreeMap::new(),
            indexes: Default::default(),
            chats: BTreeMap::new(),
            queues: BTreeMap::new(),
            operators: BTreeMap::new(),
            screens: BTreeMap::new(),
            configs: BTreeMap::new(),
            queues_made: 0,
            capacities: BTreeMap::new(),
            inactive: BTreeSet::new(),
            settings,
            customers: Vec::new(),
            humans: Vec::new(),
            calls: BTreeMap::new(),
            call_since: BTreeMap::new(),
            call_n: 0,
            checker: Checker::default(),
            overtaking: Overtaking::default(),
            heard: Heard::new(),
            pulls: Pulls::default(),
            refusals: Refusals::default(),
            lapses: Lapses::default(),
            told: Told::default(),
            rows: Rows::default(),
            feed: crate::feed::Told::default(),
            healing: Healing::default(),
            coverage: Coverage { seeds: 1, ..Default::default() },
            started_at: 0,
            trace: std::env::var_os("SWITCHBOARD_SIM_TRACE").is_some(),
            rng: Rng::new(seed),
        };
        world.checker.settings = settings;
        world.people();
        world.started_at = world.now;
        world.start_process();
        let first = world.now + world.rng.below(2_000);
        world.at(first, None, Happening::Trouble);
        world
    }

    /// What the index has of a chat.
    pub fn index(&self, chat: ChatId) -> &Index {
        &self.indexes[shard(chat)]
    }

    pub fn index_mut(&mut self, chat: ChatId) -> &mut Index {
        &mut self.indexes[shard(chat)]
    }

    fn people(&mut self) {
        let (fewest, most) = if self.plan.large { (20, 40) } else { (4, 8) };
        let operators: Vec<UserId> = (0..self.rng.within(fewest, most))
            .map(|n| UserId::from_u128(0x0a00 + u128::from(n)))
            .collect();
        for (n, operator) in operators.iter().enumerate() {
            let capacity = self.rng.within(1, 3) as u32;
            self.capacities.insert(*operator, capacity);
            self.checker.capacity(*operator, capacity);
            self.humans.push(Human::new(*operator));
            let at = self.now + self.rng.below(500);
            self.at(at, None, Happening::Human(n));
        }
        self.coverage.operators = operators.len() as u64;
        let (fewest, most) = if self.plan.large { (6, 12) } else { (2, 4) };
        for n in 0..self.rng.within(fewest, most) {
            let queue = self.new_queue(&operators, if n < 2 { 3 } else { 4 });
            self.configs.insert(queue.id, queue);
        }
        let (fewest, most) = if self.plan.large { (60, 90) } else { (20, 32) };
        for n in 0..self.rng.within(fewest, most) as usize {
            self.customers.push(Customer::new(n));
            let at = self.now + self.rng.below(8_000);
            self.at(at, None, Happening::Customer(n));
        }
    }

    // ---- time ----

    /// The wall clock is set back.
    pub fn set_back(&mut self, ms: u64) {
        self.fault("clock set back");
        self.now -= ms;
        self.behind += ms as i64;
        self.rows_until.clear();
        self.overtaking.clock_set_back(self.now);
        self.checker.visitors.clock_set_back(self.now());
    }

    /// It is set forward.
    pub fn set_forward(&mut self, ms: u64) {
        self.fault("clock set forward");
        self.now += ms;
        self.behind -= ms as i64;
        self.overtaking.clock_set_forward();
    }

    /// It is set right again.
    pub fn set_right(&mut self) {
        let ms = self.behind.unsigned_abs();
        match self.behind {
            0 => {}
            1.. => self.set_forward(ms),
            _ => self.set_back(ms),
        }
    }

    /// The time that really passes, ms.
    pub fn passed(&self) -> u64 {
        self.now.saturating_add_signed(self.behind)
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Whether things go wrong at present.
    pub fn faulty(&self) -> bool {
        let turn = (self.passed() - self.started_at) % (FAULTY_MS + CALM_MS);
        self.plan.faults && turn < FAULTY_MS
    }

    /// Whether nothing has gone wrong for longer than late and lost words take.
    pub fn quiet_for_long(&self) -> bool {
        let turn = (self.passed() - self.started_at) % (FAULTY_MS + CALM_MS);
        !self.plan.faults || turn >= FAULTY_MS + 4_000
    }

    /// Whether people hold still, so that the router can come to rest.
    pub fn resting(&self) -> bool {
        let turn = (self.passed() - self.started_at) % (FAULTY_MS + CALM_MS);
        turn >= FAULTY_MS + CALM_MS - REST_MS
    }

    pub fn at(&mut self, at: u64, process: Option<u64>, what: Happening) {
        self.heap.push(at.max(self.now).saturating_add_signed(self.behind), process, what);
    }

    pub fn fault(&mut self, what: &'static str) {
        self.last_fault = self.now;
        self.coverage.count("fault", what);
    }

    /// Runs `steps` steps, and on to the end of the calm phase in which they end.
    pub fn run(&mut self, steps: u64) {
        let mut look_over = self.started_at + FAULTY_MS + CALM_MS;
        while let Some(next) = self.heap.pop() {
            while next.at >= look_over {
                self.now = (look_over - 1).saturating_add_signed(-self.behind);
                self.checker_at_rest();
                if self.steps >= steps {
                    return;
                }
                look_over += FAULTY_MS + CALM_MS;
            }
            self.now = next.at.saturating_add_signed(-self.behind);
            if next.process.is_some_and(|process| process != self.process || !self.up) {
                continue;
            }
            self.steps += 1;
            self.happen(next.what);
        }
    }

    pub fn finish(mut self) -> Coverage {
        if self.checker.visitors.passed_over > 0 {
            self.coverage.count("order", "passed over for its visitor");
        }
        self.check_messages();
        self.coverage.steps = self.steps;
        self.coverage.chats = self.store.logs.len() as u64;
        self.coverage
    }

    fn happen(&mut self, what: Happening) {
        if self.trace {
            println!("{} {what:?}", self.now);
        }
        // When it arrives, not when it is sent: until then the stay may have changed.
        match self.without_stays(what) {
            Happening::ToChat(chat, input) => self.chat_input(chat, input),
            Happening::ToQueue(queue, said) if !self.configs.contains_key(&queue) => {
                self.heard_by_nobody(queue, &said);
            }
            Happening::ToQueue(queue, said) => self.queue_step(queue, QueueInput::Said(said)),
            Happening::ToOperator(operator, said) => {
                self.operator_step(operator, OperatorInput::Said(said));
            }
            Happening::OperatorCall(operator, call, wanted) => {
                self.operator_step(operator, OperatorInput::Call(call, wanted));
            }
            Happening::Stored(chat, life, answer) => self.stored(chat, life, answer),
            Happening::Written(claim, events, beside) => match self.write(claim, &events, beside) {
                Ok(()) => self.landed_unknown(claim.chat),
                Err(_) => self.coverage.count("fault", "late write fenced"),
            },
            Happening::Silent(actor, life) => self.given_up(actor, life),
            Happening::RowWritten(chat, update) => self.store.update_row(chat, update),
            Happening::Saved(operator, life, record, durable) => {
                if durable {
                    self.store.records.insert(operator, record);
                }
                if self.operators.get(&operator).is_some_and(|live| live.life == life) {
                    self.operator_step(operator, OperatorInput::Saved(durable));
                }
            }
            Happening::Wake(actor, life, at) => self.wake(actor, life, at),
            Happening::Restart(actor) => self.start(actor),
            Happening::Deadlines => self.wake_sleepers(),
            Happening::Process => self.start_process(),
            Happening::Customer(n) => self.customer_acts(n),
            Happening::Human(n) => self.human_acts(n),
            Happening::ProbeAnswer(operator, connection, probe) => {
                self.operator_step(operator, OperatorInput::ProbeAnswered(connection, probe));
            }
            Happening::CallTimeout(call) => self.call_again(call),
            Happening::Trouble => self.trouble(),
        }
    }

    // ---- the network between actors ----

    pub fn deliver(&mut self, what: Happening) {
        self.healing.messages += 1;
        if self.plan.planted.is_some_and(|planted| planted.loses(&what)) {
            return;
        }
        if self.plan.planted == Some(Planted::LostOwnerGone)
            && let Happening::ToChat(_, ChatInput::Said(ToChat::OwnerGone { operator, .. })) = &what
            && !self.inactive.contains(operator)
        {
            return;
        }
        if self.plan.planted == Some(Planted::MixesStays)
            && let Happening::ToChat(_, ChatInput::Said(ToChat::Withdraw { .. })) = &what
        {
            // A late word, which counts for what is so when it arrives.
            let late = self.now + self.rng.within(50, 1_500);
            self.at(late, Some(self.process), what.clone());
        }
        let what = match self.plan.planted {
            Some(planted) => planted.alters(what),
            None => what,
        };
        let faulty = self.faulty();
        if faulty && self.rng.chance(20) {
            self.fault("message lost");
            return;
        }
        if faulty && self.rng.chance(20) {
            self.fault("message doubled");
            let at = self.now + self.rng.below(400);
            self.at(at, Some(self.process), what.clone());
        }
        let slow = self.plan.planted == Some(Planted::SlowArrivals)
            && matches!(what, Happening::ToQueue(_, ToQueue::At(_)));
        let delay = if slow {
            SLOW_MS
        } else if faulty && self.rng.chance(60) {
            self.fault("message late");
            self.rng.within(50, 2_500)
        } else {
            self.rng.below(4)
        };
        self.at(self.now + delay, Some(self.process), what);
    }
}

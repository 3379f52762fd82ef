//! The world: a seeded heap of events, the real machines, and all that can go wrong around them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use switchboard::domain::limits::ASSIGN_LIMIT_MS;
use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{
    self, ChatId, OfferId, Priority, QueueId, Recorded, RoutingSettings, Rule, Timestamp, UserId,
};
use switchboard::machine::chat::driver::{Action, Driver, StoreAnswer, StoreCall};
use switchboard::machine::chat::{Answer, ChatCall, ChatInput, Refusal};
use switchboard::machine::index::Index;
use switchboard::machine::message::{ToChat, ToOperator, ToQueue};
use switchboard::machine::operator::{
    Account, Notice, Operator, OperatorAnswer, OperatorCall, OperatorEffect, OperatorInput, Terms,
};
use switchboard::machine::queue::{Queue, QueueEffect, QueueInput};
use switchboard::storage::{AppendError, Claim, OpenChat, StoreError};

use crate::check::Checker;
use crate::coverage::Coverage;
use crate::people::{Customer, Human};
use crate::planted::Planted;
use crate::rng::Rng;
use crate::store::{AppendFate, Store, fate};

/// How hard a world is.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Whether anything goes wrong at all.
    pub faults: bool,
    /// A fault in the code, planted by hand to see that it is caught.
    pub planted: Option<Planted>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { faults: true, planted: None }
    }
}

/// A faulty phase and a calm one take turns; the world is looked over at the end of a calm one.
const FAULTY_MS: u64 = 8_000;
const CALM_MS: u64 = 12_000;
/// How long before the end of a calm phase people stop acting, so that the router comes to rest.
/// Longer than every repeat, reservation, `Assign` and restarted operator needs together.
const REST_MS: u64 = 9_000;
/// How often the deadlines of sleeping chats are looked at.
const WAKE_EVERY_MS: u64 = 250;

#[derive(Debug, Clone)]
pub enum Happening {
    ToChat(ChatId, ChatInput),
    ToQueue(QueueId, ToQueue),
    ToOperator(UserId, ToOperator),
    OperatorCall(UserId, u64, OperatorCall),
    Stored(ChatId, u64, StoreAnswer),
    Written(Claim, Vec<Recorded>),
    RowWritten(ChatId, Option<OpenChat>),
    Saved(UserId, u64, OperatorRecord, bool),
    Wake(Actor, u64),
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

struct Scheduled {
    at: u64,
    n: u64,
    /// Happenings inside the router end with its process.
    process: Option<u64>,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.n).cmp(&(self.at, self.n))
    }
}

pub struct ChatActor {
    pub driver: Driver,
    life: u64,
    mailbox: VecDeque<ChatInput>,
    armed: Option<Timestamp>,
}

pub struct Live<M> {
    pub machine: M,
    pub life: u64,
    armed: Option<Timestamp>,
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
    pub rng: Rng,
    pub now: u64,
    n: u64,
    heap: BinaryHeap<Scheduled>,
    pub steps: u64,
    pub process: u64,
    up: bool,
    lives: u64,
    pub last_fault: u64,
    pub store: Store,
    rows_until: BTreeMap<ChatId, u64>,
    pub index: Index,
    pub chats: BTreeMap<ChatId, ChatActor>,
    pub queues: BTreeMap<QueueId, Live<Queue>>,
    pub operators: BTreeMap<UserId, Live<Operator>>,
    pub configs: BTreeMap<QueueId, domain::Queue>,
    pub capacities: BTreeMap<UserId, u32>,
    pub inactive: BTreeSet<UserId>,
    pub settings: RoutingSettings,
    pub customers: Vec<Customer>,
    pub humans: Vec<Human>,
    pub calls: BTreeMap<u64, Pending>,
    /// When each was asked for the first time.
    pub call_since: BTreeMap<u64, u64>,
    call_n: u64,
    pub checker: Checker,
    pub coverage: Coverage,
    started_at: u64,
    /// Prints every happening; set by `SWITCHBOARD_SIM_TRACE`.
    trace: bool,
}

impl World {
    pub fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = Rng::new(seed);
        let settings =
            RoutingSettings { cool_down_ms: 3_000, lapses_to_away: 3, ..Default::default() };
        let mut world = Self {
            seed,
            plan,
            now: 1_000_000,
            n: 0,
            heap: BinaryHeap::new(),
            steps: 0,
            process: 0,
            up: false,
            lives: 0,
            last_fault: 0,
            store: Store::default(),
            rows_until: BTreeMap::new(),
            index: Index::new(),
            chats: BTreeMap::new(),
            queues: BTreeMap::new(),
            operators: BTreeMap::new(),
            configs: BTreeMap::new(),
            capacities: BTreeMap::new(),
            inactive: BTreeSet::new(),
            settings,
            customers: Vec::new(),
            humans: Vec::new(),
            calls: BTreeMap::new(),
            call_since: BTreeMap::new(),
            call_n: 0,
            checker: Checker::default(),
            coverage: Coverage { seeds: 1, ..Default::default() },
            started_at: 0,
            trace: std::env::var_os("SWITCHBOARD_SIM_TRACE").is_some(),
            rng: rng.clone(),
        };
        world.people(&mut rng);
        world.rng = rng;
        world.started_at = world.now;
        world.start_process();
        let first = world.now + world.rng.below(2_000);
        world.at(first, None, Happening::Trouble);
        world
    }

    fn people(&mut self, rng: &mut Rng) {
        let operators: Vec<UserId> =
            (0..rng.within(4, 8)).map(|n| UserId::from_u128(0x0a00 + u128::from(n))).collect();
        for (n, operator) in operators.iter().enumerate() {
            let capacity = rng.within(1, 3) as u32;
            self.capacities.insert(*operator, capacity);
            self.checker.capacity(*operator, capacity);
            self.humans.push(Human::new(*operator));
            let at = self.now + rng.below(500);
            self.at(at, None, Happening::Human(n));
        }
        self.coverage.operators = operators.len() as u64;
        let rules = [Rule::LeastLoaded, Rule::LongestIdle, Rule::ToAll, Rule::Manual];
        for n in 0..rng.within(2, 4) {
            let id = QueueId::from_u128(0x0b00 + u128::from(n));
            let rule = rules[if n < 2 { rng.below(3) } else { rng.below(4) } as usize];
            let mut queue = domain::Queue::new(id, "queue", rule);
            queue.members = operators.iter().filter(|_| rng.chance(700)).copied().collect();
            queue.priority = Priority::new(rng.below(3) as u8).expect("small");
            queue.offer_timeout_ms = rng.within(300, 2_500);
            queue.per_operator_limit = rng.chance(300).then(|| rng.within(1, 2) as u32);
            queue.absent_owner_limit_ms = rng.chance(700).then(|| rng.within(500, 5_000));
            self.configs.insert(id, queue);
        }
        for n in 0..rng.within(20, 32) as usize {
            self.customers.push(Customer::new(n));
            let at = self.now + rng.below(8_000);
            self.at(at, None, Happening::Customer(n));
        }
    }

    // ---- time ----

    pub fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Whether things go wrong at present.
    pub fn faulty(&self) -> bool {
        let turn = (self.now - self.started_at) % (FAULTY_MS + CALM_MS);
        self.plan.faults && turn < FAULTY_MS
    }

    /// Whether people hold still, so that the router can come to rest.
    pub fn resting(&self) -> bool {
        let turn = (self.now - self.started_at) % (FAULTY_MS + CALM_MS);
        turn >= FAULTY_MS + CALM_MS - REST_MS
    }

    pub fn at(&mut self, at: u64, process: Option<u64>, what: Happening) {
        self.n += 1;
        self.heap.push(Scheduled { at: at.max(self.now), n: self.n, process, what });
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
                self.now = look_over - 1;
                self.checker_at_rest();
                if self.steps >= steps {
                    return;
                }
                look_over += FAULTY_MS + CALM_MS;
            }
            self.now = next.at;
            if next.process.is_some_and(|process| process != self.process || !self.up) {
                continue;
            }
            self.steps += 1;
            self.happen(next.what);
        }
    }

    pub fn finish(mut self) -> Coverage {
        self.coverage.steps = self.steps;
        self.coverage.chats = self.store.logs.len() as u64;
        self.coverage
    }

    fn happen(&mut self, what: Happening) {
        if self.trace {
            println!("{} {what:?}", self.now);
        }
        match what {
            Happening::ToChat(chat, input) => self.chat_input(chat, input),
            Happening::ToQueue(queue, said) => self.queue_step(queue, QueueInput::Said(said)),
            Happening::ToOperator(operator, said) => {
                self.operator_step(operator, OperatorInput::Said(said));
            }
            Happening::OperatorCall(operator, call, wanted) => {
                self.operator_step(operator, OperatorInput::Call(call, wanted));
            }
            Happening::Stored(chat, life, answer) => self.stored(chat, life, answer),
            Happening::Written(claim, events) => {
                if self.write(claim, &events).is_err() {
                    self.coverage.count("fault", "late write fenced");
                }
            }
            Happening::RowWritten(chat, row) => {
                match row {
                    Some(row) => self.store.rows.insert(chat, row),
                    None => self.store.rows.remove(&chat),
                };
            }
            Happening::Saved(operator, life, record, durable) => {
                if durable {
                    self.store.records.insert(operator, record);
                }
                if self.operators.get(&operator).is_some_and(|live| live.life == life) {
                    self.operator_step(operator, OperatorInput::Saved(durable));
                }
            }
            Happening::Wake(actor, life) => self.wake(actor, life),
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

    fn deliver(&mut self, what: Happening) {
        if self.plan.planted.is_some_and(|planted| planted.loses(&what)) {
            return;
        }
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
        let delay = if faulty && self.rng.chance(60) {
            self.fault("message late");
            self.rng.within(50, 2_500)
        } else {
            self.rng.below(4)
        };
        self.at(self.now + delay, Some(self.process), what);
    }

    // ---- lives ----

    fn next_life(&mut self) -> u64 {
        self.lives += 1;
        (self.process << 32) | self.lives
    }

    fn start_process(&mut self) {
        self.up = true;
        self.process += 1;
        self.lives = 0;
        self.index = Index::new();
        for row in self.store.rows.values() {
            self.index.load(row.clone());
        }
        for queue in self.configs.keys().copied().collect::<Vec<_>>() {
            self.start(Actor::Queue(queue));
        }
        for operator in self.capacities.keys().copied().collect::<Vec<_>>() {
            self.start_operator(operator, self.now);
        }
        for chat in self.index.moving() {
            self.start(Actor::Chat(chat));
        }
        self.wake_sleepers();
    }

    fn wake_sleepers(&mut self) {
        for chat in self.index.due(self.now()) {
            self.start(Actor::Chat(chat));
        }
        self.at(self.now + WAKE_EVERY_MS, Some(self.process), Happening::Deadlines);
    }

    fn end_process(&mut self) {
        self.fault("process crashed");
        self.up = false;
        self.chats.clear();
        self.queues.clear();
        self.operators.clear();
        for human in &mut self.humans {
            human.offers.clear();
            human.connections.clear();
        }
        let at = self.now + self.rng.within(10, 1_500);
        self.at(at, None, Happening::Process);
    }

    fn start(&mut self, actor: Actor) {
        match actor {
            Actor::Chat(chat) => {
                if self.chats.contains_key(&chat) {
                    return;
                }
                let life = self.next_life();
                let listed = self.index.get(chat).cloned();
                let (driver, actions) = Driver::begin(chat, self.process, life, listed);
                let mailbox = VecDeque::new();
                self.chats.insert(chat, ChatActor { driver, life, mailbox, armed: None });
                self.carry_out(chat, actions);
            }
            Actor::Queue(queue) => {
                let Some(config) = self.configs.get(&queue).cloned() else {
                    return;
                };
                let life = self.next_life();
                let machine = Queue::new(config, self.settings, life, self.now());
                self.queues.insert(queue, Live { machine, life, armed: None });
                let rows = self.index.of_queue(queue);
                self.queue_step(queue, QueueInput::Recovered(rows));
            }
            Actor::Operator(operator) => {
                let live_at = self.now + ASSIGN_LIMIT_MS;
                self.start_operator(operator, live_at);
            }
        }
    }

    fn start_operator(&mut self, operator: UserId, live_at: u64) {
        let life = self.next_life();
        let record = self.store.records.get(&operator).cloned().unwrap_or_default();
        let times = (self.now(), Timestamp(live_at), Timestamp(self.now));
        let account = self.account(operator);
        let machine = Operator::new(operator, account, record, life, times);
        self.operators.insert(operator, Live { machine, life, armed: None });
        self.operator_step(operator, OperatorInput::Tick);
        let human = self.humans.iter().find(|human| human.id == operator);
        for connection in human.map(|h| h.connections.clone()).unwrap_or_default() {
            self.operator_step(operator, OperatorInput::Connected(connection));
        }
    }

    pub fn account(&self, operator: UserId) -> Account {
        use switchboard::routing::rule::is_directed;
        let member = self.configs.values().filter(|queue| queue.members.contains(&operator));
        let extra = u32::from(self.plan.planted == Some(Planted::CapacityOffByOne));
        Account {
            capacity: self.capacities[&operator] + extra,
            active: !self.inactive.contains(&operator),
            queues: member
                .map(|queue| {
                    let terms = Terms {
                        per_operator_limit: queue.per_operator_limit,
                        directed: is_directed(queue.rule),
                        manual: queue.rule == Rule::Manual,
                    };
                    (queue.id, terms)
                })
                .collect(),
            absent_owner_limits_ms: Arc::new(
                self.configs
                    .values()
                    .filter_map(|queue| Some((queue.id, queue.absent_owner_limit_ms?)))
                    .collect(),
            ),
            settings: self.settings,
        }
    }

    fn crash(&mut self, actor: Actor) {
        self.last_fault = self.now;
        match actor {
            Actor::Chat(chat) => {
                if let Some(gone) = self.chats.remove(&chat) {
                    self.coverage.count("fault", "chat crashed");
                    if !gone.mailbox.is_empty() {
                        self.coverage.count("fault", "mailbox lost");
                    }
                }
            }
            Actor::Queue(queue) => {
                self.queues.remove(&queue);
                self.coverage.count("fault", "queue crashed");
            }
            Actor::Operator(operator) => {
                self.operators.remove(&operator);
                self.coverage.count("fault", "operator crashed");
            }
        }
        let delay = self.rng.below(300);
        self.at(self.now + delay, Some(self.process), Happening::Restart(actor));
    }

    fn wake(&mut self, actor: Actor, life: u64) {
        let now = self.now();
        match actor {
            Actor::Chat(chat) => {
                let Some(live) = self.chats.get_mut(&chat).filter(|live| live.life == life) else {
                    return;
                };
                live.armed = None;
                let due = live.driver.next_deadline().is_some_and(|at| at <= now);
                if live.driver.is_idle() && due {
                    let actions = live.driver.input(now, ChatInput::Tick);
                    self.carry_out(chat, actions);
                }
                self.pump(chat);
            }
            Actor::Queue(queue) => {
                let Some(live) = self.queues.get_mut(&queue).filter(|live| live.life == life)
                else {
                    return;
                };
                live.armed = None;
                self.queue_step(queue, QueueInput::Tick);
            }
            Actor::Operator(operator) => {
                let Some(live) = self.operators.get_mut(&operator).filter(|l| l.life == life)
                else {
                    return;
                };
                live.armed = None;
                self.operator_step(operator, OperatorInput::Tick);
            }
        }
    }

    // ---- chats ----

    pub fn chat_input(&mut self, chat: ChatId, input: ChatInput) {
        self.start(Actor::Chat(chat));
        if let Some(live) = self.chats.get_mut(&chat) {
            live.mailbox.push_back(input);
        }
        self.pump(chat);
    }

    fn pump(&mut self, chat: ChatId) {
        let now = self.now();
        while let Some(live) = self.chats.get_mut(&chat) {
            if !live.driver.is_idle() {
                break;
            }
            let Some(input) = live.mailbox.pop_front() else {
                break;
            };
            let early = match (&input, self.plan.planted) {
                (ChatInput::Call(call, _), Some(Planted::AcknowledgedBeforeAppend)) => Some(*call),
                _ => None,
            };
            let tail = live.driver.chat().tail();
            let actions = live.driver.input(now, input);
            if let Some(call) = early
                && actions.iter().any(|action| matches!(action, Action::Store(_)))
            {
                self.answered(call, Ok(Answer { seq: tail + 1, at: now }));
            }
            self.carry_out(chat, actions);
        }
        self.arm_chat(chat);
    }

    fn arm_chat(&mut self, chat: ChatId) {
        let now = self.now();
        let Some(live) = self.chats.get_mut(&chat) else {
            return;
        };
        let next = live.driver.next_deadline().filter(|_| live.driver.is_idle());
        let life = live.life;
        if let Some(at) = arm(&mut live.armed, next, now) {
            self.at(at, Some(self.process), Happening::Wake(Actor::Chat(chat), life));
        }
    }

    fn stored(&mut self, chat: ChatId, life: u64, answer: StoreAnswer) {
        let now = self.now();
        let answer = match answer {
            // What was asked is done when it is answered.
            StoreAnswer::Claimed(Ok(_)) => StoreAnswer::Claimed(Ok(self.store.claim(chat))),
            answer => answer,
        };
        let Some(live) = self.chats.get_mut(&chat).filter(|live| live.life == life) else {
            return;
        };
        let actions = live.driver.stored(now, answer);
        self.carry_out(chat, actions);
        self.pump(chat);
    }

    fn write(&mut self, claim: Claim, events: &[Recorded]) -> Result<(), AppendError> {
        self.store.append(claim, events)?;
        for recorded in events {
            self.coverage.event(&recorded.event);
            self.checker.appended(claim.chat, recorded, self.seed);
        }
        self.check_capacities();
        Ok(())
    }

    fn carry_out(&mut self, chat: ChatId, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Store(call) => self.store_call(chat, call),
                Action::Row(row) => {
                    self.index.put(chat, row.clone());
                    let at = self.row_time(chat);
                    self.at(at, Some(self.process), Happening::RowWritten(chat, row));
                }
                Action::MarkIndex(moving) => self.index.mark(chat, moving),
                Action::Answer(call, answer) => self.answered(call, answer),
                Action::ToQueue(queue, said) => self.deliver(Happening::ToQueue(queue, said)),
                Action::ToOperator(to, said) => self.deliver(Happening::ToOperator(to, said)),
                Action::Publish(events) => self.checker.published(chat, &events, &self.store),
                Action::Fail(_) => {
                    self.chats.remove(&chat);
                    let delay = self.rng.below(200);
                    let again = Happening::Restart(Actor::Chat(chat));
                    self.at(self.now + delay, Some(self.process), again);
                }
            }
        }
        if let Some(live) = self.chats.get(&chat) {
            self.checker.folded(chat, live.driver.chat());
        }
    }

    /// Writes to a chat's row are carried out in the order in which they were asked for.
    fn row_time(&mut self, chat: ChatId) -> u64 {
        let delay = self.rng.within(1, 30);
        let until = self.rows_until.entry(chat).or_default();
        *until = (*until).max(self.now) + delay;
        *until
    }

    fn store_call(&mut self, chat: ChatId, call: StoreCall) {
        let Some(life) = self.chats.get(&chat).map(|live| live.life) else {
            return;
        };
        let faulty = self.faulty();
        let refused = || StoreError::Unavailable { reason: "planned".into() };
        let mut at = self.now + self.rng.within(1, 8);
        if faulty && self.rng.chance(20) {
            at += self.rng.within(100, 3_000);
        }
        let process = Some(self.process);
        let answer = match call {
            StoreCall::Claim if faulty && self.rng.chance(20) => {
                self.last_fault = self.now;
                StoreAnswer::Claimed(Err(refused()))
            }
            // Replaced by what is true when it arrives.
            StoreCall::Claim => StoreAnswer::Claimed(Ok(switchboard::storage::Claimed {
                claim: Claim { chat, epoch: 0 },
                tail: 0,
            })),
            StoreCall::Read { from } => StoreAnswer::Page(Ok(self.store.read(chat, from, 7))),
            StoreCall::PutRow(_) | StoreCall::Mark(_) if faulty && self.rng.chance(20) => {
                self.fault("mark refused");
                StoreAnswer::Marked(Err(refused()))
            }
            StoreCall::PutRow(row) => {
                self.index.put(chat, Some(row.clone()));
                at = at.max(self.row_time(chat));
                self.at(at, process, Happening::RowWritten(chat, Some(row)));
                StoreAnswer::Marked(Ok(()))
            }
            StoreCall::Mark(moving) => {
                at = at.max(self.row_time(chat));
                let marked = self.index.get(chat).cloned().map(|mut row| {
                    row.moving = Some(moving);
                    row
                });
                if marked.is_some() {
                    self.at(at, process, Happening::RowWritten(chat, marked));
                }
                StoreAnswer::Marked(Ok(()))
            }
            StoreCall::Append(claim, events) => {
                let answer = self.append(claim, events, at);
                StoreAnswer::Appended(answer)
            }
        };
        self.at(at, process, Happening::Stored(chat, life, answer));
    }

    fn append(&mut self, claim: Claim, events: Vec<Recorded>, at: u64) -> Result<(), AppendError> {
        let faulty = self.faulty();
        let unknown = || AppendError::Unknown { reason: "planned".into() };
        // A write survives the process that asked for it: it may land after the claim of the next.
        match fate(&mut self.rng, faulty) {
            AppendFate::Durable => {
                // Written at once, answered later: in between it may be read by another claim.
                self.write(claim, &events)
            }
            AppendFate::Unavailable => {
                self.fault("append unavailable");
                Err(AppendError::Unavailable { reason: "planned".into() })
            }
            AppendFate::UnknownWritten => {
                self.fault("append unknown, written");
                self.write(claim, &events).and(Err(unknown()))
            }
            AppendFate::UnknownNotWritten => {
                self.fault("append unknown, not written");
                Err(unknown())
            }
            AppendFate::UnknownLate => {
                self.fault("append unknown, late");
                let late = at + self.rng.below(400);
                self.at(late, None, Happening::Written(claim, events));
                Err(unknown())
            }
        }
    }

    // ---- queues and operators ----

    pub fn queue_step(&mut self, queue: QueueId, input: QueueInput) {
        let now = self.now();
        let Some(live) = self.queues.get_mut(&queue) else {
            return;
        };
        let effects = live.machine.step(now, input);
        live.machine.assert_invariants();
        self.checker.decided(&live.machine, &effects, now, self.seed);
        let (next, life) = (live.machine.next_deadline(), live.life);
        if let Some(at) = arm(&mut live.armed, next, now) {
            self.at(at, Some(self.process), Happening::Wake(Actor::Queue(queue), life));
        }
        for effect in effects {
            match effect {
                QueueEffect::ToChat(chat, said) => {
                    self.deliver(Happening::ToChat(chat, ChatInput::Said(said)));
                }
                QueueEffect::ToOperator(to, said) => {
                    self.deliver(Happening::ToOperator(to, said));
                }
            }
        }
    }

    pub fn operator_step(&mut self, operator: UserId, input: OperatorInput) {
        let now = self.now();
        let Some(live) = self.operators.get_mut(&operator) else {
            return;
        };
        let before = live.machine.load();
        let told = matches!(input, OperatorInput::Said(ToOperator::At(_)));
        let recovered = matches!(input, OperatorInput::Recovered(_));
        let effects = live.machine.step(now, input);
        live.machine.assert_invariants();
        let (load, capacity) = (live.machine.load(), live.machine.account().capacity);
        if load > before && !told && !recovered {
            assert!(
                load <= capacity,
                "{operator:?} took slot {load} of {capacity} at {now} (seed {})",
                self.seed
            );
        }
        let (next, life) = (live.machine.next_deadline(now), live.life);
        if let Some(at) = arm(&mut live.armed, next, now) {
            self.at(at, Some(self.process), Happening::Wake(Actor::Operator(operator), life));
        }
        for effect in effects {
            self.operator_effect(operator, life, effect);
        }
    }

    fn operator_effect(&mut self, operator: UserId, life: u64, effect: OperatorEffect) {
        match effect {
            OperatorEffect::ToChat(chat, said) => {
                self.deliver(Happening::ToChat(chat, ChatInput::Said(said)));
            }
            OperatorEffect::ToQueue(queue, said) => self.deliver(Happening::ToQueue(queue, said)),
            OperatorEffect::Answer(call, answer) => self.operator_answered(call, answer),
            OperatorEffect::Save(record) => {
                let durable = !(self.faulty() && self.rng.chance(50));
                if !durable {
                    self.fault("save refused");
                }
                let at = self.now + self.rng.within(1, 10);
                let saved = Happening::Saved(operator, life, record, durable);
                self.at(at, Some(self.process), saved);
            }
            OperatorEffect::ReadIndex => {
                let rows = self.index.of_operator(operator);
                self.operator_step(operator, OperatorInput::Recovered(rows));
            }
            OperatorEffect::Probe(connection, probe) => {
                if self.faulty() && self.rng.chance(30) {
                    self.fault("probe unanswered");
                    return;
                }
                let connected = self
                    .humans
                    .iter()
                    .any(|h| h.id == operator && h.connections.contains(&connection));
                if connected {
                    let at = self.now + self.rng.within(1, 20);
                    let answer = Happening::ProbeAnswer(operator, connection, probe);
                    self.at(at, Some(self.process), answer);
                }
            }
            OperatorEffect::Show(notice) => self.shown(operator, notice),
        }
    }

    fn shown(&mut self, operator: UserId, notice: Notice) {
        let Some(human) = self.humans.iter_mut().find(|human| human.id == operator) else {
            return;
        };
        match notice {
            Notice::OfferPresented { chat, offer, .. } => {
                human.offers.insert(chat, offer);
                if self.rng.chance(800) {
                    let seen = OperatorCall::Shown { chat, offer };
                    self.call_operator(operator, seen);
                }
            }
            Notice::OfferWithdrawn { chat, .. } => {
                human.offers.remove(&chat);
            }
            Notice::Updated => {}
        }
    }

    // ---- calls ----

    pub fn call_chat(&mut self, chat: ChatId, wanted: ChatCall) -> u64 {
        self.call(Pending::Chat(chat, wanted), self.now)
    }

    pub fn call_operator(&mut self, operator: UserId, wanted: OperatorCall) -> u64 {
        self.call(Pending::Operator(operator, wanted), self.now)
    }

    fn call(&mut self, pending: Pending, since: u64) -> u64 {
        self.call_n += 1;
        let call = self.call_n;
        self.calls.insert(call, pending.clone());
        self.call_since.insert(call, since);
        let at = self.now + self.rng.within(1, 5);
        let what = match pending {
            Pending::Chat(chat, wanted) => Happening::ToChat(chat, ChatInput::Call(call, wanted)),
            Pending::Operator(operator, wanted) => Happening::OperatorCall(operator, call, wanted),
        };
        if self.up {
            self.at(at, Some(self.process), what);
        }
        let patience = self.rng.within(800, 2_500);
        self.at(self.now + patience, None, Happening::CallTimeout(call));
        call
    }

    /// No answer: the client asks again, with the same id.
    fn call_again(&mut self, call: u64) {
        let since = self.call_since.remove(&call).unwrap_or(self.now);
        let Some(pending) = self.calls.remove(&call) else {
            return;
        };
        if self.faulty() && self.rng.chance(100) {
            self.coverage.count("fault", "client hung up");
            self.checker.hung_up(&pending);
            return;
        }
        self.call(pending, since);
    }

    fn answered(&mut self, call: u64, answer: Result<Answer, Refusal>) {
        let Some(pending) = self.calls.get(&call).cloned() else {
            return;
        };
        let Pending::Chat(chat, wanted) = pending else {
            return;
        };
        match answer {
            Ok(answer) => {
                self.calls.remove(&call);
                self.checker.acknowledged(chat, &wanted, answer, &self.store, self.seed);
                self.customer_heard(chat, &wanted, Ok(answer));
            }
            Err(refusal) => {
                self.coverage.refusal(refusal);
                // The time-out asks again when it may help.
                if refusal != Refusal::Unavailable {
                    self.calls.remove(&call);
                    self.customer_heard(chat, &wanted, Err(refusal));
                }
            }
        }
    }

    fn operator_answered(&mut self, call: u64, answer: Result<OperatorAnswer, Refusal>) {
        let Some(pending) = self.calls.get(&call).cloned() else {
            return;
        };
        let Pending::Operator(operator, wanted) = pending else {
            return;
        };
        match answer {
            Ok(answer) => {
                self.calls.remove(&call);
                self.checker.operator_acknowledged(
                    operator,
                    &wanted,
                    answer,
                    &self.store,
                    self.seed,
                );
            }
            Err(refusal) => {
                self.coverage.refusal(refusal);
                if refusal != Refusal::Unavailable {
                    self.calls.remove(&call);
                }
            }
        }
    }

    // ---- trouble ----

    fn trouble(&mut self) {
        let at = self.now + self.rng.within(100, 900);
        self.at(at, None, Happening::Trouble);
        if !self.faulty() || !self.up {
            return;
        }
        match self.rng.below(14) {
            0..4 => {
                let chats: Vec<ChatId> = self.chats.keys().copied().collect();
                if let Some(chat) = self.rng.pick(&chats).copied() {
                    self.crash(Actor::Chat(chat));
                }
            }
            4 => {
                let queues: Vec<QueueId> = self.queues.keys().copied().collect();
                if let Some(queue) = self.rng.pick(&queues).copied() {
                    self.crash(Actor::Queue(queue));
                }
            }
            5..7 => {
                let operators: Vec<UserId> = self.operators.keys().copied().collect();
                if let Some(operator) = self.rng.pick(&operators).copied() {
                    self.crash(Actor::Operator(operator));
                }
            }
            7 => {
                if self.rng.chance(300) {
                    self.end_process();
                }
            }
            8..11 => self.passivate(),
            _ => self.reconfigure(),
        }
    }

    /// Lets go of chats that nobody waits for; their rows wake them.
    fn passivate(&mut self) {
        let idle: Vec<ChatId> = self
            .chats
            .iter()
            .filter(|(_, live)| live.driver.can_rest() && live.mailbox.is_empty())
            .map(|(chat, _)| *chat)
            .collect();
        for chat in idle {
            if self.rng.chance(500) {
                self.chats.remove(&chat);
                self.coverage.count("fault", "chat passivated");
            }
        }
    }

    fn reconfigure(&mut self) {
        let queues: Vec<QueueId> = self.configs.keys().copied().collect();
        let operators: Vec<UserId> = self.capacities.keys().copied().collect();
        let (Some(queue), Some(operator)) =
            (self.rng.pick(&queues).copied(), self.rng.pick(&operators).copied())
        else {
            return;
        };
        let what = self.rng.below(12);
        let small = self.rng.below(4);
        let Some(config) = self.configs.get_mut(&queue) else {
            return;
        };
        let change = match what {
            0..3 => {
                let capacity = 1 + small as u32;
                self.capacities.insert(operator, capacity);
                self.checker.capacity(operator, capacity);
                "capacity"
            }
            3..5 => {
                let rules = [Rule::LeastLoaded, Rule::LongestIdle, Rule::ToAll, Rule::Manual];
                config.rule = rules[small as usize];
                "rule"
            }
            5..8 => {
                if !config.members.remove(&operator) {
                    config.members.insert(operator);
                }
                "members"
            }
            8..10 => {
                config.priority = Priority::new(small as u8).expect("small");
                "priority"
            }
            10 => {
                config.offer_timeout_ms = 300 + 500 * small;
                "offer timeout"
            }
            _ => {
                if !self.inactive.remove(&operator) {
                    self.inactive.insert(operator);
                }
                "deactivated"
            }
        };
        config.version += 1;
        self.coverage.count("change", change);
        self.last_fault = self.now;
        let config = config.clone();
        self.queue_step(queue, QueueInput::Configure(config));
        for operator in operators {
            let account = self.account(operator);
            self.operator_step(operator, OperatorInput::Account(account));
        }
    }

    pub fn offer_id(&mut self) -> OfferId {
        OfferId::from_u128(u128::from(self.rng.next()))
    }
}

/// Arms a timer unless it is armed for an earlier time; answers for when.
fn arm(armed: &mut Option<Timestamp>, next: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    let next = next?.max(now);
    if armed.is_some_and(|at| at <= next) {
        return None;
    }
    *armed = Some(next);
    Some(next.0)
}

impl Planted {
    /// Whether this fault swallows the message.
    fn loses(self, what: &Happening) -> bool {
        match (self, what) {
            (Self::LostWithdrawal, Happening::ToOperator(to, ToOperator::At(at))) => {
                at.place.owner() != Some(*to)
                    && at.place.offer().is_none_or(|offer| !offer.to.contains(to))
            }
            (Self::SilentFreedSlot, Happening::ToQueue(_, said)) => match said {
                ToQueue::State(_) | ToQueue::Pull { .. } | ToQueue::Give { .. } => true,
                ToQueue::At(_) | ToQueue::ReserveAnswer { .. } => false,
            },
            (Self::LostArrival, Happening::ToQueue(_, ToQueue::At(_))) => true,
            (Self::LostAssign, Happening::ToChat(_, ChatInput::Said(said))) => {
                matches!(said, ToChat::Assign { .. })
            }
            _ => false,
        }
    }
}

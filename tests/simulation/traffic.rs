//! Homogeneous traffic through the real machines, held against Erlang's formulas.
//!
//! A small world without faults: one queue, its operators with one slot each, and the chats with
//! their store. Between actors no time passes, so that nothing but the routing decides how long a
//! customer waits. Operators accept at once, answer every probe, and end a chat when its time of
//! service is over; customers arrive at random and leave when their patience ends.

use std::collections::{BTreeMap, VecDeque};

use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{
    self, ChannelId, ChatEvent, ChatId, CommandId, Customer, CustomerId, MessageText, Person,
    Profile, QueueId, Recorded, RoutingSettings, Rule, Status, Timestamp, UserId,
};
use switchboard::machine::chat::driver::{
    Action, ChatAction, Driver, Preparation, StoreAnswer, StoreCall,
};
use switchboard::machine::chat::{Author, ChatCall, ChatInput, Told};
use switchboard::machine::index::{Former, Index};
use switchboard::machine::message::ToQueue;
use switchboard::machine::operator::{
    Account, Beginning, Notice, Operator, OperatorCall, OperatorEffect, OperatorInput,
    OperatorSettings, OwnerLimits,
};
use switchboard::machine::queue::{Queue, QueueEffect, QueueInput};
use switchboard::machine::timer::Armed;

use crate::rng::Rng;
use crate::store::Store;
use crate::time::Heap;
use crate::world::{Actor, Live};

const QUEUE: QueueId = QueueId::from_u128(0x0b);
const PROCESS: u64 = 1;
/// How many events are read of a log that is empty.
const PAGE: usize = 10;

/// What comes in, times in ms.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    pub operators: u32,
    pub rule: Rule,
    pub between_arrivals: f64,
    pub service: f64,
    /// None: customers wait for ever.
    pub patience: Option<f64>,
    pub customers: u64,
    pub seed: u64,
}

/// What became of one customer.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    /// From the arrival to the operator, or to the leaving, ms.
    pub wait: u64,
    pub left: bool,
    /// Since the arrival before, ms.
    pub gap: f64,
    /// The time of service that the customer wanted, ms.
    pub service: u64,
}

enum Due {
    Arrival,
    Served(ChatId, UserId),
    PatienceEnds(ChatId),
    Wake(Actor, Timestamp),
}

/// Something said, to be heard before time goes on.
enum Word {
    Chat(ChatId, ChatInput),
    Queue(ToQueue),
    Operator(UserId, OperatorInput),
}

struct Guest {
    n: u64,
    arrived: u64,
    gap: f64,
    service: u64,
    owner: Option<UserId>,
}

struct Traffic {
    demand: Demand,
    /// A stream for each kind of time, so that patience changes no arrival.
    arrivals: Rng,
    services: Rng,
    patiences: Rng,
    /// The next arrival, ms; kept exact so that rounding does not add up.
    next_arrival: f64,
    gap: f64,
    now: u64,
    heap: Heap<Due>,
    soon: VecDeque<Word>,
    store: Store,
    index: Index,
    chats: BTreeMap<ChatId, Driver>,
    chat_timers: BTreeMap<ChatId, Armed>,
    queue: Live<Queue>,
    operators: BTreeMap<UserId, Live<Operator>>,
    /// The chats and operators to be looked at for timers and for their end.
    touched: Vec<Actor>,
    arrived: u64,
    calls: u64,
    guests: BTreeMap<ChatId, Guest>,
    /// Who serves whom, by the logs.
    busy: BTreeMap<UserId, ChatId>,
    visits: Vec<Option<Visit>>,
}

/// Runs until every customer has been served or has left, and answers what became of each, in
/// the order of arrival.
pub fn run(demand: Demand) -> Vec<Visit> {
    let mut world = Traffic::new(demand);
    while world.visits.len() < demand.customers as usize || !world.guests.is_empty() {
        let next = world.heap.pop().expect("somebody is always to come or to be served");
        world.now = next.at;
        world.happen(next.what);
        world.settle();
    }
    world.visits.into_iter().map(|visit| visit.expect("nobody is left")).collect()
}

/// One chat, offered to all, whom its operators ignore for so long; then its customer writes. The
/// chat, and its log.
pub fn ignored(operators: u32, ms: u64) -> (ChatId, Vec<Recorded>) {
    let mut world = Traffic::new(Demand {
        operators,
        rule: Rule::ToAll,
        between_arrivals: 1.0,
        service: 1.0,
        patience: None,
        customers: 1,
        seed: 1,
    });
    let end = world.now + ms;
    while let Some(next) = world.heap.pop() {
        if next.at > end {
            break;
        }
        world.now = next.at;
        world.happen(next.what);
        world.settle();
    }
    world.now = end;
    let (chat, guest) = world.guests.first_key_value().expect("it is still open");
    let (chat, person) = (*chat, Person::Customer(customer(guest.n)));
    let by = Author { person, chat_administrator: false };
    let id = CommandId::new("still-there").expect("short");
    let text = MessageText::new("is anybody there?").expect("short");
    world.call(chat, ChatCall::Send { by, id, text, profile: None });
    world.settle();
    (chat, world.store.logs.remove(&chat).expect("it is open"))
}

fn exponential(rng: &mut Rng, mean: f64) -> f64 {
    -mean * (1.0 - rng.unit()).ln()
}

impl Traffic {
    fn new(demand: Demand) -> Self {
        let operators: Vec<UserId> =
            (0..demand.operators).map(|n| UserId::from_u128(0x0a00 + u128::from(n))).collect();
        let mut config = domain::Queue::new(QUEUE, "queue", demand.rule);
        config.members = operators.iter().copied().collect();
        config.offer_timeout_ms = 30_000;
        let now = Timestamp(1_000_000);
        let queue = Queue::new(config, RoutingSettings::default(), 1, now);
        let mut world = Self {
            arrivals: Rng::new(demand.seed),
            services: Rng::new(demand.seed + 1_000_000),
            patiences: Rng::new(demand.seed + 2_000_000),
            next_arrival: now.0 as f64,
            gap: 0.0,
            demand,
            now: now.0,
            heap: Heap::new(),
            soon: VecDeque::new(),
            store: Store::default(),
            index: Index::new(),
            chats: BTreeMap::new(),
            chat_timers: BTreeMap::new(),
            queue: Live { machine: queue, life: 1, armed: Armed::default() },
            operators: BTreeMap::new(),
            touched: Vec::new(),
            arrived: 0,
            calls: 0,
            guests: BTreeMap::new(),
            busy: BTreeMap::new(),
            visits: Vec::new(),
        };
        world.queue_step(QueueInput::Recovered(Vec::new()));
        let own = OperatorSettings { capacity: 1, active: true };
        let first = Beginning { now, follows: false, grace_until: now };
        for (n, id) in operators.into_iter().enumerate() {
            let record = OperatorRecord { status: Status::Ready, ..Default::default() };
            let life = 2 + n as u64;
            let configs = [world.queue.machine.config()].into_iter();
            let limits = OwnerLimits::default();
            let account = Account::of(id, own, configs, &limits, RoutingSettings::default());
            let machine = Operator::new(id, account, record, life, first);
            world.operators.insert(id, Live { machine, life, armed: Armed::default() });
            world.soon.push_back(Word::Operator(id, OperatorInput::Tick));
            world.soon.push_back(Word::Operator(id, OperatorInput::Connected(1)));
        }
        world.settle();
        world.next_arrival();
        world
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    fn next_arrival(&mut self) {
        self.gap = exponential(&mut self.arrivals, self.demand.between_arrivals);
        self.next_arrival += self.gap;
        self.heap.push(self.next_arrival.round() as u64, None, Due::Arrival);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Arrival => self.arrive(),
            Due::Served(chat, operator) => self.end(chat, Person::User(operator)),
            Due::PatienceEnds(chat) => {
                if let Some(guest) = self.guests.get(&chat).filter(|g| g.owner.is_none()) {
                    let customer = Person::Customer(customer(guest.n));
                    self.end(chat, customer);
                }
            }
            Due::Wake(actor, at) if !self.is_armed(actor, at) => {}
            Due::Wake(Actor::Chat(chat), _) => {
                self.chat_timers.remove(&chat);
                self.touched.push(Actor::Chat(chat));
                let now = self.now();
                let due = |driver: &Driver| driver.next_deadline().is_some_and(|at| at <= now);
                if self.chats.get(&chat).is_some_and(due) {
                    self.soon.push_back(Word::Chat(chat, ChatInput::Tick));
                }
            }
            Due::Wake(Actor::Queue(_), _) => {
                self.queue.armed.disarm();
                self.queue_step(QueueInput::Tick);
            }
            Due::Wake(Actor::Operator(operator), _) => {
                if let Some(live) = self.operators.get_mut(&operator) {
                    live.armed.disarm();
                }
                self.operator_step(operator, OperatorInput::Tick);
            }
        }
    }

    // ---- people ----

    fn arrive(&mut self) {
        let (n, gap) = (self.arrived, self.gap);
        self.arrived += 1;
        if self.arrived < self.demand.customers {
            self.next_arrival();
        }
        let chat = ChatId::from_u128(0x0d00_0000 + u128::from(n));
        let service = exponential(&mut self.services, self.demand.service).round() as u64;
        self.guests.insert(chat, Guest { n, arrived: self.now, gap, service, owner: None });
        self.visits.push(None);
        if let Some(mean) = self.demand.patience {
            let patience = exponential(&mut self.patiences, mean).round() as u64;
            self.heap.push(self.now + patience, None, Due::PatienceEnds(chat));
        }
        let open = ChatCall::Open {
            customer: customer(n),
            command: CommandId::new("open").expect("short"),
            queue: QUEUE,
            profile: Profile::default(),
            continues: None,
        };
        let (driver, actions) = Driver::begin(chat, PROCESS, 1_000 + n, Former::default());
        self.chats.insert(chat, driver);
        self.carry_out(chat, actions);
        self.call(chat, open);
    }

    fn end(&mut self, chat: ChatId, person: Person) {
        let by = Author { person, chat_administrator: false };
        self.call(chat, ChatCall::End { by, command: CommandId::new("end").expect("short") });
    }

    fn call(&mut self, chat: ChatId, wanted: ChatCall) {
        self.calls += 1;
        self.soon.push_back(Word::Chat(chat, ChatInput::Call(self.calls, wanted)));
    }

    /// What the log says became of a customer.
    fn published(&mut self, chat: ChatId, events: &[Told]) {
        for Told { recorded, .. } in events {
            let Some(guest) = self.guests.get_mut(&chat) else {
                return;
            };
            let (wait, gap, service) = (self.now - guest.arrived, guest.gap, guest.service);
            let at = guest.n as usize;
            match &recorded.event {
                ChatEvent::Assigned { operator, .. } => {
                    guest.owner = Some(*operator);
                    let served_at = self.now + guest.service;
                    self.heap.push(served_at, None, Due::Served(chat, *operator));
                    self.visits[at] = Some(Visit { wait, left: false, gap, service });
                    let other = self.busy.insert(*operator, chat);
                    assert_eq!(other, None, "{operator:?} has one slot");
                }
                ChatEvent::Ended { .. } => {
                    self.visits[at].get_or_insert(Visit { wait, left: true, gap, service });
                    if let Some(owner) = guest.owner {
                        self.busy.remove(&owner);
                    }
                    self.guests.remove(&chat);
                }
                ChatEvent::Opened { .. } | ChatEvent::Placed { .. } | ChatEvent::Offered { .. } => {
                }
                _ if self.demand.rule == Rule::ToAll => {}
                other => panic!("nothing else happens here: {other:?}"),
            }
        }
    }

    // ---- machines ----

    /// Lets all that was said be heard, then arms timers and lets go of ended chats.
    fn settle(&mut self) {
        while let Some(word) = self.soon.pop_front() {
            match word {
                Word::Chat(chat, input) => self.chat_input(chat, input),
                Word::Queue(said) => self.queue_step(QueueInput::Said(said)),
                Word::Operator(operator, input) => self.operator_step(operator, input),
            }
        }
        let now = self.now();
        if let Some(at) = self.queue.armed.arm(self.queue.machine.next_deadline()) {
            self.wake_at(at, Actor::Queue(QUEUE));
        }
        for actor in std::mem::take(&mut self.touched) {
            let next = match actor {
                Actor::Chat(chat) => self.chat_deadline(chat),
                Actor::Operator(operator) => self.operators.get_mut(&operator).and_then(|live| {
                    let next = live.machine.next_deadline(now);
                    live.armed.arm(next)
                }),
                Actor::Queue(_) => None,
            };
            if let Some(at) = next {
                self.wake_at(at, actor);
            }
        }
    }

    fn wake_at(&mut self, at: Timestamp, actor: Actor) {
        self.heap.push(at.0.max(self.now), None, Due::Wake(actor, at));
    }

    /// Whether the timer was not armed anew since.
    fn is_armed(&self, actor: Actor, at: Timestamp) -> bool {
        let armed = match actor {
            Actor::Chat(chat) => self.chat_timers.get(&chat),
            Actor::Queue(_) => Some(&self.queue.armed),
            Actor::Operator(operator) => self.operators.get(&operator).map(|live| &live.armed),
        };
        armed.is_some_and(|armed| armed.is_for(at))
    }

    fn chat_deadline(&mut self, chat: ChatId) -> Option<Timestamp> {
        let driver = self.chats.get(&chat)?;
        if !self.guests.contains_key(&chat) && driver.can_rest() {
            self.chats.remove(&chat);
            self.chat_timers.remove(&chat);
            self.store.logs.remove(&chat);
            return None;
        }
        let next = driver.next_deadline();
        self.chat_timers.entry(chat).or_default().arm(next)
    }

    fn chat_input(&mut self, chat: ChatId, input: ChatInput) {
        let now = self.now();
        // Late words to a chat that is over: nobody waits for an answer.
        if let Some(driver) = self.chats.get_mut(&chat) {
            let actions = driver.input(now, input);
            self.touched.push(Actor::Chat(chat));
            self.carry_out(chat, actions);
        }
    }

    fn carry_out(&mut self, chat: ChatId, actions: Vec<Action>) {
        let now = self.now();
        for action in actions {
            match action {
                Action::Store(call) => {
                    let answer = self.store_call(chat, call);
                    if let Some(driver) = self.chats.get_mut(&chat) {
                        let actions = driver.stored(now, answer);
                        self.carry_out(chat, actions);
                    }
                }
                Action::Own(ChatAction::Row(row) | ChatAction::Index(row)) => {
                    self.index.put(chat, row)
                }
                Action::Own(ChatAction::MarkIndex(moving)) => self.index.mark(chat, moving),
                Action::Answer(_, answer) => assert!(answer.is_ok(), "{chat:?}: {answer:?}"),
                Action::Own(ChatAction::ToQueue(_, said)) => self.soon.push_back(Word::Queue(said)),
                Action::Own(ChatAction::ToOperator(to, said)) => {
                    self.soon.push_back(Word::Operator(to, OperatorInput::Said(said)));
                }
                Action::Publish(events) | Action::PublishLate(events) => {
                    self.published(chat, &events)
                }
                Action::Fail(failure) => panic!("{chat:?}: {failure}"),
            }
        }
    }

    fn store_call(&mut self, chat: ChatId, call: StoreCall) -> StoreAnswer {
        match call {
            StoreCall::Claim => StoreAnswer::Claimed(Ok(self.store.claim(chat))),
            StoreCall::Read { from } => StoreAnswer::Page(Ok(self.store.read(chat, from, PAGE))),
            StoreCall::Prepare(Preparation::PutRow(row)) => {
                self.index.put(chat, Some(row));
                StoreAnswer::Prepared(Ok(()))
            }
            StoreCall::Prepare(Preparation::Mark(_)) => StoreAnswer::Prepared(Ok(())),
            StoreCall::Touch(_) => StoreAnswer::Touched(Ok(())),
            StoreCall::Append(claim, events) | StoreCall::AppendWith(claim, events, _) => {
                StoreAnswer::Appended(self.store.append(claim, &events))
            }
        }
    }

    fn queue_step(&mut self, input: QueueInput) {
        for effect in self.queue.machine.step(Timestamp(self.now), input) {
            self.soon.push_back(match effect {
                QueueEffect::ToChat(chat, said) => Word::Chat(chat, ChatInput::Said(said)),
                QueueEffect::ToOperator(to, said) => Word::Operator(to, OperatorInput::Said(said)),
            });
        }
    }

    fn operator_step(&mut self, operator: UserId, input: OperatorInput) {
        let now = self.now();
        let Some(live) = self.operators.get_mut(&operator) else {
            return;
        };
        self.touched.push(Actor::Operator(operator));
        for effect in live.machine.step(now, input) {
            let word = match effect {
                OperatorEffect::ToChat(chat, said) => Word::Chat(chat, ChatInput::Said(said)),
                OperatorEffect::ToQueue(_, said) => Word::Queue(said),
                OperatorEffect::Answer(_, answer) => {
                    assert!(answer.is_ok(), "{operator:?}: {answer:?}");
                    continue;
                }
                OperatorEffect::Save(_) => Word::Operator(operator, OperatorInput::Saved(true)),
                OperatorEffect::ReadIndex => {
                    let rows = self.index.of_operator(operator);
                    Word::Operator(operator, OperatorInput::Recovered(rows))
                }
                OperatorEffect::Probe(connection, probe) => {
                    Word::Operator(operator, OperatorInput::ProbeAnswered(connection, probe))
                }
                OperatorEffect::Show(Notice::OfferPresented { .. })
                    if self.demand.rule == Rule::ToAll =>
                {
                    continue;
                }
                OperatorEffect::Show(Notice::OfferPresented { chat, offer, .. }) => {
                    self.calls += 1;
                    let command = CommandId::new("accept").expect("short");
                    let accept = OperatorCall::Accept { chat, offer, command };
                    Word::Operator(operator, OperatorInput::Call(self.calls, accept))
                }
                OperatorEffect::Show(Notice::OfferWithdrawn { .. } | Notice::Updated) => continue,
            };
            self.soon.push_back(word);
        }
    }
}

fn customer(n: u64) -> Customer {
    let id = CustomerId::from_u128(0x0c00_0000 + u128::from(n));
    Customer { channel: ChannelId::from_u128(1), id }
}

//! Lives: how the actors and their process start, end and wake.

use std::collections::{BTreeSet, VecDeque};

use switchboard::domain::{ChatId, Timestamp, UserId};
use switchboard::machine::chat::ChatInput;
use switchboard::machine::chat::driver::Driver;
use switchboard::machine::index::shard;
use switchboard::machine::life;
use switchboard::machine::operator::{
    Account, Beginning, OnScreen, Operator, OperatorInput, OperatorSettings, OwnerLimits,
    first_inputs,
};
use switchboard::machine::queue::{Queue, QueueInput};
use switchboard::machine::timer::Armed;

use crate::check::RECENT;
use crate::heard::Hearing;
use crate::planted::Planted;
use crate::world::{Actor, ChatActor, Happening, Live, World};

/// How often the deadlines of sleeping chats are looked at.
const WAKE_EVERY_MS: u64 = 250;
/// How far the wall clock is set back or forward between two processes, mostly, ms; sometimes by hours.
const CLOCK_SET_MAX_MS: u64 = 30_000;

impl World {
    pub fn next_life(&mut self) -> u64 {
        self.lives += 1;
        life(self.process, self.lives)
    }

    pub fn start_process(&mut self) {
        self.up = true;
        self.process += 1;
        self.lives = 0;
        if self.faulty() && self.process > 1 && self.rng.chance(400) {
            let ms = match self.rng.below(4) {
                0 => self.rng.within(1, 24) * 3_600_000,
                _ => self.rng.within(1, CLOCK_SET_MAX_MS),
            };
            if self.rng.chance(250) {
                self.set_forward(ms);
            } else {
                self.set_back(ms);
            }
        } else if self.behind != 0 && self.rng.chance(300) {
            self.set_right();
        }
        self.rows_say_where_chats_are();
        self.indexes = Default::default();
        for row in self.store.rows.values() {
            self.indexes[shard(row.chat)].load(row.clone());
        }
        for queue in self.configs.keys().copied().collect::<Vec<_>>() {
            self.start(Actor::Queue(queue));
        }
        for operator in self.capacities.keys().copied().collect::<Vec<_>>() {
            self.start_operator(operator, false);
        }
        let mut moving = BTreeSet::new();
        for index in &self.indexes {
            moving.extend(index.moving());
            moving.extend(index.homeless(|queue| self.configs.contains_key(&queue)));
        }
        for chat in moving {
            self.start(Actor::Chat(chat));
        }
        self.wake_sleepers();
    }

    pub fn wake_sleepers(&mut self) {
        let now = self.now();
        let due: BTreeSet<_> = self.indexes.iter().flat_map(|index| index.due(now)).collect();
        for chat in due {
            self.start(Actor::Chat(chat));
        }
        self.at(self.now + WAKE_EVERY_MS, Some(self.process), Happening::Deadlines);
    }

    pub fn end_process(&mut self) {
        self.fault("process crashed");
        self.up = false;
        self.rows.unpublished.clear();
        self.rows.untold.clear();
        self.checker.shown.clear();
        // What was being written to a row is lost with the process. One that is marked is made anew.
        let writing = self.rows_until.iter().filter(|(_, until)| **until >= self.now);
        let rows = &self.store.rows;
        let marked = |chat: &ChatId| rows.get(chat).is_none_or(|row| row.moving.is_some());
        let stale = writing.map(|(chat, _)| *chat).filter(|chat| !marked(chat));
        self.rows.stale.extend(stale);
        self.chats.clear();
        self.queues.clear();
        self.operators.clear();
        self.screens.clear();
        for human in &mut self.humans {
            human.offers.clear();
            human.connections.clear();
        }
        let at = self.now + self.rng.within(10, 1_500);
        self.at(at, None, Happening::Process);
    }

    pub fn start(&mut self, actor: Actor) {
        match actor {
            Actor::Chat(chat) => {
                if self.chats.contains_key(&chat) {
                    return;
                }
                let life = self.next_life();
                let former = self.index_mut(chat).wake(chat);
                let (driver, actions) = Driver::begin(chat, self.process, life, former);
                let untold = self.rows.untold.get(&chat).copied();
                let driver =
                    driver.remembering(RECENT).untold(untold).in_one_write(self.in_one_write);
                let mailbox = VecDeque::new();
                self.chats
                    .insert(chat, ChatActor { driver, life, mailbox, armed: Armed::default() });
                self.carry_out(chat, actions);
            }
            Actor::Queue(queue) => {
                let Some(config) = self.configs.get(&queue).cloned() else {
                    return;
                };
                let life = self.next_life();
                self.heard.insert(queue, Hearing::new(config.clone(), self.settings));
                let machine = Queue::new(config, self.settings, life, self.now());
                self.queues.insert(queue, Live { machine, life, armed: Armed::default() });
                self.checker.visitors.started(queue);
                let rows = self.indexes.iter().flat_map(|index| index.of_queue(queue)).collect();
                self.queue_step(queue, QueueInput::Recovered(rows));
            }
            Actor::Operator(operator) => {
                self.start_operator(operator, true);
            }
        }
    }

    pub fn start_operator(&mut self, operator: UserId, follows: bool) {
        if self.faulty() && self.rng.chance(80) {
            self.fault("record not read");
            // Its supervisor starts it again.
            let at = self.now + self.rng.within(10, 300);
            return self.at(at, Some(self.process), Happening::Restart(Actor::Operator(operator)));
        }
        let life = self.next_life();
        let record = self.store.records.get(&operator).cloned().unwrap_or_default();
        let beginning = Beginning { now: self.now(), follows, grace_until: self.now() };
        let account = self.account(operator);
        self.lapses.started(operator, record.lapses_in_row);
        let machine = Operator::new(operator, account, record, life, beginning);
        self.operators.insert(operator, Live { machine, life, armed: Armed::default() });
        // A new life counts anew.
        self.checker.absent_since.insert(operator, self.now);
        let on_screens = self.on_screens(operator);
        let human = self.humans.iter().find(|human| human.id == operator);
        let connections = human.map(|human| human.connections.clone()).unwrap_or_default();
        for input in first_inputs(on_screens, connections) {
            self.operator_step(operator, input);
        }
    }

    /// What the screens show, as the operator's shell keeps it over its lives.
    fn on_screens(&self, operator: UserId) -> Vec<OnScreen> {
        if self.plan.planted == Some(Planted::ForgetsScreens) {
            return Vec::new();
        }
        let shown = self.screens.get(&operator);
        let row = |chat| self.index(chat).get(chat).cloned();
        shown.map(|shown| shown.for_a_new_life(row)).unwrap_or_default()
    }

    pub fn account(&self, operator: UserId) -> Account {
        let extra = u32::from(self.plan.planted == Some(Planted::CapacityOffByOne));
        let own = OperatorSettings {
            capacity: self.capacities[&operator] + extra,
            active: !self.inactive.contains(&operator),
        };
        let queues = self.configs.values();
        let limits = OwnerLimits::of(queues.clone());
        let mut account = Account::of(operator, own, queues, &limits, self.settings);
        if self.plan.planted == Some(Planted::KeepsNothing) {
            for terms in account.queues.values_mut() {
                terms.offer_timeout_ms = 0;
            }
        }
        account
    }

    pub fn crash(&mut self, actor: Actor) {
        self.last_fault = self.now;
        match actor {
            Actor::Chat(chat) => {
                self.rows.unpublished.remove(&chat);
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

    /// A timer fires, if it was not armed anew since.
    pub fn wake(&mut self, actor: Actor, life: u64, at: Timestamp) {
        let armed = match actor {
            Actor::Chat(chat) => self.chats.get_mut(&chat).map(|l| (l.life, &mut l.armed)),
            Actor::Queue(queue) => self.queues.get_mut(&queue).map(|l| (l.life, &mut l.armed)),
            Actor::Operator(operator) => {
                self.operators.get_mut(&operator).map(|l| (l.life, &mut l.armed))
            }
        };
        let Some((_, armed)) = armed.filter(|(n, armed)| *n == life && armed.is_for(at)) else {
            return;
        };
        armed.disarm();
        match actor {
            Actor::Chat(chat) => {
                let now = self.now();
                let due = |live: &&mut ChatActor| {
                    live.driver.is_idle() && live.driver.next_deadline().is_some_and(|at| at <= now)
                };
                if let Some(live) = self.chats.get_mut(&chat).filter(due) {
                    let actions = live.driver.input(now, ChatInput::Tick);
                    self.carry_out(chat, actions);
                }
                self.pump(chat);
            }
            Actor::Queue(queue) => self.queue_step(queue, QueueInput::Tick),
            Actor::Operator(operator) => self.operator_step(operator, OperatorInput::Tick),
        }
    }
}

//! Lives: how the actors and their process start, end and wake.

use std::collections::VecDeque;
use std::sync::Arc;

use switchboard::domain::limits::ASSIGN_LIMIT_MS;
use switchboard::domain::{Rule, Timestamp, UserId};
use switchboard::machine::chat::ChatInput;
use switchboard::machine::chat::driver::Driver;
use switchboard::machine::index::Index;
use switchboard::machine::life;
use switchboard::machine::operator::{Account, OnScreen, Operator, OperatorInput, Terms};
use switchboard::machine::queue::{Queue, QueueInput};

use switchboard::storage::OpenChat;

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
        let there = |row: &&OpenChat| self.configs.contains_key(&row.queue);
        let owned = |row: &&OpenChat| row.place.as_ref().is_some_and(|p| p.owner().is_some());
        let homeless = self.index.rows().filter(|row| !there(row) && !owned(row));
        let mut moving = self.index.moving();
        moving.extend(homeless.map(|row| row.chat));
        for chat in moving {
            self.start(Actor::Chat(chat));
        }
        self.wake_sleepers();
    }

    pub fn wake_sleepers(&mut self) {
        for chat in self.index.due(self.now()) {
            self.start(Actor::Chat(chat));
        }
        self.at(self.now + WAKE_EVERY_MS, Some(self.process), Happening::Deadlines);
    }

    pub fn end_process(&mut self) {
        self.fault("process crashed");
        self.up = false;
        self.rows.unpublished.clear();
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

    pub fn start(&mut self, actor: Actor) {
        match actor {
            Actor::Chat(chat) => {
                if self.chats.contains_key(&chat) {
                    return;
                }
                let life = self.next_life();
                let former = self.index.wake(chat);
                let (driver, actions) = Driver::begin(chat, self.process, life, former);
                let driver = driver.remembering(RECENT);
                let mailbox = VecDeque::new();
                self.chats.insert(chat, ChatActor { driver, life, mailbox, armed: None });
                self.carry_out(chat, actions);
            }
            Actor::Queue(queue) => {
                let Some(config) = self.configs.get(&queue).cloned() else {
                    return;
                };
                let life = self.next_life();
                self.heard.insert(queue, Hearing::new(config.clone(), self.settings));
                let machine = Queue::new(config, self.settings, life, self.now());
                self.queues.insert(queue, Live { machine, life, armed: None });
                self.checker.visitors.started(queue);
                let rows = self.index.of_queue(queue);
                self.queue_step(queue, QueueInput::Recovered(rows));
            }
            Actor::Operator(operator) => {
                let live_at = self.now + ASSIGN_LIMIT_MS;
                self.start_operator(operator, live_at);
            }
        }
    }

    pub fn start_operator(&mut self, operator: UserId, live_at: u64) {
        if self.faulty() && self.rng.chance(80) {
            self.fault("record not read");
            // Its supervisor starts it again.
            let at = self.now + self.rng.within(10, 300);
            return self.at(at, Some(self.process), Happening::Restart(Actor::Operator(operator)));
        }
        let life = self.next_life();
        let record = self.store.records.get(&operator).cloned().unwrap_or_default();
        let times = (self.now(), Timestamp(live_at), Timestamp(self.now));
        let account = self.account(operator);
        self.lapses.started(operator, record.lapses_in_row);
        let machine = Operator::new(operator, account, record, life, times);
        self.operators.insert(operator, Live { machine, life, armed: None });
        // A new life counts anew.
        self.checker.absent_since.insert(operator, self.now);
        let on_screens = self.on_screens(operator);
        self.operator_step(operator, OperatorInput::OnScreens(on_screens));
        self.operator_step(operator, OperatorInput::Tick);
        let human = self.humans.iter().find(|human| human.id == operator);
        for connection in human.map(|h| h.connections.clone()).unwrap_or_default() {
            self.operator_step(operator, OperatorInput::Connected(connection));
        }
    }

    /// What the screens show, as the operator's shell keeps it over its lives.
    fn on_screens(&self, operator: UserId) -> Vec<OnScreen> {
        if self.plan.planted == Some(Planted::ForgetsScreens) {
            return Vec::new();
        }
        let human = self.humans.iter().find(|human| human.id == operator);
        let shown = human.into_iter().flat_map(|human| &human.offers);
        shown
            .map(|(chat, (offer, queue))| OnScreen {
                chat: *chat,
                offer: *offer,
                queue: *queue,
                row: self.index.get(*chat).cloned(),
            })
            .collect()
    }

    pub fn account(&self, operator: UserId) -> Account {
        use switchboard::routing::rule::is_directed;
        let member = self.configs.values().filter(|queue| queue.members.contains(&operator));
        let hasty = self.plan.planted == Some(Planted::KeepsNothing);
        let extra = u32::from(self.plan.planted == Some(Planted::CapacityOffByOne));
        Account {
            capacity: self.capacities[&operator] + extra,
            active: !self.inactive.contains(&operator),
            queues: member
                .map(|queue| {
                    let terms = Terms {
                        directed: is_directed(queue.rule),
                        manual: queue.rule == Rule::Manual,
                        priority: queue.priority,
                        offer_timeout_ms: if hasty { 0 } else { queue.offer_timeout_ms },
                    };
                    (queue.id, terms)
                })
                .collect(),
            per_operator_limits: Arc::new(
                self.configs
                    .values()
                    .filter_map(|queue| Some((queue.id, queue.per_operator_limit?)))
                    .collect(),
            ),
            absent_owner_limits_ms: Arc::new(
                self.configs
                    .values()
                    .filter_map(|queue| Some((queue.id, queue.absent_owner_limit_ms?)))
                    .collect(),
            ),
            settings: self.settings,
        }
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

    pub fn wake(&mut self, actor: Actor, life: u64) {
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
}

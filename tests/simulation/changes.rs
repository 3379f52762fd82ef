//! Changes of the configuration while all goes on: of operators, of queues, of what holds for all; queues
//! that come, take no more chats, and go.

use switchboard::domain::limits::{PRIORITY_STEP_MS, VISITOR_OFFER_EVERY_MS};
use switchboard::domain::{self, Priority, QueueId, Rule, UserId};
use switchboard::machine::chat::{ChatCall, ChatInput, Target};
use switchboard::machine::message::{ChatAt, ToChat, ToQueue};
use switchboard::machine::operator::OperatorInput;
use switchboard::machine::queue::QueueInput;

use crate::planted::Planted;
use crate::world::{Actor, Happening, Pending, World};

/// Queues are added up to so many, and removed down to the fewest with which a world begins.
const QUEUES: (usize, usize) = (2, 12);

const RULES: [Rule; 4] = [Rule::LeastLoaded, Rule::LongestIdle, Rule::ToAll, Rule::Manual];

impl World {
    pub fn reconfigure(&mut self) {
        match self.rng.below(22) {
            0..14 => self.change_one(),
            14..16 => self.change_settings(),
            16..18 => self.add_queue(),
            18..21 => self.remove_queue(),
            _ => self.turn_queue(),
        }
    }

    /// A queue as somebody might set it up, with some of these as members.
    pub fn new_queue(&mut self, operators: &[UserId], rules: u64) -> domain::Queue {
        self.queues_made += 1;
        let id = QueueId::from_u128(0x0b00 + u128::from(self.queues_made) - 1);
        let rule = RULES[self.rng.below(rules) as usize];
        let mut queue = domain::Queue::new(id, "queue", rule);
        queue.members = operators.iter().filter(|_| self.rng.chance(700)).copied().collect();
        queue.priority = Priority::new(self.rng.below(3) as u8).expect("small");
        queue.offer_timeout_ms = self.rng.within(300, 2_500);
        queue.per_operator_limit = self.rng.chance(300).then(|| self.rng.within(1, 2) as u32);
        queue.absent_owner_limit_ms = self.rng.chance(700).then(|| self.rng.within(500, 5_000));
        self.overtaking.configured(id, queue.offer_timeout_ms, 0);
        for operator in operators {
            self.checker.queue_limit(*operator, id, queue.per_operator_limit);
        }
        queue
    }

    fn change_one(&mut self) {
        let queues: Vec<QueueId> = self.configs.keys().copied().collect();
        let operators: Vec<UserId> = self.capacities.keys().copied().collect();
        let (Some(queue), Some(operator)) =
            (self.rng.pick(&queues).copied(), self.rng.pick(&operators).copied())
        else {
            return;
        };
        let what = self.rng.below(15);
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
                config.rule = RULES[small as usize];
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
            11..13 => {
                let limit = (small > 0).then_some(small as u32);
                config.per_operator_limit = limit;
                for operator in &operators {
                    self.checker.queue_limit(*operator, queue, limit);
                }
                "queue limit"
            }
            13 => {
                config.absent_owner_limit_ms = (small > 0).then_some(1_000 * small);
                "absent owner limit"
            }
            _ => {
                if !self.inactive.remove(&operator) {
                    self.inactive.insert(operator);
                }
                "deactivated"
            }
        };
        config.version += 1;
        let config = config.clone();
        self.overtaking.configured(queue, config.offer_timeout_ms, self.now);
        self.changed(change);
        self.queue_step(queue, QueueInput::Configure(config));
        let untold = self.plan.planted == Some(Planted::KeepsOldLimits);
        if !untold || !matches!(change, "capacity" | "queue limit") {
            self.tell_operators();
        }
    }

    /// What holds for all queues.
    fn change_settings(&mut self) {
        let small = self.rng.below(4);
        match self.rng.below(4) {
            0 => self.settings.cool_down_ms = 1_500 + 500 * small,
            1 => self.settings.lapses_to_away = 1 + small as u32,
            2 => self.settings.visitor_offer_every_ms = VISITOR_OFFER_EVERY_MS / 3 * small,
            _ => self.settings.priority_step_ms = PRIORITY_STEP_MS / 2 * (1 + small),
        }
        self.checker.settings = self.settings;
        self.checker.visitors.every_ms_changed(self.settings.visitor_offer_every_ms);
        self.overtaking.ranks_changed(self.now);
        self.changed("settings");
        for queue in self.queues.keys().copied().collect::<Vec<_>>() {
            self.queue_step(queue, QueueInput::Settings(self.settings));
        }
        self.tell_operators();
    }

    fn add_queue(&mut self) {
        if self.configs.len() >= QUEUES.1 {
            return;
        }
        let operators: Vec<UserId> = self.capacities.keys().copied().collect();
        let queue = self.new_queue(&operators, 4);
        let id = queue.id;
        self.configs.insert(id, queue);
        self.changed("queue added");
        self.start(Actor::Queue(id));
        self.tell_operators();
    }

    /// A queue takes no more chats, or takes some again. It serves what it has. The newest are turned
    /// most often: they have the fewest chats, and can be removed.
    fn turn_queue(&mut self) {
        let queues: Vec<QueueId> = self.configs.keys().copied().collect();
        let taking = self.configs.values().filter(|queue| queue.active).count();
        let any = self.rng.pick(&queues).copied();
        let queue = if self.rng.chance(500) { queues.last().copied() } else { any };
        let queue = queue.and_then(|queue| self.configs.get_mut(&queue));
        let Some(config) = queue.filter(|queue| taking > 1 || !queue.active) else { return };
        config.active = !config.active;
        config.version += 1;
        let config = config.clone();
        self.changed("queue deactivated");
        self.queue_step(config.id, QueueInput::Configure(config));
        self.tell_operators();
    }

    /// A queue goes that takes no chats and has none. What is on its way into it may still come: such a
    /// chat goes into another one.
    fn remove_queue(&mut self) {
        let leads = |pending: &Pending, id: QueueId| match pending {
            Pending::Chat(_, ChatCall::Open { queue, .. }) => *queue == id,
            Pending::Chat(_, ChatCall::Transfer { to: Target::Queue(to), .. }) => *to == id,
            Pending::Chat(..) | Pending::Operator(..) => false,
        };
        let unused = |queue: &&domain::Queue| {
            !queue.active
                && !self.indexes.iter().any(|index| index.is_in_use(queue.id))
                && !self.calls.values().any(|pending| leads(pending, queue.id))
        };
        let removed = self.configs.values().find(unused).map(|queue| queue.id);
        let Some(removed) = removed.filter(|_| self.configs.len() > QUEUES.0) else {
            return self.turn_queue();
        };
        self.configs.remove(&removed);
        self.queues.remove(&removed);
        self.heard.remove(&removed);
        self.changed("queue removed");
        self.tell_operators();
    }

    /// As the shell of a chat does: one that waits in a queue which is not there goes into another.
    pub fn look_for_a_home(&mut self, at: &ChatAt) {
        if !at.place.waits() {
            return;
        }
        let home = self.configs.values().find(|queue| queue.active).map(|queue| queue.id);
        if let Some(to) = home.filter(|_| !self.configs.contains_key(&at.queue)) {
            self.coverage.count("odd", "queue not there");
            let rehome = ToChat::Rehome { queue: at.queue, to };
            let said = Happening::ToChat(at.chat, ChatInput::Said(rehome));
            self.at(self.now, Some(self.process), said);
        }
    }

    /// A chat tells a queue that is not there any more.
    pub fn heard_by_nobody(&mut self, queue: QueueId, said: &ToQueue) {
        if let ToQueue::At(at) = said
            && let Some(seen) = at.heard_by_nobody(queue)
        {
            self.coverage.count("odd", "told a queue that is not there");
            self.deliver(Happening::ToChat(at.chat, ChatInput::Said(seen)));
        }
    }

    fn changed(&mut self, what: &'static str) {
        self.coverage.count("change", what);
        self.last_fault = self.now;
    }

    fn tell_operators(&mut self) {
        for operator in self.operators.keys().copied().collect::<Vec<_>>() {
            let account = self.account(operator);
            self.operator_step(operator, OperatorInput::Account(account));
        }
    }
}

//! Nobody has more than fits, by the logs and by the limits in force.

use std::collections::BTreeSet;

use switchboard::domain::{ChatId, QueueId, UserId};
use switchboard::machine::chat::Chat;
use switchboard::machine::message::ToChat;
use switchboard::machine::operator::{Held, OperatorEffect, Slot};

use crate::check::Checker;
use crate::planted::Planted;
use crate::world::World;

impl Checker {
    /// What fits an operator. A lowered limit takes no chat away: until the load has come down,
    /// the former one is the ceiling.
    pub fn capacity(&mut self, operator: UserId, capacity: u32) {
        let ceiling = self.ceilings.entry(operator).or_insert((capacity, capacity));
        *ceiling = (capacity, ceiling.1.max(capacity));
    }

    /// What fits an operator of one queue, likewise; [`u32::MAX`] without a limit.
    pub fn queue_limit(&mut self, operator: UserId, queue: QueueId, limit: Option<u32>) {
        let limit = limit.unwrap_or(u32::MAX);
        let ceiling = self.queue_ceilings.entry((operator, queue)).or_insert((limit, limit));
        *ceiling = (limit, ceiling.1.max(limit));
    }
}

impl World {
    /// Nobody owns more chats of a queue than its limit allows, by the logs alone. A lowered limit
    /// takes no chat away.
    pub fn check_queue_limits(&mut self) {
        let (folds, owned) = (&self.checker.folds, &self.checker.owned);
        for ((operator, queue), (limit, ceiling)) in &mut self.checker.queue_ceilings {
            let is_here = |chat: &ChatId| {
                folds.get(chat).and_then(Chat::at).is_some_and(|at| at.queue == *queue)
            };
            let here = owned.get(operator).into_iter().flatten().filter(|c| is_here(c)).count();
            let here = here as u32;
            assert!(
                here <= *ceiling,
                "{operator:?} owns {here} chats of {queue:?}, above its limit {ceiling} (seed {})",
                self.seed
            );
            let held = self.operators.get(operator).map_or(*ceiling, |live| {
                let of = |slot: &&Slot| slot.queue.is_none_or(|known| known == *queue);
                let slots = live.machine.slots().values().filter(of).count();
                let reserved = live.machine.reserved().values().filter(|r| r.queue == *queue);
                (slots + reserved.count()) as u32
            });
            if here.max(held) <= *limit {
                *ceiling = *limit;
            }
        }
    }

    /// Never above capacity, by the logs alone.
    pub fn check_capacities(&mut self) {
        for (operator, (capacity, ceiling)) in &mut self.checker.ceilings {
            let owned = self.checker.owned.get(operator).map_or(0, BTreeSet::len) as u32;
            assert!(
                owned <= *ceiling,
                "{operator:?} owns {owned} chats, above its capacity {ceiling} (seed {})",
                self.seed
            );
            let held = self.operators.get(operator).map_or(*ceiling, |live| live.machine.load());
            if owned.max(held) <= *capacity {
                *ceiling = *capacity;
            }
        }
    }

    /// By the limits in force, whatever the operator believes of them: it asks for no chat above
    /// them, and no directed offer stays on its screens above them.
    pub fn check_limits_in_force(&mut self, operator: UserId, effects: &[OperatorEffect]) {
        // That one is for the capacity of the logs to catch.
        if self.plan.planted == Some(Planted::CapacityOffByOne) {
            return;
        }
        let Some(live) = self.operators.get(&operator) else { return };
        let (life, slots) = (live.life, live.machine.slots());
        let mut asked = Vec::new();
        for effect in effects {
            if let OperatorEffect::ToChat(chat, ToChat::Assign { valid_until, .. }) = effect
                && self.checker.assigns.insert((operator, life, *chat, *valid_until))
            {
                asked.push(*chat);
            }
        }
        let count = |queue: Option<QueueId>, held: fn(&Held) -> bool| {
            let here = |slot: &&Slot| queue.is_none() || slot.queue == queue;
            slots.values().filter(here).filter(|slot| held(&slot.held)).count() as u32
        };
        let own = |held: &Held| matches!(held, Held::Active | Held::Assigning { .. });
        let standing = |held: &Held| {
            matches!(held, Held::Active | Held::Assigning { .. } | Held::Offered { .. })
        };
        let offered = |held: &Held| matches!(held, Held::Offered { .. });
        let capacity = (None, self.capacities[&operator]);
        let queues = self.configs.values();
        let limits = queues.filter_map(|q| Some((Some(q.id), q.per_operator_limit?)));
        for (queue, limit) in limits.chain([capacity]) {
            let concerned = |chat: &ChatId| {
                slots.get(chat).is_some_and(|slot| queue.is_none() || slot.queue == queue)
            };
            assert!(
                count(queue, own) <= limit || !asked.iter().any(concerned),
                "{operator:?} asks for {asked:?} above the limit {limit} in force of {queue:?} at \
                 {} (seed {})",
                self.now,
                self.seed
            );
            assert!(
                count(queue, offered) == 0 || count(queue, standing) <= limit,
                "{operator:?} is offered more than the limit {limit} in force of {queue:?} at {} \
                 (seed {})",
                self.now,
                self.seed
            );
        }
    }
}

//! What the configuration says of an operator, made from its queues.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::limits::OPERATOR_CAPACITY;
use crate::domain::{Priority, Queue, QueueId, RoutingSettings, Rule, UserId};
use crate::routing::{Asks, Otherwise, describe};

/// What an operator has to know of a queue of which it is a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Whom it asks, and how.
    pub rule: Rule,
    /// How much sooner its chats are served.
    pub priority: Priority,
    /// How long its offers stand, ms.
    pub offer_timeout_ms: u64,
}

impl Terms {
    /// Those of a queue.
    pub fn of(queue: &Queue) -> Self {
        Self {
            rule: queue.rule,
            priority: queue.priority,
            offer_timeout_ms: queue.offer_timeout_ms,
        }
    }

    /// Whom the queue asks.
    pub fn asks(&self) -> Asks {
        describe(self.rule).asks
    }

    /// Whether members take from it by hand.
    pub fn is_by_hand(&self) -> bool {
        match describe(self.rule).otherwise {
            Otherwise::ByHand => true,
            Otherwise::FreeSlot => false,
        }
    }
}

/// The limits of all queues that bind owners, made once a change and shared by all operators:
/// with 10,000 of them and 1,000 queues a copy for each would take some hundred MB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerLimits {
    per_operator: Arc<BTreeMap<QueueId, u32>>,
    absent_ms: Arc<BTreeMap<QueueId, u64>>,
}

impl OwnerLimits {
    /// Those of these queues.
    pub fn of<'a>(queues: impl Iterator<Item = &'a Queue> + Clone) -> Self {
        let held = queues.clone().filter_map(|queue| Some((queue.id, queue.per_operator_limit?)));
        let absent = queues.filter_map(|queue| Some((queue.id, queue.absent_owner_limit_ms?)));
        Self { per_operator: Arc::new(held.collect()), absent_ms: Arc::new(absent.collect()) }
    }
}

/// What the configuration says of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// How many chats fit.
    pub capacity: u32,
    /// Whether it may work at all.
    pub active: bool,
    /// The queues of which it is a member.
    pub queues: BTreeMap<QueueId, Terms>,
    /// Most chats of a queue that one operator holds, by queue: of all queues that have such a
    /// limit, since a chat may come by transfer or by hand from any.
    pub per_operator_limits: Arc<BTreeMap<QueueId, u32>>,
    /// How long owners may be absent before their chats return to the line, ms, by queue: of all
    /// queues that have such a limit, since a chat may come by transfer from any.
    pub absent_owner_limits_ms: Arc<BTreeMap<QueueId, u64>>,
    /// What holds for all.
    pub settings: RoutingSettings,
}

/// What is configured for one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorSettings {
    /// How many chats fit.
    pub capacity: u32,
    /// Whether the user may work at all.
    pub active: bool,
}

impl Default for OperatorSettings {
    fn default() -> Self {
        Self { capacity: OPERATOR_CAPACITY, active: true }
    }
}

impl Account {
    /// That of an operator who has these `own` settings, by all `queues` and their `limits`.
    pub fn of<'a>(
        operator: UserId,
        own: OperatorSettings,
        queues: impl Iterator<Item = &'a Queue>,
        limits: &OwnerLimits,
        settings: RoutingSettings,
    ) -> Self {
        let member = queues.filter(|queue| queue.members.contains(&operator));
        Self {
            capacity: own.capacity,
            active: own.active,
            queues: member.map(|queue| (queue.id, Terms::of(queue))).collect(),
            per_operator_limits: Arc::clone(&limits.per_operator),
            absent_owner_limits_ms: Arc::clone(&limits.absent_ms),
            settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_the_terms_of_its_own_queues_and_the_limits_of_all() {
        let (ann, bob) = (UserId::from_u128(1), UserId::from_u128(2));
        let mut own = Queue::new(QueueId::from_u128(3), "own", Rule::ToAll);
        (own.offer_timeout_ms, own.priority) = (7_000, Priority::new(4).unwrap());
        own.members.insert(ann);
        let mut other = Queue::new(QueueId::from_u128(4), "other", Rule::Manual);
        other.members.insert(bob);
        (other.per_operator_limit, other.absent_owner_limit_ms) = (Some(2), Some(500));
        let queues = [own, other];
        let limits = OwnerLimits::of(queues.iter());
        let settings = RoutingSettings { cool_down_ms: 9, ..Default::default() };
        let has = OperatorSettings { capacity: 5, active: false };
        let account = Account::of(ann, has, queues.iter(), &limits, settings);
        let terms =
            Terms { rule: Rule::ToAll, priority: queues[0].priority, offer_timeout_ms: 7_000 };
        let expected = Account {
            capacity: 5,
            active: false,
            queues: BTreeMap::from([(queues[0].id, terms)]),
            per_operator_limits: Arc::new(BTreeMap::from([(queues[1].id, 2)])),
            absent_owner_limits_ms: Arc::new(BTreeMap::from([(queues[1].id, 500)])),
            settings,
        };
        assert_eq!(account, expected);
        let others = Account::of(bob, has, queues.iter(), &limits, settings);
        assert!(others.queues[&queues[1].id].is_by_hand() && others.queues.len() == 1);
        assert!(Arc::ptr_eq(&account.per_operator_limits, &others.per_operator_limits));
    }

    #[test]
    fn a_queues_terms_say_whom_it_asks_and_whether_it_is_taken_from_by_hand() {
        for (rule, expected) in [
            (Rule::LeastLoaded, (Asks::One, false)),
            (Rule::LongestIdle, (Asks::One, false)),
            (Rule::ToAll, (Asks::All, false)),
            (Rule::Manual, (Asks::Nobody, true)),
        ] {
            let terms = Terms::of(&Queue::new(QueueId::from_u128(3), "queue", rule));
            assert_eq!((terms.asks(), terms.is_by_hand()), expected, "{rule:?}");
        }
    }
}

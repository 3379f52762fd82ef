//! The configuration in force: queues and operators, as the actors need them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::limits::OPERATOR_CAPACITY;
use crate::domain::{ChannelId, Queue, QueueId, RoutingSettings, Rule, UserId};
use crate::machine::operator::{Account, Terms};
use crate::routing::rule::is_directed;

/// What the configuration says of one operator.
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

/// All of it. See the module.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// The active channels, and the queue into which each puts its chats.
    pub channels: BTreeMap<ChannelId, QueueId>,
    /// The queues.
    pub queues: BTreeMap<QueueId, Queue>,
    /// The operators; one that is not here is not active.
    pub operators: BTreeMap<UserId, OperatorSettings>,
    /// What holds for all.
    pub settings: RoutingSettings,
}

impl Roster {
    /// What an operator's actor has to know.
    pub(super) fn account(&self, operator: UserId) -> Account {
        let known = self.operators.get(&operator);
        let settings =
            known.copied().unwrap_or(OperatorSettings { active: false, ..Default::default() });
        let member = self.queues.values().filter(|queue| queue.members.contains(&operator));
        let terms = |queue: &Queue| Terms {
            directed: is_directed(queue.rule),
            manual: queue.rule == Rule::Manual,
            priority: queue.priority,
            offer_timeout_ms: queue.offer_timeout_ms,
        };
        let absent = self.queues.values();
        let absent = absent.filter_map(|queue| Some((queue.id, queue.absent_owner_limit_ms?)));
        let limits = self.queues.values();
        let limits = limits.filter_map(|queue| Some((queue.id, queue.per_operator_limit?)));
        Account {
            capacity: settings.capacity,
            active: settings.active,
            queues: member.map(|queue| (queue.id, terms(queue))).collect(),
            per_operator_limits: Arc::new(limits.collect()),
            absent_owner_limits_ms: Arc::new(absent.collect()),
            settings: self.settings,
        }
    }
}

/// The roster, shared. Held only for the moment of a look or a change.
#[derive(Debug, Default)]
pub(super) struct SharedRoster(RwLock<Roster>);

impl SharedRoster {
    pub(super) fn new(roster: Roster) -> Self {
        Self(RwLock::new(roster))
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Roster) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Roster) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

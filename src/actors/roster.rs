//! The configuration in force: queues and operators, as the actors need them.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::domain::{ChannelId, Name, Queue, QueueId, RoutingSettings, UserId};
use crate::machine::chat::{Called, Chat, ChatCall, ChatInput};
use crate::machine::operator::{Account, OwnerLimits};

pub use crate::machine::operator::OperatorSettings;

/// All of it. See the module.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// The active channels, and the queue into which each puts its chats.
    pub channels: BTreeMap<ChannelId, QueueId>,
    /// How many days the channels keep a chat after its end; one that is not here keeps it for ever.
    pub retention: BTreeMap<ChannelId, u16>,
    /// The queues.
    pub queues: BTreeMap<QueueId, Queue>,
    /// The operators; one that is not here is not active.
    pub operators: BTreeMap<UserId, OperatorSettings>,
    /// What users are called: their names are put down with what they do in chats.
    pub names: BTreeMap<UserId, Name>,
    /// What the channels are called that speak for their operators.
    pub speaking: BTreeMap<ChannelId, Name>,
    /// What holds for all.
    pub settings: RoutingSettings,
}

impl Roster {
    /// What those are called whom an input concerns.
    pub(super) fn called(&self, chat: &Chat, input: &ChatInput) -> Called {
        self.called_among(chat, chat.people_of(input))
    }

    /// The same of calls that came together.
    pub(super) fn called_by<'a>(
        &self,
        chat: &Chat,
        calls: impl IntoIterator<Item = &'a ChatCall>,
    ) -> Called {
        let people = calls.into_iter().flat_map(|call| chat.people_of_call(call));
        self.called_among(chat, people)
    }

    fn called_among(&self, chat: &Chat, people: impl IntoIterator<Item = UserId>) -> Called {
        let people = people.into_iter();
        let channel = chat.opened().map(|opened| opened.customer.channel);
        Called {
            users: people.filter_map(|user| Some((user, self.names.get(&user)?.clone()))).collect(),
            channel: channel.and_then(|channel| self.speaking.get(&channel)).cloned(),
        }
    }

    fn account(&self, operator: UserId, limits: &OwnerLimits) -> Account {
        let known = self.operators.get(&operator).copied();
        let own = known.unwrap_or(OperatorSettings { active: false, ..Default::default() });
        Account::of(operator, own, self.queues.values(), limits, self.settings)
    }
}

/// The roster, shared. Held only for the moment of a look or a change.
#[derive(Debug, Default)]
pub(super) struct SharedRoster(RwLock<(Roster, OwnerLimits)>);

impl SharedRoster {
    pub(super) fn new(roster: Roster) -> Self {
        let limits = OwnerLimits::of(roster.queues.values());
        Self(RwLock::new((roster, limits)))
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Roster) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// What an operator's actor has to know.
    pub(super) fn account(&self, operator: UserId) -> Account {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        held.0.account(operator, &held.1)
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Roster) -> T) -> T {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut held.0);
        let limits = OwnerLimits::of(held.0.queues.values());
        if held.1 != limits {
            held.1 = limits;
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::Rule;

    #[test]
    fn all_operators_share_the_limits_of_the_queues_and_a_change_reaches_all() {
        let (ann, bob) = (UserId::from_u128(1), UserId::from_u128(2));
        let mut queue = Queue::new(QueueId::from_u128(3), "queue", Rule::LeastLoaded);
        queue.per_operator_limit = Some(2);
        let queues = BTreeMap::from([(queue.id, queue.clone())]);
        let shared = SharedRoster::new(Roster { queues, ..Default::default() });
        let both = || (shared.account(ann), shared.account(bob));
        let (one, other) = both();
        assert!(Arc::ptr_eq(&one.per_operator_limits, &other.per_operator_limits));
        assert!(Arc::ptr_eq(&one.absent_owner_limits_ms, &other.absent_owner_limits_ms));
        assert_eq!(*one.per_operator_limits, BTreeMap::from([(queue.id, 2)]));
        queue.per_operator_limit = Some(1);
        shared.change(|roster| roster.queues.insert(queue.id, queue.clone()));
        let (one, other) = both();
        assert_eq!(*one.per_operator_limits, BTreeMap::from([(queue.id, 1)]));
        assert!(Arc::ptr_eq(&one.per_operator_limits, &other.per_operator_limits));
    }

    #[test]
    fn an_operator_that_is_not_configured_is_not_active() {
        let ann = UserId::from_u128(1);
        let operators = BTreeMap::from([(ann, OperatorSettings::default())]);
        let shared = SharedRoster::new(Roster { operators, ..Default::default() });
        assert!(shared.account(ann).active);
        shared.change(|roster| roster.operators.remove(&ann));
        assert!(!shared.account(ann).active);
    }
}

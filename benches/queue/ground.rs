//! Queues, chats and operators as the figures need them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use switchboard::domain::operator::{OperatorRecord, OperatorState, Standing};
use switchboard::domain::{
    self, ChannelId, ChatId, Customer, CustomerId, Offer, OfferId, Place, Priority, QueueId, Reach,
    RoutingSettings, Rule, Status, Timestamp, UserId,
};
use switchboard::machine::message::{ChatAt, ToOperator, ToQueue};
use switchboard::machine::operator::{
    Account, Beginning, Operator, OperatorEffect, OperatorInput, Terms,
};
use switchboard::machine::queue::{Queue, QueueInput};
use switchboard::storage::OpenChat;

use super::{OTHERS, OUT, said};

const QUEUE: QueueId = QueueId::from_u128(1);
pub(super) const NOW: Timestamp = Timestamp(1_000_000_000);

pub(super) fn all(members: u128) -> impl Iterator<Item = UserId> {
    (0..members).map(UserId::from_u128)
}

pub(super) fn queue(rule: Rule, members: u128, standing: Standing) -> Queue {
    let mut config = domain::Queue::new(QUEUE, "queue", rule);
    config.members = all(members).collect();
    let mut queue = Queue::new(config, RoutingSettings::default(), 1, NOW);
    for n in 0..members {
        said(&mut queue, ToQueue::State(state(n, 1, standing)));
    }
    queue.step(NOW, QueueInput::Tick);
    queue
}

/// So many members are free, and all of them have refused these chats of the line, at the time.
pub(super) fn refused_by_all(
    rule: Rule,
    (members, waiting): (u128, u128),
    refused: impl Fn(u128) -> bool,
    at: Timestamp,
) -> Queue {
    let mut queue = queue(rule, members, Standing::Full);
    let refusals: BTreeMap<UserId, Timestamp> = all(members).map(|who| (who, at)).collect();
    let (refusals, none) = (Arc::new(refusals), Arc::default());
    for n in 0..waiting {
        let refused_by = Arc::clone(if refused(n) { &refusals } else { &none });
        said(&mut queue, ToQueue::At(ChatAt { refused_by, ..waits(n, &BTreeMap::new()) }));
    }
    for n in 0..members {
        said(&mut queue, ToQueue::State(state(n, 2, Standing::Free)));
    }
    queue
}

/// Everybody is full; and the last chat of the line.
pub(super) fn directed(
    members: u128,
    waiting: u128,
    refusals: &BTreeMap<UserId, Timestamp>,
) -> (Queue, ChatId) {
    let mut queue = queue(Rule::LeastLoaded, members, Standing::Full);
    let rows = (0..waiting).map(|n| row(n, refusals)).collect();
    queue.step(NOW, QueueInput::Recovered(rows));
    (queue, ChatId::from_u128(waiting.saturating_sub(1)))
}

/// Everybody is free, and as many chats as may be are offered to all.
pub(super) fn to_all(members: u128, waiting: u128) -> (Queue, Vec<ChatAt>) {
    let mut queue = queue(Rule::ToAll, members, Standing::Free);
    let offers: Vec<ChatAt> =
        (0..OUT).map(|n| offered(n, Reach::ToAll, all(members).collect())).collect();
    for at in &offers {
        said(&mut queue, ToQueue::At(at.clone()));
    }
    let rows = (OUT..OUT + waiting).map(|n| row(n, &BTreeMap::new())).collect();
    queue.step(NOW, QueueInput::Recovered(rows));
    (queue, offers)
}

pub(super) fn state(n: u128, version: u128, standing: Standing) -> OperatorState {
    OperatorState {
        operator: UserId::from_u128(n),
        life: 1,
        version: version as u64,
        standing,
        load: 1,
        free: u32::from(standing != Standing::Full),
        kept_below: None,
        last_accept: None,
        idle_since: Timestamp(0),
        at: NOW,
    }
}

pub(super) fn row(n: u128, refusals: &BTreeMap<UserId, Timestamp>) -> OpenChat {
    OpenChat {
        chat: ChatId::from_u128(n),
        queue: QUEUE,
        placement: 1,
        priority: Priority::default(),
        weight: Default::default(),
        since: since(n),
        refused_by: refusals.clone(),
        place: Some(Place::Waiting),
        next_deadline: None,
        moving: None,
    }
}

/// The chats of the line in the order of their numbers; others came before them.
fn since(n: u128) -> Timestamp {
    Timestamp(NOW.0 / 2 + (n % OTHERS) as u64)
}

pub(super) fn waits(n: u128, refusals: &BTreeMap<UserId, Timestamp>) -> ChatAt {
    ChatAt {
        chat: ChatId::from_u128(n),
        placement: 1,
        version: 1,
        customer: Some(visitor(1)),
        queue: QUEUE,
        since: since(n),
        priority: Priority::default(),
        weight: Default::default(),
        refused_by: Arc::new(refusals.clone()),
        place: Place::Waiting,
        moved_at: NOW,
        last_offer: None,
        spent: false,
    }
}

pub(super) fn offered(n: u128, reach: Reach, to: BTreeSet<UserId>) -> ChatAt {
    let (id, expires_at) = (OfferId::from_u128(n), NOW.plus_ms(30_000));
    let offer = Offer { id, reach, to: Arc::new(to), returned: Arc::default(), expires_at };
    // One offered to one is of the visitor whose all the waiting ones are.
    let customer = Some(visitor(if reach == Reach::ToAll { n + 2 } else { 1 }));
    let place = Place::Offered(offer);
    ChatAt { placement: 2, version: 2, customer, place, ..waits(n, &BTreeMap::new()) }
}

pub(super) fn visitor(n: u128) -> Customer {
    Customer { channel: ChannelId::from_u128(1), id: CustomerId::from_u128(n) }
}

/// Somebody at work who sees these offers, and whom the queue knows to be free.
pub(super) fn desk(operator: UserId, offers: &[ChatAt]) -> Operator {
    let (rule, priority, offer_timeout_ms) = (Rule::ToAll, Priority::default(), 30_000);
    let terms = Terms { rule, priority, offer_timeout_ms };
    let account = Account {
        capacity: 5,
        active: true,
        queues: BTreeMap::from([(QUEUE, terms)]),
        per_operator_limits: Arc::default(),
        absent_owner_limits_ms: Arc::default(),
        settings: RoutingSettings::default(),
    };
    let record = OperatorRecord { status: Status::Ready, ..OperatorRecord::default() };
    let beginning = Beginning { now: NOW, follows: false, grace_until: NOW };
    let mut desk = Operator::new(operator, account, record, 2, beginning);
    let first =
        [OperatorInput::Tick, OperatorInput::Recovered(Vec::new()), OperatorInput::Connected(1)];
    let seen = offers.iter().map(|at| OperatorInput::Said(ToOperator::At(at.clone())));
    for input in first.into_iter().chain(seen) {
        let mut effects = VecDeque::from(desk.step(NOW, input));
        while let Some(effect) = effects.pop_front() {
            let input = match effect {
                OperatorEffect::Probe(connection, probe) => {
                    OperatorInput::ProbeAnswered(connection, probe)
                }
                OperatorEffect::Save(_) => OperatorInput::Saved(true),
                OperatorEffect::ToQueue(queue, ToQueue::Pull { pull, .. }) => {
                    OperatorInput::Said(ToOperator::Best { queue, pull, best: None })
                }
                OperatorEffect::ToQueue(queue, ToQueue::State(state)) => {
                    let known = (state.life, state.version);
                    OperatorInput::Said(ToOperator::StateSeen { queue, known })
                }
                _ => continue,
            };
            effects.extend(desk.step(NOW, input));
        }
    }
    assert_eq!(desk.standing(), Standing::Free);
    desk
}

/// What an operator makes of some words, as far as its queue hears of it.
pub(super) fn hear(desk: &mut Operator, words: ToOperator, said: &mut VecDeque<ToQueue>) {
    for effect in desk.step(NOW, OperatorInput::Said(words)) {
        if let OperatorEffect::ToQueue(_, words) = effect {
            said.push_back(words);
        }
    }
}

//! What the steps of a queue cost, by the number of its members and of the chats that wait.
//!
//! Run with `cargo bench --bench queue`, which takes two minutes at most. A figure is the median time
//! of one step, in microseconds; compare down a column. The figures depend on the machine.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use switchboard::domain::operator::{OperatorRecord, OperatorState, Standing};
use switchboard::domain::{
    self, ChannelId, ChatId, Customer, CustomerId, Offer, OfferId, Place, Priority, QueueId, Reach,
    RoutingSettings, Rule, Status, Timestamp, UserId,
};
use switchboard::machine::message::{ChatAt, ToOperator, ToQueue};
use switchboard::machine::operator::{
    Account, Beginning, Operator, OperatorEffect, OperatorInput, Terms,
};
use switchboard::machine::queue::{Queue, QueueEffect, QueueInput};
use switchboard::storage::OpenChat;

const MEMBERS: [u128; 3] = [10, 100, 1_000];
const WAITING: [u128; 3] = [100, 10_000, 100_000];

/// Steps of each figure, at most and at least: the median counts.
const STEPS: (usize, usize) = (200, 1);

/// No further step of a figure is begun after so long.
const LONG_ENOUGH: Duration = Duration::from_millis(400);

const QUEUE: QueueId = QueueId::from_u128(1);
const NOW: Timestamp = Timestamp(1_000_000_000);

/// Offers to all that are out.
const OUT: u128 = 20;

/// Above the ids of the chats of the line.
const OTHERS: u128 = 1 << 64;

type Figure = fn(u128, u128) -> f64;

fn main() {
    // `cargo test --benches` passes this; a measurement without optimisation says nothing.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let figures: [(&str, Figure); 14] = [
        ("a chat comes, all are full", a_chat_comes),
        ("a state comes, who is free has refused all", |m, w| who_can_serve_nobody(m, w, true)),
        ("a state comes, who is free was shown all", |m, w| who_can_serve_nobody(m, w, false)),
        ("a state comes, 100 free refused 10,000", |m, w| {
            all_refused_the_first(m.min(100), w, 10_000)
        }),
        ("a state comes, all free refused 1,000", |m, w| all_refused_the_first(m, w, 1_000)),
        ("a chat comes to them, a thousandth of them", chats_come_to_them),
        ("a burst: a chat for each who is free, each", a_burst),
        ("another comes and goes beside who refused all", another_comes_and_goes),
        ("a member joins", a_member_joins),
        ("a pull, all but the last were refused", a_pull),
        ("a pull, nothing was refused", |members, waiting| {
            let (mut queue, _) = directed(members, waiting, &BTreeMap::new());
            pulls(&mut queue)
        }),
        ("an accept told to all, all that follows", an_accept),
        ("a tick, 20 offers to all are out", a_tick),
        ("a position, the last", a_position),
    ];
    print!("{:<44}", "microseconds: members x waiting");
    for members in MEMBERS {
        for waiting in WAITING {
            print!("{:>14}", format!("{members}x{waiting}"));
        }
    }
    println!();
    for (name, figure) in figures {
        print!("{name:<44}");
        for members in MEMBERS {
            for waiting in WAITING {
                print!("{:>14.1}", figure(members, waiting));
            }
        }
        println!();
    }
}

/// The median of what each step says that it took, in microseconds; none when there are no more.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn median(mut step: impl FnMut(u128) -> Option<Duration>) -> f64 {
    let began = Instant::now();
    let mut took = Vec::new();
    while took.len() < STEPS.0 && (took.len() < STEPS.1 || began.elapsed() < LONG_ENOUGH) {
        let Some(one) = step(took.len() as u128) else { break };
        took.push(one);
    }
    took.sort_unstable();
    took.get(took.len() / 2).map_or(f64::NAN, |median| median.as_secs_f64() * 1e6)
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let answer = act();
    (answer, began.elapsed())
}

fn said(queue: &mut Queue, said: ToQueue) -> (Vec<QueueEffect>, Duration) {
    timed(|| queue.step(NOW, QueueInput::Said(said)))
}

// ---- figures ----

fn a_chat_comes(members: u128, waiting: u128) -> f64 {
    let (mut queue, _) = directed(members, waiting, &BTreeMap::new());
    median(|n| Some(said(&mut queue, ToQueue::At(waits(OTHERS + n, &BTreeMap::new()))).1))
}

/// One member is free, and may have none of the chats: it has refused them, or was offered another
/// one of their visitor.
fn who_can_serve_nobody(members: u128, waiting: u128, refused: bool) -> f64 {
    let ann = UserId::from_u128(0);
    let refusals = BTreeMap::from([(ann, NOW)]);
    let mut queue = if refused {
        directed(members, waiting, &refusals).0
    } else {
        let (mut queue, _) = directed(members, 0, &refusals);
        said(&mut queue, ToQueue::At(offered(OTHERS, Reach::Directed, [ann].into())));
        // Somebody else waits, too.
        said(&mut queue, ToQueue::At(ChatAt { customer: None, ..waits(OTHERS + 1, &refusals) }));
        for n in 0..waiting {
            said(&mut queue, ToQueue::At(waits(n, &BTreeMap::new())));
        }
        queue
    };
    median(|n| {
        let (effects, took) = said(&mut queue, ToQueue::State(state(0, 2 + n, Standing::Free)));
        assert_eq!(effects.len(), 1, "nobody is asked");
        Some(took)
    })
}

/// So many members are free, and all of them have refused so many chats at the head of the line.
fn refused_by_all(members: u128, waiting: u128, refused: u128) -> Queue {
    let mut queue = queue(Rule::LeastLoaded, members, Standing::Full);
    let refusals: BTreeMap<UserId, Timestamp> = all(members).map(|who| (who, NOW)).collect();
    let refusals = Arc::new(refusals);
    for n in 0..waiting.min(refused) {
        let at = ChatAt { refused_by: Arc::clone(&refusals), ..waits(n, &BTreeMap::new()) };
        said(&mut queue, ToQueue::At(at));
    }
    for n in 0..members {
        said(&mut queue, ToQueue::State(state(n, 2, Standing::Free)));
    }
    queue
}

fn all_refused_the_first(members: u128, waiting: u128, refused: u128) -> f64 {
    let mut queue = refused_by_all(members, waiting, refused);
    median(|n| {
        let (effects, took) = said(&mut queue, ToQueue::State(state(0, 3 + n, Standing::Free)));
        assert_eq!(effects.len(), 1, "nobody is asked");
        Some(took)
    })
}

/// As many chats come, one after the other, as there are members: each gets another one. The time of all.
fn chats_come_to_them(members: u128, waiting: u128) -> f64 {
    let queue = refused_by_all(members, waiting, 1_000);
    median(|_| {
        let mut queue = queue.clone();
        let mut took = Duration::ZERO;
        for n in 0..members {
            let (effects, one) = said(&mut queue, ToQueue::At(waits(OTHERS + n, &BTreeMap::new())));
            assert_eq!(effects.len(), 2, "it is seen, and somebody is asked");
            took += one;
        }
        Some(took / members as u32)
    })
}

/// Chats come in one step, one for each of the members, who are all free. The time of the step for each
/// of them.
fn a_burst(members: u128, _: u128) -> f64 {
    let queue = queue(Rule::LeastLoaded, members, Standing::Free);
    median(|_| {
        let mut queue = queue.clone();
        let rows = (0..members).map(|n| row(n, &BTreeMap::new())).collect();
        let (effects, took) = timed(|| queue.step(NOW, QueueInput::Recovered(rows)));
        assert!(!effects.is_empty(), "members are asked");
        Some(took / members as u32)
    })
}

/// One is free and has refused all, who may be asked again while nobody else is eligible.
fn another_comes_and_goes(members: u128, waiting: u128) -> f64 {
    let ann = UserId::from_u128(0);
    let mut queue = queue(Rule::LeastLoaded, members, Standing::Away);
    let refusals = BTreeMap::from([(ann, Timestamp(1))]);
    let rows = (0..waiting).map(|n| row(n, &refusals)).collect();
    queue.step(NOW, QueueInput::Recovered(rows));
    said(&mut queue, ToQueue::State(state(0, 2, Standing::Full)));
    median(|n| {
        let standing = if n % 2 == 0 { Standing::Full } else { Standing::Away };
        Some(said(&mut queue, ToQueue::State(state(1, 2 + n, standing))).1)
    })
}

fn a_member_joins(members: u128, waiting: u128) -> f64 {
    let (mut queue, _) = directed(members, waiting, &BTreeMap::new());
    median(|n| {
        let mut config = queue.config().clone();
        config.version += 1;
        if n % 2 == 0 {
            config.members.insert(UserId::from_u128(OTHERS));
        } else {
            config.members.remove(&UserId::from_u128(OTHERS));
        }
        Some(timed(|| queue.step(NOW, QueueInput::Configure(config))).1)
    })
}

fn a_pull(members: u128, waiting: u128) -> f64 {
    let (mut queue, _) = directed(members, waiting, &BTreeMap::from([(UserId::from_u128(0), NOW)]));
    let last = ChatAt { since: NOW, ..waits(OTHERS, &BTreeMap::new()) };
    said(&mut queue, ToQueue::At(last));
    pulls(&mut queue)
}

fn pulls(queue: &mut Queue) -> f64 {
    median(|n| {
        let state = state(0, 2 + n, Standing::Choosing);
        let pull = ToQueue::Pull { pull: n as u64, except: Vec::new(), state };
        let (effects, took) = said(queue, pull);
        let quoted = |effect: &QueueEffect| {
            matches!(effect, QueueEffect::ToOperator(_, ToOperator::Best { best: Some(_), .. }))
        };
        assert!(effects.iter().any(quoted), "a chat is quoted");
        Some(took)
    })
}

fn a_position(members: u128, waiting: u128) -> f64 {
    let (queue, last) = directed(members, waiting, &BTreeMap::new());
    let entry = queue.line().get(last).unwrap();
    median(|_| {
        let (ahead, took) = timed(|| queue.line().ahead_of(entry.rank, last));
        assert_eq!(u128::from(ahead), waiting - 1);
        Some(took)
    })
}

fn a_tick(members: u128, waiting: u128) -> f64 {
    let (mut queue, _) = to_all(members, waiting);
    median(|_| {
        let (effects, took) = timed(|| queue.step(NOW, QueueInput::Tick));
        assert!(effects.is_empty(), "nothing is due");
        Some(took)
    })
}

/// The time of the queue alone, until nobody has anything to say any more.
fn an_accept(members: u128, waiting: u128) -> f64 {
    let (mut queue, offers) = to_all(members, waiting);
    let mut desks: BTreeMap<UserId, Operator> =
        all(members).map(|operator| (operator, desk(operator, &offers))).collect();
    median(|n| {
        let mut at = offers.get(n as usize)?.clone();
        let owner = UserId::from_u128(0);
        (at.placement, at.version) = (at.placement + 1, at.version + 1);
        at.place = Place::Assigned { owner, begun: false };
        let mut took = Duration::ZERO;
        let mut said = VecDeque::from([ToQueue::At(at.clone())]);
        for desk in desks.values_mut() {
            hear(desk, ToOperator::At(at.clone()), &mut said);
        }
        while let Some(next) = said.pop_front() {
            let (effects, one) = timed(|| queue.step(NOW, QueueInput::Said(next)));
            took += one;
            for effect in effects {
                if let QueueEffect::ToOperator(to, words) = effect {
                    hear(desks.get_mut(&to).unwrap(), words, &mut said);
                }
            }
        }
        Some(took)
    })
}

// ---- what they stand on ----

fn all(members: u128) -> impl Iterator<Item = UserId> {
    (0..members).map(UserId::from_u128)
}

fn queue(rule: Rule, members: u128, standing: Standing) -> Queue {
    let mut config = domain::Queue::new(QUEUE, "queue", rule);
    config.members = all(members).collect();
    let mut queue = Queue::new(config, RoutingSettings::default(), 1, NOW);
    for n in 0..members {
        said(&mut queue, ToQueue::State(state(n, 1, standing)));
    }
    queue.step(NOW, QueueInput::Tick);
    queue
}

/// Everybody is full; and the last chat of the line.
fn directed(
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
fn to_all(members: u128, waiting: u128) -> (Queue, Vec<ChatAt>) {
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

fn state(n: u128, version: u128, standing: Standing) -> OperatorState {
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

fn row(n: u128, refusals: &BTreeMap<UserId, Timestamp>) -> OpenChat {
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

fn waits(n: u128, refusals: &BTreeMap<UserId, Timestamp>) -> ChatAt {
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

fn offered(n: u128, reach: Reach, to: BTreeSet<UserId>) -> ChatAt {
    let (id, expires_at) = (OfferId::from_u128(n), NOW.plus_ms(30_000));
    let offer = Offer { id, reach, to: Arc::new(to), returned: Arc::default(), expires_at };
    // One offered to one is of the visitor whose all the waiting ones are.
    let customer = Some(visitor(if reach == Reach::ToAll { n + 2 } else { 1 }));
    let place = Place::Offered(offer);
    ChatAt { placement: 2, version: 2, customer, place, ..waits(n, &BTreeMap::new()) }
}

fn visitor(n: u128) -> Customer {
    Customer { channel: ChannelId::from_u128(1), id: CustomerId::from_u128(n) }
}

/// Somebody at work who sees these offers, and whom the queue knows to be free.
fn desk(operator: UserId, offers: &[ChatAt]) -> Operator {
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
fn hear(desk: &mut Operator, words: ToOperator, said: &mut VecDeque<ToQueue>) {
    for effect in desk.step(NOW, OperatorInput::Said(words)) {
        if let OperatorEffect::ToQueue(_, words) = effect {
            said.push_back(words);
        }
    }
}

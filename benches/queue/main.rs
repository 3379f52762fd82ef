//! What the steps of a queue cost, by the number of its members and of the chats that wait.
//!
//! Run with `cargo bench --bench queue`, which takes two minutes at most; a part of a figure's name behind
//! `--` runs those alone. A figure is the median time
//! of one step, in microseconds; compare down a column. The figures depend on the machine.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]

mod ground;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use switchboard::domain::operator::Standing;
use switchboard::domain::{Place, Reach, RoutingSettings, Rule, Timestamp, UserId};
use switchboard::machine::message::{ChatAt, ToOperator, ToQueue};
use switchboard::machine::operator::Operator;
use switchboard::machine::queue::{Queue, QueueEffect, QueueInput};

use ground::{
    NOW, all, desk, directed, hear, offered, queue, refused_by_all, row, state, to_all, waits,
};

const MEMBERS: [u128; 3] = [10, 100, 1_000];
const WAITING: [u128; 3] = [100, 10_000, 100_000];

/// Steps of each figure, at most and at least: the median counts.
const STEPS: (usize, usize) = (200, 1);

/// No further step of a figure is begun after so long.
const LONG_ENOUGH: Duration = Duration::from_millis(400);

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
    let figures: &[(&str, Figure)] = &[
        ("a chat comes, all are full", a_chat_comes),
        ("a state comes, who is free has refused all", |m, w| who_can_serve_nobody(m, w, true)),
        ("a state comes, who is free was shown all", |m, w| who_can_serve_nobody(m, w, false)),
        ("a state comes, 100 free refused 10,000", |m, w| {
            all_refused_the_first(m.min(100), w, 10_000)
        }),
        ("a state comes, all free refused 1,000", |m, w| all_refused_the_first(m, w, 1_000)),
        ("a chat comes to them, a thousandth of them", chats_come_to_them),
        ("a chat comes, all are free, each of a burst", chats_come_to_all),
        ("a burst: a chat for each who is free, each", a_burst),
        ("another rule: all ask, the longest step", |m, w| another_rule(m, w, |_| false)),
        ("the same, all refused every other of 1,000", |m, w| {
            another_rule(m, w, |n| n < 1_000 && n % 2 == 1)
        }),
        ("another comes and goes beside who refused all", |m, w| another_comes_and_goes(m, w, 1)),
        ("the same beside two who refused all", |m, w| another_comes_and_goes(m, w, 2)),
        ("one of all who refused 1,000 comes and goes", one_of_all_comes_and_goes),
        ("1,000 cool-downs end at once", cool_downs_end),
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
    print!("{:<46}", "microseconds: members x waiting");
    for members in MEMBERS {
        for waiting in WAITING {
            print!("{:>14}", format!("{members}x{waiting}"));
        }
    }
    println!();
    // A part of their names, if not all are wanted.
    let wanted = std::env::args().nth(1).filter(|part| !part.starts_with("--")).unwrap_or_default();
    for (name, figure) in figures.iter().filter(|(name, _)| name.contains(&wanted)) {
        print!("{name:<46}");
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

fn all_refused_the_first(members: u128, waiting: u128, refused: u128) -> f64 {
    let size = (members, waiting.min(refused));
    let mut queue = refused_by_all(Rule::LeastLoaded, size, |_| true, NOW);
    median(|n| {
        let (effects, took) = said(&mut queue, ToQueue::State(state(0, 3 + n, Standing::Free)));
        assert_eq!(effects.len(), 1, "nobody is asked");
        Some(took)
    })
}

/// To members who have refused the 1,000 that wait.
fn chats_come_to_them(members: u128, waiting: u128) -> f64 {
    let size = (members, waiting.min(1_000));
    chats_come(members, &refused_by_all(Rule::LeastLoaded, size, |_| true, NOW))
}

/// While no other waits.
fn chats_come_to_all(members: u128, _: u128) -> f64 {
    chats_come(members, &queue(Rule::LeastLoaded, members, Standing::Free))
}

/// As many chats come, one after the other, as there are members: each gets another one. The step of
/// each, on the average.
fn chats_come(members: u128, queue: &Queue) -> f64 {
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

/// A start reads as many chats as members are free. The time until all are asked, for each of them.
fn a_burst(members: u128, _: u128) -> f64 {
    let queue = queue(Rule::LeastLoaded, members, Standing::Free);
    median(|_| {
        let rows = (0..members).map(|n| row(n, &BTreeMap::new())).collect();
        let steps = steps(&mut queue.clone(), members, QueueInput::Recovered(rows));
        Some(steps.iter().sum::<Duration>() / members as u32)
    })
}

/// So many chats wait that members picked from, who all are free, and have refused some; now they are asked.
fn another_rule(members: u128, waiting: u128, refused: fn(u128) -> bool) -> f64 {
    let queue = refused_by_all(Rule::Manual, (members, waiting), refused, NOW);
    let asked = members.min(waiting - (0..waiting).filter(|n| refused(*n)).count() as u128);
    let mut config = queue.config().clone();
    (config.version, config.rule) = (config.version + 1, Rule::LeastLoaded);
    longest(|| steps(&mut queue.clone(), asked, QueueInput::Configure(config.clone())))
}

/// The longest of some steps, each as short as it was in one of five runs: others use the machine, too.
fn longest(run: impl Fn() -> Vec<Duration>) -> f64 {
    let mut shortest = run();
    for _ in 0..4 {
        for (shortest, step) in shortest.iter_mut().zip(run()) {
            *shortest = step.min(*shortest);
        }
    }
    shortest.into_iter().max().map_or(f64::NAN, |longest| longest.as_secs_f64() * 1e6)
}

/// The time of each step that follows at once, until so many are asked.
fn steps(queue: &mut Queue, asked: u128, first: QueueInput) -> Vec<Duration> {
    let (mut steps, mut left, mut next) = (Vec::new(), asked as usize, first);
    loop {
        let (effects, took) = timed(|| queue.step(NOW, next));
        steps.push(took);
        let asks = |effect: &&QueueEffect| {
            matches!(effect, QueueEffect::ToOperator(_, ToOperator::Reserve { .. }))
        };
        left -= effects.iter().filter(asks).count();
        if queue.next_deadline().is_none_or(|next| next > NOW) {
            assert_eq!(left, 0, "all are asked");
            return steps;
        }
        next = QueueInput::Tick;
    }
}

/// So many are eligible and have refused all, which they may be asked for again while nobody else is.
fn another_comes_and_goes(members: u128, waiting: u128, beside: u128) -> f64 {
    let mut queue = queue(Rule::LeastLoaded, members, Standing::Away);
    let refusals = all(beside).map(|who| (who, Timestamp(1))).collect();
    let rows = (0..waiting).map(|n| row(n, &refusals)).collect();
    queue.step(NOW, QueueInput::Recovered(rows));
    for n in 0..beside {
        said(&mut queue, ToQueue::State(state(n, 2, Standing::Full)));
    }
    comes_and_goes(&queue, beside)
}

fn one_of_all_comes_and_goes(members: u128, waiting: u128) -> f64 {
    let size = (members, waiting.min(1_000));
    let mut queue = refused_by_all(Rule::Manual, size, |_| true, Timestamp(1));
    for n in 0..members {
        said(&mut queue, ToQueue::State(state(n, 3, Standing::Full)));
    }
    comes_and_goes(&queue, 0)
}

/// The longest step until all is found out, of five times each.
fn comes_and_goes(queue: &Queue, who: u128) -> f64 {
    longest(|| {
        let mut queue = queue.clone();
        let mut took = Vec::new();
        for n in 0..10 {
            let standing = if n % 2 == 0 { Standing::Full } else { Standing::Away };
            let state = ToQueue::State(state(who, 4 + n, standing));
            took.extend(steps(&mut queue, 0, QueueInput::Said(state)));
        }
        took
    })
}

/// Everybody is full; of the first chats each was refused by another member, all at one time.
fn cool_downs_end(members: u128, waiting: u128) -> f64 {
    let (mut queue, _) = directed(members, 0, &BTreeMap::new());
    for n in 0..waiting {
        let by = UserId::from_u128(n % members);
        let refusals = (n < 1_000).then_some((by, NOW)).into_iter().collect();
        said(&mut queue, ToQueue::At(waits(n, &refusals)));
    }
    let over = NOW.plus_ms(RoutingSettings::default().cool_down_ms);
    median(|_| {
        let mut queue = queue.clone();
        Some(timed(|| queue.step(over, QueueInput::Tick)).1)
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

//! The queue against the plain way to do the same: at every input a walk past the whole line, with a
//! look at every member, and every offer to all held against every member. Random inputs; the words
//! must be the same ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::domain::event::Trigger;
use crate::domain::limits::RUNNERS_UP;
use crate::domain::{Customer, CustomerId, Weight};
use crate::machine::message::Quote;
use crate::machine::queue::AtMost;
use crate::machine::queue::line::turn_of;
use crate::machine::queue::matching::NewOffer;
use crate::machine::queue::owed::Owed;
use crate::routing::Turn;
use crate::routing::rule::preference;
use crate::storage::OpenChat;

/// Runs of one test, and inputs of a run.
const RUNS: (u64, u64) = (400, 150);
const CHATS: u64 = 9;
const OPERATORS: u64 = 5;

// ---- the plain way ----

fn able(queue: &Queue, chat: ChatId, now: Timestamp) -> Vec<UserId> {
    let entry = queue.line.get(chat).unwrap();
    let standings = queue.pool.standings(queue.case(entry, now));
    let free = standings.filter(|(_, standing, _)| *standing == Standing::Free);
    let mut able: Vec<_> = free
        .map(|(operator, ..)| {
            let asked = queue.line.entries().filter(|entry| {
                matches!(entry.phase, Phase::Reserving { operator: of, .. } if of == operator)
            });
            let state = queue.pool.belief(operator).unwrap();
            preference(queue.config.rule, state, asked.count() as u32)
        })
        .collect();
    able.sort();
    able.into_iter().map(|preference| preference.operator()).collect()
}

fn match_line(queue: &mut Queue, now: Timestamp) {
    end_long_offers(queue, now);
    match queue.config.rule {
        Rule::LeastLoaded | Rule::LongestIdle => walk(queue, now, |queue, chat, able| {
            let others = &able[1..able.len().min(1 + RUNNERS_UP)];
            let decision = queue.decision(chat, Trigger::Push, others, now);
            let (offer, operator) = (queue.next_offer(), able[0]);
            let expires_at = now.plus_ms(RESERVATION_MS);
            queue.pool.send(operator);
            queue.line.set_phase(chat, Phase::Reserving { offer, operator, expires_at, decision });
            queue.look_again(chat, now);
            queue.owed.owe(Owed::Reserve(chat), now);
        }),
        Rule::ToAll => {
            walk(queue, now, |queue, chat, able| {
                if queue.line.has_room_to_all() {
                    let trigger = Trigger::Push;
                    let decision = queue.decision(chat, trigger, &[], now);
                    let offer = queue.next_offer();
                    let offer = NewOffer { id: offer, reach: Reach::ToAll, to: able };
                    queue.offer(now, chat, offer, decision);
                }
            });
            widen(queue, now);
        }
        Rule::Manual => {}
    }
}

fn walk(queue: &mut Queue, now: Timestamp, give: impl Fn(&mut Queue, ChatId, Vec<UserId>)) {
    for Turn { chat, .. } in queue.line.waiting().collect::<Vec<_>>() {
        let able = able(queue, chat, now);
        if !able.is_empty() {
            give(queue, chat, able);
        }
    }
}

fn end_long_offers(queue: &mut Queue, now: Timestamp) {
    let to_all = queue.config.rule == Rule::ToAll;
    if to_all && queue.line.has_room_to_all() {
        return;
    }
    let mut out: Vec<Turn> =
        queue.line.to_all().iter().map(|chat| turn_of(queue.line.get(*chat).unwrap())).collect();
    out.sort();
    out.reverse();
    if to_all {
        let wanting: Vec<Turn> =
            queue.line.waiting().filter(|turn| !able(queue, turn.chat, now).is_empty()).collect();
        let places = out.iter().zip(&wanting).take_while(|(out, wanting)| wanting < out).count();
        out.truncate(places);
    }
    for Turn { chat, .. } in out {
        let entry = queue.line.get(chat).unwrap();
        let stood = entry.phase == Phase::Offered && now >= queue.stood_at(entry);
        if stood && !queue.owed.owes(Owed::Lapse(chat)) {
            queue.owed.owe(Owed::Lapse(chat), now);
            queue.await_answer(chat, now);
        }
    }
}

fn widen(queue: &mut Queue, now: Timestamp) {
    for chat in queue.line.to_all().clone() {
        let Some(offer) = queue.line.get(chat).unwrap().at.place.offer().cloned() else { continue };
        let mut missing = able(queue, chat, now);
        missing.retain(|operator| !offer.to.contains(operator));
        let to: BTreeSet<UserId> = missing.iter().copied().collect();
        if to.is_empty() || queue.widening.get(&chat) == Some(&to) {
            continue;
        }
        queue.note_shown(chat, &missing, now, now);
        queue.widening.insert(chat, to);
        queue.owed.owe(Owed::Widen(chat), now);
    }
}

fn quote(queue: &Queue, operator: UserId, except: &[ChatId], now: Timestamp) -> Option<Quote> {
    let reach = match queue.config.rule {
        Rule::LeastLoaded | Rule::LongestIdle => Reach::Directed,
        Rule::ToAll => Reach::ToAll,
        Rule::Manual => return None,
    };
    let serves = |turn: &Turn| {
        let entry = queue.line.get(turn.chat).unwrap();
        queue.pool.could_serve(operator, queue.case(entry, now))
    };
    let out = queue.line.to_all().iter().map(|chat| turn_of(queue.line.get(*chat).unwrap()));
    let out = out.filter(|_| reach == Reach::ToAll);
    let room = reach == Reach::Directed || queue.line.has_room_to_all();
    let open = out.chain(queue.line.waiting().filter(|_| room));
    let open = open.filter(|turn| reach == Reach::Directed || !except.contains(&turn.chat));
    let best = open.filter(serves).min().filter(|_| queue.pool.contains(operator));
    best.map(|Turn { rank, chat }| Quote { rank, weight: Weight::default(), chat, reach })
}

// ---- what happens ----

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32) % n
    }

    fn of_ten(&mut self, n: u64) -> bool {
        self.below(10) < n
    }
}

struct World {
    dice: Dice,
    queue: Queue,
    now: Timestamp,
    /// Where each chat is, by its own words.
    chats: BTreeMap<ChatId, ChatAt>,
    version: u64,
    many: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let rule = [Rule::LeastLoaded, Rule::LongestIdle, Rule::ToAll, Rule::ToAll];
        let rule = rule[dice.below(4) as usize];
        let members: Vec<UserId> = (0..OPERATORS).map(operator).collect();
        let queue = Queue::new(config(rule, &members), settings(&mut dice), 1, now());
        // More chats than may be offered to all at a time, now and then.
        let many = dice.of_ten(2);
        Self { dice, queue, now: now(), chats: BTreeMap::new(), version: 0, many }
    }

    fn anybody(&mut self) -> UserId {
        operator(self.dice.below(OPERATORS))
    }

    fn some(&mut self) -> BTreeSet<UserId> {
        (0..OPERATORS).filter(|_| self.dice.of_ten(4)).map(operator).collect()
    }

    fn state(&mut self, operator: UserId, standing: Option<Standing>) -> OperatorState {
        self.version += 1;
        let others = [
            Standing::Free,
            Standing::Free,
            Standing::Kept,
            Standing::Full,
            Standing::Choosing,
            Standing::Away,
        ];
        let standing = standing.unwrap_or(others[self.dice.below(6) as usize]);
        OperatorState {
            load: self.dice.below(3) as u32,
            free: u32::from(standing != Standing::Full) * (1 + self.dice.below(2) as u32),
            kept_below: (standing == Standing::Kept).then(|| self.dice.below(100) as i64 + 1_000),
            last_accept: self.dice.of_ten(5).then(|| Timestamp(self.dice.below(3))),
            idle_since: Timestamp(self.dice.below(3)),
            ..state(operator, self.version, standing)
        }
    }

    /// A chat says where it is by now.
    fn word(&mut self) -> ToQueue {
        let chats = if self.many { 3 * TO_ALL_OFFERS_MAX as u64 } else { CHATS };
        let chat = ChatId::from_u128(u128::from(self.dice.below(chats)));
        let fresh = ChatAt {
            since: Timestamp(1_000 + self.dice.below(100)),
            priority: priority(&mut self.dice),
            customer: self.dice.of_ten(9).then(|| Customer {
                id: CustomerId::from_u128(u128::from(self.dice.below(4))),
                ..CUSTOMER
            }),
            ..at(chat, 0, Place::Waiting)
        };
        let known = self.chats.get(&chat).cloned().unwrap_or(fresh);
        let offering = match self.queue.line().get(chat).map(|entry| entry.phase.clone()) {
            Some(Phase::Offering { offer, reach, to, .. }) => Some((offer, reach, to)),
            Some(Phase::Waiting | Phase::Reserving { .. } | Phase::Offered) | None => None,
        };
        let mut next = known.clone();
        (next.placement, next.version) = (known.placement + 1, known.version + 1);
        next.moved_at = self.now;
        let expires_at = self.now.plus_ms(50 + 1_000 * self.dice.below(3));
        let live = |id, reach, to| {
            Place::Offered(Offer { id, reach, to, returned: Arc::default(), expires_at })
        };
        if known.place == Place::Waiting && !known.spent && self.dice.of_ten(2) {
            // It says anew what it is, in the place in which it is.
            next.placement = known.placement.max(1);
            next.priority = priority(&mut self.dice);
            self.chats.insert(chat, next.clone());
            return ToQueue::At(next);
        }
        next.place = match (self.dice.below(10), offering, known.place) {
            (0..7, Some((offer, reach, to)), _) => {
                live(offer, reach, Arc::new(to.into_iter().collect()))
            }
            // Somebody comes into it, or out of it.
            (0..4, None, Place::Offered(offer)) if offer.reach == Reach::ToAll => {
                next.placement = known.placement;
                let to = Arc::new(self.some());
                Place::Offered(Offer { to, ..offer })
            }
            (7, ..) => {
                let to = Arc::new(self.some());
                live(OfferId::of(60, next.placement), Reach::ToAll, to)
            }
            (8, ..) => Place::Assigned { owner: operator(0), begun: false },
            _ => {
                let now = self.now;
                let refused = self.some().into_iter().map(|operator| (operator, now));
                let all: BTreeMap<_, _> =
                    known.refused_by.iter().map(|(o, at)| (*o, *at)).collect();
                next.refused_by = Arc::new(all.into_iter().chain(refused).collect());
                next.spent = self.dice.below(30) == 0;
                Place::Waiting
            }
        };
        self.chats.insert(chat, next.clone());
        ToQueue::At(next)
    }

    /// The rows of some chats, as they were when they were written last.
    fn rows(&mut self) -> Vec<OpenChat> {
        let chats: Vec<ChatAt> = self.chats.values().cloned().collect();
        let rows = chats.into_iter().filter(|at| !at.spent && self.dice.of_ten(3));
        let row = |at: ChatAt| OpenChat {
            chat: at.chat,
            queue: at.queue,
            placement: at.placement,
            priority: at.priority,
            weight: at.weight,
            since: at.since,
            refused_by: BTreeMap::clone(&at.refused_by),
            next_deadline: at.place.offer().map(|offer| offer.expires_at),
            place: Some(at.place),
            moving: None,
        };
        rows.map(row).collect()
    }

    fn input(&mut self) -> QueueInput {
        match self.dice.below(100) {
            0..2 => {
                // A new life reads its line from the index.
                let (config, settings) = (self.queue.config.clone(), self.queue.settings);
                self.queue = Queue::new(config, settings, self.queue.life + 1, self.now);
                QueueInput::Recovered(self.rows())
            }
            2..35 => said(self.word()),
            35..65 => {
                let operator = self.anybody();
                said(ToQueue::State(self.state(operator, None)))
            }
            65..75 => {
                let operator = self.anybody();
                let except = (0..2).map(|_| ChatId::from_u128(u128::from(self.dice.below(CHATS))));
                let except = except.collect();
                let state = self.state(operator, Some(Standing::Choosing));
                said(ToQueue::Pull { pull: 1, except, state })
            }
            75..79 => {
                let operator = self.anybody();
                let (offer, rank) = (OfferId::of(50, self.version), self.dice.below(2_000) as i64);
                let expires_at = self.now.plus_ms(100);
                let state = self.state(operator, None);
                let weight = Weight::default();
                said(ToQueue::Give { offer, rank, weight, expires_at, state })
            }
            79..87 => {
                let asked = self.queue.line().entries().find_map(|entry| match entry.phase {
                    Phase::Reserving { offer, operator, .. } => {
                        Some((offer, entry.at.chat, operator))
                    }
                    Phase::Waiting | Phase::Offering { .. } | Phase::Offered => None,
                });
                let Some((offer, chat, operator)) = asked else { return QueueInput::Tick };
                let held = self.dice.of_ten(7);
                let result = if held { Ok(()) } else { Err(Standing::Full) };
                let state = self.state(operator, None);
                said(ToQueue::ReserveAnswer { offer, chat, result, state })
            }
            87..96 => {
                let ms = [1, 10, 100, 1_000][self.dice.below(4) as usize];
                self.now = self.now.plus_ms(ms);
                QueueInput::Tick
            }
            96 => QueueInput::Settings(settings(&mut self.dice)),
            _ => {
                let rules = [Rule::LeastLoaded, Rule::ToAll, Rule::ToAll, Rule::Manual];
                let rule = rules[self.dice.below(4) as usize];
                let members: Vec<UserId> =
                    (0..OPERATORS).filter(|_| self.dice.of_ten(8)).map(operator).collect();
                let mut config = config(rule, &members);
                config.offer_timeout_ms = 100 + self.dice.below(1_000);
                config.priority = priority(&mut self.dice);
                QueueInput::Configure(config)
            }
        }
    }
}

fn operator(n: u64) -> UserId {
    UserId::from_u128(0xa0 + u128::from(n))
}

fn settings(dice: &mut Dice) -> RoutingSettings {
    RoutingSettings {
        cool_down_ms: [0, 50, 1_000][dice.below(3) as usize],
        visitor_offer_every_ms: [0, 50, 1_000][dice.below(3) as usize],
        priority_step_ms: [0, 10, 40][dice.below(3) as usize],
        ..RoutingSettings::default()
    }
}

fn priority(dice: &mut Dice) -> Priority {
    Priority::new([0, 0, 1, 3][dice.below(4) as usize]).unwrap()
}

#[test]
fn what_is_decided_is_what_a_walk_past_all_chats_and_members_decides() {
    let mut met = BTreeMap::<&str, u64>::new();
    for seed in 0..RUNS.0 {
        let mut world = World::new(seed);
        for n in 0..RUNS.1 {
            let input = world.input();
            let now = world.now;
            let mut plain = world.queue.clone();
            let mut wanted = plain.hear(now, input.clone());
            if let QueueInput::Said(ToQueue::Pull { except, state, .. }) = &input {
                let quoted = wanted.iter_mut().find_map(|effect| match effect {
                    QueueEffect::ToOperator(_, ToOperator::Best { best, .. }) => Some(best),
                    QueueEffect::ToOperator(..) | QueueEffect::ToChat(..) => None,
                });
                *quoted.unwrap() = quote(&plain, state.operator, except, now);
            }
            match_line(&mut plain, now);
            plain.say_due(now, &mut wanted);
            let effects = step_at(&mut world.queue, now, input.clone());
            assert_eq!(effects, wanted, "seed {seed}, the {n}th input: {input:?}");
            let next = (world.queue.next_deadline(), plain.next_deadline());
            assert_eq!(next.0, next.1, "seed {seed}, the {n}th input: {input:?}");
            for effect in &effects {
                let what = match effect {
                    QueueEffect::ToChat(_, ToChat::Offer { reach: Reach::ToAll, .. }) => "to all",
                    QueueEffect::ToChat(_, ToChat::Widen { .. }) => "widened",
                    QueueEffect::ToChat(_, ToChat::Lapse { .. }) => "ended",
                    QueueEffect::ToOperator(_, ToOperator::Reserve { .. }) => "reserved",
                    QueueEffect::ToOperator(_, ToOperator::Best { best: Some(_), .. }) => "quoted",
                    QueueEffect::ToOperator(_, ToOperator::GiveAnswer { chat: Some(_), .. }) => {
                        "given"
                    }
                    QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => continue,
                };
                *met.entry(what).or_default() += 1;
            }
            let line = world.queue.line();
            let mut turns: Vec<Turn> = line.entries().map(turn_of).collect();
            turns.sort();
            let after = turns.get(world.dice.below(12) as usize).copied();
            let behind = turns.into_iter().filter(|turn| after.is_none_or(|after| *turn > after));
            assert!(line.behind(after).map(turn_of).eq(behind), "seed {seed}, the {n}th input");
            let head = world.queue.line().waiting().next();
            let first = world.queue.clone().first_able(None);
            *met.entry("the head is passed over").or_default() +=
                u64::from(first.is_some() && first != head);
            *met.entry("nobody may have any").or_default() += u64::from(
                head.is_some() && first.is_none() && world.queue.pool().with_room().len() > 0,
            );
        }
    }
    for what in ["to all", "widened", "ended", "reserved", "quoted", "given"] {
        assert!(met.get(what).is_some_and(|times| *times > 100), "{what} is too seldom: {met:?}");
    }
    for what in ["the head is passed over", "nobody may have any"] {
        assert!(met.get(what).is_some_and(|times| *times > 100), "{what} is too seldom: {met:?}");
    }
}

/// With next to nothing that a step may do, all is done in as many as it takes.
#[test]
fn what_a_step_leaves_is_done_in_the_next_ones() {
    let mut met = BTreeMap::<&str, u64>::new();
    for seed in 0..RUNS.0 {
        let mut world = World::new(seed);
        for n in 0..RUNS.1 {
            let input = world.input();
            let now = world.now;
            world.queue.at_most = AtMost { asked: 1, pairs: 2 };
            step_at(&mut world.queue, now, input);
            let mut steps = 0;
            while world.queue.goes_on() {
                let lifts = world.queue.excluded.is_lifting();
                *met.entry(if lifts { "lifted" } else { "asked" }).or_default() += 1;
                assert_eq!(world.queue.next_deadline().map(|next| next <= now), Some(true));
                step_at(&mut world.queue, now, QueueInput::Tick);
                steps += 1;
                assert!(steps < 1_000, "seed {seed}, the {n}th input: it comes to an end");
            }
            let asks = match world.queue.config.rule {
                Rule::LeastLoaded | Rule::LongestIdle => true,
                Rule::ToAll => world.queue.line.has_room_to_all(),
                Rule::Manual => false,
            };
            let waiting: Vec<Turn> = world.queue.line.waiting().filter(|_| asks).collect();
            let none = waiting.iter().all(|turn| able(&world.queue, turn.chat, now).is_empty());
            assert!(none, "seed {seed}, the {n}th input: nobody may have what waits");
        }
    }
    for what in ["lifted", "asked"] {
        assert!(met.get(what).is_some_and(|times| *times > 100), "{what} is too seldom: {met:?}");
    }
}

//! The queue against a brute-force reference: for small worlds (six chats, four operators) every
//! partial assignment is tried, those that break the rules, the order or a refusal are thrown away, and of
//! the rest the best in the order of rank is what the queue has to reserve. Nothing of `routing`
//! is used here.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "the simulation uses all of it")]
#[path = "simulation/rng.rs"]
mod rng;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rng::Rng;
use switchboard::domain::operator::{OperatorState, Standing};
use switchboard::domain::{
    self, ChatId, Offer, OfferId, Place, Priority, QueueId, Reach, RoutingSettings, Rule,
    Timestamp, UserId,
};
use switchboard::machine::message::{ChatAt, Quote, ToOperator, ToQueue};
use switchboard::machine::queue::{Queue, QueueEffect, QueueInput};
use switchboard::storage::OpenChat;

const CHATS: usize = 6;
const OPERATORS: usize = 4;
/// Worlds of one run. Each has 5^6 assignments.
const WORLDS: u64 = 10_000;
const NOW: u64 = 1_000_000;
const COOL_DOWN_MS: u64 = 1_000;
const STEP_MS: u64 = 10;
const QUEUE: QueueId = QueueId::from_u128(0xb);

/// Chat -> operator.
type Assignment = [Option<usize>; CHATS];

#[derive(Debug, Clone)]
struct Chat {
    id: ChatId,
    since: u64,
    priority: u8,
    /// When each operator refused it.
    refused_at: [Option<u64>; OPERATORS],
}

#[derive(Debug, Clone)]
struct Operator {
    id: UserId,
    member: bool,
    standing: Standing,
    load: u32,
    free: u32,
    /// With slots kept: smaller ranks than this may have them.
    kept_below: Option<i64>,
    last_accept: Option<u64>,
    idle_since: u64,
}

#[derive(Debug)]
struct World {
    rule: Rule,
    priority: u8,
    chats: Vec<Chat>,
    operators: Vec<Operator>,
}

/// Numbers from small ranges, so that ties are frequent.
fn world(rng: &mut Rng) -> World {
    let chats = (0..CHATS).map(|n| chat(rng, n as u128)).collect();
    let operators = (0..OPERATORS).map(|n| operator(rng, n as u128)).collect();
    let rule = if rng.chance(500) { Rule::LeastLoaded } else { Rule::LongestIdle };
    World { rule, priority: rng.below(3) as u8, chats, operators }
}

fn chat(rng: &mut Rng, n: u128) -> Chat {
    let mut refused_at = [None; OPERATORS];
    for at in &mut refused_at {
        // From "just now" past the end of the cool-down, its very last moments included.
        let ago = [0, 500, COOL_DOWN_MS - 1, COOL_DOWN_MS, COOL_DOWN_MS + 1, 5_000];
        *at = rng.chance(350).then(|| NOW - ago[rng.below(6) as usize]);
    }
    Chat {
        id: ChatId::from_u128(0xc0 + n),
        since: NOW - 10 * rng.within(1, 6),
        priority: rng.below(3) as u8,
        refused_at,
    }
}

fn operator(rng: &mut Rng, n: u128) -> Operator {
    let others = [
        Standing::Kept,
        Standing::Full,
        Standing::Choosing,
        Standing::Away,
        Standing::Busy,
        Standing::Offline,
        Standing::NotConnected,
    ];
    let standing = if rng.chance(600) { Standing::Free } else { others[rng.below(7) as usize] };
    // Among the ranks of the chats.
    let kept_below = (standing == Standing::Kept).then(|| (NOW - 10 * rng.within(1, 8)) as i64);
    Operator {
        id: UserId::from_u128(0xa0 + n),
        member: rng.chance(900),
        standing,
        load: rng.below(3) as u32,
        free: if standing == Standing::Full { 0 } else { rng.within(1, 2) as u32 },
        kept_below,
        last_accept: rng.chance(700).then(|| NOW - 100 * rng.within(1, 3)),
        idle_since: NOW - 100 * rng.within(1, 3),
    }
}

// ---- the reference ----

impl World {
    /// C3: `since - step x (queue priority + chat priority)`, then the id.
    fn rank(&self, chat: &Chat) -> (i64, ChatId) {
        let bought = STEP_MS * u64::from(self.priority + chat.priority);
        (chat.since as i64 - bought as i64, chat.id)
    }

    /// The chats, smallest rank first, as places in `chats`.
    fn in_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.chats.len()).collect();
        order.sort_by_key(|n| self.rank(&self.chats[*n]));
        order
    }

    /// C6: "a ready member with the skills, full or not".
    fn eligible(&self, operator: usize) -> bool {
        let operator = &self.operators[operator];
        operator.member
            && [Standing::Free, Standing::Full, Standing::Kept, Standing::Choosing]
                .contains(&operator.standing)
    }

    /// C6: "who declined or let lapse is excluded while another who has not is eligible, and in
    /// any case cools down".
    fn excluded(&self, chat: &Chat, operator: usize) -> bool {
        let Some(at) = chat.refused_at[operator] else {
            return false;
        };
        let another = (0..OPERATORS).any(|o| chat.refused_at[o].is_none() && self.eligible(o));
        another || NOW < at + COOL_DOWN_MS
    }

    /// C3, C8: a slot that is kept for a chat offered to all goes to smaller ranks only.
    fn has_room(&self, operator: usize, chat: &Chat) -> bool {
        let who = &self.operators[operator];
        who.standing == Standing::Free
            || who.standing == Standing::Kept
                && who.kept_below.is_some_and(|below| self.rank(chat).0 < below)
    }

    /// Nobody gets what it cannot have, nor more than fits.
    fn valid(&self, assignment: &Assignment) -> bool {
        let mut taken = [0; OPERATORS];
        for (chat, operator) in self.chats.iter().zip(assignment) {
            let Some(operator) = *operator else { continue };
            let who = &self.operators[operator];
            taken[operator] += 1;
            if !who.member
                || !self.has_room(operator, chat)
                || taken[operator] > who.free
                || self.excluded(chat, operator)
            {
                return false;
            }
        }
        true
    }

    /// How good an assignment is: for each chat, in the order of the line, whether it is served,
    /// and by how good an operator by the rule (C2), in whose load count the chats before it.
    /// Smaller is better.
    fn worth(&self, order: &[usize], assignment: &Assignment) -> [(bool, u64, u64, usize); CHATS] {
        let mut given = [0u64; OPERATORS];
        let mut worth = [(true, 0, 0, 0); CHATS];
        for (worth, chat) in worth.iter_mut().zip(order) {
            let Some(operator) = assignment[*chat] else { continue };
            let who = &self.operators[operator];
            let load = u64::from(who.load) + given[operator];
            let idle_since = if given[operator] > 0 { u64::MAX } else { who.idle_since };
            // Never having accepted is longest ago. The places are in the order of the ids.
            *worth = match self.rule {
                Rule::LeastLoaded => (false, load, who.last_accept.unwrap_or(0), operator),
                Rule::LongestIdle => (false, idle_since, load, operator),
                Rule::ToAll | Rule::Manual => panic!("not a rule for one operator at a time"),
            };
            given[operator] += 1;
        }
        worth
    }

    /// The best of all valid assignments.
    fn best(&self) -> BTreeMap<ChatId, UserId> {
        let order = self.in_order();
        let mut best: Option<(_, Assignment)> = None;
        for n in 0..(OPERATORS + 1).pow(CHATS as u32) {
            let mut digits = n;
            let assignment: Assignment = std::array::from_fn(|_| {
                let digit = digits % (OPERATORS + 1);
                digits /= OPERATORS + 1;
                digit.checked_sub(1)
            });
            if !self.valid(&assignment) {
                continue;
            }
            let worth = self.worth(&order, &assignment);
            if best.as_ref().is_none_or(|(known, _)| worth < *known) {
                best = Some((worth, assignment));
            }
        }
        let (_, best) = best.expect("nobody served is always valid");
        let served = self.chats.iter().zip(best);
        served.filter_map(|(c, o)| Some((c.id, self.operators[o?].id))).collect()
    }

    /// The best chat for one operator with a slot: smallest rank that it is not excluded from.
    fn best_chat(&self, operator: usize) -> Option<(i64, ChatId)> {
        if !self.operators[operator].member {
            return None;
        }
        let could = self.chats.iter().filter(|chat| !self.excluded(chat, operator));
        could.map(|chat| self.rank(chat)).min()
    }
}

// ---- the queue ----

impl World {
    fn queue(&self) -> Queue {
        let mut config = domain::Queue::new(QUEUE, "queue", self.rule);
        config.priority = Priority::new(self.priority).expect("small");
        config.members = self.operators.iter().filter(|o| o.member).map(|o| o.id).collect();
        let settings = RoutingSettings {
            priority_step_ms: STEP_MS,
            cool_down_ms: COOL_DOWN_MS,
            ..Default::default()
        };
        let mut queue = Queue::new(config, settings, 1, Timestamp(NOW));
        for n in 0..OPERATORS {
            step(&mut queue, QueueInput::Said(ToQueue::State(self.state(n, 1))));
        }
        queue
    }

    fn state(&self, operator: usize, version: u64) -> OperatorState {
        let who = &self.operators[operator];
        OperatorState {
            operator: who.id,
            life: 1,
            version,
            standing: who.standing,
            load: who.load,
            free: who.free,
            kept_below: who.kept_below,
            last_accept: who.last_accept.map(Timestamp),
            idle_since: Timestamp(who.idle_since),
            at: Timestamp(NOW),
        }
    }

    fn refused_by(&self, chat: &Chat) -> BTreeMap<UserId, Timestamp> {
        let refused = self.operators.iter().zip(chat.refused_at);
        refused.filter_map(|(who, at)| Some((who.id, Timestamp(at?)))).collect()
    }

    fn row(&self, chat: &Chat) -> OpenChat {
        OpenChat {
            chat: chat.id,
            queue: QUEUE,
            placement: 1,
            priority: Priority::new(chat.priority).expect("small"),
            weight: Default::default(),
            since: Timestamp(chat.since),
            refused_by: self.refused_by(chat),
            place: Some(Place::Waiting),
            next_deadline: None,
            moving: None,
        }
    }

    fn at(&self, chat: &Chat, placement: u64, place: Place) -> ChatAt {
        ChatAt {
            chat: chat.id,
            placement,
            version: placement,
            customer: None,
            queue: QUEUE,
            since: Timestamp(chat.since),
            priority: Priority::new(chat.priority).expect("small"),
            weight: Default::default(),
            refused_by: Arc::new(self.refused_by(chat)),
            place,
            moved_at: Timestamp(NOW),
            last_offer: None,
            spent: false,
        }
    }

    /// All chats at once, in an order of their own.
    fn fill(&self, queue: &mut Queue, rng: &mut Rng) -> Vec<QueueEffect> {
        let mut rows: Vec<OpenChat> = self.chats.iter().map(|chat| self.row(chat)).collect();
        for n in (1..rows.len()).rev() {
            rows.swap(n, rng.below(n as u64 + 1) as usize);
        }
        step(queue, QueueInput::Recovered(rows))
    }
}

fn step(queue: &mut Queue, input: QueueInput) -> Vec<QueueEffect> {
    let effects = queue.step(Timestamp(NOW), input);
    queue.assert_invariants();
    effects
}

fn reserved(effects: &[QueueEffect]) -> BTreeMap<ChatId, UserId> {
    let mut reserved = BTreeMap::new();
    let mut offers = BTreeSet::new();
    for effect in effects {
        if let QueueEffect::ToOperator(to, ToOperator::Reserve { chat, offer, .. }) = effect {
            assert!(offers.insert(*offer), "{offer:?} stands for two chats");
            assert_eq!(reserved.insert(*chat, *to), None, "{chat:?} is reserved for twice");
        }
    }
    reserved
}

fn quoted(effects: &[QueueEffect]) -> Option<Quote> {
    let mut quotes = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToOperator(_, ToOperator::Best { best, .. }) => Some(*best),
        QueueEffect::ToOperator(..) | QueueEffect::ToChat(..) => None,
    });
    quotes.next().expect("a pull is answered")
}

fn given(effects: &[QueueEffect]) -> Option<ChatId> {
    let mut answers = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToOperator(_, ToOperator::GiveAnswer { chat, .. }) => Some(*chat),
        QueueEffect::ToOperator(..) | QueueEffect::ToChat(..) => None,
    });
    answers.next().expect("a slot that is given is answered")
}

#[test]
fn the_queue_reserves_what_trying_all_assignments_finds_best() {
    let (mut served, mut left, mut ties) = (0, 0, 0);
    for seed in 0..WORLDS {
        let mut rng = Rng::new(seed);
        let world = world(&mut rng);
        let mut queue = world.queue();
        let effects = world.fill(&mut queue, &mut rng);
        let best = world.best();
        assert_eq!(reserved(&effects), best, "seed {seed}: {world:#?}");
        served += best.len();
        left += CHATS - best.len();
        let ranks: BTreeSet<i64> = world.chats.iter().map(|chat| world.rank(chat).0).collect();
        ties += usize::from(ranks.len() < CHATS);
    }
    println!(
        "{WORLDS} worlds: {served} chats served, {left} left waiting, {ties} with equal ranks"
    );
    assert!(served > 1_000 && left > 1_000 && ties > 1_000, "the worlds are too easy");
}

/// One operator has a slot and chooses; nobody else has any.
fn pulling(rng: &mut Rng) -> (World, usize) {
    let mut world = world(rng);
    let puller = rng.below(OPERATORS as u64) as usize;
    for who in &mut world.operators {
        if [Standing::Free, Standing::Kept].contains(&who.standing) {
            (who.standing, who.free, who.kept_below) = (Standing::Full, 0, None);
        }
    }
    let who = &mut world.operators[puller];
    (who.standing, who.free) = (Standing::Choosing, 1 + rng.below(2) as u32);
    who.kept_below = None;
    (world, puller)
}

#[test]
fn a_pull_is_quoted_the_best_chat_that_the_operator_could_serve_and_given_it() {
    let (mut found, mut nothing) = (0, 0);
    for seed in 0..4 * WORLDS {
        let mut rng = Rng::new(seed);
        let (world, puller) = pulling(&mut rng);
        let mut queue = world.queue();
        assert_eq!(reserved(&world.fill(&mut queue, &mut rng)), BTreeMap::new(), "seed {seed}");
        let pull = ToQueue::Pull { pull: 1, except: Vec::new(), state: world.state(puller, 2) };
        let rank = quoted(&step(&mut queue, QueueInput::Said(pull)));
        let best = world.best_chat(puller);
        let quote =
            |(rank, chat)| Quote { rank, weight: Default::default(), chat, reach: Reach::Directed };
        assert_eq!(rank, best.map(quote), "seed {seed}: {world:#?}");
        let Some((rank, chat)) = best else {
            nothing += 1;
            continue;
        };
        found += 1;
        let give = |offer: u64, rank: i64| {
            QueueInput::Said(ToQueue::Give {
                offer: OfferId::of(9, offer),
                rank,
                weight: Default::default(),
                expires_at: Timestamp(NOW + 2_000),
                state: world.state(puller, 3),
            })
        };
        assert_eq!(given(&step(&mut queue, give(1, rank - 1))), None, "seed {seed}: not so good");
        assert_eq!(given(&step(&mut queue, give(2, rank))), Some(chat), "seed {seed}");
        assert_eq!(given(&step(&mut queue, give(2, rank))), Some(chat), "seed {seed}: a repeat");
    }
    println!("{found} pulls found a chat, {nothing} found none");
    assert!(found > 1_000 && nothing > 100, "the worlds are too easy");
}

#[test]
fn a_pull_of_a_queue_that_offers_to_all_is_quoted_waiting_and_offered_chats_alike() {
    let (mut live, mut waiting, mut nothing) = (0, 0, 0);
    for seed in 0..4 * WORLDS {
        let mut rng = Rng::new(seed);
        let (mut world, puller) = pulling(&mut rng);
        world.rule = Rule::ToAll;
        let mut queue = world.queue();
        world.fill(&mut queue, &mut rng);
        // Some stand offered to others, and the operator keeps slots for some already.
        let mut offered = BTreeSet::new();
        let mut except = Vec::new();
        for chat in world.chats.clone() {
            if rng.chance(400) {
                let to = Arc::new(BTreeSet::from([UserId::from_u128(0xff)]));
                let (id, expires_at) = (OfferId::of(8, seed), Timestamp(NOW + 1_000));
                let offer =
                    Offer { id, reach: Reach::ToAll, to, returned: Default::default(), expires_at };
                let at = world.at(&chat, 2, Place::Offered(offer));
                step(&mut queue, QueueInput::Said(ToQueue::At(at)));
                offered.insert(chat.id);
            }
            if rng.chance(300) {
                except.push(chat.id);
            }
        }
        let pull = ToQueue::Pull { pull: 1, except: except.clone(), state: world.state(puller, 2) };
        let quote = quoted(&step(&mut queue, QueueInput::Said(pull)));
        world.chats.retain(|chat| !except.contains(&chat.id));
        let best = world.best_chat(puller);
        let reach = Reach::ToAll;
        let wanted =
            best.map(|(rank, chat)| Quote { rank, weight: Default::default(), chat, reach });
        assert_eq!(quote, wanted, "seed {seed}: {world:#?} except {except:?}");
        match best {
            Some((_, chat)) if offered.contains(&chat) => live += 1,
            Some(_) => waiting += 1,
            None => nothing += 1,
        }
    }
    println!("quoted an offered chat {live}, a waiting one {waiting}, none {nothing}");
    assert!(live > 1_000 && waiting > 1_000 && nothing > 100, "the worlds are too easy");
}

#[test]
fn a_slot_goes_to_the_best_chat_of_that_moment_and_never_to_a_worse_one_than_quoted() {
    let (mut better, mut same, mut refused) = (0, 0, 0);
    for seed in 0..4 * WORLDS {
        let mut rng = Rng::new(seed);
        let (mut world, puller) = pulling(&mut rng);
        let mut queue = world.queue();
        world.fill(&mut queue, &mut rng);
        let Some((rank, chat)) = world.best_chat(puller) else { continue };
        let pull = ToQueue::Pull { pull: 1, except: Vec::new(), state: world.state(puller, 2) };
        step(&mut queue, QueueInput::Said(pull));
        // Between the quote and the gift the line changes.
        if rng.chance(500) {
            let newcomer = self::chat(&mut rng, 100);
            let at = world.at(&newcomer, 1, Place::Waiting);
            step(&mut queue, QueueInput::Said(ToQueue::At(at)));
            world.chats.push(newcomer);
        } else {
            let gone = world.chats.iter().position(|known| known.id == chat).expect("known");
            let owner = UserId::from_u128(0xff);
            let taken = Place::Assigned { owner, begun: false };
            let at = world.at(&world.chats[gone], 2, taken);
            step(&mut queue, QueueInput::Said(ToQueue::At(at)));
            world.chats.remove(gone);
        }
        let now_best = world.best_chat(puller).filter(|(now, _)| *now <= rank);
        let give = ToQueue::Give {
            offer: OfferId::of(9, 1),
            rank,
            weight: Default::default(),
            expires_at: Timestamp(NOW + 2_000),
            state: world.state(puller, 3),
        };
        let got = given(&step(&mut queue, QueueInput::Said(give)));
        assert_eq!(got, now_best.map(|(_, chat)| chat), "seed {seed}: {world:#?}");
        match now_best {
            Some((now, _)) if now < rank => better += 1,
            Some(_) => same += 1,
            None => refused += 1,
        }
    }
    println!("given a better one {better}, as quoted {same}, refused {refused}");
    assert!(better > 100 && same > 100 && refused > 100, "the worlds are too easy");
}

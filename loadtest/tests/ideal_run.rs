//! The ideal router's run, told to the ledger: nothing is found, and no chat ever stands beside a
//! free operator. A router that forgets one customer for a while is found out.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are outside of `#[test]`")]

use loadtest::day::Hours;
use loadtest::dialog::{Dialogs, Speaker};
use loadtest::plan::{Choice, Customer, Plan};
use loadtest::predict::{Prediction, predict};
use loadtest::stats::Fate;
use loadtest::synthetic;
use loadtest::verify::{Ledger, Message, Observation, TextHash, Violation};
use switchboard::domain::{ChatId, CommandId, CustomerId, Party, QueueId, UserId};

const LEAST_SERVICE_MS: u64 = 10_000;

fn plan(seed: u64) -> Plan {
    let choice = Choice { staff: 0.8, seed };
    let hours = Hours::parse("8-10").unwrap();
    synthetic::plan(hours, &Dialogs::own().unwrap(), choice).unwrap()
}

fn chat(customer: usize) -> ChatId {
    ChatId::from_u128(customer as u128)
}

fn queue(place: usize) -> QueueId {
    QueueId::from_u128(place as u128)
}

fn user(operator: usize) -> UserId {
    UserId::from_u128(operator as u128)
}

/// Observations by time; at one ms, what ends comes before what begins.
type Timeline = Vec<(u64, u8, Observation)>;

const FIRST: u8 = 0;
const ENDS: u8 = 1;
const BEGINS: u8 = 2;

/// All that clients would tell; the `forgotten` customer waits on for as long as it should have been
/// served, and its operator stands free.
fn run(plan: &Plan, prediction: &Prediction, forgotten: Option<usize>) -> Ledger {
    let mut timeline = Timeline::new();
    for (place, who) in plan.operators.iter().enumerate() {
        let (operator, queues) = (user(place), who.queues.iter().map(|q| queue(*q)).collect());
        let is = Observation::Operator { operator, at_ms: 0, capacity: 1, queues };
        timeline.push((0, FIRST, is));
        let mut busy = Vec::new();
        for customer in prediction.served[place].iter().filter(|who| Some(**who) != forgotten) {
            let (_, waited_ms) = prediction.fates[*customer];
            let of = &plan.customers[*customer];
            let from_ms = of.arrives_ms + waited_ms;
            busy.push((from_ms, from_ms + of.service_ms));
            let holds = [
                (
                    BEGINS,
                    from_ms,
                    Observation::Held { operator, chat: chat(*customer), at_ms: from_ms },
                ),
                (
                    ENDS,
                    from_ms + of.service_ms,
                    Observation::Released {
                        operator,
                        chat: chat(*customer),
                        at_ms: from_ms + of.service_ms,
                    },
                ),
            ];
            timeline.extend(holds.map(|(order, at_ms, what)| (at_ms, order, what)));
            timeline.extend(talk(*customer, of, place, from_ms));
        }
        for (from_ms, to_ms) in free(&who.shifts, &busy) {
            timeline.push((from_ms, BEGINS, Observation::FreeBegan { operator, at_ms: from_ms }));
            timeline.push((to_ms, ENDS, Observation::FreeOver { operator, at_ms: to_ms }));
        }
    }
    for (place, (of, (_, waited_ms))) in plan.customers.iter().zip(&prediction.fates).enumerate() {
        let chat = chat(place);
        let longer_ms = if forgotten == Some(place) { of.service_ms } else { 0 };
        let (from_ms, to_ms) = (of.arrives_ms, of.arrives_ms + waited_ms + longer_ms);
        let customer = CustomerId::from_u128(place as u128);
        let ended_ms = to_ms + of.service_ms;
        timeline.push((from_ms, FIRST, Observation::Opened { chat, customer }));
        if from_ms < to_ms {
            let began = Observation::WaitBegan { chat, queue: queue(of.queue), at_ms: from_ms };
            timeline.push((from_ms, BEGINS, began));
            timeline.push((to_ms, ENDS, Observation::WaitOver { chat, at_ms: to_ms }));
        }
        timeline.push((ended_ms, BEGINS, Observation::Ended { chat }));
    }
    timeline.sort_by_key(|(at_ms, order, _)| (*at_ms, *order));
    let last_ms = timeline.last().unwrap().0;
    let mut ledger = Ledger::default();
    for (_, _, observation) in timeline {
        ledger.observe(observation);
    }
    ledger.finish(last_ms);
    ledger
}

/// What is said, acknowledged and seen at once.
fn talk(customer: usize, of: &Customer, operator: usize, from_ms: u64) -> Timeline {
    let (chat, operator) = (chat(customer), user(operator));
    let sides = [Party::Customer(CustomerId::from_u128(customer as u128)), Party::User(operator)];
    let mut timeline = vec![(from_ms, FIRST, Observation::Gained { chat, operator, seq: 3 })];
    for (seq, (after_ms, turn)) in (4..).zip(of.lines()) {
        let from = match turn.speaker {
            Speaker::Customer => sides[0],
            Speaker::Operator => sides[1],
        };
        let id = CommandId::new(&format!("{customer}-{seq}")).unwrap();
        let text = TextHash::of(turn.text.as_str());
        let message = Message { from, id: id.clone(), text };
        let seen = |by| Observation::Seen { chat, by, seq, message: message.clone() };
        let told = [
            Observation::Sent { message: message.clone() },
            Observation::Acknowledged { chat, from, id, seq },
            seen(sides[0]),
            seen(sides[1]),
        ];
        timeline.extend(told.map(|what| (from_ms + after_ms, BEGINS, what)));
    }
    let seq = 4 + of.dialog.len() as u64;
    timeline.push((from_ms + of.service_ms, BEGINS, Observation::Lost { chat, operator, seq }));
    timeline
}

/// The stretches of duty without the busy ones, which are in order.
fn free(shifts: &[loadtest::plan::Shift], busy: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut free = Vec::new();
    for shift in shifts {
        let (mut from_ms, to_ms) = (shift.from_ms, shift.to_ms.unwrap_or(u64::MAX / 2));
        for (begins_ms, ends_ms) in busy.iter().filter(|(begins_ms, _)| *begins_ms < to_ms) {
            free.push((from_ms, *begins_ms));
            from_ms = from_ms.max(*ends_ms);
        }
        free.push((from_ms, to_ms));
    }
    free.retain(|(from_ms, to_ms)| from_ms < to_ms);
    free
}

#[test]
fn the_ideal_run_is_clean() {
    for seed in 1..=5 {
        let plan = plan(seed);
        let prediction = predict(&plan);
        assert!(
            prediction.figures.count(Fate::Left) > 0,
            "somebody must wait for this to mean much"
        );
        let ledger = run(&plan, &prediction, None);
        assert_eq!(ledger.violations().kept(), [], "seed {seed}");
        assert_eq!(ledger.idle_beside_ms().summary().unwrap().max, 0, "seed {seed}");
        assert!(ledger.acknowledged() > 1_000);
    }
}

#[test]
fn a_router_that_forgets_a_customer_is_found_out() {
    let plan = plan(1);
    let prediction = predict(&plan);
    let long = |place: &usize| plan.customers[*place].service_ms >= LEAST_SERVICE_MS;
    let forgotten = *prediction.served[0].iter().find(|place| long(place)).unwrap();
    let ledger = run(&plan, &prediction, Some(forgotten));
    let violations = ledger.violations().kept();
    let of_it = |violation: &Violation| {
        matches!(violation, Violation::IdleBesideWaiting { chat: which, operator, .. }
            if *which == chat(forgotten) && *operator == user(0))
    };
    assert!(violations.iter().any(of_it), "{violations:?}");
}

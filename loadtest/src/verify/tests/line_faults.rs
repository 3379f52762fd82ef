//! Chats that wait beside free operators, and what excuses that.

use super::*;
use crate::verify::line::IDLE_BESIDE_MAX_MS;

/// ANN of [`QUEUE`] is free from 0, [`CHAT`] waits there from 1,000 on.
fn beside(more: &[Observation]) -> Vec<Violation> {
    let mut run = vec![operator(ANN, 0, &[QUEUE]), free_began(ANN, 0), wait_began(1_000)];
    run.extend_from_slice(more);
    found_at_once(&run)
}

fn told(violations: &[Violation]) -> Vec<(u64, u64)> {
    let of = |violation: &Violation| match violation {
        Violation::IdleBesideWaiting { from_ms, for_ms, .. } => (*from_ms, *for_ms),
        other => panic!("{other}"),
    };
    violations.iter().map(of).collect()
}

#[test]
fn a_wait_beside_a_free_operator() {
    let limit = 1_000 + IDLE_BESIDE_MAX_MS;
    assert_eq!(beside(&[wait_over(limit)]), []);
    assert_eq!(told(&beside(&[wait_over(limit + 1)])), [(1_000, 501)]);
    assert_eq!(told(&beside(&[free_over(ANN, 1_800)])), [(1_000, 800)]);
    let tick = |at_ms| Observation::Tick { at_ms };
    assert_eq!(told(&beside(&[tick(1_600), tick(1_900), wait_over(2_000)])), [(1_000, 600)]);
}

#[test]
fn an_excuse_that_comes_too_late() {
    assert_eq!(told(&beside(&[excluded(1_700, None)])), [(1_000, 700)]);
    let down = Observation::Down { at_ms: 1_700 };
    assert_eq!(told(&beside(&[down])), [(1_000, 700)]);
    assert_eq!(told(&beside(&[operator(ANN, 1_700, &[])])), [(1_000, 700)]);
}

#[test]
fn each_stretch_is_told() {
    let twice = [free_over(ANN, 1_600), free_began(ANN, 2_000), free_over(ANN, 2_700)];
    assert_eq!(told(&beside(&twice)), [(1_000, 600), (2_000, 700)]);
}

#[test]
fn what_excuses_a_wait() {
    let tick = Observation::Tick { at_ms: 1_900 };
    let excused = |observation| beside(&[observation, tick.clone()]);
    assert_eq!(excused(free_over(ANN, 1_450)), [], "not free");
    assert_eq!(excused(operator(ANN, 1_450, &[OTHER_QUEUE])), [], "no member");
    assert_eq!(excused(excluded(1_450, None)), [], "declined");
    assert_eq!(excused(excluded(1_450, Some(1_400 + IDLE_BESIDE_MAX_MS))), [], "cooling down");
    assert_eq!(excused(Observation::Down { at_ms: 1_450 }), [], "the server is down");
    let not_for_long = excluded(1_100, Some(1_200));
    assert_eq!(told(&excused(not_for_long)), [(1_200, 700)]);
}

#[test]
fn excuses_end() {
    let tick = |at_ms| Observation::Tick { at_ms };
    let up = [Observation::Down { at_ms: 1_100 }, Observation::Up { at_ms: 5_000 }];
    let after = |at_ms| beside(&[up.as_slice(), &[tick(at_ms)]].concat());
    assert_eq!(after(5_500), []);
    assert_eq!(told(&after(5_501)), [(5_000, 501)]);
    let joined = |at_ms| {
        let [left, back] = [&[OTHER_QUEUE], &[QUEUE]];
        beside(&[operator(ANN, 1_100, left), operator(ANN, 3_000, back), tick(at_ms)])
    };
    assert_eq!(joined(3_500), []);
    assert_eq!(told(&joined(3_501)), [(3_000, 501)]);
}

#[test]
fn the_longest_stretch_beside_one_operator_counts_for_each_wait() {
    let mut ledger = Ledger::default();
    for observation in [
        operator(ANN, 0, &[QUEUE]),
        operator(BEN, 0, &[QUEUE]),
        wait_began(0),
        free_began(ANN, 100),
        free_over(ANN, 400),
        free_began(BEN, 400),
        free_over(BEN, 600),
        wait_over(900),
        wait_began(2_000),
        wait_over(3_000),
    ] {
        ledger.observe(observation);
    }
    let summary = ledger.idle_beside_ms().summary().unwrap();
    assert_eq!((summary.count, summary.max, summary.p50), (2, 300, 0));
    assert_eq!(ledger.violations().count(), 0);
}

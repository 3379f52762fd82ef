//! Predictions of plans small enough to play by hand, and of one that theory knows.

use std::sync::Arc;

use switchboard::domain::Priority;

use super::*;
use crate::draw::{Draw, Purpose};
use crate::plan::{Customer, Operator, Shift};
use crate::stats::Skips;

#[path = "../../tests/simulation/erlang.rs"]
mod erlang;

const LENGTH_MS: u64 = 1_000_000;

fn customer(arrives_ms: u64, queue: usize, points: u8, patience_ms: Option<u64>) -> Customer {
    Customer {
        line: 0,
        arrives_ms,
        queue,
        priority: Priority::new(points).unwrap(),
        patience_ms,
        service_ms: 100_000,
        dialog: Arc::from([]),
    }
}

fn operator(queues: &[usize], from_ms: u64, to_ms: Option<u64>) -> Operator {
    Operator {
        name: String::new(),
        queues: queues.iter().copied().collect(),
        shifts: vec![Shift { from_ms, to_ms }],
    }
}

fn plan(operators: Vec<Operator>, customers: Vec<Customer>) -> Plan {
    Plan {
        queues: vec!["a".to_owned(), "b".to_owned()],
        operators,
        sent_home: 0,
        customers,
        length_ms: LENGTH_MS,
        skipped: Skips::new(),
        recorded: None,
    }
}

fn fates(operators: Vec<Operator>, customers: Vec<Customer>) -> Vec<(Fate, u64)> {
    predict(&plan(operators, customers)).fates
}

#[test]
fn waits_for_a_free_operator_or_leaves() {
    let one = vec![operator(&[0], 0, None)];
    let who = vec![
        customer(0, 0, 0, None),
        customer(10_000, 0, 0, Some(90_000)),
        customer(20_000, 0, 0, Some(179_999)),
    ];
    assert_eq!(fates(one, who), [(Fate::Served, 0), (Fate::Served, 90_000), (Fate::Left, 179_999)]);
}

#[test]
fn priority_buys_a_minute_a_point() {
    let later = |arrives_ms| {
        let one = vec![operator(&[0], 0, None)];
        let who = vec![
            customer(0, 0, 0, None),
            customer(1_000, 0, 0, None),
            customer(arrives_ms, 0, 1, None),
        ];
        fates(one, who)[2].1 + arrives_ms
    };
    assert_eq!(later(60_999), 100_000, "overtakes");
    assert_eq!(later(61_000), 200_000, "same rank: the earlier row");
}

#[test]
fn an_operator_takes_the_smallest_rank_of_all_its_queues() {
    let both = vec![operator(&[0, 1], 0, None)];
    let who =
        vec![customer(0, 0, 0, None), customer(2_000, 0, 0, None), customer(1_000, 1, 0, None)];
    let fates = fates(both, who);
    assert_eq!((fates[1].1, fates[2].1), (198_000, 99_000));
}

#[test]
fn nobody_serves_what_it_is_no_member_of() {
    let other = vec![operator(&[1], 0, None)];
    let who = vec![customer(0, 0, 0, None), customer(5, 0, 0, Some(7))];
    let fates = fates(other, who);
    assert_eq!(fates[0].0, Fate::Unserved);
    assert_eq!(fates[1], (Fate::Left, 7));
}

#[test]
fn who_goes_home_takes_no_more_and_finishes() {
    let early = vec![operator(&[0], 0, Some(50_000)), operator(&[0], 300_000, None)];
    let who = vec![customer(0, 0, 0, None), customer(10_000, 0, 0, None)];
    let prediction = predict(&plan(early, who));
    assert_eq!(prediction.fates[1], (Fate::Served, 290_000));
    let figures = prediction.figures;
    assert_eq!(figures.busy_ms, 200_000);
    // The first stays until its customer is done; the second to the end of the hours.
    assert_eq!(figures.on_duty_ms, 100_000 + 700_000);
}

#[test]
fn the_longest_idle_is_asked_first() {
    let two = vec![operator(&[0], 5, None), operator(&[0, 1], 0, None)];
    let who = vec![customer(10, 0, 0, None), customer(20, 1, 0, Some(1_000))];
    assert_eq!(fates(two, who)[1], (Fate::Left, 1_000));
}

#[test]
fn time_behind_the_hours_counts_for_nobody() {
    let prediction = predict(&plan(
        vec![operator(&[0], 0, None)],
        vec![customer(LENGTH_MS - 10_000, 0, 0, None)],
    ));
    assert_eq!(prediction.figures.busy_ms, 10_000);
    assert_eq!(prediction.figures.on_duty_ms, LENGTH_MS);
}

#[test]
fn homogeneous_traffic_agrees_with_erlang_a() {
    // 20 runs of 10,000 customers at load 0.95 of ten servers; the means of runs are independent.
    const RUNS: u64 = 20;
    const EACH: usize = 10_000;
    let expected = erlang::Traffic { arrivals: 0.095, service: 100.0, servers: 10 }.erlang_a(200.0);
    let run = |seed: u64| {
        let mut draw = Draw::new(seed, Purpose::Arrival, 0);
        let mut at_ms = 0.0;
        let mut who = Vec::new();
        for _ in 0..EACH {
            at_ms += draw.exponential(1_000.0 / 0.095);
            let patience_ms = draw.exponential(200_000.0) as u64;
            who.push(Customer {
                service_ms: draw.exponential(100_000.0) as u64,
                ..customer(at_ms as u64, 0, 0, Some(patience_ms))
            });
        }
        let desks = (0..10).map(|_| operator(&[0], 0, None)).collect();
        let figures = predict(&plan(desks, who)).figures;
        let left = figures.count(Fate::Left) as f64 / EACH as f64;
        (left, figures.waits.summary().unwrap().mean / 1_000.0)
    };
    let runs: Vec<(f64, f64)> = (0..RUNS).map(run).collect();
    let check = |of: fn(&(f64, f64)) -> f64, wanted: f64| {
        let n = RUNS as f64;
        let mean = runs.iter().map(of).sum::<f64>() / n;
        let variance = runs.iter().map(|run| (of(run) - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // Four standard errors, and they must be small enough to mean something.
        let error = (variance / n).sqrt();
        assert!((mean - wanted).abs() < 4.0 * error, "{mean} ± {error}, wanted {wanted}");
        assert!(error < 0.02 * wanted, "{error}");
    };
    check(|run| run.0, expected.leaves);
    check(|run| run.1, expected.mean_wait);
}

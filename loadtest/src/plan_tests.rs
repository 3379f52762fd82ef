//! Plans of small days made up here.

use switchboard::domain::Priority;

use super::*;
use crate::trace::{Skip, Skipped};

const SEED: u64 = 11;
const WHOLE: Choice = Choice { staff: 1.0, seed: SEED };

fn row(line: u64, kind: &str, asked_s: u32, waited_s: u32, ended: Ended) -> Row {
    Row {
        line,
        priority: Priority::new(2).unwrap(),
        kind: kind.to_owned(),
        asked_s,
        waited_s,
        ended,
    }
}

fn by(server: &str, from_s: u32, length_s: u32) -> Ended {
    Ended::Served(Service { from_s, length_s, server: Some(server.to_owned()) })
}

/// Hour 9: ROSE serves AA; hour 10: nobody; hour 11: ROSE and FINN. FINN serves BB only at 20:00.
fn trace() -> Trace {
    let unknown = Ended::Served(Service { from_s: 41_000, length_s: 5, server: None });
    Trace {
        rows: vec![
            row(2, "AA", 32_400, 10, by("ROSE", 32_410, 100)),
            row(3, "AA", 36_100, 40, Ended::Left),
            row(4, "AA", 39_600, 0, by("ROSE", 39_600, 60)),
            row(5, "AA", 40_000, 20, by("FINN", 40_020, 60)),
            row(6, "CC", 41_000, 0, unknown),
            row(7, "BB", 72_000, 0, by("FINN", 72_000, 10)),
        ],
        skipped: vec![
            Skipped { line: 8, asked_s: 33_000, why: Skip::Phantom },
            Skipped { line: 9, asked_s: 80_000, why: Skip::Phantom },
        ],
        other_days: 0,
    }
}

fn plan(hours: &str, choice: Choice) -> Result<Plan, PlanError> {
    let hours = Hours::parse(hours).unwrap();
    Plan::of_trace(&trace(), hours, &Dialogs::own().unwrap(), choice)
}

fn named<'a>(plan: &'a Plan, name: &str) -> &'a Operator {
    plan.operators.iter().find(|who| who.name == name).unwrap()
}

fn names(plan: &Plan, operator: &str) -> Vec<String> {
    let queues = &named(plan, operator).queues;
    queues.iter().map(|queue| plan.queues[*queue].clone()).collect()
}

#[test]
fn a_queue_a_type_and_a_skill_of_the_whole_day() {
    let plan = plan("9-12", WHOLE).unwrap();
    assert_eq!(plan.queues, ["AA", "BB", "CC"]);
    assert_eq!(names(&plan, "ROSE"), ["AA"]);
    assert_eq!(names(&plan, "FINN"), ["AA", "BB"]);
}

#[test]
fn operators_log_in_and_out_as_the_hours_go() {
    let hour = 3_600_000;
    let until_noon = plan("9-12", WHOLE).unwrap();
    let first = Shift { from_ms: 0, to_ms: Some(hour) };
    let last = Shift { from_ms: 2 * hour, to_ms: None };
    assert_eq!(named(&until_noon, "ROSE").shifts, [first, last]);
    assert_eq!(named(&until_noon, "FINN").shifts, [last]);
    let until_one = plan("9-13", WHOLE).unwrap();
    assert_eq!(named(&until_one, "FINN").shifts[0].to_ms, Some(3 * hour));
    let morning = plan("9-11", WHOLE).unwrap();
    assert_eq!(morning.operators.len(), 1, "FINN is not seen before eleven");
}

#[test]
fn a_service_over_the_hour_is_seen_in_both_and_merges_them() {
    let mut trace = trace();
    trace.rows[0].ended = by("ROSE", 35_990, 20);
    let hours = Hours::parse("9-13").unwrap();
    let plan = Plan::of_trace(&trace, hours, &Dialogs::own().unwrap(), WHOLE).unwrap();
    let one = Shift { from_ms: 0, to_ms: Some(3 * 3_600_000) };
    assert_eq!(named(&plan, "ROSE").shifts, [one]);
    trace.rows[0].ended = by("ROSE", 35_980, 20);
    let plan = Plan::of_trace(&trace, hours, &Dialogs::own().unwrap(), WHOLE).unwrap();
    assert_eq!(named(&plan, "ROSE").shifts.len(), 2, "it ended at the hour");
}

#[test]
fn customers_are_the_rows() {
    let plan = plan("9-12", WHOLE).unwrap();
    let customer = |line| plan.customers.iter().find(|c| c.line == line).unwrap();
    assert_eq!(plan.customers.len(), 5);
    assert_eq!(customer(2).arrives_ms, 0);
    assert_eq!(customer(2).service_ms, 100_000);
    assert_eq!(customer(2).priority.points(), 2);
    assert_eq!(customer(3).patience_ms, Some(40_000), "who left shows it");
    assert!([100_000, 60_000].contains(&customer(3).service_ms), "of AA");
    assert_eq!(customer(6).service_ms, 5_000, "served by nobody known");
    // The one leaving at 40 s had no longer wait beside it: all patience ends there.
    assert_eq!(customer(2).patience_ms, Some(40_000));
    assert_eq!(plan.skipped, Skips::from([(Skip::Phantom, 1)]));
}

#[test]
fn patience_beyond_the_last_leaving_is_endless() {
    let mut trace = trace();
    for line in 100..300 {
        trace.rows.push(row(line, "AA", 80_000, 500, by("ROSE", 80_500, 1)));
    }
    let hours = Hours::parse("9-12").unwrap();
    let plan = Plan::of_trace(&trace, hours, &Dialogs::own().unwrap(), WHOLE).unwrap();
    let endless = plan.customers.iter().filter(|c| c.patience_ms.is_none());
    assert_eq!(endless.count(), 4, "1 of 201 left, and it is a row of its own");
}

#[test]
fn the_same_choice_is_the_same_plan_and_staff_changes_no_customer() {
    let half = Choice { staff: 0.5, seed: SEED };
    assert_eq!(plan("9-12", half), plan("9-12", half));
    let (full, half) = (plan("9-12", WHOLE).unwrap(), plan("9-12", half).unwrap());
    assert_eq!(full.customers, half.customers);
    assert_eq!((full.sent_home, half.sent_home), (0, 1));
    assert_eq!(full.queues, half.queues);
}

#[test]
fn four_fifths_of_fifteen_are_twelve_and_the_seed_says_who() {
    let all: Vec<Operator> = (0..15)
        .map(|n| Operator { name: format!("{n:02}"), queues: BTreeSet::new(), shifts: Vec::new() })
        .collect();
    let kept = |staff, seed| {
        let (kept, _) = keep(all.clone(), Choice { staff, seed }).unwrap();
        kept.into_iter().map(|who| who.name).collect::<BTreeSet<_>>()
    };
    assert_eq!(kept(0.8, 1).len(), 12);
    assert_ne!(kept(0.8, 1), kept(0.8, 2));
    assert!(kept(0.4, 1).is_subset(&kept(0.8, 1)));
    assert_eq!(kept(0.001, 1).len(), 1);
}

#[test]
fn lines_are_spread_over_the_service() {
    let plan = plan("9-12", WHOLE).unwrap();
    for customer in &plan.customers {
        let times: Vec<u64> = customer.lines().map(|(at, _)| at).collect();
        assert_eq!(times.len(), customer.dialog.len());
        assert_eq!(times[0], 0);
        let apart = customer.service_ms / times.len() as u64;
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= apart));
        assert!(*times.last().unwrap() + apart <= customer.service_ms);
    }
}

#[test]
fn the_recorded_day_stands_beside() {
    let recorded = plan("9-12", WHOLE).unwrap().recorded.unwrap();
    assert_eq!(recorded.offered, 5);
    assert_eq!((recorded.count(Fate::Served), recorded.count(Fate::Left)), (4, 1));
    assert_eq!(recorded.in_time, 4);
    assert_eq!(recorded.busy_ms, 220_000);
    assert_eq!(recorded.on_duty_ms, 3 * 3_600_000);
}

#[test]
fn a_type_may_have_nobody() {
    let plan = plan("9-12", WHOLE).unwrap();
    let hour = 3_600_000;
    assert_eq!(plan.nobody(), [vec![(hour, 2 * hour)], vec![(0, 2 * hour)], vec![(0, 3 * hour)]]);
}

#[test]
fn what_cannot_be_planned_is_refused() {
    for staff in [0.0, -1.0, 1.1, f64::NAN] {
        let choice = Choice { staff, seed: SEED };
        assert!(matches!(plan("9-12", choice), Err(PlanError::Staff(_))));
    }
    assert_eq!(plan("10-11", WHOLE), Err(PlanError::NoOperators));
    assert_eq!(plan("3-4", WHOLE), Err(PlanError::NoOperators));
    let mut trace = trace();
    trace.rows[0].asked_s = 20_000;
    let nine = Hours::parse("9-10").unwrap();
    let own = Dialogs::own().unwrap();
    assert_eq!(Plan::of_trace(&trace, nine, &own, WHOLE), Err(PlanError::NoCustomers));
}

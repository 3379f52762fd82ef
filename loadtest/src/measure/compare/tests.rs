//! What differs is found, what does not is not, and the order of reports is all that says which is better.

use proptest::prelude::*;

use super::*;
use crate::draw::{Draw, Purpose};
use crate::measure::report::Report;
use crate::measure::sample;

/// What a figure has to exceed in these tests.
pub(super) const THRESHOLD: f64 = 0.02;

pub(super) fn asked(threshold: f64) -> Asked {
    Asked { threshold, figures: Vec::new() }
}

/// All figures are judged.
fn reports(before: &Report, after: &Report, threshold: f64) -> Result<Comparison, CompareError> {
    super::reports(before, after, &asked(threshold))
}

/// A report without a warning; its rounds are to be replaced.
pub(super) fn plain() -> Report {
    Report { warnings: Vec::new(), ..sample::report(1) }
}

/// A report with so many rounds, in which the router is so many times as fast as the floor, but for `noise`; what
/// both have in common in a round is far more.
fn made(rounds: usize, times: f64, noise: f64, seed: u64) -> Report {
    let mut report = plain();
    let mut draw = Draw::new(seed, Purpose::Conduct, 0);
    let mut normal = || (0..12).map(|_| draw.unit()).sum::<f64>() - 6.0;
    let first = report.rounds[ROUTER][0].clone();
    let [mut router, mut floor] = [(); 2].map(|()| vec![first.clone(); rounds]);
    for (router, floor) in router.iter_mut().zip(&mut floor) {
        let machine = (0.3 * normal()).exp();
        let values = [(router, 1_000.0 * times), (floor, 3_000.0)];
        for (round, value) in values {
            let value = machine * value * (noise * normal()).exp();
            round.figures = [("acknowledged_per_second".to_owned(), value)].into();
        }
    }
    report.rounds = [(ROUTER.to_owned(), router), ("durable".to_owned(), floor)].into();
    report
}

fn only(comparison: &Comparison) -> &Compared {
    let [compared] = comparison.figures.as_slice() else { panic!("{comparison:?}") };
    compared
}

fn reports_of(values: [&[f64]; 2], figure: &str) -> [Report; 2] {
    values.map(|values| {
        let mut report = plain();
        let first = report.rounds[ROUTER][0].clone();
        let round =
            |value: &f64| Round { figures: [(figure.to_owned(), *value)].into(), ..first.clone() };
        report.rounds = [(ROUTER.to_owned(), values.iter().map(round).collect())].into();
        report
    })
}

#[test]
fn a_twentieth_less_is_found_in_ten_rounds_through_the_noise_of_the_machine() {
    for seed in 0..100 {
        let before = made(10, 1.0, 0.01, seed);
        let after = made(10, 0.95, 0.01, seed + 1_000);
        let compared = reports(&before, &after, THRESHOLD).unwrap();
        let compared = only(&compared);
        assert_eq!(compared.floor.as_deref(), Some("durable"));
        assert_eq!(compared.verdict, Verdict::Worse, "{seed}: {compared:?}");
        assert!(compared.low <= compared.high && compared.high < 0.0, "{compared:?}");
    }
}

#[test]
fn of_equal_runs_no_more_than_one_in_twenty_differs() {
    // Without a threshold, as only the test is meant; with pairs that have all their chance in one number.
    let differ = (0..1_000).filter(|seed| {
        let [before, after] = [0, 10_000].map(|other| made(10, 1.0, 0.05, seed + other));
        only(&reports(&before, &after, 0.0).unwrap()).verdict != Verdict::Same
    });
    // 50 of 1,000 at most are expected; three standard errors more are 71.
    let differ = differ.count();
    assert!((10..=71).contains(&differ), "{differ}");
    let with_threshold = (0..100).filter(|seed| {
        let [before, after] = [0, 10_000].map(|other| made(10, 1.0, 0.01, seed + other));
        only(&reports(&before, &after, THRESHOLD).unwrap()).verdict != Verdict::Same
    });
    assert!(with_threshold.count() <= 5);
}

#[test]
fn a_change_below_the_threshold_is_none_however_sure_it_is() {
    let (before, after) = (made(12, 1.0, 0.0001, 1), made(12, 1.015, 0.0001, 2));
    let says = |threshold| only(&reports(&before, &after, threshold).unwrap()).verdict;
    assert_eq!((says(0.02), says(0.01)), (Verdict::Same, Verdict::Better));
}

#[test]
fn with_few_rounds_a_difference_is_likely_at_most_and_that_is_said() {
    for (rounds, verdict) in [
        (1, Verdict::Unknown),
        (2, Verdict::Unknown),
        (3, Verdict::LikelyWorse),
        (5, Verdict::LikelyWorse),
        (6, Verdict::Worse),
    ] {
        let (before, after) = (made(rounds, 1.0, 0.001, 1), made(rounds, 0.5, 0.001, 2));
        let compared = reports(&before, &after, THRESHOLD).unwrap();
        assert_eq!(only(&compared).verdict, verdict, "{rounds}");
        assert_eq!(only(&compared).chance.is_some(), rounds >= PROVEN_MIN);
        assert_eq!(compared.notes.is_empty(), rounds >= PROVEN_MIN, "{:?}", compared.notes);
    }
    // One round that disagrees, and it is not likely any more.
    let [before, after] =
        reports_of([&[1.0; 5], &[0.5, 0.5, 0.5, 0.5, 1.1]], "acknowledged_per_second");
    assert_eq!(only(&reports(&before, &after, THRESHOLD).unwrap()).verdict, Verdict::Same);
}

#[test]
fn less_of_a_time_is_better_and_a_share_is_neither() {
    let of = |figure| {
        let [before, after] = reports_of([&[100.0; 6], &[50.0; 6]], figure);
        reports(&before, &after, THRESHOLD).map(|all| only(&all).verdict)
    };
    assert_eq!(of("deliver_p99_us"), Ok(Verdict::Better));
    assert_eq!(of("delivered_per_second"), Ok(Verdict::Worse));
    assert_eq!(of("driver_cpu_share"), Err(CompareError::NoFigure));
}

#[test]
fn the_longest_time_and_what_a_store_holds_are_shown_and_not_judged() {
    for (figure, scenario, verdict) in [
        ("deliver_max_us", "messages", Verdict::NotJudged),
        ("resident_bytes", "messages", Verdict::NotJudged),
        ("resident_bytes", "connections", Verdict::Worse),
    ] {
        let [before, after] = reports_of([&[100.0; 6], &[200.0; 6]], figure)
            .map(|report| Report { scenario: scenario.to_owned(), ..report });
        let compared = reports(&before, &after, THRESHOLD).unwrap();
        let shown = only(&compared);
        assert_eq!(shown.verdict, verdict, "{figure} in {scenario}");
        assert!((shown.change - 1.0).abs() < 1e-9, "{shown:?}");
        assert_eq!(shown.chance.is_some(), verdict == Verdict::Worse);
        assert_eq!(compared.has_worse(), verdict == Verdict::Worse);
    }
}

#[test]
fn bytes_are_no_part_of_a_floors_bytes() {
    let with_floor = |own: f64, floor: f64| {
        let [own, floor] = reports_of([&[own; 6], &[floor; 6]], "session_idle_kib");
        let mut report = Report { scenario: "connections".to_owned(), ..own };
        report.rounds.insert("echo".to_owned(), floor.rounds[ROUTER].clone());
        report
    };
    // The same memory, beside a floor that has come to take twice as much.
    let (before, after) = (with_floor(40.0, 8.0), with_floor(40.0, 16.0));
    let compared = reports(&before, &after, THRESHOLD).unwrap();
    let shown = only(&compared);
    assert_eq!((shown.verdict, shown.floor.as_ref()), (Verdict::Same, None));
}

#[test]
fn what_was_never_there_and_is_now_is_worse() {
    let [before, after] = reports_of([&[0.0; 6], &[3.0, 0.0, 4.0, 9.0, 2.0, 5.0]], "unsent");
    let compared = reports(&before, &after, THRESHOLD).unwrap();
    assert_eq!(only(&compared).verdict, Verdict::Same, "one round of six had none");
    let [before, after] = reports_of([&[0.0; 6], &[3.0, 1.0, 4.0, 9.0, 2.0, 5.0]], "unsent");
    let compared = reports(&before, &after, THRESHOLD).unwrap();
    assert_eq!(only(&compared).verdict, Verdict::Worse);
    let [before, after] = reports_of([&[0.0; 6]; 2], "unsent");
    assert_eq!(only(&reports(&before, &after, THRESHOLD).unwrap()).verdict, Verdict::Same);
}

#[test]
fn a_new_violation_or_refusal_is_worse_however_few() {
    let before = made(8, 1.0, 0.01, 1);
    let mut after = before.clone();
    assert!(!reports(&before, &after, THRESHOLD).unwrap().has_worse());
    let rounds = after.rounds.get_mut(ROUTER).unwrap();
    rounds[3].violated = 1;
    rounds[5].refused.insert("busy".to_owned(), 1);
    let compared = reports(&before, &after, THRESHOLD).unwrap();
    let worse: Vec<&str> = compared.faults.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(worse, ["refused: busy", "violations"]);
    assert!(
        compared.has_worse() && compared.faults.iter().all(|fault| fault.verdict == Verdict::Worse)
    );
    assert!(!reports(&after, &before, THRESHOLD).unwrap().has_worse());
    let text = table(&compared);
    assert!(
        text.lines().any(|line| line.starts_with("violations") && line.ends_with("WORSE")),
        "{text}"
    );
}

#[test]
fn two_routers_of_one_run_are_held_against_each_other() {
    let mut report = made(8, 1.0, 0.01, 1);
    assert_eq!(within(&report, &asked(THRESHOLD)), Err(CompareError::OneRouter));
    let slower = made(8, 0.7, 0.01, 1).rounds[ROUTER].clone();
    report.rounds.insert(BEFORE.to_owned(), slower);
    let compared = within(&report, &asked(THRESHOLD)).unwrap();
    let compared = only(&compared);
    assert_eq!((compared.verdict, compared.floor.as_ref()), (Verdict::Better, None));
    assert!((compared.change - 1.0 / 0.7 + 1.0).abs() < 1e-9, "{compared:?}");
}

#[test]
fn reports_of_different_things_are_not_compared_and_other_circumstances_are_said() {
    let first = made(6, 1.0, 0.01, 1);
    let mut second = first.clone();
    assert_eq!(reports(&first, &second, THRESHOLD).unwrap().notes, Vec::<String>::new());
    second.machine.processor = "another one".to_owned();
    second.build.is_optimised = false;
    second.options.insert("pairs".to_owned(), "8".to_owned());
    second.settings.clear();
    second.rounds.remove("durable");
    second.failed = Some("gone".to_owned());
    second.rounds.get_mut(ROUTER).unwrap().pop();
    let notes = reports(&first, &second, THRESHOLD).unwrap().notes.join("\n");
    for said in [
        "of 6 and 5 rounds the first 5",
        "another processor: \"A processor of some kind\", then \"another one\"",
        "one report is of an optimised build",
        "another option pairs: \"64\", then \"8\"",
        "another setting limits_connections: \"320\", then \"none\"",
        "no floor in both",
        "the second run ended before its last round: gone",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    second.rounds.remove(ROUTER);
    let none = CompareError::NoRound { which: "second", server: ROUTER };
    assert_eq!(reports(&first, &second, THRESHOLD), Err(none));
    second.scenario = "routing".to_owned();
    assert!(matches!(reports(&first, &second, THRESHOLD), Err(CompareError::Scenario { .. })));
}

/// The other way round.
fn mirrored(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Better => Verdict::Worse,
        Verdict::LikelyBetter => Verdict::LikelyWorse,
        Verdict::Same => Verdict::Same,
        Verdict::Unknown => Verdict::Unknown,
        Verdict::NotJudged => Verdict::NotJudged,
        Verdict::LikelyWorse => Verdict::LikelyBetter,
        Verdict::Worse => Verdict::Better,
    }
}

proptest! {
    #[test]
    fn the_order_of_reports_turns_the_verdict_and_changes_nothing_else(
        values in prop::collection::vec(
            prop_oneof![
                (0.5..2.0, 0.5..2.0),
                (0.9..1.0, 1.0..1.2),
                (Just(0.0), 0.0..1.0),
            ],
            1..14,
        ),
        violated in (0_u64..3, 0_u64..3),
    ) {
        let (before, after): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let [mut before, mut after] = reports_of([&before, &after], "deliver_p50_us");
        before.rounds.get_mut(ROUTER).unwrap()[0].violated = violated.0;
        after.rounds.get_mut(ROUTER).unwrap()[0].violated = violated.1;
        let [there, back] = [(&before, &after), (&after, &before)]
            .map(|(before, after)| reports(before, after, THRESHOLD).unwrap());
        prop_assert_eq!(only(&there).verdict, mirrored(only(&back).verdict));
        prop_assert_eq!(only(&there).chance, only(&back).chance);
        let faults = |all: &Comparison| all.faults.iter().map(|fault| fault.verdict).collect::<Vec<_>>();
        let turned: Vec<Verdict> = faults(&back).into_iter().map(mirrored).collect();
        prop_assert_eq!(faults(&there), turned);
    }
}

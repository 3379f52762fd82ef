//! How often a comparison of many figures is wrong, and what it still finds.

use super::tests::{THRESHOLD, asked, plain};
use super::*;
use crate::draw::{Draw, Purpose};

/// Judged figures of `messages` and `routing` that do not hang on a floor being there.
const TEN: [&str; 10] = [
    "acknowledged_per_second",
    "delivered_per_second",
    "acknowledge_p50_us",
    "acknowledge_p99_us",
    "deliver_p50_us",
    "deliver_p99_us",
    "cpu_us_per_message",
    "open_p50_us",
    "open_p99_us",
    "cpu_us_per_chat",
];

/// A report of [`TEN`], with `noise` in each figure, of which the part `common` is that of the round; the first
/// figure is so many times as large.
fn ten(rounds: usize, times: f64, (noise, common): (f64, f64), seed: u64) -> Report {
    let mut report = plain();
    let mut draw = Draw::new(seed, Purpose::Conduct, 0);
    let mut normal = || (0..12).map(|_| draw.unit()).sum::<f64>() - 6.0;
    let first = report.rounds[ROUTER][0].clone();
    let round = |_| {
        let of_round = normal();
        let value = |(place, name): (usize, &&str)| {
            let own = common.sqrt() * of_round + (1.0 - common).sqrt() * normal();
            let times = if place == 0 { times } else { 1.0 };
            ((*name).to_owned(), 1_000.0 * times * (noise * own).exp())
        };
        Round { figures: TEN.iter().enumerate().map(value).collect(), ..first.clone() }
    };
    let router = (0..rounds).map(round).collect();
    report.rounds = [(ROUTER.to_owned(), router)].into();
    report
}

/// Of so many comparisons of equal programs, how many say that some figure differs beyond chance, and how many
/// would fail.
fn wrong(comparisons: u64, rounds: usize, common: f64) -> (usize, usize) {
    let (mut differ, mut fail) = (0, 0);
    for seed in 0..comparisons {
        let [before, after] =
            [0, 10_000].map(|other| ten(rounds, 1.0, (0.05, common), seed + other));
        // Without a threshold, as only the test is meant.
        let compared = super::reports(&before, &after, &asked(0.0)).unwrap();
        assert_eq!((compared.judged, compared.figures.len()), (10, 10));
        let is_proven =
            |figure: &Compared| matches!(figure.verdict, Verdict::Better | Verdict::Worse);
        differ += usize::from(compared.figures.iter().any(is_proven));
        fail += usize::from(compared.has_worse());
    }
    (differ, fail)
}

#[test]
fn of_comparisons_of_equal_programs_at_most_one_in_twenty_fails() {
    for common in [0.0, 0.5, 0.95] {
        // With 8 rounds nothing is proven of ten figures: 2 / 256 ten times is above 0.05.
        assert_eq!(wrong(200, 8, common), (0, 0), "{common}");
        // 20 of 400 at most are expected to differ, some better and some worse.
        let (differ, fail) = wrong(400, 10, common);
        assert!(differ <= 20 && fail <= differ, "{common}: {differ} {fail}");
        assert!(differ > 0, "a test that finds nothing would pass");
    }
}

#[test]
fn a_twentieth_in_one_of_ten_figures_is_proven_in_ten_rounds() {
    for seed in 0..50 {
        for common in [0.0, 0.5] {
            let before = ten(10, 1.0, (0.01, common), seed);
            let after = ten(10, 0.95, (0.01, common), seed + 10_000);
            let compared = super::reports(&before, &after, &asked(THRESHOLD)).unwrap();
            let proven: Vec<&str> = compared
                .figures
                .iter()
                .filter(|figure| figure.verdict == Verdict::Worse)
                .map(|figure| figure.figure)
                .collect();
            assert_eq!(proven, [TEN[0]], "{seed}: {compared:?}");
            assert!(compared.has_worse());
        }
    }
}

#[test]
fn what_only_one_figure_alone_would_prove_is_likely_and_does_not_fail() {
    let (before, after) = (ten(6, 1.0, (0.001, 0.0), 1), ten(6, 0.9, (0.001, 0.0), 2));
    let compared = super::reports(&before, &after, &asked(THRESHOLD)).unwrap();
    let first = &compared.figures[0];
    assert_eq!((first.verdict, first.chance), (Verdict::LikelyWorse, Some(2.0 / 64.0)));
    assert_eq!((first.corrected, compared.pairs_to_prove), (Some(20.0 / 64.0), 9));
    assert!(!compared.has_worse());
    let text = table(&compared);
    assert!(text.contains("nothing is proven worse\nlikely worse: acknowledged;"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains("9 or more (loadtest messages --rounds 9)"), "{last}");

    let named = Asked { figures: vec![TEN[0].to_owned()], ..asked(THRESHOLD) };
    let compared = super::reports(&before, &after, &named).unwrap();
    let verdicts: Vec<Verdict> = compared.figures.iter().map(|figure| figure.verdict).collect();
    assert_eq!((verdicts[0], &verdicts[1..]), (Verdict::Worse, &[Verdict::NotJudged; 9][..]));
    assert!(compared.has_worse() && table(&compared).contains("proven worse: acknowledged\n"));
}

#[test]
fn a_figure_that_is_not_judged_cannot_be_named() {
    let report = ten(6, 1.0, (0.01, 0.0), 1);
    for name in ["deliver_max_us", "nothing"] {
        let named = Asked { figures: vec![TEN[0].to_owned(), name.to_owned()], ..asked(THRESHOLD) };
        let told = super::reports(&report, &report, &named).unwrap_err().to_string();
        assert!(told.starts_with(name), "{told}");
        assert!(TEN.iter().all(|judged| told.contains(judged)), "{told}");
    }
}

#[test]
fn with_too_few_rounds_the_last_line_says_how_many_would_prove_something() {
    let last = |rounds| {
        let report = ten(rounds, 1.0, (0.01, 0.0), 1);
        let compared = super::reports(&report, &report, &asked(THRESHOLD)).unwrap();
        table(&compared).lines().last().unwrap().to_owned()
    };
    for rounds in [1, 3, 5, 6, 8] {
        let said = last(rounds);
        assert!(said.starts_with(&format!("{rounds} round")), "{said}");
        assert!(said.contains("--rounds 9") && said.contains("--figure"), "{said}");
        assert_eq!(said.contains("or 6"), rounds < 6, "{said}");
    }
    assert_eq!(last(9), "nothing is proven worse");
}

#[test]
fn more_of_a_refusal_that_was_there_is_not_new() {
    let refused = |count| {
        let mut report = plain();
        let round = &mut report.rounds.get_mut(ROUTER).unwrap()[0];
        round.refused.insert("busy".to_owned(), count);
        report
    };
    for (before, after, verdict) in [
        (5, 6, Verdict::LikelyWorse),
        (6, 5, Verdict::LikelyBetter),
        (0, 1, Verdict::Worse),
        (1, 0, Verdict::Better),
    ] {
        let compared =
            super::reports(&refused(before), &refused(after), &asked(THRESHOLD)).unwrap();
        let [fault] = compared.faults.as_slice() else { panic!("{:?}", compared.faults) };
        assert_eq!(fault.verdict, verdict, "{before} {after}");
        assert_eq!(compared.has_worse(), verdict == Verdict::Worse);
    }
}

//! The page: that a strict reader takes it, that it loads nothing, and that no word of a report is markup.

use proptest::prelude::*;
use roxmltree::{Document, ParsingOptions};

use super::*;
use crate::measure::report::{BEFORE, ROUTER, Sample};
use crate::measure::sample;

fn parsed(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap()
}

fn text(page: &str) -> String {
    let all = parsed(page);
    let texts = all.descendants().filter(|node| node.is_text()).filter_map(|node| node.text());
    texts.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_page_is_well_formed_and_every_part_can_be_told() {
    let page = page(&sample::report(3));
    let all = parsed(&page);
    let named = |name: &'static str| all.descendants().filter(move |node| node.has_tag_name(name));
    for svg in named("svg").filter(|svg| svg.attribute("role") == Some("img")) {
        let labels = svg.attribute("aria-labelledby").unwrap().split(' ');
        let told =
            labels.map(|id| svg.children().find(|node| node.attribute("id") == Some(id)).unwrap());
        assert!(told.clone().all(|node| node.text().is_some_and(|text| !text.is_empty())));
        assert_eq!(told.count(), 2);
    }
    assert!(named("table").all(|table| table.children().any(|node| node.has_tag_name("caption"))));
    let ids: Vec<&str> = all.descendants().filter_map(|node| node.attribute("id")).collect();
    assert_eq!(ids.len(), ids.iter().collect::<std::collections::BTreeSet<_>>().len());
    // Two timed things; four values that were sampled of both, and two of the router alone.
    assert_eq!(named("figure").count(), 2 + 6);
    let said = text(&page);
    for told in ["It held", "stores lie in memory", "limits_connections", "closed loop", "ext4"] {
        assert!(said.contains(told), "{told}");
    }
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    let page = page(&sample::report(3));
    for loads in ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(loads), "{loads}");
    }
    let all = parsed(&page);
    let attributes = all.descendants().flat_map(|node| node.attributes());
    let handlers = attributes.filter(|attribute| attribute.name().starts_with("on"));
    assert_eq!(handlers.count(), 0);
}

#[test]
fn whatever_a_report_says_is_text() {
    const WILD: &str = "</td><script>alert(1)</script>\"'&<![CDATA[]]>";
    let mut report = sample::report(1);
    let mut round = report.rounds[ROUTER][0].clone();
    round.violations.push(WILD.to_owned());
    round.violated = 1;
    round.refused.insert(WILD.to_owned(), 1);
    let times = round.times["deliver"].clone();
    round.times.insert(WILD.to_owned(), times);
    round.samples[0].values.insert(WILD.to_owned(), 1.0);
    report.rounds.insert(WILD.to_owned(), vec![round]);
    report.scenario = WILD.to_owned();
    report.failed = Some(WILD.to_owned());
    report.warnings = vec![WILD.to_owned()];
    report.options.insert(WILD.to_owned(), WILD.to_owned());
    report.settings.insert(WILD.to_owned(), WILD.to_owned());
    report.machine.processor = WILD.to_owned();
    report.machine.kernel = WILD.to_owned();
    report.machine.file_system = WILD.to_owned();
    report.build.version = WILD.to_owned();
    report.build.server = Some((WILD.to_owned(), 1));
    let page = page(&report);
    let all = parsed(&page);
    assert!(!all.descendants().any(|node| node.has_tag_name("script")));
    // As often as it was put in at least, and as text each time.
    assert!(text(&page).matches(WILD).count() >= 16);
}

#[test]
fn a_run_that_did_not_hold_says_so_first() {
    let mut report = sample::report(1);
    let rounds = report.rounds.get_mut(ROUTER).unwrap();
    rounds[0].violated = 12;
    rounds[0].violations = vec!["position 3 after 4".to_owned()];
    rounds[0].refused.insert("busy".to_owned(), 7);
    report.failed = Some("the server is gone".to_owned());
    let said = text(&page(&report));
    let at = |told: &str| said.find(told).unwrap_or_else(|| panic!("{told}: {said}"));
    assert!(!said.contains("It held"));
    for told in ["the server is gone", "12 violations", "position 3 after 4", "7 refused, busy"] {
        assert!(at("It did not hold") < at(told) && at(told) < at("Medians"), "{told}");
    }
}

#[test]
fn a_run_of_nothing_has_a_page() {
    let said = text(&page(&sample::report(0)));
    assert!(said.contains("It did not hold") && said.contains("Nothing was measured"), "{said}");
}

/// Numbers that are none too ordinary.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(f64::MAX), Just(-1.0), 0.0..1e6, prop::num::f64::NORMAL]
}

/// Letters of any kind, also those that no page may hold.
fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter)
}

prop_compose! {
    fn any_round()(
        figures in prop::collection::btree_map(
            prop::sample::select(vec!["acknowledged_per_second", "resident_bytes", "deliver_p99_us"]),
            any_number(), 0..3,
        ),
        times in prop::option::of((any::<u64>(), any::<u64>(), prop::collection::vec((0.0..=1.0, any::<u64>()), 0..4))),
        samples in prop::collection::vec((0.0..1e6, any_text(), any_number()), 0..4),
        violations in prop::collection::vec(any_text(), 0..2),
    ) -> Round {
        let sample = |(at_s, name, value): (f64, String, f64)| Sample {
            at_s,
            values: [("server_cpu_share".to_owned(), value), (name, value)].into(),
        };
        Round {
            figures: figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            times: times
                .into_iter()
                .map(|(count, max_us, curve)| ("write".to_owned(), Times { count, max_us, curve }))
                .collect(),
            samples: samples.into_iter().map(sample).collect(),
            violated: violations.len() as u64,
            violations,
            ..Round::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_was_measured_has_a_page_that_a_strict_reader_takes(
        router in prop::collection::vec(any_round(), 0..3),
        before in prop::collection::vec(any_round(), 0..3),
        name in any_text(),
        began_ms in any::<u64>(),
    ) {
        let mut report = sample::report(0);
        report.began_ms = began_ms;
        report.rounds =
            [(ROUTER.to_owned(), router), (BEFORE.to_owned(), before.clone()), (name, before)].into();
        let page = page(&report);
        prop_assert!(parsed(&page).root_element().has_tag_name("html"));
        let _ = crate::measure::table::table(&report);
    }
}

//! What came of a replay, of crashes and of an outage, in the form of all reports.
//!
//! Owns what of it is a figure, a time, a sample or a violation. Refuses to judge: what must hold is decided where the
//! run is.

use hdrhistogram::Histogram;

use super::report::{Round, Sample};
use crate::pace::Speed;
use crate::run::crash::{self, Kill};
use crate::run::crowd::{Load, Verified};
use crate::run::outage::{self, Moment};
use crate::run::replay;
use crate::stats::{Fate, Figures, Samples};

/// The longest time that is told from longer ones, µs, and to how many digits: a day of a trace.
const LONGEST_US: u64 = 86_400_000_000;
const DIGITS: u8 = 3;

/// A ms, µs.
const MS: u64 = 1_000;

/// How people fared in a plan: as it was recorded, as it would be ideally, or as it was measured.
pub fn fared(figures: &Figures, speed: Speed) -> Round {
    let mut round = Round::default();
    let count = |fate| figures.count(fate) as f64;
    round.set("customers", figures.offered as f64);
    round.set("customers_served", count(Fate::Served));
    round.set("customers_left", count(Fate::Left));
    round.set("customers_unserved", count(Fate::Unserved));
    let parts = [("in_time", figures.share_in_time()), ("occupancy", figures.occupancy())];
    for (name, part) in parts {
        part.inspect(|part| round.set(name, *part));
    }
    times(&mut round, "wait_trace", &figures.waits, |ms| ms * MS);
    times(&mut round, "wait_served_trace", &figures.waits_of_served, |ms| ms * MS);
    times(&mut round, "wait", &figures.waits, |ms| ms * MS / u64::from(speed.times()));
    if let Some(wire) = &figures.wire {
        round.set("messages", wire.messages as f64);
        times(&mut round, "acknowledge", &wire.acknowledge_us, |us| us);
        times(&mut round, "deliver", &wire.delivery_us, |us| us);
        times(&mut round, "idle_beside", &wire.idle_beside_ms, |ms| ms * MS);
    }
    round
}

/// A replay.
pub fn replay(outcome: &replay::Outcome, speed: Speed, samples: Vec<Sample>) -> Round {
    let mut round = fared(&outcome.figures, speed);
    round.set("read_by_auditor", outcome.read as f64);
    round.samples = samples;
    round.violations = outcome.violations.iter().map(ToString::to_string).collect();
    round.violated = outcome.violations_count;
    round
}

/// Crashes.
pub fn crash(outcome: &crash::Outcome) -> Round {
    let mut round = seen(&outcome.seen);
    let kills = outcome.kills.len();
    round.set("kills", kills as f64);
    round.set("kills_tried", f64::from(outcome.tried));
    let of = |what: fn(&Load) -> usize| outcome.kills.iter().map(move |kill| what(&kill.load));
    let names = [
        ("open_least", "open_mean", of(|load| load.open)),
        ("offers_least", "offers_mean", of(|load| load.offers)),
        ("calls_least", "calls_mean", of(|load| load.calls)),
    ];
    for (least, mean, values) in names {
        round.set(least, values.clone().min().unwrap_or_default() as f64);
        round.set(mean, values.sum::<usize>() as f64 / kills as f64);
    }
    times(&mut round, "restart", &outcome.restart_ms, |ms| ms * MS);
    round.set("copies_whole", f64::from(outcome.copies.0));
    round.set("copies_missed", f64::from(outcome.copies.1));
    round.set("chats_forgotten", outcome.past.0 as f64);
    round.set("kills_while_forgetting", outcome.past.1 as f64);
    let sample = |Kill { at_ms, load, resident_bytes }: &Kill| {
        let Load { open, offers, calls } = *load;
        let mut values = [("open", open), ("offers", offers), ("calls_under_way", calls)]
            .map(|(name, count)| (name.to_owned(), count as f64))
            .to_vec();
        values.extend(resident_bytes.map(|bytes| ("resident_bytes".to_owned(), bytes as f64)));
        Sample { at_s: *at_ms as f64 / 1_000.0, values: values.into_iter().collect() }
    };
    round.samples = outcome.kills.iter().map(sample).collect();
    round
}

/// An outage.
pub fn outage(outcome: &outage::Outcome) -> Round {
    let mut round = seen(&outcome.seen);
    let (down_ms, up_ms) = outcome.away_ms;
    let (noticed_ms, recovered_ms) = (outcome.noticed_ms(), outcome.recovered_ms());
    let times = [
        ("away_us", Some(up_ms - down_ms)),
        ("noticed_us", noticed_ms),
        ("recovered_us", recovered_ms),
        ("acknowledged_again_us", outcome.acknowledged_ms()),
    ];
    for (name, ms) in times {
        ms.inspect(|ms| round.set(name, (ms * MS) as f64));
    }
    let never = [
        (noticed_ms, "the server never said that its store is away"),
        (recovered_ms, "the server never said that it is ready again"),
    ];
    for (_, what) in never.into_iter().filter(|(ms, _)| ms.is_none()) {
        round.violated += 1;
        round.violations.push(what.to_owned());
    }
    round.samples = outcome.moments.iter().map(moment).collect();
    round
}

fn moment(moment: &Moment) -> Sample {
    let counts = [
        ("ready", u64::from(moment.ready.is_ok())),
        ("store_available", u64::from(moment.available)),
        ("appends", moment.appends),
        ("calls_under_way", moment.calls),
        ("connections", moment.connections),
        ("actor_restarts", moment.restarts),
        ("messages", moment.acknowledged),
    ];
    let resident = moment.resident_bytes.map(|bytes| ("resident_bytes", bytes));
    let values = counts.into_iter().chain(resident);
    let values = values.map(|(name, value)| (name.to_owned(), value as f64));
    Sample { at_s: moment.at_ms as f64 / 1_000.0, values: values.collect() }
}

/// What a crowd saw.
fn seen(seen: &Verified) -> Round {
    let mut round = Round::default();
    round.set("messages", seen.wire.messages as f64);
    round.set("chats", seen.chats as f64);
    let names = ["read_by_customers", "read_by_owners", "read_by_auditor"];
    names.into_iter().zip(seen.read).for_each(|(name, read)| round.set(name, read as f64));
    round.set("erased", seen.erased as f64);
    times(&mut round, "acknowledge", &seen.wire.acknowledge_us, |us| us);
    times(&mut round, "deliver", &seen.wire.delivery_us, |us| us);
    let traces = seen.traces.iter().map(|trace| format!("trace of somebody erased: {trace}"));
    let unread = seen.unread.iter().map(|why| format!("unread: {why}"));
    round.violations = seen.violations.iter().map(ToString::to_string).collect();
    round.violations.extend(traces.chain(unread));
    round.violated = seen.violations_count + (seen.traces.len() + seen.unread.len()) as u64;
    round
}

/// What people met that is no violation, in words; none when they met nothing.
pub fn met(met: &[(String, u64)]) -> Option<String> {
    let each: Vec<String> = met.iter().map(|(name, count)| format!("{count} {name}")).collect();
    (!each.is_empty())
        .then(|| format!("people met besides, which is no violation: {}", each.join(", ")))
}

/// Times, µs, of samples in another unit.
fn times(round: &mut Round, what: &'static str, samples: &Samples, us: impl Fn(u64) -> u64) {
    // These bounds fit.
    let Ok(mut all) = Histogram::new_with_bounds(1, LONGEST_US, DIGITS) else { return };
    samples.values().iter().for_each(|value| all.saturating_record(us(*value)));
    if !all.is_empty() {
        round.time(what, &all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::WireFigures;

    fn verified() -> Verified {
        let mut wire = WireFigures { messages: 7, ..WireFigures::default() };
        wire.acknowledge_us.add(2_000);
        Verified {
            chats: 3,
            read: [3, 2, 3],
            unread: Vec::new(),
            erased: 1,
            traces: Vec::new(),
            wire,
            met: Vec::new(),
            violations: Vec::new(),
            violations_count: 0,
        }
    }

    fn crashed(seen: Verified) -> crash::Outcome {
        let load = |open| Load { open, offers: 2, calls: 4 };
        let kill = |at_ms, open| Kill { at_ms, load: load(open), resident_bytes: Some(9) };
        let mut restart_ms = Samples::default();
        restart_ms.add(300);
        let kills = vec![kill(1_500, 50), kill(3_000, 70)];
        crash::Outcome { kills, tried: 3, restart_ms, copies: (1, 2), past: (20, 1), seen }
    }

    #[test]
    fn crashes_are_told_with_the_load_at_each_kill() {
        let round = crash(&crashed(verified()));
        let figure = |name: &str| round.figures[name];
        assert_eq!(
            (figure("open_least"), figure("open_mean"), figure("calls_mean")),
            (50.0, 60.0, 4.0)
        );
        assert_eq!(
            (figure("messages"), figure("read_by_owners"), figure("erased")),
            (7.0, 2.0, 1.0)
        );
        let ms = |name: &str| figure(name) / 1_000.0;
        assert!((299.0..=301.0).contains(&ms("restart_p50_us")), "{}", ms("restart_p50_us"));
        assert_eq!((round.samples.len(), round.samples[1].at_s), (2, 3.0));
        assert_eq!(round.samples[1].values["open"], 70.0);
        assert_eq!((round.violated, round.times["acknowledge"].count), (0, 1));
    }

    #[test]
    fn what_is_left_of_the_erased_or_unread_does_not_hold() {
        for spoil in [
            (|seen: &mut Verified| seen.traces.push("in a file".to_owned())) as fn(&mut Verified),
            |seen| seen.unread.push("a chat".to_owned()),
            |seen| seen.violations_count = 1,
        ] {
            let mut seen = verified();
            spoil(&mut seen);
            assert!(!seen.holds());
            assert_eq!(crash(&crashed(seen)).violated, 1);
        }
    }

    #[test]
    fn an_outage_that_is_not_noticed_is_a_violation() {
        let moment = |at_ms, phase, is_ready: bool| Moment {
            at_ms,
            phase,
            ready: if is_ready { Ok(()) } else { Err("away".to_owned()) },
            available: true,
            appends: 0,
            calls: 0,
            connections: 0,
            restarts: 0,
            resident_bytes: None,
            acknowledged: 0,
        };
        let told = |away: bool| {
            let moments = vec![
                moment(3_000, outage::Phase::Away, !away),
                moment(5_500, outage::Phase::Back, true),
            ];
            let away_ms = (1_000, 5_000);
            outage(&outage::Outcome { moments, away_ms, seen: verified() })
        };
        let round = told(true);
        assert_eq!((round.violated, round.figures["noticed_us"]), (0, 2_000_000.0));
        assert_eq!(round.figures["recovered_us"], 500_000.0);
        assert_eq!((round.samples.len(), round.samples[0].values["ready"]), (2, 0.0));
        assert!(told(false).violations[0].contains("never said that its store is away"));
    }

    #[test]
    fn a_replay_is_told_beside_what_was_recorded() {
        let mut figures = Figures::default();
        figures.customer(Fate::Served, 5_000);
        figures.customer(Fate::Left, 250_000);
        let round = fared(&figures, Speed::new(10).unwrap());
        assert_eq!((round.figures["customers"], round.figures["customers_left"]), (2.0, 1.0));
        assert_eq!(round.figures["in_time"], 0.5);
        assert_eq!(round.times["wait"].count, 2);
        let of = |name: &str| round.figures[name] / 1_000_000.0;
        assert!((249.0..251.0).contains(&of("wait_trace_max_us")), "{}", of("wait_trace_max_us"));
        assert!((24.9..25.1).contains(&of("wait_max_us")), "{}", of("wait_max_us"));
        assert_eq!(met(&[]), None);
        assert!(met(&[("late".to_owned(), 2)]).unwrap().ends_with("2 late"));
    }
}

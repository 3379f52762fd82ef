//! Whether a server's memory stays what it is while it works.
//!
//! The router has no metric yet of what it holds of open chats for their own sake, so that resident memory as a whole
//! is looked at: open chats that have more to hold at the end than after a minute count as growth.

use super::report::{Round, Sample};

/// What comes before memory is what it is, s.
const FROM_S: f64 = 60.0;

/// For how long it is looked at the two ends, s: a single look may meet a moment.
const LOOK_S: f64 = 10.0;

/// By which part it may grow between the two.
const GROWTH_MAX: f64 = 0.05;

/// The part by which resident memory has grown from the first minute to the end; none of a run that is too short to say,
/// or where the system does not say.
pub fn growth(samples: &[Sample]) -> Option<f64> {
    let last_s = samples.last()?.at_s;
    let between = |from_s: f64| {
        let looks =
            samples.iter().filter(|sample| (from_s..=from_s + LOOK_S).contains(&sample.at_s));
        let bytes = looks.filter_map(|sample| sample.values.get("resident_bytes").copied());
        super::report::median(bytes.collect())
    };
    if last_s < FROM_S + 2.0 * LOOK_S {
        return None;
    }
    let (first, last) = (between(FROM_S)?, between(last_s - LOOK_S)?);
    (first > 0.0).then(|| last / first - 1.0)
}

/// Notes it in a round: memory that is not flat is a violation, and so is one of which nothing is known.
pub fn look(round: &mut Round) {
    let growth = growth(&round.samples);
    let told = match growth {
        Some(growth) if growth < GROWTH_MAX => None,
        Some(growth) => Some(format!(
            "resident memory grew by {:.1} % after the first minute; {:.0} % are the most",
            growth * 100.0,
            GROWTH_MAX * 100.0
        )),
        None => Some("nothing is known of the server's memory after the first minute".to_owned()),
    };
    if let Some(growth) = growth {
        round.set("memory_growth", growth);
    }
    round.violated += u64::from(told.is_some());
    round.violations.extend(told);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks each second; memory by the second.
    fn looked(seconds: u32, bytes: impl Fn(f64) -> f64) -> Round {
        let sample = |second: u32| {
            let at_s = f64::from(second);
            Sample { at_s, values: [("resident_bytes".to_owned(), bytes(at_s))].into() }
        };
        let mut round = Round { samples: (1..=seconds).map(sample).collect(), ..Round::default() };
        look(&mut round);
        round
    }

    #[test]
    fn memory_that_grows_after_the_first_minute_is_seen() {
        let grows = |by: f64| looked(600, move |s| 1e8 * (1.0 + by * s / 600.0));
        assert_eq!(grows(0.0).violated, 0);
        assert_eq!((grows(0.05).violated, grows(0.07).violated), (0, 1));
        let told = grows(0.5).violations;
        assert!(told[0].starts_with("resident memory grew by 4"), "{told:?}");
    }

    #[test]
    fn what_comes_in_the_first_minute_or_for_a_moment_is_no_growth() {
        assert_eq!(looked(300, |s| if s < 60.0 { 1e7 } else { 1e8 }).violated, 0);
        assert_eq!(looked(300, |s| if s > 299.0 { 3e8 } else { 1e8 }).violated, 0);
        assert_eq!(looked(300, |s| if s > 290.0 { 1e7 } else { 1e8 }).violated, 0);
    }

    #[test]
    fn of_a_short_run_nothing_is_known() {
        assert!(looked(70, |_| 1e8).violations[0].contains("nothing is known"));
    }
}

//! Axes: which part of the numbers is shown, and where along it ticks stand (1, 2 and 5 of each ten).
//!
//! Whatever it is given, an axis is finite, longer than nothing and has a handful of ticks.

use crate::measure::number::Unit;

/// No value of a measurement is larger; what is stands at the end of its axis.
const LARGEST: f64 = 1e18;

/// A range that is smaller is none: all of its values are the same to a reader.
const SMALLEST: f64 = 1e-9;

/// About how many parts a linear axis is cut into.
const PARTS: f64 = 5.0;

/// Up to how many tens an axis of powers has ticks at 2 and 5, too.
const TENS_WITH_PARTS: i32 = 2;

/// Most powers of ten with a tick.
const POWERS_MAX: i32 = 8;

/// The smallest part that is told apart from nothing: behind the last of a curve's parts.
const PART_MIN: f64 = 1e-6;

/// A part of the numbers, and its ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    from: f64,
    to: f64,
    /// Whether equal ratios, not equal differences, are equally long.
    is_of_ratios: bool,
    /// Where ticks stand, from 0 at its beginning to 1 at its end, and what is written there.
    pub ticks: Vec<(f64, String)>,
    /// What is along it, with its unit.
    pub title: String,
}

impl Axis {
    /// From 0 to the largest of the values, or the round number behind it where it `is_rounded`.
    pub fn linear(
        values: impl IntoIterator<Item = f64>,
        (heading, unit): (&str, &'static str),
        is_rounded: bool,
    ) -> Self {
        let (lowest, highest) = ends(values).unwrap_or((0.0, 0.0));
        let (mut from, mut to) = (lowest.min(0.0), highest.max(0.0));
        if to - from < SMALLEST {
            to = from + 1.0;
        }
        let unit = Unit::of(unit, from.abs().max(to));
        let step = round_step((to - from) / PARTS, unit);
        let first = (from / step).floor() as i64;
        let mut last = (to / step).ceil() as i64;
        if is_rounded {
            (from, to) = (first as f64 * step, last as f64 * step);
        } else {
            from = from.min(first as f64 * step);
            last = (to / step).floor() as i64;
        }
        let axis = Self::between(from, to, false, heading, unit);
        axis.with_ticks((first..=last).map(|n| n as f64 * step), unit)
    }

    /// From below the smallest positive value to above the largest one, equal ratios equally long.
    pub fn of_ratios(
        values: impl IntoIterator<Item = f64>,
        (heading, unit): (&str, &'static str),
    ) -> Self {
        let positive = values.into_iter().filter(|value| *value >= SMALLEST);
        let (lowest, highest) = ends(positive).unwrap_or((1.0, 10.0));
        let unit = Unit::of(unit, highest);
        // Exponents lie within -9 and 18.
        let (first, last) = (lowest.log10().floor() as i32, highest.log10().ceil() as i32);
        let last = last.max(first + 1);
        let parts: &[f64] = if last - first <= TENS_WITH_PARTS { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = ((last - first) / POWERS_MAX + 1) as usize;
        let powers = (first..=last).step_by(every);
        let ticks: Vec<f64> = powers
            .flat_map(|power| parts.iter().map(move |part| part * 10f64.powi(power)))
            .collect();
        let below = ticks.iter().copied().filter(|tick| *tick <= lowest * (1.0 + SMALLEST));
        let from = below.fold(10f64.powi(first), f64::max);
        let above = ticks.iter().copied().filter(|tick| *tick >= highest * (1.0 - SMALLEST));
        let mut to = above.fold(10f64.powi(last), f64::min);
        if to <= from {
            to = 10f64.powi(last);
        }
        Self::between(from, to, true, heading, unit).with_ticks(ticks, unit)
    }

    /// Over parts of all, of which each ten times fewer are equally far: 50 %, 90 %, 99 %, up to the part that
    /// `count` values can tell.
    pub fn of_parts(count: u64, title: &str) -> Self {
        let to = depth(1.0, count).max(1.0);
        let mut axis = Self::between(0.0, to, false, title, Unit::of("", 0.0));
        let parts = [0.0, 0.5, 0.9, 0.99, 0.999, 0.999_9, 0.999_99, 0.999_999];
        let written = ["0", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999"];
        let ticks = parts.into_iter().map(|part| depth(part, u64::MAX)).zip(written);
        let within = ticks.filter(|(at, _)| *at <= to + SMALLEST);
        axis.ticks = within.map(|(at, text)| (axis.at(at), format!("{text} %"))).collect();
        axis
    }

    fn between(from: f64, to: f64, is_of_ratios: bool, heading: &str, unit: Unit) -> Self {
        let title = match unit.name {
            "" => heading.to_owned(),
            name => format!("{heading}, {name}"),
        };
        Self { from, to, is_of_ratios, ticks: Vec::new(), title }
    }

    fn with_ticks(mut self, ticks: impl IntoIterator<Item = f64>, unit: Unit) -> Self {
        let on_it = -SMALLEST..=1.0 + SMALLEST;
        let ticks = ticks.into_iter().filter(|tick| on_it.contains(&self.part(*tick)));
        self.ticks = ticks.map(|tick| (self.at(tick), unit.write_round(tick))).collect();
        self
    }

    /// Where a value is, from 0 to 1; what is beyond an end, or nowhere, stands at an end.
    pub fn at(&self, value: f64) -> f64 {
        let part = self.part(value);
        if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) }
    }

    /// 0 at the beginning, 1 at the end.
    fn part(&self, value: f64) -> f64 {
        match self.is_of_ratios {
            true => (value / self.from).ln() / (self.to / self.from).ln(),
            false => (value - self.from) / (self.to - self.from),
        }
    }
}

/// How far along [`Axis::of_parts`] a part is: 1 for nine of ten, 2 for 99 of 100. Of `count` values none tells
/// more than one of them, and none more than [`PART_MIN`].
pub fn depth(part: f64, count: u64) -> f64 {
    let least = (1.0 / count.max(1) as f64).max(PART_MIN);
    -(1.0 - part).max(least).log10()
}

/// The smallest and the largest of what is a number, not beyond [`LARGEST`].
fn ends(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| !value.is_nan());
    let within = finite.map(|value| value.clamp(-LARGEST, LARGEST));
    within.fold(None, |ends, value| {
        let (lowest, highest) = ends.unwrap_or((value, value));
        Some((value.min(lowest), value.max(highest)))
    })
}

/// The smallest of 1, 2 and 5 times a power of ten of the unit that is not below this.
fn round_step(least: f64, unit: Unit) -> f64 {
    let least = unit.count(least);
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|part| part * power);
    let step = steps.into_iter().find(|step| *step >= least * (1.0 - SMALLEST));
    unit.value(step.unwrap_or(10.0 * power))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_in_the_unit_that_is_shown() {
        let axis = Axis::linear([3_000.0, 8_700.0], ("time", "µs"), true);
        assert_eq!(written(&axis), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(axis.title, "time, ms");
        let axis = Axis::linear([90.0 * 1_048_576.0], ("resident", "bytes"), true);
        assert_eq!(written(&axis), ["0", "20", "40", "60", "80", "100"]);
        let axis = Axis::of_ratios([130.0, 4_000.0], ("time", "µs"));
        assert_eq!(written(&axis), ["0.1", "0.2", "0.5", "1", "2", "5"]);
        let axis = Axis::of_ratios([1e-8, 1e17], ("", ""));
        assert_eq!(axis.ticks.len(), 7);
        let axis = Axis::of_parts(2_000, "part");
        assert_eq!(written(&axis), ["0 %", "50 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn a_value_stands_between_the_ticks_around_it() {
        let axis = Axis::linear([0.0, 10.0], ("", ""), true);
        assert_eq!(
            [-1.0, 0.0, 5.0, 10.0, 99.0].map(|value| axis.at(value)),
            [0.0, 0.0, 0.5, 1.0, 1.0]
        );
        let axis = Axis::of_ratios([1.0, 100.0], ("", ""));
        assert!((axis.at(10.0) - 0.5).abs() < 1e-12);
        assert_eq!(axis.at(0.0), 0.0);
        assert!((depth(0.999, 1_000_000) - 3.0).abs() < 1e-9);
        assert_eq!(depth(1.0, 1_000), 3.0);
    }

    proptest! {
        #[test]
        fn whatever_an_axis_is_given_it_has_some_ticks_and_all_values_are_on_it(
            values in prop::collection::vec(
                prop_oneof![any::<f64>(), Just(0.0), -10.0..10.0, 0.0..1e7], 0..8,
            ),
            count in any::<u64>(),
        ) {
            let all = [
                Axis::linear(values.clone(), ("a", "bytes"), true),
                Axis::linear(values.clone(), ("a", ""), false),
                Axis::of_ratios(values.clone(), ("a", "µs")),
                Axis::of_parts(count, "a"),
            ];
            for axis in all {
                prop_assert!((1..=12).contains(&axis.ticks.len()), "{axis:?}");
                prop_assert!(axis.ticks.iter().all(|(at, _)| (0.0..=1.0).contains(at)), "{axis:?}");
                prop_assert!(axis.ticks.is_sorted_by(|(a, _), (b, _)| a < b), "{axis:?}");
                for value in &values {
                    prop_assert!((0.0..=1.0).contains(&axis.at(*value)), "{axis:?}");
                }
            }
        }
    }
}

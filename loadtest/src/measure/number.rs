//! How numbers are written for people: the same in a table, on a page and along an axis.
//!
//! Owns digits, units and the calendar. Refuses layout, and to know any figure.

/// What is written where there is no number.
pub const NONE: &str = "–";

/// Larger units of a unit, the largest first: how many of the small one each is, and what it is called.
type Larger = &'static [(f64, &'static str)];

const BYTES: Larger =
    &[(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1_024.0, "KiB"), (1.0, "bytes")];

const MICROSECONDS: Larger = &[(1_000_000.0, "s"), (1_000.0, "ms"), (1.0, "µs")];

/// A unit in which a row of values, or an axis, is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// How many of the values' own unit it is.
    per: f64,
    /// What it is called; may be empty.
    pub name: &'static str,
}

impl Unit {
    /// The one in which all of some values are read best, of which this is the largest.
    pub fn of(own: &'static str, largest: f64) -> Self {
        let larger: Larger = match own {
            "bytes" => BYTES,
            "µs" => MICROSECONDS,
            _ => &[],
        };
        let fits = larger.iter().find(|(per, _)| largest.abs() >= *per);
        fits.or(larger.last())
            .map_or(Self { per: 1.0, name: own }, |(per, name)| Self { per: *per, name })
    }

    /// How many of this unit a value is.
    pub fn count(self, value: f64) -> f64 {
        value / self.per
    }

    /// The value of so many of this unit.
    pub fn value(self, count: f64) -> f64 {
        count * self.per
    }

    /// A value in this unit, without its name.
    pub fn write(self, value: f64) -> String {
        number(self.count(value))
    }

    /// The same of a round value, without the noughts at its end.
    pub fn write_round(self, value: f64) -> String {
        let text = self.write(value);
        let is_trimmed = text.contains('.') && !text.contains('e');
        if is_trimmed { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}

/// A value with the unit that fits it.
pub fn with_unit(value: f64, own: &'static str) -> String {
    let unit = Unit::of(own, value);
    format!("{} {}", unit.write(value), unit.name).trim_end().to_owned()
}

/// Three digits, or all of those before the point, in groups of three.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return NONE.to_owned();
    }
    if size >= 1e15 || (size > 0.0 && size < 0.000_5) {
        return format!("{value:.2e}");
    }
    // Where rounding would give one digit more before the point, there is one less behind it.
    let decimals = match size {
        _ if size == 0.0 || size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.999_5 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, behind) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, behind)| (whole, Some(behind)));
    let digits = whole.trim_start_matches('-');
    let mut written = whole[..whole.len() - digits.len()].to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            written.push(',');
        }
        written.push(digit);
    }
    if let Some(behind) = behind {
        written.push('.');
        written += behind;
    }
    written
}

/// What a ratio changes, with its sign: `+2.1 %` of 1.021.
pub fn change(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    if !percent.is_finite() {
        return NONE.to_owned();
    }
    let digits = if percent.abs() < 99.95 { 1 } else { 0 };
    format!("{percent:+.digits$} %")
}

/// Days of 400 years, after which the calendar repeats.
const DAYS_OF_400_YEARS: i64 = 146_097;

/// A moment of UTC, `2026-11-29 23:55`, of ms since 1970.
pub fn moment(ms: u64) -> String {
    let minutes = ms / 60_000;
    let (days, minutes) = (minutes / 1_440, minutes % 1_440);
    // Days since 1 March of the year 0, so that the day that some years have more is the last one of a year
    // (Richards, "Mapping Time", chapter 25).
    let days = i64::try_from(days).unwrap_or(i64::MAX / 2) + 719_468;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_three_digits_or_all_that_stand_before_its_point() {
        let written = [0.0, 0.4, 0.9996, 1.5, 9.996, 12.34, 99.96, 1_234.5, -1_234_567.0, 0.000_01];
        assert_eq!(
            written.map(number),
            ["0", "0.400", "1.00", "1.50", "10.0", "12.3", "100", "1,234", "-1,234,567", "1.00e-5"]
        );
        assert_eq!([f64::NAN, f64::INFINITY].map(number), [NONE, NONE]);
    }

    #[test]
    fn a_unit_is_that_of_the_largest_value() {
        assert_eq!(with_unit(1_500.0, "µs"), "1.50 ms");
        assert_eq!(with_unit(0.0, "µs"), "0 µs");
        assert_eq!(with_unit(52_428_800.0, "bytes"), "50.0 MiB");
        assert_eq!(with_unit(0.25, "of a core"), "0.250 of a core");
        assert_eq!(with_unit(7.0, ""), "7.00");
        assert_eq!(Unit::of("µs", 2_000_000.0).write(1_000.0), "0.001");
        let round = Unit::of("µs", 2_000.0);
        assert_eq!(
            [0.0, 500.0, 2e3, 1e5].map(|us| round.write_round(us)),
            ["0", "0.5", "2", "100"]
        );
    }

    #[test]
    fn a_change_has_a_sign() {
        assert_eq!([1.021, 1.0, 0.5, 3.0].map(change), ["+2.1 %", "+0.0 %", "-50.0 %", "+200 %"]);
    }

    #[test]
    fn a_moment_is_one_of_the_calendar() {
        let at = [0, 951_782_400_000, 1_709_164_800_000, 1_796_083_140_000, 4_107_542_400_000];
        assert_eq!(
            at.map(moment),
            [
                "1970-01-01 00:00",
                "2000-02-29 00:00",
                "2024-02-29 00:00",
                "2026-11-30 23:59",
                "2100-03-01 00:00",
            ]
        );
    }
}

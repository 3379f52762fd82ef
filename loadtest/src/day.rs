//! Days of the calendar and hours of a day, as a trace and the command line name them.

use std::fmt;

/// A calendar day, without a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    year: u16,
    month: u8,
    day: u8,
}

impl Day {
    /// Reads `YYYY-MM-DD`. None when it is no day of the calendar.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || (year.len(), month.len(), day.len()) != (4, 2, 2) {
            return None;
        }
        Self::new(number(year)?, number(month)?, number(day)?)
    }

    /// Reads the trace's `YYMMDD`; 70 to 99 are of the twentieth century.
    pub fn parse_short(text: &str) -> Option<Self> {
        if text.len() != 6 {
            return None;
        }
        let digits: u32 = number(text)?;
        let (short, month, day) = (digits / 10_000, digits / 100 % 100, digits % 100);
        let century = if short >= 70 { 1900 } else { 2000 };
        Self::new(
            u16::try_from(century + short).ok()?,
            u8::try_from(month).ok()?,
            u8::try_from(day).ok()?,
        )
    }

    fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap =
            (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        (1..=days).contains(&day).then_some(Self { year, month, day })
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Whole hours of a day: from the first to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: u32,
    to: u32,
}

impl Hours {
    /// Reads `A-B`, 0 to 24, A below B.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (number(from)?, number(to)?);
        (from < to && to <= 24).then_some(Self { from, to })
    }

    /// The hours, each by its number.
    pub fn each(self) -> std::ops::Range<u32> {
        self.from..self.to
    }

    /// Whether a time, s since midnight, lies in them.
    pub fn contain(self, time_s: u32) -> bool {
        (self.from_s()..self.to_s()).contains(&time_s)
    }

    /// Where they begin, s since midnight.
    pub fn from_s(self) -> u32 {
        self.from * HOUR_S
    }

    /// Where they end, s since midnight.
    pub fn to_s(self) -> u32 {
        self.to * HOUR_S
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.to)
    }
}

/// Seconds of an hour.
pub const HOUR_S: u32 = 3_600;

/// Digits only (a leading minus where the type has one): no plus sign, no white space.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.starts_with('+') {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_begin_and_end() {
        let hours = Hours::parse("8-18").unwrap();
        assert!(hours.contain(28_800) && hours.contain(64_799));
        assert!(!hours.contain(28_799) && !hours.contain(64_800));
        assert_eq!(hours.to_string(), "8-18");
        for wrong in ["8", "8-8", "9-8", "8-25", "8-18-20", "-1-3", "a-b", ""] {
            assert_eq!(Hours::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn days_are_days_of_the_calendar() {
        assert_eq!(Day::parse("2001-03-05"), Day::parse_short("010305"));
        assert_eq!(Day::parse_short("990210").unwrap().to_string(), "1999-02-10");
        assert!(Day::parse("2000-02-29").is_some());
        for wrong in
            ["1900-02-29", "2001-2-05", "2001-13-01", "2001-00-10", "2001-04-31", "today", ""]
        {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
    }
}

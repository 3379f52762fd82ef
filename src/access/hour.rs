//! How many wrong guesses there were at each login in the last hour.

use std::collections::HashMap;

use crate::domain::Timestamp;

/// An hour is counted in so many parts, so that what is over is forgotten little by little.
const PARTS: usize = 12;

/// One part, ms.
const PART_MS: u64 = 3_600_000 / PARTS as u64;

/// Counts by login, for the present part of the hour and the eleven before it.
///
/// Memory is bounded. When there are too many logins, the one with the fewest guesses gives way and
/// leaves its count to the one that takes its place, so that nobody's count is below the truth:
/// guessing at other logins hides nothing.
#[derive(Debug)]
pub(super) struct LastHour {
    most: usize,
    of: HashMap<Box<str>, Counts>,
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    /// The part that was counted last, since 1970.
    part: u64,
    /// By part, modulo their number.
    counts: [u32; PARTS],
}

impl LastHour {
    /// Remembers `most` logins.
    pub fn new(most: usize) -> Self {
        Self { most, of: HashMap::new() }
    }

    /// A wrong guess at the login. Answers how many there were in the hour, this one included.
    pub fn count(&mut self, login: &str, now: Timestamp) -> u32 {
        let part = now.0 / PART_MS;
        if !self.of.contains_key(login) {
            let counts = self.make_room(now);
            self.of.insert(login.into(), counts);
        }
        let Some(counts) = self.of.get_mut(login) else { return 0 };
        counts.go_to(part);
        if let Some(count) = counts.counts.get_mut(slot(part)) {
            *count = count.saturating_add(1);
        }
        counts.sum()
    }

    /// How many wrong guesses there were in the hour.
    pub fn of(&self, login: &str, now: Timestamp) -> u32 {
        self.of.get(login).map_or(0, |counts| counts.at(now))
    }

    /// What a newcomer starts with.
    fn make_room(&mut self, now: Timestamp) -> Counts {
        let nothing = Counts { part: now.0 / PART_MS, counts: [0; PARTS] };
        if self.of.len() < self.most {
            return nothing;
        }
        self.of.retain(|_, counts| counts.at(now) > 0);
        if self.of.len() < self.most {
            return nothing;
        }
        let fewest = self.of.iter().min_by_key(|(_, counts)| counts.at(now));
        let fewest = fewest.map(|(login, _)| login.clone());
        fewest.and_then(|login| self.of.remove(&login)).unwrap_or(nothing)
    }
}

impl Counts {
    /// Forgets the parts that are over by `part`.
    fn go_to(&mut self, part: u64) {
        let over = part.saturating_sub(self.part).min(PARTS as u64);
        for n in 0..over {
            if let Some(count) = self.counts.get_mut(slot(part - n)) {
                *count = 0;
            }
        }
        self.part = self.part.max(part);
    }

    fn at(mut self, now: Timestamp) -> u32 {
        self.go_to(now.0 / PART_MS);
        self.sum()
    }

    fn sum(&self) -> u32 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

fn slot(part: u64) -> usize {
    (part % PARTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn an_hour_is_counted_and_then_forgotten_little_by_little() {
        let mut hour = LastHour::new(10);
        for n in 0..6 {
            assert_eq!(hour.count("anna", NOW.plus_ms(n * 600_000)), n as u32 + 1);
        }
        assert_eq!(hour.of("anna", NOW.plus_ms(3_000_000)), 6);
        assert_eq!(hour.of("boris", NOW), 0);
        assert_eq!(hour.of("anna", NOW.plus_ms(3_600_000)), 5);
        assert_eq!(hour.of("anna", NOW.plus_ms(4_800_000)), 3);
        assert_eq!(hour.of("anna", NOW.plus_ms(10_000_000)), 0);
        assert_eq!(hour.count("anna", NOW.plus_ms(10_000_000)), 1);
    }

    #[test]
    fn guesses_at_other_logins_hide_nothing() {
        let mut hour = LastHour::new(4);
        for n in 1..=50 {
            let counted = hour.count("anna", NOW);
            assert!(counted >= n, "{counted} of {n}");
            // Each time others that have more than anna at first.
            for other in 0..4 {
                hour.count(&format!("other-{n}-{other}"), NOW);
                hour.count(&format!("other-{n}-{other}"), NOW);
            }
            assert!(hour.of.len() <= 4);
        }
        let later = NOW.plus_ms(4_000_000);
        hour.count("later", later);
        assert_eq!(hour.of.len(), 1, "what is over is forgotten first");
    }

    #[test]
    fn a_clock_that_goes_back_breaks_nothing() {
        let mut hour = LastHour::new(4);
        hour.count("anna", NOW);
        assert_eq!(hour.count("anna", Timestamp(NOW.0 - 1_000_000)), 2);
        assert_eq!(hour.of("anna", NOW), 2);
    }
}

//! The one clock of a process: wall time read at its start, carried on by the monotonic clock, so
//! that it never steps back. A wall clock that is corrected meanwhile is followed: ours goes a tenth
//! faster or slower until both agree (`docs/decisions/0012-time.md`). Nothing that is read from a
//! store moves it.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;
use crate::storage::ClockTrust;

use super::limits::{CLOCK_FOLLOWS_PERMILLE, CLOCK_LOOKS_EVERY_MS};

/// See the module.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    course: RwLock<Course>,
}

/// How the clock goes between two looks at the wall clock: pure arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Course {
    /// When it was set, ms since the start.
    set_at: u64,
    /// What the clock said then, ms.
    said: u64,
    /// How many ms it goes on within a second.
    permille: u64,
}

impl Course {
    /// What the clock says so many ms after the start. Past the next look, should that be late, it
    /// goes as time goes.
    fn now(&self, gone: u64) -> u64 {
        let since = gone.saturating_sub(self.set_at);
        let steered = since.min(CLOCK_LOOKS_EVERY_MS);
        self.said + steered * self.permille / 1_000 + (since - steered)
    }

    /// The course from now on, given what the wall clock says. It begins where this one is.
    fn steered(&self, gone: u64, wall: u64) -> Self {
        let said = self.now(gone);
        let most = CLOCK_FOLLOWS_PERMILLE;
        let permille = match wall.checked_sub(said) {
            Some(ahead) => 1_000 + ahead.min(most),
            None => 1_000 - (said - wall).min(most),
        };
        Self { set_at: gone, said, permille }
    }
}

#[allow(clippy::disallowed_methods, reason = "the outermost layer reads the time")]
fn wall() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)
}

impl Clock {
    /// Reads the wall clock.
    #[allow(clippy::disallowed_methods, reason = "the outermost layer reads the time")]
    pub fn start() -> Self {
        let course = Course { set_at: 0, said: wall(), permille: 1_000 };
        Self { started: Instant::now(), course: RwLock::new(course) }
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        let gone = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let course = *self.course.read().unwrap_or_else(PoisonError::into_inner);
        if gone < course.set_at + CLOCK_LOOKS_EVERY_MS {
            return Timestamp(course.now(gone));
        }
        let mut course = self.course.write().unwrap_or_else(PoisonError::into_inner);
        if gone >= course.set_at + CLOCK_LOOKS_EVERY_MS {
            *course = course.steered(gone, wall());
        }
        Timestamp(course.now(gone))
    }

    /// How long until `at`; zero when it has passed.
    pub fn until(&self, at: Timestamp) -> Duration {
        Duration::from_millis(at.since_ms(self.now()))
    }
}

/// What is thought of the clock, for [`doubt`](super::doubt).
pub(super) struct ClockDoubt {
    /// The latest time that the store knew of when the process started.
    pub(super) newest: Timestamp,
    /// None before the first look.
    pub(super) clock: tokio::sync::Mutex<Option<ClockTrust>>,
}

impl ClockDoubt {
    pub(super) fn new(newest: Timestamp) -> Self {
        Self { newest, clock: tokio::sync::Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    /// Looks for so many seconds at a wall clock that is `ahead` of time, in ms, and answers how far
    /// ours is ahead at each look.
    fn followed(ahead: i64, seconds: u64) -> Vec<i64> {
        let start = 1_000 * HOUR_MS;
        let mut course = Course { set_at: 0, said: start, permille: 1_000 };
        let (mut last, mut all) = (start, Vec::new());
        for gone in (0..=seconds * 1_000).step_by(100) {
            if gone >= course.set_at + CLOCK_LOOKS_EVERY_MS {
                let wall = (start + gone).checked_add_signed(ahead).unwrap_or_default();
                course = course.steered(gone, wall);
            }
            let now = course.now(gone);
            assert!(now >= last, "it never steps back");
            assert!(now - last <= 110, "nor runs away: {} in 100 ms", now - last);
            last = now;
            all.push(now as i64 - (start + gone) as i64);
        }
        all
    }

    #[test]
    fn a_wall_clock_that_was_corrected_is_followed_without_a_jump() {
        for ahead in [2_500, -2_500, 40, -40, 0] {
            let all = followed(ahead, 60);
            assert_eq!(all.last(), Some(&ahead));
            assert!(all.iter().all(|now| (0.min(ahead)..=0.max(ahead)).contains(now)), "{ahead}");
        }
    }

    #[test]
    fn hours_are_followed_over_hours() {
        let hour = HOUR_MS as i64;
        for ahead in [hour, -hour] {
            let all = followed(ahead, 600);
            assert!((59_000..=60_000).contains(&all.last().unwrap().abs()), "a tenth of 600 s");
        }
    }

    #[test]
    fn a_look_that_is_late_runs_no_further_than_it_must() {
        let course = Course { set_at: 0, said: 0, permille: 1_100 };
        assert_eq!(course.now(CLOCK_LOOKS_EVERY_MS * 100), CLOCK_LOOKS_EVERY_MS * 100 + 100);
    }

    #[test]
    fn it_goes_on_with_the_wall_clock() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(clock.until(first.plus_ms(60_000)) <= Duration::from_secs(60));
    }
}

//! How long writes waited lately, from when they were handed over until they were durable: what a
//! backup may not make much worse.
//!
//! While a write waits, whoever asked for it asks for no other, so a standstill would be seen by few.
//! But further ones would have come meanwhile, as often as at other times, and they count.

use std::time::{Duration, Instant};

use crate::storage::sqlite::limits::WAITS_LATELY_WINDOWS;

/// Parts of each doubling of the time that are told apart: a wait is known to an eighth.
const PARTS: usize = 8;

/// Doublings of a microsecond that are told apart: up to some hours, far longer than a call
/// may take.
const DOUBLINGS: usize = 32;

/// Waits by length, and the 99th percentile of the last window that was whole. Fixed in size.
pub(super) struct Waits {
    /// Writes by how long they waited, in this window.
    counts: [Count; PARTS * DOUBLINGS],
    writes: u64,
    since: Instant,
    /// When the latest became durable.
    latest: Instant,
    window: Duration,
    writes_min: u64,
    /// Windows that were whole.
    windows: u64,
    /// Of the latest of them.
    p99: Option<Duration>,
    /// When that began.
    p99_since: Instant,
}

impl Waits {
    /// None yet. A window lasts so long, and until it has so many writes: few say nothing.
    pub fn new(window: Duration, writes_min: u64, now: Instant) -> Self {
        Self {
            counts: [Count::default(); PARTS * DOUBLINGS],
            writes: 0,
            since: now,
            latest: now,
            window,
            writes_min,
            windows: 0,
            p99: None,
            p99_since: now,
        }
    }

    /// So many writes became durable, of which the first had waited this long. They count as it:
    /// none of them waited longer.
    pub fn add(&mut self, writes: u64, wait: Duration, now: Instant) {
        if let Some(count) = self.counts.get_mut(part(wait)) {
            count.writes += writes;
            // What waited beside the batch before counts as its time.
            count.time += wait.min(now.saturating_duration_since(self.latest));
            self.writes += writes;
        }
        self.latest = now;
        let lasted = now.saturating_duration_since(self.since);
        if lasted >= self.window && self.writes >= self.writes_min {
            (self.p99, self.p99_since) = (Some(self.percentile_99(lasted)), self.since);
            self.windows += 1;
            let none = [Count::default(); PARTS * DOUBLINGS];
            (self.counts, self.writes, self.since) = (none, 0, now);
        }
    }

    /// The 99th percentile of the latest whole window, rounded up to the next part.
    pub fn p99(&self) -> Option<Duration> {
        self.p99
    }

    /// The same, unless that window began too long ago to tell of the present.
    pub fn lately(&self, now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(self.p99_since);
        self.p99.filter(|_| age <= self.window.saturating_mul(WAITS_LATELY_WINDOWS))
    }

    /// How many windows were whole.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    fn percentile_99(&self, lasted: Duration) -> Duration {
        let would_have = |count: &Count| {
            let came = self.writes as u128 * count.time.as_micros() / lasted.as_micros().max(1);
            count.writes.max(u64::try_from(came).unwrap_or(u64::MAX))
        };
        let mut above = self.counts.iter().map(would_have).sum::<u64>() / 100;
        for (part, count) in self.counts.iter().enumerate().rev() {
            match above.checked_sub(would_have(count)) {
                Some(left) => above = left,
                None => return end_of(part),
            }
        }
        Duration::ZERO
    }
}

/// Those that waited about as long.
#[derive(Clone, Copy, Default)]
struct Count {
    writes: u64,
    /// For how long together some of them waited.
    time: Duration,
}

/// Where a wait is counted: the first eight microseconds one by one, then eight to a doubling.
fn part(wait: Duration) -> usize {
    let us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
    let doubling = us.max(PARTS as u64).ilog2() - PARTS.ilog2();
    let part = usize::try_from(us >> doubling).unwrap_or(usize::MAX);
    (doubling as usize * PARTS + part).min(PARTS * DOUBLINGS - 1)
}

/// The time below which all are that are counted there.
fn end_of(part: usize) -> Duration {
    let doubling = (part / PARTS).saturating_sub(1);
    let part = (part - doubling * PARTS) as u64;
    Duration::from_micros((part + 1) << doubling)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::limits::WAITS_MIN;

    const WINDOW: Duration = Duration::from_secs(10);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn waits() -> (Waits, Instant) {
        let begun = super::super::now();
        (Waits::new(WINDOW, 1_000, begun), begun)
    }

    #[test]
    fn a_wait_is_counted_where_it_belongs() {
        let mut last = 0;
        for us in 0..100_000 {
            let (wait, part) = (Duration::from_micros(us), part(Duration::from_micros(us)));
            assert!(part == last || part == last + 1, "{us} µs");
            assert!(wait < end_of(part) && end_of(part) <= wait * 9 / 8 + ms(1) / 1_000, "{us} µs");
            last = part;
        }
        assert_eq!(part(Duration::MAX), PARTS * DOUBLINGS - 1);
    }

    #[test]
    fn one_in_a_hundred_may_wait_longer() {
        for (long, expected) in [(10, ms(2)), (11, ms(80))] {
            let (mut waits, begun) = waits();
            waits.add(long, ms(80), begun);
            waits.add(1_000 - long, ms(2), begun + WINDOW);
            let found = waits.p99().unwrap();
            assert!(expected <= found && found <= expected * 9 / 8, "{long}: {found:?}");
        }
    }

    #[test]
    fn a_standstill_counts_for_those_who_would_have_come_meanwhile() {
        for (still, expected) in [(0, ms(1)), (1, ms(1)), (2, ms(80))] {
            let (mut waits, mut now) = waits();
            // 64 writes each ms, from people who wait for each before the next.
            for n in 0..9_900 {
                let wait = if n < still { ms(80) } else { ms(1) };
                now += wait;
                waits.add(64, wait, now);
            }
            waits.add(64, ms(1), now + ms(200));
            let found = waits.p99().unwrap();
            assert!(expected <= found && found <= expected * 9 / 8, "{still}: {found:?}");
        }
    }

    #[test]
    fn a_window_is_whole_with_its_time_and_its_writes() {
        let (mut waits, begun) = waits();
        waits.add(5_000, ms(80), begun + WINDOW - ms(1));
        assert_eq!((waits.windows(), waits.p99()), (0, None), "it has not lasted");
        waits.add(1, ms(80), begun + WINDOW);
        assert_eq!(waits.windows(), 1);
        let second = begun + WINDOW * 3;
        waits.add(999, ms(1), second);
        assert_eq!(waits.windows(), 1, "too few");
        assert!(waits.p99() > Some(ms(79)), "the one before");
        waits.add(1, ms(1), second);
        assert!(waits.windows() == 2 && waits.p99() < Some(ms(2)), "nothing of the one before");
    }

    #[test]
    fn ten_writes_a_second_are_judged_with_each_window() {
        let begun = super::super::now();
        let mut waits = Waits::new(WINDOW, WAITS_MIN, begun);
        for n in 1..=200 {
            waits.add(1, ms(80), begun + ms(100) * n);
        }
        assert_eq!(waits.windows(), 2);
    }

    #[test]
    fn what_writes_waited_long_ago_says_nothing_of_the_present() {
        let (mut waits, begun) = waits();
        assert_eq!(waits.lately(begun), None, "nobody wrote yet");
        waits.add(1_000, ms(80), begun + WINDOW);
        let last = begun + WINDOW * WAITS_LATELY_WINDOWS;
        assert_eq!(waits.lately(last), waits.p99());
        assert_eq!(waits.lately(last + ms(1)), None);
        // Some writes of a storm count in the window that the morning makes whole.
        waits.add(1, ms(80), begun + WINDOW);
        waits.add(999, ms(80), last + WINDOW * 2);
        assert!(waits.windows() == 2 && waits.lately(last + WINDOW * 2).is_none());
    }
}

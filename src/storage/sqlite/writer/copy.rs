//! A backup: a copy in slices, between commits.
//!
//! Who writes goes first: a slice is copied when its share of the time is due and nothing waits, or,
//! where writes wait all the time, after the longest pause. What writes wait is measured before and
//! beside it, and when that is too much worse, the backup is given up.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio::sync::watch;

use crate::storage::sqlite::backup::{Answer, BackupBounds, Job, Progress};
use crate::storage::sqlite::damage::{is_damage, told};
use crate::storage::sqlite::limits::{
    BACKUP_AHEAD_AGAIN, BACKUP_PAUSE_FACTOR, BACKUP_PAUSE_MAX, BACKUP_PAUSE_SLOW_MAX,
    BACKUP_SLICE_PAGES,
};
use crate::storage::sqlite::write_back::WriteBack;

use super::waits::Waits;
use super::{Writer, now};

impl Writer {
    /// Makes the copy that was asked for. Errors only when the store has failed meanwhile.
    pub(super) fn back_up(&mut self) -> rusqlite::Result<()> {
        let Some(job) = self.backup.take() else { return Ok(()) };
        let Job { mut to, mut file, progress, answer } = *job;
        let before = self.waits.lately(now());
        let bounds = self.backup_bounds;
        let beside = Waits::new(bounds.window, bounds.window_writes, now());
        // The waits beside a backup are no measure for the next one.
        let lately = std::mem::replace(&mut self.waits, beside);
        let cost = Cost::beside(before, &bounds);
        let copied = self.copy(&mut to, &mut file, cost, &progress, &answer);
        self.waits = lately;
        let _ = answer.send(copied?.map(|()| (to, file)));
        Ok(())
    }

    /// Copies slice by slice and serves what comes in between.
    fn copy(
        &mut self,
        to: &mut Connection,
        file: &mut WriteBack,
        mut cost: Cost,
        progress: &watch::Sender<Progress>,
        answer: &Answer,
    ) -> rusqlite::Result<Result<(), String>> {
        let from = Rc::clone(&self.connection);
        let copying = match Backup::new(&from, to) {
            Ok(copying) => copying,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let (mut copied, mut left) = (0, u64::MAX);
        loop {
            let mut took = BACKUP_AHEAD_AGAIN;
            if file.keeps_up(copied) {
                let slice = now();
                let stepped = copying.step(BACKUP_SLICE_PAGES);
                took = slice.elapsed();
                let pages = copying.progress();
                let of = u64::from(pages.pagecount.max(0).unsigned_abs());
                left = u64::from(pages.remaining.max(0).unsigned_abs());
                copied = of.saturating_sub(left);
                progress.send_replace(Progress { done: copied, of });
                match stepped {
                    Ok(StepResult::Done) => return Ok(Ok(())),
                    // Locked by another process: tried again.
                    Ok(_) => {}
                    Err(error) if is_damage(&error) => {
                        self.damage.note(&error);
                        let advice = "start again: what can be rebuilt is rebuilt then";
                        return Ok(Err(format!("{}; {advice}", told(&error))));
                    }
                    Err(error) => return Ok(Err(error.to_string())),
                }
            }
            if file.has_failed() {
                // Its end has the error.
                return Ok(Ok(()));
            }
            if let Some(why) = self.too_dear(&mut cost, left, answer) {
                return Ok(Err(why));
            }
            if !self.serve_for(took)? {
                return Ok(Err("the store is being closed".to_owned()));
            }
        }
    }

    /// Why the backup under way, with so many pages left, is to be given up, if it is.
    fn too_dear(&self, cost: &mut Cost, left: u64, answer: &Answer) -> Option<String> {
        let bounds = self.backup_bounds;
        if answer.is_closed() {
            return Some("nobody waits for it".to_owned());
        }
        if self.wal_pages.load(Relaxed) >= bounds.wal_pages_max {
            let why = "the log of writes grew too long beside it; try when less is written";
            return Some(why.to_owned());
        }
        if cost.stands_still(left, now()) {
            let why = "it came no nearer to its end for too long: its disk hangs, or the store grows \
                       as fast; copy to another disk, or when less is written";
            return Some(why.to_owned());
        }
        cost.judge(self.waits.windows(), self.waits.p99()?)
    }

    /// Serves what comes, until the pause after a slice that took this long is over and nothing
    /// waits; false when nothing can come any more.
    fn serve_for(&mut self, took: Duration) -> rusqlite::Result<bool> {
        let begun = now();
        // As long again when nobody writes: somebody might.
        let mut pause = took.min(BACKUP_PAUSE_MAX);
        let (share, longest) = pause_beside_writes(took);
        loop {
            let left = pause.saturating_sub(begun.elapsed());
            match self.queue.recv_timeout(left) {
                Ok(first) => self.serve(first)?,
                Err(RecvTimeoutError::Timeout) => return Ok(true),
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
            pause = share;
            if let Some(job) = self.backup.take() {
                job.refuse("another backup is under way");
            }
            if begun.elapsed() >= longest {
                return Ok(true);
            }
        }
    }
}

/// The pause after a slice that took this long while somebody writes: its length when nothing waits
/// at its end, and at most, when something always waits.
fn pause_beside_writes(took: Duration) -> (Duration, Duration) {
    let share = took.saturating_mul(BACKUP_PAUSE_FACTOR).min(BACKUP_PAUSE_SLOW_MAX);
    (share, share.max(BACKUP_PAUSE_MAX))
}

/// What a backup under way costs.
struct Cost {
    /// The fewest pages that were left.
    left: u64,
    /// Since when they are.
    left_since: Instant,
    /// How long they may be.
    still_max: Duration,
    /// What one write in a hundred may wait.
    wait_limit: Duration,
    /// Windows that were judged.
    judged: u64,
    /// The latest of them, in succession, in which writes waited longer.
    too_long: u64,
    /// How many of these are too many.
    too_long_max: u64,
}

impl Cost {
    /// Nothing yet, after writes of which one in a hundred waited this long; unknown when there were
    /// few.
    fn beside(before: Option<Duration>, bounds: &BackupBounds) -> Self {
        let before = before.unwrap_or_default().max(bounds.wait_least);
        Self {
            left: u64::MAX,
            left_since: now(),
            still_max: bounds.still_max,
            wait_limit: before.saturating_mul(bounds.wait_factor),
            judged: 0,
            too_long: 0,
            too_long_max: bounds.windows_max,
        }
    }

    /// Whether it came no nearer to its end for too long, with so many pages left now.
    fn stands_still(&mut self, left: u64, now: Instant) -> bool {
        if left < self.left {
            (self.left, self.left_since) = (left, now);
        }
        now.saturating_duration_since(self.left_since) > self.still_max
    }

    /// Why it is too dear, with so many windows and the 99th percentile of the latest.
    fn judge(&mut self, windows: u64, p99: Duration) -> Option<String> {
        if windows == self.judged {
            return None;
        }
        self.judged = windows;
        self.too_long = if p99 > self.wait_limit { self.too_long + 1 } else { 0 };
        (self.too_long >= self.too_long_max).then(|| {
            format!(
                "beside it one write in a hundred waited {} ms or longer, and {} ms are borne; try \
                 when less is written, or copy to another disk",
                p99.as_millis(),
                self.wait_limit.as_millis()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn beside_writes_a_slice_takes_an_eighth_of_the_time_however_slow_it_is() {
        for took in [0, 1, 7, 8, 20, 1_000, 1_400].map(ms) {
            let (share, longest) = pause_beside_writes(took);
            assert!(longest >= share && share >= took * 7, "{took:?}");
            assert!(longest == share || longest <= ms(50), "{took:?}: it goes on");
        }
    }

    #[test]
    fn a_disk_that_hung_once_holds_a_backup_up_for_seconds() {
        assert_eq!(pause_beside_writes(ms(60_000)), (ms(10_000), ms(10_000)));
        assert_eq!(pause_beside_writes(Duration::MAX), (ms(10_000), ms(10_000)));
    }

    #[test]
    fn a_backup_may_take_days_while_it_comes_nearer_to_its_end() {
        let mut cost = Cost::beside(None, &BackupBounds::default());
        let (begun, hour) = (cost.left_since, Duration::from_secs(3_600));
        assert!((1..100).all(|n| !cost.stands_still(1_000 - u64::from(n), begun + hour * n)));
        // The store grows as fast as it is copied, or nothing is copied at all.
        assert!(!cost.stands_still(2_000, begun + hour * 100));
        assert!(cost.stands_still(901, begun + hour * 100 + ms(1)));
    }

    /// What is said of windows with these 99th percentiles, ms, after one in the first.
    fn judged(before: Option<u64>, beside: &[u64]) -> Vec<bool> {
        let mut cost = Cost::beside(before.map(ms), &BackupBounds::default());
        let windows = (1..).zip(beside);
        windows.map(|(n, p99)| cost.judge(n, ms(*p99)).is_some()).collect()
    }

    #[test]
    fn writes_may_wait_twice_as_long_as_before() {
        assert_eq!(judged(Some(80), &[160, 160, 160]), [false; 3]);
        assert_eq!(judged(Some(80), &[161, 161]), [false, true]);
    }

    #[test]
    fn waits_that_nobody_notices_are_borne_whatever_they_were_before() {
        for before in [None, Some(1)] {
            assert_eq!(judged(before, &[100, 100, 100]), [false; 3]);
            assert_eq!(judged(before, &[101, 101]), [false, true]);
        }
    }

    #[test]
    fn one_hiccup_of_the_disk_is_borne_and_a_window_is_judged_once() {
        assert_eq!(judged(None, &[900, 20, 900, 20]), [false; 4]);
        let mut cost = Cost::beside(None, &BackupBounds::default());
        assert!((0..9).all(|_| cost.judge(1, ms(900)).is_none()));
        assert!(cost.judge(2, ms(900)).unwrap().contains("waited 900 ms or longer, and 100 ms"));
    }
}

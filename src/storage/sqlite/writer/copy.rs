//! A backup: a copy in slices, between commits.
//!
//! Who writes goes first: a slice is copied when nothing waits, or when nothing was copied for the
//! longest pause. What writes wait is measured before and beside it, and when that is too much worse,
//! the backup is given up.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio::sync::watch;

use crate::storage::sqlite::backup::{Answer, BackupBounds, Job, Progress};
use crate::storage::sqlite::limits::{
    BACKUP_AHEAD_AGAIN, BACKUP_MAX, BACKUP_PAUSE_FACTOR, BACKUP_PAUSE_MAX, BACKUP_SLICE_PAGES,
};
use crate::storage::sqlite::write_back::WriteBack;

use super::waits::Waits;
use super::{Writer, now};

impl Writer {
    /// Makes the copy that was asked for. Errors only when the store has failed meanwhile.
    pub(super) fn back_up(&mut self) -> rusqlite::Result<()> {
        let Some(job) = self.backup.take() else { return Ok(()) };
        let Job { mut to, mut file, progress, answer } = *job;
        let before = self.waits.p99();
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
        let mut copied = 0;
        loop {
            let mut took = BACKUP_AHEAD_AGAIN;
            if file.keeps_up(copied) {
                let slice = now();
                let stepped = copying.step(BACKUP_SLICE_PAGES);
                took = slice.elapsed();
                let pages = copying.progress();
                let [left, of] = [pages.remaining, pages.pagecount];
                let [left, of] = [left, of].map(|pages| u64::from(pages.max(0).unsigned_abs()));
                copied = of.saturating_sub(left);
                progress.send_replace(Progress { done: copied, of });
                match stepped {
                    Ok(StepResult::Done) => return Ok(Ok(())),
                    // Locked by another process: tried again.
                    Ok(_) => {}
                    Err(error) => return Ok(Err(error.to_string())),
                }
            }
            if file.has_failed() {
                // Its end has the error.
                return Ok(Ok(()));
            }
            if let Some(why) = self.too_dear(&mut cost, answer) {
                return Ok(Err(why));
            }
            if !self.serve_for(took)? {
                return Ok(Err("the store is being closed".to_owned()));
            }
        }
    }

    /// Why the backup under way is to be given up, if it is.
    fn too_dear(&self, cost: &mut Cost, answer: &Answer) -> Option<String> {
        let bounds = self.backup_bounds;
        if answer.is_closed() {
            return Some("nobody waits for it".to_owned());
        }
        if self.wal_pages.load(Relaxed) >= bounds.wal_pages_max {
            let why = "the log of writes grew too long beside it; try when less is written";
            return Some(why.to_owned());
        }
        if cost.begun.elapsed() > BACKUP_MAX {
            return Some("it took too long".to_owned());
        }
        cost.judge(self.waits.windows(), self.waits.p99()?)
    }

    /// Serves what comes, until the pause after a slice that took this long is over and nothing
    /// waits; false when nothing can come any more.
    fn serve_for(&mut self, took: Duration) -> rusqlite::Result<bool> {
        let begun = now();
        // As long again when nobody writes: somebody might.
        let mut pause = took;
        loop {
            let left = pause.min(BACKUP_PAUSE_MAX).saturating_sub(begun.elapsed());
            match self.queue.recv_timeout(left) {
                Ok(first) => self.serve(first)?,
                Err(RecvTimeoutError::Timeout) => return Ok(true),
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
            pause = took * BACKUP_PAUSE_FACTOR;
            if let Some(job) = self.backup.take() {
                job.refuse("another backup is under way");
            }
            if begun.elapsed() >= BACKUP_PAUSE_MAX {
                return Ok(true);
            }
        }
    }
}

/// What a backup under way costs.
struct Cost {
    begun: Instant,
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
            begun: now(),
            wait_limit: before.saturating_mul(bounds.wait_factor),
            judged: 0,
            too_long: 0,
            too_long_max: bounds.windows_max,
        }
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

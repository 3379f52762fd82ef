//! A backup: a copy in slices, between commits.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio::sync::watch;

use crate::storage::sqlite::backup::{Answer, Job, Progress};
use crate::storage::sqlite::limits::{BACKUP_MAX, BACKUP_PAUSE_MIN, BACKUP_SLICE_PAGES};

use super::{Writer, now};

impl Writer {
    /// Makes the copy that was asked for. Errors only when the store has failed meanwhile.
    pub(super) fn back_up(&mut self) -> rusqlite::Result<()> {
        let Some(job) = self.backup.take() else { return Ok(()) };
        let Job { mut to, progress, answer } = *job;
        let copied = self.copy(&mut to, &progress, &answer)?;
        let _ = answer.send(copied.map(|()| to));
        Ok(())
    }

    /// Copies slice by slice and serves what waits in between: for at least as long as the slice
    /// took, so that half of the time is that of who writes.
    fn copy(
        &mut self,
        to: &mut Connection,
        progress: &watch::Sender<Progress>,
        answer: &Answer,
    ) -> rusqlite::Result<Result<(), String>> {
        let from = Rc::clone(&self.connection);
        let copying = match Backup::new(&from, to) {
            Ok(copying) => copying,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let (begun, mut slow) = (now(), 0);
        loop {
            let slice = now();
            let stepped = copying.step(BACKUP_SLICE_PAGES);
            let took = slice.elapsed();
            let pages = copying.progress();
            let [left, of] = [pages.remaining, pages.pagecount];
            let [left, of] = [left, of].map(|pages| u64::from(pages.max(0).unsigned_abs()));
            progress.send_replace(Progress { done: of.saturating_sub(left), of });
            match stepped {
                Ok(StepResult::Done) => return Ok(Ok(())),
                // Locked by another process: tried again.
                Ok(_) => {}
                Err(error) => return Ok(Err(error.to_string())),
            }
            slow = if took > self.backup_bounds.slice_slow { slow + 1 } else { 0 };
            if let Some(why) = self.too_dear(slow, begun.elapsed(), answer) {
                return Ok(Err(why.to_owned()));
            }
            if !self.serve_for(took.max(BACKUP_PAUSE_MIN))? {
                return Ok(Err("the store is being closed".to_owned()));
            }
        }
    }

    /// Why the backup under way is to be given up, if it is.
    fn too_dear(&self, slow: u32, lasts: Duration, answer: &Answer) -> Option<&'static str> {
        if answer.is_closed() {
            Some("nobody waits for it")
        } else if slow >= self.backup_bounds.slow_max {
            Some("the disk is too slow for it beside the writes; try when less is written")
        } else if self.wal_pages.load(Relaxed) >= self.backup_bounds.wal_pages_max {
            Some("the log of writes grew too long beside it; try when less is written")
        } else {
            (lasts > BACKUP_MAX).then_some("it took too long")
        }
    }

    /// Serves what comes within this time; false when nothing can come any more.
    fn serve_for(&mut self, time: Duration) -> rusqlite::Result<bool> {
        let begun = now();
        loop {
            let left = time.saturating_sub(begun.elapsed());
            match self.queue.recv_timeout(left) {
                Ok(first) => self.serve(first)?,
                Err(RecvTimeoutError::Timeout) => return Ok(true),
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
            if let Some(job) = self.backup.take() {
                job.refuse("another backup is under way");
            }
            if left.is_zero() {
                return Ok(true);
            }
        }
    }
}

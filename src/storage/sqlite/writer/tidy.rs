//! What the writer does while nobody waits for it: folds, checkpoints, gives space back, and cuts what
//! was forgotten out of the WAL.

use std::sync::atomic::Ordering::Relaxed;

use crate::storage::sqlite::damage::is_busy;
use crate::storage::sqlite::limits::{
    BUSY_MAX, CHECKPOINT_WAIT_FACTOR, GIVE_BACK_PAGES, SCRUB_AGAIN, SCRUB_WAIT,
};
use crate::storage::sqlite::sql;

use super::{Writer, now};

impl Writer {
    /// What is done between commits, while nobody waits for it.
    pub(super) fn tidy(&mut self) -> rusqlite::Result<()> {
        if self.recent.events() >= self.fold_at {
            self.fold()?;
        }
        // What another process has locked stays due.
        if self.give_back_due {
            match sql::give_back(&self.connection, GIVE_BACK_PAGES) {
                Err(error) if is_busy(&error) => {}
                left => self.give_back_due = left? > 0,
            }
        }
        if self.scrub_due.is_some_and(|at| at <= now()) {
            self.scrub()?;
        }
        let pages = self.wal_pages.load(Relaxed);
        if pages < self.checkpoint_least {
            self.checkpoint_at = self.checkpoint_least;
        }
        if pages < self.checkpoint_at {
            return Ok(());
        }
        let patience = self.checkpoint_least.saturating_mul(CHECKPOINT_WAIT_FACTOR);
        let mode = if pages < patience { "PASSIVE" } else { "RESTART" };
        self.connection.busy_timeout(BUSY_MAX)?;
        let begun = now();
        let done = sql::checkpoint(&self.connection, mode);
        self.connection.busy_timeout(self.lock_wait)?;
        match done {
            // Another process has it; the WAL keeps everything meanwhile.
            Err(error) if is_busy(&error) => {}
            done => {
                done?;
                self.counters.checkpoint_done(begun.elapsed());
            }
        }
        // If a reader keeps the WAL from starting over, the next one waits until it is worth its
        // fsync. Else the WAL is short after the next commit.
        self.checkpoint_at = pages + self.checkpoint_least / 4;
        Ok(())
    }

    /// The WAL has what it had of a forgotten chat until it is cut. Who reads an older state keeps it
    /// from being cut, and is not waited for long.
    fn scrub(&mut self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(SCRUB_WAIT)?;
        let begun = now();
        let done = sql::checkpoint(&self.connection, "TRUNCATE");
        self.connection.busy_timeout(self.lock_wait)?;
        let cut = match done {
            Err(error) if is_busy(&error) => false,
            done => done?,
        };
        self.scrub_due = (!cut).then(|| now() + SCRUB_AGAIN);
        if cut {
            self.counters.checkpoint_done(begun.elapsed());
            self.wal_pages.store(0, Relaxed);
        }
        Ok(())
    }

    /// Moves the tail into the index. The readers find it in either until it is committed.
    fn fold(&mut self) -> rusqlite::Result<()> {
        let (events, runs) = (self.recent.events(), self.recent.sorted());
        let begun = now();
        if !self.began()? {
            return Ok(());
        }
        sql::fold(&self.connection, &runs, self.last_position)?;
        self.statement("COMMIT")?;
        self.recent.clear();
        self.counters.fold_done(events as u64, begun.elapsed());
        Ok(())
    }
}

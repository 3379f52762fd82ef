//! The one thread that writes: it takes what waits, commits once, answers all, and before the next batch waits
//! a little for those who have not heard their answer yet ([`mod@answer`]).
//!
//! Invariants:
//! - An answer leaves after the commit that it depends on is durable, also the answer of a claim
//!   or of a refusal: what they report may stand in the same batch.
//! - An append is checked before it enters the batch, so a bad one fails alone.
//! - A batch whose transaction did not begin has written nothing, and is refused.
//! - After SQLite or the disk failed once, nothing is written, synced or checkpointed again: the
//!   kernel may have dropped the pages that it could not write, and a second fsync would answer
//!   that all is well. Those in the batch do not know their outcome, those behind it were not
//!   touched, and whoever watches [`StoreFailure`] ends the process.

mod answer;
mod copy;
mod tidy;
mod waits;
mod write;

use std::collections::HashMap;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::watch;

use crate::domain::{ChatId, Seq};
use crate::storage::{AppendError, Claim, Claimed, StoreError};

use super::backup::{BackupBounds, Job};
use super::claims::Claims;
use super::counters::Counters;
use super::damage::{Damage, is_busy, is_damage};
use super::limits::{BATCH_MAX, BATCH_MAX_BYTES, FORGET_EVENTS, TIDY_AGAIN};
use super::log_rows::{LogRows, Unverified};
use super::open::Opened;
use super::recent::{Entry, Position, Recent};
use super::sql::ReadError;
use super::{SqliteOptions, StoreFailure, sql};

use answer::Answers;
use waits::Waits;

pub(super) use answer::{Answer, answer};
pub(super) use write::{Append, Queued, RowWrite, Waiting, Write};

/// The writer's thread and all that it owns.
pub(super) struct Writer {
    /// Shared with a backup under way, in this thread.
    connection: Rc<Connection>,
    queue: Receiver<Queued>,
    claims: Claims,
    recent: Arc<Recent>,
    last_position: Position,
    fold_at: usize,
    wal_pages: Arc<AtomicU32>,
    /// Pages from which a checkpoint is due at all.
    checkpoint_least: u32,
    /// Pages from which the next one is; more, when a reader held one up.
    checkpoint_at: u32,
    /// A chat was forgotten, and the WAL still has it; since when its removal may be tried.
    scrub_due: Option<Instant>,
    /// Pages may be free that are not given back.
    give_back_due: bool,
    /// The backup that was asked for.
    backup: Option<Box<Job>>,
    /// How many writes the last batch had.
    last_batch: usize,
    /// Their answers.
    answers: Answers,
    /// How long writes wait; those beside a backup are measured by themselves.
    waits: Waits,
    counters: Arc<Counters>,
    damage: Arc<Damage>,
    /// Reads rows of the log whose pages are damaged.
    unverified: Unverified,
    lock_wait: Duration,
    gather_max: Duration,
    backup_bounds: BackupBounds,
    failed: watch::Sender<Option<StoreFailure>>,
    /// Held as long as the thread may write.
    _lock: File,
}

/// The last events of chats, or why nobody knows.
type Tails = HashMap<ChatId, Result<Seq, StoreError>>;

/// One batch under way.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    waiting: Vec<Waiting>,
    appends: u64,
    /// Chats to be dropped from the tail.
    forgotten: Vec<ChatId>,
}

impl Writer {
    /// Writes until all senders are gone or the store has failed.
    pub fn run_with(
        opened: Opened,
        shared: (Arc<Recent>, SqliteOptions, Arc<Counters>),
        queue: Receiver<Queued>,
        failed: watch::Sender<Option<StoreFailure>>,
    ) {
        match Self::new(opened, shared, queue, failed.clone()) {
            Ok(writer) => writer.run(),
            Err(error) => {
                failed.send_replace(Some(StoreFailure::from(&error)));
            }
        }
    }

    fn new(
        mut opened: Opened,
        (recent, options, counters): (Arc<Recent>, SqliteOptions, Arc<Counters>),
        queue: Receiver<Queued>,
        failed: watch::Sender<Option<StoreFailure>>,
    ) -> rusqlite::Result<Self> {
        let bounds = options.backup_bounds;
        let wal_pages = Arc::new(AtomicU32::new(0));
        let pages = Arc::clone(&wal_pages);
        opened.connection.busy_timeout(options.lock_wait)?;
        // Takes the place of SQLite's own checkpoints, which would run before the answers.
        opened.connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, in_wal: i32| {
            pages.store(in_wal.unsigned_abs(), Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            connection: Rc::new(opened.connection),
            queue,
            claims: Claims::new(opened.life),
            recent,
            last_position: opened.last_position,
            fold_at: options.fold_at,
            wal_pages,
            checkpoint_least: options.checkpoint_at_pages,
            checkpoint_at: options.checkpoint_at_pages,
            scrub_due: (!opened.wal_cut).then(now),
            give_back_due: true,
            backup: None,
            last_batch: 0,
            answers: Answers::default(),
            waits: Waits::new(bounds.window, bounds.window_writes, now()),
            counters,
            damage: opened.damage,
            unverified: opened.unverified,
            lock_wait: options.lock_wait,
            gather_max: options.gather_max,
            backup_bounds: bounds,
            failed,
            _lock: opened.lock,
        })
    }

    fn run(mut self) {
        loop {
            let done = match self.next() {
                Ok(first) => self.serve(first).and_then(|()| self.back_up()),
                Err(RecvTimeoutError::Timeout) => self.tidy(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = done {
                self.fail(&error);
                return;
            }
        }
        // A start then finds nothing to recover. If it fails, the WAL still has everything.
        if let Err(error) = sql::checkpoint(&self.connection, "TRUNCATE") {
            self.fail(&error);
        }
    }

    /// The next write, or a timeout when there is something to tidy up meanwhile.
    fn next(&self) -> Result<Queued, RecvTimeoutError> {
        if self.scrub_due.is_some() || self.give_back_due {
            return self.queue.recv_timeout(TIDY_AGAIN);
        }
        self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
    }

    /// A batch from this one on.
    fn serve(&mut self, first: Queued) -> rusqlite::Result<()> {
        let since = first.since;
        self.gather();
        let batch = self.drain(first.write);
        if batch.is_empty() {
            return Ok(());
        }
        self.last_batch = batch.len();
        self.commit(batch, since)?;
        self.tidy()
    }

    /// Those who were answered together ask together, and are given time to: until they have heard their answer,
    /// and then a turn of the system's scheduler to write what follows from it. Nobody who writes alone waits.
    fn gather(&mut self) {
        self.answers.until_heard(self.gather_max);
        if self.last_batch > 1 {
            std::thread::yield_now();
        }
    }

    /// What waits now, up to the bounds of a batch. A backup that is asked for is none of it.
    fn drain(&mut self, first: Write) -> Vec<Write> {
        let (mut bytes, mut batch, mut next) = (0, Vec::new(), Some(first));
        while let Some(write) = next {
            bytes += write.size();
            match write {
                Write::Backup(job) if self.backup.is_none() => self.backup = Some(job),
                Write::Backup(job) => job.refuse("another backup is under way"),
                write => batch.push(write),
            }
            let full = batch.len() >= BATCH_MAX || bytes >= BATCH_MAX_BYTES;
            next = if full { None } else { self.queue.try_recv().ok().map(|next| next.write) };
        }
        batch
    }

    /// Writes and commits a batch and answers everybody in it, whatever happens. The first of it has
    /// waited since then.
    fn commit(&mut self, writes: Vec<Write>, since: Instant) -> rusqlite::Result<()> {
        let begun = now();
        let size = writes.len();
        let mut batch = Batch::default();
        let indexed = self.indexed(&writes);
        if !self.began()? {
            let reason = "another process holds a lock of the database".to_owned();
            tracing::warn!(reason, "writes are refused as unavailable");
            let locked = StoreFailure { reason };
            writes.into_iter().for_each(|write| write.refuse(&locked));
            return Ok(());
        }
        let mut writes = writes.into_iter();
        let outcome = indexed.and_then(|indexed| self.write(&mut writes, &indexed, &mut batch));
        match &outcome {
            Ok(()) => {
                let events = batch.entries.len() as u64;
                self.counters.batch_done(size, batch.appends, events, begun.elapsed());
                self.waits.add(size as u64, since.elapsed(), now());
                // Each continues its chat's log: that was checked before it was written.
                let added = self.recent.add(batch.entries);
                debug_assert_eq!(added, Ok(()));
                for chat in batch.forgotten {
                    self.recent.remove(chat);
                }
                let unheard = self.answers.begin();
                for waiting in batch.waiting {
                    waiting(Ok(&unheard));
                }
            }
            Err(error) => {
                let failure = self.report(error);
                for waiting in batch.waiting {
                    waiting(Err(&failure));
                }
                for untouched in writes {
                    untouched.refuse(&failure);
                }
            }
        }
        outcome
    }

    /// Runs the writes in the transaction, and ends it. Whichever fails drops its sender, and its caller takes
    /// that as an unknown outcome; those after it stay in `writes`.
    fn write(
        &mut self,
        writes: &mut impl Iterator<Item = Write>,
        indexed: &Tails,
        batch: &mut Batch,
    ) -> rusqlite::Result<()> {
        for write in writes {
            match write {
                Write::Claim { chat, answer } => {
                    let claimed = self.claim(chat, indexed)?;
                    batch.waiting.push(Box::new(move |committed| {
                        answer.settle(committed, claimed, |failure| Err(failure.unavailable()));
                    }));
                }
                Write::Forget { chat, answer } => {
                    let more = self.forget(chat, batch)?;
                    batch.waiting.push(Box::new(move |committed| {
                        answer.settle(committed, Ok(more), |failure| Err(failure.unavailable()));
                    }));
                }
                Write::Append(append, answer) => {
                    let appended = self.append(append, batch)?;
                    batch.waiting.push(Box::new(move |committed| {
                        answer.settle(committed, appended, |failure| Err(failure.unknown()));
                    }));
                }
                Write::Rows(write) => {
                    let waiting = write.run(&self.connection)?;
                    batch.waiting.push(waiting);
                }
                Write::Backup(job) => job.refuse("a backup is in no batch"),
            }
        }
        self.statement("COMMIT")
    }

    /// What the index says of the claimed chats of which neither the claims nor the tail tell. Asked
    /// before the transaction: SQLite commits none in which it has met a damaged page, and one such
    /// page is the trouble of the chats on it, not of all.
    fn indexed(&mut self, writes: &[Write]) -> rusqlite::Result<Tails> {
        let mut tails = Tails::new();
        let log = LogRows { connection: &self.connection, unverified: Some(&self.unverified) };
        for write in writes {
            let Write::Claim { chat, .. } = write else { continue };
            if self.claims.holder(*chat).is_some() || self.recent.last(*chat).is_some() {
                continue;
            }
            let tail = match sql::indexed_tail(log, *chat) {
                Ok(tail) => Ok(tail),
                Err(ReadError::Sqlite(error)) if !is_damage(&error) => return Err(error),
                Err(error) => {
                    self.damage.note_page(&error);
                    let reason = format!("the index of chat {chat}: {error}");
                    Err(StoreError::Damaged { reason })
                }
            };
            tails.insert(*chat, tail);
        }
        Ok(tails)
    }

    fn claim(
        &mut self,
        chat: ChatId,
        indexed: &Tails,
    ) -> rusqlite::Result<Result<Claimed, StoreError>> {
        if sql::is_forgotten(&self.connection, chat)? {
            return Ok(Err(StoreError::Forgotten { chat }));
        }
        let known = self.claims.holder(chat).map(|holder| holder.tail);
        let tail = match known.or_else(|| self.recent.last(chat)) {
            Some(tail) => tail,
            // One whose claim was forgotten within this batch claims again.
            None => match indexed.get(&chat) {
                Some(Ok(tail)) => *tail,
                Some(Err(error)) => return Ok(Err(error.clone())),
                None => {
                    let reason = "too many chats are claimed at once".to_owned();
                    return Ok(Err(StoreError::Unavailable { reason }));
                }
            },
        };
        let epoch = self.claims.take(chat, tail);
        Ok(Ok(Claimed { claim: Claim { chat, epoch }, tail }))
    }

    fn append(
        &mut self,
        append: Append,
        batch: &mut Batch,
    ) -> rusqlite::Result<Result<(), AppendError>> {
        let Claim { chat, epoch } = append.claim;
        let tail = match self.claims.holder(chat) {
            Some(holder) if holder.epoch == epoch => holder.tail,
            Some(_) | None => return Ok(Err(AppendError::Fenced)),
        };
        if !append.whole || append.first != tail + 1 {
            let first = append.first;
            return Ok(Err(AppendError::Conflict { tail, first }));
        }
        let mut last = tail;
        for record in append.records {
            last += 1;
            self.last_position += 1;
            let entry = Entry { chat, seq: last, position: self.last_position };
            sql::append(&self.connection, entry, &record)?;
            batch.entries.push(entry);
        }
        append.beside.write(&self.connection, chat)?;
        self.claims.grown(chat, last);
        batch.appends += 1;
        Ok(Ok(()))
    }

    /// Notes the chat as forgotten and removes what the tail has of it; then runs of the index, so many that it
    /// is a slice. Answers whether there are more. No claim of it is known any more.
    fn forget(&mut self, chat: ChatId, batch: &mut Batch) -> rusqlite::Result<bool> {
        sql::note_forgotten(&self.connection, chat)?;
        self.claims.forget(chat);
        let of_chat = |entry: &Entry| entry.chat == chat;
        let gone = batch.entries.iter().filter(|entry| of_chat(entry));
        let gone: Vec<_> = gone.map(|entry| entry.position).collect();
        batch.entries.retain(|entry| !of_chat(entry));
        sql::remove_rows(&self.connection, chat, gone)?;
        sql::remove_rows(&self.connection, chat, self.recent.positions(chat))?;
        batch.forgotten.push(chat);
        let mut removed = 0;
        while removed < FORGET_EVENTS {
            match sql::remove_run(&self.connection, chat)? {
                Some(events) => removed += events,
                None => {
                    (self.scrub_due, self.give_back_due) = (Some(now()), true);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Begins a transaction; false when another process holds the lock for too long. Nothing has
    /// happened then, unlike after a write or a sync that failed.
    fn began(&self) -> rusqlite::Result<bool> {
        match self.statement("BEGIN IMMEDIATE") {
            Err(error) if is_busy(&error) => Ok(false),
            begun => begun.map(|()| true),
        }
    }

    fn statement(&self, text: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(text)?.execute(()).map(drop)
    }

    /// Says for good that the store has failed. The first reason stays.
    fn report(&self, error: &rusqlite::Error) -> StoreFailure {
        let failure = StoreFailure::from(error);
        self.damage.note(error);
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert_with(|| failure.clone());
            first
        });
        failure
    }

    /// Refuses what still waits: nothing of it was written. What slips in after this is dropped
    /// with the queue, and its caller takes that as an unknown outcome.
    fn fail(&self, error: &rusqlite::Error) {
        let failure = self.report(error);
        while let Ok(Queued { write, .. }) = self.queue.try_recv() {
            write.refuse(&failure);
        }
    }
}

/// For measures, and for how much of the time a backup may take.
#[allow(clippy::disallowed_methods, reason = "nothing that is stored depends on it")]
pub(super) fn now() -> Instant {
    Instant::now()
}

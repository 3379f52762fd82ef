//! The readers: a few threads, each with a connection of its own, beside the writer.
//!
//! Every read is short: each statement sees one snapshot and ends, and one that takes longer than
//! [`READ_MAX`] is interrupted. Else the WAL, which keeps what any snapshot sees, would only grow.
//! A read that panics is its asker's trouble: the reader goes on with another connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use crate::storage::StoreError;

use super::SqliteOptions;
use super::checksums::Pages;
use super::connect::{Access, connect};
use super::counters::Counters;
use super::damage::{Damage, is_damage, told};
use super::limits::{READ_MAX, READ_QUEUE_MAX, READ_STEPS_BETWEEN_CHECKS, READERS};
use super::log_rows::{LogRows, Unverified};
use super::sql::ReadError;

type Job = Box<dyn FnOnce(LogRows<'_>) + Send>;

/// The threads and their queue. Dropping it lets them finish what waits.
pub(super) struct Readers {
    queue: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
    counters: Arc<Counters>,
    damage: Arc<Damage>,
}

impl Readers {
    /// Opens the connections and starts the threads. Errors with what the system says.
    pub fn start(
        options: &SqliteOptions,
        counters: Arc<Counters>,
        damage: Arc<Damage>,
    ) -> Result<Self, String> {
        let (sender, receiver) = sync_channel(READ_QUEUE_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut readers =
            Self { queue: Some(sender), threads: Vec::with_capacity(READERS), counters, damage };
        for n in 0..READERS {
            let (connection, clock) = connect(options, Access::Read, Pages::Verified)
                .and_then(bound_age)
                .map_err(|error| told(&error))?;
            let receiver = Arc::clone(&receiver);
            let mut reader = Reader {
                options: options.clone(),
                connection,
                unverified: Unverified::new(options, Arc::clone(&readers.damage)),
                clock,
                counters: Arc::clone(&readers.counters),
            };
            let thread = std::thread::Builder::new()
                .name(format!("store-read-{n}"))
                .spawn(move || reader.serve(&receiver))
                .map_err(|error| error.to_string())?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs a read on one of the connections.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_log(|log| work(log.connection)).await
    }

    /// The same, with rows of the log that are read although their pages are damaged.
    pub async fn read_log<T: Send + 'static>(
        &self,
        work: impl FnOnce(LogRows<'_>) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let damage = Arc::clone(&self.damage);
        let job: Job = Box::new(move |log| {
            let done = work(log);
            match &done {
                Err(ReadError::Sqlite(error)) => damage.note(error),
                Err(error @ ReadError::Missing(_)) => damage.note_page(error),
                Ok(_) | Err(ReadError::Record(_) | ReadError::Lost(_)) => {}
            }
            let _ = answer.send(done.map_err(StoreError::from));
        });
        let unavailable = |reason: &str| StoreError::Unavailable { reason: reason.to_owned() };
        let queue = self.queue.as_ref().ok_or_else(|| unavailable("it is closed"))?;
        queue.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => {
                self.counters.refused();
                unavailable("too many reads wait")
            }
            TrySendError::Disconnected(_) => unavailable("its readers have ended"),
        })?;
        answered
            .await
            .unwrap_or_else(|_| Err(unavailable("its reader has failed, look at the log")))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// When the read under way began, µs after the thread's start; what the interruption looks at.
struct Clock {
    start: Instant,
    begun_us: Arc<AtomicU64>,
}

impl Clock {
    fn now_us(start: Instant) -> u64 {
        u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn begin(&self) {
        self.begun_us.store(Self::now_us(self.start), Relaxed);
    }

    /// Since the read under way began.
    fn age(&self) -> Duration {
        Duration::from_micros(Self::now_us(self.start).saturating_sub(self.begun_us.load(Relaxed)))
    }
}

fn bound_age(mut connection: Connection) -> rusqlite::Result<(Connection, Clock)> {
    #[allow(clippy::disallowed_methods, reason = "bounds a read's age: no decision rests on it")]
    let start = Instant::now();
    let begun_us = Arc::new(AtomicU64::new(0));
    let begun = Arc::clone(&begun_us);
    let too_old = move || {
        let age_us = Clock::now_us(start).saturating_sub(begun.load(Relaxed));
        u128::from(age_us) > READ_MAX.as_micros()
    };
    connection.progress_handler(READ_STEPS_BETWEEN_CHECKS, Some(too_old))?;
    Ok((connection, Clock { start, begun_us }))
}

/// One thread's share.
struct Reader {
    options: SqliteOptions,
    connection: Connection,
    unverified: Unverified,
    clock: Clock,
    counters: Arc<Counters>,
}

impl Reader {
    fn serve(&mut self, queue: &Mutex<Receiver<Job>>) {
        loop {
            // One waits with the lock, the others for the lock; which one takes a job is all the same.
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else {
                return;
            };
            self.clock.begin();
            // Else a read that panics would take a reader away, and the fourth one all reading.
            let log = LogRows { connection: &self.connection, unverified: Some(&self.unverified) };
            let ended = catch_unwind(AssertUnwindSafe(|| job(log)));
            self.counters.read_done(self.clock.age());
            if ended.is_err() {
                self.begin_anew();
            }
        }
    }

    /// Nobody knows what a panic left in the connection.
    fn begin_anew(&mut self) {
        self.counters.reader_replaced();
        self.unverified.begin_anew();
        match connect(&self.options, Access::Read, Pages::Verified).and_then(bound_age) {
            Ok((connection, clock)) => {
                (self.connection, self.clock) = (connection, clock);
                tracing::error!("a reader of the store panicked and was made anew");
            }
            Err(error) => {
                tracing::error!(%error, "a reader of the store panicked and goes on as it is");
            }
        }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Record(error) => error.into(),
            ReadError::Missing(reason) | ReadError::Lost(reason) => Self::Damaged { reason },
            ReadError::Sqlite(error) => match error.sqlite_error_code() {
                _ if is_damage(&error) => Self::Damaged { reason: told(&error) },
                Some(ErrorCode::OperationInterrupted) => Self::Unavailable {
                    reason: format!("the read took longer than {} s", READ_MAX.as_secs()),
                },
                _ => Self::Unavailable { reason: error.to_string() },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SqliteStore;
    use super::*;

    #[tokio::test]
    #[allow(clippy::panic, reason = "this is what is tested")]
    async fn readers_that_panic_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&SqliteOptions::new(folder.path())).unwrap();
        for _ in 0..3 * READERS {
            let failed = store.readers.read::<()>(|_| panic!("a test says so")).await;
            assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
        }
        for _ in 0..2 * READERS {
            let one =
                |connection: &Connection| Ok(connection.query_row("SELECT 1", (), |r| r.get(0))?);
            assert_eq!(store.readers.read(one).await, Ok(1));
        }
        // A reader counts after its answer: it ends before it is asked.
        let counters = Arc::clone(&store.counters);
        drop(store);
        assert_eq!(counters.readers_replaced(), 3 * READERS as u64);
    }
}

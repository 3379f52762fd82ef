//! What the writer answers, and whether those who asked have heard it.
//!
//! Whoever was answered is woken, and hears it when its thread comes to it. Until the last of a batch has,
//! those threads are behind with their work: a commit in that time would mostly give them more of it, and leave
//! out what they are about to write. So the writer waits for it before it takes the next batch, for a little
//! while.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::thread::{Thread, park_timeout};

use std::time::Duration;

use tokio::sync::oneshot;

use crate::storage::sqlite::StoreFailure;

use super::now;

/// Where one write is answered.
pub(in crate::storage::sqlite) struct Answer<T>(oneshot::Sender<(T, Option<Unheard>)>);

/// Where the answer of one write is heard.
pub(in crate::storage::sqlite) struct Answered<T>(oneshot::Receiver<(T, Option<Unheard>)>);

/// Both ends for one write.
pub(in crate::storage::sqlite) fn answer<T>() -> (Answer<T>, Answered<T>) {
    let (answer, answered) = oneshot::channel();
    (Answer(answer), Answered(answered))
}

impl<T> Answer<T> {
    /// Answers a write of a batch, once it is known how the commit went: with what came of it, or how it failed.
    /// If nobody waits any more, it counts as heard.
    pub fn settle(
        self,
        committed: Committed<'_>,
        done: T,
        failed: impl FnOnce(&StoreFailure) -> T,
    ) {
        let unheard = committed.ok().cloned();
        let _ = self.0.send((committed.map_or_else(failed, |_| done), unheard));
    }

    /// Answers a write that came into no batch.
    pub fn refuse(self, what: T) {
        let _ = self.0.send((what, None));
    }
}

impl<T> Answered<T> {
    /// The answer; none when the writer has ended without one.
    pub async fn heard(self) -> Option<T> {
        self.0.await.ok().map(|(what, _unheard)| what)
    }
}

/// How the commit of a batch went.
pub(in crate::storage::sqlite) type Committed<'a> = Result<&'a Unheard, &'a StoreFailure>;

/// Held by every answer of a batch until it is heard.
pub(in crate::storage::sqlite) type Unheard = Arc<Hearers>;

/// Those of a batch who have not heard their answer; dropped with the last of them.
pub(in crate::storage::sqlite) struct Hearers {
    writer: Thread,
    /// The writer waits for it.
    waited_for: AtomicBool,
}

impl Drop for Hearers {
    fn drop(&mut self) {
        if self.waited_for.load(Relaxed) {
            self.writer.unpark();
        }
    }
}

/// The answers of the latest batch that was committed, as the writer sees them.
#[derive(Default)]
pub(super) struct Answers(Weak<Hearers>);

impl Answers {
    /// A batch is about to be answered, by the writer's own thread.
    pub fn begin(&mut self) -> Unheard {
        let hearers =
            Hearers { writer: std::thread::current(), waited_for: AtomicBool::new(false) };
        let unheard = Arc::new(hearers);
        self.0 = Arc::downgrade(&unheard);
        unheard
    }

    /// Waits until all of them have been heard, but no longer than this; no batch is waited for again.
    pub fn until_heard(&mut self, longest: Duration) {
        let (latest, begun) = (std::mem::take(&mut self.0), now());
        while let Some(last) = latest.upgrade() {
            let left = longest.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            last.waited_for.store(true, Relaxed);
            // It may be the last by now: then it wakes itself, and the wait below does not wait.
            drop(last);
            park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ChatId;
    use crate::storage::sqlite::writer::{Append, Write};
    use crate::storage::sqlite::{Rows, SqliteOptions, SqliteStore};
    use crate::storage::{ChatLog, Claimed, StoreError};

    const LONG: Duration = Duration::from_secs(600);

    /// Hands a write of nothing over.
    fn write(store: &SqliteStore) -> Answered<Result<(), StoreError>> {
        let (answer, answered) = answer();
        let work = |_: &rusqlite::Connection| Ok(Ok(()));
        store.submit(Write::Rows(Box::new(Rows { work, answer }))).unwrap();
        answered
    }

    /// What is written while one has not heard its answer is one commit once it has.
    async fn shares_a_commit<T>(store: &SqliteStore, answered: Answered<T>) {
        let (_, unheard) = answered.0.await.unwrap();
        let unheard = unheard.expect("it is of a batch");
        let committed = store.counters().batches();
        let first = write(store);
        while !unheard.waited_for.load(Relaxed) {
            assert_eq!(store.counters().batches(), committed, "nobody is hurried");
            tokio::task::yield_now().await;
        }
        let second = write(store);
        drop(unheard);
        for written in [first, second] {
            assert_eq!(written.heard().await, Some(Ok(())));
        }
        assert_eq!(store.counters().batches(), committed + 1);
    }

    #[tokio::test]
    async fn what_is_written_while_somebody_has_not_heard_waits_and_shares_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions { gather_max: LONG, ..SqliteOptions::new(folder.path()) };
        let store = SqliteStore::open(&options).unwrap();
        let chat = ChatId::from_u128(1);
        shares_a_commit(&store, write(&store)).await;
        let (given, claimed) = answer();
        store.submit(Write::Claim { chat, answer: given }).unwrap();
        shares_a_commit(&store, claimed).await;
        let Claimed { claim, .. } = store.claim(chat).await.unwrap();
        let (given, appended) = answer();
        let (records, beside) = (vec![vec![1]], Default::default());
        let append = Append { claim, first: 1, whole: true, records, beside };
        store.submit(Write::Append(append, given)).unwrap();
        shares_a_commit(&store, appended).await;
        let (given, forgotten) = answer();
        store.submit(Write::Forget { chat, answer: given }).unwrap();
        shares_a_commit(&store, forgotten).await;
    }

    #[test]
    fn nobody_is_waited_for_before_the_first_batch_and_when_all_have_gone() {
        let mut answers = Answers::default();
        answers.until_heard(LONG);
        let unheard = answers.begin();
        let (given, waiting) = answer::<u8>();
        let (to_nobody, gone) = answer::<u8>();
        drop(gone);
        to_nobody.settle(Ok(&unheard), 1, |_| 0);
        given.settle(Ok(&unheard), 2, |_| 0);
        drop(unheard);
        assert_eq!(answers.0.strong_count(), 1, "one that waits");
        drop(waiting);
        assert_eq!(answers.0.strong_count(), 0);
    }

    #[tokio::test]
    async fn an_answer_is_unheard_until_whoever_waits_has_it() {
        let mut answers = Answers::default();
        let unheard = answers.begin();
        let (given, waiting) = answer();
        given.settle(Ok(&unheard), "written", |_| "failed");
        drop(unheard);
        assert_eq!(answers.0.strong_count(), 1);
        assert_eq!(waiting.heard().await, Some("written"));
        assert_eq!(answers.0.strong_count(), 0);
    }

    #[tokio::test]
    async fn whoever_is_answered_by_nobody_hears_so() {
        let (given, waiting) = answer::<u8>();
        drop(given);
        assert_eq!(waiting.heard().await, None);
    }

    #[test]
    fn the_last_who_hears_wakes_the_writer() {
        let mut answers = Answers::default();
        let unheard = answers.begin();
        let returned = Arc::new(AtomicBool::new(false));
        let has_returned = Arc::clone(&returned);
        // Hears it once the writer waits.
        let hearer = std::thread::spawn(move || {
            while !unheard.waited_for.load(Relaxed) && !has_returned.load(Relaxed) {
                std::thread::yield_now();
            }
            unheard.waited_for.load(Relaxed)
        });
        let (begun, longest) = (now(), Duration::from_secs(60));
        answers.until_heard(longest);
        returned.store(true, Relaxed);
        assert!(hearer.join().unwrap(), "it does not wait");
        assert!(begun.elapsed() < longest / 2, "{:?}", begun.elapsed());
    }

    #[test]
    fn who_never_hears_is_waited_for_no_longer_than_that_and_once() {
        let mut answers = Answers::default();
        let never = answers.begin();
        let longest = Duration::from_millis(4);
        let (ended, end) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            answers.until_heard(longest);
            answers.until_heard(LONG);
            ended.send(answers.0.strong_count())
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(60)), Ok(0));
        drop(never);
    }
}

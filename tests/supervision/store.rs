//! A store around another one that breaks once, at the n-th call, or dies with its process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;

use crate::hooked::{Asked, Call, Hook, Trouble, hooked};

/// What happens at the call that was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The caller panics before the call.
    PanicBefore,
    /// The caller panics after the call took effect.
    PanicAfter,
    /// Refused, nothing happened.
    Refused,
    /// The outcome is not told; it took effect.
    UnknownDone,
    /// The outcome is not told; it took no effect.
    UnknownNotDone,
    /// It is never answered; it took effect.
    SilentDone,
    /// It is never answered; it took no effect.
    SilentNotDone,
    /// It takes effect and is answered, late: for holding an actor where it is.
    Late,
}

pub const BREAKS: [Break; 7] = [
    Break::PanicBefore,
    Break::PanicAfter,
    Break::Refused,
    Break::UnknownDone,
    Break::UnknownNotDone,
    Break::SilentDone,
    Break::SilentNotDone,
];

/// A store that writes rows by themselves, and one that writes them with events.
pub const STORES: [fn(&Arc<MemoryStore>) -> Store; 2] =
    [MemoryStore::store, MemoryStore::store_with_moves];

/// The text of a panic that is meant.
pub const PANIC: &str = "a store that panics";

/// Which calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    All,
    Appends,
    /// Reads of logs.
    Reads,
    /// Writes of watermarks.
    Watermarks,
    /// Reads of watermarks.
    WatermarkReads,
    /// Writes of operators' records.
    Saves,
    /// Reads of operators' records.
    Loads,
}

pub struct Breaking {
    inner: Store,
    calls: AtomicUsize,
    at: AtomicUsize,
    how: Break,
    only: Only,
    fired: AtomicBool,
    /// Who waits here holds a call whose effect is there and whose answer is not.
    pub hold: Option<Arc<Semaphore>>,
    dead: AtomicBool,
    /// Rows are refused from now on; marks are taken.
    no_rows: AtomicBool,
    /// No log can be read from now on.
    damaged: AtomicBool,
}

impl Breaking {
    /// Breaks at the `at`th call; never, when that is 0.
    pub fn new(inner: Store, at: usize, how: Break) -> Self {
        Self {
            inner,
            calls: AtomicUsize::new(0),
            at: AtomicUsize::new(at),
            how,
            only: Only::All,
            fired: AtomicBool::new(false),
            hold: None,
            dead: AtomicBool::new(false),
            no_rows: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        }
    }

    /// Breaks at the `at`th append, after `hold` lets it go on.
    pub fn at_append(inner: Store, at: usize, how: Break, hold: Arc<Semaphore>) -> Self {
        Self { hold: Some(hold), ..Self::at_only(inner, Only::Appends, at, how) }
    }

    /// Breaks at the `at`th call of a kind.
    pub fn at_only(inner: Store, only: Only, at: usize, how: Break) -> Self {
        Self { only, ..Self::new(inner, at, how) }
    }

    pub fn store(self: &Arc<Self>) -> Store {
        hooked(&self.inner, Arc::clone(self) as _)
    }

    /// How many calls of the counted kind there were.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Breaks at the next call of the counted kind.
    pub fn break_next(&self) {
        self.at.store(self.calls() + 1, Ordering::SeqCst);
    }

    pub fn has_fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    /// No row of an open chat is written any more.
    pub fn refuse_rows(&self) {
        self.no_rows.store(true, Ordering::SeqCst);
    }

    /// What is in the logs cannot be read any more.
    pub fn damage_logs(&self) {
        self.damaged.store(true, Ordering::SeqCst);
    }

    /// The process is gone: nothing that it has under way ever takes effect or comes back.
    pub fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Hook for Breaking {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        let kind = match asked {
            Asked::All | Asked::Trail | Asked::TrailOf(_) => {
                call.await;
                return Ok(());
            }
            Asked::Read(_) if self.damaged.load(Ordering::SeqCst) => {
                return Err(Trouble::Damaged("says a test".into()));
            }
            Asked::PutOpen if self.no_rows.load(Ordering::SeqCst) => return Err(Trouble::Refused),
            Asked::Append => Only::Appends,
            Asked::Read(_) => Only::Reads,
            Asked::WriteWatermarks => Only::Watermarks,
            Asked::LoadWatermarks => Only::WatermarkReads,
            Asked::SaveOperator => Only::Saves,
            Asked::LoadOperator => Only::Loads,
            _ => Only::All,
        };
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let counted = self.only == Only::All || self.only == kind;
        let nth = if counted { self.calls.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        let at = self.at.load(Ordering::SeqCst);
        if nth != at || at == 0 {
            call.await;
            return Ok(());
        }
        match self.how {
            Break::PanicAfter | Break::UnknownDone | Break::SilentDone | Break::Late => call.await,
            Break::PanicBefore | Break::Refused | Break::UnknownNotDone | Break::SilentNotDone => {}
        }
        self.fired.store(true, Ordering::SeqCst);
        if let Some(hold) = &self.hold {
            hold.acquire().await.unwrap().forget();
        }
        match self.how {
            Break::PanicBefore | Break::PanicAfter => panic!("{PANIC}"),
            Break::Refused => Err(Trouble::Refused),
            Break::SilentDone | Break::SilentNotDone => std::future::pending().await,
            Break::Late => Ok(()),
            Break::UnknownDone | Break::UnknownNotDone => Err(Trouble::Unknown),
        }
    }
}

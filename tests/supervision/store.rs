//! A store around another one that breaks once, at the n-th call, or dies with its process.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{
    ChannelId, ChatId, CommandId, Customer, Party, Recorded, Seq, Timestamp, UserId,
};
use switchboard::storage::{
    AppendError, ChatLog, Claim, ClaimOpen, Claimed, Conversations, EndedChat, EndedChats,
    EndedRow, Moving, OpenChat, OpenChats, OperatorRecordError, OperatorRecords, Store, StoreError,
    Watermark, Watermarks,
};
use tokio::sync::Semaphore;

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
    Marks,
    /// Reads of watermarks.
    MarkReads,
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
        Store {
            log: Arc::clone(self) as _,
            open_chats: Arc::clone(self) as _,
            ended_chats: Arc::clone(self) as _,
            conversations: Arc::clone(self) as _,
            operators: Arc::clone(self) as _,
            watermarks: Arc::clone(self) as _,
            documents: Arc::clone(&self.inner.documents),
            processes: Arc::clone(&self.inner.processes),
            audit: Arc::clone(&self.inner.audit),
            inventory: Arc::clone(&self.inner.inventory),
        }
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

    async fn around<T, E>(
        &self,
        kind: Only,
        refused: fn(String) -> E,
        unknown: fn(String) -> E,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if self.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let counted = self.only == Only::All || self.only == kind;
        let nth = if counted { self.calls.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        let at = self.at.load(Ordering::SeqCst);
        if nth != at || at == 0 {
            return call.await;
        }
        let reason = "a test says so".to_owned();
        let done = match self.how {
            Break::PanicAfter | Break::UnknownDone | Break::SilentDone | Break::Late => {
                Some(call.await)
            }
            Break::PanicBefore | Break::Refused | Break::UnknownNotDone | Break::SilentNotDone => {
                None
            }
        };
        self.fired.store(true, Ordering::SeqCst);
        if let Some(hold) = &self.hold {
            hold.acquire().await.unwrap().forget();
        }
        match self.how {
            Break::PanicBefore | Break::PanicAfter => panic!("{PANIC}"),
            Break::Refused => Err(refused(reason)),
            Break::SilentDone | Break::SilentNotDone => std::future::pending().await,
            Break::Late => done.unwrap_or_else(|| Err(unknown(reason))),
            Break::UnknownDone | Break::UnknownNotDone => {
                drop(done);
                Err(unknown(reason))
            }
        }
    }

    async fn small<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.small_of(Only::All, call).await
    }

    async fn small_of<T>(
        &self,
        kind: Only,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let unavailable = |reason| StoreError::Unavailable { reason };
        self.around(kind, unavailable, unavailable, call).await
    }
}

#[async_trait]
impl ChatLog for Breaking {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        self.small(self.inner.log.claim(chat)).await
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        let refused = |reason| AppendError::Unavailable { reason };
        let unknown = |reason| AppendError::Unknown { reason };
        self.around(Only::Appends, refused, unknown, self.inner.log.append(claim, events)).await
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        if self.damaged.load(Ordering::SeqCst) {
            return Err(StoreError::Damaged { reason: "says a test".into() });
        }
        self.small_of(Only::Reads, self.inner.log.read(chat, from, limit)).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.small(self.inner.log.forget(chat)).await
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        self.small(self.inner.log.is_forgotten(chat)).await
    }
}

#[async_trait]
impl OpenChats for Breaking {
    async fn put(&self, row: OpenChat) -> Result<(), StoreError> {
        if self.no_rows.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { reason: "no rows, says a test".into() });
        }
        self.small(self.inner.open_chats.put(row)).await
    }

    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError> {
        self.small(self.inner.open_chats.mark(chat, moving)).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.small(self.inner.open_chats.remove(chat)).await
    }

    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError> {
        self.inner.open_chats.scan(after, limit).await
    }
}

#[async_trait]
impl EndedChats for Breaking {
    async fn put(&self, ended: EndedChat) -> Result<(), StoreError> {
        self.small(self.inner.ended_chats.put(ended)).await
    }

    async fn remove(&self, channel: ChannelId, chat: ChatId) -> Result<(), StoreError> {
        self.small(self.inner.ended_chats.remove(channel, chat)).await
    }

    async fn scan(
        &self,
        channel: ChannelId,
        after: Option<ChatId>,
        made_before: Timestamp,
        limit: usize,
    ) -> Result<Vec<EndedRow>, StoreError> {
        self.inner.ended_chats.scan(channel, after, made_before, limit).await
    }
}

#[async_trait]
impl Conversations for Breaking {
    async fn claim_open(
        &self,
        customer: Customer,
        command: &CommandId,
        chat: ChatId,
        after: Option<ChatId>,
    ) -> Result<ClaimOpen, StoreError> {
        let claim = self.inner.conversations.claim_open(customer, command, chat, after);
        self.small(claim).await
    }

    async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError> {
        self.small(self.inner.conversations.latest(customer)).await
    }

    async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError> {
        self.small(self.inner.conversations.commands(customer)).await
    }

    async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError> {
        self.small(self.inner.conversations.forget(customer, chat)).await
    }

    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError> {
        self.small(self.inner.conversations.any(channel)).await
    }
}

#[async_trait]
impl OperatorRecords for Breaking {
    async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError> {
        let load = async { Ok(self.inner.operators.load(operator).await) };
        self.small_of(Only::Loads, load).await?
    }

    async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError> {
        self.small_of(Only::Saves, self.inner.operators.save(operator, record)).await
    }
}

#[async_trait]
impl Watermarks for Breaking {
    async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError> {
        self.small_of(Only::MarkReads, self.inner.watermarks.load(chat)).await
    }

    async fn raise(
        &self,
        chat: ChatId,
        marks: BTreeMap<Party, Watermark>,
    ) -> Result<(), StoreError> {
        self.small_of(Only::Marks, self.inner.watermarks.raise(chat, marks)).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.small_of(Only::Marks, self.inner.watermarks.forget(chat)).await
    }
}

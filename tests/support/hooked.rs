//! A store around another one: whoever hooks in comes between every call and the store.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use switchboard::domain::audit::{AuditEntry, AuditId, AuditOutcome};
use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{
    ChannelId, ChatId, CommandId, Customer, CustomerId, Party, Recorded, Seq, Timestamp, UserId,
};
use switchboard::storage::{
    AppendError, AuditTrail, Beside, ChatLog, ChatMoves, Claim, ClaimOpen, Claimed, Conversation,
    Conversations, Cursor, Document, Documents, EndedChat, EndedChats, EndedRow, Feed, FeedPage,
    FeedPeriod, FeedPoint, FeedShard, History, HistoryPlace, HistoryQuery, HistoryRow, HistoryRows,
    Inventory, Listed, Moving, OpenChat, OpenChats, OperatorRecordError, OperatorRecords, Page,
    Store, StoreError, Watermark, Watermarks,
};

/// What the store is asked. Lists of rows and the rest of the trail and the inventory are asked without a
/// hook; documents have one of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Claim(ChatId),
    Append,
    Read(ChatId),
    Forget(ChatId),
    IsForgotten,
    /// A write of a row of an open chat, whole.
    PutOpen,
    /// A mark of such a row, or its removal.
    ChangeOpen,
    /// A write of a row of a chat that has ended, or its removal.
    Ended,
    /// To tell the feed of a chat.
    Touch(ChatId),
    /// A page of the feed.
    Changed,
    /// To remove old touches.
    RemoveTouches,
    /// To write down what the history knows of a chat.
    PutHistory(ChatId),
    /// To take a chat out of the history.
    RemoveHistory(ChatId),
    /// Of a customer's chats, but for its commands.
    Conversation,
    CommandsOf(Customer),
    LoadOperator,
    SaveOperator,
    LoadWatermarks,
    WriteWatermarks,
    /// A page of all chats or conversations.
    All,
    /// A page of the audit trail.
    Trail,
    /// To take a customer out of the trail.
    TrailOf(Customer),
}

/// What is answered instead of the store's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    Refused,
    /// It may have happened.
    Unknown,
    Damaged(String),
}

impl Trouble {
    fn small(self) -> StoreError {
        match self {
            Self::Refused | Self::Unknown => {
                StoreError::Unavailable { reason: "a test says so".to_owned() }
            }
            Self::Damaged(reason) => StoreError::Damaged { reason },
        }
    }

    fn append(self) -> AppendError {
        let reason = "a test says so".to_owned();
        match self {
            Self::Refused | Self::Damaged(_) => AppendError::Unavailable { reason },
            Self::Unknown => AppendError::Unknown { reason },
        }
    }
}

/// What is asked of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfDocuments {
    /// One, or a page.
    Read,
    /// To write or to remove one of this version.
    Write { expected: u64 },
}

/// The call itself; it takes effect when it is waited for.
pub type Call<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Comes between.
#[async_trait]
pub trait Hook: Send + Sync + 'static {
    /// Makes the call or not. Errors with what is answered instead of its answer; without a call there has
    /// to be such.
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble>;

    /// The same for documents of a kind; those that say nothing of them let them pass.
    async fn around_documents(
        &self,
        _kind: &str,
        _asked: OfDocuments,
        call: Call<'_>,
    ) -> Result<(), Trouble> {
        call.await;
        Ok(())
    }
}

/// The store with the hook.
pub fn hooked(inner: &Store, hook: Arc<dyn Hook>) -> Store {
    let hooked = Arc::new(Hooked { inner: inner.clone(), hook });
    Store {
        log: Arc::clone(&hooked) as _,
        open_chats: Arc::clone(&hooked) as _,
        ended_chats: Arc::clone(&hooked) as _,
        feed: Arc::clone(&hooked) as _,
        history: Arc::clone(&hooked) as _,
        conversations: Arc::clone(&hooked) as _,
        operators: Arc::clone(&hooked) as _,
        watermarks: Arc::clone(&hooked) as _,
        documents: Arc::clone(&hooked) as _,
        audit: Arc::clone(&hooked) as _,
        moves: inner.moves.as_ref().map(|_| Arc::clone(&hooked) as _),
        inventory: hooked,
        ..inner.clone()
    }
}

struct Hooked {
    inner: Store,
    hook: Arc<dyn Hook>,
}

impl Hooked {
    async fn through<T: Send, E: Send>(
        &self,
        asked: Asked,
        trouble: fn(Trouble) -> E,
        call: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let mut answer = None;
        let making = Box::pin(async { answer = Some(call.await) });
        self.hook.around(asked, making).await.map_err(trouble)?;
        answer.unwrap()
    }

    async fn documents<T: Send>(
        &self,
        kind: &str,
        asked: OfDocuments,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let mut answer = None;
        let making = Box::pin(async { answer = Some(call.await) });
        self.hook.around_documents(kind, asked, making).await.map_err(Trouble::small)?;
        answer.unwrap()
    }

    async fn small<T: Send>(
        &self,
        asked: Asked,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.through(asked, Trouble::small, call).await
    }
}

#[async_trait]
impl ChatLog for Hooked {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        self.small(Asked::Claim(chat), self.inner.log.claim(chat)).await
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        self.through(Asked::Append, Trouble::append, self.inner.log.append(claim, events)).await
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.small(Asked::Read(chat), self.inner.log.read(chat, from, limit)).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.small(Asked::Forget(chat), self.inner.log.forget(chat)).await
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        self.small(Asked::IsForgotten, self.inner.log.is_forgotten(chat)).await
    }
}

#[async_trait]
impl ChatMoves for Hooked {
    async fn append(
        &self,
        claim: Claim,
        events: Vec<Recorded>,
        beside: Beside,
    ) -> Result<(), AppendError> {
        let moves = self.inner.moves.as_ref().unwrap();
        self.through(Asked::Append, Trouble::append, moves.append(claim, events, beside)).await
    }
}

#[async_trait]
impl OpenChats for Hooked {
    async fn put(&self, row: OpenChat) -> Result<(), StoreError> {
        self.small(Asked::PutOpen, self.inner.open_chats.put(row)).await
    }

    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError> {
        self.small(Asked::ChangeOpen, self.inner.open_chats.mark(chat, moving)).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.small(Asked::ChangeOpen, self.inner.open_chats.remove(chat)).await
    }

    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError> {
        self.inner.open_chats.scan(after, limit).await
    }
}

#[async_trait]
impl EndedChats for Hooked {
    async fn put(&self, ended: EndedChat) -> Result<(), StoreError> {
        self.small(Asked::Ended, self.inner.ended_chats.put(ended)).await
    }

    async fn remove(&self, channel: ChannelId, chat: ChatId) -> Result<(), StoreError> {
        self.small(Asked::Ended, self.inner.ended_chats.remove(channel, chat)).await
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
impl History for Hooked {
    async fn put(&self, row: HistoryRow) -> Result<(), StoreError> {
        self.small(Asked::PutHistory(row.chat), self.inner.history.put(row)).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.small(Asked::RemoveHistory(chat), self.inner.history.remove(chat)).await
    }

    async fn list(&self, query: HistoryQuery) -> Result<HistoryRows, StoreError> {
        self.inner.history.list(query).await
    }

    async fn places(&self, chat: ChatId) -> Result<Vec<HistoryPlace>, StoreError> {
        self.inner.history.places(chat).await
    }

    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        self.inner.history.chats(at, limit).await
    }
}

#[async_trait]
impl Feed for Hooked {
    async fn touch(&self, chat: ChatId, period: FeedPeriod) -> Result<(), StoreError> {
        self.small(Asked::Touch(chat), self.inner.feed.touch(chat, period)).await
    }

    async fn changed(
        &self,
        shard: FeedShard,
        from: FeedPoint,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let page = self.inner.feed.changed(shard, from, limit);
        self.small(Asked::Changed, page).await
    }

    async fn periods(&self, from: FeedPeriod, limit: usize) -> Result<Vec<FeedPeriod>, StoreError> {
        self.inner.feed.periods(from, limit).await
    }

    async fn remove_before(&self, before: FeedPeriod) -> Result<bool, StoreError> {
        self.small(Asked::RemoveTouches, self.inner.feed.remove_before(before)).await
    }
}

#[async_trait]
impl Conversations for Hooked {
    async fn claim_open(
        &self,
        customer: Customer,
        command: &CommandId,
        chat: ChatId,
        after: Option<ChatId>,
    ) -> Result<ClaimOpen, StoreError> {
        let claim = self.inner.conversations.claim_open(customer, command, chat, after);
        self.small(Asked::Conversation, claim).await
    }

    async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError> {
        self.small(Asked::Conversation, self.inner.conversations.latest(customer)).await
    }

    async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError> {
        let commands = self.inner.conversations.commands(customer);
        self.small(Asked::CommandsOf(customer), commands).await
    }

    async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError> {
        let forget = self.inner.conversations.forget(customer, chat);
        self.small(Asked::Conversation, forget).await
    }

    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError> {
        self.small(Asked::Conversation, self.inner.conversations.any(channel)).await
    }
}

#[async_trait]
impl OperatorRecords for Hooked {
    async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError> {
        let load = async { Ok(self.inner.operators.load(operator).await) };
        self.small(Asked::LoadOperator, load).await?
    }

    async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError> {
        self.small(Asked::SaveOperator, self.inner.operators.save(operator, record)).await
    }
}

#[async_trait]
impl Watermarks for Hooked {
    async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError> {
        self.small(Asked::LoadWatermarks, self.inner.watermarks.load(chat)).await
    }

    async fn raise(
        &self,
        chat: ChatId,
        watermarks: BTreeMap<Party, Watermark>,
    ) -> Result<(), StoreError> {
        self.small(Asked::WriteWatermarks, self.inner.watermarks.raise(chat, watermarks)).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.small(Asked::WriteWatermarks, self.inner.watermarks.forget(chat)).await
    }
}

#[async_trait]
impl Documents for Hooked {
    async fn get(&self, kind: &str, id: &str) -> Result<Option<Document>, StoreError> {
        self.documents(kind, OfDocuments::Read, self.inner.documents.get(kind, id)).await
    }

    async fn put(
        &self,
        kind: &str,
        id: &str,
        expected: u64,
        body: Vec<u8>,
    ) -> Result<u64, StoreError> {
        let put = self.inner.documents.put(kind, id, expected, body);
        self.documents(kind, OfDocuments::Write { expected }, put).await
    }

    async fn delete(&self, kind: &str, id: &str, expected: u64) -> Result<(), StoreError> {
        let delete = self.inner.documents.delete(kind, id, expected);
        self.documents(kind, OfDocuments::Write { expected }, delete).await
    }

    async fn list(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let list = self.inner.documents.list(kind, after, limit);
        self.documents(kind, OfDocuments::Read, list).await
    }
}

#[async_trait]
impl Inventory for Hooked {
    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        self.small(Asked::All, self.inner.inventory.chats(at, limit)).await
    }

    async fn watched(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        self.inner.inventory.watched(at, limit).await
    }

    async fn conversations(
        &self,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Conversation>, StoreError> {
        self.small(Asked::All, self.inner.inventory.conversations(at, limit)).await
    }

    async fn operators(
        &self,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<UserId>, StoreError> {
        self.inner.inventory.operators(at, limit).await
    }

    async fn document_kinds(&self) -> Result<Vec<String>, StoreError> {
        self.inner.inventory.document_kinds().await
    }

    async fn last_process(&self) -> Result<u64, StoreError> {
        self.inner.inventory.last_process().await
    }

    async fn restore(&self, kind: &str, document: Document) -> Result<(), StoreError> {
        self.inner.inventory.restore(kind, document).await
    }
}

#[async_trait]
impl AuditTrail for Hooked {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.inner.audit.record(entry).await
    }

    async fn conclude(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError> {
        self.inner.audit.conclude(id, outcome).await
    }

    async fn newest(
        &self,
        before: AuditId,
        from: AuditId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.small(Asked::Trail, self.inner.audit.newest(before, from, limit)).await
    }

    async fn remove_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        self.inner.audit.remove_before(before).await
    }

    async fn forget_customer(
        &self,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<(), StoreError> {
        let asked = Asked::TrailOf(Customer { channel, id: customer });
        self.small(asked, self.inner.audit.forget_customer(channel, customer)).await
    }
}

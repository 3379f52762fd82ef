//! A store whose searches are counted, and of which some reads and removals find damage.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use switchboard::domain::audit::{AuditEntry, AuditId, AuditOutcome};
use switchboard::domain::{
    ChannelId, ChatId, CommandId, Customer, CustomerId, Recorded, Seq, Timestamp, UserId,
};
use switchboard::storage::{
    AppendError, AuditTrail, ChatLog, Claim, ClaimOpen, Claimed, Conversation, Conversations,
    Cursor, Document, Inventory, Page, Store, StoreError,
};

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// A page of all conversations.
    Conversations,
    /// What a customer has.
    CommandsOf(Customer),
    /// A chat's log, for who reads it.
    Log(ChatId),
    /// A chat, for who forgets it.
    Forgetting(ChatId),
    /// A page of the audit trail.
    Trail,
    /// An entry about a customer, for who takes it out.
    TrailOf(Customer),
}

pub struct Watched {
    inner: Store,
    damaged: Mutex<BTreeSet<Damage>>,
    searches: AtomicUsize,
}

impl Watched {
    pub fn new(inner: Store) -> Arc<Self> {
        Arc::new(Self { inner, damaged: Mutex::default(), searches: AtomicUsize::new(0) })
    }

    pub fn store(self: &Arc<Self>) -> Store {
        Store {
            log: Arc::clone(self) as _,
            conversations: Arc::clone(self) as _,
            inventory: Arc::clone(self) as _,
            audit: Arc::clone(self) as _,
            ..self.inner.clone()
        }
    }

    pub fn damage(&self, damage: Damage) {
        self.damaged.lock().unwrap().insert(damage);
    }

    pub fn mend(&self) {
        self.damaged.lock().unwrap().clear();
    }

    /// Pages read of all conversations, of all chats, and of the audit trail, since it was asked last.
    pub fn searches(&self) -> usize {
        self.searches.swap(0, Ordering::SeqCst)
    }

    fn is_whole(&self, what: Damage) -> Result<(), StoreError> {
        match self.damaged.lock().unwrap().contains(&what) {
            true => Err(StoreError::Damaged { reason: format!("a test says {what:?}") }),
            false => Ok(()),
        }
    }

    fn search(&self, what: Damage) -> Result<(), StoreError> {
        self.searches.fetch_add(1, Ordering::SeqCst);
        self.is_whole(what)
    }
}

#[async_trait]
impl ChatLog for Watched {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        self.inner.log.claim(chat).await
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        self.inner.log.append(claim, events).await
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.is_whole(Damage::Log(chat))?;
        self.inner.log.read(chat, from, limit).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.is_whole(Damage::Forgetting(chat))?;
        self.inner.log.forget(chat).await
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        self.inner.log.is_forgotten(chat).await
    }
}

#[async_trait]
impl Conversations for Watched {
    async fn claim_open(
        &self,
        customer: Customer,
        command: &CommandId,
        chat: ChatId,
        after: Option<ChatId>,
    ) -> Result<ClaimOpen, StoreError> {
        self.inner.conversations.claim_open(customer, command, chat, after).await
    }

    async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError> {
        self.inner.conversations.latest(customer).await
    }

    async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError> {
        self.is_whole(Damage::CommandsOf(customer))?;
        self.inner.conversations.commands(customer).await
    }

    async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError> {
        self.inner.conversations.forget(customer, chat).await
    }

    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError> {
        self.inner.conversations.any(channel).await
    }
}

#[async_trait]
impl Inventory for Watched {
    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        self.search(Damage::Conversations)?;
        self.inner.inventory.chats(at, limit).await
    }

    async fn watched(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        self.inner.inventory.watched(at, limit).await
    }

    async fn conversations(
        &self,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Conversation>, StoreError> {
        self.search(Damage::Conversations)?;
        self.inner.inventory.conversations(at, limit).await
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
impl AuditTrail for Watched {
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
        self.search(Damage::Trail)?;
        self.inner.audit.newest(before, from, limit).await
    }

    async fn remove_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        self.inner.audit.remove_before(before).await
    }

    async fn forget_customer(
        &self,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<(), StoreError> {
        self.is_whole(Damage::TrailOf(Customer { channel, id: customer }))?;
        self.inner.audit.forget_customer(channel, customer).await
    }
}

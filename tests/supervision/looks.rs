//! What a look at a chat asks of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use switchboard::actors::Router;
use switchboard::domain::{ChatId, Recorded, Seq};
use switchboard::machine::chat::ChatCall;
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::{
    AppendError, ChatLog, Claim, Claimed, Moving, OpenChat, OpenChats, Store, StoreError,
};

use crate::world::*;

/// A store that counts what is written to chats, and reads of their logs.
struct Counted {
    inner: Store,
    writes: AtomicU64,
    reads: AtomicU64,
}

impl Counted {
    fn over(inner: &Store) -> (Arc<Self>, Store) {
        let (writes, reads) = Default::default();
        let counted = Arc::new(Self { inner: inner.clone(), writes, reads });
        let (log, open_chats) = (counted.clone(), counted.clone());
        (counted, Store { log, open_chats, ..inner.clone() })
    }

    fn written(&self) {
        self.writes.fetch_add(1, SeqCst);
    }
}

#[async_trait]
impl ChatLog for Counted {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        self.written();
        self.inner.log.claim(chat).await
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        self.written();
        self.inner.log.append(claim, events).await
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.reads.fetch_add(1, SeqCst);
        self.inner.log.read(chat, from, limit).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.written();
        self.inner.log.forget(chat).await
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        self.inner.log.is_forgotten(chat).await
    }
}

#[async_trait]
impl OpenChats for Counted {
    async fn put(&self, row: OpenChat) -> Result<(), StoreError> {
        self.written();
        self.inner.open_chats.put(row).await
    }

    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError> {
        self.written();
        self.inner.open_chats.mark(chat, moving).await
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.written();
        self.inner.open_chats.remove(chat).await
    }

    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError> {
        self.inner.open_chats.scan(after, limit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_a_completed_chat_writes_nothing_in_a_new_process() {
    silence_meant_panics();
    let store = MemoryStore::new().store();
    let router = Router::start(store.clone(), roster(2), options()).await.unwrap();
    let chat = open(&router, 1).await;
    send(&router, as_customer(1), chat, &fresh(), "hello").await.unwrap();
    let end = ChatCall::End { by: as_customer(1), command: fresh() };
    call(&router, chat, end).await.unwrap();
    let tail = router.look(chat).await.unwrap().tail;
    router.stop().await;

    let (counted, store) = Counted::over(&store);
    let router = Router::start(store, roster(2), options()).await.unwrap();
    let view = router.look(chat).await.unwrap();
    assert!(view.state.unwrap().is_final() && view.tail == tail, "{view:?}");
    assert_eq!(counted.reads.load(SeqCst), 2, "whether it is there, and its log");
    let (waits, routed) = router.explain(chat).await.unwrap();
    assert!(waits.is_none() && !routed.is_empty(), "{routed:?}");
    assert_eq!(counted.reads.load(SeqCst), 3, "an explanation reads its page once");
    router.look(chat).await.unwrap();
    assert_eq!((counted.reads.load(SeqCst), counted.writes.load(SeqCst)), (3, 0));
    // Who writes into it is answered by a life that owns it: it goes on in another chat.
    let (next, _) = send(&router, as_customer(1), chat, &fresh(), "again").await.unwrap();
    assert_ne!(next, chat);
    assert!(counted.writes.load(SeqCst) > 0);
    router.stop().await;
}

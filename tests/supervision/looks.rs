//! What a look at a chat asks of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use switchboard::actors::Router;
use switchboard::machine::chat::ChatCall;
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;

use crate::hooked::{Asked, Call, Hook, Trouble, hooked};
use crate::world::*;

/// Counts what is written to chats, and reads of their logs.
#[derive(Default)]
struct Counted {
    writes: AtomicU64,
    reads: AtomicU64,
}

impl Counted {
    fn over(inner: &Store) -> (Arc<Self>, Store) {
        let counted = Arc::new(Self::default());
        (Arc::clone(&counted), hooked(inner, counted))
    }
}

#[async_trait]
impl Hook for Counted {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        match asked {
            Asked::Read(_) => self.reads.fetch_add(1, SeqCst),
            Asked::Claim(_)
            | Asked::Append
            | Asked::Forget(_)
            | Asked::PutOpen
            | Asked::ChangeOpen => self.writes.fetch_add(1, SeqCst),
            _ => 0,
        };
        call.await;
        Ok(())
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

/// In one thread, so that both are in the mailbox before the chat looks.
#[tokio::test]
async fn a_call_behind_which_a_look_has_come_has_its_turn() {
    let router = start(MemoryStore::new().store()).await;
    let chat = open(&router, 1).await;
    let (id, text) = (fresh(), message("hello"));
    let send = router.send(as_customer(1), chat, &id, &text, &Unbounded, None);
    let (sent, seen) = tokio::join!(send, router.look(chat));
    assert_eq!(sent.unwrap().0, chat);
    seen.unwrap();
    router.stop().await;
}

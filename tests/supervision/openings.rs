//! Chats that may not be opened: what they leave, and what is taken for those that are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};

use futures_util::FutureExt;
use switchboard::actors::{CallError, GiveBack, Opens, Router, TooMany};
use switchboard::domain::{ChatId, CommandId, Customer, Profile};
use switchboard::machine::chat::ChatCall;
use switchboard::storage::ClaimOpen;
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::store::{Break, Breaking, Only, STORES};
use crate::world::*;

/// Counts what is taken; takes nothing while it is closed.
#[derive(Default)]
struct Counted {
    closed: AtomicBool,
    taken: Arc<AtomicI64>,
}

impl Opens for Counted {
    fn look(&self, _: Customer) -> Result<(), TooMany> {
        if self.closed.load(SeqCst) { Err(TooMany { retry_after_ms: 10_000 }) } else { Ok(()) }
    }

    fn take(&self, customer: Customer) -> Result<GiveBack, TooMany> {
        self.look(customer)?;
        self.taken.fetch_add(1, SeqCst);
        let taken = Arc::clone(&self.taken);
        Ok(Box::new(move || {
            taken.fetch_sub(1, SeqCst);
        }))
    }
}

async fn end(router: &Router, chat: ChatId) {
    call(router, chat, ChatCall::End { by: as_customer(1), command: fresh() }).await.unwrap();
}

#[tokio::test]
async fn only_what_is_opened_is_taken_and_what_was_refused_is_opened_later() {
    let router = start(MemoryStore::new().store()).await;
    let (opens, by, text) = (Counted::default(), as_customer(1), message("hello"));
    let open = async |id: &CommandId| {
        router.open(customer(1), id, &Profile::default(), &opens).await.map(|opened| opened.0)
    };
    let send = async |chat, id: &CommandId| router.send(by, chat, id, &text, &opens, None).await;
    let taken = || opens.taken.load(SeqCst);
    let (first, said) = (fresh(), fresh());
    let chat = open(&first).await.unwrap();
    let sent = send(chat, &said).await.unwrap();
    assert_eq!(taken(), 1);
    opens.closed.store(true, SeqCst);
    assert_eq!(open(&fresh()).await, Ok(chat), "it is open");
    end(&router, chat).await;
    assert_eq!(open(&first).await, Ok(chat), "a repeat");
    assert_eq!(send(chat, &said).await, Ok(sent), "a repeat");
    let refused = CallError::TooManyOpenings(TooMany { retry_after_ms: 10_000 });
    let (second, more) = (fresh(), fresh());
    for _ in 0..3 {
        assert_eq!(open(&second).await, Err(refused));
        assert_eq!(send(chat, &more).await, Err(refused));
        assert_eq!(
            router.instead_of_forgotten(chat, customer(1), &Profile::default(), &opens).await,
            Ok(None)
        );
    }
    assert_eq!(taken(), 1);
    assert_eq!(
        router.latest(customer(1)).await,
        Ok(Some(chat)),
        "nothing is left of what was refused"
    );
    opens.closed.store(false, SeqCst);
    let next = open(&second).await.unwrap();
    assert_ne!(next, chat);
    assert_eq!(send(chat, &more).await.unwrap().0, next, "into the same");
    assert_eq!(taken(), 2);
    end(&router, next).await;
    let (last, _) = send(chat, &fresh()).await.unwrap();
    assert!(last != chat && last != next);
    assert_eq!(taken(), 3, "a message that opens one counts");
}

#[tokio::test]
async fn what_could_not_be_opened_is_given_back() {
    for store in STORES {
        let store = store(&MemoryStore::new());
        let refuses = Arc::new(Breaking::at_only(store, Only::Appends, 1, Break::Refused));
        let router = start(refuses.store()).await;
        let (opens, id) = (Counted::default(), fresh());
        let open = async || router.open(customer(1), &id, &Profile::default(), &opens).await;
        assert_eq!(open().await, Err(CallError::Unavailable));
        assert!(refuses.has_fired());
        assert_eq!((opens.taken.load(SeqCst), router.open_chats()), (0, (0, 0)));
        open().await.unwrap();
        assert_eq!(opens.taken.load(SeqCst), 1);
    }
}

/// It is asked once more when the opening is charged: another call may have opened the chat meanwhile.
#[tokio::test]
async fn an_opening_is_given_back_when_the_store_is_silent_at_the_second_look() {
    let inner = MemoryStore::new().store();
    let silent = Arc::new(Breaking::at_only(inner.clone(), Only::Reads, 2, Break::SilentNotDone));
    let router = Router::start(silent.store(), roster(2), impatient()).await.unwrap();
    // Claimed by a process that ended before it opened it.
    let (opens, id, chat) = (Counted::default(), fresh(), ChatId::from_u128(0x77));
    let claimed = inner.conversations.claim_open(customer(1), &id, chat, None).await;
    assert_eq!(claimed, Ok(ClaimOpen::Claimed));
    let open = async || router.open(customer(1), &id, &Profile::default(), &opens).await;
    assert_eq!(open().await, Err(CallError::Unavailable));
    assert!(silent.has_fired());
    assert_eq!(opens.taken.load(SeqCst), 0);
    assert_eq!(open().await.unwrap().0, chat);
    assert_eq!(opens.taken.load(SeqCst), 1);
}

/// The chat's first append is held until both have come.
#[tokio::test]
async fn two_tabs_that_open_one_chat_at_the_same_moment_are_charged_once() {
    let breaks = [Break::Late, Break::Refused];
    for (how, store) in breaks.into_iter().flat_map(|how| STORES.map(|store| (how, store))) {
        let hold = Arc::new(Semaphore::new(0));
        let store = store(&MemoryStore::new());
        let held = Breaking::at_append(store, 1, how, Arc::clone(&hold));
        let held = Arc::new(held);
        let router = start(held.store()).await;
        let (opens, ids) = (Counted::default(), [fresh(), fresh()]);
        let profile = Profile::default();
        let open = |id| router.open(customer(1), id, &profile, &opens);
        let [mut first, mut second] = [0, 1].map(|n| Box::pin(open(&ids[n])));
        while !held.has_fired() {
            assert!(first.as_mut().now_or_never().is_none());
            yield_now().await;
        }
        // Nothing here waits for anything but the append.
        for _ in 0..1_000 {
            assert!(second.as_mut().now_or_never().is_none());
            yield_now().await;
        }
        assert_eq!(opens.taken.load(SeqCst), 1, "{how:?}");
        hold.add_permits(1);
        let (first, second) = tokio::join!(first, second);
        let chat = second.unwrap().0;
        match how {
            Break::Late => assert_eq!(first.unwrap().0, chat),
            _ => assert_eq!(first, Err(CallError::Unavailable), "the other one has opened it"),
        }
        assert_eq!(opens.taken.load(SeqCst), 1, "{how:?}");
        end(&router, chat).await;
        assert_ne!(open(&fresh()).await.unwrap().0, chat);
        assert_eq!(opens.taken.load(SeqCst), 2);
    }
}

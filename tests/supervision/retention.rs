//! Chats that are kept no longer are forgotten, and no others; whatever fails meanwhile.

use std::sync::Arc;
use std::time::Duration;

use switchboard::actors::{CallError, Held, Options, Roster, Router, holding};
use switchboard::domain::{ChatId, Timestamp};
use switchboard::machine::chat::ChatCall;
use switchboard::storage::memory::{Fault, FaultAt, MemoryStore};
use switchboard::storage::{EndedChat, Store, Trace, forget_chats};

use tokio::sync::Semaphore;

use crate::ended::{days_ago, made_and_ended};
use crate::store::{BREAKS, Break, Breaking, Only, STORES};
use crate::world::*;

fn sweeping() -> Options {
    let (sweep_every, sweep_pause) = (Duration::from_millis(20), Duration::from_millis(5));
    // The newest chat of some of these stores is older than a clock may jump.
    Options { sweep_every, sweep_pause, clock_doubt: Duration::ZERO, ..options() }
}

/// A chat of its own customer that ended so many days ago, and was made an hour before; without a row.
async fn ended_before(store: &Store, n: u128, days: u64) -> EndedChat {
    let made = Timestamp(days_ago(days).0 - 3_600_000);
    made_and_ended(store, (customer(n), PUSH), made, days).await
}

async fn is_gone(store: &Store, chat: ChatId) -> bool {
    store.log.is_forgotten(chat).await.unwrap()
}

async fn until_gone(store: &Store, chat: ChatId) {
    until("it is forgotten", || async { is_gone(store, chat).await.then_some(()) }).await;
}

fn keeping(days: u16) -> Roster {
    Roster { retention: [(CHANNEL, days)].into(), ..roster(2) }
}

/// Whether the chat is among those that have ended.
async fn has_row(store: &Store, chat: ChatId) -> bool {
    let rows = store.ended_chats.scan(CHANNEL, None, Timestamp(u64::MAX), 10_000).await.unwrap();
    rows.iter().any(|row| row.chat == chat)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_are_forgotten_when_their_time_has_come_and_no_others() {
    let store = MemoryStore::new().store();
    // More than a slice.
    let mut old = Vec::new();
    for n in 0..150 {
        old.push(ended_before(&store, 100 + n, 31 + n as u64 % 9).await);
    }
    let young = ended_before(&store, 1, 29).await;
    // One that went on for long.
    let long = made_and_ended(&store, (customer(5), PUSH), days_ago(60), 29).await;
    // One that was made on a right clock, and opened and ended by a process whose clock was behind.
    let behind = made_and_ended(&store, (customer(6), PUSH), days_ago(2), 90).await;
    store.ended_chats.put(behind).await.unwrap();
    let router = Router::start(store.clone(), keeping(30), sweeping()).await.unwrap();
    let open = open(&router, 2).await;
    let now = ended_now(&router, 3).await;
    for ended in &old {
        until_gone(&store, ended.chat).await;
        assert_eq!(store.conversations.latest(ended.customer).await.unwrap(), None);
    }
    for chat in [young.chat, long.chat, behind.chat, open, now] {
        assert!(!is_gone(&store, chat).await);
        assert!(!store.log.read(chat, 1, 1).await.unwrap().is_empty());
    }
    // Kept for longer, nothing goes; for a shorter time, what is older goes with the next look.
    router.set_retention(CHANNEL, Some(3_650));
    let older = ended_before(&store, 4, 40).await;
    store.ended_chats.put(older).await.unwrap();
    router.set_retention(CHANNEL, Some(28));
    until_gone(&store, young.chat).await;
    until_gone(&store, older.chat).await;
    until_gone(&store, long.chat).await;
    for chat in [open, now] {
        assert!(!is_gone(&store, chat).await);
    }
    assert!(router.look(open).await.is_ok());
    assert!(has_row(&store, now).await && !has_row(&store, open).await);
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_years_ahead_forgets_nothing() {
    let store = MemoryStore::new().store();
    let old = ended_before(&store, 1, 100).await;
    let router = Router::start(store.clone(), keeping(3_650), sweeping()).await.unwrap();
    let said = async || store.documents.get("clock_trust", "1").await.unwrap();
    until("the clock and the row are written down", || async {
        (said().await.is_some() && has_row(&store, old.chat).await).then_some(())
    })
    .await;
    router.stop().await;
    // As if the process before had run 90 days ago.
    let version = said().await.unwrap().version;
    let body = format!(r#"{{"trusted":{},"doubt":null}}"#, days_ago(90).0);
    store.documents.put("clock_trust", "1", version, body.into_bytes()).await.unwrap();
    // Long enough that no test lasts as long.
    let doubting = Options { clock_doubt: Duration::from_secs(3_600), ..sweeping() };
    let router = Router::start(store.clone(), keeping(30), doubting).await.unwrap();
    until("it is doubted", || async { (said().await?.version > version + 1).then_some(()) }).await;
    // A step that is under way ends first.
    router.stop().await;
    assert!(!is_gone(&store, old.chat).await);
    let body = String::from_utf8(said().await.unwrap().body).unwrap();
    assert!(body.contains("waited_ms"), "{body}");
    let router = Router::start(store.clone(), keeping(30), sweeping()).await.unwrap();
    until_gone(&store, old.chat).await;
    router.stop().await;
}

async fn ended_now(router: &Router, who: u128) -> ChatId {
    let chat = open(router, who).await;
    call(router, chat, ChatCall::End { by: as_customer(who), command: fresh() }).await.unwrap();
    chat
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_holds_retention_up_for_a_while() {
    for place in [FaultAt::Forget, FaultAt::EndedChats, FaultAt::Documents, FaultAt::OpenChats] {
        for fault in [Fault::Refuse, Fault::UnknownAfterWrite] {
            let memory = MemoryStore::new();
            let store = memory.store();
            let old = [ended_before(&store, 1, 50).await, ended_before(&store, 2, 60).await];
            let router = Router::start(store.clone(), keeping(30), sweeping()).await.unwrap();
            (0..3).for_each(|_| memory.fail_next(place, fault));
            for ended in old {
                until_gone(&store, ended.chat).await;
            }
            until("nothing is left", || async {
                let left = has_row(&store, old[0].chat).await || has_row(&store, old[1].chat).await;
                (!left).then_some(())
            })
            .await;
            assert!(!*router.ended().borrow());
            router.stop().await;
        }
    }
}

#[tokio::test]
async fn one_chat_that_cannot_be_forgotten_holds_back_no_other() {
    let memory = MemoryStore::new();
    let store = memory.store();
    let old = [ended_before(&store, 1, 50).await, ended_before(&store, 2, 60).await];
    let traces = old.map(|ended| Trace::new(ended.chat, ended.customer));
    memory.fail_next(FaultAt::Forget, Fault::Refuse);
    assert!(forget_chats(&store, &traces).await.is_err());
    let latest = async |n: usize| store.conversations.latest(old[n].customer).await.unwrap();
    assert_eq!((latest(0).await, latest(1).await), (Some(old[0].chat), None));
    forget_chats(&store, &[]).await.unwrap();
    assert_eq!(latest(0).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_goes_on_with_what_the_process_before_had_begun() {
    let store = MemoryStore::new().store();
    let mut old = Vec::new();
    for n in 0..200 {
        old.push(ended_before(&store, 100 + n, 31).await.chat);
    }
    let slow = Options { sweep_pause: Duration::from_millis(50), ..sweeping() };
    let router = Router::start(store.clone(), keeping(30), slow).await.unwrap();
    until_gone(&store, old[0]).await;
    router.stop().await;
    let router = Router::start(store.clone(), keeping(30), sweeping()).await.unwrap();
    for chat in old {
        until_gone(&store, chat).await;
    }
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_ended_has_its_row_whatever_broke() {
    silence_meant_panics();
    // Rows that are written with events are no calls of their own.
    for (store, least) in STORES.into_iter().zip([40, 20]) {
        let broken = whatever_broke(store).await;
        assert!(broken > least, "{broken}");
    }
}

/// So many lives were broken.
async fn whatever_broke(store: fn(&Arc<MemoryStore>) -> Store) -> usize {
    let mut broken = 0;
    for how in BREAKS {
        for at in 1.. {
            let inner = store(&MemoryStore::new());
            let breaking = Arc::new(Breaking::new(inner.clone(), at, how));
            let router = Router::start(breaking.store(), roster(2), impatient()).await.unwrap();
            let chat = ended_now(&router, 1).await;
            router.stop().await;
            // The next process, on a store that is whole.
            let router = Router::start(inner.clone(), roster(2), options()).await.unwrap();
            until("it has its row and is open no more", || async {
                let open = inner.open_chats.scan(None, 10).await.unwrap();
                let open = open.iter().any(|row| row.chat == chat);
                (!open).then_some(())
            })
            .await;
            assert!(has_row(&inner, chat).await, "{how:?} at {at}");
            router.stop().await;
            if !breaking.has_fired() {
                break;
            }
            broken += 1;
        }
    }
    broken
}

/// Whoever owned it has not heard of its end: it would be shown a chat that nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_is_not_let_go_of_is_forgotten_later_and_holds_back_no_other() {
    let store = MemoryStore::new().store();
    let hold = Arc::new(Semaphore::new(0));
    let mut slow = Breaking::at_only(store.clone(), Only::Loads, 0, Break::Late);
    slow.hold = Some(Arc::clone(&hold));
    let slow = Arc::new(slow);
    let options = Options {
        call_limit: Duration::from_secs(3),
        // The operator's record is waited for until the test lets it go.
        store_limit: LIMIT,
        ..options()
    };
    silence_meant_panics();
    let router = Router::start(slow.store(), roster(2), options).await.unwrap();
    let before = ended_now(&router, 1).await;
    let desk = Desk::ready(&router, ANN).await;
    let owned = open(&router, 1).await;
    assert_eq!(accepted(&router, &[desk], owned).await, ANN);
    slow.break_next();
    router.crash_operator(ANN);
    until("the operator's next life waits", || async { slow.has_fired().then_some(()) }).await;
    let end = ChatCall::End { by: as_customer(1), command: fresh() };
    call(&router, owned, end).await.unwrap();
    let chats = [before, owned];
    let erased = router.erase(customer(1), &chats).await;
    assert_eq!(erased, Err(CallError::Unavailable));
    assert!(is_gone(&store, before).await, "nobody has to hear of it");
    assert!(!is_gone(&store, owned).await);
    hold.add_permits(1);
    persist("the erasure", || {
        let router = router.clone();
        async move { router.erase(customer(1), &chats).await }
    })
    .await
    .unwrap();
    assert!(is_gone(&store, owned).await);
    router.stop().await;
}

/// A revocation waits for what is held: the end of a chat may take effect long after its asker has given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_is_given_up_is_held_until_it_is_known_what_became_of_it() {
    for to_the_end in [false, true] {
        let hold = Arc::new(Semaphore::new(0));
        let inner = MemoryStore::new().store();
        let slow = Breaking::at_append(inner, 0, Break::Late, Arc::clone(&hold));
        let slow = Arc::new(slow);
        let call_limit = Duration::from_millis(400);
        // What comes before has the time it needs.
        let router = Router::start(slow.store(), roster(2), options()).await.unwrap();
        let (ended, chat) = (ended_now(&router, 1).await, open(&router, 1).await);
        router.stop().await;
        let options = Options { call_limit, store_limit: LIMIT, ..options() };
        let router = Router::start(slow.store(), roster(2), options).await.unwrap();
        let held: Held = Arc::new(());
        let watched = Arc::downgrade(&held);
        slow.break_next();
        let chats = [ended, chat];
        let given_up = match to_the_end {
            false => holding(held, router.end_to_erase(&chats)).await,
            true => holding(held, router.erase(customer(1), &chats)).await,
        };
        assert_eq!(given_up, Err(CallError::Unavailable));
        until("it is under way", || async { slow.has_fired().then_some(()) }).await;
        assert!(watched.upgrade().is_some(), "it is held");
        hold.add_permits(1);
        until("it has ended", || async { watched.upgrade().is_none().then_some(()) }).await;
        router.stop().await;
    }
}

/// It fails whenever it is asked, and has nothing to let go of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_is_damaged_while_it_is_served_can_be_forgotten() {
    let store = MemoryStore::new().store();
    let damaged = Arc::new(Breaking::new(store.clone(), 0, Break::Refused));
    let options = Options { call_limit: Duration::from_secs(3), ..options() };
    silence_meant_panics();
    let router = Router::start(damaged.store(), roster(2), options).await.unwrap();
    let chat = open(&router, 1).await;
    damaged.damage_logs();
    router.crash_chat(chat);
    until("its next life fails", || async { (router.restarts() > 1).then_some(()) }).await;
    router.erase(customer(1), &[chat]).await.unwrap();
    assert!(is_gone(&store, chat).await);
    router.stop().await;
}

/// Others may wait for a word of its end, and nobody can say it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_ended_and_cannot_be_read_any_more_is_left_alone() {
    let store = MemoryStore::new().store();
    let damaged = Arc::new(Breaking::new(store.clone(), 0, Break::Refused));
    let router = start(damaged.store()).await;
    let chat = ended_now(&router, 1).await;
    damaged.damage_logs();
    router.crash_chat(chat);
    until("its next life fails", || async { (router.restarts() > 1).then_some(()) }).await;
    until("it starts no more", || async { (!router.has_chat(chat)).then_some(()) }).await;
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_chat_that_is_said_to_have_ended_is_left_alone() {
    let store = MemoryStore::new().store();
    let options = Options { idle_after: Duration::from_millis(10), ..sweeping() };
    let router = Router::start(store.clone(), keeping(0), options).await.unwrap();
    let chat = open(&router, 1).await;
    // Its actor would not let go of it.
    until("it sleeps", || async { (!router.has_chat(chat)).then_some(()) }).await;
    let said = EndedChat { chat, customer: customer(1), at: days_ago(1) };
    store.ended_chats.put(said).await.unwrap();
    // Behind it in the same slice.
    let other = ended_now(&router, 2).await;
    until_gone(&store, other).await;
    assert!(!is_gone(&store, chat).await);
    send(&router, as_customer(1), chat, &fresh(), "still here").await.unwrap();
    router.stop().await;
}

//! Idle chats go to sleep and wake when somebody wants something of them.

use std::time::Duration;

use switchboard::actors::{Options, Roster, Router};
use switchboard::domain::event::OfferEnd;
use switchboard::domain::{ChatEvent, ChatId, QueueId, Rule};
use switchboard::machine::chat::{ChatCall, Target};
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;

use crate::world::*;

async fn drowsy(idle_after: Duration) -> Router {
    drowsy_over(MemoryStore::new().store(), idle_after).await
}

async fn drowsy_over(store: Store, idle_after: Duration) -> Router {
    silence_meant_panics();
    let options = Options { idle_after, ..options() };
    Router::start(store, roster(2), options).await.unwrap()
}

async fn until_asleep(router: &Router) {
    until("all chats sleep", || async { (router.count("chat") == 0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_sleeps_and_wakes_on_a_call_and_on_a_word_of_its_queue() {
    let router = drowsy(Duration::from_millis(20)).await;
    let chat = open(&router, 1).await;
    until_asleep(&router).await;
    let first = send(&router, as_customer(1), chat, &fresh(), "hello").await.unwrap().1;
    until_asleep(&router).await;
    // The queue offers it: nobody calls.
    let ann = Desk::ready(&router, ANN).await;
    ann.until_presented(chat).await;
    until_asleep(&router).await;
    accepted(&router, &[ann], chat).await;
    until_asleep(&router).await;
    let log = log_of(&router, chat).await;
    assert!(log.iter().any(|r| r.seq == first.seq));
    assert_eq!(router.restarts(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_has_ended_sleeps_long_before_an_open_one() {
    silence_meant_panics();
    let ended_idle_after = Duration::from_millis(10);
    let options = Options { idle_after: Duration::from_secs(3_600), ended_idle_after, ..options() };
    let router = Router::start(MemoryStore::new().store(), roster(2), options).await.unwrap();
    let (open_one, ended) = (open(&router, 1).await, open(&router, 2).await);
    call(&router, ended, ChatCall::End { by: as_customer(2), command: fresh() }).await.unwrap();
    until("one sleeps", || async { (router.count("chat") == 1).then_some(()) }).await;
    router.crash_chat(open_one);
    until("the open one was awake", || async { (router.restarts() == 1).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_ends_in_a_sleeping_chat_though_its_queue_is_down() {
    let router = drowsy(Duration::from_millis(10)).await;
    let mut push = queue(PUSH, Rule::LeastLoaded, &[ANN]);
    (push.version, push.offer_timeout_ms) = (2, 700);
    router.set_queue(push);
    let ann = Desk::ready(&router, ANN).await;
    let chat = open(&router, 1).await;
    ann.until_presented(chat).await;
    // Failing again and again it is put off for seconds.
    for failures in 1..=6 {
        router.crash_queue(PUSH);
        until("it has failed", || async { (router.restarts() >= failures).then_some(()) }).await;
        if failures < 6 {
            until("it is back", || async { (router.count("queue") == 3).then_some(()) }).await;
        }
    }
    until_asleep(&router).await;
    until("the offer has lapsed", || async {
        let log = log_of(&router, chat).await;
        let lapsed = |event: &ChatEvent| {
            matches!(event, ChatEvent::OfferEnded { how: OfferEnd::Lapsed, .. })
        };
        log.iter().any(|r| lapsed(&r.event)).then_some(())
    })
    .await;
    assert_eq!(router.count("queue"), 2, "the queue came back too soon for this test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_to_a_chat_that_falls_asleep() {
    let router = drowsy(Duration::from_millis(1)).await;
    customers_talk(&router).await;
    until_asleep(&router).await;
    assert_eq!((router.under_way(), router.restarts()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_once_was_in_a_deleted_queue_sleeps_again_in_later_lives() {
    let (memory, closed) = (MemoryStore::new(), QueueId::from_u128(0x4));
    let asleep_but = |router: Router, awake: usize| async move {
        until("it sleeps", || async { (router.count("chat") == awake).then_some(()) }).await;
    };
    let router = drowsy_over(memory.store(), Duration::from_millis(10)).await;
    router.set_queue(queue(closed, Rule::Manual, &[ANN]));
    let mut chats: Vec<ChatId> = Vec::new();
    for who in [1, 2] {
        let chat = open(&router, who).await;
        transfer(&router, as_administrator(), chat, Target::Queue(closed)).await.unwrap();
        chats.push(chat);
    }
    transfer(&router, as_administrator(), chats[0], Target::Queue(PUSH)).await.unwrap();
    asleep_but(router.clone(), 0).await;
    router.stop().await;
    memory.restart();
    // In the next process nobody is there to hear it, and no channel names another queue.
    let bare = Roster { channels: Default::default(), ..roster(2) };
    let options = Options { idle_after: Duration::from_millis(10), ..options() };
    let router = Router::start(memory.store(), bare, options).await.unwrap();
    look(&router, chats[0]).await;
    asleep_but(router.clone(), 1).await;
    // One that still waits there goes on until somebody is.
    look(&router, chats[1]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    asleep_but(router.clone(), 1).await;
    router.set_queue(queue(closed, Rule::LeastLoaded, &[ANN]));
    asleep_but(router.clone(), 0).await;
    let ann = Desk::ready(&router, ANN).await;
    ann.until_presented(chats[1]).await;
}

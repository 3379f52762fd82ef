//! Queues and channels are not deleted under the chats that are on their way to them; and whatever
//! waits in a queue that is not there is found.

use std::sync::Arc;

use switchboard::actors::{Options, Roster, Router};
use switchboard::domain::{ChatEvent, ChatId, Profile, QueueId, Rule};
use switchboard::machine::chat::Target;
use switchboard::routing::WhyWaits;
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;

use crate::store::{Break, Breaking};
use crate::world::*;

/// The queue that goes away.
const GONE: QueueId = QueueId::from_u128(0x4);

/// A router whose `at`th append is held until the semaphore says so.
async fn held_at(at: usize) -> (Router, Arc<Breaking>, Arc<Semaphore>) {
    let hold = Arc::new(Semaphore::new(0));
    let store = MemoryStore::new().store();
    let breaking = Arc::new(Breaking::at_append(store, at, Break::Late, Arc::clone(&hold)));
    let router = start(breaking.store()).await;
    router.set_queue(queue(GONE, Rule::Manual, &[ANN]));
    (router, breaking, hold)
}

/// Deactivates the queue, as a write before every deletion does.
fn close(router: &Router) {
    let mut closed = queue(GONE, Rule::Manual, &[ANN]);
    (closed.version, closed.active) = (2, false);
    router.set_queue(closed);
}

async fn moved(router: &Router, chat: ChatId, to: QueueId) {
    transfer(router, as_administrator(), chat, Target::Queue(to)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_in_use_while_a_transfer_into_it_is_being_written() {
    let (router, breaking, hold) = held_at(2).await;
    let chat = open(&router, 1).await;
    let transfer = tokio::spawn({
        let router = router.clone();
        async move { moved(&router, chat, GONE).await }
    });
    until("it is being written", || async { breaking.has_fired().then_some(()) }).await;
    close(&router);
    assert!(router.retire_queue(GONE, 2), "it is about to be there");
    hold.add_permits(1);
    transfer.await.unwrap();
    assert!(router.retire_queue(GONE, 2), "it is there");
    moved(&router, chat, PUSH).await;
    assert!(!router.retire_queue(GONE, 2), "it is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_in_use_while_a_transfer_into_it_waits_for_its_turn() {
    let (router, breaking, hold) = held_at(2).await;
    let chat = open(&router, 1).await;
    let write = tokio::spawn({
        let router = router.clone();
        async move { send(&router, as_customer(1), chat, &fresh(), "hello").await.unwrap() }
    });
    until("a message is being written", || async { breaking.has_fired().then_some(()) }).await;
    let transfer = tokio::spawn({
        let router = router.clone();
        async move { moved(&router, chat, GONE).await }
    });
    until("the transfer waits", || async { (router.under_way() == 2).then_some(()) }).await;
    close(&router);
    assert!(router.retire_queue(GONE, 2), "a call is on its way");
    hold.add_permits(1);
    write.await.unwrap();
    transfer.await.unwrap();
    moved(&router, chat, PUSH).await;
    assert!(!router.retire_queue(GONE, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_whose_newer_version_is_in_force_is_not_closed() {
    let router = start(MemoryStore::new().store()).await;
    close(&router);
    let mut opened = queue(GONE, Rule::Manual, &[ANN]);
    opened.version = 3;
    router.set_queue(opened);
    assert!(router.retire_queue(GONE, 2), "somebody has opened it again");
    let chat = open(&router, 1).await;
    // What comes late changes nothing.
    close(&router);
    moved(&router, chat, GONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_in_use_while_somebody_comes_through_it() {
    let (router, breaking, hold) = held_at(1).await;
    let opening = tokio::spawn({
        let router = router.clone();
        async move { router.open(customer(1), &fresh(), &Profile::default(), &Unbounded).await }
    });
    until("it is being opened", || async { breaking.has_fired().then_some(()) }).await;
    assert!(router.retire_channel(CHANNEL).await.unwrap());
    hold.add_permits(1);
    opening.await.unwrap().unwrap();
    assert!(router.retire_channel(CHANNEL).await.unwrap(), "it had a chat");
    let late = router.open(customer(2), &fresh(), &Profile::default(), &Unbounded).await;
    assert!(late.is_err(), "nobody comes through it any more");
}

/// A store in which a chat waits in a queue that nobody configures any more.
async fn left_behind() -> (Store, ChatId) {
    let memory = MemoryStore::new();
    let router = start(memory.store()).await;
    router.set_queue(queue(GONE, Rule::Manual, &[ANN]));
    let chat = open(&router, 1).await;
    moved(&router, chat, GONE).await;
    router.stop().await;
    memory.restart();
    (memory.store(), chat)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_whose_queue_is_gone_at_the_start_goes_into_that_of_its_channel() {
    let (store, chat) = left_behind().await;
    let router = start(store).await;
    let ann = Desk::ready(&router, ANN).await;
    ann.until_presented(chat).await;
    let log = log_of(&router, chat).await;
    let placed = log.iter().filter_map(|recorded| match &recorded.event {
        ChatEvent::Placed { queue, .. } => Some(*queue),
        _ => None,
    });
    assert_eq!(placed.collect::<Vec<_>>(), [PUSH, GONE, PUSH], "once, by nobody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_another_queue_it_is_shown_and_counted_until_there_is_one() {
    let (store, chat) = left_behind().await;
    let bare = Roster { channels: Default::default(), ..roster(2) };
    let router = Router::start(store, bare, Options::default()).await.unwrap();
    let why = || async { Some(router.explain(chat).await.unwrap().0?.why) };
    assert_eq!(why().await, Some(WhyWaits::NoQueue));
    assert_eq!(router.gauges().without_queue, 1);
    router.set_channel(CHANNEL, Some(ALL));
    until("it is found", || async { (router.gauges().without_queue == 0).then_some(()) }).await;
    let line = until("it is in the line", || async {
        let line = router.line(ALL, None, 10).await.ok()?.chats;
        (!line.is_empty()).then_some(line)
    });
    assert_eq!(line.await[0].chat, chat);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_loses_its_queue_while_it_waits_is_found_at_once() {
    let router = start(MemoryStore::new().store()).await;
    router.set_queue(queue(GONE, Rule::Manual, &[ANN]));
    let chat = open(&router, 1).await;
    moved(&router, chat, GONE).await;
    // What no call can bring about.
    router.remove_queue(GONE);
    let ann = Desk::ready(&router, ANN).await;
    ann.until_presented(chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_is_being_opened_is_not_counted_as_one_that_waits() {
    let (router, breaking, hold) = held_at(1).await;
    let opening = tokio::spawn({
        let router = router.clone();
        async move { open(&router, 1).await }
    });
    until("its row is there", || async { breaking.has_fired().then_some(()) }).await;
    let gauges = router.gauges();
    assert_eq!((gauges.oldest_wait_ms[&PUSH], gauges.moving), (0, 1));
    assert!(gauges.chats.values().all(|count| *count == 0), "{gauges:?}");
    hold.add_permits(1);
    let chat = opening.await.unwrap();
    until("it waits", || async { router.waits_since(chat).map(|_| ()) }).await;
    assert_eq!(router.gauges().chats.values().sum::<u64>(), 1);
}

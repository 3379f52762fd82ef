//! Idle chats and operators are parked: their actors end, and the next ones go on where they were.

use std::sync::Arc;
use std::time::Duration;

use switchboard::actors::{Connection, OperatorSettings, Options, Outgoing, Router};
use switchboard::domain::{Person, Rule, Status};
use switchboard::machine::chat::ChatCall;
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::store::{Break, Breaking, Only};
use crate::world::*;

const SOON: Duration = Duration::from_millis(20);

/// Whose chats and operators are parked after so long.
async fn parking(store: Store, after: Duration) -> Router {
    silence_meant_panics();
    let options =
        Options { idle_chats_park_after: after, idle_operators_park_after: after, ..options() };
    Router::start(store, roster(2), options).await.unwrap()
}

async fn until_no_chat_runs(router: &Router) {
    until("no chat runs", || async { (router.count("chat") == 0).then_some(()) }).await;
}

async fn until_no_operator_runs(router: &Router) {
    until("no operator runs", || async { (router.count("operator") == 0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_chat_goes_on_where_it_was_and_reads_nothing() {
    let store = MemoryStore::new().store();
    let counting = Arc::new(Breaking::at_only(store, Only::Reads, usize::MAX, Break::Refused));
    let router = parking(counting.store(), SOON).await;
    let chat = open(&router, 1).await;
    let first = send(&router, as_customer(1), chat, &fresh(), "hello").await.unwrap().1;
    let person = Person::Customer(customer(1));
    router.raise_watermark(chat, person, first.seq, true).await.unwrap();
    until_no_chat_runs(&router).await;
    assert!(router.has_chat(chat));
    let before = counting.calls();
    let view = look(&router, chat).await;
    assert_eq!(view.watermarks[&party(as_customer(1))].read, first.seq);
    until_no_chat_runs(&router).await;
    let second = send(&router, as_customer(1), chat, &fresh(), "again").await.unwrap().1;
    assert_eq!(second.seq, first.seq + 1);
    // A life that finds a log reads it.
    assert_eq!((counting.calls(), router.restarts()), (before, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_chat_falls_asleep_and_one_that_has_ended_at_once() {
    silence_meant_panics();
    let park = Duration::from_millis(10);
    let options = Options {
        idle_chats_park_after: park,
        idle_after: Duration::from_millis(400),
        ended_idle_after: park,
        ..options()
    };
    let router = Router::start(MemoryStore::new().store(), roster(2), options).await.unwrap();
    let ended = open(&router, 1).await;
    call(&router, ended, ChatCall::End { by: as_customer(1), command: fresh() }).await.unwrap();
    let parked = open(&router, 2).await;
    until("it is gone", || async { (!router.has_chat(ended)).then_some(()) }).await;
    until("it sleeps", || async { (!router.has_chat(parked)).then_some(()) }).await;
    send(&router, as_customer(2), parked, &fresh(), "awake").await.unwrap();
    assert_eq!(router.restarts(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_parked_chat_knew_is_of_no_account_once_its_next_actor_has_failed() {
    let router = parking(MemoryStore::new().store(), SOON).await;
    let chat = open(&router, 1).await;
    let mut acknowledged = Vec::new();
    for crashes in 1..=3 {
        until_no_chat_runs(&router).await;
        router.crash_chat(chat);
        until("it has failed", || async { (router.restarts() == crashes).then_some(()) }).await;
        let (by, id, text) = (as_customer(1), fresh(), format!("after {crashes}"));
        let seq = send(&router, by, chat, &id, &text).await.unwrap().1.seq;
        acknowledged.push(Acknowledged { chat, seq, from: party(by), id, text });
    }
    check_log(chat, &log_of(&router, chat).await, &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_lapses_in_a_parked_chat_and_goes_to_the_next() {
    let router = parking(MemoryStore::new().store(), SOON).await;
    let mut push = queue(PUSH, Rule::LeastLoaded, &[ANN, BEN]);
    (push.version, push.offer_timeout_ms) = (2, 700);
    router.set_queue(push);
    let (ann, ben) = (Desk::ready(&router, ANN).await, Desk::ready(&router, BEN).await);
    let chat = open(&router, 1).await;
    until_no_chat_runs(&router).await;
    ann.until_presented(chat).await;
    ben.until_presented(chat).await;
    assert_eq!(router.restarts(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_to_a_chat_that_is_being_parked() {
    let router = parking(MemoryStore::new().store(), Duration::from_millis(1)).await;
    customers_talk(&router).await;
    until_no_chat_runs(&router).await;
    assert_eq!((router.under_way(), router.restarts()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_operator_is_offered_a_chat_and_has_what_it_had() {
    let store = MemoryStore::new().store();
    let counting = Arc::new(Breaking::at_only(store, Only::Loads, usize::MAX, Break::Refused));
    let router = parking(counting.store(), SOON).await;
    let desks = [Desk::ready(&router, ANN).await];
    until_no_operator_runs(&router).await;
    let first = open(&router, 1).await;
    accepted(&router, &desks, first).await;
    until_no_operator_runs(&router).await;
    let second = open(&router, 2).await;
    accepted(&router, &desks, second).await;
    until_no_operator_runs(&router).await;
    let read = counting.calls();
    let view = router.operator(ANN).await.unwrap();
    assert_eq!((view.load, view.present), (2, true));
    assert_eq!((counting.calls(), router.restarts()), (read, 0), "its record is not read anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_for_a_parked_operator_is_in_force_at_once() {
    let router = parking(MemoryStore::new().store(), SOON).await;
    let none = OperatorSettings { capacity: 0, active: true };
    router.set_operator(ANN, none);
    let ann = Desk::ready(&router, ANN).await;
    let chat = open(&router, 1).await;
    until_no_operator_runs(&router).await;
    router.set_operator(ANN, OperatorSettings { capacity: 1, ..none });
    ann.until_presented(chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_operator_whose_time_has_come_is_woken_by_nobody_and_acts() {
    let router = parking(MemoryStore::new().store(), SOON).await;
    let mut push = queue(PUSH, Rule::LeastLoaded, &[ANN, BEN]);
    (push.version, push.absent_owner_limit_ms) = (2, Some(1_500));
    router.set_queue(push);
    let ann = Desk::ready(&router, ANN).await;
    let chat = open(&router, 1).await;
    let desks = [ann];
    accepted(&router, &desks, chat).await;
    let [ann] = desks;
    ann.leave();
    until_no_operator_runs(&router).await;
    assert_eq!(owner_of(&router, chat).await, Some(ANN), "not yet");
    let taken_back = || async { owner_of(&router, chat).await.is_none().then_some(()) };
    until("her chat goes back to its line", taken_back).await;
}

/// The word of it would reach nobody, and she would never write again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_not_parked_while_its_record_is_being_written() {
    let hold = Arc::new(Semaphore::new(0));
    let mut held = Breaking::at_only(MemoryStore::new().store(), Only::Saves, 0, Break::Late);
    held.hold = Some(Arc::clone(&hold));
    let held = Arc::new(held);
    let router = parking(held.store(), SOON).await;
    let desks = [Desk::ready(&router, ANN).await, Desk::ready(&router, BEN).await];
    held.break_next();
    let chat = open(&router, 1).await;
    let owner = accepted(&router, &desks, chat).await;
    until("when she accepted is being written", || async { held.has_fired().then_some(()) }).await;
    // The other has something to do later than she, and is parked no earlier than she would be.
    let other = desks.iter().find(|desk| desk.id != owner).unwrap();
    other.status(Status::Busy).await;
    until("the other is parked", || async { (router.count("operator") == 1).then_some(()) }).await;
    hold.add_permits(1);
    for desk in &desks {
        desk.status(Status::Busy).await;
    }
    until_no_operator_runs(&router).await;
}

/// A connection is told of once, and probed at once. On one thread, and with times of a millisecond, the word of it
/// often comes between an operator's decision to rest and its end.
#[tokio::test]
async fn no_connection_is_lost_to_an_operator_that_is_being_parked() {
    const TIMES: u64 = 300;
    let router = parking(MemoryStore::new().store(), Duration::from_millis(1)).await;
    let comings = async move {
        for n in 0..TIMES {
            let Connection { id, mut outbox } = router.connect(Person::User(ANN));
            let probed =
                async { while !matches!(outbox.recv().await.unwrap(), Outgoing::Probe(_)) {} };
            timeout(LIMIT, probed).await.unwrap();
            router.disconnect(Person::User(ANN), id);
            tokio::time::sleep(Duration::from_millis(1 + n % 3)).await;
        }
        router.restarts()
    };
    // A task as those of the actors are, so that a millisecond wakes them in any order.
    assert_eq!(tokio::spawn(comings).await.unwrap(), 0);
}

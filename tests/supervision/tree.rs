//! The tree that is shown is the one that runs, and it does what its table says.

use std::time::Duration;

use switchboard::actors::tree::{TREE, render};
use switchboard::actors::{CallError, Options, Router};
use switchboard::domain::limits::ASSIGN_LIMIT_MS;
use switchboard::domain::limits::CHAT_SHARDS;
use switchboard::machine::chat::ChatCall;
use switchboard::storage::memory::MemoryStore;

use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_names_all_that_runs_and_nothing_else() {
    let router = start(MemoryStore::new().store()).await;
    let _ann = Desk::ready(&router, ANN).await;
    for who in 1..=40 {
        open(&router, who).await;
    }
    let expected = [
        ("chat", 40),
        ("queue", 3),
        // Every queue asks all its members.
        ("operator", 2),
        ("follower", 0),
        ("chats", CHAT_SHARDS),
        ("queues", 1),
        ("operators", 1),
        ("followers", 1),
        ("alarm", 1),
        ("retention", 1),
    ];
    assert_eq!(TREE.iter().map(|c| c.name).collect::<Vec<_>>(), expected.map(|(name, _)| name));
    for (name, count) in expected {
        until(name, || async { (router.count(name) == count).then_some(()) }).await;
    }
    let below_the_root = TREE.iter().filter(|child| child.parent == "root");
    let named: usize = below_the_root.map(|child| router.count(child.name)).sum();
    assert_eq!(router.supervisors(), named, "the root has a child that the table does not name");
    assert!(render(|name| router.count(name)).contains("chat x40"));
    assert_eq!(router.count("something"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_fails_is_counted_and_comes_back() {
    let router = start(MemoryStore::new().store()).await;
    let desks = [Desk::ready(&router, ANN).await];
    let chat = open(&router, 1).await;
    desks[0].until_presented(chat).await;
    let crashes: [&dyn Fn(); 3] =
        [&|| router.crash_chat(chat), &|| router.crash_queue(PUSH), &|| router.crash_operator(ANN)];
    for (crash, restarts) in crashes.iter().zip(1..) {
        crash();
        until("it is counted", || async { (router.restarts() == restarts).then_some(()) }).await;
    }
    let counts = [("chat", 1), ("queue", 3), ("operator", 2)];
    for (name, count) in counts {
        until("it is back", || async { (router.count(name) == count).then_some(()) }).await;
    }
    assert!(!*router.ended().borrow());
    accepted(&router, &desks, chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_operator_counts_its_slots_when_no_assign_of_its_former_life_can_land() {
    let router = start(MemoryStore::new().store()).await;
    let _ann = Desk::ready(&router, ANN).await;
    let crashed_at = router.now();
    router.crash_operator(ANN);
    until("it failed", || async { (router.restarts() == 1).then_some(()) }).await;
    until("its slots are counted", || async { router.operator(ANN).await.ok() }).await;
    let waited_ms = router.now().since_ms(crashed_at);
    assert!(waited_ms >= ASSIGN_LIMIT_MS, "after {waited_ms} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_ended_comes_back_when_it_fails_before_it_sleeps() {
    let router = start(MemoryStore::new().store()).await;
    let chat = open(&router, 1).await;
    call(&router, chat, ChatCall::End { by: as_customer(1), command: fresh() }).await.unwrap();
    router.crash_chat(chat);
    until("it failed", || async { (router.restarts() == 1).then_some(()) }).await;
    until("it is back", || async { (router.count("chat") == 1).then_some(()) }).await;
    assert_eq!(router.open_chats(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_that_fails_ends_the_process() {
    silence_meant_panics();
    for name in TREE.iter().filter(|child| child.parent == "root").map(|child| child.name) {
        let options = Options { call_limit: Duration::from_millis(200), ..options() };
        let store = MemoryStore::new().store();
        let router = Router::start(store, roster(2), options).await.unwrap();
        let mut ended = router.ended();
        assert!(!*ended.borrow());
        router.crash_supervisor(name);
        let waited = tokio::time::timeout(LIMIT, ended.wait_for(|ended| *ended)).await;
        assert!(waited.is_ok_and(|ended| ended.is_ok()), "{name} fails and nobody is told");
        router.stop().await;
        let refused = router.line(PUSH, None, 1).await;
        assert_eq!(refused.unwrap_err(), CallError::Unavailable, "it has stopped");
    }
}

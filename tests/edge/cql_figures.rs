//! Figures of the router on a CQL server, printed and not judged. Each takes minutes:
//! `cargo test --release --test edge figures -- --ignored --nocapture --test-threads 1`.

use std::sync::Arc;
use std::time::Duration;

use scylla::client::session_builder::SessionBuilder;
use switchboard::domain::ChatId;
use switchboard::storage::OpenChats;
use switchboard::storage::scylla::ScyllaStore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cql::{ready, starting, waiting};
use crate::cql_support::{Keyspace, tombstones};
use crate::samples::open_chat;

/// How often a process is killed.
const KILLS: usize = 10;

/// Chats that come and go in an hour.
const AN_HOUR: u128 = 1_000;

/// Chats that are open at the start, in the last [`LAST_HOURS`].
const OPEN: u128 = 2_000;
const LAST_HOURS: u128 = 20;

/// Ids of chats say when they were opened.
fn made_in(hour: u128, n: u128) -> ChatId {
    ChatId::from_u128((hour * 3_600_000) << 80 | n)
}

fn row(hour: u128, n: u128) -> switchboard::storage::OpenChat {
    let mut row = open_chat(1, 5);
    // Waits for nothing but an operator: a start leaves it asleep.
    (row.chat, row.next_deadline) = (made_in(hour, n), None);
    row
}

/// So many chats have come and gone in hours of their own, and some are open.
async fn fill(store: &Arc<ScyllaStore>, completed: u128) {
    let hours = completed / AN_HOUR;
    for hour in 0..hours {
        let mut tasks = JoinSet::new();
        for n in 0..AN_HOUR {
            let (store, row) = (Arc::clone(store), row(hour, n));
            tasks.spawn(async move {
                let chat = row.chat;
                OpenChats::put(&*store, row).await.unwrap();
                store.remove(chat).await.unwrap();
            });
        }
        tasks.join_all().await;
    }
    let mut tasks = JoinSet::new();
    for n in 0..OPEN {
        let store = Arc::clone(store);
        let row = row(hours - 1 - n % LAST_HOURS.min(hours), 5_000 + n);
        tasks.spawn(async move { OpenChats::put(&*store, row).await.unwrap() });
    }
    tasks.join_all().await;
}

/// `SWITCHBOARD_TEST_COMPLETED` chats, by default 100,000, have come and gone.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; prints how long a start takes"]
async fn cql_figures_of_a_start() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let completed = std::env::var("SWITCHBOARD_TEST_COMPLETED").ok();
    let completed = completed.and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let store = Arc::new(ScyllaStore::open(&keyspace.options).await.unwrap());
    fill(&store, completed).await;
    store.close().await;

    let begun = Instant::now();
    let store = ScyllaStore::open(&keyspace.options).await.unwrap();
    let opened = begun.elapsed();
    let rows = store.scan(None, 10_000).await.unwrap();
    let read = begun.elapsed();
    assert_eq!(rows.len(), OPEN as usize);
    store.close().await;
    println!("{completed} completed, {OPEN} open: opened in {opened:?}, read in {read:?}");

    let begun = Instant::now();
    let process = ready(starting(&keyspace)).await;
    println!("the process is ready in {:?}", begun.elapsed());
    drop(process);
    let raw = SessionBuilder::new().known_nodes(&keyspace.options.contact_points);
    let raw = raw.build().await.unwrap();
    for (table, most) in tombstones(&raw, &keyspace.options.keyspace).await {
        println!("tombstones of one read of {table}: {most:.0} at most");
    }
}

#[tokio::test]
#[ignore = "takes a minute; prints how long a takeover takes"]
async fn cql_figures_of_takeovers() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let mut owner = ready(starting(&keyspace)).await;
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..KILLS {
        let next = waiting(&keyspace).await;
        owner.child.kill().unwrap();
        let killed = Instant::now();
        owner = ready(next).await;
        took.push(killed.elapsed());
    }
    took.sort();
    println!("from SIGKILL to a ready successor: {took:?}, median {:?}", took[KILLS / 2]);
}

//! How long a server takes from nothing to being ready, by the number of ended chats in its store: the
//! median of several starts. It should not depend on them.
//!
//! Run with `cargo bench --bench start [-- CHATS [FOLDER]]`, 100,000 by default. A million takes 20
//! minutes to fill and 3 GB. A process is started to measure the first time, when no page is in memory;
//! compare the figures of one run.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]

#[path = "../tests/support/samples.rs"]
mod samples;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use samples::{chat, command, customer_of, message};
use switchboard::app::{Plan, Server, StoreChoice};
use switchboard::config::Settings;
use switchboard::domain::event::PlacedCause;
use switchboard::domain::{ChatEvent, Outcome, Party, Profile, QueueId, Recorded, Timestamp};
use switchboard::storage::sqlite::{SqliteOptions, SqliteStore};
use switchboard::storage::{EndedChat, Store};
use tokio::task::JoinSet;

/// Starts that are measured.
const STARTS: usize = 7;

/// Chats that are written at a time: they share commits.
const AT_ONCE: u128 = 256;

/// Messages of a chat.
const MESSAGES: u64 = 6;

/// The time of the first chat: that of its id.
const BEGAN: u64 = 1_790_000_000_000;

fn main() {
    // `cargo test --benches` passes this; a measurement without optimisation says nothing.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let given: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chats = given.first().map_or(100_000, |chats| chats.parse().unwrap());
    let folder = match given.get(1) {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(folder.path(), chats));
}

async fn measure(folder: &Path, chats: u128) {
    let (empty, full) = (folder.join("empty"), folder.join("full"));
    fill(&full, chats).await;
    for (name, data) in [("an empty store", empty), ("that store", full)] {
        // The first one makes what is not there yet.
        started(&data).await;
        let mut took = Vec::new();
        for _ in 0..STARTS {
            took.push(started(&data).await);
        }
        took.sort_by(f64::total_cmp);
        println!(
            "{name}: ready after {:.0} ms ({:.0} to {:.0})",
            took[STARTS / 2],
            took[0],
            took[STARTS - 1]
        );
    }
}

/// Writes chats that have ended.
async fn fill(data: &Path, chats: u128) {
    let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(data)).unwrap());
    let store = sqlite.store();
    let began = now();
    for first in (0..chats).step_by(AT_ONCE as usize) {
        let mut tasks = JoinSet::new();
        for n in first..(first + AT_ONCE).min(chats) {
            let store = store.clone();
            tasks.spawn(async move { end_one(&store, n).await });
        }
        tasks.join_all().await;
    }
    println!("{chats} ended chats written in {:.0} s", began.elapsed().as_secs_f64());
}

async fn end_one(store: &Store, n: u128) {
    // Ids have the time of their making in front, ms.
    let made = BEGAN + u64::try_from(n).unwrap() * 100;
    let id = chat((u128::from(made) << 80) | (0x7 << 76) | (0b10 << 62) | n);
    let customer = customer_of(1, n);
    let at = |seq: u64, event| Recorded {
        seq,
        at: Timestamp(made + seq),
        event,
        names: Default::default(),
    };
    let opened = ChatEvent::Opened {
        customer,
        command: command(&format!("open-{n}")),
        profile: Profile::default(),
        continues: None,
    };
    let placed = ChatEvent::Placed {
        placement: 1,
        queue: QueueId::from_u128(1),
        weight: Default::default(),
        cause: PlacedCause::Opened,
    };
    let ended = ChatEvent::Ended {
        placement: 2,
        by: Party::Customer(customer.id),
        command: Some(command("end")),
        outcome: Outcome::Missed,
    };
    let mut events = vec![at(1, opened), at(2, placed)];
    events.extend((3..3 + MESSAGES).map(|seq| {
        let Recorded { event, .. } =
            message(seq, "A hundred bytes of a customer's patience, spelled out");
        at(seq, event)
    }));
    events.push(at(3 + MESSAGES, ended));
    let claim = store.log.claim(id).await.unwrap().claim;
    store.log.append(claim, events).await.unwrap();
    let row = EndedChat { chat: id, customer, at: Timestamp(made + 3 + MESSAGES) };
    store.ended_chats.put(row).await.unwrap();
}

/// Starts a server on the store and stops it; answers how long the start took, ms.
async fn started(data: &Path) -> f64 {
    let mut settings = Settings::default();
    settings.server.listen = "127.0.0.1:0".parse().unwrap();
    settings.server.ops_listen = settings.server.listen;
    let began = now();
    let plan = Plan { store: StoreChoice::Sqlite(data.into()), ..Plan::of(settings) };
    let server = Server::start(plan).await.unwrap();
    let took = began.elapsed().as_secs_f64() * 1_000.0;
    server.stop().await;
    took
}

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "this is what is measured")]
    Instant::now()
}

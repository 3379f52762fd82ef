//! What the index behind the log costs by the number of active chats: appends a second over so many events that
//! folds and checkpoints show, the longest time in which nothing was acknowledged, and how many chats had to claim
//! their logs again, since the store had forgotten their claims.
//!
//! Run with `cargo bench --bench index [-- EVENTS [FOLDER]]`, two million events by default, of 1,000, 50,000 and
//! 500,000 chats in turn: some minutes and 2 GB at a time. Compare the rows of one run.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

#[path = "../tests/support/samples.rs"]
mod samples;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use samples::{chat, message};
use switchboard::storage::sqlite::{SqliteOptions, SqliteStore};
use switchboard::storage::{AppendError, ChatLog, Claim};
use tokio::task::JoinSet;

/// Chats, each of which gets an event in turn.
const CHATS: [u64; 3] = [1_000, 50_000, 500_000];

/// Appends that are under way at a time; each writer has chats of its own.
const WRITERS: u64 = 256;

/// A message of 120 bytes.
const TEXT: &str = "A hundred and twenty bytes of a customer's patience, spelled out word by word until \
                    the line is exactly as long as this";

fn main() {
    // `cargo test --benches` passes this; a measurement without optimisation says nothing.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let given: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let events = given.first().map_or(2_000_000, |events| events.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    println!(
        "{:>8} {:>10} {:>11} {:>15} {:>9} {:>12} {:>14}",
        "chats", "events", "appends /s", "longest gap ms", "folded", "checkpoints", "claimed again"
    );
    for chats in CHATS {
        if events < chats {
            println!("{chats:>8} {events:>10} are too few: each chat gets one at least");
            continue;
        }
        let folder = match given.get(1) {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        };
        runtime.block_on(measure(folder.unwrap().path(), chats, events));
    }
}

async fn measure(folder: &Path, chats: u64, events: u64) {
    let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(folder)).unwrap());
    let log = sqlite.store().log;
    let claims = claimed(&log, chats).await;
    let before = (sqlite.counters().folded(), sqlite.counters().checkpoints());
    let (begun, last, longest) = (Instant::now(), AtomicU64::new(0), AtomicU64::new(0));
    let (last, longest) = (Arc::new(last), Arc::new(longest));
    let again = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for own in claims {
        let (log, last, longest) = (Arc::clone(&log), Arc::clone(&last), Arc::clone(&longest));
        let again = Arc::clone(&again);
        writers.spawn(async move {
            let mut own = own;
            for seq in 1..=events / chats {
                for claim in &mut own {
                    // The store remembers so many claims; a chat whose claim it has forgotten claims again.
                    while let Err(refused) = log.append(*claim, vec![message(seq, TEXT)]).await {
                        assert_eq!(refused, AppendError::Fenced);
                        *claim = log.claim(claim.chat).await.unwrap().claim;
                        again.fetch_add(1, Relaxed);
                    }
                    let now = begun.elapsed().as_micros() as u64;
                    longest.fetch_max(now.saturating_sub(last.swap(now, Relaxed)), Relaxed);
                }
            }
        });
    }
    writers.join_all().await;
    let seconds = begun.elapsed().as_secs_f64();
    let (written, counters) = (events / chats * chats, sqlite.counters());
    println!(
        "{chats:>8} {written:>10} {:>11.0} {:>15.1} {:>9} {:>12} {:>14}",
        written as f64 / seconds,
        longest.load(Relaxed) as f64 / 1_000.0,
        counters.folded() - before.0,
        counters.checkpoints() - before.1,
        again.load(Relaxed),
    );
}

/// The claims of all chats, those of each writer apart.
async fn claimed(log: &Arc<dyn ChatLog>, chats: u64) -> Vec<Vec<Claim>> {
    let mut claiming = JoinSet::new();
    for writer in 0..WRITERS {
        let log = Arc::clone(log);
        claiming.spawn(async move {
            let mut own = Vec::new();
            for n in (writer..chats).step_by(WRITERS as usize) {
                own.push(log.claim(chat(u128::from(n))).await.unwrap().claim);
            }
            own
        });
    }
    claiming.join_all().await
}

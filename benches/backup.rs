//! What a backup of a running store costs: a store of 2 GB is copied while it takes appends at half
//! of its top rate, then at a tenth, then none. Prints the time of an acknowledgement before, during
//! and after each copy, how many times the 99th percentile before is that during it (at most twice is
//! promised), how large the log of writes became, and whether the copy is whole.
//!
//! Run with `cargo bench --bench backup [-- FOLDER]`; needs 16 GB there. Compare the times before and
//! during, not the figures: disks differ, and what else the machine does shows in both.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]

#[path = "../tests/support/samples.rs"]
mod samples;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use samples::{chat, message};
use switchboard::storage::sqlite::{SqliteOptions, SqliteStore};
use switchboard::storage::{Claim, Store};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How large the store is, bytes.
const SIZE: u64 = 2 << 30;

/// Chats that write at once.
const CHATS: u64 = 64;

/// Parts of the top rate at which it is copied.
const PARTS: [f64; 2] = [2.0, 10.0];

/// How long the top rate, and each side of the copy, is measured.
const RUN: Duration = Duration::from_secs(15);

/// Messages in one append while the store is filled.
const FILL_BATCH: u64 = 32;

/// A message of 120 bytes.
const TEXT: &str = "A hundred and twenty bytes of a customer's patience, spelled out word by word until \
                    the line is exactly as long as this";

fn main() {
    // `cargo test --benches` passes this; a measurement without optimisation says nothing.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = match &chosen {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(folder.path()));
}

async fn measure(folder: &Path) {
    let data = folder.join("data");
    let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(&data)).unwrap());
    let store = sqlite.store();
    let mut chats = Vec::new();
    for n in 0..CHATS {
        let claim = store.log.claim(chat(n.into())).await.unwrap().claim;
        chats.push((claim, Arc::new(AtomicU64::new(1))));
    }
    fill(&store, &chats, &data).await;
    println!("the store has {} MiB", size(&data) >> 20);
    let top = top_rate(&store, &chats).await;
    println!("top rate: {top:.0} appends a second");
    for part in PARTS {
        let rate = top / part;
        println!("{rate:.0} appends a second:");
        let wal = Arc::new(AtomicU64::new(0));
        let paced = |wanted: Arc<AtomicBool>| {
            paced(store.clone(), chats.clone(), rate, wanted, data.clone(), Arc::clone(&wal))
        };
        let before = show("before", for_a_while(paced).await, &wal);
        let on = Arc::new(AtomicBool::new(true));
        let load = tokio::spawn(paced(Arc::clone(&on)));
        copy(&sqlite, &folder.join("copy")).await;
        on.store(false, Ordering::Relaxed);
        let during = show("during", load.await.unwrap(), &wal);
        println!("p99 during the copy: {:.2} times that before it", during / before);
        show("after", for_a_while(paced).await, &wal);
        check(&folder.join("copy"));
    }
    println!("no appends:");
    copy(&sqlite, &folder.join("copy")).await;
    check(&folder.join("copy"));
}

async fn copy(sqlite: &SqliteStore, file: &Path) {
    #[allow(clippy::disallowed_methods, reason = "this is what is measured")]
    let begun = Instant::now();
    let (progress, _) = watch::channel(Default::default());
    let copied = sqlite.back_up(file, progress).await;
    let took = begun.elapsed().as_secs_f64();
    match copied {
        Ok(()) => println!("copied in {took:.1} s"),
        Err(error) => println!("after {took:.1} s: {error}"),
    }
}

/// Whether the copy is whole, if there is one; it is removed.
fn check(file: &Path) {
    if !file.exists() {
        return;
    }
    let checked = SqliteStore::check_copy(file).unwrap();
    println!(
        "the copy of {} MiB has {} problems",
        file.metadata().unwrap().len() >> 20,
        checked.problems.len()
    );
    std::fs::remove_file(file).unwrap();
}

type Chats = Vec<(Claim, Arc<AtomicU64>)>;

async fn fill(store: &Store, chats: &Chats, data: &Path) {
    // 2,000 characters of three bytes: as large as a text of so many characters usually is at most.
    let text = "ж€".repeat(1_000);
    while size(data) < SIZE {
        let mut tasks = tokio::task::JoinSet::new();
        for (claim, next) in chats.iter().cloned() {
            let (log, text) = (Arc::clone(&store.log), text.clone());
            tasks.spawn(async move {
                let from = next.fetch_add(FILL_BATCH, Ordering::Relaxed);
                let batch = (from..from + FILL_BATCH).map(|seq| message(seq, &text));
                log.append(claim, batch.collect()).await.unwrap();
            });
        }
        tasks.join_all().await;
    }
}

async fn top_rate(store: &Store, chats: &Chats) -> f64 {
    #[allow(clippy::disallowed_methods, reason = "this is what is measured")]
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (claim, next) in chats.iter().cloned() {
        let log = Arc::clone(&store.log);
        tasks.spawn(async move {
            let mut done = 0_u64;
            while begun.elapsed() < RUN {
                let seq = next.fetch_add(1, Ordering::Relaxed);
                log.append(claim, vec![message(seq, TEXT)]).await.unwrap();
                done += 1;
            }
            done
        });
    }
    let done: u64 = tasks.join_all().await.into_iter().sum();
    done as f64 / begun.elapsed().as_secs_f64()
}

async fn for_a_while<F: Future<Output = Vec<u64>> + Send + 'static>(
    load: impl Fn(Arc<AtomicBool>) -> F,
) -> Vec<u64> {
    let on = Arc::new(AtomicBool::new(true));
    let load = tokio::spawn(load(Arc::clone(&on)));
    tokio::time::sleep(RUN).await;
    on.store(false, Ordering::Relaxed);
    load.await.unwrap()
}

/// Appends at this rate while it is wanted, whatever the store makes of it. Answers the time from
/// when each was due to its acknowledgement, µs.
async fn paced(
    store: Store,
    chats: Chats,
    rate: f64,
    wanted: Arc<AtomicBool>,
    data: std::path::PathBuf,
    wal: Arc<AtomicU64>,
) -> Vec<u64> {
    let mut tasks = tokio::task::JoinSet::new();
    for (claim, next) in chats {
        let (log, wanted) = (Arc::clone(&store.log), Arc::clone(&wanted));
        tasks.spawn(async move {
            let mut every = interval(Duration::from_secs_f64(CHATS as f64 / rate));
            // What is late is made up for, and counts from when it was due.
            every.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut times = Vec::new();
            while wanted.load(Ordering::Relaxed) {
                let due = every.tick().await;
                let seq = next.fetch_add(1, Ordering::Relaxed);
                log.append(claim, vec![message(seq, TEXT)]).await.unwrap();
                times.push(due.elapsed().as_micros() as u64);
            }
            times
        });
    }
    let looking = async {
        loop {
            let long = std::fs::metadata(data.join("switchboard.db-wal")).map_or(0, |at| at.len());
            wal.fetch_max(long, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        times = tasks.join_all() => times.into_iter().flatten().collect(),
        () = looking => Vec::new(),
    }
}

/// Prints the times, and answers the 99th percentile, ms.
fn show(when: &str, mut times: Vec<u64>, wal: &AtomicU64) -> f64 {
    times.sort_unstable();
    let at = |part: f64| {
        let place = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        times.get(place).copied().unwrap_or_default() as f64 / 1_000.0
    };
    println!(
        "{when:>7}: {:>8} appends, acknowledged after p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; \
         log of writes at most {} MiB",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        wal.swap(0, Ordering::Relaxed) >> 20
    );
    at(0.99)
}

fn size(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().metadata().map_or(0, |at| at.len())).sum()
}

//! Acknowledged appends per second: many chats at once, each with one append in flight, against a
//! bare file that writes the same records and syncs them in the same groups (`fdatasync`).
//!
//! Run with `cargo bench --bench append [-- FOLDER]`. Compare the ratios, not the figures: disks
//! differ. The folder decides which disk is measured; without one it is the temporary folder's.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]

#[path = "../tests/support/samples.rs"]
mod samples;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use samples::{chat, message};
use switchboard::storage::record;
use switchboard::storage::sqlite::{SqliteOptions, SqliteStore};
use tokio::sync::{mpsc, oneshot};

/// How long each measurement runs; all together stay below a minute. Short, so that what else the
/// machine does meets both sides of a round alike.
const RUN: Duration = Duration::from_secs(1);

/// Chats that write at once.
const CHATS: [usize; 2] = [64, 1_000];

/// Rounds of both; odd, so that there is a median.
const ROUNDS: usize = 11;

/// A message of 120 bytes.
const TEXT: &str = "A hundred and twenty bytes of a customer's patience, spelled out word by word until \
                    the line is exactly as long as this";

fn main() {
    // `cargo test --benches` passes this; a measurement without optimisation says nothing.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    println!(
        "{:>6} {:>6} {:>14} {:>14} {:>7}",
        "chats", "round", "bare file/s", "store/s", "ratio"
    );
    // Deleted at the end: a deletion is work for the disk in the next round.
    let mut folders = Vec::new();
    for chats in CHATS {
        let mut ratios = Vec::new();
        for round in 1..=ROUNDS {
            let folder = match &chosen {
                Some(folder) => tempfile::tempdir_in(folder),
                None => tempfile::tempdir(),
            };
            let folder = folder.unwrap();
            // Whoever comes second meets what the first left the disk to do: take turns.
            let (bare, store) = if round % 2 == 0 {
                let store = runtime.block_on(store(folder.path(), chats));
                (runtime.block_on(bare_file(folder.path(), chats)), store)
            } else {
                let bare = runtime.block_on(bare_file(folder.path(), chats));
                (bare, runtime.block_on(store(folder.path(), chats)))
            };
            folders.push(folder);
            let ratio = store.rate / bare.rate;
            ratios.push(ratio);
            println!(
                "{chats:>6} {round:>6} {:>14.0} {:>14.0} {ratio:>7.2}   {}; {}",
                bare.rate, store.rate, bare.note, store.note
            );
        }
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
        let median = ratios[ROUNDS / 2];
        println!("{chats:>6} ratio: median {median:.2}, from {least:.2} to {most:.2}");
    }
}

/// Appends one after the other to each chat until time is up. Answers the appends per second.
async fn drive<F, A>(chats: usize, append: F) -> f64
where
    F: Fn(usize, u64) -> A + Clone + Send + 'static,
    A: Future<Output = ()> + Send,
{
    #[allow(clippy::disallowed_methods, reason = "this is what is measured")]
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..chats {
        let append = append.clone();
        tasks.spawn(async move {
            let mut seq = 0;
            while begun.elapsed() < RUN {
                seq += 1;
                append(n, seq).await;
            }
            seq
        });
    }
    let appended: u64 = tasks.join_all().await.into_iter().sum();
    appended as f64 / begun.elapsed().as_secs_f64()
}

struct Measured {
    rate: f64,
    note: String,
}

async fn store(folder: &Path, chats: usize) -> Measured {
    let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(folder)).unwrap());
    let log = sqlite.store().log;
    let mut claims = Vec::new();
    for n in 0..chats {
        claims.push(log.claim(chat(n as u128)).await.unwrap().claim);
    }
    let claims = Arc::new(claims);
    let rate = drive(chats, move |n, seq| {
        let (log, claim) = (Arc::clone(&log), claims[n]);
        async move { log.append(claim, vec![message(seq, TEXT)]).await.unwrap() }
    })
    .await;
    let counters = sqlite.counters();
    let batches = counters.commit_us.count().max(1);
    let note = format!(
        "batch {:.0}, commit {} µs, {} folded, {} checkpoints",
        counters.appends() as f64 / batches as f64,
        counters.commit_us.sum() / batches,
        counters.folded(),
        counters.checkpoints()
    );
    Measured { rate, note }
}

/// The least that anything durable costs: the same records, encoded by their callers, written to
/// the end of a file in groups, and synced.
async fn bare_file(folder: &Path, chats: usize) -> Measured {
    let mut file = File::create(folder.join("bare")).unwrap();
    let (queue, mut waiting) = mpsc::unbounded_channel::<(Vec<u8>, oneshot::Sender<()>)>();
    let writer = std::thread::spawn(move || {
        let (mut groups, mut records) = (0_u64, 0_u64);
        while let Some(first) = waiting.blocking_recv() {
            let mut bytes = first.0;
            let mut answers = vec![first.1];
            while let Ok((record, answer)) = waiting.try_recv() {
                bytes.extend(record);
                answers.push(answer);
            }
            file.write_all(&bytes).unwrap();
            file.sync_data().unwrap();
            groups += 1;
            records += answers.len() as u64;
            for answer in answers {
                let _ = answer.send(());
            }
        }
        records as f64 / groups.max(1) as f64
    });
    let rate = drive(chats, move |n, seq| {
        let queue = queue.clone();
        async move {
            let record = record::encode_event(chat(n as u128), &message(seq, TEXT)).unwrap();
            let (answer, answered) = oneshot::channel();
            queue.send((record, answer)).unwrap();
            answered.await.unwrap();
        }
    })
    .await;
    let note = format!("bare batch {:.0}", writer.join().unwrap());
    Measured { rate, note }
}

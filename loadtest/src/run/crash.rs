//! Kills the server under load, again and again, and verifies from the clients' side that nothing
//! acknowledged is lost, doubled or reordered, that no chat has two owners, that nobody holds too
//! many, and that no chat is stuck; and that nothing is left of who was erased meanwhile, in the
//! files or the keyspace as each kill leaves them, in backups that were begun later, and in an export
//! at the end. Chats of long ago are forgotten by retention meanwhile, likewise. With the embedded store
//! backups run beside the load; some are killed with the server.
//!
//! A kill counts when, at that moment, at least [`OPEN_MIN`](super::crowd::OPEN_MIN) chats are open,
//! offers are out and calls are in flight.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::RunError;
use super::crowd::{Crowd, Load, Verified};
use super::past::Past;
use super::progress::Progress;
use super::provision::Provisioned;
use super::server::{Server, Setup};
use super::traces::Place;
use crate::client::Rest;
use crate::client::clock::wall_ms;
use crate::draw::{Draw, Purpose};
use crate::stats::Samples;

/// From the server's answer to the earliest and the latest kill, ms. Operators come back within the
/// first, since a restarted one waits for late assignments of its former life.
const UP_MS: (u64, u64) = (3_000, 5_500);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The kills that count.
    pub kills: Vec<Kill>,
    /// Kills in all.
    pub tried: u32,
    /// From the kill to the first answer of the next process, ms.
    pub restart_ms: Samples,
    /// Backups that were whole, and those that a kill or the store prevented.
    pub copies: (u32, u32),
    /// Chats of long ago that retention forgot, and how many kills but the first found it under way.
    pub past: (usize, usize),
    /// What people saw.
    pub seen: Verified,
}

/// A kill.
#[derive(Debug, Clone, Copy)]
pub struct Kill {
    /// Since the beginning of the load, ms.
    pub at_ms: u64,
    /// What went on.
    pub load: Load,
    /// Memory that the server kept resident, bytes; none where the system does not say.
    pub resident_bytes: Option<u64>,
}

/// Chats of long ago for each round: about as many as retention forgets between two kills.
const PAST_OF_ROUND: u32 = 200;

/// Most of them in all: longer runs are without them at their end.
const PAST_MAX: u32 = 20_000;

/// How long a backup waits for its turn in a round, ms at most: some meet the kill.
const COPY_WITHIN_MS: usize = 5_000;

/// Runs the rounds. `process` is the server that runs already.
pub async fn crash(
    setup: &Setup,
    mut process: Server,
    there: Provisioned,
    rounds: u32,
    seed: u64,
) -> Result<Outcome, RunError> {
    let mut auditor = there.auditor.clone();
    let (stored, embedded) = (setup.stored()?, setup.is_embedded());
    process.stop().await?;
    let chats = rounds.saturating_mul(PAST_OF_ROUND).min(PAST_MAX);
    let door = there.doors.first().ok_or(RunError::Answer("channels"))?;
    let mut past = Past::plant(setup.store_choice()?, door, chats).await?;
    process = setup.start().await?;
    past.begun(&Rest::new(&setup.address()), &mut auditor).await?;
    let mut met = 0;
    let mut crowd = Crowd::gather(setup.address(), there, seed);
    let mut draw = Draw::new(seed, Purpose::Kill, 0);
    let (mut kills, mut kills_wall_ms, mut tried) = (Vec::new(), Vec::new(), 0);
    let (mut restart_ms, mut progress) = (Samples::default(), Progress::default());
    let (begun_ms, mut copies) = (crowd.now_ms(), (0, 0));
    let mut searcher = crowd.searcher();
    while kills.len() < rounds as usize {
        let random_ms = draw.below((UP_MS.1 - UP_MS.0) as usize) as u64;
        let copy_ms = draw.below(COPY_WITHIN_MS) as u64;
        let (file, before) = (setup.beside(&format!("copy-{tried}")), searcher.known());
        let copying = async {
            if !embedded {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_millis(copy_ms)).await;
            setup.store("backup", &file).await.is_ok()
        };
        let mut copied = None;
        let load = {
            let (mut copying, mut busy) =
                (pin!(copying), pin!(crowd.busy(&mut process, UP_MS.0 + random_ms)));
            loop {
                tokio::select! {
                    load = &mut busy => break load?,
                    done = &mut copying, if copied.is_none() => copied = Some(done),
                }
            }
        };
        let resident_bytes = process.resident_bytes();
        process.kill().await?;
        searcher.look(&stored, &searcher.known()).await?;
        if copied == Some(true) {
            // Who was erased before this round is not in a copy that was begun in it.
            let copy = Place::Files(file.clone());
            searcher.look(&copy, &before).await?;
            past.look_into_copy(&copy).await?;
            setup.store("check", &file).await?;
            copies.0 += 1;
        } else if embedded {
            copies.1 += 1;
        }
        met += usize::from(past.look(&stored).await?);
        // What a kill left unfinished has another name, and goes with the folder.
        let _ = std::fs::remove_file(&file);
        kills_wall_ms.push(wall_ms());
        let killed_ms = crowd.now_ms();
        tried += 1;
        if load.counts() {
            kills.push(Kill { at_ms: killed_ms - begun_ms, load, resident_bytes });
        } else if tried > 2 * rounds + 2 {
            let counted = u32::try_from(kills.len()).unwrap_or(u32::MAX);
            let last = format!("{load:?}");
            return Err(RunError::Rounds { counted, wanted: rounds, tried, last });
        }
        process = setup.start().await?;
        restart_ms.add(crowd.now_ms() - killed_ms);
        show(&mut progress, &crowd, (kills.len() as u64, u64::from(rounds)), begun_ms);
    }
    progress.done();
    let mut seen = crowd.verify(&mut process, &kills_wall_ms).await?;
    past.gone(&Rest::new(&setup.address()), &mut auditor).await?;
    process.stop().await?;
    let known = searcher.known();
    searcher.look(&stored, &known).await?;
    let export = setup.beside("export");
    setup.store("export", &export).await?;
    let copy = Place::Files(export);
    searcher.look(&copy, &known).await?;
    seen.traces.extend(searcher.traces());
    past.look(&stored).await?;
    past.look_into_copy(&copy).await?;
    let (forgotten, traces) = past.end();
    seen.traces.extend(traces);
    Ok(Outcome { kills, tried, restart_ms, copies, past: (forgotten, met), seen })
}

fn show(progress: &mut Progress, crowd: &Crowd, (counted, rounds): (u64, u64), begun_ms: u64) {
    let now_ms = crowd.now_ms();
    let left_ms = (now_ms - begun_ms) / counted.max(1) * rounds.saturating_sub(counted);
    let (messages, violations) = crowd.so_far();
    let words =
        format!("round {counted} of {rounds}, {messages} messages, {violations} violations");
    progress.show(now_ms, counted as f64 / rounds.max(1) as f64, left_ms, &words);
}

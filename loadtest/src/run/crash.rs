//! Kills the server under load, again and again, and verifies from the clients' side that nothing
//! acknowledged is lost, doubled or reordered, that no chat has two owners, that nobody holds too
//! many, and that no chat is stuck.
//!
//! A kill counts when, at that moment, at least [`OPEN_MIN`](super::crowd::OPEN_MIN) chats are open,
//! offers are out and calls are in flight.

use super::RunError;
use super::crowd::{Crowd, Load, Verified};
use super::progress::Progress;
use super::provision::Provisioned;
use super::server::{Server, Setup};
use crate::client::clock::wall_ms;
use crate::draw::{Draw, Purpose};
use crate::stats::Samples;

/// From the server's answer to the earliest and the latest kill, ms. Operators come back within the
/// first, since a restarted one waits for late assignments of its former life.
const UP_MS: (u64, u64) = (3_000, 5_500);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The load at each kill that counts.
    pub kills: Vec<Load>,
    /// Kills in all.
    pub tried: u32,
    /// From the kill to the first answer of the next process, ms.
    pub restart_ms: Samples,
    /// What people saw.
    pub seen: Verified,
}

/// Runs the rounds. `process` is the server that runs already.
pub async fn crash(
    setup: &Setup,
    mut process: Server,
    there: Provisioned,
    rounds: u32,
    seed: u64,
) -> Result<Outcome, RunError> {
    let mut crowd = Crowd::gather(setup.address(), there, seed);
    let mut draw = Draw::new(seed, Purpose::Kill, 0);
    let (mut kills, mut kills_wall_ms, mut tried) = (Vec::new(), Vec::new(), 0);
    let (mut restart_ms, mut progress) = (Samples::default(), Progress::default());
    let begun_ms = crowd.now_ms();
    while kills.len() < rounds as usize {
        let random_ms = draw.below((UP_MS.1 - UP_MS.0) as usize) as u64;
        let load = crowd.busy(&mut process, UP_MS.0 + random_ms).await?;
        process.kill().await?;
        kills_wall_ms.push(wall_ms());
        let killed_ms = crowd.now_ms();
        tried += 1;
        if load.counts() {
            kills.push(load);
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
    let seen = crowd.verify(&mut process, &kills_wall_ms).await?;
    process.stop().await?;
    Ok(Outcome { kills, tried, restart_ms, seen })
}

fn show(progress: &mut Progress, crowd: &Crowd, (counted, rounds): (u64, u64), begun_ms: u64) {
    let now_ms = crowd.now_ms();
    let left_ms = (now_ms - begun_ms) / counted.max(1) * rounds.saturating_sub(counted);
    let (messages, violations) = crowd.so_far();
    let words =
        format!("round {counted} of {rounds}, {messages} messages, {violations} violations");
    progress.show(now_ms, counted as f64 / rounds.max(1) as f64, left_ms, &words);
}

//! A bounded, seeded fuzz of a server of the run's own: frames over sockets and requests over REST,
//! valid ones, nearly valid ones and noise, by everybody whom the table of rights knows.
//!
//! What must hold: no panic, no internal error, an answer to every call and every request (or a
//! closed connection) in time, memory that stays flat, and every acknowledged message in its place
//! after a restart. The order in which the server gets the frames of several sockets is the
//! machine's; what each socket sends hangs on the seed and on what the server answered.

mod pool;
mod requests;
mod sockets;
mod wild;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchboard::domain::{ChatId, MessageText};
use switchboard::protocol::ErrorKind;
use switchboard::protocol::event::{ChatEventFrame, EventFrame};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use self::pool::Pool;
use super::RunError;
use super::progress::Progress;
use super::provision::Provisioned;
use super::reading::read_whole;
use super::server::{Server, Setup};
use crate::client::clock::Clock;
use crate::client::{Client, Rest, Waits};

/// Settings of the server: the pace of a socket is what keeps others from it, and would answer most
/// of these frames.
pub const SETTINGS: &[(&str, u64)] =
    &[("LIMITS_CALLS_PER_SECOND", 100_000), ("LIMITS_CALL_BURST", 100_000)];

/// Sockets at a time: enough that people meet in chats, few enough for a small machine.
const SOCKETS: u64 = 12;

/// REST clients at a time.
const REST_CLIENTS: u64 = 4;

/// How long the server may take over anything, s: longer than its own longest limit.
pub const ANSWER_LIMIT_S: u64 = 30;

/// What is kept of what went wrong; more of it says nothing more.
const FAULTS_MAX: usize = 50;

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks that are kept: a day of them.
const LOOKS_MAX: usize = 200_000;

/// Looks without which memory is not judged: in its first half minute a server grows into its work.
const LOOKS_MIN: usize = 60;

/// Memory that does not count as growth, bytes: what an allocator keeps, and chats that are awake.
const GROWTH_FREE_BYTES: u64 = 64 << 20;

/// How much of a run is sent, and how.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Frames over sockets.
    pub frames: u64,
    /// Requests over REST.
    pub requests: u64,
    /// What is sent hangs on this.
    pub seed: u64,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Frames sent.
    pub frames: u64,
    /// Requests sent.
    pub requests: u64,
    /// How calls were answered: the error's name, or `ok`.
    pub answers: BTreeMap<String, u64>,
    /// How requests were answered, by status; 0: the connection was closed.
    pub statuses: BTreeMap<u16, u64>,
    /// How sockets ended, by close code; 0: without one.
    pub closes: BTreeMap<u16, u64>,
    /// Memory of the server at the end of its first third and at its end, bytes: the median of the
    /// looks around. None where the system does not say.
    pub resident: Option<(u64, u64)>,
    /// Acknowledged messages that were found again after the restart.
    pub found: u64,
    /// Acknowledged messages of chats that were erased by a request of the run.
    pub erased: u64,
    /// What went wrong, the first of it.
    pub faults: Vec<String>,
}

/// What all tasks of a run share.
struct Common {
    address: String,
    rest: Rest,
    pool: Mutex<Pool>,
    seen: Mutex<Outcome>,
    frames: AtomicU64,
    requests: AtomicU64,
    amount: Amount,
}

impl Common {
    fn seen<T>(&self, look: impl FnOnce(&mut Outcome) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn pool<T>(&self, look: impl FnOnce(&mut Pool) -> T) -> T {
        look(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fault(&self, fault: String) {
        self.seen(|seen| {
            if seen.faults.len() < FAULTS_MAX {
                seen.faults.push(fault);
            }
        });
    }

    /// Takes one of those that are still to be sent.
    fn take(left: &AtomicU64) -> bool {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }
}

/// Runs it. `process` is the server that runs already, `administrator` one who is in its seed.
pub async fn fuzz(
    setup: &Setup,
    process: Server,
    there: Provisioned,
    administrator: (&str, &str),
    amount: Amount,
) -> Result<Outcome, RunError> {
    let rest = Rest::new(&setup.address());
    let mut pool = Pool::new(rest.clone(), administrator);
    pool.staff(&there).await?;
    let common = Arc::new(Common {
        address: setup.address(),
        rest,
        pool: Mutex::new(pool),
        seen: Mutex::default(),
        frames: AtomicU64::new(amount.frames),
        requests: AtomicU64::new(amount.requests),
        amount,
    });
    let mut tasks = JoinSet::new();
    for n in 0..SOCKETS {
        tasks.spawn(sockets::run(Arc::clone(&common), n));
    }
    for n in 0..REST_CLIENTS {
        tasks.spawn(requests::run(Arc::clone(&common), n));
    }
    let (mut process, looks) = watch(&common, process, tasks).await?;
    let mut seen = common.seen(std::mem::take);
    seen.frames = amount.frames - common.frames.load(Ordering::Relaxed);
    seen.requests = amount.requests - common.requests.load(Ordering::Relaxed);
    if let Some(ended) = process.ended() {
        seen.faults.push(format!("the server ended: {ended}"));
    } else {
        process.stop().await?;
    }
    seen.resident = flat(&looks, &mut seen.faults);
    let panics = setup.log_lines_with("panicked");
    seen.faults.extend(panics.into_iter().take(FAULTS_MAX).map(|line| format!("log: {line}")));
    process = setup.start().await?;
    verify(&common, &there, &mut seen).await?;
    process.stop().await?;
    Ok(seen)
}

/// Waits for the tasks, and looks at the server meanwhile.
async fn watch(
    common: &Common,
    mut process: Server,
    mut tasks: JoinSet<Result<(), RunError>>,
) -> Result<(Server, Vec<u64>), RunError> {
    let (mut looks, mut progress) = (Vec::new(), Progress::default());
    let (clock, mut every) = (Clock::start(), interval(LOOK_EVERY));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let whole = common.amount.frames + common.amount.requests;
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => break,
                Some(Ok(ended)) => ended?,
                Some(Err(error)) => common.fault(format!("a task of the run: {error}")),
            },
            _ = every.tick() => {
                if process.ended().is_some() {
                    tasks.shutdown().await;
                    break;
                }
                looks.extend(process.resident_bytes().filter(|_| looks.len() < LOOKS_MAX));
                let left = common.frames.load(Ordering::Relaxed)
                    + common.requests.load(Ordering::Relaxed);
                let (done, now_ms) = (whole - left, clock.ms());
                let left_ms = now_ms / done.max(1) * left;
                let words = format!("{done} sent, {} faults", common.seen(|seen| seen.faults.len()));
                progress.show(now_ms, done as f64 / whole.max(1) as f64, left_ms, &words);
            }
        }
    }
    progress.done();
    Ok((process, looks))
}

/// Memory after a third and at the end: medians of a tenth of the looks each. A fault when a run of
/// some length made it grow by half and more than what is free.
fn flat(looks: &[u64], faults: &mut Vec<String>) -> Option<(u64, u64)> {
    let around = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied()
    };
    let tenth = (looks.len() / 10).max(1);
    let third = looks.len() / 3;
    let warm = around(looks.get(third..third + tenth)?)?;
    let end = around(looks.get(looks.len() - tenth..)?)?;
    if looks.len() >= LOOKS_MIN && end > warm + warm / 2 + GROWTH_FREE_BYTES {
        faults.push(format!("memory grew from {warm} to {end} bytes"));
    }
    Some((warm, end))
}

/// Every acknowledged message is where its answer said, after a restart.
async fn verify(common: &Common, there: &Provisioned, seen: &mut Outcome) -> Result<(), RunError> {
    let acknowledged = common.pool(|pool| std::mem::take(&mut pool.acknowledged));
    let erasures = common.pool(|pool| pool.erasures);
    let chats: BTreeSet<ChatId> = acknowledged.keys().map(|(chat, _)| *chat).collect();
    let clock = Clock::start();
    let tokens = there.auditor.tokens.clone();
    let (mut client, mut inbox) =
        Client::start(&common.address, tokens, Waits::PROTOCOL, clock, 0, Arc::default());
    let read = read_whole("the auditor", &mut client, &mut inbox, chats).await?;
    let mut faults = Vec::new();
    for ((chat, seq), text) in acknowledged {
        match read.get(&chat) {
            Some(Ok(events)) => match text_at(events, seq) {
                Some(kept) if kept.as_str() == text => seen.found += 1,
                Some(_) => faults.push(format!("{chat} has another text at {seq}")),
                None => faults.push(format!("{chat} lost its message at {seq}")),
            },
            Some(Err(ErrorKind::NotFound)) if erasures > 0 => seen.erased += 1,
            Some(Err(error)) => faults.push(format!("{chat} cannot be read: {}", error.name())),
            None => faults.push(format!("{chat} was not read")),
        }
    }
    faults.truncate(FAULTS_MAX);
    seen.faults.append(&mut faults);
    Ok(())
}

fn text_at(events: &[ChatEventFrame], seq: u64) -> Option<MessageText> {
    let event = events.iter().find(|event| event.seq == seq)?;
    match &event.what {
        EventFrame::Message { text, .. } => text.check().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_doubles_is_told_and_noise_is_not() {
        let mut faults = Vec::new();
        let noise: Vec<u64> = (0..100).map(|n| (100 << 20) + (n % 7) * (1 << 20)).collect();
        assert!(flat(&noise, &mut faults).is_some());
        assert!(faults.is_empty());
        let growing: Vec<u64> = (0..100).map(|n| (100 + 5 * n) << 20).collect();
        assert!(flat(&growing, &mut faults).is_some());
        assert_eq!(faults.len(), 1);
        assert_eq!(flat(&[], &mut faults), None);
    }
}

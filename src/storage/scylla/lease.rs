//! Whether this process owns the keyspace, and the timestamps that it may use.
//!
//! One row says who owns the keyspace: a *life*, which counts up with every owner, and a *beat*,
//! which changes with every renewal. Whoever wants to follow watches until the beat has stood
//! still for a whole lease on its own clock, and then takes the row on the condition that it still
//! does. The owner counts its lease from before it asked for the renewal, so it stops first.
//! No two clocks are compared.
//!
//! Timestamps of plain writes come from here too: they grow within a life, never pass the stamp
//! that the row was granted, and the next life begins behind it. So whatever a dead life still has
//! under way loses to everything that the next one writes, whenever it arrives.
//!
//! Invariants: nothing is written, and no write is acknowledged, unless [`Lease::holds`] after it;
//! once the row names another life it never holds again.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::limits::{AWAY_PER_LEASE, MARGIN_PER_LEASE};
use crate::storage::{StoreFailure, StoreHealth};

/// The present on the monotonic clock. What comes of it decides who owns a keyspace, never what
/// happens to a chat.
#[allow(clippy::disallowed_methods, reason = "a lease is a matter of this machine's clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The wall time, µs. Begins the timestamps of a life, so that they are those of any other client.
#[allow(clippy::disallowed_methods, reason = "timestamps of a shared database are of its time")]
pub(super) fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The timestamps of one life, µs.
#[derive(Debug)]
struct Stamps {
    /// The timestamp at `Lease::began`.
    base: i64,
    last: i64,
    /// The largest that may be used.
    granted: i64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lease {
    began: Instant,
    length: Duration,
    /// µs since `began` until which this process is the owner.
    until_us: AtomicU64,
    over: AtomicBool,
    stamps: Mutex<Stamps>,
    /// µs since `began` at which the last grant was asked for.
    heard_us: AtomicU64,
    /// µs since `began` of the last plain write that the database took.
    wrote_us: AtomicU64,
    /// Whether plain writes count as refused, so that each that goes well need not ask for it.
    refused: AtomicBool,
    failed: watch::Sender<Option<StoreFailure>>,
    silence: Mutex<Silence>,
    health: watch::Sender<StoreHealth>,
}

/// Why the database counts as away, if it does. A renewal is a conditional write to one row: it may
/// go well while the logs cannot be written, and the other way round.
#[derive(Debug, Default)]
struct Silence {
    renewals: Option<String>,
    writes: Option<String>,
}

/// What a renewal asks for, from the time before it asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    from: Instant,
    /// The largest timestamp that it needs.
    pub stamp: i64,
}

impl Lease {
    /// Not held yet; each grant is for `length`.
    pub fn new(length: Duration) -> Self {
        let stamps = Stamps { base: wall_us(), last: 0, granted: 0 };
        Self {
            began: now(),
            length,
            until_us: AtomicU64::new(0),
            over: AtomicBool::new(false),
            stamps: Mutex::new(stamps),
            heard_us: AtomicU64::new(0),
            wrote_us: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            silence: Mutex::default(),
            failed: watch::channel(None).0,
            health: watch::channel(StoreHealth::Answers).0,
        }
    }

    /// What to ask for now.
    pub fn want(&self) -> Wanted {
        let from = now();
        let stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamps.at(from - self.began).saturating_add(micros(self.length));
        Wanted { from, stamp }
    }

    /// A new life behind all timestamps up to `floor`; to be asked before the first [`Self::want`].
    pub fn begin_behind(&self, floor: i64) {
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        stamps.last = stamps.last.max(floor);
        let behind = floor.saturating_sub(micros(now() - self.began)).saturating_add(1);
        stamps.base = stamps.base.max(behind);
    }

    /// What was wanted is granted.
    pub fn granted(&self, wanted: Wanted) {
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        stamps.granted = stamps.granted.max(wanted.stamp);
        let margin = self.length / MARGIN_PER_LEASE;
        let until = (wanted.from + self.length).saturating_duration_since(self.began + margin);
        let until_us = u64::try_from(until.as_micros()).unwrap_or(u64::MAX);
        self.until_us.fetch_max(until_us, SeqCst);
        let heard = wanted.from.saturating_duration_since(self.began);
        self.heard_us.fetch_max(u64::try_from(heard.as_micros()).unwrap_or(u64::MAX), SeqCst);
        self.tell(|silence| silence.renewals = None);
    }

    /// How long the database may stay silent from now on until it counts as away; zero when it
    /// does.
    pub fn patience(&self) -> Duration {
        self.left_since(&self.heard_us)
    }

    /// The database does not answer, as it says last.
    pub fn away(&self, reason: String) {
        self.tell(|silence| silence.renewals = Some(reason));
    }

    /// It took a plain write.
    pub fn wrote(&self) {
        let us = u64::try_from((now() - self.began).as_micros()).unwrap_or(u64::MAX);
        self.wrote_us.fetch_max(us, SeqCst);
        if self.refused.swap(false, SeqCst) {
            self.tell(|silence| silence.writes = None);
        }
    }

    /// It did not take a plain write. When none went well for as long as the database has patience
    /// for, it counts as away.
    pub fn not_written(&self, reason: String) {
        if self.left_since(&self.wrote_us).is_zero() && !self.refused.swap(true, SeqCst) {
            self.tell(|silence| silence.writes = Some(reason));
        }
    }

    /// Whether it took a plain write within this time.
    pub fn wrote_within(&self, time: Duration) -> bool {
        let wrote = Duration::from_micros(self.wrote_us.load(SeqCst));
        wrote + time > now() - self.began
    }

    fn left_since(&self, us: &AtomicU64) -> Duration {
        let at = Duration::from_micros(us.load(SeqCst));
        (at + self.length / AWAY_PER_LEASE).saturating_sub(now() - self.began)
    }

    /// Only turns are told: the reason for which it turned stays.
    fn tell(&self, change: impl FnOnce(&mut Silence)) {
        let mut silence = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut silence);
        let health = match silence.renewals.as_ref().or(silence.writes.as_ref()) {
            Some(reason) => StoreHealth::Away { reason: reason.clone() },
            None => StoreHealth::Answers,
        };
        self.health.send_if_modified(|told| {
            let turned = std::mem::discriminant(told) != std::mem::discriminant(&health);
            if turned {
                *told = health;
            }
            turned
        });
    }

    /// Whether the database answers, as the renewals and the plain writes see it.
    pub fn health(&self) -> watch::Receiver<StoreHealth> {
        self.health.subscribe()
    }

    /// Whether this process is the owner, at this moment.
    pub fn holds(&self) -> bool {
        let us = u64::try_from((now() - self.began).as_micros()).unwrap_or(u64::MAX);
        !self.over.load(SeqCst) && us < self.until_us.load(SeqCst)
    }

    /// A timestamp for a plain write; larger than all before. None when this process is not the
    /// owner, or only just still is.
    pub fn stamp(&self) -> Option<i64> {
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let next = stamps.at(now() - self.began);
        // Under the lock: whoever ends the lease and then reads the last stamp knows all of them.
        if !self.holds() || next > stamps.granted {
            return None;
        }
        stamps.last = next;
        Some(next)
    }

    /// The largest timestamp that was used.
    pub fn last_stamp(&self) -> i64 {
        self.stamps.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// Lets go of it, for good.
    pub fn end(&self) {
        self.over.store(true, SeqCst);
    }

    /// Another owner was seen: it is lost for good, and the process must end.
    pub fn lose(&self, reason: String) {
        self.end();
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(StoreFailure { reason });
            first
        });
    }

    /// Whether it was lost or let go.
    pub fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    /// Turns to `Some` when it was lost.
    pub fn failure(&self) -> watch::Receiver<Option<StoreFailure>> {
        self.failed.subscribe()
    }
}

impl Stamps {
    fn at(&self, elapsed: Duration) -> i64 {
        self.base.saturating_add(micros(elapsed)).max(self.last.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_lease_holds_from_its_grant_until_it_is_over() {
        let lease = Lease::new(HOUR);
        assert!(!lease.holds() && lease.stamp().is_none());
        lease.granted(lease.want());
        assert!(lease.holds() && lease.stamp().is_some());
        lease.end();
        assert!(!lease.holds() && lease.stamp().is_none());
        lease.granted(lease.want());
        assert!(!lease.holds(), "what is over stays over");
    }

    #[test]
    fn a_lease_counts_from_before_it_was_asked_for() {
        let lease = Lease::new(HOUR);
        let wanted = lease.want();
        let Some(from) = wanted.from.checked_sub(HOUR) else { return };
        lease.granted(Wanted { from, ..wanted });
        assert!(!lease.holds(), "the answer took longer than the lease");
    }

    #[test]
    fn timestamps_grow_and_a_later_life_begins_behind_all_of_the_earlier() {
        let (first, second) = (Lease::new(HOUR), Lease::new(HOUR));
        let wanted = first.want();
        first.granted(wanted);
        let stamps: Vec<_> = (0..1_000).map(|_| first.stamp().unwrap()).collect();
        assert!(stamps.is_sorted_by(|a, b| a < b));
        assert!(stamps.iter().all(|stamp| *stamp <= wanted.stamp));
        second.begin_behind(wanted.stamp);
        second.granted(second.want());
        assert!(second.stamp().unwrap() > wanted.stamp);
    }

    #[test]
    fn no_timestamp_passes_what_was_granted() {
        let lease = Lease::new(HOUR);
        let wanted = lease.want();
        lease.granted(Wanted { stamp: 5, ..wanted });
        assert!(lease.holds());
        assert_eq!(lease.stamp(), None);
    }

    #[test]
    fn a_database_is_away_until_the_next_grant() {
        let lease = Lease::new(HOUR);
        let health = lease.health();
        lease.granted(lease.want());
        assert!(lease.patience() > Duration::ZERO && *health.borrow() == StoreHealth::Answers);
        lease.away("a".into());
        lease.away("b".into());
        assert_eq!(*health.borrow(), StoreHealth::Away { reason: "a".into() });
        lease.granted(lease.want());
        assert_eq!(*health.borrow(), StoreHealth::Answers);
        let at_once = Lease::new(Duration::ZERO);
        at_once.granted(at_once.want());
        assert_eq!(at_once.patience(), Duration::ZERO);
    }

    #[test]
    fn a_database_that_renews_and_takes_no_writes_is_away_until_it_does() {
        let lease = Lease::new(HOUR);
        let health = lease.health();
        lease.granted(lease.want());
        lease.wrote();
        lease.not_written("once".into());
        assert_eq!(*health.borrow(), StoreHealth::Answers, "others went well a moment ago");
        let short = Lease::new(Duration::ZERO);
        let health = short.health();
        short.not_written("full".into());
        assert_eq!(*health.borrow(), StoreHealth::Away { reason: "full".into() });
        short.granted(short.want());
        assert_eq!(*health.borrow(), StoreHealth::Away { reason: "full".into() }, "still");
        short.wrote();
        assert_eq!(*health.borrow(), StoreHealth::Answers);
        // Each for itself.
        short.away("hung".into());
        short.wrote();
        assert_eq!(*health.borrow(), StoreHealth::Away { reason: "hung".into() });
    }

    #[test]
    fn the_first_reason_stays() {
        let lease = Lease::new(HOUR);
        let failure = lease.failure();
        lease.lose("a".into());
        lease.lose("b".into());
        assert_eq!(failure.borrow().as_ref().unwrap().reason, "a");
    }
}

//! What failed, counted: one entry for each kind, network and minute. A plain machine: time comes
//! in, and what is to be written goes out.
//!
//! Nobody waits for the store here: whether a login exists would show in the time that it takes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::limits::{COUNTED_MS, FAILURES_MAX, ORIGIN_MAX_BYTES};
use crate::domain::audit::{AuditAct, AuditChange, AuditId, AuditOutcome, AuditSubject};
use crate::domain::{Timestamp, UserId};

/// Something that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A log-in: with the login of this user, or with one that is nobody's.
    LogIn(Option<UserId>),
    /// A log-in, the one with which there were more than a hundred in an hour at this user's login,
    /// or at one that is nobody's.
    GuessedAt(Option<UserId>),
    /// A page of this origin wanted a socket.
    Origin(String),
}

impl Failure {
    fn act(&self) -> AuditAct {
        match self {
            Self::LogIn(_) => AuditAct::LogInFailed,
            Self::GuessedAt(_) => AuditAct::LoginGuessedAt,
            Self::Origin(_) => AuditAct::OriginRefused,
        }
    }

    fn subject(&self) -> Option<AuditSubject> {
        match self {
            Self::LogIn(user) | Self::GuessedAt(user) => user.map(AuditSubject::User),
            Self::Origin(_) => None,
        }
    }

    fn changes(&self) -> Vec<AuditChange> {
        match self {
            Self::LogIn(_) | Self::GuessedAt(_) => Vec::new(),
            Self::Origin(origin) => {
                let plain = origin.chars().filter(char::is_ascii_graphic);
                let to = Some(plain.take(ORIGIN_MAX_BYTES).collect());
                vec![AuditChange { field: "origin".to_owned(), from: None, to }]
            }
        }
    }
}

type Key = (AuditAct, Option<AuditSubject>, Option<IpAddr>);

/// An entry that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counting {
    /// Its place in the trail.
    pub id: AuditId,
    /// What failed.
    pub act: AuditAct,
    /// For whom.
    pub subject: Option<AuditSubject>,
    /// From where; none: from everywhere else.
    pub network: Option<IpAddr>,
    /// The first of its kind.
    pub changes: Vec<AuditChange>,
    /// How many there were, once the minute is over.
    pub outcome: Option<AuditOutcome>,
}

/// The present minute, and what is left of former ones.
#[derive(Debug, Default)]
pub(super) struct Failures {
    minute: u64,
    counted: BTreeMap<Key, (AuditId, u64)>,
    begun: Vec<Counting>,
    over: Vec<(AuditId, AuditOutcome)>,
}

impl Failures {
    /// Counts one; `id` is used if it is the first of its kind.
    pub fn count(
        &mut self,
        failure: &Failure,
        network: IpAddr,
        now: Timestamp,
        id: impl FnOnce() -> AuditId,
    ) {
        self.turn(now);
        let mut key = (failure.act(), failure.subject(), Some(network));
        if self.counted.len() >= FAILURES_MAX && !self.counted.contains_key(&key) {
            key = (key.0, None, None);
        }
        if let Some((_, count)) = self.counted.get_mut(&key) {
            *count += 1;
            return;
        }
        let id = id();
        self.counted.insert(key, (id, 1));
        let (act, subject, network) = key;
        let changes = if network.is_some() { failure.changes() } else { Vec::new() };
        self.begun.push(Counting { id, act, subject, network, changes, outcome: None });
    }

    /// What is to be written now: entries that have begun, and the counts of those whose minute is
    /// over. What was taken is the caller's.
    pub fn take(&mut self, now: Timestamp) -> (Vec<Counting>, Vec<(AuditId, AuditOutcome)>) {
        self.turn(now);
        (std::mem::take(&mut self.begun), std::mem::take(&mut self.over))
    }

    /// What the store did not take is to be written later; what is beyond the bound is not.
    pub fn put_back(&mut self, mut begun: Vec<Counting>) {
        begun.append(&mut self.begun);
        begun.truncate(2 * FAILURES_MAX);
        self.begun = begun;
    }

    /// Ends the minute early: the process ends.
    pub fn end(&mut self) {
        for (id, count) in std::mem::take(&mut self.counted).into_values() {
            let outcome = AuditOutcome::Counted(count);
            match self.begun.iter_mut().find(|counting| counting.id == id) {
                Some(counting) => counting.outcome = Some(outcome),
                None => self.over.push((id, outcome)),
            }
        }
    }

    fn turn(&mut self, now: Timestamp) {
        let minute = now.0 / COUNTED_MS;
        if minute != self.minute {
            self.end();
            self.minute = minute;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    fn ids() -> impl FnMut() -> AuditId {
        let mut n = 0;
        move || {
            n += 1;
            AuditId::new(Timestamp(1), 1, n)
        }
    }

    #[test]
    fn one_entry_a_login_network_and_minute_with_a_count() {
        let (mut failures, mut id) = (Failures::default(), ids());
        let anna = Failure::LogIn(Some(UserId::from_u128(1)));
        let nobody = Failure::LogIn(None);
        let minute = |n| Timestamp(n * COUNTED_MS);
        for _ in 0..5 {
            failures.count(&anna, network(1), minute(7), &mut id);
            failures.count(&nobody, network(1), minute(7).plus_ms(COUNTED_MS - 1), &mut id);
        }
        failures.count(&anna, network(2), minute(7), &mut id);
        let (begun, over) = failures.take(minute(7));
        assert_eq!((begun.len(), over.len()), (3, 0));
        assert_eq!(begun[1].subject, None, "a login that is nobody's is not written");
        failures.count(&anna, network(1), minute(8), &mut id);
        let (again, over) = failures.take(minute(8));
        assert_eq!(again.len(), 1, "another minute");
        let counts: Vec<_> = over.iter().map(|(_, outcome)| *outcome).collect();
        let counted = AuditOutcome::Counted;
        assert_eq!(over.len(), 3);
        assert!(counts.contains(&counted(1)));
        assert_eq!(counts.iter().filter(|one| **one == counted(5)).count(), 2);
        failures.end();
        assert_eq!(failures.take(minute(8)).1, [(again[0].id, counted(1))]);
        assert_eq!(failures.take(minute(9)), (Vec::new(), Vec::new()));
    }

    #[test]
    fn who_has_many_networks_makes_no_more_entries_than_there_may_be() {
        let (mut failures, mut id) = (Failures::default(), ids());
        for n in 0..20_000 {
            failures.count(&Failure::LogIn(None), network(n), Timestamp(5), &mut id);
        }
        failures.end();
        let (begun, over) = failures.take(Timestamp(5));
        assert_eq!((begun.len(), over.len()), (FAILURES_MAX + 1, 0));
        let rest = AuditOutcome::Counted(20_000 - FAILURES_MAX as u64);
        assert_eq!(begun[FAILURES_MAX].outcome, Some(rest), "and none is forgotten");
        failures.put_back(begun.clone());
        assert_eq!(failures.take(Timestamp(5)).0, begun, "also when the store was away");
    }

    #[test]
    fn an_origin_is_short_and_plain() {
        let mut failures = Failures::default();
        let origin = format!("https://a\u{202e}b\n{}", "c".repeat(500));
        failures.count(&Failure::Origin(origin), network(1), Timestamp(5), ids());
        let (begun, _) = failures.take(Timestamp(5));
        let text = begun[0].changes[0].to.clone().unwrap();
        assert!(text.starts_with("https://abccc") && text.len() == ORIGIN_MAX_BYTES, "{text}");
    }
}

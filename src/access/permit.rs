//! Permits: who is about to change something, from the moment in which the right to it was looked
//! up until it is known what became of it.
//!
//! A revocation makes what it changes visible first and then waits for the permits that were given
//! before ([`Permits::settle`]). Whoever asks for one later sees the revocation and gets none. So
//! once the revocation is answered, nothing of what it took away takes effect any more.
//! Invariants: a permit is counted before the right is looked up; who revokes holds none while it
//! waits, else two who revoke each other would wait for each other; the wait has a limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::limits::SETTLE_LIMIT;
use super::principal::Who;
use crate::domain::rights::Operation;
use crate::domain::{ChannelId, Customer, UserId};

/// Whose right it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asker {
    /// A user.
    User(UserId),
    /// A visitor.
    Visitor(Customer),
    /// The server of a channel's site.
    Site(ChannelId),
}

impl From<&Who> for Asker {
    fn from(who: &Who) -> Self {
        match who {
            Who::User { id, .. } => Self::User(*id),
            Who::Customer { customer, .. } => Self::Visitor(*customer),
            Who::Site { channel } => Self::Site(*channel),
        }
    }
}

/// What is done first by whoever is about to change something; tests stop them there.
pub type Before = Arc<dyn Fn(Operation) -> BoxFuture<'static, ()> + Send + Sync>;

/// Who has a permit.
#[derive(Default)]
struct Given {
    askers: Mutex<HashMap<u64, Asker>>,
    returned: Notify,
}

impl Given {
    fn askers(&self) -> MutexGuard<'_, HashMap<u64, Asker>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permits of a process.
pub struct Permits {
    given: Arc<Given>,
    next: AtomicU64,
    /// Up to which revision of the catalog all others have been told; none: nobody is told.
    followed: watch::Sender<Option<u64>>,
    before: OnceLock<Before>,
}

impl Default for Permits {
    fn default() -> Self {
        Self {
            given: Arc::default(),
            next: AtomicU64::new(0),
            followed: watch::Sender::new(None),
            before: OnceLock::new(),
        }
    }
}

/// The right to one change, until it is dropped.
#[must_use = "a permit is held until it is known what became of the change"]
pub struct Permit {
    given: Arc<Given>,
    n: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.given.askers().remove(&self.n);
        self.given.returned.notify_waiters();
    }
}

impl Permits {
    /// A permit, if `check` finds the right still there when the permit counts already.
    pub async fn ask<E>(
        &self,
        asker: Asker,
        operation: Operation,
        check: impl FnOnce() -> Result<(), E>,
    ) -> Result<Permit, E> {
        self.stopped(operation).await;
        let n = self.next.fetch_add(1, Relaxed);
        self.given.askers().insert(n, asker);
        let permit = Permit { given: Arc::clone(&self.given), n };
        check()?;
        Ok(permit)
    }

    /// Where tests stop whoever is about to do something.
    pub(super) async fn stopped(&self, operation: Operation) {
        if let Some(before) = self.before.get() {
            before(operation).await;
        }
    }

    /// Waits until no permit is left of those that `of` names and that were given so far, and until
    /// all others know the catalog's `revision`; [`SETTLE_LIMIT`] at most. The caller has made its
    /// change visible, and holds no permit.
    pub async fn settle(&self, revision: u64, of: impl Fn(Asker) -> bool) {
        self.settle_within(SETTLE_LIMIT, revision, of).await;
    }

    async fn settle_within(&self, limit: Duration, revision: u64, of: impl Fn(Asker) -> bool) {
        let settled = async {
            let mut followed = self.followed.subscribe();
            let known = followed.wait_for(|known| known.is_none_or(|known| known >= revision));
            // Whoever tells the others ends with the process.
            drop(known.await);
            let earlier: Vec<u64> = {
                let given = self.given.askers();
                given.iter().filter(|(_, asker)| of(**asker)).map(|(n, _)| *n).collect()
            };
            loop {
                let returned = self.given.returned.notified();
                let mut returned = std::pin::pin!(returned);
                // Heard from here on, also what comes before the wait.
                returned.as_mut().enable();
                if !earlier.iter().any(|n| self.given.askers().contains_key(n)) {
                    return;
                }
                returned.await;
            }
        };
        if timeout(limit, settled).await.is_err() {
            tracing::warn!("a revocation was answered while changes from before it were under way");
        }
    }

    /// All others know this revision of the catalog. From the first word on, revocations wait for
    /// it.
    pub fn followed(&self, revision: u64) {
        self.followed.send_replace(Some(revision));
    }

    /// Lets `before` run first whenever somebody is about to change something; once a process. For
    /// tests.
    pub fn stop_before(&self, before: Before) {
        // A second one would come too late for who waits in the first.
        let _ = self.before.set(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const ANNA: Asker = Asker::User(UserId::from_u128(1));
    const BORIS: Asker = Asker::User(UserId::from_u128(2));

    async fn ask(permits: &Permits, asker: Asker) -> Permit {
        permits.ask(asker, Operation::UsersChange, || Ok::<_, ()>(())).await.unwrap()
    }

    #[tokio::test]
    async fn a_revocation_waits_for_what_began_before_it_and_for_nothing_else() {
        let permits = Permits::default();
        let (first, second) = (ask(&permits, ANNA).await, ask(&permits, ANNA).await);
        let _others = ask(&permits, BORIS).await;
        let mut settling = std::pin::pin!(permits.settle(0, |asker| asker == ANNA));
        assert!(settling.as_mut().now_or_never().is_none());
        let _later = ask(&permits, ANNA).await;
        drop(second);
        assert!(settling.as_mut().now_or_never().is_none());
        drop(first);
        assert!(settling.as_mut().now_or_never().is_some(), "and not until its limit");
    }

    #[tokio::test]
    async fn a_refused_permit_is_none() {
        let permits = Permits::default();
        let asked = permits.ask(ANNA, Operation::UsersChange, || Err("gone")).await;
        assert_eq!(asked.err(), Some("gone"));
        assert!(permits.settle(0, |_| true).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_revocation_waits_until_all_others_know_it() {
        let permits = Permits::default();
        permits.followed(3);
        let mut settling = std::pin::pin!(permits.settle(4, |_| true));
        assert!(settling.as_mut().now_or_never().is_none());
        permits.followed(4);
        settling.await;
    }

    #[tokio::test]
    async fn the_wait_has_a_limit() {
        let permits = Permits::default();
        let _stuck = ask(&permits, ANNA).await;
        permits.settle_within(Duration::from_millis(5), 0, |_| true).await;
    }
}

//! How many connections or sockets there are, in all and of one address. Each is admitted by a
//! guard, so that no way of ending forgets that it is gone.
//!
//! Who has said nothing yet may have to leave for somebody who comes later: the oldest
//! silent one leaves first, so that those who only stay keep nobody out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::access::Network;

/// How many may be there, and who is.
#[derive(Debug, Clone)]
pub struct Admission {
    most: u64,
    most_of_one: u64,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// Whose each is, by age.
    admitted: BTreeMap<u64, Network>,
    by_address: HashMap<Network, u64>,
    /// Those that have said nothing, by age and by address.
    silent: BTreeMap<u64, Arc<Notify>>,
    silent_of: BTreeSet<(Network, u64)>,
}

/// Why one is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The server has as many connections as it may.
    #[error("the server has as many connections as it may; try again later")]
    Server,
    /// The address has.
    #[error("this address has as many connections as it may; close some first")]
    Address,
}

/// One that is there, until this is dropped.
#[derive(Debug)]
pub struct Admitted {
    number: u64,
    leave: Arc<Notify>,
    taken: Arc<Mutex<Taken>>,
}

impl Admission {
    /// At most `most` of them, of which one address has at most `most_of_one`.
    pub fn new(most: u64, most_of_one: u64) -> Self {
        Self { most, most_of_one, taken: Arc::default() }
    }

    /// Admits one. The oldest silent one gives way, of the same address if that has too many.
    pub fn admit(&self, address: Network) -> Result<Admitted, Refused> {
        self.take(address, Some(self.most_of_one))
    }

    /// Admits a connection that carries many people's requests: only all together bound
    /// it.
    pub fn admit_shared(&self, address: Network) -> Result<Admitted, Refused> {
        self.take(address, None)
    }

    fn take(&self, address: Network, most_of_one: Option<u64>) -> Result<Admitted, Refused> {
        let mut taken = lock(&self.taken);
        let own = taken.by_address.get(&address).copied().unwrap_or_default();
        if most_of_one.is_some_and(|most| own >= most) {
            let oldest = taken.silent_of.range((address, 0)..=(address, u64::MAX)).next().copied();
            taken.turn_out(oldest.ok_or(Refused::Address)?.1);
        }
        if taken.admitted.len() as u64 >= self.most {
            let oldest = taken.silent.keys().next().copied();
            taken.turn_out(oldest.ok_or(Refused::Server)?);
        }
        Ok(taken.enter(address, &self.taken))
    }

    /// How many are there.
    pub fn taken(&self) -> u64 {
        lock(&self.taken).admitted.len() as u64
    }
}

impl Taken {
    fn enter(&mut self, address: Network, taken: &Arc<Mutex<Self>>) -> Admitted {
        let (number, leave) = (self.next, Arc::new(Notify::new()));
        self.next += 1;
        self.admitted.insert(number, address);
        *self.by_address.entry(address).or_default() += 1;
        self.silent.insert(number, Arc::clone(&leave));
        self.silent_of.insert((address, number));
        Admitted { number, leave, taken: Arc::clone(taken) }
    }

    /// It is no longer silent, and stays.
    fn keep(&mut self, number: u64) {
        self.silent.remove(&number);
        if let Some(address) = self.admitted.get(&number) {
            self.silent_of.remove(&(*address, number));
        }
    }

    /// It has to go, and counts no more at once.
    fn turn_out(&mut self, number: u64) {
        if let Some(leave) = self.silent.get(&number) {
            leave.notify_one();
        }
        self.give_back(number);
    }

    fn give_back(&mut self, number: u64) {
        self.keep(number);
        let Some(address) = self.admitted.remove(&number) else { return };
        if let Some(own) = self.by_address.get_mut(&address) {
            *own -= 1;
            if *own == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Admitted {
    /// It has said what it came for: from now on it never has to give way. False: it had to just before.
    #[must_use]
    pub fn heard(&self) -> bool {
        let mut taken = lock(&self.taken);
        taken.keep(self.number);
        taken.admitted.contains_key(&self.number)
    }

    /// Ends when it has to give way.
    pub fn has_to_leave(&self) -> OwnedNotified {
        Arc::clone(&self.leave).notified_owned()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        lock(&self.taken).give_back(self.number);
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn address(last: u8) -> Network {
        Network::of_client([10, 0, 0, last].into())
    }

    /// Admitted, and has said something.
    fn heard(admission: &Admission, last: u8) -> Result<Admitted, Refused> {
        admission.admit(address(last)).inspect(|admitted| assert!(admitted.heard()))
    }

    #[test]
    fn who_is_admitted_is_bounded_and_goes() {
        let admission = Admission::new(3, 2);
        let mapped = Network::of_client("::ffff:10.0.0.1".parse().unwrap());
        let first = heard(&admission, 1).unwrap();
        let second = admission.admit(mapped).unwrap();
        assert!(second.heard());
        assert_eq!(admission.admit(address(1)).unwrap_err(), Refused::Address);
        let third = heard(&admission, 2).unwrap();
        assert_eq!(admission.admit(address(2)).unwrap_err(), Refused::Server);
        drop(first);
        let again = heard(&admission, 1).unwrap();
        assert_eq!(admission.taken(), 3);
        drop((second, third, again));
        let taken = admission.taken.lock().unwrap();
        assert!(taken.admitted.is_empty() && taken.by_address.is_empty(), "nothing is remembered");
        assert!(taken.silent.is_empty() && taken.silent_of.is_empty());
    }

    #[test]
    fn the_oldest_silent_one_gives_way_and_who_has_spoken_never_does() {
        let admission = Admission::new(3, 3);
        let spoke = heard(&admission, 1).unwrap();
        let oldest = admission.admit(address(2)).unwrap();
        let younger = admission.admit(address(3)).unwrap();
        let new = admission.admit(address(4)).unwrap();
        assert!(oldest.has_to_leave().now_or_never().is_some());
        for stays in [&spoke, &younger, &new] {
            assert!(stays.has_to_leave().now_or_never().is_none());
        }
        // It counts no more already, whatever it says, and is taken off once.
        assert!(!oldest.heard());
        drop(oldest);
        assert_eq!(admission.taken(), 3);
        assert!(younger.heard() && new.heard());
        assert_eq!(admission.admit(address(5)).unwrap_err(), Refused::Server);
    }

    #[test]
    fn an_address_that_has_too_many_turns_out_its_own() {
        let admission = Admission::new(10, 2);
        let other = admission.admit(address(1)).unwrap();
        let first = admission.admit(address(2)).unwrap();
        let second = admission.admit(address(2)).unwrap();
        let third = admission.admit(address(2)).unwrap();
        assert!(first.has_to_leave().now_or_never().is_some());
        assert!(other.has_to_leave().now_or_never().is_none());
        assert!(second.heard() && third.heard());
        assert_eq!(admission.admit(address(2)).unwrap_err(), Refused::Address);
    }

    #[test]
    fn who_carries_many_is_bounded_by_all_only() {
        let admission = Admission::new(3, 1);
        let proxied: Vec<_> = (0..3).map(|_| admission.admit_shared(address(1)).unwrap()).collect();
        assert!(proxied.iter().all(Admitted::heard));
        assert_eq!(admission.admit_shared(address(1)).unwrap_err(), Refused::Server);
        assert_eq!(admission.admit(address(2)).unwrap_err(), Refused::Server);
    }
}

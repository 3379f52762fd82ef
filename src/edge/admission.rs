//! How many sockets there are, in all and of one address. A socket holds its place by a guard, so
//! that no way of ending forgets to give it back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::access::Network;

/// The places.
#[derive(Debug, Clone)]
pub struct Admission {
    most: u64,
    most_of_one: u64,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u64,
    by_address: HashMap<Network, u64>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The server has as many connections as it may.
    #[error("the server has as many connections as it may; try again later")]
    Server,
    /// The address has.
    #[error("this address has as many connections as it may; close some first")]
    Address,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    address: Network,
    taken: Arc<Mutex<Taken>>,
}

impl Admission {
    /// At most `most` places, of which one address has at most `most_of_one`.
    pub fn new(most: u64, most_of_one: u64) -> Self {
        Self { most, most_of_one, taken: Arc::default() }
    }

    /// Takes a place of a client's.
    pub fn admit(&self, address: Network) -> Result<Admitted, Refused> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.most {
            return Err(Refused::Server);
        }
        let own = taken.by_address.entry(address).or_default();
        if *own >= self.most_of_one {
            return Err(Refused::Address);
        }
        *own += 1;
        taken.all += 1;
        Ok(Admitted { address, taken: Arc::clone(&self.taken) })
    }

    /// How many places are taken.
    pub fn taken(&self) -> u64 {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_address.get_mut(&self.address) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let admission = Admission::new(3, 2);
        let client = |text: &str| Network::of_client(text.parse().unwrap());
        let (a, b) = (client("2001:db8::1"), client("10.0.0.2"));
        let neighbour = client("2001:db8::2");
        let first = admission.admit(a).unwrap();
        let second = admission.admit(neighbour).unwrap();
        assert_eq!(admission.admit(a).unwrap_err(), Refused::Address);
        let third = admission.admit(b).unwrap();
        assert_eq!(admission.admit(b).unwrap_err(), Refused::Server);
        drop(first);
        let again = admission.admit(a).unwrap();
        assert_eq!(admission.taken(), 3);
        drop((second, third, again));
        assert_eq!(admission.taken(), 0);
        let map = admission.taken.lock().unwrap();
        assert!(map.by_address.is_empty(), "addresses are not remembered");
    }
}

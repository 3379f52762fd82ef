//! Slows guessing at passwords, per account and per address. A plain machine: time comes in.
//!
//! Each account and each address has a bucket of guesses that fills again at a fixed pace. A guess
//! is taken out before the password is looked at, so that a thousand at once gain nothing, and
//! given back to the account when it was right. Memory is bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use super::limits::{
    ACCOUNT_GUESS_EVERY_MS, ACCOUNT_GUESSES, ADDRESS_GUESS_EVERY_MS, ADDRESS_GUESSES, GUESSERS_MAX,
};
use super::network::Network;
use crate::domain::Timestamp;

/// Too many guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; try again in {retry_after_ms} ms")]
pub struct Throttled {
    /// When the next guess is taken, ms from now.
    pub retry_after_ms: u64,
}

/// The guesses of everybody.
#[derive(Debug)]
pub struct Guesses {
    accounts: Buckets<String>,
    addresses: Buckets<Network>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            accounts: Buckets::new(ACCOUNT_GUESSES, ACCOUNT_GUESS_EVERY_MS, GUESSERS_MAX),
            addresses: Buckets::new(ADDRESS_GUESSES, ADDRESS_GUESS_EVERY_MS, GUESSERS_MAX),
        }
    }
}

impl Guesses {
    /// Takes a guess at `account` from `address`. Errors when either has none left; then neither
    /// loses one.
    pub fn take(
        &mut self,
        account: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), Throttled> {
        let address = Network::of_client(address);
        let account = account.to_owned();
        self.accounts.ask(&account, now)?;
        self.addresses.ask(&address, now)?;
        self.accounts.take(account, now);
        self.addresses.take(address, now);
        Ok(())
    }

    /// The guess was right: the account has all its guesses again. The address keeps its loss,
    /// else one known password would buy guesses at all others.
    pub fn right(&mut self, account: &str) {
        self.accounts.full_at.remove(account);
    }
}

/// Buckets that fill at one pace. A bucket is the one moment at which it is full again.
#[derive(Debug)]
struct Buckets<K> {
    size: u64,
    every_ms: u64,
    most: usize,
    full_at: HashMap<K, Timestamp>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(size: u32, every_ms: u64, most: usize) -> Self {
        Self { size: u64::from(size), every_ms, most, full_at: HashMap::new() }
    }

    fn ask(&self, key: &K, now: Timestamp) -> Result<(), Throttled> {
        let full_at = self.full_at.get(key).copied().unwrap_or(now);
        let missing_ms = full_at.since_ms(now);
        let most_ms = (self.size - 1) * self.every_ms;
        match missing_ms.saturating_sub(most_ms) {
            0 => Ok(()),
            retry_after_ms => Err(Throttled { retry_after_ms }),
        }
    }

    fn take(&mut self, key: K, now: Timestamp) {
        if !self.full_at.contains_key(&key) {
            self.make_room(now);
        }
        let full_at = self.full_at.entry(key).or_insert(now);
        *full_at = (*full_at).max(now).plus_ms(self.every_ms);
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.full_at.len() < self.most {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() < self.most {
            return;
        }
        let fullest = self.full_at.iter().min_by_key(|(_, full_at)| **full_at);
        if let Some(key) = fullest.map(|(key, _)| key.clone()) {
            self.full_at.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn address(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    #[test]
    fn an_account_takes_ten_guesses_and_then_one_a_minute_from_wherever_they_come() {
        let mut guesses = Guesses::default();
        let now = Timestamp(1_000_000);
        for n in 0..ACCOUNT_GUESSES {
            guesses.take("anna", address(n), now).unwrap();
        }
        let late = Err(Throttled { retry_after_ms: 60_000 });
        assert_eq!(guesses.take("anna", address(99), now), late);
        assert!(guesses.take("boris", HERE, now).is_ok());
        let soon = now.plus_ms(59_999);
        let nearly = Err(Throttled { retry_after_ms: 1 });
        assert_eq!(guesses.take("anna", address(99), soon), nearly);
        let then = now.plus_ms(60_000);
        assert!(guesses.take("anna", address(99), then).is_ok());
        assert!(guesses.take("anna", address(99), then).is_err());
    }

    #[test]
    fn a_right_guess_clears_the_account_and_not_the_address() {
        let mut guesses = Guesses::default();
        let now = Timestamp(5);
        for _ in 0..ADDRESS_GUESSES {
            guesses.take("anna", HERE, now).unwrap();
            guesses.right("anna");
        }
        assert_eq!(
            guesses.take("boris", HERE, now),
            Err(Throttled { retry_after_ms: ADDRESS_GUESS_EVERY_MS })
        );
        // Refused guesses at boris cost boris nothing.
        assert!(guesses.take("boris", address(1), now).is_ok());
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let mut guesses = Guesses::default();
        for n in 0..u128::from(ADDRESS_GUESSES) {
            let address = IpAddr::V6((0x2001_0db8_u128 << 96 | n).into());
            guesses.take(&n.to_string(), address, Timestamp(5)).unwrap();
        }
        let next = IpAddr::V6((0x2001_0db8_u128 << 96 | 0xffff).into());
        assert!(guesses.take("x", next, Timestamp(5)).is_err());
    }

    #[test]
    fn memory_is_bounded_and_who_guesses_most_is_remembered() {
        let mut buckets = Buckets::new(3, 1_000, 4);
        let now = Timestamp(10);
        for _ in 0..3 {
            buckets.take("busy".to_owned(), now);
        }
        for n in 0..100 {
            buckets.take(n.to_string(), now);
            assert!(buckets.full_at.len() <= 4);
        }
        assert!(buckets.ask(&"busy".to_owned(), now).is_err());
        // What is full again is forgotten first.
        buckets.take("later".to_owned(), now.plus_ms(10_000));
        assert_eq!(buckets.full_at.len(), 1);
    }
}

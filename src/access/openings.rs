//! Bounds how fast chats are opened. A plain machine: time comes in.
//!
//! An opening is taken out of two buckets: of the visitor, which is a customer of a channel, and of
//! the client's network. There is none of a channel: whoever emptied it would lock out all others.

use super::buckets::Buckets;
use super::limits::{OPENERS_MAX, WAIT_STEP_MS};
use super::network::Network;
use crate::domain::{Customer, Timestamp};

/// A minute, ms.
const MINUTE_MS: u64 = 60_000;

/// Which bucket was empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpeningBound {
    /// The visitor's.
    Visitor,
    /// The network's from which it came.
    Address,
}

impl OpeningBound {
    /// Its name in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Address => "address",
        }
    }
}

/// Too many chats are being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many chats opened; try again in {} s", .retry_after_ms / 1_000)]
pub struct TooManyOpenings {
    /// By whom.
    pub bound: OpeningBound,
    /// When the next one may be opened, ms from now, rounded up.
    pub retry_after_ms: u64,
}

/// The openings of everybody.
#[derive(Debug)]
pub struct Openings {
    of_visitor: Buckets<Customer>,
    of_address: Buckets<Network>,
}

impl Openings {
    /// So many a minute of one visitor and of one address, each of them at once if they like.
    /// Zeros count as one.
    pub fn new(visitor_per_minute: u32, address_per_minute: u32) -> Self {
        Self {
            of_visitor: per_minute(visitor_per_minute),
            of_address: per_minute(address_per_minute),
        }
    }

    /// Whether there is an opening left. Errors when there is none.
    pub fn look(
        &self,
        customer: Customer,
        network: Network,
        now: Timestamp,
    ) -> Result<(), TooManyOpenings> {
        let visitor = (self.of_visitor.wait_ms(&customer, now), OpeningBound::Visitor);
        let address = (self.of_address.wait_ms(&network, now), OpeningBound::Address);
        let (wait_ms, bound) = if address.0 > visitor.0 { address } else { visitor };
        if wait_ms > 0 {
            let retry_after_ms = wait_ms.next_multiple_of(WAIT_STEP_MS);
            return Err(TooManyOpenings { bound, retry_after_ms });
        }
        Ok(())
    }

    /// Takes an opening. Errors when there is none left; then nothing is taken.
    pub fn take(
        &mut self,
        customer: Customer,
        network: Network,
        now: Timestamp,
    ) -> Result<(), TooManyOpenings> {
        self.look(customer, network, now)?;
        self.of_visitor.take(&customer, now);
        self.of_address.take(&network, now);
        Ok(())
    }

    /// No chat was opened: it costs nothing.
    pub fn give_back(&mut self, customer: Customer, network: Network, now: Timestamp) {
        self.of_visitor.give_back(&customer, now);
        self.of_address.give_back(&network, now);
    }
}

fn per_minute<K: std::hash::Hash + Eq + Clone>(openings: u32) -> Buckets<K> {
    let openings = openings.max(1);
    Buckets::new(openings, (MINUTE_MS / u64::from(openings)).max(1), OPENERS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChannelId, CustomerId};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn customer(channel: u128, id: u128) -> Customer {
        Customer { channel: ChannelId::from_u128(channel), id: CustomerId::from_u128(id) }
    }

    fn network(text: &str) -> Network {
        Network::of_client(text.parse().unwrap())
    }

    fn taken(openings: &mut Openings, who: Customer, from: &str, now: Timestamp) -> u32 {
        (0..1_000).filter(|_| openings.take(who, network(from), now).is_ok()).count() as u32
    }

    #[test]
    fn a_visitor_opens_so_many_a_minute_from_wherever_it_comes() {
        let mut openings = Openings::new(6, 60);
        let vera = customer(1, 1);
        assert_eq!(taken(&mut openings, vera, "192.0.2.1", NOW), 6);
        let late = openings.take(vera, network("192.0.2.2"), NOW);
        let bound = OpeningBound::Visitor;
        assert_eq!(late, Err(TooManyOpenings { bound, retry_after_ms: 10_000 }));
        assert_eq!(taken(&mut openings, vera, "192.0.2.1", NOW.plus_ms(9_999)), 0);
        assert_eq!(taken(&mut openings, vera, "192.0.2.1", NOW.plus_ms(10_000)), 1);
        let later = NOW.plus_ms(80_000);
        assert_eq!(taken(&mut openings, vera, "192.0.2.1", later), 6);
        // The same id on another channel is somebody else, and so is another visitor.
        assert_eq!(taken(&mut openings, customer(2, 1), "192.0.2.1", later), 6);
        assert_eq!(taken(&mut openings, customer(1, 2), "192.0.2.1", later), 6);
    }

    #[test]
    fn an_address_opens_so_many_a_minute_whoever_it_says_that_it_is() {
        let mut openings = Openings::new(6, 60);
        let count = |openings: &mut Openings, from: &str, first: u128| -> u32 {
            (0..100).map(|n| taken(openings, customer(1, first + n), from, NOW)).sum()
        };
        assert_eq!(count(&mut openings, "192.0.2.1", 0), 60);
        let late = openings.take(customer(1, 500), network("192.0.2.1"), NOW);
        let bound = OpeningBound::Address;
        assert_eq!(late, Err(TooManyOpenings { bound, retry_after_ms: 10_000 }));
        assert_eq!(taken(&mut openings, customer(1, 500), "192.0.2.2", NOW), 6, "another address");
        // A household has a network of addresses.
        assert_eq!(count(&mut openings, "2001:db8:1:2::1", 1_000), 60);
        assert_eq!(count(&mut openings, "2001:db8:1:2::ffff", 2_000), 0);
        assert_eq!(count(&mut openings, "2001:db8:1:3::1", 3_000), 60);
    }

    #[test]
    fn what_was_refused_or_given_back_cost_nothing() {
        let mut openings = Openings::new(2, 3);
        let vera = customer(1, 1);
        assert_eq!(taken(&mut openings, vera, "192.0.2.1", NOW), 2);
        // The visitor's refusals took nothing from the address.
        assert_eq!(taken(&mut openings, customer(1, 2), "192.0.2.1", NOW), 1);
        openings.give_back(vera, network("192.0.2.1"), NOW);
        assert_eq!(taken(&mut openings, vera, "192.0.2.1", NOW), 1);
    }
}

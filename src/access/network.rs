//! Networks of internet addresses: those that an installation names, and the one that a client
//! counts as.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Bits of an IPv4 and of an IPv6 address.
const BITS: (u8, u8) = (32, 128);

/// Bits in front of an IPv4 address that is written as an IPv6 one (`::ffff:0:0/96`).
const MAPPED_BITS: u8 = 96;

/// Bits that the addresses of one client share: with IPv6 one household has 2^64 of them.
const CLIENT_BITS: (u8, u8) = (32, 64);

/// A network: an address and how many of its first bits count; the others are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// Neither an address nor one with bits behind it.
    #[error("`{text}` is no network; write it as \"10.1.0.0/16\", \"fd00::/8\" or \"192.0.2.7\"")]
    Form {
        /// The text.
        text: String,
    },
    /// The address is within the network that was probably meant.
    #[error("`{text}` has bits behind its first {}; write it as \"{meant}\"", .meant.bits)]
    Host {
        /// The text.
        text: String,
        /// What was probably meant.
        meant: Network,
    },
}

impl Network {
    /// The network that a client counts as where guesses, places and openings are bounded: an IPv4
    /// address alone, an IPv6 address with its 2^64 neighbours.
    pub fn of_client(address: IpAddr) -> Self {
        match address.to_canonical() {
            address @ IpAddr::V4(_) => Self::cut(address, CLIENT_BITS.0),
            address @ IpAddr::V6(_) => Self::cut(address, CLIENT_BITS.1),
        }
    }

    /// Its first address, which names it where its size is known.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether the address is in it. An IPv4 address is the same in whatever form it comes.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && Self::cut(address, self.bits) == *self
    }

    /// Whether every address of its kind is in it.
    pub fn is_everybody(&self) -> bool {
        self.bits == 0
    }

    /// The network of `bits` in which the address is; at most as many as the address has.
    fn cut(address: IpAddr, bits: u8) -> Self {
        let address = match address {
            IpAddr::V4(v4) => {
                let gone = u32::from(BITS.0.saturating_sub(bits));
                IpAddr::V4((u32::from(v4) & u32::MAX.checked_shl(gone).unwrap_or(0)).into())
            }
            IpAddr::V6(v6) => {
                let gone = u32::from(BITS.1.saturating_sub(bits));
                IpAddr::V6((u128::from(v6) & u128::MAX.checked_shl(gone).unwrap_or(0)).into())
            }
        };
        Self { address, bits }
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let form = || BadNetwork::Form { text: text.to_owned() };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| form())?;
        let all = if written.is_ipv4() { BITS.0 } else { BITS.1 };
        let digits = |bits: &&str| !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
        let bits = match bits {
            Some(bits) => Some(bits).filter(digits).and_then(|bits| bits.parse().ok()),
            None => Some(all),
        };
        let bits: u8 = bits.filter(|bits| *bits <= all).ok_or_else(form)?;
        let canonical = written.to_canonical();
        let (address, bits) = match (written, canonical) {
            // Clients are compared in their canonical form, so the network has to be in it, too.
            (IpAddr::V6(_), IpAddr::V4(_)) if bits >= MAPPED_BITS => {
                (canonical, bits - MAPPED_BITS)
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => (written, bits),
        };
        let network = Self::cut(address, bits);
        if network.address == address {
            Ok(network)
        } else {
            Err(BadNetwork::Host { text: text.to_owned(), meant: network })
        }
    }
}

/// A network of one address is written as the address.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.address.is_ipv4() { BITS.0 } else { BITS.1 };
        if self.bits == all {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.bits)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn holds_what_its_first_bits_say_in_either_form() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::/0", "2001:db8::1", "203.0.113.9"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.9.9.9"),
            ("::ffff:10.0.0.7", "10.0.0.7", "10.0.0.8"),
        ] {
            assert!(network(text).contains(address(inside)), "{inside} in {text}");
            assert!(!network(text).contains(address(outside)), "{outside} not in {text}");
        }
    }

    #[test]
    fn is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "192.0.2.7", "::/0", "fd00::/8", "2001:db8::1"] {
            assert_eq!(network(text).to_string(), text);
        }
        assert_eq!(network("192.0.2.7/32").to_string(), "192.0.2.7");
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_was_meant() {
        for text in ["", "proxy", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0/8"] {
            let wrong = Err(BadNetwork::Form { text: text.to_owned() });
            assert_eq!(text.parse::<Network>(), wrong, "{text}");
        }
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert!(error.to_string().contains("write it as \"10.0.0.0/8\""), "{error}");
    }

    #[test]
    fn one_household_is_one_client() {
        let client = |text| Network::of_client(address(text)).to_string();
        assert_eq!(client("2001:db8::1"), "2001:db8::/64");
        assert_eq!(client("2001:db8::ffff:1"), "2001:db8::/64");
        assert_eq!(client("2001:db8:0:1::1"), "2001:db8:0:1::/64");
        assert_eq!(client("::ffff:192.0.2.1"), "192.0.2.1");
    }
}

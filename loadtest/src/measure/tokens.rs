//! Tokens of many people: visitors' by a site's key, operators' by their passwords, each of them from an
//! address of its own, as they come to a server that bounds what one address may ask.

use std::net::Ipv4Addr;

use switchboard::domain::Priority;
use switchboard::protocol::value::Token;
use tokio::task::{JoinHandle, spawn_local};

use crate::client::{Rest, RestError, TokenSource};
use crate::run::provision::{Door, Operator};

/// Visitors' tokens that are asked for side by side.
const VISITORS_AT_A_TIME: usize = 64;

/// Log-ins side by side: the server hashes two passwords at a time.
const LOG_INS_AT_A_TIME: usize = 4;

/// How long an operator's token lives where a run, or those who log in before it, may take longer than is usual, ms.
pub const TOKEN_MS: u64 = 24 * 3_600_000;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The server gives none.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// Whoever asked ended.
    #[error("asking for a token has ended: {0}")]
    Ended(String),
}

/// An address of this machine that no other person with a number has: 127.0.0.1 is nobody's.
pub fn own_address(person: usize) -> Ipv4Addr {
    // All of 127.0.0.0/8 is loopback; its last address is a broadcast.
    const ADDRESSES: u32 = (1 << 24) - 3;
    let place = u32::try_from(person).unwrap_or(u32::MAX) % ADDRESSES;
    Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + 1 + place)
}

/// Tokens of so many new customers, of all channels in turn.
pub async fn visitors(doors: &[Door], count: usize) -> Result<Vec<Token>, TokenError> {
    let mut of = doors.iter().cycle();
    side_by_side(count, VISITORS_AT_A_TIME, |_| {
        let source = of.next().map(|door| door.visitor(None, Priority::default()));
        async move {
            match source {
                Some(mut source) => Ok(Some(source.fresh().await?.token)),
                None => Ok(None),
            }
        }
    })
    .await
}

/// Tokens of operators, in their order, each logged in from its [`own_address`].
pub async fn operators(address: &str, operators: &[Operator]) -> Result<Vec<Token>, TokenError> {
    side_by_side(operators.len(), LOG_INS_AT_A_TIME, |place| {
        let own = Rest::from(own_address(place).into(), address);
        let source = operators.get(place).map(|operator| operator.tokens.clone());
        async move {
            match source {
                Some(TokenSource::User { login, password, .. }) => {
                    let (rest, refresh) = (own, None);
                    let mut own = TokenSource::User { rest, login, password, refresh };
                    Ok(Some(own.fresh().await?.token))
                }
                Some(mut other) => Ok(Some(other.fresh().await?.token)),
                None => Ok(None),
            }
        }
    })
    .await
}

/// Makes so many, some at a time, in order.
async fn side_by_side<F>(
    count: usize,
    at_a_time: usize,
    mut make: impl FnMut(usize) -> F,
) -> Result<Vec<Token>, TokenError>
where
    F: Future<Output = Result<Option<Token>, RestError>> + 'static,
{
    let mut made = Vec::new();
    for first in (0..count).step_by(at_a_time) {
        let some = first..count.min(first + at_a_time);
        let making: Vec<JoinHandle<_>> = some.map(|place| spawn_local(make(place))).collect();
        for one in making {
            let one = one.await.map_err(|error| TokenError::Ended(error.to_string()))?;
            made.extend(one?);
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_an_address_of_this_machine() {
        assert_eq!(own_address(0), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(own_address(4_999), Ipv4Addr::new(127, 0, 19, 137));
        assert!(own_address(usize::MAX).is_loopback());
    }
}

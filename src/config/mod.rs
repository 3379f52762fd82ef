//! Settings of a process: a file, over it the environment, over that the command line; and the
//! seed that fills an empty store.
//!
//! Owns names, defaults, bounds and texts of all settings ([`settings`] is the list). Refuses to
//! hold what changes while the router runs: queues, users and channels are documents
//! ([`catalog`](crate::catalog)).
//! Invariants: an unknown name is refused with the nearest known one; an error says the file and
//! the line; `config/default.toml` is what this code would write.

mod nearest;
mod read;
pub mod seed;
pub mod settings;
mod value;

use std::net::SocketAddr;

pub use read::{BadConfig, Problem, read};
pub use seed::{Seed, SeedError, Seeded, seed_id};
pub use settings::{LogFormat, Settings};
pub use value::Secret;

/// Why the process must not listen where it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the users {} have published demo passwords, so only a loopback address may be listened on, \
     not {address}; give these users other passwords or deactivate them, or listen on 127.0.0.1",
    .logins.join(", ")
)]
pub struct DemoPasswordsInForce {
    /// The address.
    pub address: SocketAddr,
    /// Whose passwords.
    pub logins: Vec<String>,
}

/// Whether the address may be listened on while these users have demo passwords. To be asked for
/// every address at the start; a user gets a demo password by the seed only.
pub fn check_listen(address: SocketAddr, demo_logins: &[&str]) -> Result<(), DemoPasswordsInForce> {
    if demo_logins.is_empty() || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(DemoPasswordsInForce {
        address,
        logins: demo_logins.iter().map(|login| (*login).to_owned()).collect(),
    })
}

//! Who somebody is and what they may do.
//!
//! Owns passwords, tokens, sessions and their revocation. Refuses to know
//! how a token travels, and what a chat is: whether something is somebody's own is told by the
//! caller.
//! Invariants: what the table of rights ([`domain::rights`](crate::domain::rights)) does not grant is refused; a session that ended stays ended over a
//! restart; passwords, tokens and keys never show in `Debug` or errors; guessing is slow, its
//! memory bounded, and nobody locks out somebody else by it; time and randomness are arguments;
//! every change is an `Act`: it leaves an entry in the audit trail, and once a revocation is answered
//! nothing of what it took away takes effect.

mod act;
mod blocks;
mod buckets;
mod common;
mod erasures;
mod gate;
mod hour;
pub mod limits;
mod log_in;
mod network;
pub mod openings;
pub mod password;
mod permit;
mod principal;
pub mod published;
mod revoked;
mod session;
mod strangers;
pub mod throttle;
pub mod token;
mod visitor;

pub use act::{Act, ActError, Lost};
pub use erasures::NotApplied;
pub use gate::{Access, Entropy, NoEntropy};
pub use log_in::{Attempt, Judged};
pub use network::{BadNetwork, Network};
pub use openings::{OpeningBound, Openings, TooManyOpenings};
pub use password::{HashCost, PasswordError, Passwords};
pub use permit::{Asker, Before, Permit, Permits};
pub use principal::{
    AccessError, Holder, Invalid, Principal, TokenLives, Tokens, Visitor, VisitorToken, Who,
};

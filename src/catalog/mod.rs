//! Users, queues, channels and reasons to be away: the documents that administrators change while the router runs.
//!
//! Owns their truth in memory, their versions, their checks and the lint over all of them. Refuses
//! to know chats: whether a queue or a channel is in use is told by the caller.
//! Invariants: what the snapshot shows is durable; a write names the version that it saw; a write
//! that would bring in an error of the lint is refused; one login, one user; there is always an
//! active administrator once there was one; whoever waits on [`Catalog::changes`] sees every
//! change, the latest at the latest.

mod channel;
mod entity;
pub mod limits;
pub mod lint;
mod note;
mod reason;
mod record;
mod snapshot;
mod user;
mod write;

pub use channel::{BadChannel, Channel, Provider, Sender};
pub use entity::{Deletable, Entity};
pub use lint::{Finding, Severity, lint};
pub use reason::{BadListedReason, ListedReason};
pub use record::{Kept, rule_of_word, rule_word};
pub use snapshot::Snapshot;
pub use user::{BadUser, PasswordHash, Role, User};
pub use write::{Catalog, CatalogError, Usage, Written};

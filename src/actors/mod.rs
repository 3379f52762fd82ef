//! One thin actor a machine, under one visible supervision tree.
//!
//! Owns: lives and their restarts, mailboxes, timers, who is where ([`directory`]), and the one
//! handle by which everything above reaches the router ([`Router`]). Refuses: to decide anything
//! about chats, queues or operators; that is `crate::machine`.
//!
//! Reading order: [`router`] (what can be asked for), `lifecycle` (start and end), [`tree`] (who
//! restarts whom), [`directory`], `supervise`, then the shells `chat`, `queue`, `operator`; `forget`,
//! `retention` and `doubt`. Every bound is in [`limits`].
//!
//! Invariants: no actor awaits another, answers come back as messages; nobody keeps an actor's
//! address across a wait; what a client is told has been durable before.

mod charges;
mod chat;
mod clock;
mod configure;
pub mod directory;
mod doubt;
mod forget;
mod held;
mod homeless;
mod hub;
mod intake;
mod lifecycle;
pub mod limits;
mod marking;
mod marks;
mod observe;
mod operator;
mod outside;
mod queue;
mod retention;
mod roster;
mod router;
mod shared;
mod supervise;
mod timer;
pub mod tree;
mod untold;
mod view;
mod ways;

pub use clock::Clock;
pub use directory::Overloaded;
pub use held::{CallPermit, Held, holding};
pub use hub::{Connection, Outgoing};
pub use intake::{GiveBack, Opens, TooMany};
pub use lifecycle::{Options, StartError};
pub use retention::{read_chat, relist_chat};
pub use roster::{OperatorSettings, Roster};
pub use router::{CallError, Router};
pub use view::{ChatView, LinePage, LinePosition, OperatorView, Routed, WaitingChat};

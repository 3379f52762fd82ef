//! One thin actor a machine, under one visible supervision tree.
//!
//! Owns: lives and their restarts, mailboxes, timers, who is where ([`directory`]), and the one
//! handle by which everything above reaches the router ([`Router`]). Refuses: to decide anything
//! about chats, queues or operators; that is `crate::machine`.
//!
//! Reading order: [`router`] (what can be asked for), `lifecycle` (start and end), [`tree`] (who
//! restarts whom), [`directory`], `message` (what is said to an actor), then the shells `chat`, `queue`,
//! `operator` and `follower`, who are started by `supervise`; `forget`, `retention` and `doubt`. Every bound
//! is in [`limits`]. Which file may name which: the second picture of `ARCHITECTURE.md`.
//!
//! Invariants: no actor awaits another, answers come back as messages; nobody keeps an actor's
//! address across a wait; what a client is told has been durable before.

mod charges;
mod chat;
mod clock;
mod configure;
pub mod directory;
mod doubt;
mod feed;
mod followed;
mod follower;
mod forget;
mod held;
mod history;
mod homeless;
mod hub;
mod intake;
mod lifecycle;
pub mod limits;
mod message;
mod observe;
mod operator;
mod options;
mod outside;
mod parked;
mod queue;
mod retention;
mod roster;
mod router;
mod sharded;
mod shared;
mod supervise;
mod supervisors;
mod timer;
pub mod tree;
mod untold;
mod view;
mod watermarks;
mod ways;

pub use charges::{GiveBack, Opens, TooMany};
pub use clock::Clock;
pub use directory::Overloaded;
pub use held::{CallPermit, Held, holding};
pub use history::{ChatsAsked, ChatsPage, HistoryWriter, Rebuilt, rebuild_history};
pub use hub::{Connection, Outgoing};
pub use lifecycle::StartError;
pub use options::Options;
pub use retention::{read_chat, relist_chat};
pub use roster::{OperatorSettings, Roster};
pub use router::{CallError, Router};
pub use view::{ChatView, HistoryPage, LinePage, OperatorView, Routed, WaitingChat};

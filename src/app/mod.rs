//! One process: names the adapters and wires everything, from the command line to the listeners.
//!
//! Owns the order of starting and stopping, and what ends the process. Refuses to decide anything
//! about chats. Only here is it known which store stands behind the ports, what time it is, and
//! where randomness comes from.
//! Invariants: nobody is served before everything is ready; what cannot work ends the process with
//! a text that says what to do; after the store has failed nothing is promised any more.

mod allocator;
mod availability;
#[cfg(unix)]
mod backup;
mod command;
mod compare;
mod compared;
mod entropy;
mod entry;
mod files;
mod follow;
mod health;
mod history;
mod limits;
mod logs;
mod metrics;
mod progress;
mod relist;
mod server;
mod sizes;
mod store;
mod transfer;
mod whole;

pub use command::{Failure, run};
pub use compare::{FaultyChats, HistoryCompared, HistoryFault, compare_history};
pub use entropy::SystemEntropy;
pub use logs::start_logs;
pub use server::{Ended, Plan, Server, StartError};
pub use store::{ERASURES_FILE, OpenError, OpenedStore, StoreChoice};

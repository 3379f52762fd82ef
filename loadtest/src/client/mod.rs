//! A client of the router, as a program should be one: it keeps its word and expects the router's.
//!
//! Owns one person's side of the socket protocol: calls under their ids until they are answered,
//! at most 64 at a time, sent again first and in order after a lost connection; the cursor of each
//! chat; answers to probes; newer tokens in time. [`engine`] decides all of it and does no I/O;
//! [`connection`] feeds it from a socket; [`rest`] and [`tokens`] get what goes in front of it.
//!
//! Refuses to hide what the router does wrong: an event that comes twice is told twice.

pub mod calls;
pub mod chats;
pub mod clock;
pub mod connection;
pub mod engine;
pub mod rest;
pub mod tokens;

pub use connection::{Client, Inbox, ORDERS_MAX, TOLD_MAX, Waits};
pub use engine::{Happening, Ticket, answer};
pub use rest::{Rest, RestError};
pub use tokens::{Fresh, TokenSource};

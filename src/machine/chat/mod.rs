//! The chat: the fold over its log, and the only one who decides where it is.
//!
//! Owns: place, owner, order of messages, answers already given. Refuses: to know whether an
//! operator has room (the operator's) or who is next (the queue's).
//!
//! Invariants: [`Chat::decide`] reads only, [`Chat::apply`] is the one way a chat changes, live
//! and in recovery; nothing is answered or told before its event is durable ([`super::driver`]); a live
//! chat is in exactly one place, and every change of place counts its placement up by one.

mod call;
mod decide;
pub mod driver;
mod fold;
mod former;
mod hear;
mod history;
mod messages;
mod names;
mod notices;
mod people;
mod refusal;
mod rows;
mod search;

pub use call::{
    Author, ChatCall, ChatEffect, ChatInput, Context, Decided, Found, Lookup, Saying, Target, Told,
};
pub use fold::{Chat, FOLD_VERSION, Opened, Transfer};
pub use history::History;

pub use super::driver::{Answer, Recent};
pub use names::Called;
pub use notices::{Notices, Owed};
pub use refusal::Refusal;

#[cfg(test)]
mod tests;

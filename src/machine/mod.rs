//! Everything that decides: plain values without I/O, clock or randomness.
//!
//! - [`chat`] alone decides where a chat is; it is the fold over its log.
//! - [`operator`] alone decides over an operator's slots.
//! - [`queue`] decides who is asked next, on beliefs that the other two correct.
//!
//! They speak by the messages of [`message`], any of which may be lost, repeated or late without
//! harm: commands are repeated until answered ([`repeat`]), and are void once their placement is.
//! Time comes in with every input. `tests/simulation` runs all three under a virtual clock.

pub mod chat;
pub mod index;
pub mod message;
pub mod operator;
pub mod queue;
pub mod repeat;

/// One call of a client, as the layer that carries it numbers it; answered at most once.
pub type CallId = u64;

/// The number of one life of an actor, larger than those of all lives before it, in whatever
/// process. Ids made in a life begin with it.
pub type Life = u64;

//! Everything that decides: plain values without I/O, clock or randomness.
//!
//! - [`chat`] alone decides where a chat is; it is the fold over its log.
//! - [`operator`] alone decides over an operator's slots.
//! - [`queue`] decides who is asked next, on beliefs that the other two correct.
//!
//! [`driver`] orders what is done with whatever has a log, of which the chat is one.
//!
//! They speak by the messages of [`message`], any of which may be lost, repeated or late without
//! harm: commands are repeated until answered ([`repeat`]), and are void once their placement is.
//! Time comes in with every input. `tests/simulation` runs all three under a virtual clock.

pub mod chat;
pub mod driver;
#[cfg(test)]
mod fixture;
pub mod index;
pub mod message;
pub mod operator;
pub mod queue;
pub mod repeat;
pub mod timer;

/// One call of a client, as the layer that carries it numbers it; answered at most once.
pub type CallId = u64;

/// The number of one life of what an actor knows, larger than those of all lives before it, in whatever
/// process. Ids made in a life begin with it.
pub type Life = u64;

/// The number of the `nth` life of a process. A process has room for a million million of them, a
/// thousand a second for thirty years, and processes may start sixteen million times.
pub fn life(process: u64, nth: u64) -> Life {
    (process << LIVES_BITS) + nth
}

/// How many bits number the lives within a process; the rest numbers the processes.
const LIVES_BITS: u32 = 40;

#[cfg(test)]
mod tests {
    use super::life;

    #[test]
    fn lives_of_one_process_never_reach_those_of_the_next() {
        for nth in [1, u64::from(u32::MAX), u64::from(u32::MAX) + 2, 1 << 36] {
            assert!(life(7, nth - 1) < life(7, nth));
            assert!(life(7, nth) < life(8, 1), "the {nth}th life is the next process's");
        }
        // Whatever former releases have numbered, with 32 bits each, is smaller.
        assert!((7 << 32 | u64::from(u32::MAX)) < life(8, 1));
    }
}

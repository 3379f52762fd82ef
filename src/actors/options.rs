//! What an installation chooses of the router.

use std::time::Duration;

use crate::domain::limits::RESTART_GRACE_MS;

use super::limits::{
    CALL_LIMIT, CLOCK_DOUBT, DRAIN_LIMIT, ENDED_IDLE_AFTER, IDLE_AFTER, IDLE_CHATS_PARK_AFTER,
    IDLE_OPERATORS_PARK_AFTER, OUTBOX_MAX, STORE_LIMIT, SWEEP_EVERY, SWEEP_PAUSE,
};

/// What an installation may choose.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long an open chat is idle before its actor ends and leaves its state to the next one, if that is
    /// less than until it goes to sleep.
    pub idle_chats_park_after: Duration,
    /// The same of an operator, who never goes to sleep.
    pub idle_operators_park_after: Duration,
    /// How long a chat is idle before it goes to sleep.
    pub idle_after: Duration,
    /// The same of one that has ended, if that is less.
    pub ended_idle_after: Duration,
    /// How long a call may take.
    pub call_limit: Duration,
    /// How long the store may take over one call of an actor, or one page at the start; an actor
    /// whose store is silent for longer fails and is started again.
    pub store_limit: Duration,
    /// Deadlines that wait for people fire no earlier than this after the start, ms.
    pub restart_grace_ms: u64,
    /// How long calls under way may take to end when the process stops; after that the actors
    /// have the times of the [`TREE`](super::tree::TREE).
    pub drain_limit: Duration,
    /// Most messages that wait for one connection; then it is closed.
    pub outbox_max: usize,
    /// How often retention looks for chats whose time has come.
    pub sweep_every: Duration,
    /// The pause after each slice of them.
    pub sweep_pause: Duration,
    /// How long nothing is removed for its age when the clock jumped ahead, in time of running on it.
    pub clock_doubt: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            idle_chats_park_after: IDLE_CHATS_PARK_AFTER,
            idle_operators_park_after: IDLE_OPERATORS_PARK_AFTER,
            idle_after: IDLE_AFTER,
            ended_idle_after: ENDED_IDLE_AFTER,
            call_limit: CALL_LIMIT,
            store_limit: STORE_LIMIT,
            restart_grace_ms: RESTART_GRACE_MS,
            drain_limit: DRAIN_LIMIT,
            outbox_max: OUTBOX_MAX,
            sweep_every: SWEEP_EVERY,
            sweep_pause: SWEEP_PAUSE,
            clock_doubt: CLOCK_DOUBT,
        }
    }
}

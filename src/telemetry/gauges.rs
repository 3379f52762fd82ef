//! The present, as it is when somebody looks.

use std::collections::BTreeMap;

use metrics::gauge;

use crate::domain::{ChatState, QueueId};

/// What is counted when `/metrics` is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Open chats by queue and state; every queue is there, with zeros.
    pub chats: BTreeMap<(QueueId, ChatState), u64>,
    /// The longest wait of each queue, ms; 0 when nobody waits.
    pub oldest_wait_ms: BTreeMap<QueueId, u64>,
    /// Chats whose change of place is under way.
    pub moving: u64,
    /// Chats whose queue does not exist.
    pub without_queue: u64,
    /// How far the newest time in the store was ahead of the clock at the start, ms.
    pub store_ahead_ms: u64,
    /// Operators by status in force.
    pub operators: BTreeMap<&'static str, u64>,
    /// Slots of ready operators that are taken, and that are free.
    pub slots: (u64, u64),
    /// Open connections.
    pub connections: u64,
    /// Running actors by kind.
    pub actors: BTreeMap<&'static str, u64>,
    /// Those who have no actor as nothing happens to them, by kind.
    pub parked: BTreeMap<&'static str, u64>,
    /// Calls that wait for an answer.
    pub calls_under_way: u64,
    /// Whether the process takes chats.
    pub ready: bool,
}

/// The states in which a chat is open.
pub const OPEN_STATES: [ChatState; 4] =
    [ChatState::Waiting, ChatState::Offered, ChatState::New, ChatState::InProgress];

/// The statuses by which operators are counted.
pub const STATUSES: [&str; 5] = ["ready", "away", "busy", "offline", "not_connected"];

impl Gauges {
    /// Sets every gauge.
    pub fn set(&self) {
        for ((queue, state), count) in &self.chats {
            let (queue, state) = (queue.to_string(), word(*state));
            gauge!("switchboard_chats", "queue" => queue, "state" => state).set(*count as f64);
        }
        for (queue, wait_ms) in &self.oldest_wait_ms {
            let wait = *wait_ms as f64 / 1_000.0;
            gauge!("switchboard_chat_oldest_wait_seconds", "queue" => queue.to_string()).set(wait);
        }
        gauge!("switchboard_chats_moving").set(self.moving as f64);
        gauge!("switchboard_chats_without_queue").set(self.without_queue as f64);
        let ahead = self.store_ahead_ms as f64 / 1_000.0;
        gauge!("switchboard_store_ahead_seconds").set(ahead);
        for status in STATUSES {
            let count = self.operators.get(status).copied().unwrap_or_default();
            gauge!("switchboard_operators", "status" => status).set(count as f64);
        }
        gauge!("switchboard_operator_slots", "use" => "taken").set(self.slots.0 as f64);
        gauge!("switchboard_operator_slots", "use" => "free").set(self.slots.1 as f64);
        gauge!("switchboard_connections").set(self.connections as f64);
        for (kind, count) in &self.actors {
            gauge!("switchboard_actors", "kind" => *kind).set(*count as f64);
        }
        for (kind, count) in &self.parked {
            gauge!("switchboard_actors_parked", "kind" => *kind).set(*count as f64);
        }
        gauge!("switchboard_calls_under_way").set(self.calls_under_way as f64);
        gauge!("switchboard_ready").set(f64::from(u8::from(self.ready)));
    }
}

fn word(state: ChatState) -> &'static str {
    match state {
        ChatState::Waiting => "waiting",
        ChatState::Offered => "offered",
        ChatState::New => "new",
        ChatState::InProgress => "in_progress",
        ChatState::Completed => "completed",
        ChatState::Missed => "missed",
    }
}

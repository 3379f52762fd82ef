//! Holds: the slots that operators have taken, by the server's own times, so that it does not
//! matter in which order news of two chats arrive.
//!
//! Invariant checked: at no ms does an operator hold more than its capacity. A slot that is
//! released in the same ms in which the next is taken was free before: the server's times are no
//! finer.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::{ChatId, UserId};

use super::{Violation, Violations};

/// What is known of all operators' slots.
#[derive(Debug, Clone, Default)]
pub struct Holds {
    operators: BTreeMap<UserId, Slots>,
}

/// One operator's.
#[derive(Debug, Clone, Default)]
struct Slots {
    capacity: u32,
    open: BTreeMap<ChatId, u64>,
    closed: Vec<(ChatId, u64, u64)>,
}

/// A change of what is held; releases sort before takings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Released,
    Taken,
}

impl Holds {
    /// Sets a capacity. All holds are measured by the largest that was ever in force, since a
    /// lowered limit takes no chat away.
    pub fn operator(&mut self, operator: UserId, capacity: u32) {
        let slots = self.operators.entry(operator).or_default();
        slots.capacity = slots.capacity.max(capacity);
    }

    /// Notes a taken slot; of a chat that has one already, nothing.
    pub fn held(&mut self, operator: UserId, chat: ChatId, at_ms: u64) {
        self.operators.entry(operator).or_default().open.entry(chat).or_insert(at_ms);
    }

    /// Notes a released slot; of a chat that has none, nothing.
    pub fn released(&mut self, operator: UserId, chat: ChatId, at_ms: u64) {
        let slots = self.operators.entry(operator).or_default();
        if let Some(from_ms) = slots.open.remove(&chat) {
            slots.closed.push((chat, from_ms, at_ms));
        }
    }

    /// Checks every moment. One violation for each taking that went above the capacity.
    pub fn finish(&self, found: &mut Violations) {
        for (operator, slots) in &self.operators {
            let mut held = BTreeSet::new();
            for (at_ms, change, chat) in slots.changes() {
                match change {
                    Change::Released => {
                        held.remove(&chat);
                    }
                    Change::Taken => {
                        held.insert(chat);
                        if held.len() > slots.capacity as usize {
                            found.add(Violation::AboveCapacity {
                                operator: *operator,
                                at_ms,
                                chats: held.iter().copied().collect(),
                                capacity: slots.capacity,
                            });
                        }
                    }
                }
            }
        }
    }
}

impl Slots {
    /// All takings and releases in order. A hold without a length is none.
    fn changes(&self) -> BTreeSet<(u64, Change, ChatId)> {
        let closed = self.closed.iter().filter(|(_, from_ms, to_ms)| from_ms < to_ms);
        let taken = closed.clone().map(|(chat, from_ms, _)| (*from_ms, Change::Taken, *chat));
        let released = closed.map(|(chat, _, to_ms)| (*to_ms, Change::Released, *chat));
        let open = self.open.iter().map(|(chat, from_ms)| (*from_ms, Change::Taken, *chat));
        taken.chain(released).chain(open).collect()
    }
}

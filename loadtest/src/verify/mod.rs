//! The ledger: verifies a run while it goes on, from what the clients saw and nothing else.
//!
//! Owns what must hold of a router: every acknowledged message is seen exactly once by both sides
//! and in one order ([`messages`]); a chat never has two owners ([`owners`]); nobody holds more
//! than its capacity ([`holds`]); no chat waits beside a free eligible operator ([`mod@line`]); no chat
//! is stuck. A pure value: observations go in, violations come out, each with all that is needed to
//! understand it.
//!
//! What is certainly wrong is told at once. What only missing news could explain waits for
//! [`Ledger::finish`], before which every client has been told everything.
//!
//! Refuses to keep texts: a text is known by its [`TextHash`]. Three clocks never mix: positions of
//! a chat's log order what happens in one chat, the server's times order holds over several chats,
//! the run's own times measure waiting.

pub mod holds;
pub mod line;
pub mod messages;
pub mod observation;
pub mod owners;
pub mod violation;

use std::collections::BTreeMap;

use switchboard::domain::{ChatId, CustomerId, Party, Seq};

use crate::stats::Samples;
use holds::Holds;
use line::Line;
use messages::Messages;
pub use observation::{Message, Observation, TextHash};
use owners::Owners;
pub use violation::{VIOLATIONS_MAX, Violation, Violations};

/// What is known of one run.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Whether each chat has ended, and whose it is.
    chats: BTreeMap<ChatId, (CustomerId, bool)>,
    messages: Messages,
    owners: Owners,
    holds: Holds,
    line: Line,
    found: Violations,
}

impl Ledger {
    /// Takes note. What is certainly wrong is in [`Ledger::violations`] afterwards.
    pub fn observe(&mut self, observation: Observation) {
        let found = &mut self.found;
        match observation {
            Observation::Opened { chat, customer } => {
                self.chats.entry(chat).or_insert((customer, false));
            }
            Observation::Ended { chat } => {
                if let Some((_, ended)) = self.chats.get_mut(&chat) {
                    *ended = true;
                }
            }
            Observation::Sent { message } => self.messages.sent(message),
            Observation::Acknowledged { chat, from, id, seq } => {
                self.messages.acknowledged(chat, from, id, seq, found);
            }
            Observation::Seen { chat, by, seq, message } => {
                self.messages.seen(chat, by, seq, message, found);
            }
            Observation::History { chat, by, messages } => {
                self.messages.history(chat, by, messages, found);
            }
            Observation::OwnerSeen { chat, by, seq, owner } => {
                self.owners.owner_seen(chat, by, seq, owner, found);
            }
            Observation::Gained { chat, operator, seq } => {
                self.owners.gained(chat, operator, seq, found);
            }
            Observation::Lost { chat, operator, seq } => {
                self.owners.lost(chat, operator, seq, found);
            }
            Observation::Operator { operator, at_ms, capacity, queues } => {
                self.holds.operator(operator, capacity);
                self.line.operator(operator, queues, at_ms, found);
            }
            Observation::Held { operator, chat, at_ms } => self.holds.held(operator, chat, at_ms),
            Observation::Released { operator, chat, at_ms } => {
                self.holds.released(operator, chat, at_ms);
            }
            Observation::WaitBegan { chat, queue, at_ms } => {
                self.line.wait_began(chat, queue, at_ms);
            }
            Observation::WaitOver { chat, at_ms } => self.line.wait_over(chat, at_ms, found),
            Observation::FreeBegan { operator, at_ms } => self.line.free_began(operator, at_ms),
            Observation::FreeOver { operator, at_ms } => {
                self.line.free_over(operator, at_ms, found);
            }
            Observation::Excluded { chat, operator, at_ms, until_ms } => {
                self.line.excluded((chat, operator), at_ms, until_ms, found);
            }
            Observation::Down { at_ms } => self.line.down(at_ms, found),
            Observation::Up { at_ms } => self.line.up(at_ms),
            Observation::Tick { at_ms } => self.line.tick(at_ms, found),
        }
    }

    /// Checks all that waits for late news: every client has been told everything, up to `at_ms` of
    /// the run. Nothing is to be observed afterwards.
    pub fn finish(&mut self, at_ms: u64) -> &Violations {
        let found = &mut self.found;
        self.line.tick(at_ms, found);
        self.holds.finish(found);
        self.owners.finish(found);
        for (chat, (customer, ended)) in &self.chats {
            if !ended {
                found.add(Violation::Stuck { chat: *chat });
            }
            let customer = (Party::Customer(*customer), Seq::MAX);
            let owners = self.owners.until(*chat);
            let operators = owners.map(|(operator, until)| (Party::User(operator), until));
            for (by, until) in std::iter::once(customer).chain(operators) {
                self.messages.must_have_seen(*chat, by, until, found);
            }
            for (operator, seq) in self.messages.acknowledged_of_operators(*chat) {
                self.owners.may_write(*chat, operator, seq, found);
            }
        }
        found
    }

    /// What was found so far.
    pub fn violations(&self) -> &Violations {
        &self.found
    }

    /// For each stretch of waiting that is over, the longest that one eligible operator stood free
    /// beside it, ms.
    pub fn idle_beside_ms(&self) -> &Samples {
        self.line.idle_beside_ms()
    }

    /// How many messages were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.messages.count()
    }
}

#[cfg(test)]
mod tests;

//! Who is ready, away, gone and back.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{LATE_OFFER_MAX_US, Ledger};

impl Ledger {
    /// An operator was answered that it is ready, or away.
    pub fn status(&mut self, operator: usize, is_ready: bool, now_us: u64) {
        if let Some(who) = self.operators.get_mut(operator) {
            who.ready_us = is_ready.then_some(now_us);
            who.away_us = (!is_ready).then_some(now_us + LATE_OFFER_MAX_US);
        }
    }

    /// An operator is about to change its status, or has closed its socket: until that is answered, or it is back and
    /// has proven it, it may be either.
    pub fn changes(&mut self, operator: usize) {
        if let Some(who) = self.operators.get_mut(operator) {
            (who.ready_us, who.away_us) = (None, None);
            // An offer that comes when it is back has nothing to do with a place that was free before.
            who.freed_us.clear();
        }
    }

    /// Whether an operator is certainly ready.
    pub fn is_ready(&self, operator: usize) -> bool {
        self.operators.get(operator).is_some_and(|who| who.ready_us.is_some())
    }

    /// An operator is back by another socket, and was told which offers to it stand and which chats are its own. What
    /// was taken off its screen meanwhile nobody told it.
    pub fn came_back(&mut self, operator: usize, stand: &BTreeSet<Uuid>, chats: &BTreeSet<Uuid>) {
        let Some(who) = self.operators.get(operator) else { return };
        let untold: Vec<Uuid> = who.owned.difference(chats).copied().collect();
        let gone: Vec<Uuid> =
            who.offers.keys().filter(|offer| !stand.contains(*offer)).copied().collect();
        for offer in gone {
            self.turn(operator, offer, |_| None);
        }
        for chat in untold {
            self.found.violation(|| {
                format!("operator {operator} came back and was not told of its chat {chat}")
            });
        }
    }
}

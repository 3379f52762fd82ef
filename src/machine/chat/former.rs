//! Those whom earlier places of a chat concerned: told again after a crash, in which what they were
//! owed was forgotten. The latest, somewhat more than one offer can reach.

use std::collections::BTreeMap;

use crate::domain::limits::FORMER_PEERS_MAX;
use crate::machine::message::Peer;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Former {
    by_age: BTreeMap<u64, Peer>,
    ages: BTreeMap<Peer, u64>,
    remembered: u64,
}

impl Former {
    /// It is the latest now.
    pub(super) fn remember(&mut self, peer: Peer) {
        self.remembered += 1;
        if let Some(age) = self.ages.insert(peer, self.remembered) {
            self.by_age.remove(&age);
        }
        self.by_age.insert(self.remembered, peer);
        if self.by_age.len() > FORMER_PEERS_MAX
            && let Some((_, forgotten)) = self.by_age.pop_first()
        {
            self.ages.remove(&forgotten);
        }
    }

    /// All of them.
    pub(super) fn peers(&self) -> impl Iterator<Item = Peer> {
        self.ages.keys().copied()
    }
}

//! Owners who are absent: when, and which chats go back to their lines for it.

use crate::domain::{ChatId, Status, Timestamp};

use super::{Held, Operator, Owed, Slot};

impl Operator {
    /// Owners are absent from their chats while they are not at work or not there. Who is `away` or
    /// `busy` finishes its own chats.
    pub(super) fn look_who_is_absent(&mut self, now: Timestamp) {
        let absent = self.record.status == Status::Offline || !self.presence.is_proven();
        self.absent_since = match (absent, self.absent_since) {
            (false, _) => None,
            (true, None) => Some(now),
            (true, since) => since,
        };
    }

    /// The owned chats that it has been away from for too long.
    pub(super) fn abandoned(&self, now: Timestamp) -> Vec<ChatId> {
        let over = |slot: &Slot| self.abandoned_at(slot).is_some_and(|at| now >= at);
        self.slots.iter().filter(|(_, slot)| over(slot)).map(|(chat, _)| *chat).collect()
    }

    /// When the next owned chat will have been left alone for too long.
    pub(super) fn next_abandoned(&self, now: Timestamp) -> Option<Timestamp> {
        let waiting =
            self.slots.iter().filter(|(chat, _)| !self.owed.owes(Owed::OwnerGone(**chat)));
        waiting.filter_map(|(_, slot)| self.abandoned_at(slot)).map(|at| at.max(now)).min()
    }

    pub(super) fn abandoned_at(&self, slot: &Slot) -> Option<Timestamp> {
        if slot.held != Held::Active {
            return None;
        }
        if !self.account.active {
            return Some(Timestamp::default());
        }
        let gone = self.absent_since?;
        let limit_ms = self.account.absent_owner_limits_ms.get(&slot.queue?)?;
        Some(gone.plus_ms(*limit_ms).max(self.grace_until))
    }
}

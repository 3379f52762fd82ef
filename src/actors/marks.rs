//! How far each participant of a chat has come: delivered and read, up to a position. Both only
//! move forward. Outside the log, written at most once a second a chat, shown once durable.

use std::collections::BTreeMap;

use crate::domain::{Party, Seq, Timestamp};
use crate::storage::Watermark;

/// The shortest time between two writes of one chat's watermarks, ms.
pub(super) const WRITE_EVERY_MS: u64 = 1_000;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    durable: BTreeMap<Party, Watermark>,
    raised: BTreeMap<Party, Watermark>,
    written_at: Option<Timestamp>,
    scheduled: bool,
}

impl Marks {
    pub(super) fn new(durable: BTreeMap<Party, Watermark>) -> Self {
        Self { durable, ..Self::default() }
    }

    /// What is durable of a participant.
    pub(super) fn of(&self, party: Party) -> Watermark {
        self.durable.get(&party).copied().unwrap_or_default()
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_flushed(&self) -> bool {
        self.raised.is_empty() && !self.scheduled
    }

    /// Moves a participant forward. Answers how long to wait until the write, ms, when one is to
    /// be scheduled.
    pub(super) fn raise(
        &mut self,
        party: Party,
        up_to: Seq,
        read: bool,
        now: Timestamp,
    ) -> Option<u64> {
        let known = self.raised.get(&party).copied().unwrap_or_else(|| self.of(party));
        let wanted = Watermark {
            delivered: known.delivered.max(up_to),
            read: if read { known.read.max(up_to) } else { known.read },
        };
        if wanted == known {
            return None;
        }
        self.raised.insert(party, wanted);
        self.schedule(now)
    }

    /// What is to be written now.
    pub(super) fn take_raised(&mut self, now: Timestamp) -> BTreeMap<Party, Watermark> {
        self.scheduled = false;
        self.written_at = Some(now);
        std::mem::take(&mut self.raised)
    }

    /// They are durable.
    pub(super) fn written(&mut self, raised: &BTreeMap<Party, Watermark>) {
        self.durable.extend(raised.iter().map(|(party, mark)| (*party, *mark)));
    }

    /// The write failed: it is tried again, unless later marks stand above it.
    pub(super) fn put_back(
        &mut self,
        raised: BTreeMap<Party, Watermark>,
        now: Timestamp,
    ) -> Option<u64> {
        for (party, mark) in raised {
            self.raised.entry(party).or_insert(mark);
        }
        self.schedule(now)
    }

    fn schedule(&mut self, now: Timestamp) -> Option<u64> {
        if self.scheduled {
            return None;
        }
        self.scheduled = true;
        let next = self.written_at.map_or(now, |at| at.plus_ms(WRITE_EVERY_MS));
        Some(next.since_ms(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CustomerId;

    const WHO: Party = Party::Customer(CustomerId::from_u128(1));

    #[test]
    fn marks_only_move_forward_and_reading_implies_delivery() {
        let mut marks = Marks::new(BTreeMap::new());
        assert_eq!(marks.raise(WHO, 5, true, Timestamp(0)), Some(0));
        assert_eq!(marks.raise(WHO, 3, false, Timestamp(1)), None);
        let raised = marks.take_raised(Timestamp(2));
        assert_eq!(raised[&WHO], Watermark { delivered: 5, read: 5 });
        assert_eq!(marks.of(WHO), Watermark::default(), "shown only once durable");
        marks.written(&raised);
        assert_eq!(marks.of(WHO), Watermark { delivered: 5, read: 5 });
        assert_eq!(marks.raise(WHO, 5, true, Timestamp(3)), None, "nothing new");
    }

    #[test]
    fn a_chat_writes_once_a_second_however_much_is_marked() {
        let mut marks = Marks::new(BTreeMap::new());
        assert_eq!(marks.raise(WHO, 1, false, Timestamp(10)), Some(0));
        let raised = marks.take_raised(Timestamp(10));
        marks.written(&raised);
        assert_eq!(marks.raise(WHO, 2, false, Timestamp(310)), Some(700));
        assert_eq!(marks.raise(WHO, 3, false, Timestamp(400)), None, "one is scheduled");
        let raised = marks.take_raised(Timestamp(1_010));
        assert_eq!(raised[&WHO].delivered, 3);
    }

    #[test]
    fn a_failed_write_is_tried_again() {
        let mut marks = Marks::new(BTreeMap::new());
        marks.raise(WHO, 4, false, Timestamp(0));
        let raised = marks.take_raised(Timestamp(0));
        assert_eq!(marks.put_back(raised.clone(), Timestamp(5)), Some(995));
        assert!(!marks.is_flushed());
        assert_eq!(marks.take_raised(Timestamp(1_000)), raised);
    }
}

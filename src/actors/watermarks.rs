//! How far each participant of a chat has come: delivered and read, up to a position. Both only
//! move forward. Outside the log, written at most once a second a chat, shown and answered once
//! durable: whoever waits for a write (`W`) waits here.

use std::collections::BTreeMap;

use crate::domain::{Party, Seq, Timestamp};
use crate::storage::Watermark;

use super::limits::{WATERMARKS_EVERY_MS, WATERMARKS_WAITING_MAX};

/// See the module.
#[derive(Debug)]
pub(super) struct WatermarkBuffer<W> {
    durable: BTreeMap<Party, Watermark>,
    raised: BTreeMap<Party, Watermark>,
    waiting: Vec<W>,
    written_at: Option<Timestamp>,
    scheduled: bool,
    /// A write is under way; the next one waits for its end.
    writing: bool,
}

/// What becomes of who raised a watermark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Raised<W> {
    /// It is durable already.
    Durable(W),
    /// It waits for the write; one is to be scheduled in so many ms, unless one is.
    Waits(Option<u64>),
    /// Too many wait.
    TooMany(W),
}

/// A write of watermarks, and who waits for it.
#[derive(Debug)]
pub(super) struct Batch<W> {
    pub(super) watermarks: BTreeMap<Party, Watermark>,
    pub(super) waiting: Vec<W>,
}

impl<W> WatermarkBuffer<W> {
    pub(super) fn new(durable: BTreeMap<Party, Watermark>) -> Self {
        let (raised, waiting) = (BTreeMap::new(), Vec::new());
        Self { durable, raised, waiting, written_at: None, scheduled: false, writing: false }
    }

    /// What is durable of a participant.
    pub(super) fn of(&self, party: Party) -> Watermark {
        self.durable.get(&party).copied().unwrap_or_default()
    }

    /// Whether nothing is being written or waits for it.
    pub(super) fn is_flushed(&self) -> bool {
        self.raised.is_empty() && !self.scheduled && !self.writing
    }

    /// Moves a participant forward; `who` waits until that is durable.
    pub(super) fn raise(
        &mut self,
        (party, up_to, read): (Party, Seq, bool),
        who: W,
        now: Timestamp,
    ) -> Raised<W> {
        let come = Watermark::of(up_to, if read { up_to } else { 0 });
        let durable = self.of(party);
        if durable.raised_to(come) == durable {
            return Raised::Durable(who);
        }
        if self.waiting.len() >= WATERMARKS_WAITING_MAX {
            return Raised::TooMany(who);
        }
        let raised = self.raised.entry(party).or_insert(durable);
        *raised = raised.raised_to(come);
        self.waiting.push(who);
        Raised::Waits(self.schedule(now))
    }

    /// What is to be written now, and who waits for it. `written` or `put_back` is to follow.
    pub(super) fn take_raised(&mut self, now: Timestamp) -> Batch<W> {
        self.scheduled = false;
        self.writing = true;
        self.written_at = Some(now);
        Batch {
            watermarks: std::mem::take(&mut self.raised),
            waiting: std::mem::take(&mut self.waiting),
        }
    }

    /// They are durable. What was raised meanwhile is to be written in so many ms.
    pub(super) fn written(
        &mut self,
        watermarks: &BTreeMap<Party, Watermark>,
        now: Timestamp,
    ) -> Option<u64> {
        self.writing = false;
        for (party, watermark) in watermarks {
            // A later batch may have been raised from less than an earlier one has written.
            let known = self.durable.entry(*party).or_default();
            *known = known.raised_to(*watermark);
        }
        self.schedule(now)
    }

    /// The write failed: it is tried again, unless later ones stand above it. Who waited for it
    /// is told so and does not wait any longer.
    pub(super) fn put_back(
        &mut self,
        watermarks: BTreeMap<Party, Watermark>,
        now: Timestamp,
    ) -> Option<u64> {
        self.writing = false;
        for (party, watermark) in watermarks {
            let raised = self.raised.entry(party).or_default();
            *raised = raised.raised_to(watermark);
        }
        self.schedule(now)
    }

    fn schedule(&mut self, now: Timestamp) -> Option<u64> {
        if self.scheduled || self.writing || self.raised.is_empty() {
            return None;
        }
        self.scheduled = true;
        let next = self.written_at.map_or(now, |at| at.plus_ms(WATERMARKS_EVERY_MS));
        Some(next.since_ms(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CustomerId;

    const WHO: Party = Party::Customer(CustomerId::from_u128(1));

    #[test]
    fn watermarks_only_move_forward_and_reading_implies_delivery() {
        let mut buffer = WatermarkBuffer::new(BTreeMap::new());
        assert_eq!(buffer.raise((WHO, 5, true), 'a', Timestamp(0)), Raised::Waits(Some(0)));
        assert_eq!(buffer.raise((WHO, 3, false), 'b', Timestamp(1)), Raised::Waits(None));
        let batch = buffer.take_raised(Timestamp(2));
        assert_eq!(batch.watermarks[&WHO], Watermark { delivered: 5, read: 5 });
        assert_eq!(batch.waiting, ['a', 'b'], "the second is durable no sooner than the first");
        assert_eq!(buffer.of(WHO), Watermark::default(), "shown only once durable");
        assert_eq!(buffer.written(&batch.watermarks, Timestamp(3)), None);
        assert_eq!(buffer.of(WHO), Watermark { delivered: 5, read: 5 });
        assert_eq!(buffer.raise((WHO, 5, true), 'c', Timestamp(3)), Raised::Durable('c'));
    }

    #[test]
    fn a_chat_writes_once_a_second_however_much_is_raised() {
        let mut buffer = WatermarkBuffer::new(BTreeMap::new());
        assert_eq!(buffer.raise((WHO, 1, false), (), Timestamp(10)), Raised::Waits(Some(0)));
        let batch = buffer.take_raised(Timestamp(10));
        buffer.written(&batch.watermarks, Timestamp(10));
        assert_eq!(buffer.raise((WHO, 2, false), (), Timestamp(310)), Raised::Waits(Some(700)));
        assert_eq!(buffer.raise((WHO, 3, false), (), Timestamp(400)), Raised::Waits(None));
        assert_eq!(buffer.take_raised(Timestamp(1_010)).watermarks[&WHO].delivered, 3);
    }

    #[test]
    fn a_failed_write_is_tried_again_for_nobody_but_itself() {
        let mut buffer = WatermarkBuffer::new(BTreeMap::new());
        buffer.raise((WHO, 4, false), 'a', Timestamp(0));
        let batch = buffer.take_raised(Timestamp(0));
        assert_eq!(buffer.put_back(batch.watermarks.clone(), Timestamp(5)), Some(995));
        assert!(!buffer.is_flushed());
        assert_eq!(buffer.raise((WHO, 4, false), 'b', Timestamp(6)), Raised::Waits(None));
        let again = buffer.take_raised(Timestamp(1_000));
        assert_eq!((again.watermarks, again.waiting), (batch.watermarks, vec!['b']));
    }

    #[test]
    fn what_is_put_back_takes_nothing_back() {
        let mut buffer = WatermarkBuffer::new(BTreeMap::new());
        buffer.raise((WHO, 4, true), 'a', Timestamp(0));
        let failed = buffer.take_raised(Timestamp(0));
        buffer.raise((WHO, 6, true), 'b', Timestamp(1));
        buffer.put_back(failed.watermarks, Timestamp(2));
        let again = buffer.take_raised(Timestamp(1_000));
        assert_eq!(again.watermarks[&WHO], Watermark { delivered: 6, read: 6 });
    }

    #[test]
    fn what_is_raised_during_a_write_waits_for_its_end_and_takes_nothing_back() {
        let mut buffer = WatermarkBuffer::new(BTreeMap::new());
        buffer.raise((WHO, 5, false), 'a', Timestamp(0));
        let first = buffer.take_raised(Timestamp(0));
        assert_eq!(buffer.raise((WHO, 3, true), 'b', Timestamp(2_000)), Raised::Waits(None));
        assert!(!buffer.is_flushed());
        assert_eq!(buffer.written(&first.watermarks, Timestamp(2_500)), Some(0));
        let second = buffer.take_raised(Timestamp(2_500));
        assert_eq!(second.waiting, ['b']);
        assert_eq!(buffer.written(&second.watermarks, Timestamp(2_600)), None);
        assert_eq!(buffer.of(WHO), Watermark { delivered: 5, read: 3 });
        assert!(buffer.is_flushed());
    }

    #[test]
    fn who_waits_is_bounded() {
        let mut buffer = WatermarkBuffer::new(BTreeMap::new());
        for n in 0..WATERMARKS_WAITING_MAX {
            let raised = buffer.raise((WHO, 1 + n as Seq, false), n, Timestamp(0));
            assert!(matches!(raised, Raised::Waits(_)));
        }
        assert_eq!(buffer.raise((WHO, 9_999, false), 7, Timestamp(0)), Raised::TooMany(7));
    }
}

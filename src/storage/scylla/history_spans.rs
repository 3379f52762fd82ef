//! Which parts a list of the history has, and in which pieces one is read.
//!
//! A read passes over whatever was removed between the rows that it finds, and servers refuse one that
//! passes over too much, or are too slow for it. So a part whose read was refused is read in halves, and a
//! half in its halves; behind what was crowded the pieces grow again.
//!
//! Invariant: the pieces of a span lie one behind the other in the order of the reading, without a gap, and
//! none is shorter than [`HISTORY_SPAN_MIN_MS`] for having been refused.

use crate::domain::{ChatId, Timestamp};
use crate::storage::history::{HistoryBound, LIST_OF_ALL, LIST_OF_CUSTOMER};
use crate::storage::{HistoryOrder, HistoryPoint};

use super::limits::{DAY_MS, HISTORY_SPAN_MIN_MS, HOUR_MS};

/// How long a part of such a list is, ms; none: it is all one. By the first byte of its key.
pub(super) fn part_ms(list: &[u8]) -> Option<u64> {
    match list.first().copied() {
        Some(LIST_OF_ALL) => Some(HOUR_MS),
        // Nobody opens so many chats that they would be too many, and no list of parts names a customer
        // who is erased.
        Some(LIST_OF_CUSTOMER) => None,
        Some(_) | None => Some(DAY_MS),
    }
}

/// The part in which a time lies.
pub(super) fn part_of(list: &[u8], started: i64) -> i64 {
    let length = part_ms(list).map_or(i64::MAX, u64::cast_signed);
    started.div_euclid(length)
}

/// The place at the far end of a part, behind which the next one begins.
pub(super) fn end_of(list: &[u8], part: i64, order: HistoryOrder) -> HistoryPoint {
    let length = part_ms(list).unwrap_or(u64::MAX);
    let first = part.unsigned_abs().saturating_mul(length);
    match order {
        HistoryOrder::OldestFirst => HistoryPoint {
            started: Timestamp(first.saturating_add(length - 1)),
            chat: ChatId::from_u128(u128::MAX),
        },
        HistoryOrder::NewestFirst => {
            HistoryPoint { started: Timestamp(first), chat: ChatId::from_u128(0) }
        }
    }
}

/// A part of a list, from one bound to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span<'a> {
    pub list: &'a [u8],
    pub part: i64,
    pub low: HistoryBound,
    pub high: HistoryBound,
    /// Whether that is all of a part that is on a list.
    pub is_whole: bool,
}

/// Before all places of a time.
fn before(started: i64) -> HistoryBound {
    HistoryBound { started, chat: Vec::new() }
}

impl<'a> Span<'a> {
    /// What of the part lies between two bounds.
    pub fn within(list: &'a [u8], part: i64, (low, high): (&HistoryBound, &HistoryBound)) -> Self {
        let Some(length) = part_ms(list).map(u64::cast_signed) else {
            return Self { list, part, low: low.clone(), high: high.clone(), is_whole: false };
        };
        let first = part.saturating_mul(length);
        let (first, end) = (before(first), before(first.saturating_add(length)));
        let is_whole = *low <= first && end <= *high;
        Self { list, part, low: first.max(low.clone()), high: end.min(high.clone()), is_whole }
    }

    /// As much of it as is read first: some ms, if it is not to be read at once.
    fn first(&self, order: HistoryOrder, length_ms: Option<i64>) -> Self {
        let mut first = self.clone();
        let Some(length) = length_ms else { return first };
        match order {
            HistoryOrder::OldestFirst => {
                first.high = first.high.min(before(self.low.started.saturating_add(length)));
            }
            HistoryOrder::NewestFirst => {
                first.low = first.low.max(before(self.high.started.saturating_sub(length)));
            }
        }
        first
    }

    fn length_ms(&self) -> i64 {
        self.high.started.saturating_sub(self.low.started)
    }
}

/// What is left of a span, and the length of the piece of it that is read next.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    left: Span<'a>,
    order: HistoryOrder,
    /// None: all of it at once.
    length_ms: Option<i64>,
}

impl<'a> Pieces<'a> {
    /// Of a span of which nothing has been read.
    pub fn of(span: Span<'a>, order: HistoryOrder) -> Self {
        Self { left: span, order, length_ms: None }
    }

    /// What is to be read; none: all of it was.
    pub fn next(&self) -> Option<Span<'a>> {
        let is_left = self.left.low < self.left.high;
        is_left.then(|| self.left.first(self.order, self.length_ms))
    }

    /// The piece was read: up to this row, behind which there may be more of it, or to its end.
    pub fn read(&mut self, piece: Span<'a>, last: Option<HistoryBound>) {
        if last.is_none() {
            self.length_ms = self.length_ms.map(|length| length.saturating_mul(2));
        }
        match self.order {
            HistoryOrder::OldestFirst => self.left.low = last.unwrap_or(piece.high),
            HistoryOrder::NewestFirst => self.left.high = last.unwrap_or(piece.low),
        }
    }

    /// The piece is too much for one read. Answers whether half of it may be tried.
    #[must_use]
    pub fn refused(&mut self, piece: &Span<'a>) -> bool {
        let half = piece.length_ms() / 2;
        self.length_ms = Some(half);
        half >= HISTORY_SPAN_MIN_MS
    }

    /// The place behind which what is left begins.
    pub fn place(&self) -> HistoryPoint {
        let bound = match self.order {
            HistoryOrder::OldestFirst => &self.left.low,
            HistoryOrder::NewestFirst => &self.left.high,
        };
        bound.place(self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: [HistoryOrder; 2] = [HistoryOrder::OldestFirst, HistoryOrder::NewestFirst];

    const DAY: i64 = DAY_MS.cast_signed();

    /// Day 7 of a queue's list.
    fn day() -> Span<'static> {
        Span::within(&[1], 7, (&before(0), &before(i64::MAX)))
    }

    /// The pieces of a span in which those are refused of which `refused` says so by their bounds, and how
    /// many were; errors where one is refused that may not be halved.
    fn walked(
        span: Span<'static>,
        order: HistoryOrder,
        refused: impl Fn(i64, i64) -> bool,
    ) -> Result<(Vec<(i64, i64)>, usize), Span<'static>> {
        let (mut pieces, mut read, mut halved) = (Pieces::of(span, order), Vec::new(), 0);
        while let Some(piece) = pieces.next() {
            let (low, high) = (piece.low.started, piece.high.started);
            if refused(low, high) {
                halved += 1;
                if !pieces.refused(&piece) {
                    return Err(piece);
                }
                continue;
            }
            read.push((low, high));
            pieces.read(piece, None);
        }
        Ok((read, halved))
    }

    #[test]
    fn a_part_that_is_refused_is_read_in_pieces_without_a_gap() {
        let (first, end) = (7 * DAY, 8 * DAY);
        let crowded = first + DAY / 3;
        for order in ORDERS {
            let whole = walked(day(), order, |_, _| false).unwrap();
            assert_eq!(whole, (vec![(first, end)], 0));
            // A minute of the day cannot be read but by itself; and nothing can but by ten minutes, so that
            // behind each piece the next one is tried at twice its length.
            let one = |low, high| low <= crowded && crowded < high && high - low > 60_000;
            let each = |low, high| high - low > 600_000;
            for (most, walk) in [(40, walked(day(), order, one)), (600, walked(day(), order, each))]
            {
                let (mut read, halved) = walk.unwrap();
                assert!(read.len() + halved <= most, "{order:?}: {} and {halved}", read.len());
                assert!(halved > 1 && read.len() > 4, "{order:?}: {} and {halved}", read.len());
                if order == HistoryOrder::NewestFirst {
                    read.reverse();
                }
                assert_eq!((read[0].0, read[read.len() - 1].1), (first, end), "{order:?}");
                assert!(read.windows(2).all(|two| two[0].1 == two[1].0), "{order:?}: {read:?}");
            }
        }
    }

    #[test]
    fn pieces_grow_again_behind_what_was_crowded() {
        let crowded = 7 * DAY + 1;
        let refused = |low, high| low <= crowded && crowded < high && high - low > 10_000;
        let (read, _) = walked(day(), HistoryOrder::OldestFirst, refused).unwrap();
        let lengths: Vec<i64> = read.iter().map(|(low, high)| high - low).collect();
        assert!(lengths[0] <= 10_000 && lengths[lengths.len() - 2] > DAY / 8, "{lengths:?}");
        assert!(lengths.len() < 20, "{lengths:?}");
    }

    #[test]
    fn the_shortest_piece_that_is_refused_is_the_end() {
        for order in ORDERS {
            let last = walked(day(), order, |_, _| true).unwrap_err();
            let length = last.length_ms();
            assert!(
                (HISTORY_SPAN_MIN_MS..2 * HISTORY_SPAN_MIN_MS).contains(&length),
                "{order:?}: {length}"
            );
        }
        // A customer's list is one part without an end.
        let all = Span::within(&[LIST_OF_CUSTOMER], 0, (&before(0), &before(i64::MAX)));
        let last = walked(all, HistoryOrder::NewestFirst, |_, _| true).unwrap_err();
        assert!(last.length_ms() < 2 * HISTORY_SPAN_MIN_MS);
    }

    #[test]
    fn a_piece_that_has_more_rows_goes_on_behind_the_last_one() {
        for order in ORDERS {
            let mut pieces = Pieces::of(day(), order);
            let piece = pieces.next().unwrap();
            assert!(pieces.refused(&piece));
            let piece = pieces.next().unwrap();
            let last = HistoryBound { started: piece.low.started + 5_000, chat: vec![9; 16] };
            pieces.read(piece, Some(last.clone()));
            assert_eq!(pieces.place(), last.place(order), "{order:?}");
            let next = pieces.next().unwrap();
            let (begin, end) = match order {
                HistoryOrder::OldestFirst => (&next.low, next.high.started),
                HistoryOrder::NewestFirst => (&next.high, next.low.started),
            };
            assert_eq!(*begin, last);
            assert_ne!(end, last.started, "as long as it was");
        }
    }

    #[test]
    fn behind_the_end_of_a_part_are_the_chats_of_the_next_one_and_no_others() {
        for list in [&[LIST_OF_ALL][..], &[1, 2, 3]] {
            let length = part_ms(list).unwrap().cast_signed();
            let bound = |started, byte| HistoryBound { started, chat: vec![byte; 16] };
            let (first, last) = (bound(7 * length, 0), bound(8 * length - 1, 0xff));
            let (before, behind) = (bound(7 * length - 1, 0xff), bound(8 * length, 0));
            let end = HistoryBound::of(end_of(list, 7, HistoryOrder::OldestFirst));
            assert!(first <= end && last <= end && end < behind, "{list:?}");
            let end = HistoryBound::of(end_of(list, 7, HistoryOrder::NewestFirst));
            assert!(end <= first && end <= last && before < end, "{list:?}");
        }
    }
}

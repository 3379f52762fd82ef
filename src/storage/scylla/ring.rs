//! Listings of whole tables, by parts of the ring: what a read meets of rows that are gone is a
//! bounded share of all of them.
//!
//! A read passes over whatever was deleted between the rows that it finds, and servers refuse one that
//! passes over too much, or are too slow for it. Partitions lie on the ring by the hash of their keys, so
//! a part of the ring has its share of what is gone. A part whose read was refused is read in halves; so
//! many are gone as may be, a listing goes on.
//!
//! Invariants: each key comes once, also where two have the same token; what a cursor says holds however
//! the ring is cut.

use scylla::deserialize::row::DeserializeRow;
use scylla::statement::prepared::PreparedStatement;

use crate::storage::{Cursor, Page, StoreError};

use super::ScyllaStore;
use super::cql::PartError;
use super::errors::unreadable;
use super::lease::now;
use super::limits::{PART_HALVINGS, PART_HALVINGS_MAX, RING_PAGE_MAX, RING_PAGE_ROWS};

/// What the cursors of such listings begin with; those of former releases were as long as the server
/// wanted, and are begun anew.
const FORMAT: u8 = 1;

/// A length of cursors: the format, the position, how many were given, the halvings.
const CURSOR_BYTES: usize = 1 + 8 + 4 + 1;

/// Where a listing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RingPosition {
    /// On the ring, counted from its first token.
    position: u64,
    /// How many keys with exactly this token were given already.
    given: u32,
    /// How often the ring is halved for the part that is read next.
    halvings: u8,
}

impl RingPosition {
    const BEGIN: Self = Self { position: 0, given: 0, halvings: PART_HALVINGS };

    /// Beside one that this release did not make there is nothing to go by.
    fn of(cursor: &Cursor) -> Option<Self> {
        let raw: &[u8; CURSOR_BYTES] = cursor.raw().try_into().ok()?;
        let (format, rest) = raw.split_first()?;
        let (position, rest) = rest.split_first_chunk()?;
        let (given, rest) = rest.split_first_chunk()?;
        let halvings = *rest.first()?;
        let known = *format == FORMAT && (PART_HALVINGS..=PART_HALVINGS_MAX).contains(&halvings);
        let (position, given) = (u64::from_be_bytes(*position), u32::from_be_bytes(*given));
        known.then_some(Self { position, given, halvings })
    }

    fn cursor(self) -> Cursor {
        let (position, given) = (self.position.to_be_bytes(), self.given.to_be_bytes());
        Cursor::new([&[FORMAT][..], &position, &given, &[self.halvings]].concat())
    }

    /// The last position of the part that this one lies in.
    fn end(self) -> u64 {
        self.position | (u64::MAX >> self.halvings)
    }

    /// The first and the last token of what is left of the part.
    fn tokens(self) -> (i64, i64) {
        (token_at(self.position), token_at(self.end()))
    }

    /// The same in a part of half the size; none when it is as small as can be.
    fn halved(self) -> Option<Self> {
        let halvings = self.halvings + 1;
        (halvings <= PART_HALVINGS_MAX).then_some(Self { halvings, ..self })
    }

    /// The part behind this one, of twice the size where one of that begins; none at the ring's end.
    fn next(self) -> Option<Self> {
        let position = self.end().checked_add(1)?;
        let larger = Self { position, given: 0, halvings: self.halvings.saturating_sub(1) };
        let begins = position & (u64::MAX >> larger.halvings) == 0;
        let may = larger.halvings >= PART_HALVINGS && begins;
        Some(if may { larger } else { Self { halvings: self.halvings, ..larger } })
    }
}

/// Tokens are numbers with a sign; positions count from the smallest.
fn token_at(position: u64) -> i64 {
    (position ^ (1 << 63)).cast_signed()
}

fn position_of(token: i64) -> u64 {
    token.cast_unsigned() ^ (1 << 63)
}

impl ScyllaStore {
    /// A page of a table's keys in the order of their tokens; `token` says what a row's is. The statement
    /// takes the first token, the last one and the number of rows. A page may be empty before the last; it
    /// ends with a part that was refused, so that whoever asks with a limit of its own gets on.
    pub(super) async fn keys<R>(
        &self,
        statement: &PreparedStatement,
        at: Option<&Cursor>,
        limit: usize,
        token: fn(&R) -> i64,
    ) -> Result<Page<R>, StoreError>
    where
        R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        let limit = limit.clamp(1, RING_PAGE_ROWS);
        let mut position = at.and_then(RingPosition::of).unwrap_or(RingPosition::BEGIN);
        let (mut items, begun) = (Vec::new(), now());
        while items.len() < limit && now() - begun < RING_PAGE_MAX {
            // Those that were given come again.
            let asked = limit - items.len() + position.given as usize;
            let (first, last) = position.tokens();
            let values = (first, last, i32::try_from(asked).unwrap_or(i32::MAX));
            let answer = match self.db.read_part(statement, values).await {
                Ok(answer) => answer,
                Err(PartError::TooMuch(error)) => {
                    position = position.halved().ok_or(error)?;
                    break;
                }
                Err(PartError::Store(error)) => return Err(error),
            };
            let rows = answer.rows::<R>().map_err(unreadable)?;
            let rows: Vec<R> = rows.collect::<Result<_, _>>().map_err(unreadable)?;
            let tokens: Vec<i64> = rows.iter().map(token).collect();
            let before = tokens.iter().take(position.given as usize);
            let before = before.take_while(|token| **token == first).count();
            items.extend(rows.into_iter().skip(before));
            let next = match tokens.last() {
                Some(last) if tokens.len() >= asked => {
                    let same = tokens.iter().filter(|token| *token == last).count();
                    let given = u32::try_from(same).unwrap_or(u32::MAX);
                    Some(RingPosition { position: position_of(*last), given, ..position })
                }
                Some(_) | None => position.next(),
            };
            match next {
                None => return Ok(Page { items, next: None }),
                Some(next) => position = next,
            }
        }
        Ok(Page { items, next: Some(position.cursor()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All parts of a walk in which parts are refused as `refused` says of their tokens.
    fn walked(refused: impl Fn(u64, u64) -> bool) -> Vec<(u64, u64)> {
        let (mut parts, mut position) = (Vec::new(), Some(RingPosition::BEGIN));
        while let Some(at) = position {
            if refused(at.position, at.end()) {
                position = Some(at.halved().unwrap());
                continue;
            }
            parts.push((at.position, at.end()));
            position = at.next();
        }
        parts
    }

    #[test]
    fn the_parts_are_the_ring_however_it_is_cut() {
        let whole = walked(|_, _| false);
        assert_eq!(whole.len(), 1 << PART_HALVINGS);
        // Crowded at a position within one part, and everywhere.
        let dense = u64::MAX / 7;
        let one = walked(|first, last| (first..=last).contains(&dense) && last - first > 1 << 52);
        let halved = usize::from(PART_HALVINGS_MAX - PART_HALVINGS);
        assert!(one.len() > whole.len() && one.len() <= whole.len() + 2 * halved, "{}", one.len());
        let all = walked(|first, last| last - first >= 1 << 54);
        assert_eq!(all.len(), 1 << 10);
        for parts in [whole, one, all] {
            assert_eq!((parts[0].0, parts[parts.len() - 1].1), (0, u64::MAX));
            assert!(parts.windows(2).all(|two| two[0].1 + 1 == two[1].0));
        }
    }

    #[test]
    fn a_cursor_says_where_it_goes_on_and_a_former_one_nothing() {
        let position =
            RingPosition { position: 1 << 60 | 5, given: 2, halvings: PART_HALVINGS + 3 };
        assert_eq!(RingPosition::of(&position.cursor()), Some(position));
        for former in [&[][..], &[0; CURSOR_BYTES], &[7; 40]] {
            assert_eq!(RingPosition::of(&Cursor::new(former)), None);
        }
    }

    #[test]
    fn positions_are_in_the_order_of_tokens() {
        assert_eq!((token_at(0), token_at(u64::MAX)), (i64::MIN, i64::MAX));
        for token in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(token_at(position_of(token)), token);
        }
        assert!(position_of(-1) < position_of(0));
    }
}

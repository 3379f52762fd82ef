//! Which rows of a log are visible: a pure fold over rows in their order.
//!
//! A row is an append at a position under an epoch, or the fence of a claim. The log is the chain
//! of appends that continue each other. Of the rows at one position the highest epoch counts, and
//! once a row of an epoch counts, no lower one does behind it; what is not at the chain's end is
//! passed over, unless it is an append: then something in between is missing.
//!
//! Why no late write of a dead claim ever shows: a claim reads where the log ends, writes the last
//! append anew under its own epoch (the *seal*), and leaves its fence behind it, both durable
//! before it answers. Whatever an earlier claim still has under way goes to one of three places.
//! To the position of the fence, where the fence has the higher epoch. To the position of the seal,
//! likewise, and the content there is the same. Or, if an earlier claim failed half-way after it
//! had seen an append that this one did not, behind the fence: that is a fence too, has no records,
//! and is passed over. `docs/decisions/0007-distributed-store.md` has the whole argument, and
//! `chain_model` tries it.

use crate::domain::Seq;

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The position of its first event.
    pub seq: Seq,
    /// The claim that wrote it.
    pub epoch: u64,
    /// The sealed records of its events; none: the fence of a claim.
    pub records: Option<Vec<Vec<u8>>>,
}

/// An append that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Append {
    /// The position of its first event.
    pub first: Seq,
    /// The sealed records of its events; at least one.
    pub records: Vec<Vec<u8>>,
}

/// What the rows say is not a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken {
    /// The position where something is missing.
    pub at: Seq,
}

/// The fold. Feed rows by position, of one position the highest epoch first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    /// Where the next append begins.
    pub next: Seq,
    /// The highest epoch that counted.
    high: u64,
}

impl Chain {
    /// From the beginning of the log.
    pub fn start() -> Self {
        Self { next: 1, high: 0 }
    }

    /// From the row at `seq`, which is known to be an append that counts.
    pub fn from(seq: Seq) -> Self {
        Self { next: seq, high: 0 }
    }

    /// Takes a row, and answers its append if it counts.
    pub fn take(&mut self, row: Row) -> Result<Option<Append>, Broken> {
        if row.epoch < self.high || row.seq < self.next {
            return Ok(None);
        }
        let Some(records) = row.records else {
            if row.seq == self.next {
                self.high = row.epoch;
            }
            return Ok(None);
        };
        if row.seq > self.next || records.is_empty() {
            return Err(Broken { at: self.next });
        }
        self.next += records.len() as u64;
        self.high = row.epoch;
        Ok(Some(Append { first: row.seq, records }))
    }
}

/// Of rows in their order, where the first append is that counts, and so a place to begin at:
/// the first position whose highest epoch has records.
pub(super) fn first_append(rows: &[Row]) -> Option<usize> {
    let mut position = None;
    rows.iter().position(|row| {
        let highest = position.replace(row.seq) != Some(row.seq);
        highest && row.records.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(seq: Seq, epoch: u64, text: &str) -> Row {
        let records = text.chars().map(|c| c.to_string().into_bytes());
        Row { seq, epoch, records: Some(records.collect()) }
    }

    fn fence(seq: Seq, epoch: u64) -> Row {
        Row { seq, epoch, records: None }
    }

    fn text(chain: &mut Chain, rows: &[Row]) -> Result<String, Broken> {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| (row.seq, std::cmp::Reverse(row.epoch)));
        let mut text = String::new();
        for row in rows {
            if let Some(append) = chain.take(row)? {
                let records = append.records.into_iter();
                text.extend(records.map(|record| String::from_utf8(record).unwrap()));
            }
        }
        Ok(text)
    }

    fn all(rows: &[Row]) -> Result<String, Broken> {
        text(&mut Chain::start(), rows)
    }

    #[test]
    fn appends_continue_each_other() {
        let rows = [fence(1, 1), append(1, 1, "ab"), append(3, 1, "c")];
        assert_eq!(all(&rows), Ok("abc".to_owned()));
        assert_eq!(text(&mut Chain::from(3), &rows[2..]), Ok("c".to_owned()));
    }

    #[test]
    fn a_late_write_of_a_fenced_claim_never_shows() {
        // Claim 2 saw "ab" and sealed it; claim 1's append at 3 arrives after.
        let mut rows = vec![append(1, 1, "ab"), append(1, 2, "ab"), fence(3, 2)];
        for late in [append(3, 1, "XYZ"), append(3, 1, "X")] {
            rows.push(late);
            assert_eq!(all(&rows), Ok("ab".to_owned()));
        }
        rows.push(append(3, 2, "c"));
        assert_eq!(all(&rows), Ok("abc".to_owned()));
    }

    #[test]
    fn the_late_fence_of_a_failed_claim_hides_nothing() {
        // Claim 2 saw "ab" only; claim 3 saw the late "c" and sealed it; then 2's writes arrive.
        let mut rows = vec![append(1, 1, "ab"), append(3, 1, "c"), append(3, 3, "c"), fence(4, 3)];
        rows.extend([append(1, 2, "ab"), fence(3, 2)]);
        assert_eq!(all(&rows), Ok("abc".to_owned()));
        // Claim 2 saw "c" and claim 3 did not: its seal and its fence arrive late.
        let mut rows = vec![append(1, 1, "ab"), append(1, 3, "ab"), fence(3, 3)];
        rows.extend([append(3, 1, "cde"), append(3, 2, "cde"), fence(6, 2)]);
        assert_eq!(all(&rows), Ok("ab".to_owned()));
        rows.push(append(3, 3, "CDEFG"));
        assert_eq!(all(&rows), Ok("abCDEFG".to_owned()), "the fence at 6 is within");
        rows.push(append(8, 3, "h"));
        assert_eq!(all(&rows), Ok("abCDEFGh".to_owned()));
    }

    #[test]
    fn what_is_missing_is_found() {
        assert_eq!(all(&[append(1, 1, "a"), append(3, 1, "c")]), Err(Broken { at: 2 }));
        assert_eq!(all(&[append(2, 1, "b")]), Err(Broken { at: 1 }));
        assert_eq!(all(&[append(1, 1, "")]), Err(Broken { at: 1 }));
        // The fence of a claim that saw more hides neither the gap nor what is behind it.
        let rows = [append(1, 1, "a"), append(3, 1, "c"), fence(3, 2)];
        assert_eq!(all(&rows), Err(Broken { at: 2 }));
    }

    #[test]
    fn a_beginning_is_found_behind_fences() {
        let rows = [fence(3, 5), append(3, 4, "x"), fence(4, 5), append(5, 5, "y")];
        assert_eq!(first_append(&rows), Some(3), "what a fence covers is no beginning");
        assert_eq!(first_append(&rows[..3]), None);
    }
}

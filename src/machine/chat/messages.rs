//! Where the messages of a chat stand in its log, and which side wrote each: for counting what is unread.
//!
//! A copy of a chat shares all but the last few: a chat is copied when calls come together.

use std::sync::Arc;

use crate::domain::Seq;

/// How many are shared at once: 2 KiB.
const SEALED: usize = 256;

/// See the module. At most [`CHAT_MESSAGES_MAX`](crate::domain::limits::CHAT_MESSAGES_MAX).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Messages {
    /// Full pieces of [`SEALED`].
    sealed: Vec<Arc<[Entry]>>,
    open: Vec<Entry>,
}

/// A position, and as the last bit whether the customer wrote there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u64);

impl Entry {
    fn seq(self) -> Seq {
        self.0 >> 1
    }

    fn by_customer(self) -> bool {
        self.0 & 1 == 1
    }
}

impl Messages {
    /// The next one.
    pub fn push(&mut self, seq: Seq, by_customer: bool) {
        self.open.push(Entry(seq << 1 | u64::from(by_customer)));
        if self.open.len() == SEALED {
            self.sealed.push(std::mem::take(&mut self.open).into());
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        (self.sealed.len() * SEALED + self.open.len()) as u64
    }

    /// How many stand after a position that were written by the customer, or by the others.
    pub fn after(&self, read: Seq, by_customer: bool) -> u64 {
        let is_read = |entry: &Entry| entry.seq() <= read;
        let from = self.sealed.partition_point(|piece| piece.last().is_some_and(is_read));
        let pieces = self.sealed[from..].iter().map(|piece| &**piece).chain([&*self.open]);
        let unread = pieces.flat_map(|piece| &piece[piece.partition_point(is_read)..]);
        unread.filter(|entry| entry.by_customer() == by_customer).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_count_as_a_plain_list_does(
            wrote in prop::collection::vec((1_u64..4, any::<bool>()), 0..3 * SEALED),
            read in 0_u64..2_500,
        ) {
            let (mut messages, mut list, mut seq) = (Messages::default(), Vec::new(), 0);
            for (step, by_customer) in wrote {
                seq += step;
                messages.push(seq, by_customer);
                list.push((seq, by_customer));
            }
            prop_assert_eq!(messages.len(), list.len() as u64);
            for by in [true, false] {
                let after = list.iter().filter(|(seq, wrote)| *seq > read && *wrote == by);
                prop_assert_eq!(messages.after(read, by), after.count() as u64);
            }
        }
    }
}

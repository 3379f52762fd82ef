//! The port of the watermarks: how far the participants of a chat have come.

use std::collections::BTreeMap;

use super::StoreError;
use super::port::port;
use crate::domain::{ChatId, Party, Seq};

/// How far a participant has come in a chat. Both only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermark {
    /// Delivered up to this position.
    pub delivered: Seq,
    /// Read up to this position; at most `delivered`.
    pub read: Seq,
}

impl Watermark {
    /// Up to these positions: what was read was delivered, too.
    pub fn of(delivered: Seq, read: Seq) -> Self {
        Self { delivered: delivered.max(read), read }
    }

    /// The further of both ways, each for itself; whatever was given, what was read was delivered.
    #[must_use]
    pub fn raised_to(self, other: Self) -> Self {
        Self::of(self.delivered.max(other.delivered), self.read.max(other.read))
    }
}

port! {
    /// The watermarks of the chats' participants.
    pub trait Watermarks {
        /// All of one chat.
        async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError>;

        /// Raises each watermark to at least the given one, by [`Watermark::raised_to`]; never lowers one.
        /// Durable when it answers.
        async fn raise(
            &self,
            chat: ChatId,
            watermarks: BTreeMap<Party, Watermark>,
        ) -> Result<(), StoreError>;

        /// Removes all of a chat whose log is forgotten; a late raise brings none back. May be repeated.
        async fn forget(&self, chat: ChatId) -> Result<(), StoreError>;
    }
}

#[cfg(test)]
mod tests {
    use super::Watermark;

    #[test]
    fn what_was_read_was_delivered_and_neither_goes_back() {
        assert_eq!(Watermark::of(3, 7), Watermark { delivered: 7, read: 7 });
        assert_eq!(Watermark::of(7, 3), Watermark { delivered: 7, read: 3 });
        let raised = Watermark::of(5, 3).raised_to(Watermark::of(4, 4));
        assert_eq!(raised, Watermark { delivered: 5, read: 4 });
        assert_eq!(raised.raised_to(Watermark::default()), raised);
        let read_alone = Watermark { delivered: 0, read: 7 };
        assert_eq!(raised.raised_to(read_alone), Watermark { delivered: 7, read: 7 });
    }
}

//! The chats that an operator has lost a little ago, so that late words about them are known as such.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::limits::GONE_REMEMBERED_MS;
use crate::domain::{ChatId, Placement, Seq, Timestamp};

/// See the module. As many as are lost within [`GONE_REMEMBERED_MS`].
#[derive(Debug, Clone, Default)]
pub(super) struct Lost {
    /// The placement and version at which each was lost, and when.
    chats: BTreeMap<ChatId, ((Placement, Seq), Timestamp)>,
    /// In the order in which they were lost; one that was lost again stands here more than once.
    order: VecDeque<(Timestamp, ChatId)>,
}

impl Lost {
    /// A chat is lost now, at this placement and version.
    pub fn note(&mut self, now: Timestamp, chat: ChatId, at: (Placement, Seq)) {
        self.chats.insert(chat, (at, now));
        self.order.push_back((now, chat));
    }

    /// The placement and version at which a chat was lost; what is said of an earlier one is late.
    pub fn at(&self, chat: ChatId) -> Option<(Placement, Seq)> {
        self.chats.get(&chat).map(|(at, _)| *at)
    }

    /// Forgets those of which nothing can come any more. Looks at no others: this is done at every step.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some((lost_at, chat)) = self.order.front().copied()
            && now.since_ms(lost_at) >= GONE_REMEMBERED_MS
        {
            self.order.pop_front();
            if self.chats.get(&chat).is_some_and(|(_, again_at)| *again_at == lost_at) {
                self.chats.remove(&chat);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::{CHAT, OTHER_CHAT};

    #[test]
    fn a_chat_is_remembered_from_when_it_was_lost_last() {
        let mut lost = Lost::default();
        let at = |ms: u64| Timestamp(1_000 + ms);
        lost.note(at(0), CHAT, (1, 5));
        lost.note(at(1), OTHER_CHAT, (1, 2));
        lost.note(at(2), CHAT, (3, 9));
        lost.expire(at(GONE_REMEMBERED_MS - 1));
        assert_eq!((lost.at(CHAT), lost.at(OTHER_CHAT)), (Some((3, 9)), Some((1, 2))));
        lost.expire(at(GONE_REMEMBERED_MS + 1));
        assert_eq!((lost.at(CHAT), lost.at(OTHER_CHAT)), (Some((3, 9)), None));
        lost.expire(at(GONE_REMEMBERED_MS + 2));
        assert_eq!(lost.at(CHAT), None);
        assert!(lost.order.is_empty() && lost.chats.is_empty());
    }
}

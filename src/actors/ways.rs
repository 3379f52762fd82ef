//! What is on its way into a queue, or through a channel, so that neither is deleted under it.
//!
//! A call that leads into a queue takes a [`Way`] in the same look at the roster in which it finds
//! the queue open, and keeps it until the chat has answered. From the append until the row in the
//! index says where the chat is, the chat is *bound*; so is, in a new process, each chat whose row
//! was marked when the former one ended: that one may come out anywhere. Whoever deletes closes
//! first, so that no way begins any more, and then asks whether anything is there or on its way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{ChannelId, ChatEvent, ChatId, QueueId};
use crate::machine::chat::driver::StoreCall;

use super::sharded::Sharded;

/// Where a way leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Into {
    Queue(QueueId),
    Channel(ChannelId),
}

/// Whereto a chat is bound whose outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Queue(QueueId),
    Anywhere,
}

#[derive(Debug, Default)]
struct Known {
    /// How many ways lead there; as many as calls are under way.
    ways: Mutex<BTreeMap<Into, usize>>,
    /// One entry for each chat whose append, or recovery, is under way.
    bound: Sharded<BTreeMap<ChatId, Bound>>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways(Arc<Known>);

/// A way that is being gone. It ends when the last copy is dropped.
#[derive(Debug)]
pub(super) struct Way {
    ways: Ways,
    into: Into,
}

impl Drop for Way {
    fn drop(&mut self) {
        let mut ways = self.ways.lock();
        if let Some(count) = ways.get_mut(&self.into) {
            *count -= 1;
            if *count == 0 {
                ways.remove(&self.into);
            }
        }
    }
}

impl Ways {
    /// In a new process: these chats were moving when the former one ended.
    pub(super) fn unsettled(&self, chats: &[ChatId]) {
        for chat in chats {
            self.bind(*chat, Bound::Anywhere);
        }
    }

    pub(super) fn to_queue(&self, queue: QueueId) -> Arc<Way> {
        self.take(Into::Queue(queue))
    }

    pub(super) fn through(&self, channel: ChannelId) -> Arc<Way> {
        self.take(Into::Channel(channel))
    }

    /// A call to the store begins. Answers whether it may bring the chat into a queue.
    pub(super) fn begins(&self, chat: ChatId, call: &StoreCall) -> bool {
        let mut bound = false;
        for recorded in call.events() {
            if let ChatEvent::Placed { queue, .. } = recorded.event {
                self.bind(chat, Bound::Queue(queue));
                bound = true;
            }
        }
        bound
    }

    /// The index says where the chat is.
    pub(super) fn settled(&self, chat: ChatId) {
        self.0.bound.of(chat, |bound| bound.remove(&chat));
    }

    /// Whether anything may still come into the queue.
    pub(super) fn lead_into(&self, queue: QueueId) -> bool {
        let leads = |to: &Bound| matches!(to, Bound::Anywhere) || *to == Bound::Queue(queue);
        // The ways first: whoever goes one is bound before the way ends.
        self.lock().contains_key(&Into::Queue(queue))
            || self.0.bound.each(|bound| bound.values().any(leads)).any(|some| some)
    }

    /// Whether anybody may still come through the channel.
    pub(super) fn lead_through(&self, channel: ChannelId) -> bool {
        self.lock().contains_key(&Into::Channel(channel))
    }

    fn take(&self, into: Into) -> Arc<Way> {
        *self.lock().entry(into).or_default() += 1;
        Arc::new(Way { ways: self.clone(), into })
    }

    fn bind(&self, chat: ChatId, to: Bound) {
        self.0.bound.of(chat, |bound| bound.insert(chat, to));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Into, usize>> {
        self.0.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: QueueId = QueueId::from_u128(1);
    const OTHER: QueueId = QueueId::from_u128(2);
    const CHANNEL: ChannelId = ChannelId::from_u128(3);

    #[test]
    fn a_way_is_gone_until_the_last_who_goes_it_has_ended() {
        let ways = Ways::default();
        let (first, second) = (ways.to_queue(QUEUE), ways.to_queue(QUEUE));
        let copy = Arc::clone(&first);
        drop(first);
        drop(second);
        assert!(ways.lead_into(QUEUE) && !ways.lead_into(OTHER));
        drop(copy);
        assert!(!ways.lead_into(QUEUE));
        let (first, second) = (ways.through(CHANNEL), ways.through(CHANNEL));
        drop(second);
        assert!(ways.lead_through(CHANNEL) && !ways.lead_into(QUEUE));
        drop(first);
        assert!(!ways.lead_through(CHANNEL));
    }

    #[test]
    fn a_chat_that_was_moving_when_the_process_ended_may_come_out_anywhere() {
        let ways = Ways::default();
        let chats = [1, 2].map(ChatId::from_u128);
        ways.unsettled(&chats);
        assert!(ways.lead_into(QUEUE) && ways.lead_into(OTHER));
        ways.settled(chats[0]);
        assert!(ways.lead_into(QUEUE), "the other is still on its way");
        ways.settled(chats[1]);
        assert!(!ways.lead_into(QUEUE));
    }
}

//! Those who follow the feed, each with the chats that this process says have changed.
//!
//! That set is haste and no more: it is lost with the process, and what is lost of it while the process
//! lives is found in the feed ([`FeedConsumer`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{ChatEvent, ChatId, Timestamp};
use crate::storage::FeedConsumer;

use super::limits::HASTE_MAX;

/// By the consumer's name.
pub(super) type AllFollowed = BTreeMap<&'static str, Followed>;

/// A consumer, and what it is to be told.
pub(super) struct Followed {
    pub(super) consumer: Arc<dyn FeedConsumer>,
    haste: Mutex<Haste>,
    /// See [`is_up_to_date`](Self::is_up_to_date).
    up_to_date: AtomicBool,
}

/// The chats that a consumer is to take at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Haste {
    pub(super) chats: BTreeSet<ChatId>,
    /// Since when the first of them waits.
    pub(super) since: Option<Timestamp>,
    /// There were more, so that the feed is to be followed instead.
    pub(super) lost: bool,
}

impl Followed {
    pub(super) fn new(consumer: Arc<dyn FeedConsumer>) -> Self {
        Self { consumer, haste: Mutex::default(), up_to_date: AtomicBool::new(false) }
    }

    /// Such events of a chat are durable.
    pub(super) fn changed<'a>(
        &self,
        chat: ChatId,
        mut events: impl Iterator<Item = &'a ChatEvent>,
        now: Timestamp,
    ) {
        if !events.any(|event| self.consumer.concerns(event)) {
            return;
        }
        let mut haste = self.lock();
        haste.since.get_or_insert(now);
        if haste.chats.len() < HASTE_MAX {
            haste.chats.insert(chat);
        } else if !haste.chats.contains(&chat) {
            haste.lost = true;
        }
    }

    /// What there is, which is gone then.
    pub(super) fn haste(&self) -> Haste {
        std::mem::take(&mut *self.lock())
    }

    /// What was taken out was not dealt with.
    pub(super) fn put_back(&self, left: Haste) {
        if left == Haste::default() {
            return;
        }
        let mut haste = self.lock();
        haste.since = left.since.into_iter().chain(haste.since).min();
        haste.lost |= left.lost;
        for chat in left.chats {
            if haste.chats.len() < HASTE_MAX {
                haste.chats.insert(chat);
            } else if !haste.chats.contains(&chat) {
                haste.lost = true;
            }
        }
    }

    /// Since when the first of the chats waits.
    pub(super) fn waits_since(&self) -> Option<Timestamp> {
        self.lock().since
    }

    /// Whether it has taken, by its latest turn, all that there was but for what is damaged: not before the
    /// first turn, on the way from nothing, or while something waits that could not be taken.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.up_to_date.load(Relaxed)
    }

    /// How its turn ended.
    pub(super) fn turned(&self, is_up_to_date: bool) {
        self.up_to_date.store(is_up_to_date, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Haste> {
        self.haste.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::storage::StoreError;

    /// Wants to hear of ends.
    struct OfContinuing;

    #[async_trait]
    impl FeedConsumer for OfContinuing {
        fn name(&self) -> &'static str {
            "test"
        }

        fn concerns(&self, event: &ChatEvent) -> bool {
            matches!(event, ChatEvent::ContinuedIn { .. })
        }

        async fn take(&self, _: ChatId) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn too_many_hints_are_as_good_as_none_and_that_is_said() {
        let followed = Followed::new(Arc::new(OfContinuing));
        let chat = |n| ChatId::from_u128(n as u128);
        let changed = |n: usize| {
            let event = ChatEvent::ContinuedIn { chat: chat(n) };
            followed.changed(chat(n), [&event].into_iter(), Timestamp(5 + n as u64));
        };
        followed.changed(chat(1), [].into_iter(), Timestamp(1));
        assert_eq!(followed.haste(), Haste::default(), "nothing that concerns it");
        for n in (0..HASTE_MAX).chain(0..HASTE_MAX) {
            changed(n);
        }
        let all = followed.haste();
        assert_eq!((all.chats.len(), all.since, all.lost), (HASTE_MAX, Some(Timestamp(5)), false));
        for n in 0..=HASTE_MAX {
            changed(n);
        }
        let some = followed.haste();
        assert_eq!((some.chats.len(), some.lost), (HASTE_MAX, true));
        assert_eq!(followed.haste(), Haste::default());
    }

    #[test]
    fn hints_that_were_not_taken_are_put_back_when_they_fit() {
        let followed = Followed::new(Arc::new(OfContinuing));
        let chat = |n: usize| ChatId::from_u128(n as u128);
        let changed = |n: usize, at| {
            let event = ChatEvent::ContinuedIn { chat: chat(n) };
            followed.changed(chat(n), [&event].into_iter(), Timestamp(at));
        };
        changed(1, 5);
        changed(2, 6);
        let left = followed.haste();
        changed(2, 7);
        changed(3, 8);
        followed.put_back(left);
        assert_eq!(followed.waits_since(), Some(Timestamp(5)));
        let chats = [1, 2, 3].map(chat).into();
        assert_eq!(followed.haste(), Haste { chats, since: Some(Timestamp(5)), lost: false });
        // Nothing was left, and nothing waits.
        followed.put_back(Haste::default());
        assert_eq!(followed.waits_since(), None);
        changed(0, 5);
        let left = followed.haste();
        (1..=HASTE_MAX).for_each(|n| changed(n, 6));
        followed.put_back(left);
        let all = followed.haste();
        assert_eq!((all.chats.len(), all.since, all.lost), (HASTE_MAX, Some(Timestamp(5)), true));
    }
}

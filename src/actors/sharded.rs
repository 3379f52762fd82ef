//! Something of which each shard of the chats has one, behind a lock of its own: no chat waits for those
//! of another shard, and nothing here is looked at under two locks at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::ChatId;
use crate::domain::limits::CHAT_SHARDS;
use crate::machine::index::shard;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sharded<T>([Mutex<T>; CHAT_SHARDS]);

impl<T> Sharded<T> {
    /// These, by shard.
    pub(super) fn new(shards: [T; CHAT_SHARDS]) -> Self {
        Self(shards.map(Mutex::new))
    }

    /// A look at, or a change of, that of a chat. Short, and never across a wait.
    pub(super) fn of<R>(&self, chat: ChatId, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut lock(&self.0[shard(chat)]))
    }

    /// A look at each, one after the other: what is said of a chat is in one of them, as it was at some
    /// moment of that look.
    pub(super) fn each<R>(&self, look: impl Fn(&T) -> R) -> impl Iterator<Item = R> {
        self.0.iter().map(move |one| look(&lock(one)))
    }
}

fn lock<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use super::*;

    /// For somebody else who only has to get on, on a slow machine, too.
    const LONG_ENOUGH: Duration = Duration::from_secs(10);

    #[test]
    fn a_chat_waits_for_none_of_another_shard_and_each_is_found_in_one() {
        let chats = [1, 2].map(ChatId::from_u128);
        let sharded = Arc::new(Sharded::<Vec<ChatId>>::default());
        sharded.of(chats[0], |held| {
            held.push(chats[0]);
            let (tell, told) = mpsc::channel();
            let other = Arc::clone(&sharded);
            std::thread::spawn(move || {
                other.of(chats[1], |one| one.push(chats[1]));
                let _ = tell.send(());
            });
            assert!(told.recv_timeout(LONG_ENOUGH).is_ok(), "it waits for a lock of another shard");
        });
        assert_eq!(sharded.each(Clone::clone).flatten().collect::<Vec<_>>(), chats);
    }
}

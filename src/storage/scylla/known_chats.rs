//! Who of this process may append to which chat, and where its log ends.
//!
//! Invariants: of one chat one thing is done at a time, in a *turn*; the holder of a claim whose
//! last append has no known outcome appends no more; a claim that is not here was superseded or
//! forgotten, and is refused either way, for ever. Memory is bounded: of two generations the old
//! one goes when the young one is full, but for the chats in use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::{ChatId, Seq};

use super::limits::KNOWN_CHATS_KEPT;

/// What is known of a chat, for whoever has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Nobody may append.
    Free,
    /// The holder of this claim may, behind `tail`.
    By {
        /// The claim.
        claim: u64,
        /// Under which its appends are written: that of the claim of this process which read the
        /// log last.
        epoch: u64,
        /// The last position.
        tail: Seq,
    },
    /// An append of this claim is under way, or its outcome is not known.
    Uncertain {
        /// The claim.
        claim: u64,
    },
}

/// One chat.
pub(super) struct KnownChat {
    /// Whoever holds it has the turn.
    pub turn: tokio::sync::Mutex<Held>,
    /// What is durable behind a doubt: readers see nothing behind it.
    shown: AtomicU64,
}

impl KnownChat {
    fn new() -> Self {
        Self { turn: tokio::sync::Mutex::new(Held::Free), shown: AtomicU64::new(Seq::MAX) }
    }

    /// The log is durable up to here.
    pub fn show(&self, tail: Seq) {
        self.shown.store(tail, Relaxed);
    }

    /// The last position that readers may see.
    pub fn shown(&self) -> Seq {
        self.shown.load(Relaxed)
    }
}

#[derive(Default)]
struct Generations {
    young: HashMap<ChatId, Arc<KnownChat>>,
    old: HashMap<ChatId, Arc<KnownChat>>,
}

/// All chats that this process knows.
pub(super) struct KnownChats {
    generations: Mutex<Generations>,
    kept: usize,
}

impl KnownChats {
    /// None yet.
    pub fn new() -> Self {
        Self::keeping(KNOWN_CHATS_KEPT)
    }

    fn keeping(kept: usize) -> Self {
        Self { generations: Mutex::default(), kept }
    }

    /// The chat, if it is known.
    pub fn get(&self, chat: ChatId) -> Option<Arc<KnownChat>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = generations.young.get(&chat) {
            return Some(Arc::clone(known));
        }
        let known = generations.old.remove(&chat)?;
        generations.keep(chat, &known, self.kept);
        Some(known)
    }

    /// The chat, made known.
    pub fn make(&self, chat: ChatId) -> Arc<KnownChat> {
        if let Some(known) = self.get(chat) {
            return known;
        }
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have come first.
        if let Some(known) = generations.young.get(&chat) {
            return Arc::clone(known);
        }
        let known = Arc::new(KnownChat::new());
        generations.keep(chat, &known, self.kept);
        known
    }
}

impl Generations {
    fn keep(&mut self, chat: ChatId, known: &Arc<KnownChat>, kept: usize) {
        if self.young.len() >= kept {
            let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            // Two of one chat would be two turns.
            self.young.extend(gone.into_iter().filter(|(_, known)| Arc::strong_count(known) > 1));
        }
        self.old.remove(&chat);
        self.young.insert(chat, Arc::clone(known));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(n: u128) -> ChatId {
        ChatId::from_u128(n)
    }

    #[test]
    fn the_least_used_are_forgotten_but_never_those_in_use() {
        let known = KnownChats::keeping(10);
        let used = known.make(chat(0));
        for n in 1..100 {
            known.make(chat(n));
            known.get(chat(7));
        }
        let same = known.get(chat(0)).unwrap();
        assert!(Arc::ptr_eq(&used, &same), "one turn for one chat");
        assert!(known.get(chat(7)).is_some(), "the one in use stays");
        assert!(known.get(chat(1)).is_none());
        let generations = known.generations.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 22);
    }
}

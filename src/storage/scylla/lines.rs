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

use super::limits::LINES_KEPT;

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
pub(super) struct Line {
    /// Whoever holds it has the turn.
    pub turn: tokio::sync::Mutex<Held>,
    /// What is durable behind a doubt: readers see nothing behind it.
    shown: AtomicU64,
}

impl Line {
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
    young: HashMap<ChatId, Arc<Line>>,
    old: HashMap<ChatId, Arc<Line>>,
}

/// All chats that this process knows.
pub(super) struct Lines {
    generations: Mutex<Generations>,
    kept: usize,
}

impl Lines {
    /// None yet.
    pub fn new() -> Self {
        Self::keeping(LINES_KEPT)
    }

    fn keeping(kept: usize) -> Self {
        Self { generations: Mutex::default(), kept }
    }

    /// The chat, if it is known.
    pub fn get(&self, chat: ChatId) -> Option<Arc<Line>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = generations.young.get(&chat) {
            return Some(Arc::clone(line));
        }
        let line = generations.old.remove(&chat)?;
        generations.keep(chat, &line, self.kept);
        Some(line)
    }

    /// The chat, made known.
    pub fn make(&self, chat: ChatId) -> Arc<Line> {
        if let Some(line) = self.get(chat) {
            return line;
        }
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have come first.
        if let Some(line) = generations.young.get(&chat) {
            return Arc::clone(line);
        }
        let line = Arc::new(Line::new());
        generations.keep(chat, &line, self.kept);
        line
    }
}

impl Generations {
    fn keep(&mut self, chat: ChatId, line: &Arc<Line>, kept: usize) {
        if self.young.len() >= kept {
            let gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            // Two lines of one chat would be two turns.
            self.young.extend(gone.into_iter().filter(|(_, line)| Arc::strong_count(line) > 1));
        }
        self.old.remove(&chat);
        self.young.insert(chat, Arc::clone(line));
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
        let lines = Lines::keeping(10);
        let used = lines.make(chat(0));
        for n in 1..100 {
            lines.make(chat(n));
            lines.get(chat(7));
        }
        let same = lines.get(chat(0)).unwrap();
        assert!(Arc::ptr_eq(&used, &same), "one turn for one chat");
        assert!(lines.get(chat(7)).is_some(), "the one in use stays");
        assert!(lines.get(chat(1)).is_none());
        let generations = lines.generations.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 22);
    }
}

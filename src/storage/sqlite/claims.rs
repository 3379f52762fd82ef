//! Who may append to which chat. In memory only: the store has one process, and every life of
//! the store gives larger epochs than the one before.
//!
//! Invariants: an epoch is never given twice; a claim that is not here was superseded or
//! forgotten, and is refused either way, for ever.

use std::collections::HashMap;

use crate::domain::{ChatId, Seq};

use super::limits::{CLAIMS_KEPT, EPOCH_CLAIM_BITS};

/// The newest claim of a chat and where its log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub epoch: u64,
    pub tail: Seq,
}

/// Two generations: what is used moves to the young one; when that is full the old one goes.
pub(super) struct Claims {
    young: HashMap<ChatId, Holder>,
    old: HashMap<ChatId, Holder>,
    kept: usize,
    last_epoch: u64,
}

impl Claims {
    /// The claims of the store's `life`th life: none yet.
    pub fn new(life: u64) -> Self {
        Self::keeping(life, CLAIMS_KEPT)
    }

    fn keeping(life: u64, kept: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            kept,
            last_epoch: life << EPOCH_CLAIM_BITS,
        }
    }

    /// The newest claim of the chat, if it is still known.
    pub fn holder(&mut self, chat: ChatId) -> Option<Holder> {
        if let Some(holder) = self.young.get(&chat) {
            return Some(*holder);
        }
        let holder = self.old.remove(&chat)?;
        self.keep(chat, holder);
        Some(holder)
    }

    /// Gives the chat to a new claim and answers its epoch.
    pub fn take(&mut self, chat: ChatId, tail: Seq) -> u64 {
        self.last_epoch += 1;
        let epoch = self.last_epoch;
        self.keep(chat, Holder { epoch, tail });
        epoch
    }

    /// The log of the chat, whose claim is known, now ends at `tail`.
    pub fn grown(&mut self, chat: ChatId, tail: Seq) {
        if let Some(holder) = self.young.get_mut(&chat) {
            holder.tail = tail;
        }
    }

    /// Nobody may append to the chat any more.
    pub fn forget(&mut self, chat: ChatId) {
        self.young.remove(&chat);
        self.old.remove(&chat);
    }

    fn keep(&mut self, chat: ChatId, holder: Holder) {
        if self.young.len() >= self.kept {
            self.old = std::mem::take(&mut self.young);
        }
        // An outdated one among the old goes with them: the young take their place as a whole.
        self.young.insert(chat, holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(n: u128) -> ChatId {
        ChatId::from_u128(n)
    }

    #[test]
    fn the_least_used_are_forgotten_and_memory_is_bounded() {
        let mut claims = Claims::keeping(1, 10);
        for n in 0..100 {
            claims.take(chat(n), 0);
            claims.holder(chat(0));
        }
        assert!(claims.young.len() + claims.old.len() <= 20);
        assert!(claims.holder(chat(0)).is_some(), "the one in use stays");
        assert_eq!(claims.holder(chat(1)), None);
    }

    #[test]
    fn a_forgotten_claim_never_comes_back() {
        let mut claims = Claims::keeping(1, 2);
        let first = claims.take(chat(1), 0);
        claims.take(chat(2), 0);
        claims.take(chat(3), 0);
        let second = claims.take(chat(1), 5);
        assert!(second > first);
        for n in 4..20 {
            claims.take(chat(n), 0);
            let holder = claims.holder(chat(1)).map(|holder| holder.epoch);
            assert_ne!(holder, Some(first));
        }
    }

    #[test]
    fn a_new_life_outranks_every_claim_before() {
        let mut before = Claims::keeping(1, 2);
        let old = (0..1_000).map(|n| before.take(chat(n), 0)).max();
        assert!(Some(Claims::keeping(2, 2).take(chat(0), 0)) > old);
    }
}

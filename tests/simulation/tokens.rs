//! What chats know of their customers, by the tokens that these were issued: a second, naive account.

use std::collections::BTreeMap;

use switchboard::domain::{ChatEvent, ChatId, Name, Place, Profile, Recorded};
use switchboard::machine::chat::{Chat, ChatCall};
use switchboard::routing::rank;

use crate::world::World;

#[derive(Debug, Default)]
pub struct Tokens {
    /// All that was ever issued, by the name in it: no two have the same.
    issued: BTreeMap<Name, Profile>,
    /// The latest that each chat has acknowledged.
    told: BTreeMap<ChatId, Profile>,
    /// What each chat's log says.
    known: BTreeMap<ChatId, Profile>,
}

impl Tokens {
    pub fn issued(&mut self, profile: &Profile) {
        let name = profile.name.clone().expect("tokens have names here");
        self.issued.insert(name, profile.clone());
    }

    /// A chat has answered: what came with the call is known to it. Not what came with a message,
    /// which may be a repeat.
    pub fn acknowledged(&mut self, chat: ChatId, wanted: &ChatCall) {
        if let ChatCall::Open { profile, .. } | ChatCall::UpdateCustomer { profile, .. } = wanted {
            let told = self.told.entry(chat).or_default();
            *told = profile.max(told).clone();
        }
    }

    /// A later token replaces an earlier one, and only if it says something else.
    pub fn appended(&mut self, chat: ChatId, recorded: &Recorded, seed: u64) {
        match &recorded.event {
            ChatEvent::Opened { profile, .. } => {
                self.known.insert(chat, profile.clone());
            }
            ChatEvent::CustomerUpdated { profile } => {
                let former = self.known.insert(chat, profile.clone()).expect("it was opened");
                assert!(
                    *profile > former && profile.name != former.name,
                    "{chat:?} took {profile:?} after {former:?} (seed {seed})"
                );
            }
            _ => {}
        }
    }

    /// What a chat knows is the latest that it was told of.
    fn check(&self, fold: &Chat, seed: u64) {
        let (chat, known) = (fold.id(), fold.profile());
        let told = self.told.get(&chat);
        // By what the site said, not by what the log says that it said.
        let known = known.name.as_ref().and_then(|name| self.issued.get(name));
        assert!(
            told <= known,
            "{chat:?} goes by the token {known:?}, though it was told of {told:?} (seed {seed})"
        );
    }
}

impl World {
    /// A chat that has come to rest goes by the latest token that it was told of, and so do those
    /// who rank it.
    pub fn goes_by_the_latest_token(&self, fold: &Chat) {
        let (Some(at), seed) = (fold.at(), self.seed) else { return };
        if matches!(at.place, Place::Ended { .. }) {
            return;
        }
        self.checker.tokens.check(fold, seed);
        if !self.settled(fold) || !matches!(at.place, Place::Waiting | Place::Offered(_)) {
            return;
        }
        let queue = self.queues.get(&at.queue).map(|live| &live.machine);
        if let Some(entry) = queue.and_then(|queue| queue.line().get(at.chat)) {
            assert_eq!(
                entry.at.priority, at.priority,
                "{:?} ranks by an old token in {:?} (seed {seed})",
                at.chat, at.queue
            );
        }
        for (operator, live) in &self.operators {
            if let Some(invite) = live.machine.invites().get(&at.chat) {
                let ranks = invite.waits.1;
                assert_eq!(
                    ranks, at.priority,
                    "{:?} ranks by an old token at {operator:?} (seed {seed})",
                    at.chat
                );
                let account = live.machine.account();
                let kept = live.machine.kept().get(&at.chat);
                if let (Some(kept), Some(terms)) = (kept, account.queues.get(&invite.queue)) {
                    let ranks =
                        rank(invite.waits.0, terms.priority, at.priority, &account.settings);
                    assert_eq!(
                        kept.rank, ranks,
                        "a slot is kept for {:?} at {operator:?} by an old rank (seed {seed})",
                        at.chat
                    );
                }
            }
        }
    }
}

//! How fast the router heals, and what it says for it: once nothing goes wrong any more, no chat waits
//! beside a free operator for long; and a chat costs so many messages between actors at most.

use std::collections::BTreeMap;

use switchboard::domain::{ChatId, ChatState};

use crate::planted::Planted;
use crate::world::World;

/// How long a chat may wait beside a free operator after the last fault, ms, as far as it was looked at:
/// a lost word is said again within 2,000, and a look comes 900 later at most. In a thousand seeds it was
/// 1,639.
const HEALED_MS: u64 = 3_000;

/// Messages between actors for each chat of a seed, at most: where nothing goes wrong, and with all that is
/// lost and said again. In a thousand seeds they were 141 and 208.
const MESSAGES_A_CHAT_MAX: (u64, u64) = (250, 400);

/// How many times as many they may be in a large world: three times as many queues hear of each operator.
const LARGE_TIMES: u64 = 3;

/// See the module.
#[derive(Debug, Default)]
pub struct Healing {
    /// Since when each chat waits beside a free operator, as far as it was looked at.
    beside: BTreeMap<ChatId, u64>,
    pub messages: u64,
}

impl World {
    /// Looks for chats that wait beside a free operator. Often in calm times.
    pub fn look_who_waits_beside(&mut self) {
        // A chat of which its queue never hears is found at rest.
        if self.faulty() || !self.up || self.plan.planted == Some(Planted::LostArrival) {
            self.healing.beside.clear();
            return;
        }
        let mut beside = BTreeMap::new();
        for chat in self.checker.in_state(ChatState::Waiting) {
            let fold = &self.checker.folds[&chat];
            let queue = fold.at().and_then(|at| self.queues.get(&at.queue));
            if queue.is_some_and(|live| self.free_beside(fold, &live.machine).is_some()) {
                let since = self.healing.beside.get(&chat).copied().unwrap_or(self.now);
                beside.insert(chat, since.max(self.last_fault));
            }
        }
        for (chat, since) in &beside {
            let ms = self.now.saturating_sub(*since);
            self.coverage.most("longest beside a free operator, ms", ms);
            assert!(
                ms <= HEALED_MS,
                "{chat:?} waits beside a free operator since {since}, at {} (seed {})",
                self.now,
                self.seed
            );
        }
        self.healing.beside = beside;
    }

    /// At the end of a seed.
    pub fn check_messages(&mut self) {
        let chats = self.store.logs.len() as u64;
        let each = self.healing.messages / chats.max(1);
        let (what, most) = match self.plan.faults {
            false => ("messages a chat without faults", MESSAGES_A_CHAT_MAX.0),
            true => ("messages a chat", MESSAGES_A_CHAT_MAX.1),
        };
        let most = if self.plan.large { most * LARGE_TIMES } else { most };
        if !self.plan.large {
            self.coverage.most(what, each);
        }
        assert!(
            each <= most,
            "{} messages for {chats} chats, {each} each (seed {})",
            self.healing.messages,
            self.seed
        );
    }
}

//! The line: no chat waits while an operator who could have it stands free.
//!
//! A pair of a chat and an operator is *beside* while the chat waits, the operator is free and a
//! member of the chat's queue, the operator is not excluded from the chat, and the server is up.
//! One stretch of that may last [`IDLE_BESIDE_MAX_MS`]. The longest stretch for each wait is kept,
//! with zero for a wait beside nobody, so that its p99 can be told.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::{ChatId, QueueId, UserId};

use super::{Violation, Violations};
use crate::stats::Samples;

/// How long a chat may wait beside a free eligible operator, real ms.
pub const IDLE_BESIDE_MAX_MS: u64 = 500;

/// A chat and an operator.
type Pair = (ChatId, UserId);

/// What is known of who waits and who is free.
#[derive(Debug, Clone, Default)]
pub struct Line {
    queues: BTreeMap<UserId, BTreeSet<QueueId>>,
    waiting: BTreeMap<ChatId, Waiting>,
    free_since_ms: BTreeMap<UserId, u64>,
    /// Until when an operator is excluded from a chat; none: without end.
    excluded: BTreeMap<Pair, Option<u64>>,
    /// The present stretches that were told already.
    told: BTreeSet<Pair>,
    /// Since when the server is up; none while it is down.
    up_since_ms: Up,
    longest_ms: Samples,
}

/// A waiting chat.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    queue: QueueId,
    since_ms: u64,
    /// The longest stretch so far that is over.
    longest_ms: u64,
}

/// Whether the server is up.
#[derive(Debug, Clone, Copy)]
enum Up {
    Since(u64),
    Down,
}

impl Default for Up {
    fn default() -> Self {
        Self::Since(0)
    }
}

impl Line {
    /// Sets an operator's queues. When they change, all its stretches begin anew.
    pub fn operator(
        &mut self,
        operator: UserId,
        queues: Vec<QueueId>,
        at_ms: u64,
        found: &mut Violations,
    ) {
        let queues: BTreeSet<QueueId> = queues.into_iter().collect();
        if self.queues.get(&operator) != Some(&queues) {
            let free = self.free_since_ms.contains_key(&operator);
            self.free_over(operator, at_ms, found);
            self.queues.insert(operator, queues);
            if free {
                self.free_began(operator, at_ms);
            }
        }
    }

    /// A chat waits; one that waits already goes on, unless the queue is another.
    pub fn wait_began(&mut self, chat: ChatId, queue: QueueId, at_ms: u64) {
        let fresh = Waiting { queue, since_ms: at_ms, longest_ms: 0 };
        let waiting = self.waiting.entry(chat).or_insert(fresh);
        if waiting.queue != queue {
            *waiting = fresh;
        }
    }

    /// A chat waits no more.
    pub fn wait_over(&mut self, chat: ChatId, at_ms: u64, found: &mut Violations) {
        let beside: Vec<Pair> = self.free_since_ms.keys().map(|who| (chat, *who)).collect();
        self.stretches_end(beside, at_ms, found);
        if let Some(waiting) = self.waiting.remove(&chat) {
            self.longest_ms.add(waiting.longest_ms);
        }
    }

    /// An operator is free; one that is free already goes on.
    pub fn free_began(&mut self, operator: UserId, at_ms: u64) {
        self.free_since_ms.entry(operator).or_insert(at_ms);
    }

    /// An operator is not free.
    pub fn free_over(&mut self, operator: UserId, at_ms: u64, found: &mut Violations) {
        let beside: Vec<Pair> = self.waiting.keys().map(|chat| (*chat, operator)).collect();
        self.stretches_end(beside, at_ms, found);
        self.free_since_ms.remove(&operator);
    }

    /// An operator may not be asked for a chat for a while.
    pub fn excluded(
        &mut self,
        pair: Pair,
        at_ms: u64,
        until_ms: Option<u64>,
        found: &mut Violations,
    ) {
        self.stretches_end(vec![pair], at_ms, found);
        self.excluded.insert(pair, until_ms);
    }

    /// The server is down: every stretch is over.
    pub fn down(&mut self, at_ms: u64, found: &mut Violations) {
        self.stretches_end(self.pairs(), at_ms, found);
        self.up_since_ms = Up::Down;
    }

    /// The server is up: stretches begin now at the earliest.
    pub fn up(&mut self, at_ms: u64) {
        self.up_since_ms = Up::Since(at_ms);
    }

    /// Tells the stretches that last too long, each once.
    pub fn tick(&mut self, at_ms: u64, found: &mut Violations) {
        for pair in self.pairs() {
            self.check(pair, at_ms, found);
        }
    }

    /// The longest stretch of each wait that is over, ms.
    pub fn idle_beside_ms(&self) -> &Samples {
        &self.longest_ms
    }

    fn pairs(&self) -> Vec<Pair> {
        let free = || self.free_since_ms.keys();
        let pairs = self.waiting.keys().flat_map(|chat| free().map(|who| (*chat, *who)));
        pairs.collect()
    }

    /// Since when the two are beside each other, at `now_ms`; none when they are not.
    fn beside_since_ms(&self, (chat, operator): Pair, now_ms: u64) -> Option<u64> {
        let waiting = self.waiting.get(&chat)?;
        let free_since_ms = *self.free_since_ms.get(&operator)?;
        if !self.queues.get(&operator)?.contains(&waiting.queue) {
            return None;
        }
        let Up::Since(up_since_ms) = self.up_since_ms else {
            return None;
        };
        let excluded_until_ms = match self.excluded.get(&(chat, operator)) {
            Some(until_ms) => (*until_ms)?,
            None => 0,
        };
        let since_ms = [waiting.since_ms, free_since_ms, up_since_ms, excluded_until_ms];
        since_ms.into_iter().max().filter(|since_ms| *since_ms < now_ms)
    }

    /// Tells the stretch if it lasts too long and was not told yet. Returns its length, ms.
    fn check(&mut self, pair: Pair, now_ms: u64, found: &mut Violations) -> u64 {
        let Some(from_ms) = self.beside_since_ms(pair, now_ms) else {
            return 0;
        };
        let (for_ms, (chat, operator)) = (now_ms - from_ms, pair);
        let queue = self.waiting.get(&chat).map(|waiting| waiting.queue);
        if let Some(queue) = queue.filter(|_| for_ms > IDLE_BESIDE_MAX_MS)
            && self.told.insert(pair)
        {
            found.add(Violation::IdleBesideWaiting { chat, queue, operator, from_ms, for_ms });
        }
        for_ms
    }

    fn stretches_end(&mut self, pairs: Vec<Pair>, at_ms: u64, found: &mut Violations) {
        for pair in pairs {
            let for_ms = self.check(pair, at_ms, found);
            self.told.remove(&pair);
            if let Some(waiting) = self.waiting.get_mut(&pair.0) {
                waiting.longest_ms = waiting.longest_ms.max(for_ms);
            }
        }
    }
}

//! Nobody is asked for one and the same chat again and again: a queue and an operator that disagree
//! about a slot would keep two actors busy for as long as they do.

use std::collections::{BTreeMap, VecDeque};

use switchboard::domain::{ChatId, Timestamp, UserId};

/// Within this time, ms: a dozen exchanges of messages.
const WITHIN_MS: u64 = 100;

/// A queue may ask one operator for one chat so often: late and lost answers make for some.
const TIMES: usize = 8;

/// When each operator was asked to hold a slot for each chat, the last times.
#[derive(Debug, Default)]
pub struct Insisting(BTreeMap<(UserId, ChatId), VecDeque<Timestamp>>);

impl Insisting {
    /// A queue asks with an offer of its own.
    pub fn asked(&mut self, operator: UserId, chat: ChatId, now: Timestamp, seed: u64) {
        let times = self.0.entry((operator, chat)).or_default();
        times.push_back(now);
        if times.len() > TIMES {
            let first = times.pop_front().unwrap_or(now);
            assert!(
                now.since_ms(first) >= WITHIN_MS,
                "{operator:?} was asked for {chat:?} {TIMES} times and more since {first:?}, at \
                 {now} (seed {seed})"
            );
        }
    }
}

//! The store as the simulation sees it: what is durable, who may write, what can go wrong.

use std::collections::BTreeMap;

use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{ChatId, Recorded, UserId};
use switchboard::storage::{AppendError, Claim, Claimed, EndedChat, OpenChat, RowUpdate};

use crate::rng::Rng;

/// How an append goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppendFate {
    Durable,
    Unavailable,
    /// Written, but the answer says that nobody knows.
    UnknownWritten,
    UnknownNotWritten,
    /// Nobody knows, and it is written long after, unless another claim came in between.
    UnknownLate,
}

#[derive(Debug, Default)]
pub struct Store {
    pub logs: BTreeMap<ChatId, Vec<Recorded>>,
    epochs: BTreeMap<ChatId, u64>,
    pub rows: BTreeMap<ChatId, OpenChat>,
    pub ended: BTreeMap<ChatId, EndedChat>,
    pub records: BTreeMap<UserId, OperatorRecord>,
}

impl Store {
    pub fn claim(&mut self, chat: ChatId) -> Claimed {
        let epoch = self.epochs.entry(chat).or_default();
        *epoch += 1;
        let tail = self.logs.get(&chat).map_or(0, |log| log.len() as u64);
        Claimed { claim: Claim { chat, epoch: *epoch }, tail }
    }

    pub fn read(&self, chat: ChatId, from: u64, limit: usize) -> Vec<Recorded> {
        let log = self.logs.get(&chat).map(Vec::as_slice).unwrap_or_default();
        log.iter().skip(from as usize - 1).take(limit).cloned().collect()
    }

    pub fn append(&mut self, claim: Claim, events: &[Recorded]) -> Result<(), AppendError> {
        if self.epochs.get(&claim.chat) != Some(&claim.epoch) {
            return Err(AppendError::Fenced);
        }
        let log = self.logs.entry(claim.chat).or_default();
        let (tail, first) = (log.len() as u64, events[0].seq);
        if first != tail + 1 {
            return Err(AppendError::Conflict { tail, first });
        }
        log.extend_from_slice(events);
        Ok(())
    }
}

impl Store {
    pub fn update_row(&mut self, chat: ChatId, update: RowUpdate) {
        match update {
            RowUpdate::Open(row) => drop(self.rows.insert(chat, row)),
            RowUpdate::Ended(ended) => drop(self.ended.insert(chat, ended)),
            RowUpdate::NotOpen => drop(self.rows.remove(&chat)),
        }
    }
}

/// Draws the fate of an append.
pub fn fate(rng: &mut Rng, faulty: bool) -> AppendFate {
    if !faulty {
        return AppendFate::Durable;
    }
    match rng.below(1_000) {
        0..15 => AppendFate::Unavailable,
        15..25 => AppendFate::UnknownWritten,
        25..35 => AppendFate::UnknownNotWritten,
        35..45 => AppendFate::UnknownLate,
        _ => AppendFate::Durable,
    }
}

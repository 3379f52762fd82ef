//! The logs of the chats, in memory.

use async_trait::async_trait;

use crate::domain::{ChatId, Recorded, Seq, Timestamp};
use crate::storage::{
    AppendError, Beside, ChatLog, ChatMoves, Claim, Claimed, RowUpdate, StoreError,
};

use super::{Fault, FaultAt, MemoryStore, ORDERED, State};

impl State {
    fn tail(&self, chat: ChatId) -> Seq {
        self.logs.get(&chat).map_or(0, |log| log.len() as u64)
    }

    /// What an append would be told now.
    fn check(&self, claim: Claim, events: &[Recorded]) -> Result<(), AppendError> {
        if self.claims.get(&claim.chat) != Some(&claim.epoch) {
            return Err(AppendError::Fenced);
        }
        let tail = self.tail(claim.chat);
        let first = events.first().map_or(0, |event| event.seq);
        let mut numbered = events.iter().zip(tail + 1..);
        if events.is_empty() || !numbered.all(|(event, seq)| event.seq == seq) {
            return Err(AppendError::Conflict { tail, first });
        }
        Ok(())
    }

    /// What was checked is written.
    fn append(&mut self, claim: Claim, events: Vec<Recorded>, beside: Beside) {
        let Claim { chat, .. } = claim;
        self.logs.entry(chat).or_default().extend(events);
        if let Some(period) = beside.touched {
            self.touch(chat, period);
        }
        for update in beside.rows {
            match update {
                RowUpdate::Open(row) => drop(self.open_chats.insert(chat, row)),
                RowUpdate::Ended(ended) => {
                    self.ended_chats.insert((ended.customer.channel, chat), ended);
                }
                RowUpdate::NotOpen => drop(self.open_chats.remove(&chat)),
            }
        }
    }
}

impl MemoryStore {
    /// The late appends arrive, in their order. One whose claim is dead by now, or that no longer
    /// continues its log, has no effect. Answers how many were written.
    pub fn land_late(&self) -> usize {
        let mut state = self.lock();
        let mut landed = 0;
        for (claim, events, beside) in std::mem::take(&mut state.late) {
            if state.check(claim, &events).is_ok() {
                state.append(claim, events, beside);
                landed += 1;
            }
        }
        landed
    }
}

#[async_trait]
impl ChatLog for MemoryStore {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        self.write(FaultAt::Claim, |state| {
            if state.forgotten.contains(&chat) {
                return Err(StoreError::Forgotten { chat });
            }
            state.last_epoch += 1;
            let epoch = state.last_epoch;
            state.claims.insert(chat, epoch);
            Ok(Claimed { claim: Claim { chat, epoch }, tail: state.tail(chat) })
        })
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        ChatMoves::append(self, claim, events, Beside::default()).await
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let state = self.lock();
        let log = state.logs.get(&chat).map_or(&[][..], Vec::as_slice);
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(log.iter().skip(skipped).take(limit).cloned().collect())
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::Forget, |state| {
            state.forgotten.insert(chat);
            state.claims.remove(&chat);
            state.logs.remove(&chat);
            Ok(())
        })
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        Ok(self.lock().forgotten.contains(&chat))
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lock().logs.values().filter_map(|log| Some(log.last()?.at)).max())
    }
}

#[async_trait]
impl ChatMoves for MemoryStore {
    async fn append(
        &self,
        claim: Claim,
        events: Vec<Recorded>,
        beside: Beside,
    ) -> Result<(), AppendError> {
        let mut state = self.lock();
        let fault = state.fault(FaultAt::Append);
        let reason = ORDERED.to_owned();
        if fault == Some(Fault::Refuse) {
            return Err(AppendError::Unavailable { reason });
        }
        state.check(claim, &events)?;
        match fault {
            None => {
                state.append(claim, events, beside);
                return Ok(());
            }
            Some(Fault::UnknownAfterWrite) => state.append(claim, events, beside),
            Some(Fault::LateWrite) => state.late.push((claim, events, beside)),
            Some(Fault::UnknownWithoutWrite | Fault::Refuse) => {}
        }
        Err(AppendError::Unknown { reason })
    }
}

//! How far participants have come, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::domain::{ChatId, Party};
use crate::storage::{StoreError, Watermark, Watermarks};

use super::{FaultAt, MemoryStore};

#[async_trait]
impl Watermarks for MemoryStore {
    async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError> {
        Ok(self.lock().watermarks.get(&chat).cloned().unwrap_or_default())
    }

    async fn raise(
        &self,
        chat: ChatId,
        watermarks: BTreeMap<Party, Watermark>,
    ) -> Result<(), StoreError> {
        self.write(FaultAt::Watermarks, |state| {
            if state.forgotten.contains(&chat) {
                return Ok(());
            }
            for (party, given) in watermarks {
                let parties = state.watermarks.entry(chat).or_default();
                let watermark = parties.entry(party).or_default();
                *watermark = watermark.raised_to(given);
            }
            Ok(())
        })
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::Forget, |state| {
            state.watermarks.remove(&chat);
            Ok(())
        })
    }
}

//! The numbering of processes, in memory.

use async_trait::async_trait;

use crate::storage::{Processes, StoreError};

use super::{FaultAt, MemoryStore};

#[async_trait]
impl Processes for MemoryStore {
    async fn begin(&self) -> Result<u64, StoreError> {
        self.write(FaultAt::Processes, |state| {
            state.processes += 1;
            Ok(state.processes)
        })
    }
}

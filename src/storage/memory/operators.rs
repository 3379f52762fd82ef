//! The records of operators, in memory.

use async_trait::async_trait;

use crate::domain::UserId;
use crate::domain::operator::OperatorRecord;
use crate::storage::{OperatorRecordError, OperatorRecords, StoreError};

use super::{FaultAt, MemoryStore};

#[async_trait]
impl OperatorRecords for MemoryStore {
    async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError> {
        let state = self.lock();
        Ok(state.operators.get(&operator).cloned().unwrap_or_default())
    }

    async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError> {
        self.write(FaultAt::Operators, |state| {
            state.operators.insert(operator, record);
            Ok(())
        })
    }
}

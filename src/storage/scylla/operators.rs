//! The records of operators.

use async_trait::async_trait;

use crate::domain::UserId;
use crate::domain::operator::OperatorRecord;
use crate::storage::{OperatorRecordError, OperatorRecords, StoreError, record};

use super::ScyllaStore;
use super::errors::unreadable;
use super::statements::statements;

statements! {
    load: Read = "SELECT record FROM %.operators WHERE operator = ?";
    save: Write = "INSERT INTO %.operators (operator, record) VALUES (?, ?) \
        USING TIMESTAMP ?";
    ids: Read = "SELECT token(operator), operator FROM %.operators \
        WHERE token(operator) >= ? AND token(operator) <= ? LIMIT ?";
}

#[async_trait]
impl OperatorRecords for ScyllaStore {
    async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError> {
        let answer = self.db.read(&self.db.statements.operators.load, (operator.0,)).await?;
        match answer.maybe_first_row::<(&[u8],)>().map_err(unreadable)? {
            Some((sealed,)) => Ok(record::decode_operator(operator, sealed)?),
            None => Ok(OperatorRecord::default()),
        }
    }

    async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError> {
        let sealed = record::encode_operator(operator, &record)?;
        let values = (operator.0, sealed, self.db.stamp()?);
        self.db.write(&self.db.statements.operators.save, values).await
    }
}

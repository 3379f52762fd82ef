//! The records of operators.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::domain::UserId;
use crate::domain::operator::OperatorRecord;
use crate::storage::{OperatorRecordError, OperatorRecords, StoreError, record};

use super::SqliteStore;
use super::sql::execute;

#[async_trait]
impl OperatorRecords for SqliteStore {
    async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError> {
        let read = move |connection: &_| Ok(load(connection, operator)?);
        match self.readers.read(read).await? {
            Some(sealed) => Ok(record::decode_operator(operator, &sealed)?),
            None => Ok(OperatorRecord::default()),
        }
    }

    async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError> {
        let sealed = record::encode_operator(operator, &record)?;
        self.write(move |connection| save(connection, operator, &sealed).map(Ok)).await
    }
}

/// An operator's record as it is stored.
fn load(connection: &Connection, operator: UserId) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT record FROM operators WHERE operator = ?")?
        .query_row([operator.0.as_bytes()], |row| row.get(0))
        .optional()
}

fn save(connection: &Connection, operator: UserId, sealed: &[u8]) -> rusqlite::Result<()> {
    let text = "INSERT INTO operators (operator, record) VALUES (?, ?) \
                ON CONFLICT DO UPDATE SET record = excluded.record";
    execute(connection, text, (operator.0.as_bytes(), sealed))
}

//! The numbering of processes.

use async_trait::async_trait;

use crate::storage::{Processes, StoreError};

use super::{SqliteStore, sql};

#[async_trait]
impl Processes for SqliteStore {
    async fn begin(&self) -> Result<u64, StoreError> {
        self.write(|connection| sql::count_up(connection, "process").map(Ok)).await
    }
}

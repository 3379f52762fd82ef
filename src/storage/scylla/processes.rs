//! The numbers of processes: a counter, written on conditions only.

use async_trait::async_trait;

use crate::storage::{Processes, StoreError};

use super::ScyllaStore;
use super::errors::{contended, unreadable};
use super::limits::CONDITION_TRIES;
use super::statements::statements;

statements! {
    get: SerialRead = "SELECT value FROM %.counters WHERE name = ?";
    new: Condition = "INSERT INTO %.counters (name, value) VALUES (?, ?) IF NOT EXISTS";
    set: Condition = "UPDATE %.counters SET value = ? WHERE name = ? IF value = ?";
}

/// The counter of processes.
pub(super) const PROCESS: &str = "process";

#[async_trait]
impl Processes for ScyllaStore {
    async fn begin(&self) -> Result<u64, StoreError> {
        let statements = &self.db.statements;
        for _ in 0..CONDITION_TRIES {
            let answer = self.db.read(&statements.processes.get, (PROCESS,)).await?;
            let row = answer.maybe_first_row::<(i64,)>().map_err(unreadable)?;
            let next = row.map_or(1, |(value,)| value + 1);
            let applied = match row {
                None => self.db.condition(&statements.processes.new, (PROCESS, next)).await?,
                Some((value,)) => {
                    self.db.condition(&statements.processes.set, (next, PROCESS, value)).await?
                }
            };
            if applied {
                return Ok(next.unsigned_abs());
            }
        }
        Err(contended())
    }
}

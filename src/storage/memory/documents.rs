//! Versioned documents, in memory.

use async_trait::async_trait;

use crate::storage::{Document, Documents, Listed, StoreError};

use super::{FaultAt, MemoryStore, State};

impl State {
    /// Errors unless the document has the expected version.
    fn expect(&self, key: &(String, String), expected: u64) -> Result<(), StoreError> {
        match self.documents.get(key).map_or(0, |found| found.version) {
            found if found == expected => Ok(()),
            found => Err(StoreError::VersionConflict { expected, found }),
        }
    }
}

#[async_trait]
impl Documents for MemoryStore {
    async fn get(&self, kind: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let key = (kind.to_owned(), id.to_owned());
        Ok(self.lock().documents.get(&key).cloned())
    }

    async fn put(
        &self,
        kind: &str,
        id: &str,
        expected: u64,
        body: Vec<u8>,
    ) -> Result<u64, StoreError> {
        self.write(FaultAt::Documents, |state| {
            let key = (kind.to_owned(), id.to_owned());
            state.expect(&key, expected)?;
            let version = expected + 1;
            let id = id.to_owned();
            state.documents.insert(key, Document { id, version, body });
            Ok(version)
        })
    }

    async fn delete(&self, kind: &str, id: &str, expected: u64) -> Result<(), StoreError> {
        self.write(FaultAt::Documents, |state| {
            let key = (kind.to_owned(), id.to_owned());
            state.expect(&key, expected)?;
            state.documents.remove(&key);
            Ok(())
        })
    }

    async fn list(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let state = self.lock();
        let of_kind = state.documents.iter().filter(|((of, _), _)| of == kind);
        let behind = of_kind.filter(|((_, id), _)| after.is_none_or(|after| id.as_str() > after));
        Ok(behind.take(limit).map(|(_, found)| found.clone().into()).collect())
    }
}

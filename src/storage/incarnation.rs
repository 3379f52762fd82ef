//! Which incarnation of its store a process runs on.
//!
//! Owns the one document that says so. A store that was copied, imported or set back holds another
//! history than the one that clients remember positions of; so a copy carries none, and whoever
//! starts on a store without one begins a new one.
//! Invariants: an incarnation never goes into an export, nor into a copy that is flagged as one.

use uuid::Uuid;

use crate::domain::Incarnation;

use super::{Documents, StoreError, version_of};

/// The kind of the document.
pub(crate) const KIND: &str = "incarnation";

/// The id of the document.
pub(crate) const ID: &str = "1";

/// The store's incarnation; `fresh` from now on, if it has none. Durable when it answers.
pub async fn begin(
    documents: &dyn Documents,
    fresh: Incarnation,
) -> Result<Incarnation, StoreError> {
    // One that cannot be read is none.
    let version = match documents.get(KIND, ID).await {
        Ok(None) => 0,
        Ok(Some(found)) => match Uuid::from_slice(&found.body) {
            Ok(known) => return Ok(Incarnation(known)),
            Err(_) => found.version,
        },
        Err(StoreError::Damaged { reason }) => {
            tracing::warn!(reason, "the store gets another incarnation");
            version_of(documents, KIND, ID).await?
        }
        Err(error) => return Err(error),
    };
    documents.put(KIND, ID, version, fresh.0.as_bytes().to_vec()).await?;
    Ok(fresh)
}

/// Ends the store's incarnation: the next start begins a new one. May be repeated.
pub async fn end(documents: &dyn Documents) -> Result<(), StoreError> {
    let version = match documents.get(KIND, ID).await {
        Ok(None) => return Ok(()),
        Ok(Some(found)) => found.version,
        Err(StoreError::Damaged { .. }) => version_of(documents, KIND, ID).await?,
        Err(error) => return Err(error),
    };
    match documents.delete(KIND, ID, version).await {
        // An earlier try did it, and was not told.
        Err(StoreError::VersionConflict { found: 0, .. }) => Ok(()),
        ended => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryStore;

    #[tokio::test]
    async fn one_stays_until_it_is_ended() {
        let store = MemoryStore::new().store();
        let [first, second] = [1, 2].map(Incarnation::from_u128);
        end(&*store.documents).await.unwrap();
        assert_eq!(begin(&*store.documents, first).await, Ok(first));
        assert_eq!(begin(&*store.documents, second).await, Ok(first));
        end(&*store.documents).await.unwrap();
        end(&*store.documents).await.unwrap();
        assert_eq!(begin(&*store.documents, second).await, Ok(second));
    }

    #[tokio::test]
    async fn one_that_cannot_be_read_is_none() {
        let store = MemoryStore::new().store();
        store.documents.put(KIND, ID, 0, b"short".to_vec()).await.unwrap();
        let fresh = Incarnation::from_u128(1);
        assert_eq!(begin(&*store.documents, fresh).await, Ok(fresh));
        assert_eq!(begin(&*store.documents, Incarnation::from_u128(2)).await, Ok(fresh));
    }
}

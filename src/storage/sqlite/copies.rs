//! Files that are copies of a database.

use rusqlite::Connection;

use crate::storage::incarnation;

/// Flags a finished copy as one: it loses its incarnation, so whoever starts on it begins a new
/// one, and clients load anew what they kept. The caller makes it durable.
pub fn flag_as_copy(copy: &Connection) -> rusqlite::Result<()> {
    copy.execute(
        "DELETE FROM documents WHERE kind = ? AND id = ?",
        (incarnation::KIND, incarnation::ID),
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::Incarnation;
    use crate::storage::sqlite::{DATABASE_FILE, SqliteOptions, SqliteStore, open_past_the_store};

    async fn begin(folder: &std::path::Path, fresh: u128) -> Incarnation {
        let opened = Arc::new(SqliteStore::open(&SqliteOptions::new(folder)).unwrap());
        let documents = opened.store().documents;
        incarnation::begin(&*documents, Incarnation::from_u128(fresh)).await.unwrap()
    }

    #[tokio::test]
    async fn whoever_starts_on_a_flagged_copy_begins_a_new_incarnation() {
        let folder = tempfile::tempdir().unwrap();
        let (first, copy) = (folder.path().join("first"), folder.path().join("copy"));
        assert_eq!(begin(&first, 1).await, Incarnation::from_u128(1));
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(first.join(DATABASE_FILE), copy.join(DATABASE_FILE)).unwrap();
        flag_as_copy(&open_past_the_store(&copy.join(DATABASE_FILE), None).unwrap()).unwrap();
        assert_eq!(begin(&copy, 2).await, Incarnation::from_u128(2));
        assert_eq!(begin(&first, 3).await, Incarnation::from_u128(1), "the original goes on");
    }
}

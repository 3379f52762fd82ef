//! Versioned documents. A write decides first and writes after, so that a refusal has written nothing.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::storage::record::{self, RecordError, Slot};
use crate::storage::{Document, Documents, Listed, StoreError};

use super::SqliteStore;
use super::sql::{ReadError, count, execute};

#[async_trait]
impl Documents for SqliteStore {
    async fn get(&self, kind: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.readers.read(move |connection| get_document(connection, &kind, &id)).await
    }

    async fn put(
        &self,
        kind: &str,
        id: &str,
        expected: u64,
        body: Vec<u8>,
    ) -> Result<u64, StoreError> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.write(move |connection| put_document(connection, &kind, &id, expected, &body)).await
    }

    async fn delete(&self, kind: &str, id: &str, expected: u64) -> Result<(), StoreError> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.write(move |connection| delete_document(connection, &kind, &id, expected)).await
    }

    async fn list(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let (kind, after) = (kind.to_owned(), after.map(str::to_owned));
        self.readers
            .read(move |connection| list_documents(connection, &kind, after.as_deref(), limit))
            .await
    }
}

/// A row of `id, version, body`.
fn document(kind: &str, row: &Row<'_>) -> Result<Document, ReadError> {
    let (id, version, sealed): (String, u64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let body = record::unseal(Slot::Document(kind, &id, version), &sealed)?.to_vec();
    Ok(Document { id, version, body })
}

/// The same, of a listing.
fn listed(kind: &str, row: &Row<'_>) -> Result<Listed, ReadError> {
    let (id, version, sealed): (String, u64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let body = record::listed_body(Slot::Document(kind, &id, version), &sealed)?;
    Ok(Listed { id, version, body })
}

fn get_document(
    connection: &Connection,
    kind: &str,
    id: &str,
) -> Result<Option<Document>, ReadError> {
    let mut statement = connection
        .prepare_cached("SELECT id, version, body FROM documents WHERE kind = ? AND id = ?")?;
    let mut rows = statement.query((kind, id))?;
    rows.next()?.map(|row| document(kind, row)).transpose()
}

/// The first documents of a kind.
const LIST_FIRST: &str =
    "SELECT id, version, body FROM documents WHERE kind = ? ORDER BY id LIMIT ?";
/// Those behind an id.
const LIST_AFTER: &str =
    "SELECT id, version, body FROM documents WHERE kind = ? AND id > ? ORDER BY id LIMIT ?";

fn list_documents(
    connection: &Connection,
    kind: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Listed>, ReadError> {
    // Two statements: one for both would look at every document in front of the page again.
    let mut statement = connection.prepare_cached(match after {
        Some(_) => LIST_AFTER,
        None => LIST_FIRST,
    })?;
    let mut rows = match after {
        Some(after) => statement.query((kind, after, count(limit)))?,
        None => statement.query((kind, count(limit)))?,
    };
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(listed(kind, row)?);
    }
    Ok(found)
}

/// The version that a document has, if it is the expected one.
fn expect_version(
    connection: &Connection,
    kind: &str,
    id: &str,
    expected: u64,
) -> rusqlite::Result<Result<(), StoreError>> {
    let found = connection
        .prepare_cached("SELECT version FROM documents WHERE kind = ? AND id = ?")?
        .query_row((kind, id), |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    if found == expected {
        Ok(Ok(()))
    } else {
        Ok(Err(StoreError::VersionConflict { expected, found }))
    }
}

fn put_document(
    connection: &Connection,
    kind: &str,
    id: &str,
    expected: u64,
    body: &[u8],
) -> rusqlite::Result<Result<u64, StoreError>> {
    if let Err(conflict) = expect_version(connection, kind, id, expected)? {
        return Ok(Err(conflict));
    }
    let version = expected + 1;
    let sealed = record::seal(Slot::Document(kind, id, version), body);
    let text = "INSERT INTO documents (kind, id, version, body) VALUES (?, ?, ?, ?) \
                ON CONFLICT DO UPDATE SET version = excluded.version, body = excluded.body";
    execute(connection, text, (kind, id, version, sealed))?;
    Ok(Ok(version))
}

fn delete_document(
    connection: &Connection,
    kind: &str,
    id: &str,
    expected: u64,
) -> rusqlite::Result<Result<(), StoreError>> {
    if let Err(conflict) = expect_version(connection, kind, id, expected)? {
        return Ok(Err(conflict));
    }
    execute(connection, "DELETE FROM documents WHERE kind = ? AND id = ?", (kind, id))?;
    Ok(Ok(()))
}

/// The documents that are not what was written, each as what is wrong with it.
pub(super) fn damaged_documents(connection: &Connection) -> rusqlite::Result<Vec<RecordError>> {
    let mut statement = connection.prepare("SELECT kind, id, version, body FROM documents")?;
    let mut rows = statement.query(())?;
    let mut damaged = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, id): (String, String) = (row.get(0)?, row.get(1)?);
        let (slot, body) = (Slot::Document(&kind, &id, row.get(2)?), row.get::<_, Vec<u8>>(3)?);
        match record::unseal(slot, &body) {
            Ok(_) | Err(RecordError::Newer { .. }) => {}
            Err(error) => damaged.push(error),
        }
    }
    Ok(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_documents_begins_where_the_last_one_ended() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("migrations/0001_first.sql")).unwrap();
        for (text, sought) in [(LIST_FIRST, "kind=?"), (LIST_AFTER, "kind=? AND id>?")] {
            // Its parameters do not matter for the way that it takes.
            let text = format!("EXPLAIN QUERY PLAN {text}").replace('?', "'1'");
            let plan: String = connection.query_row(&text, (), |row| row.get("detail")).unwrap();
            assert!(plan.contains("SEARCH") && plan.contains(sought), "{plan}");
        }
    }
}

//! The schema of the embedded store: whose a database is, and its migrations.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::open::OpenError;

/// Marks a database as ours, in its header: "SWBD".
const APPLICATION_ID: i32 = 0x5357_4244;

/// Numbered from 1; what has been released is never changed, only added to.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_audit.sql"),
    include_str!("migrations/0003_forgotten.sql"),
    include_str!("migrations/0004_ended.sql"),
];

/// Errors unless it is a database of ours that this release knows; answers its schema.
pub(super) fn check_schema(
    connection: &Connection,
    file: &Path,
    blame: impl Fn(rusqlite::Error) -> OpenError + Copy,
) -> Result<i64, OpenError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = number("user_version").map_err(blame)?;
    let owner = number("application_id").map_err(blame)?;
    let empty = connection
        .query_row("SELECT 1 FROM sqlite_schema", (), |_| Ok(()))
        .optional()
        .map_err(blame)?
        .is_none();
    let fresh = found == 0 && owner == 0 && empty;
    if !fresh && owner != i64::from(APPLICATION_ID) {
        return Err(OpenError::Foreign { file: file.to_owned() });
    }
    let known = MIGRATIONS.len() as i64;
    if !(0..=known).contains(&found) {
        return Err(OpenError::Newer { file: file.to_owned(), found, known });
    }
    Ok(found)
}

/// Brings a database of ours to the schema of this release.
pub(super) fn migrate(
    connection: &mut Connection,
    file: &Path,
    blame: impl Fn(rusqlite::Error) -> OpenError + Copy,
) -> Result<(), OpenError> {
    let found = check_schema(connection, file, blame)?;
    apply_from(connection, found).map_err(blame)
}

/// Brings an empty database to our schema.
pub(super) fn create_schema(connection: &mut Connection) -> rusqlite::Result<()> {
    apply_from(connection, 0)
}

fn apply_from(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    for (number, script) in (1..).zip(MIGRATIONS) {
        if number > found {
            run_migration(connection, number, script)?;
        }
    }
    Ok(())
}

/// One migration is one transaction: it happened or it did not.
fn run_migration(connection: &mut Connection, number: i64, script: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(script)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", number)?;
    transaction.commit()
}

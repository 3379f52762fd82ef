//! The schema of the embedded store: whose a database is, and its migrations.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::open::OpenError;
use super::{checksum_vfs, feed, history};

/// Says that a database is ours, in its header: "SWBD".
const APPLICATION_ID: i32 = 0x5357_4244;

/// Numbered from 1; what has been released is never changed, only added to.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_audit.sql"),
    include_str!("migrations/0003_forgotten.sql"),
    include_str!("migrations/0004_ended.sql"),
    feed::MIGRATION,
    history::MIGRATION,
];

/// Added to the number of the schema of a database whose pages have checksums. Releases that know of none
/// would write pages without them, which counts as damage: a number that they do not know keeps them out.
/// There are never as many migrations.
const WITH_CHECKSUMS: i64 = 1_000;

/// Errors unless it is a database of ours that this release knows; answers its schema, as it is numbered
/// there.
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
    if !(0..=known).contains(&migrations_of(found)) {
        let known = if found < WITH_CHECKSUMS { known } else { WITH_CHECKSUMS + known };
        return Err(OpenError::Newer { file: file.to_owned(), found, known });
    }
    Ok(found)
}

/// Whether a schema, as it is numbered, is that of this release.
pub(super) fn is_current(schema: i64) -> bool {
    migrations_of(schema) == MIGRATIONS.len() as i64
}

/// How many migrations a schema of this number has had.
fn migrations_of(schema: i64) -> i64 {
    if schema < WITH_CHECKSUMS { schema } else { schema - WITH_CHECKSUMS }
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

/// Databases with checksums whose number does not say so get one that does.
fn apply_from(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let has_checksums = checksum_vfs::has_checksums(connection)?;
    let numbered = |migrations: i64| migrations + if has_checksums { WITH_CHECKSUMS } else { 0 };
    let had = migrations_of(found);
    for (number, script) in (1..).zip(MIGRATIONS) {
        if number > had {
            run_migration(connection, numbered(number), script)?;
        }
    }
    let last = MIGRATIONS.len() as i64;
    if has_checksums && had == last && found != numbered(last) {
        connection.pragma_update(None, "user_version", numbered(last))?;
    }
    Ok(())
}

/// One migration is one transaction: it happened or it did not.
fn run_migration(connection: &mut Connection, schema: i64, script: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(script)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", schema)?;
    transaction.commit()
}

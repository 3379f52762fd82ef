//! Connections to the files of a data folder, and what holds for all of them.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, FileControl, MAIN_DB, OpenFlags};

use crate::storage::files;

use super::checksum_vfs;
use super::checksums::{Pages, RESERVED_BYTES};
use super::limits::{BUSY_MAX, STATEMENTS_KEPT};
use super::open::DATABASE_FILE;
use super::{SqliteOptions, Synchronous};

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// The one that writes.
    Write,
    /// One of those that read.
    Read,
}

/// A connection to the database of the folder. One that verifies pages gives it a log of writes if it has
/// none, as a backup; another one leaves it as it is.
pub(super) fn connect(
    options: &SqliteOptions,
    access: Access,
    pages: Pages,
) -> rusqlite::Result<Connection> {
    let connection = open_file(options, DATABASE_FILE, access, pages)?;
    set_up(&connection, access)?;
    if access == Access::Write {
        // Both write the first page, which then fits its checksum whatever it was: only one that did may.
        if pages == Pages::Verified {
            give_back_in_slices(&connection)?;
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        }
        let level = match options.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Off => "OFF",
        };
        connection.pragma_update(None, "synchronous", level)?;
    }
    Ok(connection)
}

/// A connection to a file of which nothing has been read, and which may be damaged.
pub(super) fn open_file(
    options: &SqliteOptions,
    name: &str,
    access: Access,
    pages: Pages,
) -> rusqlite::Result<Connection> {
    let file = options.folder.join(name);
    if access == Access::Write && options.vfs.is_none() {
        // SQLite would let others read it; what it makes besides has the permissions of this one.
        let made = files::open_or_make(&file);
        made.map_err(|_| rusqlite::Error::InvalidPath(file.clone()))?;
    }
    let connection = open_as(&file, access, options.vfs.as_deref(), pages)?;
    if access == Access::Write {
        reserve(&connection)?;
    }
    Ok(connection)
}

/// A connection to any file over a VFS, none for the system's own.
pub(super) fn open_as(
    file: &Path,
    access: Access,
    vfs: Option<&str>,
    pages: Pages,
) -> rusqlite::Result<Connection> {
    let mode = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let vfs = checksum_vfs::over(vfs, pages)?;
    Connection::open_with_flags_and_vfs(file, flags, vfs.as_str())
}

/// Lets the pages of a new database have room for checksums. One that has pages stays as it is.
pub(super) fn reserve(of: &Connection) -> rusqlite::Result<()> {
    of.file_control(Some(MAIN_DB), FileControl::ReserveBytes(&mut (RESERVED_BYTES as i32)))
}

/// A connection to a database past the store, for tests that look at it or change it. What other
/// programs write has no checksums, and counts as damage.
pub fn open_past_the_store(file: &Path, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    open_as(file, Access::Write, vfs, Pages::Verified)
}

/// Lets a new database give the space that is free back in slices. One that has tables stays as it is.
pub(super) fn give_back_in_slices(of: &Connection) -> rusqlite::Result<()> {
    of.pragma_update(None, "auto_vacuum", "INCREMENTAL")
}

/// What holds for every connection. Reads what is in the file, and writes nothing.
pub(super) fn set_up(connection: &Connection, access: Access) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.busy_timeout(BUSY_MAX)?;
    // Closing would checkpoint, and so sync again what may just have failed to sync.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    if access == Access::Write {
        // What is removed is overwritten, so that nothing of it can be read from the file.
        connection.pragma_update(None, "secure_delete", true)?;
    }
    Ok(())
}

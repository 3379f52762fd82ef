//! Connections to the files of a data folder, and what holds for all of them.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::storage::files;

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

/// A connection to the database of the folder.
pub(super) fn connect(options: &SqliteOptions, access: Access) -> rusqlite::Result<Connection> {
    let connection = open_file(options, DATABASE_FILE, access)?;
    set_up(&connection, access)?;
    if access == Access::Write {
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
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
) -> rusqlite::Result<Connection> {
    let file = options.folder.join(name);
    if access == Access::Write && options.vfs.is_none() {
        // SQLite would let others read it; what it makes besides has the permissions of this one.
        let made = files::open_or_make(&file);
        made.map_err(|_| rusqlite::Error::InvalidPath(file.clone()))?;
    }
    let mode = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(file, flags, vfs.as_str()),
        None => Connection::open_with_flags(file, flags),
    }
}

/// What holds for every connection. Reads what is in the file.
pub(super) fn set_up(connection: &Connection, access: Access) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.busy_timeout(BUSY_MAX)?;
    // Closing would checkpoint, and so sync again what may just have failed to sync.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    if access == Access::Write {
        // Only a database without tables takes this: space that is free comes back in slices.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        // What is removed is overwritten, so that nothing of it can be read from the file.
        connection.pragma_update(None, "secure_delete", true)?;
    }
    Ok(())
}

//! Rows of the log on pages that do not fit their checksums: every record has a checksum of its own,
//! so one that fits that is what was written, whatever else the page has become.
//!
//! Such a page is read on a connection of its own, since what one has read without looking stays in its
//! cache. That a row is not found there says nothing, so the page's damage is the answer.

use std::cell::RefCell;
use std::sync::Arc;

use rusqlite::Connection;

use super::SqliteOptions;
use super::checksums::Pages;
use super::connect::{Access, connect};
use super::damage::{Damage, is_failing_page};
use super::recent::Entry;
use super::sql;

/// The connection that reads pages as they are, opened when one has failed.
pub(super) struct Unverified {
    options: SqliteOptions,
    damage: Arc<Damage>,
    connection: RefCell<Option<Connection>>,
}

impl Unverified {
    /// Nothing is opened yet.
    pub fn new(options: &SqliteOptions, damage: Arc<Damage>) -> Self {
        Self { options: options.clone(), damage, connection: RefCell::default() }
    }

    /// The next read is made on another connection.
    pub fn begin_anew(&mut self) {
        self.connection = RefCell::default();
    }

    fn at(&self, entry: Entry) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut connection = self.connection.borrow_mut();
        let connection = match &mut *connection {
            Some(connection) => connection,
            none => none.insert(connect(&self.options, Access::Read, Pages::Unverified)?),
        };
        sql::at(connection, entry)
    }
}

/// Where the log is read.
#[derive(Clone, Copy)]
pub(super) struct LogRows<'a> {
    /// Reads verified pages, or those of a database that has just been made.
    pub connection: &'a Connection,
    /// Reads the others; none where a page that fails is to be an error.
    pub unverified: Option<&'a Unverified>,
}

impl LogRows<'_> {
    /// The record of an event that is said to be in a row of the log; none if another one is.
    pub fn at(self, entry: Entry) -> rusqlite::Result<Option<Vec<u8>>> {
        match (sql::at(self.connection, entry), self.unverified) {
            (Err(error), Some(unverified)) if is_failing_page(&error) => {
                unverified.damage.note(&error);
                // That the other connection cannot be had or read is no other trouble than the page's.
                match unverified.at(entry) {
                    Ok(Some(record)) => Ok(Some(record)),
                    Ok(None) | Err(_) => Err(error),
                }
            }
            (read, _) => read,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::domain::ChatId;
    use crate::storage::sqlite::{DATABASE_FILE, SqliteStore};

    /// Bytes of a page.
    const PAGE: u64 = 4_096;

    #[test]
    fn where_no_other_connection_is_to_be_had_the_page_is_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteOptions::new(folder.path());
        drop(SqliteStore::open(&options).unwrap());
        let text = "SELECT rootpage FROM sqlite_schema WHERE name = 'log'";
        let page: u64 = connect(&options, Access::Read, Pages::Verified)
            .unwrap()
            .query_row(text, (), |row| row.get(0))
            .unwrap();
        let file = folder.path().join(DATABASE_FILE);
        let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
        file.write_all_at(&[1], page * PAGE - 1).unwrap();

        let connection = connect(&options, Access::Read, Pages::Verified).unwrap();
        let nowhere = SqliteOptions::new(folder.path().join("nowhere"));
        let damage = Arc::new(Damage::new(folder.path()));
        let unverified = Unverified::new(&nowhere, Arc::clone(&damage));
        let rows = LogRows { connection: &connection, unverified: Some(&unverified) };
        let entry = Entry { chat: ChatId::from_u128(1), seq: 1, position: 1 };
        let error = rows.at(entry).unwrap_err();
        assert!(is_failing_page(&error), "{error}");
        assert!(damage.is_suspect());
    }
}

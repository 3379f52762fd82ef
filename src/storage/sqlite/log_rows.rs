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
                unverified.at(entry)?.map_or(Err(error), |record| Ok(Some(record)))
            }
            (read, _) => read,
        }
    }
}

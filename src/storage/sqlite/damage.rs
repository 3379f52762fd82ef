//! What is known to be damaged while the store is open: chats of which something cannot be read,
//! and whether SQLite itself has met a page that is none.
//!
//! The second outlives the process as a file beside the database, so that the next start rebuilds
//! what can be rebuilt before anybody is served ([`super::mend`]).

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rusqlite::{ErrorCode, ffi};

use crate::domain::ChatId;
use crate::storage::files;
use crate::telemetry;

use super::limits::DAMAGED_REMEMBERED;

/// The file that says: SQLite has met a damaged page since the database was last rebuilt.
const SUSPECT_FILE: &str = "switchboard.suspect";

/// See the module.
pub(super) struct Damage {
    suspect: PathBuf,
    said: AtomicBool,
    chats: Mutex<BTreeSet<ChatId>>,
}

impl Damage {
    pub fn new(folder: &Path) -> Self {
        telemetry::store_damaged_chats(0);
        Self {
            suspect: folder.join(SUSPECT_FILE),
            said: AtomicBool::new(false),
            chats: Mutex::default(),
        }
    }

    /// Of a folder in which nothing is to be changed: damage is said to nobody but who meets it.
    pub fn unwritten(folder: &Path) -> Self {
        Self { said: AtomicBool::new(true), ..Self::new(folder) }
    }

    /// Something of the chat cannot be read.
    pub fn note_chat(&self, chat: ChatId, what: &dyn std::fmt::Display) {
        let mut chats = self.chats.lock().unwrap_or_else(PoisonError::into_inner);
        if chats.len() < DAMAGED_REMEMBERED && chats.insert(chat) {
            telemetry::store_damaged_chats(chats.len());
            tracing::error!(
                %what,
                "a chat is damaged and cannot be served, the others are; \
                 see what else is with `switchboard store check`"
            );
        }
    }

    /// SQLite refused something: if it was for a damaged page, the next start looks at all of it.
    pub fn note(&self, error: &rusqlite::Error) {
        if is_damage(error) {
            self.note_page(&told(error));
        }
    }

    /// A page is damaged.
    pub fn note_page(&self, what: &dyn std::fmt::Display) {
        if !self.said.swap(true, Relaxed) {
            tracing::error!(
                %what,
                "the database has a damaged page; what can be rebuilt is rebuilt at the next start"
            );
            // Without the file the next start meets the page as this one did.
            let _ = files::open_or_make(&self.suspect).and_then(|file| file.sync_all());
        }
    }

    /// Whether a former process met a damaged page.
    pub fn is_suspect(&self) -> bool {
        self.suspect.exists()
    }

    /// The database has been rebuilt; durable when it answers.
    pub fn mended(&self) -> std::io::Result<()> {
        match std::fs::remove_file(&self.suspect) {
            Ok(()) => {
                // Else the next start rebuilds a good database, and keeps it as a damaged one.
                let folder = self.suspect.parent().unwrap_or(Path::new("."));
                File::open(folder)?.sync_all()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether something of the chat could not be read.
    pub fn has(&self, chat: ChatId) -> bool {
        self.chats.lock().unwrap_or_else(PoisonError::into_inner).contains(&chat)
    }

    /// Chats of which something could not be read.
    pub fn chats(&self) -> Vec<ChatId> {
        let chats = self.chats.lock().unwrap_or_else(PoisonError::into_inner);
        chats.iter().copied().collect()
    }
}

/// Whether what is stored is not what was written: SQLite says so, or a row is none of ours, or
/// one stands in the way of a new one.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        error if is_failing_page(error) => true,
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation
        ),
        rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..)
        | rusqlite::Error::QueryReturnedNoRows => true,
        _ => false,
    }
}

/// Whether a page does not fit its checksum. The disk did as it was told, so it is no failure of the disk
/// for whoever asked.
pub(super) fn is_failing_page(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|failure| failure.extended_code == ffi::SQLITE_IOERR_DATA)
}

/// What is wrong, in words: SQLite calls a page that does not fit its checksum a disk error.
pub(super) fn told(error: &rusqlite::Error) -> String {
    match is_failing_page(error) {
        true => "a page of the database does not fit its checksum".to_owned(),
        false => error.to_string(),
    }
}

/// Whether another process holds a lock of the database.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_to_be_changed_a_damaged_page_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let unwritten = Damage::unwritten(folder.path());
        unwritten.note_page(&"a test says so");
        unwritten.note_chat(ChatId::from_u128(1), &"a test says so");
        assert!(!unwritten.is_suspect() && unwritten.has(ChatId::from_u128(1)));
        let written = Damage::new(folder.path());
        written.note_page(&"a test says so");
        assert!(written.is_suspect() && unwritten.is_suspect());
    }
}

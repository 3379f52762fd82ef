//! The first page of a database: it says where everything lies, and nothing vouches for that but its
//! checksum. Some of the damage leaves it as well formed as it was.

use std::path::Path;

use switchboard::storage::sqlite::{DATABASE_FILE, OpenError, SqliteStore};

use crate::damage_checksums::{
    RESERVED, RESERVED_AT, back_up, copied, database, filled, open, page_of, write_page,
};
use crate::damage_pages::options;
use crate::subject::block_on;

/// A store that a backup was restored as: unlike one that was in use, its header says that it has no log
/// of writes.
fn restored(from: &Path) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join(DATABASE_FILE);
    block_on(back_up(&open(from).unwrap(), &copy));
    home
}

/// Whether a check finds that the first page does not fit.
fn is_seen(folder: &Path) -> bool {
    match SqliteStore::check(&options(folder)) {
        Ok(found) => found.problems.iter().any(|problem| problem.contains("the first is page 1")),
        Err(error) => matches!(error, OpenError::Damaged { .. }),
    }
}

#[test]
fn a_damaged_first_page_is_refused_and_a_repair_says_what_that_may_cost() {
    let used = filled();
    for whole in [restored(used.path()), used] {
        let bytes = page_of(&database(whole.path()), 1).to_vec();
        // How many pages are free, the room for checksums, a root of a table, and nothing that counts.
        let root = bytes.len() - RESERVED - 1;
        for at in [39, RESERVED_AT, root, 3_000] {
            let folder = copied(whole.path());
            let what = format!("byte {at} of {whole:?}");
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            write_page(folder.path(), 1, &bytes);
            // Whoever looks leaves it as it is.
            for _ in 0..2 {
                assert!(is_seen(folder.path()), "{what}");
                let error = open(folder.path()).map(drop).expect_err(&what);
                assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
            }
            match SqliteStore::repair(&options(folder.path()), None) {
                Ok(mended) => {
                    assert!(mended.lost[0].starts_with("perhaps anything"), "{what}: {mended:?}");
                    assert!(open(folder.path()).unwrap().has_checksums(), "{what}");
                }
                Err(error) => {
                    assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}")
                }
            }
        }
    }
}

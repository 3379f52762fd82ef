//! The first page of a database: it says where everything lies, and nothing vouches for that but its
//! checksum. Some of the damage leaves it as well formed as it was.

use std::path::Path;
use std::time::Duration;

use switchboard::storage::sqlite::{
    DATABASE_FILE, OpenError, SqliteOptions, SqliteStore, open_past_the_store,
};

use crate::damage_before::{back_up, make_one_of_before};
use crate::damage_checksums::{
    RESERVED, RESERVED_AT, copied, database, filled, open, page_of, write_page,
};
use crate::damage_pages::{fill, options};
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

/// The number of the schema, as the header of the database has it.
fn schema(folder: &Path) -> u32 {
    u32::from_be_bytes(*database(folder)[60..].first_chunk().unwrap())
}

#[test]
fn a_release_that_knows_no_checksums_refuses_a_database_that_has_them_by_its_schema() {
    /// Whatever releases without checksums knew is below.
    const WITH_CHECKSUMS: u32 = 1_000;
    let before = tempfile::tempdir().unwrap();
    make_one_of_before(before.path());
    fill(before.path());
    let migrations = schema(before.path());
    assert!((1..WITH_CHECKSUMS).contains(&migrations), "there is a way back: {migrations}");
    let new = filled();
    let of_backup = restored(new.path());
    SqliteStore::repair(&options(before.path()), None).unwrap();
    for folder in [&new, &of_backup, &before] {
        assert_eq!(schema(folder.path()), WITH_CHECKSUMS + migrations);
    }

    // One that has them and does not say so, made before they had a number.
    let number = |to: u32| {
        let database = open_past_the_store(&new.path().join(DATABASE_FILE), None).unwrap();
        database.pragma_update(None, "user_version", to).unwrap();
    };
    number(migrations);
    drop(open(new.path()).unwrap());
    assert_eq!(schema(new.path()), WITH_CHECKSUMS + migrations);
    // A newer one.
    number(WITH_CHECKSUMS + migrations + 1);
    let error = open(new.path()).map(drop).unwrap_err();
    let known = i64::from(WITH_CHECKSUMS + migrations);
    assert!(matches!(error, OpenError::Newer { known: ours, .. } if ours == known), "{error}");
}

#[test]
fn a_check_says_what_it_could_not_look_at() {
    let before = tempfile::tempdir().unwrap();
    make_one_of_before(before.path());
    fill(before.path());
    let found = SqliteStore::check(&options(before.path())).unwrap();
    assert_eq!((found.problems.len(), found.notes.len()), (0, 1), "{found:?}");
    assert!(found.notes[0].contains("no checksums"), "{found:?}");

    let new = filled();
    let found = SqliteStore::check(&options(new.path())).unwrap();
    assert_eq!((found.problems.len(), found.notes.len()), (0, 0), "{found:?}");
    // Another program reads, and something was written since.
    let [reads, writes] =
        [(); 2].map(|()| open_past_the_store(&new.path().join(DATABASE_FILE), None).unwrap());
    reads.execute_batch("BEGIN; SELECT count(*) FROM counters").unwrap();
    writes.execute_batch("UPDATE counters SET value = value + 1 WHERE name = 'life'").unwrap();
    drop(writes);
    let options = SqliteOptions { lock_wait: Duration::ZERO, ..options(new.path()) };
    let found = SqliteStore::check(&options).unwrap();
    assert_eq!((found.problems.len(), found.notes.len()), (0, 1), "{found:?}");
    assert!(found.notes[0].contains("another process"), "{found:?}");
    drop(reads);
    let found = SqliteStore::check(&options).unwrap();
    assert_eq!((found.problems.len(), found.notes.len()), (0, 0), "{found:?}");
}

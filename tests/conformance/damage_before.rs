//! Databases whose pages have no checksums: of releases before, and what programs write that know of none.

use std::path::Path;

use rusqlite::Connection;
use switchboard::storage::sqlite::{DATABASE_FILE, SqliteStore, open_past_the_store};

use crate::damage_checksums::{RESERVED, RESERVED_AT, fill_long, filled, look_at_all, open};
use crate::damage_pages::{PAGE, damaged, fill, options};
use crate::subject::block_on;

/// A database as the last release made it: our schema, pages without room for checksums.
pub fn make_one_of_before(folder: &Path) {
    let database = Connection::open(folder.join(DATABASE_FILE)).unwrap();
    let first = include_str!("../../src/storage/sqlite/migrations/0001_first.sql");
    let text = format!(
        "PRAGMA auto_vacuum = INCREMENTAL; BEGIN; {first} \
         PRAGMA application_id = {:#x}; PRAGMA user_version = 1; COMMIT",
        0x5357_4244
    );
    database.execute_batch(&text).unwrap();
}

/// Whether every page of a file has a checksum, or none has.
fn all_have_checksums(file: &Path) -> bool {
    let bytes = std::fs::read(file).unwrap();
    let with = bytes.chunks(PAGE as usize).filter(|page| page.ends_with(b"c32c")).count();
    let all = bytes.len() / PAGE as usize;
    assert!(with == 0 || with == all, "{with} of {all}");
    assert_eq!(with > 0, usize::from(bytes[RESERVED_AT]) == RESERVED);
    with > 0
}

pub async fn back_up(sqlite: &SqliteStore, file: &Path) {
    let (progress, _seen) = tokio::sync::watch::channel(Default::default());
    sqlite.back_up(file, progress).await.unwrap();
    assert_eq!(SqliteStore::check_copy(file).unwrap().problems, [""; 0]);
}

#[test]
fn a_database_of_before_is_served_as_it_is_and_a_repair_gives_it_checksums() {
    let folder = tempfile::tempdir().unwrap();
    make_one_of_before(folder.path());
    fill(folder.path());
    fill_long(folder.path());
    let file = folder.path().join(DATABASE_FILE);
    let copies = ["before", "after"].map(|name| folder.path().join(name));
    let sqlite = open(folder.path()).unwrap();
    assert!(!sqlite.has_checksums());
    assert_eq!(look_at_all(&sqlite, "before"), 0);
    block_on(back_up(&sqlite, &copies[0]));
    drop(sqlite);
    assert!(!all_have_checksums(&file) && !all_have_checksums(&copies[0]));

    let mended = SqliteStore::repair(&options(folder.path()), None).unwrap();
    assert_eq!((mended.damaged.len(), mended.lost.len()), (0, 0), "{mended:?}");
    assert!(!all_have_checksums(&mended.kept), "the former one is kept as it was");
    let sqlite = open(folder.path()).unwrap();
    assert!(sqlite.has_checksums());
    assert_eq!(look_at_all(&sqlite, "after"), 0);
    block_on(back_up(&sqlite, &copies[1]));
    drop(sqlite);
    assert!(all_have_checksums(&file) && all_have_checksums(&copies[1]));

    // A copy is a store to start on, with and without them.
    for (copy, has) in copies.iter().zip([false, true]) {
        let home = tempfile::tempdir().unwrap();
        std::fs::copy(copy, home.path().join(DATABASE_FILE)).unwrap();
        let sqlite = open(home.path()).unwrap();
        assert_eq!((sqlite.has_checksums(), damaged(&sqlite.store())), (has, vec![]));
    }
}

#[test]
fn what_is_written_past_the_store_with_checksums_is_no_damage_and_without_them_is() {
    let folder = filled();
    let file = folder.path().join(DATABASE_FILE);
    let text = "UPDATE counters SET value = value + 1 WHERE name = 'process'";
    open_past_the_store(&file, None).unwrap().execute(text, ()).unwrap();
    assert_eq!(SqliteStore::check(&options(folder.path())).unwrap().problems, [""; 0]);
    Connection::open(&file).unwrap().execute(text, ()).unwrap();
    let error = open(folder.path()).map(drop).unwrap_err();
    assert!(error.to_string().contains("rows of the table counters"), "{error}");
    let mended = SqliteStore::repair(&options(folder.path()), None).unwrap();
    assert!(mended.lost[0].contains("rows of the table counters"), "{mended:?}");
    assert_eq!(look_at_all(&open(folder.path()).unwrap(), "counters"), 0);
}

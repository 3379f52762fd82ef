//! Damage of which pages of one table alone tell: a start, a second one, and whoever asks meet it, and none
//! of them passes over it.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use switchboard::domain::Party;
use switchboard::storage::sqlite::{DATABASE_FILE, OpenError, SqliteStore};
use switchboard::storage::{StoreError, Watermark};

use crate::damage_checksums::{
    LONG, LONG_EVENTS, STARTS, copied, database, documents, filled, look_at_all, open, page_of,
    replace, write_page,
};
use crate::damage_pages::{CHATS, PAGE, damaged, options, pages};
use crate::samples::{chat, messages, open_chat, user};
use crate::subject::block_on;
use crate::suite_feed::period;

/// The pages of a table that go on with long values.
fn overflow_pages(folder: &Path, table: &str) -> Vec<u64> {
    let database = Connection::open(folder.join(DATABASE_FILE)).unwrap();
    let text = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'overflow'";
    let mut statement = database.prepare(text).unwrap();
    statement.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_page_that_became_zeros_is_counted_and_made_good() {
    let whole = filled();
    let pages = overflow_pages(whole.path(), "log_index");
    assert!(!pages.is_empty());
    for page in pages {
        let folder = copied(whole.path());
        write_page(folder.path(), page, &[0; PAGE as usize]);
        let problems = SqliteStore::check(&options(folder.path())).unwrap().problems;
        let counted = format!("1 pages do not fit their checksums, the first is page {page}");
        assert_eq!(problems[0], counted);
        for start in 0..STARTS {
            let store = open(folder.path()).unwrap().store();
            match block_on(store.log.read(chat(LONG), 1, 1_000)) {
                Ok(read) => assert_eq!(read, messages(1..=LONG_EVENTS), "start {start}"),
                Err(StoreError::Damaged { .. }) if start == 0 => {}
                Err(error) => panic!("start {start}: {error}"),
            }
        }
        assert_eq!(look_at_all(&open(folder.path()).unwrap(), "zeros"), 0);
        assert_eq!(SqliteStore::check(&options(folder.path())).unwrap().problems, [""; 0]);
    }
}

/// A bit of a page is another one.
fn flip(folder: &Path, page: u64, at: usize) {
    let mut bytes = page_of(&database(folder), page).to_vec();
    bytes[at] ^= 1;
    write_page(folder, page, &bytes);
}

#[test]
fn any_page_of_the_forgotten_chats_that_fails_is_a_refusal_and_no_crash_later() {
    // Their ids fill more pages than one.
    const FORGOTTEN: u128 = 600;
    let whole = filled();
    let store = open(whole.path()).unwrap().store();
    block_on(async {
        for n in 0..FORGOTTEN {
            store.log.forget(chat(10_000 + n)).await.unwrap();
        }
    });
    drop(store);
    let of_forgotten = pages(whole.path())["forgotten"].clone();
    assert!(of_forgotten.len() > 3, "{of_forgotten:?}");
    for page in of_forgotten {
        let folder = copied(whole.path());
        flip(folder.path(), page, PAGE as usize - 20);
        for start in 0..STARTS {
            let what = format!("page {page}, start {start}");
            let error = open(folder.path()).map(drop).expect_err(&what);
            assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
            assert!(error.to_string().contains("the table forgotten"), "{what}: {error}");
        }
        let mended = SqliteStore::repair(&options(folder.path()), None).unwrap();
        assert!(mended.lost[0].contains("the table forgotten"), "{mended:?}");
        let store = open(folder.path()).unwrap().store();
        assert_eq!(damaged(&store), [0; 0], "page {page}");
        block_on(store.log.claim(chat(20_000))).expect("a new chat");
    }
}

#[test]
fn a_byte_of_a_long_document_is_that_ones_trouble_from_the_first_start_on() {
    let whole = filled();
    let store = open(whole.path()).unwrap().store();
    block_on(store.documents.put("user", "long", 0, vec![9; 10_000])).unwrap();
    drop(store);
    let of_it = overflow_pages(whole.path(), "documents");
    assert!(of_it.len() > 1, "{of_it:?}");
    for page in of_it {
        let folder = copied(whole.path());
        flip(folder.path(), page, 100);
        for start in 0..STARTS {
            let what = format!("page {page}, start {start}");
            let store = open(folder.path()).unwrap().store();
            let listed = block_on(store.documents.list("user", None, 1_000));
            let listed = listed.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(listed.len(), CHATS as usize + 1, "{what}");
            let damaged = listed.into_iter().filter_map(|one| {
                let id = one.id.clone();
                one.document().is_err().then_some(id)
            });
            assert_eq!(damaged.collect::<Vec<_>>(), ["long"], "{what}");
        }
    }
}

#[test]
fn marks_on_a_page_that_fails_are_lost_and_cost_no_chat_its_place() {
    let whole = filled();
    for page in &pages(whole.path())["watermarks"] {
        let folder = copied(whole.path());
        flip(folder.path(), *page, PAGE as usize - 20);
        let repaired = copied(folder.path());
        let mended = SqliteStore::repair(&options(repaired.path()), None).unwrap();
        assert_eq!((mended.damaged.len(), mended.lost.len()), (0, 0), "{mended:?}");
        assert_eq!(mended.dispensed, ["rows of the table watermarks"]);
        for start in 0..STARTS {
            let what = format!("page {page}, start {start}");
            let sqlite = open(folder.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let store = sqlite.store();
            block_on(async {
                let expected: Vec<_> = (0..CHATS).map(|n| open_chat(n, 5)).collect();
                assert_eq!(store.open_chats.scan(None, 1_000).await.unwrap(), expected, "{what}");
                let known = Watermark { delivered: 3, read: 2 };
                for n in 0..CHATS {
                    match store.watermarks.load(chat(n)).await {
                        Ok(watermarks) if watermarks.is_empty() => {
                            assert!(start > 0, "{what}: chat {n}")
                        }
                        Ok(watermarks) => {
                            assert_eq!(watermarks, BTreeMap::from([(Party::User(user(n)), known)]))
                        }
                        Err(StoreError::Damaged { .. }) => assert_eq!(start, 0, "{what}: chat {n}"),
                        Err(error) => panic!("{what}: {error}"),
                    }
                }
            });
            assert_eq!(sqlite.damaged_chats(), [], "{what}");
        }
    }
}

#[test]
fn touches_on_a_page_that_fails_leave_no_position_that_counts() {
    let whole = filled();
    let store = open(whole.path()).unwrap().store();
    block_on(async {
        for n in 0..CHATS {
            store.feed.touch(chat(n), period(1, 5)).await.unwrap();
        }
        store.documents.put("feed_positions", "test", 0, b"{}".to_vec()).await.unwrap();
    });
    drop(store);
    let position = |folder: &Path| {
        let mended = SqliteStore::repair(&options(folder), None).unwrap();
        assert_eq!((mended.damaged.len(), mended.lost.len()), (0, 0), "{mended:?}");
        let store = open(folder).unwrap().store();
        block_on(store.documents.get("feed_positions", "test")).unwrap()
    };
    let of_feed = pages(whole.path())["feed"].clone();
    assert!(!of_feed.is_empty());
    for page in of_feed {
        let folder = copied(whole.path());
        flip(folder.path(), page, PAGE as usize - 20);
        assert_eq!(position(folder.path()), None, "page {page}");
    }
    assert!(position(whole.path()).is_some(), "what could be read has no hole");
}

#[test]
fn where_no_repair_goes_on_a_backup_alone_is_advised() {
    let whole = filled();
    for table in ["counters", "documents", "forgotten"] {
        let folder = copied(whole.path());
        let page = pages(whole.path())[table][0];
        let mut bytes = page_of(&database(folder.path()), page).to_vec();
        bytes[..8].fill(0xff);
        write_page(folder.path(), page, &bytes);
        let started = open(folder.path()).map(drop).unwrap_err();
        let repaired = SqliteStore::repair(&options(folder.path()), None).map(drop).unwrap_err();
        for error in [started, repaired] {
            assert!(matches!(error, OpenError::Unrepairable { .. }), "{table}: {error}");
            let text = error.to_string();
            assert!(text.contains(&format!("the table {table}")), "{text}");
            assert!(text.contains("restore the latest backup"), "{text}");
            assert!(!text.contains("store repair"), "{text}");
        }
    }
}

#[test]
fn a_document_that_got_the_name_of_another_does_not_take_its_place() {
    let whole = filled();
    // Each is stored behind, or before, the one whose name it gets.
    for (from, to) in [("user0018", "user0017"), ("user0016", "user0017")] {
        let folder = copied(whole.path());
        assert_eq!(replace(folder.path(), "documents", from.as_bytes(), to.as_bytes()), 1);
        let repaired = copied(folder.path());
        let mended = SqliteStore::repair(&options(repaired.path()), None).unwrap();
        assert_eq!(mended.dispensed, ["1 documents whose names have become others'"], "{from}");
        for start in 0..STARTS {
            let sqlite = open(folder.path()).unwrap();
            let found = block_on(sqlite.store().documents.get("user", "0017")).unwrap().unwrap();
            assert_eq!(found.body, [17; 150], "{from}, start {start}");
            assert_eq!(documents(&sqlite), CHATS as usize - 1, "{from}, start {start}");
        }
    }
}

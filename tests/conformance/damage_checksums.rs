//! Checksums of pages: whatever becomes of a page of a stopped store, the next start serves what was
//! acknowledged or says what is damaged. Some of the damage leaves the page as well formed as it was.
//!
//! One thing no checksum of a page sees: an older version of it, whole, in its own place. A check does.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use switchboard::domain::Party;
use switchboard::domain::operator::OperatorRecord;
use switchboard::storage::sqlite::{BackupError, DATABASE_FILE, OpenError, SqliteStore, Unlisted};
use switchboard::storage::{Store, StoreError, Watermark};

use crate::damage_pages::{CHATS, PAGE, damaged, events, fill, look, options, pages};
use crate::rng::Rng;
use crate::samples::{chat, command, customer, messages, open_chat, user};
use crate::subject::block_on;

/// Damages of any page.
const SEEDS: u64 = 60;

/// Most bytes that are damaged at once.
const BYTES: usize = 64;

/// A chat with a long run in the index, and its events.
pub const LONG: u128 = 700;
pub const LONG_EVENTS: u64 = 300;

/// Starts after a damage.
pub const STARTS: usize = 3;

/// Longest wait: far more than any of these needs.
const LIMIT: Duration = Duration::from_secs(60);

/// Bytes that each page has reserved, and where the header of a database says so.
pub const RESERVED: usize = 8;
pub const RESERVED_AT: usize = 20;

pub fn database(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join(DATABASE_FILE)).unwrap()
}

pub fn page_of(database: &[u8], page: u64) -> &[u8] {
    &database[((page - 1) * PAGE) as usize..(page * PAGE) as usize]
}

pub fn write_page(folder: &Path, page: u64, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(folder.join(DATABASE_FILE)).unwrap();
    file.write_all_at(bytes, (page - 1) * PAGE).unwrap();
}

/// A copy of a stopped store.
pub fn copied(from: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(from.join(DATABASE_FILE), folder.path().join(DATABASE_FILE)).unwrap();
    folder
}

pub fn filled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    fill_long(folder.path());
    folder
}

/// A run of the index that goes on in pages of its own.
pub fn fill_long(folder: &Path) {
    let store = open(folder).unwrap().store();
    block_on(async {
        let claim = store.log.claim(chat(LONG)).await.unwrap().claim;
        store.log.append(claim, messages(1..=LONG_EVENTS)).await.unwrap();
    });
}

pub fn open(folder: &Path) -> Result<Arc<SqliteStore>, OpenError> {
    SqliteStore::open(&options(folder)).map(Arc::new)
}

/// Damages a page in one of many ways, and says how. Where it has an address of the page, it is one of
/// its own: most of these leave it well formed.
fn damage(folder: &Path, rng: &mut Rng) -> String {
    let whole = database(folder);
    let pages = whole.len() as u64 / PAGE;
    let (page, other) =
        (1 + rng.below(pages as usize) as u64, 1 + rng.below(pages as usize) as u64);
    let mut bytes = page_of(&whole, page).to_vec();
    let what = match rng.below(7) {
        0 | 1 => {
            let n = 1 + rng.below(BYTES);
            let at = rng.below(bytes.len() - n);
            bytes[at..at + n].iter_mut().for_each(|byte| *byte = rng.below(256) as u8);
            format!("{n} bytes at {at}")
        }
        2 => {
            let at = rng.below(bytes.len());
            bytes[at] ^= 1 << rng.below(8);
            format!("a bit at {at}")
        }
        3 => {
            write_page(folder, other, &bytes);
            bytes = page_of(&whole, other).to_vec();
            format!("swapped with page {other}")
        }
        4 => {
            bytes = page_of(&whole, other).to_vec();
            format!("page {other} over it")
        }
        5 => {
            bytes.fill(0);
            "zeros".to_owned()
        }
        _ => {
            // The last cell is forgotten: the header of a page counts them.
            let at = if page == 1 { 103 } else { 3 };
            let cells = u16::from_be_bytes([bytes[at], bytes[at + 1]]).saturating_sub(1);
            bytes[at..at + 2].copy_from_slice(&cells.to_be_bytes());
            format!("{cells} cells")
        }
    };
    write_page(folder, page, &bytes);
    format!("page {page}: {what}")
}

/// Everything is what was written, or says that it is damaged. Answers how many say so, a document that
/// is not there among them: that one is named where the start or a check names it; and watermarks that are lost.
pub fn look_at_all(sqlite: &Arc<SqliteStore>, what: &str) -> usize {
    let store = &sqlite.store();
    let mut refused = damaged(store).len();
    let mut says = |answer: Result<bool, StoreError>| match answer {
        Ok(whole) => assert!(whole, "{what}"),
        Err(StoreError::Damaged { .. }) => refused += 1,
        Err(error) => panic!("{what}: {error}"),
    };
    block_on(async {
        let read = store.log.read(chat(LONG), 1, 1_000).await;
        says(read.map(|read| read == messages(1..=LONG_EVENTS)));
        let expected: Vec<_> = (0..CHATS).map(|n| open_chat(n, 5)).collect();
        let found = store.open_chats.scan(None, 1_000).await;
        // Chats that are named have no row, or none that is shown.
        let named = sqlite.damaged_chats();
        says(found.map(|found| {
            match sqlite.unlisted() {
                Unlisted::Any => found.iter().all(|row| expected.contains(row)),
                Unlisted::These(these) => expected
                    .iter()
                    .filter(|row| !these.contains(&row.chat))
                    .all(|row| found.contains(row) || named.contains(&row.chat)),
            }
        }));
        for n in 0..CHATS {
            let latest = store.conversations.latest(customer(n)).await;
            says(latest.map(|latest| latest == Some(chat(n))));
            let commands = store.conversations.commands(customer(n)).await;
            says(commands.map(|found| found == [(command("c"), chat(n))]));
            let document = store.documents.get("user", &format!("{n:04}")).await;
            let missing =
                || StoreError::Damaged { reason: "its name may have become another".to_owned() };
            let document = document.and_then(|found| found.ok_or_else(missing));
            says(document.map(|found| found.body == [n as u8; 150]));
            let expected =
                BTreeMap::from([(Party::User(user(n)), Watermark { delivered: 3, read: 2 })]);
            let watermarks = store.watermarks.load(chat(n)).await;
            // Those on a page that failed are lost, and no others are in their place.
            let lost = || StoreError::Damaged { reason: "watermarks".to_owned() };
            let watermarks = watermarks.and_then(|watermarks| {
                (!watermarks.is_empty()).then_some(watermarks).ok_or_else(lost)
            });
            says(watermarks.map(|watermarks| watermarks == expected));
            let record = store.operators.load(user(n)).await;
            let record =
                record.map_err(|error| StoreError::Damaged { reason: format!("{error:?}") });
            says(record.map(|found| found == OperatorRecord::default()));
        }
    });
    refused
}

/// After a repair that somebody has asked for, what is there is what was written, and all is there unless it
/// said that events are lost, or anything.
fn look_at_what_is_left(sqlite: &Arc<SqliteStore>, lost: &[String], what: &str) {
    if !lost.iter().any(|lost| lost.contains("event") || lost.contains("perhaps anything")) {
        look_at_all(sqlite, what);
    }
    let store = &sqlite.store();
    let says = |answer: Result<bool, StoreError>| match answer {
        Ok(true) | Err(StoreError::Damaged { .. }) => {}
        answer => panic!("{what}: {answer:?}"),
    };
    block_on(async {
        let expected: Vec<_> = (0..CHATS).map(|n| open_chat(n, 5)).collect();
        let found = store.open_chats.scan(None, 1_000).await;
        says(found.map(|found| found.iter().all(|row| expected.contains(row))));
        for n in 0..CHATS {
            let read = store.log.read(chat(n), 1, 100).await;
            says(read.map(|read| events(n).starts_with(&read)));
            let document = store.documents.get("user", &format!("{n:04}")).await;
            let fits = |body: Vec<u8>| body == [n as u8; 150];
            says(document.map(|found| found.is_none_or(|found| fits(found.body))));
        }
    });
}

/// How many of the documents are there, under their names.
pub fn documents(sqlite: &Arc<SqliteStore>) -> usize {
    let found = block_on(sqlite.store().documents.list("user", None, 1_000)).unwrap_or_default();
    let named = |id: &str| (0..CHATS).any(|n| id == format!("{n:04}"));
    found.iter().filter(|one| named(&one.id)).count()
}

#[test]
fn no_damage_of_a_page_hides_what_was_acknowledged() {
    let whole = filled();
    let (mut refused, mut named) = (0, 0);
    for seed in 0..SEEDS {
        let rng = &mut Rng::new(seed);
        let folder = copied(whole.path());
        let what = format!("seed {seed}: {}", damage(folder.path(), rng));
        // What the first start does not meet, a look does, and leaves word for the second. The third one
        // finds what that has made.
        for start in 0..STARTS {
            let what = format!("{what}, start {start}");
            match open(folder.path()) {
                Ok(sqlite) => {
                    named += usize::from(look_at_all(&sqlite, &what) > 0);
                    let lost = documents(&sqlite) < CHATS as usize;
                    drop(sqlite);
                    if lost {
                        let problems =
                            SqliteStore::check(&options(folder.path())).unwrap().problems;
                        let of_one = |problem: &String| problem.contains("of the document");
                        assert!(problems.iter().any(of_one), "{what}: {problems:?}");
                    }
                }
                Err(OpenError::Damaged { .. }) => {
                    refused += 1;
                    match SqliteStore::repair(&options(folder.path()), None) {
                        Ok(mended) => {
                            assert!(!mended.lost.is_empty(), "{what}: who goes on is told why");
                            let sqlite = open(folder.path())
                                .unwrap_or_else(|error| panic!("{what}: {error}"));
                            look_at_what_is_left(&sqlite, &mended.lost, &what);
                        }
                        // Then a backup is left.
                        Err(OpenError::Damaged { .. } | OpenError::Unrepairable { .. }) => {}
                        Err(error) => panic!("{what}: {error}"),
                    }
                    break;
                }
                Err(OpenError::Unrepairable { .. }) => {
                    refused += 1;
                    let repaired = SqliteStore::repair(&options(folder.path()), None).map(drop);
                    let error = repaired.expect_err(&what);
                    assert!(matches!(error, OpenError::Unrepairable { .. }), "{what}: {error}");
                    break;
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }
    println!("{SEEDS} damages: {refused} starts were refused, {named} named what was damaged");
    assert!(refused < SEEDS / 2 && named > 0, "{refused} {named}");
}

/// Changes each place where these bytes are in pages of a table.
pub fn replace(folder: &Path, table: &str, from: &[u8], to: &[u8]) -> usize {
    let whole = database(folder);
    let mut found = 0;
    for page in &pages(folder)[table] {
        let mut bytes = page_of(&whole, *page).to_vec();
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from) {
                bytes[at..at + to.len()].copy_from_slice(to);
                found += 1;
            }
        }
        write_page(folder, *page, &bytes);
    }
    found
}

#[test]
fn ids_that_became_others_are_none_of_anybody() {
    let whole = filled();
    let (of, other) = (chat(17).0, chat(9_017).0);
    for table in ["log_index", "open_chats", "conversations", "conversation_commands", "watermarks"]
    {
        let folder = copied(whole.path());
        assert!(replace(folder.path(), table, of.as_bytes(), other.as_bytes()) > 0, "{table}");
        for start in 0..STARTS {
            let what = format!("{table}, start {start}");
            let sqlite = open(folder.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
            look_at_all(&sqlite, &what);
            let store = sqlite.store();
            for n in 0..CHATS {
                assert!(start == 0 || look(&store, n).is_ok(), "{what}: chat {n}");
            }
        }
    }
    let folder = copied(whole.path());
    assert_eq!(replace(folder.path(), "documents", b"user0017", b"user9017"), 1);
    let sqlite = open(folder.path()).unwrap();
    assert_eq!((documents(&sqlite), damaged(&sqlite.store())), (CHATS as usize - 1, vec![]));
    drop(sqlite);
    // Which document it was, nobody knows.
    let problems = SqliteStore::check(&options(folder.path())).unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("document user/9017"), "{problems:?}");
}

#[test]
fn damage_beside_the_rows_of_documents_costs_none_of_them() {
    let whole = filled();
    let folder = copied(whole.path());
    let page = pages(folder.path())["documents"][1];
    let mut bytes = page_of(&database(folder.path()), page).to_vec();
    let end = bytes.len() - RESERVED;
    bytes[end..].fill(0x5a);
    write_page(folder.path(), page, &bytes);
    assert_eq!(look_at_all(&open(folder.path()).unwrap(), "documents"), 0);
    assert_eq!(SqliteStore::check(&options(folder.path())).unwrap().problems, [""; 0]);
}

#[test]
fn a_check_counts_the_pages_that_do_not_fit_and_names_the_first() {
    let folder = filled();
    let of_index = pages(folder.path())["log_index"].clone();
    for page in &of_index {
        let mut bytes = page_of(&database(folder.path()), *page).to_vec();
        let end = bytes.len() - RESERVED;
        bytes[end] ^= 1;
        write_page(folder.path(), *page, &bytes);
    }
    let problems = SqliteStore::check(&options(folder.path())).unwrap().problems;
    let first = of_index.iter().min().unwrap();
    let expected =
        format!("{} pages do not fit their checksums, the first is page {first}", of_index.len());
    assert_eq!(problems, [expected]);
}

/// Where rows are gone, their numbers do not tell whether others are lost.
#[test]
fn beside_rows_of_forgotten_chats_nothing_vanishes_without_a_word_either() {
    const FORGOTTEN: u128 = 5;
    let whole = filled();
    let store = open(whole.path()).unwrap().store();
    block_on(async {
        for n in 0..FORGOTTEN {
            store.log.forget(chat(n)).await.unwrap();
        }
    });
    drop(store);
    let damaged = |store: &Store, what: &str| -> Vec<u128> {
        let looked = (FORGOTTEN..CHATS).map(|n| (n, look(store, n)));
        let damaged = looked.filter_map(|(n, looked)| looked.err().map(|error| (n, error)));
        damaged
            .map(|(n, error)| {
                assert!(matches!(error, StoreError::Damaged { .. }), "{what}: {error}");
                n
            })
            .collect()
    };

    let folder = copied(whole.path());
    assert_eq!(replace(folder.path(), "log", b"\"2 of 30", b"\"2 of 3O"), 1);
    let store = open(folder.path()).unwrap().store();
    assert_eq!(damaged(&store, "a byte"), [30], "the others are served");
    drop(store);

    let mut refused = 0;
    let of_log = pages(whole.path())["log"].clone();
    for page in &of_log {
        let folder = copied(whole.path());
        let mut bytes = page_of(&database(folder.path()), *page).to_vec();
        let cells = u16::from_be_bytes([bytes[3], bytes[4]]);
        bytes[3..5].copy_from_slice(&(cells - 1).to_be_bytes());
        write_page(folder.path(), *page, &bytes);
        let what = format!("page {page} with {cells} cells");
        match open(folder.path()) {
            Ok(sqlite) => drop(damaged(&sqlite.store(), &what)),
            Err(OpenError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("{what}: {error}"),
        }
    }
    assert!(refused > 0, "of the last row of a chat nothing else tells");
}

/// What no checksum of a page can tell. It is pinned here, so that nobody believes otherwise.
#[test]
fn an_older_version_of_a_page_in_its_place_is_found_by_a_check_and_made_good_by_a_repair() {
    let folder = filled();
    let older = database(folder.path());
    let store = open(folder.path()).unwrap().store();
    block_on(async {
        for n in 0..CHATS {
            let claimed = store.log.claim(chat(n)).await.unwrap();
            let next =
                (claimed.tail + 1..claimed.tail + 4).map(|seq| crate::samples::message(seq, "x"));
            store.log.append(claimed.claim, next.collect()).await.unwrap();
        }
    });
    drop(store);
    let newer = database(folder.path());
    let page = pages(folder.path())["log_index"].iter().copied().find(|page| {
        older.len() as u64 >= page * PAGE && page_of(&older, *page) != page_of(&newer, *page)
    });
    let page = page.expect("a page of the index has changed");
    write_page(folder.path(), page, page_of(&older, page));
    assert!(!SqliteStore::check(&options(folder.path())).unwrap().problems.is_empty());
    let mended = SqliteStore::repair(&options(folder.path()), None).unwrap();
    assert_eq!((mended.damaged.len(), mended.lost.len()), (0, 0), "{mended:?}");
    assert_eq!(SqliteStore::check(&options(folder.path())).unwrap().problems, [""; 0]);
    let store = open(folder.path()).unwrap().store();
    for n in 0..CHATS {
        let tail = block_on(store.log.claim(chat(n))).unwrap().tail;
        assert_eq!(tail, events(n).len() as u64 + 3, "chat {n}");
    }
}

#[test]
fn who_writes_to_a_damaged_page_is_told_no_lie_and_the_next_start_makes_it_good() {
    let folder = filled();
    for page in &pages(folder.path())["conversations"] {
        let mut bytes = page_of(&database(folder.path()), *page).to_vec();
        let end = bytes.len() - RESERVED - 1;
        bytes[end] ^= 1;
        write_page(folder.path(), *page, &bytes);
    }
    let sqlite = open(folder.path()).unwrap();
    let store = sqlite.store();
    let (id, next) = (command("next"), chat(901));
    let claimed = block_on(store.conversations.claim_open(customer(1), &id, next, Some(chat(1))));
    assert!(matches!(claimed, Err(StoreError::Unavailable { .. })), "{claimed:?}");
    let mut failure = sqlite.failure();
    let reason = block_on(async {
        let failed = failure.wait_for(Option::is_some);
        let failed = tokio::time::timeout(LIMIT, failed).await.unwrap().unwrap();
        failed.as_ref().unwrap().to_string()
    });
    assert!(reason.contains("checksum") && reason.contains("what can be rebuilt"), "{reason}");
    drop((sqlite, store));
    let sqlite = open(folder.path()).unwrap();
    assert_eq!(look_at_all(&sqlite, "conversations"), 0);
}

#[test]
fn one_byte_of_a_record_is_its_chats_trouble_and_nobody_copies_it_as_if_it_were_whole() {
    let folder = filled();
    // Far from the end, which a start verifies.
    let store = open(folder.path()).unwrap().store();
    block_on(async {
        let claim = store.log.claim(chat(500)).await.unwrap().claim;
        store.log.append(claim, messages(1..=1_200)).await.unwrap();
    });
    drop(store);
    assert_eq!(replace(folder.path(), "log", b"\"2 of 30", b"\"2 of 3O"), 1);
    let sqlite = open(folder.path()).unwrap();
    assert_eq!(damaged(&sqlite.store()), [30], "its neighbours on the page are served");
    let file = folder.path().join("copy");
    let (progress, _seen) = tokio::sync::watch::channel(Default::default());
    let refused = block_on(sqlite.back_up(&file, progress)).unwrap_err();
    assert!(matches!(refused, BackupError::GivenUp(_)), "{refused}");
    assert!(refused.to_string().contains("does not fit its checksum; start again"), "{refused}");
    drop(sqlite);
    // Now the page is as good as its rows.
    let sqlite = open(folder.path()).unwrap();
    assert_eq!(damaged(&sqlite.store()), [30]);
    let (progress, _seen) = tokio::sync::watch::channel(Default::default());
    block_on(sqlite.back_up(&file, progress)).unwrap();
    let problems = SqliteStore::check_copy(&file).unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("event 2 of chat"), "{problems:?}");
    // The damaged one is kept with what was damaged.
    let kept = folder.path().join("switchboard.db.damaged-1");
    let problems = SqliteStore::check_copy(&kept).unwrap().problems;
    assert!(problems[0].starts_with("1 pages do not fit their checksums"), "{problems:?}");
}

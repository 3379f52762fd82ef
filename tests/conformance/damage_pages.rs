//! 64 bytes of a random page, table by table: nothing acknowledged is ever missing without a word,
//! and what is derived comes back whole.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;
use switchboard::domain::{ChatEvent, Party, Profile, Recorded, Seq};
use switchboard::storage::sqlite::{
    DATABASE_FILE, OpenError, SqliteOptions, SqliteStore, Synchronous,
};
use switchboard::storage::{Store, StoreError, Watermark};

use crate::rng::Rng;
use crate::samples::{chat, command, customer, message, open_chat, user};
use crate::subject::block_on;

/// Damages of each table.
const SEEDS: u64 = 8;

/// Bytes that are damaged at once.
const BYTES: usize = 64;

/// Bytes of a page.
pub const PAGE: u64 = 4_096;

pub const CHATS: u128 = 60;

/// Events of a chat.
pub fn events(n: u128) -> Vec<Recorded> {
    let text =
        |seq: Seq| format!("{seq} of {n}{}", " of many".repeat(((seq + n as u64) % 9) as usize));
    let mut events: Vec<_> = (1..=12 + n as u64 % 7).map(|seq| message(seq, &text(seq))).collect();
    // Whose chat it is can be made anew from it.
    events[0].event = ChatEvent::Opened {
        customer: customer(n),
        command: command("c"),
        profile: Profile::default(),
        continues: None,
    };
    events
}

pub fn options(folder: &Path) -> SqliteOptions {
    let mut options = SqliteOptions::new(folder);
    options.fold_at = 100;
    options
}

/// A store with something in every table, each on several pages.
pub fn fill(folder: &Path) {
    // It is read by whoever comes next, not after a loss of power.
    let options = SqliteOptions { synchronous: Synchronous::Off, ..options(folder) };
    let store = std::sync::Arc::new(SqliteStore::open(&options).unwrap()).store();
    block_on(async {
        let mut claims = Vec::new();
        for n in 0..CHATS {
            claims.push(store.log.claim(chat(n)).await.unwrap().claim);
        }
        for at in 0..19 {
            for (n, claim) in (0..CHATS).zip(&claims) {
                if let Some(event) = events(n).get(at) {
                    store.log.append(*claim, vec![event.clone()]).await.unwrap();
                }
            }
        }
        for n in 0..CHATS {
            let (talks, id) = (&store.conversations, command("c"));
            talks.claim_open(customer(n), &id, chat(n), None).await.unwrap();
            store.open_chats.put(open_chat(n, 5)).await.unwrap();
            let watermarks =
                BTreeMap::from([(Party::User(user(n)), Watermark { delivered: 3, read: 2 })]);
            store.watermarks.raise(chat(n), watermarks).await.unwrap();
            store.operators.save(user(n), Default::default()).await.unwrap();
            let id = format!("{n:04}");
            store.documents.put("user", &id, 0, vec![n as u8; 150]).await.unwrap();
        }
    });
}

/// The pages of each table.
pub fn pages(folder: &Path) -> BTreeMap<String, Vec<u64>> {
    let database = Connection::open(folder.join(DATABASE_FILE)).unwrap();
    let text = "SELECT name, pageno FROM dbstat WHERE name NOT LIKE 'sqlite_%'";
    let mut statement = database.prepare(text).unwrap();
    let mut pages: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    for row in rows {
        let (name, page): (String, u64) = row.unwrap();
        pages.entry(name).or_default().push(page);
    }
    pages
}

/// Whether all that a chat has is there; the error when it says that not.
pub fn look(store: &Store, n: u128) -> Result<(), StoreError> {
    block_on(async {
        let tail = store.log.claim(chat(n)).await?.tail;
        assert_eq!(tail, events(n).len() as u64, "the end of chat {n}");
        let read = store.log.read(chat(n), 1, 100).await?;
        assert_eq!(read, events(n));
        Ok(())
    })
}

/// Chats that say that they are damaged; all others are whole.
pub fn damaged(store: &Store) -> Vec<u128> {
    (0..CHATS)
        .filter(|n| match look(store, *n) {
            Ok(()) => false,
            Err(StoreError::Damaged { .. }) => true,
            Err(error) => panic!("{error}"),
        })
        .collect()
}

/// Damages a page of a table in a copy of the store, and hands the copy on.
fn each(table: &str, check: impl Fn(&Path, u64)) {
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path());
    let pages = &pages(whole.path())[table];
    for seed in 0..SEEDS {
        let rng = &mut Rng::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DATABASE_FILE);
        std::fs::copy(whole.path().join(DATABASE_FILE), &file).unwrap();
        let page = pages[rng.below(pages.len())];
        let at = (page - 1) * PAGE + rng.below(PAGE as usize - BYTES) as u64;
        let bytes: Vec<u8> = (0..BYTES).map(|_| rng.below(256) as u8).collect();
        let open = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        open.write_all_at(&bytes, at).unwrap();
        check(folder.path(), seed);
    }
}

fn open(folder: &Path) -> Result<Store, OpenError> {
    SqliteStore::open(&options(folder)).map(|sqlite| std::sync::Arc::new(sqlite).store())
}

#[test]
fn a_damaged_index_is_whole_again_after_a_start_or_two() {
    each("log_index", |folder, seed| {
        // What the first start does not meet, a look at the chats does.
        let first = open(folder).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        damaged(&first);
        drop(first);
        let second = open(folder).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(damaged(&second), [0; 0], "seed {seed}");
        drop(second);
        assert_eq!(SqliteStore::check(&options(folder)).unwrap().problems, [""; 0], "seed {seed}");
    });
}

#[test]
fn a_damaged_log_costs_the_chats_that_it_names() {
    let refused = std::cell::Cell::new(0);
    each("log", |folder, seed| {
        let store = match open(folder) {
            Ok(store) => store,
            Err(OpenError::Damaged { what, .. }) => {
                refused.set(refused.get() + 1);
                // Nobody can tell whose the lost events were: only who is told of it goes on.
                let mended = SqliteStore::repair(&options(folder), None).unwrap();
                assert!(!mended.lost.is_empty(), "seed {seed}: {what}");
                drop(open(folder).unwrap());
                return;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let chats = damaged(&store);
        drop(store);
        let problems = SqliteStore::check(&options(folder)).unwrap().problems;
        assert_eq!(chats.is_empty(), problems.is_empty(), "seed {seed}: {problems:?}");
        assert!(chats.len() < CHATS as usize, "seed {seed}: the rest is served");
    });
    assert!(refused.get() <= SEEDS / 2, "{} starts were refused", refused.get());
}

#[test]
fn damaged_small_tables_stop_no_chat() {
    for table in ["open_chats", "conversations", "conversation_commands", "watermarks", "operators"]
    {
        each(table, |folder, seed| {
            // Who writes to a damaged page ends the process; then the start makes it good.
            for life in 0..2 {
                let what = || format!("{table}, seed {seed}, life {life}");
                let store = open(folder).unwrap_or_else(|error| panic!("{}: {error}", what()));
                assert_eq!(damaged(&store), [0; 0], "{}", what());
                let whole = block_on(write(&store));
                assert!(whole || life == 0, "{}", what());
            }
        });
    }
}

/// Writes to every small table; whether the store goes on.
async fn write(store: &Store) -> bool {
    for n in 0..CHATS {
        let _ = store.open_chats.put(open_chat(n, 6)).await;
        let _ = store.operators.save(user(n), Default::default()).await;
        let watermarks = BTreeMap::from([(Party::System, Watermark { delivered: 3, read: 2 })]);
        let _ = store.watermarks.raise(chat(n), watermarks).await;
        let (talks, of, id) = (&store.conversations, customer(n), command("d"));
        let _ = talks.claim_open(of, &id, chat(n + 900), Some(chat(n))).await;
    }
    store.processes.begin().await.is_ok()
}

#[test]
fn damaged_documents_are_never_taken_for_others() {
    each("documents", |folder, seed| {
        let Ok(store) = open(folder) else { return };
        block_on(async {
            for n in 0..CHATS {
                match store.documents.get("user", &format!("{n:04}")).await {
                    Ok(Some(found)) => assert_eq!(found.body, vec![n as u8; 150], "seed {seed}"),
                    Ok(None) | Err(StoreError::Damaged { .. }) => {}
                    Err(error) => panic!("seed {seed}: {error}"),
                }
            }
        });
    });
}

/// A start reads the index of chats that have events behind it, and of no others: whoever claims one of those
/// is the first to meet its page.
#[test]
fn who_claims_a_chat_whose_page_of_the_index_is_damaged_is_told_so() {
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path());
    let store = std::sync::Arc::new(SqliteStore::open(&options(whole.path())).unwrap()).store();
    block_on(async {
        let claim = store.log.claim(chat(500)).await.unwrap().claim;
        store.log.append(claim, crate::samples::messages(1..=200)).await.unwrap();
    });
    drop(store);
    let mut told = 0;
    for page in &pages(whole.path())["log_index"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(DATABASE_FILE);
        std::fs::copy(whole.path().join(DATABASE_FILE), &file).unwrap();
        let file = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
        // The last byte, of the name of the checksum: all else is as it was.
        let (mut last, at) = ([0], page * PAGE - 1);
        file.read_exact_at(&mut last, at).unwrap();
        file.write_all_at(&[!last[0]], at).unwrap();
        let open = || std::sync::Arc::new(SqliteStore::open(&options(folder.path())).unwrap());
        told += damaged(&open().store()).len();
        assert_eq!(damaged(&open().store()), [0; 0], "page {page}: it is made anew");
    }
    assert!(told > 0, "no claim met one of the pages");
}

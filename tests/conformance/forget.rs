//! That nothing is left of a forgotten chat where it lay, and that late rows show nothing.

use std::path::Path;
use std::time::Duration;

use switchboard::domain::event::ChatEvent;
use switchboard::domain::{EventNames, Name, Party, Recorded, Timestamp};
use switchboard::storage::record::encode_event;
use switchboard::storage::scylla::{ScyllaStore, every_cell};
use switchboard::storage::sqlite::{
    DATABASE_FILE, SqliteOptions, SqliteStore, open_past_the_store,
};
use switchboard::storage::{ChatLog, StoreError};

use crate::cql::raw;
use crate::cql_support::{Keyspace, RUNTIME};
use crate::export::{contents, exported};
use crate::samples::{chat, command, customer, message, messages};
use crate::subject::{Kind, Rig, block_on};

/// What nobody else writes.
const SECRET: &str = "sesame-4711-open";

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

fn secret(seq: u64) -> Recorded {
    let text = format!("{SECRET} {seq} {}", "and much more of it ".repeat(20));
    let text = switchboard::domain::MessageText::new(&text).unwrap();
    let (from, id) = (Party::Customer(customer(1).id), command(&format!("m-{seq}")));
    let by = if seq == 1 { Name::new(SECRET).ok() } else { None };
    let names = EventNames { by, ..Default::default() };
    Recorded { seq, at: Timestamp(1), event: ChatEvent::Message { from, id, text }, names }
}

fn finds(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let holds = |file: std::path::PathBuf| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    files.into_iter().any(holds)
}

#[test]
fn no_byte_of_a_forgotten_text_is_left_in_any_file_while_the_store_runs() {
    let mut rig = Rig::new(Kind::Sqlite);
    rig.options.fold_at = 50;
    rig.options.checkpoint_at_pages = SqliteOptions::new("").checkpoint_at_pages;
    block_on(async {
        let store = rig.open().unwrap().store();
        let claims =
            [chat(1), chat(2)].map(async |chat| store.log.claim(chat).await.unwrap().claim);
        let [one, two] = claims;
        let (one, two) = (one.await, two.await);
        for seq in 1..=400 {
            // Both in the same pages.
            store.log.append(one, vec![secret(seq)]).await.unwrap();
            store.log.append(two, vec![message(seq, "stays here")]).await.unwrap();
        }
        assert!(finds(rig.folder.path(), SECRET), "or the search finds nothing at all");
        store.log.forget(chat(1)).await.unwrap();
        // What follows a commit is over when the next one is answered.
        store.log.append(two, messages([401])).await.unwrap();
        assert!(!finds(rig.folder.path(), SECRET));
        assert!(finds(rig.folder.path(), "stays here"));
        let (stream, _) = exported(&store, 1).await;
        assert!(!String::from_utf8(stream).unwrap().contains(SECRET));
        assert_eq!(store.log.read(chat(2), 1, 1_000).await.unwrap().len(), 401);
    });
}

#[test]
fn a_reader_keeps_forgotten_bytes_on_the_disk_no_longer_than_it_reads() {
    let mut rig = Rig::new(Kind::Sqlite);
    rig.options.checkpoint_at_pages = SqliteOptions::new("").checkpoint_at_pages;
    rig.options.lock_wait = Duration::from_millis(50);
    block_on(async {
        let store = rig.open().unwrap().store();
        let claim = store.log.claim(chat(1)).await.unwrap().claim;
        store.log.append(claim, (1..=20).map(secret).collect()).await.unwrap();
        let reader = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        reader.query_row("SELECT count(*) FROM log", (), count).unwrap();
        store.log.forget(chat(1)).await.unwrap();
        // What follows a commit is over when the next one is answered.
        for n in 2..10 {
            store.log.claim(chat(n)).await.unwrap();
        }
        assert!(finds(rig.folder.path(), SECRET), "the reader still sees it");
        reader.execute_batch("COMMIT").unwrap();
        // Nobody writes any more.
        until("the bytes are gone", || !finds(rig.folder.path(), SECRET)).await;
    });
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn vacuum_mode(rig: &Rig) -> i64 {
    let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
    database.query_row("PRAGMA auto_vacuum", (), |row| row.get(0)).unwrap()
}

#[test]
fn a_database_of_before_gives_space_back_after_a_repair() {
    let rig = Rig::new(Kind::Sqlite);
    let size = || std::fs::metadata(rig.folder.path().join(DATABASE_FILE)).unwrap().len();
    block_on(async {
        let store = rig.open().unwrap().store();
        let claim = store.log.claim(chat(1)).await.unwrap().claim;
        for first in (1..=2_000).step_by(100) {
            store.log.append(claim, (first..first + 100).map(secret).collect()).await.unwrap();
        }
        let (before, _) = exported(&store, 1).await;
        drop(store);
        let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
        database.execute_batch("PRAGMA auto_vacuum = NONE; VACUUM").unwrap();
        drop(database);
        assert_eq!(vacuum_mode(&rig), 0, "as it was made before");
        let store = rig.open().unwrap().store();
        assert_eq!(vacuum_mode(&rig), 0, "a start converts nothing: that takes long");
        drop(store);
        let mended = SqliteStore::repair(&rig.options, None).unwrap();
        assert!(mended.damaged.is_empty() && mended.lost.is_empty(), "{mended:?}");
        assert_eq!(vacuum_mode(&rig), 2, "incremental");
        let store = rig.open().unwrap().store();
        let (after, _) = exported(&store, 1).await;
        assert_eq!(contents(&before), contents(&after), "nothing else has changed");
        let full = size();
        store.log.forget(chat(1)).await.unwrap();
        // Nobody writes any more.
        until("the space is given back", || size() < full / 4).await;
    });
}

#[test]
fn the_space_of_forgotten_chats_comes_back() {
    let rig = Rig::new(Kind::Sqlite);
    let size = || std::fs::metadata(rig.folder.path().join(DATABASE_FILE)).unwrap().len();
    block_on(async {
        let store = rig.open().unwrap().store();
        let mode: i64 = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None)
            .unwrap()
            .query_row("PRAGMA auto_vacuum", (), |row| row.get(0))
            .unwrap();
        assert_eq!(mode, 2, "incremental");
        let claim = store.log.claim(chat(1)).await.unwrap().claim;
        for first in (1..=4_000).step_by(100) {
            let events = (first..first + 100).map(secret).collect();
            store.log.append(claim, events).await.unwrap();
        }
        let full = size();
        store.log.forget(chat(1)).await.unwrap();
        let claim = store.log.claim(chat(2)).await.unwrap().claim;
        for seq in 1..=20 {
            store.log.append(claim, messages([seq])).await.unwrap();
        }
        drop(store);
        let left = size();
        assert!(left < full / 4, "{left} of {full} bytes are left");
    });
}

#[test]
fn cql_a_row_that_comes_late_shows_nothing_of_a_forgotten_chat() {
    RUNTIME.block_on(async {
        let Some(keyspace) = Keyspace::new().await else { return };
        let store = ScyllaStore::open(&keyspace.options).await.unwrap();
        let claim = store.claim(chat(1)).await.unwrap().claim;
        store.append(claim, messages(1..=3)).await.unwrap();
        store.forget(chat(1)).await.unwrap();
        let raw = raw(&keyspace).await;
        // As from a coordinator that comes later than anybody waits for it.
        let insert = "INSERT INTO log (chat, bucket, seq, epoch, records) VALUES (?, 0, ?, ?, ?) \
                      USING TIMESTAMP ?";
        let late = 4_000_000_000_000_000_i64;
        for (seq, epoch) in [(1_i64, i64::MAX), (4, claim.epoch as i64)] {
            let record = encode_event(chat(1), &message(seq as u64, "late")).unwrap();
            let row = (chat(1).0, seq, epoch, vec![record], late);
            raw.query_unpaged(insert, row).await.unwrap();
        }
        let gone = async |store: &ScyllaStore| {
            assert_eq!(store.read(chat(1), 1, 10).await, Ok(vec![]));
            assert_eq!(store.claim(chat(1)).await, Err(StoreError::Forgotten { chat: chat(1) }));
        };
        gone(&store).await;
        store.close().await;
        gone(&ScyllaStore::open(&keyspace.options).await.unwrap()).await;
        // And the rows that come while requests live are removed with the rest.
        let count = "SELECT count(*) FROM log WHERE chat = ? AND bucket = 0";
        let row = (chat(1).0, 5_i64, 1_i64, vec![Vec::<u8>::new()]);
        let now = "INSERT INTO log (chat, bucket, seq, epoch, records) VALUES (?, 0, ?, ?, ?)";
        raw.query_unpaged(now, row).await.unwrap();
        let answer = raw.query_unpaged(count, (chat(1).0,)).await.unwrap();
        let rows = answer.into_rows_result().unwrap().first_row::<(i64,)>().unwrap().0;
        assert_eq!(rows, 2, "those from far in the future");
        // Whoever looks for traces is shown what no port shows.
        let mut left = 0;
        let late = |cell: &[u8]| cell.windows(4).any(|some| some == b"late");
        every_cell(&keyspace.options, |cell| left += usize::from(late(cell))).await.unwrap();
        assert_eq!(left, 2);
    });
}

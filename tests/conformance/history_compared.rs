//! Lists of the history that are not what its rows say, in the stores that keep them apart.

use std::path::Path;

use switchboard::app::HistoryFault;
use switchboard::domain::ChatId;
use switchboard::storage::Store;
use switchboard::storage::sqlite::{DATABASE_FILE, SqliteStore, open_past_the_store};

use crate::cql::with_rig;
use crate::samples::chat;
use crate::subject::{Kind, Rig, block_on};
use crate::suite_history_compared::{compared, found, rebuilt, waiting};

/// Of which queue's list, as it is stored; and which one no chat is on.
const QUEUE: &str = "0100000000000000000000000000000001";
const OTHER: &str = "0100000000000000000000000000000009";

/// When the chats were opened, ms.
const STARTED: u64 = 40 * 86_400_000 + 1_000;

/// The chats of which something is wrong with their lists, and what.
fn wrong() -> Vec<(HistoryFault, Vec<ChatId>)> {
    let chats = |of: &[u128]| of.iter().copied().map(chat).collect();
    vec![
        (HistoryFault::Unlisted, chats(&[1, 4])),
        (HistoryFault::Mislisted, chats(&[2, 3, 4])),
        (HistoryFault::Damaged, chats(&[5])),
    ]
}

/// Makes all of that good, and looks.
async fn is_made_good(store: &Store) {
    assert_eq!(found(&compared(store).await), wrong());
    rebuilt(store).await;
    assert_eq!(found(&compared(store).await), []);
}

fn past(folder: &Path, text: &str) {
    let database = open_past_the_store(&folder.join(DATABASE_FILE), None).unwrap();
    database.execute_batch(text).unwrap();
}

#[test]
fn a_comparison_finds_what_is_on_other_lists_than_its_rows_say_and_a_rebuild_makes_it_good() {
    let rig = Rig::new(Kind::Sqlite);
    let store = rig.open().unwrap().store();
    block_on(waiting(&store, 8));
    drop(store);
    let of = |n: u128| format!("x'{n:032x}'");
    let text = format!(
        "DELETE FROM history_lists WHERE chat = {} AND list = x'{QUEUE}'; \
         INSERT INTO history_lists VALUES (x'{OTHER}', {STARTED}, {}); \
         INSERT INTO history_lists VALUES (x'0907', {STARTED}, {}); \
         UPDATE history_lists SET started = started + 1 WHERE chat = {} AND list = x'00'; \
         UPDATE history SET record = zeroblob(9) WHERE chat = {};",
        of(1),
        of(2),
        of(3),
        of(4),
        of(5)
    );
    past(rig.folder.path(), &text);
    block_on(is_made_good(&rig.open().unwrap().store()));
}

#[test]
fn cql_a_comparison_finds_what_is_on_other_lists_than_its_rows_say_and_a_rebuild_makes_it_good() {
    with_rig(async |rig| {
        let store = rig.store.store();
        waiting(&store, 8).await;
        let of = |n: u128| format!("0x{n:032x}");
        let raw = async |text: String| {
            rig.raw.query_unpaged(text, ()).await.unwrap();
        };
        let (day, hour) = (40, 960);
        let sealed = async |n: u128| {
            let text = format!(
                "SELECT record FROM history WHERE list = 0x00 AND part = {hour} AND started = {STARTED} \
                 AND chat = {}",
                of(n)
            );
            let answer = rig.raw.query_unpaged(text, ()).await.unwrap().into_rows_result().unwrap();
            answer.first_row::<(Vec<u8>,)>().unwrap().0
        };
        let put = async |n: u128, list: &str, part: i32, started: u64| {
            let text = format!(
                "INSERT INTO history_lists_of (chat, list, started) VALUES ({}, 0x{list}, {started})",
                of(n)
            );
            raw(text).await;
            let text = format!(
                "INSERT INTO history (list, part, started, chat, record) \
                 VALUES (0x{list}, {part}, {started}, {}, ?)",
                of(n)
            );
            rig.raw.query_unpaged(text, (sealed(n).await,)).await.unwrap();
        };
        let remove = async |n: u128, list: &str, part: i32| {
            let text = format!(
                "DELETE FROM history WHERE list = 0x{list} AND part = {part} AND started = {STARTED} \
                 AND chat = {}",
                of(n)
            );
            raw(text).await;
        };
        // As in a row that was lost; of the time, as in one that was moved.
        remove(1, QUEUE, day).await;
        put(2, OTHER, day, STARTED).await;
        put(3, "0907", day, STARTED).await;
        put(4, "00", hour, STARTED + 1).await;
        remove(4, "00", hour).await;
        let text = format!(
            "UPDATE history SET record = 0x000102 WHERE list = 0x00 AND part = {hour} \
             AND started = {STARTED} AND chat = {}",
            of(5)
        );
        raw(text).await;
        is_made_good(&store).await;
    });
}

#[test]
fn a_store_that_is_opened_to_read_is_not_changed_and_takes_nothing() {
    let rig = Rig::new(Kind::Sqlite);
    assert!(SqliteStore::open_to_read(&rig.options).is_err(), "there is none");
    let store = rig.open().unwrap().store();
    // Some events are in the index, and some are not yet.
    block_on(waiting(&store, 5));
    drop(store);
    let files = || {
        let entries = std::fs::read_dir(rig.folder.path()).unwrap().map(Result::unwrap);
        let mut files: Vec<_> = entries
            .filter(|entry| !entry.file_name().to_string_lossy().ends_with("-shm"))
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    let opened = SqliteStore::open_to_read(&rig.options).unwrap().map(std::sync::Arc::new).unwrap();
    assert!(rig.open().is_err(), "the folder is in use");
    let store = opened.store();
    block_on(async {
        assert_eq!(store.log.read(chat(4), 1, 9).await.unwrap().len(), 2);
        assert_eq!(found(&compared(&store).await), []);
        store.history.remove(chat(1)).await.unwrap_err();
        store.processes.begin().await.unwrap_err();
    });
    drop((store, opened));
    assert!(files() == before);
    // As the release before has left it.
    past(
        rig.folder.path(),
        "DROP TABLE history; DROP TABLE history_lists; PRAGMA user_version = 1005",
    );
    assert!(SqliteStore::open_to_read(&rig.options).unwrap().is_none());
    let tables = "SELECT 1 FROM history";
    let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
    assert!(database.execute_batch(tables).is_err(), "no migration is made");
}

#[test]
fn a_chat_whose_log_cannot_be_read_is_named_and_compared_with_nothing() {
    let rig = Rig::new(Kind::Sqlite);
    let store = rig.open().unwrap().store();
    block_on(waiting(&store, 5));
    drop(store);
    past(
        rig.folder.path(),
        &format!("UPDATE log SET record = zeroblob(9) WHERE chat = x'{:032x}' AND seq = 1", 3),
    );
    let opened = SqliteStore::open_to_read(&rig.options).unwrap().map(std::sync::Arc::new).unwrap();
    let seen = block_on(compared(&opened.store()));
    assert_eq!(found(&seen), [(HistoryFault::NoLog, vec![chat(3)])]);
}

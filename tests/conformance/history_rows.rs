//! Rows of the history that are damaged, and what removed ones leave in the distributed store.

use switchboard::domain::{ChatId, Timestamp};
use switchboard::storage::sqlite::{DATABASE_FILE, SqliteStore, open_past_the_store};
use switchboard::storage::{History, HistoryOf, HistoryOrder, HistoryQuery};

use crate::cql::with_rig;
use crate::samples::{chat, messages};
use crate::subject::{Kind, Rig, block_on};
use crate::suite_history::row;
use crate::suite_history_writer::{from_nothing, opened};

/// The length of an hour, ms, and of a day.
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

async fn listed(history: &dyn History) -> Vec<ChatId> {
    let (of, order, after) = (HistoryOf::All, HistoryOrder::OldestFirst, None);
    let (from, to) = (Timestamp(0), Timestamp(u64::MAX));
    let page = history.list(HistoryQuery { of, from, to, order, after, limit: 100 }).await.unwrap();
    assert_eq!(page.next, None);
    page.rows.iter().map(|row| row.chat).collect()
}

#[test]
fn a_damaged_row_of_the_history_is_passed_over_named_and_left_out_of_a_repair() {
    let rig = Rig::new(Kind::Sqlite);
    let store = rig.open().unwrap().store();
    block_on(async {
        for n in 1..=3 {
            store.history.put(row(n, 40 * DAY_MS)).await.unwrap();
        }
        store.documents.put("feed_positions", "history", 0, b"{}".to_vec()).await.unwrap();
    });
    drop(store);
    let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
    let text = format!("UPDATE history SET record = zeroblob(9) WHERE chat = x'{:032x}'", 2);
    database.execute_batch(&text).unwrap();
    drop(database);
    let store = rig.open().unwrap().store();
    assert_eq!(block_on(listed(&*store.history)), [1, 3].map(chat));
    drop(store);
    let problems = SqliteStore::check(&rig.options).unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("history row"), "{problems:?}");
    let mended = SqliteStore::repair(&rig.options, None).unwrap();
    assert!(mended.lost.is_empty() && mended.dispensed.is_empty(), "the logs have it: {mended:?}");
    assert_eq!(SqliteStore::check(&rig.options).unwrap().problems, [""; 0]);
    let store = rig.open().unwrap().store();
    let position = block_on(store.documents.get("feed_positions", "history")).unwrap();
    assert_eq!(position, None, "whoever follows the feed begins from nothing");
}

#[test]
fn a_key_that_is_no_chat_s_hinders_no_other_row() {
    let rig = Rig::new(Kind::Sqlite);
    let store = rig.open().unwrap().store();
    block_on(async {
        for n in 1..=3 {
            store.history.put(row(n, 40 * DAY_MS)).await.unwrap();
        }
    });
    drop(store);
    let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
    for table in ["history", "history_lists"] {
        let text = format!("UPDATE {table} SET chat = x'0102' WHERE chat = x'{:032x}'", 2);
        database.execute_batch(&text).unwrap();
    }
    drop(database);
    let store = rig.open().unwrap().store();
    block_on(async {
        assert_eq!(listed(&*store.history).await, [1, 3].map(chat));
        let page = store.history.chats(None, 9).await.unwrap();
        assert_eq!(page.items, [1, 3].map(chat));
    });
}

#[test]
fn no_row_is_left_of_a_log_that_a_repair_has_lost() {
    // One event; a chat, with all that names it; and the end.
    for (lost, left) in [
        (format!("DELETE FROM log WHERE chat = x'{:032x}' AND seq = 2", 2), vec![1, 2, 3]),
        (
            format!(
                "DELETE FROM log WHERE chat = x'{0:032x}'; \
                 DELETE FROM log_index WHERE chat = x'{0:032x}'",
                2
            ),
            vec![1, 3],
        ),
    ] {
        let rig = Rig::new(Kind::Sqlite);
        let store = rig.open().unwrap().store();
        block_on(async {
            for n in 1..=3 {
                opened(&store, chat(n)).await;
                let claim = store.log.claim(chat(n)).await.unwrap().claim;
                store.log.append(claim, messages(2..=9)).await.unwrap();
            }
            from_nothing(&store, 1).await;
            assert_eq!(listed(&*store.history).await, [1, 2, 3].map(chat));
        });
        drop(store);
        let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
        database.execute_batch(&lost).unwrap();
        drop(database);
        let mended = SqliteStore::repair(&rig.options, None).unwrap();
        assert!(!mended.lost.is_empty() || !mended.damaged.is_empty(), "{mended:?}");
        let store = rig.open().unwrap().store();
        block_on(async {
            let position = store.documents.get("feed_positions", "history").await.unwrap();
            assert_eq!(position, None, "{lost}");
            from_nothing(&store, 2).await;
            let left: Vec<ChatId> = left.into_iter().map(chat).collect();
            assert_eq!(listed(&*store.history).await, left, "{lost}");
        });
    }
}

#[test]
fn cql_a_damaged_row_of_the_history_is_passed_over() {
    with_rig(async |rig| {
        let history = &*rig.store;
        for n in 1..=3 {
            History::put(history, row(n, 40 * DAY_MS)).await.unwrap();
        }
        let text = "UPDATE history SET record = 0x000102 \
                    WHERE list = 0x00 AND part = 960 AND started = ? AND chat = ?";
        let started = (40 * DAY_MS).cast_signed();
        rig.raw.query_unpaged(text, (started, chat(2).0.as_bytes().as_slice())).await.unwrap();
        assert_eq!(listed(history).await, [1, 3].map(chat));
        let text = "INSERT INTO history (list, part, started, chat, record) \
                    VALUES (0x00, 960, ?, 0x0102, 0x00)";
        rig.raw.query_unpaged(text, (started,)).await.unwrap();
        let text = "INSERT INTO history_lists_of (chat, list, started) VALUES (0x0102, 0x00, ?)";
        rig.raw.query_unpaged(text, (started,)).await.unwrap();
        assert_eq!(listed(history).await, [1, 3].map(chat), "a key that is no chat's");
        let mut held = History::chats(history, None, 9).await.unwrap().items;
        held.sort_unstable();
        assert_eq!(held, [1, 2, 3].map(chat));
        let text = "DELETE FROM history WHERE list = 0x00 AND part = 960 AND started = ? AND chat = 0x0102";
        rig.raw.query_unpaged(text, (started,)).await.unwrap();
        // What is put again is whole, and what is damaged is removed all the same.
        History::remove(history, chat(2)).await.unwrap();
        History::remove(history, chat(1)).await.unwrap();
        assert_eq!(listed(history).await, [chat(3)]);
        assert_eq!(rig.count("SELECT count(*) FROM history").await, 4, "in four lists");
    });
}

#[test]
fn cql_what_is_removed_from_the_history_leaves_no_places_and_no_parts() {
    with_rig(async |mut rig| {
        for n in 1..=5 {
            History::put(&*rig.store, row(n, (40 + n as u64) * DAY_MS)).await.unwrap();
        }
        assert_eq!(rig.count("SELECT count(*) FROM history_lists_of").await, 5 * 4);
        assert_eq!(rig.count("SELECT count(*) FROM history_parts").await, 5 * 3);
        for n in [1, 2, 4] {
            History::remove(&*rig.store, chat(n)).await.unwrap();
        }
        assert_eq!(rig.count("SELECT count(*) FROM history_lists_of").await, 2 * 4);
        assert_eq!(listed(&*rig.store).await, [3, 5].map(chat));
        assert_eq!(
            rig.count("SELECT count(*) FROM history_parts WHERE list = 0x00").await,
            2,
            "parts that were found empty are off the list"
        );
        // Such a part gets another chat, in this life and in the next one.
        History::put(&*rig.store, row(6, 41 * DAY_MS)).await.unwrap();
        assert_eq!(listed(&*rig.store).await, [6, 3, 5].map(chat));
        rig.restart().await;
        History::put(&*rig.store, row(7, 42 * DAY_MS)).await.unwrap();
        assert_eq!(listed(&*rig.store).await, [6, 7, 3, 5].map(chat));
    });
}

//! Damaged, newer and foreign files, folders in use. What is derived is made anew, what is one
//! chat's stays that chat's; all else is a clear error that says what to do, and the files stay as
//! they are.

use std::sync::Arc;

use switchboard::audit::Trail;
use switchboard::domain::Timestamp;
use switchboard::domain::audit::{AuditId, AuditOutcome};
use switchboard::storage::record::{self, Slot};
use switchboard::storage::sqlite::{
    DATABASE_FILE, LOCK_FILE, OpenError, SqliteOptions, SqliteStore, Unlisted, open_past_the_store,
};

use switchboard::domain::operator::OperatorRecord;
use switchboard::storage::{OperatorRecordError, Store, StoreError};

use crate::samples::{channel, chat, customer, messages, open_chat, user};
use crate::subject::{Kind, Rig, block_on};
use crate::suite_audit::{about, entry};

/// Writes a chat of `n` events, one append each, and closes.
fn write_chat(rig: &Rig, id: u128, n: u64) {
    let store = rig.open().unwrap().store();
    block_on(async {
        let claimed = store.log.claim(chat(id)).await.unwrap();
        for seq in claimed.tail + 1..=claimed.tail + n {
            store.log.append(claimed.claim, messages([seq])).await.unwrap();
        }
    });
}

/// The database of a rig on this machine's disk, past the store.
fn edit(rig: &Rig, text: &str) {
    let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
    database.execute_batch(text).unwrap();
}

fn refusal(rig: &Rig) -> OpenError {
    rig.open().map(drop).unwrap_err()
}

#[test]
fn a_damaged_record_at_the_end_is_its_chats_trouble_alone() {
    let rig = Rig::new(Kind::SqliteOnOurDisk);
    write_chat(&rig, 1, 20);
    write_chat(&rig, 2, 5);
    assert!(rig.disk.damage(DATABASE_FILE, b"text of 17\""));
    let sqlite = rig.open().unwrap();
    assert_eq!(sqlite.damaged_chats(), [chat(1)]);
    let store = sqlite.store();
    block_on(async {
        let error = store.log.read(chat(1), 1, 20).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("event 17 of chat 00000000-") && text.contains("checksum"), "{text}");
        assert!(!text.contains("text of"), "what people wrote stays out of errors: {text}");
        assert_eq!(store.log.read(chat(1), 1, 16).await.unwrap(), messages(1..=16));
        assert_eq!(store.log.claim(chat(1)).await.unwrap().tail, 20);
        let claimed = store.log.claim(chat(2)).await.unwrap();
        store.log.append(claimed.claim, messages([6])).await.unwrap();
        assert_eq!(store.log.read(chat(2), 1, 20).await.unwrap(), messages(1..=6));
    });
}

#[test]
fn a_damaged_record_further_back_is_refused_when_it_is_read() {
    let rig = Rig::new(Kind::SqliteOnOurDisk);
    write_chat(&rig, 1, 20);
    write_chat(&rig, 2, 2);
    write_chat(&rig, 3, 1_100);
    // Not among the last thousand, which the start verifies.
    assert!(rig.disk.damage(DATABASE_FILE, b"text of 2\""));
    let store = rig.open().unwrap().store();
    block_on(async {
        for id in [1, 2] {
            assert_eq!(store.log.read(chat(id), 1, 1).await.unwrap(), messages([1]));
            let error = store.log.read(chat(id), 1, 2).await.unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains("event 2 of chat"), "{error}");
        }
        let rest = store.log.read(chat(3), 3, 2_000).await.unwrap();
        assert_eq!(rest, messages(3..=1_100));
    });
}

#[test]
fn a_newer_record_is_refused_as_newer() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 3);
    let newer = record::seal_as(Slot::Event(chat(1), 2), record::FORMAT_VERSION + 1, b"{}");
    let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
    database.execute("UPDATE log SET record = ? WHERE seq = 2", [newer]).unwrap();
    drop(database);
    let error = refusal(&rig);
    assert!(matches!(error, OpenError::NewerRecord { .. }), "{error}");
    assert!(error.to_string().contains("run the release that wrote it"), "{error}");
}

#[test]
fn damaged_small_rows_are_refused_one_by_one() {
    let rig = Rig::new(Kind::Sqlite);
    let store = rig.open().unwrap().store();
    block_on(async {
        store.operators.save(user(1), Default::default()).await.unwrap();
        store.operators.save(user(2), Default::default()).await.unwrap();
        store.documents.put("kind", "id", 0, vec![1]).await.unwrap();
    });
    drop(store);
    edit(
        &rig,
        "UPDATE operators SET record = zeroblob(9) \
         WHERE operator = x'00000000000000000000000000000001'",
    );
    edit(&rig, "UPDATE documents SET version = 2");
    let store = rig.open().unwrap().store();
    block_on(async {
        let damaged = |error| matches!(error, StoreError::Damaged { .. });
        let unread = store.operators.load(user(1)).await.unwrap_err();
        assert!(matches!(unread, OperatorRecordError::Damaged { .. }), "{unread:?}");
        assert_eq!(store.operators.load(user(2)).await, Ok(Default::default()));
        assert!(damaged(store.documents.get("kind", "id").await.unwrap_err()));
        // One among others is listed as what it is, and keeps its version.
        store.documents.put("kind", "other", 0, vec![2]).await.unwrap();
        let mut found = store.documents.list("kind", None, 9).await.unwrap();
        assert_eq!(found.pop().unwrap().document().unwrap().body, [2]);
        let lost = found.pop().unwrap();
        assert_eq!((lost.id.as_str(), lost.version), ("id", 2));
        assert!(damaged(lost.document().unwrap_err()));
        let put = store.documents.put("kind", "id", 0, vec![3]).await;
        assert_eq!(put, Err(StoreError::VersionConflict { expected: 0, found: 2 }));
    });
}

/// A record of a newer release is none that is damaged: nobody goes on without it, and no repair drops it.
#[test]
fn a_repair_leaves_out_records_of_operators_that_nobody_can_read_and_no_others() {
    let rig = Rig::new(Kind::Sqlite);
    let record = |n| OperatorRecord { lapses_in_row: n, ..OperatorRecord::default() };
    let newer = record::seal_as(Slot::Operator(user(3)), record::FORMAT_VERSION + 1, b"{}");
    let newer: String = newer.iter().map(|byte| format!("{byte:02x}")).collect();
    let store = rig.open().unwrap().store();
    block_on(async {
        for n in 1..=3 {
            store.operators.save(user(n), record(n as u32)).await.unwrap();
        }
    });
    drop(store);
    let is = |n: u128| format!("operator = x'{:032x}'", n);
    edit(&rig, &format!("UPDATE operators SET record = zeroblob(9) WHERE {}", is(1)));
    edit(&rig, &format!("UPDATE operators SET record = x'{newer}' WHERE {}", is(3)));
    let mended = SqliteStore::repair(&rig.options, None).unwrap();
    assert_eq!((mended.dispensed.len(), mended.lost.len()), (1, 0), "{mended:?}");
    assert!(mended.dispensed[0].contains("operators"), "{mended:?}");
    let problems = SqliteStore::check(&rig.options).unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("newer"), "{problems:?}");
    let store = rig.open().unwrap().store();
    block_on(async {
        assert_eq!(store.operators.load(user(1)).await, Ok(OperatorRecord::default()));
        assert_eq!(store.operators.load(user(2)).await, Ok(record(2)));
        let newer = store.operators.load(user(3)).await.unwrap_err();
        assert!(matches!(newer, OperatorRecordError::Store(_)), "{newer:?}");
    });
}

/// The ids and outcomes of the trail, newest first, by pages of `limit`.
async fn trail(store: &Store, limit: usize) -> Vec<(AuditId, Option<AuditOutcome>)> {
    let (mut all, mut before) = (Vec::new(), AuditId::END);
    loop {
        let page = store.audit.newest(before, AuditId::FIRST, limit).await.unwrap();
        let short = page.len() < limit;
        all.extend(page.iter().map(|entry| (entry.id, entry.outcome)));
        match page.last() {
            Some(last) if !short => before = last.id,
            Some(_) | None => return all,
        }
    }
}

#[test]
fn damaged_entries_of_the_trail_stop_neither_a_start_nor_a_reader_and_no_repair_keeps_them() {
    let rig = Rig::new(Kind::Sqlite);
    let store = rig.open().unwrap().store();
    block_on(async {
        for n in 1..=6 {
            store.audit.record(entry(n, n)).await.unwrap();
        }
        store.audit.record(about(7, 7, 1, 1)).await.unwrap();
        store.audit.conclude(entry(5, 5).id, AuditOutcome::Done).await.unwrap();
        store.documents.put("audit", "concluded", 0, b"1".to_vec()).await.unwrap();
    });
    drop(store);
    let hex = |n: u64| entry(n, n).id.key().iter().map(|b| format!("{b:02x}")).collect::<String>();
    for n in [2, 6] {
        edit(&rig, &format!("UPDATE audit SET entry = x'0001' WHERE id = x'{}'", hex(n)));
    }
    edit(&rig, &format!("UPDATE audit SET outcome = x'0001' WHERE id = x'{}'", hex(5)));
    edit(&rig, &format!("UPDATE audit SET entry = x'0001' WHERE id = x'{}'", hex(7)));
    edit(&rig, "UPDATE documents SET body = x'0001' WHERE kind = 'audit'");
    let ids = [5, 4, 3, 1].map(|n| entry(n, n).id);
    let unknown = ids.map(|id| (id, Some(AuditOutcome::Unknown)));
    let store = rig.open().unwrap().store();
    block_on(async {
        let recovered = Trail::new(Arc::clone(&store.audit), Arc::clone(&store.documents), 1);
        assert_eq!(recovered.recover(Timestamp(9)).await, Ok(3), "two of five are damaged");
        for limit in 1..=5 {
            assert_eq!(trail(&store, limit).await, unknown, "in pages of {limit}");
        }
        let concluded = store.documents.get("audit", "concluded").await.unwrap().unwrap();
        assert_eq!((concluded.version, concluded.body.as_slice()), (2, b"9".as_slice()));
        // One that cannot be read may name whoever is erased.
        store.audit.forget_customer(channel(1), customer(1).id).await.unwrap();
    });
    drop(store);
    let scrubbed = SqliteStore::check(&rig.options).unwrap();
    assert_eq!(scrubbed.problems.len(), 3, "{:?}", scrubbed.problems);
    let mended = SqliteStore::repair(&rig.options, None).unwrap();
    assert_eq!((mended.dispensed.len(), mended.lost.len()), (1, 0), "{mended:?}");
    assert!(mended.dispensed[0].contains("audit"), "{mended:?}");
    assert_eq!(SqliteStore::check(&rig.options).unwrap().problems, [""; 0]);
    let store = rig.open().unwrap().store();
    assert_eq!(block_on(trail(&store, 9)), unknown);
}

#[test]
fn a_damaged_row_of_an_open_chat_is_named() {
    let rig = Rig::new(Kind::Sqlite);
    let store = rig.open().unwrap().store();
    block_on(async {
        for n in 1..=3 {
            store.open_chats.put(open_chat(n, 5)).await.unwrap();
        }
    });
    drop(store);
    edit(
        &rig,
        "UPDATE open_chats SET record = zeroblob(9) \
         WHERE chat = x'00000000000000000000000000000002'",
    );
    let sqlite = rig.open().unwrap();
    assert_eq!(*sqlite.unlisted(), Unlisted::These(vec![chat(2)]));
    block_on(sqlite.store().open_chats.put(open_chat(2, 5))).unwrap();
    drop(sqlite);
    assert_eq!(*rig.open().unwrap().unlisted(), Unlisted::These(Vec::new()));
}

/// How many damaged databases were kept.
fn kept(rig: &Rig) -> usize {
    let files = std::fs::read_dir(rig.folder.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".damaged-") && !name.contains("journal")).count()
}

#[test]
fn a_repair_that_is_cut_again_and_again_keeps_one_damaged_database() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    edit(&rig, "DELETE FROM log WHERE position = 12; PRAGMA wal_checkpoint(TRUNCATE)");
    let file = rig.folder.path().join(DATABASE_FILE);
    let damaged = std::fs::read(&file).unwrap();
    for n in 0..6 {
        // A cut before the new content is committed leaves the old one; on the way, half a copy too.
        std::fs::write(&file, &damaged).unwrap();
        if n % 2 == 1 {
            let half = rig.folder.path().join("switchboard.db.keeping");
            std::fs::write(half, &damaged[..damaged.len() / 2]).unwrap();
        }
        let mended = SqliteStore::repair(&rig.options, None).unwrap();
        assert!(mended.kept.ends_with("switchboard.db.damaged-1"), "{mended:?}");
    }
    assert_eq!(kept(&rig), 1);
    // Other damage is kept besides.
    edit(&rig, "DELETE FROM log WHERE position = 13; PRAGMA wal_checkpoint(TRUNCATE)");
    let mended = SqliteStore::repair(&rig.options, None).unwrap();
    assert!(mended.kept.ends_with("switchboard.db.damaged-2"), "{mended:?}");
}

#[test]
fn a_lost_row_of_the_log_is_the_trouble_of_the_chat_that_misses_it() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    write_chat(&rig, 2, 3);
    edit(&rig, "DELETE FROM log WHERE position = 12");
    for _ in 0..2 {
        let store = rig.open().unwrap().store();
        block_on(async {
            let error = store.log.read(chat(1), 1, 20).await.unwrap_err();
            assert!(error.to_string().contains("event 12 of chat"), "{error}");
            assert_eq!(store.log.read(chat(1), 1, 11).await.unwrap(), messages(1..=11));
            assert_eq!(store.log.read(chat(1), 13, 99).await.unwrap(), messages(13..=20));
            assert_eq!(store.log.claim(chat(1)).await.unwrap().tail, 20);
            assert_eq!(store.log.read(chat(2), 1, 99).await.unwrap(), messages(1..=3));
        });
    }
    assert_eq!(kept(&rig), 1, "rebuilt once");
    let problems = SqliteStore::check(&rig.options).unwrap().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("event 12 of chat") && problems[0].contains("lost"));
}

#[test]
fn an_index_that_does_not_fit_the_log_is_made_anew() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    edit(&rig, "DELETE FROM log_index WHERE first = 8");
    assert!(!SqliteStore::check(&rig.options).unwrap().problems.is_empty());
    let store = rig.open().unwrap().store();
    assert_eq!(block_on(store.log.read(chat(1), 1, 99)).unwrap(), messages(1..=20));
    drop(store);
    assert_eq!(SqliteStore::check(&rig.options).unwrap().problems, [""; 0]);
    // Rows that the index was made from, and that nobody knows any more.
    edit(&rig, "UPDATE counters SET value = 99 WHERE name = 'folded'");
    let error = refusal(&rig);
    assert!(error.to_string().contains("79 events of chats that nothing names"), "{error}");
    assert!(error.to_string().contains("switchboard store repair"), "{error}");
    let mended = SqliteStore::repair(&rig.options, None).unwrap();
    assert_eq!((mended.lost.len(), mended.damaged.len()), (1, 0), "{mended:?}");
    let store = rig.open().unwrap().store();
    assert_eq!(block_on(store.log.read(chat(1), 1, 99)).unwrap(), messages(1..=20));
}

#[test]
fn a_gap_in_the_index_is_met_when_it_is_read_and_made_good_at_the_next_start() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    edit(&rig, "DELETE FROM log_index WHERE first = 1");
    let store = rig.open().unwrap().store();
    let error = block_on(store.log.read(chat(1), 1, 20)).unwrap_err();
    assert!(error.to_string().contains("event 1 of chat"), "{error}");
    drop(store);
    let store = rig.open().unwrap().store();
    assert_eq!(block_on(store.log.read(chat(1), 1, 20)).unwrap(), messages(1..=20));
    drop(store);
    drop(rig.open().unwrap());
    assert_eq!(kept(&rig), 1, "rebuilt once");
}

#[test]
fn what_was_forgotten_is_no_loss_when_the_rest_is_rebuilt() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    write_chat(&rig, 2, 20);
    write_chat(&rig, 3, 20);
    let store = rig.open().unwrap().store();
    block_on(store.log.forget(chat(2))).unwrap();
    drop(store);
    assert_eq!(SqliteStore::check(&rig.options).unwrap().problems, [""; 0]);
    edit(
        &rig,
        "DELETE FROM log_index WHERE first = 1 AND chat = x'00000000000000000000000000000003'",
    );
    edit(
        &rig,
        "DELETE FROM log_index WHERE first > 1 AND chat = x'00000000000000000000000000000001'",
    );
    let mended = SqliteStore::repair(&rig.options, None).unwrap();
    assert_eq!((mended.lost.len(), mended.damaged.len()), (0, 0), "{mended:?}");
    let store = rig.open().unwrap().store();
    block_on(async {
        for n in [1, 3] {
            assert_eq!(store.log.read(chat(n), 1, 99).await.unwrap(), messages(1..=20));
        }
        let forgotten = store.log.claim(chat(2)).await.unwrap_err();
        assert_eq!(forgotten, StoreError::Forgotten { chat: chat(2) });
    });
    drop(store);
    assert_eq!(SqliteStore::check(&rig.options).unwrap().problems, [""; 0]);
}

fn rows_of_the_log(rig: &Rig, id: u128) -> u64 {
    let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
    let count = "SELECT count(*) FROM log WHERE chat = ?";
    database.query_row(count, [chat(id).0.as_bytes()], |row| row.get(0)).unwrap()
}

#[test]
fn what_was_about_to_be_removed_of_a_forgotten_chat_is_gone_after_a_repair() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    write_chat(&rig, 2, 20);
    // The process ended when the chat was noted as forgotten and its rows were there yet.
    edit(&rig, "INSERT INTO forgotten (chat) VALUES (x'00000000000000000000000000000002')");
    edit(&rig, "DELETE FROM log_index WHERE first > 1");
    assert_eq!(rows_of_the_log(&rig, 2), 20);
    let mended = SqliteStore::repair(&rig.options, None).unwrap();
    assert_eq!((mended.lost.len(), mended.damaged.len()), (0, 0), "{mended:?}");
    assert_eq!((rows_of_the_log(&rig, 1), rows_of_the_log(&rig, 2)), (20, 0));
    assert_eq!(SqliteStore::check(&rig.options).unwrap().problems, [""; 0]);
}

#[test]
fn an_event_that_is_in_the_log_twice_is_there_once_after_a_repair() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    write_chat(&rig, 2, 3);
    let again = "INSERT INTO log SELECT 24, chat, seq, record FROM log WHERE position = 20";
    edit(&rig, again);
    let mended = SqliteStore::repair(&rig.options, None).unwrap();
    assert_eq!((mended.lost.len(), mended.damaged.len()), (1, 0), "{mended:?}");
    assert_eq!(rows_of_the_log(&rig, 1), 20);
    let store = rig.open().unwrap().store();
    block_on(async {
        assert_eq!(store.log.read(chat(1), 1, 99).await.unwrap(), messages(1..=20));
        assert_eq!(store.log.claim(chat(1)).await.unwrap().tail, 20);
        assert_eq!(store.log.read(chat(2), 1, 99).await.unwrap(), messages(1..=3));
    });
}

#[test]
fn a_machine_that_damages_everything_does_not_fill_its_disk() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    for _ in 0..3 {
        edit(&rig, "DELETE FROM log WHERE position = 5");
        drop(rig.open().unwrap());
    }
    edit(&rig, "DELETE FROM log WHERE position = 5");
    let error = refusal(&rig);
    assert!(error.to_string().contains("look at the disk"), "{error}");
    assert_eq!(kept(&rig), 3);
}

#[test]
fn what_an_interrupted_repair_left_stops_no_other_and_is_gone_after_a_start() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    let remains =
        [".new", ".keeping"].map(|end| rig.folder.path().join(format!("{DATABASE_FILE}{end}")));
    let interrupt = || {
        let whole = std::fs::read(rig.folder.path().join(DATABASE_FILE)).unwrap();
        let torn = [&whole[..200], &[7; 5_000]].concat();
        remains.iter().for_each(|file| std::fs::write(file, &torn).unwrap());
    };
    interrupt();
    let mended = SqliteStore::repair(&rig.options, None).unwrap();
    assert_eq!((mended.lost.len(), mended.damaged.len()), (0, 0), "{mended:?}");
    assert_eq!(kept(&rig), 1, "whole ones alone have such names");
    interrupt();
    let store = rig.open().unwrap().store();
    assert_eq!(block_on(store.log.read(chat(1), 1, 99)).unwrap(), messages(1..=20));
    assert!(remains.iter().all(|file| !file.exists()), "they have what may be forgotten later");
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 1);
    let database = open_past_the_store(&rig.folder.path().join(DATABASE_FILE), None).unwrap();
    let known =
        database.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
    drop(database);
    edit(&rig, "PRAGMA user_version = 99");
    for _ in 0..2 {
        let error = refusal(&rig);
        assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("run the release that wrote it"), "{error}");
    }
    edit(&rig, &format!("PRAGMA user_version = {known}"));
    write_chat(&rig, 1, 1);
}

#[test]
fn files_of_others_are_refused_and_left_as_they_are() {
    let rig = Rig::new(Kind::Sqlite);
    edit(&rig, "CREATE TABLE somebody_elses (a)");
    assert!(matches!(refusal(&rig), OpenError::Foreign { .. }));
    edit(&rig, "INSERT INTO somebody_elses VALUES (1)");

    let rig = Rig::new(Kind::Sqlite);
    let file = rig.folder.path().join(DATABASE_FILE);
    let letter = "Dear reader, this is no database. ".repeat(100);
    std::fs::write(&file, &letter).unwrap();
    assert!(matches!(refusal(&rig), OpenError::Damaged { .. }));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), letter);
}

#[test]
fn a_cut_file_is_refused() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 500);
    let file = rig.folder.path().join(DATABASE_FILE);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = refusal(&rig);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[test]
fn a_folder_in_use_is_refused_with_its_holder() {
    let rig = Rig::new(Kind::Sqlite);
    let first = rig.open().unwrap();
    let error = refusal(&rig);
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    let holder = format!("in use by process {}", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");
    drop(first);
    assert!(rig.folder.path().join(LOCK_FILE).exists());
    drop(rig.open().unwrap());
}

#[test]
fn a_folder_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let error = SqliteStore::open(&SqliteOptions::new(file)).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}

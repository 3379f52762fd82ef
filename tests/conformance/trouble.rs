//! Damage, newer files, folders in use, full disks, failed syncs, full queues: each a clear error
//! that says what to do, and nothing acknowledged is lost.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rusqlite::Connection;
use switchboard::storage::memory::{Fault, FaultAt, MemoryStore};
use switchboard::storage::record::{self, Slot};
use switchboard::storage::sqlite::{
    DATABASE_FILE, LOCK_FILE, OpenError, SqliteOptions, SqliteStore,
};
use switchboard::storage::{AppendError, Claim, Store, StoreError};

use crate::rng::Rng;
use crate::samples::{chat, message, messages, user};
use crate::subject::{Kind, Rig, block_on};

/// Writes a chat of `n` events, one append each, and closes.
fn write_chat(rig: &Rig, id: u128, n: u64) {
    let store = rig.open().unwrap().store();
    block_on(async {
        let claimed = store.log.claim(chat(id)).await.unwrap();
        for seq in claimed.tail + 1..=claimed.tail + n {
            store
                .log
                .append(claimed.claim, messages([seq]))
                .await
                .unwrap();
        }
    });
}

/// The database of a rig on this machine's disk, past the store.
fn edit(rig: &Rig, text: &str) {
    let database = Connection::open(rig.folder.path().join(DATABASE_FILE)).unwrap();
    database.execute_batch(text).unwrap();
}

fn refusal(rig: &Rig) -> OpenError {
    rig.open().map(drop).unwrap_err()
}

#[test]
fn a_damaged_record_at_the_end_is_refused_at_the_start() {
    let rig = Rig::new(Kind::SqliteOnOurDisk);
    write_chat(&rig, 1, 20);
    assert!(rig.disk.damage(DATABASE_FILE, b"text of 17\""));
    let error = refusal(&rig);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("event 17 of chat 00000000-"), "{text}");
    assert!(
        text.contains("checksum") && text.contains("backup"),
        "{text}"
    );
    assert!(
        !text.contains("text of"),
        "what people wrote stays out of errors: {text}"
    );
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
    let database = Connection::open(rig.folder.path().join(DATABASE_FILE)).unwrap();
    database
        .execute("UPDATE log SET record = ? WHERE seq = 2", [newer])
        .unwrap();
    drop(database);
    let error = refusal(&rig);
    assert!(matches!(error, OpenError::NewerRecord { .. }), "{error}");
    assert!(
        error.to_string().contains("run the release that wrote it"),
        "{error}"
    );
}

#[test]
fn damaged_small_rows_are_refused_one_by_one() {
    let rig = Rig::new(Kind::Sqlite);
    let store = rig.open().unwrap().store();
    block_on(async {
        store
            .operators
            .save(user(1), Default::default())
            .await
            .unwrap();
        store
            .operators
            .save(user(2), Default::default())
            .await
            .unwrap();
        store.documents.put("kind", "id", 0, vec![1]).await.unwrap();
    });
    drop(store);
    edit(
        &rig,
        "UPDATE operators SET record = zeroblob(9) WHERE rowid_of = 1"
            .replace(
                "rowid_of = 1",
                "operator = x'00000000000000000000000000000001'",
            )
            .as_str(),
    );
    edit(&rig, "UPDATE documents SET version = 2");
    let store = rig.open().unwrap().store();
    block_on(async {
        let damaged = |error| matches!(error, StoreError::Damaged { .. });
        assert!(damaged(store.operators.load(user(1)).await.unwrap_err()));
        assert_eq!(store.operators.load(user(2)).await, Ok(Default::default()));
        assert!(damaged(
            store.documents.get("kind", "id").await.unwrap_err()
        ));
    });
}

#[test]
fn a_missing_row_of_the_log_is_damage() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    edit(&rig, "DELETE FROM log WHERE position = 12");
    let error = refusal(&rig);
    assert!(
        error.to_string().contains("row 12 of the log is missing"),
        "{error}"
    );
}

#[test]
fn an_index_that_does_not_fit_the_log_is_damage() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    edit(&rig, "DELETE FROM log_index WHERE seq > 10");
    let error = refusal(&rig);
    assert!(
        error.to_string().contains("does not continue its log"),
        "{error}"
    );
    edit(&rig, "UPDATE counters SET value = 99 WHERE name = 'folded'");
    let error = refusal(&rig);
    assert!(
        error.to_string().contains("the log ends at row 20"),
        "{error}"
    );
}

#[test]
fn a_gap_in_the_index_is_damage_when_it_is_read() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 20);
    edit(&rig, "DELETE FROM log_index WHERE seq = 3");
    let store = rig.open().unwrap().store();
    let error = block_on(store.log.read(chat(1), 1, 20)).unwrap_err();
    assert!(error.to_string().contains("event 3 of chat"), "{error}");
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let rig = Rig::new(Kind::Sqlite);
    write_chat(&rig, 1, 1);
    edit(&rig, "PRAGMA user_version = 99");
    for _ in 0..2 {
        let error = refusal(&rig);
        assert!(
            matches!(error, OpenError::Newer { found: 99, .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains("run the release that wrote it"),
            "{error}"
        );
    }
    edit(&rig, "PRAGMA user_version = 1");
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
    let error = SqliteStore::open(&SqliteOptions::new(file))
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}

/// Appends until one is not acknowledged. Answers how many were, and the error.
async fn append_until_refused(store: &Store, claim: Claim) -> (u64, AppendError) {
    for seq in 1..10_000 {
        let long = message(seq, &format!("{seq}{}", " ".repeat(3_000)));
        if let Err(error) = store.log.append(claim, vec![long]).await {
            return (seq - 1, error);
        }
    }
    panic!("the disk never filled up");
}

/// A store whose disk is about to be full: fails for good, and keeps what it acknowledged.
fn fill(sqlite: Arc<SqliteStore>) -> u64 {
    let (store, failure) = (sqlite.store(), sqlite.failure());
    drop(sqlite);
    block_on(async {
        let claim = store.log.claim(chat(1)).await.unwrap().claim;
        let (acknowledged, error) = append_until_refused(&store, claim).await;
        // Unavailable, when it was a checkpoint or a fold behind the last answer that failed.
        let refused = matches!(
            error,
            AppendError::Unknown { .. } | AppendError::Unavailable { .. }
        );
        assert!(refused, "{error}");
        let reason = failure.borrow().as_ref().unwrap().to_string();
        assert!(
            reason.contains("full") && reason.contains("free some space"),
            "{reason}"
        );
        for _ in 0..3 {
            let again = store.log.append(claim, messages([acknowledged + 1])).await;
            assert!(
                matches!(again, Err(AppendError::Unavailable { .. })),
                "{again:?}"
            );
            let claim = store.log.claim(chat(1)).await;
            assert!(
                matches!(claim, Err(StoreError::Unavailable { .. })),
                "{claim:?}"
            );
            let begun = store.processes.begin().await;
            assert!(
                matches!(begun, Err(StoreError::Unavailable { .. })),
                "{begun:?}"
            );
        }
        let read = store.log.read(chat(1), 1, 10_000).await.unwrap();
        assert_eq!(
            read.len() as u64,
            acknowledged,
            "what is durable can still be read"
        );
        acknowledged
    })
}

/// With room again everything acknowledged is there, and at most what was unknown besides.
fn refill(sqlite: Arc<SqliteStore>, acknowledged: u64) {
    let store = sqlite.store();
    block_on(async {
        let claimed = store.log.claim(chat(1)).await.unwrap();
        assert!((acknowledged..=acknowledged + 1).contains(&claimed.tail));
        let next = messages([claimed.tail + 1]);
        store.log.append(claimed.claim, next).await.unwrap();
        let read = store.log.read(chat(1), 1, 10_000).await.unwrap();
        assert_eq!(read.len() as u64, claimed.tail + 1);
    });
}

#[test]
fn a_full_disk_fails_the_store_and_loses_nothing() {
    for room in [30_000, 100_000, 100_500, 101_000, 300_000] {
        let rig = Rig::new(Kind::SqliteOnOurDisk);
        let sqlite = rig.open().unwrap();
        rig.disk.leave_room(room);
        let acknowledged = fill(sqlite);
        assert!(acknowledged > 0);
        rig.disk.cut_power();
        rig.disk.restart(&mut Rng::new(room as u64));
        refill(rig.open().unwrap(), acknowledged);
    }
}

#[test]
fn a_full_tmpfs_fails_the_store_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(folder.path(), "600k") else {
        println!("SKIPPED: a tmpfs cannot be mounted here; the shim's full disk was tested");
        return;
    };
    let mut options = SqliteOptions::new(folder.path());
    options.checkpoint_at_pages = 24;
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![0; 200 * 1024]).unwrap();
    let acknowledged = fill(Arc::new(SqliteStore::open(&options).unwrap()));
    assert!(acknowledged > 0);
    std::fs::remove_file(ballast).unwrap();
    refill(Arc::new(SqliteStore::open(&options).unwrap()), acknowledged);
}

/// A small file system in memory; unmounted when dropped.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(folder: &'a Path, size: &str) -> Option<Self> {
        let options = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder)
            .output();
        mount.ok()?.status.success().then_some(Self(folder))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    for round in 0..20 {
        let rig = Rig::new(Kind::SqliteOnOurDisk);
        let sqlite = rig.open().unwrap();
        let store = sqlite.store();
        let failure = sqlite.failure();
        drop(sqlite);
        let acknowledged = block_on(async {
            let claim = store.log.claim(chat(1)).await.unwrap().claim;
            for seq in 1..=round {
                store.log.append(claim, messages([seq])).await.unwrap();
            }
            rig.disk.fail_next_sync();
            let (mut seq, mut outcome) = (round, Ok(()));
            // The failing sync may be that of a checkpoint behind the answer.
            while outcome.is_ok() {
                seq += 1;
                outcome = store.log.append(claim, messages([seq])).await;
            }
            let next = store.log.append(claim, messages([seq])).await;
            assert!(
                matches!(next, Err(AppendError::Unavailable { .. })),
                "{next:?}"
            );
            seq - 1
        });
        drop(store);
        assert!(failure.borrow().is_some());
        assert_eq!(
            rig.disk.syncs_after_failure(),
            Some(0),
            "after {round} appends"
        );
        rig.disk.cut_power();
        rig.disk.restart(&mut Rng::new(round));
        let store = rig.open().unwrap().store();
        let tail = block_on(store.log.claim(chat(1))).unwrap().tail;
        assert!(
            (acknowledged..=acknowledged + 1).contains(&tail),
            "{acknowledged} {tail}"
        );
    }
}

#[test]
fn what_waits_is_committed_as_one() {
    let rig = Rig::new(Kind::SqliteOnOurDisk);
    let sqlite = rig.open().unwrap();
    let store = sqlite.store();
    block_on(async {
        let mut claims = Vec::new();
        for n in 0..101 {
            claims.push(store.log.claim(chat(n)).await.unwrap().claim);
        }
        let before = sqlite.counters().batch.count();
        rig.disk.hold_syncs();
        let append = |claim: Claim| {
            let log = Arc::clone(&store.log);
            tokio::spawn(async move { log.append(claim, messages([1])).await })
        };
        let first = append(claims.remove(0));
        tokio::task::yield_now().await;
        rig.disk.wait_for_held_sync();
        let rest: Vec<_> = claims.into_iter().map(append).collect();
        // More turns of the runtime than calls, so that each was made.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert!(
            !first.is_finished(),
            "nothing is acknowledged before its sync"
        );
        rig.disk.release_syncs();
        first.await.unwrap().unwrap();
        for append in rest {
            append.await.unwrap().unwrap();
        }
        assert_eq!(sqlite.counters().batch.count() - before, 2);
        assert_eq!(sqlite.counters().appends(), 101);
    });
}

#[test]
fn a_full_queue_refuses_and_serves_on() {
    /// As many as may wait, and some more.
    const CALLS: u128 = 17_000;
    let rig = Rig::new(Kind::SqliteOnOurDisk);
    let sqlite = rig.open().unwrap();
    let store = sqlite.store();
    block_on(async {
        rig.disk.hold_syncs();
        let processes = Arc::clone(&store.processes);
        let first = tokio::spawn(async move { processes.begin().await });
        tokio::task::yield_now().await;
        rig.disk.wait_for_held_sync();
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..CALLS {
            let log = Arc::clone(&store.log);
            calls.spawn(async move { log.claim(chat(n)).await });
        }
        // One turn of the runtime for each, since they run on this thread.
        for _ in 0..CALLS {
            tokio::task::yield_now().await;
        }
        rig.disk.release_syncs();
        first.await.unwrap().unwrap();
        let answers = calls.join_all().await;
        let refused = answers.iter().filter(|answer| answer.is_err()).count() as u64;
        assert_eq!(refused, CALLS as u64 - 16_384);
        assert_eq!(sqlite.counters().refused_full(), refused);
        store.log.claim(chat(1)).await.unwrap();
    });
}

#[test]
fn the_wal_starts_over_although_somebody_always_reads() {
    let rig = Rig::new(Kind::SqliteOnOurDisk);
    let sqlite = rig.open().unwrap();
    let store = sqlite.store();
    block_on(async {
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (log, stop) = (Arc::clone(&store.log), Arc::clone(&stop));
            readers.spawn(async move {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    log.read(chat(1), 1, 2_000).await.unwrap();
                }
            });
        }
        let claim = store.log.claim(chat(1)).await.unwrap().claim;
        for seq in 1..=1_500 {
            store.log.append(claim, messages([seq])).await.unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        readers.join_all().await;
    });
    // Each append is a page or two; without a new start the WAL would have all of them.
    let pages = rig.disk.len(rig.disk.life(), "switchboard.db-wal").unwrap() / 4_096;
    assert!(pages < 400, "{pages} pages");
}

#[test]
fn the_models_faults_do_what_they_say() {
    let memory = MemoryStore::new();
    let store = memory.store();
    block_on(async {
        let claim = store.log.claim(chat(1)).await.unwrap().claim;
        let tail = async || store.log.read(chat(1), 1, 99).await.unwrap().len() as u64;
        memory.fail_next(FaultAt::Append, Fault::Refuse);
        memory.fail_next(FaultAt::Append, Fault::UnknownWithoutWrite);
        memory.fail_next(FaultAt::Append, Fault::UnknownAfterWrite);
        let refused = store.log.append(claim, messages([1])).await;
        assert!(matches!(refused, Err(AppendError::Unavailable { .. })));
        for after in [0, 1] {
            let unknown = store.log.append(claim, messages([1])).await;
            assert!(matches!(unknown, Err(AppendError::Unknown { .. })));
            assert_eq!(tail().await, after);
        }
        store.log.append(claim, messages([2])).await.unwrap();

        memory.fail_next(FaultAt::Append, Fault::LateWrite);
        let late = store.log.append(claim, messages([3])).await;
        assert!(matches!(late, Err(AppendError::Unknown { .. })));
        assert_eq!((tail().await, memory.land_late(), tail().await), (2, 1, 3));

        memory.fail_next(FaultAt::Append, Fault::LateWrite);
        assert!(store.log.append(claim, messages([4])).await.is_err());
        assert_eq!(store.log.claim(chat(1)).await.unwrap().tail, 3);
        assert_eq!(
            (memory.land_late(), tail().await),
            (0, 3),
            "its claim is dead"
        );

        memory.fail_next(FaultAt::Processes, Fault::UnknownAfterWrite);
        assert!(store.processes.begin().await.is_err());
        assert_eq!(store.processes.begin().await, Ok(2));
        memory.fail_next(FaultAt::Claim, Fault::Refuse);
        assert!(store.log.claim(chat(1)).await.is_err());
    });
}

//! Full disks, failed syncs, full queues: each a clear error that says what to do, and nothing
//! acknowledged is lost. Besides: groups, checkpoints, and the faults of the model.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use switchboard::storage::memory::{Fault, FaultAt, MemoryStore};
use switchboard::storage::sqlite::{SqliteOptions, SqliteStore};
use switchboard::storage::{AppendError, Claim, Store, StoreError};

use crate::rng::Rng;
use crate::samples::{chat, message, messages};
use crate::subject::{Kind, Rig, block_on};

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
        let refused =
            matches!(error, AppendError::Unknown { .. } | AppendError::Unavailable { .. });
        assert!(refused, "{error}");
        let reason = failure.borrow().as_ref().unwrap().to_string();
        assert!(reason.contains("full") && reason.contains("free some space"), "{reason}");
        for _ in 0..3 {
            let again = store.log.append(claim, messages([acknowledged + 1])).await;
            assert!(matches!(again, Err(AppendError::Unavailable { .. })), "{again:?}");
            let claim = store.log.claim(chat(1)).await;
            assert!(matches!(claim, Err(StoreError::Unavailable { .. })), "{claim:?}");
            let begun = store.processes.begin().await;
            assert!(matches!(begun, Err(StoreError::Unavailable { .. })), "{begun:?}");
        }
        let read = store.log.read(chat(1), 1, 10_000).await.unwrap();
        assert_eq!(read.len() as u64, acknowledged, "what is durable can still be read");
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

/// Also when it is the fold of the tail that finds no room.
#[test]
fn a_disk_that_is_full_at_whatever_write_takes_nothing_from_readers() {
    /// A page of the log of writes with what stands in front of it, bytes.
    const PAGE: usize = 4_120;
    for pages in 8..24 {
        let mut rig = Rig::new(Kind::SqliteOnOurDisk);
        rig.options.fold_at = 3;
        let sqlite = rig.open().unwrap();
        rig.disk.leave_room(pages * PAGE);
        assert!(fill(sqlite) > 0, "{pages} pages");
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
            assert!(matches!(next, Err(AppendError::Unavailable { .. })), "{next:?}");
            seq - 1
        });
        drop(store);
        assert!(failure.borrow().is_some());
        assert_eq!(rig.disk.syncs_after_failure(), Some(0), "after {round} appends");
        rig.disk.cut_power();
        rig.disk.restart(&mut Rng::new(round));
        let store = rig.open().unwrap().store();
        let tail = block_on(store.log.claim(chat(1))).unwrap().tail;
        assert!((acknowledged..=acknowledged + 1).contains(&tail), "{acknowledged} {tail}");
    }
}

#[test]
fn a_foreign_lock_is_waited_for_refused_and_outlived() {
    let mut rig = Rig::new(Kind::Sqlite);
    rig.options.lock_wait = std::time::Duration::from_millis(20);
    let sqlite = rig.open().unwrap();
    let store = sqlite.store();
    let file = rig.folder.path().join("switchboard.db");
    block_on(async {
        let claim = store.log.claim(chat(1)).await.unwrap().claim;
        store.log.append(claim, messages(1..=20)).await.unwrap();
        let foreign = rusqlite::Connection::open(file).unwrap();
        for round in 0..3 {
            let next = 21 + round;
            foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
            let refused = store.log.append(claim, messages([next])).await.unwrap_err();
            assert!(matches!(refused, AppendError::Unavailable { .. }), "{refused}");
            assert!(refused.to_string().contains("another process"), "{refused}");
            let refused = store.processes.begin().await.unwrap_err();
            assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
            assert_eq!(store.log.read(chat(1), 1, 99).await.unwrap(), messages(1..next));
            foreign.execute_batch("COMMIT").unwrap();
            store.log.append(claim, messages([next])).await.unwrap();
        }
    });
    assert_eq!(*sqlite.failure().borrow(), None);
}

/// Appends to a chat until told to stop; answers how many were acknowledged.
/// How often each of the writers beside a copy writes: some MiB a second together.
const WRITES_EVERY: std::time::Duration = std::time::Duration::from_millis(2);

async fn write_on(store: Store, n: u128, stop: Arc<std::sync::atomic::AtomicBool>) -> u64 {
    let claim = store.log.claim(chat(n)).await.unwrap().claim;
    let mut seq = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        seq += 1;
        let long = message(seq, &format!("{seq}{}", " ".repeat(2_000)));
        store.log.append(claim, vec![long]).await.unwrap();
        // A copy gives way to whoever writes all the time, and would follow a store that grows for ever.
        tokio::time::sleep(WRITES_EVERY).await;
    }
    seq
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_copied_while_it_is_written_to() {
    let rig = Rig::new(Kind::Sqlite);
    let sqlite = rig.open().unwrap();
    let store = sqlite.store();
    let before = store.log.claim(chat(100)).await.unwrap().claim;
    store.log.append(before, messages(1..=3_000)).await.unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> =
        (0..4).map(|n| tokio::spawn(write_on(store.clone(), n, Arc::clone(&stop)))).collect();
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let file = folder.path().join(format!("copy-{round}"));
        let (progress, seen) = tokio::sync::watch::channel(Default::default());
        sqlite.back_up(&file, progress).await.unwrap();
        let said = *seen.borrow();
        assert!(said.of > 0, "{said:?}");
        assert_eq!(SqliteStore::check_copy(&file).unwrap().problems, [""; 0]);
    }
    let given_up = folder.path().join("given-up");
    let (progress, _) = tokio::sync::watch::channel(Default::default());
    drop(
        tokio::time::timeout(std::time::Duration::ZERO, sqlite.back_up(&given_up, progress)).await,
    );
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for (n, writer) in (0..).zip(writers) {
        let acknowledged = writer.await.unwrap();
        assert_eq!(store.log.claim(chat(n)).await.unwrap().tail, acknowledged);
    }
    drop((sqlite, store));
    assert_eq!(SqliteStore::check(&rig.options).unwrap().problems, [""; 0]);
    let home = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("copy-4"), home.path().join("switchboard.db")).unwrap();
    let copy = Arc::new(SqliteStore::open(&SqliteOptions::new(home.path())).unwrap()).store();
    let read = copy.log.read(chat(100), 1, 9_999).await.unwrap();
    assert_eq!(read, messages(1..=3_000), "what was acknowledged before the copy is in it");
}

#[test]
fn a_full_disk_under_a_copy_is_the_copys_trouble_alone() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(folder.path(), "200k") else {
        println!("SKIPPED: a tmpfs cannot be mounted here");
        return;
    };
    let rig = Rig::new(Kind::Sqlite);
    let sqlite = rig.open().unwrap();
    let store = sqlite.store();
    block_on(async {
        let claim = store.log.claim(chat(1)).await.unwrap().claim;
        store.log.append(claim, messages(1..=3_000)).await.unwrap();
        let file = folder.path().join("copy");
        let (progress, _seen) = tokio::sync::watch::channel(Default::default());
        let error = sqlite.back_up(&file, progress).await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of it");
        store.log.append(claim, messages([3_001])).await.unwrap();
    });
    assert_eq!(*sqlite.failure().borrow(), None);
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
        let before = sqlite.counters().batches();
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
        assert!(!first.is_finished(), "nothing is acknowledged before its sync");
        rig.disk.release_syncs();
        first.await.unwrap().unwrap();
        for append in rest {
            append.await.unwrap().unwrap();
        }
        assert_eq!(sqlite.counters().batches() - before, 2);
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
        assert_eq!((memory.land_late(), tail().await), (0, 3), "its claim is dead");

        memory.fail_next(FaultAt::Processes, Fault::UnknownAfterWrite);
        assert!(store.processes.begin().await.is_err());
        assert_eq!(store.processes.begin().await, Ok(2));
        memory.fail_next(FaultAt::Claim, Fault::Refuse);
        assert!(store.log.claim(chat(1)).await.is_err());
    });
}

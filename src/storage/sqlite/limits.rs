//! Every bound of the embedded store, with its unit and its reason.

use std::time::Duration;

/// Writes that may wait for the writer. Every open chat has at most one append in flight; beyond
/// this many the disk is the bottleneck, and a refusal is more honest than a longer queue.
pub(super) const WRITE_QUEUE_MAX: usize = 16_384;

/// Most writes of one batch: bounds how long the first of them waits for the last.
pub(super) const BATCH_MAX: usize = 4_096;

/// Longest time that the writer waits, before it takes a batch, for those of the last one who have not heard
/// their answer yet. Where they are behind all the time, 20,000 messages a second make eighty of a commit,
/// which takes a fraction of a ms; and it is the most by which a write waits longer for the sake of others.
pub(super) const GATHER_MAX: Duration = Duration::from_millis(4);

/// A batch takes no more writes once its events have this many bytes: bounds the memory of
/// SQLite's page cache and the length of one fsync.
pub(super) const BATCH_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Events in the tail held in memory at which it is folded into the index. Large enough that
/// neighbours share pages, small enough that a fold is a hiccup and a start reads little.
pub(super) const FOLD_AT_EVENTS: usize = 8_192;

/// Pages in the WAL (of 4 KiB) at which a checkpoint follows the batch: 64 MiB, as measured.
pub(super) const CHECKPOINT_AT_PAGES: u32 = 16_384;

/// How many times that many pages the WAL may have before the writer waits for the readers, so
/// that it starts over even when some read is always under way: 256 MiB.
pub(super) const CHECKPOINT_WAIT_FACTOR: u32 = 4;

/// Events of a forgotten chat that are removed within one batch, roughly: the batches between them
/// take the writes that wait.
pub(super) const FORGET_EVENTS: usize = 1_024;

/// Free pages (of 4 KiB) that are given back to the file system between two commits: a pause of
/// some ms.
pub(super) const GIVE_BACK_PAGES: u32 = 256;

/// How long the removal of forgotten bytes from the WAL waits for readers, which holds up commits.
pub(super) const SCRUB_WAIT: Duration = Duration::from_millis(100);

/// When it is tried again after readers held it up: commits have the time between.
pub(super) const SCRUB_AGAIN: Duration = Duration::from_secs(1);

/// How long the writer waits for writes while it has something to tidy up.
pub(super) const TIDY_AGAIN: Duration = Duration::from_millis(100);

/// Threads that read. Reads are short and mostly in the page cache.
pub(super) const READERS: usize = 4;

/// Reads that may wait for a reader; a start reads page by page, so more means overload.
pub(super) const READ_QUEUE_MAX: usize = 4_096;

/// Longest read. A snapshot keeps the WAL from starting over, so none may grow old.
pub(super) const READ_MAX: Duration = Duration::from_secs(5);

/// Steps of SQLite's machine between two looks at the clock: about a millisecond.
pub(super) const READ_STEPS_BETWEEN_CHECKS: i32 = 20_000;

/// How long a checkpoint waits for readers: longer than any of them lasts.
pub(super) const BUSY_MAX: Duration = Duration::from_secs(6);

/// How long a batch waits for the lock of another process: less than a call may take, so that who
/// waits is told.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(4);

/// Claims kept in each of the two generations; 64 bytes each. One that is forgotten is refused as
/// fenced, and its holder claims again.
pub(super) const CLAIMS_KEPT: usize = 262_144;

/// Records at the end of the log whose checksums a start verifies besides the tail that was not
/// folded yet: where an interrupted write would show.
pub(super) const RECORDS_CHECKED: i64 = 1_000;

/// Bits of an epoch that count the claims of one life of the store; the rest count its lives.
pub(super) const EPOCH_CLAIM_BITS: u32 = 40;

/// Chats with damage that are remembered, 16 bytes each, and shown in the metric; more is a disk that
/// is to be replaced, whatever the number.
pub(super) const DAMAGED_REMEMBERED: usize = 65_536;

/// Longest hole in the log, in rows, that a repair takes for lost rows and reads around: more than
/// lie below one page of a tree that is two levels high, which a store of some hundred GB has.
pub(super) const HOLE_MAX: i64 = 100_000;

/// Events that a repair folds into the new index at once: 10 MiB, and few enough runs of a chat.
pub(super) const MEND_FOLD_EVENTS: usize = 262_144;

/// Damaged databases that are kept beside the one in use: they take its space as often. With more
/// the machine is at fault, and rebuilding ever again would only fill the disk.
pub(super) const DAMAGED_KEPT_MAX: usize = 3;

/// Problems that a check names, and of each kind SQLite: whoever has more restores a backup.
pub(super) const PROBLEMS_NAMED: usize = 100;

/// Pages (of 4 KiB) that a backup copies at once, for a commit waits as long: 128 KiB.
pub(super) const BACKUP_SLICE_PAGES: i32 = 32;

/// The pause after a slice of a backup, in times of the slice, while somebody writes: an eighth of the
/// writer's time is the backup's.
pub(super) const BACKUP_PAUSE_FACTOR: u32 = 7;

/// Longest pause after a slice of some ms while writes wait all the time, so that a backup goes on:
/// with it two MiB a second.
pub(super) const BACKUP_PAUSE_MAX: Duration = Duration::from_millis(50);

/// Longest pause after any slice. A slow disk has slices of up to a second, which take an eighth with
/// it; one that hung for a minute once is to hold up the backup no further.
pub(super) const BACKUP_PAUSE_SLOW_MAX: Duration = Duration::from_secs(10);

/// How long a backup that is ahead of its disk waits before it looks again.
pub(super) const BACKUP_AHEAD_AGAIN: Duration = Duration::from_millis(2);

/// Pages of a copy after which its file is synced: 8 MiB, a short turn of the disk.
pub(super) const BACKUP_SYNC_PAGES: u64 = 2_048;

/// Pages that a copy may be ahead of its disk: 32 MiB, so that no storm of them holds up the fsync of a
/// commit.
pub(super) const BACKUP_AHEAD_PAGES_MAX: u64 = 8_192;

/// How many times longer the 99th of a hundred writes may wait beside a backup than before it.
pub(super) const BACKUP_WAIT_FACTOR: u32 = 2;

/// What the 99th of a hundred writes waited before a backup, at least: nobody notices twice as much
/// either, and without it an idle store on a slow disk could never be copied.
pub(super) const BACKUP_WAIT_LEAST: Duration = Duration::from_millis(50);

/// Windows in succession in which writes waited too long, and a backup is given up: one alone may be
/// the hiccup of a disk.
pub(super) const BACKUP_WINDOWS_MAX: u64 = 2;

/// How long the waits of writes are gathered before they are judged: some checkpoints.
pub(super) const WAITS_WINDOW: Duration = Duration::from_secs(10);

/// Writes of which the waits are judged, at least: so that there is a longest hundredth. Few enough
/// that ten a second are judged with each window.
pub(super) const WAITS_MIN: u64 = 100;

/// For how many windows from its beginning one tells what writes wait at present: 5 minutes, which
/// suffices for a hundred writes where few come. What was before, as a storm in the night, says nothing.
pub(super) const WAITS_LATELY_WINDOWS: u32 = 30;

/// Pages in the WAL at which a backup is given up: 768 MiB, so that it stays below 1 GiB.
pub(super) const BACKUP_WAL_PAGES_MAX: u32 = 196_608;

/// How long a backup may have no fewer pages left than before: its disk hangs, another process holds
/// a lock, or the store grows as fast as it is copied, which a rush of writes may do for a while.
pub(super) const BACKUP_STILL_MAX: Duration = Duration::from_secs(3_600);

/// Statements kept prepared by each connection; there are about thirty.
pub(super) const STATEMENTS_KEPT: usize = 64;

/// Entries of the audit trail that are removed, or changed by the erasure of a customer, in one
/// batch of the writer: some milliseconds.
pub(super) const AUDIT_SLICE: usize = 500;

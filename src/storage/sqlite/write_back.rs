//! The write-back of a copy: its file is synced steadily, by a thread of its own.
//!
//! Left to the kernel, the pages of a copy pile up in its cache and go to the disk in storms, and
//! the fsync of a commit waits behind them. So they are synced some MiB at a time, and who copies
//! waits once it is too far ahead of the disk.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use super::limits::{BACKUP_AHEAD_PAGES_MAX, BACKUP_SYNC_PAGES};

/// The file of a copy, with the thread that syncs it.
///
/// The file stays open from the first write to the last sync: the kernel tells a failed write once,
/// and a file that was opened later would not hear of it.
pub(super) struct WriteBack {
    ask: SyncSender<u64>,
    /// Pages that were copied when the latest sync was asked for.
    asked: u64,
    /// Pages that are on the disk.
    synced: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<File>>,
}

impl WriteBack {
    /// Starts the thread. It ends with the value, and with the first sync that fails.
    pub fn start(file: File) -> io::Result<Self> {
        Self::synced_by(file, File::sync_data)
    }

    /// The same, with the disk that this is.
    pub fn synced_by(
        file: File,
        sync: impl Fn(&File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        // One that is asked for while one is under way; more would sync nothing more.
        let (ask, asked) = sync_channel(1);
        let synced = Arc::new(AtomicU64::new(0));
        let done = Arc::clone(&synced);
        let thread =
            std::thread::Builder::new().name("store-copy".to_owned()).spawn(move || {
                for pages in asked {
                    sync(&file)?;
                    done.store(pages, Relaxed);
                }
                Ok(file)
            })?;
        Ok(Self { ask, asked: 0, synced, thread })
    }

    /// So many pages are copied by now. Asks for a sync if one is due, and answers whether more may
    /// be copied before it. Once a sync has failed, what is on the disk grows no more: see
    /// [`has_failed`](Self::has_failed). Never waits.
    pub fn keeps_up(&mut self, copied: u64) -> bool {
        // Before the request: what that brings counts the next time, however fast it is.
        let synced = self.synced.load(Relaxed);
        if copied.saturating_sub(self.asked) >= BACKUP_SYNC_PAGES {
            match self.ask.try_send(copied) {
                Ok(()) => self.asked = copied,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
        copied.saturating_sub(synced) < BACKUP_AHEAD_PAGES_MAX
    }

    /// Whether a sync has failed; [`end`](Self::end) says why.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the thread and answers the file, with all errors of its writes up to now. Waits for the
    /// sync under way.
    pub fn end(self) -> io::Result<File> {
        drop(self.ask);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("its sync panicked")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Looks until it is so.
    fn soon(mut so: impl FnMut() -> bool) {
        // A minute at least.
        let soon = (0..60_000).any(|_| {
            let now = so();
            if !now {
                std::thread::sleep(Duration::from_millis(1));
            }
            now
        });
        assert!(soon, "never");
    }

    #[test]
    fn who_copies_waits_when_the_disk_is_behind_and_goes_on_when_it_has_caught_up() {
        let mut copy = WriteBack::start(tempfile::tempfile().unwrap()).unwrap();
        assert!(copy.keeps_up(BACKUP_SYNC_PAGES - 1), "no sync is due yet");
        assert!(!copy.keeps_up(BACKUP_AHEAD_PAGES_MAX), "nothing of it is on the disk");
        soon(|| copy.keeps_up(BACKUP_AHEAD_PAGES_MAX));
        assert!(!copy.has_failed());
        copy.end().unwrap();
    }

    #[test]
    fn a_sync_that_fails_is_told_and_nothing_more_is_copied() {
        let unsyncable = File::open("/dev/null").unwrap();
        let mut copy = WriteBack::start(unsyncable).unwrap();
        assert!(!copy.keeps_up(BACKUP_AHEAD_PAGES_MAX));
        soon(|| copy.has_failed());
        assert!(!copy.keeps_up(BACKUP_AHEAD_PAGES_MAX));
        copy.end().unwrap_err();
    }
}

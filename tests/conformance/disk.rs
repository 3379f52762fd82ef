//! A disk in memory that forgets what was not synced when it loses its power, as real ones do.
//!
//! What a program wrote is at once there for whoever reads. A sync makes a file's changes
//! durable. A loss of power keeps, of each file's changes since its last sync, nothing, all, a
//! beginning or any selection, and tears single writes at a byte or leaves any of their sectors.
//! A sync makes the file's own name durable too, as journaling file systems do; the deletion of
//! another may come undone until the folder is synced. Bytes outside a torn write stay as they were, which is what SQLite takes for
//! granted (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::rng::Rng;

/// Bytes that a disk writes as one.
const SECTOR_BYTES: usize = 512;

/// Why the disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no power, or the caller is of the time before it was lost.
    Off,
    /// No space is left.
    Full,
    /// The sync failed, and what it was to sync is lost.
    SyncFailed,
    /// No such file.
    Missing,
}

#[derive(Clone)]
enum Change {
    Create,
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
    Delete,
}

/// The content of a file; none when there is no such file.
type Content = Option<Vec<u8>>;

impl Change {
    fn apply(&self, content: &mut Content) {
        match self {
            Self::Create => {
                content.get_or_insert_default();
            }
            Self::Write { at, bytes } => {
                let content = content.get_or_insert_default();
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*at..end].copy_from_slice(bytes);
            }
            Self::Truncate(len) => content.get_or_insert_default().resize(*len, 0),
            Self::Delete => *content = None,
        }
    }
}

#[derive(Default)]
struct File {
    durable: Content,
    current: Content,
    pending: Vec<Change>,
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.pending.push(change);
    }

    /// The last creation or deletion is durable, and with it goes what was written before.
    fn sync_name(&mut self) {
        let named = |change: &Change| matches!(change, Change::Create | Change::Delete);
        if let Some(last) = self.pending.iter().rposition(named) {
            self.durable = None;
            self.pending[last].apply(&mut self.durable);
            self.pending.drain(..=last);
        }
    }

    /// What of this file is left after a loss of power.
    fn survive(&mut self, rng: &mut Rng) {
        let pending = std::mem::take(&mut self.pending);
        match rng.below(4) {
            0 => {}
            1 => pending.iter().for_each(|change| change.apply(&mut self.durable)),
            2 => {
                let kept = rng.below(pending.len() + 1);
                let (whole, rest) = pending.split_at(kept);
                whole.iter().for_each(|change| change.apply(&mut self.durable));
                if let Some(last) = rest.first() {
                    tear(last, &mut self.durable, rng);
                }
            }
            _ => select(&pending, &mut self.durable, rng),
        }
        self.current = self.durable.clone();
    }
}

/// Any selection of the changes; but what follows a lost name belongs to another file.
fn select(pending: &[Change], durable: &mut Content, rng: &mut Rng) {
    for change in pending {
        match (change, rng.below(3)) {
            (Change::Create | Change::Delete, 0) => return,
            (Change::Create | Change::Delete, _) | (Change::Truncate(_), 1 | 2) => {
                change.apply(durable);
            }
            (Change::Write { .. }, 1) => change.apply(durable),
            (Change::Write { .. }, 2) => tear(change, durable, rng),
            (Change::Write { .. } | Change::Truncate(_), _) => {}
        }
    }
}

/// A part of the change: up to a byte, up to a sector's end, or any of its sectors.
fn tear(change: &Change, durable: &mut Content, rng: &mut Rng) {
    let Change::Write { at, bytes } = change else {
        return;
    };
    let mut keep = |from: usize, to: usize| {
        let (at, bytes) = (at + from, bytes[from..to].to_vec());
        Change::Write { at, bytes }.apply(durable);
    };
    match rng.below(3) {
        0 => keep(0, rng.below(bytes.len() + 1)),
        1 => keep(0, rng.below(bytes.len() / SECTOR_BYTES + 1) * SECTOR_BYTES),
        _ => {
            for from in (0..bytes.len()).step_by(SECTOR_BYTES) {
                if rng.one_in(2) {
                    keep(from, (from + SECTOR_BYTES).min(bytes.len()));
                }
            }
        }
    }
}

struct State {
    files: BTreeMap<String, File>,
    /// Counts the losses of power; who comes from an earlier life gets nothing.
    life: u64,
    powered: bool,
    /// Changes and syncs until the power goes.
    changes_left: Option<usize>,
    /// Bytes in all files at most.
    capacity: usize,
    sync_fails: bool,
    /// Syncs since one failed.
    syncs_after_failure: Option<usize>,
}

/// The disk. Shared by all files that are open on it.
pub struct Disk {
    state: Mutex<State>,
    held: Mutex<bool>,
    held_syncs: AtomicUsize,
    waiting: Condvar,
    released: Condvar,
}

impl Disk {
    pub fn new() -> Self {
        let state = Mutex::new(State {
            files: BTreeMap::new(),
            life: 0,
            powered: true,
            changes_left: None,
            capacity: usize::MAX,
            sync_fails: false,
            syncs_after_failure: None,
        });
        Self {
            state,
            held: Mutex::default(),
            held_syncs: AtomicUsize::default(),
            waiting: Condvar::new(),
            released: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The power goes at the `n`th change or sync from now.
    pub fn cut_power_after(&self, n: usize) {
        self.lock().changes_left = Some(n);
    }

    /// The power goes now.
    pub fn cut_power(&self) {
        self.lock().powered = false;
    }

    pub fn powered(&self) -> bool {
        self.lock().powered
    }

    /// Power again: what survived is all there is.
    pub fn restart(&self, rng: &mut Rng) {
        let mut state = self.lock();
        state.files.values_mut().for_each(|file| file.survive(rng));
        state.files.retain(|_, file| file.current.is_some());
        state.begin_life();
    }

    /// The process died, not the machine: all that was written is there, and still not synced.
    pub fn kill(&self) {
        self.lock().begin_life();
    }

    /// Syncs wait until [`Disk::release_syncs`].
    pub fn hold_syncs(&self) {
        *self.held.lock().unwrap() = true;
    }

    /// Syncs go on.
    pub fn release_syncs(&self) {
        *self.held.lock().unwrap() = false;
        self.released.notify_all();
    }

    /// Waits until a sync waits.
    pub fn wait_for_held_sync(&self) {
        let held = self.held.lock().unwrap();
        drop(self.waiting.wait_while(held, |_| self.held_syncs.load(SeqCst) == 0).unwrap());
    }

    fn wait_while_held(&self) {
        let mut held = self.held.lock().unwrap();
        while *held {
            self.held_syncs.fetch_add(1, SeqCst);
            self.waiting.notify_all();
            held = self.released.wait(held).unwrap();
            self.held_syncs.fetch_sub(1, SeqCst);
        }
    }

    /// From now on there is room for `bytes` more.
    pub fn leave_room(&self, bytes: usize) {
        let mut state = self.lock();
        let used: usize =
            state.files.values().filter_map(|f| f.current.as_ref()).map(Vec::len).sum();
        state.capacity = used + bytes;
    }

    /// The next sync fails, and loses what it was to sync; those after it claim success.
    pub fn fail_next_sync(&self) {
        self.lock().sync_fails = true;
    }

    /// How many syncs there were after the failed one; none when none failed.
    pub fn syncs_after_failure(&self) -> Option<usize> {
        self.lock().syncs_after_failure
    }

    /// Damages a file: wherever the bytes of `pattern` occur, one bit is wrong. Answers whether
    /// they do.
    pub fn damage(&self, file: &str, pattern: &[u8]) -> bool {
        let mut state = self.lock();
        let Some(file) = state.files.get_mut(file) else {
            return false;
        };
        let mut found = false;
        for content in [&mut file.durable, &mut file.current].into_iter().flatten() {
            for at in 0..content.len() {
                if content[at..].starts_with(pattern) {
                    content[at] ^= 1;
                    found = true;
                }
            }
        }
        found
    }

    pub fn life(&self) -> u64 {
        self.lock().life
    }

    pub fn exists(&self, name: &str) -> bool {
        let state = self.lock();
        let content = state.files.get(name).and_then(|file| file.current.as_ref());
        content.is_some_and(|content| !content.is_empty())
    }

    pub fn open(&self, name: &str, create: bool) -> Result<(), Trouble> {
        let mut state = self.lock();
        if !state.powered {
            return Err(Trouble::Off);
        }
        let there = state.files.get(name).is_some_and(|file| file.current.is_some());
        match (there, create) {
            (true, _) => Ok(()),
            (false, false) => Err(Trouble::Missing),
            (false, true) => state.change(name, Change::Create),
        }
    }

    pub fn delete(&self, name: &str) -> Result<(), Trouble> {
        self.lock().change(name, Change::Delete)
    }

    /// Reads as much as there is; answers how many bytes.
    pub fn read(&self, life: u64, name: &str, at: usize, to: &mut [u8]) -> Result<usize, Trouble> {
        let state = self.lock();
        state.alive(life)?;
        let content = state.files.get(name).and_then(|file| file.current.as_ref());
        let rest = content.and_then(|content| content.get(at..)).unwrap_or_default();
        let read = rest.len().min(to.len());
        to[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    pub fn write(&self, life: u64, name: &str, at: usize, bytes: &[u8]) -> Result<(), Trouble> {
        let mut state = self.lock();
        state.alive(life)?;
        let sizes = state.files.values().filter_map(|f| f.current.as_ref()).map(Vec::len);
        let used: usize = sizes.sum();
        let here = state.files.get(name).and_then(|f| f.current.as_ref()).map_or(0, Vec::len);
        if used + (at + bytes.len()).saturating_sub(here) > state.capacity {
            return Err(Trouble::Full);
        }
        let bytes = bytes.to_vec();
        state.change(name, Change::Write { at, bytes })
    }

    pub fn truncate(&self, life: u64, name: &str, len: usize) -> Result<(), Trouble> {
        let mut state = self.lock();
        state.alive(life)?;
        state.change(name, Change::Truncate(len))
    }

    pub fn len(&self, life: u64, name: &str) -> Result<usize, Trouble> {
        let state = self.lock();
        state.alive(life)?;
        let content = state.files.get(name).and_then(|file| file.current.as_ref());
        Ok(content.map_or(0, Vec::len))
    }

    pub fn sync(&self, life: u64, name: &str) -> Result<(), Trouble> {
        self.wait_while_held();
        let mut state = self.lock();
        state.alive(life)?;
        state.count()?;
        if let Some(after) = &mut state.syncs_after_failure {
            *after += 1;
        }
        let failing = std::mem::take(&mut state.sync_fails);
        if failing {
            state.syncs_after_failure = Some(0);
        }
        if let Some(file) = state.files.get_mut(name) {
            let pending = std::mem::take(&mut file.pending);
            if failing {
                return Err(Trouble::SyncFailed);
            }
            pending.iter().for_each(|change| change.apply(&mut file.durable));
        }
        Ok(())
    }

    /// Makes all names durable: what was created is there, if empty, and what was deleted is gone.
    pub fn sync_folder(&self, life: u64) -> Result<(), Trouble> {
        let mut state = self.lock();
        state.alive(life)?;
        state.count()?;
        state.files.values_mut().for_each(File::sync_name);
        Ok(())
    }
}

impl State {
    fn begin_life(&mut self) {
        self.life += 1;
        self.powered = true;
        self.changes_left = None;
        self.sync_fails = false;
        self.syncs_after_failure = None;
        self.capacity = usize::MAX;
    }

    fn alive(&self, life: u64) -> Result<(), Trouble> {
        if self.powered && self.life == life { Ok(()) } else { Err(Trouble::Off) }
    }

    /// Counts towards the loss of power. At the one that meets it, the change is under way: it
    /// may survive, whole or torn, and nobody is told.
    fn count(&mut self) -> Result<(), Trouble> {
        match &mut self.changes_left {
            Some(0) => {
                self.powered = false;
                Err(Trouble::Off)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, name: &str, change: Change) -> Result<(), Trouble> {
        if !self.powered {
            return Err(Trouble::Off);
        }
        let counted = self.count();
        self.files.entry(name.to_owned()).or_default().change(change);
        counted
    }
}

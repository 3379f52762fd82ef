//! Damage, and repairs in which the power goes: what the lives of `power_loss` meet before they start.

use std::sync::atomic::Ordering::Relaxed;

use rusqlite::{Connection, OpenFlags};
use switchboard::storage::sqlite::{DATABASE_FILE, SqliteStore, open_past_the_store};

use crate::expected::{Expected, Violation};
use crate::rng::Rng;
use crate::subject::Rig;
use crate::suite_audit::entry;
use crate::tally::Tally;

/// The power goes within this many changes and syncs of a repair, or after it: about as many as one
/// makes of these small databases.
const CHANGES_OF_A_REPAIR: usize = 400;

/// Bytes that are damaged at once.
const DAMAGED_BYTES: usize = 64;

/// Bytes of a page.
const PAGE: usize = 4_096;

/// Where the header of a database says how many bytes of a page are reserved.
const RESERVED_AT: usize = 20;

/// What became of a repair.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Repaired {
    /// There was none.
    No,
    Yes,
    /// The power went.
    Cut,
}

/// What was done to the database of one seed.
pub struct Repairs {
    /// An earlier release made it.
    is_older: bool,
    /// Where the index was damaged and what stands there now, until the database has been made anew.
    damage: Option<(usize, Vec<u8>)>,
    /// It was damaged in a database without checksums, where not every start meets it.
    is_hidden: bool,
    /// Repairs that were begun.
    begun: u64,
    /// One was acknowledged, or a start has rebuilt the database.
    any: bool,
}

/// A connection past the store.
fn connect(rig: &Rig) -> Connection {
    open_past_the_store(&rig.folder.path().join(DATABASE_FILE), rig.options.vfs.as_deref()).unwrap()
}

/// One as earlier releases had, without checksums of pages.
fn connect_as_before(rig: &Rig) -> Connection {
    let (file, vfs) = (rig.folder.path().join(DATABASE_FILE), rig.options.vfs.as_deref().unwrap());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    Connection::open_with_flags_and_vfs(file, flags, vfs).unwrap()
}

/// Whether the pages of the database have checksums: by its header, which reserves room for them.
fn has_checksums(rig: &Rig) -> bool {
    let mut reserved = [0];
    let read = rig.disk.read(rig.disk.life(), DATABASE_FILE, RESERVED_AT, &mut reserved);
    read == Ok(1) && reserved == [8]
}

impl Repairs {
    /// Of a new disk. On some there is a database already, as the first release made them.
    pub fn new(rig: &Rig, rng: &mut Rng) -> Self {
        let is_older = rng.one_in(3);
        if is_older {
            let first = include_str!("../../src/storage/sqlite/migrations/0001_first.sql");
            let made = format!(
                "PRAGMA auto_vacuum = NONE; BEGIN; {first} \
                 PRAGMA application_id = {:#x}; PRAGMA user_version = 1; COMMIT",
                0x5357_4244
            );
            connect_as_before(rig).execute_batch(&made).unwrap();
        }
        Self { is_older, damage: None, is_hidden: false, begun: 0, any: false }
    }

    /// Whether the index may be damaged.
    pub fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }

    /// A start may have rebuilt the database: then the file has no damaged bytes any more, and from then on
    /// it is held to all that holds for one that was never damaged.
    pub fn after_start(&mut self, rig: &Rig, tally: &Tally) {
        let Some((at, damaged)) = &self.damage else { return };
        let mut found = vec![0; damaged.len()];
        let read = rig.disk.read(rig.disk.life(), DATABASE_FILE, *at, &mut found);
        if read.is_ok() && found != *damaged {
            (self.damage, self.is_hidden, self.any) = (None, false, true);
            tally.rebuilt.fetch_add(1, Relaxed);
        }
    }

    /// Damages the index, or not; repairs the database, or not.
    pub fn before_life(
        &mut self,
        rig: &Rig,
        expected: &mut Expected,
        rng: &mut Rng,
        tally: &Tally,
    ) -> Result<Repaired, Violation> {
        let damages = !self.is_damaged() && rng.one_in(4);
        let mut damage = || damage_index(rig, rng).map_err(|error| error.to_string());
        if damages && let Some(damage) = damage()? {
            self.damage = Some(damage);
            self.is_hidden = !has_checksums(rig);
            tally.damaged.fetch_add(1, Relaxed);
        }
        if !rng.one_in(if self.is_damaged() { 2 } else { 4 }) && !self.is_hidden {
            return Ok(Repaired::No);
        }
        rig.disk.cut_power_after(rng.below(CHANGES_OF_A_REPAIR));
        self.begun += 1;
        let entry = entry(self.begun, self.begun);
        let id = entry.id;
        match rig.repair(entry) {
            Ok(mended) => {
                if !mended.lost.is_empty() || !mended.damaged.is_empty() {
                    return Err(format!("a repair took what was whole: {mended:?}"));
                }
                expected.entries.push(id);
                (self.damage, self.is_hidden, self.any) = (None, false, true);
                tally.repaired.fetch_add(1, Relaxed);
                Ok(Repaired::Yes)
            }
            Err(_) if !rig.disk.powered() => {
                tally.cut_in_repair.fetch_add(1, Relaxed);
                Ok(Repaired::Cut)
            }
            Err(error) => Err(format!("is not repaired: {error}")),
        }
    }

    /// What no start meets is repaired.
    pub fn before_the_end(&mut self, rig: &Rig) -> Result<(), Violation> {
        if std::mem::take(&mut self.is_hidden) {
            self.begun += 1;
            rig.repair(entry(self.begun, self.begun)).map_err(|error| error.to_string())?;
            (self.damage, self.any) = (None, true);
        }
        Ok(())
    }

    /// What a repair has made is whole, has checksums, and gives space back.
    pub fn at_the_end(&self, rig: &Rig, tally: &Tally) -> Result<(), Violation> {
        if !self.any {
            return Ok(());
        }
        if self.is_older {
            tally.converted.fetch_add(1, Relaxed);
        }
        let database = connect(rig);
        let mode = database.query_row("PRAGMA auto_vacuum", (), |row| row.get::<_, i64>(0));
        drop(database);
        if mode != Ok(2) {
            return Err(format!("the mode of the vacuum is {mode:?}"));
        }
        if !has_checksums(rig) {
            return Err("the pages have no checksums".to_owned());
        }
        let problems =
            SqliteStore::check(&rig.options).map_err(|error| error.to_string())?.problems;
        if !self.is_damaged() && !problems.is_empty() {
            return Err(format!("a repair left problems: {problems:?}"));
        }
        Ok(())
    }
}

/// Some bytes of a page of the index are others. Answers where and which, if there was such a page; errors
/// when the database is none any more.
fn damage_index(rig: &Rig, rng: &mut Rng) -> rusqlite::Result<Option<(usize, Vec<u8>)>> {
    let database = connect(rig);
    // What is in the log of writes would stand before it.
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
    let pages: Vec<usize> = database
        .prepare("SELECT pageno FROM dbstat WHERE name = 'log_index' ORDER BY pageno")
        .and_then(|mut found| found.query_map((), |row| row.get(0))?.collect())?;
    drop(database);
    if pages.is_empty() {
        return Ok(None);
    }
    let at = (pages[rng.below(pages.len())] - 1) * PAGE + rng.below(PAGE - DAMAGED_BYTES);
    let bytes: Vec<u8> = (0..DAMAGED_BYTES).map(|_| rng.below(256) as u8).collect();
    let life = rig.disk.life();
    rig.disk.write(life, DATABASE_FILE, at, &bytes).unwrap();
    rig.disk.sync(life, DATABASE_FILE).unwrap();
    Ok(Some((at, bytes)))
}

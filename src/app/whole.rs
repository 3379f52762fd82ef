//! `switchboard store check` and `repair`: whether a store is whole, and making it so.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::progress::Bar;
use super::server::Plan;
use super::store::StoreChoice;
use super::{compared, entry};
use crate::config::Settings;
use crate::domain::audit::AuditAct;
use crate::storage::Store;
use crate::storage::export::{self, Patience, Section};
use crate::storage::sqlite::{Scrubbed, SqliteOptions, SqliteStore};

/// The first bytes of every SQLite database.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// Looks at everything in the store, and compares its history with the logs.
pub(super) async fn check(settings: Settings) -> Result<(), String> {
    match Plan::of(settings).store.at_once() {
        StoreChoice::Sqlite(folder) => {
            let options = SqliteOptions::new(&folder);
            let found = SqliteStore::check(&options).map_err(|error| error.to_string())?;
            let compared = compared::embedded(&options, found.chats).await;
            match (say(&folder, found), compared) {
                (whole, Ok(compared)) => both(whole, compared::say(compared.as_ref())),
                (Ok(()), Err(error)) => Err(error),
                (Err(problems), Err(error)) => {
                    println!("the history was not compared with the logs: {error}");
                    Err(problems)
                }
            }
        }
        // What the ports answer is all that there is to look at from here.
        store @ (StoreChoice::Scylla(_) | StoreChoice::Given(_)) => {
            let opened = store.open().await.map_err(|error| error.to_string())?;
            let done = check_ports(&opened.store).await;
            opened.close().await;
            done
        }
    }
}

/// Reads everything of a store, and compares its history with the logs.
async fn check_ports(store: &Store) -> Result<(), String> {
    let mut bar = Bar::new();
    let read = export::read(store, Patience::USUAL, &mut bar).await;
    drop(bar);
    let read = read.map_err(|error| error.to_string())?;
    println!("the store can be read: {} events", read.events);
    let compared = compared::compare(store, read.count(Section::Chats)).await?;
    compared::say(Some(&compared))
}

/// All that is wrong.
fn both(one: Result<(), String>, other: Result<(), String>) -> Result<(), String> {
    match (one, other) {
        (Err(one), Err(other)) => Err(format!("{one}; {other}")),
        (one, other) => one.and(other),
    }
}

/// Whether the file is a database rather than an export.
pub(super) fn is_database(file: &Path) -> bool {
    let mut front = [0; SQLITE_MAGIC.len()];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut front));
    read.is_ok() && front == SQLITE_MAGIC
}

/// Looks at everything in a copy of an embedded store.
pub(super) fn check_copy(file: &Path) -> Result<(), String> {
    say(file, SqliteStore::check_copy(file).map_err(|error| error.to_string())?)
}

fn say(what: &Path, found: Scrubbed) -> Result<(), String> {
    let what = what.display();
    for note in &found.notes {
        println!("{note}");
    }
    if found.problems.is_empty() {
        println!("{what} is whole: {} chats, {} events", found.chats, found.events);
        return Ok(());
    }
    for problem in &found.problems {
        println!("{problem}");
    }
    let all = found.problems.len() as u64 + found.more;
    Err(format!(
        "{what} has {all} problems; `switchboard store repair` makes anew what follows from the \
         rest, and names the chats that are damaged"
    ))
}

/// Makes a whole store out of a damaged one.
pub(super) async fn repair(settings: Settings) -> Result<(), String> {
    let store = Plan::of(settings).store;
    let StoreChoice::Sqlite(folder) = &store else {
        let what =
            "the database repairs itself (`nodetool repair`); this is for the embedded store";
        return Err(what.to_owned());
    };
    let entry = entry::entry(AuditAct::StoreRepaired).map_err(|error| error.to_string())?;
    let mended = SqliteStore::repair(&SqliteOptions::new(folder), Some(entry));
    let mended = mended.map_err(|error| error.to_string())?;
    // Rows of open chats are made anew by whoever opens it.
    store.open().await.map_err(|error| error.to_string())?.close().await;
    for (chat, events) in &mended.damaged {
        println!("chat {chat} is damaged: {events} of its events are lost");
    }
    for lost in mended.dispensed.iter().chain(&mended.lost) {
        println!("lost: {lost}");
    }
    println!("{} was rebuilt; the former database is {}", folder.display(), mended.kept.display());
    Ok(())
}

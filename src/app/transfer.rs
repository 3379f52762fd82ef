//! `switchboard store`: copies of a whole store, out of it and into it.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entropy::{SystemEntropy, wall_now};
use super::entry;
use super::limits::ENTRY_LIMIT;
use super::progress::Bar;
use super::server::Plan;
use super::whole;
use crate::access::Entropy;
use crate::config::Settings;
use crate::domain::audit::AuditAct;
use crate::storage::export::{self, Occasion, Patience, Section, Summary};
use crate::storage::{Store, files, incarnation, void_positions};

/// Bytes that are read and written at once.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Writes the store to a file, which must not be there yet. What is under way has `.part` behind
/// its name; the file itself is whole and durable, or not there.
pub(super) async fn export(settings: Settings, file: &Path) -> Result<(), String> {
    if file.exists() {
        return Err(format!("{} is there already; give another name", file.display()));
    }
    let store = Plan::of(settings).store.at_once();
    let opened = store.open().await.map_err(|error| error.to_string())?;
    let part = part(file);
    let blame = |error: std::io::Error| format!("{}: {error}", part.display());
    let to = files::make_anew(&part).map_err(blame)?;
    let occasion = occasion()?;
    let mut written = BufWriter::with_capacity(BUFFER_BYTES, &to);
    let mut bar = Bar::new();
    let summary =
        export::export(&opened.store, occasion, &mut written, Patience::USUAL, &mut bar).await;
    let owned = opened.still_owns().await;
    opened.close().await;
    let summary = summary.map_err(|error| format!("{}: {error}", part.display()))?;
    owned.map_err(|error| format!("{}: {error}; export again", part.display()))?;
    drop(bar);
    drop(written);
    to.sync_all().map_err(blame)?;
    std::fs::rename(&part, file).map_err(blame)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(blame)?;
    folder.sync_all().map_err(blame)?;
    println!("{} has {}", file.display(), told(&summary));
    Ok(())
}

/// Fills the store from a file.
pub(super) async fn import(settings: Settings, file: &Path) -> Result<(), String> {
    let from = open(file)?;
    let entry = entry::entry(AuditAct::StoreImported).map_err(|error| error.to_string())?;
    let store = Plan::of(settings).store.at_once();
    let opened = store.open().await.map_err(|error| error.to_string())?;
    let mut bar = Bar::new();
    let summary = export::import(&opened.store, from, Some(entry), Patience::USUAL, &mut bar).await;
    opened.close().await;
    let summary = summary.map_err(|error| format!("{}: {error}", file.display()))?;
    drop(bar);
    println!("the store has {}, as in {}", told(&summary), file.display());
    Ok(())
}

/// Ends the store's incarnation, since it was set back or copied by other means.
pub(super) async fn restored(settings: Settings) -> Result<(), String> {
    let opened = Plan::of(settings).store.at_once().open().await;
    let opened = opened.map_err(|error| error.to_string())?;
    let ended = end_incarnation(&opened.store, ENTRY_LIMIT).await;
    opened.close().await;
    ended?;
    println!("the next start begins a new incarnation: clients load their chats anew");
    Ok(())
}

/// Does that to an open store, of which each call ends within the limit.
async fn end_incarnation(store: &Store, limit: Duration) -> Result<(), String> {
    let store = store.in_time(limit);
    let end = async {
        // What follows the feed has come somewhere else.
        void_positions(&*store.documents).await?;
        incarnation::end(&*store.documents).await
    };
    let ended = entry::noted(&store, AuditAct::StoreRestored, end).await;
    ended.map_err(|error| format!("{error}; run this again"))
}

/// Checks a file without a store.
pub(super) fn check(file: &Path) -> Result<(), String> {
    if whole::is_database(file) {
        return whole::check_copy(file);
    }
    let mut bar = Bar::new();
    let checked = export::check(open(file)?, &mut bar);
    let (header, summary) = checked.map_err(|error| format!("{}: {error}", file.display()))?;
    drop(bar);
    println!("{} is whole: export {}, {}", file.display(), header.id, told(&summary));
    Ok(())
}

fn open(file: &Path) -> Result<BufReader<File>, String> {
    let opened = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, opened))
}

fn part(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn occasion() -> Result<Occasion, String> {
    let mut id = [0; 16];
    SystemEntropy.fill(&mut id).map_err(|error| error.to_string())?;
    Ok(Occasion {
        id: uuid::Uuid::from_bytes(id),
        at: wall_now().0,
        release: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn told(summary: &Summary) -> String {
    let counts = Section::ALL.map(|of| format!("{} {}", summary.count(of), of.name()));
    let mut told = format!("{}, {} events", counts.join(", "), summary.events);
    if !summary.damaged.is_empty() {
        let chats: Vec<_> = summary.damaged.iter().map(ToString::to_string).collect();
        told += "; these chats are damaged, what is left of them is in the export only: ";
        told += &chats.join(", ");
    }
    if !summary.damaged_documents.is_empty() {
        let documents: Vec<_> = summary.damaged_documents.iter().map(String::as_str).collect();
        told += "; these documents are damaged and not in the export: ";
        told += &documents.join(", ");
    }
    if !summary.damaged_operators.is_empty() {
        let operators: Vec<_> = summary.damaged_operators.iter().map(ToString::to_string).collect();
        told +=
            "; the records of these operators are damaged and not in the export, they begin anew: ";
        told += &operators.join(", ");
    }
    told
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::storage::memory::MemoryStore;
    use crate::storage::{Document, Documents, Listed, StoreError};

    /// More than any wait here that has a limit.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A store that never answers.
    struct Hangs;

    #[async_trait]
    impl Documents for Hangs {
        async fn get(&self, _: &str, _: &str) -> Result<Option<Document>, StoreError> {
            pending().await
        }

        async fn put(&self, _: &str, _: &str, _: u64, _: Vec<u8>) -> Result<u64, StoreError> {
            pending().await
        }

        async fn delete(&self, _: &str, _: &str, _: u64) -> Result<(), StoreError> {
            pending().await
        }

        async fn list(
            &self,
            _: &str,
            _: Option<&str>,
            _: usize,
        ) -> Result<Vec<Listed>, StoreError> {
            pending().await
        }
    }

    #[tokio::test]
    async fn a_store_that_hangs_is_waited_for_within_the_limit_and_the_error_says_what_to_do() {
        let store = Store { documents: Arc::new(Hangs), ..MemoryStore::new().store() };
        let ended = end_incarnation(&store, Duration::from_millis(5));
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        let told = "the store has not answered within 5ms; run this again".to_owned();
        assert_eq!(ended, Ok(Err(told)));
    }
}

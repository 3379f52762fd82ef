//! How large the embedded store is, and how much room its disk has: looked at now and then, for the
//! metrics.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::limits::SIZES_EVERY;
use crate::storage::sqlite::{DATABASE_FILE, SqliteStore};
use crate::telemetry::StoreSizes;

/// Looks for as long as the process lives.
pub(super) async fn follow(folder: PathBuf, sqlite: Arc<SqliteStore>) {
    loop {
        let (folder, tail_events) = (folder.clone(), sqlite.tail_events());
        // A disk may hang, and with it whoever asks.
        let look = tokio::task::spawn_blocking(move || sizes(&folder, tail_events));
        if let Ok(sizes) = look.await {
            sizes.set();
        }
        tokio::time::sleep(SIZES_EVERY).await;
    }
}

fn sizes(folder: &Path, tail_events: u64) -> StoreSizes {
    let size = |name: &str| std::fs::metadata(folder.join(name)).ok().map(|file| file.len());
    StoreSizes {
        database: size(DATABASE_FILE),
        wal: size(&format!("{DATABASE_FILE}-wal")),
        disk_free: disk_free(folder),
        tail_events,
    }
}

/// What this process may still write there, bytes: not what is kept for the system.
#[cfg(unix)]
fn disk_free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn disk_free(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sqlite::SqliteOptions;

    #[tokio::test]
    async fn what_was_written_is_in_the_sizes() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(folder.path())).unwrap());
        let documents = Arc::clone(&sqlite).store().documents;
        let before = sizes(folder.path(), sqlite.tail_events());
        documents.put("queue", "a", 0, vec![0; 1 << 20]).await.unwrap();
        let after = sizes(folder.path(), sqlite.tail_events());
        assert!(after.wal.unwrap() >= before.wal.unwrap() + (1 << 20), "{before:?} {after:?}");
        assert!(after.database.unwrap() > 0 && after.disk_free.unwrap() > 0, "{after:?}");
        assert_eq!(after.tail_events, 0);
    }
}

//! `switchboard store backup`: a copy of the embedded store while the router runs on it.
//!
//! The router listens on a socket in its data folder: whoever may enter the folder has all that a
//! copy has, and nobody else reaches it. So the right needs no secret and no port. One line goes
//! in, the file's name; lines come back, how far it is, and the last one says how it ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::limits::{BACKUP_LINE_MAX_BYTES, BACKUP_STEP};
use super::store::StoreChoice;
use crate::config::Settings;
use crate::storage::sqlite::{BackupError, OpenError, Progress, SqliteOptions, SqliteStore};
use crate::storage::{erasures, files};

/// The socket in the data folder.
const SOCKET: &str = "switchboard.sock";

/// What the file of erasures is called behind the name of a copy.
const ERASURES_SUFFIX: &str = ".erasures";

/// The word before the reason when there is no copy.
const FAILED: &str = "failed ";

/// The last word when there is one.
const DONE: &str = "done";

/// Takes requests one after the other, as long as the store is open. One that cannot listen says
/// so: the router does not need it.
pub(super) async fn serve(folder: PathBuf, sqlite: Arc<SqliteStore>) {
    let path = folder.join(SOCKET);
    // The folder is ours: what is there is of a process that has ended.
    let _ = std::fs::remove_file(&path);
    let listening = UnixListener::bind(&path).and_then(|listener| {
        files::only_for_owner(&path)?;
        Ok(listener)
    });
    let listener = match listening {
        Ok(listener) => listener,
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "`store backup` works only while the router is stopped");
            return;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = answer(stream, &sqlite).await {
                    tracing::warn!(%error, "who asked for a backup did not hear the end of it");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a request for a backup was not taken");
                tokio::time::sleep(BACKUP_STEP).await;
            }
        }
    }
}

/// One backup; given up when whoever asked for it is gone.
async fn answer(mut stream: UnixStream, sqlite: &SqliteStore) -> std::io::Result<()> {
    let (from, mut to) = stream.split();
    let mut asked = BufReader::new(from.take(BACKUP_LINE_MAX_BYTES));
    let mut name = String::new();
    timeout(BACKUP_STEP, asked.read_line(&mut name)).await??;
    let file = PathBuf::from(name.trim_end_matches('\n'));
    let (progress, mut seen) = watch::channel(Progress::default());
    let copying = sqlite.back_up(&file, progress);
    let mut copying = std::pin::pin!(copying);
    let copied = loop {
        tokio::select! {
            copied = copying.as_mut() => break copied,
            () = tokio::time::sleep(BACKUP_STEP) => {
                let Progress { done, of } = *seen.borrow_and_update();
                timeout(BACKUP_STEP, to.write_all(format!("{done} {of}\n").as_bytes())).await??;
            }
        }
    };
    let said = match copied {
        Ok(()) => {
            tracing::info!(file = %file.display(), "the store was copied");
            format!("{DONE}\n")
        }
        Err(error) => {
            tracing::warn!(%error, "the store was not copied");
            format!("{FAILED}{}\n", error.to_string().replace('\n', " "))
        }
    };
    timeout(BACKUP_STEP, to.write_all(said.as_bytes())).await?
}

/// Copies the store: asks the router that runs on it, or does it itself when none does.
pub(super) async fn back_up(settings: Settings, file: &Path) -> Result<(), String> {
    let store = StoreChoice::of(&settings);
    let erasures = store.erasures(&settings);
    let StoreChoice::Sqlite(folder) = store else {
        let what =
            "this is for the embedded store; take the database's own snapshots, or an export";
        return Err(what.to_owned());
    };
    let file = std::path::absolute(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if !folder.exists() {
        return Err(format!("{}: there is no such store", folder.display()));
    }
    match SqliteStore::open(&SqliteOptions::new(&folder)) {
        Ok(sqlite) => {
            let (progress, _seen) = watch::channel(Progress::default());
            let copied = sqlite.back_up(&file, progress).await;
            copied.map_err(|error: BackupError| error.to_string())?;
        }
        Err(OpenError::InUse { .. }) => ask(&folder, &file).await?,
        Err(error) => return Err(error.to_string()),
    }
    if let Some(erasures) = erasures {
        // After the store: it has all that the copy knows of, and perhaps more.
        let mut beside = file.clone().into_os_string();
        beside.push(ERASURES_SUFFIX);
        let beside = PathBuf::from(beside);
        erasures::copy(&erasures, &beside).map_err(|error| {
            format!("{}: {error}; the store itself was copied", beside.display())
        })?;
    }
    println!("{} is a copy of {}", file.display(), folder.display());
    Ok(())
}

async fn ask(folder: &Path, file: &Path) -> Result<(), String> {
    let path = folder.join(SOCKET);
    let blame = |error: std::io::Error| format!("the router on {}: {error}", path.display());
    let name = file.to_str().filter(|name| !name.contains('\n'));
    let name = name.ok_or_else(|| format!("{}: give a name that is text", file.display()))?;
    let mut stream = UnixStream::connect(&path).await.map_err(blame)?;
    stream.write_all(format!("{name}\n").as_bytes()).await.map_err(blame)?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        // The router says something every second; but its last step is one long sync.
        let line = timeout(super::limits::BACKUP_SILENCE_MAX, lines.next_line()).await;
        let line = line.map_err(|_| "the router says nothing; look whether it runs".to_owned())?;
        match line.map_err(blame)? {
            None => return Err("the router ended before the copy was whole".to_owned()),
            Some(line) if line == DONE => return Ok(()),
            Some(line) => match line.strip_prefix(FAILED) {
                Some(why) => return Err(why.to_owned()),
                None => tracing::debug!(pages = line, "copied"),
            },
        }
    }
}

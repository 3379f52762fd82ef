//! `switchboard store history rebuild`: the history, made anew from the logs.

use std::sync::Arc;

use super::entry;
use super::limits::ENTRY_LIMIT;
use super::progress::Bar;
use super::server::Plan;
use crate::actors::{Rebuilt, rebuild_history};
use crate::config::Settings;
use crate::domain::audit::AuditAct;
use crate::storage::export::{ExportError, Report, Stage, is_half_imported};
use crate::storage::{Store, StoreError, off_other_lists};

/// Makes it anew. Interrupted, the next time or the next start goes on.
pub(super) async fn rebuild(settings: Settings) -> Result<(), String> {
    let opened = Plan::of(settings).store.at_once().open().await;
    let opened = opened.map_err(|error| error.to_string())?;
    let store = opened.store.in_time(ENTRY_LIMIT);
    // A chat leaves a list that it does not belong to by this alone.
    let history = off_other_lists(Arc::clone(&store.history));
    let store = Store { history, ..store };
    let half = is_half_imported(&*store.documents).await;
    if half != Ok(false) {
        opened.close().await;
        return Err(half.map_or_else(
            |error: StoreError| error.to_string(),
            |_| ExportError::HalfImported.to_string(),
        ));
    }
    let mut bar = Bar::new();
    let mut rebuilt = Rebuilt::default();
    let make = async {
        rebuilt = rebuild_history(&store, &mut |done| bar.at(Stage::Writing, done, 0)).await?;
        Ok(())
    };
    let made = entry::noted(&store, AuditAct::HistoryRebuilt, make).await;
    opened.close().await;
    drop(bar);
    made.map_err(|error| {
        format!("{error}; run this again, or start the router: either goes on from here")
    })?;
    for (chat, reason) in &rebuilt.damaged {
        println!("chat {chat} is damaged, and not in the history: {reason}");
    }
    println!("the history was made anew: {} chats were read", rebuilt.chats);
    if rebuilt.removed > 0 {
        println!("{} chats without a log were removed from it", rebuilt.removed);
    }
    Ok(())
}

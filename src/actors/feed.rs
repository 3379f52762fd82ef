//! What the router does about the feed besides touching chats and following it: old touches are removed.

use crate::storage::{self, Store};

use super::router::{CallError, Router};

impl Router {
    /// Removes touches that are older than they are kept, once whoever is behind them is told. Only while
    /// the clock is trusted. Errors when the store does not do it; the next time goes on.
    pub async fn prune_feed(&self) -> Result<(), CallError> {
        let Store { feed, documents, .. } = self.store();
        let _ends = self.shared.feed_ends.lock().await;
        Ok(storage::prune_feed(&**feed, &**documents, self.shared.feed_present()).await?)
    }
}

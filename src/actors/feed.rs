//! What the router does about the feed besides touching chats: old touches are removed.

use crate::domain::Timestamp;
use crate::storage::{FEED_KEPT_MS, FeedHour};

use super::router::{CallError, Router};

impl Router {
    /// Removes touches that are older than they are kept. Only while the clock is trusted. Errors when the
    /// store does not do it in time; the next time goes on.
    pub async fn prune_feed(&self) -> Result<(), CallError> {
        let before = FeedHour::of(Timestamp(self.now().0.saturating_sub(FEED_KEPT_MS)));
        while self.within(self.store().feed.remove_before(before)).await? {}
        Ok(())
    }
}

//! Old touches are removed, and never make a hole: who is behind them is told first.

use crate::domain::Timestamp;
use crate::storage::{Documents, StoreError};

use super::position::void_behind;
use super::{FEED_KEPT_MS, Feed, FeedHour, FeedPeriod};

/// Periods that are looked through at once. A fortnight has 336, and one more for each start.
pub(super) const PERIODS_PAGE: usize = 500;

/// Pages of periods that are looked through at a time, and slices that are removed: what is left then goes
/// the next time.
const PRUNED_AT_A_TIME: usize = 1_000;

/// Removes touches that are older than they are kept, a slice at a time, once every position that is
/// behind them is void. To be called now and then, while the clock is trusted, and not while a consumer
/// begins. Errors when the store does not do it; the next time goes on.
pub async fn prune(
    feed: &dyn Feed,
    documents: &dyn Documents,
    now: Timestamp,
) -> Result<(), StoreError> {
    let kept = FeedHour::of(Timestamp(now.0.saturating_sub(FEED_KEPT_MS)));
    let Some(before) = end_of_old(feed, kept).await? else { return Ok(()) };
    void_behind(documents, before).await?;
    for _ in 0..PRUNED_AT_A_TIME {
        if !feed.remove_before(before).await? {
            break;
        }
    }
    Ok(())
}

/// What comes behind the last period that is old, and so behind all that are older still: an hour of a
/// process that went by a clock that was ahead lies between others.
async fn end_of_old(feed: &dyn Feed, kept: FeedHour) -> Result<Option<FeedPeriod>, StoreError> {
    let (mut from, mut last) = (FeedPeriod::FIRST, None);
    for _ in 0..PRUNED_AT_A_TIME {
        let periods = feed.periods(from, PERIODS_PAGE).await?;
        last = periods.iter().rfind(|period| period.hour < kept).copied().or(last);
        match periods.last().filter(|_| periods.len() >= PERIODS_PAGE) {
            Some(latest) => from = latest.next(),
            None => break,
        }
    }
    Ok(last.map(FeedPeriod::next))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::domain::ChatId;
    use crate::storage::memory::MemoryStore;
    use crate::storage::{FeedPage, FeedPoint, FeedShard};

    /// A feed that never comes to an end.
    #[derive(Default)]
    struct Endless(AtomicUsize);

    #[async_trait]
    impl Feed for Endless {
        async fn touch(&self, _: ChatId, _: FeedPeriod) -> Result<(), StoreError> {
            Ok(())
        }

        async fn changed(
            &self,
            _: FeedShard,
            _: FeedPoint,
            _: usize,
        ) -> Result<FeedPage, StoreError> {
            Ok(FeedPage { touched: Vec::new(), next: None })
        }

        async fn periods(
            &self,
            from: FeedPeriod,
            limit: usize,
        ) -> Result<Vec<FeedPeriod>, StoreError> {
            Ok(std::iter::successors(Some(from), |period| Some(period.next()))
                .take(limit)
                .collect())
        }

        async fn remove_before(&self, _: FeedPeriod) -> Result<bool, StoreError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        }
    }

    #[tokio::test]
    async fn so_many_slices_go_at_a_time() {
        let (feed, store) = (Endless::default(), MemoryStore::new().store());
        prune(&feed, &*store.documents, Timestamp(2 * FEED_KEPT_MS)).await.unwrap();
        assert_eq!(feed.0.into_inner(), PRUNED_AT_A_TIME);
    }
}

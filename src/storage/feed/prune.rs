//! Old touches are removed, and never make a hole: who is behind them is told first.

use crate::domain::Timestamp;
use crate::storage::{Documents, StoreError};

use super::position::void_behind;
use super::{FEED_KEPT_MS, Feed, FeedHour, FeedPeriod, FeedPresent};

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
    present: FeedPresent,
) -> Result<(), StoreError> {
    let FeedPresent { process, now, .. } = present;
    let hour = FeedHour::of(Timestamp(now.0.saturating_sub(FEED_KEPT_MS)));
    let kept = FeedPeriod { process, hour };
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
/// process that went by a clock that was ahead lies between others. What lies behind all that this process
/// touches, of a store whose numbers were set back, stays until they have come so far.
async fn end_of_old(feed: &dyn Feed, kept: FeedPeriod) -> Result<Option<FeedPeriod>, StoreError> {
    let is_old = |period: &&FeedPeriod| period.hour < kept.hour && **period < kept;
    let (mut from, mut last) = (FeedPeriod::FIRST, None);
    for _ in 0..PRUNED_AT_A_TIME {
        let periods = feed.periods(from, PERIODS_PAGE).await?;
        last = periods.iter().rfind(|period| is_old(period)).copied().or(last);
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
    use crate::storage::{FEED_HOUR_MS, FeedPage, FeedPoint, FeedShard};

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

    fn present(process: u64, now: Timestamp) -> FeedPresent {
        FeedPresent { process, runs_ms: 0, now }
    }

    #[tokio::test]
    async fn so_many_slices_go_at_a_time() {
        let (feed, store) = (Endless::default(), MemoryStore::new().store());
        let now = Timestamp(2 * FEED_KEPT_MS);
        prune(&feed, &*store.documents, present(1, now)).await.unwrap();
        assert_eq!(feed.0.into_inner(), PRUNED_AT_A_TIME);
    }

    #[tokio::test]
    async fn what_this_process_touched_lately_stays_though_a_later_number_is_older() {
        let store = MemoryStore::new().store();
        let hours = |n| FeedHour(400_000 + n);
        let kept = FEED_KEPT_MS / FEED_HOUR_MS;
        // The numbers of processes were set back: 900 was before 5.
        for (process, hour) in [(4, hours(0)), (5, hours(1)), (5, hours(kept)), (900, hours(0))] {
            let period = FeedPeriod { process, hour };
            store.feed.touch(ChatId::from_u128(7), period).await.unwrap();
        }
        let now = hours(kept + 2).begin();
        prune(&*store.feed, &*store.documents, present(5, now)).await.unwrap();
        let left = store.feed.periods(FeedPeriod::FIRST, 9).await.unwrap();
        let left: Vec<_> = left.iter().map(|period| (period.process, period.hour)).collect();
        assert_eq!(left, [(5, hours(kept)), (900, hours(0))]);
    }
}

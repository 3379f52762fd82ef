//! What a consumer has still to take, as it is seen where no router runs.

use crate::domain::ChatId;
use crate::storage::{Store, StoreError};

use super::position::{FeedPosition, Points};
use super::prune::PERIODS_PAGE;
use super::{Feed, FeedPeriod, FeedPoint, FeedShard, Touched};

/// The chats that the next start has a consumer take again, whatever it has taken of them. Writes nothing.
#[derive(Debug)]
pub struct FeedDue(Option<Touches>);

/// Those behind its position.
#[derive(Debug)]
struct Touches {
    points: Points,
    /// From the first of these points on; a fortnight's hours at most, and some for each start.
    periods: Vec<FeedPeriod>,
}

impl FeedDue {
    /// Those of a consumer of this name, on a store on which no router runs.
    pub async fn of(store: &Store, name: &'static str) -> Result<Self, StoreError> {
        let next = store.inventory.last_process().await?.saturating_add(1);
        let points = FeedPosition::points_of(&*store.documents, name, next).await?;
        let Some(points) = points else { return Ok(Self(None)) };
        let first = points.iter().map(|point| point.period).min();
        let mut from = first.unwrap_or(FeedPeriod::FIRST);
        let mut periods = Vec::new();
        loop {
            let page = store.feed.periods(from, PERIODS_PAGE).await?;
            periods.extend(&page);
            match page.last().filter(|_| page.len() >= PERIODS_PAGE) {
                Some(last) => from = last.next(),
                None => return Ok(Self(Some(Touches { points, periods }))),
            }
        }
    }

    /// Whether it is all of them: the consumer has no position that counts, or is on its way from nothing.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the chat is among them.
    pub async fn has(&self, feed: &dyn Feed, chat: ChatId) -> Result<bool, StoreError> {
        let Some(Touches { points, periods }) = &self.0 else { return Ok(true) };
        let shard = FeedShard::of(chat);
        let point = points[usize::from(shard.number())];
        // Behind the chat before it; none is before the first one.
        let after = chat.0.as_u128().checked_sub(1).map(ChatId::from_u128);
        for period in periods.iter().copied() {
            let touched = Touched { period, chat };
            if FeedPoint::behind(touched) <= point {
                continue;
            }
            let page = feed.changed(shard, FeedPoint { period, after }, 1).await?;
            if page.touched.first() == Some(&touched) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

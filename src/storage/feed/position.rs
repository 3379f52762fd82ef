//! How far a consumer of the feed has come, and how it goes on from there.
//!
//! A position is one document: by shard up to where it has looked, and by which process that was said.
//!
//! Invariants: it counts for the process that it was said by and for the one after it, since what runs in
//! between may be a release that touches nothing; so every start adopts it at once. What is removed from the
//! feed has made every position behind it void before. Who has no position that counts begins from nothing:
//! it notes from where it is to follow, takes all chats, then those of which it has something left, and then
//! follows from there.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{ChatId, Timestamp};
use crate::storage::documents::{Remembered, version_of};
use crate::storage::{Cursor, Documents, Store, StoreError};

use super::prune::PERIODS_PAGE;
use super::taking::Taking;
use super::{
    FEED_SHARDS, Feed, FeedConsumer, FeedHour, FeedPeriod, FeedPoint, FeedPresent, FeedShard,
};

/// The kind of the documents. They go into no export: touches do not either.
pub(crate) const POSITIONS: &str = "feed_positions";

/// Chats taken at once by who begins from nothing, between two writes of its position.
const WALK_PAGE: usize = 64;

/// Positions read at once: there are as many as consumers.
const POSITIONS_PAGE: usize = 100;

/// How often a position that is being written meanwhile is made void anew.
const VOID_TRIES: usize = 8;

/// The last process's latest hours in which it may have written when the next one started: the last one, and
/// the one before, of which an append may have been under way.
const HOURS_UNDER_WAY: u64 = 1;

pub(super) type Points = [FeedPoint; FEED_SHARDS as usize];

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stand {
    /// Nothing counts.
    Nothing,
    /// All chats are taken; then it follows from those points.
    Walking {
        from: Points,
        walk: Walk,
    },
    Following(Points),
}

/// How far it is on its way from nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walk {
    leg: Leg,
    /// Where the leg goes on.
    at: Option<Cursor>,
    done: u64,
    /// Begun off-line, after the process of this position had ended, and followed by no other process.
    is_off_line: bool,
}

/// What it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    /// The chats that the store has.
    Stored,
    /// Those that the consumer holds: one of them may have gone unseen.
    Held,
}

/// See the module. Several of one consumer at a time would each pass what the other takes: one process
/// follows, with one position a consumer.
#[derive(Debug)]
pub struct FeedPosition {
    process: u64,
    pub(super) stand: Stand,
    document: Remembered,
    pub(super) taking: Taking,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PositionRecord {
    process: u64,
    points: Vec<PointRecord>,
    walk: Option<WalkRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PointRecord {
    process: u64,
    hour: u64,
    after: Option<Uuid>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WalkRecord {
    held: bool,
    at: Option<Vec<u8>>,
    done: u64,
    off_line: bool,
}

impl From<&Walk> for WalkRecord {
    fn from(Walk { leg, at, done, is_off_line }: &Walk) -> Self {
        let at = at.as_ref().map(|at| at.raw().to_vec());
        Self { held: *leg == Leg::Held, at, done: *done, off_line: *is_off_line }
    }
}

impl From<WalkRecord> for Walk {
    fn from(WalkRecord { held, at, done, off_line }: WalkRecord) -> Self {
        let leg = if held { Leg::Held } else { Leg::Stored };
        Self { leg, at: at.map(Cursor::new), done, is_off_line: off_line }
    }
}

impl From<FeedPoint> for PointRecord {
    fn from(point: FeedPoint) -> Self {
        let FeedPoint { period: FeedPeriod { process, hour }, after } = point;
        Self { process, hour: hour.0, after: after.map(|chat| chat.0) }
    }
}

impl From<&PointRecord> for FeedPoint {
    fn from(record: &PointRecord) -> Self {
        let period = FeedPeriod { process: record.process, hour: FeedHour(record.hour) };
        Self { period, after: record.after.map(ChatId) }
    }
}

impl PositionRecord {
    /// Where each shard goes on. None: it is not whole.
    fn points(&self) -> Option<Points> {
        let points: Vec<FeedPoint> = self.points.iter().map(FeedPoint::from).collect();
        points.try_into().ok()
    }

    fn counts_for(&self, process: u64) -> bool {
        self.process == process || self.process.checked_add(1) == Some(process)
    }

    /// None: it is not whole.
    fn stand(self) -> Option<Stand> {
        let points = self.points()?;
        Some(match self.walk {
            Some(walk) => Stand::Walking { from: points, walk: walk.into() },
            None => Stand::Following(points),
        })
    }
}

impl FeedPosition {
    /// The position of a consumer as the process before this one left it, said by this process from now on;
    /// durable when it answers. At the start of each process, right after it has its number and before
    /// anything is appended; and again whenever a write of it failed.
    pub async fn adopt(
        documents: &dyn Documents,
        name: &'static str,
        process: u64,
    ) -> Result<Self, StoreError> {
        let loaded = Remembered::load::<PositionRecord>(documents, POSITIONS, name).await?;
        let (document, said) = loaded;
        let counts = said.filter(|said| said.counts_for(process));
        let ours = counts.as_ref().is_some_and(|said| said.process == process);
        let mut stand = counts.and_then(PositionRecord::stand).unwrap_or(Stand::Nothing);
        if let Stand::Walking { walk, .. } = &mut stand {
            // What it has taken so far may change from here on.
            walk.is_off_line = false;
        }
        let mut position = Self { process, stand, document, taking: Taking::default() };
        if !ours && position.stand != Stand::Nothing {
            position.save(documents).await?;
        }
        Ok(position)
    }

    /// The way from nothing that was begun off-line, after the last process had ended, and that no process has
    /// gone on with; else nothing. Writes nothing: so what the next process may adopt stays what it was.
    async fn off_line(
        documents: &dyn Documents,
        name: &'static str,
        last_process: u64,
    ) -> Result<Self, StoreError> {
        let loaded = Remembered::load::<PositionRecord>(documents, POSITIONS, name).await?;
        let (document, said) = loaded;
        let said = said.filter(|said| said.process == last_process);
        let stand = said.and_then(PositionRecord::stand);
        let ours = |stand: &Stand| matches!(stand, Stand::Walking { walk, .. } if walk.is_off_line);
        let stand = stand.filter(ours).unwrap_or(Stand::Nothing);
        Ok(Self { process: last_process, stand, document, taking: Taking::default() })
    }

    /// From where a process of this number would follow, if it adopts a position and has taken all chats. Writes
    /// nothing.
    pub(super) async fn points_of(
        documents: &dyn Documents,
        name: &'static str,
        process: u64,
    ) -> Result<Option<Points>, StoreError> {
        let said = Remembered::read::<PositionRecord>(documents, POSITIONS, name).await?;
        let counts = said.filter(|said| said.counts_for(process));
        Ok(match counts.and_then(PositionRecord::stand) {
            Some(Stand::Following(points)) => Some(points),
            Some(Stand::Nothing | Stand::Walking { .. }) | None => None,
        })
    }

    /// The same, of what this process has adopted: as it is in the store. Answers whether it is there as it
    /// was here, so that a pass of it goes on.
    pub async fn adopt_again(&mut self, documents: &dyn Documents) -> Result<bool, StoreError> {
        let name = self.document.id();
        let stored = Self::adopt(documents, name, self.process).await?;
        self.document = stored.document;
        let same = stored.stand == self.recorded();
        if !same {
            self.stand = stored.stand;
            self.taking.forget_aside();
        }
        Ok(same)
    }

    /// How many chats it has taken on its way from nothing; none: it follows.
    pub fn from_nothing(&self) -> Option<u64> {
        match self.stand {
            Stand::Nothing => Some(0),
            Stand::Walking { walk: Walk { done, .. }, .. } => Some(done),
            Stand::Following(_) => None,
        }
    }

    /// Whether it has noted from where it is to follow.
    pub fn is_begun(&self) -> bool {
        self.stand != Stand::Nothing
    }

    /// Where a shard goes on. None: nothing counts yet.
    pub fn at(&self, shard: FeedShard) -> Option<FeedPoint> {
        match &self.stand {
            Stand::Nothing => None,
            Stand::Walking { from: points, .. } | Stand::Following(points) => {
                points.get(usize::from(shard.number())).copied()
            }
        }
    }

    /// What is written down: it stays before what is set aside.
    pub(super) fn recorded(&self) -> Stand {
        let mut stand = self.stand.clone();
        if let Stand::Walking { from: points, .. } | Stand::Following(points) = &mut stand {
            for (shard, point) in FeedShard::all().zip(points) {
                *point = self.taking.held(shard, *point);
            }
        }
        stand
    }

    pub(super) async fn save(&mut self, documents: &dyn Documents) -> Result<(), StoreError> {
        let recorded = self.recorded();
        let (points, walk) = match &recorded {
            Stand::Nothing => return Ok(()),
            Stand::Walking { from, walk } => (from, Some(WalkRecord::from(walk))),
            Stand::Following(points) => (points, None),
        };
        let points = points.iter().copied().map(PointRecord::from).collect();
        let record = PositionRecord { process: self.process, points, walk };
        self.document.save(documents, &record).await
    }

    /// Notes from where it is to follow, once all chats are taken; durable when it answers. Not while
    /// touches are being removed.
    pub async fn begin(
        &mut self,
        feed: &dyn Feed,
        documents: &dyn Documents,
        present: FeedPresent,
    ) -> Result<(), StoreError> {
        self.begin_walk(feed, documents, present, false).await
    }

    async fn begin_walk(
        &mut self,
        feed: &dyn Feed,
        documents: &dyn Documents,
        present: FeedPresent,
        is_off_line: bool,
    ) -> Result<(), StoreError> {
        let from = match present.unsettled() {
            FeedPeriod::FIRST => under_way(feed, present).await?,
            unsettled => unsettled,
        };
        let from = [FeedPoint::begin(from); FEED_SHARDS as usize];
        let walk = Walk { leg: Leg::Stored, at: None, done: 0, is_off_line };
        self.stand = Stand::Walking { from, walk };
        self.save(documents).await
    }

    /// Takes the next page of all chats, or behind them of what the consumer holds, on the way from nothing;
    /// answers whether those were the last.
    /// Errors with what the consumer or the store met: then the position is to be adopted again, and what
    /// was taken since may be taken again.
    pub async fn walk(
        &mut self,
        store: &Store,
        consumer: &dyn FeedConsumer,
    ) -> Result<bool, StoreError> {
        let Stand::Walking { from, walk } = &self.stand else { return Ok(true) };
        let (from, walk) = (*from, walk.clone());
        let page = match walk.leg {
            Leg::Stored => store.inventory.chats(walk.at.as_ref(), WALK_PAGE).await?,
            Leg::Held => consumer.held(walk.at.as_ref(), WALK_PAGE).await?,
        };
        // None is set aside on this way: its touch may lie long before where it follows from.
        for chat in &page.items {
            self.take(consumer, *chat).await?;
        }
        let done = walk.done + page.items.len() as u64;
        let leg = match (walk.leg, page.next.is_some()) {
            (leg, true) => Some(leg),
            (Leg::Stored, false) => Some(Leg::Held),
            (Leg::Held, false) => None,
        };
        self.stand = match leg {
            Some(leg) => Stand::Walking { from, walk: Walk { leg, at: page.next, done, ..walk } },
            None => Stand::Following(from),
        };
        self.save(&*store.documents).await?;
        Ok(leg.is_none())
    }

    /// Has the consumer take a chat. One that cannot be read hinders no other.
    pub async fn take(
        &mut self,
        consumer: &dyn FeedConsumer,
        chat: ChatId,
    ) -> Result<(), StoreError> {
        let taken = consumer.take(chat).await;
        self.taking.settle(consumer, chat, taken)
    }
}

/// The first period in which a former process may still have something under way.
async fn under_way(feed: &dyn Feed, present: FeedPresent) -> Result<FeedPeriod, StoreError> {
    let (mut from, mut latest) = (FeedPeriod::FIRST, None);
    loop {
        let periods = feed.periods(from, PERIODS_PAGE).await?;
        latest =
            periods.iter().rfind(|period| period.process < present.process).copied().or(latest);
        match periods.last().filter(|_| periods.len() >= PERIODS_PAGE) {
            Some(last) => from = last.next(),
            None => break,
        }
    }
    let first = FeedPeriod { process: present.process, hour: FeedHour(0) };
    Ok(latest.map_or(first, |FeedPeriod { process, hour: FeedHour(hour) }| FeedPeriod {
        process,
        hour: FeedHour(hour.saturating_sub(HOURS_UNDER_WAY)),
    }))
}

/// Has a consumer take all chats of a store on which no router runs, and what it holds of others; the next
/// start goes on from there. Whatever position it had is gone, but for that of a former call after which no
/// process has run: that one it goes on with. Says how many chats are taken, now and then, and answers it.
/// Errors with what the consumer or the store met; the next time goes on.
pub async fn follow_from_nothing(
    store: &Store,
    consumer: &dyn FeedConsumer,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<u64, StoreError> {
    let process = store.inventory.last_process().await?;
    let mut position = FeedPosition::off_line(&*store.documents, consumer.name(), process).await?;
    if !position.is_begun() {
        // As of a process that has just ended: what it had under way is taken again.
        let next = process.saturating_add(1);
        let present = FeedPresent { process: next, runs_ms: 0, now: Timestamp::default() };
        position.begin_walk(&*store.feed, &*store.documents, present, true).await?;
    }
    let mut taken = 0;
    while let Some(done) = position.from_nothing() {
        taken = done;
        progress(done);
        position.walk(store, consumer).await?;
    }
    Ok(taken)
}

/// Makes a consumer's position void: it begins from nothing. Durable when it answers.
pub async fn void(documents: &dyn Documents, name: &str) -> Result<(), StoreError> {
    let mut version = version_of(documents, POSITIONS, name).await?;
    for _ in 0..VOID_TRIES {
        // Nothing is what a position never says.
        match documents.put(POSITIONS, name, version, b"null".to_vec()).await {
            Err(StoreError::VersionConflict { found, .. }) => version = found,
            put => return put.map(drop),
        }
    }
    let reason = format!("the position of {name} in the feed is being written all the time");
    Err(StoreError::Unavailable { reason })
}

/// Makes all positions void.
pub(crate) async fn void_all(documents: &dyn Documents) -> Result<(), StoreError> {
    void_those(documents, "the store was set back", |_| true).await
}

/// Makes those void that have not looked at all before this period.
pub(super) async fn void_behind(
    documents: &dyn Documents,
    before: FeedPeriod,
) -> Result<(), StoreError> {
    let behind = |body: &[u8]| {
        let said = serde_json::from_slice::<PositionRecord>(body).ok();
        let points = said.and_then(|said| said.points());
        // One that cannot be read does not count anyway.
        points.is_some_and(|points| points.iter().any(|point| *point < FeedPoint::begin(before)))
    };
    void_those(documents, "it was behind what is kept", behind).await
}

async fn void_those(
    documents: &dyn Documents,
    why: &str,
    which: impl Fn(&[u8]) -> bool,
) -> Result<(), StoreError> {
    let mut after: Option<String> = None;
    loop {
        let found = documents.list(POSITIONS, after.as_deref(), POSITIONS_PAGE).await?;
        let Some(last) = found.last() else { return Ok(()) };
        after = Some(last.id.clone());
        for listed in &found {
            if listed.body.as_ref().is_ok_and(|body| which(body)) {
                tracing::warn!(
                    consumer = listed.id,
                    why,
                    "the position of a consumer of the feed is void, and it begins from nothing"
                );
                void(documents, &listed.id).await?;
            }
        }
    }
}

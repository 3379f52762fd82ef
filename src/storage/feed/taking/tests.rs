use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::*;
use crate::domain::{ChatEvent, Timestamp};
use crate::storage::memory::MemoryStore;
use crate::storage::{
    FEED_HOUR_MS, FEED_SETTLES_MS, FEED_SHARDS, Feed, FeedHour, FeedPage, FeedPeriod, FeedPosition,
    FeedPresent, Store,
};

/// Fails on some chats.
#[derive(Default)]
struct Choosy {
    fails: Mutex<BTreeSet<ChatId>>,
    taken: Mutex<BTreeMap<ChatId, usize>>,
    /// How many are under way, and the most there were.
    under_way: Mutex<(usize, usize)>,
}

#[async_trait]
impl FeedConsumer for Choosy {
    fn name(&self) -> &'static str {
        "test"
    }

    fn concerns(&self, _: &ChatEvent) -> bool {
        true
    }

    async fn take(&self, chat: ChatId) -> Result<(), StoreError> {
        let count = |more: bool| {
            let (now, most) = &mut *self.under_way.lock().unwrap();
            *now = if more { *now + 1 } else { *now - 1 };
            *most = (*most).max(*now);
        };
        count(true);
        tokio::task::yield_now().await;
        count(false);
        if self.fails.lock().unwrap().contains(&chat) {
            return Err(StoreError::Unavailable { reason: "says a test".to_owned() });
        }
        *self.taken.lock().unwrap().entry(chat).or_default() += 1;
        Ok(())
    }
}

/// A feed of which a shard cannot be read.
struct Damaged(Arc<dyn Feed>, FeedShard);

#[async_trait]
impl Feed for Damaged {
    async fn touch(&self, chat: ChatId, period: FeedPeriod) -> Result<(), StoreError> {
        self.0.touch(chat, period).await
    }

    async fn changed(
        &self,
        shard: FeedShard,
        from: FeedPoint,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        if shard == self.1 {
            return Err(StoreError::Damaged { reason: "says a test".to_owned() });
        }
        self.0.changed(shard, from, limit).await
    }

    async fn periods(&self, from: FeedPeriod, limit: usize) -> Result<Vec<FeedPeriod>, StoreError> {
        self.0.periods(from, limit).await
    }

    async fn remove_before(&self, before: FeedPeriod) -> Result<bool, StoreError> {
        self.0.remove_before(before).await
    }
}

const HOUR: FeedPeriod = period(1, 470_000);

const fn period(process: u64, hour: u64) -> FeedPeriod {
    FeedPeriod { process, hour: FeedHour(hour) }
}

fn chat(n: u128) -> ChatId {
    ChatId::from_u128(n)
}

/// The hour has settled just now.
fn settled() -> FeedPresent {
    let now = HOUR.hour.begin().plus_ms(FEED_HOUR_MS + FEED_SETTLES_MS);
    FeedPresent { process: 1, runs_ms: 3 * FEED_HOUR_MS, now }
}

async fn adopt(store: &Store) -> FeedPosition {
    FeedPosition::adopt(&*store.documents, "test", 1).await.unwrap()
}

/// A consumer that follows, and so many chats that were touched in the hour.
async fn touched(store: &Store, chats: u128) -> FeedPosition {
    let mut position = adopt(store).await;
    let before = FeedPresent { now: HOUR.hour.begin().plus_ms(FEED_SETTLES_MS), ..settled() };
    position.begin(&*store.feed, &*store.documents, before).await.unwrap();
    while !position.walk(store, &Choosy::default()).await.unwrap() {}
    for n in 0..chats {
        store.feed.touch(chat(n), HOUR).await.unwrap();
    }
    position
}

/// How often a pass fails.
async fn pass(store: &Store, position: &mut FeedPosition, consumer: &Choosy) -> u32 {
    let (mut pass, mut failures) = (position.pass(settled()), 0);
    loop {
        match position.follow(&mut pass, store, consumer).await {
            Ok(true) => return failures,
            Ok(false) => {}
            Err(_) => {
                failures += 1;
                assert!(failures < 100, "it does not come to an end");
                assert!(position.adopt_again(&*store.documents).await.unwrap(), "it goes on");
            }
        }
    }
}

#[tokio::test]
async fn a_chat_that_keeps_failing_is_set_aside_and_the_others_are_taken_once() {
    let store = MemoryStore::new().store();
    let mut position = touched(&store, 400).await;
    let consumer = Choosy::default();
    // Two of a shard, in its midst.
    let bad = [chat(0x85), chat(0x95)];
    let shard = FeedShard::of(bad[0]);
    consumer.fails.lock().unwrap().extend(bad);
    let failures = pass(&store, &mut position, &consumer).await;
    assert!((FAILURES_IN_A_ROW - 1..2 * FAILURES_IN_A_ROW).contains(&failures), "{failures}");
    assert_eq!(position.aside(), 2);
    let taken = consumer.taken.lock().unwrap().clone();
    assert_eq!((taken.len(), taken.values().max()), (398, Some(&1)));
    // Whoever goes on from what is in the store comes by them again, and by no others' hours.
    let stored = adopt(&store).await;
    for of in FeedShard::all() {
        let at = if of == shard { HOUR } else { HOUR.next() };
        assert_eq!(stored.at(of), Some(FeedPoint::begin(at)), "{of:?}");
    }
    // Here, the others of their shard are not taken again.
    assert_eq!(pass(&store, &mut position, &consumer).await, 0);
    assert_eq!(*consumer.taken.lock().unwrap(), taken);
    // One is healed, and then the other.
    for bad in bad {
        assert_eq!(adopt(&store).await.at(shard), Some(FeedPoint::begin(HOUR)));
        consumer.fails.lock().unwrap().remove(&bad);
        position.take_aside(&*store.documents, &consumer).await.unwrap();
    }
    assert_eq!(adopt(&store).await.at(shard), Some(FeedPoint::begin(HOUR.next())));
    assert_eq!((position.aside(), consumer.taken.lock().unwrap().len()), (0, 400));
}

#[tokio::test]
async fn only_so_many_chats_are_set_aside() {
    let store = MemoryStore::new().store();
    let mut position = touched(&store, 0).await;
    let consumer = Choosy::default();
    let all: BTreeSet<_> = (0..3 * ASIDE_MAX as u128).map(chat).collect();
    consumer.fails.lock().unwrap().extend(&all);
    let mut left = all.clone();
    for _ in 0..1_000 {
        position.take_all(&consumer, &mut left).await.unwrap_err();
    }
    assert_eq!((position.aside(), left.len()), (ASIDE_MAX, 2 * ASIDE_MAX));
    consumer.fails.lock().unwrap().clear();
    position.take_all(&consumer, &mut left).await.unwrap();
    assert_eq!(left, BTreeSet::new());
}

#[tokio::test]
async fn several_chats_are_taken_at_once() {
    let store = MemoryStore::new().store();
    let mut position = touched(&store, 400).await;
    let consumer = Choosy::default();
    assert_eq!(pass(&store, &mut position, &consumer).await, 0);
    assert_eq!(*consumer.under_way.lock().unwrap(), (0, TAKEN_AT_ONCE));
}

#[tokio::test]
async fn a_pass_takes_a_chat_of_many_hours_once() {
    let store = MemoryStore::new().store();
    let mut position = touched(&store, 1).await;
    for hour in 0..1_200 {
        store.feed.touch(chat(0), period(1, HOUR.hour.0 + hour)).await.unwrap();
    }
    let consumer = Choosy::default();
    pass(&store, &mut position, &consumer).await;
    assert_eq!(*consumer.taken.lock().unwrap(), [(chat(0), 1)].into());
    // The next pass takes it again: not all of it had settled.
    pass(&store, &mut position, &consumer).await;
    assert_eq!(*consumer.taken.lock().unwrap(), [(chat(0), 2)].into());
}

#[tokio::test]
async fn a_damaged_shard_holds_up_its_own_position_and_says_so() {
    for damaged in FeedShard::all() {
        let mut store = MemoryStore::new().store();
        let mut position = touched(&store, 400).await;
        assert_eq!(position.waits_since(settled()), Some(settled().now), "not passed yet");
        store.feed = Arc::new(Damaged(store.feed, damaged));
        assert_eq!(pass(&store, &mut position, &Choosy::default()).await, 0);
        let stored = adopt(&store).await;
        for of in FeedShard::all() {
            let at = if of == damaged { HOUR } else { HOUR.next() };
            assert_eq!(stored.at(of), Some(FeedPoint::begin(at)), "{of:?} of {FEED_SHARDS}");
        }
        assert_eq!(position.waits_since(settled()), Some(settled().now));
    }
}

#[tokio::test]
async fn nothing_waits_once_all_is_passed_and_what_is_not_waits_since_it_settled() {
    let store = MemoryStore::new().store();
    let mut position = touched(&store, 3).await;
    pass(&store, &mut position, &Choosy::default()).await;
    assert_eq!(position.waits_since(settled()), None);
    let now = settled().now.plus_ms(5 * FEED_HOUR_MS);
    let later = FeedPresent { now, runs_ms: 8 * FEED_HOUR_MS, ..settled() };
    let next = settled().now.plus_ms(FEED_HOUR_MS);
    assert_eq!(position.waits_since(later), Some(next));
    // What a former process left has settled some time after the start, whatever its clock said.
    let began = Timestamp(later.now.0 - 2 * FEED_SETTLES_MS);
    let young = FeedPresent { process: 2, runs_ms: 2 * FEED_SETTLES_MS, ..later };
    assert_eq!(position.waits_since(young), Some(began.plus_ms(FEED_SETTLES_MS)));
    let younger = FeedPresent { runs_ms: FEED_SETTLES_MS - 1, ..young };
    assert_eq!(position.waits_since(younger), None, "nothing of it has settled");
}

#[tokio::test]
async fn what_is_set_aside_before_it_begins_holds_nothing_until_it_fails_in_the_feed() {
    let store = MemoryStore::new().store();
    let (consumer, bad) = (Choosy::default(), chat(5));
    consumer.fails.lock().unwrap().insert(bad);
    let mut position = adopt(&store).await;
    for n in 1..=FAILURES_IN_A_ROW {
        let taken = position.take_all(&consumer, &mut [bad].into()).await;
        assert_eq!(taken.is_ok(), n == FAILURES_IN_A_ROW);
    }
    position.begin(&*store.feed, &*store.documents, settled()).await.unwrap();
    let (shard, next) = (FeedShard::of(bad), HOUR.next());
    assert_eq!(adopt(&store).await.at(shard), Some(FeedPoint::begin(next)));
    while !position.walk(&store, &consumer).await.unwrap() {}
    store.feed.touch(bad, next).await.unwrap();
    let later = FeedPresent { now: settled().now.plus_ms(FEED_HOUR_MS), ..settled() };
    let mut pass = position.pass(later);
    while !position.follow(&mut pass, &store, &consumer).await.unwrap() {}
    assert_eq!(adopt(&store).await.at(shard), Some(FeedPoint::begin(next)), "it stays before it");
    assert_eq!(adopt(&store).await.at(FeedShard::of(chat(6))), Some(FeedPoint::begin(next.next())));
}

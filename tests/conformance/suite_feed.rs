//! What a store promises of the feed of what changed.

use async_trait::async_trait;
use switchboard::domain::{ChatId, Timestamp};
use switchboard::storage::{
    AppendError, FEED_HOUR_MS, FEED_SETTLES_MS, FeedConsumer, FeedHour, FeedPosition, FeedShard,
    Store, StoreError, Touched,
};

use crate::samples::{chat, message};
use crate::subject::Subject;

/// Chats of one shard, in the order of their ids.
fn of_one_shard(n: u128) -> Vec<ChatId> {
    (1..=n).map(|n| chat(n << 8)).collect()
}

async fn changed(
    store: &Store,
    shard: FeedShard,
    after: Option<Touched>,
    limit: usize,
) -> Vec<(u64, ChatId)> {
    let found = store.feed.changed(shard, after, limit).await.unwrap();
    found.into_iter().map(|touched| (touched.hour.0, touched.chat)).collect()
}

async fn all(store: &Store) -> Vec<(u64, ChatId)> {
    let mut found = Vec::new();
    for shard in FeedShard::all() {
        found.extend(changed(store, shard, None, 10_000).await);
    }
    found.sort_unstable();
    found
}

pub async fn touches_are_listed_by_shard_in_order(subject: Subject) {
    let chats = of_one_shard(3);
    let shard = FeedShard::of(chats[0]);
    assert_eq!(chats.iter().map(|chat| FeedShard::of(*chat)).collect::<Vec<_>>(), [shard; 3]);
    let store = &subject.store;
    assert_eq!((all(store).await, store.feed.newest().await), (Vec::new(), Ok(None)));
    let made = [(9, 1), (7, 2), (7, 0), (400_000, 0), (8, 2), (9, 1), (7, 2)];
    for (hour, n) in made {
        store.feed.touch(chats[n], FeedHour(hour)).await.unwrap();
    }
    let other = chat(1);
    assert_ne!(FeedShard::of(other), shard);
    store.feed.touch(other, FeedHour(8)).await.unwrap();
    let listed = [(7, 0), (7, 2), (8, 2), (9, 1), (400_000, 0)].map(|(hour, n)| (hour, chats[n]));
    let subject = subject.restart().await;
    let store = &subject.store;
    assert_eq!(changed(store, shard, None, 99).await, listed, "each once");
    assert_eq!(changed(store, FeedShard::of(other), None, 99).await, [(8, other)]);
    for limit in 1..=listed.len() {
        let mut at = None;
        for rest in (0..=listed.len()).map(|n| &listed[n..]) {
            let page = changed(store, shard, at, limit).await;
            assert_eq!(page, rest[..limit.min(rest.len())], "{limit} behind {at:?}");
            at = rest.first().map(|(hour, chat)| Touched { hour: FeedHour(*hour), chat: *chat });
        }
    }
    // Behind what was never touched.
    let between = Touched { hour: FeedHour(8), chat: chats[0] };
    assert_eq!(changed(store, shard, Some(between), 9).await, listed[2..]);
    let far = Touched { hour: FeedHour(500_000), chat: chats[0] };
    assert_eq!(changed(store, shard, Some(far), 9).await, []);
    assert_eq!(store.feed.newest().await, Ok(Some(FeedHour(400_000))));
}

pub async fn touches_that_are_made_at_once_are_all_there(subject: Subject) {
    let mut making = tokio::task::JoinSet::new();
    for n in 0..400_u128 {
        let feed = std::sync::Arc::clone(&subject.store.feed);
        // Two at a time make the same one.
        making.spawn(async move { feed.touch(chat(n / 2), FeedHour(7 + n as u64 % 3)).await });
    }
    assert!(making.join_all().await.iter().all(Result::is_ok));
    let made: std::collections::BTreeSet<_> =
        (0..400_u128).map(|n| (7 + n as u64 % 3, chat(n / 2))).collect();
    let made: Vec<_> = made.into_iter().collect();
    assert_eq!(all(&subject.store).await, made);
    assert_eq!(all(&subject.restart().await.store).await, made);
}

pub async fn a_touch_stays_whatever_becomes_of_its_append(subject: Subject) {
    let store = &subject.store;
    let hour = FeedHour(7);
    // The process ends between the two.
    store.feed.touch(chat(1), hour).await.unwrap();
    let subject = subject.restart().await;
    let store = &subject.store;
    // Whose claim is taken meanwhile harms nobody.
    let fenced = store.log.claim(chat(2)).await.unwrap().claim;
    let claim = store.log.claim(chat(2)).await.unwrap().claim;
    store.feed.touch(chat(2), hour).await.unwrap();
    assert_eq!(store.log.append(fenced, vec![message(1, "hi")]).await, Err(AppendError::Fenced));
    store.feed.touch(chat(2), hour).await.unwrap();
    store.log.append(claim, vec![message(1, "hi")]).await.unwrap();
    assert_eq!(all(store).await, [(7, chat(1)), (7, chat(2))]);
    // Who follows reads the log, and finds what is there.
    assert_eq!(store.log.read(chat(1), 1, 9).await.unwrap(), []);
    assert_eq!(store.log.read(chat(2), 1, 9).await.unwrap(), [message(1, "hi")]);
    // Also of a chat that is forgotten.
    store.log.forget(chat(2)).await.unwrap();
    store.feed.touch(chat(2), FeedHour(8)).await.unwrap();
    assert_eq!(store.log.read(chat(2), 1, 9).await.unwrap(), []);
}

pub async fn old_hours_of_the_feed_go_and_the_newest_stays(subject: Subject) {
    let store = &subject.store;
    assert_eq!(store.feed.remove_before(FeedHour(9)).await, Ok(false));
    for hour in 5..=8 {
        for n in 0..100 {
            store.feed.touch(chat(n), FeedHour(hour)).await.unwrap();
        }
    }
    let hours = async |store: &Store| -> Vec<u64> {
        let found = all(store).await;
        let mut hours: Vec<_> = found.iter().map(|(hour, _)| *hour).collect();
        hours.dedup();
        assert_eq!(found.len(), hours.len() * 100);
        hours
    };
    let remove = async |store: &Store, before| {
        while store.feed.remove_before(FeedHour(before)).await.unwrap() {}
    };
    remove(store, 5).await;
    assert_eq!(hours(store).await, [5, 6, 7, 8]);
    remove(store, 7).await;
    assert_eq!(hours(store).await, [7, 8]);
    let subject = subject.restart().await;
    let store = &subject.store;
    remove(store, 1_000).await;
    assert_eq!(hours(store).await, [8], "whoever begins next begins behind it");
    assert_eq!(store.feed.newest().await, Ok(Some(FeedHour(8))));
    store.feed.touch(chat(1), FeedHour(9)).await.unwrap();
    remove(store, 1_000).await;
    assert_eq!(all(&subject.restart().await.store).await, [(9, chat(1))]);
}

/// Takes what it is given, until it has taken so many.
struct Taking {
    taken: Vec<ChatId>,
    until: usize,
}

#[async_trait]
impl FeedConsumer for Taking {
    fn name(&self) -> &'static str {
        "test"
    }

    async fn take(&mut self, chat: ChatId) -> Result<(), StoreError> {
        if self.taken.len() >= self.until {
            return Err(StoreError::Unavailable { reason: "says a test".to_owned() });
        }
        self.taken.push(chat);
        Ok(())
    }
}

/// What is taken by a consumer that begins where the last one has come.
async fn follow(store: &Store, now: Timestamp, until: usize) -> Vec<ChatId> {
    let mut position = FeedPosition::load(&*store.documents, "test").await.unwrap();
    let mut consumer = Taking { taken: Vec::new(), until };
    let followed = position.follow(&*store.feed, &*store.documents, now, &mut consumer).await;
    assert_eq!(followed.is_ok(), consumer.taken.len() < until, "{followed:?}");
    let mut taken = consumer.taken;
    taken.sort_unstable();
    taken
}

pub async fn a_consumer_takes_each_change_at_least_once(subject: Subject) {
    let store = &subject.store;
    let (old, new) = (FeedHour(470_000), FeedHour(470_001));
    for n in 0..40 {
        store.feed.touch(chat(n), old).await.unwrap();
    }
    store.feed.touch(chat(3), new).await.unwrap();
    let settled = |hour: FeedHour| hour.begin().plus_ms(FEED_HOUR_MS + FEED_SETTLES_MS);
    let everything: Vec<_> = (0..4).chain(3..40).map(chat).collect();
    // Neither hour has settled: a touch covers what is appended after it, so both are taken again.
    let early = Timestamp(settled(old).0 - 1);
    assert_eq!(follow(store, early, usize::MAX).await, everything);
    assert_eq!(follow(store, early, usize::MAX).await, everything);
    // The old one has, and the consumer fails in its midst: where it stopped it goes on.
    let first = follow(store, settled(old), 13).await;
    assert_eq!(first.len(), 13);
    let subject = subject.restart().await;
    let store = &subject.store;
    let rest = follow(store, settled(old), usize::MAX).await;
    let mut both: Vec<_> = first.into_iter().chain(rest).collect();
    both.sort_unstable();
    both.dedup();
    assert_eq!(both, (0..40).map(chat).collect::<Vec<_>>(), "none is passed over");
    // What was touched after it has been passed is of a later hour.
    store.feed.touch(chat(50), new).await.unwrap();
    assert_eq!(follow(store, settled(old), usize::MAX).await, [3, 50].map(chat));
    assert_eq!(follow(store, settled(new), usize::MAX).await, [3, 50].map(chat));
    let subject = subject.restart().await;
    assert_eq!(follow(&subject.store, settled(new), usize::MAX).await, []);
}

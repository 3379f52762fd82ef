//! What a store promises of the feed of what changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use switchboard::domain::ChatId;
use switchboard::storage::{
    AppendError, FeedHour, FeedPeriod, FeedPoint, FeedShard, Store, Touched,
};

use crate::samples::{chat, message};
use crate::subject::Subject;

/// An hour of a process.
pub fn period(process: u64, hour: u64) -> FeedPeriod {
    FeedPeriod { process, hour: FeedHour(hour) }
}

/// Chats of one shard, in the order of their ids.
fn of_one_shard(n: u128) -> Vec<ChatId> {
    (1..=n).map(|n| chat(n << 8)).collect()
}

/// All pages of a shard from a point on.
async fn changed(
    store: &Store,
    shard: FeedShard,
    from: FeedPoint,
    limit: usize,
) -> Vec<(FeedPeriod, ChatId)> {
    let (mut at, mut found) = (Some(from), Vec::new());
    while let Some(from) = at {
        let page = store.feed.changed(shard, from, limit).await.unwrap();
        assert!(page.touched.len() <= limit && page.next.is_none_or(|next| next > from));
        found.extend(page.touched.iter().map(|touched| (touched.period, touched.chat)));
        at = page.next;
    }
    found
}

/// All that is touched.
pub async fn all(store: &Store) -> Vec<(FeedPeriod, ChatId)> {
    let mut found = Vec::new();
    for shard in FeedShard::all() {
        found.extend(changed(store, shard, FeedPoint::begin(FeedPeriod::FIRST), 10_000).await);
    }
    found.sort_unstable();
    found
}

pub async fn touches_are_listed_by_shard_in_order(subject: Subject) {
    let chats = of_one_shard(3);
    let shard = FeedShard::of(chats[0]);
    assert_eq!(chats.iter().map(|chat| FeedShard::of(*chat)).collect::<Vec<_>>(), [shard; 3]);
    let store = &subject.store;
    let from = FeedPeriod::FIRST;
    assert_eq!((all(store).await, store.feed.periods(from, 9).await), (Vec::new(), Ok(Vec::new())));
    // A later process comes behind an earlier one, whose clock was ahead.
    let made = [(2, 9, 1), (2, 7, 2), (2, 7, 0), (1, 400_000, 0), (2, 8, 2), (2, 9, 1), (2, 7, 2)];
    for (process, hour, n) in made {
        store.feed.touch(chats[n], period(process, hour)).await.unwrap();
    }
    let other = chat(1);
    assert_ne!(FeedShard::of(other), shard);
    store.feed.touch(other, period(2, 8)).await.unwrap();
    store.feed.touch(other, period(3, 1)).await.unwrap();
    let listed = [(1, 400_000, 0), (2, 7, 0), (2, 7, 2), (2, 8, 2), (2, 9, 1)];
    let listed = listed.map(|(process, hour, n)| (period(process, hour), chats[n]));
    let subject = subject.restart().await;
    let store = &subject.store;
    let begin = FeedPoint::begin(from);
    let others = changed(store, FeedShard::of(other), begin, 99).await;
    assert_eq!(others, [(period(2, 8), other), (period(3, 1), other)]);
    for limit in 1..=listed.len() + 1 {
        assert_eq!(changed(store, shard, begin, limit).await, listed, "{limit} a page, each once");
        for n in 0..listed.len() {
            let (period, chat) = listed[n];
            let behind = FeedPoint::behind(Touched { period, chat });
            assert_eq!(changed(store, shard, behind, limit).await, listed[n + 1..]);
        }
    }
    // From what was never touched.
    let between = FeedPoint { period: period(2, 8), after: Some(chats[0]) };
    assert_eq!(changed(store, shard, between, 9).await, listed[3..]);
    let between = FeedPoint::begin(period(1, 400_001));
    assert_eq!(changed(store, shard, between, 9).await, listed[1..]);
    assert_eq!(changed(store, shard, FeedPoint::begin(period(2, 10)), 9).await, []);
    let periods = [period(1, 400_000), period(2, 7), period(2, 8), period(2, 9), period(3, 1)];
    for (n, at) in periods.into_iter().enumerate() {
        assert_eq!(store.feed.periods(at, 99).await.unwrap(), periods[n..]);
        assert_eq!(
            store.feed.periods(at, 2).await.unwrap(),
            periods[n..(n + 2).min(periods.len())]
        );
    }
    assert_eq!(store.feed.periods(period(2, 10), 9).await.unwrap(), [period(3, 1)]);
}

pub async fn touches_that_are_made_at_once_are_all_there(subject: Subject) {
    let mut making = tokio::task::JoinSet::new();
    for n in 0..400_u128 {
        let feed = Arc::clone(&subject.store.feed);
        // Two at a time make the same one.
        making.spawn(async move { feed.touch(chat(n / 2), period(1, 7 + n as u64 % 3)).await });
    }
    assert!(making.join_all().await.iter().all(Result::is_ok));
    let made: BTreeSet<_> =
        (0..400_u128).map(|n| (period(1, 7 + n as u64 % 3), chat(n / 2))).collect();
    let made: Vec<_> = made.into_iter().collect();
    assert_eq!(all(&subject.store).await, made);
    assert_eq!(all(&subject.restart().await.store).await, made);
}

pub async fn a_touch_stays_whatever_becomes_of_its_append(subject: Subject) {
    let store = &subject.store;
    let at = period(1, 7);
    // The process ends between the two.
    store.feed.touch(chat(1), at).await.unwrap();
    let subject = subject.restart().await;
    let store = &subject.store;
    // Whose claim is taken meanwhile harms nobody.
    let fenced = store.log.claim(chat(2)).await.unwrap().claim;
    let claim = store.log.claim(chat(2)).await.unwrap().claim;
    store.feed.touch(chat(2), at).await.unwrap();
    assert_eq!(store.log.append(fenced, vec![message(1, "hi")]).await, Err(AppendError::Fenced));
    store.feed.touch(chat(2), at).await.unwrap();
    store.log.append(claim, vec![message(1, "hi")]).await.unwrap();
    assert_eq!(all(store).await, [(at, chat(1)), (at, chat(2))]);
    // Who follows reads the log, and finds what is there.
    assert_eq!(store.log.read(chat(1), 1, 9).await.unwrap(), []);
    assert_eq!(store.log.read(chat(2), 1, 9).await.unwrap(), [message(1, "hi")]);
    // Also of a chat that is forgotten.
    store.log.forget(chat(2)).await.unwrap();
    store.feed.touch(chat(2), period(1, 8)).await.unwrap();
    assert_eq!(store.log.read(chat(2), 1, 9).await.unwrap(), []);
}

pub async fn what_is_touched_in_a_period_that_was_removed_is_found(subject: Subject) {
    let store = &subject.store;
    let (at, later) = (period(1, 500), period(1, 501));
    store.feed.touch(chat(1), at).await.unwrap();
    while store.feed.remove_before(later).await.unwrap() {}
    assert_eq!(all(store).await, []);
    store.feed.touch(chat(1), at).await.unwrap();
    assert_eq!(all(store).await, [(at, chat(1))]);
    assert_eq!(store.feed.periods(FeedPeriod::FIRST, 9).await.unwrap(), [at]);
}

pub async fn old_slots_of_the_feed_go(subject: Subject) {
    let store = &subject.store;
    assert_eq!(store.feed.remove_before(period(9, 9)).await, Ok(false));
    let periods = [period(1, 500), period(2, 5), period(2, 6), period(3, 4)];
    for at in periods {
        for n in 0..100 {
            store.feed.touch(chat(n), at).await.unwrap();
        }
    }
    let kept = async |store: &Store| -> Vec<FeedPeriod> {
        let found = all(store).await;
        let mut periods: Vec<_> = found.iter().map(|(period, _)| *period).collect();
        periods.dedup();
        assert_eq!(found.len(), periods.len() * 100);
        assert_eq!(store.feed.periods(FeedPeriod::FIRST, 99).await.unwrap(), periods);
        periods
    };
    let remove = async |store: &Store, before| {
        while store.feed.remove_before(before).await.unwrap() {}
    };
    remove(store, periods[0]).await;
    assert_eq!(kept(store).await, periods);
    remove(store, periods[2]).await;
    assert_eq!(kept(store).await, periods[2..]);
    let subject = subject.restart().await;
    let store = &subject.store;
    remove(store, period(2, 7)).await;
    assert_eq!(kept(store).await, periods[3..]);
    // What was emptied may be touched again.
    store.feed.touch(chat(1), periods[1]).await.unwrap();
    remove(store, period(1_000, 0)).await;
    store.feed.touch(chat(1), period(3, 9)).await.unwrap();
    assert_eq!(all(&subject.restart().await.store).await, [(period(3, 9), chat(1))]);
}

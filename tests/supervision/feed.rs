//! Chats tell the feed that they change, before they do.

use std::sync::Arc;

use async_trait::async_trait;
use switchboard::domain::{ChatId, Timestamp};
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::{
    FEED_HOUR_MS, FEED_KEPT_MS, FeedHour, FeedPeriod, FeedPoint, FeedShard, Store,
};
use tokio::sync::Mutex;

use crate::hooked::{Asked, Call, Hook, Trouble, hooked};
use crate::store::STORES;
use crate::whole::until_line;
use crate::world::*;

async fn touched(store: &Store, chat: ChatId) -> Vec<FeedPeriod> {
    let (mut at, mut found) = (Some(FeedPoint::begin(FeedPeriod::FIRST)), Vec::new());
    while let Some(from) = at {
        let page = store.feed.changed(FeedShard::of(chat), from, 1_000).await.unwrap();
        found.extend(page.touched);
        at = page.next;
    }
    found.into_iter().filter(|touched| touched.chat == chat).map(|touched| touched.period).collect()
}

/// Notes what is asked about changes.
#[derive(Default)]
struct Order(Mutex<Vec<Asked>>);

#[async_trait]
impl Hook for Order {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if let Asked::Touch(_) | Asked::Append | Asked::Claim(_) = asked {
            self.0.lock().await.push(asked);
        }
        call.await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_is_in_the_feed_before_its_first_event_and_once() {
    for store in STORES {
        before_its_first_event_and_once(store).await;
    }
}

async fn before_its_first_event_and_once(store: fn(&Arc<MemoryStore>) -> Store) {
    let memory = MemoryStore::new();
    let order = Arc::new(Order::default());
    let store = store(&memory);
    let router = start(hooked(&store, Arc::clone(&order) as _)).await;
    let chat = open(&router, 1).await;
    until_line(&router, &[chat]).await;
    for _ in 0..5 {
        send(&router, as_customer(1), chat, &fresh(), "a line").await.unwrap();
    }
    let asked = order.0.lock().await.clone();
    let appends = asked.iter().filter(|asked| **asked == Asked::Append).count();
    assert!(appends >= 6, "{asked:?}");
    // An hour may end meanwhile.
    let touches = asked.iter().filter(|asked| **asked == Asked::Touch(chat)).count();
    let periods = touched(&store, chat).await;
    assert!((1..=2).contains(&periods.len()), "{periods:?}");
    let now = FeedHour::of(router.now()).0;
    assert!(periods.iter().all(|period| period.process == 1 && period.hour.0.abs_diff(now) <= 1));
    if store.moves.is_some() {
        assert_eq!((touches, &asked[..2]), (0, &[Asked::Claim(chat), Asked::Append][..]));
    } else {
        assert_eq!(asked[..3], [Asked::Claim(chat), Asked::Touch(chat), Asked::Append]);
        assert_eq!(periods.len(), touches);
    }
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_appended_last_is_told_by_the_next_one() {
    let memory = MemoryStore::new();
    let router = start(memory.store()).await;
    let chat = open(&router, 1).await;
    until_line(&router, &[chat]).await;
    let said = fresh();
    send(&router, as_customer(1), chat, &said, "a line").await.unwrap();
    router.stop().await;
    memory.restart();
    // The clock of that one was years ahead; all that it touched has been followed, and is gone.
    let ahead = FeedPeriod { process: 1, hour: FeedHour(FeedHour::of(router.now()).0 + 50_000) };
    memory.store().feed.touch(ChatId::from_u128(1), ahead).await.unwrap();
    while memory.store().feed.remove_before(ahead).await.unwrap() {}
    assert_eq!(touched(&memory.store(), chat).await, []);

    // It is when the chat is claimed, though nothing is appended then.
    let order = Arc::new(Order::default());
    let router = start(hooked(&memory.store(), Arc::clone(&order) as _)).await;
    until_line(&router, &[chat]).await;
    send(&router, as_customer(1), chat, &said, "a line").await.unwrap();
    let asked = order.0.lock().await.clone();
    assert_eq!(asked, [Asked::Claim(chat), Asked::Touch(chat)], "a repeat of what is in the log");
    // Behind all that was touched before, though the clock is behind it.
    let periods = touched(&memory.store(), chat).await;
    assert!(matches!(periods[..], [period] if period > ahead), "{periods:?}");
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn touches_are_kept_for_a_fortnight() {
    let memory = MemoryStore::new();
    let router = start(memory.store()).await;
    let now = router.now().0;
    let store = memory.store();
    let chat = ChatId::from_u128(7);
    let hours = [FEED_KEPT_MS + FEED_HOUR_MS, FEED_KEPT_MS, 0];
    let hours = hours.map(|ago| FeedHour::of(Timestamp(now - ago)));
    let periods = hours.map(|hour| FeedPeriod { process: 1, hour });
    for period in periods {
        store.feed.touch(chat, period).await.unwrap();
    }
    router.prune_feed().await.unwrap();
    let kept = touched(&store, chat).await;
    // Unless the hour ended meanwhile.
    let ended = FeedHour::of(router.now()) != hours[2];
    assert_eq!(kept, periods[if ended { 2 } else { 1 }..], "of {periods:?}");
    router.stop().await;
}

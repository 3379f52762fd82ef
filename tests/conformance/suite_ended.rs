//! What a store promises of the chats that have ended.

use futures_util::StreamExt;
use switchboard::domain::{ChannelId, ChatId, Timestamp};
use switchboard::storage::{EndedChat, EndedRow, Filled, Store};

use crate::samples::{channel, customer_of};
use crate::subject::Subject;

/// The length of a day, ms.
const DAY_MS: u64 = 24 * 3_600_000;

/// The `n`th chat that was made on a day.
fn made(day: u64, n: u128) -> ChatId {
    ChatId::from_u128(ChatId::first_at(Timestamp(day * DAY_MS)).0.as_u128() + n)
}

fn ended(of: u128, chat: ChatId, at: u64) -> EndedChat {
    EndedChat { chat, customer: customer_of(of, 7), at: Timestamp(at) }
}

async fn all(store: &Store, of: ChannelId) -> Vec<EndedRow> {
    store.ended_chats.scan(of, None, Timestamp(u64::MAX), 1_000).await.unwrap()
}

pub async fn ended_chats_are_listed_by_channel_in_order(subject: Subject) {
    let store = &subject.store;
    assert_eq!(all(store, channel(1)).await, []);
    let days = [40, 3, 40, 41, 3, 900];
    let chats: Vec<ChatId> = (0..).zip(days).map(|(n, day)| made(day, n)).collect();
    for chat in &chats {
        store.ended_chats.put(ended(1, *chat, 5)).await.unwrap();
    }
    store.ended_chats.put(ended(2, made(1, 9), 6)).await.unwrap();
    // Whatever is said last counts.
    store.ended_chats.put(ended(1, chats[0], 8)).await.unwrap();
    let mut sorted = chats.clone();
    sorted.sort_unstable();
    let subject = subject.restart().await;
    let store = &subject.store;
    let found = all(store, channel(1)).await;
    assert_eq!(found.iter().map(|row| row.chat).collect::<Vec<_>>(), sorted);
    for row in &found {
        let at = if row.chat == chats[0] { 8 } else { 5 };
        assert_eq!(row.ended, Some(ended(1, row.chat, at)));
    }
    assert_eq!(all(store, channel(3)).await, []);
    let scan = async |after: Option<usize>, day: u64, limit| -> Vec<usize> {
        let after = after.map(|n| sorted[n]);
        let before = Timestamp(day * DAY_MS);
        let found = store.ended_chats.scan(channel(1), after, before, limit).await.unwrap();
        found.iter().map(|row| sorted.binary_search(&row.chat).unwrap()).collect()
    };
    assert_eq!(scan(None, 1_000, 4).await, [0, 1, 2, 3]);
    assert_eq!(scan(Some(0), 1_000, 2).await, [1, 2]);
    assert_eq!(scan(Some(3), 1_000, 9).await, [4, 5]);
    assert_eq!(scan(Some(5), 1_000, 9).await, [0; 0]);
    assert_eq!(scan(None, 41, 9).await, [0, 1, 2, 3], "made before the day");
    assert_eq!(scan(None, 3, 9).await, [0; 0]);
    assert_eq!(scan(Some(4), 3, 9).await, [0; 0], "behind what is asked for");
    // A day that was emptied gets another chat.
    for _ in 0..2 {
        for chat in [sorted[0], sorted[1]] {
            store.ended_chats.remove(channel(1), chat).await.unwrap();
        }
        assert_eq!(scan(None, 1_000, 9).await, [2, 3, 4, 5]);
    }
    store.ended_chats.put(ended(1, sorted[1], 5)).await.unwrap();
    assert_eq!(scan(None, 1_000, 9).await, [1, 2, 3, 4, 5]);
    let subject = subject.restart().await;
    assert_eq!(all(&subject.store, channel(1)).await.len(), 5);
    assert_eq!(all(&subject.store, channel(2)).await.len(), 1);
}

/// Whatever thousands of a day were forgotten, each that is left is found, in order.
pub async fn a_day_of_thousands_of_ended_chats_is_scanned_while_they_go(subject: Subject) {
    const REMOVED: u128 = 9_000;
    // A chat each 9.5 s of the day, of which each hundredth stays for now.
    let at = |n: u128| made(40, ((9_500 * n) << 80) + n);
    let left = |from: u128| (from..=REMOVED).step_by(100).map(at).collect::<Vec<_>>();
    let store = &subject.store;
    for n in (0..=REMOVED).step_by(100) {
        store.ended_chats.put(ended(1, at(n), 5)).await.unwrap();
    }
    let gone: Vec<u128> = (0..=REMOVED).filter(|n| n % 100 != 0).collect();
    for (half, gone) in gone.chunks(gone.len() / 2 + 1).enumerate() {
        let removed = gone.iter().map(|n| store.ended_chats.remove(channel(1), at(*n)));
        let removed: Vec<_> = futures_util::stream::iter(removed).buffered(64).collect().await;
        assert!(removed.iter().all(Result::is_ok), "half {half}");
        let found = all(store, channel(1)).await;
        assert_eq!(found.iter().map(|row| row.chat).collect::<Vec<_>>(), left(0));
    }
    let subject = subject.restart().await;
    let store = &subject.store;
    let scan = async |after: ChatId, before: u64, limit| -> Vec<ChatId> {
        let before = Timestamp(40 * DAY_MS + before);
        let found = store.ended_chats.scan(channel(1), Some(after), before, limit).await.unwrap();
        found.iter().map(|row| row.chat).collect()
    };
    for _ in 0..2 {
        assert_eq!(scan(at(0), DAY_MS, 10).await, left(100)[..10]);
        assert_eq!(scan(at(150), DAY_MS, 1_000).await, left(200));
        assert_eq!(scan(at(8_999), DAY_MS, 1_000).await, left(9_000));
        assert_eq!(scan(at(9_000), DAY_MS, 1_000).await, []);
        // The 3,500th was made later, within a minute that begins before.
        assert_eq!(scan(at(3_399), 33_240_000, 1_000).await, [at(3_400)]);
    }
    // A minute that was found empty gets a row again.
    store.ended_chats.put(ended(1, at(3_550), 5)).await.unwrap();
    assert_eq!(scan(at(3_401), 34_000_000, 1_000).await, [at(3_500), at(3_550)]);
    for n in (0..=REMOVED).step_by(100).chain([3_550]) {
        store.ended_chats.remove(channel(1), at(n)).await.unwrap();
    }
    let everything = Timestamp(u64::MAX);
    assert_eq!(store.ended_chats.scan(channel(1), None, everything, 9).await.unwrap(), []);
    store.ended_chats.put(ended(1, at(77), 5)).await.unwrap();
    assert_eq!(all(store, channel(1)).await.len(), 1);
    let subject = subject.restart().await;
    assert_eq!(all(&subject.store, channel(1)).await.len(), 1);
}

pub async fn the_filling_of_ended_chats_counts_for_the_next_process_only(subject: Subject) {
    let documents = &*subject.store.documents;
    let mut filled = Filled::load(documents, 5).await.unwrap();
    assert_eq!((filled.whole, &filled.at), (false, &None));
    let place = switchboard::storage::Cursor::new(vec![1, 0, 255]);
    filled.at = Some(place.clone());
    filled.save(documents).await.unwrap();
    let mut filled = Filled::load(documents, 6).await.unwrap();
    assert_eq!((filled.whole, &filled.at), (false, &Some(place)), "it goes on");
    (filled.whole, filled.at) = (true, None);
    filled.save(documents).await.unwrap();
    assert!(Filled::load(documents, 6).await.unwrap().whole);
    assert!(Filled::load(documents, 7).await.unwrap().whole);
    // Process 8 was of a release that writes no rows.
    assert!(!Filled::load(documents, 9).await.unwrap().whole);
}

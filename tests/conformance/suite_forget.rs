//! What forgetting a chat promises.

use std::collections::BTreeMap;

use switchboard::domain::{ChatId, Party, Timestamp};
use switchboard::storage::forget::{self, Trace};
use switchboard::storage::{
    AppendError, Claim, ClaimOpen, EndedChat, HistoryOf, HistoryOrder, HistoryQuery, HistoryRow,
    Store, StoreError, Watermark,
};

use crate::export::{contents, exported};
use crate::samples::{command, customer, messages, open_chat};
use crate::subject::Subject;
use crate::suite_history::row;

/// More events than a batch removes, and than a fold of the tests takes.
const LONG: u64 = 1_500;

/// Unlike any other id, so that a search for it finds it only.
fn chat(n: u128) -> ChatId {
    ChatId::from_u128(0xf0_0000 + n)
}

/// Something in every port, of a chat that is the customer's by `command`.
async fn fill(store: &Store, n: u128, events: u64, id: &str, after: Option<ChatId>) -> Claim {
    let claim = store.log.claim(chat(n)).await.unwrap().claim;
    for first in (1..=events).step_by(500) {
        store.log.append(claim, messages(first..=events.min(first + 499))).await.unwrap();
    }
    store.open_chats.put(open_chat(0xf0_0000 + n, 5)).await.unwrap();
    let ended = EndedChat { chat: chat(n), customer: customer(1), at: Timestamp(9) };
    store.ended_chats.put(ended).await.unwrap();
    let known = HistoryRow { customer: customer(1), ..row(0xf0_0000 + n, 40) };
    store.history.put(known).await.unwrap();
    let watermarks = BTreeMap::from([(Party::System, Watermark { delivered: 2, read: 1 })]);
    store.watermarks.raise(chat(n), watermarks).await.unwrap();
    let talks = &store.conversations;
    talks.claim_open(customer(1), &command(id), chat(n), after).await.unwrap();
    claim
}

fn trace(n: u128) -> Trace {
    Trace::new(chat(n), customer(1))
}

async fn is_gone(store: &Store, n: u128) {
    assert_eq!(store.log.read(chat(n), 1, 10).await, Ok(vec![]));
    assert_eq!(store.log.claim(chat(n)).await, Err(StoreError::Forgotten { chat: chat(n) }));
    assert_eq!(store.log.is_forgotten(chat(n)).await, Ok(true));
    assert_eq!(store.watermarks.load(chat(n)).await, Ok(BTreeMap::new()));
    let rows = store.open_chats.scan(None, 1_000).await.unwrap();
    assert!(rows.iter().all(|row| row.chat != chat(n)));
    let end = Timestamp(u64::MAX);
    let rows = store.ended_chats.scan(customer(1).channel, None, end, 1_000).await.unwrap();
    assert!(rows.iter().all(|row| row.chat != chat(n)));
    for of in [HistoryOf::All, HistoryOf::Customer(customer(1))] {
        let (from, to, order) = (Timestamp(0), end, HistoryOrder::OldestFirst);
        let query = HistoryQuery { of, from, to, order, after: None, limit: 1_000 };
        let page = store.history.list(query).await.unwrap();
        assert!(page.rows.iter().all(|row| row.chat != chat(n)), "{of:?}");
    }
    let commands = store.conversations.commands(customer(1)).await.unwrap();
    assert!(commands.iter().all(|(_, of)| *of != chat(n)));
    let (stream, _) = exported(store, 1).await;
    let lines = contents(&stream);
    assert!(lines.iter().all(|line| !line.contains(&chat(n).to_string())), "{lines:?}");
}

pub async fn a_forgotten_chat_leaves_nothing_and_never_comes_back(subject: Subject) {
    let store = &subject.store;
    let claim = fill(store, 1, LONG, "a", None).await;
    fill(store, 2, 3, "b", Some(chat(1))).await;
    assert_eq!(store.log.is_forgotten(chat(1)).await, Ok(false));
    forget::forget(store, &[trace(1)]).await.unwrap();
    is_gone(store, 1).await;
    let late = store.log.append(claim, messages([LONG + 1])).await;
    assert_eq!(late, Err(AppendError::Fenced));
    let watermarks = BTreeMap::from([(Party::System, Watermark { delivered: 9, read: 9 })]);
    store.watermarks.raise(chat(1), watermarks).await.unwrap();
    is_gone(store, 1).await;
    let subject = subject.restart().await;
    let store = &subject.store;
    is_gone(store, 1).await;
    forget::forget(store, &[trace(1)]).await.unwrap();
    is_gone(store, 1).await;
    // What was written since goes behind what is gone, and is there after another start.
    let claim = store.log.claim(chat(2)).await.unwrap();
    assert_eq!(claim.tail, 3);
    store.log.append(claim.claim, messages([4])).await.unwrap();
    let subject = subject.restart().await;
    assert_eq!(subject.store.log.read(chat(2), 1, 10).await.unwrap(), messages(1..=4));
    // One that nobody ever claimed is not claimed any more either.
    forget::forget(&subject.store, &[trace(3)]).await.unwrap();
    is_gone(&subject.store, 3).await;
}

pub async fn what_is_under_way_when_a_chat_is_forgotten_brings_nothing_back(subject: Subject) {
    let store = &subject.store;
    for n in 0..20 {
        let claim = fill(store, n, 2, &format!("c{n}"), n.checked_sub(1).map(chat)).await;
        let appending = {
            let store = store.clone();
            tokio::spawn(async move { store.log.append(claim, messages([3])).await })
        };
        store.log.forget(chat(n)).await.unwrap();
        let appended = appending.await.unwrap();
        assert!(matches!(appended, Ok(()) | Err(AppendError::Fenced)), "{appended:?}");
        assert_eq!(store.log.read(chat(n), 1, 10).await, Ok(vec![]));
    }
    let subject = subject.restart().await;
    for n in 0..20 {
        assert_eq!(subject.store.log.read(chat(n), 1, 10).await, Ok(vec![]));
    }
}

pub async fn a_conversation_goes_on_without_a_forgotten_chat(subject: Subject) {
    let talks = &subject.store.conversations;
    let claim = async |id: &str, n, after: Option<u128>| {
        talks.claim_open(customer(1), &command(id), chat(n), after.map(chat)).await.unwrap()
    };
    assert_eq!(claim("a", 1, None).await, ClaimOpen::Claimed);
    assert_eq!(claim("b", 2, Some(1)).await, ClaimOpen::Claimed);
    assert_eq!(claim("c", 3, Some(2)).await, ClaimOpen::Claimed);
    let forget = async |n| talks.forget(customer(1), chat(n)).await.unwrap();
    let latest = async || talks.latest(customer(1)).await.unwrap();
    forget(1).await;
    assert_eq!(latest().await, Some(chat(3)));
    assert_eq!(claim("a", 4, None).await, ClaimOpen::Existing(chat(3)), "the present one");
    assert_eq!(claim("d", 9, Some(3)).await, ClaimOpen::Claimed);
    forget(9).await;
    assert_eq!(latest().await, Some(chat(3)), "the latest of the others");
    forget(3).await;
    assert_eq!(latest().await, Some(chat(2)), "the one before it");
    let left = talks.commands(customer(1)).await.unwrap();
    assert_eq!(left, [(command("b"), chat(2))]);
    for _ in 0..2 {
        forget(2).await;
        assert_eq!(latest().await, None);
    }
    assert_eq!(claim("b", 5, Some(2)).await, ClaimOpen::Claimed, "a new one");
    assert_eq!(talks.commands(customer(2)).await.unwrap(), []);
}

pub async fn forgetting_goes_on_after_a_crash_anywhere(subject: Subject) {
    let mut subject = subject;
    // After each number of steps; the ports stand for the steps of the whole.
    for (n, steps) in (1..).zip(0..=6) {
        let id = format!("c{n}");
        let latest = subject.store.conversations.latest(customer(1)).await.unwrap();
        fill(&subject.store, n, 12, &id, latest).await;
        let store = &subject.store;
        let written = serde_json::to_vec(&[trace(n)]).unwrap();
        let found = store.documents.get("forgetting", "1").await.unwrap();
        let version = found.map_or(0, |found| found.version);
        store.documents.put("forgetting", "1", version, written).await.unwrap();
        if steps > 0 {
            store.log.forget(chat(n)).await.unwrap();
        }
        if steps > 1 {
            store.watermarks.forget(chat(n)).await.unwrap();
        }
        if steps > 2 {
            store.open_chats.remove(chat(n)).await.unwrap();
        }
        if steps > 3 {
            store.history.remove(chat(n)).await.unwrap();
        }
        if steps > 4 {
            store.ended_chats.remove(customer(1).channel, chat(n)).await.unwrap();
        }
        if steps > 5 {
            store.conversations.forget(customer(1), chat(n)).await.unwrap();
        }
        subject = subject.restart().await;
        forget::resume(&subject.store).await.unwrap();
        is_gone(&subject.store, n).await;
    }
}

pub async fn what_is_damaged_hinders_no_other_forgetting(subject: Subject) {
    let store = &subject.store;
    fill(store, 1, 3, "a", None).await;
    // What a start finds when its list of what is being forgotten is no list.
    store.documents.put("forgetting", "1", 0, b"[{\"chat\"".to_vec()).await.unwrap();
    let subject = subject.restart().await;
    let resumed = forget::resume(&subject.store).await.unwrap();
    assert_eq!(resumed.unreadable, 1, "it is named, and the start goes on");
    forget::forget(&subject.store, &[trace(1)]).await.unwrap();
    is_gone(&subject.store, 1).await;
    let kept = subject.store.documents.get("forgetting", "1").await.unwrap().unwrap();
    assert_eq!(kept.body, b"[{\"chat\"", "what cannot be read is not written over");
    assert_eq!(forget::resume(&subject.store).await.unwrap().unreadable, 1);
}

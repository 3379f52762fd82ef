//! What is found when the history of a store is compared with its logs.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchboard::actors::{HistoryWriter, rebuild_history};
use switchboard::app::{FaultyChats, HistoryCompared, HistoryFault, compare_history};
use switchboard::domain::event::PlacedCause;
use switchboard::domain::{
    ChatEvent, ChatId, ChatState, Outcome, Party, QueueId, Timestamp, Weight,
};
use switchboard::storage::export::Patience;
use switchboard::storage::{
    FeedConsumer, FeedHour, FeedPeriod, HistoryEnd, HistoryOf, HistoryOrder, HistoryRow, Store,
    off_other_lists, void_position,
};

use crate::samples::{chat, user};
use crate::subject::Subject;
use crate::suite_history::{DAY_MS, all, pages, row};
use crate::suite_history_writer::{append, from_nothing, opened};

pub fn placed(queue: u128, placement: u64) -> ChatEvent {
    ChatEvent::Placed {
        placement,
        queue: QueueId::from_u128(queue),
        weight: Weight::default(),
        cause: PlacedCause::Opened,
    }
}

fn ended() -> ChatEvent {
    let (by, outcome) = (Party::System, Outcome::Missed);
    ChatEvent::Ended { placement: 2, by, command: None, outcome }
}

/// So many chats that wait in queue 1, with their rows, and a process that follows the feed.
pub async fn waiting(store: &Store, chats: u128) {
    let writer = HistoryWriter::new(store.clone());
    for n in 0..chats {
        opened(store, chat(n)).await;
        append(store, chat(n), vec![placed(1, 1)]).await;
        writer.take(chat(n)).await.unwrap();
    }
    let process = store.processes.begin().await.unwrap();
    from_nothing(store, process).await;
}

/// What a comparison finds, of each kind: the chats.
pub async fn compared(store: &Store) -> HistoryCompared {
    compare_history(store, Patience::NONE, 0, &mut ()).await.unwrap()
}

pub fn found(of: &HistoryCompared) -> Vec<(HistoryFault, Vec<ChatId>)> {
    let chats = |(fault, chats): (&HistoryFault, &FaultyChats)| {
        let mut first = chats.first.clone();
        first.sort_unstable();
        assert_eq!(chats.count, first.len() as u64, "{fault:?}");
        (*fault, first)
    };
    of.found.iter().map(chats).collect()
}

/// Makes the history anew, as the command does.
pub async fn rebuilt(store: &Store) {
    let history = off_other_lists(Arc::clone(&store.history));
    let store = Store { history, ..store.clone() };
    rebuild_history(&store, &mut |_| {}).await.unwrap();
}

/// That the log of a chat may have changed in the hour of this process, or of one that was passed.
async fn touch(store: &Store, n: u128, process: u64) {
    let hour = FeedHour::of(Timestamp(41 * DAY_MS));
    store.feed.touch(chat(n), FeedPeriod { process, hour }).await.unwrap();
}

async fn row_of(store: &Store, n: u128) -> HistoryRow {
    let rows = pages(store, all(HistoryOf::All, HistoryOrder::OldestFirst)).await;
    rows.into_iter().find(|row| row.chat == chat(n)).unwrap()
}

pub async fn a_comparison_finds_what_the_logs_do_not_say_and_what_is_late_apart(subject: Subject) {
    use HistoryFault::*;
    const CHATS: u128 = 20;
    let store = &subject.store;
    waiting(store, CHATS).await;
    let whole = compared(store).await;
    assert_eq!((whole.chats, whole.is_to_be_made), (CHATS as u64, false));
    assert_eq!(whole.found, BTreeMap::new());
    // Changed since, and to be taken; and to be taken no more: one was touched in an hour that was passed.
    for n in [1, 2] {
        append(store, chat(n), vec![placed(2, 2)]).await;
    }
    touch(store, 1, 1).await;
    touch(store, 2, 0).await;
    // Without a row: those around it were touched.
    for n in [3, 4] {
        store.history.remove(chat(n)).await.unwrap();
    }
    touch(store, 4, 1).await;
    // A row that says something else, one that is ahead, and one that tells of two steps but half.
    let other = HistoryRow { owner: Some(user(9)), ..row_of(store, 5).await };
    store.history.put(other).await.unwrap();
    let end = HistoryEnd { at: Timestamp(7), by: Party::System, owner: None };
    let ahead = HistoryRow { state: ChatState::Missed, ended: Some(end), ..row_of(store, 6).await };
    store.history.put(ahead).await.unwrap();
    append(store, chat(7), vec![placed(2, 2), ended()]).await;
    let half = HistoryRow { state: ChatState::Missed, ..row_of(store, 7).await };
    store.history.put(half).await.unwrap();
    touch(store, 7, 1).await;
    // Rows of no chat, one of which is to be taken again.
    for n in [900, 901] {
        store.history.put(row(n, 40 * DAY_MS)).await.unwrap();
    }
    touch(store, 901, 1).await;
    let expected = |faults: &[(HistoryFault, &[u128])]| -> Vec<_> {
        let chats = |chats: &[u128]| chats.iter().copied().map(chat).collect::<Vec<_>>();
        faults.iter().map(|(fault, of)| (*fault, chats(of))).collect()
    };
    let faults = expected(&[
        (Late, &[1, 4, 901]),
        (Behind, &[2]),
        (Missing, &[3]),
        (Differs, &[5, 6, 7]),
        (NoChat, &[900]),
    ]);
    let seen = compared(store).await;
    assert_eq!(found(&seen), faults);
    assert_eq!((seen.chats, seen.is_to_be_made), (CHATS as u64, false));
    // With the next process as with this one; and when all are to be taken.
    let subject = subject.restart().await;
    let store = &subject.store;
    assert_eq!(found(&compared(store).await), faults);
    void_position(&*store.documents, HistoryWriter::NAME).await.unwrap();
    let seen = compared(store).await;
    let faults = expected(&[(Late, &[1, 2, 3, 4, 5, 6, 7, 900, 901])]);
    assert_eq!((found(&seen), seen.is_to_be_made), (faults, true));
    rebuilt(store).await;
    let whole = compared(store).await;
    assert_eq!((whole.found, whole.is_to_be_made), (BTreeMap::new(), false));
}

pub async fn a_history_that_is_not_made_yet_is_late_and_not_damaged(subject: Subject) {
    const CHATS: u128 = 300;
    let store = &subject.store;
    for n in 0..CHATS {
        opened(store, chat(n)).await;
    }
    let seen = compared(store).await;
    assert_eq!((seen.chats, seen.is_to_be_made), (CHATS as u64, true));
    let [(fault, chats)] = seen.found.iter().collect::<Vec<_>>()[..] else {
        panic!("{:?}", seen.found);
    };
    assert_eq!((*fault, chats.count, chats.first.len()), (HistoryFault::Late, CHATS as u64, 10));
    assert_eq!(pages(store, all(HistoryOf::All, HistoryOrder::OldestFirst)).await, [], "as it was");
    let process = store.processes.begin().await.unwrap();
    from_nothing(store, process).await;
    assert_eq!(compared(store).await.found, BTreeMap::new());
    // A release that follows no feed has run since: what it wrote is not known.
    for _ in 0..2 {
        store.processes.begin().await.unwrap();
    }
    assert!(compared(store).await.is_to_be_made);
}

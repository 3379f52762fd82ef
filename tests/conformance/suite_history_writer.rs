//! What is promised of who writes the history from the feed, on every store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use switchboard::actors::{HistoryWriter, rebuild_history};
use switchboard::domain::event::{AssignedHow, PlacedCause};
use switchboard::domain::{
    ChatEvent, ChatId, ChatState, Outcome, Party, Profile, QueueId, Recorded, Timestamp, Weight,
};
use switchboard::storage::forget::{self, Trace};
use switchboard::storage::{
    FeedConsumer, FeedPosition, FeedPresent, HistoryOf, HistoryOrder, HistoryRow, Store,
    void_position,
};

use crate::hooked::{Asked, Call, Hook, Trouble, hooked};
use crate::samples::{chat, command, customer_of, user};
use crate::subject::Subject;
use crate::suite_history::{DAY_MS, all, pages, row};

/// Forgets the chat as soon as its row is about to be put: when the log has been read, and before the row is
/// there.
struct Overtaken {
    store: Store,
    /// Whether who puts it is not told that it is there, as one that ends just then.
    ends: bool,
}

#[async_trait]
impl Hook for Overtaken {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if let Asked::PutHistory(chat) = asked {
            let trace = Trace::new(chat, customer_of(1, 7));
            forget::forget(&self.store, &[trace]).await.unwrap();
            call.await;
            return if self.ends { Err(Trouble::Unknown) } else { Ok(()) };
        }
        call.await;
        Ok(())
    }
}

/// Appends to a chat, which nobody has read yet.
pub async fn append(store: &Store, chat: ChatId, events: Vec<ChatEvent>) {
    let claimed = store.log.claim(chat).await.unwrap();
    let events = (claimed.tail + 1..).zip(events).map(|(seq, event)| {
        let at = Timestamp(40 * DAY_MS + 1_000 * seq);
        Recorded { seq, at, event, names: Default::default() }
    });
    store.log.append(claimed.claim, events.collect()).await.unwrap();
}

/// Opens a chat of customer 7.
pub async fn opened(store: &Store, chat: ChatId) {
    let (customer, command) = (customer_of(1, 7), command("o"));
    let profile = Profile::default();
    append(store, chat, vec![ChatEvent::Opened { customer, command, profile, continues: None }])
        .await;
}

pub async fn a_row_of_a_chat_that_is_forgotten_does_not_come_back(subject: Subject) {
    let store = subject.store.clone();
    let lists = async |store: &Store| {
        let one = pages(store, all(HistoryOf::All, HistoryOrder::OldestFirst)).await;
        let other = HistoryOf::Customer(customer_of(1, 7));
        (one.len(), pages(store, all(other, HistoryOrder::NewestFirst)).await.len())
    };
    let writer = HistoryWriter::new(store.clone());
    for n in 0..2 {
        opened(&store, chat(n)).await;
    }
    writer.take(chat(0)).await.unwrap();
    assert_eq!(lists(&store).await, (1, 1));
    // After it was forgotten.
    forget::forget(&store, &[Trace::new(chat(0), customer_of(1, 7))]).await.unwrap();
    writer.take(chat(0)).await.unwrap();
    assert_eq!(lists(&store).await, (0, 0));
    // While it is forgotten.
    let overtaken = |ends| {
        let hook = Overtaken { store: store.clone(), ends };
        HistoryWriter::new(hooked(&store, Arc::new(hook)))
    };
    overtaken(false).take(chat(1)).await.unwrap();
    assert_eq!(lists(&store).await, (0, 0));
    // And by one who ends before it can look: whoever takes it again finds what is left.
    opened(&store, chat(2)).await;
    overtaken(true).take(chat(2)).await.unwrap_err();
    assert_eq!(lists(&store).await, (1, 1));
    drop((store, writer));
    let subject = subject.restart().await;
    HistoryWriter::new(subject.store.clone()).take(chat(2)).await.unwrap();
    assert_eq!(lists(&subject.store).await, (0, 0));
}

/// Refuses to put any row when it has let so many pass.
struct Stops(AtomicUsize);

#[async_trait]
impl Hook for Stops {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if let Asked::PutHistory(_) = asked {
            let left = |left: usize| left.checked_sub(1);
            if self.0.fetch_update(Relaxed, Relaxed, left).is_err() {
                return Err(Trouble::Refused);
            }
        }
        call.await;
        Ok(())
    }
}

pub async fn a_rebuilt_history_is_the_one_that_was_written_while_chats_went_on(subject: Subject) {
    const CHATS: u128 = 150;
    let store = &subject.store;
    let writer = HistoryWriter::new(store.clone());
    for n in 0..CHATS {
        opened(store, chat(n)).await;
        let steps = [
            ChatEvent::Placed {
                placement: 1,
                queue: QueueId::from_u128(n % 3),
                weight: Weight::default(),
                cause: PlacedCause::Opened,
            },
            ChatEvent::Assigned {
                placement: 2,
                operator: user(n % 5),
                how: AssignedHow::Taken,
                command: command("t"),
            },
            ChatEvent::Ended {
                placement: 3,
                by: Party::System,
                command: None,
                outcome: Outcome::Completed,
            },
        ];
        for step in steps.into_iter().take(n as usize % 4) {
            append(store, chat(n), vec![step]).await;
            if n % 7 == 0 {
                writer.take(chat(n)).await.unwrap();
            }
        }
        writer.take(chat(n)).await.unwrap();
    }
    let lists = async |store: &Store| {
        let mut lists = Vec::new();
        let queues = (0..3).map(|n| HistoryOf::Queue(QueueId::from_u128(n)));
        let operators = (0..5).map(|n| HistoryOf::Operator(user(n)));
        for of in [HistoryOf::All].into_iter().chain(queues).chain(operators) {
            lists.push(pages(store, all(of, HistoryOrder::OldestFirst)).await);
        }
        lists
    };
    let live = lists(store).await;
    assert_eq!(live[0].len(), CHATS as usize);
    // Rows that are lost, wrong, or left of a chat that is forgotten.
    store.history.remove(chat(3)).await.unwrap();
    let first = live[0].iter().find(|row| row.chat == chat(7)).unwrap();
    let wrong = HistoryRow { state: ChatState::Missed, owner: Some(user(9)), ..first.clone() };
    store.history.put(wrong).await.unwrap();
    forget::forget(store, &[Trace::new(chat(900), customer_of(1, 7))]).await.unwrap();
    store.history.put(row(900, 40 * DAY_MS)).await.unwrap();
    let mut told = Vec::new();
    let stops = hooked(store, Arc::new(Stops(AtomicUsize::new(100))));
    rebuild_history(&stops, &mut |done| told.push(done)).await.unwrap_err();
    assert_eq!(told, [0, 64], "it is told how far it is");
    drop((stops, writer));
    let subject = subject.restart().await;
    let store = &subject.store;
    let mut told = Vec::new();
    let rebuilt = rebuild_history(store, &mut |done| told.push(done)).await.unwrap();
    assert_eq!(told.first(), Some(&64), "it goes on where it was interrupted");
    assert!(rebuilt.damaged.is_empty() && rebuilt.chats == CHATS as u64 - 64, "{rebuilt:?}");
    assert_eq!(rebuilt.removed, 1);
    assert_eq!(lists(store).await, live);
    // Once more, from the beginning.
    let mut told = Vec::new();
    rebuild_history(store, &mut |done| told.push(done)).await.unwrap();
    assert_eq!(told.first(), Some(&0));
    assert_eq!(lists(store).await, live);
}

/// What a process does of whose position in the feed nothing counts.
pub async fn from_nothing(store: &Store, process: u64) {
    let writer = HistoryWriter::new(store.clone());
    let (feed, documents) = (&*store.feed, &*store.documents);
    void_position(documents, HistoryWriter::NAME).await.unwrap();
    let mut position = FeedPosition::adopt(documents, HistoryWriter::NAME, process).await.unwrap();
    let present = FeedPresent { process, runs_ms: 0, now: Timestamp(41 * DAY_MS) };
    position.begin(feed, documents, present).await.unwrap();
    while !position.walk(store, &writer).await.unwrap() {}
}

pub async fn who_begins_from_nothing_leaves_no_row_without_a_log(subject: Subject) {
    let store = &subject.store;
    let writer = HistoryWriter::new(store.clone());
    for n in 0..200 {
        opened(store, chat(n)).await;
        writer.take(chat(n)).await.unwrap();
    }
    // Forgotten by a release that knows of no history; and a log that a repair has lost.
    for n in (0..200).step_by(2) {
        store.log.forget(chat(n)).await.unwrap();
    }
    store.history.put(row(900, 40 * DAY_MS)).await.unwrap();
    from_nothing(store, 1).await;
    let others = HistoryOf::Customer(customer_of(1, 7));
    for of in [HistoryOf::All, others] {
        let left = pages(store, all(of, HistoryOrder::OldestFirst)).await;
        let left: Vec<ChatId> = left.iter().map(|row| row.chat).collect();
        assert_eq!(left, (1..200).step_by(2).map(chat).collect::<Vec<_>>());
    }
}

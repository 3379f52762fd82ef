//! What is too much is refused clearly, and nothing is kept of it.

use std::sync::Arc;

use futures_util::FutureExt;
use switchboard::actors::directory::Directory;
use switchboard::actors::limits::CALLS_MAX;
use switchboard::actors::{CallError, CallPermit, Overloaded};
use switchboard::domain::{ChatEvent, ChatId, Person, Queue, QueueId, Rule, UserId};
use switchboard::machine::chat::{ChatCall, Refusal, Target};
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::store::{Break, Breaking};
use crate::world::*;

const NOBODY: UserId = UserId::from_u128(0xdead);
const NOWHERE: QueueId = QueueId::from_u128(0xdead);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_the_bound_are_refused_and_the_others_answered() {
    const TOO_MANY: usize = 44;
    let hold = Arc::new(Semaphore::new(0));
    let store = MemoryStore::new().store();
    // The opening is the first append; the chat is held in the second.
    let store = Arc::new(Breaking::at_append(store, 2, Break::Late, Arc::clone(&hold)));
    let router = start(store.store()).await;
    let chat = open(&router, 1).await;
    let mut calls = JoinSet::new();
    for n in 0..CALLS_MAX + TOO_MANY {
        let router = router.clone();
        calls.spawn(async move {
            let text = message(&format!("line {n}"));
            router.send(as_customer(1), chat, &fresh(), &text, &Unbounded, None).await
        });
    }
    let (mut refused, mut answered) = (0, 0);
    while let Some(answer) = calls.join_next().await {
        match answer.unwrap() {
            Ok(_) => answered += 1,
            Err(CallError::Overloaded(Overloaded)) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
        if refused == TOO_MANY && answered == 0 {
            assert_eq!(router.under_way(), CALLS_MAX);
            hold.add_permits(1);
        }
    }
    assert_eq!((answered, refused), (CALLS_MAX, TOO_MANY));
    assert_eq!(router.under_way(), 0, "the permits are back");
    let log = log_of(&router, chat).await;
    assert_eq!(log.len(), 2 + CALLS_MAX, "opened, placed, and each acknowledged message");
    send(&router, as_customer(1), chat, &fresh(), "and now?").await.unwrap();
}

#[test]
fn calls_to_an_actor_that_is_not_there_yet_are_counted_from_the_first() {
    let directory: Directory<u8, CallPermit> = Directory::new();
    assert_eq!(directory.call(1, |permit| permit), Ok(true), "it is to be started");
    for _ in 1..CALLS_MAX {
        assert_eq!(directory.call(1, |permit| permit), Ok(false));
    }
    assert_eq!(directory.calls_under_way(), CALLS_MAX);
    assert_eq!(directory.call(1, |permit| permit), Err(Overloaded));
    assert_eq!(directory.call(2, |permit| permit), Ok(true), "another has its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_starts_actors_by_guessing_ids() {
    let router = start(MemoryStore::new().store()).await;
    let ann = Desk::ready(&router, ANN).await;
    let operators = router.count("operator");
    for n in 0..100 {
        let chat = ChatId::from_u128(n);
        let unknown = router.look(chat).await;
        assert_eq!(unknown.unwrap_err(), CallError::Refused(Refusal::UnknownChat));
        let unknown =
            router.send(as_customer(1), chat, &fresh(), &message("hello"), &Unbounded, None).await;
        assert_eq!(refused(unknown), Refusal::UnknownChat);
        let unknown = router.raise_watermark(chat, Person::Customer(customer(1)), 1, true).await;
        assert_eq!(refused(unknown), Refusal::UnknownChat);
        assert_eq!(refused(ann.take(chat).await), Refusal::UnknownChat);
        let unknown = router.operator(UserId::from_u128(1_000 + n)).await;
        assert_eq!(unknown.unwrap_err(), CallError::UnknownOperator);
        let unknown = router.line(QueueId::from_u128(1_000 + n), None, 1).await;
        assert_eq!(unknown.unwrap_err(), CallError::UnknownQueue);
    }
    assert_eq!((router.count("chat"), router.count("operator")), (0, operators));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_to_nowhere_is_refused_and_the_chat_stays_where_it_is() {
    let router = start(MemoryStore::new().store()).await;
    let desks = [Desk::ready(&router, ANN).await];
    let chat = open(&router, 1).await;
    accepted(&router, &desks, chat).await;
    let operators = router.count("operator");
    let tail = log_of(&router, chat).await.len();
    let mut closed: Queue = queue(MANUAL, Rule::Manual, &[ANN]);
    (closed.version, closed.active) = (2, false);
    router.set_queue(closed.clone());
    for to in [Target::Queue(NOWHERE), Target::Queue(MANUAL), Target::Operator(NOBODY)] {
        let owner = transfer(&router, as_user(ANN), chat, to).await;
        assert_eq!(refused(owner), Refusal::UnknownTarget, "{to:?}");
        let stranger = transfer(&router, as_user(BEN), chat, to).await;
        assert_eq!(refused(stranger), Refusal::NotYours, "who may not, is told no more");
    }
    assert_eq!(log_of(&router, chat).await.len(), tail);
    assert_eq!(router.count("operator"), operators);
    // A repeat gets its first answer, although the queue has closed meanwhile.
    (closed.version, closed.active) = (3, true);
    router.set_queue(closed.clone());
    let to = Target::Queue(MANUAL);
    let wanted = ChatCall::Transfer { by: as_user(ANN), command: fresh(), to };
    let first = call(&router, chat, wanted.clone()).await.unwrap();
    (closed.version, closed.active) = (4, false);
    router.set_queue(closed);
    assert_eq!(call(&router, chat, wanted).await.unwrap(), first);
}

#[tokio::test]
async fn a_call_that_its_asker_gave_up_takes_no_effect() {
    let hold = Arc::new(Semaphore::new(0));
    let store = MemoryStore::new().store();
    let held = Arc::new(Breaking::at_append(store.clone(), 2, Break::Late, Arc::clone(&hold)));
    let router = start(held.store()).await;
    let chat = open(&router, 1).await;
    let first = tokio::spawn({
        let router = router.clone();
        async move { send(&router, as_customer(1), chat, &fresh(), "first").await }
    });
    until("the store holds it", || async { held.has_fired().then_some(()) }).await;
    {
        let (id, text) = (fresh(), message("given up"));
        let behind = router.send(as_customer(1), chat, &id, &text, &Unbounded, None);
        // It is in the mailbox, behind the first, and its asker goes away.
        assert!(behind.now_or_never().is_none());
    }
    hold.add_permits(1);
    first.await.unwrap().unwrap();
    send(&router, as_customer(1), chat, &fresh(), "last").await.unwrap();
    let events = store.log.read(chat, 1, 100).await.unwrap();
    let texts = events.iter().filter_map(|recorded| match &recorded.event {
        ChatEvent::Message { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["first", "last"]);
}

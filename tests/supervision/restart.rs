//! The whole process ends, in good order or not, and another starts from what is durable.

use std::sync::Arc;

use switchboard::actors::{Outgoing, Router};
use switchboard::domain::event::OfferEnd;
use switchboard::domain::{
    ChatEvent, ChatId, Name, Party, Person, Priority, Profile, Recorded, Timestamp,
};
use switchboard::machine::chat::ChatCall;
use switchboard::machine::operator::Gone;
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::sqlite::{OpenError, SqliteOptions, SqliteStore};
use switchboard::storage::{Claimed, Moving, Store};

use crate::store::{Break, Breaking, STORES};
use crate::whole::until_line;
use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_leaves_owners_their_chats_and_offers_anew_what_was_offered() {
    for store in STORES {
        leaves_owners_their_chats(store).await;
    }
}

async fn leaves_owners_their_chats(store: fn(&Arc<MemoryStore>) -> Store) {
    let memory = MemoryStore::new();
    let former = Arc::new(Breaking::new(store(&memory), 0, Break::Refused));
    let router = start(former.store()).await;
    let ann = Desk::ready(&router, ANN).await;
    let owned = open(&router, 1).await;
    accepted(&router, &[ann], owned).await;
    let mut acknowledged = Vec::new();
    for n in 0..20 {
        let (by, id, text) = (as_customer(1), fresh(), format!("line {n}"));
        let (chat, answer) = send(&router, by, owned, &id, &text).await.unwrap();
        acknowledged.push(Acknowledged { chat, seq: answer.seq, from: party(by), id, text });
    }
    let offered = open(&router, 2).await;
    until("it is offered", || offer_of(&router, offered)).await;
    let waits = open(&router, 3).await;
    let moving = open(&router, 4).await;
    until_line(&router, &[offered, waits, moving]).await;
    former.die();
    // As if the process had ended between the mark and the append.
    memory.store().open_chats.mark(moving, Moving { to: Some(ANN) }).await.unwrap();
    memory.restart();

    let router = start(store(&memory)).await;
    until("all rows are exact", || async { (router.open_chats() == (4, 0)).then_some(()) }).await;
    check_log(owned, &log_of(&router, owned).await, &acknowledged);
    assert_eq!(owner_of(&router, owned).await, Some(ANN));
    until_line(&router, &[offered, waits, moving]).await;
    let view = until("the slots are counted", || async { router.operator(ANN).await.ok() }).await;
    assert_eq!((view.active, view.load), (vec![owned], 1), "the owner keeps the chat");
    let ann = Desk::sit(&router, ANN);
    ann.until_free().await;
    ann.until_presented(offered).await;
    let log = log_of(&router, offered).await;
    let over = log
        .iter()
        .filter(|r| matches!(r.event, ChatEvent::OfferEnded { how: OfferEnd::Restart, .. }));
    assert_eq!(over.count(), 1, "the old offer is over: {log:?}");
    send(&router, as_user(ANN), owned, &fresh(), "there we are again").await.unwrap();
}

fn ranked(issued_at: u64, priority: u8) -> Profile {
    let (issued_at, priority) = (Timestamp(issued_at), Priority::new(priority).unwrap());
    Profile { issued_at, priority, name: Name::new("Zoe").ok() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_tokens_priority_counts_at_once_and_after_every_restart() {
    let memory = MemoryStore::new();
    let former = Arc::new(Breaking::new(memory.store(), 0, Break::Refused));
    let router = start(former.store()).await;
    let (old, young, other) =
        (open(&router, 1).await, open(&router, 2).await, open(&router, 3).await);
    until_line(&router, &[old, young, other]).await;
    let update = |profile| ChatCall::UpdateCustomer { by: as_customer(2), profile };
    call(&router, young, update(ranked(9, 5))).await.unwrap();
    until_line(&router, &[young, old, other]).await;
    // An older token that comes later.
    call(&router, young, update(ranked(8, 0))).await.unwrap();
    // The queue that starts anew reads the index; the chat that does, its log.
    router.crash_queue(PUSH);
    router.crash_chat(young);
    until_line(&router, &[young, old, other]).await;
    assert_eq!(look(&router, young).await.profile, ranked(9, 5));
    // With a message it counts as well; and the process ends before the row is written.
    let (by, text) = (as_customer(3), message("hurry"));
    former.refuse_rows();
    let said =
        router.send(by, other, &fresh(), &text, &Unbounded, Some(&ranked(9, 7))).await.unwrap();
    former.die();
    memory.restart();
    let router = start(memory.store()).await;
    until_line(&router, &[other, young, old]).await;
    // And so it does in the chat that a message into the ended one opens.
    call(&router, other, ChatCall::End { by, command: fresh() }).await.unwrap();
    let older = ranked(5, 1);
    let (next, _) =
        router.send(by, said.0, &fresh(), &text, &Unbounded, Some(&older)).await.unwrap();
    assert_eq!(look(&router, next).await.profile, ranked(9, 7), "the latest that is known");
    call(&router, next, ChatCall::End { by, command: fresh() }).await.unwrap();
    let newest = ranked(10, 2);
    let (last, _) =
        router.send(by, next, &fresh(), &text, &Unbounded, Some(&newest)).await.unwrap();
    assert_eq!(look(&router, last).await.profile, newest);
    until_line(&router, &[young, last, old]).await;
    // And so it does in the one that another tab opens, whose token is older.
    call(&router, last, ChatCall::End { by, command: fresh() }).await.unwrap();
    let (opened, _) = router.open(customer(3), &fresh(), &older, &Unbounded).await.unwrap();
    assert_eq!(look(&router, opened).await.profile, newest, "the latest that is known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_offered_a_chat_before_a_restart_sees_in_it_that_the_offer_is_over() {
    let memory = MemoryStore::new();
    let router = start(memory.store()).await;
    let ann = Desk::ready(&router, ANN).await;
    let chat = open(&router, 1).await;
    ann.until_presented(chat).await;
    ann.leave();
    router.stop().await;
    memory.restart();
    let router = start(memory.store()).await;
    let ann = Desk::sit(&router, ANN);
    look(&router, chat).await;
    ann.until_seen("the end of the offer", |out| {
        matches!(out, Outgoing::Events { chat: of, events } if *of == chat && events.iter().any(
            |r| matches!(r.event, ChatEvent::OfferEnded { how: OfferEnd::Restart, .. })
        ))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_chat_whose_deadline_has_come_is_woken_though_nobody_wants_anything_of_it() {
    let memory = MemoryStore::new();
    let former = Arc::new(Breaking::new(memory.store(), 0, Break::Refused));
    let router = start(former.store()).await;
    let ann = Desk::ready(&router, ANN).await;
    let chat = open(&router, 1).await;
    ann.until_presented(chat).await;
    until("its row is exact", || async {
        let rows = memory.store().open_chats.scan(None, 1).await.ok()?;
        let row = rows.into_iter().find(|row| row.moving.is_none())?;
        row.place.filter(|place| place.offer().is_some())
    })
    .await;
    former.die();
    memory.restart();
    // Nobody is there, and nobody looks; its queue finds it waiting. The log is read past the router.
    let _router = start(memory.store()).await;
    until("the offer of the former process is over", || async {
        let log = memory.store().log.read(chat, 1, 100).await.ok()?;
        let over = |event: &ChatEvent| {
            matches!(event, ChatEvent::OfferEnded { how: OfferEnd::Restart, .. })
        };
        log.iter().any(|recorded| over(&recorded.event)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_data_folder_one_process_after_the_other_serves_the_same_chat() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    let mut chat = None;
    for round in 0..4 {
        // The former store lets the folder go once the last of its actors is gone.
        let store = until("the folder is free", || async {
            match SqliteStore::open(&SqliteOptions::new(folder.path())) {
                Ok(store) => Some(Arc::new(store)),
                Err(OpenError::InUse { .. }) => None,
                Err(other) => panic!("{other}"),
            }
        })
        .await;
        let router = start(store.store()).await;
        let at = open(&router, 1).await;
        assert_eq!(*chat.get_or_insert(at), at, "the chat is still open");
        let desks = [Desk::ready(&router, ANN).await];
        let owner = accepted(&router, &desks, at).await;
        for (by, text) in [(as_customer(1), "so"), (as_user(owner), "yes")] {
            let (id, text) = (fresh(), format!("{text} {round}"));
            let (_, answer) = send(&router, by, at, &id, &text).await.unwrap();
            let (seq, from) = (answer.seq, party(by));
            acknowledged.push(Acknowledged { chat: at, seq, from, id, text });
        }
        let tail = look(&router, at).await.tail;
        // Not flushed yet when the process ends: an end in good order writes it.
        router.raise_watermark(at, Person::Customer(customer(1)), tail, true).await.unwrap();
        router.raise_watermark(at, Person::User(ANN), tail, true).await.unwrap();
        if round == 3 {
            let end = ChatCall::End { by: as_customer(1), command: fresh() };
            call(&router, at, end).await.unwrap();
            until_quiet(&router, &desks).await;
        }
        check_log(at, &log_of(&router, at).await, &acknowledged);
        stop(router).await;
        let watermarks = store.store().watermarks.load(at).await.unwrap();
        assert_eq!(watermarks[&Party::User(ANN)].read, tail, "a watermark was lost in good order");
        drop(desks);
    }
}

async fn stop(router: Router) {
    let ended = router.ended();
    router.stop().await;
    assert!(!*ended.borrow(), "an end in good order is no failure");
    for child in switchboard::actors::tree::TREE {
        assert_eq!(router.count(child.name), 0, "{} still runs", child.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_while_an_operator_starts_anew_leaves_its_screens() {
    let router = start(MemoryStore::new().store()).await;
    let ann = Desk::ready(&router, ANN).await;
    let chat = open(&router, 1).await;
    ann.until_presented(chat).await;
    router.crash_operator(ANN);
    until("it has failed", || async { (router.restarts() >= 1).then_some(()) }).await;
    let bye = ChatCall::End { by: as_customer(1), command: fresh() };
    call(&router, chat, bye).await.unwrap();
    ann.until_withdrawn(chat, Gone::ChatEnded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_from_the_future_moves_no_clock_but_its_chats_own() {
    const DAY_MS: u64 = 86_400_000;
    let memory = MemoryStore::new();
    let router = start(memory.store()).await;
    let chat = open(&router, 1).await;
    router.stop().await;
    memory.restart();
    // By a machine whose clock was a day ahead.
    let tomorrow = router.now().plus_ms(DAY_MS);
    let (log, from) = (memory.store().log, party(as_customer(1)));
    let Claimed { claim, tail } = log.claim(chat).await.unwrap();
    let event = ChatEvent::Message { from, id: fresh(), text: message("from tomorrow") };
    log.append(
        claim,
        vec![Recorded { seq: tail + 1, at: tomorrow, event, names: Default::default() }],
    )
    .await
    .unwrap();
    let router = start(memory.store()).await;
    look(&router, chat).await;
    assert!(router.gauges().store_ahead_ms > DAY_MS / 2, "it is said at the start");
    assert!(router.now().plus_ms(DAY_MS / 2) < tomorrow, "what was read moved the clock");
    let answer = send(&router, as_customer(1), chat, &fresh(), "today").await.unwrap().1;
    assert_eq!(answer.at, tomorrow, "time never runs backwards in a log");
    let ann = [Desk::ready(&router, ANN).await];
    let offer = until("it is offered", || offer_of(&router, chat)).await;
    assert!(offer.expires_at.plus_ms(DAY_MS / 2) < tomorrow, "an offer ends by the clock");
    accepted(&router, &ann, chat).await;
    let record = router.operator(ANN).await.unwrap().record;
    assert!(record.last_accept.unwrap().plus_ms(DAY_MS / 2) < tomorrow);
    let other = open(&router, 2).await;
    assert!(look(&router, other).await.since.plus_ms(DAY_MS / 2) < tomorrow);
}

#[tokio::test]
async fn a_store_knows_when_it_was_written_last() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(folder.path())).unwrap());
    for store in [MemoryStore::new().store(), sqlite.store()] {
        assert_eq!(store.log.newest().await.unwrap(), None);
        for (n, at) in [(1, 7_000), (2, 9_000)] {
            let Claimed { claim, .. } = store.log.claim(ChatId::from_u128(n)).await.unwrap();
            let (from, at) = (party(as_customer(1)), Timestamp(at));
            let event = ChatEvent::Message { from, id: fresh(), text: message("words") };
            store
                .log
                .append(claim, vec![Recorded { seq: 1, at, event, names: Default::default() }])
                .await
                .unwrap();
            assert_eq!(store.log.newest().await.unwrap(), Some(at));
        }
    }
}

//! Whoever panics, whenever: the life goes on.

use std::sync::Arc;
use std::time::Duration;

use switchboard::actors::{Outgoing, Router};
use switchboard::domain::{ChatEvent, Person, Profile};
use switchboard::machine::chat::ChatCall;
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::life::{Crash, EVERY_WHO, Life};
use crate::store::{BREAKS, Break, Breaking, Only, STORES};
use crate::world::*;

/// Lives at a time.
const TOGETHER: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_panics_after_whichever_step_the_life_goes_to_its_end() {
    for store in STORES {
        whoever_panics(store).await;
    }
}

async fn whoever_panics(store: fn(&Arc<MemoryStore>) -> Store) {
    let router = start(store(&MemoryStore::new())).await;
    let steps = Life::new(router.clone(), None).live().await;
    assert_eq!(router.restarts(), 0, "nothing fails by itself");
    let together = Arc::new(Semaphore::new(TOGETHER));
    let mut lives = JoinSet::new();
    for after in 0..steps {
        for who in EVERY_WHO {
            for yields in [0, 4, 20] {
                let crash = Crash { after, who, yields };
                let together = Arc::clone(&together);
                lives.spawn(async move {
                    let _permit = together.acquire_owned().await.unwrap();
                    let lived = tokio::spawn(async move {
                        let router = start(store(&MemoryStore::new())).await;
                        Life::new(router, Some(crash)).live().await
                    });
                    assert!(lived.await.is_ok(), "{crash:?}");
                });
            }
        }
    }
    let count = lives.len();
    lives.join_all().await;
    println!("{count} lives, each with a crash: {steps} steps");
}

/// Breaks the store at the n-th call, for every n that the script reaches.
async fn every_call(store: fn(&Arc<MemoryStore>) -> Store, how: Break) -> usize {
    let mut lives = JoinSet::new();
    let (mut n, mut reached) = (0, true);
    let mut fired = 0;
    while reached || !lives.is_empty() {
        while reached && lives.len() < TOGETHER {
            n += 1;
            let at = n;
            lives.spawn(async move {
                let store = Arc::new(Breaking::new(store(&MemoryStore::new()), at, how));
                let under = Arc::clone(&store);
                let life = tokio::spawn(async move {
                    let router = Router::start(under.store(), roster(2), impatient()).await;
                    Life::new(router.unwrap(), None).live().await
                });
                assert!(life.await.is_ok(), "{how:?} at call {at}");
                store.has_fired()
            });
        }
        match lives.join_next().await {
            Some(Ok(true)) => fired += 1,
            Some(Ok(false)) => reached = false,
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => break,
        }
    }
    fired
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_breaks_at_any_call_in_any_way_costs_nothing_that_was_acknowledged() {
    silence_meant_panics();
    // Rows that are written with events are no calls of their own.
    for (store, least) in STORES.into_iter().zip([50, 25]) {
        for how in BREAKS {
            let points = every_call(store, how).await;
            println!("{how:?}: {points} lives, each broken at another call");
            assert!(points > least, "the script reaches only {points} calls");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_crashed_while_its_customer_hung_up_comes_into_the_line_by_itself() {
    silence_meant_panics();
    let breaks = [Break::PanicAfter, Break::UnknownDone];
    for (how, store) in breaks.into_iter().flat_map(|how| STORES.map(|store| (how, store))) {
        let hold = Arc::new(Semaphore::new(0));
        let store = store(&MemoryStore::new());
        let store = Arc::new(Breaking::at_append(store, 1, how, Arc::clone(&hold)));
        let router = start(store.store()).await;
        let caller = tokio::spawn({
            let router = router.clone();
            // In this task itself, so that nobody goes on asking once it is gone.
            async move { router.open(customer(1), &fresh(), &Profile::default(), &Unbounded).await }
        });
        until("the chat is opened", || async { store.has_fired().then_some(()) }).await;
        caller.abort();
        assert!(caller.await.is_err());
        hold.add_permits(1);
        until("it is in the line", || async {
            (router.line(PUSH, None, 10).await.ok()?.chats.len() == 1).then_some(())
        })
        .await;
    }
}

/// Many chats, few slots, and desks that accept whatever they are shown.
async fn a_busy_hour(router: Router, crash_after: usize, chats: u128, crash: impl Fn(&Router)) {
    let desks = Arc::new([Desk::ready(&router, ANN).await, Desk::ready(&router, BEN).await]);
    let mut opened = Vec::new();
    for who in 1..=chats {
        opened.push(open(&router, who).await);
    }
    let mut served = JoinSet::new();
    for (chat, who) in opened.iter().copied().zip(1..) {
        let (router, desks) = (router.clone(), Arc::clone(&desks));
        served.spawn(async move {
            let owner = accepted(&router, &desks[..], chat).await;
            let mut acknowledged = Vec::new();
            for (by, text) in [(as_user(owner), "good day"), (as_customer(who), "good bye")] {
                let id = fresh();
                let (chat, answer) = send(&router, by, chat, &id, text).await.unwrap();
                let (seq, from, text) = (answer.seq, party(by), text.to_owned());
                acknowledged.push(Acknowledged { chat, seq, from, id, text });
            }
            let end = ChatCall::End { by: as_user(owner), command: fresh() };
            call(&router, chat, end).await.unwrap();
            acknowledged
        });
    }
    let (mut acknowledged, mut ended) = (Vec::new(), 0);
    while let Some(more) = served.join_next().await {
        acknowledged.extend(more.unwrap());
        ended += 1;
        if ended == crash_after {
            crash(&router);
            opened.iter().for_each(|chat| router.crash_chat(*chat));
        }
    }
    until_quiet(&router, &desks[..]).await;
    let mut logs = Vec::new();
    for chat in &opened {
        let log = log_of(&router, *chat).await;
        check_log(*chat, &log, &acknowledged);
        assert!(log.iter().any(|r| matches!(r.event, ChatEvent::Ended { .. })));
        logs.push(log);
    }
    for (operator, most) in most_owned(&logs) {
        assert!(most <= 2, "{operator:?} had {most} chats, 2 fit");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_operator_holds_more_than_fits_whoever_crashes_in_a_busy_hour() {
    let mut hours = JoinSet::new();
    for crash_after in 1..=8 {
        for who in 0..3 {
            hours.spawn(async move {
                let router = start(MemoryStore::new().store()).await;
                a_busy_hour(router, crash_after, 10, |router| match who {
                    0 => router.crash_queue(PUSH),
                    1 => router.crash_operator(ANN),
                    _ => [ANN, BEN].iter().for_each(|id| router.crash_operator(*id)),
                })
                .await;
            });
        }
    }
    hours.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_connected_gets_each_event_once_though_the_outcome_of_its_append_was_unknown() {
    silence_meant_panics();
    for how in [Break::PanicAfter, Break::UnknownDone, Break::UnknownNotDone] {
        let store = MemoryStore::new().store();
        // The opening is the first append, the first text the second.
        let store = Arc::new(Breaking::at_only(store, Only::Appends, 2, how));
        let router = start(store.store()).await;
        let mut connection = router.connect(Person::Customer(customer(1)));
        let chat = open(&router, 1).await;
        for text in ["one", "two"] {
            send(&router, as_customer(1), chat, &fresh(), text).await.unwrap();
        }
        assert!(store.has_fired());
        let log: Vec<_> = log_of(&router, chat).await.iter().map(|event| event.seq).collect();
        let mut told = Vec::new();
        let telling = async {
            while told.last() != log.last() {
                if let Ok(Outgoing::Events { events, .. }) = connection.outbox.recv().await {
                    told.extend(events.iter().map(|event| event.seq));
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), telling).await.unwrap();
        assert_eq!(told, log, "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_event_is_told_though_the_outcome_of_its_append_was_unknown_and_nothing_follows() {
    silence_meant_panics();
    for how in [Break::PanicAfter, Break::UnknownDone] {
        let store = MemoryStore::new().store();
        let store = Arc::new(Breaking::at_only(store, Only::Appends, 2, how));
        let router = start(store.store()).await;
        let mut connection = router.connect(Person::Customer(customer(1)));
        let chat = open(&router, 1).await;
        let (_, answer) = send(&router, as_customer(1), chat, &fresh(), "good bye").await.unwrap();
        assert!(store.has_fired());
        let telling = async {
            loop {
                match connection.outbox.recv().await {
                    Ok(Outgoing::Events { events, .. })
                        if events.iter().any(|event| event.seq == answer.seq) =>
                    {
                        break;
                    }
                    Ok(_) => {}
                    Err(_) => panic!("the connection stays"),
                }
            }
        };
        let told = tokio::time::timeout(LIMIT, telling).await;
        assert!(told.is_ok(), "{how:?}: the next life tells it");
    }
}

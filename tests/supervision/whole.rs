//! What people do in a chat's life, over both stores.

use switchboard::actors::{Routed, Router};
use switchboard::domain::event::PlacedCause;
use switchboard::domain::{Party, Person, Priority, Profile, Rule};
use switchboard::machine::chat::{ChatCall, Refusal, Target};
use switchboard::machine::operator::Gone;
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::sqlite::{SqliteOptions, SqliteStore};

use crate::life::Life;
use crate::world::*;

macro_rules! on_both_stores {
    ($($name:ident)*) => {
        mod memory {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::MemoryStore::new().store()).await;
            }
        )*}
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let options = super::SqliteOptions::new(folder.path());
                let store = std::sync::Arc::new(super::SqliteStore::open(&options).unwrap());
                super::$name(store.store()).await;
            }
        )*}
    };
}

on_both_stores! {
    a_life_from_the_opening_to_the_end_and_beyond
    who_declines_is_passed_over_and_another_is_asked
    an_offer_that_nobody_answers_goes_to_the_next
    of_two_who_accept_one_gets_the_chat_and_the_other_is_told
    nobody_is_asked_for_a_manual_queue_and_a_member_takes
    two_tabs_that_open_at_once_get_one_chat
    every_stage_is_explained
    the_line_is_in_order_and_served_in_order
    only_who_takes_part_may_write_or_raise_a_watermark
}

async fn a_life_from_the_opening_to_the_end_and_beyond(store: Store) {
    let router = start(store).await;
    Life::new(router.clone(), None).live().await;
    assert_eq!(router.restarts(), 0);
    router.stop().await;
}

async fn who_declines_is_passed_over_and_another_is_asked(store: Store) {
    let router = start(store).await;
    let ann = Desk::ready(&router, ANN).await;
    let chat = open(&router, 1).await;
    ann.until_presented(chat).await;
    let ben = Desk::ready(&router, BEN).await;
    let offer = offer_of(&router, chat).await.unwrap();
    assert_eq!(refused(ben.accept(chat, &offer).await), Refusal::OfferGone, "it was never his");
    ann.decline(chat, &offer).await.unwrap();
    ann.until_withdrawn(chat, Gone::Declined).await;
    ben.until_presented(chat).await;
    assert_eq!(refused(ann.accept(chat, &offer).await), Refusal::OfferGone);
    assert_eq!(accepted(&router, &[ben], chat).await, BEN);
}

async fn an_offer_that_nobody_answers_goes_to_the_next(store: Store) {
    let router = start(store).await;
    let mut push = queue(PUSH, Rule::LeastLoaded, &[ANN, BEN]);
    (push.version, push.offer_timeout_ms) = (2, 150);
    router.set_queue(push);
    let ann = Desk::ready(&router, ANN).await;
    let chat = open(&router, 1).await;
    ann.until_presented(chat).await;
    let ben = Desk::ready(&router, BEN).await;
    ann.until_withdrawn(chat, Gone::Lapsed).await;
    ben.until_presented(chat).await;
}

async fn of_two_who_accept_one_gets_the_chat_and_the_other_is_told(store: Store) {
    let router = start(store).await;
    router.set_channel(CHANNEL, Some(ALL));
    let desks = [Desk::ready(&router, ANN).await, Desk::ready(&router, BEN).await];
    let chat = open(&router, 1).await;
    for desk in &desks {
        desk.until_presented(chat).await;
    }
    let offer = offer_of(&router, chat).await.unwrap();
    let [ann, ben] = &desks;
    let (first, second) = tokio::join!(ann.accept(chat, &offer), ben.accept(chat, &offer));
    let (winner, loser, lost) = match (&first, &second) {
        (Ok(_), Err(_)) => (ann, ben, second),
        (Err(_), Ok(_)) => (ben, ann, first),
        both => panic!("one of two wins: {both:?}"),
    };
    assert_eq!(refused(lost), Refusal::OfferGone);
    assert_eq!(owner_of(&router, chat).await, Some(winner.id));
    loser.until_empty().await;
}

async fn nobody_is_asked_for_a_manual_queue_and_a_member_takes(store: Store) {
    let router = start(store).await;
    router.set_channel(CHANNEL, Some(MANUAL));
    let desks = [Desk::ready(&router, ANN).await, Desk::ready(&router, BEN).await];
    let chat = open(&router, 1).await;
    until("it is in the line", || async {
        (router.line(MANUAL, None, 9).await.ok()?.chats.len() == 1).then_some(())
    })
    .await;
    assert_eq!(offer_of(&router, chat).await, None);
    desks[1].take(chat).await.unwrap();
    assert_eq!(owner_of(&router, chat).await, Some(BEN));
    assert!(matches!(refused(desks[0].take(chat).await), Refusal::WrongState { .. }));
    let again = transfer(&router, as_user(ANN), chat, Target::Operator(ANN)).await;
    assert_eq!(refused(again), Refusal::NotYours);
    transfer(&router, as_administrator(), chat, Target::Operator(ANN)).await.unwrap();
    assert_eq!(owner_of(&router, chat).await, Some(ANN));
}

async fn two_tabs_that_open_at_once_get_one_chat(store: Store) {
    let router = start(store).await;
    let tabs = (0..16).map(|_| {
        let router = router.clone();
        tokio::spawn(async move { open(&router, 5).await })
    });
    let mut chats = Vec::new();
    for tab in tabs.collect::<Vec<_>>() {
        chats.push(tab.await.unwrap());
    }
    chats.dedup();
    assert_eq!(chats.len(), 1);
    let other = open(&router, 6).await;
    assert_ne!(other, chats[0]);
    let end = ChatCall::End { by: as_customer(5), command: fresh() };
    call(&router, chats[0], end).await.unwrap();
    assert_ne!(open(&router, 5).await, chats[0], "after the end another is opened");
}

async fn every_stage_is_explained(store: Store) {
    let router = start(store).await;
    let chat = open(&router, 1).await;
    let explained =
        until("the queue knows it", || async { router.explain(chat).await.ok()?.0 }).await;
    assert_eq!(explained.chat, chat);
    let ann = Desk::ready(&router, ANN).await;
    ann.until_presented(chat).await;
    let (now, routed) = router.explain(chat).await.unwrap();
    assert!(now.is_some(), "it is offered, and still the queue's");
    assert!(
        matches!(&routed[..], [Routed::Offered { to, .. }, Routed::Placed { .. }] if *to == [ANN]),
        "{routed:?}"
    );
    accepted(&router, &[ann], chat).await;
    let (now, routed) = router.explain(chat).await.unwrap();
    assert_eq!(now, None);
    let [Routed::Assigned { operator: ANN, .. }, Routed::Offered { .. }, Routed::Placed { .. }] =
        &routed[..]
    else {
        panic!("{routed:?}");
    };
    transfer(&router, as_user(ANN), chat, Target::Queue(MANUAL)).await.unwrap();
    let (_, routed) = router.explain(chat).await.unwrap();
    let [Routed::Placed { queue: MANUAL, cause: PlacedCause::Transferred { by, .. }, .. }, ..] =
        &routed[..]
    else {
        panic!("{routed:?}");
    };
    assert_eq!(*by, Party::User(ANN));
}

fn urgent() -> Profile {
    Profile { priority: Priority::new(5).unwrap(), ..Default::default() }
}

async fn the_line_is_in_order_and_served_in_order(store: Store) {
    let router = start(store).await;
    let mut expected = Vec::new();
    for who in 1..=5 {
        expected.push(open(&router, who).await);
    }
    let urgent = persist("open", || {
        let router = router.clone();
        async move { router.open(customer(6), &fresh(), &urgent(), &Unbounded).await }
    });
    expected.insert(0, urgent.await.unwrap().0);
    until_line(&router, &expected).await;
    let ann = Desk::ready(&router, ANN).await;
    for chat in &expected[..2] {
        ann.until_presented(*chat).await;
    }
    until("two are offered", || async {
        let line = router.line(PUSH, None, 9).await.ok()?.chats;
        let offered: Vec<bool> = line.iter().map(|waiting| waiting.offered).collect();
        (offered == [true, true, false, false, false, false]).then_some(())
    })
    .await;
}

/// The chats are in the line in this order, or come to be.
pub async fn until_line(router: &Router, expected: &[switchboard::domain::ChatId]) {
    until("the line is as it should be", || async {
        let line = router.line(PUSH, None, 100).await.ok()?.chats;
        let chats: Vec<_> = line.iter().map(|waiting| waiting.chat).collect();
        (chats == expected).then_some(())
    })
    .await;
}

async fn only_who_takes_part_may_write_or_raise_a_watermark(store: Store) {
    let router = start(store).await;
    let chat = open(&router, 1).await;
    let stranger = send(&router, as_customer(2), chat, &fresh(), "mine?").await;
    assert_eq!(refused(stranger), Refusal::NotYours);
    let stranger = send(&router, as_user(ANN), chat, &fresh(), "mine?").await;
    assert_eq!(refused(stranger), Refusal::NotYours);
    let raised = router.raise_watermark(chat, Person::User(ANN), 1, true).await;
    assert_eq!(refused(raised), Refusal::NotYours);
    let id = fresh();
    send(&router, as_customer(1), chat, &id, "hello").await.unwrap();
    let other = send(&router, as_customer(1), chat, &id, "goodbye").await;
    assert_eq!(refused(other), Refusal::IdReused);
}

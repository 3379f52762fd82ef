//! Watermarks: what was acknowledged is durable.

use std::sync::Arc;
use std::time::Duration;

use switchboard::actors::{CallError, Options, Outgoing, Router};
use switchboard::domain::{ChatId, Person, Status};
use switchboard::machine::operator::OperatorCall;
use switchboard::storage::memory::MemoryStore;

use tokio::sync::Semaphore;

use crate::store::{Break, Breaking, Only};
use crate::world::*;

const CUSTOMER: u128 = 5;

fn person() -> Person {
    as_customer(CUSTOMER).person
}

/// A chat in its second life, which does not know what the first one wrote beside the log.
async fn opened_before(router: &Router) -> ChatId {
    let chat = open(router, CUSTOMER).await;
    let before = router.restarts();
    router.crash_chat(chat);
    until("it lives again", || async { (router.restarts() > before).then_some(()) }).await;
    chat
}

#[tokio::test]
async fn watermarks_are_read_by_a_life_that_finds_a_log_and_by_no_other() {
    let store = MemoryStore::new().store();
    let never = Breaking::at_only(store, Only::WatermarkReads, usize::MAX, Break::Refused);
    let counting = Arc::new(never);
    let router = start(counting.store()).await;
    let chat = open(&router, CUSTOMER).await;
    router.raise_watermark(chat, person(), 1, true).await.unwrap();
    let read = async || router.look(chat).await.unwrap().watermarks[&party(as_customer(CUSTOMER))];
    assert_eq!((read().await.read, counting.calls()), (1, 0), "it began in this life");
    router.crash_chat(chat);
    until("it lives again", || async { (router.restarts() == 1).then_some(()) }).await;
    assert_eq!((read().await.read, counting.calls()), (1, 1));
}

#[tokio::test]
async fn an_acknowledged_watermark_is_durable_and_many_share_a_write() {
    let store = MemoryStore::new().store();
    let counting = Arc::new(Breaking::at_only(store.clone(), Only::Watermarks, 0, Break::Refused));
    let router = start(counting.store()).await;
    let chat = open(&router, CUSTOMER).await;
    for n in 0..6 {
        send(&router, as_customer(CUSTOMER), chat, &fresh(), &format!("{n}")).await.unwrap();
    }
    router.raise_watermark(chat, person(), 1, false).await.unwrap();
    assert_eq!(
        store.watermarks.load(chat).await.unwrap()[&party(as_customer(CUSTOMER))].delivered,
        1
    );
    // Those of the next second wait for one write.
    let watermarks =
        (2..=6).map(|up_to| router.raise_watermark(chat, person(), up_to, up_to % 2 == 0));
    for raised in futures_util::future::join_all(watermarks).await {
        raised.unwrap();
    }
    let kept = store.watermarks.load(chat).await.unwrap()[&party(as_customer(CUSTOMER))];
    assert_eq!((kept.delivered, kept.read), (6, 6));
    assert_eq!(counting.calls(), 2);
}

#[tokio::test]
async fn a_watermark_whose_write_fails_is_unavailable_and_its_repeat_is_not() {
    for how in [Break::Refused, Break::SilentDone, Break::SilentNotDone] {
        let store = MemoryStore::new().store();
        let breaking = Arc::new(Breaking::at_only(store.clone(), Only::Watermarks, 1, how));
        // The store is given up long before the call.
        let call_limit = Duration::from_secs(20);
        let options = Options { call_limit, ..impatient() };
        let router = Router::start(breaking.store(), roster(2), options).await.unwrap();
        let chat = open(&router, CUSTOMER).await;
        let first = router.raise_watermark(chat, person(), 1, true).await;
        assert_eq!(first, Err(CallError::Unavailable), "{how:?}");
        router.raise_watermark(chat, person(), 1, true).await.unwrap();
        assert_eq!(
            store.watermarks.load(chat).await.unwrap()[&party(as_customer(CUSTOMER))].read,
            1
        );
        assert_eq!(router.restarts(), 0, "a watermark that is written again harms nobody");
    }
}

#[tokio::test]
async fn a_store_that_holds_watermarks_holds_up_no_message() {
    for only in [Only::WatermarkReads, Only::Watermarks] {
        let hold = Arc::new(Semaphore::new(0));
        let mut held = Breaking::at_only(MemoryStore::new().store(), only, 1, Break::Late);
        held.hold = Some(Arc::clone(&hold));
        let held = Arc::new(held);
        let router = start(held.store()).await;
        let chat = opened_before(&router).await;
        let raising = tokio::spawn({
            let router = router.clone();
            async move { router.raise_watermark(chat, person(), 1, true).await }
        });
        until("the store holds it", || async { held.has_fired().then_some(()) }).await;
        send(&router, as_customer(CUSTOMER), chat, &fresh(), "said meanwhile").await.unwrap();
        assert!(!raising.is_finished(), "{only:?}: not durable yet");
        hold.add_permits(1);
        raising.await.unwrap().unwrap();
        let view = router.look(chat).await.unwrap();
        assert_eq!(view.watermarks[&party(as_customer(CUSTOMER))].read, 1);
    }
}

#[tokio::test]
async fn a_store_that_panics_over_watermarks_ends_no_chat() {
    for only in [Only::WatermarkReads, Only::Watermarks] {
        let store = MemoryStore::new().store();
        let breaking = Arc::new(Breaking::at_only(store, only, 1, Break::PanicBefore));
        let router = start(breaking.store()).await;
        let chat = opened_before(&router).await;
        let asked = router.raise_watermark(chat, person(), 1, true).await;
        assert_eq!(asked, Err(CallError::Unavailable), "{only:?}");
        router.raise_watermark(chat, person(), 1, true).await.unwrap();
        assert_eq!(router.restarts(), 1, "the one before");
    }
}

#[tokio::test]
async fn an_operator_whose_record_the_store_is_silent_over_starts_anew_with_what_is_durable() {
    for (how, durable) in [(Break::SilentDone, true), (Break::SilentNotDone, false)] {
        let store = MemoryStore::new().store();
        let breaking = Arc::new(Breaking::at_only(store.clone(), Only::Saves, 1, how));
        let router = Router::start(breaking.store(), roster(2), impatient()).await.unwrap();
        let _desk = Desk::sit(&router, ANN);
        let asked = router.call_operator(ANN, OperatorCall::SetStatus(Status::Busy)).await;
        assert!(matches!(asked, Err(CallError::Unavailable) | Ok(_)), "{asked:?}");
        until("it has started anew", || async { (router.restarts() == 1).then_some(()) }).await;
        let view = until("it is live", || async { router.operator(ANN).await.ok() }).await;
        // The call was asked again at the next life, whose store answers.
        let kept = store.operators.load(ANN).await.unwrap().status;
        assert_eq!(view.record.status, kept, "{how:?}, durable: {durable}");
    }
}

/// It would tell nobody of the watermark: its next life finds what is durable, and takes it for told.
#[tokio::test]
async fn a_chat_stays_awake_until_its_watermarks_are_written_and_tells_of_them() {
    let hold = Arc::new(Semaphore::new(0));
    let mut held = Breaking::at_only(MemoryStore::new().store(), Only::Watermarks, 1, Break::Late);
    held.hold = Some(Arc::clone(&hold));
    let held = Arc::new(held);
    let options = Options { idle_after: Duration::from_millis(20), ..options() };
    let router = Router::start(held.store(), roster(2), options).await.unwrap();
    let mut connection = router.connect(person());
    let chat = open(&router, CUSTOMER).await;
    let raising = tokio::spawn({
        let router = router.clone();
        async move { router.raise_watermark(chat, person(), 1, true).await }
    });
    until("the store holds it", || async { held.has_fired().then_some(()) }).await;
    // Another chat, used later, has fallen asleep by now.
    open(&router, CUSTOMER + 1).await;
    until("one sleeps", || async { (router.count("chat") < 2).then_some(()) }).await;
    hold.add_permits(1);
    raising.await.unwrap().unwrap();
    let telling = async {
        while let Ok(outgoing) = connection.outbox.recv().await {
            if let Outgoing::Watermark { watermark, .. } = outgoing {
                return watermark.read;
            }
        }
        0
    };
    let told = tokio::time::timeout(LIMIT, telling).await;
    assert_eq!(told, Ok(1), "who is connected hears of it");
}

#[tokio::test]
async fn a_status_that_the_store_refused_is_neither_answered_nor_in_force() {
    let store = MemoryStore::new().store();
    let breaking = Arc::new(Breaking::at_only(store.clone(), Only::Saves, 1, Break::Refused));
    let router = Router::start(breaking.store(), roster(2), options()).await.unwrap();
    let _desk = Desk::sit(&router, ANN);
    let asked = router.call_operator(ANN, OperatorCall::SetStatus(Status::Busy)).await;
    assert_eq!(asked, Err(CallError::Unavailable));
    assert_eq!(router.operator(ANN).await.unwrap().record.status, Status::Offline);
    router.call_operator(ANN, OperatorCall::SetStatus(Status::Busy)).await.unwrap();
    assert_eq!(store.operators.load(ANN).await.unwrap().status, Status::Busy);
    assert_eq!(router.restarts(), 0);
}

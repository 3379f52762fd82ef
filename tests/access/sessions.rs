//! How sessions are kept: a document for each user, written over and never removed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};
use switchboard::access::limits::SESSIONS_PER_USER;
use switchboard::access::{AccessError, Asker, Invalid};
use switchboard::catalog::{Catalog, CatalogError, Channel, Role, User};
use switchboard::domain::rights::Operation;
use switchboard::domain::{Customer, CustomerId, Queue, Timestamp, UserId};
use switchboard::storage::Documents;

use crate::support::{Fault, MemoryDocuments, system};
use crate::{ANNA, HOME, NOW, PASSWORD, QUEUE, ROOT, SITE, World, attempt, start, world};

/// The sessions of a user as they are stored.
pub async fn kept(documents: &MemoryDocuments, user: UserId) -> serde_json::Map<String, Value> {
    let found = documents.get("sessions", &user.to_string()).await.unwrap();
    let body: Value =
        found.map_or(json!({"sessions": {}}), |found| serde_json::from_slice(&found.body).unwrap());
    body["sessions"].as_object().unwrap().clone()
}

async fn boris(world: &World) {
    let mut boris = User::new(UserId::from_u128(9), "Boris", "boris", Role::Operator);
    boris.password = Some(world.access.new_password(PASSWORD.into()).await.unwrap());
    world.catalog.put(boris, &system()).await.unwrap();
}

#[tokio::test]
async fn log_ins_do_not_wait_for_those_of_others() {
    let world = Arc::new(world().await);
    boris(&world).await;
    let free = world.documents.hold(&ANNA.to_string());
    let held = Arc::clone(&world);
    let anna = tokio::spawn(async move {
        held.access.log_in(attempt("anna", PASSWORD), NOW).await.outcome.unwrap()
    });
    world.documents.holds().await;
    let own = world.access.log_in(attempt("boris", PASSWORD), NOW);
    let own = tokio::time::timeout(Duration::from_secs(10), own).await;
    let tokens = own.expect("another's log-in goes on").outcome.unwrap();
    let principal = world.access.authenticate(&tokens.access, NOW).unwrap();
    let out = world.access.log_out(&principal, HOME, NOW);
    tokio::time::timeout(Duration::from_secs(10), out).await.expect("so does the log-out").unwrap();
    assert!(!anna.is_finished());
    free.add_permits(1);
    assert_eq!(anna.await.unwrap().user, ANNA);
}

/// That log-in is a revocation like any other: what the oldest session had under way is over when it answers.
#[tokio::test]
async fn the_log_in_that_ends_the_oldest_session_waits_for_what_is_under_way() {
    let world = world().await;
    let log_in = async |n: usize| {
        let now = NOW.plus_ms(n as u64);
        world.access.log_in(attempt("anna", PASSWORD), now).await.outcome.unwrap()
    };
    let oldest = log_in(0).await;
    for n in 1..SESSIONS_PER_USER {
        log_in(n).await;
    }
    let own = || Ok::<_, ()>(());
    let asked = world.access.permits().ask(Asker::User(ANNA), Operation::SessionsRefresh, own);
    let permit = asked.await.unwrap();
    let mut last = Box::pin(log_in(SESSIONS_PER_USER));
    let ends = async {
        while world.access.authenticate(&oldest.access, NOW).is_ok() {
            assert!(last.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ends).await.expect("the oldest session ends");
    // Nothing here waits for anything but the permit.
    for _ in 0..1_000 {
        assert!(
            last.as_mut().now_or_never().is_none(),
            "something of the ended session is under way"
        );
        tokio::task::yield_now().await;
    }
    drop(permit);
    let tokens = last.await;
    assert!(world.access.authenticate(&tokens.access, NOW).is_ok());
}

#[tokio::test]
async fn sessions_that_end_leave_nothing_to_be_looked_over() {
    let world = world().await;
    for _ in 0..40 {
        let tokens = world.log_in().await;
        let principal = world.access.authenticate(&tokens.access, NOW).unwrap();
        world.access.log_out(&principal, HOME, NOW).await.unwrap();
    }
    let last = world.log_in().await;
    world.access.prune(last.refresh_until).await.unwrap();
    assert_eq!((world.documents.count("sessions"), world.documents.deleted()), (1, 0));
    assert_eq!(kept(&world.documents, ANNA).await.len(), 0);
}

#[tokio::test]
async fn what_ended_here_comes_back_in_no_way() {
    for fault in [Fault::Before, Fault::After] {
        let world = world().await;
        let tokens = world.log_in().await;
        let principal = world.access.authenticate(&tokens.access, NOW).unwrap();
        world.documents.fail_next_write(fault);
        assert!(world.access.log_out(&principal, HOME, NOW).await.is_err());
        // Another session begins: what the store had of the first one is read, and not believed.
        let other = world.log_in().await;
        assert_eq!(world.access.still(&principal, NOW), Err(Invalid::Revoked), "{fault:?}");
        assert_eq!(kept(&world.documents, ANNA).await.len(), 1, "{fault:?}");
        let again = start(world.documents).await;
        assert!(again.access.authenticate(&tokens.access, NOW).is_err(), "{fault:?}");
        assert!(again.access.authenticate(&other.access, NOW).is_ok(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_write_that_nobody_waited_for_is_looked_at_again() {
    let world = world().await;
    let free = world.documents.hold(&ANNA.to_string());
    let given_up = async {
        let log_in = world.access.log_in(attempt("anna", PASSWORD), NOW);
        tokio::select! {
            _ = log_in => unreachable!("its answer is held"),
            () = world.documents.holds() => {}
        }
    };
    given_up.await;
    free.add_permits(1);
    let tokens = world.log_in().await;
    assert!(world.access.authenticate(&tokens.access, NOW).is_ok());
    assert_eq!(kept(&world.documents, ANNA).await.len(), 2);
}

/// Documents as the release before wrote them, one for each session.
#[tokio::test]
async fn sessions_of_the_release_before_go_on() {
    let world = world().await;
    let (tokens, gone) = (world.log_in().await, world.log_in().await);
    let principal = world.access.authenticate(&gone.access, NOW).unwrap();
    let sessions = kept(&world.documents, ANNA).await;
    let documents = world.documents.clone();
    documents.delete("sessions", &ANNA.to_string(), 2).await.unwrap();
    for (id, session) in &sessions {
        let mut former = session.clone();
        former["form"] = json!(1);
        former["user"] = json!(ANNA.to_string());
        let body = serde_json::to_vec(&former).unwrap();
        documents.put("session", id, 0, body).await.unwrap();
    }
    let again = start(documents.clone()).await;
    assert_eq!((documents.count("session"), documents.count("sessions")), (0, 1));
    assert_eq!(kept(&documents, ANNA).await, sessions);
    again.access.log_out(&principal, HOME, NOW).await.unwrap();
    let again = start(documents.clone()).await;
    assert!(again.access.authenticate(&gone.access, NOW).is_err());
    assert!(again.access.refresh(&tokens.refresh, HOME, NOW).await.is_ok());
}

#[tokio::test]
async fn a_move_that_was_interrupted_is_done_again() {
    for (writes, fault) in [(0, Fault::Before), (0, Fault::After), (1, Fault::Before)] {
        let documents = Arc::new(MemoryDocuments::default());
        let former = json!({"form": 1, "user": ANNA.to_string(), "epoch": 0, "n": 3,
            "began": NOW.0, "until": NOW.0 + 1_000});
        let id = UserId::from_u128(77).to_string();
        documents.put("session", &id, 0, serde_json::to_vec(&former).unwrap()).await.unwrap();
        // The key of the tokens is made first.
        drop(start(documents.clone()).await);
        documents.put("session", &id, 0, serde_json::to_vec(&former).unwrap()).await.unwrap();
        documents.fail_after(writes, fault);
        assert!(crate::try_start(documents.clone()).await.is_err());
        drop(start(documents.clone()).await);
        assert_eq!((documents.count("session"), documents.count("sessions")), (0, 1));
        assert_eq!(kept(&documents, ANNA).await[&id]["n"], 3);
    }
}

#[tokio::test]
async fn a_damaged_document_is_its_owners_trouble_alone() {
    let world = world().await;
    boris(&world).await;
    let tokens = world.log_in().await;
    let other = world.access.log_in(attempt("boris", PASSWORD), NOW).await.outcome.unwrap();
    let documents = world.documents.clone();
    // As if logged out: and the next log-in writes it anew.
    documents.damage("sessions", &ANNA.to_string());
    let again = start(documents.clone()).await;
    assert!(again.access.authenticate(&tokens.access, NOW).is_err());
    assert!(again.access.authenticate(&other.access, NOW).is_ok());
    let next = again.log_in().await;
    assert!(again.access.authenticate(&next.access, NOW).is_ok());
    assert_eq!(kept(&documents, ANNA).await.len(), 1);
    // The user cannot log in, and nobody takes its place.
    documents.damage("user", &ANNA.to_string());
    documents.damage("queue", &QUEUE.to_string());
    documents.damage("channel", &SITE.to_string());
    let again = start(documents.clone()).await;
    let refused = again.access.log_in(attempt("anna", PASSWORD), NOW).await.outcome;
    assert_eq!(refused.err(), Some(AccessError::Credentials));
    assert!(again.access.authenticate(&next.access, NOW).is_err());
    assert!(again.access.authenticate(&other.access, NOW).is_ok());
    refused_unread(&again.catalog).await;
    assert_eq!(again.catalog.snapshot().user(ROOT).unwrap().login, "root");
}

/// None of the damaged is written over, whatever version is given.
async fn refused_unread(catalog: &Catalog) {
    use switchboard::catalog::{Provider, Usage};
    use switchboard::domain::Rule;
    let act = system();
    for version in [0, 1, 2] {
        let user = User { version, ..User::new(ANNA, "Anna", "anna", Role::Operator) };
        assert_eq!(catalog.put(user, &act).await, Err(CatalogError::Unread));
        let queue = Queue { version, ..Queue::new(QUEUE, "Sales", Rule::ToAll) };
        assert_eq!(catalog.put(queue, &act).await, Err(CatalogError::Unread));
        let channel = Channel { version, ..Channel::new(SITE, "Site", Provider::WebChat, QUEUE) };
        assert_eq!(catalog.put(channel, &act).await, Err(CatalogError::Unread));
        let gone = catalog.delete::<Queue>(QUEUE, version, Usage::Unused, &act).await;
        assert_eq!(gone, Err(CatalogError::Unread));
        let gone = catalog.delete::<Channel>(SITE, version, Usage::Unused, &act).await;
        assert_eq!(gone, Err(CatalogError::Unread));
    }
}

/// With a file, the erasure that the clock made too late would else hide the next one of the customer.
#[tokio::test]
async fn a_later_erasure_has_a_later_time_though_the_clock_was_ahead() {
    let world = world().await;
    let customer = Customer { channel: SITE, id: CustomerId::from_u128(77) };
    let (ahead, now) = (NOW.plus_ms(1_000_000), NOW);
    let erased = async |at: Timestamp| {
        let at = world.access.begin_erasure(customer, at).await.unwrap();
        world.access.end_erasure(customer, at).await.unwrap();
        at
    };
    let said = async || {
        let listed = world.documents.list("erased", None, 10).await.unwrap();
        String::from_utf8(listed[0].clone().document().unwrap().body).unwrap()
    };
    assert_eq!(erased(ahead).await, ahead);
    assert_eq!(erased(now).await, ahead.plus_ms(1));
    assert_eq!(said().await, ahead.plus_ms(1).0.to_string());
    world.access.end_erasure(customer, now).await.unwrap();
    assert_eq!(said().await, ahead.plus_ms(1).0.to_string(), "never written lower");
}

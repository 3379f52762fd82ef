//! One owner of a keyspace: the next waits, takes over, and whatever the one before it still has
//! under way has no effect.

use std::sync::Arc;
use std::time::Duration;

use switchboard::domain::operator::OperatorRecord;
use switchboard::storage::scylla::{ScyllaOptions, ScyllaStore};
use switchboard::storage::{AppendError, ChatLog, OpenChats, OperatorRecords, Processes};
use tokio::time::timeout;

use crate::cql::with_rig;
use crate::cql_lease::{reads_the_lease, until};
use crate::cql_support::{Keyspace, RUNTIME};
use crate::proxy::Proxy;
use crate::samples::{chat, message, messages, open_chat, user};

/// Long enough for whatever is going to happen.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn cql_a_second_process_waits_until_the_first_has_ended() {
    with_rig(async |rig| {
        let mut options = rig.keyspace.options.clone();
        let proxy = Proxy::before(options.contact_points[0].clone()).await;
        options.contact_points = vec![proxy.address.to_string()];
        let second = tokio::spawn(async move { ScyllaStore::open(&options).await.unwrap() });
        until("it looks", async || proxy.executed(reads_the_lease) > 0).await;
        // Whatever the first does is done long before the second's patience ends.
        for n in 1..=20 {
            let claim = rig.store.claim(chat(n)).await.unwrap().claim;
            rig.store.append(claim, messages(1..=5)).await.unwrap();
        }
        assert!(!second.is_finished());
        let life = rig.store.life();
        rig.store.close().await;
        let second = timeout(PATIENCE, second).await.unwrap().unwrap();
        assert!(second.life() > life);
        let refused = rig.store.claim(chat(1)).await;
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(second.claim(chat(20)).await.unwrap().tail, 5);
    });
}

/// With the lease of the product.
#[test]
fn cql_a_second_process_takes_over_after_a_kill() {
    RUNTIME.block_on(async {
        let Some(mut keyspace) = Keyspace::new().await else { return };
        keyspace.options.lease = ScyllaOptions::local("unused", "a test").lease;
        let first = ScyllaStore::open(&keyspace.options).await.unwrap();
        let life = first.life();
        // Dropped, and so not closed: nobody lets go of the lease.
        drop(first);
        let killed = tokio::time::Instant::now();
        let second = ScyllaStore::open(&keyspace.options).await.unwrap();
        // To be read, and not to be relied on: how long it takes depends on the machine.
        println!("taken over after {:?}", killed.elapsed());
        assert!(second.life() > life);
        second.close().await;
    });
}

#[test]
fn cql_what_a_paused_owner_still_has_under_way_has_no_effect() {
    RUNTIME.block_on(async {
        let Some(mut keyspace) = Keyspace::new().await else { return };
        keyspace.options.lease = Duration::from_secs(3);
        keyspace.options.request_limit = Duration::from_secs(30);
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        let paused = Arc::new(ScyllaStore::open(&options).await.unwrap());
        let old = paused.claim(chat(1)).await.unwrap().claim;
        paused.append(old, messages([1])).await.unwrap();
        OpenChats::put(&*paused, open_chat(1, 5)).await.unwrap();

        // Everything that it sends from now on arrives when another has long been the owner.
        proxy.hold_requests(true);
        let write = |store: &Arc<ScyllaStore>| Arc::clone(store);
        let append = tokio::spawn({
            let store = write(&paused);
            async move { store.append(old, vec![message(2, "late")]).await }
        });
        let row = tokio::spawn({
            let store = write(&paused);
            async move { OpenChats::put(&*store, open_chat(1, 77)).await }
        });
        let removed = tokio::spawn({
            let store = write(&paused);
            async move { OpenChats::remove(&*store, chat(1)).await }
        });
        let record = OperatorRecord { lapses_in_row: 9, ..OperatorRecord::default() };
        let saved = tokio::spawn({
            let (store, record) = (write(&paused), record.clone());
            async move { OperatorRecords::save(&*store, user(1), record).await }
        });

        let next = ScyllaStore::open(&keyspace.options).await.unwrap();
        assert!(next.life() > paused.life());
        let claimed = next.claim(chat(1)).await.unwrap();
        assert_eq!(claimed.tail, 1);
        OpenChats::put(&next, open_chat(1, 6)).await.unwrap();
        next.save(user(1), OperatorRecord::default()).await.unwrap();
        let process = next.begin().await.unwrap();

        proxy.hold_requests(false);
        let append = append.await.unwrap();
        assert!(matches!(append, Err(AppendError::Unknown { .. })), "{append:?}");
        for outcome in [row.await.unwrap(), removed.await.unwrap(), saved.await.unwrap()] {
            assert!(outcome.is_err(), "acknowledged after the lease: {outcome:?}");
        }
        let mut failure = paused.failure();
        let failed = timeout(PATIENCE, failure.wait_for(Option::is_some)).await;
        assert!(failed.unwrap().unwrap().is_some(), "it ends");

        assert_eq!(next.read(chat(1), 1, 9).await.unwrap(), messages([1]));
        next.append(claimed.claim, messages([2])).await.unwrap();
        assert_eq!(next.read(chat(1), 1, 9).await.unwrap(), messages(1..=2));
        assert_eq!(next.scan(None, 9).await.unwrap(), [open_chat(1, 6)]);
        let kept = OperatorRecords::load(&next, user(1)).await.unwrap();
        assert_eq!(kept, OperatorRecord::default());
        assert!(next.begin().await.unwrap() > process);
        next.close().await;
    });
}

#[test]
fn cql_an_owner_that_could_not_renew_goes_on_if_nobody_took_over() {
    RUNTIME.block_on(async {
        let Some(mut keyspace) = Keyspace::new().await else { return };
        keyspace.options.lease = Duration::from_secs(2);
        keyspace.options.request_limit = Duration::from_secs(1);
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        keyspace.options.contact_points = vec![proxy.address.to_string()];
        let store = ScyllaStore::open(&keyspace.options).await.unwrap();
        let claim = store.claim(chat(1)).await.unwrap().claim;
        store.append(claim, messages([1])).await.unwrap();
        proxy.hold_requests(true);
        // Refused as soon as the lease is over, without asking anybody.
        let refused = loop {
            match store.claim(chat(2)).await {
                Err(error) if error.to_string().contains("renew") => break error,
                Err(_) => {}
                Ok(claimed) => panic!("{claimed:?}"),
            }
        };
        proxy.hold_requests(false);
        let recovered = async {
            while store.claim(chat(2)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(timeout(PATIENCE, recovered).await.is_ok(), "{refused}");
        assert!(store.failure().borrow().is_none());
        store.append(claim, messages([2])).await.unwrap();
        store.close().await;
    });
}

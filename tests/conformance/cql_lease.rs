//! The row that says who owns a keyspace: who waits for whom, who is refused, and that nothing late
//! moves it back.

use std::sync::Arc;
use std::time::Duration;

use switchboard::storage::scylla::{ConsistencyOf, OpenError, ScyllaOptions, ScyllaStore, Wait};
use switchboard::storage::{ChatLog, OpenChats, StoreHealth};
use tokio::time::{Instant, sleep, timeout};

use crate::cql::{raw, with_rig};
use crate::cql_support::{Keyspace, RUNTIME};
use crate::proxy::{Proxy, Says, Trouble};
use crate::samples::{chat, messages, open_chat};

/// Long enough for whatever is going to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A lease that runs out within a test.
const SHORT_LEASE: Duration = Duration::from_secs(2);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn refusal(options: &ScyllaOptions) -> OpenError {
    let opened = timeout(PATIENCE, ScyllaStore::open(options)).await;
    // An answer, whoever lives.
    opened.unwrap().err().unwrap()
}

pub fn reads_the_lease(text: &str) -> bool {
    text.contains(".lease WHERE") && text.starts_with("SELECT")
}

fn renews_the_lease(text: &str) -> bool {
    text.contains(".lease SET beat = ?, stamp = ? WHERE")
}

#[test]
fn cql_a_second_process_waits_for_as_long_as_the_first_renews_and_follows_it_then() {
    RUNTIME.block_on(async {
        let Some(mut keyspace) = Keyspace::new().await else { return };
        keyspace.options.lease = SHORT_LEASE;
        let first = ScyllaStore::open(&keyspace.options).await.unwrap();
        let (life, failure) = (first.life(), first.failure());
        let claim = first.claim(chat(1)).await.unwrap().claim;
        first.append(claim, messages([1])).await.unwrap();

        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        options.holder = "another test".to_owned();
        let second = tokio::spawn(async move { ScyllaStore::open(&options).await.unwrap() });
        let looks = || proxy.executed(reads_the_lease);
        until("it looks", async || looks() > 0).await;
        let (begun, before, mut seq) = (Instant::now(), looks(), 1);
        while begun.elapsed() < SHORT_LEASE * 4 {
            seq += 1;
            first.append(claim, messages([seq])).await.unwrap();
            assert!(!second.is_finished(), "the first lives and renews");
            sleep(LOOK_EVERY).await;
        }
        assert!(looks() > before + 10, "it has looked all the time");
        assert!(failure.borrow().is_none());

        // Dropped, and so not closed: nobody lets go of the lease.
        drop(first);
        let second = timeout(PATIENCE, second).await.unwrap().unwrap();
        assert_eq!(second.life(), life + 1);
        assert_eq!(second.claim(chat(1)).await.unwrap().tail, seq);
        assert!(failure.borrow().is_none(), "the first never failed");
        second.close().await;
    });
}

#[test]
fn cql_whoever_a_person_waits_for_does_not_wait_for_a_living_owner() {
    RUNTIME.block_on(async {
        let Some(mut keyspace) = Keyspace::new().await else { return };
        keyspace.options.lease = SHORT_LEASE;
        keyspace.options.holder = "the living".to_owned();
        let first = ScyllaStore::open(&keyspace.options).await.unwrap();
        let mut options = keyspace.options.clone();
        options.holder = "a command".to_owned();
        options.wait = Wait::ForTheDead;
        let refused = refusal(&options).await;
        let owned = matches!(&refused, OpenError::Owned { holder, .. } if holder == "the living");
        assert!(owned && !refused.may_pass(), "{refused}");
        assert!(first.claim(chat(1)).await.is_ok(), "and does not disturb it");
        drop(first);
        let next = timeout(PATIENCE, ScyllaStore::open(&options)).await.unwrap().unwrap();
        next.close().await;
    });
}

#[test]
fn cql_an_owner_that_asked_others_is_not_followed() {
    with_rig(async |rig| {
        rig.store.close().await;
        let mut options = rig.keyspace.options.clone();
        options.consistency = ConsistencyOf::Cluster;
        let (theirs, mine) = ("datacenter1 local_quorum".to_owned(), "quorum".to_owned());
        let keyspace = options.keyspace.clone();
        let refused = refusal(&options).await;
        assert_eq!(refused, OpenError::OtherHome { keyspace, theirs, mine });
        assert!(!refused.may_pass());
        // Moved on purpose, as the guide says.
        let moved = "UPDATE lease SET home = '' WHERE name = 'owner' IF EXISTS";
        rig.raw.query_unpaged(moved, ()).await.unwrap();
        let store = ScyllaStore::open(&options).await.unwrap();
        store.close().await;
        let refused = refusal(&rig.keyspace.options).await.to_string();
        assert!(refused.contains("agreement of `quorum`"), "{refused}");
    });
}

#[test]
fn cql_a_datacentre_that_is_not_there_is_named_and_so_are_those_that_are() {
    RUNTIME.block_on(async {
        let Some(mut keyspace) = Keyspace::new().await else { return };
        let (options, there) = (keyspace.options.clone(), keyspace.options.datacentre.clone());
        keyspace.options.datacentre = "nowhere".to_owned();
        let refused = refusal(&keyspace.options).await;
        let text = refused.to_string();
        assert!(text.contains("`nowhere`") && text.contains(&there), "{text}");
        assert!(!refused.may_pass());
        keyspace.options.datacentre = String::new();
        let refused = refusal(&keyspace.options).await;
        let text = refused.to_string();
        assert!(text.contains("store.datacentre is empty") && text.contains("quorum"), "{text}");
        assert!(!refused.may_pass());
        keyspace.options.consistency = ConsistencyOf::Cluster;
        ScyllaStore::open(&keyspace.options).await.unwrap().close().await;
        keyspace.options = options;
    });
}

#[test]
fn cql_timestamps_begin_behind_those_of_the_owner_before() {
    with_rig(async |rig| {
        const HOUR_US: i64 = 3_600_000_000;
        OpenChats::put(&*rig.store, open_chat(1, 5)).await.unwrap();
        rig.store.close().await;
        let answer = rig.raw.query_unpaged("SELECT stamp FROM lease WHERE name = 'owner'", ());
        let answer = answer.await.unwrap().into_rows_result().unwrap();
        let ahead = answer.first_row::<(i64,)>().unwrap().0 + HOUR_US;
        // The clock of the owner before was an hour ahead.
        let set = "UPDATE lease SET stamp = ? WHERE name = 'owner' IF EXISTS";
        rig.raw.query_unpaged(set, (ahead,)).await.unwrap();
        let next = ScyllaStore::open(&rig.keyspace.options).await.unwrap();
        OpenChats::put(&next, open_chat(1, 6)).await.unwrap();
        // A write of it that arrives late.
        let place = "SELECT hour, shard, chat FROM open_chats";
        let place = rig.raw.query_unpaged(place, ()).await.unwrap().into_rows_result().unwrap();
        let (hour, shard, id) = place.single_row::<(i64, i16, Vec<u8>)>().unwrap();
        let late = "UPDATE open_chats USING TIMESTAMP ? SET record = 0x00 \
                    WHERE hour = ? AND shard = ? AND chat = ?";
        rig.raw.query_unpaged(late, (ahead - HOUR_US / 2, hour, shard, id)).await.unwrap();
        assert_eq!(next.scan(None, 9).await.unwrap(), [open_chat(1, 6)]);
        next.close().await;
    });
}

#[test]
fn cql_a_keyspace_that_was_written_days_ahead_is_refused_and_can_be_brought_out() {
    with_rig(async |rig| {
        OpenChats::put(&*rig.store, open_chat(1, 5)).await.unwrap();
        rig.store.close().await;
        const DAY_US: i64 = 24 * 3_600_000_000;
        const MINUTE_US: i64 = 60_000_000;
        let answer = rig.raw.query_unpaged("SELECT stamp FROM lease WHERE name = 'owner'", ());
        let answer = answer.await.unwrap().into_rows_result().unwrap();
        // Hours are rounded up, and the stamp is a lease ahead already.
        let ahead = answer.first_row::<(i64,)>().unwrap().0 + 5 * DAY_US - MINUTE_US;
        let set = "UPDATE lease SET stamp = ? WHERE name = 'owner' IF EXISTS";
        rig.raw.query_unpaged(set, (ahead,)).await.unwrap();
        let refused = refusal(&rig.keyspace.options).await;
        assert!(matches!(refused, OpenError::WrittenAhead { ahead_h: 120, .. }), "{refused:?}");
        assert!(!refused.may_pass());
        let text = refused.to_string();
        assert!(text.contains("120 h ahead") && text.contains("store export"), "{text}");
        // A person's command brings the chats out.
        let mut options = rig.keyspace.options.clone();
        options.wait = Wait::ForTheDead;
        let store = ScyllaStore::open(&options).await.unwrap();
        assert_eq!(store.scan(None, 9).await.unwrap(), [open_chat(1, 5)]);
        store.close().await;
    });
}

#[test]
fn cql_a_store_that_takes_no_writes_is_away_though_its_lease_is_renewed() {
    RUNTIME.block_on(async {
        let Some(mut keyspace) = Keyspace::new().await else { return };
        keyspace.options.lease = SHORT_LEASE;
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        let store = ScyllaStore::open(&options).await.unwrap();
        let mut health = store.health();
        assert_eq!(*health.borrow(), StoreHealth::Answers);
        proxy.trouble(|text| text.contains(".log "), Trouble::Refused(Says::Overloaded));
        // Nobody writes anything: it finds out by itself, both ways.
        let away = health.wait_for(|health| matches!(health, StoreHealth::Away { .. }));
        timeout(PATIENCE, away).await.unwrap().unwrap();
        let renewals = proxy.executed(renews_the_lease);
        until("renewed", async || proxy.executed(renews_the_lease) > renewals + 1).await;
        assert_ne!(*health.borrow(), StoreHealth::Answers, "a renewal says nothing of the logs");
        proxy.heal();
        let back = health.wait_for(|health| *health == StoreHealth::Answers);
        timeout(PATIENCE, back).await.unwrap().unwrap();
        store.close().await;
    });
}

#[test]
fn cql_a_renewal_that_comes_late_changes_nothing() {
    RUNTIME.block_on(async {
        let Some(mut keyspace) = Keyspace::new().await else { return };
        keyspace.options.lease = SHORT_LEASE;
        let raw = raw(&keyspace).await;
        let row = async || {
            let text = "SELECT beat, stamp, holder FROM lease WHERE name = 'owner'";
            let answer = raw.query_unpaged(text, ()).await.unwrap().into_rows_result().unwrap();
            answer.single_row::<(i64, i64, String)>().unwrap()
        };
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        let store = ScyllaStore::open(&options).await.unwrap();
        until("renewed", async || row().await.0 >= 3).await;
        drop(store);
        let (beat, stamp, _) = row().await;
        proxy.arrives_again(renews_the_lease).await;
        let (found, stamp_found, _) = row().await;
        // One that was under way may have arrived besides.
        assert!(found >= beat && stamp_found >= stamp, "{found}, {stamp_found}");

        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        options.contact_points = vec![proxy.address.to_string()];
        let store = ScyllaStore::open(&options).await.unwrap();
        until("renewed", async || row().await.0 >= 3).await;
        store.close().await;
        let released = row().await;
        assert_eq!(released.2, "", "let go");
        proxy.arrives_again(renews_the_lease).await;
        assert_eq!(row().await, released);
    });
}

#[test]
fn cql_the_schema_is_looked_at_again_when_the_turn_comes() {
    RUNTIME.block_on(async {
        let Some(keyspace) = Keyspace::new().await else { return };
        let first = ScyllaStore::open(&keyspace.options).await.unwrap();
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        options.holder = "another test".to_owned();
        let second = tokio::spawn(async move { ScyllaStore::open(&options).await });
        until("it waits", async || proxy.executed(reads_the_lease) > 0).await;
        let raw = raw(&keyspace).await;
        let newer = "INSERT INTO schema_steps (list, step, name) VALUES (0, 99, '0099_later')";
        raw.query_unpaged(newer, ()).await.unwrap();
        first.close().await;
        let refused = timeout(PATIENCE, second).await.unwrap().unwrap().err().unwrap();
        assert!(matches!(refused, OpenError::NewerStep { .. }), "{refused}");
        // It has let go: the lease is longer than this test's patience.
        let gone = "DELETE FROM schema_steps WHERE list = 0 AND step = 99";
        raw.query_unpaged(gone, ()).await.unwrap();
        let opened = timeout(keyspace.options.lease / 2, ScyllaStore::open(&keyspace.options));
        opened.await.expect("nobody to wait for").unwrap().close().await;
    });
}

#[test]
fn cql_a_right_that_is_missing_is_named_and_ends_the_start() {
    RUNTIME.block_on(async {
        let Some(keyspace) = Keyspace::new().await else { return };
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        let forbidden = Trouble::Refused(Says::Unauthorized);
        proxy.trouble(|text| !text.starts_with("SELECT"), forbidden);
        let refused = refusal(&options).await;
        assert!(matches!(refused, OpenError::Forbidden { .. }) && !refused.may_pass(), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("no right") && text.contains("SELECT and MODIFY"), "{text}");
        assert_eq!(proxy.struck(), 1, "it asks once");
    });
}

#[test]
fn cql_a_database_that_refuses_the_lease_for_now_is_not_besieged() {
    RUNTIME.block_on(async {
        let Some(mut keyspace) = Keyspace::new().await else { return };
        keyspace.options.lease = SHORT_LEASE;
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        let overloaded = Trouble::Refused(Says::Overloaded);
        proxy.trouble(|text| !text.starts_with("SELECT"), overloaded);
        let opening = tokio::spawn(async move { ScyllaStore::open(&options).await.map(Arc::new) });
        until("refused", async || proxy.struck() >= 1).await;
        let begun = Instant::now();
        until("refused some times", async || proxy.struck() >= 5).await;
        // Four times, each a tenth of the lease.
        assert!(begun.elapsed() >= SHORT_LEASE / 4, "with pauses");
        proxy.heal();
        let store = timeout(PATIENCE, opening).await.unwrap().unwrap().unwrap();
        store.close().await;
    });
}

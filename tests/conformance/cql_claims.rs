//! Claims of a chat within one process: the next takes the place of the one before in memory, and
//! asks the database only where something is in doubt.

use std::time::Duration;

use switchboard::storage::record::encode_event;
use switchboard::storage::scylla::ScyllaStore;
use switchboard::storage::{AppendError, ChatLog};
use tokio::time::timeout;

use crate::cql::raw;
use crate::cql_support::{Keyspace, RUNTIME};
use crate::proxy::{Proxy, Says, Trouble};
use crate::samples::{chat, message, messages};

fn writes_the_log(text: &str) -> bool {
    text.starts_with("INSERT") && text.contains(".log ")
}

fn reads_the_log(text: &str) -> bool {
    text.starts_with("SELECT") && text.contains(".log ")
}

#[test]
fn cql_the_next_claim_of_a_process_costs_the_database_nothing_unless_something_is_in_doubt() {
    RUNTIME.block_on(async {
        let Some(keyspace) = Keyspace::new().await else { return };
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        let store = ScyllaStore::open(&options).await.unwrap();
        let raw = raw(&keyspace).await;
        let rows = async || {
            let text = "SELECT count(*) FROM log WHERE chat = ? AND bucket = 0";
            let answer = raw.query_unpaged(text, (chat(1).0,)).await.unwrap();
            answer.into_rows_result().unwrap().first_row::<(i64,)>().unwrap().0
        };
        let asked = || (proxy.executed(reads_the_log), proxy.executed(writes_the_log));

        let first = store.claim(chat(1)).await.unwrap().claim;
        store.append(first, messages([1])).await.unwrap();
        // The append took the fence's place.
        assert_eq!(rows().await, 1);
        let before = asked();
        for _ in 0..3 {
            let claimed = store.claim(chat(1)).await.unwrap();
            assert_eq!(claimed.tail, 1);
            assert!(claimed.claim.epoch > first.epoch);
        }
        let second = store.claim(chat(1)).await.unwrap().claim;
        assert_eq!((rows().await, asked()), (1, before), "nothing was asked or written");
        assert_eq!(store.append(first, messages([2])).await, Err(AppendError::Fenced));
        store.append(second, messages([2])).await.unwrap();
        assert_eq!(store.append(first, messages([3])).await, Err(AppendError::Fenced));
        assert_eq!(rows().await, 2);

        proxy.trouble(writes_the_log, Trouble::DoneAndTold(Says::WriteTimeout));
        let unknown = store.append(second, messages([3])).await;
        assert!(matches!(unknown, Err(AppendError::Unknown { .. })), "{unknown:?}");
        proxy.heal();
        let before = asked();
        let third = store.claim(chat(1)).await.unwrap();
        assert_eq!(third.tail, 3, "what was in doubt was there");
        assert_eq!(rows().await, 5, "the append, its seal and the fence");
        assert!(asked().0 > before.0 && asked().1 > before.1);
        assert_eq!(store.append(second, messages([4])).await, Err(AppendError::Fenced));

        // Refused before it did anything: nothing is in doubt.
        proxy.trouble(writes_the_log, Trouble::Refused(Says::Unavailable));
        let refused = store.append(third.claim, messages([4])).await;
        assert!(matches!(refused, Err(AppendError::Unavailable { .. })), "{refused:?}");
        proxy.heal();
        let before = asked();
        let fourth = store.claim(chat(1)).await.unwrap();
        assert_eq!((fourth.tail, asked()), (3, before));
        store.append(fourth.claim, messages([4])).await.unwrap();
        assert_eq!(store.read(chat(1), 1, 9).await.unwrap(), messages(1..=4));

        // Cut off on its way: nobody knows, and it arrives when the next claim has answered.
        proxy.trouble(writes_the_log, Trouble::Closed);
        let unknown = store.append(fourth.claim, messages([5])).await;
        assert!(matches!(unknown, Err(AppendError::Unknown { .. })), "{unknown:?}");
        proxy.heal();
        let fifth = async || {
            loop {
                // The driver connects again.
                match store.claim(chat(1)).await {
                    Ok(claimed) => return claimed,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let fifth = timeout(Duration::from_secs(60), fifth()).await.unwrap();
        assert_eq!(fifth.tail, 4);
        let late = vec![encode_event(chat(1), &message(5, "late")).unwrap()];
        // It was written under the epoch of the claim that read the log last.
        let epoch = third.claim.epoch as i64;
        let text = "INSERT INTO log (chat, bucket, seq, epoch, records) VALUES (?, 0, 5, ?, ?)";
        raw.query_unpaged(text, (chat(1).0, epoch, late)).await.unwrap();
        assert_eq!(store.read(chat(1), 1, 9).await.unwrap(), messages(1..=4));
        store.append(fifth.claim, messages([5])).await.unwrap();
        assert_eq!(store.read(chat(1), 1, 9).await.unwrap(), messages(1..=5));
        store.close().await;
    });
}

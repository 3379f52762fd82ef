//! What removed rows leave behind: a read that passes over more than 100,000 tombstones is refused by
//! the database, so every table that is removed from has a bound. How many a read has met is told by
//! the server itself.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use switchboard::domain::{ChatId, Timestamp};
use switchboard::storage::{EndedChat, EndedChats};

use crate::cql::{Rig, with_rig};
use crate::cql_support::tombstones;
use crate::samples::{channel, customer_of};

/// More than a read of a table that is bounded by tallies ever meets; the server tells the number
/// rounded up by a fifth.
const BOUND: f64 = 9_000.0;

/// Calls that are under way at a time.
const AT_ONCE: usize = 64;

/// The length of a minute, ms, and of a day.
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 1_440 * MINUTE_MS;

impl Rig {
    /// The most tombstones that one read of the table has met.
    async fn most_tombstones(&self, table: &str) -> f64 {
        let of_all = tombstones(&self.raw, &self.keyspace.options.keyspace).await;
        of_all.into_iter().find(|(of, _)| of == table).map_or(0.0, |(_, most)| most)
    }
}

#[test]
fn cql_tens_of_thousands_of_forgotten_chats_of_a_day_are_passed_over_in_parts() {
    const FORGOTTEN: u64 = 40_000;
    // 40 chats in each of a day's first thousand minutes; and the first of the day is kept.
    let made = |day: u64, n: u64| {
        let at = Timestamp(day * DAY_MS + n / 40 * MINUTE_MS);
        ChatId::from_u128(ChatId::first_at(at).0.as_u128() + u128::from(n) + 1)
    };
    let row = move |day, n| EndedChat {
        chat: made(day, n),
        customer: customer_of(1, 7),
        at: Timestamp(5),
    };
    with_rig(async |mut rig| {
        let kept = [0, FORGOTTEN / 2, FORGOTTEN - 1];
        for n in kept {
            EndedChats::put(&*rig.store, row(40, n)).await.unwrap();
        }
        let scan = async |rig: &Rig| -> Vec<ChatId> {
            let found = EndedChats::scan(&*rig.store, channel(1), None, Timestamp(u64::MAX), 64);
            found.await.unwrap().into_iter().map(|row| row.chat).collect()
        };
        // By three lives, each of which forgets where the one before it stopped; the first one has
        // begun to forget when it scans.
        for (life, last) in [6_500, 20_000, FORGOTTEN].into_iter().enumerate() {
            let first = [0, 6_500, 20_000][life];
            let gone: Vec<u64> = (first..last).filter(|n| !kept.contains(n)).collect();
            let gone = gone.into_iter().map(|n| (Arc::clone(&rig.store), made(40, n)));
            stream::iter(gone)
                .for_each_concurrent(AT_ONCE, async |(store, chat)| {
                    EndedChats::remove(&*store, channel(1), chat).await.unwrap();
                })
                .await;
            for _ in 0..2 {
                assert_eq!(scan(&rig).await, kept.map(|n| made(40, n)));
            }
            let most = rig.most_tombstones("ended_chats").await;
            assert!((6_000.0..BOUND).contains(&most), "life {life}: {most} in one read");
            rig.restart().await;
            assert_eq!(scan(&rig).await, kept.map(|n| made(40, n)));
        }
        // The day is emptied, and deleted: what lies below that is not counted any more.
        for n in kept {
            EndedChats::remove(&*rig.store, channel(1), made(40, n)).await.unwrap();
        }
        EndedChats::put(&*rig.store, row(41, 0)).await.unwrap();
        assert_eq!(scan(&rig).await, [made(41, 0)]);
        assert_eq!(rig.count("SELECT count(*) FROM ended_days").await, 1);
        assert_eq!(rig.count("SELECT count(*) FROM ended_tallies").await, 0);
        EndedChats::put(&*rig.store, row(40, 5)).await.unwrap();
        assert_eq!(scan(&rig).await, [made(40, 5), made(41, 0)]);
        let most = rig.most_tombstones("ended_chats").await;
        assert!(most < BOUND, "{most} in one read");
    });
}

#[test]
fn cql_ended_chats_of_a_release_that_tallied_nothing_are_scanned_and_forgotten() {
    with_rig(async |mut rig| {
        let made = |n: u64| ChatId::first_at(Timestamp(40 * DAY_MS + n * MINUTE_MS + 1));
        for n in 0..20 {
            let (chat, customer, at) = (made(n), customer_of(1, 7), Timestamp(5));
            EndedChats::put(&*rig.store, EndedChat { chat, customer, at }).await.unwrap();
        }
        // It had no such table, and removed rows without a word.
        rig.raw.query_unpaged("TRUNCATE ended_tallies", ()).await.unwrap();
        let gone = "DELETE FROM ended_chats WHERE channel = ? AND day = 40 AND chat = ?";
        for n in 0..10 {
            let key = (channel(1).0, made(n).0.as_bytes().to_vec());
            rig.raw.query_unpaged(gone, key).await.unwrap();
        }
        rig.restart().await;
        let scan = async |rig: &Rig| -> Vec<ChatId> {
            let end = Timestamp(41 * DAY_MS);
            let found = EndedChats::scan(&*rig.store, channel(1), None, end, 64).await.unwrap();
            found.into_iter().map(|row| row.chat).collect()
        };
        assert_eq!(scan(&rig).await, (10..20).map(made).collect::<Vec<_>>());
        for n in 10..20 {
            EndedChats::remove(&*rig.store, channel(1), made(n)).await.unwrap();
        }
        assert_eq!(scan(&rig).await, []);
        assert_eq!(rig.count("SELECT count(*) FROM ended_days").await, 0);
    });
}

#[test]
fn cql_days_that_are_over_leave_one_tombstone_at_the_front_of_their_list() {
    with_rig(async |rig| {
        const DAYS: u64 = 300;
        let made = |day: u64| ChatId::first_at(Timestamp(day * DAY_MS + 1));
        for day in 1..=DAYS {
            let (chat, customer, at) = (made(day), customer_of(1, 7), Timestamp(5));
            EndedChats::put(&*rig.store, EndedChat { chat, customer, at }).await.unwrap();
            EndedChats::remove(&*rig.store, channel(1), chat).await.unwrap();
        }
        for _ in 0..2 {
            let end = Timestamp((DAYS + 1) * DAY_MS);
            let found = EndedChats::scan(&*rig.store, channel(1), None, end, 64).await.unwrap();
            assert_eq!(found, []);
        }
        assert_eq!(rig.count("SELECT count(*) FROM ended_days").await, 0);
        let most = rig.most_tombstones("ended_days").await;
        assert!(most < 10.0, "{most} in one read of the list");
    });
}

//! What removed rows leave behind: a read that passes over more than 100,000 tombstones is refused by
//! the database, so every table that is removed from has a bound. How many a read has met is told by
//! the server itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use scylla::statement::batch::{Batch, BatchType};
use switchboard::domain::{ChatId, Customer, Timestamp};
use switchboard::storage::scylla::ScyllaStore;
use switchboard::storage::{Conversations, Documents, EndedChat, EndedChats, Inventory, OpenChats};

use crate::cql::{Rig, with_rig};
use crate::cql_support::tombstones;
use crate::proxy::{Proxy, Says, Trouble};
use crate::samples::{channel, chat, command, customer_of, open_chat};

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
    pub async fn most_tombstones(&self, table: &str) -> f64 {
        let of_all = tombstones(&self.raw, &self.keyspace.options.keyspace).await;
        of_all.into_iter().find(|(of, _)| of == table).map_or(0.0, |(_, most)| most)
    }
}

#[test]
fn cql_tens_of_thousands_of_forgotten_chats_of_a_day_are_passed_over_in_parts() {
    const FORGOTTEN: u64 = 24_000;
    // 40 chats in each of a day's first minutes.
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
        for (life, last) in [6_500, 15_000, FORGOTTEN].into_iter().enumerate() {
            let first = [0, 6_500, 15_000][life];
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
            // The server's account forgets old reads within minutes.
            let least = if life == 0 { 6_000.0 } else { 0.0 };
            assert!((least..BOUND).contains(&most), "life {life}: {most} in one read");
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

/// The minutes of a crowded day that were found empty are passed over by the scans to come, and a day that
/// was found empty is deleted.
#[test]
fn cql_a_row_of_an_ended_chat_that_lands_after_its_minute_was_read_is_found() {
    let crowded = [8, 0].into_iter();
    crowded.for_each(|tallies| with_rig(async |rig| lands_late(rig, tallies).await));
}

async fn lands_late(rig: Rig, tallies: i64) {
    let made = |n: u64| ChatId::first_at(Timestamp(40 * DAY_MS + n * MINUTE_MS + 1));
    let row = |n| EndedChat { chat: made(n), customer: customer_of(1, 7), at: Timestamp(5) };
    // Of a crowded day, which the process before has left.
    let there: Vec<_> = (tallies > 0).then_some(1).into_iter().collect();
    for n in &there {
        EndedChats::put(&*rig.store, row(*n)).await.unwrap();
    }
    rig.store.close().await;
    for at in 0..tallies {
        let text = "INSERT INTO ended_tallies (channel, day, at) VALUES (?, 40, ?)";
        rig.raw.query_unpaged(text, (channel(1).0, at)).await.unwrap();
    }
    let proxy = Proxy::before(rig.keyspace.options.contact_points[0].clone()).await;
    let mut options = rig.keyspace.options.clone();
    options.contact_points = vec![proxy.address.to_string()];
    let store = ScyllaStore::open(&options).await.unwrap();
    let scan = async || -> Vec<u128> {
        let found = EndedChats::scan(&store, channel(1), None, Timestamp(u64::MAX), 64);
        found.await.unwrap().into_iter().map(|row| row.chat.0.as_u128()).collect()
    };
    let chats = |of: &[u64]| of.iter().map(|n| made(*n).0.as_u128()).collect::<Vec<_>>();
    // It is under way for longer than anybody waits for it.
    let of_row = |text: &str| text.contains("INTO") && text.contains(".ended_chats ");
    proxy.trouble(of_row, Trouble::Refused(Says::WriteTimeout));
    EndedChats::put(&store, row(2)).await.unwrap_err();
    proxy.heal();
    assert_eq!(scan().await, chats(&there));
    proxy.arrives_again(of_row).await;
    assert_eq!(scan().await, chats(&[&there[..], &[2]].concat()), "{tallies} tallies");
    store.close().await;
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

/// The open chats that a start finds.
async fn open(rig: &Rig) -> Vec<ChatId> {
    let found = OpenChats::scan(&*rig.store, None, 1_000).await.unwrap();
    found.into_iter().map(|row| row.chat).collect()
}

async fn put_open(rig: &Rig, chat: ChatId) {
    let mut row = open_chat(1, 5);
    row.chat = chat;
    OpenChats::put(&*rig.store, row).await.unwrap();
}

async fn remove_open(rig: &Rig, chats: impl Iterator<Item = ChatId>) {
    let gone = chats.map(|chat| (Arc::clone(&rig.store), chat));
    stream::iter(gone)
        .for_each_concurrent(AT_ONCE, async |(store, chat)| {
            OpenChats::remove(&*store, chat).await.unwrap();
        })
        .await;
}

/// The `n`th chat of an hour, of which there are so many; all of them in one shard.
fn of_one_shard(hour: u64, n: u64, of: u64) -> ChatId {
    let at = Timestamp(hour * 60 * MINUTE_MS + n * 60 * MINUTE_MS / of);
    let first = ChatId::first_at(at).0.as_u128() + (u128::from(n) << 16);
    let mut ids = (0..).map(|id| ChatId::from_u128(first + id));
    ids.find(|id| crc32c::crc32c(id.0.as_bytes()) % 16 == 3).unwrap()
}

#[test]
fn cql_open_chats_of_a_busy_hour_are_read_in_parts() {
    // A sixteenth of an hour of 256,000 chats.
    const CHATS: u64 = 16_000;
    let made = |n: u64| of_one_shard(7, n, CHATS);
    with_rig(async |mut rig| {
        assert_eq!(open(&rig).await, []);
        let kept = [0, 10, CHATS / 2, CHATS - 1];
        for n in kept {
            put_open(&rig, made(n)).await;
        }
        let mut first = 0;
        for (life, last) in [7_000, 12_000, CHATS].into_iter().enumerate() {
            remove_open(&rig, (first..last).filter(|n| !kept.contains(n)).map(made)).await;
            first = last;
            assert_eq!(open(&rig).await, kept.map(made));
            let most = rig.most_tombstones("open_chats").await;
            // The server's account forgets old reads within minutes.
            let least = if life == 0 { 6_000.0 } else { 0.0 };
            assert!((least..BOUND).contains(&most), "life {life}: {most} in one read");
            rig.restart().await;
            assert_eq!(open(&rig).await, kept.map(made));
        }
        let page = OpenChats::scan(&*rig.store, Some(made(10)), 1).await.unwrap();
        assert_eq!(page[0].chat, made(CHATS / 2));
        let tallies = "SELECT count(*) FROM open_tallies WHERE list = 0";
        assert!(rig.count(tallies).await >= 8);
        // The hour is over when the next one has a chat, and is emptied, and deleted.
        put_open(&rig, of_one_shard(8, 0, CHATS)).await;
        remove_open(&rig, kept.map(made).into_iter()).await;
        assert_eq!(open(&rig).await, [of_one_shard(8, 0, CHATS)]);
        assert_eq!(rig.count("SELECT count(*) FROM open_partitions WHERE list = 0").await, 1);
        assert_eq!(rig.count(tallies).await, 0);
        // What lies below that is not counted any more, should the hour be put to use again.
        put_open(&rig, made(5)).await;
        rig.restart().await;
        assert_eq!(open(&rig).await, [made(5), of_one_shard(8, 0, CHATS)]);
        let most = rig.most_tombstones("open_chats").await;
        assert!(most < BOUND, "{most} in one read");
    });
}

#[test]
fn cql_hours_that_are_over_leave_one_tombstone_at_the_front_of_their_list() {
    with_rig(async |mut rig| {
        const HOURS: u64 = 300;
        for hour in 1..=HOURS {
            put_open(&rig, of_one_shard(hour, 0, 1)).await;
            OpenChats::remove(&*rig.store, of_one_shard(hour, 0, 1)).await.unwrap();
        }
        rig.restart().await;
        assert_eq!(open(&rig).await, []);
        let most = rig.most_tombstones("open_partitions").await;
        assert!(most < 10.0, "{most} in one read of the list");
    });
}

#[test]
fn cql_forgetting_old_chats_leaves_nothing_in_the_list_of_open_ones() {
    with_rig(async |mut rig| {
        const HOURS: u64 = 300;
        put_open(&rig, of_one_shard(HOURS + 1, 0, 1)).await;
        rig.restart().await;
        // Each of an hour of its own, long ago.
        remove_open(&rig, (1..=HOURS).map(|hour| of_one_shard(hour, 0, 1))).await;
        rig.restart().await;
        assert_eq!(open(&rig).await.len(), 1);
        let most = rig.most_tombstones("open_partitions").await;
        assert!(most < 10.0, "{most} in one read of the list");
    });
}

#[test]
fn cql_open_chats_of_a_release_that_tallied_nothing_are_found() {
    with_rig(async |mut rig| {
        let made = |n: u64| of_one_shard(7, n, 40);
        for n in 0..20 {
            put_open(&rig, made(n)).await;
        }
        // It had no such table, and removed rows without a word.
        let gone = "DELETE FROM open_chats WHERE hour = 7 AND shard = 3 AND chat = ?";
        for n in 0..10 {
            rig.raw.query_unpaged(gone, (made(n).0.as_bytes().to_vec(),)).await.unwrap();
        }
        rig.restart().await;
        let left: Vec<_> = (10..20).map(made).collect();
        // Also by who has not read them.
        OpenChats::remove(&*rig.store, left[0]).await.unwrap();
        assert_eq!(open(&rig).await, left[1..]);
        assert_eq!(rig.count("SELECT count(*) FROM open_tallies WHERE list = 0").await, 1);
        put_open(&rig, of_one_shard(8, 0, 1)).await;
        remove_open(&rig, left.into_iter()).await;
        assert_eq!(rig.count("SELECT count(*) FROM open_tallies WHERE list = 0").await, 0);
        assert_eq!(rig.count("SELECT count(*) FROM open_partitions WHERE list = 0").await, 1);
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

#[test]
fn cql_documents_that_are_gone_are_passed_over_by_shards_of_their_kind() {
    with_rig(async |rig| {
        const GONE: usize = 6_400;
        Documents::put(&*rig.store, "kept", "1", 0, b"1".to_vec()).await.unwrap();
        let text = "DELETE FROM documents WHERE kind = 'gone' AND shard = ? AND id = ?";
        let gone = (0..GONE).map(|n| ((n % 16) as i16, n.to_string()));
        stream::iter(gone)
            .for_each_concurrent(AT_ONCE, async |key| {
                rig.raw.query_unpaged(text, key).await.unwrap();
            })
            .await;
        assert_eq!(rig.store.list("kept", None, 9).await.unwrap().len(), 1);
        assert_eq!(rig.store.list("gone", None, 9).await.unwrap(), []);
        let most = rig.most_tombstones("documents").await;
        assert!(most < 1_000.0, "{most} in one read");
    });
}

/// All customers that a copy finds.
async fn customers(rig: &Rig) -> BTreeSet<Customer> {
    let (mut found, mut at, mut all) = (BTreeSet::new(), None, 0);
    loop {
        let page = rig.store.conversations(at.as_ref(), 256).await.unwrap();
        all += page.items.len();
        found.extend(page.items.into_iter().map(|of| of.customer));
        at = page.next;
        if at.is_none() {
            assert_eq!(all, found.len(), "each comes once");
            return found;
        }
    }
}

/// Customers with a chat each.
async fn open_for(rig: &Rig, customers: &BTreeSet<Customer>) {
    for (n, customer) in (0..).zip(customers) {
        let id = command("opens");
        rig.store.claim_open(*customer, &id, chat(n), None).await.unwrap();
    }
}

#[test]
fn cql_customers_and_documents_that_are_gone_are_passed_over_by_parts_of_the_ring() {
    // Of each 16th of a kind of documents, and of customers.
    const GONE: u128 = 12_800;
    with_rig(async |rig| {
        let kept: BTreeSet<_> = (1..=20).map(|n| customer_of(1, n)).collect();
        open_for(&rig, &kept).await;
        for kind in ["first", "second"] {
            Documents::put(&*rig.store, kind, "1", 0, b"1".to_vec()).await.unwrap();
        }
        let customer = "DELETE FROM conversations WHERE channel = ? AND customer = ? \
                        AND command = 'opens'";
        let customer = rig.raw.prepare(customer).await.unwrap();
        let document = "DELETE FROM documents WHERE kind = ? AND shard = ? AND id = '1'";
        let document = rig.raw.prepare(document).await.unwrap();
        stream::iter(1..=GONE)
            .for_each_concurrent(AT_ONCE, async |n| {
                let gone = (channel(1).0, customer_of(1, 1_000 + n).id.0);
                rig.raw.execute_unpaged(&customer, gone).await.unwrap();
                let gone = (format!("gone {}", n / 16), (n % 16) as i16);
                rig.raw.execute_unpaged(&document, gone).await.unwrap();
            })
            .await;
        assert_eq!(customers(&rig).await, kept);
        assert_eq!(rig.store.document_kinds().await.unwrap(), ["first", "second"]);
        for table in ["conversations", "documents"] {
            let most = rig.most_tombstones(table).await;
            assert!((100.0..1_000.0).contains(&most), "{most} in one read of {table}");
        }
    });
}

#[test]
fn cql_a_part_of_the_ring_with_more_that_is_gone_than_a_read_may_meet_is_read_in_halves() {
    const CUSTOMERS: usize = 60;
    const GONE_OF_ONE: usize = 2_000;
    with_rig(async |rig| {
        // All of them in the same 64th of the ring.
        let place = "SELECT chat FROM conversations WHERE channel = ? AND customer = ?";
        let place = rig.raw.prepare(place).await.unwrap();
        let token = |of: &Customer| {
            let token = place.calculate_token(&(of.channel.0, of.id.0)).unwrap().unwrap();
            token.value()
        };
        let all = (0..).map(|n| customer_of(1, n));
        let all: Vec<_> = all.filter(|of| token(of) >> 58 == -9).take(CUSTOMERS).collect();
        let kept: BTreeSet<_> = all.iter().step_by(9).copied().collect();
        open_for(&rig, &kept).await;
        let text = "DELETE FROM conversations WHERE channel = ? AND customer = ? AND command = ?";
        let delete = rig.raw.prepare(text).await.unwrap();
        let commands: Vec<_> = (0..GONE_OF_ONE).map(|n| format!("gone {n}")).collect();
        stream::iter(all.iter().flat_map(|of| commands.chunks(100).map(move |some| (of, some))))
            .for_each_concurrent(AT_ONCE, async |(of, commands)| {
                let mut batch = Batch::new(BatchType::Unlogged);
                commands.iter().for_each(|_| batch.append_statement(delete.clone()));
                let rows = commands.iter().map(|command| (of.channel.0, of.id.0, command));
                rig.raw.batch(&batch, rows.collect::<Vec<_>>()).await.unwrap();
            })
            .await;
        let whole = "SELECT DISTINCT channel, customer FROM conversations";
        let refused = rig.raw.query_unpaged(whole, ()).await.unwrap_err();
        assert!(refused.to_string().contains("failure"), "{refused}");
        assert_eq!(customers(&rig).await, kept);
    });
}

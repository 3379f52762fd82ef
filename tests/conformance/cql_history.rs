//! The lists of the history in the distributed store: parts that are too much for one read, and parts that
//! have become empty.

use futures_util::{StreamExt, future, stream};
use scylla::statement::batch::{Batch, BatchType};
use switchboard::domain::{ChatId, QueueId};
use switchboard::storage::{History, HistoryOf, HistoryOrder, HistoryQuery};

use crate::cql::{Rig, with_rig};
use crate::samples::{channel, chat};
use crate::suite_history::{DAY_MS, all, pages, row};

/// The queue of the rows, and its list as it is stored.
const QUEUE: HistoryOf = HistoryOf::Queue(QueueId::from_u128(1));
const LIST: &str = "0x0100000000000000000000000000000001";

const ORDERS: [HistoryOrder; 2] = [HistoryOrder::OldestFirst, HistoryOrder::NewestFirst];

/// Batches that are under way at a time.
const AT_ONCE: usize = 16;

/// All chats of a list, page by page.
async fn listed(rig: &Rig, of: HistoryOf, order: HistoryOrder) -> Vec<ChatId> {
    let rows = pages(&rig.store.store(), all(of, order)).await;
    rows.into_iter().map(|row| row.chat).collect()
}

/// More rows that are gone than a read may meet, all over a day of the queue's list.
async fn crowd(rig: &Rig, day: u64) {
    const GONE: u64 = 110_000;
    const OF_A_BATCH: u64 = 200;
    let text = "DELETE FROM history WHERE list = ? AND part = ? AND started = ? AND chat = ?";
    let delete = rig.raw.prepare(text).await.unwrap();
    let list = [&[1][..], &1_u128.to_be_bytes()].concat();
    stream::iter((0..GONE).step_by(OF_A_BATCH as usize))
        .for_each_concurrent(AT_ONCE, async |first| {
            let mut batch = Batch::new(BatchType::Unlogged);
            let rows: Vec<_> = (first..first + OF_A_BATCH)
                .map(|n| {
                    batch.append_statement(delete.clone());
                    let started = day * DAY_MS + n * DAY_MS / GONE;
                    let chat = u128::from(1_000 + n).to_be_bytes().to_vec();
                    (&list, day.cast_signed(), started.cast_signed(), chat)
                })
                .collect();
            rig.raw.batch(&batch, rows).await.unwrap();
        })
        .await;
}

#[test]
fn cql_a_day_of_the_history_with_more_that_is_gone_than_a_read_may_meet_is_read_in_halves() {
    const DAY: u64 = 40;
    with_rig(async |rig| {
        let history = &*rig.store;
        // In the first and the last moment of the day, and within.
        let at = [0, DAY_MS / 7, DAY_MS / 2, DAY_MS / 2 + 1, DAY_MS - 1];
        for (n, at) in (0..).zip(at) {
            History::put(history, row(n, DAY * DAY_MS + at)).await.unwrap();
        }
        // And on the days beside it.
        History::put(history, row(8, (DAY - 1) * DAY_MS)).await.unwrap();
        History::put(history, row(9, (DAY + 1) * DAY_MS)).await.unwrap();
        crowd(&rig, DAY).await;
        let whole = format!("SELECT chat FROM history WHERE list = {LIST} AND part = {DAY}");
        let refused = rig.raw.query_unpaged(whole, ()).await.unwrap_err();
        assert!(refused.to_string().contains("failure"), "{refused}");
        for order in ORDERS {
            let mut chats = [8, 0, 1, 2, 3, 4, 9].map(chat);
            if order == HistoryOrder::NewestFirst {
                chats.reverse();
            }
            assert_eq!(listed(&rig, QUEUE, order).await, chats, "{order:?}");
        }
        // A page that ends within what is read in pieces goes on there.
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let query = HistoryQuery { after, limit: 2, ..all(QUEUE, HistoryOrder::OldestFirst) };
            let page = History::list(history, query).await.unwrap();
            found.extend(page.rows.iter().map(|row| row.chat));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, [8, 0, 1, 2, 3, 4, 9].map(chat));
        // Of such a day nothing is left: it is not looked at whole, and stays on its list until it can be.
        for n in 0..5 {
            History::remove(history, chat(n)).await.unwrap();
        }
        let order = HistoryOrder::OldestFirst;
        assert_eq!(listed(&rig, QUEUE, order).await, [8, 9].map(chat));
        let parts = format!("SELECT count(*) FROM history_parts WHERE list = {LIST}");
        assert_eq!(rig.count(&parts).await, 3);
        History::put(history, row(5, DAY * DAY_MS + DAY_MS / 3)).await.unwrap();
        assert_eq!(listed(&rig, QUEUE, order).await, [8, 5, 9].map(chat));
    });
}

#[test]
fn cql_parts_of_the_history_that_are_over_leave_one_tombstone_at_the_front_of_their_list() {
    const DAYS: u64 = 300;
    with_rig(async |rig| {
        let history = &*rig.store;
        for day in 0..DAYS {
            let n = u128::from(day);
            History::put(history, row(n, (1_000 + day) * DAY_MS)).await.unwrap();
            History::remove(history, chat(n)).await.unwrap();
        }
        let kept = (1_000 + DAYS) * DAY_MS;
        History::put(history, row(900, kept)).await.unwrap();
        for _ in 0..2 {
            for of in [HistoryOf::All, QUEUE, HistoryOf::Channel(channel(1))] {
                let found = listed(&rig, of, HistoryOrder::OldestFirst).await;
                assert_eq!(found, [chat(900)], "{of:?}");
            }
        }
        assert_eq!(rig.count("SELECT count(*) FROM history_parts").await, 3);
        let most = rig.most_tombstones("history_parts").await;
        assert!(most < 10.0, "{most} in one read of the list");
    });
}

#[test]
fn cql_what_is_put_while_its_part_is_taken_off_the_list_is_found() {
    const ROUNDS: u128 = 100;
    with_rig(async |rig| {
        let history = &*rig.store;
        for n in 0..ROUNDS {
            // Its parts are on their lists, and have no rows.
            History::put(history, row(n, 40 * DAY_MS)).await.unwrap();
            History::remove(history, chat(n)).await.unwrap();
            let order = HistoryOrder::OldestFirst;
            let put = async {
                for _ in 0..n % 10 {
                    tokio::task::yield_now().await;
                }
                History::put(history, row(1_000 + n, 40 * DAY_MS)).await.unwrap();
            };
            future::join(put, listed(&rig, QUEUE, order)).await;
            assert_eq!(listed(&rig, QUEUE, order).await, [chat(1_000 + n)], "round {n}");
            History::remove(history, chat(1_000 + n)).await.unwrap();
        }
    });
}

//! Logs, rows and the schema of the distributed store, beyond what every store promises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::serialize::row::SerializeRow;
use switchboard::domain::audit::{AuditAct, AuditEntry, AuditId, AuditOutcome};
use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{ChatId, Recorded};
use switchboard::storage::record::{Slot, encode_event, seal_as};
use switchboard::storage::scylla::{OpenError, ScyllaOptions, ScyllaStore, apply_schema};
use switchboard::storage::{
    AppendError, AuditTrail, ChatLog, Claim, Documents, Inventory, OpenChats, OperatorRecordError,
    OperatorRecords, StoreError, Watermark, Watermarks,
};

use crate::cql_support::{Keyspace, RUNTIME};
use crate::proxy::{Proxy, Says, Trouble};
use crate::samples::{channel, chat, customer, message, messages, open_chat, user};
use crate::suite_audit::{about, entry};

/// A keyspace, its store, and a second way in.
pub struct Rig {
    pub keyspace: Keyspace,
    pub store: Arc<ScyllaStore>,
    pub raw: Session,
}

impl Rig {
    pub async fn new() -> Option<Self> {
        let keyspace = Keyspace::new().await?;
        let store = Arc::new(ScyllaStore::open(&keyspace.options).await.unwrap());
        let raw = raw(&keyspace).await;
        Some(Self { keyspace, store, raw })
    }

    /// The process ends and starts again.
    pub async fn restart(&mut self) {
        self.store.close().await;
        self.store = Arc::new(ScyllaStore::open(&self.keyspace.options).await.unwrap());
    }

    /// A write of a log's row as it arrives at the database.
    async fn land(&self, claim: Claim, events: &[Recorded]) {
        let sealed: Vec<_> =
            events.iter().map(|event| encode_event(claim.chat, event).unwrap()).collect();
        let first = events[0].seq;
        self.put(claim.chat, first, claim.epoch, Some(sealed)).await;
    }

    async fn put(&self, chat: ChatId, seq: u64, epoch: u64, records: Option<Vec<Vec<u8>>>) {
        let bucket = seq as i64 / 5_000;
        let key = (chat.0, bucket, seq as i64, epoch as i64);
        let (chat, bucket, seq, epoch) = key;
        let written = match records {
            Some(records) => {
                let text =
                    "INSERT INTO log (chat, bucket, seq, epoch, records) VALUES (?, ?, ?, ?, ?)";
                self.raw.query_unpaged(text, (chat, bucket, seq, epoch, records)).await
            }
            None => {
                let text = "INSERT INTO log (chat, bucket, seq, epoch) VALUES (?, ?, ?, ?)";
                self.raw.query_unpaged(text, key).await
            }
        };
        written.unwrap();
    }

    pub async fn count(&self, text: &str) -> i64 {
        let answer = self.raw.query_unpaged(text, ()).await.unwrap();
        answer.into_rows_result().unwrap().first_row::<(i64,)>().unwrap().0
    }
}

impl Rig {
    /// Damages what a row has in this column, if there is the row. Just later than it was written, by
    /// the store's time: the database's own may be ahead of that, and what the store writes next would
    /// not be seen.
    async fn damage(&self, column: &str, row: &str, key: impl SerializeRow + Clone) {
        let (table, row) = row.split_once(' ').unwrap();
        let written = format!("SELECT WRITETIME({column}) FROM {table} WHERE {row}");
        let answer = self.raw.query_unpaged(written, key.clone()).await.unwrap();
        let written = answer.into_rows_result().unwrap().maybe_first_row::<(i64,)>().unwrap();
        let Some((written,)) = written else { return };
        let at = written + 1;
        let text =
            format!("UPDATE {table} USING TIMESTAMP {at} SET {column} = 0x000102 WHERE {row}");
        self.raw.query_unpaged(text, key).await.unwrap();
    }
}

pub async fn raw(keyspace: &Keyspace) -> Session {
    let known = SessionBuilder::new().known_nodes(&keyspace.options.contact_points);
    known.use_keyspace(&keyspace.options.keyspace, true).build().await.unwrap()
}

/// Runs a test over a rig, if there can be one.
pub fn with_rig(test: impl AsyncFnOnce(Rig)) {
    RUNTIME.block_on(async {
        if let Some(rig) = Rig::new().await {
            test(rig).await;
        }
    });
}

#[test]
fn cql_the_late_write_of_a_fenced_claim_never_shows() {
    with_rig(async |mut rig| {
        // At the log's beginning, within it, and where a bucket begins.
        for (n, tail) in [(1, 0), (2, 3), (3, 4_999)] {
            let chat = chat(n);
            let old = rig.store.claim(chat).await.unwrap().claim;
            for first in (1..=tail).step_by(1_000) {
                let last = tail.min(first + 999);
                rig.store.append(old, messages(first..=last)).await.unwrap();
            }
            rig.restart().await;
            let new = rig.store.claim(chat).await.unwrap();
            assert_eq!(new.tail, tail);
            let late = [message(tail + 1, "late"), message(tail + 2, "late")];
            rig.land(old, &late).await;
            assert_eq!(rig.store.read(chat, tail + 1, 9).await.unwrap(), []);
            rig.restart().await;
            assert_eq!(rig.store.read(chat, tail + 1, 9).await.unwrap(), []);
            let claimed = rig.store.claim(chat).await.unwrap();
            assert_eq!(claimed.tail, tail);
            rig.store.append(claimed.claim, messages([tail + 1])).await.unwrap();
            rig.land(old, &late).await;
            assert_eq!(rig.store.read(chat, tail + 1, 9).await.unwrap(), messages([tail + 1]));
            let all = rig.store.read(chat, 1, 9_000).await.unwrap();
            assert_eq!(all, messages(1..=tail + 1));
        }
    });
}

#[test]
fn cql_what_failed_claims_leave_behind_hides_nothing() {
    with_rig(async |mut rig| {
        let (id, store) = (chat(1), Arc::clone(&rig.store));
        let first = store.claim(id).await.unwrap().claim;
        store.append(first, messages(1..=2)).await.unwrap();
        let mut failed = store.claim(id).await.unwrap().claim;
        // The first claim's append arrives before any claim that counts: it is the log's now.
        rig.raw.query_unpaged("TRUNCATE log", ()).await.unwrap();
        rig.land(first, &messages(1..=2)).await;
        rig.land(first, &messages([3])).await;
        rig.restart().await;
        let third = rig.store.claim(id).await.unwrap();
        assert_eq!(third.tail, 3);
        // Then all that a claim before it tried: the seal of what it saw, and its fence.
        rig.land(failed, &messages(1..=2)).await;
        rig.put(id, 3, failed.epoch, None).await;
        assert_eq!(rig.store.read(id, 1, 9).await.unwrap(), messages(1..=3));
        assert_eq!(rig.store.read(id, 3, 9).await.unwrap(), messages(3..=3));
        // A claim that had seen more than the one that counts leaves its fence behind the end.
        failed.epoch += 1;
        rig.put(id, 6, failed.epoch, None).await;
        assert_eq!(rig.store.read(id, 1, 9).await.unwrap(), messages(1..=3));
        rig.store.append(third.claim, messages(4..=5)).await.unwrap();
        rig.store.append(third.claim, messages(6..=8)).await.unwrap();
        rig.restart().await;
        assert_eq!(rig.store.claim(id).await.unwrap().tail, 8);
        for from in 1..=9 {
            let read = rig.store.read(id, from, 9).await.unwrap();
            assert_eq!(read, messages(from..=8), "from {from}");
        }
    });
}

#[test]
fn cql_a_claim_that_meets_a_later_owner_ends_the_store() {
    with_rig(async |rig| {
        let claim = rig.store.claim(chat(2)).await.unwrap().claim;
        let later = Claim { chat: chat(1), epoch: claim.epoch + (1 << 40) };
        rig.land(later, &messages([1])).await;
        rig.store.claim(chat(1)).await.unwrap_err();
        assert!(rig.store.failure().borrow().is_some());
        assert!(rig.store.append(claim, messages([1])).await.is_err());
    });
}

#[test]
fn cql_an_append_without_an_answer_is_unknown_until_the_next_claim() {
    RUNTIME.block_on(async {
        let Some(keyspace) = Keyspace::new().await else { return };
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        options.request_limit = Duration::from_secs(2);
        let store = ScyllaStore::open(&options).await.unwrap();
        let raw = raw(&keyspace).await;

        let claim = store.claim(chat(1)).await.unwrap().claim;
        store.append(claim, messages([1])).await.unwrap();
        proxy.hold_answers(true);
        let unknown = store.append(claim, messages(2..=3)).await.unwrap_err();
        assert!(matches!(unknown, AppendError::Unknown { .. }), "{unknown}");
        let text = "SELECT count(*) FROM log WHERE chat = ? AND bucket = 0 AND seq = 2";
        let rows = raw.query_unpaged(text, (chat(1).0,)).await.unwrap().into_rows_result();
        let (written,) = rows.unwrap().first_row::<(i64,)>().unwrap();
        assert_eq!(written, 1, "it was written, and nobody was told");
        proxy.hold_answers(false);
        let again = store.append(claim, messages(2..=3)).await.unwrap_err();
        assert!(matches!(again, AppendError::Unknown { .. }), "{again}");
        assert_eq!(store.read(chat(1), 1, 9).await.unwrap(), messages([1]), "in doubt");
        let claimed = store.claim(chat(1)).await.unwrap();
        assert_eq!(claimed.tail, 3);
        assert_eq!(store.append(claim, messages([4])).await, Err(AppendError::Fenced));
        assert_eq!(store.read(chat(1), 1, 9).await.unwrap(), messages(1..=3));
        store.append(claimed.claim, messages([4])).await.unwrap();
        store.close().await;
    });
}

#[test]
fn cql_a_caller_that_gives_up_leaves_its_claim_in_doubt() {
    RUNTIME.block_on(async {
        let Some(keyspace) = Keyspace::new().await else { return };
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        let store = ScyllaStore::open(&options).await.unwrap();
        let claim = store.claim(chat(1)).await.unwrap().claim;
        proxy.hold_answers(true);
        let given_up = store.append(claim, messages([1]));
        assert!(tokio::time::timeout(Duration::from_millis(50), given_up).await.is_err());
        proxy.hold_answers(false);
        let other = vec![message(1, "another text at the same position")];
        let refused = store.append(claim, other).await.unwrap_err();
        assert!(matches!(refused, AppendError::Unknown { .. }), "{refused}");
        store.close().await;
    });
}

#[test]
fn cql_long_chats_go_on_across_buckets() {
    with_rig(async |mut rig| {
        const EVENTS: u64 = 11_000;
        let claim = rig.store.claim(chat(1)).await.unwrap().claim;
        let mut next = 1;
        // Lengths that meet no boundary, and one that ends on it.
        for length in [997_u64, 999, 1_000, 7, 1_000, 991, 5, 1_000].into_iter().cycle() {
            let last = EVENTS.min(next + length - 1);
            rig.store.append(claim, messages(next..=last)).await.unwrap();
            next = last + 1;
            if next > EVENTS {
                break;
            }
        }
        rig.restart().await;
        assert_eq!(rig.store.claim(chat(1)).await.unwrap().tail, EVENTS);
        let all = rig.store.read(chat(1), 1, usize::MAX).await.unwrap();
        assert_eq!(all, messages(1..=EVENTS));
        for from in [4_998, 4_999, 5_000, 5_001, 9_999, 10_000, 10_001, 10_999, 11_000] {
            let read = rig.store.read(chat(1), from, 3).await.unwrap();
            assert_eq!(read, messages(from..=EVENTS.min(from + 2)), "from {from}");
        }
        for beyond in [EVENTS + 1, 15_000, 1 << 40] {
            assert_eq!(rig.store.read(chat(1), beyond, 3).await.unwrap(), []);
        }
        let text = "SELECT DISTINCT chat, bucket FROM log";
        let answer = rig.raw.query_unpaged(text, ()).await.unwrap();
        assert_eq!(answer.into_rows_result().unwrap().rows_num(), 3);
    });
}

#[test]
fn cql_an_append_is_bounded() {
    with_rig(async |rig| {
        let claim = rig.store.claim(chat(1)).await.unwrap().claim;
        let refused = rig.store.append(claim, messages(1..=1_001)).await.unwrap_err();
        assert!(matches!(refused, AppendError::Unavailable { .. }), "{refused}");
        rig.store.append(claim, messages(1..=1_000)).await.unwrap();
    });
}

/// Whether a log has begun is told by its first event: one that cannot be read is there.
#[test]
fn cql_a_walk_over_all_chats_finds_those_whose_first_event_is_damaged() {
    with_rig(async |rig| {
        let mut epoch = 0;
        for n in 1..=3 {
            let claim = rig.store.claim(chat(n)).await.unwrap().claim;
            rig.store.append(claim, messages(1..=2)).await.unwrap();
            epoch = claim.epoch;
        }
        // One that was claimed and never opened is no chat.
        rig.store.claim(chat(4)).await.unwrap();
        let mut bad: Vec<_> =
            messages(1..=2).iter().map(|event| encode_event(chat(3), event).unwrap()).collect();
        bad[0][9] ^= 1;
        rig.put(chat(3), 1, epoch, Some(bad)).await;
        let first = rig.store.read(chat(3), 1, 1).await.unwrap_err();
        assert!(matches!(first, StoreError::Damaged { .. }), "{first}");
        let (mut found, mut at) = (Vec::new(), None);
        loop {
            let page = rig.store.chats(at.as_ref(), 1).await.unwrap();
            found.extend(page.items);
            at = page.next;
            if at.is_none() {
                break;
            }
        }
        found.sort_unstable();
        assert_eq!(found, [chat(1), chat(2), chat(3)]);
    });
}

#[test]
fn cql_damaged_newer_and_missing_records_are_found() {
    with_rig(async |rig| {
        let damaged = |error: StoreError| match error {
            StoreError::Damaged { reason } => reason,
            other => panic!("{other}"),
        };
        let claim = rig.store.claim(chat(1)).await.unwrap().claim;
        rig.store.append(claim, messages(1..=3)).await.unwrap();
        rig.store.append(claim, messages(4..=5)).await.unwrap();
        let good: Vec<_> =
            messages(1..=3).iter().map(|event| encode_event(chat(1), event).unwrap()).collect();

        let mut one_bit = good.clone();
        one_bit[1][9] ^= 1;
        rig.put(chat(1), 1, claim.epoch, Some(one_bit)).await;
        let reason = damaged(rig.store.read(chat(1), 1, 9).await.unwrap_err());
        assert!(reason.contains("event 2") && reason.contains("checksum"), "{reason}");
        assert!(!reason.contains("text of"), "{reason}");

        let mut newer = good.clone();
        newer[2] = seal_as(Slot::Event(chat(1), 3), 9, b"{}");
        rig.put(chat(1), 1, claim.epoch, Some(newer)).await;
        let reason = damaged(rig.store.read(chat(1), 1, 9).await.unwrap_err());
        assert!(reason.contains("format 9"), "{reason}");

        let mut moved = good.clone();
        moved.swap(0, 1);
        rig.put(chat(1), 1, claim.epoch, Some(moved)).await;
        damaged(rig.store.read(chat(1), 1, 9).await.unwrap_err());

        rig.put(chat(1), 1, claim.epoch, Some(good[..2].to_vec())).await;
        let reason = damaged(rig.store.read(chat(1), 1, 9).await.unwrap_err());
        assert!(reason.contains("event 3") && reason.contains("missing"), "{reason}");
        rig.put(chat(1), 1, claim.epoch, Some(good)).await;
        assert_eq!(rig.store.read(chat(1), 1, 9).await.unwrap(), messages(1..=5));

        OpenChats::put(&*rig.store, open_chat(1, 5)).await.unwrap();
        for shard in 0..16_i16 {
            let key = (shard, chat(1).0.as_bytes().to_vec());
            rig.damage("record", "open_chats hour = 0 AND shard = ? AND chat = ?", key).await;
        }
        OpenChats::put(&*rig.store, open_chat(2, 5)).await.unwrap();
        assert_eq!(
            rig.store.scan(None, 9).await.unwrap(),
            [open_chat(2, 5)],
            "the others are read"
        );
        assert_eq!(OpenChats::damaged(&*rig.store).await, Ok(vec![chat(1)]));
        OpenChats::put(&*rig.store, open_chat(1, 6)).await.unwrap();
        assert_eq!(rig.store.scan(None, 9).await.unwrap(), [open_chat(1, 6), open_chat(2, 5)]);
        assert_eq!(OpenChats::damaged(&*rig.store).await, Ok(Vec::new()));
        Documents::put(&*rig.store, "kind", "a", 0, b"body".to_vec()).await.unwrap();
        let text = "UPDATE documents SET body = 0x000102 WHERE kind = 'kind' AND shard = ? \
                    AND id = 'a' IF EXISTS";
        for shard in 0..16_i16 {
            rig.raw.query_unpaged(text, (shard,)).await.unwrap();
        }
        damaged(rig.store.get("kind", "a").await.unwrap_err());
        Documents::put(&*rig.store, "kind", "b", 0, b"other".to_vec()).await.unwrap();
        let mut found = rig.store.list("kind", None, 9).await.unwrap();
        assert_eq!(found.pop().unwrap().document().unwrap().body, b"other");
        let lost = found.pop().unwrap();
        assert_eq!((lost.id.as_str(), lost.version), ("a", 1));
        damaged(lost.document().unwrap_err());

        let record = OperatorRecord { lapses_in_row: 3, ..OperatorRecord::default() };
        OperatorRecords::save(&*rig.store, user(1), record.clone()).await.unwrap();
        rig.damage("record", "operators operator = ?", (user(1).0,)).await;
        let unread = OperatorRecords::load(&*rig.store, user(1)).await.unwrap_err();
        assert!(matches!(unread, OperatorRecordError::Damaged { .. }), "{unread:?}");
        OperatorRecords::save(&*rig.store, user(1), record.clone()).await.unwrap();
        assert_eq!(OperatorRecords::load(&*rig.store, user(1)).await, Ok(record));

        for n in 1..=3 {
            rig.store.record(entry(n, n)).await.unwrap();
        }
        let of_audit = "audit hour = 0 AND id = ?";
        rig.damage("entry", of_audit, (entry(2, 2).id.key().to_vec(),)).await;
        for limit in 2..4 {
            let page = AuditTrail::newest(&*rig.store, AuditId::END, AuditId::FIRST, limit);
            let found = page.await.unwrap();
            assert_eq!(found, [entry(3, 3), entry(1, 1)], "in a page of {limit}");
        }
        let about = about(9, 9, 1, 1);
        rig.store.record(about.clone()).await.unwrap();
        rig.damage("entry", of_audit, (about.id.key().to_vec(),)).await;
        rig.store.forget_customer(channel(1), customer(1).id).await.unwrap();
        let all = "SELECT count(*) FROM audit WHERE hour = 0";
        assert_eq!(rig.count(all).await, 3, "what may name the customer is gone");
    });
}

/// A chat made in an hour.
fn made_in(hour: u128, n: u128) -> ChatId {
    ChatId::from_u128((hour * 3_600_000) << 80 | n)
}

#[test]
fn cql_emptied_hours_are_deleted_whole_and_never_read_again() {
    with_rig(async |mut rig| {
        let row = |hour, n| {
            let mut row = open_chat(1, 5);
            row.chat = made_in(hour, n);
            row
        };
        for hour in 1..=3 {
            for n in 0..40 {
                OpenChats::put(&*rig.store, row(hour, n)).await.unwrap();
            }
        }
        let listed = "SELECT count(*) FROM open_partitions WHERE list = 0 AND hour = ";
        let before = rig.count(&format!("{listed}1")).await;
        assert!(before > 5, "spread over {before}");
        // Hour 1 and half of hour 2 end; a late mark makes no row.
        for n in 0..40 {
            rig.store.remove(made_in(1, n)).await.unwrap();
            if n % 2 == 0 {
                rig.store.remove(made_in(2, n)).await.unwrap();
            }
        }
        assert_eq!(rig.count(&format!("{listed}1")).await, 0);
        assert_eq!(rig.count("SELECT count(*) FROM open_chats").await, 60);
        rig.restart().await;
        let rows = rig.store.scan(None, 1_000).await.unwrap();
        let expected = (0..20).map(|n| made_in(2, 2 * n + 1)).chain((0..40).map(|n| made_in(3, n)));
        assert!(rows.iter().map(|row| row.chat).eq(expected), "in the order of ids");
        // The last chats of an hour end in another life; the hour is put to use again.
        for n in 0..20 {
            rig.store.remove(made_in(2, 2 * n + 1)).await.unwrap();
        }
        assert_eq!(rig.count(&format!("{listed}2")).await, 0);
        OpenChats::put(&*rig.store, row(2, 7)).await.unwrap();
        rig.restart().await;
        let rows = rig.store.scan(None, 1).await.unwrap();
        assert_eq!(rows, [row(2, 7)]);
        // An hour that was emptied and whose deletion failed is found by the next start.
        rig.raw
            .query_unpaged("INSERT INTO open_partitions (list, hour, shard) VALUES (0, 1, 3)", ())
            .await
            .unwrap();
        rig.restart().await;
        assert_eq!(rig.store.scan(None, 1_000).await.unwrap().len(), 41);
        assert_eq!(rig.count(&format!("{listed}1")).await, 0);
    });
}

#[test]
fn cql_hours_that_were_emptied_within_themselves_are_deleted_when_they_are_over() {
    with_rig(async |rig| {
        let listed = "SELECT count(*) FROM open_partitions WHERE list = 0 AND hour = 7";
        for hour in [7, 8] {
            for n in 0..30 {
                let mut row = open_chat(1, 5);
                row.chat = made_in(hour, n);
                OpenChats::put(&*rig.store, row).await.unwrap();
            }
            if hour == 7 {
                for n in 0..30 {
                    rig.store.remove(made_in(hour, n)).await.unwrap();
                }
                assert!(rig.count(listed).await > 0, "it is put to use again at any moment");
            }
        }
        rig.store.remove(made_in(8, 0)).await.unwrap();
        assert_eq!(rig.count(listed).await, 0);
        assert_eq!(rig.store.scan(None, 99).await.unwrap().len(), 29);
    });
}

#[test]
fn cql_thousands_of_open_chats_are_scanned_by_pages() {
    with_rig(async |rig| {
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..3_000_u128 {
            let store = Arc::clone(&rig.store);
            tasks.spawn(async move {
                let mut row = open_chat(1, 5);
                // 150 hours of 20 chats each, and one hour of many.
                row.chat = made_in(if n < 1_500 { n / 10 } else { 200 }, n);
                OpenChats::put(&*store, row).await.unwrap();
            });
        }
        tasks.join_all().await;
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = rig.store.scan(after, 700).await.unwrap();
            after = page.last().map(|row| row.chat).or(after);
            assert!(page.len() <= 700);
            if page.is_empty() {
                break;
            }
            all.extend(page.into_iter().map(|row| row.chat));
        }
        let expected: Vec<_> =
            (0..3_000).map(|n| made_in(if n < 1_500 { n / 10 } else { 200 }, n)).collect();
        assert_eq!(all, expected);
    });
}

#[test]
fn cql_racing_documents_have_one_winner() {
    with_rig(async |rig| {
        for round in 0..3 {
            let mut writers = tokio::task::JoinSet::new();
            for n in 0..20_u8 {
                let store = Arc::clone(&rig.store);
                writers.spawn(
                    async move { Documents::put(&*store, "kind", "a", round, vec![n]).await },
                );
            }
            let answers = writers.join_all().await;
            let won = answers.iter().filter(|answer| answer.is_ok()).count();
            assert_eq!(won, 1);
            for lost in answers.into_iter().filter_map(Result::err) {
                let (expected, found) = (round, round + 1);
                assert_eq!(lost, StoreError::VersionConflict { expected, found });
            }
        }
    });
}

#[test]
fn cql_watermarks_grow_whatever_order_they_arrive_in() {
    with_rig(async |rig| {
        use switchboard::domain::Party;
        let party = Party::User(user(1));
        let mut raises = tokio::task::JoinSet::new();
        for n in 0..200_u64 {
            let store = Arc::clone(&rig.store);
            raises.spawn(async move {
                let watermark = Watermark { delivered: n * 37 % 200, read: n * 53 % 100 };
                store.raise(chat(1), BTreeMap::from([(party, watermark)])).await.unwrap();
            });
        }
        raises.join_all().await;
        let watermarks = Watermarks::load(&*rig.store, chat(1)).await.unwrap();
        assert_eq!(watermarks, BTreeMap::from([(party, Watermark { delivered: 199, read: 99 })]));
    });
}

/// The steps of the schema.
const STEPS: [&str; 8] = [
    "0001_first",
    "0002_audit",
    "0003_forgotten",
    "0004_ended",
    "0005_ended_tallies",
    "0006_open_tallies",
    "0007_feed",
    "0008_history",
];

#[test]
fn cql_a_start_names_the_step_that_is_missing() {
    RUNTIME.block_on(async {
        let Some(keyspace) = Keyspace::without_schema() else { return };
        let refusal = async || ScyllaStore::open(&keyspace.options).await.err().unwrap();
        let text = refusal().await.to_string();
        assert!(text.contains("no keyspace") && text.contains("schema apply"), "{text}");
        assert_eq!(apply_schema(&keyspace.options, None).await.unwrap(), STEPS);
        assert_eq!(apply_schema(&keyspace.options, None).await.unwrap(), [""; 0]);
        let raw = raw(&keyspace).await;
        let gone = "DELETE FROM schema_steps WHERE list = 0 AND step = 1";
        raw.query_unpaged(gone, ()).await.unwrap();
        let text = refusal().await.to_string();
        assert!(text.contains("0001_first") && text.contains("schema apply"), "{text}");
        assert_eq!(
            apply_schema(&keyspace.options, None).await.unwrap(),
            ["0001_first"],
            "repeatable"
        );
        let newer = "INSERT INTO schema_steps (list, step, name) VALUES (0, 99, '0099_later')";
        raw.query_unpaged(newer, ()).await.unwrap();
        assert!(matches!(refusal().await, OpenError::NewerStep { .. }));
        // One that an older release can live beside does not stop it.
        let additive = "INSERT INTO schema_additive_steps (list, step) VALUES (0, 99)";
        raw.query_unpaged(additive, ()).await.unwrap();
        ScyllaStore::open(&keyspace.options).await.unwrap().close().await;
        // A keyspace of the first release has no such table.
        raw.query_unpaged("DROP TABLE schema_additive_steps", ()).await.unwrap();
        assert!(matches!(refusal().await, OpenError::NewerStep { .. }));
    });
}

/// Who applies steps of the schema leaves an entry: before the first step, where there is a trail.
#[test]
fn cql_steps_of_the_schema_are_not_applied_without_an_entry() {
    RUNTIME.block_on(async {
        let Some(keyspace) = Keyspace::without_schema() else { return };
        let own = |n| AuditEntry { act: AuditAct::SchemaApplied, ..entry(5, n) };
        let apply = async |options: &ScyllaOptions, n| apply_schema(options, Some(own(n))).await;
        let trail = async || {
            let store = ScyllaStore::open(&keyspace.options).await.unwrap();
            let found = AuditTrail::newest(&store, AuditId::END, AuditId::FIRST, 10).await.unwrap();
            store.close().await;
            let told =
                |one: AuditEntry| (one.id, one.changes[0].from.clone(), one.outcome.unwrap());
            found.into_iter().map(told).collect::<Vec<_>>()
        };
        let last = || STEPS.last().map(|step| (*step).to_owned());
        assert_eq!(apply(&keyspace.options, 1).await.unwrap(), STEPS);
        assert_eq!(apply(&keyspace.options, 2).await.unwrap(), [""; 0], "nothing was done");
        let mut expected = vec![(own(1).id, None, AuditOutcome::Done)];
        assert_eq!(trail().await, expected);

        let raw = raw(&keyspace).await;
        let gone = "DELETE FROM schema_steps WHERE list = 0 AND step = 1";
        raw.query_unpaged(gone, ()).await.unwrap();
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        proxy.trouble(|text| text.contains("INTO audit ("), Trouble::Refused(Says::Unauthorized));
        apply(&options, 3).await.unwrap_err();
        proxy.heal();
        // Nothing was: the step is still to be applied. What ends in the middle is not known.
        proxy.trouble(|text| text.contains("UPDATE audit"), Trouble::Refused(Says::Unauthorized));
        apply(&options, 4).await.unwrap_err();
        expected.insert(0, (own(4).id, last(), AuditOutcome::Unknown));
        assert_eq!(trail().await, expected);
        proxy.heal();

        raw.query_unpaged(gone, ()).await.unwrap();
        assert_eq!(apply(&options, 5).await.unwrap(), ["0001_first"]);
        expected.insert(0, (own(5).id, last(), AuditOutcome::Done));
        assert_eq!(trail().await, expected);
    });
}

#[test]
fn cql_a_list_asks_only_the_shards_that_are_there() {
    with_rig(async |rig| {
        rig.store.close().await;
        let proxy = Proxy::before(rig.keyspace.options.contact_points[0].clone()).await;
        let mut options = rig.keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        let store = ScyllaStore::open(&options).await.unwrap();
        let serial = |text: &str| text.contains(".documents WHERE kind = ? AND shard = ?");
        assert_eq!(store.list("user", None, 9).await.unwrap(), []);
        assert_eq!(proxy.executed(serial), 0, "there are no documents at all");
        for n in 0..3 {
            Documents::put(&store, "user", &n.to_string(), 0, vec![n]).await.unwrap();
        }
        let before = proxy.executed(serial);
        assert_eq!(store.list("user", None, 9).await.unwrap().len(), 3);
        let asked = proxy.executed(serial) - before;
        assert!((1..=3).contains(&asked), "{asked} of 16 shards");
        assert_eq!(store.list("other", None, 9).await.unwrap(), []);
        assert_eq!(proxy.executed(serial) - before, asked);
        store.close().await;
    });
}

#[test]
fn cql_a_database_that_is_not_there_is_named() {
    RUNTIME.block_on(async {
        let mut options =
            switchboard::storage::scylla::ScyllaOptions::local("switchboard", "a test");
        // A port of this machine that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        options.contact_points = vec![free.to_string()];
        let text = ScyllaStore::open(&options).await.err().unwrap().to_string();
        assert!(text.contains(&free.to_string()) && text.contains("contact_points"), "{text}");
    });
}

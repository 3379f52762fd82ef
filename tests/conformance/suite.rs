//! What every port but the log promises, and the list of all tests for all stores.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use switchboard::domain::operator::{AwayReason, OperatorRecord};
use switchboard::domain::{Party, Place, Status, Timestamp};
use switchboard::storage::{ClaimOpen, Moving, OpenChat, StoreError, Watermark};

use crate::samples::{channel, chat, command, customer, customer_of, open_chat, user};
use crate::subject::{Kind, Subject, block_on_of as block_on};
use crate::suite_audit::*;
use crate::suite_ended::*;
use crate::suite_feed::*;
use crate::suite_follow::*;
use crate::suite_forget::*;
use crate::suite_history::*;
use crate::suite_history_compared::*;
use crate::suite_history_writer::*;
use crate::suite_inventory::*;
use crate::suite_log::*;
use crate::suite_moves::*;

macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        conformance!(memory, Kind::Memory => $($test),*);
        conformance!(sqlite, Kind::Sqlite => $($test),*);
        conformance!(sqlite_on_our_disk, Kind::SqliteOnOurDisk => $($test),*);
        conformance!(cql, Kind::Cql => $($test),*);
    };
    ($store:ident, $kind:path => $($test:ident),* $(,)?) => {
        mod $store {
            use super::*;
            $(#[test] fn $test() {
                block_on($kind, async {
                    if let Some(subject) = Subject::new($kind).await {
                        super::$test(subject).await;
                    }
                });
            })*
        }
    };
}

conformance!(
    an_append_is_read_back_in_order,
    a_later_claim_fences_the_earlier,
    a_claim_fences_what_is_under_way,
    claims_die_with_the_process,
    what_does_not_continue_the_log_is_a_conflict,
    one_bad_append_fails_alone,
    a_long_chat_is_read_by_pages,
    thousands_of_chats_keep_apart,
    a_reader_sees_every_acknowledged_append,
    open_chats_are_written_marked_and_removed,
    open_chats_are_scanned_in_order,
    a_conversation_is_claimed_once,
    a_repeated_command_gets_its_chat_for_ever,
    racing_tabs_open_one_chat,
    operators_keep_their_records,
    watermarks_only_grow,
    documents_count_their_versions,
    documents_are_listed_in_order,
    processes_are_numbered_upwards,
    the_inventory_lists_each_thing_once,
    the_last_process_is_known,
    documents_are_restored_with_their_versions,
    an_incarnation_stays_until_it_is_ended,
    acts_are_recorded_and_concluded,
    pages_of_the_trail_do_not_shift,
    old_entries_go_by_whole_hours,
    an_erased_customer_is_in_no_entry,
    ended_chats_are_listed_by_channel_in_order,
    a_day_of_thousands_of_ended_chats_is_scanned_while_they_go,
    the_filling_of_ended_chats_counts_for_the_next_process_only,
    touches_are_listed_by_shard_in_order,
    touches_that_are_made_at_once_are_all_there,
    a_touch_stays_whatever_becomes_of_its_append,
    old_slots_of_the_feed_go,
    what_is_touched_in_a_period_that_was_removed_is_found,
    a_consumer_takes_each_change_at_least_once,
    a_clock_that_went_back_over_a_restart_hides_no_change,
    a_position_counts_for_the_next_process_only,
    a_position_that_cannot_be_read_or_was_made_void_begins_from_nothing,
    who_begins_from_nothing_goes_on_where_it_was_and_follows_what_changes_meanwhile,
    who_begins_early_follows_what_the_process_before_had_under_way,
    what_is_removed_makes_void_who_was_behind_it,
    a_copy_has_no_position_that_counts,
    a_damaged_chat_hinders_no_other,
    many_hours_without_a_change_are_passed_over,
    what_is_made_anew_without_a_router_goes_on_with_the_next_start,
    who_begins_from_nothing_takes_what_it_holds_behind_all_chats,
    what_is_made_anew_without_a_router_goes_on_from_no_router_s_way,
    the_history_is_filtered_and_sorted_through_every_page,
    pages_of_the_history_do_not_shift,
    a_removed_row_is_on_no_list,
    every_chat_with_a_row_is_listed_once,
    a_thin_history_is_read_to_its_end,
    a_row_of_a_chat_that_is_forgotten_does_not_come_back,
    a_rebuilt_history_is_the_one_that_was_written_while_chats_went_on,
    who_begins_from_nothing_leaves_no_row_without_a_log,
    a_comparison_finds_what_the_logs_do_not_say_and_what_is_late_apart,
    a_history_that_is_not_made_yet_is_late_and_not_damaged,
    a_row_with_as_many_queues_and_operators_as_may_be_is_kept,
    a_forgotten_chat_leaves_nothing_and_never_comes_back,
    what_is_under_way_when_a_chat_is_forgotten_brings_nothing_back,
    a_conversation_goes_on_without_a_forgotten_chat,
    forgetting_goes_on_after_a_crash_anywhere,
    what_is_damaged_hinders_no_other_forgetting,
);

conformance!(memory_moves, Kind::Memory =>
    what_stands_beside_events_is_written_with_them,
    an_append_that_is_refused_writes_nothing_beside_itself,
);
conformance!(sqlite_moves, Kind::SqliteOnOurDisk =>
    what_stands_beside_events_is_written_with_them,
    an_append_that_is_refused_writes_nothing_beside_itself,
);

async fn all_open(subject: &Subject) -> Vec<OpenChat> {
    subject.store.open_chats.scan(None, 1_000).await.unwrap()
}

async fn open_chats_are_written_marked_and_removed(subject: Subject) {
    let rows = &subject.store.open_chats;
    let mut row = open_chat(1, 5);
    rows.put(row.clone()).await.unwrap();
    assert_eq!(all_open(&subject).await, [row.clone()]);
    for to in [Some(user(7)), None] {
        row.moving = Some(Moving { to });
        rows.mark(chat(1), Moving { to }).await.unwrap();
        assert_eq!(all_open(&subject).await, [row.clone()]);
    }
    row.moving = None;
    row.place = Some(Place::Assigned { owner: user(7), begun: true });
    rows.put(row.clone()).await.unwrap();
    assert_eq!(all_open(&subject).await, [row.clone()], "written anew without its mark");
    row.moving = Some(Moving { to: None });
    rows.put(row.clone()).await.unwrap();
    rows.mark(chat(2), Moving { to: None }).await.unwrap();
    let subject = subject.restart().await;
    assert_eq!(all_open(&subject).await, [row], "a mark makes no row");
    subject.store.open_chats.remove(chat(1)).await.unwrap();
    subject.store.open_chats.remove(chat(1)).await.unwrap();
    assert_eq!(all_open(&subject.restart().await).await, []);
}

async fn open_chats_are_scanned_in_order(subject: Subject) {
    let high = u128::MAX / 2;
    for n in [high, 3, 1, high + 1, 2, 0] {
        subject.store.open_chats.put(open_chat(n, 1)).await.unwrap();
    }
    let scan = async |after: Option<u128>, limit| -> Vec<_> {
        let found = subject.store.open_chats.scan(after.map(chat), limit).await.unwrap();
        found.into_iter().map(|row| row.chat).collect()
    };
    assert_eq!(scan(None, 9).await, [0, 1, 2, 3, high, high + 1].map(chat));
    assert_eq!(scan(None, 2).await, [0, 1].map(chat));
    assert_eq!(scan(Some(1), 2).await, [2, 3].map(chat));
    assert_eq!(scan(Some(4), 9).await, [high, high + 1].map(chat));
    assert_eq!(scan(Some(high + 1), 9).await, []);
}

async fn a_conversation_is_claimed_once(subject: Subject) {
    let talks = &subject.store.conversations;
    let claim = async |id: &str, n, after: Option<u128>| {
        let customer = customer(1);
        talks.claim_open(customer, &command(id), chat(n), after.map(chat)).await.unwrap()
    };
    assert_eq!(talks.latest(customer(1)).await.unwrap(), None);
    assert!(!talks.any(channel(1)).await.unwrap());
    assert_eq!(claim("a", 1, None).await, ClaimOpen::Claimed);
    assert_eq!(claim("b", 2, None).await, ClaimOpen::Existing(chat(1)));
    assert_eq!(claim("b", 2, Some(9)).await, ClaimOpen::Existing(chat(1)));
    assert_eq!(claim("b", 2, Some(1)).await, ClaimOpen::Claimed);
    assert_eq!(claim("c", 3, Some(1)).await, ClaimOpen::Existing(chat(2)));
    assert_eq!(talks.latest(customer(1)).await.unwrap(), Some(chat(2)));
    assert!(talks.any(channel(1)).await.unwrap() && !talks.any(channel(3)).await.unwrap());
    for customer in [customer_of(2, 1), customer(2)] {
        assert_eq!(talks.latest(customer).await.unwrap(), None);
        let id = command("a");
        let claimed = talks.claim_open(customer, &id, chat(7), None).await.unwrap();
        assert_eq!(claimed, ClaimOpen::Claimed, "another customer or channel");
    }
    let subject = subject.restart().await;
    let latest = subject.store.conversations.latest(customer(1)).await.unwrap();
    assert_eq!(latest, Some(chat(2)));
}

async fn a_repeated_command_gets_its_chat_for_ever(subject: Subject) {
    let claim = async |subject: &Subject, id: &str, n, after: Option<u128>| {
        let (talks, after) = (&subject.store.conversations, after.map(chat));
        talks.claim_open(customer(1), &command(id), chat(n), after).await.unwrap()
    };
    assert_eq!(claim(&subject, "a", 1, None).await, ClaimOpen::Claimed);
    assert_eq!(claim(&subject, "a", 1, None).await, ClaimOpen::Existing(chat(1)));
    assert_eq!(claim(&subject, "b", 2, Some(1)).await, ClaimOpen::Claimed);
    assert_eq!(claim(&subject, "c", 3, Some(2)).await, ClaimOpen::Claimed);
    let subject = subject.restart().await;
    assert_eq!(claim(&subject, "a", 8, Some(3)).await, ClaimOpen::Existing(chat(1)));
    assert_eq!(claim(&subject, "b", 9, Some(3)).await, ClaimOpen::Existing(chat(2)));
    assert_eq!(claim(&subject, "b", 9, Some(2)).await, ClaimOpen::Existing(chat(2)), "its own");
    let latest = subject.store.conversations.latest(customer(1)).await.unwrap();
    assert_eq!(latest, Some(chat(3)), "repeats change nothing");
}

async fn racing_tabs_open_one_chat(subject: Subject) {
    let mut tabs = tokio::task::JoinSet::new();
    for n in 0..20_u128 {
        let talks = Arc::clone(&subject.store.conversations);
        tabs.spawn(async move {
            let id = command(&format!("tab-{n}"));
            let answer = talks.claim_open(customer(1), &id, chat(n), None).await;
            (chat(n), answer.unwrap())
        });
    }
    let answers = tabs.join_all().await;
    let winners = answers.iter().filter(|(_, answer)| *answer == ClaimOpen::Claimed);
    let winners: Vec<_> = winners.map(|(chat, _)| *chat).collect();
    let [winner] = winners[..] else {
        panic!("{} have won", winners.len());
    };
    let lost = answers.iter().filter(|(chat, _)| *chat != winner);
    assert!(lost.map(|(_, answer)| *answer).all(|answer| answer == ClaimOpen::Existing(winner)));
}

async fn operators_keep_their_records(subject: Subject) {
    let operators = &subject.store.operators;
    assert_eq!(operators.load(user(1)).await.unwrap(), OperatorRecord::default());
    let record = OperatorRecord {
        status: Status::Away(AwayReason::missed_offers()),
        last_accept: Some(Timestamp(5)),
        lapses_in_row: 2,
        last_closed: VecDeque::from([chat(1), chat(2)]),
    };
    operators.save(user(1), OperatorRecord::default()).await.unwrap();
    operators.save(user(1), record.clone()).await.unwrap();
    let subject = subject.restart().await;
    assert_eq!(subject.store.operators.load(user(1)).await.unwrap(), record);
    assert_eq!(subject.store.operators.load(user(2)).await.unwrap(), OperatorRecord::default());
}

async fn watermarks_only_grow(subject: Subject) {
    let watermark = Watermark::of;
    let (ann, ben) = (Party::Customer(customer(1).id), Party::User(user(1)));
    let watermarks = &subject.store.watermarks;
    assert_eq!(watermarks.load(chat(1)).await.unwrap(), BTreeMap::new());
    let raise = async |who, watermark| {
        watermarks.raise(chat(1), BTreeMap::from([(who, watermark)])).await.unwrap();
        watermarks.load(chat(1)).await.unwrap().get(&who).copied()
    };
    assert_eq!(raise(ann, watermark(5, 3)).await, Some(watermark(5, 3)));
    assert_eq!(raise(ann, watermark(4, 4)).await, Some(watermark(5, 4)));
    assert_eq!(raise(ann, watermark(1, 1)).await, Some(watermark(5, 4)));
    assert_eq!(raise(ann, watermark(6, 0)).await, Some(watermark(6, 4)));
    assert_eq!(raise(ben, watermark(2, 2)).await, Some(watermark(2, 2)));
    assert_eq!(
        raise(ben, watermark(0, 7)).await,
        Some(watermark(7, 7)),
        "what is read was delivered"
    );
    let read_alone = Watermark { delivered: 0, read: 8 };
    assert_eq!(raise(ben, read_alone).await, Some(watermark(8, 8)), "whatever was given");
    watermarks.raise(chat(2), BTreeMap::from([(Party::System, watermark(9, 9))])).await.unwrap();
    let subject = subject.restart().await;
    let loaded = subject.store.watermarks.load(chat(1)).await.unwrap();
    assert_eq!(loaded, BTreeMap::from([(ann, watermark(6, 4)), (ben, watermark(8, 8))]));
}

async fn documents_count_their_versions(subject: Subject) {
    let documents = &subject.store.documents;
    let conflict = |expected, found| StoreError::VersionConflict { expected, found };
    let put =
        async |expected, body: &[u8]| documents.put("queue", "a", expected, body.to_vec()).await;
    assert_eq!(documents.get("queue", "a").await.unwrap(), None);
    assert_eq!(put(1, b"x").await, Err(conflict(1, 0)));
    assert_eq!(put(0, b"one").await, Ok(1));
    assert_eq!(put(0, b"x").await, Err(conflict(0, 1)));
    assert_eq!(put(1, b"").await, Ok(2));
    assert_eq!(put(1, b"x").await, Err(conflict(1, 2)));
    assert_eq!(put(2, b"\0\xff").await, Ok(3));
    assert_eq!(documents.get("user", "a").await.unwrap(), None, "another kind");
    assert_eq!(documents.delete("queue", "a", 2).await, Err(conflict(2, 3)));
    let subject = subject.restart().await;
    let documents = &subject.store.documents;
    let found = documents.get("queue", "a").await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.version, &found.body[..]), ("a", 3, &b"\0\xff"[..]));
    documents.delete("queue", "a", 3).await.unwrap();
    assert_eq!(documents.delete("queue", "a", 3).await, Err(conflict(3, 0)));
    assert_eq!(documents.get("queue", "a").await.unwrap(), None);
}

async fn documents_are_listed_in_order(subject: Subject) {
    let documents = &subject.store.documents;
    for id in ["b", "a", "é", "", "a1"] {
        documents.put("queue", id, 0, id.as_bytes().to_vec()).await.unwrap();
    }
    documents.put("user", "a", 0, vec![]).await.unwrap();
    let list = async |after: Option<&str>, limit| -> Vec<String> {
        let found = documents.list("queue", after, limit).await.unwrap();
        assert!(
            found
                .iter()
                .all(|one| one.body.as_deref() == Ok(one.id.as_bytes()) && one.version == 1)
        );
        found.into_iter().map(|one| one.id).collect()
    };
    assert_eq!(list(None, 9).await, ["", "a", "a1", "b", "é"]);
    assert_eq!(list(None, 2).await, ["", "a"]);
    assert_eq!(list(Some("a"), 2).await, ["a1", "b"]);
    assert_eq!(list(Some(""), 9).await, ["a", "a1", "b", "é"]);
    assert_eq!(list(Some("é"), 9).await, [""; 0]);
}

async fn processes_are_numbered_upwards(subject: Subject) {
    let one = subject.store.processes.begin().await.unwrap();
    let two = subject.store.processes.begin().await.unwrap();
    let subject = subject.restart().await;
    let three = subject.store.processes.begin().await.unwrap();
    assert!(0 < one && one < two && two < three, "{one} {two} {three}");
}

//! `switchboard store history rebuild`, as whoever runs it meets it.

use std::path::Path;
use std::process::{Command, Output};

use switchboard::domain::audit::{AuditAct, AuditId, AuditOutcome};
use switchboard::domain::{
    ChannelId, ChatEvent, ChatId, CommandId, Customer, CustomerId, Profile, Recorded, Timestamp,
};
use switchboard::storage::scylla::ScyllaStore;
use switchboard::storage::sqlite::{
    DATABASE_FILE, SqliteOptions, SqliteStore, open_past_the_store,
};
use switchboard::storage::{HistoryOf, HistoryOrder, HistoryQuery, Store};

use crate::cql::on;
use crate::cql_support::Keyspace;
use crate::process::command;

async fn open_chat(store: &Store, chat: ChatId) {
    let customer = Customer { channel: ChannelId::from_u128(1), id: CustomerId::from_u128(2) };
    let (command, profile) = (CommandId::new("o").unwrap(), Profile::default());
    let event = ChatEvent::Opened { customer, command, profile, continues: None };
    let opened = Recorded { seq: 1, at: Timestamp(5_000), event, names: Default::default() };
    let claim = store.log.claim(chat).await.unwrap().claim;
    store.log.append(claim, vec![opened]).await.unwrap();
}

async fn listed(store: &Store) -> Vec<ChatId> {
    let query = HistoryQuery {
        of: HistoryOf::All,
        from: Timestamp(0),
        to: Timestamp(u64::MAX),
        order: HistoryOrder::OldestFirst,
        after: None,
        limit: 100,
    };
    let page = store.history.list(query).await.unwrap();
    page.rows.iter().map(|row| row.chat).collect()
}

fn rebuild(data: &Path) -> Output {
    command().args(["store", "history", "rebuild", "--data"]).arg(data).output().unwrap()
}

#[tokio::test]
async fn the_history_is_made_anew_and_what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path());
    let chat = ChatId::from_u128;
    let sqlite = SqliteStore::open(&options).map(std::sync::Arc::new).unwrap();
    for n in 1..=3 {
        open_chat(&sqlite.store(), chat(n)).await;
    }
    drop(sqlite);
    let output = rebuild(folder.path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("made anew: 3 chats were read"), "{said}");
    let sqlite = SqliteStore::open(&options).map(std::sync::Arc::new).unwrap();
    assert_eq!(listed(&sqlite.store()).await, [1, 2, 3].map(chat));
    let entry =
        sqlite.store().audit.newest(AuditId::END, AuditId::FIRST, 1).await.unwrap().pop().unwrap();
    assert_eq!((entry.act, entry.outcome), (AuditAct::HistoryRebuilt, Some(AuditOutcome::Done)));
    drop(sqlite);
    // One of them is damaged, and another one's row.
    let database = open_past_the_store(&folder.path().join(DATABASE_FILE), None).unwrap();
    let text = format!(
        "UPDATE log SET record = zeroblob(9) WHERE chat = x'{:032x}'; \
         UPDATE history SET record = zeroblob(9) WHERE chat = x'{:032x}'",
        2, 3
    );
    database.execute_batch(&text).unwrap();
    drop(database);
    let output = rebuild(folder.path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(&format!("chat {} is damaged", chat(2))), "{said}");
    let sqlite = SqliteStore::open(&options).map(std::sync::Arc::new).unwrap();
    assert!(listed(&sqlite.store()).await.contains(&chat(3)), "the row is made anew");
}

/// Whether the check ended well, and what it said.
fn checked(mut check: Command) -> (bool, String) {
    let Output { status, stdout, stderr } = check.args(["store", "check"]).output().unwrap();
    let said = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    (status.success(), said.concat())
}

#[tokio::test]
async fn a_check_compares_the_history_with_the_logs() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path());
    let chat = ChatId::from_u128;
    let check = || {
        let mut check = command();
        check.env("SWITCHBOARD_SERVER_DATA", folder.path());
        checked(check)
    };
    let past = |text: &str| {
        let database = open_past_the_store(&folder.path().join(DATABASE_FILE), None).unwrap();
        database.execute_batch(text).unwrap();
    };
    let sqlite = SqliteStore::open(&options).map(std::sync::Arc::new).unwrap();
    for n in 1..=3 {
        open_chat(&sqlite.store(), chat(n)).await;
    }
    drop(sqlite);
    let (is_well, said) = check();
    assert!(is_well && said.contains("is whole: 3 chats, 3 events"), "{said}");
    assert!(said.contains("the history is not made yet"), "{said}");
    assert!(rebuild(folder.path()).status.success());
    let (is_well, said) = check();
    assert!(is_well && said.contains("the history says what the logs say, of 3 chats"), "{said}");
    let of = |n: u128| format!("x'{n:032x}'");
    let tables = ["history", "history_lists"];
    past(&tables.map(|table| format!("DELETE FROM {table} WHERE chat = {};", of(2))).concat());
    let (is_well, said) = check();
    assert!(!is_well && said.contains("is whole: 3 chats"), "{said}");
    assert!(said.contains(&format!("history: chats without a row (1: {})", chat(2))), "{said}");
    assert!(said.contains("1 problems; `switchboard store history rebuild`"), "{said}");
    // Beside what else is wrong.
    past(&format!("UPDATE log SET record = zeroblob(9) WHERE chat = {}", of(1)));
    let (is_well, said) = check();
    assert!(!is_well && said.contains("switchboard store repair"), "{said}");
    assert!(said.contains("switchboard store history rebuild"), "{said}");
    assert!(said.contains(&format!("their logs cannot be read (1: {})", chat(1))), "{said}");
    assert!(rebuild(folder.path()).status.success());
    let (is_well, said) = check();
    assert!(!is_well && said.contains("1 logs cannot be read"), "{said}");
    // A release that knows of no history has left it.
    past("DROP TABLE history; DROP TABLE history_lists; PRAGMA user_version = 1005");
    past(
        "DELETE FROM log; DELETE FROM log_index; UPDATE counters SET value = 0 WHERE name = 'folded'",
    );
    let (is_well, said) = check();
    assert!(is_well && said.contains("an earlier release wrote the store last"), "{said}");
}

#[tokio::test]
async fn cql_a_check_compares_the_history_with_the_logs() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = ScyllaStore::open(&keyspace.options).await.map(std::sync::Arc::new).unwrap();
    for n in 1..=3 {
        open_chat(&store.store(), ChatId::from_u128(n)).await;
    }
    store.close().await;
    let check = || checked(on(&keyspace, command()));
    let (is_well, said) = check();
    assert!(is_well && said.contains("the store can be read: 3 events"), "{said}");
    assert!(said.contains("the history is not made yet"), "{said}");
    let mut rebuild = on(&keyspace, command());
    let rebuilt = rebuild.args(["store", "history", "rebuild"]).output().unwrap();
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    let (is_well, said) = check();
    assert!(is_well && said.contains("the history says what the logs say, of 3 chats"), "{said}");
    let store = ScyllaStore::open(&keyspace.options).await.map(std::sync::Arc::new).unwrap();
    store.store().history.remove(ChatId::from_u128(2)).await.unwrap();
    store.close().await;
    let (is_well, said) = check();
    assert!(!is_well && said.contains("chats without a row (1: "), "{said}");
    assert!(said.contains("`switchboard store history rebuild`"), "{said}");
}

#[tokio::test]
async fn the_history_is_not_made_anew_beside_whoever_has_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let _sqlite = SqliteStore::open(&SqliteOptions::new(folder.path())).unwrap();
    let output = rebuild(folder.path());
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("in use"), "{said}");
}

#[tokio::test]
async fn no_history_is_made_of_a_part_of_an_import() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(folder.path());
    let sqlite = SqliteStore::open(&options).map(std::sync::Arc::new).unwrap();
    open_chat(&sqlite.store(), ChatId::from_u128(1)).await;
    sqlite.store().documents.put("import", "1", 0, b"7".to_vec()).await.unwrap();
    drop(sqlite);
    let output = rebuild(folder.path());
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("a part of an import"), "{said}");
    let sqlite = SqliteStore::open(&options).map(std::sync::Arc::new).unwrap();
    assert_eq!(listed(&sqlite.store()).await, []);
}

//! `switchboard store history rebuild`, as whoever runs it meets it.

use std::path::Path;
use std::process::Output;

use switchboard::domain::audit::{AuditAct, AuditId, AuditOutcome};
use switchboard::domain::{
    ChannelId, ChatEvent, ChatId, CommandId, Customer, CustomerId, Profile, Recorded, Timestamp,
};
use switchboard::storage::sqlite::{
    DATABASE_FILE, SqliteOptions, SqliteStore, open_past_the_store,
};
use switchboard::storage::{HistoryOf, HistoryOrder, HistoryQuery, Store};

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

//! A server on a store that is damaged.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use switchboard::domain::audit::{AuditAct, AuditActor, AuditId, AuditOutcome};
use switchboard::storage::OpenChat;
use switchboard::storage::sqlite::{
    DATABASE_FILE, SqliteOptions, SqliteStore, open_past_the_store,
};

use crate::client::Client;
use crate::harness::id;
use crate::process::{Process, command, refused, signal, start, tokens};

async fn stop(mut process: Process) {
    signal(&process.child, "-TERM");
    let ended = tokio::task::spawn_blocking(move || process.child.wait());
    assert!(ended.await.unwrap().unwrap().success());
}

async fn open_chats(data: &Path) -> Vec<OpenChat> {
    let store = Arc::new(SqliteStore::open(&SqliteOptions::new(data)).unwrap()).store();
    store.open_chats.scan(None, 100).await.unwrap()
}

#[tokio::test]
async fn rows_of_open_chats_are_made_anew_from_their_logs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = start(&data);
    for n in 0..3 {
        let (_, visitor) = tokens(process.address, "anna").await;
        let mut customer = Client::connect(process.address).await;
        customer.open(&visitor, json!([])).await.unwrap();
        let open = json!({"command_id": format!("c{n}"), "channel": id("channel", "Shop")});
        let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
        if n == 0 {
            customer.call("chat.end", json!({"command_id": "e", "chat": chat})).await.unwrap();
        }
    }
    stop(process).await;
    let before = open_chats(&data).await;
    assert_eq!(before.len(), 2);
    for damage in [
        "UPDATE open_chats SET record = zeroblob(9)",
        "DELETE FROM open_chats; INSERT INTO counters VALUES ('open_chats_lost', 1)",
    ] {
        let database = open_past_the_store(&data.join(DATABASE_FILE), None).unwrap();
        database.execute_batch(damage).unwrap();
        drop(database);
        stop(start(&data)).await;
        assert_eq!(open_chats(&data).await, before, "{damage}");
    }
}

#[test]
fn a_store_is_checked_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = |what: &str| {
        let mut command = command();
        command.args(["store", what, "--data"]).arg(&data);
        command
    };
    let none = refused(&mut store("check"));
    assert!(none.contains("there is no such store") && !data.exists(), "{none}");
    drop(SqliteStore::open(&SqliteOptions::new(&data)).unwrap());
    let checked = store("check").output().unwrap();
    assert!(String::from_utf8(checked.stdout).unwrap().contains("is whole"));
    let database = open_past_the_store(&data.join(DATABASE_FILE), None).unwrap();
    database.execute_batch("UPDATE counters SET value = 9 WHERE name = 'folded'").unwrap();
    drop(database);
    assert!(refused(&mut store("check")).contains("switchboard store repair"));
    let repaired = store("repair").output().unwrap();
    let said = String::from_utf8(repaired.stdout).unwrap();
    assert!(said.contains("9 events of chats that nothing names"), "{said}");
    assert!(said.contains("switchboard.db.damaged-1"), "{said}");
    let checked = store("check").output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let entries = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Arc::new(SqliteStore::open(&SqliteOptions::new(&data)).unwrap()).store();
        store.audit.newest(AuditId::END, AuditId::FIRST, 10).await.unwrap()
    });
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((entry.act, entry.actor), (AuditAct::StoreRepaired, AuditActor::CommandLine));
    assert_eq!(entry.outcome, Some(AuditOutcome::Done));
    let lost = entry.changes.iter().find(|change| change.field == "lost").unwrap();
    assert!(lost.to.as_ref().unwrap().contains("9 events"), "{lost:?}");
}

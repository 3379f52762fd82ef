//! `switchboard store` as an operator of machines meets it.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use switchboard::storage::sqlite::{SqliteOptions, SqliteStore};

use crate::client::Client;
use crate::harness::id;
use crate::process::{command, refused, serve, signal, start, tokens};

fn store(what: &str, file: &Path, data: &Path) -> Command {
    let mut command = command();
    command.args(["store", what]).arg(file).arg("--data").arg(data);
    command
}

/// What a command that goes well says.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_store_goes_into_a_file_and_a_new_one_serves_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new, file) =
        (folder.path().join("old"), folder.path().join("new"), folder.path().join("copy"));
    let mut process = start(&old);
    let (_, visitor) = tokens(process.address, "anna").await;
    let mut customer = Client::connect(process.address).await;
    customer.open(&visitor, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open.clone()).await.unwrap()["chat"].clone();
    let text = json!({"chat": chat, "client_message_id": "m1", "text": "are you there?"});
    customer.call("message.send", text).await.unwrap();

    let in_use = refused(&mut store("export", &file, &old));
    assert!(in_use.contains("stop that one first") && !file.exists(), "{in_use}");
    signal(&process.child, "-TERM");
    let ended = tokio::task::spawn_blocking(move || process.child.wait());
    assert!(ended.await.unwrap().unwrap().success());
    let told = said(&mut store("export", &file, &old));
    assert!(told.contains("1 chats, ") && told.contains("1 open chats"), "{told}");
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
        assert_eq!(mode & 0o077, 0, "nobody else reads it");
    }
    let again = refused(&mut store("export", &file, &old));
    assert!(again.contains("there already"), "{again}");
    assert!(said(command().args(["store", "check"]).arg(&file)).contains("is whole"));
    let not_empty = refused(&mut store("import", &file, &old));
    assert!(not_empty.contains("not empty"), "{not_empty}");

    said(&mut store("import", &file, &new));
    let process = start(&new);
    let mut customer = Client::connect(process.address).await;
    customer.open(&visitor, json!([])).await.unwrap();
    let same = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    assert_eq!(same, chat, "the same token, command and chat");
    let history = customer.call("chat.history", json!({"chat": chat})).await.unwrap();
    assert!(history.to_string().contains("are you there?"), "{history}");
}

#[test]
fn a_damaged_copy_and_a_half_filled_store_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("copy"));
    std::fs::write(&file, "no export\n").unwrap();
    for command in
        [&mut store("import", &file, &data), command().args(["store", "check"]).arg(&file)]
    {
        let told = refused(command);
        assert!(told.contains("copy: this is no export"), "{told}");
    }
    let told = refused(command().args(["store", "check"]).arg(folder.path().join("none")));
    assert!(told.contains("none: "), "{told}");

    let sqlite = std::sync::Arc::new(SqliteStore::open(&SqliteOptions::new(&data)).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(sqlite.store().documents.put("import", "1", 0, vec![1; 16])).unwrap();
    drop(sqlite);
    for command in [&mut serve(&data), &mut store("export", &folder.path().join("new"), &data)] {
        let told = refused(command);
        assert!(told.contains("run `switchboard store import` again"), "{told}");
    }
}

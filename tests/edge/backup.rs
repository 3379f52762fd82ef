//! `switchboard store backup` beside a router that runs, and without one.

#![cfg(unix)]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::client::Client;
use crate::harness::id;
use crate::process::{command, refused, said, signal, start, tokens};

fn back_up(data: &Path, file: &Path) -> Command {
    let mut command = command();
    command.args(["store", "backup"]).arg(file).arg("--data").arg(data);
    command
}

#[tokio::test]
async fn a_store_is_copied_while_the_router_runs_and_a_router_starts_on_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("copy"));
    let mut process = start(&data);
    let (_, visitor) = tokens(process.address, "anna").await;
    let mut customer = Client::connect(process.address).await;
    customer.open(&visitor, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    let send = |n: u32| json!({"chat": chat, "client_message_id": n.to_string(), "text": format!("text {n}")});
    customer.call("message.send", send(1)).await.unwrap();

    let told = said(&mut back_up(&data, &file));
    assert!(told.contains("is a copy of"), "{told}");
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert!(refused(&mut back_up(&data, &file)).contains("is there already"));
    customer.call("message.send", send(2)).await.unwrap();
    let nowhere = refused(&mut back_up(&data, &folder.path().join("none/copy")));
    assert!(nowhere.contains("none/copy.part"), "{nowhere}");
    customer.call("message.send", send(3)).await.unwrap();

    let checked = said(command().args(["store", "check"]).arg(&file));
    assert!(checked.contains("is whole: 1 chats"), "{checked}");
    let beside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(beside.len(), 3, "nothing else is left beside the copy: {beside:?}");
    let erasures = std::fs::read(folder.path().join("copy.erasures")).unwrap();
    assert_eq!(erasures, std::fs::read(data.join("switchboard.erasures")).unwrap());
    let mode = std::fs::metadata(folder.path().join("copy.erasures")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    let copied = folder.path().join("copied");
    std::fs::create_dir(&copied).unwrap();
    std::fs::copy(&file, copied.join("switchboard.db")).unwrap();
    let second = start(&copied);
    let mut customer = Client::connect(second.address).await;
    customer.open(&visitor, json!([])).await.unwrap();
    let history = customer.call("chat.history", json!({"chat": chat})).await.unwrap().to_string();
    assert!(history.contains("text 1") && !history.contains("text 2"), "{history}");

    signal(&process.child, "-TERM");
    assert!(process.child.wait().unwrap().success());
    let later = folder.path().join("later");
    said(&mut back_up(&data, &later));
    assert!(said(command().args(["store", "check"]).arg(&later)).contains("is whole"));
}

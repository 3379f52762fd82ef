//! Processes on one keyspace of a database that speaks CQL: who serves, who waits, who ends.

use std::process::Command;

use serde_json::{Value, json};
use switchboard::storage::scylla::ScyllaOptions;
use tokio::task::spawn_blocking;

use crate::client::Client;
use crate::cql_support::Keyspace;
use crate::harness::{id, request, until};
use crate::process::{Process, Starting, command, is_stopped, serve, signal, tokens};
use crate::transfer::noted;

pub fn on(keyspace: &Keyspace, command: Command) -> Command {
    let mut command = on_store(&keyspace.options, command);
    // The machine may be busy.
    command.env("SWITCHBOARD_STORE_REQUEST_MS", "5000");
    command
}

/// On the store of these options, with its usual limits. Settings come by the environment, as in a
/// container.
pub fn on_store(options: &ScyllaOptions, mut command: Command) -> Command {
    command.env("SWITCHBOARD_STORE_KIND", "scylla");
    command.env("SWITCHBOARD_STORE_CONTACT_POINTS", &options.contact_points[0]);
    command.env("SWITCHBOARD_STORE_KEYSPACE", &options.keyspace);
    command.env("SWITCHBOARD_STORE_REPLICATION", "1");
    command
}

pub fn starting(keyspace: &Keyspace) -> Starting {
    let folder = std::env::temp_dir().join("no-folder-is-needed");
    Starting::new(on(keyspace, serve(&folder)))
}

pub async fn ready(starting: Starting) -> Process {
    spawn_blocking(move || starting.ready()).await.unwrap()
}

/// A second process that has seen that it must wait.
pub async fn waiting(keyspace: &Keyspace) -> Starting {
    let mut second = starting(keyspace);
    let waits =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("waiting"));
    spawn_blocking(move || {
        let line = second.until(waits);
        assert!(line["holder"].as_str().unwrap().contains("process"), "{line}");
        second
    })
    .await
    .unwrap()
}

async fn ended(mut process: Process) -> Option<i32> {
    spawn_blocking(move || process.child.wait().unwrap().code()).await.unwrap()
}

pub fn text(chat: &Value, n: &str) -> Value {
    json!({"chat": chat, "client_message_id": n, "text": n})
}

pub async fn texts(client: &mut Client, chat: &Value) -> Vec<Value> {
    let history = client.call("chat.history", json!({"chat": chat})).await.unwrap();
    let events = history["events"].as_array().unwrap();
    let messages = events.iter().filter(|event| event["kind"] == "message");
    messages.map(|event| event["text"].clone()).collect()
}

pub async fn customer(process: &Process, token: &str) -> Client {
    let mut customer = Client::connect(process.address).await;
    customer.open(token, json!([])).await.unwrap();
    customer
}

#[tokio::test]
async fn cql_a_second_process_takes_over_from_a_killed_one_and_nothing_is_lost() {
    let Some(keyspace) = Keyspace::without_schema() else { return };
    let apply = || on(&keyspace, command()).args(["schema", "apply"]).output().unwrap();
    let refused = on(&keyspace, serve("unused".as_ref())).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("switchboard schema apply"), "{said}");
    for expected in ["applied 0001_first", "nothing is missing"] {
        let applied = apply();
        let said = String::from_utf8(applied.stdout).unwrap();
        assert!(applied.status.success() && said.contains(expected), "{said}");
    }

    let mut first = ready(starting(&keyspace)).await;
    assert_eq!(noted(first.address).await, ["schema.applied"], "the second one changed nothing");
    let (_, visitor) = tokens(first.address, "anna").await;
    let mut client = customer(&first, &visitor).await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = client.call("chat.open", open).await.unwrap()["chat"].clone();
    let second = waiting(&keyspace).await;
    let sent: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    for n in &sent {
        client.call("message.send", text(&chat, n)).await.unwrap();
    }
    first.child.kill().unwrap();

    let second = ready(second).await;
    let mut client = customer(&second, &visitor).await;
    assert_eq!(texts(&mut client, &chat).await, sent);
    client.call("message.send", text(&chat, "after")).await.unwrap();
    // Told to stop, it lets go: a third one finds nobody.
    signal(&second.child, "-TERM");
    let third = ready(starting(&keyspace)).await;
    let mut client = customer(&third, &visitor).await;
    assert_eq!(texts(&mut client, &chat).await.len(), 21);
}

#[tokio::test]
async fn cql_a_paused_process_finds_itself_fenced_and_ends() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let first = ready(starting(&keyspace)).await;
    let (_, visitor) = tokens(first.address, "anna").await;
    let mut client = customer(&first, &visitor).await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = client.call("chat.open", open).await.unwrap()["chat"].clone();
    client.call("message.send", text(&chat, "before")).await.unwrap();
    let second = waiting(&keyspace).await;

    signal(&first.child, "-STOP");
    until("stopped", async || is_stopped(&first.child)).await;
    let late = client.send("message.send", text(&chat, "late")).await;
    let second = ready(second).await;
    let mut other = customer(&second, &visitor).await;
    other.call("message.send", text(&chat, "taken-over")).await.unwrap();

    signal(&first.child, "-CONT");
    let acknowledged = client.answered_before_the_end(late).await;
    assert!(acknowledged.is_none_or(|answer| answer.get("error").is_some()));
    assert_eq!(ended(first).await, Some(1), "it ends, and not as if all were well");
    assert_eq!(texts(&mut other, &chat).await, ["before", "taken-over"]);
    assert_eq!(request(second.operations, "GET", "/readyz", "", None).await.0, 200);
}

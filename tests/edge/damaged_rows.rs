//! A server on a store of which some rows are damaged.

use serde_json::json;
use switchboard::app::{Server, StoreChoice};
use switchboard::storage::sqlite::{DATABASE_FILE, open_past_the_store};

use crate::erase::{SECRET, erase, finds, message, open, opened};
use crate::harness::{World, demo_password, id, plan, request, settings};
use crate::process::{self, command, said};

/// Every kind of row that a start reads and that is nobody's chat.
#[tokio::test]
async fn one_damaged_row_of_a_kind_stops_no_start_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        let store = StoreChoice::Sqlite(folder.path().into());
        World { server: Server::start(plan(settings(), store)).await.unwrap() }
    };
    let world = start().await;
    let anna = world.log_in("anna").await;
    let boris = world.log_in("boris").await;
    world.server.stop().await;

    let database = open_past_the_store(&folder.path().join(DATABASE_FILE), None).unwrap();
    let mut damaged = 0;
    for (kind, id) in [
        ("user", id("user", "clara")),
        ("queue", id("queue", "Sales")),
        ("channel", id("channel", "Shop")),
        ("sessions", id("user", "anna")),
        ("audit", "concluded".to_owned()),
        ("incarnation", "1".to_owned()),
        ("seed", "1".to_owned()),
    ] {
        let text = "UPDATE documents SET body = x'0102' WHERE kind = ? AND id = ?";
        damaged += database.execute(text, (kind, &id)).unwrap();
    }
    let newest = "UPDATE audit SET entry = x'0102' WHERE id = (SELECT max(id) FROM audit)";
    damaged += database.execute(newest, ()).unwrap();
    drop(database);
    assert_eq!(damaged, 8);

    // By a process of its own: each server that a test starts in this one counts anew.
    let process = process::start(folder.path());
    let (_, metrics) = request(process.operations, "GET", "/metrics", "", None).await;
    for of in ["user", "queue", "channel", "sessions"] {
        let line = format!("switchboard_store_damaged_rows{{of=\"{of}\"}} 1");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    drop(process);
    let world = start().await;
    let ask = async |token: &str, path: &str| world.ask("GET", path, token, None).await.0;
    let own = format!("/api/v1/users/{}", id("user", "boris"));
    assert_eq!(ask(&boris, &own).await, 200, "whose session is whole");
    let own = format!("/api/v1/users/{}", id("user", "anna"));
    assert_eq!(ask(&anna, &own).await, 401, "as if logged out");
    let anna = world.log_in("anna").await;
    assert_eq!(ask(&anna, &own).await, 200);
    assert_eq!(world.tokens("clara", &demo_password("clara")).await.0, 401);
    let admin = world.log_in("admin").await;
    let over = json!({"version": 0, "name": "Clara", "login": "clara", "role": "operator",
        "active": true, "capacity": 3});
    let path = format!("/api/v1/users/{}", id("user", "clara"));
    let (status, refused) = world.ask("PUT", &path, &admin, Some(over)).await;
    assert_eq!(status, 500, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("restore it"), "{refused}");
    // What is whole serves: a queue and a channel of their own.
    let mut customer = world.customer("Employees").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Employees")});
    customer.call("chat.open", open).await.unwrap();
    world.server.stop().await;
}

#[tokio::test]
async fn a_customer_with_a_damaged_chat_can_be_erased() {
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        let store = StoreChoice::Sqlite(folder.path().into());
        World { server: Server::start(plan(settings(), store)).await.unwrap() }
    };
    let world = start().await;
    let (token, who) = world.visitor("Shop", None).await;
    let mut customer = opened(&world, &token).await;
    let first = customer.call("chat.open", open("c1")).await.unwrap()["chat"].clone();
    customer.call("message.send", message(&first, "m1", SECRET)).await.unwrap();
    customer.call("chat.end", json!({"command_id": "e1", "chat": first})).await.unwrap();
    let second = customer.call("chat.open", open("c2")).await.unwrap()["chat"].clone();
    customer.call("message.send", message(&second, "m2", SECRET)).await.unwrap();
    world.server.stop().await;
    // One event of the chat that is open.
    let database = open_past_the_store(&folder.path().join(DATABASE_FILE), None).unwrap();
    let text = "UPDATE log SET record = x'0102' WHERE position = (SELECT max(position) FROM log)";
    assert_eq!(database.execute(text, ()).unwrap(), 1);
    drop(database);

    let world = start().await;
    let (token, _) = world.visitor("Shop", Some(&who)).await;
    erase(&world, &who).await;
    let mut customer = world.socket().await;
    assert!(customer.open(&token, json!([])).await.is_err(), "the tokens are revoked");
    let admin = world.log_in("admin").await;
    for chat in [first, second] {
        let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
        assert_eq!(world.ask("GET", &path, &admin, None).await.0, 404);
    }
    world.server.stop().await;
    assert!(!finds(folder.path(), SECRET));
    let world = start().await;
    world.server.stop().await;
}

#[tokio::test]
async fn an_operator_with_a_damaged_record_keeps_its_chats_and_works() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("copy"));
    let start = async || {
        let store = StoreChoice::Sqlite(data.clone());
        World { server: Server::start(plan(settings(), store)).await.unwrap() }
    };
    let world = start().await;
    let mut anna = world.ready("anna").await;
    let (token, _) = world.visitor("Shop", None).await;
    let mut customer = opened(&world, &token).await;
    let chat = customer.call("chat.open", open("c1")).await.unwrap()["chat"].clone();
    let offer = anna.wait("offer.presented").await["offer"].clone();
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
    anna.call("offer.accept", accept).await.unwrap();
    world.server.stop().await;
    let edit = |text: &str| {
        let database = open_past_the_store(&data.join(DATABASE_FILE), None).unwrap();
        database.execute(text, ()).unwrap()
    };
    assert_eq!(edit("UPDATE operators SET record = zeroblob(9)"), 1);

    let mut export = command();
    export.args(["store", "export"]).arg(&file).arg("--data").arg(&data);
    let told = tokio::task::spawn_blocking(move || said(&mut export)).await.unwrap();
    assert!(told.contains(&id("user", "anna")) && told.contains("1 open chats"), "{told}");

    let world = start().await;
    let token_of_anna = world.log_in("anna").await;
    let mut anna = world.socket().await;
    let session = anna.open(&token_of_anna, json!([])).await.unwrap();
    assert_eq!(session["status"]["status"], "offline", "as one who has no record: {session}");
    let (_, metrics) = world.operations("/metrics").await;
    let line = "switchboard_store_damaged_rows{of=\"operator\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    anna.be_ready().await;
    anna.call("message.send", message(&chat, "m1", "there you are")).await.unwrap();
    let mut customer = opened(&world, &token).await;
    customer.call("message.send", message(&chat, "m2", "and you")).await.unwrap();
    anna.call("chat.end", json!({"command_id": "e1", "chat": chat})).await.unwrap();
    world.server.stop().await;
    assert_eq!(edit("DELETE FROM operators WHERE record = zeroblob(9)"), 0, "written anew");
}

//! Changes while the server runs, and its restart.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard::access::limits::SESSIONS_PER_USER;
use switchboard::app::{Server, StoreChoice};
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::harness::{World, id, plan, request, settings, until};
use crate::hooked::{Asked, Call, Hook, OfDocuments, Trouble, hooked};

/// Opens a chat as a new customer.
async fn waiting(world: &World) -> (Client, Value) {
    let mut customer = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    (customer, chat)
}

/// The chats of all lines, in their order.
async fn line(admin: &mut Client) -> Vec<Value> {
    let line = admin.call("chat.list", json!({"scope": "line"})).await.unwrap();
    line["chats"].as_array().unwrap().iter().map(|chat| chat["id"].clone()).collect()
}

/// Changes a document by REST.
async fn change(world: &World, path: &str, changes: Value) {
    let admin = world.log_in("admin").await;
    let (_, mut body) = world.ask("GET", path, &admin, None).await;
    let members = body.as_object_mut().unwrap();
    for shown in ["id", "has_site_key", "has_password", "demo_password"] {
        members.remove(shown);
    }
    members.extend(changes.as_object().unwrap().clone());
    if path.contains("/operators/") {
        members.retain(|name, _| name == "version" || name == "capacity");
    }
    let (status, answer) = world.ask("PUT", path, &admin, Some(body)).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_rule_a_limit_and_a_queue_change_at_once_and_nobody_loses_a_place() {
    let world = World::start().await;
    let mut maria = world.ready("maria").await;
    let mut customers = Vec::new();
    for _ in 0..4 {
        customers.push(waiting(&world).await);
    }
    let order: Vec<Value> = customers.iter().map(|(_, chat)| chat.clone()).collect();
    assert_eq!(line(&mut maria).await, order);
    // Another rule: the order stays.
    let sales = format!("/api/v1/queues/{}", id("queue", "Sales"));
    change(&world, &sales, json!({"rule": "manual"})).await;
    assert_eq!(line(&mut maria).await, order);
    let admin = world.log_in("admin").await;
    let explanation = format!("/api/v1/chats/{}/explanation", order[2].as_str().unwrap());
    until("the queue knows its rule", async || {
        let (_, why) = world.ask("GET", &explanation, &admin, None).await;
        why["waits"]["why"]["word"] == "manual" && why["waits"]["position"] == 3
    })
    .await;
    // Back to a rule that pushes; anna has a limit of one and gets the first only.
    let operator = format!("/api/v1/operators/{}", id("user", "anna"));
    change(&world, &operator, json!({"capacity": 1})).await;
    let mut anna = world.ready("anna").await;
    change(&world, &sales, json!({"rule": "least_loaded"})).await;
    let offer = anna.wait("offer.presented").await;
    assert_eq!(offer["chat"], order[0]);
    let accept =
        |offer: &Value| json!({"command_id": "a", "chat": offer["chat"], "offer": offer["offer"]});
    anna.call("offer.accept", accept(&offer)).await.unwrap();
    assert_eq!(line(&mut maria).await, order[1..], "her limit is reached");
    // The limit is raised: the next one comes at once.
    change(&world, &operator, json!({"capacity": 2})).await;
    let offer = anna.wait("offer.presented").await;
    assert_eq!(offer["chat"], order[1]);
    anna.call("offer.accept", accept(&offer)).await.unwrap();
    // A new queue, to which the next customers are led.
    let queue = json!({"name": "Night", "active": true, "rule": "to_all", "members": [id("user", "clara")], "offer_timeout_ms": 30_000});
    let (status, made) = world.ask("POST", "/api/v1/queues", &admin, Some(queue)).await;
    assert_eq!(status, 201, "{made}");
    let shop = format!("/api/v1/channels/{}", id("channel", "Shop"));
    change(&world, &shop, json!({"queue": made["id"]})).await;
    let mut clara = world.ready("clara").await;
    let (_late, chat) = until_opened(&world, &made["id"]).await;
    assert_eq!(clara.wait("offer.presented").await["chat"], chat);
    let line = line(&mut maria).await;
    assert_eq!(line[..2], order[2..], "those who waited still do, in front");
}

/// A chat that waits in that queue, once the router knows that the channel leads there.
async fn until_opened(world: &World, queue: &Value) -> (Client, Value) {
    let admin = world.log_in("admin").await;
    let mut found = None;
    until("the channel leads to the queue", async || {
        let (mut customer, chat) = waiting(world).await;
        let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
        let (_, seen) = world.ask("GET", &path, &admin, None).await;
        if seen["queue"] == *queue {
            found = Some((customer, chat));
            return true;
        }
        customer.call("chat.end", json!({"command_id": "e", "chat": chat})).await.unwrap();
        false
    })
    .await;
    found.unwrap()
}

#[tokio::test]
async fn who_is_deactivated_is_out_and_the_chats_are_back_in_line() {
    let world = World::start().await;
    let mut anna = world.ready("anna").await;
    let (mut customer, chat) = waiting(&world).await;
    let offer = anna.wait("offer.presented").await;
    let accept = json!({"command_id": "a", "chat": chat, "offer": offer["offer"]});
    anna.call("offer.accept", accept).await.unwrap();
    customer.event("assigned").await;
    change(&world, &format!("/api/v1/users/{}", id("user", "anna")), json!({"active": false}))
        .await;
    assert_eq!(anna.until_closed().await, 4002);
    let placed =
        customer.wait_where("back in line", |n| n["params"]["cause"] == "owner_gone").await;
    assert_eq!(placed["chat"], chat);
    let why = format!("/api/v1/chats/{}/explanation", chat.as_str().unwrap());
    let admin = world.log_in("admin").await;
    let (_, why) = world.ask("GET", &why, &admin, None).await;
    let steps: Vec<&Value> = why["routed"].as_array().unwrap().iter().collect();
    let left = steps.iter().find(|step| step["step"] == "placed").unwrap();
    assert_eq!(left["cause"], "owner_gone", "{why}");
    assert_eq!(left["owner"], id("user", "anna"));
    let first = steps.last().unwrap();
    assert_eq!((&first["step"], &first["cause"]), (&json!("placed"), &json!("opened")), "{why}");
    assert_eq!(world.tokens("anna", "demo-anna-01").await.0, 401);
    let mut boris = world.ready("boris").await;
    assert_eq!(boris.wait("offer.presented").await["chat"], chat);
}

#[tokio::test]
async fn a_restart_on_the_same_folder_keeps_tokens_chats_and_status() {
    let folder = tempfile::tempdir().unwrap();
    let store = || StoreChoice::Sqlite(folder.path().to_owned());
    let world = World { server: Server::start(plan(settings(), store())).await.unwrap() };
    let (_, tokens) = world.tokens("anna", "demo-anna-01").await;
    let token = tokens["access_token"].as_str().unwrap().to_owned();
    let mut anna = world.socket().await;
    anna.open(&token, json!([])).await.unwrap();
    anna.be_ready().await;
    let (visitor, _) = world.visitor("Shop", None).await;
    let mut customer = world.socket().await;
    customer.open(&visitor, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open.clone()).await.unwrap()["chat"].clone();
    let offer = anna.wait("offer.presented").await;
    let accept = json!({"command_id": "a", "chat": chat, "offer": offer["offer"]});
    anna.call("offer.accept", accept.clone()).await.unwrap();
    let hello = json!({"chat": chat, "client_message_id": "m1", "text": "before"});
    let sent = customer.call("message.send", hello.clone()).await.unwrap();
    let seen = anna.event("message").await;
    world.server.stop().await;
    assert_eq!(anna.until_closed().await, 1001, "told why");
    assert_eq!(customer.until_closed().await, 1001);

    let mut again = None;
    until("the folder is free", async || {
        again = Server::start(plan(settings(), store())).await.ok();
        again.is_some()
    })
    .await;
    let world = World { server: again.unwrap() };
    let (mut anna, mut customer) = (world.socket().await, world.socket().await);
    let resume = json!([{"chat": chat, "cursor": seen["cursor"]}]);
    let opened = anna.open(&token, resume).await.unwrap();
    assert_eq!(opened["status"]["status"], "ready");
    assert_eq!(opened["chats"][0]["id"], chat);
    let opened = customer.open(&visitor, json!([])).await.unwrap();
    assert_eq!(opened["chats"][0]["id"], chat);
    // Repeats of before get the answers of before.
    assert_eq!(customer.call("message.send", hello).await.unwrap(), sent);
    assert_eq!(customer.call("chat.open", open).await.unwrap()["chat"], chat);
    anna.call("offer.accept", accept).await.unwrap();
    let more = json!({"chat": chat, "client_message_id": "m2", "text": "after"});
    customer.call("message.send", more).await.unwrap();
    assert_eq!(anna.event("message").await["text"], "after");
    // The seed is planted once.
    assert_eq!(world.server.seeded, Some(switchboard::config::Seeded::Before));
    world.server.stop().await;
}

#[tokio::test]
async fn documents_and_health_are_served() {
    let world = World::start().await;
    for path in ["/openapi.json", "/protocol.json"] {
        let (status, body) = world.ask("GET", path, "", None).await;
        let file = format!("{}/docs{path}", env!("CARGO_MANIFEST_DIR"));
        let committed: Value =
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!((status, body), (200, committed), "{path}");
    }
    assert_eq!(world.operations("/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(world.operations("/readyz").await, (200, "ready\n".to_owned()));
    let (status, text) = world.operations("/metrics").await;
    assert_eq!(status, 200);
    for metric in ["switchboard_ready 1", "switchboard_operators{status=\"ready\"}"] {
        assert!(text.contains(metric), "{metric} is missing:\n{text}");
    }
    promtool_is_silent(&text);
    let (status, tree) = world.operations("/debug/tree").await;
    assert!(status == 200 && tree.contains("queue x3"), "{tree}");
}

#[tokio::test]
async fn queues_and_channels_are_deleted_only_when_nothing_refers_to_them() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let queue = json!({"name": "Night", "active": true, "rule": "manual", "members": [id("user", "clara")], "offer_timeout_ms": 30_000});
    let (_, queue) = world.ask("POST", "/api/v1/queues", &admin, Some(queue)).await;
    let queue = queue["id"].as_str().unwrap();
    let channel = json!({"name": "Night", "provider": "internal", "active": true, "queue": queue, "sender": "channel"});
    let (_, channel) = world.ask("POST", "/api/v1/channels", &admin, Some(channel)).await;
    let channel = channel["id"].as_str().unwrap();
    let (queue, channel) =
        (format!("/api/v1/queues/{queue}"), format!("/api/v1/channels/{channel}"));
    let delete = async |path: &str, version: u32| {
        world.ask("DELETE", &format!("{path}?version={version}"), &admin, None).await.0
    };
    assert_eq!(delete(&channel, 1).await, 409, "it is active");
    change(&world, &channel, json!({"active": false})).await;
    assert_eq!(delete(&channel, 1).await, 409, "another version");
    assert_eq!(delete(&channel, 2).await, 204);
    change(&world, &queue, json!({"active": false})).await;
    assert_eq!(delete(&queue, 2).await, 204);
    assert_eq!(world.ask("GET", &queue, &admin, None).await.0, 404);
    // A channel that had a chat stays.
    let (mut customer, chat) = waiting(&world).await;
    customer.call("chat.end", json!({"command_id": "e", "chat": chat})).await.unwrap();
    let shop = format!("/api/v1/channels/{}", id("channel", "Shop"));
    change(&world, &shop, json!({"active": false})).await;
    assert_eq!(delete(&shop, 2).await, 409);
    let open = json!({"command_id": "c2", "channel": id("channel", "Shop")});
    until("the channel takes no chats", async || {
        customer.call("chat.open", open.clone()).await.is_err()
    })
    .await;
}

/// Prometheus's own linter has nothing to say; skipped aloud where it is not installed.
fn promtool_is_silent(text: &str) {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else {
        println!("SKIPPED: promtool is not installed (Debian's package prometheus)");
        return;
    };
    let mut input = promtool.stdin.take().expect("it is piped");
    input.write_all(text.as_bytes()).expect("promtool reads all");
    drop(input);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[tokio::test]
async fn a_repeated_transfer_gets_its_first_answer_though_its_target_is_gone() {
    let world = World::start().await;
    let mut anna = world.ready("anna").await;
    let (_customer, chat) = waiting(&world).await;
    let offer = anna.wait("offer.presented").await;
    let accept = json!({"command_id": "a", "chat": chat, "offer": offer["offer"]});
    anna.call("offer.accept", accept).await.unwrap();
    let to = json!({"queue": id("queue", "Back office")});
    let transfer = json!({"command_id": "t", "chat": chat, "to": to});
    let first = anna.call("chat.transfer", transfer.clone()).await.unwrap();
    let office = format!("/api/v1/queues/{}", id("queue", "Back office"));
    change(&world, &office, json!({"active": false})).await;
    assert_eq!(anna.call("chat.transfer", transfer).await.unwrap(), first);
    // A transfer of another chat learns why not.
    let (_customer, other) = waiting(&world).await;
    let offer = anna.wait_where("its offer", |n| n["params"]["chat"] == other).await;
    let accept = json!({"command_id": "b", "chat": other, "offer": offer["offer"]});
    anna.call("offer.accept", accept).await.unwrap();
    let transfer = json!({"command_id": "u", "chat": other, "to": to});
    let error = anna.call("chat.transfer", transfer).await.unwrap_err();
    assert_eq!(error["data"]["name"], "target_unavailable", "{error}");
    assert_eq!(error["data"]["reason"], "queue_inactive");
    let nowhere = json!({"queue": id("queue", "No such queue")});
    let transfer = json!({"command_id": "v", "chat": other, "to": nowhere});
    assert_eq!(anna.refused("chat.transfer", transfer).await, "not_found");
}

/// A write of a queue takes effect and is held before it is answered.
struct HeldQueue {
    written: Semaphore,
    on: Semaphore,
}

#[async_trait]
impl Hook for HeldQueue {
    async fn around(&self, _: Asked, call: Call<'_>) -> Result<(), Trouble> {
        call.await;
        Ok(())
    }

    async fn around_documents(
        &self,
        kind: &str,
        asked: OfDocuments,
        call: Call<'_>,
    ) -> Result<(), Trouble> {
        call.await;
        if kind == "queue" && matches!(asked, OfDocuments::Write { expected: 1.. }) {
            self.written.add_permits(1);
            self.on.acquire().await.unwrap().forget();
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_change_whose_client_hangs_up_is_shown_as_it_is_stored() {
    let held = Arc::new(HeldQueue { written: Semaphore::new(0), on: Semaphore::new(0) });
    let store = hooked(&MemoryStore::new().store(), Arc::clone(&held) as _);
    let world =
        World { server: Server::start(plan(settings(), StoreChoice::Given(store))).await.unwrap() };
    let (path, admin) =
        (format!("/api/v1/queues/{}", id("queue", "Sales")), world.log_in("admin").await);
    let (_, mut queue) = world.ask("GET", &path, &admin, None).await;
    queue.as_object_mut().unwrap().remove("id");
    queue["name"] = json!("Sales and more");
    let body = Some(("application/json", queue.to_string()));
    let (address, token) = (world.server.address, admin.clone());
    let hasty = path.clone();
    let asking = tokio::spawn(async move { request(address, "PUT", &hasty, &token, body).await });
    held.written.acquire().await.unwrap().forget();
    asking.abort();
    // The server has long seen that the client is gone when these are answered.
    for _ in 0..50 {
        assert_eq!(world.ask("GET", &path, &admin, None).await.0, 200);
    }
    held.on.add_permits(1);
    until("it is shown", async || {
        world.ask("GET", &path, &admin, None).await.1["name"] == "Sales and more"
    })
    .await;
}

#[tokio::test]
async fn what_one_site_revokes_is_no_matter_of_anothers() {
    let world = World::start().await;
    let (shop, customer) = world.visitor("Shop", None).await;
    let (other, _) = world.visitor("Employees", Some(&customer)).await;
    let (mut here, mut there) = (world.socket().await, world.socket().await);
    here.open(&shop, json!([])).await.unwrap();
    there.open(&other, json!([])).await.unwrap();
    let admin = world.log_in("admin").await;
    let channel = id("channel", "Shop");
    let path = format!("/api/v1/channels/{channel}/visitor-tokens/{customer}");
    assert_eq!(world.ask("DELETE", &path, &admin, None).await.0, 204);
    assert_eq!(here.until_closed().await, 4002);
    let open = json!({"command_id": "c", "channel": id("channel", "Employees")});
    there.call("chat.open", open).await.unwrap();
    world.socket().await.open(&other, json!([])).await.unwrap();
    assert!(world.socket().await.open(&shop, json!([])).await.is_err());
}

#[tokio::test]
async fn a_watermark_that_waits_for_its_write_holds_up_no_message() {
    let world = World::start().await;
    let (mut customer, chat) = waiting(&world).await;
    let up_to = |seq: u32| json!({"chat": chat, "up_to": seq});
    customer.call("message.received", up_to(1)).await.unwrap();
    // Within the second after a write: these wait for the next one.
    let waits = customer.send("message.read", up_to(1)).await;
    let also = customer.send("message.read", up_to(2)).await;
    let hello = json!({"chat": chat, "client_message_id": "m1", "text": "hello"});
    let sent = customer.send("message.send", hello).await;
    let first = customer.answer_where(|answer| answer["id"].is_u64()).await;
    assert_eq!(first["id"], json!(sent), "the message does not wait");
    customer.answer(waits).await.unwrap();
    customer.answer(also).await.unwrap();
}

#[tokio::test]
async fn who_logs_out_everywhere_is_offline_at_once() {
    let world = World::start().await;
    let (here, there) = (world.log_in("anna").await, world.log_in("anna").await);
    let mut anna = world.socket().await;
    anna.open(&here, json!([])).await.unwrap();
    anna.be_ready().await;
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/operators/{}", id("user", "anna"));
    let status = async || {
        let (_, operator) = world.ask("GET", &path, &admin, None).await;
        operator["status"]["status"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(world.ask("DELETE", "/api/v1/sessions/current", &there, None).await.0, 204);
    assert_eq!(status().await, "ready", "another session of hers goes on");
    assert_eq!(world.ask("DELETE", "/api/v1/sessions/current", &here, None).await.0, 204);
    assert_eq!(status().await, "offline");
    assert_eq!(anna.until_closed().await, 4002);
}

#[tokio::test]
async fn the_log_in_that_ends_the_oldest_session_closes_its_sockets() {
    let world = World::start().await;
    let tokens = [world.log_in("anna").await, world.log_in("anna").await];
    let mut sockets = Vec::new();
    for token in &tokens {
        let mut socket = world.socket().await;
        socket.open(token, json!([])).await.unwrap();
        sockets.push(socket);
    }
    let [mut oldest, mut next] = sockets.try_into().unwrap_or_else(|_| panic!("two"));
    for _ in tokens.len()..SESSIONS_PER_USER {
        world.log_in("anna").await;
    }
    for socket in [&mut oldest, &mut next] {
        socket.call("chat.list", json!({"scope": "mine"})).await.unwrap();
    }
    world.log_in("anna").await;
    assert_eq!(oldest.until_closed().await, 4002);
    next.call("chat.list", json!({"scope": "mine"})).await.unwrap();
}

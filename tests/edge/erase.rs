//! Erasing a customer, as everybody concerned meets it.

use std::path::Path;

use serde_json::{Value, json};
use switchboard::access::limits::{REVOKED_CUSTOMERS_MAX, REVOKED_FOR_ERASURE_MAX, SETTLE_LIMIT};
use switchboard::app::{Server, StoreChoice};
use switchboard::domain::CustomerId;
use switchboard::protocol::rest::Route;
use switchboard::storage::memory::MemoryStore;

use crate::client::Client;
use crate::cql_support::Keyspace;
use crate::ended::days_ago;
use crate::harness::{World, id, plan, request, settings, until};
use crate::held::Stop;

/// What nobody else writes.
pub const SECRET: &str = "sesame-0815-open";

pub fn finds(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let holds = |file| {
        let bytes = std::fs::read(file).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    // The router's socket is no file that could be read.
    files.filter(|file| file.is_file()).any(holds)
}

pub async fn erase(world: &World, customer: &str) {
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/channels/{}/customers/{customer}", id("channel", "Shop"));
    let (status, body) = world.ask("DELETE", &path, &admin, None).await;
    assert_eq!(status, 204, "{body}");
}

pub fn open(command: &str) -> Value {
    json!({"command_id": command, "channel": id("channel", "Shop")})
}

pub fn message(chat: &Value, n: &str, text: &str) -> Value {
    json!({"chat": chat, "client_message_id": n, "text": text})
}

pub async fn opened(world: &World, token: &str) -> Client {
    let mut client = world.socket().await;
    client.open(token, json!([])).await.unwrap();
    client
}

/// One chat that has ended, and one that the operator has, of one customer; then the erasure.
/// Answers the customer and both chats.
async fn erased(world: &World) -> (String, [Value; 2]) {
    let mut anna = world.ready("anna").await;
    let (token, who) = world.visitor("Shop", None).await;
    let mut customer = opened(world, &token).await;
    let first = customer.call("chat.open", open("c1")).await.unwrap()["chat"].clone();
    customer.call("message.send", message(&first, "m1", SECRET)).await.unwrap();
    let end = json!({"command_id": "e1", "chat": first});
    customer.call("chat.end", end).await.unwrap();
    let second = customer.call("chat.open", open("c2")).await.unwrap()["chat"].clone();
    let theirs =
        |got: &Value| got["method"] == "offer.presented" && got["params"]["chat"] == second;
    let offer = anna.wait_where("an offer", theirs).await["offer"].clone();
    let accept = json!({"command_id": "a1", "chat": second, "offer": offer});
    anna.call("offer.accept", accept).await.unwrap();
    anna.call("message.send", message(&second, "m2", SECRET)).await.unwrap();
    erase(world, &who).await;
    let theirs = |got: &Value| got["params"]["kind"] == "ended" && got["params"]["chat"] == second;
    let ended = anna.wait_where("the end", theirs).await;
    assert_eq!(ended["by"]["kind"], "system");
    assert_eq!(customer.until_closed().await, 4002, "its tokens are revoked");
    for chat in [&first, &second] {
        let asked = json!({"chat": chat});
        assert_eq!(anna.refused("chat.history", asked).await, "not_found");
        let admin = world.log_in("admin").await;
        let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
        assert_eq!(world.ask("GET", &path, &admin, None).await.0, 404);
    }
    assert_eq!(anna.refused("message.send", message(&second, "m3", "still?")).await, "not_found");
    (who, [first, second])
}

/// A customer of the same id comes back, with what its client still remembers.
async fn comes_back(world: &World, who: &str, chats: &[Value; 2]) {
    let [first, second] = chats;
    let (token, again) = world.visitor("Shop", Some(who)).await;
    assert_eq!(again, who);
    let mut customer = world.socket().await;
    let resume = json!([{"chat": second, "cursor": "AgAAAAAAAAABAAAAAA"}]);
    let session = customer.open(&token, resume).await.unwrap();
    assert_eq!((&session["chats"], &session["gone"]), (&json!([]), &json!([second])));
    // The same command opens another chat, not the one of that time.
    let fresh = customer.call("chat.open", open("c2")).await.unwrap()["chat"].clone();
    assert!(!chats.contains(&fresh));
    for (chat, n) in [(first, "m4"), (second, "m5"), (first, "m4")] {
        let went = customer.call("message.send", message(chat, n, "hello again")).await.unwrap();
        assert_eq!(went["chat"], fresh, "to the present chat");
    }
    let history = customer.call("chat.history", json!({"chat": fresh})).await.unwrap();
    let texts = history["events"].as_array().unwrap().iter();
    assert_eq!(texts.filter(|event| event["kind"] == "message").count(), 2, "a repeat is one");
}

#[tokio::test]
async fn an_erased_customer_is_known_nowhere_and_comes_back_as_somebody_new() {
    let world = World::start().await;
    let (who, chats) = erased(&world).await;
    erase(&world, &who).await;
    comes_back(&world, &who, &chats).await;
    let (_, metrics) = world.operations("/metrics").await;
    assert!(metrics.contains("switchboard_chats_forgotten_total"), "{metrics}");
}

#[tokio::test]
async fn a_message_to_a_forgotten_chat_opens_another_where_there_is_none() {
    let world = World::start().await;
    let (who, [first, _]) = erased(&world).await;
    let (token, _) = world.visitor("Shop", Some(&who)).await;
    let mut customer = opened(&world, &token).await;
    let sent = message(&first, "m9", "anybody?");
    let went = customer.call("message.send", sent.clone()).await.unwrap()["chat"].clone();
    assert_ne!(went, first);
    assert_eq!(customer.call("message.send", sent).await.unwrap()["chat"], went, "the same again");
    let other = json!("0190a3a4-0000-7000-8000-000000000000");
    assert_eq!(customer.refused("message.send", message(&other, "m10", "x")).await, "not_found");
}

#[tokio::test]
async fn nothing_of_an_erased_customer_is_left_in_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = StoreChoice::Sqlite(folder.path().to_owned());
    let world = World { server: Server::start(plan(settings(), store.clone())).await.unwrap() };
    let (who, chats) = erased(&world).await;
    // Whatever came after the commit is done when something else was written.
    world.log_in("anna").await;
    assert!(!finds(folder.path(), SECRET));
    comes_back(&world, &who, &chats).await;
    world.server.stop().await;
    assert!(!finds(folder.path(), SECRET));
    let world = World { server: Server::start(plan(settings(), store)).await.unwrap() };
    let mut anna = world.user("anna").await;
    for chat in &chats {
        assert_eq!(anna.refused("chat.history", json!({"chat": chat})).await, "not_found");
    }
    world.server.stop().await;
}

#[tokio::test]
async fn an_erased_customer_is_known_nowhere_in_the_distributed_store() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = StoreChoice::Scylla(Box::new(keyspace.options.clone()));
    let world = World { server: Server::start(plan(settings(), store)).await.unwrap() };
    let (who, chats) = erased(&world).await;
    comes_back(&world, &who, &chats).await;
    world.server.stop().await;
}

#[tokio::test]
async fn a_site_erases_its_own_customers_only() {
    let store = StoreChoice::Given(MemoryStore::new().store());
    let world = World { server: Server::start(plan(settings(), store)).await.unwrap() };
    let admin = world.log_in("admin").await;
    let channel = format!("/api/v1/channels/{}", id("channel", "Shop"));
    let (_, found) = world.ask("GET", &channel, &admin, None).await;
    let body = Some(json!({"version": found["version"]}));
    let (_, key) = world.ask("POST", &format!("{channel}/site-key"), &admin, body).await;
    let key = key["site_key"].as_str().unwrap().to_owned();
    let (token, who) = world.visitor("Shop", None).await;
    let mut customer = opened(&world, &token).await;
    customer.call("chat.open", open("c1")).await.unwrap();
    let of = |name| format!("/api/v1/channels/{}/customers/{who}", id("channel", name));
    assert_eq!(world.ask("DELETE", &of("Employees"), &key, None).await.0, 403);
    until("the chat is there", async || customer.call("chat.open", open("c1")).await.is_ok()).await;
    assert_eq!(world.ask("DELETE", &of("Shop"), &key, None).await.0, 204);
    assert_eq!(customer.until_closed().await, 4002);
}

#[tokio::test]
async fn an_erasure_ends_with_the_right_to_it_and_nobody_waits_for_it() {
    let (world, store) = crate::held::world().await;
    let stop = Stop::on(&world);
    let operation = Route::EraseCustomer.operation();
    let admin = world.log_in("admin").await;
    let body = json!({"name": "Second", "login": "second", "role": "administrator", "active": true,
        "capacity": 1});
    let (_, made) = world.ask("POST", "/api/v1/users", &admin, Some(body.clone())).await;
    let user = format!("/api/v1/users/{}", made["id"].as_str().unwrap());
    let password = "quite a long password";
    let set = Some(json!({"password": password}));
    let (status, answer) = world.ask("PUT", &format!("{user}/password"), &admin, set).await;
    assert_eq!(status, 204, "{answer}");
    let second = world.tokens("second", password).await.1["access_token"].clone();
    let second = second.as_str().unwrap().to_owned();
    let (token, who) = world.visitor("Shop", None).await;
    let mut customer = opened(&world, &token).await;
    let chat = customer.call("chat.open", open("c1")).await.unwrap()["chat"].clone();
    let path = format!("/api/v1/channels/{}/customers/{who}", id("channel", "Shop"));
    let mut gate = stop.next(operation);
    let asked = {
        let (address, path) = (world.server.address, path.clone());
        tokio::spawn(async move { request(address, "DELETE", &path, &second, None).await })
    };
    // The steps: nothing yet, the end of the chats, the tokens, the note of it, the chats, the trail.
    for _ in 0..4 {
        gate.reached().await;
        let next = stop.next(operation);
        gate.go();
        gate = next;
    }
    gate.reached().await;
    let found = world.ask("GET", &user, &admin, None).await.1;
    let mut body = body;
    (body["version"], body["active"]) = (found["version"].clone(), json!(false));
    let revoking = world.ask("PUT", &user, &admin, Some(body));
    // Far less than a revocation waits for who does not end.
    let revoked = tokio::time::timeout(SETTLE_LIMIT / 2, revoking).await;
    assert_eq!(revoked.expect("it waits for the erasure").0, 200);
    gate.go();
    assert_eq!(asked.await.unwrap().0, 401);
    let chat = switchboard::domain::ChatId::parse(chat.as_str().unwrap()).unwrap();
    assert!(!store.log.is_forgotten(chat).await.unwrap(), "its right was gone");
    erase(&world, &who).await;
    assert!(store.log.is_forgotten(chat).await.unwrap());
}

/// A server on a store in which so many customers of the shop were revoked yesterday; who is one of them.
async fn revoked_before(customers: usize) -> (World, String) {
    let store = MemoryStore::new().store();
    let (shop, at) = (id("channel", "Shop"), days_ago(1).0.to_string().into_bytes());
    let who = |n: usize| CustomerId::from_u128(n as u128 + 1).to_string();
    for n in 0..customers {
        let id = format!("{shop}.{}", who(n));
        store.documents.put("revoked_visitor", &id, 0, at.clone()).await.unwrap();
    }
    let plan = plan(settings(), StoreChoice::Given(store));
    (World { server: Server::start(plan).await.unwrap() }, who(0))
}

#[tokio::test]
async fn a_customer_can_be_erased_when_no_further_one_can_be_revoked() {
    let (world, revoked) = revoked_before(REVOKED_CUSTOMERS_MAX).await;
    let (token, who) = world.visitor("Shop", None).await;
    let mut customer = opened(&world, &token).await;
    let chat = customer.call("chat.open", open("c1")).await.unwrap()["chat"].clone();
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/channels/{}/visitor-tokens", id("channel", "Shop"));
    let (status, no) = world.ask("DELETE", &format!("{path}/{who}"), &admin, None).await;
    assert_eq!((status, &no["name"]), (409, &json!("too_many")), "{no}");
    assert!(no["detail"].as_str().unwrap().contains("120 days"), "{no}");
    let again = world.ask("DELETE", &format!("{path}/{revoked}"), &admin, None).await;
    assert_eq!(again.0, 204, "who is one of them takes no further room: {again:?}");
    customer.call("message.send", message(&chat, "m1", "hello")).await.unwrap();
    erase(&world, &who).await;
    assert_eq!(customer.until_closed().await, 4002);
    assert!(world.socket().await.open(&token, json!([])).await.is_err(), "revoked for good");
    let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
    assert_eq!(world.ask("GET", &path, &admin, None).await.0, 404);
}

#[tokio::test]
async fn an_erasure_that_is_refused_for_room_has_done_nothing() {
    let (world, _) = revoked_before(REVOKED_FOR_ERASURE_MAX).await;
    let (token, who) = world.visitor("Shop", None).await;
    let mut customer = opened(&world, &token).await;
    let chat = customer.call("chat.open", open("c1")).await.unwrap()["chat"].clone();
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/channels/{}/customers/{who}", id("channel", "Shop"));
    let (status, no) = world.ask("DELETE", &path, &admin, None).await;
    assert_eq!((status, &no["name"]), (409, &json!("too_many")), "{no}");
    customer.call("message.send", message(&chat, "m1", "still here")).await.unwrap();
    let trail = world.ask("GET", "/api/v1/audit?limit=50", &admin, None).await.1;
    assert!(!trail.to_string().contains("customer.erased"), "{trail}");
}

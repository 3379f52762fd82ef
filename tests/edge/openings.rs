//! How many chats a visitor and an address may open, and what costs nothing.

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{World, id, settings};

fn open(n: usize) -> Value {
    json!({"command_id": format!("o{n}"), "channel": id("channel", "Shop")})
}

fn message(chat: &Value, name: &str) -> Value {
    json!({"chat": chat, "client_message_id": name, "text": "hello"})
}

async fn ends(client: &mut Client, chat: &Value, n: usize) {
    let end = json!({"command_id": format!("e{n}"), "chat": chat});
    client.call("chat.end", end).await.unwrap();
}

async fn session(world: &World, token: &str) -> Client {
    let mut client = world.socket().await;
    client.open(token, json!([])).await.unwrap();
    client
}

/// That it is told to come again, and when.
async fn too_many(client: &mut Client, method: &str, params: Value) {
    let error = client.call(method, params).await.expect_err("a refusal");
    assert_eq!(error["data"]["name"], "too_many_calls", "{error}");
    assert_eq!(error["data"]["retry_after_ms"], 10_000, "{error}");
}

async fn refused(world: &World, bound: &str) -> Option<u64> {
    let (_, text) = world.operations("/metrics").await;
    let name = format!("switchboard_chats_refused_total{{bound=\"{bound}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
}

#[tokio::test]
async fn a_visitor_who_opens_and_ends_chats_flashes_a_few_offers_and_is_told_to_wait() {
    let world = World::start().await;
    let mut anna = world.ready("anna").await;
    let (token, _) = world.visitor("Shop", None).await;
    let mut vera = session(&world, &token).await;
    let (mut chats, mut answers) = (Vec::new(), Vec::new());
    for n in 0..6 {
        let chat = vera.call("chat.open", open(n)).await.unwrap()["chat"].clone();
        answers.push(vera.call("message.send", message(&chat, "m1")).await.unwrap());
        ends(&mut vera, &chat, n).await;
        chats.push(chat);
    }
    for n in 6..90 {
        too_many(&mut vera, "chat.open", open(6)).await;
        // A tab of its own changes nothing, for it is the visitor who waits.
        if n % 20 == 0 {
            too_many(&mut session(&world, &token).await, "chat.open", open(n)).await;
        }
    }
    let mut again = session(&world, &token).await;
    for n in 0..6 {
        let known = again.call("chat.open", open(n)).await.unwrap()["chat"].clone();
        assert_eq!(known, chats[n], "a repeat is answered from what is known");
        let sent = again.call("message.send", message(&chats[n], "m1")).await.unwrap();
        assert_eq!(sent, answers[n], "and so is a message");
    }
    // What is written after the end would open one.
    too_many(&mut again, "message.send", message(&chats[5], "m2")).await;
    assert!(refused(&world, "visitor").await >= Some(85));
    // Nobody else is concerned.
    let mut other = world.customer("Shop").await;
    let chat = other.call("chat.open", open(0)).await.unwrap()["chat"].clone();
    let theirs = |got: &Value| got["method"] == "offer.presented" && got["params"]["chat"] == chat;
    anna.wait_where("the other's offer", theirs).await;
    let flashed = anna.inbox.iter().filter(|got| got["method"] == "offer.presented").count();
    assert!(flashed <= 6, "{flashed} offers");
}

#[tokio::test]
async fn an_address_opens_so_many_chats_by_whatever_visitors() {
    let mut settings = settings();
    settings.server.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    settings.limits.address_openings_per_minute = 6;
    let world = World::with(settings).await;
    let from = async |address: &str| {
        let by = ("x-forwarded-for", address);
        let mut client = Client::connect_with(world.server.address, by).await.unwrap();
        let (token, _) = world.visitor("Shop", None).await;
        client.open(&token, json!([])).await.unwrap();
        client
    };
    for (here, same, elsewhere) in [
        ("203.0.113.1", "203.0.113.1", "203.0.113.2"),
        ("2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"),
    ] {
        for _ in 0..6 {
            from(here).await.call("chat.open", open(0)).await.unwrap();
        }
        too_many(&mut from(same).await, "chat.open", open(0)).await;
        from(elsewhere).await.call("chat.open", open(0)).await.unwrap();
    }
    assert_eq!(refused(&world, "address").await, Some(2));
}

//! What a visitor's token says of the visitor: it counts from then on, in whatever chat.

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{World, id};

fn open(command: &str) -> Value {
    json!({"command_id": command, "channel": id("channel", "Shop")})
}

async fn waiting(world: &World) -> (Client, String, Value) {
    let (token, customer) = world.visitor("Shop", None).await;
    let mut client = world.socket().await;
    client.open(&token, json!([])).await.unwrap();
    let chat = client.call("chat.open", open("c1")).await.unwrap()["chat"].clone();
    (client, customer, chat)
}

async fn priority(world: &World, chat: &Value) -> Value {
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
    world.ask("GET", &path, &admin, None).await.1["priority"].clone()
}

/// The line of anna's queue, and where she stands in it by its explanation.
async fn line(anna: &mut Client) -> Vec<Value> {
    let listed = anna.call("chat.list", json!({"scope": "line"})).await.unwrap();
    listed["chats"].as_array().unwrap().iter().map(|chat| chat["id"].clone()).collect()
}

async fn until_line(anna: &mut Client, wanted: &[&Value]) {
    let end = tokio::time::Instant::now() + crate::harness::PATIENCE;
    loop {
        let line = line(anna).await;
        if line.iter().collect::<Vec<_>>() == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < end, "{line:?}, not {wanted:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_renewed_visitor_has_the_priority_of_the_newer_token() {
    let world = World::start().await;
    let (token, customer) = world.visitor("Shop", None).await;
    let mut visitor = world.socket().await;
    visitor.open(&token, json!([])).await.unwrap();
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/channels/{}/visitor-tokens", id("channel", "Shop"));
    let body = json!({"customer": customer, "priority": 7});
    let (_, newer) = world.ask("POST", &path, &admin, Some(body)).await;
    visitor.call("session.renew", json!({"token": newer["token"]})).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = visitor.call("chat.open", open).await.unwrap()["chat"].clone();
    let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
    assert_eq!(world.ask("GET", &path, &admin, None).await.1["priority"], 7);
}

#[tokio::test]
async fn a_newer_token_moves_the_chat_that_waits_by_renewing_by_coming_back_and_by_a_message() {
    let world = World::start().await;
    let mut anna = world.user("anna").await;
    let (mut one, who_one, first) = waiting(&world).await;
    let (two, who_two, second) = waiting(&world).await;
    let (mut three, who_three, third) = waiting(&world).await;
    until_line(&mut anna, &[&first, &second, &third]).await;
    // By renewing.
    let token = world.profile("Shop", &who_three, json!({"priority": 2})).await;
    three.call("session.renew", json!({"token": token})).await.unwrap();
    assert_eq!(priority(&world, &third).await, 2);
    until_line(&mut anna, &[&third, &first, &second]).await;
    // By coming back.
    drop(two);
    let token = world.profile("Shop", &who_two, json!({"priority": 5})).await;
    let mut two = world.socket().await;
    two.open(&token, json!([])).await.unwrap();
    assert_eq!(priority(&world, &second).await, 5);
    until_line(&mut anna, &[&second, &third, &first]).await;
    // What waits on with an older token brings nothing of before back.
    let older = world.profile("Shop", &who_one, json!({"priority": 1})).await;
    let newer = world.profile("Shop", &who_one, json!({"priority": 9})).await;
    one.call("session.renew", json!({"token": newer})).await.unwrap();
    until_line(&mut anna, &[&first, &second, &third]).await;
    let mut tab = world.socket().await;
    tab.open(&older, json!([])).await.unwrap();
    let text = json!({"chat": first, "client_message_id": "m1", "text": "hello"});
    tab.call("message.send", text).await.unwrap();
    assert_eq!(priority(&world, &first).await, 9);
    until_line(&mut anna, &[&first, &second, &third]).await;
}

#[tokio::test]
async fn a_message_into_an_ended_chat_opens_one_with_the_priority_of_the_newer_token() {
    let world = World::start().await;
    let (mut customer, who, chat) = waiting(&world).await;
    let end = json!({"chat": chat, "command_id": "e1"});
    customer.call("chat.end", end).await.unwrap();
    let token = world.profile("Shop", &who, json!({"priority": 6})).await;
    customer.call("session.renew", json!({"token": token})).await.unwrap();
    assert_eq!(priority(&world, &chat).await, 0, "what has ended stays as it was");
    let text = json!({"chat": chat, "client_message_id": "m1", "text": "once more"});
    let next = customer.call("message.send", text).await.unwrap()["chat"].clone();
    assert_ne!(next, chat);
    assert_eq!(priority(&world, &next).await, 6);
    let mut all = world.user("maria").await;
    let page = all.call("chat.history", json!({"chat": next})).await.unwrap();
    let opened = &page["events"][0];
    assert_eq!((&opened["kind"], &opened["priority"]), (&json!("opened"), &json!(6)));
}

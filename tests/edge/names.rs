//! What people are called: operators see their customers' names, and what was said keeps the name
//! under which it was said.

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{World, id, until};

/// Renames a user or a channel, or changes what a channel shows.
async fn rename(world: &World, path: &str, change: Value) {
    let admin = world.log_in("admin").await;
    let mut body = world.ask("GET", path, &admin, None).await.1;
    for (member, value) in change.as_object().unwrap() {
        body[member] = value.clone();
    }
    let read_only = ["id", "has_password", "demo_password", "has_site_key"];
    let writable = |member: &str| !read_only.contains(&member);
    body.as_object_mut().unwrap().retain(|member, _| writable(member));
    let (status, answer) = world.ask("PUT", path, &admin, Some(body)).await;
    assert_eq!(status, 200, "{path}: {answer}");
}

fn text(chat: &Value, id: &str) -> Value {
    json!({"chat": chat, "client_message_id": id, "text": id})
}

/// Who wrote each message of the chat, as this client is shown it.
async fn authors(client: &mut Client, chat: &Value) -> Vec<(String, String)> {
    let page = client.call("chat.history", json!({"chat": chat})).await.unwrap();
    let messages = page["events"].as_array().unwrap().iter().filter(|e| e["kind"] == "message");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    messages.map(|m| (word(&m["text"]), word(&m["from"]["name"]))).collect()
}

fn said(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(text, name)| ((*text).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test]
async fn a_visitors_name_is_shown_in_offer_list_events_history_and_explanation() {
    let world = World::start().await;
    let (_, who) = world.visitor("Shop", None).await;
    let token = world.profile("Shop", &who, json!({"name": " Zoe "})).await;
    let mut visitor = world.socket().await;
    visitor.open(&token, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = visitor.call("chat.open", open).await.unwrap()["chat"].clone();
    let mut anna = world.ready("anna").await;
    let offer = anna.wait("offer.presented").await;
    assert_eq!(offer["customer_name"], "Zoe");
    // The offer on the screens of who comes later has it as well.
    let mut tab = world.socket().await;
    let again = tab.open(&world.log_in("anna").await, json!([])).await.unwrap();
    assert_eq!(again["offers"][0]["customer_name"], "Zoe");
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer["offer"]});
    anna.call("offer.accept", accept).await.unwrap();
    visitor.call("message.send", text(&chat, "m1")).await.unwrap();
    assert_eq!(anna.event("message").await["from"]["name"], "Zoe");
    // A later token has another name: it counts from then on, and what was said keeps the old one.
    let token = world.profile("Shop", &who, json!({"name": "Zoe Miller"})).await;
    visitor.call("session.renew", json!({"token": token})).await.unwrap();
    assert_eq!(anna.event("customer_updated").await["customer_name"], "Zoe Miller");
    visitor.call("message.send", text(&chat, "m2")).await.unwrap();
    assert_eq!(anna.event("message").await["from"]["name"], "Zoe Miller");
    assert_eq!(authors(&mut anna, &chat).await, said(&[("m1", "Zoe"), ("m2", "Zoe Miller")]));
    let listed = anna.call("chat.list", json!({"scope": "mine"})).await.unwrap();
    assert_eq!(listed["chats"][0]["customer_name"], "Zoe Miller");
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
    for path in [path.clone(), format!("{path}/explanation")] {
        let (_, told) = world.ask("GET", &path, &admin, None).await;
        assert_eq!(told["customer_name"], "Zoe Miller", "{told}");
    }
    // The customer is told nothing of it.
    let page = visitor.call("chat.history", json!({"chat": chat})).await.unwrap();
    assert!(!page.to_string().contains("Zoe"), "{page}");
}

#[tokio::test]
async fn what_an_operator_and_a_channel_said_keeps_the_name_under_which_it_was_said() {
    let world = World::start().await;
    let mut anna = world.ready("anna").await;
    let mut visitor = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = visitor.call("chat.open", open).await.unwrap()["chat"].clone();
    let offer = anna.wait("offer.presented").await["offer"].clone();
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
    anna.call("offer.accept", accept).await.unwrap();
    let (user, site) = (id("user", "anna"), id("channel", "Shop"));
    let (user, site) = (format!("/api/v1/users/{user}"), format!("/api/v1/channels/{site}"));
    let admin = world.log_in("admin").await;
    let before = world.ask("GET", &user, &admin, None).await.1["name"].clone();
    let before = before.as_str().unwrap().to_owned();
    rename(&world, &site, json!({"sender": "operator"})).await;
    anna.call("message.send", text(&chat, "m1")).await.unwrap();
    rename(&world, &user, json!({"name": "Anna Nowak"})).await;
    // Events get the new name as soon as the router knows of it; the old ones keep theirs.
    let mut n = 1;
    until("the new name is known", async || {
        n += 1;
        anna.call("message.send", text(&chat, &format!("m{n}"))).await.unwrap();
        authors(&mut anna, &chat).await.last().unwrap().1 == "Anna Nowak"
    })
    .await;
    let told = authors(&mut anna, &chat).await;
    assert_eq!(told[0], ("m1".to_owned(), before.clone()), "{told:?}");
    assert_eq!(authors(&mut visitor, &chat).await, told, "the customer sees the same");
    // From now on the channel speaks, and then it gets another name.
    rename(&world, &site, json!({"sender": "channel"})).await;
    until("the channel speaks", async || {
        n += 1;
        anna.call("message.send", text(&chat, &format!("m{n}"))).await.unwrap();
        authors(&mut visitor, &chat).await.last().unwrap().1 == "Shop"
    })
    .await;
    // That may be by the setting of today; the next one has it in it.
    rename(&world, &site, json!({"language": "de"})).await;
    n += 1;
    anna.call("message.send", text(&chat, &format!("m{n}"))).await.unwrap();
    let as_shop = authors(&mut visitor, &chat).await.len() - 1;
    rename(&world, &site, json!({"name": "Store"})).await;
    until("the channel has its new name", async || {
        n += 1;
        anna.call("message.send", text(&chat, &format!("m{n}"))).await.unwrap();
        authors(&mut visitor, &chat).await.last().unwrap().1 == "Store"
    })
    .await;
    assert_eq!(authors(&mut visitor, &chat).await[as_shop].1, "Shop");
    assert_eq!(authors(&mut anna, &chat).await[0].1, before, "colleagues see the operator");
}

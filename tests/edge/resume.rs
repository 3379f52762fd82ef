//! Lost connections: a client gets what it missed, each event once, and nothing else.

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{World, id, until};

/// A chat of a customer that anna has accepted.
async fn accepted(world: &World) -> (String, Client, Client, Value) {
    let mut anna = world.ready("anna").await;
    let (token, _) = world.visitor("Shop", None).await;
    let mut customer = world.socket().await;
    customer.open(&token, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    let offer = anna.wait("offer.presented").await["offer"].clone();
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
    anna.call("offer.accept", accept).await.unwrap();
    (token, customer, anna, chat)
}

fn message(chat: &Value, n: u32) -> Value {
    json!({"chat": chat, "client_message_id": format!("m{n}"), "text": format!("text {n}")})
}

#[tokio::test]
async fn what_was_missed_comes_once_and_in_order_while_more_arrives() {
    let world = World::start().await;
    let (token, mut customer, mut anna, chat) = accepted(&world).await;
    anna.call("message.send", message(&chat, 0)).await.unwrap();
    let seen = customer.event("message").await;
    drop(customer);
    for n in 1..=40 {
        anna.call("message.send", message(&chat, n)).await.unwrap();
    }
    // More is written while the customer comes back.
    let mut back = world.socket().await;
    let resume = json!([{"chat": chat, "cursor": seen["cursor"]}]);
    let writing = async {
        for n in 41..=80 {
            anna.call("message.send", message(&chat, n)).await.unwrap();
        }
    };
    let (opened, ()) = tokio::join!(back.open(&token, resume), writing);
    let opened = opened.unwrap();
    assert_eq!(opened["chats"][0]["id"], chat);
    assert_eq!(opened["chats"][0]["reload"], false);
    let mut last = seen["seq"].as_u64().unwrap();
    for n in 1..=80 {
        let got = back.event("message").await;
        assert_eq!(got["text"], format!("text {n}"));
        assert!(got["seq"].as_u64().unwrap() > last, "in order, none twice");
        last = got["seq"].as_u64().unwrap();
    }
}

#[tokio::test]
async fn a_gap_too_large_or_a_cursor_that_cannot_be_is_loaded_anew() {
    let world = World::start().await;
    let (token, customer, mut anna, chat) = accepted(&world).await;
    drop(customer);
    for n in 0..520 {
        let sent = message(&chat, n);
        until("sent", async || anna.call("message.send", sent.clone()).await.is_ok()).await;
        if n % 150 == 149 {
            anna = world.user("anna").await;
        }
    }
    let page = anna.call("chat.history", json!({"chat": chat, "limit": 1})).await.unwrap();
    let first = json!({"chat": chat, "after": page["after"], "limit": 1});
    assert_eq!(anna.call("chat.history", first).await.unwrap()["events"], json!([]));
    let mut back = world.socket().await;
    let other = id("channel", "Shop");
    let resume = json!([{"chat": chat, "cursor": "AQAAAAAAAAABAAAAAA"}, {"chat": other, "cursor": page["after"]}]);
    let opened = back.open(&token, resume).await.unwrap();
    assert_eq!(opened["chats"][0]["reload"], true);
    assert_eq!(opened["gone"], json!([other]));
    // The whole chat, page by page, backwards.
    let (mut texts, mut before) = (Vec::new(), Value::Null);
    loop {
        let mut ask = json!({"chat": chat, "limit": 100});
        if !before.is_null() {
            ask["before"] = before.clone();
        }
        let page = back.call("chat.history", ask).await.unwrap();
        let events = page["events"].as_array().unwrap();
        let of_page = events.iter().filter_map(|event| event["text"].as_str());
        let mut of_page: Vec<String> = of_page.map(str::to_owned).collect();
        of_page.extend(texts);
        texts = of_page;
        match page.get("before") {
            Some(next) => before = next.clone(),
            None => break,
        }
    }
    let expected: Vec<String> = (0..520).map(|n| format!("text {n}")).collect();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn an_operator_who_comes_back_has_status_offers_chats_and_the_end_of_those_that_ended() {
    let world = World::start().await;
    let (_, mut customer, mut anna, chat) = accepted(&world).await;
    let seen = anna.event("assigned").await;
    drop(anna);
    customer.call("message.send", message(&chat, 1)).await.unwrap();
    customer.call("chat.end", json!({"command_id": "e", "chat": chat})).await.unwrap();
    let token = world.log_in("anna").await;
    let mut anna = world.socket().await;
    let resume = json!([{"chat": chat, "cursor": seen["cursor"]}]);
    let opened = anna.open(&token, resume).await.unwrap();
    assert_eq!(opened["status"]["status"], "ready", "kept for the grace");
    assert_eq!(anna.event("message").await["text"], "text 1");
    assert_eq!(anna.event("ended").await["chat"], chat);
    // An offer that is live is in the next session's answer.
    let mut next = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    next.call("chat.open", open).await.unwrap();
    let offer = anna.wait("offer.presented").await;
    let mut tab = world.socket().await;
    let opened = tab.open(&token, json!([])).await.unwrap();
    assert_eq!(opened["offers"], json!([offer]));
}

#[tokio::test]
async fn two_tabs_of_one_operator_act_as_one() {
    let world = World::start().await;
    let token = world.log_in("anna").await;
    let (mut left, mut right) = (world.socket().await, world.socket().await);
    left.open(&token, json!([])).await.unwrap();
    right.open(&token, json!([])).await.unwrap();
    left.be_ready().await;
    right.wait_where("ready", |n| n["params"]["status"] == "ready").await;
    let mut customer = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    let offer = left.wait("offer.presented").await["offer"].clone();
    assert_eq!(right.wait("offer.presented").await["offer"], offer);
    // Both accept with the same command, as one person who is in doubt does.
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
    let (a, b) = tokio::join!(
        left.call("offer.accept", accept.clone()),
        right.call("offer.accept", accept.clone())
    );
    assert_eq!(a.unwrap(), b.unwrap());
    left.call("message.send", message(&chat, 1)).await.unwrap();
    assert_eq!(right.event("message").await["text"], "text 1");
    right.call("message.send", message(&chat, 2)).await.unwrap();
    customer.event("message").await;
    assert_eq!(customer.event("message").await["text"], "text 2");
    // One tab goes; nothing changes.
    drop(left);
    right.call("message.send", message(&chat, 3)).await.unwrap();
    assert_eq!(customer.event("message").await["text"], "text 3");
}

//! What is for the staff reaches no customer, by whichever way an event reaches somebody: as it happens, in
//! a page of the history in either direction, and after a resume.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::Client;
use crate::harness::{World, id};
use crate::resume::accepted;

/// What may come to a customer, besides that a chat goes on in another.
const OPEN: [&str; 5] = ["opened", "placed", "assigned", "message", "ended"];
/// What the life of this chat has besides.
const STAFF: [&str; 4] = ["offered", "begun", "transfer_asked", "transfer_failed"];

fn kinds(events: &Value) -> BTreeSet<String> {
    let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
    events.as_array().unwrap().iter().map(kind).collect()
}

/// The whole history, page by page; `towards` is the cursor that a page is asked for by.
async fn history(client: &mut Client, chat: &Value, towards: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let first = json!({"chat": chat, "limit": 2});
    let mut page = client.call("chat.history", first).await.unwrap();
    if towards == "after" {
        let from = page["before"].clone();
        let mut oldest = json!({"chat": chat, "limit": 2, "before": from});
        while !page["before"].is_null() {
            oldest["before"] = page["before"].clone();
            page = client.call("chat.history", oldest.clone()).await.unwrap();
        }
    }
    loop {
        all.extend(kinds(&page["events"]));
        let over = match towards {
            "before" => page["before"].is_null(),
            _ => page["more"] == false,
        };
        if over {
            return all;
        }
        let mut next = json!({"chat": chat, "limit": 2});
        next[towards] = page[towards].clone();
        page = client.call("chat.history", next).await.unwrap();
    }
}

/// All events up to the end of the chat.
async fn live(client: &mut Client) -> (BTreeSet<String>, Value) {
    let (mut all, mut first) = (BTreeSet::new(), Value::Null);
    loop {
        let event = client.wait("chat.event").await;
        if first.is_null() {
            first = event["cursor"].clone();
        }
        all.insert(event["kind"].as_str().unwrap().to_owned());
        if event["kind"] == "ended" {
            return (all, first);
        }
    }
}

#[tokio::test]
async fn what_is_for_the_staff_reaches_no_customer_by_any_way() {
    let world = World::start().await;
    let (token, mut customer, mut anna, chat) = accepted(&world).await;
    let begin = json!({"command_id": "a2", "chat": chat, "state": "in_progress"});
    anna.call("chat.set_state", begin).await.unwrap();
    // Boris is not there.
    let to = json!({"operator": id("user", "boris")});
    let transfer = json!({"command_id": "a3", "chat": chat, "to": to});
    anna.refused("chat.transfer", transfer).await;
    let message = json!({"chat": chat, "client_message_id": "m1", "text": "hello"});
    anna.call("message.send", message).await.unwrap();
    anna.call("chat.end", json!({"command_id": "a4", "chat": chat})).await.unwrap();

    let may: BTreeSet<String> = OPEN.map(str::to_owned).into();
    let (came, first) = live(&mut customer).await;
    assert_eq!(came, may, "as it happened");
    for towards in ["before", "after"] {
        assert_eq!(history(&mut customer, &chat, towards).await, may, "in pages {towards}");
    }
    let mut back = world.socket().await;
    back.open(&token, json!([{"chat": chat, "cursor": first}])).await.unwrap();
    let (came, _) = live(&mut back).await;
    assert!(came.is_subset(&may), "after a resume: {came:?}");
    assert!(came.contains("message"), "{came:?}");

    let all: BTreeSet<String> = OPEN.into_iter().chain(STAFF).map(str::to_owned).collect();
    for towards in ["before", "after"] {
        assert_eq!(history(&mut anna, &chat, towards).await, all, "who had it, {towards}");
    }
}

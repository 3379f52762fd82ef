//! A chat from its opening to its continuation.

use serde_json::json;

use crate::harness::{World, id};

#[tokio::test]
async fn a_chat_is_opened_offered_accepted_answered_transferred_ended_and_goes_on() {
    let world = World::start().await;
    let mut anna = world.ready("anna").await;
    let mut customer = world.customer("Shop").await;
    let shop = id("channel", "Shop");
    let opened = json!({"command_id": "c1", "channel": shop});
    let opened = customer.call("chat.open", opened).await.unwrap();
    let chat = opened["chat"].clone();
    assert_eq!(customer.event("opened").await["chat"], chat);

    let offer = anna.wait("offer.presented").await;
    assert_eq!(offer["chat"], chat);
    assert_eq!(offer["reach"], "directed");
    let named = json!({"chat": chat, "offer": offer["offer"]});
    anna.call("offer.shown", named).await.unwrap();
    let history = anna.call("chat.history", json!({"chat": chat})).await.unwrap();
    assert_eq!(history["events"][0]["kind"], "opened", "an offered chat can be read");
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer["offer"]});
    let accepted = anna.call("offer.accept", accept.clone()).await.unwrap();
    assert_eq!(accepted["state"], "new");
    assert_eq!(anna.call("offer.accept", accept).await.unwrap(), accepted, "a repeat");
    let assigned = customer.event("assigned").await;
    assert_eq!(assigned["operator"]["name"], "Anna");
    assert!(assigned["operator"].get("id").is_none(), "customers see names only");

    let hello = json!({"chat": chat, "client_message_id": "m1", "text": "Hello?"});
    let sent = customer.call("message.send", hello.clone()).await.unwrap();
    assert_eq!(sent["chat"], chat);
    assert_eq!(customer.call("message.send", hello).await.unwrap(), sent, "a repeat");
    let got = anna.event("message").await;
    assert_eq!((&got["text"], &got["seq"]), (&json!("Hello?"), &sent["seq"]));
    let read = json!({"chat": chat, "up_to": got["seq"]});
    anna.call("message.received", read.clone()).await.unwrap();
    anna.call("message.read", read).await.unwrap();
    let read = customer
        .wait_where("a read watermark", |n| {
            n["method"] == "chat.watermark" && n["params"]["read"] == got["seq"]
        })
        .await;
    assert_eq!(read["party"]["kind"], "operator");
    let answer = json!({"chat": chat, "client_message_id": "m1", "text": "Good day."});
    anna.call("message.send", answer).await.unwrap();
    customer.wait_where("the answer", |n| n["params"]["text"] == "Good day.").await;

    // To a colleague who is there, and not to one who is not.
    let to_boris =
        |n| json!({"command_id": n, "chat": chat, "to": {"operator": id("user", "boris")}});
    let error = anna.call("chat.transfer", to_boris("t1")).await.unwrap_err();
    assert_eq!(error["data"]["name"], "target_unavailable");
    assert_eq!(error["data"]["reason"], "offline");
    let mut boris = world.ready("boris").await;
    let moved = anna.call("chat.transfer", to_boris("t2")).await.unwrap();
    assert_eq!(moved["state"], "in_progress");
    let given = anna.wait_where("it is given away", |n| n["params"]["how"] == "transferred").await;
    let got = boris.wait_where("the chat", |n| n["params"]["chat"] == chat).await;
    assert_eq!(got, given, "no offer was made, and the former owner sees who has it");
    let late = json!({"chat": chat, "client_message_id": "m2", "text": "One more thing"});
    assert_eq!(anna.refused("message.send", late).await, "not_yours");
    assert_eq!(anna.refused("chat.history", json!({"chat": chat})).await, "not_found");

    let end = json!({"command_id": "e1", "chat": chat});
    let ended = boris.call("chat.end", end).await.unwrap();
    assert_eq!(ended["state"], "completed");
    customer.event("ended").await;
    let history = boris.call("chat.history", json!({"chat": chat})).await.unwrap();
    assert_eq!(history["events"].as_array().unwrap().last().unwrap()["kind"], "ended");
    let closed = boris.call("chat.list", json!({"scope": "closed"})).await.unwrap();
    assert_eq!(closed["chats"][0]["id"], chat);

    let again = json!({"chat": chat, "client_message_id": "m3", "text": "And now?"});
    let sent = customer.call("message.send", again).await.unwrap();
    assert_ne!(sent["chat"], chat);
    assert_eq!(customer.event("continued_in").await["next"], sent["chat"]);
    let again = customer
        .wait_where("the new chat", |n| {
            n["params"]["kind"] == "opened" && n["params"]["chat"] == sent["chat"]
        })
        .await;
    assert_eq!(again["continues"], chat);
}

#[tokio::test]
async fn who_takes_by_hand_takes_from_the_line_and_moves_to_a_queue() {
    let world = World::start().await;
    let mut customer = world.customer("Shop").await;
    let opened = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", opened).await.unwrap()["chat"].clone();
    // A chat administrator sees every line and takes from any.
    let mut maria = world.ready("maria").await;
    let line = maria.call("chat.list", json!({"scope": "line"})).await.unwrap();
    assert_eq!((&line["total"], &line["chats"][0]["id"]), (&json!(1), &chat));
    assert_eq!(line["chats"][0]["state"], "waiting");
    let take = json!({"command_id": "k1", "chat": chat});
    assert_eq!(maria.call("chat.take", take).await.unwrap()["state"], "new");
    let begun = json!({"command_id": "b1", "chat": chat, "state": "in_progress"});
    assert_eq!(maria.call("chat.set_state", begun).await.unwrap()["state"], "in_progress");
    let mine = maria.call("chat.list", json!({"scope": "mine"})).await.unwrap();
    assert_eq!(mine["chats"][0]["id"], chat);
    let back = id("queue", "Back office");
    let to = json!({"command_id": "t1", "chat": chat, "to": {"queue": back}});
    assert_eq!(maria.call("chat.transfer", to).await.unwrap()["state"], "waiting");
    // A member of the manual queue takes; a stranger does not even learn that there is a chat.
    let mut dmitri = world.ready("dmitri").await;
    let mut anna = world.ready("anna").await;
    let take = |n| json!({"command_id": n, "chat": chat});
    assert_eq!(anna.refused("chat.take", take("x")).await, "not_found");
    assert_eq!(dmitri.call("chat.take", take("y")).await.unwrap()["state"], "new");
}

#[tokio::test]
async fn what_a_customer_sends_stands_in_its_order_though_it_goes_by_the_former_chat() {
    let world = World::start().await;
    let mut customer = world.customer("Shop").await;
    let opened = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let former = customer.call("chat.open", opened).await.unwrap()["chat"].clone();
    let mut maria = world.ready("maria").await;
    let take = json!({"command_id": "k1", "chat": former});
    maria.call("chat.take", take).await.unwrap();
    let end = json!({"command_id": "e1", "chat": former});
    maria.call("chat.end", end).await.unwrap();
    let send = |chat: &serde_json::Value, n: usize| {
        let id = format!("m{n}");
        json!({"chat": chat, "client_message_id": id, "text": "one after another"})
    };
    let now = customer.call("message.send", send(&former, 0)).await.unwrap()["chat"].clone();
    let mut calls = Vec::new();
    for n in 1..=40 {
        // A client that learns of the new chat in the middle of what it sends.
        let chat = if n % 2 == 1 { &former } else { &now };
        calls.push(customer.send("message.send", send(chat, n)).await);
    }
    let mut seqs = Vec::new();
    for call in calls {
        let sent = customer.answer(call).await.unwrap();
        assert_eq!(sent["chat"], now);
        seqs.push(sent["seq"].as_u64().unwrap());
    }
    assert!(seqs.is_sorted(), "{seqs:?}");
}

//! What one client may ask of the server, and that others do not notice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use switchboard::app::{Server, StoreChoice};
use switchboard::storage::memory::MemoryStore;

use crate::client::Client;
use crate::harness::{World, id, plan, settings, until};
use crate::hold::Hold;
use crate::hooked::{Asked, hooked};

#[tokio::test]
async fn a_thousand_calls_at_once_are_all_answered_and_the_pace_holds() {
    let world = World::start().await;
    let mut hasty = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = hasty.call("chat.open", open).await.unwrap()["chat"].clone();
    let mut ids = Vec::new();
    for n in 0..1_000 {
        let text = json!({"chat": chat, "client_message_id": format!("m{n}"), "text": "x"});
        ids.push(hasty.send("message.send", text).await);
    }
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut seqs = Vec::new();
    for id in ids {
        match hasty.answer(id).await {
            Ok(sent) => seqs.push(sent["seq"].as_u64().unwrap()),
            Err(error) => {
                assert!(error["data"]["retry_after_ms"].as_u64().unwrap() > 0, "{error}");
                *counts.entry(error["data"]["name"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    assert!(seqs.is_sorted(), "one chat's calls keep their order");
    assert!(seqs.len() >= 64, "{counts:?}");
    assert!(counts["too_many_calls"] > 0, "{counts:?}");
    // What was sent behind a refused message does not go before it.
    let passing = ["too_many_calls", "overloaded", "unavailable"];
    assert!(counts.keys().all(|name| passing.contains(&name.as_str())), "{counts:?}");
    // The socket lives; it never repeats what was refused, so its place is given up.
    let history = json!({"chat": chat, "limit": 1});
    until("the pace allows it", async || hasty.call("chat.history", history.clone()).await.is_ok())
        .await;
    let text = json!({"chat": chat, "client_message_id": "later", "text": "x"});
    until("the places are given up", async || {
        hasty.call("message.send", text.clone()).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_and_slows_nobody() {
    let world = World::start().await;
    let (token, _) = world.visitor("Shop", None).await;
    let mut silent = Client::with_small_buffers(world.server.address).await;
    silent.open(&token, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = silent.call("chat.open", open).await.unwrap()["chat"].clone();
    for n in 0..8 {
        let text = "😀".repeat(2_000);
        let text = json!({"chat": chat, "client_message_id": format!("m{n}"), "text": text});
        silent.call("message.send", text).await.unwrap();
    }
    let mut others = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let own = others.call("chat.open", open).await.unwrap()["chat"].clone();
    // From now on it asks for pages and reads none, until the system's buffers are full.
    let mut n = 0;
    until("the silent one is closed", async || {
        n += 1;
        silent.send("chat.history", json!({"chat": chat})).await;
        if n % 20 == 0 {
            let text = json!({"chat": own, "client_message_id": format!("m{n}"), "text": "hi"});
            others.call("message.send", text).await.expect("others are served");
        }
        world.server.edge().sockets() == 1
    })
    .await;
}

#[tokio::test]
async fn sockets_have_their_places() {
    let mut settings = settings();
    settings.limits.connections_per_address = 2;
    let world = World::with(settings).await;
    let (first, _second) = (world.customer("Shop").await, world.customer("Shop").await);
    let url = format!("ws://{}/ws", world.server.address);
    let refused = tokio_tungstenite::connect_async(&url).await.err().unwrap();
    assert!(refused.to_string().contains("503"), "{refused}");
    drop(first);
    until("a place is free again", async || tokio_tungstenite::connect_async(&url).await.is_ok())
        .await;
}

#[tokio::test]
async fn a_socket_without_a_session_gives_its_place_to_who_comes_later() {
    let mut settings = settings();
    settings.limits.connections_per_address = 3;
    let world = World::with(settings).await;
    let mut there = world.customer("Shop").await;
    let (token, _) = world.visitor("Shop", None).await;
    let mut oldest = world.socket().await;
    let _younger = world.socket().await;
    let mut new = world.socket().await;
    assert_eq!(oldest.until_closed().await, 4000);
    new.open(&token, json!([])).await.unwrap();
    // Two have sessions: whoever comes takes the one place that is left from whoever has it.
    for _ in 0..5 {
        world.socket().await;
    }
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    there.call("chat.open", open).await.unwrap();
}

#[tokio::test]
async fn a_session_that_names_many_chats_has_a_few_looked_at() {
    let world = World::start().await;
    let (token, _) = world.visitor("Shop", None).await;
    let chat = |n: u64| format!("0190a3a4-0000-7000-8000-{n:012x}");
    let resume: Vec<_> =
        (0..128).map(|n| json!({"chat": chat(n), "cursor": "AgAAAAAAAAAAAAAAAA"})).collect();
    let opened = world.socket().await.open(&token, json!(resume)).await.unwrap();
    assert_eq!(opened["gone"].as_array().unwrap().len(), 16, "{opened}");
    let rest: Vec<_> = (0..112).map(|n| json!(chat(n))).collect();
    let mut unread: Vec<_> = opened["unreachable"].as_array().unwrap().clone();
    unread.sort_by_key(|chat| chat.to_string());
    assert_eq!(unread, rest, "the oldest are left to chat.history");
}

#[tokio::test]
async fn one_person_has_sixteen_sockets_and_the_oldest_goes() {
    let world = World::start().await;
    let token = world.log_in("anna").await;
    let mut sockets = Vec::new();
    for _ in 0..17 {
        let mut socket = world.socket().await;
        socket.open(&token, json!([])).await.unwrap();
        sockets.push(socket);
    }
    assert_eq!(sockets[0].until_closed().await, 4006);
    sockets[1].call("chat.list", json!({"scope": "mine"})).await.unwrap();
}

#[tokio::test]
async fn a_socket_without_a_session_does_not_stay() {
    let world = World::start().await;
    let mut idle = world.socket().await;
    assert_eq!(idle.until_closed().await, 4000);
}

#[tokio::test]
async fn guesses_at_passwords_are_slowed() {
    let world = World::start().await;
    let (_, first) = world.tokens("clara", "demo-clara-1").await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(world.tokens("clara", "not-her-password").await.0);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
    let (status, refused) = world.tokens("clara", "demo-clara-1").await;
    assert_eq!(status, 429, "from where the guesses come, however right");
    let wait_ms = refused["retry_after_ms"].as_u64().unwrap();
    assert!(wait_ms > 0 && wait_ms.is_multiple_of(10_000), "{refused}");
    assert_eq!(world.tokens("boris", "demo-boris-1").await.0, 201);
    // Her device has logged in before.
    let marked = json!({
        "login": "clara",
        "password": "demo-clara-1",
        "device_mark": first["device_mark"],
    });
    let (status, next) = world.ask("POST", "/api/v1/sessions", "", Some(marked.clone())).await;
    assert_eq!(status, 201, "{next}");
    assert!(next["device_mark"].is_string());
    // One's own password is changed by the same rule.
    let path = format!("/api/v1/users/{}/password", id("user", "clara"));
    let token = next["access_token"].as_str().unwrap();
    let mut change = json!({"current": "demo-clara-1", "password": "quite another one"});
    assert_eq!(world.ask("PUT", &path, token, Some(change.clone())).await.0, 429);
    change["device_mark"] = first["device_mark"].clone();
    assert_eq!(world.ask("PUT", &path, token, Some(change)).await.0, 204);
    // The mark is of the former password.
    assert_eq!(world.ask("POST", "/api/v1/sessions", "", Some(marked)).await.0, 429);
}

#[tokio::test]
async fn calls_that_are_wrong_are_not_free_of_the_pace() {
    let world = World::start().await;
    let mut hasty = world.customer("Shop").await;
    for _ in 0..5_000 {
        hasty.send("chat.explode", json!({})).await;
    }
    assert_eq!(hasty.until_closed().await, 4005);
}

#[tokio::test]
async fn answers_to_probes_that_were_not_asked_are_not_free_of_the_pace() {
    let world = World::start().await;
    let mut hasty = world.user("anna").await;
    for _ in 0..5_000 {
        hasty.send("presence.answer", json!({"probe": 0})).await;
    }
    assert_eq!(hasty.until_closed().await, 4005);
}

#[tokio::test]
async fn a_message_above_the_pace_keeps_its_place_in_front_of_later_ones() {
    let mut settings = settings();
    (settings.limits.calls_per_second, settings.limits.call_burst) = (5, 64);
    let world = World::with(settings).await;
    let mut hasty = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = hasty.call("chat.open", open).await.unwrap()["chat"].clone();
    let text = |n: u32| json!({"chat": chat, "client_message_id": n.to_string(), "text": "x"});
    let mut n = 0;
    let refused = loop {
        n += 1;
        if let Err(refused) = hasty.call("message.send", text(n)).await {
            break refused;
        }
    };
    assert_eq!(refused["data"]["name"], "too_many_calls");
    // As long as it was told to wait; then the pace has room, for another one.
    let told = refused["data"]["retry_after_ms"].as_u64().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(told)).await;
    assert_eq!(hasty.refused("message.send", text(n + 1)).await, "unavailable");
    let mut last = 0;
    for n in [n, n + 1] {
        let mut sent = None;
        until("it is sent", async || {
            sent = hasty.call("message.send", text(n)).await.ok();
            sent.is_some()
        })
        .await;
        let seq = sent.unwrap()["seq"].as_u64().unwrap();
        assert!(seq > last);
        last = seq;
    }
}

#[tokio::test]
async fn a_flood_of_pings_or_of_parts_of_messages_ends() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let world = World::start().await;
    let text = |last| Frame::message("", OpCode::Data(Data::Text), last);
    let part = |last| Frame::message("", OpCode::Data(Data::Continue), last);
    let pings: Vec<_> = (0..2_000).map(|_| Message::Ping("x".into())).collect();
    let pongs: Vec<_> = (0..2_000).map(|_| Message::Pong("x".into())).collect();
    let parts: Vec<_> = (0..2_000).map(|_| Message::Frame(part(false))).collect();
    for (what, flood) in [("pings", pings), ("pongs", pongs), ("parts", parts)] {
        let mut client = world.customer("Shop").await;
        if what == "parts" {
            client.ws.feed(Message::Frame(text(false))).await.unwrap();
        }
        for message in flood {
            // It may have closed by then.
            let _ = client.ws.feed(message).await;
        }
        let _ = client.ws.flush().await;
        assert_eq!(client.until_closed().await, 4005, "{what}");
    }
    // A message in some parts, with a ping in between, is nothing but a message.
    let mut client = world.socket().await;
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"chat.list","params":{"scope":"mine"}}"#;
    client.ws.send(Message::Frame(text(false))).await.unwrap();
    for piece in call.chunks(5) {
        let piece = Frame::message(piece.to_vec(), OpCode::Data(Data::Continue), false);
        client.ws.send(Message::Frame(piece)).await.unwrap();
        client.ws.send(Message::Ping("x".into())).await.unwrap();
    }
    client.ws.send(Message::Frame(part(true))).await.unwrap();
    let answer = client.answer_where(|_| true).await;
    assert_eq!(answer["error"]["data"]["name"], "session_required");
}

#[tokio::test]
async fn a_socket_that_gave_its_place_while_its_session_was_opened_is_not_told_that_it_is_open() {
    let look = Hold::of(|asked| *asked == Asked::Conversation);
    look.next();
    let store = hooked(&MemoryStore::new().store(), Arc::clone(&look) as _);
    let mut settings = settings();
    settings.limits.connections_per_address = 2;
    let plan = plan(settings, StoreChoice::Given(store));
    let world = World { server: Server::start(plan).await.unwrap() };
    let (token, _) = world.visitor("Shop", None).await;
    let mut oldest = world.socket().await;
    let open = oldest.send("session.open", json!({"token": token})).await;
    look.reached().await;
    let (_younger, mut new) = (world.socket().await, world.socket().await);
    look.go_on();
    assert_eq!(oldest.answered_before_the_end(open).await, None);
    assert_eq!(oldest.closed, Some(4000));
    new.open(&token, json!([])).await.unwrap();
}

//! Who is who: a site chooses its customers' ids, so the same id on two channels is two people.

use serde_json::json;

use crate::harness::{World, id};

/// More than one person's connections may be.
const SOCKETS: usize = 18;

#[tokio::test]
async fn a_customer_of_the_same_id_on_another_channel_is_somebody_else() {
    let world = World::start().await;
    let (token, customer) = world.visitor("Shop", None).await;
    let mut victim = world.socket().await;
    victim.open(&token, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = victim.call("chat.open", open).await.unwrap()["chat"].clone();
    // Another site gives its visitor the same id.
    let (other, same) = world.visitor("Employees", Some(&customer)).await;
    assert_eq!(same, customer);
    let mut namesakes = Vec::new();
    for _ in 0..SOCKETS {
        let mut socket = world.socket().await;
        socket.open(&other, json!([])).await.unwrap();
        namesakes.push(socket);
    }
    assert_eq!(namesakes[0].until_closed().await, 4006, "its own are counted");
    let hello = json!({"chat": chat, "client_message_id": "m1", "text": "am I still here?"});
    victim.call("message.send", hello).await.expect("the victim's socket is its own");
    // Nor is anything of the chat to be had, by any way.
    let namesake = &mut namesakes[SOCKETS - 1];
    let text = json!({"chat": chat, "client_message_id": "m1", "text": "am I still here?"});
    assert_eq!(namesake.refused("message.send", text).await, "not_found");
    let end = json!({"chat": chat, "command_id": "e1"});
    assert_eq!(namesake.refused("chat.end", end).await, "not_found");
    let watermark = json!({"chat": chat, "up_to": 2});
    assert_eq!(namesake.refused("message.read", watermark).await, "not_found");
    assert_eq!(namesake.refused("chat.history", json!({"chat": chat})).await, "not_found");
    let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
    assert_eq!(world.ask("GET", &path, &other, None).await.0, 404);
    assert!(namesake.inbox.is_empty(), "{:?}", namesake.inbox);
    // What ends is the chat's own: the victim's next message goes on in a chat of its channel.
    victim.call("chat.end", json!({"chat": chat, "command_id": "e1"})).await.unwrap();
    let more = json!({"chat": chat, "client_message_id": "m2", "text": "again"});
    assert_eq!(namesake.refused("message.send", more.clone()).await, "not_found");
    let went = victim.call("message.send", more).await.unwrap()["chat"].clone();
    let history = victim.call("chat.history", json!({"chat": went})).await.unwrap();
    assert_eq!(history["events"][0]["channel"], json!(id("channel", "Shop")));
}

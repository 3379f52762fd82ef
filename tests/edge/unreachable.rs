//! A chat whose log cannot be read: its people work on with all others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard::app::{Server, StoreChoice};
use switchboard::domain::ChatId;
use switchboard::storage::memory::MemoryStore;
use tokio::time::Instant;

use crate::client::Client;
use crate::harness::{World, id, plan, settings, until};
use crate::hooked::{Asked, Call, Hook, Trouble, hooked};

/// How long a session or a list may take: less than one call of the router, which asks such a chat
/// in vain.
const SOON: Duration = Duration::from_secs(4);

/// Of the logs one cannot be read.
#[derive(Default)]
struct OneUnreadable(Mutex<Option<ChatId>>);

#[async_trait]
impl Hook for OneUnreadable {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if let Asked::Claim(chat) | Asked::Read(chat) = asked
            && *self.0.lock().unwrap() == Some(chat)
        {
            return Err(Trouble::Refused);
        }
        call.await;
        Ok(())
    }
}

/// A customer's token and its chat, which the operator has accepted.
async fn accepted(world: &World, operator: &mut Client) -> (String, Value) {
    let (token, _) = world.visitor("Shop", None).await;
    let mut customer = world.socket().await;
    customer.open(&token, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    let offer = operator.wait("offer.presented").await["offer"].clone();
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
    operator.call("offer.accept", accept).await.unwrap();
    (token, chat)
}

/// What a new session is told.
async fn opened(world: &World, token: &str, resume: Value) -> (Client, Value) {
    let (mut client, began) = (world.socket().await, Instant::now());
    let opened = client.open(token, resume).await.unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    (client, opened)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_chat_that_cannot_be_read_locks_nobody_out() {
    let memory = MemoryStore::new().store();
    let log = Arc::new(OneUnreadable::default());
    let store = hooked(&memory, Arc::clone(&log) as _);
    let server = Server::start(plan(settings(), StoreChoice::Given(store))).await.unwrap();
    let world = World { server };
    let mut anna = world.ready("anna").await;
    let (visitor, bad) = accepted(&world, &mut anna).await;
    let (_, good) = accepted(&world, &mut anna).await;
    let page = anna.call("chat.history", json!({"chat": bad, "limit": 1})).await.unwrap();
    let known = json!([{"chat": bad, "cursor": page["after"]}]);
    let token = world.log_in("anna").await;
    let chat = ChatId(bad.as_str().unwrap().parse().unwrap());
    *log.0.lock().unwrap() = Some(chat);
    world.server.edge().router.crash_chat(chat);

    let (mut anna, answer) = opened(&world, &token, known).await;
    assert_eq!(answer["chats"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!((&answer["chats"][0]["id"], &answer["unreachable"]), (&good, &json!([bad])));
    assert_eq!(answer["gone"], json!([]), "it is still anna's");
    let began = Instant::now();
    let mine = anna.call("chat.list", json!({"scope": "mine"})).await.unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!((&mine["chats"][0]["id"], &mine["unreachable"]), (&good, &json!([bad])));
    assert_eq!(mine["total"], 2);
    let (_, answer) = opened(&world, &visitor, json!([])).await;
    assert_eq!((&answer["chats"], &answer["unreachable"]), (&json!([]), &json!([bad])));

    *log.0.lock().unwrap() = None;
    let after = json!({"chat": bad, "after": page["after"]});
    until("it is read", async || anna.call("chat.history", after.clone()).await.is_ok()).await;
    let (_, answer) = opened(&world, &token, json!([])).await;
    assert_eq!(answer["chats"].as_array().unwrap().len(), 2, "{answer}");
    assert!(answer.get("unreachable").is_none(), "{answer}");
}

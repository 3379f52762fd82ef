//! What a client sends in one go: written in few pieces, in its order, each answered for itself; and what becomes
//! of it when something of it has to be sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard::app::{Server, StoreChoice};
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::harness::{World, id, plan, settings, until};
use crate::hooked::{Asked, Call, Hook, Trouble, hooked};

/// Appends wait until they are let go on; one is refused if that is said.
struct Appends {
    seen: AtomicUsize,
    on: Semaphore,
    refused: AtomicBool,
}

#[async_trait]
impl Hook for Appends {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if asked == Asked::Append {
            self.seen.fetch_add(1, SeqCst);
            self.on.acquire().await.unwrap().forget();
            if self.refused.swap(false, SeqCst) {
                return Err(Trouble::Refused);
            }
        }
        call.await;
        Ok(())
    }
}

struct Bench {
    world: World,
    appends: Arc<Appends>,
    token: String,
    customer: Client,
    chat: Value,
}

impl Bench {
    /// A customer whose chat waits; further appends are held.
    async fn start() -> Self {
        let (seen, refused) = (AtomicUsize::new(0), AtomicBool::new(false));
        let appends = Arc::new(Appends { seen, on: Semaphore::new(1), refused });
        let store = hooked(&MemoryStore::new().store(), Arc::clone(&appends) as _);
        let plan = plan(settings(), StoreChoice::Given(store));
        let world = World { server: Server::start(plan).await.unwrap() };
        let (token, _) = world.visitor("Shop", None).await;
        let mut customer = world.socket().await;
        customer.open(&token, json!([])).await.unwrap();
        let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
        let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
        appends.seen.store(0, SeqCst);
        Self { world, appends, token, customer, chat }
    }

    async fn send(&mut self, message: &str, text: &str) -> u64 {
        let sent = json!({"chat": self.chat, "client_message_id": message, "text": text});
        self.customer.send("message.send", sent).await
    }

    /// The server has read all that was sent: what is no method is refused where it is read.
    async fn all_read(&mut self) {
        self.customer.refused("no.such.method", json!({})).await;
    }

    async fn first_append_is_held(&self) {
        until("an append is held", async || self.appends.seen.load(SeqCst) == 1).await;
    }

    /// What stands in the chat.
    async fn texts(&mut self) -> Vec<String> {
        let asked = json!({"chat": self.chat, "limit": 100});
        let page = self.customer.call("chat.history", asked).await.unwrap();
        let messages = page["events"].as_array().unwrap().iter();
        let text = |event: &Value| event["text"].as_str().map(str::to_owned);
        messages.filter_map(text).collect()
    }
}

#[tokio::test]
async fn what_is_sent_in_one_go_is_written_in_few_pieces_and_in_its_order() {
    let mut bench = Bench::start().await;
    let mut calls = vec![bench.send("m0", "text 0").await];
    bench.first_append_is_held().await;
    for n in 1..20 {
        calls.push(bench.send(&format!("m{n}"), &format!("text {n}")).await);
    }
    let again = bench.send("m3", "text 3").await;
    let reused = bench.send("m3", "another").await;
    let empty = bench.send("m99", "").await;
    bench.all_read().await;
    bench.appends.on.add_permits(100);
    let mut positions = Vec::new();
    for call in calls {
        positions.push(bench.customer.answer(call).await.unwrap()["seq"].as_u64().unwrap());
    }
    let follow = positions.windows(2).all(|two| two[0] + 1 == two[1]);
    assert!(follow, "one behind the other: {positions:?}");
    let known = bench.customer.answer(again).await.unwrap();
    assert_eq!(known["seq"], json!(positions[3]), "the first answer");
    let name = |error: Value| error["data"]["name"].as_str().unwrap().to_owned();
    assert_eq!(name(bench.customer.answer(reused).await.unwrap_err()), "id_reused");
    assert_eq!(name(bench.customer.answer(empty).await.unwrap_err()), "text_empty");
    let texts: Vec<String> = (0..20).map(|n| format!("text {n}")).collect();
    assert_eq!(bench.texts().await, texts);
    assert_eq!(bench.appends.seen.load(SeqCst), 2, "all that waited is one piece");
    bench.world.server.stop().await;
}

#[tokio::test]
async fn when_the_first_is_to_be_sent_again_so_are_all_behind_it_and_their_order_stays() {
    let mut bench = Bench::start().await;
    let mut calls = vec![bench.send("m0", "text 0").await];
    bench.first_append_is_held().await;
    for n in 1..8 {
        calls.push(bench.send(&format!("m{n}"), &format!("text {n}")).await);
    }
    bench.all_read().await;
    bench.appends.refused.store(true, SeqCst);
    bench.appends.on.add_permits(100);
    for call in calls {
        let error = bench.customer.answer(call).await.unwrap_err();
        assert_eq!(error["data"]["name"], "unavailable", "{error}");
    }
    assert!(bench.texts().await.is_empty());
    // In another order than at first: each waits for its turn.
    let mut left: Vec<usize> = vec![3, 0, 1, 2, 5, 4, 7, 6];
    for _ in 0..100 {
        let mut calls = Vec::new();
        for n in &left {
            calls.push((*n, bench.send(&format!("m{n}"), &format!("text {n}")).await));
        }
        left.clear();
        for (n, call) in calls {
            if bench.customer.answer(call).await.is_err() {
                left.push(n);
            }
        }
        if left.is_empty() {
            break;
        }
    }
    let texts: Vec<String> = (0..8).map(|n| format!("text {n}")).collect();
    assert_eq!(bench.texts().await, texts);
    bench.world.server.stop().await;
}

#[tokio::test]
async fn what_was_sent_before_the_socket_ended_is_written() {
    let mut bench = Bench::start().await;
    bench.appends.on.add_permits(100);
    for n in 0..3 {
        bench.send(&format!("m{n}"), &format!("text {n}")).await;
    }
    // She comes back.
    bench.customer = bench.world.socket().await;
    bench.customer.open(&bench.token, json!([])).await.unwrap();
    until("all are written", async || bench.texts().await.len() == 3).await;
    bench.world.server.stop().await;
}

#[tokio::test]
async fn what_holds_nothing_to_write_is_answered_and_leaves_nothing_behind() {
    let mut bench = Bench::start().await;
    bench.send("m0", "text 0").await;
    bench.first_append_is_held().await;
    // In a lane of its own socket, so that it waits for nothing but itself.
    let mut other = bench.world.socket().await;
    other.open(&bench.token, json!([])).await.unwrap();
    for n in 0..3 {
        let sent = json!({"chat": bench.chat, "client_message_id": format!("e{n}"), "text": " "});
        assert_eq!(other.refused("message.send", sent).await, "text_empty");
    }
    bench.appends.on.add_permits(100);
    until("no call is under way", async || {
        let (_, metrics) = bench.world.operations("/metrics").await;
        metrics.lines().any(|line| line == "switchboard_calls_under_way 0")
    })
    .await;
    bench.world.server.stop().await;
}

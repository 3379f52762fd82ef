//! A store that is not there yet, hangs, dies and comes back, under a router that serves: what
//! clients and the machines' operators see, and that nobody has to do anything about it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::storage::scylla::{ScyllaOptions, apply_schema};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::cql::{customer, on_store, ready, text, texts};
use crate::cql_server::{Server, skip};
use crate::harness::{PATIENCE, demo_password, id, request, until};
use crate::process::{Process, Starting, serve, tokens};

/// How long an operator may see nothing: a database that starts on a busy machine is slow.
const QUIET_MAX: Duration = Duration::from_secs(180);

/// Does something to the server, which blocks.
async fn act(server: &Arc<Server>, what: fn(&Server)) {
    let server = Arc::clone(server);
    spawn_blocking(move || what(&server)).await.unwrap();
}

pub async fn readiness(operations: SocketAddr) -> (u16, String) {
    request(operations, "GET", "/readyz", "", None).await
}

pub async fn available(operations: SocketAddr) -> String {
    let (_, metrics) = request(operations, "GET", "/metrics", "", None).await;
    let name = "switchboard_store_available ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.expect("the metric").to_owned()
}

fn said(line: &Value, text: &str) -> bool {
    line["message"].as_str().is_some_and(|message| message.contains(text))
}

/// A process that was started before its store, and is not ready for that reason.
async fn early(options: &ScyllaOptions) -> Starting {
    let mut starting = Starting::new(on_store(options, serve(Path::new("unused"))));
    let (starting, operations) = spawn_blocking(move || {
        let line = starting.until(|line| said(line, "starting"));
        starting.until(|line| said(line, "waiting for it"));
        (starting, line["operations"].as_str().unwrap().parse().unwrap())
    })
    .await
    .unwrap();
    let (status, why) = readiness(operations).await;
    assert_eq!(status, 503);
    assert!(why.contains("waiting for the store: cannot connect"), "{why}");
    assert_eq!(available(operations).await, "0");
    starting
}

/// That a call is refused for now, and says when to come back.
pub fn refused_for_now(answer: Result<Value, Value>) -> Duration {
    let error = answer.expect_err("nothing is acknowledged that is not durable");
    assert_eq!(error["data"]["name"], "unavailable", "{error}");
    Duration::from_millis(error["data"]["retry_after_ms"].as_u64().expect("a hint"))
}

/// Repeats a message as clients do, until it is acknowledged; its position.
pub async fn sent(client: &mut Client, chat: &Value, n: &str) -> Value {
    let repeating = async {
        loop {
            match client.call("message.send", text(chat, n)).await {
                Ok(answer) => return answer["seq"].clone(),
                refused => sleep(refused_for_now(refused)).await,
            }
        }
    };
    timeout(PATIENCE, repeating).await.expect("the router recovers")
}

/// Logging in by REST writes, too.
pub async fn log_in(process: &Process) -> (u16, Value) {
    let body = json!({"login": "admin", "password": demo_password("admin")}).to_string();
    let body = Some(("application/json", body));
    let (status, text) = request(process.address, "POST", "/api/v1/sessions", "", body).await;
    (status, serde_json::from_str(&text).unwrap())
}

/// What is seen while the store is away, from its first moment to that of its return. `n` is sent
/// and not acknowledged.
pub async fn an_outage(process: &Process, client: &mut Client, chat: &Value, n: &str) {
    refused_for_now(client.call("message.send", text(chat, n)).await);
    let operations = process.operations;
    until("not ready", async || readiness(operations).await.0 == 503).await;
    let (_, why) = readiness(operations).await;
    assert!(why.contains("the store does not answer"), "{why}");
    assert_eq!(available(operations).await, "0");
    refused_for_now(client.call("message.send", text(chat, n)).await);
    let (status, body) = log_in(process).await;
    assert_eq!(status, 503, "{body}");
    assert!(body["retry_after_ms"].is_u64(), "{body}");
}

/// The store is back: so is the router, and what was refused is done once.
pub async fn the_return(process: &Process, client: &mut Client, chat: &Value, n: &str) {
    let operations = process.operations;
    until("ready again", async || readiness(operations).await.0 == 200).await;
    assert_eq!(available(operations).await, "1");
    let seq = sent(client, chat, n).await;
    assert_eq!(sent(client, chat, n).await, seq, "the same call again is the same message");
    assert_eq!(log_in(process).await.0, 201);
}

/// The texts that an operator sees come, in their order, up to the last one.
pub async fn seen(mut anna: Client, last: &str) -> (Client, Vec<Value>) {
    let mut texts = Vec::new();
    while !texts.iter().any(|text| text == last) {
        assert!(anna.step_within(QUIET_MAX).await, "closed with {:?}", anna.closed);
        let events = anna.inbox.drain(..).filter(|got| got["params"]["kind"] == "message");
        texts.extend(events.map(|got| got["params"]["text"].clone()));
    }
    (anna, texts)
}

/// A chat that an operator serves.
pub struct Served {
    pub anna: Client,
    pub visitor: String,
    pub client: Client,
    pub chat: Value,
}

pub async fn serving(process: &Process) -> Served {
    let (anna, visitor) = tokens(process.address, "anna").await;
    let token = anna;
    let mut anna = Client::connect(process.address).await;
    anna.open(&token, json!([])).await.unwrap();
    anna.be_ready().await;
    let mut client = customer(process, &visitor).await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = client.call("chat.open", open).await.unwrap()["chat"].clone();
    let offer = anna.wait("offer.presented").await["offer"].clone();
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
    anna.call("offer.accept", accept).await.unwrap();
    Served { anna, visitor, client, chat }
}

#[tokio::test]
async fn cql_a_store_that_is_late_hangs_and_dies_loses_nothing_and_the_router_recovers() {
    let Some(server) = spawn_blocking(Server::start).await.unwrap() else {
        skip("cql_a_store_that_is_late_hangs_and_dies_loses_nothing_and_the_router_recovers");
        return;
    };
    let server = Arc::new(server);
    let mut options = ScyllaOptions::local("sb_faults", "a test");
    options.contact_points = vec![server.address().to_owned()];
    options.connect_limit = PATIENCE;
    apply_schema(&options, None).await.unwrap();

    act(&server, Server::kill).await;
    let starting = early(&options).await;
    act(&server, Server::start_again).await;
    let process = ready(starting).await;
    assert_eq!(readiness(process.operations).await.0, 200);

    let Served { anna, mut client, chat, .. } = serving(&process).await;
    let seeing = tokio::spawn(seen(anna, "last"));
    sent(&mut client, &chat, "before").await;

    act(&server, Server::pause).await;
    an_outage(&process, &mut client, &chat, "hung").await;
    act(&server, Server::resume).await;
    the_return(&process, &mut client, &chat, "hung").await;

    act(&server, Server::kill).await;
    an_outage(&process, &mut client, &chat, "killed").await;
    act(&server, Server::start_again).await;
    the_return(&process, &mut client, &chat, "killed").await;

    sent(&mut client, &chat, "last").await;
    let all = ["before", "hung", "killed", "last"];
    assert_eq!(texts(&mut client, &chat).await, all);
    let (mut anna, seen) = seeing.await.unwrap();
    assert_eq!(seen, all, "each once, in order");
    sent(&mut anna, &chat, "operators-go-on").await;
}

//! A store that is slow, refuses, or does what it is asked and does not say so, under a router that
//! serves: what clients and the machines' operators see, and that nobody has to do anything about
//! it. Between the two stands a proxy that knows the database's frames.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::cql::{on_store, ready, text, texts};
use crate::cql_faults::{
    Served, an_outage, available, log_in, readiness, refused_for_now, seen, sent, serving,
    the_return,
};
use crate::cql_support::Keyspace;
use crate::harness::PATIENCE;
use crate::process::{Process, Starting, serve};
use crate::proxy::{Proxy, Says, Trouble};

/// By how much a slow store is late. A call needs a handful of answers one after another, and has
/// 5 s.
const LATE: Duration = Duration::from_millis(400);

/// How long a request may take: longer than the usual, since the machine may be busy besides.
const REQUEST_MS: &str = "3000";

/// How often readiness is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A router that reaches its store by a proxy, with a chat that an operator serves.
struct Scene {
    keyspace: Keyspace,
    proxy: Proxy,
    process: Process,
    client: Client,
    visitor: String,
    chat: Value,
    /// What the operator sees, up to a message `last`.
    seeing: JoinHandle<(Client, Vec<Value>)>,
}

async fn scene() -> Option<Scene> {
    let keyspace = Keyspace::new().await?;
    let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
    let mut options = keyspace.options.clone();
    options.contact_points = vec![proxy.address.to_string()];
    let mut command = on_store(&options, serve(Path::new("unused")));
    command.env("SWITCHBOARD_STORE_REQUEST_MS", REQUEST_MS);
    let process = ready(Starting::new(command)).await;
    let Served { anna, visitor, client, chat } = serving(&process).await;
    let seeing = tokio::spawn(seen(anna, "last"));
    Some(Scene { keyspace, proxy, process, client, visitor, chat, seeing })
}

/// Looks at the readiness until it is told to stop; it was never lost. Answers how often it looked.
fn watching(process: &Process) -> (Arc<AtomicBool>, JoinHandle<u32>) {
    let (stop, operations) = (Arc::new(AtomicBool::new(false)), process.operations);
    let stopped = Arc::clone(&stop);
    let watching = tokio::spawn(async move {
        let mut looks = 0;
        while !stopped.load(Ordering::Relaxed) {
            let (status, why) = readiness(operations).await;
            assert_eq!(status, 200, "{why}");
            looks += 1;
            sleep(LOOK_EVERY).await;
        }
        looks
    });
    (stop, watching)
}

fn writes_the_log(text: &str) -> bool {
    text.starts_with("INSERT") && text.contains(".log ")
}

#[tokio::test]
async fn cql_a_slow_store_answers_everything_later_and_the_router_stays_ready() {
    let Some(mut scene) = scene().await else { return };
    let (client, chat) = (&mut scene.client, &scene.chat);
    let (stop, watching) = watching(&scene.process);
    scene.proxy.delay_answers(LATE);
    let one_by_one = ["a", "b", "c", "d", "e"];
    for n in one_by_one {
        let begun = Instant::now();
        client.call("message.send", text(chat, n)).await.unwrap();
        assert!(begun.elapsed() >= LATE, "acknowledged before the store did");
    }
    let at_once = ["f", "g", "h", "i", "last"];
    let mut calls = Vec::new();
    for n in at_once {
        calls.push(client.send("message.send", text(chat, n)).await);
    }
    let mut seqs = Vec::new();
    for call in calls {
        seqs.push(client.answer(call).await.unwrap()["seq"].as_u64().unwrap());
    }
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    assert_eq!(log_in(&scene.process).await.0, 201);
    assert_eq!(available(scene.process.operations).await, "1");
    stop.store(true, Ordering::Relaxed);
    assert!(watching.await.unwrap() > 10, "ready all the time");

    let all = [one_by_one, at_once].concat();
    assert_eq!(texts(client, chat).await, all);
    assert_eq!(scene.seeing.await.unwrap().1, all, "each once, in order");
}

#[tokio::test]
async fn cql_a_store_that_refuses_loses_nothing_and_the_router_recovers() {
    let Some(mut scene) = scene().await else { return };
    let (process, client, chat) = (&scene.process, &mut scene.client, &scene.chat);
    sent(client, chat, "before").await;
    let troubles = [
        ("overloaded", Trouble::Refused(Says::Overloaded)),
        ("few-replicas", Trouble::Refused(Says::Unavailable)),
        ("untold", Trouble::DoneAndTold(Says::WriteTimeout)),
        ("cut-off", Trouble::Closed),
    ];
    for (n, trouble) in troubles {
        scene.proxy.trouble(|_| true, trouble);
        an_outage(process, client, chat, n).await;
        scene.proxy.heal();
        the_return(process, client, chat, n).await;
    }
    sent(client, chat, "last").await;
    let all = ["before", "overloaded", "few-replicas", "untold", "cut-off", "last"];
    assert_eq!(texts(client, chat).await, all);
    let (mut anna, seen) = scene.seeing.await.unwrap();
    assert_eq!(seen, all, "each once, in order");
    sent(&mut anna, chat, "operators-go-on").await;

    // What was acknowledged is durable, whatever the router remembers.
    scene.process.child.kill().unwrap();
    let next = on_store(&scene.keyspace.options, serve(Path::new("unused")));
    let next = ready(Starting::new(next)).await;
    let mut client = crate::cql::customer(&next, &scene.visitor).await;
    let found = texts(&mut client, &scene.chat).await;
    assert_eq!(found, [&all[..], &["operators-go-on"]].concat());
}

#[tokio::test]
async fn cql_what_was_done_and_not_told_takes_effect_once_and_in_order() {
    let Some(mut scene) = scene().await else { return };
    let (client, chat) = (&mut scene.client, &scene.chat);
    let (stop, watching) = watching(&scene.process);
    let untold = Trouble::DoneAndTold(Says::WriteTimeout);
    // A client that waits for each answer, and repeats what was not acknowledged first.
    let mut seqs = Vec::new();
    for n in ["a", "b", "c"] {
        scene.proxy.trouble(writes_the_log, untold);
        refused_for_now(client.call("message.send", text(chat, n)).await);
        scene.proxy.heal();
        seqs.push(sent(client, chat, n).await.as_u64().unwrap());
    }
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");

    // One that does not wait, and repeats in the worst order: each counts once, and where it was
    // sent first.
    let at_once = ["d", "e", "f", "g", "h"];
    scene.proxy.trouble(writes_the_log, untold);
    let mut calls = Vec::new();
    for n in at_once {
        calls.push(client.send("message.send", text(chat, n)).await);
    }
    for call in calls {
        let answer = client.answer(call).await;
        refused_for_now(answer);
    }
    scene.proxy.heal();
    timeout(PATIENCE, repeated_backwards(client, chat, &at_once)).await.expect("all go through");
    for n in at_once {
        let seq = sent(client, chat, n).await;
        assert_eq!(sent(client, chat, n).await, seq, "the same call again is the same message");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(watching.await.unwrap() > 0, "the store answered: ready all the time");
    sent(client, chat, "last").await;
    let all = ["a", "b", "c", "d", "e", "f", "g", "h", "last"];
    assert_eq!(texts(client, chat).await, all);
    assert_eq!(scene.seeing.await.unwrap().1, all, "the operator sees the same");
}

/// Repeats messages, the last one first, again and again until all are acknowledged.
async fn repeated_backwards(client: &mut Client, chat: &Value, messages: &[&str]) {
    let mut open: Vec<&str> = messages.iter().rev().copied().collect();
    while !open.is_empty() {
        let mut calls = Vec::new();
        for n in open.drain(..) {
            calls.push((n, client.send("message.send", text(chat, n)).await));
        }
        let mut wait = Duration::ZERO;
        for (n, call) in calls {
            let answer = client.answer(call).await;
            if answer.is_err() {
                wait = wait.max(refused_for_now(answer));
                open.push(n);
            }
        }
        sleep(wait).await;
    }
}

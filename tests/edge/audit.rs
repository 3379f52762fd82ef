//! The audit trail, as an administrator reads it.

use serde_json::{Value, json};
use switchboard::app::{Server, StoreChoice};
use switchboard::domain::audit::{AuditEntry, AuditId, AuditOutcome};
use switchboard::domain::rights::Operation;
use switchboard::storage::Store;
use switchboard::storage::memory::{Fault, FaultAt, MemoryStore};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{World, id, plan, request, settings, until};
use crate::held::Stop;

/// The whole trail, read in pages of `limit`.
async fn trail(world: &World, token: &str, query: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/audit?limit={limit}{query}{after}");
        let (status, page) = world.ask("GET", &path, token, None).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        all.extend(items.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

fn queue(name: &str) -> Value {
    json!({"name": name, "rule": "manual", "active": true, "members": [], "priority": 0,
        "offer_timeout_ms": 30_000})
}

fn of<'a>(trail: &'a [Value], act: &str) -> Vec<&'a Value> {
    trail.iter().filter(|entry| entry["act"] == act).collect()
}

#[tokio::test]
async fn every_act_is_in_the_trail_with_who_what_and_how_it_ended() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/users/{}", id("user", "clara"));
    let user = world.ask("GET", &path, &admin, None).await.1;
    let secret = "a password that must not show";
    let body = json!({"version": user["version"], "name": "Clara", "login": "clara",
        "role": "chat_administrator", "active": true, "capacity": 3, "password": secret});
    assert_eq!(world.ask("PUT", &path, &admin, Some(body.clone())).await.0, 200);
    assert_eq!(world.ask("PUT", &path, &admin, Some(body)).await.0, 409, "another version");
    let (_, customer) = world.visitor("Shop", None).await;
    let site = format!("/api/v1/channels/{}", id("channel", "Shop"));
    let revoke = format!("{site}/visitor-tokens/{customer}");
    assert_eq!(world.ask("DELETE", &revoke, &admin, None).await.0, 204);
    let (_, erased) = world.visitor("Shop", None).await;
    let erase = format!("{site}/customers/{erased}");
    assert_eq!(world.ask("DELETE", &erase, &admin, None).await.0, 204);
    let version = world.ask("GET", &site, &admin, None).await.1["version"].clone();
    let body = Some(json!({"version": version}));
    let key = world.ask("POST", &format!("{site}/site-key"), &admin, body).await.1;
    let refresh = world.tokens("anna", "demo-anna-01").await.1["refresh_token"].clone();
    let anna = world.log_in("anna").await;
    for status in [200, 401] {
        let body = json!({"refresh_token": refresh});
        let again = world.ask("POST", "/api/v1/sessions/refresh", "", Some(body)).await;
        assert_eq!(again.0, status, "{again:?}");
    }
    assert_eq!(world.ask("DELETE", "/api/v1/sessions/current", &anna, None).await.0, 204);

    let found = trail(&world, &admin, "", 7).await;
    let me = format!("user:{}", id("user", "admin"));
    let changed = of(&found, "user.changed");
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert_eq!(changed[0]["outcome"], "refused", "the newest first");
    let entry = changed[1];
    assert_eq!((&entry["actor"], &entry["outcome"]), (&json!(me), &json!("done")));
    assert_eq!(entry["address"], "127.0.0.1");
    assert_eq!(entry["subject"], format!("user:{}", id("user", "clara")));
    let role = json!({"field": "role", "from": "operator", "to": "chat_administrator"});
    let changes = entry["changes"].as_array().unwrap();
    assert!(changes.contains(&role) && changes.contains(&json!({"field": "password"})));
    let shop = id("channel", "Shop");
    let revoked = of(&found, "visitor_tokens.revoked");
    assert_eq!(revoked.len(), 2, "an erasure revokes as well");
    assert_eq!(revoked[1]["subject"], format!("customer:{shop}:{customer}"));
    // The act stays, and says no longer whom it erased.
    let erasures = of(&found, "customer.erased");
    assert_eq!((erasures.len(), &erasures[0]["outcome"]), (1, &json!("done")));
    assert_eq!(erasures[0]["actor"], json!(me));
    assert!(found.iter().all(|entry| !entry.to_string().contains(&erased)));
    assert_eq!(of(&found, "channel.changed")[0]["changes"], json!([{"field": "site_key"}]));
    assert_eq!(of(&found, "session.refresh_reused").len(), 1);
    assert_eq!(of(&found, "session.ended").len(), 1);
    assert!(of(&found, "session.began").len() >= 3);
    // The seed's were acts of the system.
    let made = of(&found, "user.created");
    assert_eq!(made.len(), 6);
    assert!(made.iter().all(|entry| entry["actor"] == "system" && entry["outcome"] == "done"));
    // That it was read is there as well, once a page.
    let again = trail(&world, &admin, "", 200).await;
    assert!(of(&again, "audit.read").len() > found.len() / 7);
    let text = serde_json::to_string(&again).unwrap();
    for secret in [secret, key["site_key"].as_str().unwrap(), refresh.as_str().unwrap(), "argon2"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_trail_is_narrowed_down_by_time_actor_and_subject_and_its_pages_do_not_shift() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for n in 0..9 {
        let body = queue(&format!("Queue {n}"));
        assert_eq!(world.ask("POST", "/api/v1/queues", &admin, Some(body)).await.0, 201);
    }
    let all = trail(&world, &admin, "", 200).await;
    let me = format!("&actor=user:{}", id("user", "admin"));
    // While it is read it grows: by that reading.
    let mine = trail(&world, &admin, &me, 2).await;
    let ids: std::collections::BTreeSet<_> =
        mine.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), mine.len(), "nothing twice");
    assert_eq!(of(&mine, "queue.created").len(), 9, "and nothing missing");
    assert!(mine.iter().all(|entry| entry["actor"] == me.trim_start_matches("&actor=")));
    let created = of(&mine, "queue.created");
    let (newest, oldest) = (&created[0]["at"], &created[8]["at"]);
    let subject = created[4]["subject"].as_str().unwrap();
    let one = trail(&world, &admin, &format!("&subject={subject}"), 200).await;
    assert_eq!(one, [created[4].clone()]);
    let asked = format!("&from={oldest}&to={}", newest.as_u64().unwrap() + 1);
    let within = trail(&world, &admin, &asked, 200).await;
    // A clock that was put back has the seed's entries in the millisecond of the first of these.
    let (made, seeded): (Vec<_>, Vec<_>) =
        of(&within, "queue.created").into_iter().partition(|entry| entry["actor"] != "system");
    assert_eq!(made, created);
    assert!(seeded.iter().all(|entry| entry["at"] == *oldest), "{seeded:?}");
    let at = |entry: &Value| entry["at"].as_u64().unwrap();
    let range = oldest.as_u64().unwrap()..=newest.as_u64().unwrap();
    assert!(within.iter().all(|entry| range.contains(&at(entry))), "{within:?}");
    let nothing = trail(&world, &admin, &format!("&to={}", all.last().unwrap()["at"]), 200).await;
    assert_eq!(nothing, Vec::<Value>::new());
    for wrong in ["actor=anna", "subject=x", "after=1", "from=today", "limit=0", "limit=201", "x=1"]
    {
        let path = format!("/api/v1/audit?{wrong}");
        assert_eq!(world.ask("GET", &path, &admin, None).await.0, 400, "{wrong}");
    }
}

async fn entries(store: &Store) -> Vec<AuditEntry> {
    store.audit.newest(AuditId::END, AuditId::FIRST, 1_000).await.unwrap()
}

#[tokio::test]
async fn what_failed_is_counted_and_a_login_that_is_nobodys_is_not_written() {
    let memory = MemoryStore::new();
    let store = StoreChoice::Given(memory.store());
    let world = World { server: Server::start(plan(settings(), store)).await.unwrap() };
    for (login, password) in [
        ("anna", "wrong wrong 1"),
        ("anna", "wrong wrong 2"),
        ("my-secret-password", "wrong wrong 3"),
        ("admin", "wrong wrong 4"),
    ] {
        assert_eq!(world.tokens(login, password).await.0, 401);
    }
    for _ in 0..2 {
        let url = format!("ws://{}/ws", world.server.address);
        let mut handshake = url.into_client_request().unwrap();
        handshake.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
        assert!(connect_async(handshake).await.is_err());
    }
    world.server.stop().await;
    let written = entries(&memory.store()).await;
    let failed: Vec<_> = written.iter().filter(|e| e.act.word() == "log_in.failed").collect();
    let of_anna = format!("{:?}", switchboard::domain::UserId::parse(&id("user", "anna")).unwrap());
    assert!(failed.iter().any(|entry| format!("{:?}", entry.subject).contains(&of_anna)));
    assert!(failed.iter().any(|entry| entry.subject.is_none()));
    let count: u64 = failed
        .iter()
        .map(|entry| match entry.outcome {
            Some(switchboard::domain::audit::AuditOutcome::Counted(count)) => count,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(count, 4);
    let text = format!("{written:?}");
    assert!(text.contains("https://evil.example"));
    for secret in ["wrong wrong", "my-secret-password"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn without_its_entry_no_act_takes_effect() {
    let memory = MemoryStore::new();
    let store = StoreChoice::Given(memory.store());
    let world = World { server: Server::start(plan(settings(), store)).await.unwrap() };
    let admin = world.log_in("admin").await;
    let body = || Some(queue("New"));
    memory.fail_next(FaultAt::Audit, Fault::Refuse);
    let (status, error) = world.ask("POST", "/api/v1/queues", &admin, body()).await;
    assert_eq!(status, 503, "{error}");
    let (_, queues) = world.ask("GET", "/api/v1/queues", &admin, None).await;
    assert_eq!(queues["items"].as_array().unwrap().len(), 3, "nothing was done");
    // An outcome that is not taken at once is written soon; the act is done.
    assert_eq!(world.ask("POST", "/api/v1/queues", &admin, body()).await.0, 201);
    until("every outcome is written", async || {
        world.server.edge().access.trail().tend(world.server.edge().now()).await;
        let written = entries(&memory.store()).await;
        written.iter().all(|entry| entry.outcome.is_some())
    })
    .await;
}

#[tokio::test]
async fn a_reading_whose_client_hangs_up_has_its_outcome() {
    let memory = MemoryStore::new();
    let store = StoreChoice::Given(memory.store());
    let world = World { server: Server::start(plan(settings(), store)).await.unwrap() };
    let (stop, admin) = (Stop::on(&world), world.log_in("admin").await);
    let gate = stop.next(Operation::AuditRead);
    let (address, token) = (world.server.address, admin.clone());
    let reading =
        tokio::spawn(async move { request(address, "GET", "/api/v1/audit", &token, None).await });
    gate.reached().await;
    reading.abort();
    // The server has long seen that the client is gone when these are answered.
    for _ in 0..50 {
        assert_eq!(world.ask("GET", "/api/v1/queues", &admin, None).await.0, 200);
    }
    gate.go();
    until("it is done", async || {
        let written = entries(&memory.store()).await;
        let reading = written.iter().find(|entry| entry.act.word() == "audit.read");
        let outcome = reading.and_then(|entry| entry.outcome);
        assert!(matches!(outcome, None | Some(AuditOutcome::Done)), "{outcome:?}");
        outcome.is_some()
    })
    .await;
}

//! Retention, as it is configured and seen.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::actors::Options;
use switchboard::app::{Plan, Server, StoreChoice};
use switchboard::domain::audit::{AuditAct, AuditActor, AuditEntry, AuditId, AuditOutcome};
use switchboard::domain::{ChannelId, Customer, CustomerId, QueueId};
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::{EndedChat, Store};

use crate::ended::{days_ago, made_and_ended};
use crate::harness::{World, id, plan, settings, until};

async fn put(world: &World, days: Value) -> (u16, Value) {
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/channels/{}", id("channel", "Shop"));
    let (_, mut channel) = world.ask("GET", &path, &admin, None).await;
    let body = channel.as_object_mut().unwrap();
    ["id", "has_site_key"].iter().for_each(|name| drop(body.remove(*name)));
    match days {
        Value::Null => body.remove("retention_days"),
        days => body.insert("retention_days".to_owned(), days),
    };
    world.ask("PUT", &path, &admin, Some(channel)).await
}

async fn old_chat(store: &Store, n: u128, days: u64) -> EndedChat {
    let channel = ChannelId::parse(&id("channel", "Shop")).unwrap();
    let queue = QueueId::parse(&id("queue", "Sales")).unwrap();
    let customer = Customer { channel, id: CustomerId::from_u128(n) };
    made_and_ended(store, (customer, queue), days_ago(days), days).await
}

#[tokio::test]
async fn a_channel_says_how_long_it_keeps_its_chats() {
    let store = MemoryStore::new().store();
    let (old, young) = (old_chat(&store, 1, 40).await, old_chat(&store, 2, 20).await);
    let sweep = Duration::from_millis(20);
    let router = Options { sweep_every: sweep, sweep_pause: sweep, ..Options::default() };
    let plan = Plan { router, ..plan(settings(), StoreChoice::Given(store)) };
    let world = World { server: Server::start(plan).await.unwrap() };
    let admin = world.log_in("admin").await;
    let status = async |of: EndedChat| {
        world.ask("GET", &format!("/api/v1/chats/{}", of.chat), &admin, None).await.0
    };
    for days in [json!(0), json!(3_651)] {
        let (status, body) = put(&world, days).await;
        assert_eq!((status, &body["field"]), (422, &json!("retention_days")), "{body}");
    }
    assert_eq!((status(old).await, status(young).await), (200, 200), "kept for ever by default");
    assert_eq!(put(&world, json!(30)).await.0, 200);
    until("the old one is gone", async || status(old).await == 404).await;
    assert_eq!(status(young).await, 200);
    let (_, metrics) = world.operations("/metrics").await;
    assert!(metrics.contains("switchboard_retention_forgotten_total 1"), "{metrics}");
    assert!(metrics.contains("switchboard_retention_lag_seconds 0"), "{metrics}");
    assert_eq!(put(&world, Value::Null).await.0, 200);
    assert_eq!(put(&world, json!(15)).await.0, 200);
    until("the other one, too", async || status(young).await == 404).await;
    world.server.stop().await;
}

#[tokio::test]
async fn the_audit_trail_is_kept_for_as_many_days_as_is_configured() {
    let store = MemoryStore::new().store();
    let made = async |n: u64, days: u64| {
        let id = AuditId::new(days_ago(days), 1, n);
        let (actor, act, subject) = (AuditActor::System, AuditAct::QueueChanged, None);
        let (address, changes, outcome) = (None, Vec::new(), Some(AuditOutcome::Done));
        let entry = AuditEntry { id, actor, address, act, subject, changes, outcome };
        store.audit.record(entry).await.unwrap();
        id
    };
    let (old, young) = (made(1, 46).await, made(2, 44).await);
    let mut settings = settings();
    settings.audit.kept_days = 45;
    let given = StoreChoice::Given(store.clone());
    let world = World { server: Server::start(plan(settings, given)).await.unwrap() };
    let kept = async |id: AuditId| {
        let all = store.audit.newest(AuditId::END, AuditId::FIRST, 1_000).await.unwrap();
        all.iter().any(|entry| entry.id == id)
    };
    until("the old one is removed", async || !kept(old).await).await;
    assert!(kept(young).await);
    world.server.stop().await;
}

//! Behind a proxy: who is who, and who cannot be somebody else.

use serde_json::json;

use switchboard::app::{Server, StoreChoice};
use switchboard::storage::memory::MemoryStore;

use crate::client::Client;
use crate::harness::{World, id, plan, request_with, settings};

/// More wrong guesses than one address has.
const MANY: usize = 60;

/// A server whose tests are its proxy.
async fn behind_a_proxy() -> World {
    let mut settings = settings();
    settings.server.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    settings.limits.connections_per_address = 1;
    World::with(settings).await
}

impl World {
    /// A log-in that came with these headers: the status.
    async fn log_in_with(&self, headers: &[(&str, &str)], login: &str, password: &str) -> u16 {
        let body = json!({"login": login, "password": password}).to_string();
        let ask = ("POST", "/api/v1/sessions");
        let body = Some(("application/json", body));
        request_with(self.server.address, ask, "", body, headers).await.0
    }

    /// A counter without labels.
    async fn counted(&self, name: &str) -> f64 {
        let (_, text) = self.operations("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect(name).parse().unwrap()
    }
}

#[tokio::test]
async fn clients_of_a_proxy_are_told_apart() {
    let world = behind_a_proxy().await;
    let guesser = [("x-forwarded-for", "198.51.100.1, 203.0.113.1")];
    let mut last = 0;
    for n in 0..MANY {
        last = world.log_in_with(&guesser, &format!("nobody-{n}"), "not-the-password").await;
    }
    assert_eq!(last, 429, "one client has its guesses");
    // Claiming to be somebody else is in vain, for the proxy writes behind it.
    let forged = [("x-forwarded-for", "203.0.113.2, 203.0.113.1")];
    assert_eq!(world.log_in_with(&forged, "boris", "demo-boris-1").await, 429);
    let both = [("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=203.0.113.1")];
    assert_eq!(world.log_in_with(&both, "boris", "demo-boris-1").await, 429);
    for other in [
        ("x-forwarded-for", "203.0.113.1, 203.0.113.2"),
        ("forwarded", "for=203.0.113.1, for=\"203.0.113.2:80\";proto=https"),
    ] {
        assert_eq!(world.log_in_with(&[other], "boris", "demo-boris-1").await, 201, "{other:?}");
    }
}

#[tokio::test]
async fn whoever_knows_the_password_gets_in_while_many_addresses_guess() {
    let world = behind_a_proxy().await;
    for n in 0..20 {
        let guesser = [("x-forwarded-for", &*format!("203.0.113.{n}"))];
        for expected in [401, 401, 401, 401, 401, 429] {
            let status = world.log_in_with(&guesser, "anna", "not-the-password").await;
            assert_eq!(status, expected, "{guesser:?}");
        }
        assert_eq!(world.log_in_with(&guesser, "anna", "demo-anna-01").await, 429);
    }
    let from = |address: &'static str| [("x-forwarded-for", address)];
    assert_eq!(world.log_in_with(&from("198.51.100.1"), "anna", "demo-anna-01").await, 201);
    // With the next one there are more than a hundred in the hour.
    let delayed = async || world.counted("switchboard_log_ins_delayed_total").await;
    assert_eq!(world.log_in_with(&from("198.51.100.2"), "anna", "not-the-password").await, 401);
    let edge = world.server.edge();
    edge.access.trail().tend(edge.now()).await;
    let admin = world.log_in("admin").await;
    let (_, trail) = world.ask("GET", "/api/v1/audit?limit=200", &admin, None).await;
    let rows = trail["items"].as_array().unwrap().iter();
    let crossed: Vec<_> = rows.filter(|row| row["act"] == "log_in.guessed_at").collect();
    assert_eq!(crossed.len(), 1, "{trail}");
    assert!(crossed[0]["subject"].as_str().unwrap().contains(&id("user", "anna")), "{trail}");
    let before = delayed().await;
    assert_eq!(world.log_in_with(&from("198.51.100.1"), "anna", "demo-anna-01").await, 201);
    assert_eq!(delayed().await, before, "its network is known");
    assert_eq!(world.log_in_with(&from("198.51.100.3"), "anna", "demo-anna-01").await, 201);
    assert_eq!(delayed().await, before + 1.0);
}

#[tokio::test]
async fn clients_of_a_proxy_have_places_of_their_own() {
    let world = behind_a_proxy().await;
    let mut served = Vec::new();
    // Who has a session does not give way to who comes later.
    for by in [("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=203.0.113.2")] {
        let mut client = Client::connect_with(world.server.address, by).await.unwrap();
        let (token, _) = world.visitor("Shop", None).await;
        client.open(&token, json!([])).await.unwrap();
        served.push(client);
    }
    let again = ("x-forwarded-for", "203.0.113.9, 203.0.113.1");
    let refused = Client::connect_with(world.server.address, again).await.err().unwrap();
    assert!(refused.to_string().contains("503"), "the first one has its place already: {refused}");
}

#[tokio::test]
async fn who_is_no_proxy_is_not_believed() {
    let mut settings = settings();
    settings.server.trusted_proxies = vec!["10.0.0.0/8".to_owned()];
    let world = World::with(settings).await;
    let mut last = 0;
    for n in 0..MANY {
        let forged = [("x-forwarded-for", &*format!("203.0.113.{n}"))];
        last = world.log_in_with(&forged, &format!("nobody-{n}"), "not-the-password").await;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn a_proxy_that_is_everybody_is_refused_at_the_start() {
    let mut settings = settings();
    settings.server.trusted_proxies = vec!["0.0.0.0/0".to_owned()];
    let memory = StoreChoice::Given(MemoryStore::new().store());
    let refused = Server::start(plan(settings, memory)).await.err().unwrap();
    assert!(refused.to_string().contains("is everybody"), "{refused}");
}

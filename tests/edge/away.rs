//! Reasons to be away: the list that administrators keep, and operators choose from.

use serde_json::{Value, json};
use switchboard::app::{Server, StoreChoice};
use switchboard::storage::memory::MemoryStore;

use crate::harness::{World, id, plan, settings};

fn away(n: u32, reason: Option<&str>) -> Value {
    let mut status = json!({"command_id": format!("s{n}"), "status": "away"});
    if let Some(reason) = reason {
        status["reason"] = json!(reason);
    }
    status
}

async fn opened(world: &World, login: &str) -> Value {
    let token = world.log_in(login).await;
    world.socket().await.open(&token, json!([])).await.unwrap()
}

#[tokio::test]
async fn an_operator_is_away_for_a_reason_of_the_list_or_for_none() {
    let world = World::start().await;
    assert_eq!(opened(&world, "anna").await["away_reasons"], json!(["Lunch", "Meeting"]));
    assert!(opened(&world, "admin").await.get("away_reasons").is_none(), "who serves no chats");
    let mut anna = world.user("anna").await;
    for (n, reason) in [(1, Some("Lunch")), (2, None), (3, Some(""))] {
        anna.call("operator.set_status", away(n, reason)).await.unwrap();
    }
    for (n, reason) in [(4, "lunch"), (5, "Coffee"), (6, "missed_offers")] {
        let error = anna.call("operator.set_status", away(n, Some(reason))).await.unwrap_err();
        assert_eq!(error["data"]["name"], "invalid_params", "{error}");
        assert_eq!(error["data"]["field"], "reason");
        let said = error["message"].as_str().unwrap();
        assert!(said.contains("`Lunch`, `Meeting`"), "it says what can be chosen: {said}");
    }
}

#[tokio::test]
async fn a_list_that_changes_counts_at_once_and_moves_nobody() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let mut anna = world.user("anna").await;
    anna.call("operator.set_status", away(1, Some("Lunch"))).await.unwrap();
    let lunch = format!("/api/v1/away-reasons/{}", id("away_reason", "Lunch"));
    let off = json!({"version": 1, "active": false});
    assert_eq!(world.ask("PATCH", &lunch, &admin, Some(off)).await.0, 200);
    assert_eq!(anna.refused("operator.set_status", away(2, Some("Lunch"))).await, "invalid_params");
    let status = &opened(&world, "anna").await["status"];
    assert_eq!(*status, json!({"status": "away", "reason": "Lunch"}), "she is where she was");
    let meeting = format!("/api/v1/away-reasons/{}", id("away_reason", "Meeting"));
    let off = json!({"version": 1, "active": false});
    assert_eq!(world.ask("PATCH", &meeting, &admin, Some(off)).await.0, 200);
    assert!(opened(&world, "anna").await.get("away_reasons").is_none());
    // Without a list it is her own word, as before there were lists.
    anna.call("operator.set_status", away(3, Some("a walk"))).await.unwrap();
    let coffee = json!({"name": "Coffee", "active": true});
    assert_eq!(world.ask("POST", "/api/v1/away-reasons", &admin, Some(coffee)).await.0, 201);
    assert_eq!(opened(&world, "anna").await["status"]["reason"], "a walk");
    assert_eq!(
        anna.refused("operator.set_status", away(4, Some("a walk"))).await,
        "invalid_params"
    );
    assert_eq!(world.ask("DELETE", &format!("{lunch}?version=2"), &admin, None).await.0, 204);
}

#[tokio::test]
async fn what_is_no_reason_is_not_in_the_list_and_an_operator_keeps_none() {
    let world = World::start().await;
    let (admin, anna) = (world.log_in("admin").await, world.log_in("anna").await);
    let path = "/api/v1/away-reasons";
    let long = "a".repeat(65);
    for (name, says) in
        [(long.as_str(), "64 bytes"), ("missed_offers", "the router"), (" ", "seen")]
    {
        let body = json!({"name": name, "active": true});
        let (status, error) = world.ask("POST", path, &admin, Some(body)).await;
        assert_eq!((status, &error["field"]), (422, &json!("name")), "{error}");
        assert!(error["detail"].as_str().unwrap().contains(says), "{error}");
    }
    let (status, page) = world.ask("GET", path, &anna, None).await;
    assert_eq!((status, page["items"].as_array().unwrap().len()), (200, 2));
    let body = json!({"name": "Coffee", "active": true});
    assert_eq!(world.ask("POST", path, &anna, Some(body)).await.0, 403);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_lets_nobody_be_away_for_its_own_words() {
    let store = MemoryStore::new().store();
    let started = async || {
        let plan = plan(settings(), StoreChoice::Given(store.clone()));
        World { server: Server::start(plan).await.unwrap() }
    };
    started().await.server.stop().await;
    for name in ["Lunch", "Meeting"] {
        let damaged = b"{\"form\":1,".to_vec();
        let reason = id("away_reason", name);
        store.documents.put("away_reason", &reason, 1, damaged).await.unwrap();
    }
    let world = started().await;
    let mut anna = world.user("anna").await;
    let error = anna.call("operator.set_status", away(1, Some("a walk"))).await.unwrap_err();
    assert_eq!(error["data"]["field"], "reason", "{error}");
    assert!(error["message"].as_str().unwrap().contains("cannot be read"), "{error}");
    anna.call("operator.set_status", away(2, None)).await.unwrap();
}

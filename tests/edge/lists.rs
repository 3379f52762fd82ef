//! Lists over HTTP, page by page, and what is put into them.

use serde_json::{Value, json};

use crate::harness::{World, id};

async fn page(world: &World, token: &str, query: &str) -> Value {
    let (status, page) = world.ask("GET", &format!("/api/v1/users{query}"), token, None).await;
    assert_eq!(status, 200, "{page}");
    page
}

#[tokio::test]
async fn a_list_that_is_read_page_by_page_has_each_entry_once() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let whole = page(&world, &admin, "").await["items"].as_array().unwrap().clone();
    assert!(whole.len() > 3);
    for limit in [1, 2, whole.len()] {
        let (mut items, mut after) = (Vec::new(), String::new());
        while items.len() <= whole.len() {
            let page = page(&world, &admin, &format!("?limit={limit}{after}")).await;
            let found = page["items"].as_array().unwrap();
            assert!(found.len() <= limit && !found.is_empty());
            items.extend(found.iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(items, whole, "{limit} at a time");
    }
}

#[tokio::test]
async fn what_is_created_has_no_version_yet() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let members = [id("user", "anna")];
    for (version, status) in [(1, 422), (0, 201)] {
        let queue = json!({
            "version": version,
            "name": "Returns",
            "active": true,
            "rule": "to_all",
            "members": members,
            "offer_timeout_ms": 20_000,
        });
        let (got, answer) = world.ask("POST", "/api/v1/queues", &admin, Some(queue)).await;
        assert_eq!(got, status, "{version}: {answer}");
        assert!(got == 201 || answer["field"] == "version", "{answer}");
    }
}

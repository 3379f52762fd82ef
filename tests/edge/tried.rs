//! Changes of configuration that are only tried (`dry_run=true`): answered like the change itself,
//! with nothing changed and nothing noted; where that cannot be, it is refused.

use serde_json::{Value, json};
use switchboard::protocol::rest::Route;

use crate::harness::{World, id};
use crate::held::{self, Admins, changing};

fn can_be_tried(route: Route) -> bool {
    route.query().any(|parameter| parameter.name == "dry_run")
}

fn tried(path: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}dry_run=true")
}

/// The warnings of an answer. What is created gets another id each time.
fn warnings(answer: &Value) -> String {
    let id = answer["id"].as_str().unwrap_or("none");
    answer["warnings"].to_string().replace(id, "ID")
}

async fn newest_entry(world: &World, admin: &str) -> Value {
    let (_, page) = world.ask("GET", "/api/v1/audit?limit=20", admin, None).await;
    let entries = page["items"].as_array().unwrap();
    // That the trail is read stands in it, too.
    let newest = entries.iter().find(|entry| entry["act"] != "audit.read");
    newest.unwrap()["id"].clone()
}

#[tokio::test]
async fn a_change_that_is_tried_is_answered_like_it_and_changes_nothing() {
    let (world, store) = held::world().await;
    let admin = world.log_in("admin").await;
    let admins = Admins { world: &world, admin: admin.clone(), made: std::cell::Cell::new(0) };
    let victim = admins.victim("administrator").await;
    for route in changing().filter(|route| can_be_tried(*route)) {
        let (path, body) = admins.request(route, &victim).await;
        let verb = route.verb().name();
        let (before, entry) = (held::documents(&store).await, newest_entry(&world, &admin).await);
        let (status, answer) = world.ask(verb, &tried(&path), &admin, body.clone()).await;
        assert_eq!(status, route.status(), "{}: {answer}", route.id());
        assert_eq!(held::documents(&store).await, before, "{}", route.id());
        assert_eq!(newest_entry(&world, &admin).await, entry, "{}: an entry", route.id());
        let (status, done) = world.ask(verb, &path, &admin, body).await;
        assert_eq!(status, route.status(), "{}: {done}", route.id());
        assert_ne!(held::documents(&store).await, before, "{}", route.id());
        assert_eq!(warnings(&answer), warnings(&done), "{}", route.id());
        if let (Some(tried), Some(done)) = (answer["version"].as_u64(), done["version"].as_u64()) {
            assert_eq!(tried + 1, done, "{}: the version is the present one", route.id());
        }
    }
}

#[tokio::test]
async fn what_would_be_refused_is_refused_when_it_is_tried() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let sales = format!("/api/v1/queues/{}", id("queue", "Sales"));
    let (_, queue) = world.ask("GET", &sales, &admin, None).await;
    let patch =
        |version: u64, members: Value| Some(json!({"version": version, "members": members}));
    let version = queue["version"].as_u64().unwrap();
    let stranger = json!(["0190a3a4-0000-7000-8000-000000000000"]);
    let user = json!({"name": "Anna", "login": "anna", "role": "operator", "active": true,
        "capacity": 3});
    for (verb, path, body, name) in [
        ("PATCH", sales.clone(), patch(version, stranger), "routing"),
        ("PATCH", sales.clone(), patch(version - 1, json!([])), "version_conflict"),
        ("DELETE", format!("{sales}?version={version}"), None, "in_use"),
        ("POST", "/api/v1/users".to_owned(), Some(user), "login_taken"),
    ] {
        let (status, tried) = world.ask(verb, &tried(&path), &admin, body.clone()).await;
        assert_eq!(tried["name"], name, "{verb} {path}: {status} {tried}");
        let (real, refused) = world.ask(verb, &path, &admin, body).await;
        assert_eq!((real, refused["name"].as_str()), (status, Some(name)), "{verb} {path}");
    }
    let anna = world.log_in("anna").await;
    let (status, _) = world.ask("PATCH", &tried(&sales), &anna, patch(version, json!([]))).await;
    assert_eq!(status, 403, "who may not do it may not try it");
}

#[tokio::test]
async fn nothing_else_can_be_tried() {
    let (world, store) = held::world().await;
    let admin = world.log_in("admin").await;
    let admins = Admins { world: &world, admin: admin.clone(), made: std::cell::Cell::new(0) };
    let victim = admins.victim("administrator").await;
    for route in changing().filter(|route| !can_be_tried(*route)) {
        let (path, body) = admins.request(route, &victim).await;
        let before = held::documents(&store).await;
        let (status, refused) = world.ask(route.verb().name(), &tried(&path), &admin, body).await;
        assert_eq!((status, refused["field"].as_str()), (400, Some("dry_run")), "{}", route.id());
        assert_eq!(held::documents(&store).await, before, "{}", route.id());
    }
}

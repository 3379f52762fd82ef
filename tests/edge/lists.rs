//! Lists over REST: filters, orders and pages.

use serde_json::{Value, json};
use switchboard::protocol::rest::Route;
use switchboard::protocol::rest::query::Kind;

use crate::harness::{World, id};

/// The names on all pages of a list, and how many pages there were.
async fn names(world: &World, token: &str, path: &str, limit: usize) -> (Vec<String>, usize) {
    let (mut names, mut after, mut pages) = (Vec::new(), String::new(), 0);
    let sign = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = format!("{path}{sign}limit={limit}{after}");
        let (status, page) = world.ask("GET", &page, token, None).await;
        assert_eq!(status, 200, "{page}");
        pages += 1;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        names.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (names, pages),
        }
    }
}

#[tokio::test]
async fn lists_have_filters_and_orders_that_their_pages_keep() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let boris = format!("/api/v1/users/{}", id("user", "boris"));
    let patch = json!({"version": 1, "active": false});
    assert_eq!(world.ask("PATCH", &boris, &admin, Some(patch)).await.0, 200);
    let (sales, support) = (id("queue", "Sales"), id("queue", "Support"));
    let cases: [(&str, String, &[&str]); 14] = [
        (
            "users",
            "sort=name".to_owned(),
            &["Ada Admin", "Anna", "Boris", "Clara", "Dmitri", "Maria Lead"],
        ),
        (
            "users",
            "sort=-name".to_owned(),
            &["Maria Lead", "Dmitri", "Clara", "Boris", "Anna", "Ada Admin"],
        ),
        ("users", "sort=name&role=operator&active=true".to_owned(), &["Anna", "Clara", "Dmitri"]),
        ("users", "active=false".to_owned(), &["Boris"]),
        ("users", "sort=name&name=A%20A".to_owned(), &["Ada Admin"]),
        ("users", "name=nobody".to_owned(), &[]),
        ("operators", format!("queue={sales}&sort=name"), &["Anna", "Boris"]),
        ("operators", format!("queue={support}&active=true&sort=name"), &["Clara", "Dmitri"]),
        ("queues", "rule=manual".to_owned(), &["Back office"]),
        ("queues", "sort=-name&active=true".to_owned(), &["Support", "Sales", "Back office"]),
        ("channels", format!("queue={sales}"), &["Shop"]),
        ("channels", "sort=name".to_owned(), &["Employees", "Shop"]),
        ("away-reasons", "sort=-name".to_owned(), &["Meeting", "Lunch"]),
        ("away-reasons", "active=false".to_owned(), &[]),
    ];
    for (list, query, expected) in cases {
        let path = format!("/api/v1/{list}?{query}");
        for limit in [1, 2, 200] {
            let (found, pages) = names(&world, &admin, &path, limit).await;
            assert_eq!(found, expected, "{path}, {limit} a page");
            assert_eq!(pages, expected.len().div_ceil(limit).max(1), "{path}, {limit} a page");
        }
    }
    // The order of ids, forth and back.
    let (mut forth, _) = names(&world, &admin, "/api/v1/users", 2).await;
    let (back, _) = names(&world, &admin, "/api/v1/users?sort=-id", 2).await;
    forth.reverse();
    assert_eq!(forth, back);
    assert_eq!(back.len(), 6);
    for escaped in ["queues?lim%69t=%31", "audit?actor=command%5Fline", "users?name=a+a"] {
        let (status, page) = world.ask("GET", &format!("/api/v1/{escaped}"), &admin, None).await;
        assert_eq!(status, 200, "{escaped}: {page}");
    }
    // A filter shows nobody more than is shown without it.
    let anna = world.log_in("anna").await;
    assert_eq!(names(&world, &anna, "/api/v1/users?sort=name", 10).await.0, ["Anna"]);
    for wrong in [
        "users?sort=login",
        "users?active=yes",
        "users?role=boss",
        "queues?role=operator",
        "operators?queue=sales",
        "users?after=1",
        "users?sort=name&after=0190a3a4-0000-7000-8000-000000000000",
    ] {
        let (status, refused) = world.ask("GET", &format!("/api/v1/{wrong}"), &admin, None).await;
        assert_eq!((status, refused["name"].as_str()), (400, Some("invalid_request")), "{wrong}");
    }
}

async fn page(world: &World, token: &str, query: &str) -> Value {
    let (status, page) = world.ask("GET", &format!("/api/v1/users{query}"), token, None).await;
    assert_eq!(status, 200, "{page}");
    page
}

/// A filter that the route names and the handler forgot would show everything.
#[tokio::test]
async fn every_filter_that_a_list_names_filters() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    for (kind, all) in [("users", 6), ("operators", 5), ("queues", 3), ("channels", 2)] {
        let list = format!("/api/v1/{kind}");
        let route = Route::ALL.iter().find(|route| route.path() == list).unwrap();
        let filters = route.query().filter(|one| !["after", "limit", "sort"].contains(&one.name));
        for filter in filters {
            let parts: Vec<&str> = match filter.kind {
                Kind::Id => vec!["0190a3a4-0000-7000-8000-000000000000"],
                Kind::Text => vec!["nobody is called so"],
                Kind::Flag => vec!["true", "false"],
                Kind::Word(words) => words.to_vec(),
                Kind::Number { .. } => panic!("{} of {list} is tried by nothing here", filter.name),
            };
            let whole = if parts.len() > 1 { all } else { 0 };
            let mut found = 0;
            for part in parts {
                let path = format!("{list}?{}={}", filter.name, part.replace(' ', "+"));
                found += names(&world, &admin, &path, 200).await.0.len();
            }
            assert_eq!(found, whole, "{} of {list}", filter.name);
        }
    }
}

#[tokio::test]
async fn names_that_differ_in_case_alone_and_those_with_dots_have_their_place_on_pages() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let given = ["dot.ted", "Twin", "twin", "TWIN", "ΑΣ", "ασπα", "a.b.c"];
    for (n, name) in given.into_iter().enumerate() {
        let user = json!({"name": name, "login": format!("listed-{n}"), "role": "operator",
            "active": false, "capacity": 1});
        let (status, made) = world.ask("POST", "/api/v1/users", &admin, Some(user)).await;
        assert_eq!(status, 201, "{made}");
    }
    for sort in ["name", "-name", "id", "-id"] {
        let path = format!("/api/v1/users?active=false&sort={sort}");
        let (whole, _) = names(&world, &admin, &path, 200).await;
        assert_eq!(whole.len(), given.len());
        for limit in [1, 2, 3] {
            assert_eq!(names(&world, &admin, &path, limit).await.0, whole, "{sort}, {limit}");
        }
    }
    let (found, _) = names(&world, &admin, "/api/v1/users?name=tWiN", 10).await;
    assert_eq!(found.len(), 3, "{found:?}");
    let (found, _) = names(&world, &admin, "/api/v1/users?name=%CE%B1%CF%83", 10).await;
    assert_eq!(found.len(), 2, "{found:?}");
    // A place in one order is none in another.
    let (_, page) = world.ask("GET", "/api/v1/users?sort=name&limit=1", &admin, None).await;
    let next = page["next"].as_str().unwrap();
    for other in ["id", "-id", "-name"] {
        let path = format!("/api/v1/users?sort={other}&after={next}");
        assert_eq!(world.ask("GET", &path, &admin, None).await.0, 400, "{other}");
    }
    let long = format!("/api/v1/users?name={}", "x".repeat(129));
    assert_eq!(world.ask("GET", &long, &admin, None).await.0, 400);
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

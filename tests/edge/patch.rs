//! `PATCH` beside `PUT`: what the one resets and the other leaves, and that the one is no way around
//! anything that the other is held to.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use switchboard::protocol::rest::{Route, Verb};

use crate::harness::{World, id, media_type, request, request_with, until};
use crate::held::{self, Stop};
use crate::wrong::answer_to;

/// A document that can be patched.
struct Patched {
    /// Its request in the OpenAPI document.
    schema: &'static str,
    path: String,
    route: Route,
    /// Each optional member with a value and what it is when a `PUT` does not name it.
    optional: Vec<(&'static str, Value, Value)>,
}

fn all() -> [Patched; 4] {
    [
        Patched {
            schema: "UserRequest",
            path: format!("/api/v1/users/{}", id("user", "clara")),
            route: Route::PatchUser,
            optional: vec![],
        },
        Patched {
            schema: "QueueRequest",
            path: format!("/api/v1/queues/{}", id("queue", "Sales")),
            route: Route::PatchQueue,
            optional: vec![
                ("priority", json!(3), json!(0)),
                ("per_operator_limit", json!(2), Value::Null),
                ("absent_owner_limit_ms", json!(90_000), Value::Null),
            ],
        },
        Patched {
            schema: "ChannelRequest",
            path: format!("/api/v1/channels/{}", id("channel", "Shop")),
            route: Route::PatchChannel,
            optional: vec![
                ("language", json!("pt-BR"), Value::Null),
                ("image", json!("https://shop.example/a.png"), Value::Null),
                ("reference", json!("shop 7"), Value::Null),
                ("retention_days", json!(30), Value::Null),
            ],
        },
        Patched {
            schema: "AwayReasonRequest",
            path: format!("/api/v1/away-reasons/{}", id("away_reason", "Lunch")),
            route: Route::PatchAwayReason,
            optional: vec![],
        },
    ]
}

/// What a schema has, and what of it must be there.
fn members(document: &Value, schema: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let schema = &document["components"]["schemas"][schema];
    let all = schema["properties"].as_object().unwrap().keys().cloned().collect();
    let required = schema["required"].as_array().unwrap().iter();
    (all, required.map(|name| name.as_str().unwrap().to_owned()).collect())
}

struct Asking<'a> {
    world: &'a World,
    token: String,
    document: Value,
}

impl<'a> Asking<'a> {
    async fn new(world: &'a World) -> Self {
        let token = world.log_in("admin").await;
        let document = world.ask("GET", "/openapi.json", "", None).await.1;
        Self { world, token, document }
    }

    /// The document as a `PUT` would have it.
    async fn shown(&self, of: &Patched) -> Map<String, Value> {
        let shown = self.world.ask("GET", &of.path, &self.token, None).await.1;
        let (known, _) = members(&self.document, of.schema);
        let Value::Object(shown) = shown else { panic!("{shown}") };
        shown.into_iter().filter(|(name, _)| known.contains(name)).collect()
    }

    async fn ask(&self, verb: &str, of: &Patched, body: Value) -> (u16, Value) {
        self.world.ask(verb, &of.path, &self.token, Some(body)).await
    }

    /// A change of the present version that goes well; answers what is there then.
    async fn change(&self, verb: &str, of: &Patched, mut body: Value) -> Map<String, Value> {
        body["version"] = self.shown(of).await["version"].clone();
        let (status, answer) = self.ask(verb, of, body.clone()).await;
        assert_eq!(status, 200, "{verb} {body}: {answer}");
        self.shown(of).await
    }
}

/// As it is but for these members and the version.
fn differs(before: &Map<String, Value>, after: &Map<String, Value>) -> BTreeSet<String> {
    let names = before.keys().chain(after.keys()).filter(|name| *name != "version");
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

fn only(name: &str) -> BTreeSet<String> {
    BTreeSet::from([name.to_owned()])
}

#[tokio::test]
async fn a_put_resets_what_it_does_not_name_and_a_patch_leaves_it() {
    let world = World::start().await;
    let asking = Asking::new(&world).await;
    for of in all() {
        let (known, required) = members(&asking.document, of.schema);
        let optional: BTreeSet<_> = known.difference(&required).map(String::as_str).collect();
        let mut expected: BTreeSet<_> = of.optional.iter().map(|(name, ..)| *name).collect();
        expected.insert("version");
        expected.extend((of.schema == "UserRequest").then_some("password"));
        assert_eq!(optional, expected, "every optional member of {} is tried", of.schema);

        let bare: Map<_, _> = asking.shown(&of).await;
        let bare: Map<_, _> =
            bare.into_iter().filter(|(name, _)| required.contains(name)).collect();
        let mut full = bare.clone();
        for (name, value, _) in &of.optional {
            full.insert((*name).to_owned(), value.clone());
        }
        let full = asking.change("PUT", &of, Value::Object(full)).await;
        for (name, value, reset) in &of.optional {
            assert_eq!(&full[*name], value);
            let named = asking.change("PATCH", &of, json!({"name": format!("For {name}")})).await;
            assert_eq!(differs(&full, &named), only("name"), "all else of it stays");
            let without = asking.change("PATCH", &of, json!({*name: null})).await;
            assert_eq!(differs(&named, &without), only(name), "null resets it and nothing else");
            assert_eq!(without.get(*name).unwrap_or(&Value::Null), reset);
            let again =
                asking.change("PATCH", &of, json!({*name: value, "name": full["name"]})).await;
            assert_eq!(differs(&full, &again), BTreeSet::new());
        }
        let replaced = asking.change("PUT", &of, Value::Object(bare)).await;
        for (name, _, reset) in &of.optional {
            assert_eq!(replaced.get(*name).unwrap_or(&Value::Null), reset, "{name}");
        }
        // Nothing but the next version.
        let same = asking.change("PATCH", &of, json!({})).await;
        assert_eq!(differs(&replaced, &same), BTreeSet::new());
        assert_eq!(same["version"].as_u64(), replaced["version"].as_u64().map(|n| n + 1));
    }
    // What a body never shows is left by both.
    assert_eq!(world.tokens("clara", "demo-clara-1").await.0, 201);
}

#[tokio::test]
async fn a_list_is_replaced_as_a_whole() {
    let world = World::start().await;
    let asking = Asking::new(&world).await;
    let [_, queue, ..] = all();
    let members = json!([id("user", "boris")]);
    let before = asking.shown(&queue).await;
    let after = asking.change("PATCH", &queue, json!({"members": members})).await;
    assert_eq!((differs(&before, &after), &after["members"]), (only("members"), &members));
}

#[tokio::test]
async fn a_patch_is_refused_as_the_whole_would_be() {
    let world = World::start().await;
    let asking = Asking::new(&world).await;
    for of in all() {
        let before = asking.shown(&of).await;
        let version = before["version"].as_u64().unwrap();
        let out_of_bounds = match of.route {
            Route::PatchQueue => json!({"offer_timeout_ms": 1}),
            Route::PatchChannel => json!({"retention_days": 0}),
            Route::PatchAwayReason => json!({"name": "missed_offers"}),
            _ => json!({"capacity": 0}),
        };
        let cases = [
            (json!({"colour": 1}), 400, Some("colour")),
            (json!({"colour": null}), 400, Some("colour")),
            (json!({"id": null}), 400, Some("id")),
            (json!({"name": null}), 400, None),
            (json!({"name": 5}), 400, Some("name")),
            (json!({"name": {"first": "x"}}), 400, Some("name")),
            (json!({"name": " "}), 422, Some("name")),
            (json!({"active": []}), 400, Some("active")),
            (json!({"version": "1"}), 400, Some("version")),
            (json!({"version": 0}), 409, None),
            (json!({"version": null}), 409, None),
            (json!({"version": version + 1}), 409, None),
            (out_of_bounds, 422, None),
        ];
        for (patch, expected, field) in cases {
            let mut body = patch.clone();
            if body.get("version").is_none() {
                body["version"] = json!(version);
            }
            let (status, answer) = asking.ask("PATCH", &of, body).await;
            assert_eq!(status, expected, "{patch}: {answer}");
            if let Some(field) = field {
                assert_eq!(answer["field"], field, "{patch}: {answer}");
            }
            if status == 409 {
                assert_eq!(answer["found"], version, "{answer}");
            }
        }
        let (status, answer) = asking.ask("PATCH", &of, json!({"name": "Of no version"})).await;
        assert_eq!((status, &answer["found"]), (409, &json!(version)), "as PUT: {answer}");
        let address = world.server.address;
        let twice = format!("{{\"version\":{version},\"name\":\"A\",\"name\":\"B\"}}");
        let large = format!("{{\"version\":{version},\"name\":\"{}\"}}", "x".repeat(1 << 20));
        let merge = "application/merge-patch+json";
        let with_charset = "Application/Merge-Patch+JSON; charset=utf-8";
        let raw = [
            ("PATCH", merge, twice, 400),
            ("PATCH", merge, "[]".to_owned(), 400),
            ("PATCH", merge, "null".to_owned(), 400),
            ("PATCH", merge, "{} {}".to_owned(), 400),
            ("PATCH", with_charset, "{".to_owned(), 400),
            ("PATCH", merge, large, 413),
            ("PATCH", "application/json", "{}".to_owned(), 415),
            ("PATCH", "application/json-patch+json", "[]".to_owned(), 415),
            ("PUT", merge, "{}".to_owned(), 415),
        ];
        for (verb, kind, body, expected) in raw {
            let (status, text) =
                request(address, verb, &of.path, &asking.token, Some((kind, body))).await;
            assert_eq!(status, expected, "{verb} {kind}: {text}");
            let problem: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(problem["status"], expected, "the one form of every refusal");
        }
        let head =
            format!("PATCH {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", of.path);
        let asked =
            format!("{head}authorization: Bearer {}\r\ncontent-length: 0\r\n\r\n", asking.token);
        let (head, _) = answer_to(address, asked.as_bytes()).await;
        assert!(head.starts_with("http/1.1 415 "), "{head}");
        assert!(head.contains(&format!("accept-patch: {merge}")), "{head}");
        let nothing = of.path.replace(of.path.rsplit('/').next().unwrap(), &id("none", "none"));
        let patch = json!({"version": 1});
        assert_eq!(world.ask("PATCH", &nothing, &asking.token, Some(patch)).await.0, 404);
        assert_eq!(asking.shown(&of).await, before, "nothing of it took effect");
    }
}

#[tokio::test]
async fn a_patch_is_no_way_around_the_rules_of_users() {
    let world = World::start().await;
    let asking = Asking::new(&world).await;
    let user = |login| Patched { path: format!("/api/v1/users/{}", id("user", login)), ..clara() };
    let refused = async |login, patch: Value| {
        let of = user(login);
        let before = asking.shown(&of).await;
        let mut body = patch.clone();
        body["version"] = before["version"].clone();
        let (status, answer) = asking.ask("PATCH", &of, body).await;
        assert_eq!(asking.shown(&of).await, before, "{patch}");
        (status, answer)
    };
    for (login, password, why) in [
        ("admin", json!("a password of a thief"), "with the present one"),
        ("admin", Value::Null, "not taken away"),
        ("anna", Value::Null, "not taken away"),
        ("anna", json!("demo-boris-1"), "published"),
        ("anna", json!("1234567890"), "common"),
        ("anna", json!("short"), "10"),
    ] {
        let (status, answer) = refused(login, json!({"password": password})).await;
        assert_eq!((status, &answer["field"]), (422, &json!("password")), "{login} {answer}");
        assert!(answer["detail"].as_str().unwrap().contains(why), "{answer}");
    }
    assert_eq!(world.tokens("admin", "demo-admin-1").await.0, 201);
    for patch in [json!({"active": false}), json!({"role": "operator"})] {
        let (status, answer) = refused("admin", patch).await;
        assert_eq!((status, &answer["name"]), (409, &json!("last_administrator")));
    }
    let (status, answer) = refused("anna", json!({"login": "boris"})).await;
    assert_eq!((status, &answer["name"]), (409, &json!("login_taken")));
    let operator = world.log_in("anna").await;
    let own = json!({"version": 1, "role": "administrator"});
    assert_eq!(world.ask("PATCH", &user("anna").path, &operator, Some(own)).await.0, 403);
}

fn clara() -> Patched {
    let [user, ..] = all();
    user
}

#[tokio::test]
async fn a_patch_takes_away_what_a_put_takes_away() {
    let world = World::start().await;
    let asking = Asking::new(&world).await;
    let user = |login| Patched { path: format!("/api/v1/users/{}", id("user", login)), ..clara() };
    let (mut anna, mut boris) = (world.user("anna").await, world.user("boris").await);
    let token = world.log_in("dmitri").await;
    asking.change("PATCH", &user("anna"), json!({"active": false})).await;
    assert_eq!(anna.until_closed().await, 4002);
    asking.change("PATCH", &user("boris"), json!({"password": "another long password"})).await;
    assert_eq!(boris.until_closed().await, 4002);
    assert_eq!(world.tokens("boris", "another long password").await.0, 201);
    asking.change("PATCH", &user("dmitri"), json!({"role": "chat_administrator"})).await;
    assert_eq!(world.ask("GET", "/api/v1/users", &token, None).await.0, 401, "its session ended");
    // One whose password was published is not let in again by a patch.
    let (status, answer) = {
        let of = user("anna");
        let version = asking.shown(&of).await["version"].clone();
        asking.ask("PATCH", &of, json!({"version": version, "active": true})).await
    };
    assert_eq!((status, &answer["name"]), (409, &json!("demo_password")), "{answer}");
}

#[tokio::test]
async fn a_patch_is_in_the_trail_with_what_it_changes() {
    let world = World::start().await;
    let asking = Asking::new(&world).await;
    let acts = ["user.changed", "queue.changed", "channel.changed", "away_reason.changed"];
    for (of, act) in all().into_iter().zip(acts) {
        let stale = asking.shown(&of).await["version"].clone();
        let before = asking.shown(&of).await["name"].clone();
        asking.change("PATCH", &of, json!({"name": "Patched"})).await;
        let body = json!({"version": stale, "name": "Too late"});
        assert_eq!(asking.ask("PATCH", &of, body).await.0, 409);
        let found = world.ask("GET", "/api/v1/audit", &asking.token, None).await.1;
        let rows = found["items"].as_array().unwrap().iter().filter(|row| row["act"] == act);
        let rows: Vec<_> = rows.map(|row| (&row["outcome"], &row["changes"])).collect();
        let change = json!([{"field": "name", "from": before, "to": "Patched"}]);
        assert_eq!(rows[1], (&json!("done"), &change));
        assert_eq!(rows[0].0, "refused", "{rows:?}");
    }
}

/// Two writers that saw the same version, and one that names a version which comes true meanwhile.
#[tokio::test]
async fn no_patch_is_written_over_what_it_has_not_seen() {
    let (world, _) = held::world().await;
    let stop = Stop::on(&world);
    let asking = Asking::new(&world).await;
    for of in all() {
        for ahead in [0, 1] {
            let before = asking.shown(&of).await;
            let version = before["version"].as_u64().unwrap() + ahead;
            let gate = stop.next(of.route.operation());
            let (address, path, token) =
                (world.server.address, of.path.clone(), asking.token.clone());
            let body = json!({"version": version, "active": before["active"]}).to_string();
            let mut slow = tokio::spawn(async move {
                request(address, "PATCH", &path, &token, Some((media_type("PATCH"), body))).await
            });
            let answered = tokio::select! {
                () = gate.reached() => None,
                answered = &mut slow => Some(answered.unwrap()),
            };
            let name = format!("In between {ahead}");
            if answered.is_some() {
                // The gate is still there for the next one.
                gate.go();
            }
            let between = asking.change("PATCH", &of, json!({"name": name})).await;
            gate.go();
            let (status, text) = match answered {
                Some(answered) => answered,
                None => slow.await.unwrap(),
            };
            assert_eq!(status, 409, "{text}");
            assert_eq!(asking.shown(&of).await, between, "the other's change stands");
            assert_eq!(between["name"], name);
        }
    }
}

/// What the document of the interface says is what the server does: no path or method more or less,
/// and bodies of the types that it names.
#[tokio::test]
async fn the_document_and_the_routes_agree() {
    let world = World::start().await;
    let asking = Asking::new(&world).await;
    let verbs = [Verb::Get, Verb::Post, Verb::Put, Verb::Patch, Verb::Delete];
    let mut listed = 0;
    for (path, item) in asking.document["paths"].as_object().unwrap() {
        if path == "/ws" {
            continue;
        }
        let at = path
            .split('/')
            .map(|part| if part.starts_with('{') { id("none", "none") } else { part.to_owned() });
        let at = at.collect::<Vec<_>>().join("/");
        for verb in verbs {
            let name = verb.name();
            let described = item.get(name.to_lowercase());
            listed += usize::from(described.is_some());
            // Nobody's token: what is there asks for one before all else, or takes no such body.
            let answered = async |kind: &str| {
                let body = Some((kind, "[]".to_owned()));
                request_with(world.server.address, (name, &at), &asking.token, body, &[]).await.0
            };
            let what = format!("{name} {path}");
            if described.is_none() {
                assert_eq!(answered("application/json").await, 405, "{what}");
                continue;
            }
            if name == "DELETE" && path.ends_with("/current") {
                continue;
            }
            let content = item[name.to_lowercase()]["requestBody"]["content"].as_object();
            match content {
                Some(content) => {
                    assert_eq!(answered("text/plain").await, 415, "{what}");
                    for kind in content.keys() {
                        assert_eq!(answered(kind).await, 400, "{what}: {kind}");
                    }
                }
                None => assert_ne!(answered("application/json").await, 405, "{what}"),
            }
        }
    }
    assert_eq!(listed, Route::ALL.len());
    until("it still serves", async || world.ask("GET", "/openapi.json", "", None).await.0 == 200)
        .await;
}

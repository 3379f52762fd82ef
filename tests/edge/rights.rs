//! Every route and every method, with everybody, against the one table of rights.

use serde_json::{Value, json};
use switchboard::domain::rights::{Operation, Right, Subject};
use switchboard::protocol::Method;
use switchboard::protocol::rest::{Route, Verb};

use crate::harness::{World, id, plan, settings};

/// A token of everybody.
pub async fn token_of(world: &World, subject: Subject) -> String {
    match subject {
        Subject::Nobody => String::new(),
        Subject::Site => {
            let admin = world.log_in("admin").await;
            let path = format!("/api/v1/channels/{}/site-key", id("channel", "Shop"));
            let (_, channel) =
                world.ask("GET", path.trim_end_matches("/site-key"), &admin, None).await;
            let body = Some(json!({"version": channel["version"]}));
            let (status, key) = world.ask("POST", &path, &admin, body).await;
            assert_eq!(status, 201, "{key}");
            key["site_key"].as_str().unwrap().to_owned()
        }
        Subject::Customer => world.visitor("Shop", None).await.0,
        Subject::Operator => world.log_in("anna").await,
        Subject::ChatAdministrator => world.log_in("maria").await,
        Subject::Administrator => world.log_in("admin").await,
    }
}

#[tokio::test]
async fn every_route_asks_the_table() {
    let world = World::start().await;
    for subject in Subject::ALL {
        let mut token = token_of(&world, *subject).await;
        for route in Route::ALL {
            // Things that exist and are nobody's own: what is refused is refused for want of a
            // right, not of a thing.
            let path = route
                .path()
                .replace("{user}", &id("user", "clara"))
                .replace("{operator}", &id("user", "clara"))
                .replace("{channel}", &id("channel", "Employees"))
                .replace("{queue}", &id("queue", "Support"))
                .replace("{away_reason}", &id("away_reason", "Lunch"))
                .replace("{customer}", "0190a3a4-0000-7000-8000-000000000000")
                .replace("{chat}", "0190a3a4-0000-7000-8000-000000000000");
            // A body that no route takes: nothing is changed by this walk.
            let body = match route.verb() {
                Verb::Post | Verb::Put | Verb::Patch => Some(json!({"nonsense": true})),
                Verb::Get | Verb::Delete => None,
            };
            let (status, answer) = world.ask(route.verb().name(), &path, &token, body).await;
            let right = route.operation().right(*subject);
            let what = format!(
                "{} {} by {}: {status} {answer}",
                route.verb().name(),
                path,
                subject.word()
            );
            match (right, subject) {
                (Right::No, Subject::Nobody) => assert_eq!(status, 401, "{what}"),
                (Right::No, _) => assert_eq!(status, 403, "{what}"),
                // Of these, some are about what is not its own.
                (Right::Own, _) => assert!([200, 204, 400, 403, 404].contains(&status), "{what}"),
                // A log-in that lacks its body is no log-in.
                (Right::Yes, _) => assert!(![401, 403].contains(&status), "{what}"),
            }
            if *route == Route::LogOut {
                token = token_of(&world, *subject).await;
            }
        }
    }
}

#[tokio::test]
async fn own_is_own_in_rest() {
    let world = World::start().await;
    let (anna, site) =
        (token_of(&world, Subject::Operator).await, token_of(&world, Subject::Site).await);
    let user = |login| format!("/api/v1/users/{}", id("user", login));
    assert_eq!(world.ask("GET", &user("anna"), &anna, None).await.0, 200);
    assert_eq!(world.ask("GET", &user("boris"), &anna, None).await.0, 403);
    let (_, list) = world.ask("GET", "/api/v1/users", &anna, None).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let tokens = |channel| format!("/api/v1/channels/{}/visitor-tokens", id("channel", channel));
    let issued = world.ask("POST", &tokens("Shop"), &site, Some(json!({"priority": 3}))).await;
    assert_eq!(issued.0, 201);
    assert_eq!(world.ask("POST", &tokens("Employees"), &site, Some(json!({}))).await.0, 403);
    let customer = issued.1["customer"].as_str().unwrap().to_owned();
    let revoke = |channel| format!("{}/{customer}", tokens(channel));
    assert_eq!(world.ask("DELETE", &revoke("Employees"), &site, None).await.0, 403);
    let mut visitor = world.socket().await;
    visitor.open(issued.1["token"].as_str().unwrap(), json!([])).await.unwrap();
    assert_eq!(world.ask("DELETE", &revoke("Shop"), &site, None).await.0, 204);
    assert_eq!(visitor.until_closed().await, 4002);
    let password = format!("{}/password", user("anna"));
    let change = |current: &str| json!({"current": current, "password": "a better one"});
    let (status, error) = world.ask("PUT", &password, &anna, Some(change("wrong-wrong"))).await;
    assert_eq!((status, &error["name"]), (401, &json!("credentials")));
    let change = change("demo-anna-01");
    assert_eq!(world.ask("PUT", &password, &anna, Some(change)).await.0, 204);
    assert_eq!(world.ask("GET", &user("anna"), &anna, None).await.0, 401, "its sessions ended");
    assert_eq!(world.tokens("anna", "a better one").await.0, 201);
}

#[tokio::test]
async fn every_method_asks_the_table() {
    let world = World::start().await;
    for subject in Subject::ALL {
        let token = token_of(&world, *subject).await;
        let mut client = world.socket().await;
        let open = json!({"token": if token.is_empty() { "none" } else { &token }});
        let opened = client.call("session.open", open).await;
        let allowed = Operation::SessionOpen.right(*subject) != Right::No;
        assert_eq!(opened.is_ok(), allowed, "{subject:?} {opened:?}");
        if !allowed {
            continue;
        }
        for method in Method::ALL.iter().filter(|method| **method != Method::SessionOpen) {
            let outcome = client.call(method.name(), params(*method, &token)).await;
            let right = method.operation().right(*subject);
            let name = outcome.as_ref().err().map(|error| error["data"]["name"].clone());
            let what = format!("{} by {}: {outcome:?}", method.name(), subject.word());
            assert_ne!(name, Some(json!("invalid_params")), "{what}");
            assert_eq!(name == Some(json!("forbidden")), right == Right::No, "{what}");
        }
    }
}

/// Params that are well formed, about things that are not there.
fn params(method: Method, token: &str) -> Value {
    let nothing = "0190a3a4-0000-7000-8000-000000000000";
    match method {
        Method::SessionOpen | Method::SessionRenew => json!({"token": token}),
        Method::ChatOpen => json!({"command_id": "c", "channel": id("channel", "Shop")}),
        Method::MessageSend => json!({"chat": nothing, "client_message_id": "m", "text": "x"}),
        Method::MessageReceived | Method::MessageRead => json!({"chat": nothing, "up_to": 1}),
        Method::ChatEnd | Method::ChatTake => json!({"command_id": "c", "chat": nothing}),
        Method::ChatHistory => json!({"chat": nothing}),
        Method::OperatorSetStatus => json!({"command_id": "c", "status": "busy"}),
        Method::OfferShown => json!({"chat": nothing, "offer": nothing}),
        Method::OfferAccept | Method::OfferDecline => {
            json!({"command_id": "c", "chat": nothing, "offer": nothing})
        }
        Method::ChatList => json!({"scope": "line"}),
        Method::ChatTransfer => {
            json!({"command_id": "c", "chat": nothing, "to": {"queue": id("queue", "Sales")}})
        }
        Method::ChatSetState => json!({"command_id": "c", "chat": nothing, "state": "in_progress"}),
        Method::PresenceAnswer => json!({"probe": 999}),
    }
}

#[tokio::test]
async fn a_former_owner_reads_nothing_that_was_written_after_it_gave_the_chat_away() {
    let world = World::start().await;
    let mut anna = world.ready("anna").await;
    let shop = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let mut chats = Vec::new();
    for gives_away in [true, false] {
        let mut customer = world.customer("Shop").await;
        let chat = customer.call("chat.open", shop.clone()).await.unwrap()["chat"].clone();
        let offer = anna.wait("offer.presented").await["offer"].clone();
        let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
        anna.call("offer.accept", accept).await.unwrap();
        if gives_away {
            let to = json!({"queue": id("queue", "Support")});
            let transfer = json!({"command_id": "t1", "chat": chat, "to": to});
            anna.call("chat.transfer", transfer).await.unwrap();
        }
        let text = json!({"chat": chat, "client_message_id": "m1", "text": "for others only"});
        customer.call("message.send", text).await.unwrap();
        customer.call("chat.end", json!({"command_id": "e1", "chat": chat})).await.unwrap();
        chats.push(chat);
    }
    let (given_away, ended) = (&chats[0], &chats[1]);
    let token = world.log_in("anna").await;
    let history = |chat: &Value| json!({"chat": chat});
    let path = |chat: &Value| format!("/api/v1/chats/{}", chat.as_str().unwrap());
    // Whoever owned it at its end goes on reading it.
    anna.call("chat.history", history(ended)).await.unwrap();
    assert_eq!(world.ask("GET", &path(ended), &token, None).await.0, 200);
    assert_eq!(anna.refused("chat.history", history(given_away)).await, "not_found");
    assert_eq!(world.ask("GET", &path(given_away), &token, None).await.0, 404);
    let closed = anna.call("chat.list", json!({"scope": "closed"})).await.unwrap();
    let listed = closed["chats"].as_array().unwrap().iter().map(|chat| &chat["id"]);
    assert_eq!(listed.collect::<Vec<_>>(), [ended]);
}

#[tokio::test]
async fn who_gave_a_chat_away_goes_on_knowing_that_there_is_one() {
    use switchboard::domain::limits::LAST_CLOSED;
    let world = World::start().await;
    let mut anna = world.ready("anna").await;
    let shop = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let mut given_away = Value::Null;
    // So many others that it is none of those that she closed last.
    for n in 0..=LAST_CLOSED {
        let mut customer = world.customer("Shop").await;
        let chat = customer.call("chat.open", shop.clone()).await.unwrap()["chat"].clone();
        let offer = anna.wait("offer.presented").await["offer"].clone();
        let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
        anna.call("offer.accept", accept).await.unwrap();
        if n == 0 {
            let to = json!({"queue": id("queue", "Support")});
            let transfer = json!({"command_id": "t1", "chat": chat, "to": to});
            anna.call("chat.transfer", transfer).await.unwrap();
            given_away = chat;
        } else {
            customer.call("chat.end", json!({"command_id": "e1", "chat": chat})).await.unwrap();
        }
    }
    let text = json!({"chat": given_away, "client_message_id": "m1", "text": "one more thing"});
    assert_eq!(anna.refused("message.send", text).await, "not_yours");
}

#[tokio::test]
async fn a_revocation_asks_only_the_sockets_that_it_concerns() {
    use switchboard::access::Holder;
    use switchboard::domain::{ChannelId, UserId};
    let world = World::start().await;
    let (mut anna, mut boris) = (world.user("anna").await, world.user("boris").await);
    let mut visitor = world.customer("Shop").await;
    let edge = world.server.edge();
    let uuid = |kind, name| id(kind, name).parse().unwrap();
    assert_eq!(edge.rights_changed(Holder::User(UserId(uuid("user", "anna")))), 1);
    assert_eq!(edge.channel_changed(ChannelId(uuid("channel", "Shop"))), 1);
    assert_eq!(edge.channel_changed(ChannelId(uuid("channel", "Employees"))), 0);
    assert_eq!(edge.all_rights_changed(), 3);
    // Who was asked in vain goes on; who was deactivated does not.
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/users/{}", id("user", "anna"));
    let mut user = world.ask("GET", &path, &admin, None).await.1;
    let members = ["id", "has_password", "demo_password"];
    user.as_object_mut().unwrap().retain(|name, _| !members.contains(&name.as_str()));
    user["active"] = json!(false);
    let (status, answer) = world.ask("PUT", &path, &admin, Some(user)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(anna.until_closed().await, 4002);
    boris.call("chat.list", json!({"scope": "mine"})).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    visitor.call("chat.open", open).await.unwrap();
}

#[tokio::test]
async fn ones_own_password_is_set_in_one_way_which_asks_for_the_present_one() {
    let world = World::start().await;
    let token = world.log_in("admin").await;
    let path = format!("/api/v1/users/{}", id("user", "admin"));
    let (_, shown) = world.ask("GET", &path, &token, None).await;
    let mut body = json!({"password": "a password of a thief"});
    for name in ["version", "name", "login", "role", "active", "capacity"] {
        body[name] = shown[name].clone();
    }
    let (status, refused) = world.ask("PUT", &path, &token, Some(body.clone())).await;
    assert_eq!((status, &refused["field"]), (422, &json!("password")), "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("with the present one"), "{refused}");
    let set = format!("{path}/password");
    let without = json!({"password": "a password of a thief"});
    assert_eq!(world.ask("PUT", &set, &token, Some(without)).await.0, 422);
    let wrong = json!({"password": "a password of a thief", "current": "guessed it is"});
    assert_eq!(world.ask("PUT", &set, &token, Some(wrong)).await.0, 401);
    assert_eq!(world.tokens("admin", "demo-admin-1").await.0, 201, "nothing was changed");
    // All else of oneself, and everybody else's password, is changed as before.
    body.as_object_mut().unwrap().remove("password");
    body["name"] = json!("Ada");
    assert_eq!(world.ask("PUT", &path, &token, Some(body)).await.0, 200);
    let anna = format!("/api/v1/users/{}/password", id("user", "anna"));
    let new = json!({"password": "a new one for anna"});
    assert_eq!(world.ask("PUT", &anna, &token, Some(new)).await.0, 204);
}

#[tokio::test]
async fn a_published_password_is_refused_by_whatever_way_it_comes() {
    let world = World::start().await;
    let token = world.log_in("admin").await;
    let anna = format!("/api/v1/users/{}", id("user", "anna"));
    let (_, shown) = world.ask("GET", &anna, &token, None).await;
    assert_eq!(shown["demo_password"], true);
    // Her own one again, and one of somebody else.
    for password in ["demo-anna-01", "demo-boris-1"] {
        let set = json!({"password": password});
        let path = format!("{anna}/password");
        let (status, refused) = world.ask("PUT", &path, &token, Some(set)).await;
        assert_eq!((status, &refused["field"]), (422, &json!("password")), "{refused}");
        let mut body = json!({"password": password});
        for name in ["version", "name", "login", "role", "active", "capacity"] {
            body[name] = shown[name].clone();
        }
        assert_eq!(world.ask("PUT", &anna, &token, Some(body)).await.0, 422);
        let mut new = json!({"name": "Eve", "login": "eve", "role": "operator", "active": true});
        new["capacity"] = json!(1);
        new["password"] = json!(password);
        assert_eq!(world.ask("POST", "/api/v1/users", &token, Some(new)).await.0, 422);
    }
    let own = json!({"current": "demo-admin-1", "password": "demo-admin-1"});
    let path = format!("/api/v1/users/{}/password", id("user", "admin"));
    assert_eq!(world.ask("PUT", &path, &token, Some(own)).await.0, 422);
    let (_, shown) = world.ask("GET", &anna, &token, None).await;
    assert_eq!(shown["demo_password"], true, "the flag stays");
}

/// A store from before published passwords were refused, or one that was imported: the flag is
/// gone, the password is there.
#[tokio::test]
async fn a_published_password_without_its_flag_is_found_before_the_public_can_come() {
    use switchboard::app::{Server, StoreChoice};
    use switchboard::storage::memory::MemoryStore;
    let store = MemoryStore::new().store();
    let mut settings = settings();
    let start = |settings| Server::start(plan(settings, StoreChoice::Given(store.clone())));
    start(settings.clone()).await.unwrap().stop().await;
    let users = store.documents.list("user", None, 10).await.unwrap();
    assert_eq!(users.len(), 6);
    for user in users {
        let mut record: Value = serde_json::from_slice(&user.body.unwrap()).unwrap();
        record["demo_password"] = json!(false);
        // Who is inactive is found too, else it would come back with its password later.
        record["active"] = json!(record["login"] != "boris");
        let body = serde_json::to_vec(&record).unwrap();
        store.documents.put("user", &user.id, user.version, body).await.unwrap();
    }
    settings.server.listen = "0.0.0.0:0".parse().unwrap();
    let refused = start(settings.clone()).await.err().expect("a refusal").to_string();
    assert!(refused.contains("admin") && refused.contains("dmitri"), "{refused}");
    settings.server.listen = "127.0.0.1:0".parse().unwrap();
    let world = World { server: start(settings).await.unwrap() };
    let token = world.log_in("admin").await;
    let (_, page) = world.ask("GET", "/api/v1/users", &token, None).await;
    for user in page["items"].as_array().unwrap() {
        assert_eq!(user["demo_password"], true, "{user}");
    }
}

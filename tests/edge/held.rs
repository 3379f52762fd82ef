//! Revocations, and what was under way when they came: each changing route and each changing method
//! is stopped between the check at its beginning and its write, and its right is taken away. Once
//! the revocation is answered, nothing of it takes effect any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard::access::Before;
use switchboard::actors::Options;
use switchboard::app::{Server, StoreChoice};
use switchboard::domain::event::AssignedHow;
use switchboard::domain::rights::Operation;
use switchboard::domain::{
    ChannelId, ChatEvent, ChatId, Customer, CustomerId, Party, Status, UserId,
};
use switchboard::protocol::Method;
use switchboard::protocol::rest::{Route, Verb};
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::harness::{World, demo_password, id, media_type, plan, request, settings, until};
use crate::hooked::{Asked, Call, Hook, Trouble, hooked};

/// Stops the next who asks for a permit to do something.
#[derive(Default)]
pub struct Stop {
    at: Mutex<Option<(Operation, Arc<Gate>)>>,
}

/// Where one is stopped.
pub struct Gate {
    reached: Semaphore,
    go: Semaphore,
}

impl Stop {
    pub fn on(world: &World) -> Arc<Self> {
        let stop = Arc::new(Self::default());
        let stopping = Arc::clone(&stop);
        let before: Before = Arc::new(move |operation| {
            let mut at = stopping.at.lock().unwrap();
            let gate = at.take_if(|(stopped, _)| *stopped == operation).map(|(_, gate)| gate);
            Box::pin(async move {
                if let Some(gate) = gate {
                    gate.reached.add_permits(1);
                    gate.go.acquire().await.unwrap().forget();
                }
            })
        });
        world.server.edge().access.permits().stop_before(before);
        stop
    }

    pub fn next(&self, operation: Operation) -> Arc<Gate> {
        let gate = Arc::new(Gate { reached: Semaphore::new(0), go: Semaphore::new(0) });
        *self.at.lock().unwrap() = Some((operation, Arc::clone(&gate)));
        gate
    }
}

impl Gate {
    pub async fn reached(&self) {
        let reached = self.reached.acquire();
        tokio::time::timeout(crate::harness::PATIENCE, reached).await.unwrap().unwrap().forget();
    }

    pub fn go(&self) {
        self.go.add_permits(1);
    }
}

/// A server whose store the test can look into.
pub async fn world() -> (World, Store) {
    let store = MemoryStore::new().store();
    let server = Server::start(plan(settings(), StoreChoice::Given(store.clone()))).await.unwrap();
    (World { server }, store)
}

/// All documents that say who and what there is.
pub async fn documents(store: &Store) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for kind in store.inventory.document_kinds().await.unwrap() {
        // How far the trail is concluded goes on by itself.
        if kind == "audit" {
            continue;
        }
        for document in store.documents.list(&kind, None, 10_000).await.unwrap() {
            found.insert(format!("{kind} {}", document.id), document.version);
        }
    }
    found
}

/// What an administrator's token is taken away by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Revocation {
    Deactivated,
    Demoted,
    NewPassword,
    LoggedOut,
}

const REVOCATIONS: [Revocation; 4] =
    [Revocation::Deactivated, Revocation::Demoted, Revocation::NewPassword, Revocation::LoggedOut];

const PASSWORD: &str = "quite a long password";

pub struct Admins<'a> {
    pub world: &'a World,
    pub admin: String,
    pub made: std::cell::Cell<u32>,
}

/// Somebody whose right is taken away.
pub struct Victim {
    user: String,
    login: String,
    access: String,
    refresh: String,
}

impl Admins<'_> {
    async fn get(&self, path: &str) -> Value {
        self.world.ask("GET", path, &self.admin, None).await.1
    }

    async fn must(&self, verb: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.world.ask(verb, path, &self.admin, body).await;
        assert!((200..300).contains(&status), "{verb} {path}: {status} {answer}");
        answer
    }

    pub async fn victim(&self, role: &str) -> Victim {
        let n = self.made.get() + 1;
        self.made.set(n);
        let login = format!("victim-{n}");
        let body = json!({"name": "Victim", "login": login, "role": role, "active": true,
            "capacity": 3, "password": PASSWORD});
        let made = self.must("POST", "/api/v1/users", Some(body)).await;
        let (status, tokens) = self.world.tokens(&login, PASSWORD).await;
        assert_eq!(status, 201, "{tokens}");
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Victim {
            user: made["id"].as_str().unwrap().to_owned(),
            login,
            access: text("access_token"),
            refresh: text("refresh_token"),
        }
    }

    async fn revoke(&self, victim: &Victim, how: Revocation) {
        let path = format!("/api/v1/users/{}", victim.user);
        let user = self.get(&path).await;
        let body = |role: &str, active: bool| {
            Some(json!({"version": user["version"], "name": "Victim", "login": victim.login,
                "role": role, "active": active, "capacity": 3}))
        };
        match how {
            Revocation::Deactivated => self.must("PUT", &path, body("administrator", false)).await,
            Revocation::Demoted => self.must("PUT", &path, body("operator", true)).await,
            Revocation::NewPassword => {
                let body = json!({"password": "another long password"});
                self.must("PUT", &format!("{path}/password"), Some(body)).await
            }
            Revocation::LoggedOut => {
                let path = "/api/v1/sessions/current";
                let (status, _) = self.world.ask("DELETE", path, &victim.access, None).await;
                assert_eq!(status, 204);
                Value::Null
            }
        };
    }

    /// A request to the route that would have an effect.
    pub async fn request(&self, route: Route, victim: &Victim) -> (String, Option<Value>) {
        let n = self.made.get();
        let at = |what: &str, kind: &str, name: &str| {
            route.path().replace(&format!("{{{what}}}"), &id(kind, name))
        };
        let customer = "0190a3a4-0000-7000-8000-000000000000";
        let site = at("channel", "channel", "Shop").replace("{customer}", customer);
        match route {
            Route::LogIn => (site, Some(json!({"login": victim.login, "password": PASSWORD}))),
            Route::Refresh => (site, Some(json!({"refresh_token": victim.refresh}))),
            Route::LogOut | Route::RevokeVisitorTokens | Route::EraseCustomer => (site, None),
            Route::IssueVisitorToken => (site, Some(json!({}))),
            Route::CreateUser => {
                let login = format!("new-{n}-{}", victim.login);
                (site, Some(user(&login, "New", &Value::Null)))
            }
            Route::ChangeUser => {
                let path = at("user", "user", "clara");
                let version = self.get(&path).await["version"].clone();
                let body = user("clara", &format!("Clara {n}"), &version);
                (path, Some(body))
            }
            Route::PatchUser => {
                let path = at("user", "user", "clara");
                let version = self.get(&path).await["version"].clone();
                (path, Some(json!({"version": version, "name": format!("Clara the {n}th")})))
            }
            Route::SetPassword => {
                (at("user", "user", "clara"), Some(json!({"password": "a password of a victim"})))
            }
            Route::ChangeOperator => {
                let path = at("operator", "user", "clara");
                let body = json!({"version": self.get(&path).await["version"], "capacity": 4});
                (path, Some(body))
            }
            Route::CreateChannel => {
                let body = channel(&format!("New {n}"), true, &Value::Null);
                (site, Some(body))
            }
            Route::ChangeChannel => {
                let version = self.get(&site).await["version"].clone();
                let body = channel(&format!("Shop {n}"), true, &version);
                (site, Some(body))
            }
            Route::PatchChannel => {
                let version = self.get(&site).await["version"].clone();
                (site, Some(json!({"version": version, "reference": format!("shop {n}")})))
            }
            Route::NewSiteKey => {
                let channel = self.get(site.trim_end_matches("/site-key")).await;
                (site, Some(json!({"version": channel["version"]})))
            }
            Route::CreateQueue => {
                (site, Some(queue(&format!("New {n}"), "manual", true, &Value::Null)))
            }
            Route::ChangeQueue => {
                let path = at("queue", "queue", "Sales");
                let version = self.get(&path).await["version"].clone();
                let body = queue(&format!("Sales {n}"), "longest_idle", true, &version);
                (path, Some(body))
            }
            Route::PatchQueue => {
                let path = at("queue", "queue", "Sales");
                let version = self.get(&path).await["version"].clone();
                (path, Some(json!({"version": version, "offer_timeout_ms": 20_000 + n})))
            }
            Route::DeleteQueue => {
                let body = queue("Old", "manual", false, &Value::Null);
                let made = self.must("POST", "/api/v1/queues", Some(body)).await;
                (format!("/api/v1/queues/{}?version=1", made["id"].as_str().unwrap()), None)
            }
            Route::CreateAwayReason => {
                (site, Some(reason(&format!("New {n}"), true, &Value::Null)))
            }
            Route::ChangeAwayReason => {
                let path = at("away_reason", "away_reason", "Lunch");
                let version = self.get(&path).await["version"].clone();
                (path, Some(reason(&format!("Lunch {n}"), true, &version)))
            }
            Route::PatchAwayReason => {
                let path = at("away_reason", "away_reason", "Lunch");
                let version = self.get(&path).await["version"].clone();
                (path, Some(json!({"version": version, "name": format!("Lunch the {n}th")})))
            }
            Route::DeleteAwayReason => {
                let body = reason("Old", false, &Value::Null);
                let made = self.must("POST", "/api/v1/away-reasons", Some(body)).await;
                (format!("/api/v1/away-reasons/{}?version=1", made["id"].as_str().unwrap()), None)
            }
            Route::DeleteChannel => {
                let body = channel("Old", false, &Value::Null);
                let made = self.must("POST", "/api/v1/channels", Some(body)).await;
                (format!("/api/v1/channels/{}?version=1", made["id"].as_str().unwrap()), None)
            }
            other => panic!("{} changes nothing, or has no request here", other.id()),
        }
    }
}

/// A body with all that it must have; of version 0 when that is null.
fn with_version(mut body: Value, version: &Value) -> Value {
    if !version.is_null() {
        body["version"] = version.clone();
    }
    body
}

fn user(login: &str, name: &str, version: &Value) -> Value {
    let body = json!({"name": name, "login": login, "role": "operator", "active": true,
        "capacity": 3});
    with_version(body, version)
}

fn queue(name: &str, rule: &str, active: bool, version: &Value) -> Value {
    let body = json!({"name": name, "rule": rule, "active": active,
        "members": [id("user", "anna")], "priority": 0, "offer_timeout_ms": 30_000});
    with_version(body, version)
}

fn reason(name: &str, active: bool, version: &Value) -> Value {
    with_version(json!({"name": name, "active": active}), version)
}

fn channel(name: &str, active: bool, version: &Value) -> Value {
    let body = json!({"name": name, "provider": "web_chat", "active": active, "sender": "channel",
        "queue": id("queue", "Sales")});
    with_version(body, version)
}

pub fn changing() -> impl Iterator<Item = Route> {
    Route::ALL.iter().copied().filter(|route| route.verb() != Verb::Get)
}

#[tokio::test]
async fn no_route_takes_effect_once_the_right_to_it_is_gone() {
    let mut held = 0;
    for how in REVOCATIONS {
        let (world, store) = world().await;
        let stop = Stop::on(&world);
        let admin = world.log_in("admin").await;
        let admins = Admins { world: &world, admin, made: std::cell::Cell::new(0) };
        for route in changing() {
            // Who logs out takes nothing but its own.
            let own = route == Route::LogOut
                || (route == Route::LogIn && how == Revocation::LoggedOut)
                || (route == Route::LogIn && how == Revocation::Demoted);
            if own {
                continue;
            }
            let what = format!("{} by who is {how:?}", route.id());
            let victim = admins.victim("administrator").await;
            let (path, body) = admins.request(route, &victim).await;
            let gate = stop.next(route.operation());
            let (address, verb) = (world.server.address, route.verb().name());
            let token = match route {
                Route::LogIn | Route::Refresh => String::new(),
                _ => victim.access.clone(),
            };
            let asked = {
                let body = body.clone().map(|body| (media_type(verb), body.to_string()));
                let path = path.clone();
                tokio::spawn(async move { request(address, verb, &path, &token, body).await })
            };
            gate.reached().await;
            admins.revoke(&victim, how).await;
            let before = documents(&store).await;
            gate.go();
            let (status, answer) = asked.await.unwrap();
            assert_eq!(status, 401, "{what}: {answer}");
            assert_eq!(documents(&store).await, before, "{what}");
            held += 1;
            // The same request has an effect when nobody's right is taken away.
            if how == Revocation::Deactivated && ![Route::LogIn, Route::Refresh].contains(&route) {
                let (path, body) = admins.request(route, &victim).await;
                admins.must(verb, &path, body).await;
            }
        }
        world.server.stop().await;
    }
    assert_eq!(held, REVOCATIONS.len() * (changing().count() - 1) - 2);
}

#[tokio::test]
async fn no_route_of_a_site_takes_effect_once_its_key_was_replaced() {
    let (world, store) = world().await;
    let stop = Stop::on(&world);
    let admin = world.log_in("admin").await;
    let admins = Admins { world: &world, admin, made: std::cell::Cell::new(0) };
    let site = format!("/api/v1/channels/{}", id("channel", "Shop"));
    let new_key = async || {
        let version = admins.get(&site).await["version"].clone();
        let path = format!("{site}/site-key");
        let made = admins.must("POST", &path, Some(json!({"version": version}))).await;
        made["site_key"].as_str().unwrap().to_owned()
    };
    let victim = admins.victim("operator").await;
    for route in [Route::IssueVisitorToken, Route::RevokeVisitorTokens, Route::EraseCustomer] {
        let key = new_key().await;
        let (path, body) = admins.request(route, &victim).await;
        let gate = stop.next(route.operation());
        let (address, verb) = (world.server.address, route.verb().name());
        let body = body.map(|body| ("application/json", body.to_string()));
        let asked = tokio::spawn(async move { request(address, verb, &path, &key, body).await });
        gate.reached().await;
        let key = new_key().await;
        let before = documents(&store).await;
        gate.go();
        let (status, answer) = asked.await.unwrap();
        assert_eq!(status, 401, "{}: {answer}", route.id());
        assert_eq!(documents(&store).await, before);
        let (path, body) = admins.request(route, &victim).await;
        let (status, _) = world.ask(verb, &path, &key, body).await;
        assert_eq!(status, route.status());
    }
}

/// A call that is about to be made, and how to see whether it had an effect.
struct Prepared {
    client: Client,
    /// Whose right it is.
    login: Option<&'static str>,
    customer: String,
    chat: Option<ChatId>,
    params: Value,
}

async fn prepare(world: &World, method: Method) -> Prepared {
    let (token, customer_id) = world.visitor("Shop", None).await;
    let mut customer = world.socket().await;
    customer.open(&token, json!([])).await.unwrap();
    let prepared = |client, login, chat: Option<&Value>, params| Prepared {
        client,
        login,
        customer: customer_id.clone(),
        chat: chat.map(|chat| ChatId::parse(chat.as_str().unwrap()).unwrap()),
        params,
    };
    let shop = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    if method == Method::ChatOpen {
        return prepared(customer, None, None, shop);
    }
    if method == Method::OperatorSetStatus {
        let anna = world.user("anna").await;
        return prepared(anna, Some("anna"), None, json!({"command_id": "s", "status": "busy"}));
    }
    let mut anna = world.ready("anna").await;
    let chat = customer.call("chat.open", shop).await.unwrap()["chat"].clone();
    let text = json!({"chat": chat, "client_message_id": "m0", "text": "first"});
    customer.call("message.send", text).await.unwrap();
    let offer = anna.wait("offer.presented").await["offer"].clone();
    if matches!(method, Method::SessionOpen | Method::SessionRenew) {
        // Its page has got another token, and comes back with it, or goes on.
        let token =
            world.profile("Shop", &customer_id, json!({"priority": 3, "name": "Zoe"})).await;
        return match method {
            Method::SessionOpen => {
                let params = json!({"token": token, "resume": []});
                prepared(world.socket().await, None, Some(&chat), params)
            }
            _ => prepared(customer, None, Some(&chat), json!({"token": token})),
        };
    }
    let command = json!({"command_id": "x", "chat": chat});
    let of_offer = json!({"command_id": "a0", "chat": chat, "offer": offer});
    match method {
        Method::OfferShown => {
            let params = json!({"chat": chat, "offer": offer});
            return prepared(anna, Some("anna"), Some(&chat), params);
        }
        Method::OfferAccept | Method::OfferDecline => {
            return prepared(anna, Some("anna"), Some(&chat), of_offer);
        }
        _ => {}
    }
    anna.call("offer.accept", of_offer).await.unwrap();
    match method {
        Method::MessageSend => {
            let text = json!({"chat": chat, "client_message_id": "m1", "text": "second"});
            prepared(anna, Some("anna"), Some(&chat), text)
        }
        Method::MessageReceived | Method::MessageRead => {
            prepared(anna, Some("anna"), Some(&chat), json!({"chat": chat, "up_to": 2}))
        }
        Method::ChatEnd => prepared(customer, None, Some(&chat), command),
        Method::ChatSetState => {
            let params = json!({"command_id": "x", "chat": chat, "state": "in_progress"});
            prepared(anna, Some("anna"), Some(&chat), params)
        }
        Method::ChatTransfer | Method::ChatTake => {
            let to = json!({"queue": id("queue", "Back office")});
            let params = json!({"command_id": "t", "chat": chat, "to": to});
            if method == Method::ChatTransfer {
                return prepared(anna, Some("anna"), Some(&chat), params);
            }
            anna.call("chat.transfer", params).await.unwrap();
            let dmitri = world.ready("dmitri").await;
            prepared(dmitri, Some("dmitri"), Some(&chat), command)
        }
        other => panic!("{} has no call here", other.name()),
    }
}

/// Whether the call is in the store.
async fn took_effect(store: &Store, method: Method, of: &Prepared) -> bool {
    let events = match of.chat {
        Some(chat) => store.log.read(chat, 1, 1_000).await.unwrap(),
        None => Vec::new(),
    };
    let any = |so: fn(&ChatEvent) -> bool| events.iter().any(|event| so(&event.event));
    match method {
        Method::ChatOpen => {
            let channel = ChannelId::parse(&id("channel", "Shop")).unwrap();
            let customer = Customer { channel, id: CustomerId::parse(&of.customer).unwrap() };
            store.conversations.latest(customer).await.unwrap().is_some()
        }
        Method::SessionOpen | Method::SessionRenew => {
            any(|event| matches!(event, ChatEvent::CustomerUpdated { .. }))
        }
        Method::MessageSend => {
            any(|event| matches!(event, ChatEvent::Message { from: Party::User(_), .. }))
        }
        Method::MessageReceived | Method::MessageRead => {
            let anna = Party::User(UserId::parse(&id("user", "anna")).unwrap());
            let watermarks = store.watermarks.load(of.chat.unwrap()).await.unwrap();
            watermarks.get(&anna).is_some_and(|watermark| watermark.delivered >= 2)
        }
        Method::ChatEnd => any(|event| matches!(event, ChatEvent::Ended { .. })),
        Method::OperatorSetStatus => {
            let anna = UserId::parse(&id("user", "anna")).unwrap();
            store.operators.load(anna).await.unwrap().status == Status::Busy
        }
        // It leaves nothing in the store: the word is all there is.
        Method::OfferShown => false,
        Method::OfferAccept => any(|event| matches!(event, ChatEvent::Assigned { .. })),
        Method::OfferDecline => any(|event| matches!(event, ChatEvent::Declined { .. })),
        Method::ChatTransfer => events.iter().any(|event| {
            let back_office = id("queue", "Back office");
            matches!(&event.event, ChatEvent::Placed { queue, .. } if queue.to_string() == back_office)
        }),
        Method::ChatTake => {
            any(|event| matches!(event, ChatEvent::Assigned { how: AssignedHow::Taken, .. }))
        }
        Method::ChatSetState => any(|event| matches!(event, ChatEvent::Begun { .. })),
        other => panic!("{} has no effect here", other.name()),
    }
}

/// Takes away what the call is made with; answers when that is answered.
async fn revoke(world: &World, of: &Prepared) {
    let admin = world.log_in("admin").await;
    match of.login {
        None => {
            let site = id("channel", "Shop");
            let path = format!("/api/v1/channels/{site}/visitor-tokens/{}", of.customer);
            assert_eq!(world.ask("DELETE", &path, &admin, None).await.0, 204);
        }
        Some(login) => {
            let path = format!("/api/v1/users/{}/password", id("user", login));
            let body = Some(json!({"password": "another long password"}));
            assert_eq!(world.ask("PUT", &path, &admin, body).await.0, 204);
        }
    }
}

#[tokio::test]
async fn no_call_takes_effect_once_the_right_to_it_is_gone() {
    let mut held = 0;
    for method in Method::ALL.iter().copied().filter(|method| method.changes()) {
        for revoked in [false, true] {
            let (world, store) = world().await;
            let stop = Stop::on(&world);
            let mut prepared = prepare(&world, method).await;
            let what = method.name();
            assert!(!took_effect(&store, method, &prepared).await, "{what}: not yet");
            if !revoked {
                let params = prepared.params.clone();
                prepared.client.call(what, params).await.unwrap();
                let effect = method != Method::OfferShown;
                assert_eq!(took_effect(&store, method, &prepared).await, effect, "{what}");
                world.server.stop().await;
                continue;
            }
            let gate = stop.next(method.operation());
            let params = prepared.params.clone();
            let call = prepared.client.send(what, params).await;
            gate.reached().await;
            revoke(&world, &prepared).await;
            gate.go();
            let answer = prepared.client.answered_before_the_end(call).await;
            assert!(answer.is_none_or(|answer| answer.get("error").is_some()), "{what}");
            until("it is over", async || world.server.edge().calls_under_way() == 0).await;
            assert!(!took_effect(&store, method, &prepared).await, "{what} took effect");
            held += 1;
            world.server.stop().await;
        }
    }
    assert_eq!(held, 14);
}

/// Appends wait while they are held.
struct Held {
    holding: AtomicBool,
    waiting: Semaphore,
    go: Semaphore,
}

#[async_trait]
impl Hook for Held {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if asked == Asked::Append && self.holding.load(SeqCst) {
            self.waiting.add_permits(1);
            self.go.acquire().await.unwrap().forget();
        }
        call.await;
        Ok(())
    }
}

#[tokio::test]
async fn a_revocation_is_answered_when_the_write_that_it_met_has_ended() {
    a_revocation_waits_for_the_write(Options::default().call_limit, false).await;
}

#[tokio::test]
async fn a_revocation_waits_for_the_write_also_when_who_asked_for_it_had_no_answer_in_time() {
    a_revocation_waits_for_the_write(Duration::from_secs(2), true).await;
}

async fn a_revocation_waits_for_the_write(call_limit: Duration, given_up: bool) {
    let inner = MemoryStore::new().store();
    let held = Arc::new(Held {
        holding: AtomicBool::new(false),
        waiting: Semaphore::new(0),
        go: Semaphore::new(0),
    });
    let store = hooked(&inner, Arc::clone(&held) as _);
    let mut plan = plan(settings(), StoreChoice::Given(store));
    // The write itself is given up by nobody.
    (plan.router.call_limit, plan.router.store_limit) = (call_limit, Duration::from_secs(60));
    let server = Server::start(plan).await.unwrap();
    let world = World { server };
    let mut prepared = prepare(&world, Method::MessageSend).await;
    let token = world.tokens("anna", &demo_password("anna")).await.1["access_token"].clone();
    held.holding.store(true, SeqCst);
    let asked = prepared.client.send("message.send", prepared.params.clone()).await;
    held.waiting.acquire().await.unwrap().forget();
    if given_up {
        let answer = prepared.client.answer(asked).await;
        assert_eq!(answer.unwrap_err()["data"]["name"], "unavailable");
    }
    // Anna's password is changed; it ends the session in which she is writing.
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/users/{}/password", id("user", "anna"));
    let (address, body) = (world.server.address, json!({"password": "another long password"}));
    let revoking = tokio::spawn(async move {
        request(address, "PUT", &path, &admin, Some(("application/json", body.to_string()))).await.0
    });
    let users = "/api/v1/users";
    let token = token.as_str().unwrap();
    until("it is visible", async || world.ask("GET", users, token, None).await.0 == 401).await;
    // Her socket is closed, and still the write goes on.
    prepared.client.until_ended().await;
    for _ in 0..20 {
        world.ask("GET", users, token, None).await;
    }
    assert!(!revoking.is_finished(), "what is under way may take effect yet");
    assert!(!took_effect(&inner, Method::MessageSend, &prepared).await);
    held.holding.store(false, SeqCst);
    held.go.add_permits(100);
    assert_eq!(revoking.await.unwrap(), 204);
    assert!(took_effect(&inner, Method::MessageSend, &prepared).await, "it was handed over before");
}

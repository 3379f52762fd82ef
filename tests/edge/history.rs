//! The list of all chats since the beginning, by REST.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use switchboard::actors::HistoryWriter;
use switchboard::app::{Server, StoreChoice};
use switchboard::domain::ChatId;
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::{FeedConsumer, Store};

use crate::client::Client;
use crate::harness::{World, id, plan, settings, until};

/// A world, and what is written down in it as of now.
struct Past {
    world: World,
    store: Store,
    chats: BTreeMap<&'static str, String>,
    customers: BTreeMap<&'static str, (String, String)>,
}

impl Past {
    async fn new() -> Self {
        let store = MemoryStore::new().store();
        let given = StoreChoice::Given(store.clone());
        let world = World { server: Server::start(plan(settings(), given)).await.unwrap() };
        Self { world, store, chats: BTreeMap::new(), customers: BTreeMap::new() }
    }

    /// A new customer's chat of the channel.
    async fn open(&mut self, name: &'static str, channel: &str) -> Client {
        let (token, customer) = self.world.visitor(channel, None).await;
        let mut socket = self.world.socket().await;
        socket.open(&token, json!([])).await.unwrap();
        let open = json!({"command_id": "c1", "channel": id("channel", channel)});
        let chat = socket.call("chat.open", open).await.unwrap()["chat"].clone();
        self.chats.insert(name, chat.as_str().unwrap().to_owned());
        self.customers.insert(name, (customer, token));
        socket
    }

    /// What follows the feed has come so far.
    async fn written(&self) {
        let writer = HistoryWriter::new(self.store.clone());
        for chat in self.chats.values() {
            writer.take(ChatId::parse(chat).unwrap()).await.unwrap();
        }
    }

    async fn page(&self, token: &str, query: &str) -> Value {
        let path = format!("/api/v1/chats?{query}");
        let (status, page) = self.world.ask("GET", &path, token, None).await;
        assert_eq!(status, 200, "{path}: {page}");
        page
    }

    /// The names of the chats on all pages.
    async fn listed(&self, token: &str, query: &str) -> Vec<&'static str> {
        let (mut names, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.page(token, &format!("{query}{after}")).await;
            for item in page["items"].as_array().unwrap() {
                let id = item["id"].as_str().unwrap();
                names.push(*self.chats.iter().find(|(_, chat)| *chat == id).unwrap().0);
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return names,
            }
        }
    }
}

/// Four chats: one that Anna has ended, one that she gave away to a queue, one that she has, and one of
/// another channel.
async fn past() -> (Past, Client, Vec<Client>) {
    let mut past = Past::new().await;
    let mut anna = past.world.ready("anna").await;
    let mut sockets = Vec::new();
    for name in ["ended", "given", "owned"] {
        sockets.push(past.open(name, "Shop").await);
        let offer = anna.wait("offer.presented").await["offer"].clone();
        let accept =
            json!({"command_id": format!("a-{name}"), "chat": past.chats[name], "offer": offer});
        anna.call("offer.accept", accept).await.unwrap();
        match name {
            "ended" => {
                let end = json!({"command_id": "e1", "chat": past.chats[name]});
                anna.call("chat.end", end).await.unwrap();
            }
            "given" => {
                let to = json!({"queue": id("queue", "Back office")});
                let give = json!({"command_id": "t1", "chat": past.chats[name], "to": to});
                anna.call("chat.transfer", give).await.unwrap();
            }
            _ => {}
        }
    }
    sockets.push(past.open("other", "Employees").await);
    past.written().await;
    (past, anna, sockets)
}

#[tokio::test]
async fn chats_are_listed_by_each_filter_in_both_orders_through_every_page() {
    let (past, _anna, _sockets) = past().await;
    let maria = past.world.log_in("maria").await;
    let (shop, anna) = (id("channel", "Shop"), id("user", "anna"));
    let (customer, _) = past.customers["given"].clone();
    let started = |page: &Value| page["items"][0]["started_at"].as_u64().unwrap();
    let first = started(&past.page(&maria, "sort=started_at").await);
    let cases: [(String, &[&str]); 15] = [
        (String::new(), &["other", "owned", "given", "ended"]),
        ("sort=started_at".to_owned(), &["ended", "given", "owned", "other"]),
        ("sort=-started_at".to_owned(), &["other", "owned", "given", "ended"]),
        (format!("channel={shop}"), &["owned", "given", "ended"]),
        (format!("operator={anna}&sort=started_at"), &["ended", "given", "owned"]),
        (format!("queue={}", id("queue", "Sales")), &["owned", "given", "ended"]),
        (format!("queue={}", id("queue", "Back office")), &["given"]),
        (format!("queue={}&operator={anna}", id("queue", "Back office")), &["given"]),
        (format!("queue={}&channel={shop}", id("queue", "Support")), &[]),
        (format!("channel={shop}&customer={customer}"), &["given"]),
        (format!("channel={}&customer={customer}", id("channel", "Employees")), &[]),
        ("state=waiting&sort=started_at".to_owned(), &["given", "other"]),
        ("state=completed".to_owned(), &["ended"]),
        (format!("from={}", first + 1_000_000), &[]),
        (format!("to={first}"), &[]),
    ];
    for (query, expected) in cases {
        for limit in [1, 2, 3, 200] {
            let query = format!("{query}&limit={limit}");
            let query = query.trim_start_matches('&');
            assert_eq!(past.listed(&maria, query).await, expected, "{query}");
        }
    }
    let page = past.page(&maria, &format!("state=completed&operator={anna}")).await;
    let ended = &page["items"][0];
    assert_eq!(ended["owner"], json!(anna), "{ended}");
    assert_eq!(ended["ended_by"], json!({"kind": "operator", "id": anna}), "{ended}");
    assert_eq!(ended["operators"], json!([anna]), "{ended}");
    assert!(ended["ended_at"].as_u64() >= ended["started_at"].as_u64(), "{ended}");
}

#[tokio::test]
async fn whoever_has_a_limited_right_is_listed_its_own_chats_alone() {
    let (past, mut anna, mut sockets) = past().await;
    let (token, admin) = (past.world.log_in("anna").await, past.world.log_in("admin").await);
    assert_eq!(past.listed(&admin, "sort=started_at").await, ["ended", "given", "owned", "other"]);
    // What she gave away she sees no more.
    assert_eq!(past.listed(&token, "sort=started_at").await, ["ended", "owned"]);
    for query in [
        "limit=1".to_owned(),
        format!("operator={}", id("user", "anna")),
        format!("queue={}", id("queue", "Sales")),
        format!("channel={}", id("channel", "Shop")),
    ] {
        assert_eq!(past.listed(&token, &query).await, ["owned", "ended"], "{query}");
    }
    for query in [
        format!("operator={}", id("user", "boris")),
        format!("queue={}", id("queue", "Back office")),
        format!("channel={}&customer={}", id("channel", "Shop"), past.customers["given"].0),
    ] {
        assert_eq!(past.listed(&token, &query).await, [""; 0], "{query}");
    }
    let boris = past.world.log_in("boris").await;
    assert_eq!(past.listed(&boris, "").await, [""; 0]);
    // The row is late: it says that the chat is hers.
    let give = json!({"command_id": "t2", "chat": past.chats["owned"], "to": {"queue": id("queue", "Back office")}});
    anna.call("chat.transfer", give).await.unwrap();
    assert_eq!(past.listed(&token, "").await, ["ended"]);
    let row = past.page(&admin, &format!("operator={}&state=waiting", id("user", "anna"))).await;
    assert_eq!(row["items"].as_array().unwrap().len(), 2, "others are told where it is now: {row}");
    // It has ended, by its customer, and the row does not say so yet.
    let end = json!({"command_id": "e2", "chat": past.chats["owned"]});
    sockets[2].call("chat.end", end).await.unwrap();
    assert_eq!(past.listed(&token, "").await, ["ended"]);
    past.written().await;
    assert_eq!(past.listed(&token, "").await, ["ended"], "it was nobody's when it ended");
}

#[tokio::test]
async fn a_customer_is_listed_its_own_chats_and_told_what_it_is_told_of_one() {
    let (past, _anna, _sockets) = past().await;
    let (_, token) = past.customers["given"].clone();
    assert_eq!(past.listed(&token, "").await, ["given"]);
    assert_eq!(
        past.listed(&token, &format!("channel={}", id("channel", "Employees"))).await,
        [""; 0]
    );
    let page = past.page(&token, "").await;
    let item = page["items"][0].as_object().unwrap();
    let told: Vec<&str> = item.keys().map(String::as_str).collect();
    assert_eq!(told, ["channel", "id", "started_at", "state"]);
    let shop = id("channel", "Shop");
    for query in [
        format!("queue={}", id("queue", "Back office")),
        format!("operator={}", id("user", "anna")),
        format!("channel={shop}&customer={}", past.customers["given"].0),
    ] {
        let path = format!("/api/v1/chats?{query}");
        let (status, error) = past.world.ask("GET", &path, &token, None).await;
        assert_eq!(status, 400, "{query}: {error}");
    }
    let site =
        crate::rights::token_of(&past.world, switchboard::domain::rights::Subject::Site).await;
    for (token, status) in [("", 401), (site.as_str(), 403)] {
        assert_eq!(past.world.ask("GET", "/api/v1/chats", token, None).await.0, status);
    }
}

#[tokio::test]
async fn what_cannot_be_asked_of_the_chats_is_told() {
    let (past, _anna, _sockets) = past().await;
    let maria = past.world.log_in("maria").await;
    let next = past.page(&maria, "limit=1").await["next"].as_str().unwrap().to_owned();
    let customer = &past.customers["ended"].0;
    for (query, field) in [
        ("state=lost".to_owned(), "state"),
        ("queue=sales".to_owned(), "queue"),
        (format!("customer={customer}"), "customer"),
        ("sort=name".to_owned(), "sort"),
        ("from=-1".to_owned(), "from"),
        ("limit=0".to_owned(), "limit"),
        ("limit=201".to_owned(), "limit"),
        ("after=nothing".to_owned(), "after"),
        // Of another order, and of other filters.
        (format!("after={next}&sort=started_at"), "after"),
        (format!("after={next}&state=waiting"), "after"),
        ("name=Anna".to_owned(), "name"),
    ] {
        let path = format!("/api/v1/chats?{query}");
        let (status, error) = past.world.ask("GET", &path, &maria, None).await;
        assert_eq!((status, &error["field"]), (400, &json!(field)), "{query}: {error}");
    }
    let page = past.page(&maria, &format!("after={next}&limit=3")).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 3, "the size of a page may change");
}

#[tokio::test]
async fn pages_of_chats_do_not_shift_while_others_are_opened() {
    let (mut past, _anna, mut sockets) = past().await;
    let maria = past.world.log_in("maria").await;
    let page = past.page(&maria, "limit=2").await;
    let next = page["next"].as_str().unwrap().to_owned();
    sockets.push(past.open("later", "Employees").await);
    past.written().await;
    let rest = past.listed(&maria, &format!("limit=2&after={next}")).await;
    assert_eq!(rest, ["given", "ended"]);
    assert_eq!(past.listed(&maria, "limit=1").await[0], "later");
}

#[tokio::test]
async fn chats_come_into_the_list_by_themselves_and_go_with_their_customer() {
    let mut past = Past::new().await;
    let admin = past.world.log_in("admin").await;
    let mut socket = past.open("one", "Shop").await;
    let page = async |past: &Past| past.page(&admin, "").await;
    let states = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["state"].as_str().unwrap().to_owned()).collect()
    };
    until("the chat is listed", async || {
        let page = page(&past).await;
        page["complete"] == true && states(&page) == ["waiting"]
    })
    .await;
    let end = json!({"command_id": "e1", "chat": past.chats["one"]});
    socket.call("chat.end", end).await.unwrap();
    until("its end is told", async || states(&page(&past).await) == ["missed"]).await;
    let customer = &past.customers["one"].0;
    let path = format!("/api/v1/channels/{}/customers/{customer}", id("channel", "Shop"));
    assert_eq!(past.world.ask("DELETE", &path, &admin, None).await.0, 204);
    // A row that was about to be written is taken back.
    until("nothing is left", async || states(&page(&past).await).is_empty()).await;
}

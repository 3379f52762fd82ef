//! Lost connections: a client gets what it missed, each event once, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use async_trait::async_trait;
use serde_json::{Value, json};
use switchboard::app::{Server, StoreChoice};
use switchboard::domain::ChatId;
use switchboard::storage::memory::MemoryStore;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::harness::{World, id, plan, settings, until};
use crate::hold::Hold;
use crate::hooked::{Asked, Call, Hook, Trouble, hooked};

/// A chat of a customer that anna has accepted.
pub async fn accepted(world: &World) -> (String, Client, Client, Value) {
    let mut anna = world.ready("anna").await;
    let (token, _) = world.visitor("Shop", None).await;
    let mut customer = world.socket().await;
    customer.open(&token, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    let offer = anna.wait("offer.presented").await["offer"].clone();
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
    anna.call("offer.accept", accept).await.unwrap();
    (token, customer, anna, chat)
}

fn message(chat: &Value, n: u32) -> Value {
    json!({"chat": chat, "client_message_id": format!("m{n}"), "text": format!("text {n}")})
}

#[tokio::test]
async fn what_was_missed_comes_once_and_in_order_while_more_arrives() {
    let world = World::start().await;
    let (token, mut customer, mut anna, chat) = accepted(&world).await;
    anna.call("message.send", message(&chat, 0)).await.unwrap();
    let seen = customer.event("message").await;
    drop(customer);
    for n in 1..=40 {
        anna.call("message.send", message(&chat, n)).await.unwrap();
    }
    // More is written while the customer comes back.
    let mut back = world.socket().await;
    let resume = json!([{"chat": chat, "cursor": seen["cursor"]}]);
    let writing = async {
        for n in 41..=80 {
            anna.call("message.send", message(&chat, n)).await.unwrap();
        }
    };
    let (opened, ()) = tokio::join!(back.open(&token, resume), writing);
    let opened = opened.unwrap();
    assert_eq!(opened["chats"][0]["id"], chat);
    assert_eq!(opened["chats"][0]["reload"], false);
    let mut last = seen["seq"].as_u64().unwrap();
    for n in 1..=80 {
        let got = back.event("message").await;
        assert_eq!(got["text"], format!("text {n}"));
        assert!(got["seq"].as_u64().unwrap() > last, "in order, none twice");
        last = got["seq"].as_u64().unwrap();
    }
}

/// Watermarks cannot be read, so that every look at a chat asks for them again; or are, when they may.
struct HeldWatermarks {
    are_held: AtomicBool,
    reached: Semaphore,
    go_on: Semaphore,
}

#[async_trait]
impl Hook for HeldWatermarks {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if asked == Asked::LoadWatermarks {
            if !self.are_held.load(SeqCst) {
                return Err(Trouble::Refused);
            }
            self.reached.add_permits(1);
            self.go_on.acquire().await.unwrap().forget();
        }
        call.await;
        Ok(())
    }
}

#[tokio::test]
async fn what_is_said_while_a_session_is_opened_comes_once() {
    let none = || Semaphore::new(0);
    let are_held = AtomicBool::new(false);
    let watermarks = Arc::new(HeldWatermarks { are_held, reached: none(), go_on: none() });
    let store = hooked(&MemoryStore::new().store(), Arc::clone(&watermarks) as _);
    let plan = plan(settings(), StoreChoice::Given(store));
    let world = World { server: Server::start(plan).await.unwrap() };
    let (token, _) = world.visitor("Shop", None).await;
    let (mut left, mut right) = (world.socket().await, world.socket().await);
    left.open(&token, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = left.call("chat.open", open).await.unwrap()["chat"].clone();
    left.call("message.send", message(&chat, 0)).await.unwrap();
    let seen = left.event("message").await;
    // A chat that began in this life has none to read.
    let router = &world.server.edge().router;
    router.crash_chat(ChatId(chat.as_str().unwrap().parse().unwrap()));
    until("it lives again", async || router.restarts() == 1).await;
    watermarks.are_held.store(true, SeqCst);
    // The other tab is connected, and has not looked at the chat yet.
    let said = async {
        watermarks.reached.acquire().await.unwrap().forget();
        left.call("message.send", message(&chat, 1)).await.unwrap();
        watermarks.are_held.store(false, SeqCst);
        watermarks.go_on.add_permits(1);
    };
    let resume = json!([{"chat": chat, "cursor": seen["cursor"]}]);
    let (opened, ()) = tokio::join!(right.open(&token, resume), said);
    opened.unwrap();
    left.call("message.send", message(&chat, 2)).await.unwrap();
    for n in 1..=2 {
        assert_eq!(right.event("message").await["text"], format!("text {n}"));
    }
}

#[tokio::test]
async fn a_page_ends_where_the_chat_was_when_it_was_permitted() {
    let reads = Hold::of(|asked| matches!(asked, Asked::Read(_)));
    let store = hooked(&MemoryStore::new().store(), Arc::clone(&reads) as _);
    let plan = plan(settings(), StoreChoice::Given(store));
    let world = World { server: Server::start(plan).await.unwrap() };
    let (_, mut customer, mut anna, chat) = accepted(&world).await;
    let first = anna.event("assigned").await["cursor"].clone();
    customer.call("message.send", message(&chat, 1)).await.unwrap();
    anna.event("message").await;
    let mut other = world.user("anna").await;
    reads.next();
    let away = async {
        reads.reached().await;
        let to = json!({"queue": id("queue", "Support")});
        let transfer = json!({"command_id": "t1", "chat": chat, "to": to});
        other.call("chat.transfer", transfer).await.unwrap();
        customer.call("message.send", message(&chat, 2)).await.unwrap();
        reads.go_on();
    };
    let after = json!({"chat": chat, "after": first});
    let (page, ()) = tokio::join!(anna.call("chat.history", after), away);
    let page = page.unwrap();
    let events = page["events"].as_array().unwrap();
    let texts: Vec<&Value> = events.iter().map(|event| &event["text"]).collect();
    assert_eq!(texts, ["text 1"], "{page}");
    assert_eq!((&page["more"], &page["after"]), (&json!(false), &events[0]["cursor"]), "{page}");
}

#[tokio::test]
async fn a_gap_too_large_or_a_cursor_that_cannot_be_is_loaded_anew() {
    let world = World::start().await;
    let (token, customer, mut anna, chat) = accepted(&world).await;
    drop(customer);
    for n in 0..520 {
        let sent = message(&chat, n);
        until("sent", async || anna.call("message.send", sent.clone()).await.is_ok()).await;
        if n % 150 == 149 {
            anna = world.user("anna").await;
        }
    }
    let page = anna.call("chat.history", json!({"chat": chat, "limit": 1})).await.unwrap();
    let first = json!({"chat": chat, "after": page["after"], "limit": 1});
    assert_eq!(anna.call("chat.history", first).await.unwrap()["events"], json!([]));
    let mut back = world.socket().await;
    let other = id("channel", "Shop");
    let resume = json!([{"chat": chat, "cursor": "AQAAAAAAAAABAAAAAA"}, {"chat": other, "cursor": page["after"]}]);
    let opened = back.open(&token, resume).await.unwrap();
    assert_eq!(opened["chats"][0]["reload"], true);
    assert_eq!(opened["gone"], json!([other]));
    // The whole chat, page by page, backwards.
    let (mut texts, mut before) = (Vec::new(), Value::Null);
    let early = loop {
        let mut ask = json!({"chat": chat, "limit": 100});
        if !before.is_null() {
            ask["before"] = before.clone();
        }
        let page = back.call("chat.history", ask).await.unwrap();
        let events = page["events"].as_array().unwrap();
        let of_page = events.iter().filter_map(|event| event["text"].as_str());
        let mut of_page: Vec<String> = of_page.map(str::to_owned).collect();
        of_page.extend(texts);
        texts = of_page;
        match page.get("before") {
            Some(next) => before = next.clone(),
            None => break events[0]["cursor"].clone(),
        }
    };
    let expected: Vec<String> = (0..520).map(|n| format!("text {n}")).collect();
    assert_eq!(texts, expected);
    let resume = json!([{"chat": chat, "cursor": early}]);
    let opened = world.socket().await.open(&token, resume).await.unwrap();
    assert_eq!(opened["chats"][0]["reload"], true, "it has missed too much to be sent all of it");
}

#[tokio::test]
async fn a_page_asked_for_by_the_cursor_of_an_event_does_not_give_that_event_again() {
    let world = World::start().await;
    let (_, mut customer, _anna, chat) = accepted(&world).await;
    for n in 0..6 {
        customer.call("message.send", message(&chat, n)).await.unwrap();
    }
    let all = customer.call("chat.history", json!({"chat": chat})).await.unwrap();
    let all = all["events"].as_array().unwrap().clone();
    let seqs =
        |events: &[Value]| events.iter().map(|event| event["seq"].clone()).collect::<Vec<_>>();
    for (at, event) in all.iter().enumerate() {
        let before = json!({"chat": chat, "before": event["cursor"]});
        let page = customer.call("chat.history", before).await.unwrap();
        assert_eq!(seqs(page["events"].as_array().unwrap()), seqs(&all[..at]), "before {event}");
        let after = json!({"chat": chat, "after": event["cursor"]});
        let page = customer.call("chat.history", after).await.unwrap();
        assert_eq!(seqs(page["events"].as_array().unwrap()), seqs(&all[at + 1..]), "after {event}");
        // The pages on both sides, by the cursors of the page itself.
        if at > 0 {
            let front = json!({"chat": chat, "before": page["before"]});
            let front = customer.call("chat.history", front).await.unwrap();
            assert_eq!(seqs(front["events"].as_array().unwrap()), seqs(&all[..=at]));
        }
    }
}

#[tokio::test]
async fn an_operator_who_comes_back_has_status_offers_chats_and_the_end_of_those_that_ended() {
    let world = World::start().await;
    let (_, mut customer, mut anna, chat) = accepted(&world).await;
    let seen = anna.event("assigned").await;
    drop(anna);
    customer.call("message.send", message(&chat, 1)).await.unwrap();
    customer.call("chat.end", json!({"command_id": "e", "chat": chat})).await.unwrap();
    let token = world.log_in("anna").await;
    let mut anna = world.socket().await;
    let resume = json!([{"chat": chat, "cursor": seen["cursor"]}]);
    let opened = anna.open(&token, resume).await.unwrap();
    assert_eq!(opened["status"]["status"], "ready", "kept for the grace");
    assert_eq!(anna.event("message").await["text"], "text 1");
    assert_eq!(anna.event("ended").await["chat"], chat);
    // An offer that is live is in the next session's answer.
    let mut next = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    next.call("chat.open", open).await.unwrap();
    let offer = anna.wait("offer.presented").await;
    let mut tab = world.socket().await;
    let opened = tab.open(&token, json!([])).await.unwrap();
    assert_eq!(opened["offers"], json!([offer]));
}

#[tokio::test]
async fn where_an_ended_chat_goes_on_its_last_owner_reads_and_is_not_told() {
    let world = World::start().await;
    let (_, mut customer, mut anna, chat) = accepted(&world).await;
    customer.call("chat.end", json!({"command_id": "e", "chat": chat})).await.unwrap();
    let ended = anna.event("ended").await["cursor"].clone();
    let sent = customer.call("message.send", message(&chat, 1)).await.unwrap();
    let next = customer.event("continued_in").await;
    assert_eq!((&next["chat"], &next["next"]), (&chat, &sent["chat"]));
    anna.wait("offer.presented").await;
    let after = json!({"chat": chat, "after": ended});
    let page = anna.call("chat.history", after).await.unwrap();
    assert_eq!(page["events"], json!([next]));
    assert!(!anna.inbox.iter().any(|got| got["params"]["kind"] == "continued_in"));
    let (token, mut back) = (world.log_in("anna").await, world.socket().await);
    back.open(&token, json!([{"chat": chat, "cursor": ended}])).await.unwrap();
    assert_eq!(back.event("continued_in").await, next);
}

#[tokio::test]
async fn two_tabs_of_one_operator_act_as_one() {
    let world = World::start().await;
    let token = world.log_in("anna").await;
    let (mut left, mut right) = (world.socket().await, world.socket().await);
    left.open(&token, json!([])).await.unwrap();
    right.open(&token, json!([])).await.unwrap();
    left.be_ready().await;
    right.wait_where("ready", |n| n["params"]["status"] == "ready").await;
    let mut customer = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    let offer = left.wait("offer.presented").await["offer"].clone();
    assert_eq!(right.wait("offer.presented").await["offer"], offer);
    // Both accept with the same command, as one person who is in doubt does.
    let accept = json!({"command_id": "a1", "chat": chat, "offer": offer});
    let (a, b) = tokio::join!(
        left.call("offer.accept", accept.clone()),
        right.call("offer.accept", accept.clone())
    );
    assert_eq!(a.unwrap(), b.unwrap());
    left.call("message.send", message(&chat, 1)).await.unwrap();
    assert_eq!(right.event("message").await["text"], "text 1");
    right.call("message.send", message(&chat, 2)).await.unwrap();
    customer.event("message").await;
    assert_eq!(customer.event("message").await["text"], "text 2");
    // One tab goes; nothing changes.
    drop(left);
    right.call("message.send", message(&chat, 3)).await.unwrap();
    assert_eq!(customer.event("message").await["text"], "text 3");
}

#[tokio::test]
async fn the_whole_line_is_listed_page_by_page_while_chats_come_and_go() {
    let mut settings = settings();
    settings.limits.address_openings_per_minute = 200;
    let world = World::with(settings).await;
    let (admin, mut customers) = (world.log_in("admin").await, Vec::new());
    let path = format!("/api/v1/channels/{}/visitor-tokens", id("channel", "Shop"));
    for _ in 0..160 {
        let (_, issued) = world.ask("POST", &path, &admin, Some(json!({}))).await;
        let mut customer = world.socket().await;
        customer.open(issued["token"].as_str().unwrap(), json!([])).await.unwrap();
        let open = json!({"command_id": "o", "channel": id("channel", "Shop")});
        let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
        customers.push((chat, customer));
    }
    let mut anna = world.user("anna").await;
    let first = anna.call("chat.list", json!({"scope": "line"})).await.unwrap();
    assert_eq!(first["chats"].as_array().unwrap().len(), 150);
    assert_eq!(first["total"], 160);
    // The oldest goes: nothing moves onto a page that was read already.
    let (chat, oldest) = &mut customers[0];
    oldest.call("chat.end", json!({"command_id": "e", "chat": chat})).await.unwrap();
    let next = json!({"scope": "line", "after": first["next"]});
    let second = anna.call("chat.list", next).await.unwrap();
    assert!(second.get("next").is_none(), "{second}");
    let pages = [first, second];
    let listed: Vec<&Value> =
        pages.iter().flat_map(|page| page["chats"].as_array().unwrap()).collect();
    let listed: Vec<&Value> = listed.iter().map(|chat| &chat["id"]).collect();
    let opened: Vec<&Value> = customers.iter().map(|(chat, _)| chat).collect();
    assert_eq!(listed, opened);
    let wrong = json!({"scope": "mine", "after": pages[0]["next"]});
    assert_eq!(anna.refused("chat.list", wrong).await, "invalid_params");
}

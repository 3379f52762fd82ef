//! What is wrong gets a clear error, and the server goes on.

use serde_json::{Value, json};
use switchboard::storage::memory::MemoryStore;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::harness::{PATIENCE, World, id, request, settings, until};

async fn opened(world: &World) -> (Client, Value) {
    let mut customer = world.customer("Shop").await;
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", open).await.unwrap()["chat"].clone();
    (customer, chat)
}

/// A socket still answers, after whatever was done to the server.
async fn unharmed(world: &World) {
    let (mut customer, chat) = opened(world).await;
    let hello = json!({"chat": chat, "client_message_id": "m1", "text": "still there?"});
    customer.call("message.send", hello).await.unwrap();
    assert_eq!(world.operations("/readyz").await.0, 200);
}

#[tokio::test]
async fn frames_that_are_no_calls_are_told_so() {
    let world = World::start().await;
    let mut client = world.socket().await;
    let cases = [
        ("{", "parse_error"),
        ("nonsense", "parse_error"),
        ("7", "invalid_request"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"chat.list"}]"#, "batch_not_supported"),
        (r#"{"jsonrpc":"2.0","method":"chat.list"}"#, "invalid_request"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"chat.list"}"#, "invalid_request"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"chat.explode"}"#, "method_not_found"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"chat.list","params":{"scope":7}}"#, "invalid_params"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"chat.list","params":{"scope":"mine"}}"#,
            "session_required",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"session.open","params":{"token":"x"}}"#,
            "unauthorized",
        ),
    ];
    for (frame, name) in cases {
        client.raw(frame).await;
        let answer = client.answer_where(|_| true).await;
        assert_eq!(answer["error"]["data"]["name"], name, "{frame}");
    }
    let (token, _) = world.visitor("Shop", None).await;
    client.open(&token, json!([])).await.unwrap();
    assert_eq!(client.refused("session.open", json!({"token": token})).await, "session_exists");
    unharmed(&world).await;
}

#[tokio::test]
async fn a_broken_client_is_closed_and_binary_frames_are_not_taken() {
    let world = World::start().await;
    let mut broken = world.socket().await;
    for _ in 0..17 {
        broken.raw("{").await;
    }
    assert_eq!(broken.until_closed().await, 4004);
    let mut binary = world.socket().await;
    futures_util::SinkExt::send(&mut binary.ws, Message::binary(vec![1, 2])).await.unwrap();
    assert_eq!(binary.until_closed().await, 1003);
    unharmed(&world).await;
}

#[tokio::test]
async fn broken_frames_are_told_why() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    let world = World::start().await;
    let data = |bytes: &[u8], code, last| Frame::message(bytes.to_vec(), OpCode::Data(code), last);
    let mut reserved = data(b"{}", Data::Text, true);
    reserved.header_mut().rsv1 = true;
    let cases = [
        ("no UTF-8", vec![data(b"\xff", Data::Text, true)], 1007),
        (
            "no UTF-8 in parts",
            vec![data(b"\xc3", Data::Text, false), data(b"(", Data::Continue, true)],
            1007,
        ),
        ("a reserved bit", vec![reserved], 1002),
        ("a part of nothing", vec![data(b"x", Data::Continue, true)], 1002),
        (
            "a text in a text",
            vec![data(b"x", Data::Text, false), data(b"y", Data::Text, true)],
            1002,
        ),
        ("a reserved code", vec![data(b"x", Data::Reserved(3), true)], 1002),
    ];
    for (what, frames, code) in cases {
        let mut client = world.socket().await;
        for frame in frames {
            client.ws.send(Message::Frame(frame)).await.unwrap();
        }
        assert_eq!(client.until_closed().await, code, "{what}");
    }
    let mut unmasked = world.socket().await;
    use tokio::io::AsyncWriteExt;
    unmasked.ws.get_mut().write_all(b"\x81\x02{}").await.unwrap();
    assert_eq!(unmasked.until_closed().await, 1002, "not masked");
    // Parts of the largest kind are too large together.
    let mut large = world.socket().await;
    for (code, last) in [(Data::Text, false), (Data::Continue, true)] {
        let part = data(&[b'x'; 40_000], code, last);
        large.ws.send(Message::Frame(part)).await.unwrap();
    }
    assert_eq!(large.until_closed().await, 1009);
    unharmed(&world).await;
}

#[tokio::test]
async fn a_megabyte_is_told_the_limit_and_closed() {
    let world = World::start().await;
    let mut client = world.customer("Shop").await;
    let text = "x".repeat(1 << 20);
    client.raw(&json!({"jsonrpc": "2.0", "id": 9, "method": text}).to_string()).await;
    let error = client.error().await;
    assert_eq!(error["data"]["name"], "frame_too_large");
    assert_eq!(error["data"]["limit"], 65_536);
    assert_eq!(client.until_closed().await, 1009);
    unharmed(&world).await;
}

#[tokio::test]
async fn texts_have_their_bounds() {
    let world = World::start().await;
    let (mut customer, chat) = opened(&world).await;
    let send = |text: String| json!({"chat": chat, "client_message_id": "t", "text": text});
    let error = customer.call("message.send", send("x".repeat(2_001))).await.unwrap_err();
    assert_eq!(error["data"]["name"], "text_too_long");
    assert_eq!((&error["data"]["count"], &error["data"]["limit"]), (&json!(2_001), &json!(2_000)));
    let long = format!("x{}", " ".repeat(16 * 1_024));
    let error = customer.call("message.send", send(long)).await.unwrap_err();
    assert_eq!(error["data"]["unit"], "bytes");
    assert_eq!(customer.refused("message.send", send(" \n\t".to_owned())).await, "text_empty");
    let full = "y ".repeat(2_000);
    customer.call("message.send", send(full)).await.unwrap();
    assert_eq!(customer.refused("message.send", send("other".to_owned())).await, "id_reused");
}

#[tokio::test]
async fn what_is_not_ones_own_does_not_exist() {
    let world = World::start().await;
    let (_owner, chat) = opened(&world).await;
    let nothing = json!("0190a3a4-0000-7000-8000-000000000000");
    let mut stranger = world.customer("Shop").await;
    let mut anna = world.user("anna").await;
    let mut dmitri = world.user("dmitri").await;
    let cursor = "AQAAAAAAAAAAAAAAAA";
    for chat in [&chat, &nothing] {
        for client in [&mut stranger, &mut dmitri] {
            let message = json!({"chat": chat, "client_message_id": "m", "text": "hi"});
            assert_eq!(client.refused("message.send", message).await, "not_found");
            let end = json!({"chat": chat, "command_id": "e"});
            assert_eq!(client.refused("chat.end", end).await, "not_found");
            assert_eq!(client.refused("chat.history", json!({"chat": chat})).await, "not_found");
            let watermark = json!({"chat": chat, "up_to": 1});
            assert_eq!(client.refused("message.read", watermark).await, "not_found");
            let paged = json!({"chat": chat, "after": cursor});
            let refused = client.refused("chat.history", paged).await;
            assert!(["not_found", "invalid_params"].contains(&refused.as_str()), "{refused}");
        }
        let accept = json!({"chat": chat, "command_id": "a", "offer": nothing});
        assert_eq!(dmitri.refused("offer.accept", accept).await, "not_found");
        let to = json!({"chat": chat, "command_id": "t", "to": {"queue": id("queue", "Support")}});
        assert_eq!(dmitri.refused("chat.transfer", to).await, "not_found");
    }
    // A member of the chat's queue knows that it waits, but may not read it.
    assert_eq!(anna.refused("chat.history", json!({"chat": chat})).await, "not_found");
    let message = json!({"chat": chat, "client_message_id": "m", "text": "hi"});
    assert_eq!(anna.refused("message.send", message).await, "not_yours");
    // The same customer's id on another site's channel is somebody else.
    let other = json!({"command_id": "c", "channel": id("channel", "Employees")});
    assert_eq!(stranger.refused("chat.open", other).await, "not_found");
}

#[tokio::test]
async fn the_same_customer_id_on_another_channel_hears_and_sees_nothing() {
    let world = World::start().await;
    let (token, customer) = world.visitor("Shop", None).await;
    let (other, _) = world.visitor("Employees", Some(&customer)).await;
    let (mut here, mut there) = (world.socket().await, world.socket().await);
    here.open(&token, json!([])).await.unwrap();
    there.open(&other, json!([])).await.unwrap();
    let open = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = here.call("chat.open", open).await.unwrap()["chat"].clone();
    let secret = json!({"chat": chat, "client_message_id": "m1", "text": "for the shop"});
    here.call("message.send", secret).await.unwrap();
    here.event("message").await;
    assert_eq!(there.refused("chat.history", json!({"chat": chat})).await, "not_found");
    let open = json!({"command_id": "c1", "channel": id("channel", "Employees")});
    let own = there.call("chat.open", open).await.unwrap()["chat"].clone();
    assert_ne!(own, chat);
    there.event("placed").await;
    let foreign = |got: &Value| got["params"]["chat"] == chat;
    assert!(!there.inbox.iter().any(foreign), "{:?}", there.inbox);
}

#[tokio::test]
async fn tokens_that_expired_or_were_revoked_are_out_at_once() {
    let mut settings = settings();
    settings.access.visitor_token_ms = 1_000;
    let world = World::with(settings).await;
    let (token, _) = world.visitor("Shop", None).await;
    let mut visitor = world.socket().await;
    visitor.open(&token, json!([])).await.unwrap();
    assert_eq!(visitor.until_closed().await, 4001, "expired");
    let error = world.socket().await.open(&token, json!([])).await.unwrap_err();
    assert_eq!(error["data"]["name"], "unauthorized");
    assert!(error["message"].as_str().unwrap().contains("expired"));

    let (_, tokens) = world.tokens("anna", "demo-anna-01").await;
    let token = tokens["access_token"].as_str().unwrap();
    let mut anna = world.socket().await;
    anna.open(token, json!([])).await.unwrap();
    assert_eq!(world.ask("DELETE", "/api/v1/sessions/current", token, None).await.0, 204);
    assert_eq!(anna.until_closed().await, 4002, "logged out");
    let error = world.socket().await.open(token, json!([])).await.unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("revoked"));
    let (status, body) = world.ask("GET", "/api/v1/queues", token, None).await;
    assert_eq!((status, &body["name"]), (401, &json!("unauthorized")));
}

#[tokio::test]
async fn a_session_is_renewed_by_the_same_person_only() {
    let mut settings = settings();
    settings.access.visitor_token_ms = 2_500;
    let world = World::with(settings).await;
    let (token, customer) = world.visitor("Shop", None).await;
    let mut visitor = world.socket().await;
    let until_ms = visitor.open(&token, json!([])).await.unwrap()["expires_at"].as_u64().unwrap();
    let (stranger, _) = world.visitor("Shop", None).await;
    let other = json!({"token": stranger});
    assert_eq!(visitor.refused("session.renew", other).await, "session_exists");
    // Once the clock has moved the next token lives longer.
    until("a later token", async || {
        let (token, _) = world.visitor("Shop", Some(&customer)).await;
        let renewed = visitor.call("session.renew", json!({"token": token})).await.unwrap();
        renewed["expires_at"].as_u64().unwrap() > until_ms + 200
    })
    .await;
    assert_eq!(visitor.until_closed().await, 4001);
}

/// The one form of every refusal over HTTP: its name.
fn problem(text: &str, status: u16) -> String {
    let read: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let member = |name: &str| read[name].as_str().unwrap_or_else(|| panic!("no {name}: {text}"));
    assert_eq!(read["status"], status, "{text}");
    assert!(!member("detail").is_empty() && !member("title").is_empty(), "{text}");
    assert_eq!(member("type"), format!("/openapi.json#{}", member("name")));
    member("name").to_owned()
}

/// What the server answers to these bytes, up to its end: head and body.
pub async fn answer_to(address: std::net::SocketAddr, bytes: &[u8]) -> (String, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await;
    read.expect("the server ends the connection").unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn every_refusal_over_http_has_one_form() {
    let world = World::start().await;
    let handshake = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: close, upgrade\r\n\
                     upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let short_key = handshake.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==");
    let post = "POST /api/v1/sessions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-type: application/json\r\n";
    let get = "HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let cases = [
        (format!("GET /api/v1/queues/%ff {get}"), 400, "invalid_request"),
        (format!("GET /nothing {get}"), 404, "not_found"),
        (format!("DELETE /ws {get}"), 405, "method_not_allowed"),
        (format!("GET /ws {get}"), 400, "bad_handshake"),
        (format!("{handshake}sec-websocket-version: 8\r\n\r\n"), 400, "bad_handshake"),
        (format!("{short_key}sec-websocket-version: 13\r\n\r\n"), 400, "bad_handshake"),
        (format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n"), 400, "broken_body"),
        (format!("{post}content-length: 99999999\r\n\r\n"), 413, "too_large"),
    ];
    for (request, status, name) in cases {
        let (head, body) = answer_to(world.server.address, request.as_bytes()).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{request}: {head}");
        assert!(head.contains("content-type: application/problem+json"), "{request}: {head}");
        assert_eq!(problem(&body, status), name, "{request}");
    }
    let (_, text) = world.operations("/nothing").await;
    assert_eq!(problem(&text, 404), "not_found");
}

#[tokio::test]
async fn both_listeners_ask_by_which_name_a_request_came() {
    let mut settings = settings();
    settings.server.allowed_hosts = vec!["chat.example".to_owned()];
    let world = World::with(settings).await;
    let listeners = [
        (world.server.address, "/openapi.json"),
        (world.server.address, "/ws"),
        (world.server.operations_address, "/healthz"),
        (world.server.operations_address, "/metrics"),
    ];
    for (address, path) in listeners {
        let ask = async |host: &str| {
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            let (head, body) = answer_to(address, request.as_bytes()).await;
            assert!(head.contains("x-content-type-options: nosniff"), "{path} by {host}: {head}");
            (head[9..12].to_owned(), body)
        };
        for known in ["chat.example", "Chat.Example:8080", "localhost", "127.0.0.1:1", "[::1]"] {
            let expected = if path == "/ws" { "400" } else { "200" };
            assert_eq!(ask(known).await.0, expected, "{path} by {known}");
        }
        for foreign in ["evil.example", "chat.example.evil.example"] {
            let (status, body) = ask(foreign).await;
            assert_eq!(status, "421", "{path} by {foreign}");
            assert_eq!(problem(&body, 421), "misdirected");
        }
    }
}

#[tokio::test]
async fn names_images_and_passwords_that_harm_are_refused() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let user = |name: &str, password: &str| json!({"name": name, "login": "nina", "role": "operator", "active": true, "capacity": 2, "password": password});
    let channel = |image: &str, reference: &str| {
        json!({"name": "Site", "provider": "web_chat", "active": true, "queue": id("queue", "Sales"),
               "sender": "operator", "image": image, "reference": reference})
    };
    let (fine, picture) = ("a fine long password", "https://shop.example/a.png");
    let tokens = format!("/api/v1/channels/{}/visitor-tokens", id("channel", "Shop"));
    let cases = [
        ("/api/v1/users", user("Ni\u{202e}na", fine), "name"),
        ("/api/v1/users", user("\u{200b}", fine), "name"),
        ("/api/v1/users", user("Nina", "Password123"), "password"),
        ("/api/v1/users", user("Nina", "aaaaaaaaaaaa"), "password"),
        ("/api/v1/channels", channel("http://shop.example/a.png", "x"), "image"),
        ("/api/v1/channels", channel(picture, "a\u{1b}b"), "reference"),
        (&tokens, json!({"name": "Ve\u{2066}ra"}), "name"),
        (&tokens, json!({"name": " "}), "name"),
    ];
    for (path, body, field) in cases {
        let (status, error) = world.ask("POST", path, &admin, Some(body.clone())).await;
        assert_eq!((status, &error["field"]), (422, &json!(field)), "{body}: {error}");
    }
    let made = world.ask("POST", "/api/v1/users", &admin, Some(user(" Nina ", fine))).await;
    assert_eq!(made.0, 201, "{}", made.1);
    assert_eq!(world.ask("POST", &tokens, &admin, Some(json!({"name": " Vera "}))).await.0, 201);
}

#[tokio::test]
async fn visitor_tokens_of_a_channel_that_is_not_there_are_not_found() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let nothing = "0190a3a4-0000-7000-8000-000000000000";
    let tokens = format!("/api/v1/channels/{nothing}/visitor-tokens");
    assert_eq!(world.ask("POST", &tokens, &admin, Some(json!({}))).await.0, 404);
    assert_eq!(world.ask("DELETE", &format!("{tokens}/{nothing}"), &admin, None).await.0, 404);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told_so() {
    let world = World::start().await;
    let head = b"POST /api/v1/sessions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    let (head, body) = answer_to(world.server.address, head).await;
    assert!(head.starts_with("http/1.1 408 "), "{head}");
    assert_eq!(problem(&body, 408), "request_timeout");
}

#[tokio::test]
async fn rest_says_what_is_wrong() {
    let world = World::start().await;
    let admin = world.log_in("admin").await;
    let nothing = "0190a3a4-0000-7000-8000-000000000000";
    let json_body = |text: &str| Some(("application/json", text.to_owned()));
    let sessions = "/api/v1/sessions";
    let cases = [
        ("POST", sessions.to_owned(), json_body("{"), 400),
        ("POST", sessions.to_owned(), json_body("[]"), 400),
        ("POST", sessions.to_owned(), json_body(r#"{"login":1,"password":"x"}"#), 400),
        ("POST", sessions.to_owned(), Some(("text/plain", "{}".to_owned())), 415),
        (
            "POST",
            sessions.to_owned(),
            json_body(r#"{"login":"admin","password":"wrong-wrong"}"#),
            401,
        ),
        ("PATCH", sessions.to_owned(), None, 405),
        ("GET", "/api/v1/nothing".to_owned(), None, 404),
        ("GET", format!("/api/v1/queues/{nothing}"), None, 404),
        ("GET", "/api/v1/queues/nothing".to_owned(), None, 404),
        ("GET", "/api/v1/queues/%ff".to_owned(), None, 400),
        ("GET", "/ws".to_owned(), None, 400),
        ("GET", format!("/api/v1/chats/{nothing}"), None, 404),
        ("GET", "/api/v1/queues?limit=0".to_owned(), None, 400),
        ("GET", "/api/v1/queues?first=0".to_owned(), None, 400),
        ("GET", "/api/v1/queues?limit=1&limit=2".to_owned(), None, 400),
        ("GET", "/api/v1/queues?limit=1&lim%69t=1".to_owned(), None, 400),
        ("DELETE", format!("/api/v1/queues/{nothing}"), None, 400),
        ("POST", sessions.to_owned(), json_body(&format!("\"{}\"", "x".repeat(1 << 20))), 413),
    ];
    for (verb, path, body, status) in cases {
        let (got, text) = request(world.server.address, verb, &path, &admin, body).await;
        assert_eq!(got, status, "{verb} {path}: {text}");
        problem(&text, status);
    }
    let queue = json!({"name": "x", "active": true, "rule": "to_all", "members": [], "offer_timeout_ms": 1_000});
    let path = format!("/api/v1/queues/{nothing}");
    assert_eq!(
        world.ask("PUT", &path, &admin, Some(queue)).await.0,
        404,
        "nothing is made by a change"
    );
    unharmed(&world).await;
}

#[tokio::test]
async fn pages_of_other_sites_open_no_sockets() {
    let world = World::start().await;
    let stream = tokio::net::TcpStream::connect(world.server.address).await.unwrap();
    let request = tokio_tungstenite::tungstenite::http::Request::builder()
        .uri(format!("ws://{}/ws", world.server.address))
        .header("host", world.server.address.to_string())
        .header("origin", "https://evil.example")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap();
    let refused = tokio_tungstenite::client_async(request, stream).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
}

#[tokio::test]
async fn a_port_and_a_folder_in_use_and_published_passwords_are_refused() {
    use crate::harness::plan;
    use switchboard::app::{Server, StartError, StoreChoice};
    let folder = tempfile::tempdir().unwrap();
    let store = || StoreChoice::Sqlite(folder.path().to_owned());
    let server = Server::start(plan(settings(), store())).await.unwrap();
    let mut same = settings();
    same.server.listen = server.address;
    let memory = || StoreChoice::Given(MemoryStore::new().store());
    let error = Server::start(plan(same, memory())).await.err().unwrap();
    assert!(matches!(error, StartError::Listen { .. }) && error.to_string().contains("--listen"));
    let error = Server::start(plan(settings(), store())).await.err().unwrap();
    assert!(error.to_string().contains("in use by process"), "{error}");
    let mut open = settings();
    open.server.listen = "0.0.0.0:0".parse().unwrap();
    let error = Server::start(plan(open, memory())).await.err().unwrap();
    assert!(matches!(error, StartError::Demo(_)), "{error}");
    server.stop().await;
}

//! The client's socket against a peer that answers by hand: what is unanswered when a connection
//! breaks goes out again on the next, under its own id; a close code that says so ends it.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are outside of `#[test]`")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use loadtest::client::clock::{Clock, wall_ms};
use loadtest::client::{Client, Fresh, Happening, Inbox, ORDERS_MAX, TOLD_MAX, TokenSource, Waits};
use serde_json::{Value, json};
use switchboard::domain::{ChatId, CommandId};
use switchboard::protocol::params::MessageSendFrame;
use switchboard::protocol::value::{TextFrame, Token, WireText};
use switchboard::protocol::{Call, CloseKind, Wire};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

const LIMIT: Duration = Duration::from_secs(30);
const CHAT: ChatId = ChatId::from_u128(7);

async fn client() -> (TcpListener, Client, Inbox) {
    client_until(u64::MAX).await
}

/// A client whose token ends then, UTC ms.
async fn client_until(until_ms: u64) -> (TcpListener, Client, Inbox) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let token = Token::read("token").unwrap();
    let source = TokenSource::Given(Fresh { token, until_ms });
    let waits = Waits { first_ms: 1, most_ms: 10 };
    let (client, inbox) = Client::start(&address, source, waits, Clock::start(), 1, Arc::default());
    (listener, client, inbox)
}

struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    /// Takes the next connection and opens its session.
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
        let mut peer = Self(accept_async(stream).await.unwrap());
        let open = peer.request().await;
        assert_eq!(
            (&open["method"], &open["params"]["token"]),
            (&json!("session.open"), &json!("token"))
        );
        let me = json!({"role": "customer", "id": ChatId::from_u128(9).to_string()});
        let session = json!({"me": me, "offers": [], "chats": [], "gone": [], "expires_at": 1});
        peer.answer(&open, session).await;
        peer
    }

    async fn request(&mut self) -> Value {
        let frame = timeout(LIMIT, self.0.next()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(frame.to_text().unwrap()).unwrap()
    }

    async fn answer(&mut self, request: &Value, result: Value) {
        let frame = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }
}

async fn told(inbox: &mut Inbox) -> Happening {
    timeout(LIMIT, inbox.recv()).await.unwrap().unwrap().1
}

fn message(id: &str) -> Call {
    Call::MessageSend(MessageSendFrame {
        chat: Wire(CHAT),
        client_message_id: Wire(CommandId::new(id).unwrap()),
        text: TextFrame::from("text"),
    })
}

#[tokio::test]
async fn what_is_unanswered_goes_out_again_on_the_next_connection() {
    let (listener, mut client, mut inbox) = client().await;
    let mut first = Peer::accept(&listener).await;
    assert!(matches!(told(&mut inbox).await, Happening::Opened(_)));
    client.call(message("a"));
    client.call(message("b"));
    assert_eq!(first.request().await["params"]["client_message_id"], "a");
    drop(first);
    let mut second = Peer::accept(&listener).await;
    for id in ["a", "b"] {
        let request = second.request().await;
        assert_eq!(request["params"]["client_message_id"], id);
        let seq = if id == "a" { 3 } else { 4 };
        let sent = json!({"chat": CHAT.to_string(), "seq": seq, "at": 1});
        second.answer(&request, sent).await;
    }
    assert!(matches!(told(&mut inbox).await, Happening::Lost));
    assert!(matches!(told(&mut inbox).await, Happening::Opened(_)));
    for wanted in [1, 2] {
        let Happening::Answered { ticket, outcome: Ok(_), .. } = told(&mut inbox).await else {
            panic!("wanted an answer");
        };
        assert_eq!(ticket, wanted);
    }
}

#[tokio::test]
async fn a_close_that_says_stop_ends_the_client() {
    let (listener, _client, mut inbox) = client().await;
    let mut peer = Peer::accept(&listener).await;
    assert!(matches!(told(&mut inbox).await, Happening::Opened(_)));
    let kind = CloseKind::TokenRevoked;
    let frame = CloseFrame { code: kind.code().into(), reason: kind.reason().into() };
    peer.0.close(Some(frame)).await.unwrap();
    assert!(matches!(told(&mut inbox).await, Happening::Lost));
    assert!(
        matches!(told(&mut inbox).await, Happening::Over(why) if why.contains("token_revoked"))
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends_and_again_no_sooner_than_a_second_later() {
    // It ends at once, and there is no newer one: the client asks in its own time.
    let (listener, _client, mut inbox) = client_until(wall_ms() + 200).await;
    let mut peer = Peer::accept(&listener).await;
    assert!(matches!(told(&mut inbox).await, Happening::Opened(_)));
    let mut asked = Vec::new();
    for _ in 0..2 {
        let renew = peer.request().await;
        asked.push(tokio::time::Instant::now());
        let method = (&renew["method"], &renew["params"]["token"]);
        assert_eq!(method, (&json!("session.renew"), &json!("token")));
        peer.answer(&renew, json!({"expires_at": 1})).await;
    }
    assert!(asked[1] - asked[0] > Duration::from_millis(500), "it does not ask without a pause");
    // It is the client's own affair.
    assert!(inbox.try_recv().is_err());
}

#[tokio::test]
async fn who_orders_more_than_fits_is_told() {
    let (listener, mut client, mut inbox) = client().await;
    drop(listener);
    // Nobody takes them: this task does not wait.
    for n in 0..=ORDERS_MAX {
        client.call(message(&n.to_string()));
    }
    let over = told(&mut inbox).await;
    assert!(matches!(&over, Happening::Over(why) if why.contains("1024 calls")), "{over:?}");
    client.call(message("later"));
    assert!(timeout(LIMIT, inbox.recv()).await.unwrap().is_none(), "nothing follows");
}

#[tokio::test]
async fn who_does_not_read_is_told_no_more_than_fits_and_loses_nothing() {
    let (listener, _client, mut inbox) = client().await;
    let mut peer = Peer::accept(&listener).await;
    let last = TOLD_MAX + 500;
    for n in 1..=last {
        let over = json!({"chat": CHAT.to_string(), "party": {"kind": "customer"}, "delivered": n, "read": 0});
        let frame = json!({"jsonrpc": "2.0", "method": "chat.watermark", "params": over});
        peer.0.send(Message::text(frame.to_string())).await.unwrap();
    }
    let full = async {
        while inbox.len() < TOLD_MAX {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, full).await.unwrap();
    assert!(matches!(told(&mut inbox).await, Happening::Opened(_)));
    for n in 1..=last as u64 {
        let got = told(&mut inbox).await;
        assert!(
            matches!(&got, Happening::Watermark(watermark) if watermark.delivered == n),
            "{got:?}"
        );
    }
}

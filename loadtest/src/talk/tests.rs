use serde_json::json;
use switchboard::domain::Incarnation;
use switchboard::protocol::envelope::{FromServer, read_from_server};
use switchboard::protocol::{Cursor, Notification};

use super::*;

const CHAT: ChatId = ChatId::from_u128(7);

fn customer() -> Terminal {
    Terminal::new(Some(ChannelId::from_u128(1)), CommandId::new("t").unwrap())
}

fn operator() -> Terminal {
    Terminal::new(None, CommandId::new("t").unwrap())
}

fn event(seq: Seq, mut what: serde_json::Value) -> Happening {
    what["chat"] = json!(CHAT.to_string());
    what["cursor"] =
        serde_json::to_value(Wire(Cursor::new(Incarnation::from_u128(7), CHAT, seq))).unwrap();
    what["seq"] = json!(seq);
    what["at"] = json!(1_000);
    match told("chat.event", what) {
        Notification::ChatEvent(event) => Happening::Event(event),
        other => panic!("{other:?}"),
    }
}

fn told(method: &str, params: serde_json::Value) -> Notification {
    let frame = json!({"jsonrpc": "2.0", "method": method, "params": params});
    match read_from_server(&frame.to_string()).unwrap() {
        FromServer::Notification(notification) => notification,
        other => panic!("{other:?}"),
    }
}

fn answered(call: Call, result: serde_json::Value) -> Happening {
    let outcome = Ok(serde_json::value::RawValue::from_string(result.to_string()).unwrap());
    let call = Box::new(call);
    Happening::Answered { ticket: 1, call, outcome }
}

fn message(id: &str, text: &str) -> serde_json::Value {
    json!({"kind": "message", "from": {"kind": "customer"}, "client_message_id": id, "text": text})
}

fn methods(reaction: &Reaction) -> Vec<&'static str> {
    reaction.calls.iter().map(|call| call.method().name()).collect()
}

#[test]
fn a_customers_first_words_open_the_chat_and_follow() {
    let mut terminal = customer();
    let mut first = terminal.typed("hello");
    assert_eq!(methods(&first), ["chat.open"]);
    assert!(terminal.typed("anybody there?").calls.is_empty(), "it is being opened");
    let cursor =
        serde_json::to_value(Wire(Cursor::new(Incarnation::from_u128(7), CHAT, 2))).unwrap();
    let opened = json!({"chat": CHAT.to_string(), "cursor": cursor});
    let then = terminal.happened(answered(first.calls.remove(0), opened));
    assert_eq!(methods(&then), ["message.send", "message.send"]);
}

#[test]
fn an_event_shows_once_and_an_own_message_not_again() {
    let mut terminal = customer();
    terminal.happened(event(
        1,
        json!({"kind": "opened", "channel": ChannelId::from_u128(1).to_string()}),
    ));
    let Call::MessageSend(send) = terminal.typed("my words").calls.remove(0) else {
        panic!("wanted a message");
    };
    let own = message(send.client_message_id.0.as_str(), "my words");
    assert!(terminal.happened(event(2, own)).lines.is_empty());
    let other = || event(3, message("elsewhere", "from another window"));
    assert!(terminal.happened(other()).lines[0].ends_with("you: from another window"));
    assert!(terminal.happened(other()).lines.is_empty());
}

#[test]
fn an_offer_is_shown_accepted_and_becomes_the_current_chat() {
    let mut terminal = operator();
    let offer = json!({
        "chat": CHAT.to_string(), "offer": ChatId::from_u128(3).to_string(),
        "queue": ChatId::from_u128(4).to_string(), "reach": "directed", "since": 1, "expires_at": 2,
    });
    let Notification::OfferPresented(offer) = told("offer.presented", offer) else {
        panic!("wanted an offer");
    };
    let shown = terminal.happened(Happening::Offer(offer));
    assert_eq!(methods(&shown), ["offer.shown"]);
    assert!(shown.lines[0].contains("/accept 1"));
    assert_eq!(methods(&terminal.typed("early words")), Vec::<&str>::new());
    let mut accept = terminal.typed("/accept 1");
    let state = json!({"chat": CHAT.to_string(), "state": "new"});
    terminal.happened(answered(accept.calls.remove(0), state));
    assert_eq!(methods(&terminal.typed("good morning")), ["message.send"]);
    assert_eq!(terminal.typed("/transfer boris").look_up.as_deref(), Some("boris"));
    let read = terminal.happened(event(4, message("m", "hi\u{1b}[2J")));
    assert_eq!(methods(&read), ["message.read"]);
    assert!(read.lines[0].ends_with("customer: hi [2J"), "a text moves no cursor");
}

#[test]
fn commands_that_are_none_are_said_to_be_none() {
    let mut terminal = customer();
    assert!(terminal.typed("/ready").lines[0].starts_with("!! there is no /ready"));
    assert!(terminal.typed("/end").lines[0].starts_with("!! there is no current chat"));
    assert!(operator().typed("/decline").lines[0].starts_with("!! there is no such offer"));
    assert!(terminal.typed("/quit").quit);
    let long = "x".repeat(2_001);
    assert!(terminal.typed(&long).lines[0].contains("2001"));
}

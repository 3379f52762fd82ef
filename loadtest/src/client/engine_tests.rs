use serde_json::json;
use switchboard::domain::{CommandId, Incarnation, Seq, UserId};
use switchboard::protocol::params::{MessageSendFrame, OfferAnswerFrame};
use switchboard::protocol::value::TextFrame;
use switchboard::protocol::{Cursor, ErrorKind, write_error};

use super::*;

const ME: UserId = UserId::from_u128(9);
const CHAT: ChatId = ChatId::from_u128(7);

fn token() -> Token {
    Token::read("token").unwrap()
}

/// All frames that the engine sends now, as id, method and params.
fn sent(engine: &mut Engine) -> Vec<(u64, String, serde_json::Value)> {
    let mut frames = Vec::new();
    while let Some(text) = engine.next_frame(0).unwrap() {
        let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
        let method = frame["method"].as_str().unwrap().to_owned();
        frames.push((frame["id"].as_u64().unwrap(), method, frame["params"].clone()));
    }
    frames
}

fn told(engine: &mut Engine) -> Vec<Happening> {
    std::iter::from_fn(|| engine.next_happening()).collect()
}

fn result(engine: &mut Engine, id: u64, result: serde_json::Value) {
    let frame = json!({"jsonrpc": "2.0", "id": id, "result": result});
    engine.frame(&frame.to_string(), 0).unwrap();
}

fn notify(engine: &mut Engine, method: &str, params: serde_json::Value) {
    let frame = json!({"jsonrpc": "2.0", "method": method, "params": params});
    engine.frame(&frame.to_string(), 0).unwrap();
}

fn session(chats: serde_json::Value, gone: serde_json::Value) -> serde_json::Value {
    json!({
        "me": {"role": "operator", "id": ME.to_string()}, "status": {"status": "ready"},
        "offers": [], "chats": chats, "gone": gone, "expires_at": 1,
    })
}

fn cursor(seq: Seq) -> serde_json::Value {
    serde_json::to_value(Wire(Cursor::new(Incarnation::from_u128(7), CHAT, seq))).unwrap()
}

fn message(seq: Seq) -> serde_json::Value {
    json!({
        "chat": CHAT.to_string(), "cursor": cursor(seq), "seq": seq, "at": seq, "kind": "message",
        "from": {"kind": "customer"}, "client_message_id": format!("m{seq}"), "text": "hi",
    })
}

fn page(seqs: std::ops::RangeInclusive<Seq>) -> serde_json::Value {
    let after = cursor(*seqs.end());
    let events: Vec<_> = seqs.map(message).collect();
    json!({"chat": CHAT.to_string(), "events": events, "after": after, "more": false})
}

fn assigned(seq: Seq, to: UserId) -> serde_json::Value {
    let mut event = message(seq);
    event["kind"] = json!("assigned");
    event["operator"] = json!({"kind": "operator", "id": to.to_string()});
    event["how"] = json!("accepted");
    event
}

fn placed(seq: Seq) -> serde_json::Value {
    let mut event = message(seq);
    event["kind"] = json!("placed");
    event["cause"] = json!("transferred");
    event["queue"] = json!(switchboard::domain::QueueId::from_u128(1).to_string());
    event
}

fn seqs(happenings: &[Happening]) -> Vec<Seq> {
    let event = |happening: &Happening| match happening {
        Happening::Event(event) => Some(event.seq),
        _ => None,
    };
    happenings.iter().filter_map(event).collect()
}

fn send(n: u64) -> Call {
    Call::MessageSend(MessageSendFrame {
        chat: Wire(CHAT),
        client_message_id: Wire(CommandId::new(&format!("id-{n}")).unwrap()),
        text: TextFrame::from("text"),
    })
}

/// An engine with an open session.
fn open() -> Engine {
    let mut engine = Engine::default();
    engine.connected(token());
    assert_eq!(sent(&mut engine)[0].1, "session.open");
    result(&mut engine, 0, session(json!([]), json!([])));
    assert!(matches!(told(&mut engine)[..], [Happening::Opened(_)]));
    engine
}

#[test]
fn nothing_goes_out_before_the_session_is_open() {
    let mut engine = Engine::default();
    engine.order(1, send(1));
    engine.connected(token());
    assert_eq!(sent(&mut engine).len(), 1);
    result(&mut engine, 0, session(json!([]), json!([])));
    assert_eq!(sent(&mut engine)[0].1, "message.send");
}

#[test]
fn unanswered_calls_go_first_and_in_order_under_their_own_ids() {
    let mut engine = open();
    (1..=3).for_each(|n| engine.order(n, send(n)));
    let first = sent(&mut engine);
    result(&mut engine, first[1].0, json!({"chat": CHAT.to_string(), "seq": 4, "at": 1}));
    notify(&mut engine, "presence.probe", json!({"probe": 5, "limit_ms": 9}));
    engine.lost();
    engine.order(4, send(4));
    engine.connected(token());
    sent(&mut engine);
    result(&mut engine, 0, session(json!([]), json!([])));
    let again = sent(&mut engine);
    let ids: Vec<_> = again.iter().map(|(_, _, params)| &params["client_message_id"]).collect();
    assert_eq!(ids, ["id-1", "id-3", "id-4"], "and the probe of the former socket is not answered");
}

#[test]
fn a_probe_is_answered() {
    let mut engine = open();
    notify(&mut engine, "presence.probe", json!({"probe": 5, "limit_ms": 9}));
    let frames = sent(&mut engine);
    assert_eq!((frames[0].1.as_str(), &frames[0].2["probe"]), ("presence.answer", &json!(5)));
}

#[test]
fn an_accepted_chat_is_loaded_and_its_events_follow() {
    let mut engine = open();
    let accept = OfferAnswerFrame {
        command_id: Wire(CommandId::new("a").unwrap()),
        chat: Wire(CHAT),
        offer: Wire(switchboard::domain::OfferId::from_u128(3)),
    };
    engine.order(1, Call::OfferAccept(accept));
    let accept = sent(&mut engine);
    result(&mut engine, accept[0].0, json!({"chat": CHAT.to_string(), "state": "new"}));
    let load = sent(&mut engine);
    assert_eq!(load[0].1, "chat.history");
    notify(&mut engine, "chat.event", message(4));
    result(&mut engine, load[0].0, page(1..=3));
    assert_eq!(seqs(&told(&mut engine)), [1, 2, 3, 4]);
}

#[test]
fn it_resumes_where_it_was_and_loads_what_is_gone() {
    let mut engine = open();
    let listed =
        json!([{"id": CHAT.to_string(), "state": "in_progress", "cursor": cursor(2), "unread": 0}]);
    engine.lost();
    engine.connected(token());
    sent(&mut engine);
    result(&mut engine, 0, session(listed, json!([])));
    let load = sent(&mut engine);
    result(&mut engine, load[0].0, page(1..=2));
    told(&mut engine);
    engine.lost();
    engine.connected(token());
    let opening = sent(&mut engine);
    assert_eq!(opening[0].2["resume"], json!([{"chat": CHAT.to_string(), "cursor": cursor(2)}]));
    result(&mut engine, 0, session(json!([]), json!([CHAT.to_string()])));
    let load = sent(&mut engine);
    assert_eq!(load[0].2["after"], cursor(2));
    result(&mut engine, load[0].0, page(3..=4));
    assert_eq!(seqs(&told(&mut engine)), [3, 4]);
    engine.lost();
    engine.connected(token());
    sent(&mut engine);
    result(&mut engine, 0, session(json!([]), json!([CHAT.to_string()])));
    let load = sent(&mut engine);
    let no = ErrorFrame::of(ErrorKind::NotYours);
    let no = write_error(Some(&RequestId::Number(load[0].0)), &no).unwrap();
    engine.frame(&no, 0).unwrap();
    assert!(matches!(
        told(&mut engine)[..],
        [Happening::Lost, Happening::Opened(_), Happening::Gone(CHAT)]
    ));
}

#[test]
fn what_cannot_be_reached_is_loaded_from_where_it_was_as_soon_as_it_answers() {
    let mut engine = open();
    let listed =
        json!([{"id": CHAT.to_string(), "state": "in_progress", "cursor": cursor(2), "unread": 0}]);
    engine.lost();
    engine.connected(token());
    sent(&mut engine);
    result(&mut engine, 0, session(listed, json!([])));
    let load = sent(&mut engine);
    result(&mut engine, load[0].0, page(1..=2));
    told(&mut engine);
    engine.lost();
    engine.connected(token());
    sent(&mut engine);
    let mut answer = session(json!([]), json!([]));
    answer["unreachable"] = json!([CHAT.to_string()]);
    result(&mut engine, 0, answer);
    let load = sent(&mut engine);
    assert_eq!((&load[0].1[..], &load[0].2["after"]), ("chat.history", &cursor(2)));
    let later = ErrorFrame::later(ErrorKind::Unavailable, 500);
    let later = write_error(Some(&RequestId::Number(load[0].0)), &later).unwrap();
    engine.frame(&later, 0).unwrap();
    notify(&mut engine, "chat.event", message(4));
    assert_eq!((sent(&mut engine).len(), engine.due_ms()), (0, Some(500)));
    let again = engine.next_frame(500).unwrap().unwrap();
    assert!(again.contains("chat.history"), "{again}");
    result(&mut engine, load[0].0, page(3..=3));
    assert_eq!(seqs(&told(&mut engine)), [3, 4]);
}

#[test]
fn a_chat_that_was_claimed_and_never_opened_is_not_gone() {
    let mut engine = open();
    engine.lost();
    engine.connected(token());
    sent(&mut engine);
    let mut answer = session(json!([]), json!([]));
    answer["unreachable"] = json!([CHAT.to_string()]);
    result(&mut engine, 0, answer);
    let load = sent(&mut engine);
    let no = ErrorFrame::of(ErrorKind::NotFound);
    let no = write_error(Some(&RequestId::Number(load[0].0)), &no).unwrap();
    engine.frame(&no, 0).unwrap();
    assert!(matches!(told(&mut engine)[..], [Happening::Lost, Happening::Opened(_)]));
    // Then it is opened, and told from its beginning.
    notify(&mut engine, "chat.event", assigned(1, ME));
    let load = sent(&mut engine);
    assert_eq!((load.len(), &load[0].1[..]), (1, "chat.history"));
}

/// An engine whose operator got the chat at position 1 and gave it away at position 3.
fn gave_away() -> Engine {
    let mut engine = open();
    notify(&mut engine, "chat.event", assigned(1, ME));
    let load = sent(&mut engine);
    let first = json!({"chat": CHAT.to_string(), "events": [assigned(1, ME)],
        "after": cursor(1), "more": false});
    result(&mut engine, load[0].0, first);
    notify(&mut engine, "chat.event", message(2));
    notify(&mut engine, "chat.event", placed(3));
    assert_eq!(seqs(&told(&mut engine)), [1, 2, 3]);
    engine
}

#[test]
fn what_was_missed_of_a_chat_that_comes_back_is_loaded_though_its_offer_was_seen() {
    let mut engine = gave_away();
    // It was another's until 6, and is then offered here, and so seen from there on.
    notify(&mut engine, "chat.event", message(7));
    notify(&mut engine, "chat.event", assigned(8, ME));
    let load = sent(&mut engine);
    assert_eq!((load.len(), &load[0].2["after"]), (1, &cursor(3)));
    notify(&mut engine, "chat.event", message(9));
    result(&mut engine, load[0].0, page(4..=8));
    assert_eq!(seqs(&told(&mut engine)), [4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_chat_that_comes_back_while_its_history_is_refused_is_loaded_again() {
    let mut engine = gave_away();
    engine.lost();
    engine.connected(token());
    sent(&mut engine);
    result(&mut engine, 0, session(json!([]), json!([CHAT.to_string()])));
    let load = sent(&mut engine);
    notify(&mut engine, "chat.event", assigned(4, ME));
    notify(&mut engine, "chat.event", message(5));
    not_found(&mut engine, load[0].0);
    let again = sent(&mut engine);
    assert_eq!((again.len(), &again[0].2["after"]), (1, &cursor(3)));
    result(&mut engine, again[0].0, page(4..=5));
    assert_eq!(seqs(&told(&mut engine)), [4, 5]);
}

/// An engine whose chat, known up to position 1, cannot be reached after a reconnect; the load of
/// what is behind it is under way, under this id.
fn unreachable() -> (Engine, u64) {
    let mut engine = open();
    notify(&mut engine, "chat.event", assigned(1, ME));
    let load = sent(&mut engine);
    let first = json!({"chat": CHAT.to_string(), "events": [assigned(1, ME)],
        "after": cursor(1), "more": false});
    result(&mut engine, load[0].0, first);
    told(&mut engine);
    engine.lost();
    engine.connected(token());
    sent(&mut engine);
    let mut answer = session(json!([]), json!([]));
    answer["unreachable"] = json!([CHAT.to_string()]);
    result(&mut engine, 0, answer);
    let load = sent(&mut engine);
    (engine, load[0].0)
}

fn not_found(engine: &mut Engine, id: u64) {
    let no = ErrorFrame::of(ErrorKind::NotFound);
    engine.frame(&write_error(Some(&RequestId::Number(id)), &no).unwrap(), 0).unwrap();
}

#[test]
fn what_came_before_the_chat_was_given_away_is_told_though_its_history_is_refused() {
    let (mut engine, load) = unreachable();
    for event in [message(2), message(3), placed(4)] {
        notify(&mut engine, "chat.event", event);
    }
    not_found(&mut engine, load);
    assert_eq!(seqs(&told(&mut engine)), [2, 3, 4]);
    assert!(sent(&mut engine).is_empty(), "it is another's");
}

#[test]
fn a_chat_that_was_given_away_and_comes_back_meanwhile_is_loaded_from_where_it_was_left() {
    let (mut engine, load) = unreachable();
    for event in [message(2), placed(3), assigned(4, ME)] {
        notify(&mut engine, "chat.event", event);
    }
    not_found(&mut engine, load);
    assert_eq!(seqs(&told(&mut engine)), [2, 3]);
    let again = sent(&mut engine);
    assert_eq!((again.len(), &again[0].2["after"]), (1, &cursor(3)));
    result(&mut engine, again[0].0, page(4..=5));
    assert_eq!(seqs(&told(&mut engine)), [4, 5]);
}

#[test]
fn what_came_behind_a_gap_of_a_refused_history_is_not_told() {
    let (mut engine, load) = unreachable();
    notify(&mut engine, "chat.event", message(3));
    not_found(&mut engine, load);
    assert!(seqs(&told(&mut engine)).is_empty());
}

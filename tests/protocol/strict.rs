//! What is refused, and how the refusal helps.

use proptest::prelude::*;
use serde_json::{Value, json};
use switchboard::protocol::limits::{FRAME_MAX_BYTES, TEXT_ESCAPED_MAX_BYTES};
use switchboard::protocol::value::WireText;
use switchboard::protocol::{Call, Cursor, ErrorKind, Rejected, RequestId, read_request};

use crate::samples;

fn refused(frame: &str) -> Rejected {
    match read_request(frame.as_bytes()) {
        Err(rejected) => rejected,
        Ok(request) => panic!("{frame} was read as {request:?}"),
    }
}

fn call(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": params}).to_string()
}

#[test]
fn each_malformed_frame_gets_its_own_error() {
    let chat = samples::CHAT.to_string();
    let cases = [
        ("", ErrorKind::ParseError, ""),
        ("{", ErrorKind::ParseError, ""),
        ("{\"jsonrpc\":\"2.0\"} x", ErrorKind::ParseError, ""),
        ("5", ErrorKind::InvalidRequest, ""),
        ("\"x\"", ErrorKind::InvalidRequest, ""),
        ("[]", ErrorKind::BatchNotSupported, ""),
        (" [{\"jsonrpc\":\"2.0\"}]", ErrorKind::BatchNotSupported, ""),
        ("{}", ErrorKind::InvalidRequest, "jsonrpc"),
        (r#"{"jsonrpc":"1.0","id":5,"method":"chat.list"}"#, ErrorKind::InvalidRequest, "jsonrpc"),
        (r#"{"jsonrpc":2.0,"id":5,"method":"chat.list"}"#, ErrorKind::InvalidRequest, "jsonrpc"),
        (r#"{"jsonrpc":"2.0","method":"chat.list"}"#, ErrorKind::InvalidRequest, "id"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"chat.list"}"#, ErrorKind::InvalidRequest, "id"),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"chat.list"}"#, ErrorKind::InvalidRequest, "id"),
        (r#"{"jsonrpc":"2.0","id":-1,"method":"chat.list"}"#, ErrorKind::InvalidRequest, "id"),
        (r#"{"jsonrpc":"2.0","id":"","method":"chat.list"}"#, ErrorKind::InvalidRequest, "id"),
        (r#"{"jsonrpc":"2.0","id":[1],"method":"chat.list"}"#, ErrorKind::InvalidRequest, "id"),
        (
            r#"{"jsonrpc":"2.0","id":9007199254740992,"method":"chat.list"}"#,
            ErrorKind::InvalidRequest,
            "id",
        ),
        (r#"{"jsonrpc":"2.0","id":5}"#, ErrorKind::InvalidRequest, "method"),
        (r#"{"jsonrpc":"2.0","id":5,"method":7}"#, ErrorKind::InvalidRequest, "method"),
        (r#"{"jsonrpc":"2.0","id":5,"id":6,"method":"x"}"#, ErrorKind::InvalidRequest, "id"),
        (r#"{"jsonrpc":"2.0","id":5,"result":{}}"#, ErrorKind::InvalidRequest, "result"),
    ];
    for (frame, kind, field) in cases {
        let rejected = refused(frame);
        assert_eq!(rejected.error.kind(), kind, "{frame}");
        assert_eq!(rejected.error.data.field.unwrap_or_default(), field, "{frame}");
    }
    let unknown = refused(&call("chat.fly", json!({"chat": chat})));
    assert_eq!(unknown.error.kind(), ErrorKind::MethodNotFound);
    assert!(unknown.error.message.contains("chat.fly"));
}

#[test]
fn wrong_params_name_the_field() {
    let chat = samples::CHAT.to_string();
    let send = |change: Value| {
        let mut params = json!({"chat": chat, "client_message_id": "m", "text": "x"});
        for (name, value) in change.as_object().unwrap() {
            params[name] = value.clone();
        }
        call("message.send", params)
    };
    let cursor = "AQ";
    let cases = [
        (send(json!({"colour": 1})), "colour"),
        (send(json!({"text": 5})), "text"),
        (send(json!({"text": null})), "text"),
        (send(json!({"chat": 5})), "chat"),
        (send(json!({"chat": "5"})), "chat"),
        (send(json!({"chat": format!("{{{chat}}}")})), "chat"),
        (send(json!({"chat": chat.replace('-', "")})), "chat"),
        (send(json!({"client_message_id": ""})), "client_message_id"),
        (send(json!({"client_message_id": "a b"})), "client_message_id"),
        (send(json!({"client_message_id": "x".repeat(65)})), "client_message_id"),
        (call("message.send", json!({"chat": chat})), "client_message_id"),
        (call("message.send", json!([chat, "m", "x"])), "params"),
        (call("message.send", json!("x")), "params"),
        (call("message.read", json!({"chat": chat, "up_to": -1})), "up_to"),
        (call("message.read", json!({"chat": chat, "up_to": 1.5})), "up_to"),
        (call("session.open", json!({})), "token"),
        (call("session.open", json!({"token": ""})), "token"),
        (call("session.open", json!({"token": "x".repeat(1_025)})), "token"),
        (call("session.open", json!({"token": "t", "resume": [[chat, cursor]]})), "resume[0]"),
        (
            call(
                "session.open",
                json!({"token": "t", "resume": [{"chat": chat, "cursor": cursor}]}),
            ),
            "resume[0]",
        ),
        (call("chat.history", json!({"chat": chat, "limit": 0})), "limit"),
        (call("chat.history", json!({"chat": chat, "limit": 101})), "limit"),
        (call("chat.list", json!({"scope": "all"})), "scope"),
        (
            call("chat.transfer", json!({"command_id": "c", "chat": chat, "to": {"team": chat}})),
            "to",
        ),
        (
            call("chat.set_state", json!({"command_id": "c", "chat": chat, "state": "completed"})),
            "state",
        ),
        (
            call(
                "operator.set_status",
                json!({"command_id": "c", "status": "ready", "reason": "lunch"}),
            ),
            "reason",
        ),
    ];
    for (frame, field) in cases {
        let rejected = refused(&frame);
        let error = rejected.error;
        assert_eq!(error.kind(), ErrorKind::InvalidParams, "{frame}");
        assert_eq!(rejected.id, Some(RequestId::Number(5)), "{frame}");
        let named = error.data.field.unwrap();
        assert!(
            named.starts_with(field) || error.message.contains(&format!("`{field}`")),
            "{frame}: `{named}`, {}",
            error.message
        );
    }
}

#[test]
fn a_page_has_one_end() {
    let chat = samples::CHAT.to_string();
    let cursor = Cursor::new(samples::STORE, samples::CHAT, 41).text().into_owned();
    let params = json!({"chat": chat, "before": cursor, "after": cursor});
    let error = refused(&call("chat.history", params)).error;
    assert_eq!(error.kind(), ErrorKind::InvalidParams);
    assert!(error.message.contains("exclude each other"));
}

#[test]
fn a_doubled_param_is_refused() {
    let frame =
        r#"{"jsonrpc":"2.0","id":5,"method":"chat.list","params":{"scope":"mine","scope":"line"}}"#;
    let error = refused(frame).error;
    assert_eq!(error.kind(), ErrorKind::InvalidParams);
    assert!(error.message.contains("scope"));
}

#[test]
fn a_frame_too_large_says_the_limit() {
    let frame = "x".repeat(FRAME_MAX_BYTES + 1);
    let error = refused(&frame).error;
    assert_eq!(error.kind(), ErrorKind::FrameTooLarge);
    assert_eq!(error.data.limit, Some(FRAME_MAX_BYTES as u64));
}

#[test]
fn too_many_characters_are_refused_with_the_count() {
    let send = |text: String| {
        let chat = samples::CHAT.to_string();
        let frame =
            call("message.send", json!({"chat": chat, "client_message_id": "m", "text": text}));
        read_request(frame.as_bytes())
    };
    let Call::MessageSend(params) = send("x".repeat(2_001)).unwrap().call else {
        panic!("another call");
    };
    let error = switchboard::protocol::ErrorFrame::from(params.text.check().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::TextTooLong);
    assert_eq!((error.data.count, error.data.limit), (Some(2_001), Some(2_000)));

    // 9,000 vertical tabs are white space and few bytes, but six each in a frame.
    let error = send("\u{b}".repeat(9_000)).unwrap_err().error;
    assert_eq!(error.kind(), ErrorKind::TextTooLong);
    assert_eq!(error.data.limit, Some(TEXT_ESCAPED_MAX_BYTES as u64));
}

#[test]
fn texts_and_tokens_never_show_in_debug_output() {
    for (method, secret) in [("message.send", "Привет"), ("session.open", "sb1.key")] {
        for (_, _, params) in samples::calls().into_iter().filter(|(m, ..)| m.name() == method) {
            let frame = call(method, params);
            let shown = format!("{:?}", read_request(frame.as_bytes()).unwrap());
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let shown = format!("{:?}", samples::notifications());
    assert!(!shown.contains("Привет"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = read_request(&bytes);
    }

    /// Sound frames with a few bytes changed: most mistakes lie close to what is right.
    #[test]
    fn no_damage_makes_reading_panic(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let calls = samples::calls();
        let (method, _, params) = which.get(&calls);
        let mut bytes = call(method.name(), params.clone()).into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(rejected) = read_request(&bytes) {
            prop_assert!(rejected.error.message.len() <= 512);
        }
    }

    #[test]
    fn the_length_as_json_is_counted_as_serde_writes_it(text in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
        let frame = switchboard::protocol::value::TextFrame::from(text.as_str());
        let written = serde_json::to_string(&text).unwrap().len() - 2;
        prop_assert_eq!(frame.escaped_bytes(), written);
    }
}

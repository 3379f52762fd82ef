//! The REST interface as types: routes, strictness, and the document made from them.

use std::collections::BTreeSet;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use switchboard::domain::Rule;
use switchboard::domain::rights::Operation;
use switchboard::protocol::rest::body::*;
use switchboard::protocol::rest::openapi::{COMMON_ERRORS, SOCKET_ERRORS};
use switchboard::protocol::rest::{ErrorResponse, RestErrorKind, Route, openapi};

use crate::documents::{references_lead_somewhere, up_to_date};
use crate::samples::{ANNA, CHANNEL, QUEUE};

#[test]
fn every_row_of_the_table_of_rights_has_its_use() {
    let mut used = BTreeSet::new();
    for route in Route::ALL {
        used.insert(route.operation());
    }
    let methods = switchboard::protocol::Method::ALL.iter();
    used.extend(methods.map(|method| method.operation()));
    assert_eq!(used, Operation::ALL.iter().copied().collect());
}

#[test]
fn paths_and_methods_are_distinct() {
    let routes: BTreeSet<_> = Route::ALL.iter().map(|r| (r.path(), r.verb())).collect();
    assert_eq!(routes.len(), Route::ALL.len());
}

#[test]
fn the_openapi_document_is_up_to_date() {
    up_to_date("docs/openapi.json", &openapi());
}

#[test]
fn every_reference_in_the_openapi_document_leads_somewhere() {
    references_lead_somewhere(&openapi());
}

#[test]
fn what_is_open_to_nobody_known_asks_for_no_token() {
    let document = openapi();
    let open = |path: &str, verb: &str| document["paths"][path][verb]["security"] == json!([]);
    assert!(open("/api/v1/sessions", "post"));
    assert!(open("/openapi.json", "get"));
    assert!(!open("/api/v1/users", "get"));
    assert!(!open("/api/v1/sessions/current", "delete"));
}

#[test]
fn every_rest_error_is_somebodys() {
    let of_routes = Route::ALL.iter().flat_map(|route| route.errors());
    let known: BTreeSet<_> = of_routes.chain(COMMON_ERRORS).chain(SOCKET_ERRORS).collect();
    assert_eq!(known, RestErrorKind::ALL.iter().collect());
}

fn queue() -> Value {
    json!({
        "version": 3,
        "name": "Sales",
        "active": true,
        "rule": "longest_idle",
        "members": [ANNA.to_string()],
        "priority": 2,
        "offer_timeout_ms": 30_000,
    })
}

fn channel() -> Value {
    json!({
        "version": 1,
        "name": "Shop",
        "provider": "web_chat",
        "active": true,
        "queue": QUEUE.to_string(),
        "sender": "operator",
    })
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: Value) -> T {
    let read: T = read_body(value.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), value);
    read
}

#[test]
fn bodies_come_back_as_they_were_written() {
    let read: QueueRequest = comes_back(queue());
    assert_eq!(read.rule.0, Rule::LongestIdle);
    comes_back::<ChannelRequest>(channel());
    let mut response = channel();
    response["id"] = json!(CHANNEL.to_string());
    response["has_site_key"] = json!(false);
    comes_back::<ChannelResponse>(response);
    let mut response = queue();
    response["id"] = json!(QUEUE.to_string());
    comes_back::<QueueResponse>(response.clone());
    comes_back::<AwayReasonRequest>(json!({"version": 2, "name": "Lunch", "active": true}));
    comes_back::<PageResponse<QueueResponse>>(json!({"items": [response]}));
}

#[test]
fn a_wrong_body_names_the_field() {
    let wrong = |change: Value| -> ErrorResponse {
        let mut body = queue();
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        read_body::<QueueRequest>(body.to_string().as_bytes()).unwrap_err()
    };
    let cases = [
        (json!({"colour": 1}), "colour"),
        (json!({"rule": "all"}), "rule"),
        (json!({"priority": -1}), "priority"),
        (json!({"priority": 256}), "priority"),
        (json!({"members": ["x"]}), "members[0]"),
        (json!({"offer_timeout_ms": "5"}), "offer_timeout_ms"),
    ];
    for (change, field) in cases {
        let error = wrong(change);
        assert_eq!(error.kind(), RestErrorKind::InvalidRequest);
        assert_eq!(error.error.field.as_deref(), Some(field), "{}", error.error.detail);
    }
    for body in ["", "[]", "5", "{", "{} x", "\u{0}"] {
        assert!(read_body::<VisitorTokenRequest>(body.as_bytes()).is_err(), "{body}");
    }
    assert!(read_body::<VisitorTokenRequest>(b"\xff").is_err());
    assert!(read_body::<VisitorTokenRequest>(b"{}").is_ok());
}

#[test]
fn passwords_and_tokens_in_bodies_never_show_in_debug_output() {
    let body = json!({"login": "anna", "password": "a secret password"});
    let read: LogInRequest = comes_back(body);
    assert!(!format!("{read:?}").contains("secret password"));
}

fn words<T: Serialize>(values: &[T]) -> Vec<String> {
    let word = |value| match serde_json::to_value(value).unwrap() {
        Value::String(word) => word,
        other => panic!("{other} is no word"),
    };
    values.iter().map(word).collect()
}

#[test]
fn words_of_roles_providers_and_senders_are_those_of_the_catalog() {
    use switchboard::catalog::{Provider, Role, Sender};
    let roles = [UserRole::Administrator, UserRole::ChatAdministrator, UserRole::Operator];
    let kept: Vec<_> = Role::ALL.iter().map(|one| one.word()).collect();
    assert_eq!(words(&roles), kept);
    let providers = [ProviderWord::Internal, ProviderWord::WebChat];
    let kept: Vec<_> = Provider::ALL.iter().map(|one| one.word()).collect();
    assert_eq!(words(&providers), kept);
    let senders = [SenderWord::Channel, SenderWord::Operator];
    let kept: Vec<_> = Sender::ALL.iter().map(|one| one.word()).collect();
    assert_eq!(words(&senders), kept);
}

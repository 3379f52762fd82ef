//! The machine-readable document of the socket protocol, made from the types: the methods in the
//! manner of OpenRPC, with notifications, close codes and limits as extensions.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::call::Method;
use super::close::{self, CloseRow};
use super::error::ErrorKind;
use super::limits::{
    BAD_FRAMES_MAX, CHAT_LIST_MAX, FRAME_MAX_BYTES, HISTORY_LIMIT_MAX, REQUEST_ID_MAX_BYTES,
    RESUME_MAX, SESSION_OPEN_LIMIT_MS, UNANSWERED_MAX,
};
use super::notify::Notification;
use crate::domain::limits::{PROBE_EVERY_MS, PROBE_LIMIT_MS, TEXT_MAX_BYTES, TEXT_MAX_VISIBLE};

/// The errors that every method can meet.
pub const COMMON_ERRORS: &[ErrorKind] = &[
    ErrorKind::ParseError,
    ErrorKind::InvalidRequest,
    ErrorKind::MethodNotFound,
    ErrorKind::InvalidParams,
    ErrorKind::Internal,
    ErrorKind::BatchNotSupported,
    ErrorKind::FrameTooLarge,
    ErrorKind::SessionRequired,
    ErrorKind::Forbidden,
    ErrorKind::Overloaded,
    ErrorKind::TooManyCalls,
    ErrorKind::Unavailable,
];

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let methods: Vec<Value> =
        Method::ALL.iter().map(|method| describe(*method, &mut generator)).collect();
    let notifications: Vec<Value> = Notification::described(&mut generator)
        .into_iter()
        .map(|(name, summary, schema)| json!({"name": name, "summary": summary, "params": schema}))
        .collect();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Switchboard socket protocol",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "JSON-RPC 2.0 in text frames on GET /ws. Params are objects; no batches; every call has an id.",
        },
        "methods": methods,
        "x-notifications": notifications,
        "x-common-errors": COMMON_ERRORS.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "x-close-codes": close::rows().into_iter().map(close).collect::<Vec<_>>(),
        "x-limits": limits(),
        "components": {
            "schemas": generator.take_definitions(true),
            "errors": errors(),
        },
    })
}

fn describe(method: Method, generator: &mut SchemaGenerator) -> Value {
    let schemas = method.schemas(generator);
    let errors = method.errors().iter();
    json!({
        "name": method.name(),
        "summary": method.summary(),
        "paramStructure": "by-name",
        "params": params(&schemas.params),
        "result": {"name": "result", "schema": schemas.result},
        "errors": errors
            .map(|kind| json!({"$ref": format!("#/components/errors/{}", kind.name())}))
            .collect::<Vec<_>>(),
        "x-in-order-with": method.in_order_with(),
        "x-place-by": method.place_member(),
        "x-callers": method.operation().allowed(),
    })
}

/// The params of an object's schema, one by one, as OpenRPC lists them.
fn params(schema: &Schema) -> Vec<Value> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let needed = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    properties
        .unwrap_or(&none)
        .iter()
        .map(|(name, schema)| json!({"name": name, "required": needed(name), "schema": schema}))
        .collect()
}

fn errors() -> Value {
    let each = ErrorKind::ALL.iter().map(|kind| {
        let error = json!({
            "code": kind.code(),
            "message": kind.meaning(),
            "data": {"name": kind.name()},
            "x-retry": kind.retry(),
            "x-advice": kind.advice(),
        });
        (kind.name().to_owned(), error)
    });
    Value::Object(each.collect())
}

fn close(row: CloseRow) -> Value {
    let CloseRow { code, reason, meaning, then } = row;
    json!({"code": code, "reason": reason, "meaning": meaning, "then": then})
}

fn limits() -> Value {
    json!({
        "frame_bytes": FRAME_MAX_BYTES,
        "request_id_bytes": REQUEST_ID_MAX_BYTES,
        "text_visible_characters": TEXT_MAX_VISIBLE,
        "text_bytes": TEXT_MAX_BYTES,
        "resume_chats": RESUME_MAX,
        "history_events": HISTORY_LIMIT_MAX,
        "listed_chats": CHAT_LIST_MAX,
        "unanswered_calls": UNANSWERED_MAX,
        "bad_frames": BAD_FRAMES_MAX,
        "session_open_ms": SESSION_OPEN_LIMIT_MS,
        "probe_every_ms": PROBE_EVERY_MS,
        "probe_limit_ms": PROBE_LIMIT_MS,
    })
}

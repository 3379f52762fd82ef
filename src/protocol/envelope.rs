//! JSON-RPC 2.0 around calls, answers and notifications. One frame, one message: no batches.
//!
//! Reading never panics and never grows beyond the frame. A call without an id is refused rather
//! than carried out in silence; an error says as much of the id as could be read.

use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::call::{Call, Method};
use super::error::{ErrorFrame, ErrorKind};
use super::limits::{
    FRAME_MAX_BYTES, METHOD_MAX_BYTES, REQUEST_ID_MAX_BYTES, REQUEST_ID_MAX_NUMBER,
};
use super::notify::Notification;

/// The `jsonrpc` member of every frame.
const VERSION: &str = "2.0";

/// The client's id of one request on one socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A whole number from 0 to 2^53 − 1.
    Number(u64),
    /// A text of 1 to 64 bytes.
    Text(String),
}

impl RequestId {
    fn read(raw: &str) -> Option<Self> {
        if let Ok(number) = serde_json::from_str::<u64>(raw) {
            return (number <= REQUEST_ID_MAX_NUMBER).then_some(Self::Number(number));
        }
        let text = serde_json::from_str::<String>(raw).ok()?;
        (1..=REQUEST_ID_MAX_BYTES).contains(&text.len()).then_some(Self::Text(text))
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(raw.get()).ok_or_else(|| D::Error::custom("this is no id of a request"))
    }
}

/// A call as it came, with the id that its answer carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The client's id.
    pub id: RequestId,
    /// What is wanted.
    pub call: Call,
}

/// A frame that is no call: what to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The id, if one could be read.
    pub id: Option<RequestId>,
    /// What is wrong.
    pub error: ErrorFrame,
}

impl Rejected {
    /// Whether the client's code is broken, so that it counts towards
    /// [`BAD_FRAMES_MAX`](super::limits::BAD_FRAMES_MAX).
    pub fn malformed(&self) -> bool {
        matches!(
            self.error.kind(),
            ErrorKind::ParseError
                | ErrorKind::InvalidRequest
                | ErrorKind::BatchNotSupported
                | ErrorKind::FrameTooLarge
        )
    }
}

impl From<ErrorFrame> for Rejected {
    fn from(error: ErrorFrame) -> Self {
        Self { id: None, error }
    }
}

/// Reads a frame that a client sent. Errors with the answer that the client gets.
pub fn read_request(frame: &[u8]) -> Result<Request, Rejected> {
    if frame.len() > FRAME_MAX_BYTES {
        return Err(ErrorFrame::frame_too_large(frame.len(), FRAME_MAX_BYTES).into());
    }
    let text = std::str::from_utf8(frame)
        .map_err(|_| ErrorFrame::new(ErrorKind::ParseError, "the frame is no UTF-8 text"))?;
    if text.trim_start().starts_with('[') {
        return Err(ErrorFrame::of(ErrorKind::BatchNotSupported).into());
    }
    let members: Members<'_> = serde_json::from_str(text).map_err(unreadable)?;
    let id = members.id();
    let answer_to = |error| Rejected { id: id.clone(), error };
    members.check().map_err(answer_to)?;
    let id = id
        .clone()
        .ok_or_else(|| invalid("id", "the id is a text of 1 to 64 bytes, or 0 to 2^53 - 1"))?;
    let method = members.method().map_err(answer_to)?;
    let params = members.params.map_or("{}", RawValue::get);
    let call = method.read(params).map_err(answer_to)?;
    Ok(Request { id, call })
}

fn unreadable(error: serde_json::Error) -> ErrorFrame {
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => {
            ErrorFrame::new(ErrorKind::ParseError, format!("this is no JSON: {error}"))
        }
        Category::Data => invalid("", "a request is a JSON object"),
    }
}

fn invalid(field: &str, message: &str) -> ErrorFrame {
    ErrorFrame::field(ErrorKind::InvalidRequest, field, message)
}

/// The members of a request, unread. Keeps reading when one is wrong, so that the answer can
/// carry the id.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    unknown: Option<String>,
    doubled: Option<String>,
}

impl Members<'_> {
    fn id(&self) -> Option<RequestId> {
        self.id.and_then(|raw| RequestId::read(raw.get()))
    }

    fn check(&self) -> Result<(), ErrorFrame> {
        if let Some(name) = &self.doubled {
            return Err(invalid(name, &format!("`{name}` occurs twice")));
        }
        if let Some(name) = &self.unknown {
            let known = "`jsonrpc`, `id`, `method` and `params`";
            let message = format!("`{name}` is unknown; a request has {known}");
            return Err(invalid(name, &message));
        }
        let version = self.jsonrpc.and_then(text_of);
        if version.as_deref() != Some(VERSION) {
            return Err(invalid("jsonrpc", "`jsonrpc` must be \"2.0\""));
        }
        if self.id.is_none() {
            return Err(invalid("id", "every call needs an `id`"));
        }
        Ok(())
    }

    fn method(&self) -> Result<Method, ErrorFrame> {
        let name = self.method.and_then(text_of);
        let name = name.ok_or_else(|| invalid("method", "`method` must be a text"))?;
        Method::named(&name).ok_or_else(|| {
            let known = name.len() <= METHOD_MAX_BYTES;
            let shown = if known { &name } else { "of this length" };
            ErrorFrame::new(ErrorKind::MethodNotFound, format!("there is no method {shown}"))
        })
    }
}

fn text_of(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key::<String>()? {
                    let slot = match name.as_str() {
                        "jsonrpc" => &mut members.jsonrpc,
                        "id" => &mut members.id,
                        "method" => &mut members.method,
                        "params" => &mut members.params,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            members.unknown.get_or_insert(name);
                            continue;
                        }
                    };
                    let value = map.next_value::<&RawValue>()?;
                    if slot.replace(value).is_some() {
                        members.doubled.get_or_insert(name);
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[derive(Serialize)]
struct ResultEnvelope<'a, R> {
    jsonrpc: &'static str,
    id: &'a RequestId,
    result: &'a R,
}

#[derive(Serialize)]
struct ErrorEnvelope<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RequestId>,
    error: &'a ErrorFrame,
}

#[derive(Serialize)]
struct CallEnvelope<'a, P> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RequestId>,
    method: &'static str,
    params: &'a P,
}

/// A frame that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("the frame cannot be written: {0}")]
pub struct EncodeError(#[from] serde_json::Error);

/// Room for most frames, bytes, so that they grow once: an event with a message of 120 bytes has some 430.
const MOST_FRAMES_BYTES: usize = 512;

fn written(frame: &impl Serialize) -> Result<String, EncodeError> {
    let mut text = Vec::with_capacity(MOST_FRAMES_BYTES);
    serde_json::to_writer(&mut text, frame)?;
    String::from_utf8(text).map_err(|error| EncodeError(serde::ser::Error::custom(error)))
}

/// The text of a good answer.
pub fn write_result<R: Serialize>(id: &RequestId, result: &R) -> Result<String, EncodeError> {
    let jsonrpc = VERSION;
    written(&ResultEnvelope { jsonrpc, id, result })
}

/// The text of a refusal; without an id when none could be read.
pub fn write_error(id: Option<&RequestId>, error: &ErrorFrame) -> Result<String, EncodeError> {
    let jsonrpc = VERSION;
    written(&ErrorEnvelope { jsonrpc, id, error })
}

/// The text of a notification.
pub fn write_notification(notification: &Notification) -> Result<String, EncodeError> {
    written(&CallEnvelope {
        jsonrpc: VERSION,
        id: None,
        method: notification.name(),
        params: notification,
    })
}

/// The text of a call, for clients.
pub fn write_request(id: &RequestId, call: &Call) -> Result<String, EncodeError> {
    written(&CallEnvelope {
        jsonrpc: VERSION,
        id: Some(id),
        method: call.method().name(),
        params: call,
    })
}

/// What a client gets from a server.
#[derive(Debug)]
pub enum FromServer {
    /// The answer to a call; the result is read once the client knows which call it was.
    Answer {
        /// The call's id; none when the server could not read it.
        id: Option<RequestId>,
        /// The answer.
        outcome: Result<Box<RawValue>, ErrorFrame>,
    },
    /// Unasked.
    Notification(Notification),
    /// A notification that this release does not know; to be ignored.
    Unknown(String),
}

/// A frame that is none of a server's.
#[derive(Debug, thiserror::Error)]
pub enum BadServerFrame {
    /// No JSON, or members of a wrong type.
    #[error("the frame cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Neither an answer nor a notification.
    #[error("the frame is neither an answer nor a notification")]
    Shape,
}

/// Reads a frame that a server sent, for clients.
pub fn read_from_server(text: &str) -> Result<FromServer, BadServerFrame> {
    #[derive(Deserialize)]
    struct Any {
        #[serde(default)]
        id: Option<RequestId>,
        #[serde(default)]
        method: Option<String>,
        #[serde(default)]
        params: Option<Box<RawValue>>,
        #[serde(default)]
        result: Option<Box<RawValue>>,
        #[serde(default)]
        error: Option<ErrorFrame>,
    }
    let any: Any = serde_json::from_str(text)?;
    match (any.method, any.result, any.error) {
        (Some(method), None, None) => {
            let params = any.params.as_deref().map_or("{}", RawValue::get);
            match Notification::read(&method, params) {
                Some(notification) => Ok(FromServer::Notification(notification?)),
                None => Ok(FromServer::Unknown(method)),
            }
        }
        (None, Some(result), None) => Ok(FromServer::Answer { id: any.id, outcome: Ok(result) }),
        (None, None, Some(error)) => Ok(FromServer::Answer { id: any.id, outcome: Err(error) }),
        (None, None, None) | (Some(_), _, _) | (None, Some(_), Some(_)) => {
            Err(BadServerFrame::Shape)
        }
    }
}

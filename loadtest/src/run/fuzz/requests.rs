//! Requests to every route by everybody, with what is known, with what is nearly right, and noise.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use switchboard::protocol::rest::{Route, Verb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::RunError;
use super::pool::{Role, Who};
use super::sockets::somebody_new;
use super::wild::{self, one_in, one_of};
use super::{ANSWER_LIMIT_S, Common};
use crate::client::rest::RestError;
use crate::draw::{Draw, Purpose};

/// Apart from the streams of sockets.
const STREAMS_FROM: u64 = 1_000;

/// What the longest answer to noise may have, bytes.
const NOISE_ANSWER_MAX_BYTES: usize = 64 * 1_024;

/// What takes people and chats away from the others, and comes less often.
const TAKES_AWAY: &[Route] = &[
    Route::EraseCustomer,
    Route::RevokeVisitorTokens,
    Route::LogOut,
    Route::DeleteQueue,
    Route::DeleteChannel,
];

/// Sends requests until none is left.
pub async fn run(common: Arc<Common>, n: u64) -> Result<(), RunError> {
    let mut draw = Draw::new(common.amount.seed, Purpose::Fuzz, STREAMS_FROM + n);
    while Common::take(&common.requests) {
        let status = if one_in(&mut draw, 25) {
            noise(&common, &mut draw).await
        } else {
            request(&common, &mut draw).await
        };
        common.seen(|seen| *seen.statuses.entry(status).or_default() += 1);
    }
    Ok(())
}

/// One request; the status, or 0 when the connection was closed.
async fn request(common: &Common, draw: &mut Draw) -> u16 {
    let mut route = Route::OpenApi;
    for _ in 0..4 {
        route = Route::ALL.get(draw.below(Route::ALL.len())).copied().unwrap_or(route);
        if !TAKES_AWAY.contains(&route) || one_in(draw, 20) {
            break;
        }
    }
    // Most routes are an administrator's: who is refused at the door finds nothing.
    let who = if one_in(draw, 2) { Who::User(Role::Administrator) } else { Who::drawn(draw) };
    if one_in(draw, 50) {
        somebody_new(common, draw, who).await;
    }
    let path = path(common, draw, route);
    let mut body = body(common, draw, route);
    if one_in(draw, 2)
        && let Some(body) = &mut body
    {
        wild::change(draw, body);
    }
    let mut bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    if one_in(draw, 8) {
        bytes = wild::bytes(draw, &bytes);
    }
    let kind = match draw.below(12) {
        0 => "text/plain",
        1 => "application/json; charset=utf-16",
        2 => "application/json",
        _ => route.verb().media_type().unwrap_or("application/json"),
    };
    let token = if one_in(draw, 10) {
        common.pool(|pool| pool.some(draw, "token"))
    } else {
        common.pool(|pool| pool.token(draw, who))
    };
    let verb = route.verb().name();
    let shown = format!("{verb} {path} {}", String::from_utf8_lossy(&bytes));
    let asked = Request::builder()
        .method(verb)
        .uri(format!("http://{}{path}", common.address))
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(CONTENT_TYPE, kind)
        .body(Full::new(Bytes::from(bytes)));
    // What no client can write down is sent as noise.
    let Ok(asked) = asked else { return noise(common, draw).await };
    match common.rest.raw(asked, Duration::from_secs(ANSWER_LIMIT_S)).await {
        Ok((status, answer)) => {
            took(common, route, status, &answer, &shown);
            status
        }
        Err(RestError::NoAnswer { why, .. }) if why.contains("too long") => {
            common.fault(format!("no answer within {ANSWER_LIMIT_S} s: {shown}"));
            0
        }
        Err(_) => 0,
    }
}

fn took(common: &Common, route: Route, status: u16, answer: &[u8], shown: &str) {
    let shown: String = shown.chars().take(600).collect();
    if status == 500 {
        common.fault(format!("status 500: {shown}: {}", String::from_utf8_lossy(answer)));
    }
    if status == 204 && route == Route::EraseCustomer {
        common.pool(|pool| pool.erasures += 1);
    }
    if answer.is_empty() {
        return;
    }
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        common.fault(format!("the answer is no JSON: {shown}"));
        return;
    };
    if !matches!(route, Route::OpenApi | Route::SocketProtocol) {
        common.pool(|pool| pool.harvest(&answer, Some(kind_of(route.path()))));
    }
}

/// What the items of a route are.
fn kind_of(path: &str) -> &'static str {
    let kinds =
        [("/users", "user"), ("/operators", "user"), ("/channels", "channel"), ("/chats", "chat")];
    kinds.iter().find(|(part, _)| path.contains(part)).map_or("queue", |(_, kind)| kind)
}

/// The path with its names filled in, and sometimes a query.
fn path(common: &Common, draw: &mut Draw, route: Route) -> String {
    let mut path = String::new();
    for part in route.path().split('/').skip(1) {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        let filled = match name {
            Some(_) if one_in(draw, 20) => escaped(&wild::text(draw)),
            Some("channel") => common.pool(|pool| pool.some(draw, "channel")),
            Some("customer") => common.pool(|pool| pool.some(draw, "customer")),
            Some("queue") => common.pool(|pool| pool.some(draw, "queue")),
            Some("chat") => common.pool(|pool| pool.some(draw, "chat")),
            Some(_) => common.pool(|pool| pool.some(draw, "user")),
            None => part.to_owned(),
        };
        path += "/";
        path += &filled;
    }
    if one_in(draw, 3) {
        let version = common.pool(|pool| pool.some(draw, "version"));
        let next = common.pool(|pool| pool.some(draw, "next"));
        let wrong = escaped(&wild::text(draw));
        let queries = [
            format!("version={version}"),
            format!("limit={}", draw.below(1_100)),
            format!("after={}", escaped(&next)),
            format!("from={}&until={}", draw.bits() >> 20, draw.bits() >> 20),
            format!("actor={wrong}"),
            format!("{wrong}=1&version={version}&version=2"),
        ];
        if let Some(query) = queries.get(draw.below(queries.len())) {
            path += "?";
            path += query;
        }
    }
    path
}

/// Percent-escaped, at most 200 characters of it.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escape = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().take(200).map(escape).collect()
}

/// The body of a route, valid as far as what is known goes; a patch has some of the members, and some
/// of them are to be reset.
fn body(common: &Common, draw: &mut Draw, route: Route) -> Option<Value> {
    let mut body = whole(common, draw, route)?;
    if route.verb() == Verb::Patch
        && let Some(members) = body.as_object_mut()
    {
        members.retain(|name, _| name == "version" || one_in(draw, 2));
        for (_, value) in members.iter_mut() {
            if one_in(draw, 10) {
                *value = Value::Null;
            }
        }
    }
    Some(body)
}

/// The body of a route, or of the one that replaces what it patches.
fn whole(common: &Common, draw: &mut Draw, route: Route) -> Option<Value> {
    let kind = |draw: &mut Draw, kind| common.pool(|pool| pool.some(draw, kind));
    let version = common.pool(|pool| pool.number(draw, "version"));
    let name =
        if one_in(draw, 6) { wild::text(draw) } else { format!("Name {}", draw.below(1_000)) };
    let login = format!("made-{}", draw.below(200));
    Some(match route {
        Route::LogIn => json!({"login": login, "password": format!("guess-{}", draw.below(9))}),
        Route::Refresh => json!({"refresh_token": kind(draw, "token")}),
        Route::IssueVisitorToken => {
            json!({"customer": kind(draw, "customer"), "priority": draw.below(12), "name": name})
        }
        Route::CreateUser | Route::ChangeUser | Route::PatchUser => json!({
            "version": if route == Route::CreateUser { 0 } else { version },
            "name": name, "login": login,
            "role": one_of(draw, &["operator", "chat_administrator", "administrator"]),
            "active": !one_in(draw, 4), "capacity": draw.below(40),
        }),
        Route::SetPassword => json!({"password": format!("long enough {}", draw.bits())}),
        Route::ChangeOperator => json!({"version": version, "capacity": draw.below(20)}),
        Route::CreateChannel | Route::ChangeChannel | Route::PatchChannel => json!({
            "version": if route == Route::CreateChannel { 0 } else { version },
            "name": name, "provider": one_of(draw, &["internal", "web_chat"]),
            "active": !one_in(draw, 4), "queue": kind(draw, "queue"),
            "sender": one_of(draw, &["channel", "operator"]), "reference": wild::text(draw),
        }),
        Route::NewSiteKey => json!({"version": version}),
        Route::CreateQueue | Route::ChangeQueue | Route::PatchQueue => json!({
            "version": if route == Route::CreateQueue { 0 } else { version },
            "name": name, "active": !one_in(draw, 4),
            "rule": one_of(draw, &["to_all", "least_loaded", "longest_idle", "manual"]),
            "members": (0..draw.below(8)).map(|_| kind(draw, "user")).collect::<Vec<_>>(),
            "priority": draw.below(11), "offer_timeout_ms": 100 + draw.below(5_000),
        }),
        Route::CreateAwayReason | Route::ChangeAwayReason | Route::PatchAwayReason => json!({
            "version": if route == Route::CreateAwayReason { 0 } else { version },
            "name": name, "active": !one_in(draw, 4),
        }),
        Route::LogOut
        | Route::RevokeVisitorTokens
        | Route::EraseCustomer
        | Route::ListUsers
        | Route::ReadUser
        | Route::ListOperators
        | Route::ReadOperator
        | Route::ListChannels
        | Route::ReadChannel
        | Route::DeleteChannel
        | Route::ListQueues
        | Route::ReadQueue
        | Route::DeleteQueue
        | Route::ListAwayReasons
        | Route::ReadAwayReason
        | Route::DeleteAwayReason
        | Route::ListChats
        | Route::ReadChat
        | Route::ExplainChat
        | Route::ReadAudit
        | Route::OpenApi
        | Route::SocketProtocol => return None,
    })
}

/// Bytes that are hardly HTTP. Whatever comes back, it comes in time.
async fn noise(common: &Common, draw: &mut Draw) -> u16 {
    let path = path(common, draw, Route::ReadQueue);
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        draw.below(50)
    );
    let bytes = wild::bytes(draw, head.as_bytes());
    let asked = async {
        let mut stream = TcpStream::connect(&common.address).await.ok()?;
        stream.write_all(&bytes).await.ok()?;
        stream.shutdown().await.ok()?;
        let mut answer = Vec::new();
        let mut limited = stream.take(NOISE_ANSWER_MAX_BYTES as u64);
        limited.read_to_end(&mut answer).await.ok()?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        text.split(' ').nth(1).and_then(|status| status.parse().ok())
    };
    match timeout(Duration::from_secs(ANSWER_LIMIT_S), asked).await {
        Ok(Some(500)) => {
            common.fault(format!("status 500 to noise: {}", String::from_utf8_lossy(&bytes)));
            500
        }
        Ok(status) => status.unwrap_or(0),
        Err(_) => {
            common.fault(format!("no answer to noise: {}", String::from_utf8_lossy(&bytes)));
            0
        }
    }
}

//! The handshake of RFC 6455, 4.2: what a request must say to become a socket, and the answer.

use axum::body::Body;
use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::protocol::rest::{ErrorResponse, RestErrorKind};

/// Bytes of the key that a client draws for each socket.
const KEY_BYTES: usize = 16;

/// The version of RFC 6455.
const VERSION: &str = "13";

/// Checks the headers. Answers what goes into `Sec-WebSocket-Accept`.
pub(super) fn accept(headers: &HeaderMap) -> Result<String, ErrorResponse> {
    let bad = |what: &str| Err(ErrorResponse::new(RestErrorKind::BadHandshake, what));
    if !lists(headers, &CONNECTION, "upgrade") {
        return bad("`Connection` does not list `upgrade`");
    }
    if !lists(headers, &UPGRADE, "websocket") {
        return bad("`Upgrade` is not `websocket`");
    }
    if only(headers, &SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return bad("`Sec-WebSocket-Version` is not 13");
    }
    let key = only(headers, &SEC_WEBSOCKET_KEY);
    let bytes = |key: &str| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES);
    match key.filter(|key| bytes(key)) {
        Some(key) => Ok(derive_accept_key(key.as_bytes())),
        None => bad("`Sec-WebSocket-Key` is not 16 bytes in base64, once"),
    }
}

/// The answer after which the connection is a socket.
pub(super) fn switching(accept: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// Whether a header that is a list names a word.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// The value of a header that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const GOOD: [(&str, &str); 3] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
    ];

    #[test]
    fn the_example_of_the_standard_is_accepted() {
        let accepted = accept(&headers(&[&GOOD[..], &[KEY]].concat()));
        assert_eq!(accepted.unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn keys_of_another_form_and_doubled_ones_are_refused() {
        let name = KEY.0;
        for key in ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSE=", "////"] {
            let error = accept(&headers(&[&GOOD[..], &[(name, key)]].concat())).unwrap_err();
            assert!(error.error.detail.contains("Sec-WebSocket-Key"), "{key}: {error:?}");
        }
        assert!(accept(&headers(&[&GOOD[..], &[KEY, KEY]].concat())).is_err());
        assert!(accept(&headers(&GOOD)).is_err());
    }

    #[test]
    fn each_header_is_asked_for() {
        for left_out in 0..GOOD.len() {
            let mut some = vec![KEY];
            some.extend(GOOD.iter().enumerate().filter(|(n, _)| *n != left_out).map(|(_, h)| *h));
            let error = accept(&headers(&some)).unwrap_err();
            assert_eq!(error.kind(), RestErrorKind::BadHandshake);
        }
    }
}

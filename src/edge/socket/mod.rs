//! The socket: `GET /ws`.
//!
//! Owns a connection from its upgrade to its close: sessions, calls under way, what goes out, and
//! every limit on them. Refuses to decide anything about chats.
//! Invariants: one task a connection, and no call spawns another (what a socket leaves
//! under way when it ends is followed in one more); calls of one chat keep their
//! order; what is sent is within bounds, and so is what waits; nobody waits for a slow client; a
//! session lives no longer than its token.
//!
//! Reading order: `handshake`, `frames` (what is read), `connection` (the loop), `session` (opening and resuming), `carry` (every call),
//! `caller` (whose is what), `outgoing` (what the router sends).

mod caller;
mod calls;
mod carry;
mod connection;
mod end;
mod frames;
mod handshake;
mod history;
mod list;
mod looks;
mod messages;
mod outgoing;
mod readable;
mod refusals;
mod session;
mod turns;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::response::Response;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::admission::Admitted;
use super::limits::{
    SOCKET_READ_BYTES, SOCKET_UNSENT_MAX_BYTES, SOCKET_WRITE_BYTES, UNAVAILABLE_RETRY_MS,
};
use super::rest::error_response;
use super::{ClientAddress, Edge, origin_allowed};
use crate::audit::Failure;
use crate::protocol::limits::FRAME_MAX_BYTES;
use crate::protocol::rest::{ErrorResponse, RestErrorKind};

/// Turns a request into a socket, if its page may open one and it is admitted.
pub(super) fn upgrade(edge: &Arc<Edge>, client: ClientAddress, mut request: Request) -> Response {
    let headers = request.headers();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if !origin_allowed(text(ORIGIN), text(HOST), &edge.options.allowed_origins) {
        let what = "pages of this origin may not open sockets; \
                    server.allowed_origins in the configuration names those that may";
        let origin = Failure::Origin(text(ORIGIN).unwrap_or_default().to_owned());
        edge.access.trail().failed(&origin, client.network().address(), edge.now());
        return error_response(&ErrorResponse::new(RestErrorKind::Forbidden, what));
    }
    let accept = match handshake::accept(headers) {
        Ok(accept) => accept,
        Err(error) => return error_response(&error),
    };
    if edge.is_closing() {
        let stopping = ErrorResponse::new(RestErrorKind::Unavailable, "the server is stopping");
        return error_response(&stopping.after(UNAVAILABLE_RETRY_MS));
    }
    let admitted = match edge.admission.admit(client.network()) {
        Ok(admitted) => admitted,
        Err(refused) => {
            let error = ErrorResponse::new(RestErrorKind::Overloaded, refused.to_string());
            return error_response(&error.after(UNAVAILABLE_RETRY_MS));
        }
    };
    let (edge, alive) = (Arc::clone(edge), edge.alive());
    // The connection's own admission goes along: it stays one of all that there are.
    let connections = request.extensions_mut().remove::<Arc<Admitted>>();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // The connection is ours once the answer has gone out; it never is when the client has gone.
        if let Ok(upgraded) = upgraded.await {
            let bytes = frames::Frames::new(TokioIo::new(upgraded), Arc::clone(&edge));
            let socket = WebSocketStream::from_raw_socket(bytes, Role::Server, Some(config()));
            connection::run(edge, socket.await, admitted, client).await;
        }
        drop((connections, alive));
    });
    handshake::switching(&accept)
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(SOCKET_READ_BYTES)
        .write_buffer_size(SOCKET_WRITE_BYTES)
        .max_write_buffer_size(SOCKET_UNSENT_MAX_BYTES)
        .max_message_size(Some(FRAME_MAX_BYTES))
        .max_frame_size(Some(FRAME_MAX_BYTES))
}

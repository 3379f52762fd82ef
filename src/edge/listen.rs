//! Taking connections: bounded in number, in all and of one address, in the time that a request's
//! head may take, and in how long one that is no socket may last. Every request is asked by which
//! name it came, and every answer says that its type is what it says.
//!
//! A connection that has not sent the head of a request is silent: when as many are there as may be and
//! a new one comes, the oldest silent one is closed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::admission::{Admission, Admitted, Refused};
use super::client::{ClientAddress, TrustedProxies};
use super::host::check_host;
use super::limits::{
    HEAD_LIMIT, HEAD_MAX_BYTES, HTTP_LIFE_MAX, REFUSED_WAIT, REQUEST_LIMIT, UNAVAILABLE_RETRY_MS,
};
use super::rest::error_response;
use crate::access::Network;
use crate::protocol::rest::{ErrorResponse, RestErrorKind};

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at a time, those that became sockets included.
    pub most: u64,
    /// Of one address; a trusted proxy may have all of them.
    pub most_of_one: u64,
    /// How long one that is no socket may last.
    pub life: Duration,
    /// How long it then has for a request that has begun.
    pub end: Duration,
}

impl ConnectionLimits {
    /// So many connections, so many of one address, each with the usual times.
    pub fn new(most: u64, most_of_one: u64) -> Self {
        Self { most, most_of_one, life: HTTP_LIFE_MAX, end: REQUEST_LIMIT }
    }
}

/// By which ways requests come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ways {
    /// The names of this server, beside its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The proxies in front of it.
    pub proxies: TrustedProxies,
}

/// What the connections of a listener share.
struct Shared {
    limits: ConnectionLimits,
    ways: Arc<Ways>,
    routes: TowerToHyperService<Router>,
    connections: Admission,
    /// Requests under way of those who come by a proxy, by their own addresses.
    by_proxies: Admission,
}

/// Serves connections until `closing` turns true. Every request is given its
/// [`ClientAddress`], and the admission of its connection, which one that becomes
/// a socket takes along.
pub async fn listen(
    listener: TcpListener,
    routes: Router,
    limits: ConnectionLimits,
    ways: Arc<Ways>,
    mut closing: watch::Receiver<bool>,
) {
    let shared = Arc::new(Shared {
        limits,
        ways,
        routes: TowerToHyperService::new(routes),
        connections: Admission::new(limits.most, limits.most_of_one),
        by_proxies: Admission::new(limits.most, limits.most_of_one),
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed(&mut closing) => return,
        };
        match accepted {
            Ok((stream, peer)) => match shared.admit(peer) {
                Ok(admitted) => {
                    let (shared, closing) = (Arc::clone(&shared), closing.clone());
                    tokio::spawn(serve(shared, stream, peer, admitted, closing));
                }
                Err(refused) => tracing::debug!(%refused, %peer, "a connection was not taken"),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                sleep(REFUSED_WAIT).await;
            }
        }
    }
}

impl Shared {
    fn admit(&self, peer: SocketAddr) -> Result<Admitted, Refused> {
        let network = Network::of_client(peer.ip());
        if self.ways.proxies.is_trusted(peer.ip()) {
            self.connections.admit_shared(network)
        } else {
            self.connections.admit(network)
        }
    }

    /// Answers a request of a connection that was admitted so.
    fn answer(
        self: &Arc<Self>,
        peer: SocketAddr,
        admitted: &Arc<Admitted>,
        mut request: hyper::Request<hyper::body::Incoming>,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        let stays = admitted.heard();
        let client = self.ways.proxies.client(peer.ip(), request.headers());
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(Arc::clone(admitted));
        let turn = self.turn(peer, client);
        let known = check_host(&request, &self.ways.hosts);
        let shared = Arc::clone(self);
        async move {
            let turn = if stays { known.and(turn) } else { Err(overloaded(GAVE_WAY)) };
            let mut response = match turn {
                Ok(turn) => {
                    let response = shared.routes.call(request).await?;
                    drop(turn);
                    response
                }
                Err(error) => error_response(&error),
            };
            let nosniff = HeaderValue::from_static("nosniff");
            response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
            Ok(response)
        }
    }

    /// A turn for a request by a proxy, whose connection says nothing about its client.
    fn turn(
        &self,
        peer: SocketAddr,
        client: ClientAddress,
    ) -> Result<Option<Admitted>, ErrorResponse> {
        if !self.ways.proxies.is_trusted(peer.ip()) {
            return Ok(None);
        }
        let turn = self.by_proxies.admit(client.network());
        let turn = turn.map_err(|refused| overloaded(&refused.to_string()))?;
        if turn.heard() { Ok(Some(turn)) } else { Err(overloaded(GAVE_WAY)) }
    }
}

/// Why one that was admitted is not served after all.
const GAVE_WAY: &str = "another connection has taken this one's place";

fn overloaded(why: &str) -> ErrorResponse {
    ErrorResponse::new(RestErrorKind::Overloaded, why).after(UNAVAILABLE_RETRY_MS)
}

async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    admitted: Admitted,
    mut closing: watch::Receiver<bool>,
) {
    // Frames are small and people wait for them.
    let _ = stream.set_nodelay(true);
    let (times, admitted) = (shared.limits, Arc::new(admitted));
    let of_requests = Arc::clone(&admitted);
    let service = service_fn(move |request| shared.answer(peer, &of_requests, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => Ok(served),
        () = closed(&mut closing) => Err(()),
        // Else whoever asks and does not read stays for ever. Sockets have left by then.
        () = sleep(times.life) => Err(()),
        () = admitted.has_to_leave() => return,
    };
    let served = match served {
        Ok(served) => Ok(served),
        Err(()) => {
            connection.as_mut().graceful_shutdown();
            timeout(times.end, connection).await
        }
    };
    match served {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(_) => tracing::debug!("a connection was cut off: its client does not read"),
    }
}

/// Ends when the server is stopping.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: that says it, too.
    let _ = closing.wait_for(|closing| *closing).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const ASK: &[u8] = b"GET /large HTTP/1.1\r\nhost: localhost\r\n\r\n";

    /// A server with such limits, of which `/large` is more than the system takes for who does not
    /// read.
    async fn server(
        limits: ConnectionLimits,
        proxies: TrustedProxies,
    ) -> (SocketAddr, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/large", get(|| async { vec![b'x'; 32 << 20] }))
            .route("/never", get(std::future::pending::<String>))
            .route("/small", get(|| async { "small" }));
        let (open, closing) = watch::channel(false);
        let ways = Arc::new(Ways { proxies, ..Ways::default() });
        tokio::spawn(listen(listener, routes, limits, ways, closing));
        (address, open)
    }

    /// The first line of the answer to a request for a path, with a header; none: it was not taken.
    async fn ask(address: SocketAddr, path: &str, header: &str) -> Option<String> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut status = [0; 12];
        let read = timeout(Duration::from_secs(20), stream.read_exact(&mut status)).await;
        read.expect("an answer or an end").ok()?;
        Some(String::from_utf8_lossy(&status).into_owned())
    }

    #[tokio::test]
    async fn who_asks_and_does_not_read_leaves() {
        let moment = Duration::from_millis(100);
        let limits = ConnectionLimits { most: 1, most_of_one: 1, life: moment, end: moment };
        let (address, _open) = server(limits, TrustedProxies::default()).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(ASK).await.unwrap();
        idle.readable().await.unwrap();
        let again = async {
            while ask(address, "/small", "").await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), again).await.expect("its connection is given back");
    }

    #[tokio::test]
    async fn the_oldest_silent_connection_gives_way() {
        let (address, _open) = server(ConnectionLimits::new(3, 3), TrustedProxies::default()).await;
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(ASK).await.unwrap();
        busy.readable().await.unwrap();
        let mut oldest = TcpStream::connect(address).await.unwrap();
        let younger = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(address, "/small", "").await.as_deref(), Some("HTTP/1.1 200"));
        let mut nothing = [0; 1];
        let ended = timeout(Duration::from_secs(20), oldest.read(&mut nothing)).await;
        assert_eq!(ended.expect("it is closed").unwrap_or_default(), 0);
        let mut read = [0; 12];
        busy.read_exact(&mut read).await.expect("who has asked stays");
        drop(younger);
    }

    #[tokio::test]
    async fn requests_by_a_proxy_are_bounded_by_their_clients() {
        let proxies = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let (address, _open) = server(ConnectionLimits::new(10, 2), proxies).await;
        let by = |client: &str| format!("x-forwarded-for: {client}\r\n");
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request =
                format!("GET /never HTTP/1.1\r\nhost: localhost\r\n{}\r\n", by("192.0.2.1"));
            stream.write_all(request.as_bytes()).await.unwrap();
            held.push(stream);
        }
        let refused = async {
            while ask(address, "/small", &by("192.0.2.1")).await.as_deref() != Some("HTTP/1.1 503")
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), refused).await.expect("the client has its connections");
        assert_eq!(ask(address, "/small", &by("192.0.2.2")).await.as_deref(), Some("HTTP/1.1 200"));
    }
}

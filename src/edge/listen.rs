//! Taking connections: bounded in number, in the time that a request's head may take, and in how
//! long one that is no socket may last. Every request is asked by which name it came, and every
//! answer says that its type is what it says.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::client::TrustedProxies;
use super::host::check_host;
use super::limits::{HEAD_LIMIT, HEAD_MAX_BYTES, HTTP_LIFE_MAX, REFUSED_WAIT, REQUEST_LIMIT};
use super::rest::error_response;

/// By which ways requests come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ways {
    /// The names of this server, beside its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The proxies in front of it.
    pub proxies: TrustedProxies,
}

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// Connections at a time.
    pub most: usize,
    /// How long one that is no socket may last.
    pub life: Duration,
    /// How long it then has for a request that has begun.
    pub end: Duration,
}

impl Places {
    /// So many connections, each with the usual times.
    pub fn new(most: usize) -> Self {
        Self { most, life: HTTP_LIFE_MAX, end: REQUEST_LIMIT }
    }
}

/// Serves connections until `closing` turns true. Connections that are upgraded leave here and are
/// counted by who has them. Every request is given its [`ClientAddress`](super::ClientAddress).
pub async fn listen(
    listener: TcpListener,
    routes: Router,
    times: Places,
    ways: Arc<Ways>,
    mut closing: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(times.most));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = closed(&mut closing) => return,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed(&mut closing) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (routes, closing) = (routes.clone(), closing.clone());
                let ways = Arc::clone(&ways);
                tokio::spawn(async move {
                    serve(stream, (peer.ip(), ways), routes, times, closing).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                sleep(REFUSED_WAIT).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    (peer, ways): (IpAddr, Arc<Ways>),
    routes: Router,
    times: Places,
    mut closing: watch::Receiver<bool>,
) {
    // Frames are small and people wait for them.
    let _ = stream.set_nodelay(true);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        let client = ways.proxies.client(peer, request.headers());
        request.extensions_mut().insert(client);
        let answer = check_host(&request, &ways.hosts).map(|()| routes.call(request));
        async move {
            let mut response = match answer {
                Ok(answer) => answer.await?,
                Err(error) => error_response(&error),
            };
            let nosniff = HeaderValue::from_static("nosniff");
            response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
            Ok::<_, Infallible>(response)
        }
    });
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
        // Else whoever asks and does not read keeps a place for ever. Sockets have left by then.
        () = sleep(times.life) => Err(()),
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

    #[tokio::test]
    async fn who_asks_and_does_not_read_gives_the_place_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // More than the system takes for who does not read.
        let routes = Router::new().route("/large", get(|| async { vec![b'x'; 32 << 20] }));
        let (_open, closing) = watch::channel(false);
        let moment = Duration::from_millis(100);
        let times = Places { most: 1, life: moment, end: moment };
        tokio::spawn(listen(listener, routes, times, Arc::default(), closing));
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(ASK).await.unwrap();
        idle.readable().await.unwrap();
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(ASK).await.unwrap();
        let mut status = [0; 12];
        let read = timeout(Duration::from_secs(20), next.read_exact(&mut status)).await;
        assert!(read.is_ok_and(|read| read.is_ok()), "the place is not given back");
        assert_eq!(&status, b"HTTP/1.1 200");
    }
}

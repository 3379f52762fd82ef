//! Taking connections: bounded in number, and in the time that a request's head may take.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::limits::HEAD_LIMIT;
use super::routes::Peer;

/// How long to wait after the system refused a connection: it has none to give for the moment.
const REFUSED_WAIT: Duration = Duration::from_millis(50);

/// Largest head of a request with what hyper reads ahead, bytes.
const HEAD_MAX_BYTES: usize = 16 * 1_024;

/// Serves connections, at most `most` at a time, until `closing` turns true. Connections that are
/// upgraded leave here and are counted by who has them.
pub async fn listen(
    listener: TcpListener,
    routes: Router,
    most: usize,
    mut closing: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(most));
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
                tokio::spawn(async move {
                    serve(stream, peer, routes, closing).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                tokio::time::sleep(REFUSED_WAIT).await;
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    mut closing: watch::Receiver<bool>,
) {
    // Frames are small and people wait for them.
    let _ = stream.set_nodelay(true);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Ends when the server is stopping.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: that says it, too.
    let _ = closing.wait_for(|closing| *closing).await;
}

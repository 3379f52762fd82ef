//! Every path of the public listener and of the operations listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Extension, RawPathParams, Request};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodFilter, get, on};
use tokio::sync::watch;

use super::{ClientAddress, Edge, rest, socket};
use crate::actors::tree;
use crate::protocol::rest::{ErrorResponse, RestErrorKind, Route, Verb};
use crate::telemetry::Gauges;

/// Whether the process serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet.
    Starting,
    /// It does.
    Ready,
    /// Not now, for the reason said; it will again by itself.
    Waiting(String),
    /// Not any more, for the reason said.
    NotReady(String),
}

/// What customers, operators and administrators reach.
pub fn public(edge: &Arc<Edge>) -> Router {
    let mut router = Router::new();
    for route in Route::ALL {
        let (edge, route) = (Arc::clone(edge), *route);
        let serve = move |Extension(client): Extension<ClientAddress>,
                          ids: Result<RawPathParams, RawPathParamsRejection>,
                          request: Request| {
            let edge = Arc::clone(&edge);
            async move {
                let Ok(ids) = ids else { return bad_path() };
                let ids = ids.iter().map(|(name, id)| (name.to_owned(), id.to_owned()));
                rest::serve(edge, route, ids.collect(), client, request).await
            }
        };
        router = router.route(route.path(), on(filter(route.verb()), serve));
    }
    let edge = Arc::clone(edge);
    let upgrade = move |Extension(client): Extension<ClientAddress>, request: Request| {
        let edge = Arc::clone(&edge);
        async move { socket::upgrade(&edge, client, request) }
    };
    router
        .route("/ws", get(upgrade))
        .fallback(|| async { refused(RestErrorKind::NotFound) })
        .method_not_allowed_fallback(|| async { refused(RestErrorKind::MethodNotAllowed) })
}

/// Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the operations listener shows. `render` gives the metrics that were counted; the present
/// is looked at when somebody asks.
pub fn operations(
    ready: watch::Receiver<Readiness>,
    router: watch::Receiver<Option<crate::actors::Router>>,
    render: Arc<dyn Fn() -> String + Send + Sync>,
) -> Router {
    let (looking, is_ready) = (router.clone(), ready.clone());
    let metrics = move || {
        if let Some(router) = looking.borrow().as_ref() {
            let ready = matches!(*is_ready.borrow(), Readiness::Ready);
            Gauges { ready, ..router.gauges() }.set();
        }
        let text = render();
        async move { ([(header::CONTENT_TYPE, METRICS_TYPE)], text) }
    };
    let readiness = move || {
        let ready = ready.borrow().clone();
        async move {
            match ready {
                Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
                Readiness::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
                Readiness::Waiting(why) | Readiness::NotReady(why) => {
                    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"))
                }
            }
        }
    };
    let shown = move || {
        let router = router.borrow().clone();
        async move {
            match router {
                Some(router) => (StatusCode::OK, tree::render(|name| router.count(name))),
                None => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
            }
        }
    };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
        .route("/debug/tree", get(shown))
        .route("/metrics", get(metrics))
        .fallback(|| async { refused(RestErrorKind::NotFound) })
        .method_not_allowed_fallback(|| async { refused(RestErrorKind::MethodNotAllowed) })
}

fn filter(verb: Verb) -> MethodFilter {
    match verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
        Verb::Put => MethodFilter::PUT,
        Verb::Patch => MethodFilter::PATCH,
        Verb::Delete => MethodFilter::DELETE,
    }
}

/// A path whose escapes are no UTF-8 names nothing that there could be.
fn bad_path() -> Response {
    let what = "the path is no UTF-8 text";
    rest::error_response(&ErrorResponse::new(RestErrorKind::InvalidRequest, what).at("path"))
}

fn refused(kind: RestErrorKind) -> Response {
    rest::error_response(&ErrorResponse::of(kind))
}

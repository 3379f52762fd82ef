//! REST: `/api/v1` and the documents.
//!
//! Owns the way of a request: its token, its right, its body within bounds, its answer. Refuses to
//! decide anything: the catalog, the gate and the router do.
//! Invariants: every route asks the one table of rights before anything else is looked at; every
//! answer that is no success has one form; what is inside stays inside.

mod asked;
mod audit;
mod channels;
mod chats;
mod history;
mod people;
mod queues;
mod reasons;
mod resource;
mod sessions;

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use tokio::time::timeout;

use super::limits::{REQUEST_LIMIT, UNAVAILABLE_RETRY_MS};
use super::state::Alive;
use super::{ClientAddress, Edge};
use crate::protocol::rest::{
    ErrorResponse, MERGE_PATCH_TYPE, PROBLEM_TYPE, RestErrorKind, Route, Verb, openapi,
};

use asked::Asked;
use channels::Channels;
use people::{Operators, Users};
use queues::Queues;
use reasons::AwayReasons;

/// The body of a success; none: there is nothing to say.
pub(super) type Answer = Result<Option<Vec<u8>>, ErrorResponse>;

static OPENAPI: LazyLock<Vec<u8>> =
    LazyLock::new(|| serde_json::to_vec_pretty(&openapi()).unwrap_or_default());

static PROTOCOL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    serde_json::to_vec_pretty(&crate::protocol::document::document()).unwrap_or_default()
});

/// Serves a request to a route, within its time.
pub(super) async fn serve(
    edge: Arc<Edge>,
    route: Route,
    ids: Vec<(String, String)>,
    client: ClientAddress,
    request: Request,
) -> Response {
    let alive = edge.alive();
    let answer = async {
        let asked = Asked::read(edge, route, ids, client, request).await?;
        match route.verb() {
            // Reading the trail is an act in it, which has to be given its outcome.
            Verb::Get if route == Route::ReadAudit => to_the_end(asked, route, alive.clone()).await,
            Verb::Get => carry_out(&asked, route).await,
            Verb::Post | Verb::Put | Verb::Patch | Verb::Delete => {
                to_the_end(asked, route, alive.clone()).await
            }
        }
    };
    let answer = timeout(REQUEST_LIMIT, answer).await;
    let late = || ErrorResponse::of(RestErrorKind::Unavailable).after(UNAVAILABLE_RETRY_MS);
    match answer.unwrap_or_else(|_| Err(late())) {
        Ok(body) => {
            let status = StatusCode::from_u16(route.status()).unwrap_or(StatusCode::OK);
            respond(status, body, "application/json")
        }
        Err(error) => {
            let mut response = error_response(&error);
            if route.verb() == Verb::Patch && error.kind() == RestErrorKind::UnsupportedMediaType {
                // RFC 5789, 2.2: who sent another kind of patch is told ours.
                response.headers_mut().insert(ACCEPT_PATCH, MERGE_PATCH);
            }
            response
        }
    }
}

/// The kinds of patches that are taken (RFC 5789, 3.1).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const MERGE_PATCH: HeaderValue = HeaderValue::from_static(MERGE_PATCH_TYPE);

/// A change that has begun goes to its end, also when its client hangs up or its time is over: one
/// that stopped between the store and what is shown would leave the two apart. Each of its steps
/// has a limit of its own.
async fn to_the_end(asked: Asked, route: Route, alive: Alive) -> Answer {
    let change = tokio::spawn(async move {
        let answer = carry_out(&asked, route).await;
        drop(alive);
        answer
    });
    change.await.unwrap_or_else(|error| {
        tracing::error!(%error, route = route.operation().name(), "a change failed");
        Err(ErrorResponse::of(RestErrorKind::Internal))
    })
}

/// Every route on one screen.
async fn carry_out(asked: &Asked, route: Route) -> Answer {
    match route {
        Route::LogIn => sessions::log_in(asked).await,
        Route::Refresh => sessions::refresh(asked).await,
        Route::LogOut => sessions::log_out(asked).await,
        Route::IssueVisitorToken => sessions::issue_visitor_token(asked).await,
        Route::RevokeVisitorTokens => sessions::revoke_visitor_tokens(asked).await,
        Route::EraseCustomer => sessions::erase_customer(asked).await,
        Route::ListUsers => resource::list::<Users>(asked).await,
        Route::CreateUser => resource::create::<Users>(asked).await,
        Route::ReadUser => resource::read::<Users>(asked).await,
        Route::ChangeUser => resource::change::<Users>(asked).await,
        Route::PatchUser => resource::patch::<Users>(asked).await,
        Route::SetPassword => people::set_password(asked).await,
        Route::ListOperators => resource::list::<Operators>(asked).await,
        Route::ReadOperator => resource::read::<Operators>(asked).await,
        Route::ChangeOperator => resource::change::<Operators>(asked).await,
        Route::ListChannels => resource::list::<Channels>(asked).await,
        Route::CreateChannel => resource::create::<Channels>(asked).await,
        Route::ReadChannel => resource::read::<Channels>(asked).await,
        Route::ChangeChannel => resource::change::<Channels>(asked).await,
        Route::PatchChannel => resource::patch::<Channels>(asked).await,
        Route::DeleteChannel => resource::delete::<Channels>(asked).await,
        Route::NewSiteKey => channels::new_site_key(asked).await,
        Route::ListQueues => resource::list::<Queues>(asked).await,
        Route::CreateQueue => resource::create::<Queues>(asked).await,
        Route::ReadQueue => resource::read::<Queues>(asked).await,
        Route::ChangeQueue => resource::change::<Queues>(asked).await,
        Route::PatchQueue => resource::patch::<Queues>(asked).await,
        Route::DeleteQueue => resource::delete::<Queues>(asked).await,
        Route::ListAwayReasons => resource::list::<AwayReasons>(asked).await,
        Route::CreateAwayReason => resource::create::<AwayReasons>(asked).await,
        Route::ReadAwayReason => resource::read::<AwayReasons>(asked).await,
        Route::ChangeAwayReason => resource::change::<AwayReasons>(asked).await,
        Route::PatchAwayReason => resource::patch::<AwayReasons>(asked).await,
        Route::DeleteAwayReason => resource::delete::<AwayReasons>(asked).await,
        Route::ListChats => history::list(asked).await,
        Route::ReadChat => chats::read(asked).await,
        Route::ExplainChat => chats::explain(asked).await,
        Route::ReadAudit => audit::read(asked).await,
        Route::OpenApi => Ok(Some(OPENAPI.clone())),
        Route::SocketProtocol => Ok(Some(PROTOCOL.clone())),
    }
}

/// The one form of every answer that is no success.
pub(super) fn error_response(error: &ErrorResponse) -> Response {
    let status = StatusCode::from_u16(error.kind().status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(status, serde_json::to_vec(error).ok(), PROBLEM_TYPE);
    if error.kind() == RestErrorKind::BadHandshake {
        // RFC 6455, 4.4: who spoke another version is told ours.
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    if let Some(wait_ms) = error.error.retry_after_ms {
        let seconds = HeaderValue::from(wait_ms.div_ceil(1_000));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

fn respond(status: StatusCode, body: Option<Vec<u8>>, media_type: &'static str) -> Response {
    let mut response = Response::new(body.map_or_else(Body::empty, Body::from));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    // Answers carry tokens and what only the asker may see.
    response
        .headers_mut()
        .insert(axum::http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! A request as the handlers see it: read within bounds, and permitted.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use uuid::Uuid;

use super::Answer;
use crate::access::{Act, Principal};
use crate::catalog::{CatalogError, Snapshot, Written};
use crate::domain::UserId;
use crate::domain::rights::{Operation, Right, Scope, Subject};
use crate::edge::limits::BODY_LIMIT;
use crate::edge::named::Named;
use crate::edge::{ClientAddress, Edge, access_error, catalog_error, forbidden};
use crate::protocol::rest::body::{WrittenResponse, read_body};
use crate::protocol::rest::{ErrorResponse, RestErrorKind, Route};

/// See the module.
pub(super) struct Asked {
    pub edge: Arc<Edge>,
    pub client: ClientAddress,
    /// Who asks; none: nobody known.
    pub principal: Option<Principal>,
    /// With what it may be done.
    pub scope: Scope,
    ids: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    /// Reads a request: first who asks and whether it may at all, then the body.
    pub async fn read(
        edge: Arc<Edge>,
        route: Route,
        ids: Vec<(String, String)>,
        client: ClientAddress,
        request: Request,
    ) -> Result<Self, ErrorResponse> {
        let operation = route.operation();
        let principal = principal(&edge, operation, request.headers())?;
        let subject = principal.as_ref().map_or(Subject::Nobody, Principal::subject);
        let scope = Scope::of(operation, subject).map_err(|no| match subject {
            Subject::Nobody => {
                let what = "this needs a token: `Authorization: Bearer <token>`";
                ErrorResponse::new(RestErrorKind::Unauthorized, what)
            }
            _ => forbidden(&no),
        })?;
        let query = parameters(route, request.uri().query().unwrap_or_default())?;
        let body = body(&edge, route, request).await?;
        Ok(Self { edge, client, principal, scope, ids, query, body })
    }

    /// What is asked for, as a change: see [`Act`].
    pub fn act(&self) -> Result<Act<'_>, ErrorResponse> {
        let principal = self.principal.as_ref();
        let principal = principal.ok_or_else(|| ErrorResponse::of(RestErrorKind::Unauthorized))?;
        let (access, now) = (&self.edge.access, self.edge.now());
        Ok(access.act(principal, self.scope.operation(), self.client.ip(), now))
    }

    /// The user who asks, if one does.
    pub fn user(&self) -> Option<UserId> {
        match self.principal.as_ref().map(|principal| &principal.who) {
            Some(crate::access::Who::User { id, .. }) => Some(*id),
            Some(crate::access::Who::Customer { .. } | crate::access::Who::Site { .. }) | None => {
                None
            }
        }
    }

    /// An id of the path. What is no id names nothing.
    pub fn named(&self, name: &str) -> Result<Named<Uuid>, ErrorResponse> {
        let found = self.ids.iter().find(|(known, _)| known == name);
        let id = found.and_then(|(_, text)| Uuid::parse_str(text).ok());
        id.map(Named::new).ok_or_else(not_found)
    }

    /// The same, of something that may be told by its id from what is the asker's own. Errors when it is
    /// out of the asker's reach.
    pub fn id<I>(
        &self,
        name: &str,
        of: impl FnOnce(Uuid) -> I,
        own: impl FnOnce(&I) -> bool,
    ) -> Result<I, ErrorResponse> {
        self.named(name)?.map(of).within(self.scope, own).map_err(|no| forbidden(&no))
    }

    /// The body.
    pub fn body<R: DeserializeOwned>(&self) -> Result<R, ErrorResponse> {
        read_body(&self.body)
    }

    /// A parameter of the query; it is what the route says of it.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// A number in the query.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.parameter(name)?.parse().ok()
    }

    /// Whether the change is only to be tried.
    pub fn dry_run(&self) -> bool {
        self.parameter("dry_run") == Some("true")
    }

    /// The parameters, in the order in which they came.
    pub(super) fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The parameters of a query, decoded. Errors when the route has none of that name, when a value is
/// none of its kind, when one that is needed is absent, and when one comes twice: whoever reads the
/// first and whoever reads the last would be told different things.
fn parameters(route: Route, query: &str) -> Result<Vec<(String, String)>, ErrorResponse> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let known = route.query().find(|known| known.name == name);
        let known = known.ok_or_else(|| invalid(&name, "there is no such parameter"))?;
        if !names.insert(known.name) {
            return Err(invalid(&name, "is given twice"));
        }
        known.kind.check(&value).map_err(|wrong| invalid(&name, &wrong))?;
        all.push((name.into_owned(), value.into_owned()));
    }
    match route.query().find(|one| one.required && !names.contains(one.name)) {
        Some(missing) => Err(invalid(missing.name, "has to be in the query")),
        None => Ok(all),
    }
}

/// Who asks. A token that does not count is refused, except where nobody needs one.
fn principal(
    edge: &Edge,
    operation: Operation,
    headers: &HeaderMap,
) -> Result<Option<Principal>, ErrorResponse> {
    if operation.right(Subject::Nobody) != Right::No {
        return Ok(None);
    }
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let token = header.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, token) = token.ok_or_else(|| {
        let what = "`Authorization` is `Bearer <token>`";
        ErrorResponse::new(RestErrorKind::Unauthorized, what)
    })?;
    let known = edge.access.authenticate(token.trim(), edge.now());
    known.map(Some).map_err(|invalid| access_error(&invalid.into()))
}

async fn body(edge: &Edge, route: Route, request: Request<Body>) -> Result<Vec<u8>, ErrorResponse> {
    let takes = route.verb().media_type();
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.map(|text| text.split(';').next().unwrap_or_default().trim());
    if takes.is_some_and(|takes| !kind.is_some_and(|kind| kind.eq_ignore_ascii_case(takes))) {
        return Err(ErrorResponse::of(RestErrorKind::UnsupportedMediaType));
    }
    let read = timeout(BODY_LIMIT, whole(request.into_body(), edge.options.request_bytes)).await;
    read.unwrap_or_else(|_| Err(ErrorResponse::of(RestErrorKind::RequestTimeout)))
}

/// A body of at most `most` bytes.
async fn whole(mut body: Body, most: usize) -> Result<Vec<u8>, ErrorResponse> {
    let too_large = || {
        let what = format!("the body has more than {most} bytes");
        ErrorResponse::new(RestErrorKind::TooLarge, what)
    };
    // What is announced as too large is not read first.
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| ErrorResponse::of(RestErrorKind::BrokenBody))?;
        let data = frame.data_ref().map_or(&[][..], Bytes::as_ref);
        if data.len() > most - whole.len() {
            return Err(too_large());
        }
        whole.extend_from_slice(data);
    }
    Ok(whole)
}

pub(super) fn invalid(name: &str, what: &str) -> ErrorResponse {
    ErrorResponse::new(RestErrorKind::InvalidRequest, format!("{name}: {what}")).at(name)
}

/// A body as JSON.
pub(super) fn json<T: Serialize>(body: &T) -> Answer {
    let bytes = serde_json::to_vec(body);
    bytes.map(Some).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        ErrorResponse::of(RestErrorKind::Internal)
    })
}

/// The answer to a change.
pub(super) fn written(id: impl ToString, written: &Written) -> Answer {
    let warnings = written.warnings.iter().map(ToString::to_string).collect();
    json(&WrittenResponse { id: id.to_string(), version: written.version, warnings })
}

/// The id of something new.
#[allow(clippy::disallowed_methods, reason = "ids of documents are made here and nowhere below")]
pub(super) fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Something that is created has no version yet. Errors when the request names one.
pub(super) fn is_new(version: u64) -> Result<(), ErrorResponse> {
    if version == 0 {
        return Ok(());
    }
    let what = "what is created has no version yet; leave it out";
    Err(ErrorResponse::new(RestErrorKind::InvalidValue, what).at("version"))
}

/// A patch was merged with the version that is `present`. One that names a later version saw what is
/// not shown yet, and would be written over it. Of an earlier one the store says so, as of a whole body.
pub(super) fn not_ahead(version: u64, present: u64) -> Result<(), ErrorResponse> {
    if version <= present {
        return Ok(());
    }
    Err(ErrorResponse::of(RestErrorKind::VersionConflict).found(present))
}

/// As [`not_found`], of a document of the catalog: one may be there and be damaged, which is told.
pub(super) fn absent(snapshot: &Snapshot, id: impl ToString) -> impl FnOnce() -> ErrorResponse {
    move || {
        let damaged = snapshot.is_unread(&id.to_string());
        if damaged { catalog_error(&CatalogError::Unread) } else { not_found() }
    }
}

/// There is none.
pub(super) fn not_found() -> ErrorResponse {
    ErrorResponse::of(RestErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_is_bounded_also_where_it_comes_in_pieces() {
        let read = async |pieces: &[&'static str]| {
            let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, Infallible>(*piece)).collect();
            whole(Body::from_stream(stream::iter(pieces)), 10).await
        };
        assert_eq!(read(&["12345", "", "67890"]).await.unwrap(), b"1234567890");
        for pieces in [&["12345", "678901"][..], &["12345678901"], &["1234567890", "1"]] {
            let refused = read(pieces).await.unwrap_err();
            assert_eq!(refused.kind(), RestErrorKind::TooLarge, "{pieces:?}");
        }
        let refused = whole(Body::from("12345678901"), 10).await.unwrap_err();
        assert_eq!(refused.kind(), RestErrorKind::TooLarge, "as it announces");
    }
}

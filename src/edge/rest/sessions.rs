//! Logging in and out, and the tokens of visitors.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Answer;
use super::asked::{Asked, absent, json};
use super::chats::call_error;
use crate::access::{Act, Attempt, Judged, Tokens, Visitor, Who};
use crate::actors::holding;
use crate::actors::limits::FORGET_SLICE;
use crate::audit::Note;
use crate::domain::audit::{AuditAct, AuditSubject};
use crate::domain::{ChannelId, Customer, CustomerId, Priority, Status, UserId};
use crate::edge::{access_error, lost_error, store_error};
use crate::machine::operator::OperatorCall;
use crate::protocol::Wire;
use crate::protocol::rest::body::{
    LogInRequest, RefreshRequest, Secret, TokensResponse, VisitorTokenRequest, VisitorTokenResponse,
};
use crate::protocol::rest::{ErrorResponse, RestErrorKind};
use crate::storage::StoreError;
use crate::telemetry;

pub(super) async fn log_in(asked: &Asked) -> Answer {
    let request: LogInRequest = asked.body()?;
    let attempt = Attempt {
        login: &request.login,
        password: request.password.0,
        device_mark: request.device_mark.as_ref().map(|secret| secret.0.as_str()),
        address: asked.client.ip(),
    };
    let judged = asked.edge.access.log_in(attempt, asked.edge.now()).await;
    json(&tokens_response(in_time(judged).await?))
}

/// The outcome, when its time has come.
pub(super) async fn in_time<T>(judged: Judged<T>) -> Result<T, ErrorResponse> {
    if judged.delay_ms > 0 {
        telemetry::log_in_delayed();
        sleep(Duration::from_millis(judged.delay_ms)).await;
    }
    judged.outcome.map_err(|error| access_error(&error))
}

pub(super) async fn refresh(asked: &Asked) -> Answer {
    let request: RefreshRequest = asked.body()?;
    let (token, now) = (request.refresh_token.0.expose(), asked.edge.now());
    let tokens = asked.edge.access.refresh(token, asked.client.ip(), now).await;
    json(&tokens_response(tokens.map_err(|error| access_error(&error))?))
}

pub(super) async fn log_out(asked: &Asked) -> Answer {
    if let Some(principal) = &asked.principal {
        let (access, now) = (&asked.edge.access, asked.edge.now());
        let ended = access.log_out(principal, asked.client.ip(), now).await;
        ended.map_err(|error| access_error(&error))?;
        if let Who::User { id, role } = principal.who
            && role.serves_chats()
            && !access.has_session(id, now)
        {
            gone_home(asked, id).await;
        }
    }
    Ok(None)
}

/// Who has logged out everywhere is not at work. Should the router not answer, the status follows
/// when the grace of the lost connections is over.
async fn gone_home(asked: &Asked, operator: UserId) {
    let offline = OperatorCall::SetStatus(Status::Offline);
    if let Err(error) = asked.edge.router.call_operator(operator, offline).await {
        tracing::warn!(%operator, %error, "who logged out is not shown as offline yet");
    }
}

fn tokens_response(tokens: Tokens) -> TokensResponse {
    TokensResponse {
        user: Wire(tokens.user),
        access_token: Secret(tokens.access),
        access_until: tokens.access_until.into(),
        refresh_token: Secret(tokens.refresh),
        refresh_until: tokens.refresh_until.into(),
        device_mark: tokens.device_mark.map(Secret),
    }
}

pub(super) async fn issue_visitor_token(asked: &Asked) -> Answer {
    let channel = own_channel(asked)?;
    let request: VisitorTokenRequest = asked.body()?;
    let priority = Priority::new(request.priority).map_err(|error| {
        ErrorResponse::new(RestErrorKind::InvalidValue, error.to_string()).at("priority")
    })?;
    let customer = request.customer.map(|customer| customer.0);
    let visitor = Visitor { customer, priority, name: request.name };
    let token = asked.edge.access.visitor_token(channel, visitor, &asked.act()?).await;
    let token = token.map_err(|error| access_error(&error))?;
    json(&VisitorTokenResponse {
        token: Secret(token.token),
        customer: Wire(token.customer),
        until: token.until.into(),
    })
}

pub(super) async fn erase_customer(asked: &Asked) -> Answer {
    let customer = own_customer(asked)?;
    let channel = customer.channel;
    let snapshot = asked.edge.catalog.snapshot();
    snapshot.channel(channel).ok_or_else(absent(&snapshot, channel))?;
    // Before its chats end: a refused erasure leaves all as it is.
    asked.edge.access.may_erase(customer).map_err(|error| access_error(&error))?;
    let act = asked.act()?;
    let note = Note {
        act: AuditAct::CustomerErased,
        subject: Some(AuditSubject::Customer { channel, customer: Some(customer.id) }),
        changes: Vec::new(),
    };
    let mut undone = None;
    let erasing = async {
        // How much was done before is not known then: a repeat does the rest.
        erase(asked, customer, &act).await.map_err(|refused| {
            let reason = refused.error.detail.clone();
            undone = Some(refused);
            StoreError::Unavailable { reason }
        })
    };
    let erased = act.carry_out_in_steps(note, erasing).await;
    match (undone, erased) {
        (Some(refused), _) => Err(refused),
        (None, erased) => erased.map(|()| None).map_err(|error| access_error(&error.into())),
    }
}

/// The chats end while the sockets are there to hear of it; the tokens go before the chats are
/// forgotten, so that no new one comes in between. Each step has a permit of its own.
async fn erase(asked: &Asked, customer: Customer, act: &Act<'_>) -> Result<(), ErrorResponse> {
    let (router, edge) = (&asked.edge.router, &asked.edge);
    let undone = |error| call_error(&error);
    for slice in router.chats_of(customer).await.map_err(undone)?.chunks(FORGET_SLICE) {
        let permit = Arc::new(act.permit().await.map_err(|lost| lost_error(&lost))?);
        holding(permit, router.end_to_erase(slice)).await.map_err(undone)?;
    }
    let revoked = edge.access.revoke_erased(customer, act, || edge.now()).await;
    revoked.map_err(|error| access_error(&error))?;
    let at = {
        let _permit = act.permit().await.map_err(|lost| lost_error(&lost))?;
        let begun = edge.access.begin_erasure(customer, edge.now()).await;
        begun.map_err(|error| store_error(&error))?
    };
    for slice in router.chats_of(customer).await.map_err(undone)?.chunks(FORGET_SLICE) {
        let permit = Arc::new(act.permit().await.map_err(|lost| lost_error(&lost))?);
        holding(permit, router.erase(customer, slice)).await.map_err(undone)?;
    }
    let _permit = act.permit().await.map_err(|lost| lost_error(&lost))?;
    router.erase_from_trail(customer).await.map_err(undone)?;
    edge.access.end_erasure(customer, at).await.map_err(|error| store_error(&error))
}

pub(super) async fn revoke_visitor_tokens(asked: &Asked) -> Answer {
    let customer = own_customer(asked)?;
    let access = &asked.edge.access;
    let revoked = access.revoke_customer(customer, &asked.act()?, || asked.edge.now()).await;
    revoked.map_err(|error| access_error(&error))?;
    Ok(None)
}

/// The channel of the path, if the asker may act for it.
fn own_channel(asked: &Asked) -> Result<ChannelId, ErrorResponse> {
    let of_site = match asked.principal.as_ref().map(|principal| &principal.who) {
        Some(Who::Site { channel }) => Some(*channel),
        Some(Who::User { .. } | Who::Customer { .. }) | None => None,
    };
    asked.id("channel", ChannelId, |channel| of_site == Some(*channel))
}

/// The customer of the path, likewise: it is its channel's.
fn own_customer(asked: &Asked) -> Result<Customer, ErrorResponse> {
    let channel = own_channel(asked)?;
    asked.id("customer", |id| Customer { channel, id: CustomerId(id) }, |_| true)
}

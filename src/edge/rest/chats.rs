//! Where a chat is, and why. No texts.

use super::Answer;
use super::asked::{Asked, json, not_found};
use crate::access::Who;
use crate::actors::{CallError, ChatView, Routed};
use crate::domain::event::{AssignedHow, PlacedCause};
use crate::domain::{ChatId, Party, Person};
use crate::edge::limits::{OVERLOADED_RETRY_MS, UNAVAILABLE_RETRY_MS};
use crate::machine::chat::Refusal;
use crate::protocol::Wire;
use crate::protocol::rest::chat::{
    CandidateBody, ChatResponse, ExplanationResponse, RoutedBody, RoutedHow, WaitsBody, WhyBody,
};
use crate::protocol::rest::{ErrorResponse, RestErrorKind};
use crate::routing::explain::{Explanation, WhyWaits};

pub(super) async fn read(asked: &Asked) -> Answer {
    let view = permitted(asked).await?;
    let opened = view.opened.as_ref().ok_or_else(not_found)?;
    let staff = asked.user().is_some();
    json(&ChatResponse {
        id: Wire(view.chat),
        state: Wire(view.state.ok_or_else(not_found)?),
        channel: Wire(opened.customer.channel),
        customer: staff.then_some(Wire(opened.customer.id)),
        customer_name: customer_name(asked, &view),
        queue: view.queue.filter(|_| staff).map(Wire),
        owner: view.place.as_ref().and_then(|place| place.owner()).filter(|_| staff).map(Wire),
        priority: staff.then_some(view.profile.priority.points()),
        since: view.since.into(),
        events: staff.then_some(view.tail),
        continued_in: view.continued_in.map(Wire),
    })
}

pub(super) async fn explain(asked: &Asked) -> Answer {
    let view = permitted(asked).await?;
    let explained = asked.edge.router.explain(view.chat).await;
    let (waits, routed) = explained.map_err(|error| call_error(&error))?;
    json(&ExplanationResponse {
        chat: Wire(view.chat),
        customer_name: customer_name(asked, &view),
        state: Wire(view.state.ok_or_else(not_found)?),
        waits: waits.as_ref().map(waits_body),
        routed: routed.into_iter().map(routed_body).collect(),
    })
}

/// What the customer is called; for staff only.
fn customer_name(asked: &Asked, view: &ChatView) -> Option<String> {
    let name = view.profile.name.as_ref().filter(|_| asked.user().is_some());
    name.map(|name| name.as_str().to_owned())
}

fn routed_body(routed: Routed) -> RoutedBody {
    match routed {
        Routed::Placed { at, queue, cause } => {
            let (by, owner) = match &cause {
                PlacedCause::Opened => (None, None),
                PlacedCause::Transferred { by: Party::User(by), .. } => (Some(Wire(*by)), None),
                PlacedCause::Transferred { by: Party::Customer(_) | Party::System, .. } => {
                    (None, None)
                }
                PlacedCause::OwnerGone { operator } => (None, Some(Wire(*operator))),
            };
            let (at, queue, cause) = (at.into(), Wire(queue), (&cause).into());
            RoutedBody::Placed { at, queue, cause, by, owner }
        }
        Routed::Offered { at, to, decision } => RoutedBody::Offered {
            at: at.into(),
            to: to.into_iter().map(Wire).collect(),
            decision: (&decision).into(),
        },
        Routed::Assigned { at, operator, how } => RoutedBody::Assigned {
            at: at.into(),
            operator: Wire(operator),
            how: match how {
                AssignedHow::Accepted { .. } => RoutedHow::Accepted,
                AssignedHow::Taken => RoutedHow::Taken,
                AssignedHow::Transferred { .. } => RoutedHow::Transferred,
            },
        },
    }
}

/// The chat, if the asker may know of it; all others do not exist.
async fn permitted(asked: &Asked) -> Result<ChatView, ErrorResponse> {
    let named = asked.named("chat")?.map(ChatId);
    let found = named.found(|chat| asked.edge.router.look(chat)).await;
    let is_own = |view: &ChatView| match asked.principal.as_ref().map(|principal| &principal.who) {
        Some(Who::Customer { customer, .. }) => view.concerns(Person::Customer(*customer)),
        Some(Who::User { id, .. }) => view.may_be_read_by(*id),
        Some(Who::Site { .. }) | None => false,
    };
    let found = found.map_err(|error| call_error(&error))?;
    found.within(asked.scope, is_own).map_err(|_| not_found())
}

pub(super) fn call_error(error: &CallError) -> ErrorResponse {
    match error {
        CallError::Refused(Refusal::UnknownChat) => not_found(),
        CallError::Overloaded(_) => {
            ErrorResponse::of(RestErrorKind::Overloaded).after(OVERLOADED_RETRY_MS)
        }
        // Nothing is opened by REST.
        CallError::TooManyOpenings(_)
        | CallError::Refused(_)
        | CallError::Unavailable
        | CallError::ChannelClosed
        | CallError::UnknownQueue
        | CallError::UnknownOperator => {
            ErrorResponse::of(RestErrorKind::Unavailable).after(UNAVAILABLE_RETRY_MS)
        }
    }
}

fn waits_body(waits: &Explanation) -> WaitsBody {
    let candidates = waits.candidates.iter().map(|candidate| CandidateBody {
        operator: Wire(candidate.operator),
        standing: Wire(candidate.standing),
        until: candidate.until.map(Into::into),
        belief_age_ms: candidate.belief_age_ms,
    });
    WaitsBody {
        queue: Wire(waits.queue),
        rule: Wire(waits.rule),
        config_version: waits.config_version,
        since: waits.since.into(),
        rank: waits.rank,
        position: waits.position,
        why: why_body(&waits.why),
        standings: waits.standings.iter().map(|(s, n)| (Wire(*s), *n)).collect(),
        candidates: candidates.collect(),
    }
}

fn why_body(why: &WhyWaits) -> WhyBody {
    match why {
        WhyWaits::Manual => WhyBody::Manual,
        WhyWaits::NoMembers => WhyBody::NoMembers,
        WhyWaits::NoQueue => WhyBody::NoQueue,
        WhyWaits::BeingOffered { offer } => WhyBody::BeingOffered { offer: Wire(*offer) },
        WhyWaits::Offered { offer, expires_at } => {
            WhyBody::Offered { offer: Wire(*offer), expires_at: (*expires_at).into() }
        }
        WhyWaits::OffersOut { limit } => WhyBody::OffersOut { limit: *limit },
        WhyWaits::OfferedTooOften => WhyBody::OfferedTooOften,
        WhyWaits::NobodyReady => WhyBody::NobodyReady,
        WhyWaits::AllFull => WhyBody::AllFull,
        WhyWaits::RoomKept => WhyBody::RoomKept,
        WhyWaits::AllRefused { until } => WhyBody::AllRefused { until: until.map(Into::into) },
        WhyWaits::ShownLately { until } => WhyBody::ShownLately { until: (*until).into() },
        WhyWaits::ThisMoment => WhyBody::ThisMoment,
    }
}

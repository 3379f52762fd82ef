//! The chats since the beginning, by when they were opened. No texts.
//!
//! One list of the history is read: that of the customer, if one is asked for, else of the operator, of the
//! queue, of the channel, or of all. What else is asked for is looked at in the rows. Whose right is limited
//! to its own is read its own list.

use super::Answer;
use super::asked::{Asked, invalid, json};
use super::chats::call_error;
use crate::access::Who;
use crate::actors::ChatsAsked;
use crate::domain::{
    ChannelId, ChatState, Customer, CustomerId, Party, QueueId, Timestamp, UserId,
};
use crate::protocol::Wire;
use crate::protocol::event::PartyFrame;
use crate::protocol::rest::ErrorResponse;
use crate::protocol::rest::chat::{ChatsResponse, HistoryChatResponse};
use crate::protocol::rest::chats_cursor::ChatsCursor;
use crate::protocol::rest::query::PAGE_MAX;
use crate::protocol::value::WireText;
use crate::storage::{HistoryOf, HistoryOrder, HistoryPoint, HistoryQuery, HistoryRow};

pub(super) async fn list(asked: &Asked) -> Answer {
    let question = question(asked);
    let wanted = wanted(asked, &question)?;
    let router = &asked.edge.router;
    // Before the page: what was complete then is so in the page.
    let complete = router.history_is_complete();
    let page = router.chats(&wanted).await.map_err(|error| call_error(&error))?;
    let staff = asked.user().is_some();
    json(&ChatsResponse {
        items: page.chats.into_iter().map(|row| chat(row, staff)).collect(),
        next: page
            .next
            .map(|HistoryPoint { started, chat }| ChatsCursor { started, chat }.written(&question)),
        complete,
    })
}

fn wanted(asked: &Asked, question: &str) -> Result<ChatsAsked, ErrorResponse> {
    let channel = id(asked, "channel").map(ChannelId);
    let customer = match (id(asked, "customer").map(CustomerId), channel) {
        (None, _) => None,
        (Some(id), Some(channel)) => Some(Customer { channel, id }),
        (Some(_), None) => {
            let what = "names somebody within a channel only; give `channel` too";
            return Err(invalid("customer", what));
        }
    };
    let (queue, operator) = (id(asked, "queue").map(QueueId), id(asked, "operator").map(UserId));
    let leading = customer
        .map(HistoryOf::Customer)
        .or(operator.map(HistoryOf::Operator))
        .or(queue.map(HistoryOf::Queue))
        .or(channel.map(HistoryOf::Channel));
    let (of, reader) = own_list(asked)?.unwrap_or((leading.unwrap_or(HistoryOf::All), None));
    let after = asked.parameter("after").map(|text| {
        let wrong =
            || invalid("after", "expected the `next` of a page with the same filters and order");
        ChatsCursor::read(text, question).ok_or_else(wrong)
    });
    let after = after.transpose()?;
    let limit = asked.number("limit").and_then(|limit| usize::try_from(limit).ok());
    let list = HistoryQuery {
        of,
        from: Timestamp(asked.number("from").unwrap_or_default()),
        to: Timestamp(asked.number("to").unwrap_or(u64::MAX)),
        order: match asked.parameter("sort") {
            Some("started_at") => HistoryOrder::OldestFirst,
            Some(_) | None => HistoryOrder::NewestFirst,
        },
        after: after.map(|ChatsCursor { started, chat }| HistoryPoint { started, chat }),
        limit: limit.unwrap_or(PAGE_MAX),
    };
    let state = asked.parameter("state").and_then(|word| ChatState::read(word).ok());
    Ok(ChatsAsked { list, state, queue, channel, operator, customer, reader })
}

/// The list of the asker's own, and whose chats of it alone are shown; none: all may be.
fn own_list(asked: &Asked) -> Result<Option<(HistoryOf, Option<UserId>)>, ErrorResponse> {
    if asked.scope.has(false) {
        return Ok(None);
    }
    match asked.principal.as_ref().map(|principal| &principal.who) {
        Some(Who::User { id, .. }) => Ok(Some((HistoryOf::Operator(*id), Some(*id)))),
        Some(Who::Customer { customer, .. }) => {
            // Who served it, and where, is told to the staff alone.
            let told = ["queue", "operator", "customer"];
            match told.into_iter().find(|name| asked.parameter(name).is_some()) {
                Some(name) => Err(invalid(name, "is for the staff; your own chats are listed")),
                None => Ok(Some((HistoryOf::Customer(*customer), None))),
            }
        }
        Some(Who::Site { .. }) | None => Err(super::asked::not_found()),
    }
}

/// An id in the query; it is one, as the route says.
fn id(asked: &Asked, name: &str) -> Option<uuid::Uuid> {
    uuid::Uuid::parse_str(asked.parameter(name)?).ok()
}

/// What was asked, but for the page: to this the cursor belongs.
fn question(asked: &Asked) -> String {
    let mut filters: Vec<_> =
        asked.query().filter(|(name, _)| !["after", "limit"].contains(name)).collect();
    filters.sort_unstable();
    filters.iter().map(|(name, value)| format!("{name}={value}&")).collect()
}

/// What is shown of a chat. A customer is told what it is told of one chat.
fn chat(row: HistoryRow, staff: bool) -> HistoryChatResponse {
    let name = row.name.as_ref().filter(|_| staff);
    HistoryChatResponse {
        id: Wire(row.chat),
        state: Wire(row.state),
        channel: Wire(row.customer.channel),
        started_at: row.started.into(),
        ended_at: row.ended.map(|end| end.at.into()),
        customer: staff.then_some(Wire(row.customer.id)),
        customer_name: name.map(|name| name.as_str().to_owned()),
        queue: row.queue.filter(|_| staff).map(Wire),
        queues: row.queues.into_iter().filter(|_| staff).map(Wire).collect(),
        owner: row.owner.filter(|_| staff).map(Wire),
        operators: row.operators.into_iter().filter(|_| staff).map(Wire).collect(),
        ended_by: row.ended.filter(|_| staff).map(|end| ended_by(end.by)),
    }
}

/// Without a name: what it was called then is in the log.
fn ended_by(party: Party) -> PartyFrame {
    match party {
        Party::Customer(id) => PartyFrame::Customer { id: Some(Wire(id)), name: None },
        Party::User(id) => PartyFrame::Operator { id: Some(Wire(id)), name: None },
        Party::System => PartyFrame::System,
    }
}

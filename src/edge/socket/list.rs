//! `chat.list`.

use std::collections::BTreeSet;

use super::caller::Caller;
use super::looks::{Looked, looks};
use super::refusals::refused;
use crate::actors::{CallError, ChatView, WaitingChat};
use crate::domain::limits::OPERATOR_CAPACITY_MAX;
use crate::domain::{ChatId, Person, QueueId, UserId};
use crate::edge::Edge;
use crate::protocol::answer::{ChatBriefFrame, ChatListedFrame};
use crate::protocol::limits::CHAT_LIST_MAX;
use crate::protocol::params::{ChatListFrame, ListScope};
use crate::protocol::{ErrorFrame, LineCursor, Method, Wire};
use crate::routing::Turn;

/// Carries it out.
pub(super) async fn chats(
    by: &Caller,
    params: ChatListFrame,
) -> Result<ChatListedFrame, ErrorFrame> {
    let (user, router) = (by.user()?, &by.edge.router);
    let Listed { ids, mut total, next } = match params.scope {
        ListScope::Mine => whole(router.operator(user).await.map_err(refused)?.active),
        ListScope::Closed => {
            let view = router.operator(user).await.map_err(refused)?;
            whole(view.record.last_closed.into_iter().collect())
        }
        ListScope::Line => line(by, user, params.after).await?,
    };
    let (mut chats, mut unreachable) = (Vec::new(), Vec::new());
    for (chat, looked) in looks(router, ids).await {
        match looked {
            // It may have gone from hand to hand before its end, unknown to the operator.
            Looked::Found(view)
                if params.scope == ListScope::Closed && view.owner_at_end != Some(user) =>
            {
                total -= 1;
            }
            Looked::Found(view) => chats.extend(brief(&by.edge, &view, Person::User(user))),
            Looked::Unknown => {}
            Looked::Unreachable => unreachable.push(Wire(chat)),
        }
    }
    Ok(ChatListedFrame { chats, total, next, unreachable })
}

/// The chats of a page, before any of them was looked at.
struct Listed {
    ids: Vec<ChatId>,
    /// How many the whole list has.
    total: u64,
    next: Option<Wire<LineCursor>>,
}

/// A list of one page: an operator's own chats are bounded by what it may hold.
fn whole(ids: Vec<ChatId>) -> Listed {
    const { assert!(OPERATOR_CAPACITY_MAX as usize <= CHAT_LIST_MAX) };
    Listed { total: ids.len() as u64, ids, next: None }
}

/// A page of the chats that wait in the caller's queues, in the order of the line.
async fn line(
    by: &Caller,
    user: UserId,
    after: Option<Wire<LineCursor>>,
) -> Result<Listed, ErrorFrame> {
    let scope = by.scope(Method::ChatList)?;
    let snapshot = by.edge.catalog.snapshot();
    let served = snapshot.queues().filter(|queue| scope.has(queue.members.contains(&user)));
    let queues: Vec<QueueId> = served.map(|queue| queue.id).collect();
    let after = after.map(|Wire(LineCursor { rank, chat })| Turn { rank, chat });
    let (mut waiting, mut total) = (Vec::new(), 0);
    for queue in queues {
        // One more than a page has, to know whether it is the last.
        match by.edge.router.line(queue, after, CHAT_LIST_MAX + 1).await {
            Ok(line) => {
                total += line.total as u64;
                waiting.extend(line.chats);
            }
            // It is being added, or was removed, at this moment.
            Err(CallError::UnknownQueue) => {}
            Err(error) => return Err(refused(error)),
        }
    }
    waiting.sort_unstable_by_key(WaitingChat::turn);
    // A chat that moves from queue to queue meanwhile may stand in both.
    let mut seen = BTreeSet::new();
    waiting.retain(|waiting| seen.insert(waiting.chat));
    let more = waiting.len() > CHAT_LIST_MAX;
    waiting.truncate(CHAT_LIST_MAX);
    let last = waiting.last().filter(|_| more).map(WaitingChat::turn);
    let next = last.map(|Turn { rank, chat }| Wire(LineCursor { rank, chat }));
    Ok(Listed { ids: waiting.into_iter().map(|waiting| waiting.chat).collect(), total, next })
}

fn brief(edge: &Edge, view: &ChatView, person: Person) -> Option<ChatBriefFrame> {
    let opened = view.opened.as_ref()?;
    Some(ChatBriefFrame {
        id: Wire(view.chat),
        state: Wire(view.state?),
        channel: Wire(opened.customer.channel),
        queue: Wire(view.queue?),
        customer: Wire(opened.customer.id),
        customer_name: view.profile.name.as_ref().map(|name| name.as_str().to_owned()),
        owner: view.place.as_ref().and_then(|place| place.owner()).map(Wire),
        since: view.since.into(),
        cursor: edge.cursor(view.chat, view.tail),
        unread: view.unread_by(person),
    })
}

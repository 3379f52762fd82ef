//! `chat.list`.

use super::caller::Caller;
use super::looks::{Looked, looks};
use super::refusals::refused;
use crate::access::Right;
use crate::actors::{CallError, ChatView, WaitingChat};
use crate::domain::{ChatId, Party, QueueId, UserId};
use crate::edge::Edge;
use crate::protocol::answer::{ChatBriefFrame, ChatListedFrame};
use crate::protocol::limits::CHAT_LIST_MAX;
use crate::protocol::params::{ChatListFrame, ListScope};
use crate::protocol::{ErrorFrame, Method, Wire};

/// Carries it out.
pub(super) async fn chats(
    by: &Caller,
    params: ChatListFrame,
) -> Result<ChatListedFrame, ErrorFrame> {
    let (user, router) = (by.user()?, &by.edge.router);
    let ids: Vec<ChatId> = match params.scope {
        ListScope::Mine => router.operator(user).await.map_err(refused)?.active,
        ListScope::Closed => {
            let view = router.operator(user).await.map_err(refused)?;
            view.record.last_closed.into_iter().collect()
        }
        ListScope::Line => line(by, user).await?,
    };
    let mut total = ids.len() as u64;
    let (mut chats, mut unreachable) = (Vec::new(), Vec::new());
    for (chat, looked) in looks(router, ids.into_iter().take(CHAT_LIST_MAX)).await {
        match looked {
            // It may have gone from hand to hand before its end, unknown to the operator.
            Looked::Found(view)
                if params.scope == ListScope::Closed && view.owner_at_end != Some(user) =>
            {
                total -= 1;
            }
            Looked::Found(view) => chats.extend(brief(&by.edge, &view, Party::User(user))),
            Looked::Unknown => {}
            Looked::Unreachable => unreachable.push(Wire(chat)),
        }
    }
    Ok(ChatListedFrame { chats, total, unreachable })
}

/// The chats that wait in the caller's queues, in the order of the line.
async fn line(by: &Caller, user: UserId) -> Result<Vec<ChatId>, ErrorFrame> {
    let all = by.right(Method::ChatList)? == Right::Yes;
    let snapshot = by.edge.catalog.snapshot();
    let served = snapshot.queues().filter(|queue| all || queue.members.contains(&user));
    let queues: Vec<QueueId> = served.map(|queue| queue.id).collect();
    let mut waiting: Vec<WaitingChat> = Vec::new();
    for queue in queues {
        match by.edge.router.line(queue, usize::MAX).await {
            Ok(line) => waiting.extend(line),
            // It is being added, or was removed, at this moment.
            Err(CallError::UnknownQueue) => {}
            Err(error) => return Err(refused(error)),
        }
    }
    waiting.sort_unstable_by_key(|waiting| (waiting.rank, waiting.chat));
    Ok(waiting.into_iter().map(|waiting| waiting.chat).collect())
}

fn brief(edge: &Edge, view: &ChatView, party: Party) -> Option<ChatBriefFrame> {
    let opened = view.opened.as_ref()?;
    Some(ChatBriefFrame {
        id: Wire(view.chat),
        state: Wire(view.state?),
        channel: Wire(opened.channel),
        queue: Wire(view.queue?),
        customer: Wire(opened.customer),
        owner: view.place.as_ref().and_then(|place| place.owner()).map(Wire),
        since: view.since.into(),
        cursor: edge.cursor(view.chat, view.tail),
        unread: view.unread.get(&party).copied().unwrap_or_default(),
    })
}

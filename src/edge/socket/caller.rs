//! Who calls on a socket, and which chats it may know of.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::refusals::refused;
use crate::access::{Operation, Right, Subject, Who};
use crate::actors::{CallError, ChatView};
use crate::domain::{ChannelId, ChatId, CustomerId, Party, Priority, UserId};
use crate::edge::Edge;
use crate::edge::limits::CHATS_REMEMBERED;
use crate::machine::chat::{Author, Refusal};
use crate::machine::operator::ConnectionId;
use crate::protocol::{Audience, ErrorFrame, ErrorKind, Method};

/// One session's person, shared by the calls under way.
pub(super) struct Caller {
    pub edge: Arc<Edge>,
    pub who: Who,
    pub subject: Subject,
    pub connection: Option<ConnectionId>,
    /// Chats that were found to be the customer's, which they stay.
    own: Mutex<HashSet<ChatId>>,
}

impl Caller {
    pub fn new(
        edge: Arc<Edge>,
        who: Who,
        subject: Subject,
        connection: Option<ConnectionId>,
    ) -> Self {
        Self { edge, who, subject, connection, own: Mutex::default() }
    }

    /// The same person on the same connection, as a newer token says.
    pub fn renewed(&self, who: Who, subject: Subject) -> Self {
        let (edge, own) = (Arc::clone(&self.edge), Mutex::new(self.own().clone()));
        Self { edge, who, subject, connection: self.connection, own }
    }

    /// The party that the caller is in chats; none for a site, which has no session.
    pub fn party(&self) -> Option<Party> {
        party_of(&self.who)
    }

    /// The user. Errors for customers.
    pub fn user(&self) -> Result<UserId, ErrorFrame> {
        match &self.who {
            Who::User { id, .. } => Ok(*id),
            Who::Customer { .. } | Who::Site { .. } => Err(ErrorFrame::of(ErrorKind::Forbidden)),
        }
    }

    /// The customer, its channel and its priority. Errors for users.
    pub fn customer(&self) -> Result<(CustomerId, ChannelId, Priority), ErrorFrame> {
        match &self.who {
            Who::Customer { id, channel, priority, .. } => Ok((*id, *channel, *priority)),
            Who::User { .. } | Who::Site { .. } => Err(ErrorFrame::of(ErrorKind::Forbidden)),
        }
    }

    /// What it sees of a chat.
    pub fn audience(&self) -> Audience {
        match &self.who {
            Who::Customer { .. } => Audience::Customer,
            Who::User { .. } | Who::Site { .. } => Audience::Staff,
        }
    }

    /// Whether the table grants the method at all, and then with all or with its own only.
    pub fn right(&self, method: Method) -> Result<Right, ErrorFrame> {
        let operation = Operation::named(method.name());
        match operation.map_or(Right::No, |operation| operation.right(self.subject)) {
            Right::No => {
                let what = format!("{} may not call {}", self.subject.word(), method.name());
                Err(ErrorFrame::new(ErrorKind::Forbidden, what))
            }
            right @ (Right::Own | Right::Yes) => Ok(right),
        }
    }

    /// The author of a change, with the right that the table grants.
    pub fn author(&self, method: Method) -> Result<Author, ErrorFrame> {
        let right = self.right(method)?;
        let party = self.party().ok_or_else(|| ErrorFrame::of(ErrorKind::Forbidden))?;
        Ok(Author { party, chat_administrator: right == Right::Yes })
    }

    /// A customer's chat is its own only if customer and channel are the chat's; all others do not
    /// exist for it. Users are judged by the router itself.
    pub async fn check_own(&self, chat: ChatId) -> Result<(), ErrorFrame> {
        let Who::Customer { id, channel, .. } = &self.who else { return Ok(()) };
        if self.own().contains(&chat) {
            return Ok(());
        }
        let view = self.edge.router.look(chat).await.map_err(refused)?;
        let opened = view.opened.filter(|o| o.customer == *id && o.channel == *channel);
        opened.ok_or_else(|| ErrorFrame::of(ErrorKind::NotFound))?;
        self.remember_own(chat);
        Ok(())
    }

    /// The chat is known to be the customer's.
    pub fn remember_own(&self, chat: ChatId) {
        let mut own = self.own();
        if own.len() >= CHATS_REMEMBERED {
            own.clear();
        }
        own.insert(chat);
    }

    /// Whether the caller may read the chat: see `chat.history` in the table of rights.
    pub fn may_read(&self, view: &ChatView, right: Right) -> bool {
        match (right, &self.who) {
            (Right::No, _) => false,
            (Right::Yes, _) => true,
            (Right::Own, Who::Customer { id, channel, .. }) => {
                let opened = view.opened.as_ref();
                opened.is_some_and(|o| o.customer == *id && o.channel == *channel)
            }
            (Right::Own, Who::User { id, .. }) => view.may_be_read_by(*id),
            (Right::Own, Who::Site { .. }) => false,
        }
    }

    /// A user who has nothing to do with a chat does not learn from a refusal that it exists.
    pub async fn hide(&self, method: Method, chat: ChatId, error: CallError) -> ErrorFrame {
        let tells = match error {
            CallError::Refused(refusal) => match refusal {
                Refusal::Ended { .. }
                | Refusal::NotYours
                | Refusal::OfferGone
                | Refusal::WrongState { .. }
                | Refusal::TransferPending
                | Refusal::AlreadyThere
                | Refusal::ChatFull => true,
                Refusal::UnknownChat
                | Refusal::UnknownTarget
                | Refusal::Late
                | Refusal::IdReused
                | Refusal::TargetUnavailable { .. }
                | Refusal::NoSlot(_)
                | Refusal::Unavailable => false,
            },
            CallError::Overloaded(_)
            | CallError::Unavailable
            | CallError::ChannelClosed
            | CallError::UnknownQueue
            | CallError::UnknownOperator => false,
        };
        let all = Operation::ChatHistory.right(self.subject) == Right::Yes;
        let every = self.right(method) == Ok(Right::Yes);
        if tells && !all && !every && !self.may_know(chat).await {
            return ErrorFrame::of(ErrorKind::NotFound);
        }
        match error {
            CallError::Refused(Refusal::Ended { visitor_left: true, .. })
                if method == Method::MessageSend =>
            {
                ErrorFrame::of(ErrorKind::VisitorLeft)
            }
            error => refused(error),
        }
    }

    /// Whether the chat is, or lately was, in front of the caller: its own, offered to it, in a
    /// queue that it serves, or among those it closed or lost last.
    async fn may_know(&self, chat: ChatId) -> bool {
        let Who::User { id, .. } = &self.who else { return true };
        let Ok(view) = self.edge.router.look(chat).await else { return false };
        if view.concerns(Party::User(*id)) || view.last_owner == Some(*id) {
            return true;
        }
        let snapshot = self.edge.catalog.snapshot();
        let queue = view.queue.and_then(|queue| snapshot.queue(queue));
        if queue.is_some_and(|queue| queue.members.contains(id)) {
            return true;
        }
        let operator = self.edge.router.known_operator(*id).await;
        operator.is_some_and(|operator| operator.record.last_closed.contains(&chat))
    }

    fn own(&self) -> std::sync::MutexGuard<'_, HashSet<ChatId>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The party that somebody is in chats; none for a site.
pub(super) fn party_of(who: &Who) -> Option<Party> {
    match who {
        Who::User { id, .. } => Some(Party::User(*id)),
        Who::Customer { id, .. } => Some(Party::Customer(*id)),
        Who::Site { .. } => None,
    }
}

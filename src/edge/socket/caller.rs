//! Who calls on a socket, and which chats it may know of.

use std::pin::Pin;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::refusals::refused;
use crate::access::{Invalid, Lost, Openings, Principal, Who};
use crate::actors::{CallError, ChatView, GiveBack, Opens, TooMany, holding};
use crate::domain::rights::{Operation, Right, Scope, Subject};
use crate::domain::{Audience, ChatId, Customer, Person, Profile, UserId};
use crate::edge::{ClientAddress, Edge, Viewer, frame_of};
use crate::machine::chat::{Author, Refusal};
use crate::machine::operator::ConnectionId;
use crate::protocol::{ErrorFrame, ErrorKind, Method};
use crate::telemetry;

/// One session's person, shared by the calls under way.
pub(super) struct Caller {
    pub edge: Arc<Edge>,
    pub who: Who,
    pub subject: Subject,
    principal: Principal,
    client: ClientAddress,
    pub connection: Option<ConnectionId>,
}

impl Caller {
    pub fn new(
        edge: Arc<Edge>,
        principal: Principal,
        client: ClientAddress,
        connection: Option<ConnectionId>,
    ) -> Self {
        let (who, subject) = (principal.who.clone(), principal.subject());
        Self { edge, who, subject, principal, client, connection }
    }

    /// The same person on the same connection, as a newer token says.
    pub fn renewed(&self, principal: Principal) -> Self {
        Self::new(Arc::clone(&self.edge), principal, self.client, self.connection)
    }

    /// Carries a call out; one that changes something only if the caller still may when it is its
    /// turn. What the call leads to is known when it ends, and a revocation waits for it until then.
    /// The work stays where it is: each future around it that took it in would hold it twice.
    pub async fn permitted<R>(
        &self,
        method: Method,
        work: Pin<&mut impl Future<Output = Result<R, ErrorFrame>>>,
    ) -> Result<R, ErrorFrame> {
        if !method.changes() {
            return work.await;
        }
        let operation = method.operation();
        let permits = self.edge.access.permits();
        let permit = permits.ask((&self.who).into(), operation, || self.still(operation));
        // Whoever carries the call out keeps the permit as well: it goes on when this gave it up.
        holding(Arc::new(permit.await?), work).await
    }

    /// Whether the caller still is who it was, and may do it. A token that ran out since the call
    /// came in is no matter: the socket ends with its token.
    pub fn still(&self, operation: Operation) -> Result<(), ErrorFrame> {
        let access = &self.edge.access;
        match access.may_still(&self.principal, operation, self.edge.now()) {
            Ok(()) | Err(Lost::Invalid(Invalid::Expired)) => Ok(()),
            Err(Lost::Invalid(invalid)) => Err(frame_of(invalid)),
            Err(Lost::Forbidden(no)) => Err(ErrorFrame::new(ErrorKind::Forbidden, no.to_string())),
        }
    }

    /// Whom chats know the caller as; none for a site, which has no session.
    pub fn person(&self) -> Option<Person> {
        person_of(&self.who)
    }

    /// The user. Errors for customers.
    pub fn user(&self) -> Result<UserId, ErrorFrame> {
        match &self.who {
            Who::User { id, .. } => Ok(*id),
            Who::Customer { .. } | Who::Site { .. } => Err(ErrorFrame::of(ErrorKind::Forbidden)),
        }
    }

    /// The customer, and what its token says of it. Errors for users.
    pub fn customer(&self) -> Result<(Customer, &Profile), ErrorFrame> {
        match &self.who {
            Who::Customer { customer, profile } => Ok((*customer, profile)),
            Who::User { .. } | Who::Site { .. } => Err(ErrorFrame::of(ErrorKind::Forbidden)),
        }
    }

    /// As whom it looks at chats.
    pub fn viewer(&self) -> Viewer {
        match &self.who {
            Who::Customer { customer, .. } => Viewer::CustomerOf(customer.channel),
            Who::User { .. } | Who::Site { .. } => Viewer::Staff,
        }
    }

    /// What it sees of a chat.
    pub fn audience(&self) -> Audience {
        self.viewer().audience()
    }

    /// With what the method may be called. Errors when not at all.
    pub fn scope(&self, method: Method) -> Result<Scope, ErrorFrame> {
        Scope::of(method.operation(), self.subject).map_err(|_| {
            let what = format!("{} may not call {}", self.subject.word(), method.name());
            ErrorFrame::new(ErrorKind::Forbidden, what)
        })
    }

    /// The author of a change: the chat itself tells what is its own, as far as it may do no more.
    pub fn author(&self, method: Method) -> Result<Author, ErrorFrame> {
        let scope = self.scope(method)?;
        let person = self.person().ok_or_else(|| ErrorFrame::of(ErrorKind::Forbidden))?;
        Ok(Author { person, chat_administrator: scope.has(false) })
    }

    /// Whether the chat is the caller's own to read: see `chat.history` in the table of rights.
    pub fn is_own(&self, view: &ChatView) -> bool {
        match &self.who {
            Who::Customer { customer, .. } => view.concerns(Person::Customer(*customer)),
            Who::User { id, .. } => view.may_be_read_by(*id),
            Who::Site { .. } => false,
        }
    }

    /// Who has nothing to do with a chat does not learn from a refusal that it exists.
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
            | CallError::TooManyOpenings(_)
            | CallError::Unavailable
            | CallError::ChannelClosed
            | CallError::UnknownQueue
            | CallError::UnknownOperator => false,
        };
        let foreign = matches!(error, CallError::Refused(Refusal::NotYours));
        if foreign && self.audience() == Audience::Customer {
            return ErrorFrame::of(ErrorKind::NotFound);
        }
        let all = Operation::ChatHistory.right(self.subject) == Right::Yes;
        let every = self.scope(method).is_ok_and(|scope| scope.has(false));
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
        // The chat itself has told a customer's own from another's.
        let Who::User { id, .. } = &self.who else { return true };
        let Ok(view) = self.edge.router.look(chat).await else { return false };
        if view.concerns(Person::User(*id)) || view.last_owner == Some(*id) {
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
}

impl Caller {
    fn openings(&self) -> MutexGuard<'_, Openings> {
        openings(&self.edge)
    }
}

impl Opens for Caller {
    fn look(&self, customer: Customer) -> Result<(), TooMany> {
        let (network, now) = (self.client.network(), self.edge.now());
        let looked = self.openings().look(customer, network, now);
        looked.map_err(|refused| TooMany { retry_after_ms: refused.retry_after_ms })
    }

    fn take(&self, customer: Customer) -> Result<GiveBack, TooMany> {
        let (network, now) = (self.client.network(), self.edge.now());
        let taken = self.openings().take(customer, network, now);
        taken.map_err(|refused| {
            telemetry::opening_refused(refused.bound.word());
            TooMany { retry_after_ms: refused.retry_after_ms }
        })?;
        let edge = Arc::clone(&self.edge);
        Ok(Box::new(move || openings(&edge).give_back(customer, network, edge.now())))
    }
}

fn openings(edge: &Edge) -> MutexGuard<'_, Openings> {
    edge.openings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whom chats know somebody as; none for a site.
pub(super) fn person_of(who: &Who) -> Option<Person> {
    match who {
        Who::User { id, .. } => Some(Person::User(*id)),
        Who::Customer { customer, .. } => Some(Person::Customer(*customer)),
        Who::Site { .. } => None,
    }
}

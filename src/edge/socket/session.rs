//! Opening a session: who it is, what is live, and what was missed.
//!
//! The connection is registered first, then the logs are read: what happens meanwhile waits in the
//! outbox, and what was read already is dropped there by its position.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;

use futures_channel::mpsc;

use super::caller::{Caller, person_of};
use super::looks::{Looked, looks};
use super::outgoing::{Seen, offer_frame};
use super::refusals::{refused, unavailable};
use crate::access::{Principal, Who};
use crate::actors::{CallError, OperatorView, Outgoing, Router};
use crate::domain::rights::{Operation, Right};
use crate::domain::{ChatId, Person, Reach, Seq, UserId};
use crate::edge::holders::Held;
use crate::edge::limits::{
    MISSED_IN_ALL_MAX, MISSED_PER_CHAT_MAX, OPERATOR_LOOK_EVERY, OPERATOR_WAIT, RESUMED_OTHERS_MAX,
};
use crate::edge::{ClientAddress, Edge, frame_of};
use crate::machine::chat::{Author, ChatCall};
use crate::machine::operator::ConnectionId;
use crate::protocol::answer::{
    MeFrame, RoleFrame, SessionChatFrame, SessionOpenedFrame, StatusFrame,
};
use crate::protocol::limits::OPENED_OFFERS_MAX;
use crate::protocol::notify::OfferFrame;
use crate::protocol::params::SessionOpenFrame;
use crate::protocol::{ErrorFrame, ErrorKind, Method, Wire};

/// A registered connection; it is forgotten when dropped, whatever way the socket ends.
pub(super) struct Joined {
    router: Router,
    person: Person,
    id: ConnectionId,
    /// What the connection is to be sent.
    pub outbox: mpsc::Receiver<Outgoing>,
}

impl Joined {
    fn new(router: &Router, person: Person) -> Self {
        let connection = router.connect(person);
        Self { router: router.clone(), person, id: connection.id, outbox: connection.outbox }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.router.disconnect(self.person, self.id);
    }
}

/// An open session.
pub(super) struct OpenSession {
    pub principal: Principal,
    /// So that a revocation finds it.
    pub held: Held,
    pub caller: Arc<Caller>,
    /// None for who takes part in no chat.
    pub joined: Option<Joined>,
    pub seen: Seen,
}

/// A session that has just been opened, with what its client is sent first.
pub(super) struct Opened {
    pub session: OpenSession,
    pub answer: SessionOpenedFrame,
    pub missed: Vec<Missed>,
    /// Offers that did not fit the answer.
    pub offers: Vec<OfferFrame>,
}

/// Events that a client missed in one chat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Missed {
    pub chat: ChatId,
    pub from: Seq,
    pub to: Seq,
}

/// Opens a session. Errors when the token does not count, or the router does not answer.
pub(super) async fn open(
    edge: &Arc<Edge>,
    client: ClientAddress,
    params: SessionOpenFrame,
) -> Result<Opened, ErrorFrame> {
    let token = params.token.0.expose();
    let principal = edge.access.authenticate(token, edge.now()).map_err(frame_of)?;
    let subject = principal.subject();
    let permitted = crate::domain::rights::permit(Operation::SessionOpen, subject, false);
    permitted.map_err(|no| ErrorFrame::new(ErrorKind::Forbidden, no.to_string()))?;
    let Some(holder) = principal.who.holder() else {
        return Err(ErrorFrame::of(ErrorKind::Forbidden));
    };
    // What is revoked from now on is heard; what was before is seen once the session is open.
    let held = edge.holders.hold(holder);
    let serves = Operation::ChatHistory.right(subject) != Right::No;
    let person = person_of(&principal.who).filter(|_| serves);
    let joined = person.map(|person| Joined::new(&edge.router, person));
    let connection = joined.as_ref().map(|joined| joined.id);
    let caller = Arc::new(Caller::new(Arc::clone(edge), principal.clone(), client, connection));
    let operator = match person {
        Some(Person::User(user)) => Some(operator(&edge.router, user).await?),
        Some(Person::Customer(_) | Person::System) | None => None,
    };
    let mut offers = operator.as_ref().map(|view| live_offers(edge, view)).unwrap_or_default();
    let further = offers.split_off(offers.len().min(OPENED_OFFERS_MAX));
    let mut found = Found::default();
    let latest = match &principal.who {
        Who::Customer { customer, .. } => edge.router.latest(*customer).await.map_err(refused)?,
        Who::User { .. } | Who::Site { .. } => None,
    };
    let (wanted, beyond) = wanted(edge, latest, operator.as_ref(), &params);
    found.unreachable.extend(beyond.into_iter().map(Wire));
    let mut outdated = None;
    for (chat, looked) in looks(&edge.router, wanted.keys().copied()).await {
        if latest == Some(chat) && is_news(&caller, &looked) {
            outdated = latest;
        }
        found.take(&caller, chat, wanted.get(&chat).copied().flatten(), looked);
    }
    if let Some(chat) = outdated {
        let update = pin!(update_customer(&caller, chat));
        caller.permitted(Method::SessionOpen, update).await?;
    }
    let answer = SessionOpenedFrame {
        me: me(edge, &principal.who),
        status: operator.as_ref().map(|view| StatusFrame::from(&view.record.status)),
        away_reasons: operator.as_ref().map(|_| away_reasons(edge)).unwrap_or_default(),
        offers,
        chats: found.chats,
        gone: found.gone,
        unreachable: found.unreachable,
        expires_at: principal.until.unwrap_or_else(|| edge.now()).into(),
    };
    let session = OpenSession { principal, held, caller, joined, seen: found.seen };
    Ok(Opened { session, answer, missed: found.missed, offers: further })
}

/// The operator, once its slots are known: they are counted anew after a failure.
async fn operator(router: &Router, user: UserId) -> Result<OperatorView, ErrorFrame> {
    let looks = async {
        loop {
            match router.operator(user).await {
                Err(CallError::Unavailable) => tokio::time::sleep(OPERATOR_LOOK_EVERY).await,
                other => return other,
            }
        }
    };
    match tokio::time::timeout(OPERATOR_WAIT, looks).await {
        Ok(view) => view.map_err(refused),
        Err(_) => Err(unavailable()),
    }
}

/// For what an operator can be away; none: for whatever it says, unless the list cannot be read.
fn away_reasons(edge: &Edge) -> Vec<String> {
    let snapshot = edge.catalog.snapshot();
    snapshot.reasons_to_choose().into_iter().flatten().map(str::to_owned).collect()
}

fn live_offers(edge: &Edge, view: &OperatorView) -> Vec<OfferFrame> {
    let mut offers: Vec<OfferFrame> = view
        .offers
        .iter()
        .map(|offer| {
            let reach = if offer.to_all { Reach::ToAll } else { Reach::Directed };
            let ids = (offer.chat, offer.offer, offer.queue);
            offer_frame(&edge.router, ids, reach, offer.expires_at)
        })
        .collect();
    offers.sort_by_key(|offer| (offer.since, offer.chat));
    offers
}

/// The chats that the answer speaks of: those that are the person's, and those that the client
/// knows, with the position that it has. A cursor that cannot be meant stands for "nothing".
///
/// Also those that are not looked at: anybody may name any id, and only a look into the store says
/// what it is. So of those that are not the person's at present only the newest ones are looked at.
fn wanted(
    edge: &Edge,
    latest: Option<ChatId>,
    operator: Option<&OperatorView>,
    params: &SessionOpenFrame,
) -> (BTreeMap<ChatId, Option<Option<Seq>>>, Vec<ChatId>) {
    let mut wanted = BTreeMap::new();
    for chat in operator.iter().flat_map(|view| &view.active) {
        wanted.insert(*chat, None);
    }
    wanted.extend(latest.map(|chat| (chat, None)));
    let mut others: Vec<ChatId> = params.resume.iter().map(|known| known.0.chat.0).collect();
    let offered = operator.iter().flat_map(|view| &view.offers).map(|offer| offer.chat);
    let own: BTreeSet<ChatId> = wanted.keys().copied().chain(offered).collect();
    let beyond = beyond(&mut others, &own);
    for known in &params.resume {
        let chat = known.0.chat.0;
        if !beyond.contains(&chat) {
            wanted.insert(chat, Some(known.0.cursor.0.seq(edge.incarnation, chat).ok()));
        }
    }
    (wanted, beyond)
}

/// Those among `named` that are too many. Ids rise with time, so that the newest ones stay.
fn beyond(named: &mut Vec<ChatId>, own: &BTreeSet<ChatId>) -> Vec<ChatId> {
    named.retain(|chat| !own.contains(chat));
    named.sort_unstable_by(|a, b| b.cmp(a));
    named.dedup();
    named.split_off(named.len().min(RESUMED_OTHERS_MAX))
}

fn me(edge: &Edge, who: &Who) -> MeFrame {
    match who {
        Who::User { id, role } => {
            let name = edge.catalog.snapshot().user(*id).map(|user| user.name.clone());
            let role = match role {
                crate::catalog::Role::Administrator => RoleFrame::Administrator,
                crate::catalog::Role::ChatAdministrator => RoleFrame::ChatAdministrator,
                crate::catalog::Role::Operator => RoleFrame::Operator,
            };
            MeFrame { role, id: id.to_string(), name }
        }
        Who::Customer { customer, profile } => {
            let name = profile.name.as_ref().map(|name| name.as_str().to_owned());
            MeFrame { role: RoleFrame::Customer, id: customer.id.to_string(), name }
        }
        Who::Site { channel } => {
            MeFrame { role: RoleFrame::Customer, id: channel.to_string(), name: None }
        }
    }
}

/// What the chats of a session turned out to be.
#[derive(Default)]
struct Found {
    chats: Vec<SessionChatFrame>,
    gone: Vec<Wire<ChatId>>,
    unreachable: Vec<Wire<ChatId>>,
    missed: Vec<Missed>,
    seen: Seen,
    events: u64,
}

impl Found {
    /// `known`: none when the client does not know the chat; else the position that it has, none
    /// when that cannot be read.
    fn take(&mut self, caller: &Caller, chat: ChatId, known: Option<Option<Seq>>, looked: Looked) {
        let view = match looked {
            Looked::Found(view) => Some(view),
            Looked::Unknown => None,
            // Events of it are sent from now on, nothing of it is known to have been seen.
            Looked::Unreachable => return self.unreachable.push(Wire(chat)),
        };
        // A session sees what is its own, also where its right goes further.
        let view = view.filter(|view| caller.is_own(view));
        let shown = view.as_ref().and_then(|view| Some((view, view.state?)));
        let Some((view, state)) = shown else {
            self.gone.extend(known.map(|_| Wire(chat)));
            return;
        };
        let gap = match known {
            Some(Some(has)) if has <= view.tail => Some(view.tail - has),
            Some(_) => Some(u64::MAX),
            None => None,
        };
        let fits = |gap: u64| {
            gap <= MISSED_PER_CHAT_MAX && self.events.saturating_add(gap) <= MISSED_IN_ALL_MAX
        };
        let reload = gap.is_some_and(|gap| !fits(gap));
        if let Some(gap) = gap.filter(|gap| *gap > 0 && !reload) {
            self.events += gap;
            let (from, to) = (view.tail - gap + 1, view.tail);
            self.missed.push(Missed { chat, from, to });
        }
        self.chats.push(SessionChatFrame {
            id: Wire(chat),
            state: Wire(state),
            cursor: caller.edge.cursor(chat, view.tail),
            unread: caller.person().map_or(0, |person| view.unread_by(person)),
            reload,
        });
        self.seen.up_to(chat, view.tail);
    }
}

/// Replaces the token of a session by a newer one of the same person.
pub(super) fn renew(session: &mut OpenSession, edge: &Edge, token: &str) -> Result<(), ErrorFrame> {
    let renewed = edge.access.authenticate(token, edge.now()).map_err(frame_of)?;
    if !same_person(&session.principal.who, &renewed.who) {
        let text = "the new token is somebody else's; open another socket for it";
        return Err(ErrorFrame::new(ErrorKind::SessionExists, text));
    }
    // What the newer token says counts from now on: a visitor's name and priority are the site's.
    session.caller = Arc::new(session.caller.renewed(renewed.clone()));
    session.principal = renewed;
    Ok(())
}

/// What the newer token of a customer says is known to its chat from now on.
pub(super) async fn renewed(by: &Caller) -> Result<(), ErrorFrame> {
    let Ok((customer, _)) = by.customer() else { return Ok(()) };
    match by.edge.router.latest(customer).await {
        Ok(Some(chat)) => update_customer(by, chat).await,
        Ok(None) => Ok(()),
        Err(error) => untold(error),
    }
}

/// Whether the token says what the chat does not know. One that cannot be read is not asked to listen:
/// it keeps nobody waiting, and hears of the token with the next message.
fn is_news(by: &Caller, looked: &Looked) -> bool {
    let Looked::Found(view) = looked else { return false };
    let open = view.state.is_some_and(|state| !state.is_final());
    open && by.customer().is_ok_and(|(_, profile)| profile.replaces(&view.profile))
}

/// Has the customer's latest chat know what the token says, if it is open.
async fn update_customer(by: &Caller, chat: ChatId) -> Result<(), ErrorFrame> {
    let (Ok((_, profile)), Some(person)) = (by.customer(), by.person()) else { return Ok(()) };
    let author = Author { person, chat_administrator: false };
    let update = ChatCall::UpdateCustomer { by: author, profile: profile.clone() };
    match by.edge.router.call_chat(chat, update).await {
        // It is about to be opened, or was forgotten.
        Ok(_) | Err(CallError::Refused(_)) => Ok(()),
        Err(error) => untold(error),
    }
}

/// No reason to keep somebody out: the chat hears of the token with what its customer says next.
fn untold(error: CallError) -> Result<(), ErrorFrame> {
    tracing::warn!(%error, "a chat was not told of its customer's token; the next message tells it");
    Ok(())
}

fn same_person(a: &Who, b: &Who) -> bool {
    match (a, b) {
        (Who::User { id: a, .. }, Who::User { id: b, .. }) => a == b,
        (Who::Customer { customer: a, .. }, Who::Customer { customer: b, .. }) => a == b,
        (Who::User { .. } | Who::Customer { .. } | Who::Site { .. }, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_not_ones_own_the_newest_are_looked_at() {
        let chat = ChatId::from_u128;
        let most = RESUMED_OTHERS_MAX as u128;
        let mut named: Vec<_> = (0..most + 3).chain(1..3).map(chat).collect();
        let own = BTreeSet::from([chat(1)]);
        assert_eq!(beyond(&mut named, &own), [chat(2), chat(0)]);
        assert_eq!(named.len(), RESUMED_OTHERS_MAX);
        assert!(beyond(&mut vec![chat(7); 200], &own).is_empty(), "one is one");
    }
}

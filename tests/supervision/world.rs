//! A contact centre for tests: three queues, three operators at their desks, customers. And the
//! checks that hold for every log.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use switchboard::actors::{
    CallError, ChatView, Connection, GiveBack, Opens, OperatorSettings, Options, Outgoing, Roster,
    Router, TooMany,
};
use switchboard::domain::event::AssignedHow;
use switchboard::domain::{
    Audience, ChannelId, ChatEvent, ChatId, CommandId, Customer, CustomerId, MessageText, Offer,
    Party, Person, Place, Profile, Queue, QueueId, Recorded, RoutingSettings, Rule, Seq, Status,
    UserId,
};
use switchboard::machine::chat::{Answer, Author, ChatCall, Refusal, Target};
use switchboard::machine::operator::{ConnectionId, Gone, Notice, OperatorAnswer, OperatorCall};
use switchboard::storage::Store;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::store::PANIC;

/// How long anything may take that is waited for. Far above the slowest repeat and backoff.
pub const LIMIT: Duration = Duration::from_secs(25);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(5);
/// How long who declined is not asked again, ms: short, so that a lone operator is asked again.
const COOL_DOWN_MS: u64 = 150;

pub const CHANNEL: ChannelId = ChannelId::from_u128(0xc);
pub const PUSH: QueueId = QueueId::from_u128(0x1);
pub const ALL: QueueId = QueueId::from_u128(0x2);
pub const MANUAL: QueueId = QueueId::from_u128(0x3);
pub const ANN: UserId = UserId::from_u128(0xa);
pub const BEN: UserId = UserId::from_u128(0xb);

/// As many chats as anybody likes.
pub struct Unbounded;

impl Opens for Unbounded {
    fn look(&self, _: Customer) -> Result<(), TooMany> {
        Ok(())
    }

    fn take(&self, _: Customer) -> Result<GiveBack, TooMany> {
        Ok(Box::new(|| ()))
    }
}

pub fn queue(id: QueueId, rule: Rule, members: &[UserId]) -> Queue {
    let mut queue = Queue::new(id, "a queue", rule);
    queue.members = members.iter().copied().collect();
    queue
}

pub fn roster(capacity: u32) -> Roster {
    let members = [ANN, BEN];
    let queues = [
        queue(PUSH, Rule::LeastLoaded, &members),
        queue(ALL, Rule::ToAll, &members),
        queue(MANUAL, Rule::Manual, &members),
    ];
    let settings = OperatorSettings { capacity, active: true };
    Roster {
        channels: BTreeMap::from([(CHANNEL, PUSH)]),
        retention: BTreeMap::new(),
        queues: queues.into_iter().map(|queue| (queue.id, queue)).collect(),
        operators: members.into_iter().map(|operator| (operator, settings)).collect(),
        settings: RoutingSettings { cool_down_ms: COOL_DOWN_MS, ..Default::default() },
        ..Default::default()
    }
}

/// Options under which nobody is parked, however slow the machine is.
pub fn options() -> Options {
    Options {
        restart_grace_ms: 0,
        idle_chats_park_after: Duration::from_secs(3_600),
        idle_operators_park_after: Duration::from_secs(3_600),
        ..Options::default()
    }
}

/// Options under which a silent store is noticed soon. The stores of tests answer at once or never.
pub fn impatient() -> Options {
    let (store_limit, call_limit) = (Duration::from_millis(50), Duration::from_millis(400));
    Options { store_limit, call_limit, ..options() }
}

pub async fn start(store: Store) -> Router {
    silence_meant_panics();
    Router::start(store, roster(2), options()).await.unwrap()
}

/// Panics that a test ordered are no news; all others are.
pub fn silence_meant_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let said = info.payload();
            let text = said.downcast_ref::<&str>().copied();
            let text = text.or(said.downcast_ref::<String>().map(String::as_str));
            if !text.is_some_and(|text| text == "crashed by a test" || text == PANIC) {
                usual(info);
            }
        }));
    });
}

/// Waits until `look` finds something.
pub async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        sleep(POLL).await;
    }
}

/// Asks until there is an answer, as clients do. A panic in the caller's own task is a client that
/// hung up and comes back.
pub async fn persist<T, F>(what: &str, ask: impl Fn() -> F) -> Result<T, CallError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, CallError>> + Send + 'static,
{
    let end = Instant::now() + LIMIT;
    loop {
        match tokio::spawn(ask()).await {
            Ok(Err(CallError::Unavailable)) | Err(_) => {
                assert!(Instant::now() < end, "{what}: unavailable for {LIMIT:?}");
                sleep(POLL).await;
            }
            Ok(answer) => return answer,
        }
    }
}

/// An id that no other call has.
pub fn fresh() -> CommandId {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    CommandId::new(&format!("c-{}", NUMBER.fetch_add(1, Ordering::Relaxed))).unwrap()
}

pub fn message(text: &str) -> MessageText {
    MessageText::new(text).unwrap()
}

pub fn customer(n: u128) -> Customer {
    Customer { channel: CHANNEL, id: CustomerId::from_u128(n) }
}

/// Which party the author is in a chat of its own.
pub fn party(by: Author) -> Party {
    party_of(by.person)
}

pub fn party_of(person: Person) -> Party {
    match person {
        Person::Customer(customer) => Party::Customer(customer.id),
        Person::User(user) => Party::User(user),
        Person::System => Party::System,
    }
}

pub fn as_customer(n: u128) -> Author {
    Author { person: Person::Customer(customer(n)), chat_administrator: false }
}

pub fn as_user(user: UserId) -> Author {
    Author { person: Person::User(user), chat_administrator: false }
}

pub fn as_administrator() -> Author {
    Author { person: Person::User(UserId::from_u128(0xad)), chat_administrator: true }
}

pub async fn open(router: &Router, who: u128) -> ChatId {
    let id = fresh();
    let opened = persist("open", || {
        let (router, id) = (router.clone(), id.clone());
        async move { router.open(customer(who), &id, &Profile::default(), &Unbounded).await }
    });
    opened.await.unwrap().0
}

pub async fn send(
    router: &Router,
    by: Author,
    chat: ChatId,
    id: &CommandId,
    text: &str,
) -> Result<(ChatId, Answer), CallError> {
    let text = message(text);
    persist("send", || {
        let (router, id, text) = (router.clone(), id.clone(), text.clone());
        async move { router.send(by, chat, &id, &text, &Unbounded, None).await }
    })
    .await
}

pub async fn call(router: &Router, chat: ChatId, wanted: ChatCall) -> Result<Answer, CallError> {
    persist("a call", || {
        let (router, wanted) = (router.clone(), wanted.clone());
        async move { router.call_chat(chat, wanted).await }
    })
    .await
}

pub async fn transfer(
    router: &Router,
    by: Author,
    chat: ChatId,
    to: Target,
) -> Result<Answer, CallError> {
    call(router, chat, ChatCall::Transfer { by, command: fresh(), to }).await
}

pub async fn look(router: &Router, chat: ChatId) -> ChatView {
    let view = persist("a look", || {
        let router = router.clone();
        async move { router.look(chat).await }
    });
    view.await.unwrap()
}

pub async fn offer_of(router: &Router, chat: ChatId) -> Option<Offer> {
    look(router, chat).await.place.and_then(|place| place.offer().cloned())
}

pub async fn owner_of(router: &Router, chat: ChatId) -> Option<UserId> {
    look(router, chat).await.place.and_then(|place| place.owner())
}

pub async fn log_of(router: &Router, chat: ChatId) -> Vec<Recorded> {
    let all = persist("a history", || {
        let router = router.clone();
        async move { router.history(chat, Audience::Staff, 1, 10_000).await }
    });
    all.await.unwrap().shown.iter().map(|shown| Recorded::clone(shown)).collect()
}

/// An operator at a desk, whose client answers probes.
pub struct Desk {
    pub id: UserId,
    router: Router,
    connection: ConnectionId,
    seen: Arc<Mutex<Vec<Outgoing>>>,
    client: JoinHandle<()>,
}

impl Desk {
    /// Comes in and is ready.
    pub async fn ready(router: &Router, id: UserId) -> Self {
        let desk = Self::sit(router, id);
        desk.status(Status::Ready).await;
        desk.until_free().await;
        desk
    }

    pub fn sit(router: &Router, id: UserId) -> Self {
        let Connection { id: connection, mut outbox } = router.connect(Person::User(id));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (notes, to) = (Arc::clone(&seen), router.clone());
        let client = tokio::spawn(async move {
            while let Ok(outgoing) = outbox.recv().await {
                if let Outgoing::Probe(probe) = outgoing {
                    to.probe_answered(id, connection, probe);
                }
                notes.lock().unwrap().push(outgoing);
            }
        });
        Self { id, router: router.clone(), connection, seen, client }
    }

    pub fn leave(self) {
        self.router.disconnect(Person::User(self.id), self.connection);
    }

    pub async fn call(&self, wanted: OperatorCall) -> Result<OperatorAnswer, CallError> {
        persist("a call of an operator", || {
            let (router, id, wanted) = (self.router.clone(), self.id, wanted.clone());
            async move { router.call_operator(id, wanted).await }
        })
        .await
    }

    pub async fn status(&self, status: Status) {
        self.call(OperatorCall::SetStatus(status)).await.unwrap();
    }

    pub async fn accept(&self, chat: ChatId, offer: &Offer) -> Result<OperatorAnswer, CallError> {
        self.call(OperatorCall::Accept { chat, offer: offer.id, command: fresh() }).await
    }

    pub async fn decline(&self, chat: ChatId, offer: &Offer) -> Result<OperatorAnswer, CallError> {
        self.call(OperatorCall::Decline { chat, offer: offer.id, command: fresh() }).await
    }

    pub async fn take(&self, chat: ChatId) -> Result<OperatorAnswer, CallError> {
        let (command, chat_administrator) = (fresh(), false);
        self.call(OperatorCall::Take { chat, command, chat_administrator }).await
    }

    pub async fn until_free(&self) {
        until("an operator is there", || async {
            let view = self.router.operator(self.id).await.ok()?;
            (view.present && view.record.status == Status::Ready).then_some(())
        })
        .await;
    }

    pub async fn until_empty(&self) {
        until("an operator's slots are free", || async {
            let view = self.router.operator(self.id).await.ok()?;
            (view.load == 0 && view.active.is_empty() && view.offers.is_empty()).then_some(())
        })
        .await;
    }

    /// Waits until the screen shows an offer of the chat, or that it is gone.
    pub async fn until_seen(&self, what: &str, wanted: impl Fn(&Outgoing) -> bool) {
        until(what, || async { self.seen.lock().unwrap().iter().any(&wanted).then_some(()) }).await;
    }

    pub async fn until_presented(&self, chat: ChatId) {
        let presented = |out: &Outgoing| matches!(out, Outgoing::Notice(Notice::OfferPresented { chat: of, .. }) if *of == chat);
        self.until_seen("the offer is presented", presented).await;
    }

    pub async fn until_withdrawn(&self, chat: ChatId, why: Gone) {
        let gone = |out: &Outgoing| matches!(out, Outgoing::Notice(Notice::OfferWithdrawn { chat: of, reason, .. }) if *of == chat && *reason == why);
        self.until_seen("the offer is withdrawn", gone).await;
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.client.abort();
    }
}

/// Somebody accepts the chat, whatever happens meanwhile.
pub async fn accepted(router: &Router, desks: &[Desk], chat: ChatId) -> UserId {
    until("somebody accepts", || async {
        match look(router, chat).await.place? {
            Place::Assigned { owner, .. } => Some(owner),
            Place::Offered(offer) => {
                let desk = desks.iter().find(|desk| offer.to.contains(&desk.id))?;
                desk.accept(chat, &offer).await.ok().map(|_| desk.id)
            }
            Place::Waiting | Place::Ended { .. } => None,
        }
    })
    .await
}

/// A message that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    pub chat: ChatId,
    pub seq: Seq,
    pub from: Party,
    pub id: CommandId,
    pub text: String,
}

/// What holds for a log, whatever crashed: without gaps, one owner at a time, each id once, and
/// its messages are those that were acknowledged.
pub fn check_log(chat: ChatId, log: &[Recorded], acknowledged: &[Acknowledged]) {
    let mut owner = None;
    let mut ids = BTreeSet::new();
    let mut messages = Vec::new();
    for (recorded, seq) in log.iter().zip(1..) {
        assert_eq!(recorded.seq, seq, "{chat:?} has a gap");
        match &recorded.event {
            ChatEvent::Message { from, id, text } => {
                assert!(ids.insert((*from, id.clone())), "{chat:?}: {id} is there twice");
                messages.push(Acknowledged {
                    chat,
                    seq,
                    from: *from,
                    id: id.clone(),
                    text: text.as_str().to_owned(),
                });
            }
            ChatEvent::Assigned { operator, how, .. } => {
                let handed_over = matches!(how, AssignedHow::Transferred { .. });
                assert!(owner.is_none() || handed_over, "{chat:?} has a second owner");
                owner = Some(*operator);
            }
            ChatEvent::Placed { .. } | ChatEvent::Ended { .. } => owner = None,
            ChatEvent::Offered { .. } => assert_eq!(owner, None, "{chat:?} is offered and owned"),
            ChatEvent::Opened { .. } => assert_eq!(seq, 1, "{chat:?} is opened twice"),
            ChatEvent::CustomerUpdated { .. }
            | ChatEvent::OfferWidened { .. }
            | ChatEvent::Declined { .. }
            | ChatEvent::OfferNarrowed { .. }
            | ChatEvent::OfferEnded { .. }
            | ChatEvent::Begun { .. }
            | ChatEvent::TransferAsked { .. }
            | ChatEvent::TransferFailed { .. }
            | ChatEvent::ContinuedIn { .. } => {}
        }
    }
    let mut mine: Vec<_> = acknowledged.iter().filter(|ack| ack.chat == chat).cloned().collect();
    let said: Vec<_> = mine.iter().map(|ack| ack.seq).collect();
    assert!(said.is_sorted(), "{chat:?}: acknowledged out of order");
    mine.dedup();
    assert_eq!(messages, mine, "{chat:?}: what was acknowledged is not what the log has");
}

/// How many chats each operator owned at most, by the logs. An end comes before a beginning of
/// the same millisecond: the slot was free by then.
pub fn most_owned(logs: &[Vec<Recorded>]) -> BTreeMap<UserId, i64> {
    let mut changes = Vec::new();
    for log in logs {
        let mut owner: Option<UserId> = None;
        for recorded in log {
            let next = match &recorded.event {
                ChatEvent::Assigned { operator, .. } => Some(*operator),
                ChatEvent::Placed { .. } | ChatEvent::Ended { .. } => None,
                _ => continue,
            };
            changes.extend(owner.map(|owner| (recorded.at, -1, owner)));
            changes.extend(next.map(|owner| (recorded.at, 1, owner)));
            owner = next;
        }
    }
    changes.sort_unstable();
    let (mut now, mut most) = (BTreeMap::new(), BTreeMap::new());
    for (_, change, operator) in changes {
        let owned: &mut i64 = now.entry(operator).or_default();
        *owned += change;
        let peak: &mut i64 = most.entry(operator).or_default();
        *peak = (*peak).max(*owned);
    }
    most
}

/// Nothing is left over: no row, no line, no slot.
pub async fn until_quiet(router: &Router, desks: &[Desk]) {
    for desk in desks {
        desk.until_empty().await;
    }
    until("no chat is open", || async { (router.open_chats() == (0, 0)).then_some(()) }).await;
    for queue in [PUSH, ALL, MANUAL] {
        until("the line is empty", || async {
            router.line(queue, None, 10).await.ok()?.chats.is_empty().then_some(())
        })
        .await;
    }
}

pub fn refused<T: std::fmt::Debug>(answer: Result<T, CallError>) -> Refusal {
    match answer {
        Err(CallError::Refused(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

/// Some customers write, each one line after the other, with pauses in which a chat may stop. Panics unless each
/// of their logs has what was acknowledged.
pub async fn customers_talk(router: &Router) {
    /// Calls of each customer, and how many there are.
    const CALLS: u64 = 300;
    const CUSTOMERS: u128 = 8;
    let mut talks = JoinSet::new();
    for who in 1..=CUSTOMERS {
        let router = router.clone();
        talks.spawn(async move {
            let chat = open(&router, who).await;
            let mut acknowledged = Vec::new();
            for n in 0..CALLS {
                let (by, id, text) = (as_customer(who), fresh(), format!("line {n}"));
                // Straight to the router: it asks again by itself, never the client.
                let (chat, answer) =
                    router.send(by, chat, &id, &message(&text), &Unbounded, None).await.unwrap();
                let (seq, from) = (answer.seq, party(by));
                acknowledged.push(Acknowledged { chat, seq, from, id, text });
                if n % 3 == 0 {
                    sleep(Duration::from_micros(900 + 20 * (n % 20))).await;
                }
            }
            check_log(chat, &log_of(&router, chat).await, &acknowledged);
        });
    }
    talks.join_all().await;
}

//! Takes the seats of the pairs: at a floor, and at the router, where an operator has first to be offered its
//! customer's chat and to accept it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::domain::{Rule, limits::OFFER_TIMEOUT_MS};
use switchboard::protocol::value::Token;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, timeout};
use uuid::Uuid;

use super::pairs::Pair;
use super::session::{Answer, Heard, Params, Session, SessionError, Told};
use super::tokens::{self, TokenError, own_address};
use super::wire::{Socket, WireError};
use crate::run::provision::{Provisioned, WantedOperator, WantedQueue};

/// Most members of one queue that a server takes.
const MEMBERS_MAX: usize = switchboard::domain::limits::QUEUE_MEMBERS_MAX;

/// How long all may take until each has its chat.
const SEATS_LIMIT: Duration = Duration::from_secs(120);

/// What somebody remembers to have been told: what comes while it waits for its chat.
const TOLD_MAX: usize = 256;

/// Customers that come at a time.
const COMING_AT_A_TIME: usize = 64;

/// Why somebody has no seat.
#[derive(Debug, thiserror::Error)]
pub enum SeatError {
    /// A socket at a floor.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A session, or a call without which there is no seat.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The server says something else than it has to.
    #[error("{method} without its {member}")]
    Answer {
        /// What.
        method: &'static str,
        /// Without which member.
        member: &'static str,
    },
    /// A chat was offered to somebody whose customer is not here.
    #[error("a chat of somebody else was offered")]
    OfAnother,
    /// It took too long.
    #[error("not all had their chats after {} s", SEATS_LIMIT.as_secs())]
    Late,
    /// Somebody's task ended.
    #[error("somebody who was coming has ended: {0}")]
    Ended(String),
    /// There is no queue, or no operator.
    #[error("the server has no queue for this")]
    NoQueue,
}

/// The pairs of a floor, in which operators are shown what customers write or are not there.
pub async fn at_a_floor(
    address: &str,
    pairs: usize,
    are_shown: bool,
) -> Result<Vec<Pair>, SeatError> {
    let mut seats = Vec::new();
    for number in 0..pairs {
        let path = |side: &str| format!("/ws?pair={number}&side={side}");
        let chat = uuid::Uuid::new_v4().to_string();
        let operator = match are_shown {
            true => Some(Socket::connect(address, &path("operator")).await?),
            false => None,
        };
        let customer = Socket::connect(address, &path("customer")).await?;
        seats.push(Pair { chat, writer: customer, reader: operator });
    }
    Ok(seats)
}

/// What the router needs for so many pairs: queues as full as they may be, of operators of one chat each.
pub fn wanted(pairs: usize) -> (Vec<WantedOperator>, Vec<WantedQueue>) {
    let operators =
        (0..pairs).map(|n| WantedOperator { name: format!("pair {n}"), capacity: 1 }).collect();
    let queues = (0..pairs).step_by(MEMBERS_MAX).map(|first| WantedQueue {
        name: format!("pairs {first}"),
        rule: Rule::LeastLoaded,
        members: (first..pairs.min(first + MEMBERS_MAX)).collect(),
        offer_timeout_ms: OFFER_TIMEOUT_MS,
        retention_days: None,
    });
    (operators, queues.collect())
}

/// The pairs of a router that has what is [`wanted`]: each operator owns one customer's chat.
pub async fn at_the_router(address: &str, there: &Provisioned) -> Result<Vec<Pair>, SeatError> {
    timeout(SEATS_LIMIT, seated(address, there)).await.map_err(|_| SeatError::Late)?
}

async fn seated(address: &str, there: &Provisioned) -> Result<Vec<Pair>, SeatError> {
    let (hall, mut seats, over) = Hall::open();
    let mut coming = JoinSet::new();
    let pairs = there.operators.len();
    for (place, token) in tokens::operators(address, &there.operators).await?.iter().enumerate() {
        let mut person = Person::open(place, address, token).await?;
        let ready = json!({ "command_id": "ready", "status": "ready" });
        person.call("operator.set_status", &ready).await?;
        coming.spawn_local(accepts(person, hall.clone()));
    }
    let at_a_time = Arc::new(Semaphore::new(COMING_AT_A_TIME));
    for (number, first) in (0..pairs).step_by(MEMBERS_MAX).enumerate() {
        let door = there.doors.get(number).ok_or(SeatError::NoQueue)?;
        let members = MEMBERS_MAX.min(pairs - first);
        for (place, token) in
            tokens::visitors(std::slice::from_ref(door), members).await?.into_iter().enumerate()
        {
            let (address, channel) = (address.to_owned(), door.channel.to_string());
            let comes = Comes { place: pairs + first + place, address, channel, token };
            coming.spawn_local(opens(comes, Arc::clone(&at_a_time), hall.clone()));
        }
    }
    for _ in 0..2 * pairs {
        tokio::select! {
            Some(()) = seats.recv() => {}
            // Nobody leaves before all are there, but for want of something.
            Some(gone) = coming.join_next() => {
                ended(gone)?;
                return Err(SeatError::Ended("too early".to_owned()));
            }
        }
    }
    over.send_replace(true);
    let mut sides = [BTreeMap::new(), BTreeMap::new()];
    while let Some(person) = coming.join_next().await {
        let (side, chat, socket) = ended(person)?;
        sides[side as usize].insert(chat, socket);
    }
    let [customers, mut operators] = sides;
    let pairs = customers.into_iter().map(|(chat, customer)| {
        let reader = Some(operators.remove(&chat).ok_or(SeatError::OfAnother)?);
        Ok(Pair { chat: chat.to_string(), writer: customer, reader })
    });
    pairs.collect()
}

/// Where everybody waits until the last one has a seat: a server is answered meanwhile, and does not take
/// anybody for gone.
#[derive(Clone)]
struct Hall {
    seats: mpsc::Sender<()>,
    over: watch::Receiver<bool>,
}

impl Hall {
    fn open() -> (Self, mpsc::Receiver<()>, watch::Sender<bool>) {
        let (seats, taken) = mpsc::channel(1);
        let (over, is_over) = watch::channel(false);
        (Self { seats, over: is_over }, taken, over)
    }

    /// Has a seat, and waits for the others.
    async fn wait(mut self, mut person: Person) -> Result<Socket, SeatError> {
        // Whoever counts is gone only when all of this is.
        let _ = self.seats.send(()).await;
        loop {
            tokio::select! {
                _ = self.over.wait_for(|over| *over) => return Ok(person.session.into_socket()),
                turn = person.session.turn() => turn?,
            }
            while person.session.next_heard()?.is_some() {}
        }
    }
}

/// Who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Customer = 0,
    Operator = 1,
}

/// Who has a seat: in which chat.
type Seated = (Side, Uuid, Socket);

fn ended(ended: Result<Result<Seated, SeatError>, JoinError>) -> Result<Seated, SeatError> {
    ended.map_err(|error| SeatError::Ended(error.to_string()))?
}

/// A customer about to come.
struct Comes {
    /// Among all people: by this it has an address of its own.
    place: usize,
    address: String,
    channel: String,
    token: Token,
}

/// A customer with a chat of its own.
async fn opens(comes: Comes, at_a_time: Arc<Semaphore>, hall: Hall) -> Result<Seated, SeatError> {
    // Never closed.
    let permit = at_a_time.acquire().await;
    let Comes { place, address, channel, token } = comes;
    let mut person = Person::open(place, &address, &token).await?;
    let open = json!({ "command_id": "open", "channel": channel });
    let opened = person.call("chat.open", &open).await?;
    drop(permit);
    let chat = opened.chat.ok_or(SeatError::Answer { method: "chat.open", member: "chat" })?;
    Ok((Side::Customer, chat, hall.wait(person).await?))
}

/// An operator who is ready, until it owns a chat.
async fn accepts(mut person: Person, hall: Hall) -> Result<Seated, SeatError> {
    const METHOD: &str = "offer.presented";
    let presented = person.told(METHOD).await?;
    let chat = presented.chat.ok_or(SeatError::Answer { method: METHOD, member: "chat" })?;
    let offer = presented.offer.ok_or(SeatError::Answer { method: METHOD, member: "offer" })?;
    let accept = json!({ "command_id": "accept", "chat": chat, "offer": offer });
    person.call("offer.accept", &accept).await?;
    Ok((Side::Operator, chat, hall.wait(person).await?))
}

/// Somebody who takes a seat.
struct Person {
    session: Session,
    /// What it was told meanwhile, the latest [`TOLD_MAX`].
    told: VecDeque<Told>,
}

impl Person {
    async fn open(place: usize, address: &str, token: &Token) -> Result<Self, SeatError> {
        let session = Session::open(Some(own_address(place)), address, token).await?;
        Ok(Self { session, told: VecDeque::new() })
    }

    /// Calls, and answers what it is answered.
    async fn call(&mut self, method: &'static str, params: &Value) -> Result<Answer, SeatError> {
        let call = self.session.call(method, params);
        loop {
            while let Some(heard) = self.session.next_heard()? {
                match heard {
                    Heard::Answered(id, answer) if id == call => {
                        let answer = answer.map(|answer| *answer);
                        return Ok(answer.map_err(|name| SessionError::Refused { method, name })?);
                    }
                    Heard::Told(told) => self.keep(*told),
                    Heard::Answered(..) | Heard::Pong => {}
                }
            }
            self.session.turn().await?;
        }
    }

    fn keep(&mut self, told: Told) {
        if self.told.len() >= TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(told);
    }

    /// The params of the first such notification. What was told before it stays.
    async fn told(&mut self, method: &str) -> Result<Params, SeatError> {
        loop {
            let found = self.told.iter().position(|told| told.method == method);
            if let Some(told) = found.and_then(|place| self.told.remove(place)) {
                return Ok(told.params);
            }
            self.session.turn().await?;
            while let Some(heard) = self.session.next_heard()? {
                if let Heard::Told(told) = heard {
                    self.keep(*told);
                }
            }
        }
    }
}

//! Takes the seats of the pairs: at a floor, and at the router, where an operator has first to be offered its
//! customers' chats and to accept them.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::domain::{Rule, limits::OFFER_TIMEOUT_MS};
use switchboard::protocol::value::Token;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};
use uuid::Uuid;

use super::pairs::{Pair, share};
use super::session::{Answer, Heard, Params, Session, SessionError, Told};
use super::tokens::{self, TokenError, own_address};
use super::wire::{Socket, WireError};
use crate::run::progress::Progress;
use crate::run::provision::{Provisioned, WantedOperator, WantedQueue};

/// Most members of one queue that a server takes.
const MEMBERS_MAX: usize = switchboard::domain::limits::QUEUE_MEMBERS_MAX;

/// How long all may take until each has its chat, and how many chats a second have their owners at least beyond that.
const SEATS_LIMIT: Duration = Duration::from_secs(120);
const CHATS_PER_SECOND_MIN: u64 = 50;

/// How somebody is told of an offer.
const OFFERED: &str = "offer.presented";

/// After how long is asked again what was answered "later".
const AGAIN: Duration = Duration::from_millis(100);

/// How often it is shown how many chats have their operators.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Customers who are given their tokens before the next ones.
const TOKENS_AT_A_TIME: usize = 512;

/// What somebody remembers to have been told: what comes while it waits for its chat.
const TOLD_MAX: usize = 256;

/// Customers that come at a time.
pub const COMING_AT_A_TIME: usize = 64;

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
    #[error("not all had their chats after {0} s")]
    Late(u64),
    /// Somebody's task ended.
    #[error("somebody who was coming has ended: {0}")]
    Ended(String),
    /// There is no queue, or no operator.
    #[error("the server has no queue for this")]
    NoQueue,
}

/// The pairs of a floor, in which so many chats are shared evenly and readers are shown what writers write, or are not
/// there.
pub async fn at_a_floor(
    address: &str,
    (pairs, chats): (usize, usize),
    are_shown: bool,
) -> Result<Vec<Pair>, SeatError> {
    let mut seats = Vec::new();
    for number in 0..pairs {
        let path = |side: &str| format!("/ws?pair={number}&side={side}");
        let own = share(chats as u64, number, pairs);
        let reader = match are_shown {
            true => Some(Socket::connect(address, &path("operator")).await?),
            false => None,
        };
        let writer = Socket::connect(address, &path("customer")).await?;
        let chats = (0..own).map(|_| Uuid::new_v4().to_string()).collect();
        seats.push(Pair { chats, writer, reader });
    }
    Ok(seats)
}

/// What the router needs for so many operators of so many chats each: queues as full as they may be.
pub fn wanted(operators: usize, of_each: u32) -> (Vec<WantedOperator>, Vec<WantedQueue>) {
    let operator = |n| WantedOperator { name: format!("pair {n}"), capacity: of_each };
    let queues = (0..operators).step_by(MEMBERS_MAX).map(|first| WantedQueue {
        name: format!("pairs {first}"),
        rule: Rule::LeastLoaded,
        members: (first..operators.min(first + MEMBERS_MAX)).collect(),
        offer_timeout_ms: OFFER_TIMEOUT_MS,
        retention_days: None,
    });
    ((0..operators).map(operator).collect(), queues.collect())
}

/// The pairs of a router that has what is [`wanted`]: each operator owns one customer's chat, and is shown what the
/// customer writes.
pub async fn at_the_router(address: &str, there: &Provisioned) -> Result<Vec<Pair>, SeatError> {
    let chats = there.operators.len();
    let Seated { customers, operators, .. } = seated(address, there, chats, true).await?;
    let mut owners = BTreeMap::new();
    for (chats, socket) in operators {
        owners.extend(chats.first().map(|chat| (*chat, socket)));
    }
    let pairs = customers.into_iter().map(|(chat, writer)| {
        let reader = Some(owners.remove(&chat).ok_or(SeatError::OfAnother)?);
        Ok(Pair { chats: [chat.to_string()].into(), writer, reader })
    });
    pairs.collect()
}

/// The same of many chats, whose customers have gone: each operator writes into those that it owns, and is shown that on
/// another socket of its.
pub async fn of_many_chats(
    address: &str,
    there: &Provisioned,
    chats: usize,
) -> Result<Vec<Pair>, SeatError> {
    let Seated { operators, tokens, .. } = seated(address, there, chats, false).await?;
    let mut pairs = Vec::new();
    for ((place, token), (chats, writer)) in tokens.iter().enumerate().zip(operators) {
        let reader = Session::open(Some(own_address(place)), address, token).await?;
        let chats: Rc<[String]> = chats.iter().map(Uuid::to_string).collect();
        if !chats.is_empty() {
            pairs.push(Pair { chats, writer, reader: Some(reader.into_socket()) });
        }
    }
    Ok(pairs)
}

/// Everybody has a seat.
struct Seated {
    customers: BTreeMap<Uuid, Socket>,
    /// With their chats, in the order in which they are provisioned.
    operators: Vec<(Vec<Uuid>, Socket)>,
    tokens: Vec<Token>,
}

/// Who has come.
enum Come {
    Customer(Uuid, Socket),
    /// A customer who has opened a chat and does not stay.
    Gone,
    /// An operator, by its place.
    Operator(usize, Vec<Uuid>, Socket),
}

/// Has customers open so many chats, and stay or go, until operators own all of them.
async fn seated(
    address: &str,
    there: &Provisioned,
    chats: usize,
    stay: bool,
) -> Result<Seated, SeatError> {
    let limit = SEATS_LIMIT + Duration::from_secs(chats as u64 / CHATS_PER_SECOND_MIN);
    let seated = async {
        let hall = Hall::of(if stay { 2 * chats } else { chats });
        let (mut coming, mut shown) = (JoinSet::new(), JoinSet::new());
        if !stay {
            // They may be many; it ends with the set.
            shown.spawn_local(show(Rc::clone(&hall), chats));
        }
        let tokens = tokens::operators(address, &there.operators).await?;
        for (place, token) in tokens.iter().enumerate() {
            let mut person = Person::open(place, address, token).await?;
            let ready = json!({ "command_id": "ready", "status": "ready" });
            person.call("operator.set_status", &ready).await?;
            coming.spawn_local(accepts(place, person, Rc::clone(&hall)));
        }
        customers_come(address, there, (chats, stay), &hall, &mut coming).await?;
        let (mut customers, mut operators) = (BTreeMap::new(), BTreeMap::new());
        while let Some(person) = coming.join_next().await {
            match person.map_err(|error| SeatError::Ended(error.to_string()))?? {
                Come::Customer(chat, socket) => drop(customers.insert(chat, socket)),
                Come::Gone => {}
                Come::Operator(place, chats, socket) => {
                    operators.insert(place, (chats, socket));
                }
            }
        }
        let operators = operators.into_values().collect();
        Ok(Seated { customers, operators, tokens })
    };
    timeout(limit, seated).await.map_err(|_| SeatError::Late(limit.as_secs()))?
}

/// Has all customers come, some at a time, each to a queue in which there are operators for it.
async fn customers_come(
    address: &str,
    there: &Provisioned,
    (chats, stay): (usize, bool),
    hall: &Rc<Hall>,
    coming: &mut JoinSet<Result<Come, SeatError>>,
) -> Result<(), SeatError> {
    let operators = there.operators.len();
    let at_a_time = Arc::new(Semaphore::new(COMING_AT_A_TIME));
    let mut place = operators;
    for (number, first) in (0..operators).step_by(MEMBERS_MAX).enumerate() {
        let door = there.doors.get(number).ok_or(SeatError::NoQueue)?;
        let of_door = (first..operators.min(first + MEMBERS_MAX))
            .map(|operator| share(chats as u64, operator, operators));
        let of_door = usize::try_from(of_door.sum::<u64>()).unwrap_or(chats);
        for from in (0..of_door).step_by(TOKENS_AT_A_TIME) {
            let count = TOKENS_AT_A_TIME.min(of_door - from);
            for token in tokens::visitors(std::slice::from_ref(door), count).await? {
                let (address, channel) = (address.to_owned(), door.channel.to_string());
                let comes = Comes { place, address, channel, token, stay };
                coming.spawn_local(opens(comes, Arc::clone(&at_a_time), Rc::clone(hall)));
                place += 1;
            }
            // Whoever fails is heard of before all others have come.
            while let Some(person) = coming.try_join_next() {
                let come = person.map_err(|error| SeatError::Ended(error.to_string()))??;
                if !matches!(come, Come::Gone) {
                    return Err(SeatError::Ended("too early".to_owned()));
                }
            }
        }
    }
    Ok(())
}

/// Says how far it is, until it is dropped.
async fn show(hall: Rc<Hall>, seats: usize) {
    let (mut progress, began) = (Progress::default(), Instant::now());
    loop {
        let (taken, ms) = (seats - hall.left.get(), began.elapsed().as_millis());
        let ms = u64::try_from(ms).unwrap_or(u64::MAX);
        let left_ms = ms / taken.max(1) as u64 * hall.left.get() as u64;
        let words = format!("{taken} of {seats} chats have their operators");
        progress.show(ms, taken as f64 / seats.max(1) as f64, left_ms, &words);
        sleep(LOOK_EVERY).await;
    }
}

/// Where everybody waits until the last one has a seat: a server is answered meanwhile, and does not take
/// anybody for gone.
struct Hall {
    left: Cell<usize>,
    are_there: watch::Sender<bool>,
}

impl Hall {
    /// With so many seats.
    fn of(seats: usize) -> Rc<Self> {
        Rc::new(Self { left: Cell::new(seats), are_there: watch::Sender::new(seats == 0) })
    }

    /// One more has a seat.
    fn take(&self) {
        self.left.set(self.left.get().saturating_sub(1));
        if self.left.get() == 0 {
            self.are_there.send_replace(true);
        }
    }
}

/// A customer about to come.
struct Comes {
    /// Among all people: by this it has an address of its own.
    place: usize,
    address: String,
    channel: String,
    token: Token,
    stay: bool,
}

/// A customer with a chat of its own.
async fn opens(comes: Comes, at_a_time: Arc<Semaphore>, hall: Rc<Hall>) -> Result<Come, SeatError> {
    // Never closed.
    let permit = at_a_time.acquire().await;
    let Comes { place, address, channel, token, stay } = comes;
    let mut person = Person::open(place, &address, &token).await?;
    let open = json!({ "command_id": "open", "channel": channel });
    let opened = loop {
        match person.call("chat.open", &open).await {
            Err(SeatError::Session(SessionError::Refused { name, .. })) if is_later(&name) => {
                sleep(AGAIN).await;
            }
            opened => break opened?,
        }
    };
    drop(permit);
    let chat = opened.chat.ok_or(SeatError::Answer { method: "chat.open", member: "chat" })?;
    if !stay {
        return Ok(Come::Gone);
    }
    let mut are_there = hall.are_there.subscribe();
    hall.take();
    let mut session = person.session;
    loop {
        tokio::select! {
            _ = are_there.wait_for(|are| *are) => break,
            turn = session.turn() => turn?,
        }
        while session.next_heard()?.is_some() {}
    }
    Ok(Come::Customer(chat, session.into_socket()))
}

/// An operator who is ready, and accepts all that it is offered until all chats have their owners.
async fn accepts(place: usize, mut person: Person, hall: Rc<Hall>) -> Result<Come, SeatError> {
    let mut are_there = hall.are_there.subscribe();
    let (mut chats, mut asked, mut again) = (Vec::new(), BTreeMap::new(), Vec::new());
    loop {
        while let Some(heard) = person.next_heard()? {
            match heard {
                Heard::Told(told) if told.method == OFFERED => {
                    let call = accept(&mut person.session, &told.params)?;
                    asked.insert(call, told.params);
                }
                Heard::Answered(call, outcome) => match (asked.remove(&call), outcome) {
                    (Some(params), Ok(_)) => {
                        chats.extend(params.chat);
                        hall.take();
                    }
                    (Some(params), Err(name)) if is_later(&name) => again.push(params),
                    // It is offered again.
                    (Some(_), Err(name)) if name == "offer_gone" => {}
                    (_, Err(name)) => {
                        let method = "offer.accept";
                        return Err(SessionError::Refused { method, name }.into());
                    }
                    (None, Ok(_)) => {}
                },
                Heard::Told(_) | Heard::Pong => {}
            }
        }
        tokio::select! {
            _ = are_there.wait_for(|are| *are) => break,
            turn = person.session.turn() => turn?,
            () = sleep(AGAIN), if !again.is_empty() => {
                for params in again.drain(..) {
                    asked.insert(accept(&mut person.session, &params)?, params);
                }
            }
        }
    }
    Ok(Come::Operator(place, chats, person.session.into_socket()))
}

/// Whether an answer only says that it is to be asked again.
fn is_later(name: &str) -> bool {
    ["unavailable", "late", "full"].contains(&name)
}

/// Accepts an offer; the call.
fn accept(session: &mut Session, offered: &Params) -> Result<u64, SeatError> {
    let chat = offered.chat.ok_or(SeatError::Answer { method: OFFERED, member: "chat" })?;
    let offer = offered.offer.ok_or(SeatError::Answer { method: OFFERED, member: "offer" })?;
    let params = json!({ "command_id": offer, "chat": chat, "offer": offer });
    Ok(session.call("offer.accept", &params))
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

    /// The next of what it was told meanwhile, or hears now.
    fn next_heard(&mut self) -> Result<Option<Heard>, SeatError> {
        match self.told.pop_front() {
            Some(told) => Ok(Some(Heard::Told(Box::new(told)))),
            None => Ok(self.session.next_heard()?),
        }
    }
}

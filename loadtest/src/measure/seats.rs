//! Takes the seats of the pairs: at a floor, and at the router, where an operator has first to be offered its
//! customer's chat and to accept it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::domain::{Priority, Rule, limits::OFFER_TIMEOUT_MS};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, timeout};

use super::pairs::Pair;
use super::wire::{Frame, Socket, WireError};
use crate::client::RestError;
use crate::run::provision::{Door, Provisioned, WantedOperator, WantedQueue};

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
    /// A socket.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// No token.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The server refuses what has to be.
    #[error("{method}: {why}")]
    Refused {
        /// What.
        method: &'static str,
        /// Why.
        why: String,
    },
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
        seats.push(Pair { chat, customer, operator });
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
    for operator in &there.operators {
        let token = operator.tokens.clone().fresh().await?;
        let mut person = Person::open(address, token.token.expose()).await?;
        let ready = json!({ "command_id": "ready", "status": "ready" });
        person.call("operator.set_status", ready).await?;
        coming.spawn_local(accepts(person, hall.clone()));
    }
    let pairs = there.operators.len();
    let at_a_time = Arc::new(Semaphore::new(COMING_AT_A_TIME));
    for place in 0..pairs {
        let door = there.doors.get(place / MEMBERS_MAX).ok_or(SeatError::NoQueue)?.clone();
        let (address, at_a_time) = (address.to_owned(), Arc::clone(&at_a_time));
        coming.spawn_local(opens(address, door, at_a_time, hall.clone()));
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
        let operator = Some(
            operators.remove(&chat).ok_or_else(|| refused("offer.presented", "of another chat"))?,
        );
        Ok(Pair { chat, customer, operator })
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
                _ = self.over.wait_for(|over| *over) => return Ok(person.socket),
                turn = person.socket.turn() => turn?,
            }
            person.frames()?;
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
type Seated = (Side, String, Socket);

fn ended(ended: Result<Result<Seated, SeatError>, JoinError>) -> Result<Seated, SeatError> {
    ended.map_err(|error| SeatError::Ended(error.to_string()))?
}

fn refused(method: &'static str, why: impl ToString) -> SeatError {
    SeatError::Refused { method, why: why.to_string() }
}

/// A customer with a chat of its own.
async fn opens(
    address: String,
    door: Door,
    at_a_time: Arc<Semaphore>,
    hall: Hall,
) -> Result<Seated, SeatError> {
    // Never closed.
    let permit = at_a_time.acquire().await;
    let token = door.visitor(None, Priority::default()).fresh().await?;
    let mut person = Person::open(&address, token.token.expose()).await?;
    let open = json!({ "command_id": "open", "channel": door.channel.to_string() });
    let chat = text(&person.call("chat.open", open).await?, "chat", "chat.open")?;
    drop(permit);
    Ok((Side::Customer, chat, hall.wait(person).await?))
}

/// An operator who is ready, until it owns a chat.
async fn accepts(mut person: Person, hall: Hall) -> Result<Seated, SeatError> {
    let offer = person.notified("offer.presented").await?;
    let chat = text(&offer, "chat", "offer.presented")?;
    let accept = json!({
        "command_id": "accept",
        "chat": chat,
        "offer": text(&offer, "offer", "offer.presented")?,
    });
    person.call("offer.accept", accept).await?;
    Ok((Side::Operator, chat, hall.wait(person).await?))
}

fn text(value: &Value, member: &str, method: &'static str) -> Result<String, SeatError> {
    let text = value.get(member).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| refused(method, format!("no {member}")))
}

/// Somebody who takes a seat.
struct Person {
    socket: Socket,
    calls: u64,
    /// What it was told meanwhile, the latest [`TOLD_MAX`].
    told: VecDeque<Value>,
}

impl Person {
    async fn open(address: &str, token: &str) -> Result<Self, SeatError> {
        let socket = Socket::connect(address, "/ws").await?;
        let mut person = Self { socket, calls: 0, told: VecDeque::new() };
        person.call("session.open", json!({ "token": token })).await?;
        Ok(person)
    }

    /// Calls, and answers what it is answered.
    async fn call(&mut self, method: &'static str, params: Value) -> Result<Value, SeatError> {
        let id = self.ask(method, &params);
        loop {
            let mut answer = None;
            for frame in self.frames()? {
                match frame.get("id").and_then(Value::as_u64) {
                    Some(of) if of == id => answer = Some(frame),
                    // To a probe's answer nobody listens.
                    Some(_) => {}
                    None => self.keep(frame),
                }
            }
            if let Some(mut answer) = answer {
                return match answer.get("error") {
                    Some(error) => Err(refused(method, error)),
                    None => Ok(answer.get_mut("result").map(Value::take).unwrap_or_default()),
                };
            }
            self.socket.turn().await?;
        }
    }

    /// Puts a call down; its id.
    fn ask(&mut self, method: &str, params: &Value) -> u64 {
        self.calls += 1;
        let id = self.calls;
        let frame = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.socket.outgoing.text(frame.to_string().as_bytes());
        id
    }

    fn keep(&mut self, told: Value) {
        if self.told.len() >= TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(told);
    }

    /// The params of the first such notification. What was told before it stays.
    async fn notified(&mut self, method: &str) -> Result<Value, SeatError> {
        loop {
            let is_it = |frame: &Value| frame.get("method").and_then(Value::as_str) == Some(method);
            let found = self.told.iter().position(is_it);
            if let Some(mut frame) = found.and_then(|place| self.told.remove(place)) {
                return Ok(frame.get_mut("params").map(Value::take).unwrap_or_default());
            }
            self.socket.turn().await?;
            for frame in self.frames()? {
                self.keep(frame);
            }
        }
    }

    /// The frames that have come. Asked whether it is there, it says so at once.
    fn frames(&mut self) -> Result<Vec<Value>, SeatError> {
        let (mut frames, mut probes) = (Vec::new(), Vec::new());
        while let Some(frame) = self.socket.incoming.next_frame()? {
            match frame {
                Frame::Text(text) => {
                    let frame = serde_json::from_slice::<Value>(text);
                    let frame = frame.map_err(|error| refused("a frame", error))?;
                    match frame.pointer("/params/probe") {
                        Some(probe) => probes.push(json!({ "probe": probe })),
                        None => frames.push(frame),
                    }
                }
                Frame::Ping(asked) => self.socket.outgoing.pong(asked),
                Frame::Pong => {}
            }
        }
        for probe in probes {
            self.ask("presence.answer", &probe);
        }
        Ok(frames)
    }
}

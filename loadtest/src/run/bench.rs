//! What a server does at most: messages that it acknowledges a second, and what an idle socket costs.
//!
//! Customers write into chats of their own that wait in a queue which nobody serves, each with a
//! few messages under way, for a fixed time. Beside them are sockets that only have a session; what
//! the server's memory grew by when they came is theirs. Bounded in time, in customers and in
//! messages; nothing is verified here, that is for `replay` and `crash`.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchboard::domain::{ChatId, CommandId, Priority, Rule};
use switchboard::protocol::answer::ChatOpenedFrame;
use switchboard::protocol::params::{ChatOpenFrame, MessageSendFrame};
use switchboard::protocol::value::TextFrame;
use switchboard::protocol::{Call, Wire};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout};

use super::RunError;
use super::provision::{Door, Provisioned, WantedQueue};
use super::server::Server;
use crate::client::clock::Clock;
use crate::client::{Client, Happening, Inbox, Waits, answer};
use crate::stats::Samples;

/// How long a step of the preparation, or the last answers, may take, s.
const STEP_LIMIT_S: u64 = 60;

/// Customers that come at a time: each is a REST call, a connection and a session.
const COMING_AT_A_TIME: usize = 32;

/// Most messages of one customer: a chat takes 100,000 events in all.
const MESSAGES_OF_ONE_MAX: u64 = 90_000;

/// What is written, 120 bytes: about what people write.
const TEXT: &str = "Good morning, my parcel has been on its way for nine days by now; could you please \
                    have a look at where it is at present?";

/// Connections beside those of the customers: the administrator's, and some that are just ending.
const CONNECTIONS_BESIDE: u64 = 64;

/// The server's limits stand out of the way: names and values of its settings. No more connections
/// than are wanted: a server refuses a number for which the system gives it no files.
pub fn settings(wanted: Wanted) -> [(&'static str, u64); 5] {
    let connections = (wanted.clients + wanted.idle) as u64 + CONNECTIONS_BESIDE;
    [
        ("LIMITS_CONNECTIONS", connections),
        ("LIMITS_CONNECTIONS_PER_ADDRESS", connections),
        ("LIMITS_CALLS_PER_SECOND", 100_000),
        ("LIMITS_CALL_BURST", 100_000),
        ("LIMITS_CALLS_IN_FLIGHT", 100_000),
    ]
}

/// How much is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Customers who write.
    pub clients: usize,
    /// Messages that each has under way.
    pub in_flight: usize,
    /// For how long, s.
    pub seconds: u64,
    /// Sockets that only have a session.
    pub idle: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Messages that were acknowledged within the time.
    pub messages: u64,
    /// The time, s.
    pub seconds: f64,
    /// From sending to the acknowledgement, µs.
    pub acknowledge_us: Samples,
    /// Errors by name, and how many.
    pub refused: BTreeMap<String, u64>,
    /// What an idle socket costs the server, bytes; none where the system does not say.
    pub idle_bytes: Option<f64>,
}

/// The queue that nobody serves.
pub fn wanted_queues() -> Vec<WantedQueue> {
    vec![WantedQueue {
        name: "bench".to_owned(),
        rule: Rule::Manual,
        members: Vec::new(),
        offer_timeout_ms: switchboard::domain::limits::OFFER_TIMEOUT_MS,
        retention_days: None,
    }]
}

/// Runs it against a server of our own.
pub async fn bench(
    address: &str,
    server: &Server,
    there: &Provisioned,
    wanted: Wanted,
) -> Result<Outcome, RunError> {
    let door = there.doors.first().ok_or(RunError::Answer("queues"))?;
    let clock = Clock::start();
    let mut writers = Vec::new();
    for person in come(address, door, clock, wanted.clients).await? {
        writers.push(with_a_chat(person, door).await?);
    }
    let before = server.resident_bytes();
    let idle = come(address, door, clock, wanted.idle).await?;
    let grown = before.zip(server.resident_bytes());
    let idle_bytes = grown
        .filter(|_| wanted.idle > 0)
        .map(|(before, after)| after.saturating_sub(before) as f64 / wanted.idle as f64);
    let began = Instant::now();
    let until = began + Duration::from_secs(wanted.seconds);
    let mut talking = JoinSet::new();
    for (person, chat) in writers {
        talking.spawn(write(person, chat, wanted.in_flight, clock, until));
    }
    let mut outcome = Outcome {
        messages: 0,
        seconds: wanted.seconds as f64,
        acknowledge_us: Samples::default(),
        refused: BTreeMap::new(),
        idle_bytes,
    };
    while let Some(done) = talking.join_next().await {
        let wrote = done.map_err(|error| failed(error.to_string()))??;
        for us in wrote.acknowledge_us {
            outcome.messages += 1;
            outcome.acknowledge_us.add(us);
        }
        for (name, n) in wrote.refused {
            *outcome.refused.entry(name).or_default() += n;
        }
    }
    drop(idle);
    Ok(outcome)
}

struct Person {
    client: Client,
    inbox: Inbox,
}

/// So many new customers, each with a session.
async fn come(
    address: &str,
    door: &Door,
    clock: Clock,
    count: usize,
) -> Result<Vec<Person>, RunError> {
    let mut people = Vec::new();
    while people.len() < count {
        let places = people.len()..count.min(people.len() + COMING_AT_A_TIME);
        let mut coming: Vec<Person> = places
            .map(|place| {
                let source = door.visitor(None, Priority::default());
                let (waits, out) = (Waits::PROTOCOL, Arc::default());
                let (client, inbox) =
                    Client::start(address, source, waits, clock, place as u64, out);
                Person { client, inbox }
            })
            .collect();
        for person in &mut coming {
            loop {
                match next(&mut person.inbox, "a session").await? {
                    Happening::Opened(_) => break,
                    Happening::Over(why) => return Err(failed(why)),
                    _ => {}
                }
            }
        }
        people.append(&mut coming);
    }
    Ok(people)
}

async fn with_a_chat(mut person: Person, door: &Door) -> Result<(Person, ChatId), RunError> {
    let command_id = CommandId::new("bench").map_err(|error| failed(error.to_string()))?;
    let open = ChatOpenFrame { command_id: Wire(command_id), channel: Wire(door.channel) };
    person.client.call(Call::ChatOpen(open));
    loop {
        match next(&mut person.inbox, "a chat").await? {
            Happening::Answered { outcome, .. } => {
                let raw = outcome.map_err(|error| failed(error.message))?;
                let opened: ChatOpenedFrame = answer(&raw).ok_or(RunError::Answer("chat.open"))?;
                return Ok((person, opened.chat.0));
            }
            Happening::Over(why) => return Err(failed(why)),
            _ => {}
        }
    }
}

/// What one customer got.
#[derive(Default)]
struct Wrote {
    acknowledge_us: Vec<u64>,
    refused: BTreeMap<String, u64>,
}

/// Writes until then, and waits for the last answers, which do not count.
async fn write(
    mut person: Person,
    chat: ChatId,
    in_flight: usize,
    clock: Clock,
    until: Instant,
) -> Result<Wrote, RunError> {
    let (mut wrote, mut sent, mut out) = (Wrote::default(), 0, BTreeMap::new());
    loop {
        let goes_on = Instant::now() < until && sent < MESSAGES_OF_ONE_MAX;
        while goes_on && out.len() < in_flight && sent < MESSAGES_OF_ONE_MAX {
            sent += 1;
            let id = CommandId::new(&sent.to_string()).map_err(|no| failed(no.to_string()))?;
            let ticket = person.client.call(Call::MessageSend(MessageSendFrame {
                chat: Wire(chat),
                client_message_id: Wire(id),
                text: TextFrame::from(TEXT),
            }));
            out.insert(ticket, clock.us());
        }
        if out.is_empty() {
            return Ok(wrote);
        }
        match next(&mut person.inbox, "an answer").await? {
            Happening::Answered { ticket, outcome, .. } => {
                let Some(sent_us) = out.remove(&ticket) else { continue };
                match outcome {
                    Ok(_) if Instant::now() < until => {
                        wrote.acknowledge_us.push(clock.us().saturating_sub(sent_us));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        let name = error.data.name.name().to_owned();
                        *wrote.refused.entry(name).or_default() += 1;
                    }
                }
            }
            Happening::Over(why) => return Err(failed(why)),
            _ => {}
        }
    }
}

async fn next(inbox: &mut Inbox, what: &str) -> Result<Happening, RunError> {
    match timeout(Duration::from_secs(STEP_LIMIT_S), inbox.recv()).await {
        Ok(Some((_, happening))) => Ok(happening),
        Ok(None) => Err(failed("the client has ended".to_owned())),
        Err(_) => Err(RunError::Limit { what: what.to_owned(), limit_s: STEP_LIMIT_S }),
    }
}

fn failed(why: String) -> RunError {
    RunError::Person { who: "a customer of the bench".to_owned(), why }
}

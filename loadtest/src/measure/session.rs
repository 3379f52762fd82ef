//! A socket with a session: calls that are numbered, and what came, read as far as a measurement needs it.
//!
//! Answers by itself what only asks for a sign of life. Refuses to connect again by itself: whoever is closed is
//! told so, and may come back by its [`Way`].

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use serde::Deserialize;
use serde_json::{Value, json};
use switchboard::protocol::value::Token;
use tokio::time::{Duration, timeout};
use uuid::Uuid;

use super::wire::{Frame, Socket, WireError};

/// How long `session.open` may take: longer than the server itself waits for anybody.
const OPEN_LIMIT: Duration = Duration::from_secs(20);

/// What may come before the answer to `session.open`, notifications: offers and events of who comes back.
const EARLY_MAX: usize = 4_096;

/// Why there is no session, or no more.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The socket.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server refuses a call without which nothing goes on.
    #[error("{method}: {name}")]
    Refused {
        /// Which.
        method: &'static str,
        /// The name of the error.
        name: String,
    },
    /// It took too long.
    #[error("session.open: no answer after {} s", OPEN_LIMIT.as_secs())]
    Late,
    /// What came is no frame of the protocol.
    #[error("a frame that cannot be read: {0}")]
    Unreadable(String),
}

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// The answer to a call, or the name of its error.
    Answered(u64, Result<Box<Answer>, String>),
    /// A notification.
    Told(Box<Told>),
    /// A sign of life that was asked for.
    Pong,
}

/// A notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Which.
    pub method: String,
    /// Of what.
    pub params: Params,
}

/// What of a notification matters.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Params {
    /// The chat.
    pub chat: Option<Uuid>,
    /// The offer.
    pub offer: Option<Uuid>,
    /// The queue that offers.
    pub queue: Option<Uuid>,
    /// What happened in a chat.
    pub kind: Option<String>,
    /// Which sign of life is asked for.
    probe: Option<u64>,
}

/// What of an answer matters.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Answer {
    /// The chat.
    pub chat: Option<Uuid>,
    /// Chats of a list.
    #[serde(default)]
    pub chats: Vec<Listed>,
    /// Where the list goes on.
    pub next: Option<String>,
    /// Offers that stand when a session is opened.
    #[serde(default)]
    pub offers: Vec<Standing>,
    /// Chats of whose state the server says nothing when a session is opened.
    #[serde(default)]
    pub unreachable: Vec<Uuid>,
}

/// An offer that stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Standing {
    /// Which.
    pub offer: Uuid,
    /// Of what.
    pub chat: Uuid,
    /// By which queue.
    pub queue: Uuid,
}

/// A chat of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Listed {
    /// Which.
    pub id: Uuid,
}

#[derive(Deserialize)]
struct Raw<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default)]
    params: Params,
    result: Option<Answer>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    data: RefusalName,
}

#[derive(Deserialize)]
struct RefusalName {
    name: String,
}

/// How somebody comes to a server, and comes back.
#[derive(Debug, Clone)]
pub struct Way {
    /// From which address of this machine; none: from whichever the system takes.
    pub own: Option<Ipv4Addr>,
    /// The server's `host:port`.
    pub address: String,
    /// Who it is.
    pub token: Token,
}

impl Way {
    /// Opens a session. Also what the server says that its person has.
    pub async fn come(&self) -> Result<(Session, Box<Answer>), SessionError> {
        let mut session = Session::without(self.own, &self.address, "/ws").await?;
        let id = session.call("session.open", &json!({ "token": self.token.expose() }));
        let opened = timeout(OPEN_LIMIT, session.opened(id)).await;
        let found = opened.map_err(|_| SessionError::Late)??;
        Ok((session, found))
    }
}

/// One session.
#[derive(Debug)]
pub struct Session {
    socket: Socket,
    calls: u64,
    /// Calls that answer the server's probes: nobody waits for what is said to them.
    probes: BTreeSet<u64>,
    /// Whether one of them was answered.
    is_proven: bool,
    /// What came before the answer to `session.open` and is still to be heard.
    early: VecDeque<Heard>,
}

impl Session {
    /// Connects, from an address of this machine if one is given, and opens a session.
    pub async fn open(
        own: Option<Ipv4Addr>,
        address: &str,
        token: &Token,
    ) -> Result<Self, SessionError> {
        let way = Way { own, address: address.to_owned(), token: token.clone() };
        Ok(way.come().await?.0)
    }

    /// Connects where there are no sessions: at a floor.
    pub async fn without(
        own: Option<Ipv4Addr>,
        address: &str,
        path: &str,
    ) -> Result<Self, SessionError> {
        let socket = Socket::connect_from(own, address, path).await?;
        let (probes, early) = (BTreeSet::new(), VecDeque::new());
        Ok(Self { socket, calls: 0, probes, is_proven: false, early })
    }

    async fn opened(&mut self, call: u64) -> Result<Box<Answer>, SessionError> {
        let mut early = VecDeque::new();
        loop {
            while let Some(heard) = self.next_heard()? {
                match heard {
                    Heard::Answered(id, Ok(found)) if id == call => {
                        self.early = early;
                        return Ok(found);
                    }
                    Heard::Answered(_, Err(name)) => {
                        return Err(SessionError::Refused { method: "session.open", name });
                    }
                    Heard::Answered(..) | Heard::Told(_) | Heard::Pong => early.push_back(heard),
                }
            }
            if early.len() > EARLY_MAX {
                return Err(SessionError::Unreadable("too much before the answer".to_owned()));
            }
            self.turn().await?;
        }
    }

    /// Whether the server has been proven that somebody is there.
    pub fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Breaks off without a word, as a network does.
    pub async fn break_off(&mut self) -> Result<(), SessionError> {
        Ok(self.socket.break_off().await?)
    }

    /// Puts down a call; it goes out with the next [`turn`](Self::turn). Its number.
    pub fn call(&mut self, method: &str, params: &Value) -> u64 {
        self.calls += 1;
        let (id, method) = (self.calls, Value::from(method));
        let frame = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#);
        self.socket.outgoing.text(frame.as_bytes());
        id
    }

    /// The socket alone, for who goes on without numbers of calls.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    /// Puts down a question for a sign of life.
    pub fn ping(&mut self) {
        self.socket.outgoing.ping();
    }

    /// Writes what is put down, and waits until something has come. May be given up and called again.
    pub async fn turn(&mut self) -> Result<(), SessionError> {
        Ok(self.socket.turn().await?)
    }

    /// The next of what has come; none when nothing is there.
    pub fn next_heard(&mut self) -> Result<Option<Heard>, SessionError> {
        if let Some(heard) = self.early.pop_front() {
            return Ok(Some(heard));
        }
        loop {
            let Socket { incoming, outgoing, .. } = &mut self.socket;
            let text = match incoming.next_frame()? {
                None => return Ok(None),
                Some(Frame::Pong) => return Ok(Some(Heard::Pong)),
                Some(Frame::Ping(asked)) => {
                    outgoing.pong(asked);
                    continue;
                }
                Some(Frame::Text(text)) => text,
            };
            match read(text)? {
                Heard::Answered(id, Ok(_)) if self.probes.remove(&id) => self.is_proven = true,
                Heard::Told(told) if told.method == "presence.probe" => self.prove(&told),
                heard => return Ok(Some(heard)),
            }
        }
    }

    /// Answers a probe.
    fn prove(&mut self, told: &Told) {
        let id = self.call("presence.answer", &json!({ "probe": told.params.probe }));
        self.probes.insert(id);
    }
}

fn read(text: &[u8]) -> Result<Heard, SessionError> {
    let raw: Raw<'_> = serde_json::from_slice(text)
        .map_err(|error| SessionError::Unreadable(error.to_string()))?;
    match raw {
        Raw { id: Some(id), error: Some(error), .. } => {
            Ok(Heard::Answered(id, Err(error.data.name)))
        }
        Raw { id: Some(id), result: Some(answer), .. } => {
            Ok(Heard::Answered(id, Ok(Box::new(answer))))
        }
        Raw { id: None, method: Some(method), params, .. } => {
            Ok(Heard::Told(Box::new(Told { method: method.into_owned(), params })))
        }
        Raw { .. } => Err(SessionError::Unreadable("neither an answer nor told".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_router_says_is_read_as_far_as_it_matters() {
        let golden = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/protocol");
            read(&std::fs::read(format!("{folder}/{name}.json")).unwrap()).unwrap()
        };
        let Heard::Told(offer) = golden("notify.offer.presented") else { panic!() };
        assert_eq!(offer.method, "offer.presented");
        assert!(offer.params.chat.is_some() && offer.params.offer.is_some());
        assert!(offer.params.queue.is_some());
        let Heard::Told(ended) = golden("notify.chat.event.ended.customer") else { panic!() };
        assert_eq!(ended.params.kind.as_deref(), Some("ended"));
        let Heard::Told(probe) = golden("notify.presence.probe") else { panic!() };
        assert_eq!(probe.params.probe, Some(7));
        let Heard::Answered(1, Ok(list)) = golden("answer.chat.list") else { panic!() };
        assert_eq!((list.chats.len(), list.next.is_some()), (1, true));
        let Heard::Answered(1, Ok(found)) = golden("answer.session.open.operator") else {
            panic!()
        };
        assert_eq!((found.offers.len(), found.chats.len(), found.unreachable.len()), (1, 1, 1));
        let Heard::Answered(1, Err(name)) = golden("error.full") else { panic!() };
        assert_eq!(name, "full");
        assert!(read(b"{}").is_err() && read(b"[").is_err());
    }
}

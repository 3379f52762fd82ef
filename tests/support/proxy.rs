//! A wire between the store and its database that a test can trouble: what was sent waits, comes
//! late, is refused, or is done and not told, as by a network, a host or a database that stalls.
//!
//! It knows the frames of CQL's version 4, without compression and TLS: a head of nine bytes (version,
//! flags, stream, opcode, length of the body), then the body. Only statements that were prepared
//! are troubled, and it knows their texts; so a session can always be made.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

const HEAD: usize = 9;
const REQUEST: u8 = 0x04;
const ANSWER: u8 = 0x84;

const ERROR: u8 = 0x00;
const STARTUP: u8 = 0x01;
const RESULT: u8 = 0x08;
const PREPARE: u8 = 0x09;
const EXECUTE: u8 = 0x0A;
const BATCH: u8 = 0x0D;

/// The kind of a RESULT that answers PREPARE.
const PREPARED: [u8; 4] = [0, 0, 0, 4];

/// LOCAL_QUORUM, as errors tell it.
const LOCAL_QUORUM: [u8; 2] = [0, 6];

/// What the database says instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Overloaded,
    /// Too few replicas live.
    Unavailable,
    /// Too few replicas answered the write; it may be durable.
    WriteTimeout,
    /// The login lacks a right.
    Unauthorized,
}

impl Says {
    /// The body of an ERROR.
    fn body(self) -> Vec<u8> {
        let (code, message): (i32, &str) = match self {
            Self::Overloaded => (0x1001, "a test says: overloaded"),
            Self::Unavailable => (0x1000, "a test says: too few replicas"),
            Self::WriteTimeout => (0x1100, "a test says: too few answers"),
            Self::Unauthorized => (0x2100, "a test says: no right to that"),
        };
        let mut body = code.to_be_bytes().to_vec();
        put_text(&mut body, message);
        let few = |body: &mut Vec<u8>, numbers: [i32; 2]| {
            body.extend(LOCAL_QUORUM);
            numbers.iter().for_each(|number| body.extend(number.to_be_bytes()));
        };
        match self {
            Self::Overloaded | Self::Unauthorized => {}
            Self::Unavailable => few(&mut body, [2, 1]),
            Self::WriteTimeout => {
                few(&mut body, [0, 1]);
                put_text(&mut body, "SIMPLE");
            }
        }
        body
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is refused, and the database never hears of it.
    Refused(Says),
    /// The database does it, and this is the answer.
    DoneAndTold(Says),
    /// Its connection is closed, and the database never hears of it.
    Closed,
}

/// Which requests are meant, by their texts; a batch has that of its first statement.
pub type Of = fn(&str) -> bool;

struct Plan {
    of: Of,
    trouble: Trouble,
    /// How many requests have none until the next one has.
    left: usize,
    /// How many they were last, and by how many more they become each time.
    gap: usize,
    growth: usize,
}

#[derive(Default)]
struct Wire {
    /// The texts of prepared statements by their ids.
    texts: Mutex<HashMap<Vec<u8>, String>>,
    /// How often each was executed.
    executed: Mutex<HashMap<String, usize>>,
    /// The first request of each.
    first: Mutex<HashMap<String, Vec<u8>>>,
    plan: Mutex<Option<Plan>>,
    struck: Mutex<usize>,
    late: Mutex<Duration>,
}

impl Wire {
    /// What is to become of a request, which is noted.
    fn judge(&self, frame: &[u8]) -> Option<Trouble> {
        let id = match frame[4] {
            EXECUTE => short_bytes(&frame[HEAD..]),
            // The kind of the batch, the number of statements, the kind of the first one.
            BATCH => short_bytes(&frame[HEAD + 4..]),
            _ => return None,
        };
        let text = self.texts.lock().unwrap().get(id)?.clone();
        *self.executed.lock().unwrap().entry(text.clone()).or_default() += 1;
        self.first.lock().unwrap().entry(text.clone()).or_insert_with(|| frame.to_vec());
        let mut plan = self.plan.lock().unwrap();
        let plan = plan.as_mut().filter(|plan| (plan.of)(&text))?;
        if let Some(left) = plan.left.checked_sub(1) {
            plan.left = left;
            return None;
        }
        plan.gap += plan.growth;
        plan.left = plan.gap;
        *self.struck.lock().unwrap() += 1;
        Some(plan.trouble)
    }
}

/// What a connection remembers of requests until they are answered, by their streams.
#[derive(Default)]
struct Pending {
    prepared: HashMap<[u8; 2], String>,
    told: HashMap<[u8; 2], Says>,
}

/// See the module. It ends with the runtime.
pub struct Proxy {
    pub address: SocketAddr,
    target: String,
    wire: Arc<Wire>,
    requests_held: watch::Sender<bool>,
    answers_held: watch::Sender<bool>,
}

impl Proxy {
    /// Before the database at `target`, on this machine. It has the same address and another port,
    /// since a driver asks a node by the address that the node tells, at the port that it was told.
    pub async fn before(target: String) -> Self {
        let (host, _) = target.rsplit_once(':').unwrap();
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Wire::default());
        let (requests_held, requests) = watch::channel(false);
        let (answers_held, answers) = watch::channel(false);
        let (behind, at) = (target.clone(), Arc::clone(&wire));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&behind).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let pending = Arc::new(Mutex::new(Pending::default()));
                let (answer, answered) = mpsc::unbounded_channel();
                let asking = Asking {
                    wire: Arc::clone(&at),
                    pending: Arc::clone(&pending),
                    held: requests.clone(),
                    answer: answer.clone(),
                };
                tokio::spawn(asking.pass(from_client, to_server));
                tokio::spawn(hear(from_server, Arc::clone(&at), pending, answer));
                tokio::spawn(tell(answered, to_client, answers.clone()));
            }
        });
        Self { address, target, wire, requests_held, answers_held }
    }

    /// Whether what the store sends waits.
    pub fn hold_requests(&self, hold: bool) {
        self.requests_held.send_replace(hold);
    }

    /// Whether what the database answers waits.
    pub fn hold_answers(&self, hold: bool) {
        self.answers_held.send_replace(hold);
    }

    /// From now on every answer comes so much later.
    pub fn delay_answers(&self, by: Duration) {
        *self.wire.late.lock().unwrap() = by;
    }

    /// From now on this becomes of requests.
    pub fn trouble(&self, of: Of, trouble: Trouble) {
        self.trouble_rarer(0, of, trouble);
    }

    /// This becomes of one request, and of further ones behind gaps that grow each time by so many:
    /// so whatever is repeated succeeds in the end, however many requests it has.
    pub fn trouble_rarer(&self, growth: usize, of: Of, trouble: Trouble) {
        let plan = Plan { of, trouble, left: 0, gap: 0, growth };
        *self.wire.plan.lock().unwrap() = Some(plan);
    }

    /// No trouble any more.
    pub fn heal(&self) {
        *self.wire.plan.lock().unwrap() = None;
    }

    /// How many requests were troubled.
    pub fn struck(&self) -> usize {
        *self.wire.struck.lock().unwrap()
    }

    /// How often statements were executed.
    pub fn executed(&self, of: Of) -> usize {
        let executed = self.wire.executed.lock().unwrap();
        executed.iter().filter(|(text, _)| of(text)).map(|(_, times)| times).sum()
    }

    /// The first request of such a statement arrives once more, and its answer is lost.
    pub async fn arrives_again(&self, of: Of) {
        let again = {
            let first = self.wire.first.lock().unwrap();
            first.iter().find(|(text, _)| of(text)).unwrap().1.clone()
        };
        let mut server = TcpStream::connect(&self.target).await.unwrap();
        let mut body = vec![0, 1];
        put_text(&mut body, "CQL_VERSION");
        put_text(&mut body, "3.0.0");
        server.write_all(&frame(REQUEST, [0, 0], STARTUP, &body)).await.unwrap();
        read_frame(&mut server).await.unwrap();
        server.write_all(&again).await.unwrap();
        let answer = read_frame(&mut server).await.unwrap();
        assert_eq!(answer[4], RESULT, "{}", String::from_utf8_lossy(&answer));
    }
}

/// One side of a connection: from the store to the database.
struct Asking {
    wire: Arc<Wire>,
    pending: Arc<Mutex<Pending>>,
    held: watch::Receiver<bool>,
    answer: mpsc::UnboundedSender<Late>,
}

impl Asking {
    async fn pass(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        while let Some(asked) = read_frame(&mut from).await {
            if self.held.wait_for(|held| !held).await.is_err() {
                return;
            }
            let stream = [asked[2], asked[3]];
            if asked[4] == PREPARE {
                let text = String::from_utf8_lossy(&asked[HEAD + 4..]).into_owned();
                self.pending.lock().unwrap().prepared.insert(stream, text);
            }
            match self.wire.judge(&asked) {
                Some(Trouble::Closed) => {
                    let _ = self.answer.send(Late { at: Instant::now(), frame: None });
                    return;
                }
                Some(Trouble::Refused(says)) => {
                    let at = Instant::now() + *self.wire.late.lock().unwrap();
                    let frame = Some(frame(ANSWER, stream, ERROR, &says.body()));
                    let _ = self.answer.send(Late { at, frame });
                    continue;
                }
                Some(Trouble::DoneAndTold(says)) => {
                    self.pending.lock().unwrap().told.insert(stream, says);
                }
                None => {}
            }
            if to.write_all(&asked).await.is_err() {
                return;
            }
        }
    }
}

/// What the store is told, and not before when; none: the connection ends.
struct Late {
    at: Instant,
    frame: Option<Vec<u8>>,
}

/// Reads what the database answers.
async fn hear(
    mut from: OwnedReadHalf,
    wire: Arc<Wire>,
    pending: Arc<Mutex<Pending>>,
    answer: mpsc::UnboundedSender<Late>,
) {
    while let Some(mut answered) = read_frame(&mut from).await {
        let stream = [answered[2], answered[3]];
        let (prepared, told) = {
            let mut pending = pending.lock().unwrap();
            (pending.prepared.remove(&stream), pending.told.remove(&stream))
        };
        if let Some(text) = prepared
            && answered[4] == RESULT
            && answered[HEAD..].starts_with(&PREPARED)
        {
            let id = short_bytes(&answered[HEAD + PREPARED.len()..]).to_vec();
            wire.texts.lock().unwrap().insert(id, text);
        }
        if let Some(says) = told {
            answered = frame(ANSWER, stream, ERROR, &says.body());
        }
        let at = Instant::now() + *wire.late.lock().unwrap();
        if answer.send(Late { at, frame: Some(answered) }).is_err() {
            return;
        }
    }
    let _ = answer.send(Late { at: Instant::now(), frame: None });
}

/// Tells the store what it is to hear, in order.
async fn tell(
    mut answered: mpsc::UnboundedReceiver<Late>,
    mut to: OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) {
    while let Some(Late { at, frame: Some(frame) }) = answered.recv().await {
        sleep_until(at).await;
        if held.wait_for(|held| !held).await.is_err() || to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// A frame, whole. None: the connection has ended.
async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> Option<Vec<u8>> {
    let mut frame = vec![0; HEAD];
    from.read_exact(&mut frame).await.ok()?;
    let length = u32::from_be_bytes([frame[5], frame[6], frame[7], frame[8]]);
    frame.resize(HEAD + length as usize, 0);
    from.read_exact(&mut frame[HEAD..]).await.ok()?;
    Some(frame)
}

fn frame(version: u8, stream: [u8; 2], opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![version, 0, stream[0], stream[1], opcode];
    frame.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    frame.extend(body);
    frame
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    body.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    body.extend(text.as_bytes());
}

/// Bytes behind their length, at the beginning of these.
fn short_bytes(bytes: &[u8]) -> &[u8] {
    let length = u16::from_be_bytes([bytes[0], bytes[1]]) as usize;
    &bytes[2..2 + length]
}

//! One socket after the other: a session, some hundred frames, now and then a look whether every
//! call has its answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use switchboard::domain::ChatId;
use switchboard::protocol::call::Method;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::super::RunError;
use super::pool::Who;
use super::wild::{self, one_in, one_of};
use super::{ANSWER_LIMIT_S, Common};
use crate::draw::{Draw, Purpose};

/// Frames between two looks whether all is answered: what a socket may have under way.
const BETWEEN: u64 = 16;

/// Most frames of one socket.
const FRAMES_MAX: usize = 400;

/// Attempts in a row to connect, after which the server counts as gone.
const ATTEMPTS_MAX: u32 = 20;

/// Chats that a socket keeps to: some conversations rather than many beginnings.
const MINE_MAX: usize = 8;

/// What customers do.
const OF_CUSTOMERS: &[Method] = &[
    Method::ChatOpen,
    Method::MessageSend,
    Method::MessageSend,
    Method::MessageSend,
    Method::MessageRead,
    Method::ChatHistory,
    Method::ChatEnd,
];

/// What users do.
const OF_USERS: &[Method] = &[
    Method::OperatorSetStatus,
    Method::OfferShown,
    Method::OfferAccept,
    Method::OfferAccept,
    Method::OfferDecline,
    Method::ChatTake,
    Method::MessageSend,
    Method::MessageSend,
    Method::MessageReceived,
    Method::ChatTransfer,
    Method::ChatSetState,
    Method::ChatHistory,
    Method::ChatList,
    Method::ChatEnd,
    Method::PresenceAnswer,
];

/// The id of the call that follows upon others.
const LOOK: &str = "look";

type Socket = WebSocketStream<TcpStream>;

/// Sends frames until none is left.
pub async fn run(common: Arc<Common>, n: u64) -> Result<(), RunError> {
    let mut draw = Draw::new(common.amount.seed, Purpose::Fuzz, n);
    let mut failed = 0;
    while common.frames.load(std::sync::atomic::Ordering::Relaxed) > 0 {
        let who = Who::drawn(&mut draw);
        if one_in(&mut draw, 3) {
            somebody_new(&common, &mut draw, who).await;
        }
        let socket = timeout(Duration::from_secs(ANSWER_LIMIT_S), connected(&common)).await;
        let Ok(Some(socket)) = socket else {
            failed += 1;
            if failed == ATTEMPTS_MAX {
                common.fault(format!("no socket in {ATTEMPTS_MAX} attempts"));
                return Ok(());
            }
            continue;
        };
        failed = 0;
        let mut talk = Talk {
            common: Arc::clone(&common),
            socket,
            who,
            n,
            calls: 0,
            open: BTreeMap::new(),
            recent: Vec::new(),
            mine: Vec::new(),
        };
        let code = talk.through(&mut draw).await;
        let closes = |seen: &mut super::Outcome| *seen.closes.entry(code).or_default() += 1;
        common.seen(closes);
    }
    Ok(())
}

async fn connected(common: &Common) -> Option<Socket> {
    let stream = TcpStream::connect(&common.address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let made = client_async(format!("ws://{}/ws", common.address), stream).await;
    made.ok().map(|(socket, _)| socket)
}

/// Somebody new, unless enough are there: tokens of others may have been revoked by the run.
pub async fn somebody_new(common: &Common, draw: &mut Draw, who: Who) {
    let Some(making) = common.pool(|pool| pool.wanted(who)) else { return };
    let channel = common.pool(|pool| pool.some(draw, "channel"));
    match making.make(&channel).await {
        Ok((id, token)) => common.pool(|pool| pool.made(who, id, token)),
        Err(crate::client::RestError::Refused { status: 401, .. }) => {
            let (rest, login, password) = common.pool(|pool| pool.keeper());
            if let Ok(tokens) = rest.log_in(&login, &password).await {
                common.pool(|pool| pool.kept(tokens.access_token.0));
            }
        }
        // The channel may be gone, the server busy.
        Err(_) => {}
    }
}

/// A call without an answer: what it was, and the text that it would make durable.
struct Open {
    method: &'static str,
    text: Option<String>,
}

struct Talk {
    common: Arc<Common>,
    socket: Socket,
    who: Who,
    n: u64,
    calls: u64,
    open: BTreeMap<u64, Open>,
    recent: Vec<String>,
    /// The chats that this socket was told of, each with its last offer; at most [`MINE_MAX`].
    mine: Vec<(String, Option<String>)>,
}

/// The socket has ended, with this code.
struct Ended(u16);

impl Talk {
    /// Talks until the socket ends or has had its frames. The close code.
    async fn through(&mut self, draw: &mut Draw) -> u16 {
        match self.frames(draw).await {
            Ok(()) => {
                let close = self.socket.close(None);
                let _ = timeout(Duration::from_secs(ANSWER_LIMIT_S), close).await;
                1000
            }
            Err(Ended(code)) => {
                if code == 1011 {
                    self.fault("the server closed with 1011");
                }
                code
            }
        }
    }

    fn fault(&self, what: &str) {
        let last = self.recent.join("\n    ");
        self.common.fault(format!(
            "socket {} of {:?}: {what}; last frames:\n    {last}",
            self.n, self.who
        ));
    }

    async fn frames(&mut self, draw: &mut Draw) -> Result<(), Ended> {
        if !one_in(draw, 12) {
            let token = self.common.pool(|pool| pool.token(draw, self.who));
            let cursor = self.common.pool(|pool| pool.some(draw, "cursor"));
            let chat = self.common.pool(|pool| pool.some(draw, "chat"));
            let mut params = json!({"token": token});
            if one_in(draw, 2) {
                params["resume"] = json!([{"chat": chat, "cursor": cursor}]);
            }
            self.call("session.open", params, None).await?;
            self.look().await?;
        }
        for n in 1..=draw.below(FRAMES_MAX) as u64 {
            if !Common::take(&self.common.frames) {
                break;
            }
            self.frame(draw).await?;
            if n % BETWEEN == 0 {
                self.look().await?;
            }
        }
        self.look().await
    }

    /// One frame: a valid call, one that is nearly valid, or noise.
    async fn frame(&mut self, draw: &mut Draw) -> Result<(), Ended> {
        let of = match self.who {
            _ if one_in(draw, 5) => Method::ALL,
            Who::Customer => OF_CUSTOMERS,
            Who::Nobody | Who::User(_) => OF_USERS,
        };
        let method = of.get(draw.below(of.len())).copied().unwrap_or(Method::ChatList);
        let mut params = self.params(draw, method);
        let text = params["text"].as_str().map(str::to_owned);
        match draw.below(40) {
            0..28 => self.call(method.name(), params, text).await,
            28..37 => {
                for _ in 0..=draw.below(2) {
                    wild::change(draw, &mut params);
                }
                let text = params["text"].as_str().map(str::to_owned);
                self.call(method.name(), params, text).await
            }
            37..39 => {
                let mut call =
                    json!({"jsonrpc": "2.0", "id": 1, "method": method.name(), "params": params});
                wild::change(draw, &mut call);
                let written = call.to_string();
                let bytes = wild::bytes(draw, written.as_bytes());
                self.note(&format!("bytes {}", String::from_utf8_lossy(&bytes)));
                self.raw(draw, &bytes).await
            }
            _ => self.message(draw).await,
        }
    }

    /// Params of a method, of what is known.
    fn params(&self, draw: &mut Draw, method: Method) -> Value {
        let kind = |draw: &mut Draw, kind| self.common.pool(|pool| pool.some(draw, kind));
        let number = |draw: &mut Draw, kind| self.common.pool(|pool| pool.number(draw, kind));
        let id = format!("f-{}-{}", self.n, draw.below(2_000));
        let mine = self.mine.get(draw.below(self.mine.len() * 4 / 3)).cloned();
        let (chat, offer) = mine.unwrap_or_else(|| (kind(draw, "chat"), None));
        let offer = offer.unwrap_or_else(|| kind(draw, "offer"));
        match method {
            Method::SessionOpen | Method::SessionRenew => {
                let who = if one_in(draw, 4) { Who::drawn(draw) } else { self.who };
                json!({"token": self.common.pool(|pool| pool.token(draw, who))})
            }
            Method::ChatOpen => json!({"command_id": id, "channel": kind(draw, "channel")}),
            Method::MessageSend => {
                let text = if one_in(draw, 5) {
                    wild::text(draw)
                } else {
                    format!("word {}", draw.below(1_000_000))
                };
                json!({"chat": chat, "client_message_id": id, "text": text})
            }
            Method::MessageReceived | Method::MessageRead => {
                json!({"chat": chat, "up_to": number(draw, "seq")})
            }
            Method::ChatEnd | Method::ChatTake => json!({"command_id": id, "chat": chat}),
            Method::ChatHistory => {
                let way = one_of(draw, &["before", "after"]).unwrap_or("after");
                json!({"chat": chat, way: kind(draw, "cursor"), "limit": 1 + draw.below(110)})
            }
            Method::OperatorSetStatus => {
                let words = ["ready", "ready", "ready", "away", "busy", "offline"];
                json!({"command_id": id, "status": one_of(draw, &words)})
            }
            Method::OfferShown => json!({"chat": chat, "offer": offer}),
            Method::OfferAccept | Method::OfferDecline => {
                json!({"command_id": id, "chat": chat, "offer": offer})
            }
            Method::ChatList => json!({"scope": one_of(draw, &["mine", "line", "closed"])}),
            Method::ChatTransfer => {
                let to = one_of(draw, &["operator", "queue"]).unwrap_or("queue");
                let target = kind(draw, if to == "queue" { "queue" } else { "user" });
                json!({"command_id": id, "chat": chat, "to": {to: target}})
            }
            Method::ChatSetState => {
                json!({"command_id": id, "chat": chat, "state": "in_progress"})
            }
            Method::PresenceAnswer => json!({"probe": number(draw, "probe")}),
        }
    }

    async fn call(
        &mut self,
        method: &'static str,
        params: Value,
        text: Option<String>,
    ) -> Result<(), Ended> {
        self.calls += 1;
        let frame = json!({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params});
        let frame = frame.to_string();
        self.note(&frame);
        self.open.insert(self.calls, Open { method, text });
        self.send(Message::text(frame)).await
    }

    /// Messages of every kind that there is.
    async fn message(&mut self, draw: &mut Draw) -> Result<(), Ended> {
        let bytes = vec![7_u8; draw.below(126)];
        match draw.below(6) {
            0 => self.send(Message::Ping(bytes.into())).await,
            1 => self.send(Message::Pong(bytes.into())).await,
            2 => self.send(Message::Text(wild::text(draw).into())).await,
            3 => {
                self.note("a binary message");
                self.send(Message::binary(bytes)).await
            }
            4 => {
                // A head with whatever bits, a length and a mask of its own, and some of the rest.
                let mut raw = vec![(draw.bits() & 0xff) as u8, 0x80 | (draw.bits() & 0x7f) as u8];
                raw.extend((0..draw.below(40)).map(|_| (draw.bits() & 0xff) as u8));
                self.note(&format!("a frame of bits: {raw:?}"));
                self.written(&raw).await?;
                self.hang_up().await
            }
            _ => {
                let again = self.recent.last().cloned().unwrap_or_default();
                self.send(Message::text(again)).await
            }
        }
    }

    /// Bytes as a text message, whether or not they are UTF-8; whole or in parts.
    async fn raw(&mut self, draw: &mut Draw, bytes: &[u8]) -> Result<(), Ended> {
        let parts = if one_in(draw, 4) { 1 + draw.below(3) } else { 1 };
        let each = bytes.len().div_ceil(parts).max(1);
        let mut chunks: Vec<&[u8]> = bytes.chunks(each).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let last = chunks.len() - 1;
        for (n, chunk) in chunks.into_iter().enumerate() {
            let opcode = u8::from(n == 0);
            let fin = if n == last { 0x80 } else { 0 };
            let mut raw = vec![fin | opcode];
            match chunk.len() {
                len @ 0..126 => raw.push(0x80 | len as u8),
                len @ 126..65_536 => {
                    raw.push(0x80 | 126);
                    raw.extend((len as u16).to_be_bytes());
                }
                len => {
                    raw.push(0x80 | 127);
                    raw.extend((len as u64).to_be_bytes());
                }
            }
            // A mask of zeros is a mask.
            raw.extend([0; 4]);
            raw.extend(chunk);
            self.written(&raw).await?;
        }
        Ok(())
    }

    async fn written(&mut self, raw: &[u8]) -> Result<(), Ended> {
        let writing = self.socket.get_mut().write_all(raw);
        let written = timeout(Duration::from_secs(ANSWER_LIMIT_S), writing).await;
        self.in_time(written)
    }

    /// Says no more, and waits for the end: after a head of whatever bits nobody knows where the
    /// next frame begins.
    async fn hang_up(&mut self) -> Result<(), Ended> {
        let ending = async {
            let _ = self.socket.get_mut().shutdown().await;
            let mut code = 0;
            while let Some(Ok(message)) = self.socket.next().await {
                if let Message::Close(Some(frame)) = message {
                    code = frame.code.into();
                }
            }
            code
        };
        match timeout(Duration::from_secs(ANSWER_LIMIT_S), ending).await {
            Ok(code) => Err(Ended(code)),
            Err(_) => {
                self.fault("a connection that was hung up is not closed");
                Err(Ended(0))
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Ended> {
        let sending = self.socket.send(message);
        let sent = timeout(Duration::from_secs(ANSWER_LIMIT_S), sending).await;
        self.in_time(sent)
    }

    fn in_time<E>(
        &self,
        done: Result<Result<(), E>, tokio::time::error::Elapsed>,
    ) -> Result<(), Ended> {
        match done {
            Ok(Ok(())) => Ok(()),
            // Closed while this was on its way: why is not read any more.
            Ok(Err(_)) => Err(Ended(0)),
            Err(_) => {
                self.fault("the server reads nothing");
                Err(Ended(0))
            }
        }
    }

    /// Waits until every call is answered.
    async fn look(&mut self) -> Result<(), Ended> {
        let call = json!({"jsonrpc": "2.0", "id": LOOK, "method": "chat.list", "params": {"scope": "mine"}});
        self.send(Message::text(call.to_string())).await?;
        let until = Instant::now() + Duration::from_secs(ANSWER_LIMIT_S);
        let mut looked = false;
        while !looked || !self.open.is_empty() {
            let Ok(next) = timeout_at(until, self.socket.next()).await else {
                let open: Vec<_> = self.open.values().map(|open| open.method).collect();
                self.fault(&format!("no answer within {ANSWER_LIMIT_S} s to {open:?}"));
                return Err(Ended(0));
            };
            match next {
                Some(Ok(Message::Text(text))) => looked |= self.came(&text),
                Some(Ok(Message::Close(frame))) => {
                    return Err(Ended(frame.map_or(0, |frame| frame.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Ended(0)),
            }
        }
        Ok(())
    }

    /// Whether it is the answer that was looked for.
    fn came(&mut self, text: &str) -> bool {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            self.fault("the server sends what is no JSON");
            return false;
        };
        let member = if frame["method"].is_string() { "params" } else { "result" };
        self.common.pool(|pool| pool.harvest(&frame[member], None));
        if let Some(chat) = frame[member]["chat"].as_str() {
            let offer = frame[member]["offer"].as_str().map(str::to_owned);
            self.mine.retain(|(known, _)| known != chat);
            self.mine.truncate(MINE_MAX - 1);
            self.mine.insert(0, (chat.to_owned(), offer));
        }
        if frame["method"].is_string() {
            return false;
        }
        let name = frame["error"]["data"]["name"].as_str().unwrap_or("ok").to_owned();
        if name == "internal" {
            self.fault(&format!("answered internal: {}", frame["error"]["message"]));
        }
        let answers = |seen: &mut super::Outcome| *seen.answers.entry(name).or_default() += 1;
        self.common.seen(answers);
        if let Some(open) = frame["id"].as_u64().and_then(|id| self.open.remove(&id))
            && let (Some(text), Some(chat), Some(seq)) =
                (open.text, frame["result"]["chat"].as_str(), frame["result"]["seq"].as_u64())
            && open.method == "message.send"
            && let Ok(chat) = ChatId::parse(chat)
        {
            self.common.pool(|pool| pool.acknowledge(chat, seq, text));
        }
        frame["id"] == LOOK
    }

    fn note(&mut self, frame: &str) {
        if self.recent.len() == BETWEEN as usize {
            self.recent.remove(0);
        }
        // Tokens and texts of a fuzz are nobody's; long frames say little.
        self.recent.push(frame.chars().take(200).collect());
    }
}

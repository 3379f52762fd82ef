//! One client's task: connects, feeds the [`Engine`], connects again.
//!
//! Ends when its [`Client`] is dropped or closed, or when the server says that there is no use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use switchboard::protocol::limits::FRAME_MAX_BYTES;
use switchboard::protocol::{AfterClose, Call, CloseKind};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::clock::{Clock, wall_ms};
use super::engine::{Engine, Happening, Ticket};
use super::tokens::{Fresh, TokenSource};
use crate::draw::{Draw, Purpose};

/// How long connecting may take, and the answer to `session.open`, each.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Buffers of a socket, bytes: frames are small, and clients are many.
const BUFFER_BYTES: usize = 4096;

/// The part of a token's life that is over when a newer one is asked for.
const RENEW_AT: f64 = 0.75;

/// The shortest time between two such questions: a source that gives no newer token is not asked
/// faster and faster until the old one ends.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// Calls that a person may order before the client takes them up: sixteen times what may be without
/// an answer. A client between two connections takes none; a person who orders more meanwhile will
/// never catch up, and is told so by [`Happening::Over`].
pub const ORDERS_MAX: usize = 1_024;

/// What a person may be told before it reads: a large history, whole. When there is more, the
/// client waits and reads nothing from its socket, so that a person who does not read is a slow
/// client to the server, which closes its socket in time.
pub const TOLD_MAX: usize = 4_096;

/// Waits between attempts to connect: random up to a bound that doubles.
#[derive(Debug, Clone, Copy)]
pub struct Waits {
    /// The first bound, ms.
    pub first_ms: u64,
    /// The last bound, ms.
    pub most_ms: u64,
}

impl Waits {
    /// As the protocol asks of everybody.
    pub const PROTOCOL: Self = Self { first_ms: 500, most_ms: 30_000 };
}

/// A person's end of a client. Dropping it closes the socket.
#[derive(Debug)]
pub struct Client {
    /// None when more was ordered than fits: the client has been let go.
    orders: Option<mpsc::Sender<(Ticket, Call)>>,
    overrun: Arc<AtomicBool>,
    last: Ticket,
}

/// What a person is told, with the run's time at which the frame came, µs; at most [`TOLD_MAX`]
/// wait.
pub type Inbox = mpsc::Receiver<(u64, Happening)>;

impl Client {
    /// Starts a client. `out` counts the calls without an answer, over all clients that share it.
    pub fn start(
        address: &str,
        source: TokenSource,
        waits: Waits,
        clock: Clock,
        seed: u64,
        out: Arc<AtomicUsize>,
    ) -> (Self, Inbox) {
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let (tell, inbox) = mpsc::channel(TOLD_MAX);
        let overrun = Arc::new(AtomicBool::new(false));
        let task = Task {
            address: address.to_owned(),
            source,
            token: None,
            waits,
            clock,
            draw: Draw::new(seed, Purpose::Backoff, 0),
            engine: Engine::default(),
            ordered,
            overrun: Arc::clone(&overrun),
            tell,
            out: OutCount { count: 0, all: out },
        };
        tokio::spawn(task.run());
        (Self { orders: Some(orders), overrun, last: 0 }, inbox)
    }

    /// Makes a call. Its answer comes as [`Happening::Answered`] with this ticket, whatever becomes
    /// of the connection meanwhile; or not at all, when the client has given up and said so by
    /// [`Happening::Over`], which it does when more than [`ORDERS_MAX`] calls wait here.
    pub fn call(&mut self, call: Call) -> Ticket {
        self.last += 1;
        let ordered = self.orders.as_ref().map(|orders| orders.try_send((self.last, call)));
        if let Some(Err(mpsc::error::TrySendError::Full(_))) = ordered {
            self.overrun.store(true, Ordering::Relaxed);
            self.orders = None;
        }
        self.last
    }
}

type Socket = WebSocketStream<TcpStream>;

/// Why a socket is left.
enum Left {
    /// Connect again.
    Again,
    /// Connect again with a newer token.
    WithNewToken,
    /// For good.
    Over(String),
    /// The person hung up.
    HungUp,
}

struct Task {
    address: String,
    source: TokenSource,
    token: Option<Fresh>,
    waits: Waits,
    clock: Clock,
    draw: Draw,
    engine: Engine,
    ordered: mpsc::Receiver<(Ticket, Call)>,
    overrun: Arc<AtomicBool>,
    tell: mpsc::Sender<(u64, Happening)>,
    out: OutCount,
}

/// This client's share of a common count; taken back when the client ends.
struct OutCount {
    count: usize,
    all: Arc<AtomicUsize>,
}

impl OutCount {
    fn set(&mut self, count: usize) {
        self.all.fetch_add(count, Ordering::Relaxed);
        self.all.fetch_sub(self.count, Ordering::Relaxed);
        self.count = count;
    }
}

impl Drop for OutCount {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Task {
    async fn run(mut self) {
        let mut bound_ms = self.waits.first_ms;
        loop {
            let left = match self.connect().await {
                Ok(socket) => {
                    bound_ms = self.waits.first_ms;
                    self.talk(socket).await
                }
                Err(left) => left,
            };
            self.engine.lost();
            self.out.set(0);
            self.pass_on().await;
            let left = if self.overrun.load(Ordering::Relaxed) {
                Left::Over(format!("more than {ORDERS_MAX} calls were ordered at once"))
            } else {
                left
            };
            match left {
                Left::Again => {}
                Left::WithNewToken => self.token = None,
                Left::Over(why) => {
                    let _ = self.tell.send((self.clock.us(), Happening::Over(why))).await;
                    return;
                }
                Left::HungUp => return,
            }
            let wait_ms = self.draw.below(bound_ms as usize) as u64;
            bound_ms = (bound_ms * 2).min(self.waits.most_ms);
            sleep(Duration::from_millis(wait_ms)).await;
            let overrun = self.overrun.load(Ordering::Relaxed);
            if self.tell.is_closed() || (self.ordered.is_closed() && !overrun) {
                return;
            }
        }
    }

    async fn connect(&mut self) -> Result<Socket, Left> {
        let ends_soon = |fresh: &Fresh| fresh.until_ms <= wall_ms();
        if self.token.as_ref().is_none_or(ends_soon) {
            let fresh = self.source.fresh().await;
            self.token = Some(fresh.map_err(|error| match error {
                super::RestError::Refused { status: 401 | 403 | 404 | 422, .. } => {
                    Left::Over(error.to_string())
                }
                super::RestError::Refused { .. }
                | super::RestError::NoAnswer { .. }
                | super::RestError::Answer { .. } => Left::Again,
            })?);
        }
        let connecting = async {
            let stream = TcpStream::connect(&self.address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            let config = WebSocketConfig::default()
                .read_buffer_size(BUFFER_BYTES)
                .write_buffer_size(0)
                .max_message_size(Some(FRAME_MAX_BYTES))
                .max_frame_size(Some(FRAME_MAX_BYTES));
            let url = format!("ws://{}/ws", self.address);
            let made = client_async_with_config(url, stream, Some(config)).await;
            made.ok().map(|(socket, _)| socket)
        };
        let socket = timeout(CONNECT_LIMIT, connecting).await.ok().flatten();
        let socket = socket.ok_or(Left::Again)?;
        if let Some(fresh) = &self.token {
            self.engine.connected(fresh.token.clone());
        }
        Ok(socket)
    }

    async fn talk(&mut self, mut socket: Socket) -> Left {
        let mut renew_at = self.renew_at();
        loop {
            if let Err(left) = self.send_all(&mut socket).await {
                return left;
            }
            self.out.set(self.engine.out());
            let due = self.engine.due_ms().unwrap_or(u64::MAX / 2);
            let due = self.clock.at_ms(due.min(self.clock.ms() + 3_600_000));
            tokio::select! {
                message = socket.next() => {
                    if let Err(left) = self.came(message) {
                        return left;
                    }
                }
                order = self.ordered.recv() => match order {
                    Some((ticket, call)) => self.engine.order(ticket, call),
                    None => {
                        let _ = socket.close(None).await;
                        return Left::HungUp;
                    }
                },
                () = sleep_until(due) => {}
                () = sleep_until(renew_at) => {
                    if let Ok(fresh) = self.source.fresh().await {
                        self.engine.renew(fresh.token.clone());
                        self.token = Some(fresh);
                    }
                    renew_at = self.renew_at();
                }
            }
            self.pass_on().await;
        }
    }

    fn came(&mut self, message: Option<Result<Message, WsError>>) -> Result<(), Left> {
        match message {
            Some(Ok(Message::Text(text))) => {
                let now_ms = self.clock.ms();
                self.engine.frame(&text, now_ms).map_err(|error| match error {
                    super::engine::EngineError::Refused(_) => Left::WithNewToken,
                    super::engine::EngineError::Frame(_)
                    | super::engine::EngineError::Encode(_) => Left::Over(error.to_string()),
                })
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|frame| u16::from(frame.code));
                Err(after(code))
            }
            Some(Ok(
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
            )) => Ok(()),
            Some(Err(_)) | None => Err(Left::Again),
        }
    }

    async fn send_all(&mut self, socket: &mut Socket) -> Result<(), Left> {
        let mut any = false;
        while let Some(text) = self
            .engine
            .next_frame(self.clock.ms())
            .map_err(|error| Left::Over(error.to_string()))?
        {
            any = true;
            let fed = socket.feed(Message::text(text)).await;
            fed.map_err(|_| Left::Again)?;
        }
        if any {
            socket.flush().await.map_err(|_| Left::Again)?;
        }
        Ok(())
    }

    /// Tells the person what happened, as fast as it reads. Who has gone is told nothing.
    async fn pass_on(&mut self) {
        let at_us = self.clock.us();
        while let Some(happening) = self.engine.next_happening() {
            let _ = self.tell.send((at_us, happening)).await;
        }
    }

    fn renew_at(&self) -> Instant {
        let until_ms = self.token.as_ref().map_or(u64::MAX, |fresh| fresh.until_ms);
        let left_ms = until_ms.saturating_sub(wall_ms()) as f64;
        let most = Duration::from_secs(24 * 3_600);
        let wait = Duration::from_millis((left_ms * RENEW_AT) as u64);
        Instant::now() + wait.clamp(RENEW_EVERY, most)
    }
}

/// What the close code asks for; a connection that just broke is made anew.
fn after(code: Option<u16>) -> Left {
    let kind = CloseKind::ALL.iter().find(|kind| Some(kind.code()) == code);
    match kind.map(|kind| (kind, kind.then())) {
        None | Some((_, AfterClose::Resume)) => Left::Again,
        Some((_, AfterClose::Renew)) => Left::WithNewToken,
        Some((kind, AfterClose::LogIn | AfterClose::Stop)) => {
            Left::Over(format!("{}: {}", kind.reason(), kind.meaning()))
        }
    }
}

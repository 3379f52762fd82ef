//! One connection, in one task: its client, its outbox, its calls under way and its clock, in
//! whatever order they come.

mod session_calls;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::calls::Calls;
use super::carry::{self, CallTask, Taken, Todo};
use super::end::End;
use super::frames::Frames;
use super::outgoing;
use super::session::OpenSession;
use super::turns::Order;
use crate::actors::Outgoing;
use crate::domain::Timestamp;
use crate::edge::admission::Admitted;
use crate::edge::limits::{
    CLOSE_LIMIT, FRAMES_AT_ONCE, OVERLOADED_RETRY_MS, PING_EVERY_MS, PROBES_UNANSWERED_MAX,
    SILENCE_MAX_MS, TAKEN_AT_ONCE, TOO_FAST, WRITE_LIMIT,
};
use crate::edge::{ClientAddress, Edge, Pace, close_of};
use crate::protocol::limits::{BAD_FRAMES_MAX, FRAME_MAX_BYTES, SESSION_OPEN_LIMIT_MS};
use crate::protocol::{
    Call, CloseKind, ErrorFrame, ErrorKind, Lane, Request, RequestId, read_request, write_error,
};

/// The socket on an upgraded connection.
pub(super) type WebSocket = WebSocketStream<Frames<TokioIo<hyper::upgrade::Upgraded>>>;

/// What happened to a connection.
enum Step {
    Frame(Option<Result<Message, SocketError>>),
    Answer(String),
    Out(Option<Outgoing>),
    Word,
    Closing,
    Time,
}

struct Connection {
    edge: Arc<Edge>,
    client: ClientAddress,
    socket: WebSocket,
    session: Option<OpenSession>,
    calls: Calls<CallTask>,
    admitted: Admitted,
    /// To be written at the end of the step.
    unsent: Vec<Message>,
    pace: Pace,
    too_fast: Pace,
    bad_frames: u32,
    probes_unanswered: u32,
    open_until: Timestamp,
    heard_at: Timestamp,
    ping_at: Timestamp,
}

/// Serves a socket until it ends.
pub(super) fn run(
    edge: Arc<Edge>,
    socket: WebSocket,
    admitted: Admitted,
    client: ClientAddress,
) -> impl Future<Output = ()> + Send {
    let now = edge.now();
    // Not in the future: what it takes as arguments stays in it beside what is made of them.
    let connection = Connection {
        admitted,
        pace: Pace::new(edge.options.calls_per_second, edge.options.call_burst),
        too_fast: Pace::new(TOO_FAST.1, TOO_FAST.0),
        edge,
        client,
        socket,
        session: None,
        calls: Calls::default(),
        unsent: Vec::new(),
        bad_frames: 0,
        probes_unanswered: 0,
        open_until: now.plus_ms(SESSION_OPEN_LIMIT_MS),
        heard_at: now,
        ping_at: now.plus_ms(PING_EVERY_MS),
    };
    connection.until_its_end()
}

impl Connection {
    async fn until_its_end(mut self) {
        let end = self.serve().await;
        // Nothing is sent to it any more, and its operator is told, before the farewell.
        self.session = None;
        let now = self.edge.now();
        std::mem::take(&mut self.calls).abandon(now);
        if let End::Close(kind) = end {
            tracing::debug!(reason = kind.reason(), "a socket is closed");
            // On the heap: it happens once, and would be in the task of every socket.
            Box::pin(self.farewell(kind)).await;
        }
    }

    async fn serve(&mut self) -> End {
        let mut timer = pin!(sleep_until(Instant::now()));
        let mut closing = self.edge.closing();
        let mut closing = pin!(closing.wait_for(|closing| *closing));
        let mut word = pin!(self.word());
        let mut in_session = false;
        let mut armed = Timestamp(u64::MAX);
        loop {
            if self.session.is_some() != in_session {
                in_session = self.session.is_some();
                word.set(self.word());
            }
            // A deadline that was put off is looked at again when the timer fires.
            let next = self.next_deadline();
            if next < armed || timer.is_elapsed() {
                let after = next.since_ms(self.edge.now());
                timer.as_mut().reset(Instant::now() + Duration::from_millis(after));
                armed = next;
            }
            let outbox = self.session.as_mut().and_then(|session| session.joined.as_mut());
            let step = tokio::select! {
                frame = self.socket.next() => Step::Frame(frame),
                answer = poll_fn(|context| self.calls.poll_answer(context, || self.edge.now())) => {
                    Step::Answer(answer)
                }
                out = async {
                    match outbox {
                        Some(joined) => joined.outbox.next().await,
                        None => std::future::pending().await,
                    }
                } => Step::Out(out),
                () = &mut word => Step::Word,
                // Whoever could say so is gone: that says it, too.
                _ = &mut closing => Step::Closing,
                () = &mut timer => Step::Time,
            };
            if let Step::Word = step {
                word.set(self.word());
            }
            if let Err(end) = self.take(step).await {
                return end;
            }
            if let Err(end) = self.write().await {
                return end;
            }
        }
    }

    /// Takes a step, and whatever else is ready in the same breath.
    async fn take(&mut self, step: Step) -> Result<(), End> {
        match step {
            Step::Frame(frame) => self.frames(frame).await?,
            Step::Answer(answer) => self.say(answer),
            Step::Out(out) => self.out(out).await?,
            Step::Word if self.session.is_some() => self.still()?,
            Step::Word => return Err(CloseKind::SessionNotOpened.into()),
            Step::Closing => return Err(CloseKind::GoingAway.into()),
            Step::Time => self.on_time()?,
        }
        while let Some(answer) =
            poll_fn(|c| self.calls.poll_answer(c, || self.edge.now())).now_or_never()
        {
            self.say(answer);
        }
        for _ in 0..TAKEN_AT_ONCE {
            let joined = self.session.as_mut().and_then(|session| session.joined.as_mut());
            match joined.map(|joined| joined.outbox.try_recv()) {
                Some(Ok(outgoing)) => self.out(Some(outgoing)).await?,
                Some(Err(_)) | None => break,
            }
        }
        Ok(())
    }

    // ---- from the client ----

    /// Takes a frame, and those that have come with it: what a client sends in one go is carried out together.
    async fn frames(&mut self, frame: Option<Result<Message, SocketError>>) -> Result<(), End> {
        let taken = self.frames_at_once(frame).await;
        // What those in front of it were answered at once goes out before the farewell.
        if let Err(End::Close(_)) = taken {
            self.write().await?;
        }
        taken
    }

    async fn frames_at_once(
        &mut self,
        mut frame: Option<Result<Message, SocketError>>,
    ) -> Result<(), End> {
        for _ in 1..FRAMES_AT_ONCE {
            self.frame(frame).await?;
            match self.socket.next().now_or_never() {
                Some(next) => frame = next,
                None => return Ok(()),
            }
        }
        self.frame(frame).await
    }

    async fn frame(&mut self, frame: Option<Result<Message, SocketError>>) -> Result<(), End> {
        let message = match frame {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                let end = End::of(&error);
                if end == End::Close(CloseKind::FrameTooLarge) {
                    let what = format!("the frame is larger than {FRAME_MAX_BYTES} bytes");
                    let mut error = ErrorFrame::new(ErrorKind::FrameTooLarge, what);
                    error.data.limit = Some(FRAME_MAX_BYTES as u64);
                    self.reject(None, &error);
                }
                return Err(end);
            }
            None => return Err(End::Gone),
        };
        self.heard_at = self.edge.now();
        match message {
            Message::Text(text) => self.text(text.as_str().as_bytes()).await,
            Message::Binary(_) => Err(CloseKind::NotText.into()),
            // They took from the pace of `frames`.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
            Message::Close(_) => Err(End::Gone),
        }
    }

    async fn text(&mut self, text: &[u8]) -> Result<(), End> {
        let too_fast = self.pace.take(self.heard_at).err();
        let request = match read_request(text) {
            Ok(request) => request,
            Err(rejected) => {
                self.reject(rejected.id.as_ref(), &rejected.error);
                self.bad_frames += u32::from(rejected.malformed());
                if self.bad_frames > BAD_FRAMES_MAX {
                    return Err(CloseKind::BadFrames.into());
                }
                // What is wrong is told so, but not for ever at any speed.
                return if too_fast.is_some() { self.count_too_fast() } else { Ok(()) };
            }
        };
        // An answered probe bounds itself, and is what keeps an operator there.
        let probe = matches!(request.call, Call::PresenceAnswer(_)) && self.probes_unanswered > 0;
        if let Some(too_fast) = too_fast.filter(|_| !probe) {
            let why = (ErrorKind::TooManyCalls, too_fast.retry_after_ms);
            let caller = self.session.as_ref().map(|session| &session.caller);
            match caller.and_then(|by| carry::placed(by.audience(), &request.call)) {
                Some((lane, order)) => self.put_off(&request.id, lane, order, why),
                None => self.reject(Some(&request.id), &ErrorFrame::later(why.0, why.1)),
            }
            return self.count_too_fast();
        }
        self.request(request).await
    }

    /// A call above the pace. Errors when it has been so for too long.
    fn count_too_fast(&mut self) -> Result<(), End> {
        let for_too_long = self.too_fast.take(self.heard_at).is_err();
        if for_too_long { Err(CloseKind::TooManyCalls.into()) } else { Ok(()) }
    }

    async fn request(&mut self, request: Request) -> Result<(), End> {
        let Some(session) = &self.session else {
            // On the heap: it happens once, and would be in the task of every socket.
            return Box::pin(self.before_session(request)).await;
        };
        if let Err(error) = session.caller.scope(request.call.method()) {
            self.reject(Some(&request.id), &error);
            return Ok(());
        }
        if matches!(request.call, Call::PresenceAnswer(_)) {
            self.probes_unanswered = 0;
        }
        let id = request.id.clone();
        let placed = carry::placed(session.caller.audience(), &request.call);
        let order = placed.map_or(Order::Free, |(_, order)| order);
        match carry::take(&session.caller, request) {
            Taken::Answer(answer) => self.say(answer.frame),
            Taken::Own(id, Call::SessionRenew(params)) => self.renew(id, params.token.0.expose()),
            Taken::Own(id, _) => self.reject(Some(&id), &ErrorFrame::of(ErrorKind::SessionExists)),
            Taken::Todo(lane, todo) => self.begin(id, lane, order, todo),
        }
        Ok(())
    }

    /// Lets a call run, if the socket and the server have room for it.
    fn begin(&mut self, id: RequestId, lane: Lane, order: Order, todo: Todo) {
        let permit = Arc::clone(&self.edge.in_flight).try_acquire_owned();
        let (Ok(()), Ok(permit)) = (self.calls.room(), permit) else {
            return self.put_off(&id, lane, order, (ErrorKind::Overloaded, OVERLOADED_RETRY_MS));
        };
        let ticket = self.calls.ticket(lane, order);
        self.calls.push(ticket, CallTask { id, todo, permit }, self.heard_at);
    }

    /// There is no room for a call now; what keeps an order keeps its turn.
    fn put_off(
        &mut self,
        id: &RequestId,
        lane: Lane,
        order: Order,
        (kind, retry_after_ms): (ErrorKind, u64),
    ) {
        let ticket = self.calls.ticket(lane, order);
        self.calls.put_off(ticket, retry_after_ms, self.heard_at);
        self.reject(Some(id), &ErrorFrame::later(kind, retry_after_ms));
    }

    // ---- to the client ----

    async fn out(&mut self, out: Option<Outgoing>) -> Result<(), End> {
        let Some(outgoing) = out else {
            return Err(CloseKind::TooSlow.into());
        };
        match outgoing {
            Outgoing::TooMany => return Err(CloseKind::TooManyConnections.into()),
            Outgoing::Probe(_) if self.probes_unanswered >= PROBES_UNANSWERED_MAX => {
                return Err(CloseKind::NoPresence.into());
            }
            Outgoing::Probe(_) => self.probes_unanswered += 1,
            Outgoing::Events { .. }
            | Outgoing::Watermark { .. }
            | Outgoing::Notice(_)
            | Outgoing::Updated { .. } => {}
        }
        let Some(session) = &mut self.session else { return Ok(()) };
        let frames = outgoing::frames(&session.caller, &mut session.seen, outgoing).await;
        // An event that cannot be shown would be a gap: the client resumes instead.
        let frames = frames.map_err(|_| CloseKind::Unavailable)?;
        frames.into_iter().for_each(|frame| self.say(frame));
        Ok(())
    }

    fn say(&mut self, frame: String) {
        self.unsent.push(Message::Text(frame.into()));
    }

    fn reject(&mut self, id: Option<&RequestId>, error: &ErrorFrame) {
        match write_error(id, error) {
            Ok(frame) => self.say(frame),
            Err(error) => tracing::error!(%error, "an error could not be written"),
        }
    }

    /// Writes what was said. Errors when the client does not take it in time.
    async fn write(&mut self) -> Result<(), End> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let socket = &mut self.socket;
        let unsent = &mut self.unsent;
        let written = timeout(WRITE_LIMIT, async {
            for message in unsent.drain(..) {
                socket.feed(message).await?;
            }
            socket.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(CloseKind::TooSlow.into()),
        }
    }

    /// Says why, and waits a moment for the client's half of the close.
    async fn farewell(&mut self, kind: CloseKind) {
        let frame = CloseFrame { code: kind.code().into(), reason: kind.reason().into() };
        let closing = timeout(CLOSE_LIMIT, async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                self.socket.get_mut().until_closed().await;
            }
        });
        let _ = closing.await;
    }

    // ---- time and revocation ----

    /// What others may say of it: before its session that it has to give way, then that it has to ask whether it
    /// still may.
    fn word(&self) -> OwnedNotified {
        match &self.session {
            Some(session) => session.held.is_asked(),
            None => self.admitted.has_to_leave(),
        }
    }

    fn next_deadline(&self) -> Timestamp {
        let Some(session) = &self.session else { return self.open_until };
        let until = session.principal.until;
        let ping = self.ping_at.min(self.heard_at.plus_ms(SILENCE_MAX_MS));
        until.map_or(ping, |until| until.min(ping))
    }

    fn on_time(&mut self) -> Result<(), End> {
        let now = self.edge.now();
        let Some(session) = &self.session else {
            return if now >= self.open_until {
                Err(CloseKind::SessionNotOpened.into())
            } else {
                Ok(())
            };
        };
        if session.principal.until.is_some_and(|until| now >= until) {
            return Err(CloseKind::TokenExpired.into());
        }
        if now >= self.heard_at.plus_ms(SILENCE_MAX_MS) {
            return Err(CloseKind::NoPresence.into());
        }
        if now >= self.ping_at {
            self.ping_at = now.plus_ms(PING_EVERY_MS);
            self.unsent.push(Message::Ping(Vec::new().into()));
        }
        Ok(())
    }

    /// Whether the session's token still counts.
    fn still(&self) -> Result<(), End> {
        let Some(session) = &self.session else { return Ok(()) };
        match self.edge.access.still(&session.principal, self.edge.now()) {
            Ok(()) => Ok(()),
            Err(invalid) => Err(close_of(invalid).into()),
        }
    }
}

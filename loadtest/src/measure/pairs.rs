//! Pairs of a customer who writes and an operator who is shown it, on one thread, verified while they are
//! measured.
//!
//! Owns what is sent when, and what must come of it: each message is answered once, and shown to the other
//! one of its pair once and in order. Refuses to know who serves: the router and the floors alike.
//!
//! In a closed loop each customer has so many messages in flight. In an open loop messages are due at fixed
//! times whatever became of earlier ones, and times count from when a message was due, so that a server
//! that stands still is not asked less (coordinated omission). What was due within the time counts, however
//! late its answer; what was due and could not be sent for want of room is told. They are due in steps of a millisecond, since timers have no finer
//! ones.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;

use hdrhistogram::Histogram;
use serde::Deserialize;
use switchboard::protocol::limits::UNANSWERED_MAX;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};

use super::wire::{Frame, Socket, WireError};

/// Bytes of a message's text: about what people write.
const TEXT_BYTES: usize = 120;

/// Most messages of a pair: a chat takes 100,000 events in all. Whoever gets there has measured less than was
/// asked, which is a violation.
const MESSAGES_MAX: u64 = 90_000;

/// How long an operator who was shown everything listens on: what is shown twice comes then.
const LINGER: Duration = Duration::from_millis(100);

/// How long the last answers may take.
const LAST_LIMIT: Duration = Duration::from_secs(30);

/// The longest time that is told from longer ones, µs: longer than a run lasts.
const LONGEST_US: u64 = 600_000_000;

/// Digits to which times are kept.
const DIGITS: u8 = 3;

/// Ids from here on are those of answers to the server's probes.
const PROBES_FROM: u64 = 1 << 40;

/// Violations that are told in full; more are counted.
const TOLD_MAX: usize = 10;

/// Two sockets, and the chat between them.
#[derive(Debug)]
pub struct Pair {
    /// The chat, as it is written.
    pub chat: String,
    /// Who writes.
    pub customer: Socket,
    /// Who is shown it; none where nobody is.
    pub operator: Option<Socket>,
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Messages that each customer has in flight, at most [`UNANSWERED_MAX`]; in an open loop, at most.
    pub in_flight: usize,
    /// Messages a second in all; none: a closed loop.
    pub rate: Option<f64>,
    /// What is not measured, in front.
    pub warm_up: Duration,
    /// What is.
    pub time: Duration,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Messages that were answered within the time.
    pub acknowledged: u64,
    /// Messages that were shown within the time.
    pub delivered: u64,
    /// The time, s.
    pub seconds: f64,
    /// Until the answer, µs.
    pub acknowledge_us: Histogram<u64>,
    /// Until it was shown, µs.
    pub deliver_us: Histogram<u64>,
    /// Until the answer, µs, since somebody looked.
    lately: Histogram<u64>,
    /// In an open loop: from when a message was due, and there was room for it, until it was sent, µs. That is
    /// the driver's own, and in all other times.
    pub sent_late_us: Histogram<u64>,
    /// What should not have been: the first ones in words.
    pub violations: Vec<String>,
    /// How many there were.
    pub violated: u64,
    /// Errors by name, and how many.
    pub refused: BTreeMap<String, u64>,
    /// Messages that were due and not sent, as too many were in flight.
    pub unsent: u64,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// A socket of a pair.
    #[error("{who}: {source}")]
    Wire {
        /// Whose.
        who: &'static str,
        /// Why.
        source: WireError,
    },
    /// A task ended for no reason of its own.
    #[error("a pair has ended: {0}")]
    Ended(String),
    /// The clock's times do not fit.
    #[error("no such times: {0}")]
    Times(String),
}

impl Measured {
    fn new() -> Result<Self, PairError> {
        let times = || {
            Histogram::new_with_bounds(1, LONGEST_US, DIGITS)
                .map_err(|error| PairError::Times(error.to_string()))
        };
        Ok(Self {
            acknowledged: 0,
            delivered: 0,
            seconds: 0.0,
            acknowledge_us: times()?,
            deliver_us: times()?,
            lately: times()?,
            sent_late_us: times()?,
            violations: Vec::new(),
            violated: 0,
            refused: BTreeMap::new(),
            unsent: 0,
        })
    }

    /// Notes an error, if it is one; whether it is.
    fn note(&mut self, error: Option<Refusal<'_>>) -> bool {
        let Some(Refusal { message }) = error else { return false };
        if self.refused.len() < TOLD_MAX || self.refused.contains_key(&*message) {
            *self.refused.entry(message.into_owned()).or_default() += 1;
        } else {
            *self.refused.entry("other errors".to_owned()).or_default() += 1;
        }
        true
    }

    fn violation(&mut self, what: impl FnOnce() -> String) {
        self.violated += 1;
        if self.violations.len() < TOLD_MAX {
            self.violations.push(what());
        }
    }
}

/// When it began, and between which times is measured.
#[derive(Debug, Clone, Copy)]
struct Clock {
    began: Instant,
    from_us: u64,
    to_us: u64,
    /// Whether messages are due at fixed times.
    is_open: bool,
}

impl Clock {
    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn at(&self, us: u64) -> Instant {
        self.began + Duration::from_micros(us)
    }

    /// Whether a message counts of which something has come now: in an open loop when it was due within the
    /// time, else when it came within the time.
    fn counts(&self, since_us: u64, now_us: u64) -> bool {
        (self.from_us..self.to_us).contains(if self.is_open { &since_us } else { &now_us })
    }

    fn is_over(&self) -> bool {
        self.now_us() >= self.to_us
    }
}

/// What has been measured by now, for who looks while it goes on.
#[derive(Debug, Clone)]
pub struct Counts(Rc<RefCell<Measured>>);

impl Counts {
    /// What was so since it was asked last: figures a second, for a look each second.
    pub fn since_the_last(&self) -> BTreeMap<String, f64> {
        let lately = &mut self.0.borrow_mut().lately;
        let p99_us = lately.value_at_quantile(0.99) as f64;
        let figures =
            [("acknowledged_per_second", lately.len() as f64), ("acknowledge_p99_us", p99_us)];
        lately.reset();
        figures.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Drives all pairs, on a thread with local tasks. `mark` is called when the measured time begins and when it
/// ends.
pub async fn drive(
    pairs: Vec<Pair>,
    load: Load,
    mut mark: impl FnMut(&Counts),
) -> Result<Measured, PairError> {
    let from_us = micros(load.warm_up);
    let clock = Clock {
        began: Instant::now(),
        from_us,
        to_us: from_us.saturating_add(micros(load.time)),
        is_open: load.rate.is_some(),
    };
    let measured = Rc::new(RefCell::new(Measured::new()?));
    let of = pairs.len();
    let mut tasks = JoinSet::new();
    for (place, pair) in pairs.into_iter().enumerate() {
        let Pair { chat, customer, operator } = pair;
        let sent = Rc::new(Sent::default());
        let due = load.rate.map(|rate| Due { place, of, rate });
        let writer = Customer {
            chat: chat.clone(),
            socket: customer,
            load,
            due,
            clock,
            sent: 0,
            out: VecDeque::new(),
            last_seq: 0,
            room_us: 0,
            measured: Rc::clone(&measured),
        };
        let reader = operator.map(|socket| Operator {
            chat,
            socket,
            clock,
            shown: 0,
            probes: PROBES_FROM,
            sent: Rc::clone(&sent),
            measured: Rc::clone(&measured),
        });
        tasks.spawn_local(async move {
            sent.tell(writer.run().await?);
            Ok::<_, PairError>(())
        });
        if let Some(reader) = reader {
            tasks.spawn_local(reader.run());
        }
    }
    goes_on(&mut tasks, clock.at(clock.from_us)).await?;
    mark(&Counts(Rc::clone(&measured)));
    goes_on(&mut tasks, clock.at(clock.to_us)).await?;
    mark(&Counts(Rc::clone(&measured)));
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| PairError::Ended(error.to_string()))??;
    }
    let mut measured =
        Rc::try_unwrap(measured).map_or_else(|shared| shared.borrow().clone(), RefCell::into_inner);
    measured.seconds = load.time.as_secs_f64();
    Ok(measured)
}

/// Waits until then. Errors as soon as somebody cannot go on.
async fn goes_on(
    tasks: &mut JoinSet<Result<(), PairError>>,
    until: Instant,
) -> Result<(), PairError> {
    let mut timer = pin!(sleep_until(until));
    loop {
        tokio::select! {
            biased;
            () = &mut timer => return Ok(()),
            Some(ended) = tasks.join_next() => {
                ended.map_err(|error| PairError::Ended(error.to_string()))??;
            }
        }
    }
}

/// When the messages of a customer are due in an open loop: all customers' in turn, evenly.
#[derive(Debug, Clone, Copy)]
struct Due {
    place: usize,
    of: usize,
    rate: f64,
}

impl Due {
    /// The n-th message, from 0, µs; at the full millisecond behind it.
    fn at_us(&self, n: u64) -> u64 {
        let before = n as f64 * self.of as f64 + self.place as f64;
        let ms = (before * 1_000.0 / self.rate).ceil();
        (ms as u64).saturating_mul(1_000)
    }
}

/// How many messages a customer has sent, when it has sent all.
#[derive(Debug, Default)]
struct Sent {
    all: Cell<Option<u64>>,
    told: Notify,
}

impl Sent {
    fn tell(&self, all: u64) {
        self.all.set(Some(all));
        self.told.notify_one();
    }
}

/// A frame from the server, as far as it matters here.
#[derive(Deserialize)]
struct Heard<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
    result: Option<Answer>,
    #[serde(borrow)]
    error: Option<Refusal<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    chat: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    probe: Option<u64>,
}

#[derive(Deserialize)]
struct Answer {
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

struct Customer {
    chat: String,
    socket: Socket,
    load: Load,
    due: Option<Due>,
    clock: Clock,
    sent: u64,
    /// Those without an answer, and from when their time counts, µs.
    out: VecDeque<(u64, u64)>,
    last_seq: u64,
    /// Since when there is room for one more in flight, µs.
    room_us: u64,
    measured: Rc<RefCell<Measured>>,
}

impl Customer {
    /// Writes until the time is over, and waits for the last answers. How many it sent.
    async fn run(mut self) -> Result<u64, PairError> {
        let limit_us = self.clock.to_us.saturating_add(micros(LAST_LIMIT));
        let mut timer = pin!(sleep_until(self.clock.at(limit_us)));
        loop {
            let next_us = self.send().unwrap_or(u64::MAX);
            // At the end of the time, too, however far the next message is.
            let until_us = if self.clock.is_over() { u64::MAX } else { self.clock.to_us };
            let next = self.clock.at(next_us.min(until_us).min(limit_us));
            if self.out.is_empty() && self.ends() {
                self.tell_unsent();
                return Ok(self.sent);
            }
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            tokio::select! {
                biased;
                turn = self.socket.turn() => {
                    turn.map_err(wire("a customer"))?;
                    self.hear()?;
                }
                () = &mut timer => {
                    if self.clock.now_us() >= limit_us && !self.out.is_empty() {
                        let missing = self.out.len();
                        let what = || format!("{missing} messages of a customer were never answered");
                        self.measured.borrow_mut().violation(what);
                        return Ok(self.sent);
                    }
                }
            }
        }
    }

    fn ends(&self) -> bool {
        self.clock.is_over() || self.sent >= MESSAGES_MAX
    }

    /// Tells what it was to send and did not.
    fn tell_unsent(&self) {
        let mut measured = self.measured.borrow_mut();
        if !self.clock.is_over() {
            let what =
                || format!("a chat has had its {MESSAGES_MAX} messages before the time was over");
            measured.violation(what);
        }
        let Some(due) = self.due else { return };
        let until_us = self.clock.to_us;
        let unsent = (self.sent..).map(|n| due.at_us(n)).take_while(|due_us| *due_us < until_us);
        for due_us in unsent.filter(|due_us| *due_us >= self.clock.from_us) {
            measured.unsent += 1;
            // It took at least that long. Without it the longest times would be those that are left out.
            measured.acknowledge_us.saturating_record(until_us - due_us);
            measured.deliver_us.saturating_record(until_us - due_us);
        }
    }

    /// Puts down what is to be sent now; when the next one is due, if that is known.
    fn send(&mut self) -> Option<u64> {
        while !self.ends() && self.out.len() < self.load.in_flight.min(UNANSWERED_MAX) {
            let now_us = self.clock.now_us();
            let since_us = self.due.map_or(now_us, |due| due.at_us(self.sent));
            if since_us > now_us {
                return Some(since_us);
            }
            if self.due.is_some() && self.clock.counts(since_us, now_us) {
                let late_us = now_us - since_us.max(self.room_us).min(now_us);
                self.measured.borrow_mut().sent_late_us.saturating_record(late_us);
            }
            self.sent += 1;
            self.out.push_back((self.sent, since_us));
            let head = format!("{:09} {since_us:012} ", self.sent);
            let frame = format!(
                r#"{{"jsonrpc":"2.0","id":{n},"method":"message.send","params":{{"chat":"{chat}","client_message_id":"{n}","text":"{head:.<TEXT_BYTES$}"}}}}"#,
                n = self.sent,
                chat = self.chat,
            );
            self.socket.outgoing.text(frame.as_bytes());
        }
        None
    }

    fn hear(&mut self) -> Result<(), PairError> {
        let now_us = self.clock.now_us();
        let Socket { incoming, outgoing, .. } = &mut self.socket;
        while let Some(frame) = incoming.next_frame().map_err(wire("a customer"))? {
            let text = match frame {
                Frame::Text(text) => text,
                Frame::Ping(asked) => {
                    outgoing.pong(asked);
                    continue;
                }
                Frame::Pong => continue,
            };
            let mut measured = self.measured.borrow_mut();
            let heard = match serde_json::from_slice::<Heard<'_>>(text) {
                Ok(heard) => heard,
                Err(error) => {
                    measured.violation(|| format!("a frame to a customer cannot be read: {error}"));
                    continue;
                }
            };
            let Some(id) = heard.id else {
                measured.note(heard.error);
                continue;
            };
            let Some(place) = self.out.iter().position(|(out, _)| *out == id) else {
                measured.violation(|| format!("call {id} was answered and is not under way"));
                continue;
            };
            if self.out.len() >= self.load.in_flight {
                self.room_us = now_us;
            }
            let Some((_, since_us)) = self.out.remove(place) else { continue };
            if measured.note(heard.error) {
                continue;
            }
            let seq = heard.result.and_then(|answer| answer.seq).unwrap_or_default();
            if seq <= self.last_seq {
                let before = self.last_seq;
                measured.violation(|| format!("an answer says position {seq} after {before}"));
            }
            self.last_seq = seq;
            if self.clock.counts(since_us, now_us) {
                measured.acknowledged += 1;
                let took_us = now_us.saturating_sub(since_us);
                measured.acknowledge_us.saturating_record(took_us);
                measured.lately.saturating_record(took_us);
            }
        }
        Ok(())
    }
}

struct Operator {
    chat: String,
    socket: Socket,
    clock: Clock,
    /// How many it was shown: the number of the last one.
    shown: u64,
    probes: u64,
    sent: Rc<Sent>,
    measured: Rc<RefCell<Measured>>,
}

impl Operator {
    /// Reads until it was shown all that its customer has sent, and a little longer.
    async fn run(mut self) -> Result<(), PairError> {
        let limit = self.clock.at(self.clock.to_us) + LAST_LIMIT + LAST_LIMIT;
        let mut timer = pin!(sleep_until(limit));
        let sent = Rc::clone(&self.sent);
        let mut has_all = false;
        loop {
            if !has_all && sent.all.get().is_some_and(|all| self.shown >= all) {
                has_all = true;
                timer.as_mut().reset(Instant::now() + LINGER);
            }
            tokio::select! {
                biased;
                turn = self.socket.turn() => {
                    turn.map_err(wire("an operator"))?;
                    self.hear()?;
                }
                () = sent.told.notified() => {}
                () = &mut timer => {
                    if !has_all {
                        let (shown, all) = (self.shown, sent.all.get());
                        let what = || format!("an operator was shown {shown} messages of {all:?}");
                        self.measured.borrow_mut().violation(what);
                    }
                    return Ok(());
                }
            }
        }
    }

    fn hear(&mut self) -> Result<(), PairError> {
        let now_us = self.clock.now_us();
        let Socket { incoming, outgoing, .. } = &mut self.socket;
        while let Some(frame) = incoming.next_frame().map_err(wire("an operator"))? {
            let text = match frame {
                Frame::Text(text) => text,
                Frame::Ping(asked) => {
                    outgoing.pong(asked);
                    continue;
                }
                Frame::Pong => continue,
            };
            let mut measured = self.measured.borrow_mut();
            let heard = match serde_json::from_slice::<Heard<'_>>(text) {
                Ok(heard) => heard,
                Err(error) => {
                    measured
                        .violation(|| format!("a frame to an operator cannot be read: {error}"));
                    continue;
                }
            };
            measured.note(heard.error);
            match (heard.method.as_deref(), heard.params) {
                (Some("presence.probe"), Some(Params { probe: Some(probe), .. })) => {
                    self.probes += 1;
                    let frame = format!(
                        r#"{{"jsonrpc":"2.0","id":{},"method":"presence.answer","params":{{"probe":{probe}}}}}"#,
                        self.probes
                    );
                    outgoing.text(frame.as_bytes());
                }
                (
                    Some("chat.event"),
                    Some(Params { kind: Some(kind), text: Some(text), chat, .. }),
                ) if kind == "message" => {
                    if chat.as_deref() != Some(&self.chat) {
                        measured.violation(|| "an operator was shown another chat".to_owned());
                        continue;
                    }
                    let mut words = text.split(' ').map(str::parse::<u64>);
                    let (Some(Ok(n)), Some(Ok(since_us))) = (words.next(), words.next()) else {
                        measured.violation(|| "an operator was shown another message".to_owned());
                        continue;
                    };
                    if n != self.shown + 1 {
                        let before = self.shown;
                        measured.violation(|| {
                            format!("an operator was shown message {n} after {before}")
                        });
                    }
                    self.shown = n;
                    if self.clock.counts(since_us, now_us) {
                        measured.delivered += 1;
                        measured.deliver_us.saturating_record(now_us.saturating_sub(since_us));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn wire(who: &'static str) -> impl Fn(WireError) -> PairError {
    move |source| PairError::Wire { who, source }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::{Value, json};
    use tokio::net::TcpListener;
    use tokio::task::{LocalSet, spawn_local};
    use tokio_tungstenite::accept_async;

    use super::*;
    use crate::measure::wire::{Incoming, Outgoing, Side};

    /// What a server does with its third message that it should not.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fault {
        None,
        ShownTwice,
        NotShown,
        ShownLate,
        AnsweredTwice,
        PositionBack,
        Refused,
        RefusedWithoutId,
        OfAnotherChat,
        StandsStill,
    }

    /// How long a server stands still.
    const STILL: Duration = Duration::from_millis(100);

    /// Serves one pair until its customer goes.
    async fn serve(listener: TcpListener, fault: Fault) {
        let accept = async || {
            let (stream, _) = listener.accept().await.unwrap();
            accept_async(stream).await.unwrap().into_inner().into_split()
        };
        let streams = [accept().await, accept().await];
        let (mut incoming, mut late) = (Incoming::new(Side::Server), Vec::new());
        let [mut answers, mut events] = [(); 2].map(|()| Outgoing::new(Side::Server));
        let [(mut calls, to_customer), (mut operator, to_operator)] = streams;
        while incoming.read(&mut calls).await.is_ok() {
            while let Some(Frame::Text(text)) = incoming.next_frame().unwrap() {
                let call: Value = serde_json::from_slice(text).unwrap();
                let n = call["id"].as_u64().unwrap();
                let is = |which| n == 3 && fault == which;
                if is(Fault::StandsStill) {
                    tokio::time::sleep(STILL).await;
                }
                let seq = if is(Fault::PositionBack) { 1 } else { n };
                if is(Fault::RefusedWithoutId) {
                    answers.text(br#"{"id":null,"error":{"code":1,"message":"no"}}"#);
                }
                let answer = match is(Fault::Refused) {
                    true => json!({ "id": n, "error": { "code": 1, "message": "no" } }),
                    false => json!({ "id": n, "result": { "seq": seq } }),
                };
                let chat = if is(Fault::OfAnotherChat) { "d" } else { "c" };
                let event = json!({
                    "method": "chat.event",
                    "params": { "chat": chat, "kind": "message", "text": call["params"]["text"] },
                });
                let times = |twice| if twice { 2 } else { 1 };
                for _ in 0..times(is(Fault::AnsweredTwice)) {
                    answers.text(answer.to_string().as_bytes());
                }
                if is(Fault::ShownLate) {
                    late.push(event);
                    continue;
                }
                for _ in 0..times(is(Fault::ShownTwice)) {
                    if !is(Fault::NotShown) {
                        events.text(event.to_string().as_bytes());
                    }
                }
                for event in late.drain(..) {
                    events.text(event.to_string().as_bytes());
                }
            }
            answers.write(&to_customer).unwrap();
            events.write(&to_operator).unwrap();
        }
        // The operator listens longer than its customer does.
        while Incoming::new(Side::Server).read(&mut operator).await.is_ok() {}
    }

    const CLOSED: Load = Load {
        in_flight: 4,
        rate: None,
        warm_up: Duration::ZERO,
        time: Duration::from_millis(200),
    };

    fn measured(fault: Fault, load: Load) -> Measured {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            spawn_local(serve(listener, fault));
            let customer = Socket::connect(&address, "/").await.unwrap();
            let operator = Some(Socket::connect(&address, "/").await.unwrap());
            let pair = Pair { chat: "c".to_owned(), customer, operator };
            let mut marks = 0;
            let measured = drive(vec![pair], load, |_| marks += 1).await.unwrap();
            assert_eq!(marks, 2);
            measured
        })
    }

    #[test]
    fn what_a_server_loses_doubles_or_swaps_is_seen() {
        let whole = measured(Fault::None, CLOSED);
        assert_eq!((whole.violated, whole.refused.len()), (0, 0), "{:?}", whole.violations);
        assert!(whole.acknowledged > 4 && whole.delivered > 4);
        for fault in [
            Fault::ShownTwice,
            Fault::NotShown,
            Fault::ShownLate,
            Fault::AnsweredTwice,
            Fault::PositionBack,
            Fault::OfAnotherChat,
        ] {
            let measured = measured(fault, CLOSED);
            assert!(measured.violated > 0, "{fault:?}");
        }
        for fault in [Fault::Refused, Fault::RefusedWithoutId] {
            assert_eq!(measured(fault, CLOSED).refused, BTreeMap::from([("no".to_owned(), 1)]));
        }
    }

    #[test]
    fn in_an_open_loop_a_server_that_stands_still_is_not_asked_less() {
        // One in flight: all that is due meanwhile waits for the one that it stands still with.
        let load = Load { in_flight: 1, rate: Some(1_000.0), ..CLOSED };
        let measured = measured(Fault::StandsStill, load);
        assert_eq!(measured.violated, 0, "{:?}", measured.violations);
        let long_us = micros(STILL) / 2;
        let long = measured.acknowledge_us.count_between(long_us, LONGEST_US);
        assert!(long > 40, "{long} of {} took {long_us} us", measured.acknowledge_us.len());
        assert_eq!(measured.acknowledge_us.len(), measured.acknowledged + measured.unsent);
        // What is late for want of room is not the driver's.
        let late = measured.sent_late_us.count_between(long_us, LONGEST_US);
        assert!(late < long, "{late} were sent late");
    }

    #[test]
    fn what_was_due_and_found_no_room_took_at_least_as_long_as_it_waited() {
        let time = STILL;
        let load = Load { in_flight: 1, rate: Some(1_000.0), time, ..CLOSED };
        let measured = measured(Fault::StandsStill, load);
        assert!(measured.unsent > 40, "{}", measured.unsent);
        let waited = measured.acknowledge_us.count_between(micros(time) / 2, LONGEST_US);
        assert!(waited > 20, "{waited}");
    }

    #[test]
    fn a_pair_that_is_due_after_the_end_ends_with_the_others() {
        let load = Load { rate: Some(0.01), ..CLOSED };
        let measured = measured(Fault::None, load);
        assert_eq!((measured.violated, measured.unsent), (0, 0), "{:?}", measured.violations);
        assert_eq!(measured.acknowledged, 1);
    }

    #[test]
    fn what_is_due_in_an_open_loop_comes_evenly_at_full_milliseconds() {
        let due = |place, n| Due { place, of: 4, rate: 1_000.0 }.at_us(n);
        assert_eq!([due(0, 0), due(1, 0), due(3, 0), due(0, 1)], [0, 1_000, 3_000, 4_000]);
        let fast = |place, n| Due { place, of: 4, rate: 8_000.0 }.at_us(n);
        assert_eq!([fast(0, 0), fast(3, 0), fast(0, 4), fast(1, 4)], [0, 1_000, 2_000, 3_000]);
    }
}

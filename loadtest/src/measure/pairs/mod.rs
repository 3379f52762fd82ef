//! Pairs of one who writes and one who is shown it, on one thread, verified while they are
//! measured.
//!
//! Owns what is sent when, and what must come of it: each message is answered once, and shown to the other
//! one of its pair once and in order. Refuses to know who serves: the router and the floors alike.
//!
//! A pair has one chat or many. Of many each has a message in turn; what is in order is each chat for itself.
//!
//! In a closed loop each writer has so many messages in flight. In an open loop messages are due at fixed
//! times whatever became of earlier ones, and times count from when a message was due, so that a server
//! that stands still is not asked less (coordinated omission). What was due within the time counts, however
//! late its answer; what was due and could not be sent for want of room is told. They are due in steps of a
//! millisecond, since timers have no finer ones.

mod heard;
mod reader;
mod writer;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use hdrhistogram::Histogram;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};

use self::heard::Refusal;
use self::reader::{Reader, Sent};
use self::writer::{Due, Writer};
use super::wire::{Socket, WireError};

/// How long the last answers may take.
const LAST_LIMIT: Duration = Duration::from_secs(30);

/// The longest time that is told from longer ones, µs: longer than a run lasts.
const LONGEST_US: u64 = 600_000_000;

/// Digits to which times are kept.
const DIGITS: u8 = 3;

/// Violations that are told in full; more are counted.
const TOLD_MAX: usize = 10;

/// Two sockets, and the chats between them.
#[derive(Debug)]
pub struct Pair {
    /// The chats, as they are written; at least one. Message n goes into the n-th, and after the last into the first.
    pub chats: Rc<[String]>,
    /// Who writes.
    pub writer: Socket,
    /// Who is shown it; none where nobody is.
    pub reader: Option<Socket>,
}

/// What is asked of a server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Messages that each writer has in flight, at most
    /// [`UNANSWERED_MAX`](switchboard::protocol::limits::UNANSWERED_MAX); in an open loop, at most.
    pub in_flight: usize,
    /// Messages a second in all; none: a closed loop.
    pub rate: Option<f64>,
    /// What is not measured, in front.
    pub warm_up: Duration,
    /// What is; with `messages` at most.
    pub time: Duration,
    /// Measured messages in all, after which it is over; none: when the time is.
    pub messages: Option<u64>,
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
    /// The longest stretch of the measured time in which nobody was answered, µs.
    pub stall_us: u64,
    /// When somebody was answered last, or the measured time began, µs.
    answered_us: u64,
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
    fn new(from_us: u64) -> Result<Self, PairError> {
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
            stall_us: 0,
            answered_us: from_us,
        })
    }

    /// Somebody is answered now, or the measured time is over.
    fn answered(&mut self, now_us: u64) {
        self.stall_us = self.stall_us.max(now_us.saturating_sub(self.answered_us));
        self.answered_us = self.answered_us.max(now_us);
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

    /// Whether it is the measured time.
    fn is_measured(&self, now_us: u64) -> bool {
        (self.from_us..self.to_us).contains(&now_us)
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
    let measured = Rc::new(RefCell::new(Measured::new(clock.from_us)?));
    let of = pairs.len();
    let over = Rc::new(Over { writing: Cell::new(of), told: Notify::new() });
    let mut tasks = JoinSet::new();
    for (place, pair) in pairs.into_iter().enumerate() {
        let Pair { chats, writer, reader } = pair;
        let (sent, over) = (Rc::new(Sent::default()), Rc::clone(&over));
        let due = load.rate.map(|rate| Due { place, of, rate });
        let people = (Rc::clone(&chats), clock, Rc::clone(&measured));
        let most = load.messages.map(|messages| share(messages, place, of));
        let writer = Writer::new(writer, (load.in_flight, due, most), people);
        let people = (chats, clock, Rc::clone(&measured));
        let reader = reader.map(|socket| Reader::new(socket, Rc::clone(&sent), people));
        tasks.spawn_local(async move {
            let all = writer.run().await?;
            over.one_less();
            sent.tell(all);
            Ok::<_, PairError>(())
        });
        if let Some(reader) = reader {
            tasks.spawn_local(reader.run());
        }
    }
    goes_on(&mut tasks, clock.at(clock.from_us), None).await?;
    mark(&Counts(Rc::clone(&measured)));
    // All have their answers before the time is over where so many messages are wanted.
    let over = load.messages.map(|_| &*over);
    goes_on(&mut tasks, clock.at(clock.to_us), over).await?;
    mark(&Counts(Rc::clone(&measured)));
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| PairError::Ended(error.to_string()))??;
    }
    let mut measured =
        Rc::try_unwrap(measured).map_or_else(|shared| shared.borrow().clone(), RefCell::into_inner);
    if load.messages.is_none() {
        measured.answered(clock.to_us);
    }
    let measured_us = measured.answered_us.saturating_sub(clock.from_us);
    measured.seconds = Duration::from_micros(measured_us).as_secs_f64();
    Ok(measured)
}

/// Who of all still writes.
struct Over {
    writing: Cell<usize>,
    told: Notify,
}

impl Over {
    fn one_less(&self) {
        self.writing.set(self.writing.get().saturating_sub(1));
        if self.writing.get() == 0 {
            self.told.notify_one();
        }
    }
}

/// The place of the chat into which a message goes, of which the first one is 1.
fn place_of(n: u64, chats: usize) -> usize {
    let place = n.saturating_sub(1) % chats.max(1) as u64;
    usize::try_from(place).unwrap_or_default()
}

/// What falls to one of many, when so much is shared evenly.
pub fn share(whole: u64, place: usize, of: usize) -> u64 {
    let until = |place: usize| whole * place as u64 / of.max(1) as u64;
    until(place + 1) - until(place)
}

/// Waits until then, or until nobody writes any more. Errors as soon as somebody cannot go on.
async fn goes_on(
    tasks: &mut JoinSet<Result<(), PairError>>,
    until: Instant,
    over: Option<&Over>,
) -> Result<(), PairError> {
    let mut timer = pin!(sleep_until(until));
    let mut over = pin!(async {
        match over {
            Some(over) => over.told.notified().await,
            None => std::future::pending().await,
        }
    });
    loop {
        tokio::select! {
            biased;
            () = &mut timer => return Ok(()),
            () = &mut over => return Ok(()),
            Some(ended) = tasks.join_next() => {
                ended.map_err(|error| PairError::Ended(error.to_string()))??;
            }
        }
    }
}

#[cfg(test)]
mod tests;

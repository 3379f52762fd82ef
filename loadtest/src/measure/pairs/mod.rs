//! Pairs of one who writes and one who is shown it, on one thread, verified while they are
//! measured.
//!
//! Owns what is sent when, and what must come of it: each message is answered once, and shown to the other
//! one of its pair once and in order. Refuses to know who serves: the router and the floors alike.
//!
//! In a closed loop each writer has so many messages in flight. In an open loop messages are due at fixed
//! times whatever became of earlier ones, and times count from when a message was due, so that a server
//! that stands still is not asked less (coordinated omission). What was due within the time counts, however
//! late its answer; what was due and could not be sent for want of room is told. They are due in steps of a
//! millisecond, since timers have no finer ones.

mod heard;
mod reader;
mod writer;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use hdrhistogram::Histogram;
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

/// Two sockets, and the chat between them.
#[derive(Debug)]
pub struct Pair {
    /// The chat, as it is written.
    pub chat: String,
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
        let Pair { chat, writer, reader } = pair;
        let sent = Rc::new(Sent::default());
        let due = load.rate.map(|rate| Due { place, of, rate });
        let people = (chat.clone(), clock, Rc::clone(&measured));
        let writer = Writer::new(writer, (load, due), people);
        let people = (chat, clock, Rc::clone(&measured));
        let reader = reader.map(|socket| Reader::new(socket, Rc::clone(&sent), people));
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

#[cfg(test)]
mod tests;

//! Who is shown what the other one writes: each message once and, in its chat, in order.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::{Duration, Instant, sleep_until};

use super::heard::{Params, Probes, read, wire};
use super::{Clock, LAST_LIMIT, Measured, PairError};
use crate::measure::wire::Socket;

/// Who it is, in words.
const WHO: &str = "a reader";

/// How long a reader who was shown everything listens on: what is shown twice comes then.
const LINGER: Duration = Duration::from_millis(100);

/// How many messages a writer has sent, when it has sent all.
#[derive(Debug, Default)]
pub(super) struct Sent {
    all: Cell<Option<u64>>,
    told: Notify,
}

impl Sent {
    pub(super) fn tell(&self, all: u64) {
        self.all.set(Some(all));
        self.told.notify_one();
    }
}

/// Who is shown what its writer writes.
pub(super) struct Reader {
    /// Where each of the chats is among them.
    places: HashMap<String, usize>,
    socket: Socket,
    clock: Clock,
    /// The number of the last one of each chat that it was shown.
    last: Vec<u64>,
    probes: Probes,
    sent: Rc<Sent>,
    measured: Rc<RefCell<Measured>>,
}

impl Reader {
    /// Who is shown these chats.
    pub(super) fn new(
        socket: Socket,
        sent: Rc<Sent>,
        (chats, clock, measured): (Rc<[String]>, Clock, Rc<RefCell<Measured>>),
    ) -> Self {
        let places = chats.iter().cloned().zip(0..).collect();
        let (last, probes) = (vec![0; chats.len()], Probes::default());
        Self { places, socket, clock, last, probes, sent, measured }
    }

    /// In how many chats it was not shown the last one, when its writer has sent so many.
    fn missing(&self, all: u64) -> usize {
        let of = self.last.len() as u64;
        let due = |place: u64| if all > place { all - (all - 1 - place) % of } else { 0 };
        self.last.iter().zip(0..).filter(|(last, place)| **last < due(*place)).count()
    }

    /// Reads until it was shown all that its writer has sent, and a little longer.
    pub(super) async fn run(mut self) -> Result<(), PairError> {
        let limit = self.clock.at(self.clock.to_us) + LAST_LIMIT + LAST_LIMIT;
        let mut timer = pin!(sleep_until(limit));
        let sent = Rc::clone(&self.sent);
        let mut has_all = false;
        loop {
            if !has_all && sent.all.get().is_some_and(|all| self.missing(all) == 0) {
                has_all = true;
                timer.as_mut().reset(Instant::now() + LINGER);
            }
            tokio::select! {
                biased;
                turn = self.socket.turn() => {
                    turn.map_err(wire(WHO))?;
                    self.hear()?;
                }
                () = sent.told.notified() => {}
                () = &mut timer => {
                    if !has_all {
                        let missing = sent.all.get().map(|all| self.missing(all));
                        let what = || format!("a reader was not shown the last of {missing:?} chats");
                        self.measured.borrow_mut().violation(what);
                    }
                    return Ok(());
                }
            }
        }
    }

    fn hear(&mut self) -> Result<(), PairError> {
        let now_us = self.clock.now_us();
        let of = self.last.len() as u64;
        let Socket { incoming, outgoing, .. } = &mut self.socket;
        while let Some(frame) = incoming.next_frame().map_err(wire(WHO))? {
            let mut measured = self.measured.borrow_mut();
            let Some(heard) = read(frame, WHO, outgoing, &mut measured) else { continue };
            if self.probes.took(&heard, outgoing) {
                continue;
            }
            measured.note(heard.error);
            match (heard.method.as_deref(), heard.params) {
                (
                    Some("chat.event"),
                    Some(Params { kind: Some(kind), text: Some(text), chat, .. }),
                ) if kind == "message" => {
                    let place = chat.and_then(|chat| self.places.get(&*chat));
                    let Some(last) = place.and_then(|place| self.last.get_mut(*place)) else {
                        measured.violation(|| "a reader was shown another chat".to_owned());
                        continue;
                    };
                    let mut words = text.split(' ').map(str::parse::<u64>);
                    let (Some(Ok(n)), Some(Ok(since_us))) = (words.next(), words.next()) else {
                        measured.violation(|| "a reader was shown another message".to_owned());
                        continue;
                    };
                    let place = place.copied().unwrap_or_default() as u64;
                    let due = if *last == 0 { place + 1 } else { *last + of };
                    let before = std::mem::replace(last, n);
                    if n != due {
                        measured.violation(|| {
                            format!("a reader was shown message {n} of a chat after {before}")
                        });
                    }
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

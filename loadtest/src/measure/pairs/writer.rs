//! Who writes: what is sent when, and that each message is answered once and, in its chat, in order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;

use switchboard::protocol::limits::UNANSWERED_MAX;
use tokio::time::sleep_until;

use super::heard::{Probes, read, wire};
use super::{Clock, LAST_LIMIT, Measured, PairError, micros, place_of};
use crate::measure::wire::Socket;

/// Who it is, in words.
const WHO: &str = "a writer";

/// Bytes of a message's text: about what people write.
const TEXT_BYTES: usize = 120;

/// Most messages of a chat: it takes 100,000 events in all. Whoever gets there has measured less than was asked, which
/// is a violation.
const MESSAGES_MAX: u64 = 90_000;

/// When the messages of a writer are due in an open loop: all writers' in turn, evenly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) place: usize,
    pub(super) of: usize,
    pub(super) rate: f64,
}

impl Due {
    /// The n-th message, from 0, µs; at the full millisecond behind it.
    pub(super) fn at_us(&self, n: u64) -> u64 {
        let before = n as f64 * self.of as f64 + self.place as f64;
        let ms = (before * 1_000.0 / self.rate).ceil();
        (ms as u64).saturating_mul(1_000)
    }
}

pub(super) struct Writer {
    chats: Rc<[String]>,
    socket: Socket,
    in_flight: usize,
    due: Option<Due>,
    /// How many it is to send in the measured time; none: as many as it can.
    most: Option<u64>,
    clock: Clock,
    sent: u64,
    /// Those of them that fell into the measured time.
    sent_measured: u64,
    /// Those without an answer, and from when their time counts, µs.
    out: VecDeque<(u64, u64)>,
    probes: Probes,
    /// The position of the last one that was answered, by chat.
    last_seqs: Vec<u64>,
    /// Since when there is room for one more in flight, µs.
    room_us: u64,
    measured: Rc<RefCell<Measured>>,
}

impl Writer {
    /// Who writes into these chats, so many at a time, and when, and how many.
    pub(super) fn new(
        socket: Socket,
        (in_flight, due, most): (usize, Option<Due>, Option<u64>),
        (chats, clock, measured): (Rc<[String]>, Clock, Rc<RefCell<Measured>>),
    ) -> Self {
        Self {
            last_seqs: vec![0; chats.len()],
            chats,
            socket,
            in_flight: in_flight.min(UNANSWERED_MAX),
            due,
            most,
            clock,
            sent: 0,
            sent_measured: 0,
            out: VecDeque::new(),
            probes: Probes::default(),
            room_us: 0,
            measured,
        }
    }

    /// Writes until the time is over, and waits for the last answers. How many it sent.
    pub(super) async fn run(mut self) -> Result<u64, PairError> {
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
                    turn.map_err(wire(WHO))?;
                    self.hear()?;
                }
                () = &mut timer => {
                    if self.clock.now_us() >= limit_us && !self.out.is_empty() {
                        let missing = self.out.len();
                        let what = || format!("{missing} messages of a writer were never answered");
                        self.measured.borrow_mut().violation(what);
                        return Ok(self.sent);
                    }
                }
            }
        }
    }

    fn ends(&self) -> bool {
        self.clock.is_over() || self.has_sent_all() || self.is_full()
    }

    fn has_sent_all(&self) -> bool {
        self.most.is_some_and(|most| self.sent_measured >= most)
    }

    fn is_full(&self) -> bool {
        self.sent >= MESSAGES_MAX * self.chats.len() as u64
    }

    /// Tells what it was to send and did not.
    fn tell_unsent(&self) {
        let mut measured = self.measured.borrow_mut();
        if let Some(most) = self.most.filter(|_| !self.has_sent_all()) {
            let sent = self.sent_measured;
            let what = || format!("a writer had sent {sent} of its {most} messages at the end");
            measured.violation(what);
        } else if self.most.is_none() && !self.clock.is_over() {
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
        while !self.ends() && self.out.len() < self.in_flight {
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
            self.sent_measured += u64::from(self.clock.is_measured(now_us));
            self.out.push_back((self.sent, since_us));
            let head = format!("{:09} {since_us:012} ", self.sent);
            let frame = format!(
                r#"{{"jsonrpc":"2.0","id":{n},"method":"message.send","params":{{"chat":"{chat}","client_message_id":"{n}","text":"{head:.<TEXT_BYTES$}"}}}}"#,
                n = self.sent,
                chat = self.chats[place_of(self.sent, self.chats.len())],
            );
            self.socket.outgoing.text(frame.as_bytes());
        }
        None
    }

    fn hear(&mut self) -> Result<(), PairError> {
        let now_us = self.clock.now_us();
        let Socket { incoming, outgoing, .. } = &mut self.socket;
        while let Some(frame) = incoming.next_frame().map_err(wire(WHO))? {
            let mut measured = self.measured.borrow_mut();
            let Some(heard) = read(frame, WHO, outgoing, &mut measured) else { continue };
            if self.probes.took(&heard, outgoing) {
                continue;
            }
            let Some(id) = heard.id else {
                measured.note(heard.error);
                continue;
            };
            let Some(place) = self.out.iter().position(|(out, _)| *out == id) else {
                measured.violation(|| format!("call {id} was answered and is not under way"));
                continue;
            };
            if self.out.len() >= self.in_flight {
                self.room_us = now_us;
            }
            let Some((_, since_us)) = self.out.remove(place) else { continue };
            if measured.note(heard.error) {
                continue;
            }
            let seq = heard.result.and_then(|answer| answer.seq).unwrap_or_default();
            let chat = place_of(id, self.last_seqs.len());
            if let Some(last_seq) = self.last_seqs.get_mut(chat) {
                let before = std::mem::replace(last_seq, seq);
                if seq <= before {
                    measured.violation(|| format!("an answer says position {seq} after {before}"));
                }
            }
            if self.clock.is_measured(now_us) {
                measured.answered(now_us);
            }
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

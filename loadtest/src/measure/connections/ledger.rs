//! What must hold of sessions that do nothing: each opens, none is closed, and at the end each still answers.
//! A pure value: what happened goes in, what should not have comes out.

use crate::measure::found::Found;
use crate::measure::session::Heard;

/// Signs of life that may be on their way when nobody waits for them any more.
const PONGS_MISSING_MAX: u64 = 1;

/// What is known of all sessions, by their places.
#[derive(Debug)]
pub struct Ledger {
    sessions: Vec<Life>,
    open: usize,
    answered: usize,
    found: Found,
}

#[derive(Debug, Clone, Default)]
struct Life {
    is_open: bool,
    is_over: bool,
    asked: Option<u64>,
    is_answered: bool,
    pings: u64,
    pongs: u64,
}

impl Ledger {
    /// Of so many sessions, none of which is there.
    pub fn new(count: usize) -> Self {
        let sessions = vec![Life::default(); count];
        Self { sessions, open: 0, answered: 0, found: Found::default() }
    }

    /// A session is open.
    pub fn opened(&mut self, place: usize) {
        if let Some(life) = self.sessions.get_mut(place) {
            life.is_open = true;
            self.open += 1;
        }
    }

    /// A session is over that nobody wanted to end, or never came about.
    pub fn closed(&mut self, place: usize, why: &str) {
        let Some(life) = self.sessions.get_mut(place) else { return };
        let before = if life.is_open { "while it was idle" } else { "before it was open" };
        self.open -= usize::from(life.is_open);
        (life.is_open, life.is_over) = (false, true);
        self.found.violation(|| format!("session {place} ended {before}: {why}"));
    }

    /// A session called something.
    pub fn asked(&mut self, place: usize, call: u64) {
        if let Some(life) = self.sessions.get_mut(place) {
            life.asked = Some(call);
        }
    }

    /// A session asked for a sign of life.
    pub fn pinged(&mut self, place: usize) {
        if let Some(life) = self.sessions.get_mut(place) {
            life.pings += 1;
        }
    }

    /// A session heard something. Notifications are nobody's concern here.
    pub fn heard(&mut self, place: usize, heard: &Heard) {
        let Some(life) = self.sessions.get_mut(place) else { return };
        match heard {
            Heard::Answered(call, outcome) => {
                if life.asked != Some(*call) || life.is_answered {
                    let asked = life.asked;
                    self.found.violation(|| {
                        format!("session {place} was answered call {call}, and waits for {asked:?}")
                    });
                    return;
                }
                life.is_answered = true;
                self.answered += 1;
                if let Err(name) = outcome {
                    self.found.refused(name);
                }
            }
            Heard::Pong => {
                life.pongs += 1;
                if life.pongs > life.pings {
                    self.found.violation(|| {
                        format!("session {place} got a sign of life that it did not ask for")
                    });
                }
            }
            Heard::Told(_) => {}
        }
    }

    /// Sessions that are open.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Sessions that have come to their end or are open: no further one is to be waited for.
    pub fn settled(&self) -> usize {
        self.open + self.sessions.iter().filter(|life| life.is_over).count()
    }

    /// Whether every session that is open has its answer.
    pub fn is_answered(&self) -> bool {
        self.answered >= self.open
    }

    /// What was found, when nothing more is waited for.
    pub fn finish(&mut self) -> Found {
        let Self { sessions, found, .. } = self;
        for (place, life) in sessions.iter().enumerate().filter(|(_, life)| !life.is_over) {
            if !life.is_open {
                found.violation(|| format!("session {place} never opened"));
                continue;
            }
            if !life.is_answered {
                found.violation(|| format!("session {place} does not answer at the end"));
            }
            if life.pings > life.pongs + PONGS_MISSING_MAX {
                let (pings, pongs) = (life.pings, life.pongs);
                found.violation(|| {
                    format!("session {place} asked for {pings} signs of life and got {pongs}")
                });
            }
        }
        std::mem::take(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::report::Round;

    /// What is said of what happens.
    type Case = (&'static str, fn(&mut Ledger));

    fn answered(call: u64) -> Heard {
        Heard::Answered(call, Ok(Box::default()))
    }

    /// Two sessions, of which the first one lives as it should.
    fn found(second: impl FnOnce(&mut Ledger)) -> (Round, Ledger) {
        let mut ledger = Ledger::new(2);
        ledger.opened(0);
        ledger.pinged(0);
        ledger.heard(0, &Heard::Pong);
        ledger.asked(0, 4);
        ledger.heard(0, &answered(4));
        second(&mut ledger);
        let round = ledger.finish().into_round();
        (round, ledger)
    }

    #[test]
    fn sessions_that_open_and_answer_are_as_they_should_be() {
        let (found, ledger) = found(|ledger| {
            ledger.opened(1);
            ledger.asked(1, 4);
            assert!(!ledger.is_answered());
            ledger.heard(1, &answered(4));
        });
        assert_eq!((found.violations, found.violated), (Vec::new(), 0));
        assert_eq!((ledger.open(), ledger.settled(), ledger.is_answered()), (2, 2, true));
    }

    #[test]
    fn what_a_server_does_to_an_idle_session_is_seen() {
        let cases: [Case; 6] = [
            ("never opened", |_| {}),
            ("ended before it was open: refused", |ledger| ledger.closed(1, "refused")),
            ("ended while it was idle: 4003 too_slow", |ledger| {
                ledger.opened(1);
                ledger.closed(1, "4003 too_slow");
            }),
            ("does not answer at the end", |ledger| {
                ledger.opened(1);
                ledger.asked(1, 4);
            }),
            ("was answered call 9", |ledger| {
                ledger.opened(1);
                ledger.asked(1, 4);
                ledger.heard(1, &answered(4));
                ledger.heard(1, &answered(9));
            }),
            ("asked for 2 signs of life and got 0", |ledger| {
                ledger.opened(1);
                ledger.pinged(1);
                ledger.pinged(1);
                ledger.asked(1, 4);
                ledger.heard(1, &answered(4));
            }),
        ];
        for (words, case) in cases {
            let found = found(case).0.violations;
            assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
        }
    }

    #[test]
    fn a_session_that_is_closed_is_not_waited_for_and_a_refusal_is_counted() {
        let (round, _) = found(|ledger| {
            ledger.opened(1);
            ledger.asked(1, 4);
            ledger.heard(1, &Heard::Answered(4, Err("internal".to_owned())));
        });
        assert_eq!((round.violated, round.refused["internal"]), (0, 1));
        let (_, ledger) = found(|ledger| ledger.closed(1, "x"));
        assert_eq!((ledger.open(), ledger.settled(), ledger.is_answered()), (1, 2, true));
    }
}

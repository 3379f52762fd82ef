//! People who ask until they are answered, guests who come or do not, and what is true of the answers.

use crate::domain::{Recorded, UserId};
use crate::machine::CallId;
use crate::machine::driver::{Answer, Input};
use crate::machine::fixture::command;

use super::super::group::{Ask, Deed, Done, Event, Key, Refusal, Reply};
use super::World;

/// How long whoever asks gives the group, ms.
pub const PATIENCE_MS: u64 = 5_000;

/// How often somebody asks before a test gives up: more often than anything goes wrong in a row.
pub const ATTEMPTS: usize = 1_000;

/// What comes of asking once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    Answered(Result<Answer, Refusal>),
    /// It is begun, and the answer will come.
    Waits,
    /// Nobody answers.
    Nothing,
}

pub fn done(who: UserId, id: &str, deed: Deed) -> Done {
    Done { who, command: command(id), deed }
}

impl World {
    // ---- asking ----

    /// Asks until it is answered; what is begun is settled by its guest or its time.
    pub fn ask(&mut self, wanted: &Done) -> Result<Answer, Refusal> {
        for _ in 0..ATTEMPTS {
            match self.try_once(wanted) {
                Got::Answered(Err(Refusal::Unavailable | Refusal::Late)) => {}
                Got::Answered(answer) => return answer,
                Got::Waits | Got::Nothing => {}
            }
            self.settle(&wanted.key());
        }
        panic!("{wanted:?} is never answered");
    }

    /// Asks once.
    pub fn try_once(&mut self, wanted: &Done) -> Got {
        self.try_together(std::slice::from_ref(wanted))[0]
    }

    /// Asks for all of them at once: some come together, others while those are under way.
    pub fn try_together(&mut self, wanted: &[Done]) -> Vec<Got> {
        let calls: Vec<CallId> = wanted.iter().map(|wanted| self.comes(wanted)).collect();
        while !self.mailbox.is_empty() {
            let waiting = self.mailbox.len();
            let later = if waiting > 1 { usize::from(self.pick(waiting as u8)) } else { 0 };
            let together: Vec<_> = self.mailbox.drain(..waiting - later).collect();
            let before = self.log.len();
            let actions = self.driver.calls(self.now, together.clone());
            self.go_on(actions);
            if self.log.len() > before + 1 {
                self.saw("more than one was written");
            }
            self.none_overtook(&together, before);
        }
        let got = calls.iter().map(|call| match self.answers.get(call) {
            Some(answer) => Got::Answered(*answer),
            None if self.waiting.contains_key(call) => Got::Waits,
            None => Got::Nothing,
        });
        got.collect()
    }

    /// Of calls that came together, none was written when one in front of it is to be made again, unless that
    /// one stands in the log.
    fn none_overtook(&mut self, together: &[(CallId, Ask)], before: usize) {
        let is_to_be_made_again = |(call, ask): &(CallId, Ask)| {
            let unavailable = self.answers.get(call) == Some(&Err(Refusal::Unavailable));
            unavailable && self.stands(&ask.wanted.key()).is_none()
        };
        let Some(first) = together.iter().position(is_to_be_made_again) else { return };
        for (call, ask) in &together[first..] {
            let written = self.stands(&ask.wanted.key()).map(|(answer, _)| answer.seq);
            let new = written.is_some_and(|seq| seq > before as u64);
            let in_front =
                together[..first].iter().any(|(_, other)| other.wanted.key() == ask.wanted.key());
            assert!(!new || in_front, "{call} has overtaken {}", together[first].0);
        }
        if first > 0 {
            self.saw("not all");
        }
    }

    /// How many calls have no answer yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn comes(&mut self, wanted: &Done) -> CallId {
        self.calls += 1;
        let ask = Ask { wanted: wanted.clone(), until: self.now.plus_ms(PATIENCE_MS) };
        self.waiting.insert(self.calls, ask.clone());
        self.mailbox.push_back((self.calls, ask));
        self.calls
    }

    /// Asks for an invitation until it is begun.
    pub fn invite(&mut self, wanted: &Done) {
        for _ in 0..ATTEMPTS {
            if self.stands(&wanted.key()).is_some() {
                return;
            }
            self.try_once(wanted);
        }
        panic!("{wanted:?} is never begun");
    }

    /// Somebody looks, and nothing is written for it, unless it is open.
    pub fn look(&mut self) {
        let (tail, hours, open) = (self.log.len(), self.hours.len(), self.row.is_some());
        let actions = self.driver.look();
        self.go_on(actions);
        if self.late.is_none() && !open {
            assert!(self.log.len() == tail && self.hours.len() == hours, "a look writes nothing");
        }
    }

    // ---- guests ----

    /// The guest of an invitation says whether she comes, until it is settled.
    pub fn says_until_settled(&mut self, key: &Key, comes: bool) {
        self.said.insert(key.clone(), comes);
        self.until_settled(key);
    }

    /// An open invitation ends by what its guest has said, or by its time.
    pub fn until_settled(&mut self, key: &Key) {
        for _ in 0..ATTEMPTS {
            if !self.durable().invited.contains_key(key) {
                return;
            }
            self.settle(key);
        }
        panic!("{key:?} is never settled");
    }

    fn settle(&mut self, key: &Key) {
        if self.durable().invited.contains_key(key) {
            match self.said.get(key).copied() {
                Some(comes) => self.says(key.clone(), comes),
                None => self.tick(),
            }
        }
    }

    /// One of those who were asked says whether she comes, perhaps once more, perhaps too late.
    pub fn reply(&mut self) {
        let Some(last) = self.asked.len().checked_sub(1) else { return };
        let n = usize::from(self.pick(u8::MAX)).min(last);
        let comes = self.pick(2) == 1;
        if let Some(key) = self.asked.iter().nth(n).cloned() {
            let comes = *self.said.entry(key.clone()).or_insert(comes);
            self.says(key, comes);
        }
    }

    fn says(&mut self, invitation: Key, comes: bool) {
        assert!(self.asked.contains(&invitation), "{invitation:?} was never asked");
        let reply = Reply { invitation, comes };
        let actions = self.driver.input(self.now, Input::Said(reply));
        self.go_on(actions);
    }

    // ---- answers ----

    pub(super) fn is_answered(&mut self, call: CallId, answer: Result<Answer, Refusal>) {
        let Some(ask) = self.waiting.remove(&call) else {
            panic!("nobody waits for the answer to {call}");
        };
        self.judge(&ask.wanted, answer);
        self.answers.insert(call, answer);
    }

    /// What was answered is what the log has of it, and what was refused is not in it.
    fn judge(&mut self, wanted: &Done, answer: Result<Answer, Refusal>) {
        let key = wanted.key();
        let Some(deed) = self.stands(&key).map(|(_, deed)| deed) else {
            assert!(answer.is_err(), "{wanted:?} is answered and not written");
            return;
        };
        match answer {
            Err(Refusal::Unavailable) => return,
            Err(Refusal::IdReused) => {
                assert_ne!(deed, wanted.deed);
                self.saw("id reused");
                return;
            }
            Ok(_) | Err(_) => assert_eq!(deed, wanted.deed, "the id was for something else"),
        }
        assert_eq!(self.outcome(&key), Some(answer), "{wanted:?}");
        let first = self.answered.entry(key).or_insert(answer);
        assert_eq!(*first, answer, "whoever asks again gets the same answer");
        if let Err(refusal) = answer {
            self.saw(&format!("{refusal:?}"));
        } else if matches!(deed, Deed::Invites(_)) {
            self.saw("Came");
        }
    }

    /// The event of a command; it has no other.
    fn stands(&self, key: &Key) -> Option<(Answer, Deed)> {
        let mut stands = self.log.iter().filter_map(|recorded| match &recorded.event {
            Event::Done(done) if done.key() == *key => Some((answer_of(recorded), done.deed)),
            Event::Done(_) | Event::Settled(..) => None,
        });
        let (first, more) = (stands.next(), stands.count());
        assert_eq!(more, 0, "{key:?} is in the log more than once");
        first
    }

    /// The answer to a command as the log has it; none: it is not in it, or only begun.
    fn outcome(&self, key: &Key) -> Option<Result<Answer, Refusal>> {
        let (answer, deed) = self.stands(key)?;
        if !matches!(deed, Deed::Invites(_)) {
            return Some(Ok(answer));
        }
        let mut settled = self.log.iter().filter_map(|recorded| match &recorded.event {
            Event::Settled(of, how) if of == key => {
                Some(how.outcome().map(|()| answer_of(recorded)))
            }
            Event::Settled(..) | Event::Done(_) => None,
        });
        let (first, more) = (settled.next(), settled.count());
        assert_eq!(more, 0, "{key:?} is settled more than once");
        first
    }
}

fn answer_of(recorded: &Recorded<Event>) -> Answer {
    Answer { seq: recorded.seq, at: recorded.at }
}

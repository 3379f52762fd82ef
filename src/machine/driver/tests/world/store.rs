//! The store, in which everything goes wrong.

use std::time::Duration;

use crate::domain::{Recorded, Timestamp, UserId};
use crate::machine::driver::{Beside, READ_PAGE, StoreAnswer, StoreCall};
use crate::storage::{AppendError, Claimed, FeedHour, StoreError};

use super::super::group::{Deed, Event, Group, How, Key};
use super::people::done;
use super::{Fault, World};

/// An append that takes effect after so many steps.
#[derive(Debug)]
pub struct Late {
    claim: u64,
    events: Vec<Recorded<Event>>,
    beside: Option<Beside<Group>>,
    steps: u8,
}

impl World {
    pub(super) fn store(
        &mut self,
        call: StoreCall<Group>,
        fault: Option<Fault>,
        said_at: Timestamp,
    ) -> StoreAnswer<Group> {
        let refused = StoreError::Unavailable { reason: "planned".into() };
        let silent = StoreError::Silent { limit: Duration::from_secs(10) };
        // What it answers, if not that it was done; and whether it was.
        let (error, done) = match fault {
            Some(Fault::Refused) => (Some(refused), false),
            Some(Fault::RefusedDone) => (Some(refused), true),
            Some(Fault::Silent) => (Some(silent), false),
            Some(Fault::SilentDone | Fault::Late) => (Some(silent), true),
            _ => (None, true),
        };
        let answer = |error: Option<StoreError>| error.map_or(Ok(()), Err);
        match call {
            StoreCall::Claim => {
                self.epoch += u64::from(done);
                let claimed = Claimed { claim: self.epoch, tail: self.log.len() as u64 };
                StoreAnswer::Claimed(answer(error).map(|()| claimed))
            }
            StoreCall::Read { from } => {
                let whole = fault != Some(Fault::Late);
                let error = error.filter(|_| whole);
                let limit = if whole { READ_PAGE } else { 1 };
                let rest = self.log.iter().skip(from as usize - 1);
                let mut page: Vec<_> = rest.take(limit).cloned().collect();
                if fault == Some(Fault::Phantom) {
                    page.extend(self.phantom());
                }
                if self.driver.tail() >= from {
                    self.saw("looked up");
                }
                StoreAnswer::Page(answer(error).map(|()| page))
            }
            StoreCall::Touch(hour) => {
                if done {
                    self.hours.insert(hour);
                    self.touched = self.step;
                }
                StoreAnswer::Touched(answer(error))
            }
            StoreCall::Prepare(row) => {
                if done {
                    self.row = Some(row);
                }
                StoreAnswer::Prepared(answer(error))
            }
            StoreCall::Append(claim, events) => {
                self.check_append(&events, None, said_at);
                StoreAnswer::Appended(self.append(claim, events, None, fault))
            }
            StoreCall::AppendWith(claim, events, beside) => {
                assert!(self.in_one_write, "the store cannot");
                self.saw("with what stands beside");
                self.check_append(&events, beside.hour, said_at);
                StoreAnswer::Appended(self.append(claim, events, Some(beside), fault))
            }
        }
    }

    /// What a late write of a dead claim would look like: of an open invitation, how it ends.
    fn phantom(&self) -> Option<Recorded<Event>> {
        let mut phantom = self.log.last()?.clone();
        phantom.seq += 1;
        let open = self.durable().invited.into_keys().next();
        let written = Event::Done(done(UserId::from_u128(98), "phantom", Deed::Joins));
        phantom.event = open.map_or(written, |key| Event::Settled(key, How::Came));
        Some(phantom)
    }

    fn append(
        &mut self,
        claim: u64,
        events: Vec<Recorded<Event>>,
        beside: Option<Beside<Group>>,
        fault: Option<Fault>,
    ) -> Result<(), AppendError> {
        self.untold.get_or_insert(events[0].seq - 1);
        let unknown = || AppendError::Unknown { reason: "planned".into() };
        match fault {
            Some(Fault::Refused) => Err(AppendError::Unavailable { reason: "planned".into() }),
            Some(Fault::RefusedDone | Fault::SilentDone) => {
                self.write(claim, events, beside)?;
                self.landed = self.step;
                Err(unknown())
            }
            Some(Fault::Silent) => Err(unknown()),
            Some(Fault::Late) => {
                let steps = 1 + self.pick(4);
                self.late = Some(Late { claim, events, beside, steps });
                Err(unknown())
            }
            _ => {
                self.write(claim, events, beside)?;
                // Until it is told, nobody knows.
                if fault == Some(Fault::CrashAfter) {
                    self.landed = self.step;
                }
                Ok(())
            }
        }
    }

    /// The feed was told or is told with it, and it is what somebody asks for, and not too late.
    fn check_append(&self, events: &[Recorded<Event>], with: Option<FeedHour>, said_at: Timestamp) {
        let hour = FeedHour::of(said_at);
        assert!(
            with == Some(hour) || self.hours.contains(&hour),
            "the feed was not told of {hour:?}"
        );
        for recorded in events {
            match &recorded.event {
                Event::Done(wanted) => {
                    let asked = self.waiting.values().find(|ask| ask.wanted == *wanted);
                    let ask = asked.unwrap_or_else(|| panic!("{recorded:?} was not asked for"));
                    assert!(said_at <= ask.until, "{recorded:?} comes too late");
                }
                Event::Settled(key, how) => self.check_settled(events, key, *how, said_at),
            }
        }
    }

    /// An invitation is open until then, and ends as its guest said in its time, or by that.
    fn check_settled(&self, events: &[Recorded<Event>], key: &Key, how: How, said_at: Timestamp) {
        let durable = self.durable();
        let open = durable.invited.get(key).unwrap_or_else(|| panic!("{key:?} is not open"));
        let joins = |recorded: &Recorded<Event>| {
            matches!(&recorded.event, Event::Done(done)
                if done.who == open.guest && done.deed == Deed::Joins)
        };
        if how == How::Came && events.iter().any(joins) {
            return;
        }
        let said = self.said.get(key).filter(|_| said_at < open.lapses_at);
        let wanted = match how {
            How::Came => said == Some(&true),
            How::Declined => said == Some(&false),
            How::Lapsed => said_at >= open.lapses_at,
        };
        assert!(wanted, "{key:?} ends as {how:?} at {said_at}: {said:?}, {open:?}");
    }

    fn write(
        &mut self,
        claim: u64,
        events: Vec<Recorded<Event>>,
        beside: Option<Beside<Group>>,
    ) -> Result<(), AppendError> {
        if claim != self.epoch {
            return Err(AppendError::Fenced);
        }
        let (tail, first) = (self.log.len() as u64, events[0].seq);
        if first != tail + 1 {
            return Err(AppendError::Conflict { tail, first });
        }
        let latest = self.log.last().map_or(Timestamp::default(), |last| last.at);
        assert!(events.iter().all(|recorded| recorded.at >= latest), "time runs backwards");
        self.log.extend(events);
        if let Some(Beside { hour, rows }) = beside {
            if let Some(hour) = hour {
                self.hours.insert(hour);
                self.touched = self.step;
            }
            if let Some(row) = rows {
                assert_eq!(
                    row,
                    self.durable().row(),
                    "the index has what is open, with the events"
                );
                self.row = row;
            }
        }
        let open = !self.durable().invited.is_empty();
        assert!(self.row.is_some() || !open, "a start would not find what is open");
        Ok(())
    }

    /// What was asked for long ago takes effect, if its claim still counts.
    pub(super) fn land(&mut self) {
        let Some(late) = &mut self.late else { return };
        late.steps -= 1;
        if late.steps == 0
            && let Some(Late { claim, events, beside, .. }) = self.late.take()
            && self.write(claim, events, beside).is_ok()
        {
            self.saw("landed late");
            self.landed = self.step;
        }
    }
}

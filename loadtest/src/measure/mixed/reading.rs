//! Colleagues who read the history over REST: page by page, the newest chats first, and then from the beginning again.
//!
//! A page is due when it is due, whatever became of earlier ones. What must hold: each page is answered, and no chat
//! stands twice in what is read from the beginning to the end.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use hdrhistogram::Histogram;
use serde::Deserialize;
use switchboard::protocol::value::Token;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};
use uuid::Uuid;

use super::MixedError;
use crate::client::{Rest, RestError};
use crate::measure::found::Found;
use crate::measure::report::Round;

/// Colleagues: each reads one page at a time.
const COLLEAGUES: u32 = 8;

/// Chats of a page.
const PAGE: usize = 50;

/// Most pages from the beginning: older ones are read by nobody.
const PAGES_MAX: usize = 200;

/// The longest time that is told from longer ones, µs, and to how many digits.
const LONGEST_US: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// A page, as far as it matters.
#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Item>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Item {
    id: Uuid,
}

/// See the module.
pub(super) struct Reading {
    rest: Rest,
    token: Token,
    per_second: u32,
    read: Rc<RefCell<Read>>,
}

/// What came of it.
#[derive(Debug)]
struct Read {
    found: Found,
    us: Histogram<u64>,
}

impl Reading {
    /// So many pages a second, all together, by somebody who may.
    pub(super) fn new(rest: Rest, token: Token, per_second: u32) -> Result<Self, MixedError> {
        let us = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        let us = us.map_err(|error| MixedError::Times(error.to_string()))?;
        let read = Rc::new(RefCell::new(Read { found: Found::default(), us }));
        Ok(Self { rest, token, per_second, read })
    }

    /// Reads between two moments, on a thread with local tasks.
    pub(super) async fn between(self, from: Instant, to: Instant) -> Round {
        let mut colleagues = JoinSet::new();
        let count = COLLEAGUES.min(self.per_second);
        let every = Duration::from_secs(u64::from(count)) / self.per_second.max(1);
        for place in 0..count {
            let first = from + every * place / count;
            let one = Colleague {
                rest: self.rest.clone(),
                token: self.token.clone(),
                read: Rc::clone(&self.read),
                after: None,
                pages: 0,
                seen: BTreeSet::new(),
            };
            colleagues.spawn_local(one.go_on(first, every, to));
        }
        while let Some(one) = colleagues.join_next().await {
            if let Err(error) = one {
                let fell = || format!("a colleague who reads has ended: {error}");
                self.read.borrow_mut().found.violation(fell);
            }
        }
        let read = self.read.borrow();
        let mut round = read.found.clone().into_round();
        let seconds = to.duration_since(from).as_secs_f64();
        round.set("history_per_second", read.us.len() as f64 / seconds);
        round.time("history", &read.us);
        round
    }
}

/// One who reads.
struct Colleague {
    rest: Rest,
    token: Token,
    read: Rc<RefCell<Read>>,
    /// Where it goes on; none: at the beginning.
    after: Option<String>,
    pages: usize,
    seen: BTreeSet<Uuid>,
}

impl Colleague {
    async fn go_on(mut self, first: Instant, every: Duration, to: Instant) {
        let mut due = first;
        while due < to {
            sleep_until(due).await;
            let after = self.after.as_ref().map(|after| format!("&after={after}"));
            let path = format!("/api/v1/chats?limit={PAGE}{}", after.unwrap_or_default());
            let page = self.rest.get::<Page>(self.token.expose(), &path).await;
            let us = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.read.borrow_mut().us.saturating_record(us);
            match page {
                Ok(page) => self.reads(page),
                Err(error) => self.read.borrow_mut().found.refused(&refusal(&error)),
            }
            due += every;
        }
    }

    fn reads(&mut self, page: Page) {
        for Item { id } in page.items {
            if !self.seen.insert(id) {
                let twice = || format!("chat {id} stands twice in the history");
                self.read.borrow_mut().found.violation(twice);
            }
        }
        self.pages += 1;
        self.after = page.next.filter(|_| self.pages < PAGES_MAX);
        if self.after.is_none() {
            self.pages = 0;
            self.seen.clear();
        }
    }
}

fn refusal(error: &RestError) -> String {
    match error {
        RestError::NoAnswer { .. } => "no answer".to_owned(),
        RestError::Refused { status, .. } => format!("status {status}"),
        RestError::Answer { .. } => "an answer that cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_that_is_listed_twice_is_seen_and_one_that_is_read_again_is_not() {
        let us = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).unwrap();
        let read = Rc::new(RefCell::new(Read { found: Found::default(), us }));
        let mut one = Colleague {
            rest: Rest::new("127.0.0.1:1"),
            token: switchboard::protocol::value::WireText::read("anybody's").unwrap(),
            read: Rc::clone(&read),
            after: None,
            pages: 0,
            seen: BTreeSet::new(),
        };
        let page = |ids: &[u128], next: Option<&str>| Page {
            items: ids.iter().map(|id| Item { id: Uuid::from_u128(*id) }).collect(),
            next: next.map(str::to_owned),
        };
        one.reads(page(&[3, 2], Some("2")));
        assert_eq!(one.after.as_deref(), Some("2"));
        one.reads(page(&[1], None));
        one.reads(page(&[4, 3], Some("3")));
        assert_eq!(read.borrow().found, Found::default());
        one.reads(page(&[3, 2], None));
        let told = read.borrow().found.violations().to_vec();
        assert!(told.len() == 1 && told[0].contains("stands twice in the history"), "{told:?}");
    }
}

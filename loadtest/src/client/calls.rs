//! Calls without an answer.
//!
//! Invariants: at most [`UNANSWERED_MAX`] are out; what is out when the connection is lost goes out
//! again before anything else, in order, under the same ids; a call that the server puts off goes
//! out again when its time has come; each call is answered once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use switchboard::protocol::limits::UNANSWERED_MAX;
use switchboard::protocol::{Call, ErrorFrame, ErrorKind};

/// How long to wait before a call is sent again whose refusal names no time, ms.
const AGAIN_AFTER_MS: u64 = 1_000;

/// A call and what it is for.
#[derive(Debug, Clone)]
pub struct Open<W> {
    /// What it is for.
    pub why: W,
    /// The call, with its own ids.
    pub call: Call,
}

/// The calls of one client, each under a number that never repeats.
#[derive(Debug)]
pub struct Calls<W> {
    last: u64,
    out: BTreeMap<u64, Open<W>>,
    waiting: VecDeque<(u64, Open<W>)>,
    /// Of those that are out, which the server has put off, and until when, ms.
    put_off: BTreeSet<(u64, u64)>,
}

impl<W> Default for Calls<W> {
    fn default() -> Self {
        Self { last: 0, out: BTreeMap::new(), waiting: VecDeque::new(), put_off: BTreeSet::new() }
    }
}

impl<W> Calls<W> {
    /// Takes a call in. [`next`](Self::next) says when it goes out.
    pub fn add(&mut self, why: W, call: Call) {
        self.last += 1;
        self.waiting.push_back((self.last, Open { why, call }));
    }

    /// The next call that may go out, once each.
    pub fn next(&mut self, now_ms: u64) -> Option<(u64, &Call)> {
        if let Some(&(due_ms, id)) = self.put_off.first()
            && due_ms <= now_ms
        {
            self.put_off.pop_first();
            return self.out.get(&id).map(|open| (id, &open.call));
        }
        if self.out.len() >= UNANSWERED_MAX {
            return None;
        }
        let (id, open) = self.waiting.pop_front()?;
        let open = self.out.entry(id).or_insert(open);
        Some((id, &open.call))
    }

    /// When [`next`](Self::next) has something that it has not now, ms.
    pub fn due_ms(&self) -> Option<u64> {
        self.put_off.first().map(|(due_ms, _)| *due_ms)
    }

    /// Takes an answer. Returns the call that is over; none when it goes on, or is unknown.
    pub fn answered(
        &mut self,
        id: u64,
        refused: Option<&ErrorFrame>,
        now_ms: u64,
    ) -> Option<Open<W>> {
        let later = refused.filter(|error| passes(error.data.name));
        if let Some(error) = later
            && self.out.contains_key(&id)
        {
            let after_ms = error.data.retry_after_ms.unwrap_or(AGAIN_AFTER_MS);
            self.put_off.insert((now_ms + after_ms, id));
            return None;
        }
        self.out.remove(&id)
    }

    /// The connection is lost: all that was out waits again, in front. Calls that only mean
    /// something on their socket are dropped.
    pub fn lost(&mut self, keep: impl Fn(&W) -> bool) {
        self.put_off.clear();
        while let Some((id, open)) = self.out.pop_last() {
            self.waiting.push_front((id, open));
        }
        self.waiting.retain(|(_, open)| keep(&open.why));
    }

    /// How many are out.
    pub fn out(&self) -> usize {
        self.out.len()
    }
}

/// Whether the same call is sent again, since nothing speaks against it but the moment.
fn passes(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Overloaded
            | ErrorKind::TooManyCalls
            | ErrorKind::Unavailable
            | ErrorKind::Internal
    )
}

#[cfg(test)]
mod tests {
    use switchboard::protocol::params::PresenceAnswerFrame;

    use super::*;

    fn call(probe: u64) -> Call {
        Call::PresenceAnswer(PresenceAnswerFrame { probe })
    }

    fn sent(calls: &mut Calls<u64>, now_ms: u64) -> Vec<u64> {
        std::iter::from_fn(|| calls.next(now_ms).map(|(id, _)| id)).collect()
    }

    #[test]
    fn no_more_than_the_limit_are_out_and_all_go_again_in_order() {
        let mut calls = Calls::default();
        (0..70).for_each(|n| calls.add(n, call(n)));
        assert_eq!(sent(&mut calls, 0), (1..=64).collect::<Vec<_>>());
        assert_eq!(calls.answered(2, None, 0).map(|open| open.why), Some(1));
        assert_eq!(sent(&mut calls, 0), [65]);
        calls.lost(|why| *why != 4);
        let again: Vec<u64> = sent(&mut calls, 0);
        assert_eq!(again[..4], [1, 3, 4, 6], "the fifth was dropped");
        assert_eq!(again.len(), 64);
        assert_eq!(calls.answered(2, None, 0).map(|open| open.why), None);
    }

    #[test]
    fn a_call_that_is_put_off_goes_out_again_under_its_id() {
        let mut calls = Calls::default();
        calls.add(7, call(7));
        assert_eq!(sent(&mut calls, 0), [1]);
        let busy = ErrorFrame::later(ErrorKind::Overloaded, 50);
        assert!(calls.answered(1, Some(&busy), 10).is_none());
        assert_eq!((calls.due_ms(), sent(&mut calls, 59)), (Some(60), vec![]));
        assert_eq!(sent(&mut calls, 60), [1]);
        let no = ErrorFrame::of(ErrorKind::NotYours);
        assert!(calls.answered(1, Some(&no), 70).is_some());
    }
}

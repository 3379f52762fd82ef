//! What is appended in one piece: the events of a call, and those of the calls that came together with it and
//! wait behind it.
//!
//! Owns: which of them join, and by what each is decided. Refuses: whatever takes more than an append. A call
//! whose command has to be looked up in the log, or that has to be prepared or announced, takes its turn when
//! the append is done.
//!
//! Invariants: a joined call is decided on what those in front of it have made of the aggregate, as if each had
//! come when the one before was answered; nothing of that is seen by anybody before it is durable.

use crate::domain::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use crate::domain::{Recorded, Seq, Timestamp};
use crate::machine::CallId;
use crate::storage::FeedHour;

use super::search::Search;
use super::{Decided, Driver, Effect, EventSourced};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Batch<A: EventSourced> {
    /// In the order of the log.
    pub events: Vec<Recorded<A::Event>>,
    /// To be carried out once they are durable.
    pub effects: Vec<Effect<A>>,
    /// Whose answers are among the effects.
    pub calls: Vec<CallId>,
    /// The hour of which the feed is told with it.
    pub hour: Option<FeedHour>,
    /// What the index has is written with it.
    pub moves: bool,
    /// It is what the life was to write first.
    pub starts: bool,
    /// About how much the events take in the log, bytes.
    bytes: usize,
}

impl<A: EventSourced> Batch<A> {
    /// Of what was decided on an input, or of a call.
    pub fn of(
        fold: &A,
        given: &A::Given,
        now: Timestamp,
        call: Option<CallId>,
        decided: Decided<A>,
    ) -> Self {
        let calls = call.into_iter().collect();
        let events = Vec::with_capacity(decided.events.len());
        let effects = decided.effects;
        let mut batch =
            Self { events, effects, calls, hour: None, moves: false, starts: false, bytes: 0 };
        batch.record(fold, given, now, decided.events);
        batch
    }

    /// Events that follow the end of the fold.
    fn record(&mut self, fold: &A, given: &A::Given, now: Timestamp, events: Vec<A::Event>) {
        let journal = fold.journal();
        // An event is never before the one in front of it, whatever the clock says.
        let at = now.max(journal.last_at());
        let names = fold.names_in(&events, given);
        self.bytes += events.iter().map(A::bytes_of).sum::<usize>();
        let first: Seq = journal.tail() + 1;
        let recorded = (first..).zip(events.into_iter().zip(names));
        self.events.extend(recorded.map(|(seq, (event, names))| Recorded {
            seq,
            at,
            event,
            names,
        }));
    }

    fn has_room_for(&self, events: &[A::Event]) -> bool {
        let bytes = events.iter().map(A::bytes_of).sum::<usize>();
        self.events.len() + events.len() <= BATCH_EVENTS_MAX
            && self.bytes + bytes <= BATCH_BYTES_MAX
    }
}

impl<A: EventSourced> Driver<A> {
    /// Has calls that wait behind join a batch, in their order, until one cannot.
    pub(super) fn join(&mut self, now: Timestamp, batch: &mut Batch<A>) {
        // What woke it came before those behind it, and is not decided yet.
        if self.woken_by.is_some() || self.behind.is_empty() {
            return;
        }
        // Dropped at the end: what is applied to it counts when it is durable, and is applied then.
        let mut ahead = self.fold.clone();
        let mut applied = 0;
        while let Some(next) = self.behind.front() {
            batch.events[applied..].iter().for_each(|recorded| ahead.apply(recorded));
            applied = batch.events.len();
            if Search::of(&ahead, next).is_some() {
                return;
            }
            let decided = self.decided(&ahead, now, next, None);
            let hour = self.to_announce(now, &decided).filter(|_| batch.hour.is_none());
            let more = decided.intent.is_some() || hour.is_some();
            if more || !batch.has_room_for(&decided.events) {
                return;
            }
            batch.calls.extend(next.call());
            batch.effects.extend(decided.effects);
            batch.record(&ahead, &self.given, now, decided.events);
            self.behind.pop_front();
        }
    }
}

//! The choice among queues: an operator with a free slot asks each of its queues for the best chat
//! that it could serve. The smallest rank gets the slot; when that chat is offered to all, the
//! slot is kept for it ([`super::kept_slots`]). Meanwhile it refuses reservations, and waits
//! [`PULL_LIMIT_MS`] at most.
//!
//! Who is in no queue that asks one operator at a time has no slot to give, for offers to all take
//! none, and does not ask.
//!
//! It goes on until its slots are full or all queues have nothing; then its queues are told that
//! it is free, and push to it what comes.

use std::collections::BTreeMap;

use crate::domain::limits::{PULL_LIMIT_MS, RESERVATION_MS};
use crate::domain::{OfferId, QueueId, Reach, Timestamp};
use crate::machine::message::{Quote, ToQueue};
use crate::routing::Asks;

use super::{Operator, OperatorEffect, Owed, Reservation};

/// A pull under way.
#[derive(Debug, Clone)]
pub(super) struct Pull {
    pub(super) id: u64,
    pub(super) until: Timestamp,
    /// What each queue quoted: not yet, nothing, or a rank.
    quotes: BTreeMap<QueueId, Option<Option<Quote>>>,
}

impl Operator {
    pub(super) fn maybe_pull(&mut self, now: Timestamp, effects: &mut Vec<OperatorEffect>) {
        if !self.wants_pull || self.pull.is_some() || !self.is_available() {
            return;
        }
        self.wants_pull = false;
        if !self.account.queues.values().any(|terms| terms.asks() == Asks::One) {
            return;
        }
        let queues = self.account.queues.iter();
        let offering = queues.filter(|(_, terms)| !terms.is_by_hand()).map(|(queue, _)| *queue);
        let ask: Vec<QueueId> = offering.filter(|queue| self.unkept_in(*queue) > 0).collect();
        if ask.is_empty() {
            return;
        }
        self.made += 1;
        let pull = self.made;
        let quotes = ask.iter().map(|queue| (*queue, None)).collect();
        self.pull = Some(Pull { id: pull, until: now.plus_ms(PULL_LIMIT_MS), quotes });
        let except = self.not_to_be_kept();
        for queue in ask {
            let (state, except) = (self.state(queue, now), except.clone());
            effects.push(OperatorEffect::ToQueue(queue, ToQueue::Pull { pull, except, state }));
        }
    }

    pub(super) fn quoted(
        &mut self,
        now: Timestamp,
        queue: QueueId,
        pull: u64,
        best: Option<Quote>,
    ) {
        let Some(open) = self.pull.as_mut().filter(|open| open.id == pull) else {
            return;
        };
        if let Some(quote) = open.quotes.get_mut(&queue) {
            *quote = Some(best);
        }
        if open.quotes.values().all(Option::is_some) {
            self.conclude_pull(now);
        }
    }

    /// The smallest rank that was quoted gets the slot.
    pub(super) fn conclude_pull(&mut self, now: Timestamp) {
        let Some(pull) = self.pull.take() else { return };
        let quoted = pull.quotes.iter().filter_map(|(queue, quote)| Some(((*quote)??, *queue)));
        // What is on the screen needs no quote, and is not forgotten when a queue does not answer.
        let quoted = quoted.chain(self.best_invite());
        let Some((quote, queue)) = quoted.min_by_key(|(quote, queue)| (quote.rank, *queue)) else {
            return;
        };
        // More may fit; the next pull finds out.
        self.wants_pull = true;
        match quote.reach {
            Reach::Directed => self.give(now, queue, quote),
            Reach::ToAll => self.keep_for_quote(now, queue, quote),
        }
    }

    /// Gives a slot to the best chat of a queue.
    fn give(&mut self, now: Timestamp, queue: QueueId, quote: Quote) {
        let Quote { rank, weight, .. } = quote;
        if !self.make_room((queue, weight), rank) {
            return;
        }
        self.made += 1;
        let offer = OfferId::of(self.life, self.made);
        let expires_at = now.plus_ms(RESERVATION_MS);
        let reservation = Reservation { queue, weight, expires_at, given_for: Some(rank) };
        self.reserve(offer, reservation);
        self.owed.owe(Owed::Give(offer), now);
    }
}

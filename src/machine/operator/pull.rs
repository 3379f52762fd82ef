//! The choice among queues: an operator with a free slot asks each of its queues for the rank of
//! the best chat that it could serve, and gives the slot to the smallest. Meanwhile it refuses
//! reservations, and waits [`PULL_LIMIT_MS`] at most.
//!
//! It goes on until its slots are full or all queues have nothing; then its queues are told that
//! it is free, and push to it what comes.

use std::collections::BTreeMap;

use crate::domain::limits::{PULL_LIMIT_MS, RESERVATION_MS};
use crate::domain::{OfferId, QueueId, Timestamp};
use crate::machine::message::ToQueue;

use super::{Operator, OperatorEffect, Owed, Reservation};

/// A pull under way.
#[derive(Debug, Clone)]
pub(super) struct Pull {
    pub(super) id: u64,
    pub(super) until: Timestamp,
    /// What each queue quoted: not yet, nothing, or a rank.
    quotes: BTreeMap<QueueId, Option<Option<i64>>>,
}

impl Operator {
    pub(super) fn maybe_pull(&mut self, now: Timestamp, effects: &mut Vec<OperatorEffect>) {
        if !self.wants_pull || self.pull.is_some() || !self.is_available() {
            return;
        }
        self.wants_pull = false;
        let queues = self.account.queues.iter();
        let directed = queues.filter(|(_, terms)| terms.directed).map(|(queue, _)| *queue);
        let ask: Vec<QueueId> = directed.filter(|queue| self.free_in(*queue) > 0).collect();
        if ask.is_empty() {
            return;
        }
        self.made += 1;
        let pull = self.made;
        let quotes = ask.iter().map(|queue| (*queue, None)).collect();
        self.pull = Some(Pull { id: pull, until: now.plus_ms(PULL_LIMIT_MS), quotes });
        for queue in ask {
            let state = self.state(queue, now);
            effects.push(OperatorEffect::ToQueue(queue, ToQueue::Pull { pull, state }));
        }
    }

    pub(super) fn quoted(&mut self, now: Timestamp, queue: QueueId, pull: u64, rank: Option<i64>) {
        let Some(open) = self.pull.as_mut().filter(|open| open.id == pull) else {
            return;
        };
        if let Some(quote) = open.quotes.get_mut(&queue) {
            *quote = Some(rank);
        }
        if open.quotes.values().all(Option::is_some) {
            self.conclude_pull(now);
        }
    }

    /// Gives the slot to the smallest rank that was quoted.
    pub(super) fn conclude_pull(&mut self, now: Timestamp) {
        let Some(pull) = self.pull.take() else { return };
        let quoted = pull.quotes.iter().filter_map(|(queue, quote)| Some(((*quote)??, *queue)));
        let Some((rank, queue)) = quoted.min() else {
            return;
        };
        // More may fit; the next pull finds out.
        self.wants_pull = true;
        if self.free_in(queue) == 0 {
            return;
        }
        self.made += 1;
        let offer = OfferId::of(self.life, self.made);
        let expires_at = now.plus_ms(RESERVATION_MS);
        let reservation = Reservation { queue, expires_at, given_for: Some(rank) };
        self.reserve(offer, reservation);
        self.owed.owe(Owed::Give(offer), now);
    }
}

//! Slots kept for chats that are offered to all (docs/decisions/0005-kept-slots.md).
//!
//! A `to_all` offer takes no slot until somebody accepts. So that a chat of larger rank does not
//! take the slot before a person can, each such offer keeps one free slot of each operator who
//! sees it: from everything but people's own acts (accepts, takes, transfers) and chats of smaller
//! rank. It does so once, for as long as a directed offer of its queue would stand, at most
//! [`SLOT_KEPT_MAX_MS`]; then the operator has passed the chat by, which stays acceptable, and no
//! slot is kept for it again before the cool-down is over.
//!
//! Invariants: never more slots are kept than are free, nor than fit of a queue; nothing is kept but
//! by an operator who could accept.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::limits::{KEPT_ON_THE_WAY_MS, RESERVATION_MS, SLOT_KEPT_MAX_MS};
use crate::domain::operator::Standing;
use crate::domain::{ChatId, Place, QueueId, Reach, Timestamp, UserId, Weight};
use crate::machine::message::{ChatAt, Quote};
use crate::routing::{Asks, rank};

use super::{Invite, Operator, Terms};

/// A slot kept for a chat that is offered to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The chat's queue.
    pub queue: QueueId,
    /// The chat's rank.
    pub rank: i64,
    /// How many slots it takes.
    pub weight: Weight,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Whether the offer is here; before, it is on its way.
    pub offered: bool,
}

/// A chat offered to all for which no slot is kept for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Until when.
    pub until: Timestamp,
    /// Whether the operator could have accepted it; else its offer never came.
    pub seen: bool,
}

/// How an operator stands towards a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Towards {
    /// Whether it could be given a chat, and if not, why.
    pub standing: Standing,
    /// How many slots that leaves.
    pub free: u32,
    /// Below which rank a chat may have a kept one; none where that does not matter.
    pub kept_below: Option<i64>,
}

impl Operator {
    /// How many more chats of a queue fit beside what is kept.
    pub fn unkept_in(&self, queue: QueueId) -> u32 {
        let here = self.kept_in(queue);
        let room = self.room();
        let beside = room.free().saturating_sub(self.kept_in_all());
        beside.min(room.free_in(queue).saturating_sub(here))
    }

    /// How it stands towards a queue.
    pub fn towards(&self, queue: QueueId) -> Towards {
        let directed =
            self.account.queues.get(&queue).is_some_and(|terms| terms.asks() == Asks::One);
        let (standing, free) = (self.standing(), self.free_in(queue));
        if standing != Standing::Free || !directed {
            return Towards { standing, free, kept_below: None };
        }
        match (self.unkept_in(queue), self.spare(queue)) {
            (0, Some((below, _))) => {
                let free = free.min(self.kept_in_all());
                Towards { standing: Standing::Kept, free, kept_below: Some(below) }
            }
            (unkept, _) => Towards { standing, free: unkept, kept_below: None },
        }
    }

    /// The kept slot that a chat of the queue may have instead, if its rank is smaller: that of the
    /// largest rank. Where the queue's own limit is what is lacking, only what is kept for its own
    /// chats can help.
    fn spare(&self, queue: QueueId) -> Option<(i64, ChatId)> {
        let free = self.free_in(queue);
        let limited = free <= self.kept_in(queue);
        let fitting = self.kept.iter().filter(|(_, kept)| !limited || kept.queue == queue);
        fitting.map(|(chat, kept)| (kept.rank, *chat)).max().filter(|_| free > 0)
    }

    pub(super) fn kept_in(&self, queue: QueueId) -> u32 {
        let here = self.kept.values().filter(|kept| kept.queue == queue);
        here.map(|kept| kept.weight.slots()).sum()
    }

    /// How many slots are kept.
    pub(super) fn kept_in_all(&self) -> u32 {
        self.kept.values().map(|kept| kept.weight.slots()).sum()
    }

    /// Whether a chat of this rank may have the slots that it takes, by what [`Self::towards`] says; what
    /// is kept for larger ranks gives way, if that is enough.
    pub(super) fn make_room(&mut self, (queue, weight): (QueueId, Weight), rank: i64) -> bool {
        let mut given_way = BTreeMap::new();
        while self.unkept_in(queue) < weight.slots() {
            let spare = self.spare(queue).filter(|(largest, _)| rank < *largest);
            let Some((_, chat)) = spare else {
                self.kept.append(&mut given_way);
                return false;
            };
            given_way.extend(self.kept.remove(&chat).map(|kept| (chat, kept)));
        }
        true
    }

    /// The offer of a chat is here: the time begins for which a slot is kept.
    pub(super) fn keep_for_invite(&mut self, now: Timestamp, chat: ChatId, queue: QueueId) {
        let kept_ms = self.account.queues.get(&queue).map_or(0, kept_ms);
        if self.passed.get(&chat).is_some_and(|passed| !passed.seen) {
            self.passed.remove(&chat);
        }
        if let Some(kept) = self.kept.get_mut(&chat).filter(|kept| !kept.offered) {
            *kept = Kept { since: now, until: now.plus_ms(kept_ms), offered: true, ..*kept };
        }
        // Its priority may have changed since it was quoted, or offered before.
        self.rank_kept(chat);
    }

    /// Every offer on the screen keeps a slot, smallest ranks first, as far as slots reach. What
    /// is free while the operator chooses among its queues is left to that choice.
    pub(super) fn keep_for_invites(&mut self, now: Timestamp) {
        if self.invites.is_empty() || !self.is_available() {
            return;
        }
        let choosing = self.pull.is_some() || self.wants_pull;
        let mut open: Vec<(Quote, QueueId)> = self.open_invites().collect();
        open.sort_unstable_by_key(|(quote, _)| (quote.rank, quote.chat));
        for (quote, queue) in open {
            if !choosing || self.unkept_in(queue) < quote.weight.slots() {
                self.keep_for_quote(now, queue, quote);
            }
        }
    }

    /// The best of the offers on the screen for which a slot is still to be kept, if there is one.
    pub(super) fn best_invite(&self) -> Option<(Quote, QueueId)> {
        let fits =
            |(quote, queue): &(Quote, QueueId)| self.unkept_in(*queue) >= quote.weight.slots();
        let open = self.open_invites().filter(fits);
        open.min_by_key(|(quote, _)| (quote.rank, quote.chat))
    }

    /// The offers on the screen for which a slot is still to be kept.
    fn open_invites(&self) -> impl Iterator<Item = (Quote, QueueId)> + '_ {
        let open = self.invites.iter().filter(|(chat, invite)| {
            let known = self.kept.contains_key(chat) || self.passed.contains_key(chat);
            !known && invite.is_open()
        });
        open.filter_map(|(chat, invite)| {
            let rank = self.rank_of(invite, self.account.queues.get(&invite.queue)?);
            let quote = Quote { rank, weight: invite.weight, chat: *chat, reach: Reach::ToAll };
            Some((quote, invite.queue))
        })
    }

    /// The chat of an offer on the screen waits with another priority, or its queue has another: so does
    /// what is kept for it.
    pub(super) fn rank_kept(&mut self, chat: ChatId) {
        let ranked = self
            .invites
            .get(&chat)
            .and_then(|invite| Some(self.rank_of(invite, self.account.queues.get(&invite.queue)?)));
        if let (Some(rank), Some(kept)) = (ranked, self.kept.get_mut(&chat)) {
            kept.rank = rank;
        }
    }

    fn rank_of(&self, invite: &Invite, terms: &Terms) -> i64 {
        let (since, priority) = invite.waits;
        rank(since, terms.priority, priority, &self.account.settings)
    }

    /// A queue quoted a chat that it offers to all: its offer is here, or will be in a moment.
    pub(super) fn keep_for_quote(&mut self, now: Timestamp, queue: QueueId, quote: Quote) {
        let Some(terms) = self.account.queues.get(&queue) else { return };
        let offered = self.invites.get(&quote.chat).is_some_and(Invite::is_open);
        let kept_ms = if offered { kept_ms(terms) } else { KEPT_ON_THE_WAY_MS };
        let Quote { rank, weight, chat, .. } = quote;
        let until = now.plus_ms(kept_ms);
        self.keep(chat, Kept { queue, rank, weight, since: now, until, offered });
    }

    fn keep(&mut self, chat: ChatId, kept: Kept) {
        let known = self.kept.contains_key(&chat) || self.passed.contains_key(&chat);
        if !known && self.is_available() && self.make_room((kept.queue, kept.weight), kept.rank) {
            self.kept.insert(chat, kept);
        }
    }

    /// The chats for which no slot is to be kept: it is already, or was for long enough.
    pub(super) fn not_to_be_kept(&self) -> Vec<ChatId> {
        self.kept.keys().chain(self.passed.keys()).copied().collect()
    }

    /// The chat keeps no slot here any more.
    pub(super) fn keep_no_more(&mut self, chat: ChatId) {
        if self.kept.remove(&chat).is_some() {
            self.wants_pull = true;
        }
    }

    /// The operator will not have the chat for now, and the slot goes to another.
    pub(super) fn pass_by(&mut self, chat: ChatId, now: Timestamp) {
        self.keep_no_more(chat);
        // Without a cool-down the next pull would find this chat first, and again.
        let until = now.plus_ms(self.account.settings.cool_down_ms.max(RESERVATION_MS));
        self.passed.insert(chat, Passed { until, seen: true });
    }

    /// A chat says where it is: one that somebody has, or that this operator refused, keeps
    /// nothing. One that waits between two offers does.
    pub(super) fn keep_if_open(&mut self, at: &ChatAt, me: UserId) {
        let Some(kept) = self.kept.get(&at.chat) else { return };
        let open = match at.place {
            Place::Waiting | Place::Offered(_) => {
                let terms = self.account.queues.get(&at.queue).filter(|_| kept.queue == at.queue);
                terms.is_some_and(offers_to_all) && !at.refused_by.contains_key(&me)
            }
            Place::Assigned { .. } | Place::Ended { .. } => false,
        };
        if !open {
            self.keep_no_more(at.chat);
        } else if let Some(terms) = self.account.queues.get(&at.queue) {
            let rank = rank(at.since, terms.priority, at.priority, &self.account.settings);
            self.kept.insert(at.chat, Kept { rank, ..*kept });
        }
    }

    /// Ends what was kept for long enough. Whatever else was on the screen all that time, long
    /// enough for its own queue, could have been accepted as well, and is passed by with it.
    pub(super) fn expire_kept(&mut self, now: Timestamp) {
        let passed = self.passed.len();
        self.passed.retain(|_, passed| now < passed.until);
        // A queue may quote it again.
        self.wants_pull |= self.passed.len() < passed;
        let over = self.kept.iter().filter(|(_, kept)| now >= kept.until);
        for (chat, kept) in over.map(|(chat, kept)| (*chat, *kept)).collect::<Vec<_>>() {
            if !kept.offered {
                // Nobody saw it: the next pull but one may quote it again.
                self.keep_no_more(chat);
                let until = now.plus_ms(RESERVATION_MS);
                self.passed.insert(chat, Passed { until, seen: false });
                continue;
            }
            self.pass_by(chat, now);
            let queues = &self.account.queues;
            let beside = self.invites.iter().filter(|(_, invite)| {
                let wanted_ms = queues.get(&invite.queue).map_or(0, kept_ms);
                invite.is_open()
                    && invite.room_since.is_some_and(|since| since <= kept.since)
                    && now.since_ms(kept.since) >= wanted_ms
            });
            let beside: Vec<ChatId> = beside.map(|(chat, _)| *chat).collect();
            for chat in beside {
                self.pass_by(chat, now);
            }
        }
    }

    /// Notes since when each offer on the screen could be accepted, as far as its queue's own limit
    /// goes: what is kept for another chat proves that there is a slot, not that it fits this one.
    pub(super) fn look_for_room(&mut self, now: Timestamp) {
        let of = |invite: &Invite| (invite.queue, invite.weight);
        let wanted: BTreeSet<(QueueId, Weight)> = self.invites.values().map(of).collect();
        let room = self.room();
        let fits = |(queue, weight): &(QueueId, Weight)| room.fits(Some(*queue), *weight);
        let fitting: BTreeSet<(QueueId, Weight)> = wanted.into_iter().filter(fits).collect();
        for invite in self.invites.values_mut() {
            let has_room = fitting.contains(&of(invite));
            invite.room_since = has_room.then(|| invite.room_since.unwrap_or(now));
        }
    }

    /// Nothing is kept that cannot be: not by who could not accept, not more than is free, and
    /// not for an offer to come of a queue that offers to all no more. An offer that stands since
    /// before its queue's rule changed is worth its slot until it ends.
    pub(super) fn trim_kept(&mut self) {
        if !self.is_available() {
            self.kept.clear();
        }
        let (queues, invites) = (&self.account.queues, &self.invites);
        self.kept.retain(|chat, kept| {
            let terms = queues.get(&kept.queue);
            terms.is_some_and(|terms| invites.contains_key(chat) || offers_to_all(terms))
        });
        while self.kept_in_all() > self.free()
            && let Some((_, chat)) = self.largest_kept()
        {
            self.kept.remove(&chat);
        }
        while let Some(chat) = self.kept_beyond_a_limit() {
            // Other queues may have the slot.
            self.keep_no_more(chat);
        }
    }

    /// A chat whose slot is kept although its queue's own limit leaves no room for it; the largest
    /// rank of its queue.
    fn kept_beyond_a_limit(&self) -> Option<ChatId> {
        let beyond = self
            .kept
            .iter()
            .filter(|(_, kept)| self.kept_in(kept.queue) > self.free_in(kept.queue));
        beyond.map(|(chat, kept)| (kept.rank, *chat)).max().map(|(_, chat)| chat)
    }

    /// When the next kept slot is free for all again, or one may be kept for a chat that was passed
    /// by.
    pub(super) fn kept_until(&self) -> Option<Timestamp> {
        let passed = self.passed.values().map(|passed| passed.until);
        self.kept.values().map(|kept| kept.until).chain(passed).min()
    }

    fn largest_kept(&self) -> Option<(i64, ChatId)> {
        self.kept.iter().map(|(chat, kept)| (kept.rank, *chat)).max()
    }
}

fn offers_to_all(terms: &Terms) -> bool {
    terms.asks() == Asks::All
}

/// How long a slot is kept for a chat of the queue, ms: who may take that long to answer an offer
/// made to nobody else may take it here, as far as an idle slot can be afforded.
pub fn kept_ms(terms: &Terms) -> u64 {
    terms.offer_timeout_ms.min(SLOT_KEPT_MAX_MS)
}

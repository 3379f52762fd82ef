//! Who has room, and who stands beside whom.

use uuid::Uuid;

use super::{Ledger, Offer, Operator, Screen};

/// How long a chat may wait beside an operator who is free and may have it, µs: far longer than any assignment
/// takes, so that a machine that is busy is not blamed on the router.
pub const BESIDE_MAX_US: u64 = 5_000_000;

impl Ledger {
    /// Whether an operator has room for one more chat beside what it has, ends and may be given.
    pub fn has_room(&self, operator: usize) -> bool {
        let Some(who) = self.operators.get(operator) else { return false };
        let accepting = |offer: &&Offer| matches!(offer.is, Screen::Accepting | Screen::Crossed);
        let accepting = who.offers.values().filter(accepting).count();
        who.owned.len() + who.ending.len() + accepting < self.rules.capacity
    }

    /// Whether whatever an operator is offered further fits only when one of its ends is through.
    pub fn is_full(&self, operator: usize) -> bool {
        self.operators.get(operator).is_some_and(|who| self.places(who) == 0)
    }

    /// How many chats more fit an operator beside what it has, ends and is offered.
    fn places(&self, who: &Operator) -> usize {
        let offers = who.offers.values().filter(|offer| offer.is != Screen::Missed).count();
        self.rules.capacity.saturating_sub(who.owned.len() + who.ending.len() + offers)
    }

    /// Whether who serves a queue has more places than wait in all that its people serve: whoever comes now waits
    /// for nobody to become free. Nobody is waited for where nobody is asked.
    pub(super) fn is_room_in(&self, queue: usize) -> bool {
        let Some(queue) = self.queues.get(queue).filter(|_| self.rules.are_asked) else {
            return false;
        };
        let lines = queue.beside.iter().filter_map(|other| self.queues.get(*other));
        let ahead: usize = lines.map(|line| line.waiting.len()).sum();
        if ahead >= queue.members.len() * self.rules.capacity {
            // A long line is no reason to look at all of them.
            return false;
        }
        let members = queue.members.iter().filter_map(|member| self.operators.get(*member));
        let places = members.filter(|who| who.ready_us.is_some()).map(|who| self.places(who));
        places.sum::<usize>() > ahead
    }

    /// A place of an operator is free: from now on it is waited for who fills it, while somebody waits who may be
    /// given to it.
    pub fn freed(&mut self, operator: usize, now_us: u64) {
        let is_waited_for = self.rules.are_asked && self.may_be_given(operator, now_us).is_some();
        if let Some(who) = self.operators.get_mut(operator)
            && is_waited_for
            && who.ready_us.is_some()
        {
            who.freed_us.push_back(now_us);
        }
    }

    /// An operator is about to be offered somebody. Since when the place for that has been free beside somebody who
    /// waits, µs; none where none was.
    pub fn filled(&mut self, operator: usize) -> Option<u64> {
        self.operators.get_mut(operator)?.freed_us.pop_front()
    }

    /// Somebody of a queue waits no more: free places of its people for whom nobody waits now are not waited for.
    pub(super) fn forget_places(&mut self, queue: usize) {
        let Some(queue) = self.queues.get(queue) else { return };
        let is_free =
            |who: &&usize| self.operators.get(**who).is_some_and(|who| !who.freed_us.is_empty());
        let free: Vec<usize> = queue.members.iter().filter(is_free).copied().collect();
        for place in free {
            // Whom it declined it is not asked for again, as far as is known here.
            let waits = self.may_be_given(place, 0);
            if let Some(who) = self.operators.get_mut(place).filter(|_| waits.is_none()) {
                who.freed_us.clear();
            }
        }
    }

    /// Looks who stands beside whom, when nobody opens chats any more. Whoever is offered, given or through with
    /// a chat meanwhile is one with whom the router goes on: a line that is never empty is not held against it.
    pub fn look(&mut self, now_us: u64) {
        if !self.rules.are_asked {
            return;
        }
        for place in 0..self.operators.len() {
            let beside = self.beside(place, now_us);
            let Some(who) = self.operators.get_mut(place) else { continue };
            let Some(chat) = beside else {
                who.beside = None;
                continue;
            };
            let (since_us, is_told) = who.beside.unwrap_or((now_us, false));
            let for_us = now_us - since_us;
            who.beside = Some((since_us, for_us > BESIDE_MAX_US));
            if for_us > BESIDE_MAX_US && !is_told {
                self.found.violation(|| {
                    format!(
                        "chat {chat} waits beside operator {place}, who is free, for {for_us} µs"
                    )
                });
            }
        }
    }

    /// A chat that waits and that an operator who is free may have.
    fn beside(&self, place: usize, now_us: u64) -> Option<Uuid> {
        if !self.is_ready(place) || self.is_full(place) {
            return None;
        }
        self.may_be_given(place, now_us)
    }

    /// A chat that waits and that an operator may have as soon as there is room.
    fn may_be_given(&self, place: usize, now_us: u64) -> Option<Uuid> {
        let who = self.operators.get(place)?;
        let queues = self.rules.serves.get(place)?.iter();
        let queues = queues.filter_map(|queue| self.queues.get(*queue));
        let mut waiting = queues.flat_map(|queue| &queue.waiting);
        let excluded = |chat| who.declined.get(chat).is_some_and(|until_us| *until_us > now_us);
        waiting.find(|chat| !excluded(chat)).copied()
    }
}

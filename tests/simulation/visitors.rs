//! Nobody is asked for one chat of a visitor after the other while others wait. Counted from outside:
//! by what the queue asked for and what the logs say.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::{ChatId, Customer, Offer, Place, QueueId, Timestamp, UserId};
use switchboard::machine::chat::Chat;
use switchboard::machine::message::ChatAt;
use switchboard::machine::queue::{Entry, Phase, Queue};

use crate::check::Checker;

/// How long an operator is not asked for another chat of the same visitor here at first, ms.
pub const VISITOR_OFFER_EVERY_MS: u64 = 3_000;

#[derive(Default)]
pub struct Visitors {
    /// The last chat of each visitor that this life of a queue had offered to each operator.
    asked: BTreeMap<(QueueId, Customer, UserId), Last>,
    /// Those of them that the logs have said since then, in the same queue: times do not tell, for
    /// clocks are set back.
    came_true: BTreeSet<(QueueId, ChatId, UserId)>,
    /// The same by the logs, which a queue may have heard of or not.
    offered: BTreeMap<(Customer, UserId), BTreeMap<ChatId, Timestamp>>,
    /// Decisions that passed over a chat for that.
    pub passed_over: u64,
}

/// What a queue had offered last of a visitor to an operator.
#[derive(Clone, Copy)]
struct Last {
    chat: ChatId,
    at: Timestamp,
    /// Until when no other may be, by whatever was set since then. A queue that forgot it when the time
    /// was short does not know it again when that is long.
    until: Timestamp,
}

impl Visitors {
    /// From now on an operator is not asked for another chat of the same visitor for so long.
    pub fn every_ms_changed(&mut self, every_ms: u64) {
        for last in self.asked.values_mut() {
            last.until = last.at.plus_ms(every_ms).min(last.until);
        }
    }

    /// A new life of a queue knows nothing of what its former one did.
    pub fn started(&mut self, queue: QueueId) {
        self.asked.retain(|(of, ..), _| *of != queue);
    }

    /// What was later than now was just now.
    pub fn clock_set_back(&mut self, now: Timestamp) {
        for at in self.offered.values_mut().flat_map(BTreeMap::values_mut) {
            *at = now.min(*at);
        }
    }
}

impl Checker {
    fn visitor(&self, chat: ChatId) -> Option<Customer> {
        self.folds.get(&chat).and_then(Chat::opened).map(|opened| opened.customer)
    }

    /// An offer stands in the log.
    pub fn offered_to(&mut self, chat: ChatId, to: impl Iterator<Item = UserId>, at: Timestamp) {
        let Some(customer) = self.visitor(chat) else { return };
        let queue = self.folds.get(&chat).and_then(Chat::at).map(|at| at.queue);
        for operator in to {
            // The queue may have asked for it again before the log says that it was.
            let of_both = self.visitors.offered.entry((customer, operator)).or_default();
            let since = of_both.entry(chat).or_insert(at);
            *since = at.max(*since);
            self.visitors.came_true.extend(queue.map(|queue| (queue, chat, operator)));
        }
    }

    /// The chat says who has its offer. One that is dated ahead of the clock counts from now, and once the
    /// clock has come there, by what the log says.
    pub fn said_offered(&mut self, at: &ChatAt, now: Timestamp) {
        let Place::Offered(offer) = &at.place else { return };
        if at.moved_at >= now {
            self.offered_to(at.chat, offer.to.iter().copied(), now);
            self.date_anew(at, offer, |since| now.min(since));
            return;
        }
        self.date_anew(at, offer, |since| at.moved_at.max(since));
    }

    /// Dates what an operator was shown of the chat anew, where it is known.
    fn date_anew(&mut self, at: &ChatAt, offer: &Offer, to: impl Fn(Timestamp) -> Timestamp) {
        let Some(customer) = self.visitor(at.chat) else { return };
        for operator in offer.to.iter() {
            let of_both = self.visitors.offered.get_mut(&(customer, *operator));
            if let Some(since) = of_both.and_then(|of| of.get_mut(&at.chat)) {
                *since = to(*since);
            }
        }
    }

    fn others_wait(&self, queue: &Queue, customer: Customer) -> bool {
        let counts = |entry: &&Entry| !entry.at.spent;
        let mut others = queue.line().entries().filter(counts);
        others.any(|entry| self.visitor(entry.at.chat) != Some(customer))
    }

    /// The queue decides to ask this operator for the chat.
    pub fn check_visitor(
        &self,
        queue: &Queue,
        chat: ChatId,
        to: UserId,
        now: Timestamp,
        seed: u64,
    ) {
        let Some(customer) = self.visitor(chat) else { return };
        let known = queue.line().get(chat).is_some_and(|entry| entry.at.version > 0);
        let last = self.visitors.asked.get(&(queue.config().id, customer, to));
        let Some(last) = last.filter(|last| last.chat != chat && known) else { return };
        let Last { chat: other, at, until } = last;
        // It was before the operator since then: one chat may be offered again.
        let offered = self.visitors.offered.get(&(customer, to)).and_then(|of| of.get(&chat));
        if offered.is_some_and(|since| since >= at) {
            return;
        }
        // What was asked for came true, or may yet; else nobody was shown anything.
        let came_true = self.visitors.came_true.contains(&(queue.config().id, *other, to));
        let may_yet = queue.line().get(*other).is_some_and(|entry| match &entry.phase {
            Phase::Offering { to: whom, .. } => whom.contains(&to),
            Phase::Offered => entry.at.place.offer().is_some_and(|live| live.to.contains(&to)),
            Phase::Waiting | Phase::Reserving { .. } => false,
        });
        if !came_true && !may_yet {
            return;
        }
        assert!(
            now >= *until || !self.others_wait(queue, customer),
            "{to:?} is asked for {chat:?} at {now}, for {other:?} of the same visitor at {at}, and \
             others wait (seed {seed})"
        );
    }

    /// The queue has the chat offer itself to this operator.
    pub fn asked_for(&mut self, queue: &Queue, chat: ChatId, to: UserId, now: Timestamp) {
        // From a row of the index alone nobody knows whose it is.
        let known = queue.line().get(chat).is_some_and(|entry| entry.at.version > 0);
        if let Some(customer) = self.visitor(chat).filter(|_| known) {
            let until = now.plus_ms(self.settings.visitor_offer_every_ms);
            let last = Last { chat, at: now, until };
            self.visitors.asked.insert((queue.config().id, customer, to), last);
            self.visitors.came_true.remove(&(queue.config().id, chat, to));
        }
    }

    /// Whether the chat waits because another one of its visitor is offered in the same step.
    pub fn gives_way(&self, queue: &Queue, chat: ChatId, other: ChatId) -> bool {
        let Some(customer) = self.visitor(chat).filter(|_| other != chat) else { return false };
        self.visitor(other) == Some(customer) && self.others_wait(queue, customer)
    }

    /// Whether the operator may have been passed over with the chat for another one of its visitor.
    pub fn shown_lately(&self, queue: &Queue, chat: ChatId, to: UserId, now: Timestamp) -> bool {
        let Some(customer) = self.visitor(chat) else { return false };
        self.others_wait(queue, customer)
            && self.shown_within(queue, (chat, to), now, self.settings.visitor_offer_every_ms)
    }

    /// Whether another one of the chat's visitor was before the operator within this time.
    pub fn shown_within(
        &self,
        queue: &Queue,
        (chat, to): (ChatId, UserId),
        now: Timestamp,
        ms: u64,
    ) -> bool {
        let Some(customer) = self.visitor(chat) else { return false };
        let asked = self.visitors.asked.get(&(queue.config().id, customer, to));
        let asked = asked.map(|last| (&last.chat, &last.at));
        let offered = self.visitors.offered.get(&(customer, to)).into_iter().flatten();
        let mut others = asked.into_iter().chain(offered).filter(|(other, _)| **other != chat);
        others.any(|(_, at)| now.0 < at.0 + ms)
    }

    /// Whether the queue has asked the chat within this time to offer itself to the operator.
    pub fn asked_within(
        &self,
        queue: &Queue,
        (chat, to): (ChatId, UserId),
        now: Timestamp,
        ms: u64,
    ) -> bool {
        let Some(customer) = self.visitor(chat) else { return false };
        let asked = self.visitors.asked.get(&(queue.config().id, customer, to));
        asked.is_some_and(|last| last.chat == chat && now.0 < last.at.0 + ms)
    }
}

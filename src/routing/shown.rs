//! To whom chats of each visitor were offered lately.
//!
//! A visitor who opens and ends one chat after the other would fill operators' screens with offers
//! that are gone before anybody reads them. So while others wait an operator is asked for another
//! chat of the same visitor only [`visitor_offer_every_ms`] after the last one. The same chat may be
//! offered again whenever it likes: its own refusals bound that.
//!
//! [`visitor_offer_every_ms`]: crate::domain::RoutingSettings::visitor_offer_every_ms

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::limits::SHOWN_REMEMBERED_MAX;
use crate::domain::{ChatId, Customer, Timestamp, UserId};

/// Whom a visitor's chats were offered to: the latest chat, and when.
pub type Lately = BTreeMap<UserId, (ChatId, Timestamp)>;

/// See the module. At most [`SHOWN_REMEMBERED_MAX`] entries; the oldest gives way.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    of: BTreeMap<Customer, Lately>,
    /// The same by time, for forgetting.
    order: BTreeSet<(Timestamp, Customer, UserId)>,
    /// The same by time for each visitor.
    order_of: BTreeSet<(Customer, Timestamp, UserId)>,
    /// The same by operator.
    to: BTreeMap<UserId, BTreeSet<Customer>>,
    /// Of which two something else is known since that was asked last.
    changed: BTreeSet<(Customer, UserId)>,
    /// The operators to whom something counts as shown no more, since that was asked last.
    freed: BTreeSet<UserId>,
}

impl Shown {
    /// A chat of the visitor is offered to the operator at this time. Answers what was known of the two
    /// before.
    pub fn note(
        &mut self,
        (customer, chat): (Customer, ChatId),
        to: UserId,
        at: Timestamp,
    ) -> Option<(ChatId, Timestamp)> {
        let known = self.of.get(&customer).and_then(|lately| lately.get(&to)).copied();
        if known.is_some_and(|(_, before)| before > at) {
            return known;
        }
        self.remove(customer, to);
        self.of.entry(customer).or_default().insert(to, (chat, at));
        self.order.insert((at, customer, to));
        self.order_of.insert((customer, at, to));
        self.to.entry(to).or_default().insert(customer);
        while self.order.len() > SHOWN_REMEMBERED_MAX {
            self.forget_oldest();
        }
        known
    }

    /// The chat was not offered to the operator at that time after all: what was known before counts again.
    /// Nothing is changed once something else was noted.
    pub fn take_back(
        &mut self,
        (customer, chat): (Customer, ChatId),
        to: UserId,
        at: Timestamp,
        before: Option<(ChatId, Timestamp)>,
    ) {
        if self.of.get(&customer).and_then(|lately| lately.get(&to)) != Some(&(chat, at)) {
            return;
        }
        self.free(customer, to);
        if let Some((chat, at)) = before {
            self.note((customer, chat), to, at);
        }
    }

    /// Whom chats of the visitor were offered to.
    pub fn of(&self, customer: Customer) -> Option<&Lately> {
        self.of.get(&customer)
    }

    /// The visitors of whom a chat was offered to the operator.
    pub fn to(&self, operator: UserId) -> impl Iterator<Item = Customer> + '_ {
        self.to.get(&operator).into_iter().flatten().copied()
    }

    /// The first time, from this one on, at which another chat of the visitor than this one was offered
    /// to somebody whom none was offered to since.
    pub fn first_of_others(
        &self,
        (customer, chat): (Customer, ChatId),
        from: Timestamp,
    ) -> Option<Timestamp> {
        let lately = self.of.get(&customer)?;
        let of_another =
            |operator: &UserId| lately.get(operator).is_some_and(|(other, _)| *other != chat);
        let later = self.order_of.range((customer, from, UserId::from_u128(0))..);
        let mut its_own = later.take_while(|(of, ..)| *of == customer);
        its_own.find(|(.., operator)| of_another(operator)).map(|(_, at, _)| *at)
    }

    /// The visitors and operators of whom something else is known since this was asked last.
    pub fn take_changed(&mut self) -> BTreeSet<(Customer, UserId)> {
        std::mem::take(&mut self.changed)
    }

    /// The operators who may have something again that was held back from them, since that was asked last. What
    /// is shown to one who was shown another before frees neither: the latest that was shown is on screens.
    pub fn take_freed(&mut self) -> BTreeSet<UserId> {
        std::mem::take(&mut self.freed)
    }

    /// When the oldest was that is remembered.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, ..)| *at)
    }

    /// Forgets what was at this time or before.
    pub fn forget_until(&mut self, at: Timestamp) {
        while self.order.first().is_some_and(|(first, ..)| *first <= at) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, customer, operator)) = self.order.first().copied() {
            self.free(customer, operator);
        }
    }

    /// Nothing of the two counts any more: the operator may have what it might not.
    fn free(&mut self, customer: Customer, operator: UserId) {
        self.freed.insert(operator);
        self.remove(customer, operator);
    }

    fn remove(&mut self, customer: Customer, to: UserId) {
        self.changed.insert((customer, to));
        let Some(lately) = self.of.get_mut(&customer) else { return };
        let Some((_, at)) = lately.remove(&to) else { return };
        if lately.is_empty() {
            self.of.remove(&customer);
        }
        self.order.remove(&(at, customer, to));
        self.order_of.remove(&(customer, at, to));
        if let Some(customers) = self.to.get_mut(&to) {
            customers.remove(&customer);
            if customers.is_empty() {
                self.to.remove(&to);
            }
        }
    }

    /// Panics when the views differ; for tests and the simulation.
    pub fn assert_invariants(&self) {
        let entries = self.of.iter().flat_map(|(customer, lately)| {
            lately.iter().map(|(operator, (_, at))| (*at, *customer, *operator))
        });
        let entries: BTreeSet<_> = entries.collect();
        assert_eq!(entries, self.order, "who was shown what, by time");
        let of_each = entries.iter().map(|(at, customer, operator)| (*customer, *at, *operator));
        assert!(of_each.collect::<BTreeSet<_>>() == self.order_of, "the same for each visitor");
        let mut to = BTreeMap::<UserId, BTreeSet<Customer>>::new();
        for (_, customer, operator) in entries {
            to.entry(operator).or_default().insert(customer);
        }
        assert_eq!(to, self.to, "the same by operator");
        assert!(self.order.len() <= SHOWN_REMEMBERED_MAX, "what is remembered is bounded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChannelId, CustomerId};

    fn customer(id: u128) -> Customer {
        Customer { channel: ChannelId::from_u128(1), id: CustomerId::from_u128(id) }
    }

    const ANN: UserId = UserId::from_u128(0xa);

    #[test]
    fn what_did_not_come_true_is_taken_back_to_what_was_before() {
        let (mut shown, chat) = (Shown::default(), ChatId::from_u128);
        let latest = |shown: &Shown| shown.of(customer(1)).and_then(|of| of.get(&ANN)).copied();
        assert_eq!(shown.note((customer(1), chat(1)), ANN, Timestamp(10)), None);
        let before = shown.note((customer(1), chat(2)), ANN, Timestamp(20));
        assert_eq!(before, Some((chat(1), Timestamp(10))));
        // Not that one.
        shown.take_back((customer(1), chat(2)), ANN, Timestamp(21), before);
        shown.take_back((customer(1), chat(1)), ANN, Timestamp(20), None);
        assert_eq!(latest(&shown), Some((chat(2), Timestamp(20))));
        shown.take_back((customer(1), chat(2)), ANN, Timestamp(20), before);
        shown.assert_invariants();
        assert_eq!(latest(&shown), before);
        shown.take_back((customer(1), chat(1)), ANN, Timestamp(10), None);
        shown.assert_invariants();
        assert_eq!(latest(&shown), None);
        shown.take_back((customer(1), chat(1)), ANN, Timestamp(10), None);
    }

    #[test]
    fn the_latest_counts_and_old_ones_are_forgotten() {
        let mut shown = Shown::default();
        let note = |shown: &mut Shown, chat, at| {
            shown.note((customer(1), ChatId::from_u128(chat)), ANN, Timestamp(at));
            shown.assert_invariants();
        };
        note(&mut shown, 1, 10);
        note(&mut shown, 2, 20);
        note(&mut shown, 1, 15);
        let latest = (ChatId::from_u128(2), Timestamp(20));
        assert_eq!(shown.of(customer(1)).unwrap()[&ANN], latest);
        shown.forget_until(Timestamp(19));
        assert!(shown.of(customer(1)).is_some());
        shown.forget_until(Timestamp(20));
        assert!(shown.of(customer(1)).is_none());
        shown.assert_invariants();
    }

    #[test]
    fn whose_it_was_is_noted_when_something_is_forgotten() {
        let mut shown = Shown::default();
        let note = |shown: &mut Shown, n: u64| {
            shown.note((customer(n.into()), ChatId::from_u128(n.into())), ANN, Timestamp(n));
        };
        note(&mut shown, 1);
        note(&mut shown, 2);
        assert_eq!(shown.take_changed(), BTreeSet::from([(customer(1), ANN), (customer(2), ANN)]));
        assert_eq!(shown.take_freed(), BTreeSet::new(), "what is shown is held back");
        shown.forget_until(Timestamp(1));
        assert_eq!(shown.take_changed(), BTreeSet::from([(customer(1), ANN)]));
        assert_eq!(shown.take_freed(), BTreeSet::from([ANN]));
        // Before its time, for there are too many.
        (3..=SHOWN_REMEMBERED_MAX as u64 + 2).for_each(|n| note(&mut shown, n));
        assert!(shown.take_changed().contains(&(customer(2), ANN)), "it counts no more");
        shown.assert_invariants();
    }

    #[test]
    fn the_first_of_other_chats_is_the_earliest_after_a_time_that_is_not_of_the_chat_itself() {
        let (mut shown, chat) = (Shown::default(), ChatId::from_u128);
        let operator = |n| UserId::from_u128(0xa0 + n);
        for (n, at) in [(1, 10), (2, 20), (1, 30), (3, 40)] {
            let to = operator(u128::from(at));
            shown.note((customer(1), chat(n)), to, Timestamp(at));
        }
        shown.note((customer(2), chat(9)), operator(10), Timestamp(15));
        let first =
            |n, from| shown.first_of_others((customer(1), chat(n)), Timestamp(from)).map(|at| at.0);
        assert_eq!((first(1, 0), first(2, 0)), (Some(20), Some(10)));
        assert_eq!((first(2, 10), first(2, 11)), (Some(10), Some(30)));
        assert_eq!((first(3, 31), first(1, 40), first(1, 41)), (None, Some(40), None));
        assert!(shown.to(operator(10)).eq([customer(1), customer(2)]));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut shown = Shown::default();
        for n in 0..SHOWN_REMEMBERED_MAX as u128 + 10 {
            shown.note((customer(n), ChatId::from_u128(n)), ANN, Timestamp(n as u64));
        }
        shown.assert_invariants();
        assert!(shown.of(customer(9)).is_none() && shown.of(customer(10)).is_some());
    }
}

//! Which of the waiting chats may not go to whom, though there be room: for they refused it, or were
//! offered another chat of the same visitor lately.
//!
//! As a rule few have refused a chat, and a line may be long. So what refusals exclude is kept by pairs,
//! by chat and by member, and a chat is looked at only when something about it changed: itself, the time,
//! or whether all who are eligible have refused it. What visitors' other chats exclude is kept nowhere
//! but in [`Shown`](super::Shown): the chats of one visitor that wait stand in a set in order of their
//! own, and whoever was shown one lately may have none of that set but the one that was shown
//! ([`HeldBack`]). The first chat that a member may have is then the first of the line that is in none
//! of these sets, and [`Ranked`] finds it by counting, without a walk.
//!
//! Owns no fact: all is derived. Invariant: what is kept is what a look at every chat would give
//! (`machine::queue` compares them in tests and in the simulation).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::operator::Standing;
use crate::domain::time::earliest;
use crate::domain::{ChatId, Customer, Timestamp, UserId};

use super::pool::{Case, Pool, Refusals};
use super::ranked::Ranked;
use super::standing::{self, Against};

/// When a chat of the line is served: by its rank, and of equal ones by its id. Smaller is sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    /// Its rank.
    pub rank: i64,
    /// Which it is.
    pub chat: ChatId,
}

/// The chats of a visitor that wait, as far as a member may not have them: it was offered another.
#[derive(Debug, Clone, Copy)]
pub struct HeldBack<'a> {
    /// Whose they are.
    pub customer: Customer,
    /// Those that wait.
    pub turns: &'a Ranked<Turn>,
    /// The one among them that was offered, if it waits again: it may be offered once more.
    pub but: Option<Turn>,
}

/// A chat that somebody has refused.
#[derive(Debug, Clone)]
struct Looked {
    /// Its turn, if it waits.
    waits: Option<Turn>,
    /// Whose it is, if that is known.
    customer: Option<Customer>,
    refusals: Arc<Refusals>,
    /// Who may not have it.
    members: BTreeSet<UserId>,
    /// When time alone changes who is excluded.
    until: Option<Timestamp>,
}

/// The waiting chats that a member has refused and may not have.
#[derive(Debug, Clone, Default)]
struct RefusedOf {
    turns: Ranked<Turn>,
    /// The same by whose they are, as far as that is known.
    of: BTreeMap<Customer, Ranked<Turn>>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Excluded {
    chats: BTreeMap<ChatId, Looked>,
    against: BTreeMap<UserId, RefusedOf>,
    /// The chats that somebody has refused.
    refused: BTreeMap<UserId, BTreeSet<ChatId>>,
    /// Those that everybody who is eligible has refused: who refused them may be asked again.
    by_all: BTreeSet<ChatId>,
    until: BTreeSet<(Timestamp, ChatId)>,
}

impl Excluded {
    /// Looks at a chat, which is this visitor's and has this turn, or is on screens.
    pub fn look(
        &mut self,
        pool: &Pool,
        case: Case<'_>,
        refusals: &Arc<Refusals>,
        (customer, waits): (Option<Customer>, Option<Turn>),
    ) {
        let chat = case.chat;
        let others = pool.others_eligible(refusals);
        let (members, until) = excluded(case, others);
        self.forget_pairs(chat);
        let same =
            self.chats.get(&chat).is_some_and(|known| Arc::ptr_eq(&known.refusals, refusals));
        if !same {
            self.forget(chat);
        }
        if refusals.is_empty() {
            self.chats.remove(&chat);
            return;
        }
        if !same {
            for operator in refusals.keys() {
                self.refused.entry(*operator).or_default().insert(chat);
            }
        }
        if !others {
            self.by_all.insert(chat);
        } else {
            self.by_all.remove(&chat);
        }
        if let Some(turn) = waits {
            for operator in &members {
                self.against.entry(*operator).or_default().insert(turn, customer);
            }
        }
        self.until.extend(until.map(|until| (until, chat)));
        let refusals = refusals.clone();
        self.chats.insert(chat, Looked { waits, customer, refusals, members, until });
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.chats.is_empty()
    }

    /// The chat is neither waiting nor on screens any more.
    pub fn forget(&mut self, chat: ChatId) {
        self.forget_pairs(chat);
        let Some(known) = self.chats.remove(&chat) else { return };
        self.by_all.remove(&chat);
        for operator in known.refusals.keys() {
            if let Some(chats) = self.refused.get_mut(operator) {
                chats.remove(&chat);
                if chats.is_empty() {
                    self.refused.remove(operator);
                }
            }
        }
    }

    fn forget_pairs(&mut self, chat: ChatId) {
        let Some(known) = self.chats.get_mut(&chat) else { return };
        let members = std::mem::take(&mut known.members);
        if let Some(until) = known.until.take() {
            self.until.remove(&(until, chat));
        }
        let Some(turn) = known.waits.take() else { return };
        let customer = known.customer;
        for operator in members {
            if let Some(against) = self.against.get_mut(&operator) {
                against.remove(turn, customer);
                if against.turns.is_empty() {
                    self.against.remove(&operator);
                }
            }
        }
    }

    /// The chats to look at because time has passed.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = ChatId> + '_ {
        self.until.iter().take_while(move |(until, _)| *until <= now).map(|(_, chat)| *chat)
    }

    /// The chats to look at because members have become eligible, or are so no more: those whose
    /// last eligible member without a refusal went, and those to whom one came. Of the former every
    /// member that is left has refused each, so those of the one with the fewest are enough.
    pub fn of_eligibility(&self, pool: &Pool) -> Vec<ChatId> {
        let was_refused_by_all = self.by_all.iter().copied();
        let none = BTreeSet::new();
        let fewest = pool.eligible().map(|operator| self.refused.get(&operator).unwrap_or(&none));
        let fewest = match fewest.min_by_key(|chats| chats.len()) {
            Some(fewest) => fewest.iter().copied().collect::<Vec<_>>(),
            None => self.chats.keys().copied().collect(),
        };
        let fewest = fewest.into_iter().filter(|chat| !self.by_all.contains(chat));
        let changed = was_refused_by_all.chain(fewest).filter(|chat| {
            let refusals = self.chats.get(chat).map(|known| &known.refusals);
            refusals.is_some_and(|refusals| {
                let by_all = !pool.others_eligible(refusals);
                by_all != self.by_all.contains(chat)
            })
        });
        changed.collect()
    }

    /// Whether the member has refused the chat and may not have it.
    pub fn has(&self, chat: ChatId, operator: UserId) -> bool {
        self.chats.get(&chat).is_some_and(|known| known.members.contains(&operator))
    }

    /// The first of those who wait, after that turn if one is given, that a member may have from whom
    /// these are held back; and the ones after it.
    pub fn first_for<'a>(
        &'a self,
        operator: UserId,
        held_back: Vec<HeldBack<'a>>,
        waiting: &'a Ranked<Turn>,
        after: Option<Turn>,
    ) -> impl Iterator<Item = Turn> + 'a {
        let left_out = LeftOut::new(self.against.get(&operator), held_back);
        let passed = after.map_or(0, |after| {
            let (smaller, itself) = left_out.position(&after);
            waiting.up_to(&after).saturating_sub(smaller + usize::from(itself))
        });
        let next = move |n| waiting.nth_without(|turn| left_out.position(turn), n);
        (passed..waiting.len()).map_while(next)
    }

    /// Panics when the pairs by chat and by member differ, or what all have refused is not what the pool
    /// says; for tests and the simulation.
    pub fn assert_invariants(&self, pool: &Pool, waiting: &Ranked<Turn>) {
        let mut against = BTreeMap::<UserId, BTreeMap<Turn, Option<Customer>>>::new();
        let by_all = self.chats.iter().filter(|(_, known)| !pool.others_eligible(&known.refusals));
        let by_all: BTreeSet<ChatId> = by_all.map(|(chat, _)| *chat).collect();
        assert_eq!(by_all, self.by_all, "what all who are eligible have refused");
        for (chat, known) in &self.chats {
            if let Some(turn) = known.waits {
                assert!(
                    waiting.position(&turn).1,
                    "{chat:?} has the turn in which it is looked at"
                );
                for operator in &known.members {
                    against.entry(*operator).or_default().insert(turn, known.customer);
                }
            }
            for operator in known.refusals.keys() {
                let refused = self.refused.get(operator);
                assert!(refused.is_some_and(|chats| chats.contains(chat)), "{chat:?} was refused");
            }
        }
        assert!(self.against.keys().eq(against.keys()), "against whom there is something");
        for (operator, kept) in &self.against {
            let mut fresh = RefusedOf::default();
            for (turn, customer) in &against[operator] {
                fresh.insert(*turn, *customer);
            }
            kept.turns.assert_invariants();
            assert!(fresh.turns.iter().eq(kept.turns.iter()), "what {operator:?} may not have");
            let of = |kept: &RefusedOf| -> Vec<(Customer, Vec<Turn>)> {
                kept.of.iter().map(|(customer, of)| (*customer, of.iter().collect())).collect()
            };
            assert_eq!(of(kept), of(&fresh), "the same by whose they are, of {operator:?}");
        }
        let refused: usize = self.refused.values().map(BTreeSet::len).sum();
        let refusals: usize = self.chats.values().map(|known| known.refusals.len()).sum();
        assert_eq!(refused, refusals, "who refused what, by both");
        let until = self.chats.iter().filter_map(|(chat, known)| Some((known.until?, *chat)));
        assert_eq!(until.collect::<BTreeSet<_>>(), self.until, "when to look again");
    }
}

impl RefusedOf {
    fn insert(&mut self, turn: Turn, customer: Option<Customer>) {
        self.turns.insert(turn);
        if let Some(customer) = customer {
            self.of.entry(customer).or_default().insert(turn);
        }
    }

    fn remove(&mut self, turn: Turn, customer: Option<Customer>) {
        self.turns.remove(&turn);
        if let Some(customer) = customer
            && let Some(of) = self.of.get_mut(&customer)
        {
            of.remove(&turn);
            if of.is_empty() {
                self.of.remove(&customer);
            }
        }
    }
}

/// What of a line a member may not have: what it refused, and of each visitor of whom it was offered
/// another chat what is not refused besides.
struct LeftOut<'a> {
    refused: Option<&'a Ranked<Turn>>,
    held_back: Vec<(HeldBack<'a>, Option<&'a Ranked<Turn>>)>,
}

impl<'a> LeftOut<'a> {
    fn new(against: Option<&'a RefusedOf>, held_back: Vec<HeldBack<'a>>) -> Self {
        let of = |customer| against.and_then(|against| against.of.get(&customer));
        let with_refused = held_back.into_iter().map(|held| {
            let refused = of(held.customer);
            let is_refused = |but: &Turn| refused.is_some_and(|refused| refused.contains(but));
            // What it refused is left out as such, whether it was offered or not.
            (HeldBack { but: held.but.filter(|but| !is_refused(but)), ..held }, refused)
        });
        let held_back = with_refused.collect();
        Self { refused: against.map(|against| &against.turns), held_back }
    }

    /// How many in front of this turn are left out, and whether it is itself.
    fn position(&self, turn: &Turn) -> (usize, bool) {
        let none = (0, false);
        let (mut smaller, mut itself) = self.refused.map_or(none, |refused| refused.position(turn));
        for (held, refused) in &self.held_back {
            let (held_back, is_held_back) = held.turns.position(turn);
            // Those are counted already.
            let (twice, _) = refused.map_or(none, |refused| refused.position(turn));
            let but = usize::from(held.but.is_some_and(|but| but < *turn));
            smaller += held_back.saturating_sub(twice + but);
            itself |= is_held_back && held.but != Some(*turn);
        }
        (smaller, itself)
    }
}

/// Who has refused a chat and may not have it, and when time alone changes that.
fn excluded(case: Case<'_>, others: bool) -> (BTreeSet<UserId>, Option<Timestamp>) {
    let (mut members, mut next) = (BTreeSet::new(), None);
    for operator in case.refusals.keys() {
        let against = Against { shown_until: None, ..case.against(*operator, others) };
        let (standing, until) =
            standing::towards(Standing::Free, against, case.cool_down_ms, case.now);
        if standing != Standing::Free {
            members.insert(*operator);
            next = earliest(next, until);
        }
    }
    (members, next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{ChannelId, CustomerId};

    const ANN: UserId = UserId::from_u128(0xa);
    const VISITORS: u8 = 3;

    fn customer(n: u8) -> Customer {
        let id = CustomerId::from_u128(u128::from(n));
        Customer { channel: ChannelId::from_u128(1), id }
    }

    fn turn(n: usize) -> Turn {
        Turn { rank: n as i64, chat: ChatId::from_u128(n as u128) }
    }

    proptest! {
        /// Of chats of few visitors, some refused; of some of the visitors one was shown, or one that waits
        /// no more.
        #[test]
        fn what_a_member_may_have_is_the_line_without_what_it_refused_and_what_is_held_back(
            chats in prop::collection::vec((prop::option::of(0..VISITORS), prop::bool::ANY), 0..24),
            shown in prop::collection::btree_map(0..VISITORS, 0..30usize, 0..=3),
        ) {
            let mut excluded = Excluded::default();
            let (mut waiting, mut of) = (Ranked::default(), BTreeMap::<u8, Ranked<Turn>>::new());
            for (n, (visitor, refused)) in chats.iter().enumerate() {
                waiting.insert(turn(n));
                if let Some(visitor) = visitor {
                    of.entry(*visitor).or_default().insert(turn(n));
                }
                if *refused {
                    let against = excluded.against.entry(ANN).or_default();
                    against.insert(turn(n), visitor.map(customer));
                }
            }
            let held_back = |(visitor, but): (&u8, &usize)| {
                let turns = of.get(visitor)?;
                let but = Some(turn(*but)).filter(|but| turns.contains(but));
                Some(HeldBack { customer: customer(*visitor), turns, but })
            };
            let held_back: Vec<HeldBack<'_>> = shown.iter().filter_map(held_back).collect();
            let may_have = |n: &usize| {
                let (visitor, refused) = chats[*n];
                let another = visitor.and_then(|visitor| shown.get(&visitor));
                !refused && another.is_none_or(|another| another == n)
            };
            for after in (0..chats.len()).map(Some).chain([None]) {
                let behind = after.map_or(0, |after| after + 1)..chats.len();
                let wanted: Vec<Turn> = behind.filter(may_have).map(turn).collect();
                let held_back = held_back.clone();
                let found = excluded.first_for(ANN, held_back, &waiting, after.map(turn));
                prop_assert_eq!(found.collect::<Vec<_>>(), wanted, "after {:?}", after);
            }
        }
    }
}

//! Which of the waiting chats may not go to whom, though there be room: for they refused it, or were
//! offered another chat of the same visitor lately.
//!
//! As a rule few have refused a chat, and a line may be long. So what refusals exclude is kept by pairs,
//! by chat and by member, and a chat is looked at only when something about it changed, or its time came.
//! The pairs whose cool-down is over count only while somebody else is eligible who has not refused the
//! chat; so they are kept apart, and with them those of the chats that everybody of some members has refused
//! ([`Excluded::of`]): of those who were eligible last while each of them had refused something. As long as
//! nobody else is eligible who was not among them, these exclude nothing; for others it is found out anew
//! ([`lifted`]). While one member alone is eligible these are all the chats that it has refused, and are not
//! written down.
//!
//! What visitors' other chats exclude is kept nowhere
//! but in [`Shown`](super::Shown): the chats of one visitor that wait stand in a set in order of their
//! own, and whoever was shown one lately may have none of that set but the one that was shown
//! ([`HeldBack`]). The first chat that a member may have is then the first of the line that is in none
//! of these sets, and [`Ranked`] finds it by counting, without a walk.
//!
//! Owns no fact: all is derived. Invariant: what is kept is what a look at every chat would give, or while
//! something is still to be found out excludes more, of who has refused it (`machine::queue` compares them
//! in tests and in the simulation).

mod lifted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::operator::Standing;
use crate::domain::time::earliest;
use crate::domain::{ChatId, Customer, Timestamp, UserId};

use super::pool::{Case, Eligible, Pool, Refusals};
use super::ranked::Ranked;
use super::standing;

pub use lifted::Lift;
use lifted::Scan;

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
    /// Whose cool-down is not over.
    cooling: BTreeSet<UserId>,
    /// When time alone changes who is excluded.
    until: Option<Timestamp>,
}

/// Waiting chats that a member has refused.
#[derive(Debug, Clone, Default)]
struct RefusedOf {
    turns: Ranked<Turn>,
    /// The same by whose they are, as far as that is known.
    of: BTreeMap<Customer, Ranked<Turn>>,
}

/// Pairs of a member and a waiting chat that it has refused, by member.
type Pairs = BTreeMap<UserId, RefusedOf>;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Excluded {
    chats: BTreeMap<ChatId, Looked>,
    /// The pairs whose cool-down is not over.
    cooling: Pairs,
    /// The others.
    over: Pairs,
    /// Those of the others whose chats all of [`Self::of`] have refused. They exclude nothing while that
    /// [counts](Self::lifts).
    lifted: Pairs,
    /// The chats that somebody has refused.
    refused: BTreeMap<UserId, BTreeSet<ChatId>>,
    /// Those that all of [`Self::of`] have refused: who did may be asked again.
    by_all: BTreeSet<ChatId>,
    /// Who was eligible at the last look.
    eligible: Eligible,
    /// Who was eligible, and all had refused something, when it was last found out what all have refused.
    of: BTreeSet<UserId>,
    /// Whether all who are eligible have refused these chats: no other has come since.
    lifts: bool,
    /// No more than one is eligible, or one of them has refused nothing: so there are no such chats.
    idle: bool,
    /// How far it is found out.
    scan: Option<Scan>,
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
        let (cooling, until) = cooling(case);
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
        if self.idle && self.eligible == Eligible::More && !pool.others_eligible(refusals) {
            self.find_out(pool);
        }
        let by_all = !self.of.is_empty() && all_refused(&self.of, refusals);
        if by_all {
            self.by_all.insert(chat);
        } else {
            self.by_all.remove(&chat);
        }
        for operator in refusals.keys().filter(|_| waits.is_some()) {
            let is_cooling = cooling.contains(operator);
            let pairs = if is_cooling { &mut self.cooling } else { &mut self.over };
            put(pairs, *operator, waits, customer);
            if by_all && !is_cooling {
                put(&mut self.lifted, *operator, waits, customer);
            }
        }
        self.until.extend(until.map(|until| (until, chat)));
        let refusals = refusals.clone();
        self.chats.insert(chat, Looked { waits, customer, refusals, cooling, until });
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
        let cooling = std::mem::take(&mut known.cooling);
        if let Some(until) = known.until.take() {
            self.until.remove(&(until, chat));
        }
        let Some(turn) = known.waits.take() else { return };
        let by_all = self.by_all.contains(&chat);
        for operator in known.refusals.keys() {
            let is_cooling = cooling.contains(operator);
            let pairs = if is_cooling { &mut self.cooling } else { &mut self.over };
            take(pairs, *operator, turn, known.customer);
            if by_all && !is_cooling {
                take(&mut self.lifted, *operator, turn, known.customer);
            }
        }
    }

    /// The chats to look at because time has passed.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = ChatId> + '_ {
        self.until.iter().take_while(move |(until, _)| *until <= now).map(|(_, chat)| *chat)
    }

    /// Who was eligible when chats were looked at last.
    pub fn were_eligible(&self) -> Eligible {
        self.eligible
    }

    /// Whether everybody who is eligible has refused the chat, so that who did may be asked again.
    fn is_lifted(&self, chat: ChatId, refusals: &Refusals) -> bool {
        match self.eligible {
            Eligible::Nobody => true,
            Eligible::One(alone) => refusals.contains_key(&alone),
            Eligible::More => self.lifts && self.by_all.contains(&chat),
        }
    }

    /// Whether the member has refused the chat and may not have it.
    pub fn has(&self, chat: ChatId, operator: UserId) -> bool {
        self.chats.get(&chat).is_some_and(|known| {
            let is_lifted = || self.is_lifted(chat, &known.refusals);
            known.refusals.contains_key(&operator)
                && (known.cooling.contains(&operator) || !is_lifted())
        })
    }

    /// Whether what the member refused can be told without a look at each chat: not for who is not eligible
    /// while another one alone is, and asks all the same.
    fn is_counted(&self, operator: UserId) -> bool {
        !matches!(self.eligible, Eligible::One(alone) if alone != operator)
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
        let is_counted = self.is_counted(operator);
        let over = is_counted && self.eligible == Eligible::More;
        let of = |pairs: &'a Pairs| pairs.get(&operator);
        let lifted = of(&self.lifted).filter(|_| over && self.lifts);
        let over = (of(&self.over).filter(|_| over), lifted);
        let left_out = LeftOut::new(RefusedTurns { cooling: of(&self.cooling), over }, held_back);
        let passed = after.map_or(0, |after| {
            let (smaller, itself) = left_out.position(&after);
            waiting.up_to(&after).saturating_sub(smaller + usize::from(itself))
        });
        let next = move |n| waiting.nth_without(|turn| left_out.position(turn), n);
        let firsts = (passed..waiting.len()).map_while(next);
        firsts.filter(move |turn| is_counted || !self.has(turn.chat, operator))
    }

    /// Panics when the pairs by chat and by member differ, or what all have refused is not what the pool
    /// says; for tests and the simulation.
    pub fn assert_invariants(&self, pool: &Pool, waiting: &Ranked<Turn>) {
        assert_eq!(self.eligible, pool.who_is_eligible(), "who is eligible");
        let is_by_all =
            |of: &BTreeSet<UserId>, chat: &ChatId| all_refused(of, &self.chats[chat].refusals);
        let by_all = &self.by_all;
        if self.scan.is_none() {
            let of_known = self.chats.keys().filter(|_| !self.of.is_empty());
            let of_known = of_known.filter(|chat| is_by_all(&self.of, chat));
            assert!(of_known.eq(by_all), "what all of them have refused");
        }
        if self.eligible == Eligible::More {
            let eligible: BTreeSet<UserId> = pool.eligible().collect();
            let lifted = by_all.iter().filter(|_| self.lifts);
            assert!(lifted.clone().all(|chat| is_by_all(&eligible, chat)), "all have refused");
            let all = self.chats.keys().filter(|chat| is_by_all(&eligible, chat));
            assert!(self.is_lifting() || all.eq(lifted), "what all who are eligible have refused");
        }
        let mut fresh = [Pairs::new(), Pairs::new(), Pairs::new()];
        for (chat, known) in &self.chats {
            if let Some(turn) = known.waits {
                assert!(
                    waiting.position(&turn).1,
                    "{chat:?} has the turn in which it is looked at"
                );
            }
            for operator in known.refusals.keys() {
                let is_cooling = known.cooling.contains(operator);
                let is_in = [is_cooling, !is_cooling, !is_cooling && by_all.contains(chat)];
                for (pairs, is_in) in fresh.iter_mut().zip(is_in) {
                    if let Some(turn) = known.waits.filter(|_| is_in) {
                        put(pairs, *operator, Some(turn), known.customer);
                    }
                }
                let refused = self.refused.get(operator);
                assert!(refused.is_some_and(|chats| chats.contains(chat)), "{chat:?} was refused");
            }
        }
        for (fresh, kept) in fresh.iter().zip([&self.cooling, &self.over, &self.lifted]) {
            assert!(kept.keys().eq(fresh.keys()), "against whom there is something");
            for (operator, kept) in kept {
                let fresh = &fresh[operator];
                kept.turns.assert_invariants();
                assert!(fresh.turns.iter().eq(kept.turns.iter()), "what {operator:?} refused");
                let of = |kept: &RefusedOf| -> Vec<(Customer, Vec<Turn>)> {
                    kept.of.iter().map(|(customer, of)| (*customer, of.iter().collect())).collect()
                };
                assert_eq!(of(kept), of(fresh), "the same by whose they are, of {operator:?}");
            }
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

/// Whether all of them have refused the chat.
fn all_refused(members: &BTreeSet<UserId>, refusals: &Refusals) -> bool {
    members.len() <= refusals.len() && members.iter().all(|who| refusals.contains_key(who))
}

/// Adds a pair, if the chat waits.
fn put(to: &mut Pairs, of: UserId, turn: Option<Turn>, customer: Option<Customer>) {
    if let Some(turn) = turn {
        to.entry(of).or_default().insert(turn, customer);
    }
}

fn take(from: &mut Pairs, of: UserId, turn: Turn, customer: Option<Customer>) {
    if let Some(refused) = from.get_mut(&of) {
        refused.remove(turn, customer);
        if refused.turns.is_empty() {
            from.remove(&of);
        }
    }
}

/// What a member has refused and may not have: what is cooling, and what is over but for what is lifted.
#[derive(Clone, Copy, Default)]
struct RefusedTurns<'a> {
    cooling: Option<&'a RefusedOf>,
    over: (Option<&'a RefusedOf>, Option<&'a RefusedOf>),
}

impl RefusedTurns<'_> {
    /// How many of it are in front of this turn, and whether it is itself; of one visitor, or of all.
    fn in_front(&self, of: Option<Customer>, turn: &Turn) -> (usize, bool) {
        let position = |refused: Option<&RefusedOf>| {
            let turns = refused.and_then(|refused| match of {
                Some(customer) => refused.of.get(&customer),
                None => Some(&refused.turns),
            });
            turns.map_or((0, false), |turns| turns.position(turn))
        };
        let (cooling, over) = (position(self.cooling), position(self.over.0));
        let lifted = position(self.over.1);
        // What is lifted is among what is over.
        (cooling.0 + over.0.saturating_sub(lifted.0), cooling.1 || (over.1 && !lifted.1))
    }
}

/// What of a line a member may not have: what it refused, and of each visitor of whom it was offered
/// another chat what is not refused besides.
struct LeftOut<'a> {
    refused: RefusedTurns<'a>,
    held_back: Vec<HeldBack<'a>>,
}

impl<'a> LeftOut<'a> {
    fn new(refused: RefusedTurns<'a>, held_back: Vec<HeldBack<'a>>) -> Self {
        let without_refused = held_back.into_iter().map(|held| {
            let is_refused = |but: &Turn| refused.in_front(Some(held.customer), but).1;
            // What it refused is left out as such, whether it was offered or not.
            HeldBack { but: held.but.filter(|but| !is_refused(but)), ..held }
        });
        Self { refused, held_back: without_refused.collect() }
    }

    /// How many in front of this turn are left out, and whether it is itself.
    fn position(&self, turn: &Turn) -> (usize, bool) {
        let (mut smaller, mut itself) = self.refused.in_front(None, turn);
        for held in &self.held_back {
            let (held_back, is_held_back) = held.turns.position(turn);
            // Those are counted already.
            let (twice, _) = self.refused.in_front(Some(held.customer), turn);
            let but = usize::from(held.but.is_some_and(|but| but < *turn));
            smaller += held_back.saturating_sub(twice + but);
            itself |= is_held_back && held.but != Some(*turn);
        }
        (smaller, itself)
    }
}

/// Who has refused a chat and is not asked again whoever else is eligible, and when time alone changes that.
fn cooling(case: Case<'_>) -> (BTreeSet<UserId>, Option<Timestamp>) {
    let (mut cooling, mut next) = (BTreeSet::new(), None);
    for operator in case.refusals.keys() {
        let against = standing::Against { shown_until: None, ..case.against(*operator, false) };
        let (standing, until) =
            standing::towards(Standing::Free, against, case.cool_down_ms, case.now);
        if standing != Standing::Free {
            cooling.insert(*operator);
            next = earliest(next, until);
        }
    }
    (cooling, next)
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
                    let cooling = excluded.cooling.entry(ANN).or_default();
                    cooling.insert(turn(n), visitor.map(customer));
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

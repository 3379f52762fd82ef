//! Which of the waiting chats may not go to whom, though there be room: the pairs that refusals and
//! visitors' other chats stand between.
//!
//! As a rule few pairs are excluded, and a line may be long; a visitor with many chats makes these times
//! the operators who were shown one lately. So the pairs are kept, by chat and by member, and a
//! chat is looked at only when something about it changed: itself, the time, to whom others of its
//! visitor were offered, whether anybody else waits, or whether all who are eligible have refused it.
//! The first chat that a member may have is then the first of the line which is not among those that
//! are excluded for it, and [`Ranked`] finds it without a walk.
//!
//! Owns no fact: all is derived. Invariant: what is kept is what a look at every chat would give
//! (`machine::queue` compares them in tests and in the simulation).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::operator::Standing;
use crate::domain::time::earliest;
use crate::domain::{ChatId, Timestamp, UserId};

use super::pool::{Case, Pool, Refusals};
use super::ranked::Ranked;
use super::standing;

/// When a chat of the line is served: by its rank, and of equal ones by its id. Smaller is sooner.
pub type Turn = (i64, ChatId);

/// A chat with something against somebody.
#[derive(Debug, Clone)]
struct Looked {
    /// Its turn, if it waits.
    waits: Option<Turn>,
    refusals: Arc<Refusals>,
    members: BTreeSet<UserId>,
    /// When time alone changes who is excluded.
    until: Option<Timestamp>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Excluded {
    chats: BTreeMap<ChatId, Looked>,
    /// The waiting chats that a member may not have.
    against: BTreeMap<UserId, Ranked<Turn>>,
    /// The chats that somebody has refused.
    refused: BTreeMap<UserId, BTreeSet<ChatId>>,
    /// Those that everybody who is eligible has refused: who refused them may be asked again.
    by_all: BTreeSet<ChatId>,
    until: BTreeSet<(Timestamp, ChatId)>,
}

impl Excluded {
    /// Looks at a chat, which has this turn, or is on screens.
    pub fn look(
        &mut self,
        pool: &Pool,
        case: Case<'_>,
        refusals: &Arc<Refusals>,
        waits: Option<Turn>,
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
        if refusals.is_empty() && members.is_empty() {
            self.chats.remove(&chat);
            return;
        }
        if !same {
            for operator in refusals.keys() {
                self.refused.entry(*operator).or_default().insert(chat);
            }
        }
        if !refusals.is_empty() && !others {
            self.by_all.insert(chat);
        } else {
            self.by_all.remove(&chat);
        }
        if let Some(turn) = waits {
            for operator in &members {
                self.against.entry(*operator).or_default().insert(turn);
            }
        }
        self.until.extend(until.map(|until| (until, chat)));
        let refusals = refusals.clone();
        self.chats.insert(chat, Looked { waits, refusals, members, until });
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
        for operator in members {
            if let Some(turns) = self.against.get_mut(&operator) {
                turns.remove(&turn);
                if turns.is_empty() {
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
                let by_all = !refusals.is_empty() && !pool.others_eligible(refusals);
                by_all != self.by_all.contains(chat)
            })
        });
        changed.collect()
    }

    /// To whom the chat may not go.
    pub fn members(&self, chat: ChatId) -> Option<&BTreeSet<UserId>> {
        self.chats.get(&chat).map(|known| &known.members).filter(|members| !members.is_empty())
    }

    /// Whether the chat may not go to the member.
    pub fn has(&self, chat: ChatId, operator: UserId) -> bool {
        self.chats.get(&chat).is_some_and(|known| known.members.contains(&operator))
    }

    /// The first of those who wait, after that turn if one is given, that a member may have; and the
    /// ones after it.
    pub fn first_for<'a>(
        &'a self,
        operator: UserId,
        waiting: &'a Ranked<Turn>,
        after: Option<Turn>,
    ) -> impl Iterator<Item = Turn> + 'a {
        let against = self.against.get(&operator);
        let passed = after.map_or(0, |after| {
            let left_out = against.map_or(0, |against| against.up_to(&after));
            waiting.up_to(&after).saturating_sub(left_out)
        });
        (passed..waiting.len()).map_while(move |n| waiting.nth_without(against, n))
    }

    /// Panics when the pairs by chat and by member differ; for tests and the simulation.
    pub fn assert_invariants(&self, waiting: &Ranked<Turn>) {
        let mut against = BTreeMap::<UserId, BTreeSet<Turn>>::new();
        for (chat, known) in &self.chats {
            if let Some(turn) = known.waits {
                assert!(
                    waiting.position(&turn).1,
                    "{chat:?} has the turn in which it is looked at"
                );
                for operator in &known.members {
                    against.entry(*operator).or_default().insert(turn);
                }
            }
            for operator in known.refusals.keys() {
                let refused = self.refused.get(operator);
                assert!(refused.is_some_and(|chats| chats.contains(chat)), "{chat:?} was refused");
            }
        }
        assert!(self.against.keys().eq(against.keys()), "against whom there is something");
        for (operator, turns) in &self.against {
            turns.assert_invariants();
            assert!(
                turns.iter().eq(against[operator].iter().copied()),
                "what {operator:?} may not have"
            );
        }
        let refused: usize = self.refused.values().map(BTreeSet::len).sum();
        let refusals: usize = self.chats.values().map(|known| known.refusals.len()).sum();
        assert_eq!(refused, refusals, "who refused what, by both");
        let until = self.chats.iter().filter_map(|(chat, known)| Some((known.until?, *chat)));
        assert_eq!(until.collect::<BTreeSet<_>>(), self.until, "when to look again");
    }
}

/// To whom a chat may not go though they have room, and when time alone changes that.
fn excluded(case: Case<'_>, others: bool) -> (BTreeSet<UserId>, Option<Timestamp>) {
    let (mut members, mut next) = (BTreeSet::new(), None);
    let lately = case.lately.into_iter().flat_map(|lately| lately.keys());
    for operator in case.refusals.keys().chain(lately) {
        let against = case.against(*operator, others);
        let (standing, until) =
            standing::towards(Standing::Free, against, case.cool_down_ms, case.now);
        if standing != Standing::Free {
            members.insert(*operator);
            next = earliest(next, until);
        }
    }
    (members, next)
}

//! Which chats all who are eligible have refused, so that who did may be asked again.
//!
//! When somebody comes or goes that may be another answer for as many chats as were refused. So it is kept of
//! those who were eligible last while each of them had refused something: who comes and goes without a
//! refusal costs nothing. For others it is found out anew, bit by bit: first which of the chats that are known
//! whoever came has not refused, then which others all have by now. Until then it is known of too few, so that
//! who has refused a chat is not asked for it again while somebody else may be.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::domain::limits::LIFT_PAIRS;
use crate::domain::{ChatId, UserId};

use super::super::pool::{Eligible, Pool};
use super::{Excluded, all_refused, put, take};

/// What is still to be found out of the chats that all of some have refused.
#[derive(Debug, Clone)]
pub(super) enum Scan {
    /// Which of them these, who came, have not: the chats after that one.
    Lowering(BTreeSet<UserId>, Option<ChatId>),
    /// What else all have refused, now that somebody went: after that one of the chats that this member has,
    /// who has refused the fewest.
    Lifting(UserId, Option<ChatId>),
}

/// What was found out of what all who are eligible have refused.
#[derive(Debug, Default)]
pub struct Lift {
    /// For how many pairs of a chat and a member.
    pub pairs: usize,
    /// Who has refused these may be asked for them from now on.
    pub chats: Vec<ChatId>,
    /// So may who refused the others that were known before.
    pub known: bool,
}

impl Excluded {
    /// Members have become eligible, or are so no more. Answers whether something may have changed for all
    /// members, as what all have refused before counts again. What else there is to that [`Self::lift`] finds
    /// out: until then who has refused a chat is not asked again. While one alone is eligible, or nobody,
    /// something may have changed for whom is left.
    pub fn of_eligibility(&mut self, pool: &Pool) -> bool {
        self.eligible = pool.who_is_eligible();
        let has_refused = |operator| self.refused.contains_key(&operator);
        self.idle = self.eligible != Eligible::More || !pool.eligible().all(has_refused);
        if self.eligible != Eligible::More {
            return false;
        }
        let did = self.lifts;
        let is_lowered = !matches!(self.scan, Some(Scan::Lowering(..)));
        self.lifts = is_lowered && pool.eligible().all(|operator| self.of.contains(&operator));
        if !self.idle && !pool.eligible().eq(self.of.iter().copied()) {
            self.find_out(pool);
        }
        self.lifts && !did
    }

    /// Begins to find out what all who are eligible have refused, from what all of some others had.
    pub(super) fn find_out(&mut self, pool: &Pool) {
        let is_lowered = !matches!(self.scan, Some(Scan::Lowering(..)));
        let came = |operator: &UserId| !is_lowered || !self.of.contains(operator);
        let came: BTreeSet<UserId> = pool.eligible().filter(came).collect();
        self.of = pool.eligible().collect();
        self.idle = false;
        self.lifts = came.is_empty() || self.by_all.is_empty();
        self.scan = if self.lifts { self.lifting() } else { Some(Scan::Lowering(came, None)) };
    }

    fn lifting(&self) -> Option<Scan> {
        let refused = |operator: &&UserId| self.refused.get(operator).map_or(0, BTreeSet::len);
        let fewest = self.of.iter().min_by_key(refused).copied();
        fewest.map(|fewest| Scan::Lifting(fewest, None))
    }

    /// Whether it is not known yet of all chats whether all who are eligible have refused them.
    pub fn is_lifting(&self) -> bool {
        self.scan.is_some() && !self.idle
    }

    /// Finds out some more of that, for about so many pairs of a chat and a member.
    pub fn lift(&mut self, pairs: usize) -> Lift {
        let mut lift = Lift::default();
        while lift.pairs < pairs
            && self.is_lifting()
            && let Some(scan) = self.scan.take()
        {
            let (members, after, chats) = match &scan {
                Scan::Lowering(came, after) => (came, *after, Some(&self.by_all)),
                Scan::Lifting(fewest, after) => (&self.of, *after, self.refused.get(fewest)),
            };
            let after = after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut behind =
                chats.into_iter().flat_map(|chats| chats.range((after, Bound::Unbounded)));
            let Some(chat) = behind.next().copied() else {
                // What is left all have refused.
                if let Scan::Lowering(..) = scan {
                    (self.lifts, lift.known) = (true, true);
                    self.scan = self.lifting();
                }
                continue;
            };
            let known = self.by_all.contains(&chat);
            let refusals = self.chats.get(&chat).map(|looked| &looked.refusals);
            let asks = matches!(scan, Scan::Lowering(..)) || !known;
            let by_all = !asks || refusals.is_some_and(|refusals| all_refused(members, refusals));
            let refusals = refusals.map_or(0, |refusals| refusals.len());
            lift.pairs += LIFT_PAIRS + if asks { refusals.min(members.len()) } else { 0 };
            if by_all != known {
                lift.pairs += LIFT_PAIRS * refusals;
                lift.chats.extend(Some(chat).filter(|_| by_all));
                self.set_by_all(chat, by_all);
            }
            self.scan = Some(match scan {
                Scan::Lowering(came, _) => Scan::Lowering(came, Some(chat)),
                Scan::Lifting(fewest, _) => Scan::Lifting(fewest, Some(chat)),
            });
        }
        lift
    }

    fn set_by_all(&mut self, chat: ChatId, by_all: bool) {
        let Some(known) = self.chats.get(&chat) else { return };
        let over = known.refusals.keys().filter(|operator| !known.cooling.contains(operator));
        for operator in over {
            match known.waits {
                Some(_) if by_all => put(&mut self.lifted, *operator, known.waits, known.customer),
                Some(turn) => take(&mut self.lifted, *operator, turn, known.customer),
                None => {}
            }
        }
        if by_all {
            self.by_all.insert(chat);
        } else {
            self.by_all.remove(&chat);
        }
    }
}

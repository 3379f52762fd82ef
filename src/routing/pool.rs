//! What a queue believes about its members, and the choice among them.
//!
//! Owns the beliefs and the reservations on their way. Invariant: the derived sets (`free`, `kept`,
//! `eligible`, `standings`) always equal what a full look at the members would give
//! ([`Pool::assert_invariants`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::event::{Decision, Trigger};
use crate::domain::limits::RUNNERS_UP;
use crate::domain::operator::{OperatorState, Standing};
use crate::domain::{ChatId, Rule, Timestamp, UserId};

use super::rule::{Preference, preference};
use super::shown::Lately;
use super::standing::{self, Against, Refused};

/// Who refused a chat, and when.
pub type Refusals = BTreeMap<UserId, Timestamp>;

/// What of a chat matters to a choice, and when the choice is made.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Who refused it, and when.
    pub refusals: &'a Refusals,
    /// Its rank.
    pub rank: i64,
    /// How long who refused it is not asked again, ms.
    pub cool_down_ms: u64,
    /// Which it is.
    pub chat: ChatId,
    /// Whom other chats of its visitor were offered to; none: nobody, or nobody else waits.
    pub lately: Option<&'a Lately>,
    /// How long these are not asked for it, ms.
    pub visitor_offer_every_ms: u64,
    /// The present.
    pub now: Timestamp,
}

impl Case<'_> {
    fn against(&self, operator: UserId, others: bool) -> Against {
        let refused = self.refusals.get(&operator).map(|at| Refused { at: *at, others });
        Against { refused, shown_until: self.shown_until(operator) }
    }

    /// Until when the operator is not asked for the chat, for it was offered another one of the same
    /// visitor.
    pub fn shown_until(&self, operator: UserId) -> Option<Timestamp> {
        let (chat, at) = self.lately?.get(&operator)?;
        (*chat != self.chat).then(|| at.plus_ms(self.visitor_offer_every_ms))
    }
}

#[derive(Debug, Clone, Default)]
struct Member {
    belief: Option<OperatorState>,
    on_the_way: u32,
}

impl Member {
    fn standing(&self) -> Standing {
        standing::of_member(self.belief.as_ref(), self.on_the_way)
    }

    /// Smaller ranks than this may have a kept slot.
    fn kept_below(&self) -> Option<i64> {
        self.belief.as_ref().and_then(|state| state.kept_below)
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    members: BTreeMap<UserId, Member>,
    free: BTreeSet<UserId>,
    kept: BTreeSet<UserId>,
    eligible: BTreeSet<UserId>,
    standings: BTreeMap<Standing, u32>,
}

impl Pool {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes exactly these the members; what is believed of those who stay is kept. Answers who
    /// came.
    pub fn set_members(&mut self, members: &BTreeSet<UserId>) -> Vec<UserId> {
        let gone: Vec<UserId> =
            self.members.keys().filter(|member| !members.contains(member)).copied().collect();
        for operator in gone {
            if let Some(member) = self.members.remove(&operator) {
                self.uncount(operator, member.standing());
            }
        }
        let came: Vec<UserId> =
            members.iter().filter(|member| !self.members.contains_key(member)).copied().collect();
        for operator in &came {
            let member = Member::default();
            self.count(*operator, member.standing());
            self.members.insert(*operator, member);
        }
        came
    }

    /// Whether the operator is a member.
    pub fn contains(&self, operator: UserId) -> bool {
        self.members.contains_key(&operator)
    }

    /// Takes over what a member tells, unless something newer is known. Answers whether it is new.
    pub fn believe(&mut self, state: OperatorState) -> bool {
        let Some(member) = self.members.get(&state.operator) else {
            return false;
        };
        if member.belief.as_ref().is_some_and(|known| !state.supersedes(known)) {
            return false;
        }
        self.change(state.operator, |member| member.belief = Some(state));
        true
    }

    /// Nothing is known of the member any more: it did not answer.
    pub fn doubt(&mut self, operator: UserId) {
        self.change(operator, |member| member.belief = None);
    }

    /// A reservation is on its way to the member.
    pub fn send(&mut self, operator: UserId) {
        self.change(operator, |member| member.on_the_way += 1);
    }

    /// It has been answered, or given up.
    pub fn arrived(&mut self, operator: UserId) {
        self.change(operator, |member| {
            member.on_the_way = member.on_the_way.saturating_sub(1);
        });
    }

    /// What is known of a member.
    pub fn belief(&self, operator: UserId) -> Option<&OperatorState> {
        self.members.get(&operator)?.belief.as_ref()
    }

    /// How a member stands, whatever the chat.
    pub fn standing(&self, operator: UserId) -> Standing {
        self.members.get(&operator).map_or(Standing::NotMember, Member::standing)
    }

    /// The members of whom nothing is known.
    pub fn unknown(&self) -> impl Iterator<Item = UserId> + '_ {
        self.members.iter().filter(|(_, m)| m.belief.is_none()).map(|(operator, _)| *operator)
    }

    /// All members.
    pub fn members(&self) -> impl Iterator<Item = UserId> + '_ {
        self.members.keys().copied()
    }

    /// Whether anybody has room for a chat of this rank, or of a larger one if there is any.
    pub fn anybody_for(&self, rank: i64) -> bool {
        if !self.free.is_empty() {
            return true;
        }
        let kept = self.kept.iter().filter_map(|operator| self.members.get(operator));
        kept.filter_map(Member::kept_below).any(|below| rank < below)
    }

    /// How each member stands towards a chat, and until when if time alone ends it.
    pub fn standings<'a>(
        &'a self,
        case: Case<'a>,
    ) -> impl Iterator<Item = (UserId, Standing, Option<Timestamp>)> + 'a {
        let others = self.others_eligible(case.refusals);
        self.members.iter().map(move |(operator, member)| {
            let (standing, until) = towards(*operator, member, case, others);
            (*operator, standing, until)
        })
    }

    /// Whether a member who has a slot could have the chat: only its refusal may stand against it,
    /// and that it was offered another one of the same visitor.
    pub fn could_serve(&self, operator: UserId, case: Case<'_>) -> bool {
        let against = case.against(operator, self.others_eligible(case.refusals));
        let (cool_down_ms, now) = (case.cool_down_ms, case.now);
        standing::towards(Standing::Free, against, cool_down_ms, now).0 == Standing::Free
    }

    /// The members with room who could have the chat, best first by the rule.
    pub fn choose(&self, rule: Rule, case: Case<'_>) -> Vec<UserId> {
        let others = self.others_eligible(case.refusals);
        let room = self.free.iter().chain(&self.kept);
        let room = room.filter_map(|operator| Some((*operator, self.members.get(operator)?)));
        let able = room.filter(|(operator, member)| {
            towards(*operator, member, case, others).0 == Standing::Free
        });
        let mut preferences: Vec<Preference> = able
            .filter_map(|(_, member)| {
                member.belief.as_ref().map(|state| preference(rule, state, member.on_the_way))
            })
            .collect();
        preferences.sort_unstable();
        preferences.into_iter().map(Preference::operator).collect()
    }

    /// The record of a decision: how all stood when it was made.
    pub fn decision(
        &self,
        rule: Rule,
        config_version: u64,
        trigger: Trigger,
        runners_up: &[UserId],
        case: Case<'_>,
    ) -> Decision {
        let mut standings = self.standings.clone();
        let others = self.others_eligible(case.refusals);
        // Only those who refused it, keep slots or were shown another of its visitor stand towards
        // this chat otherwise than to all.
        let shown = case.lately.iter().flat_map(|lately| lately.keys());
        let special: BTreeSet<&UserId> =
            case.refusals.keys().chain(&self.kept).chain(shown).collect();
        for operator in special {
            let Some(member) = self.members.get(operator) else { continue };
            let (standing, _) = towards(*operator, member, case, others);
            subtract(&mut standings, member.standing());
            *standings.entry(standing).or_default() += 1;
        }
        Decision {
            rule,
            config_version,
            trigger,
            runners_up: runners_up.iter().take(RUNNERS_UP).copied().collect(),
            standings,
        }
    }

    /// Whether an eligible member has not refused.
    fn others_eligible(&self, refusals: &Refusals) -> bool {
        let refused = refusals.keys().filter(|operator| self.eligible.contains(operator)).count();
        self.eligible.len() > refused
    }

    fn change(&mut self, operator: UserId, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.members.get_mut(&operator) else {
            return;
        };
        let before = member.standing();
        change(member);
        let after = member.standing();
        if before != after {
            self.uncount(operator, before);
            self.count(operator, after);
        }
    }

    fn count(&mut self, operator: UserId, standing: Standing) {
        *self.standings.entry(standing).or_default() += 1;
        if standing::is_eligible(standing) {
            self.eligible.insert(operator);
        }
        if standing == Standing::Free {
            self.free.insert(operator);
        }
        if standing == Standing::Kept {
            self.kept.insert(operator);
        }
    }

    fn uncount(&mut self, operator: UserId, standing: Standing) {
        subtract(&mut self.standings, standing);
        self.eligible.remove(&operator);
        self.free.remove(&operator);
        self.kept.remove(&operator);
    }

    /// Panics when a derived set is not what the members say; for tests and the simulation.
    pub fn assert_invariants(&self) {
        let mut fresh = Self::new();
        for (operator, member) in &self.members {
            fresh.count(*operator, member.standing());
        }
        assert_eq!(fresh.free, self.free, "who is free is derived from the members");
        assert_eq!(fresh.kept, self.kept, "who keeps slots is derived from the members");
        assert_eq!(fresh.eligible, self.eligible, "who is eligible is derived from the members");
        assert_eq!(fresh.standings, self.standings, "the counts are derived from the members");
    }
}

/// How a member stands towards a chat.
fn towards(
    operator: UserId,
    member: &Member,
    case: Case<'_>,
    others: bool,
) -> (Standing, Option<Timestamp>) {
    let standing = standing::for_rank(member.standing(), member.kept_below(), case.rank);
    standing::towards(standing, case.against(operator, others), case.cool_down_ms, case.now)
}

fn subtract(standings: &mut BTreeMap<Standing, u32>, standing: Standing) {
    if let Some(count) = standings.get_mut(&standing) {
        *count -= 1;
        if *count == 0 {
            standings.remove(&standing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: UserId = UserId::from_u128(1);

    fn says((life, version): (u64, u64), standing: Standing, free: u32) -> OperatorState {
        OperatorState {
            operator: ANN,
            life,
            version,
            standing,
            load: 0,
            free,
            kept_below: None,
            last_accept: None,
            idle_since: Timestamp(0),
            at: Timestamp(0),
        }
    }

    #[test]
    fn the_latest_that_a_member_said_is_believed_in_whatever_order_it_comes() {
        let mut pool = Pool::new();
        pool.set_members(&BTreeSet::from([ANN]));
        let mut standing = |said, standing| {
            pool.believe(says(said, standing, 1));
            pool.standing(ANN)
        };
        assert_eq!(standing((1, 5), Standing::Away), Standing::Away);
        assert_eq!(standing((1, 4), Standing::Free), Standing::Away, "said before");
        // A new life counts anew.
        assert_eq!(standing((2, 1), Standing::Busy), Standing::Busy);
        assert_eq!(standing((1, 6), Standing::Free), Standing::Busy, "said by the former one");
        assert_eq!(standing((2, 2), Standing::Free), Standing::Free);
    }

    #[test]
    fn as_many_are_asked_of_a_member_as_it_has_slots() {
        let mut pool = Pool::new();
        pool.set_members(&BTreeSet::from([ANN]));
        pool.believe(says((1, 1), Standing::Free, 2));
        pool.send(ANN);
        assert_eq!(pool.standing(ANN), Standing::Free);
        pool.send(ANN);
        assert_eq!(pool.standing(ANN), Standing::Full);
        pool.arrived(ANN);
        assert_eq!(pool.standing(ANN), Standing::Free);
        pool.assert_invariants();
    }
}

//! What a queue believes about its members, and the choice among them.
//!
//! Owns the beliefs and the reservations on their way. Invariant: the derived sets (who has room, in
//! the order of the rule; who keeps it below which rank; who is eligible; the counts) always equal what
//! a full look at the members would give ([`Pool::assert_invariants`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::event::{Decision, Trigger};
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
    pub(super) fn against(&self, operator: UserId, others: bool) -> Against {
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

    /// For which chats it has room.
    fn room(&self) -> Option<RoomFor> {
        match self.standing() {
            Standing::Free => Some(RoomFor::ForAll),
            Standing::Kept => self.kept_below().map(RoomFor::Below),
            Standing::Unknown
            | Standing::Offline
            | Standing::Away
            | Standing::Busy
            | Standing::NotConnected
            | Standing::Full
            | Standing::Choosing
            | Standing::CoolingDown
            | Standing::Declined
            | Standing::ShownLately
            | Standing::Asked
            | Standing::NotMember
            | Standing::Owner => None,
        }
    }

    fn preference(&self, rule: Rule) -> Option<Preference> {
        let state = self.belief.as_ref()?;
        Some(preference(rule, state, self.on_the_way))
    }
}

/// For which chats a member has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoomFor {
    /// Of smaller rank than this.
    Below(i64),
    /// Of any.
    ForAll,
}

impl RoomFor {
    /// Whether a chat of this rank fits.
    pub fn is_for(self, rank: i64) -> bool {
        match self {
            Self::Below(below) => rank < below,
            Self::ForAll => true,
        }
    }
}

/// Who is eligible, as far as it matters who has refused a chat besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Eligible {
    /// Nobody.
    #[default]
    Nobody,
    /// One alone.
    One(UserId),
    /// Several.
    More,
}

/// What of its members a pool has changed since that was asked last.
#[derive(Debug, Clone, Default)]
pub struct Changed {
    /// Whose room is another.
    pub room: BTreeSet<UserId>,
    /// Somebody has become eligible, or is so no more.
    pub eligible: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Pool {
    rule: Rule,
    members: BTreeMap<UserId, Member>,
    /// Who has room for some chat, best first by the rule.
    by_preference: BTreeSet<Preference>,
    /// The same by what they have room for.
    by_room: BTreeSet<(RoomFor, UserId)>,
    eligible: BTreeSet<UserId>,
    standings: BTreeMap<Standing, u32>,
    changed: Changed,
}

impl Pool {
    /// An empty one.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            members: BTreeMap::new(),
            by_preference: BTreeSet::new(),
            by_room: BTreeSet::new(),
            eligible: BTreeSet::new(),
            standings: BTreeMap::new(),
            changed: Changed::default(),
        }
    }

    /// From now on who is best is said by this rule.
    pub fn set_rule(&mut self, rule: Rule) {
        self.rule = rule;
        let with_room = self.members.values().filter(|member| member.room().is_some());
        self.by_preference = with_room.filter_map(|member| member.preference(rule)).collect();
    }

    /// Makes exactly these the members; what is believed of those who stay is kept. Answers who
    /// came.
    pub fn set_members(&mut self, members: &BTreeSet<UserId>) -> Vec<UserId> {
        let gone: Vec<UserId> =
            self.members.keys().filter(|member| !members.contains(member)).copied().collect();
        for operator in gone {
            if let Some(member) = self.members.remove(&operator) {
                self.changed.eligible |= self.eligible.contains(&operator);
                self.changed.room.insert(operator);
                self.uncount(operator, &member);
            }
        }
        let came: Vec<UserId> =
            members.iter().filter(|member| !self.members.contains_key(member)).copied().collect();
        for operator in &came {
            let member = Member::default();
            self.count(*operator, &member);
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

    /// Those who are eligible.
    pub fn eligible(&self) -> impl Iterator<Item = UserId> + '_ {
        self.eligible.iter().copied()
    }

    /// Who they are, as far as it matters.
    pub fn who_is_eligible(&self) -> Eligible {
        match (self.eligible.first(), self.eligible.len()) {
            (Some(alone), 1) => Eligible::One(*alone),
            (Some(_), _) => Eligible::More,
            (None, _) => Eligible::Nobody,
        }
    }

    /// Those with room for some chat.
    pub fn with_room(&self) -> impl ExactSizeIterator<Item = (UserId, RoomFor)> + '_ {
        self.by_room.iter().map(|(room, operator)| (*operator, *room))
    }

    /// For which chats a member has room, if it has some.
    pub fn room(&self, operator: UserId) -> Option<RoomFor> {
        self.members.get(&operator).and_then(Member::room)
    }

    /// Whether a member has room for a chat of this rank.
    pub fn has_room(&self, operator: UserId, rank: i64) -> bool {
        self.room(operator).is_some_and(|room| room.is_for(rank))
    }

    /// What has changed since this was asked last.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
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

    /// The members with room for a chat of this rank, best first by the rule.
    pub fn best_first(&self, rank: i64) -> impl Iterator<Item = UserId> + '_ {
        let best_first = self.by_preference.iter().map(|preference| preference.operator());
        best_first.filter(move |operator| self.has_room(*operator, rank))
    }

    /// The record of a decision: how all stood when it was made.
    pub fn decision(
        &self,
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
        let keeps = |room: &&(RoomFor, UserId)| room.0 != RoomFor::ForAll;
        let kept = self.by_room.iter().take_while(keeps).map(|(_, operator)| operator);
        let special: BTreeSet<&UserId> = case.refusals.keys().chain(kept).chain(shown).collect();
        for operator in special {
            let Some(member) = self.members.get(operator) else { continue };
            let (standing, _) = towards(*operator, member, case, others);
            subtract(&mut standings, member.standing());
            *standings.entry(standing).or_default() += 1;
        }
        Decision {
            rule: self.rule,
            config_version,
            trigger,
            runners_up: runners_up.to_vec(),
            standings,
        }
    }

    /// Whether an eligible member has not refused.
    pub(super) fn others_eligible(&self, refusals: &Refusals) -> bool {
        let refused = refusals.keys().filter(|operator| self.eligible.contains(operator)).count();
        self.eligible.len() > refused
    }

    fn change(&mut self, operator: UserId, change: impl FnOnce(&mut Member)) {
        let Some(mut member) = self.members.remove(&operator) else {
            return;
        };
        let (eligible, room) = (self.eligible.contains(&operator), member.room());
        self.uncount(operator, &member);
        change(&mut member);
        self.count(operator, &member);
        self.changed.eligible |= eligible != self.eligible.contains(&operator);
        if room != member.room() {
            self.changed.room.insert(operator);
        }
        self.members.insert(operator, member);
    }

    fn count(&mut self, operator: UserId, member: &Member) {
        let standing = member.standing();
        *self.standings.entry(standing).or_default() += 1;
        if standing::is_eligible(standing) {
            self.eligible.insert(operator);
        }
        if let Some(room) = member.room() {
            self.by_room.insert((room, operator));
            self.by_preference.extend(member.preference(self.rule));
        }
    }

    fn uncount(&mut self, operator: UserId, member: &Member) {
        subtract(&mut self.standings, member.standing());
        self.eligible.remove(&operator);
        if let Some(room) = member.room() {
            self.by_room.remove(&(room, operator));
            if let Some(preference) = member.preference(self.rule) {
                self.by_preference.remove(&preference);
            }
        }
    }

    /// Panics when a derived set is not what the members say; for tests and the simulation.
    pub fn assert_invariants(&self) {
        let mut fresh = Self::new(self.rule);
        for (operator, member) in &self.members {
            fresh.count(*operator, member);
        }
        assert_eq!(fresh.by_preference, self.by_preference, "who has room, in the rule's order");
        assert_eq!(fresh.by_room, self.by_room, "who has room is derived from the members");
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
        let mut pool = Pool::new(Rule::LeastLoaded);
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
    fn those_with_room_for_a_rank_are_found_without_those_who_keep_theirs_for_smaller_ones() {
        let mut pool = Pool::new(Rule::LeastLoaded);
        let members: Vec<UserId> = (0..9).map(UserId::from_u128).collect();
        pool.set_members(&members.iter().copied().collect());
        for (n, operator) in members.iter().enumerate() {
            let below = [None, Some(10), Some(11), Some(12)][n % 4];
            let standing = if below.is_some() { Standing::Kept } else { Standing::Free };
            let state = says((1, 1), standing, 1);
            pool.believe(OperatorState { operator: *operator, kept_below: below, ..state });
        }
        for rank in [i64::MIN, 9, 10, 11, 12, i64::MAX] {
            let found: BTreeSet<UserId> = pool.best_first(rank).collect();
            let fits = |below: &&UserId| match pool.belief(**below).and_then(|it| it.kept_below) {
                Some(below) => rank < below,
                None => true,
            };
            assert_eq!(found, members.iter().filter(fits).copied().collect(), "{rank}");
        }
    }

    #[test]
    fn as_many_are_asked_of_a_member_as_it_has_slots() {
        let mut pool = Pool::new(Rule::LeastLoaded);
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

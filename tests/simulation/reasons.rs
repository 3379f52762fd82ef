//! Explanations are true: why a chat waits, its place in the line and how the members stand, by what its
//! queue has heard ([`Hearing`]).

use std::collections::BTreeMap;

use switchboard::domain::limits::TO_ALL_OFFERS_MAX;
use switchboard::domain::operator::Standing;
use switchboard::domain::{QueueId, Reach, Rule, Timestamp, UserId};
use switchboard::machine::message::ChatAt;
use switchboard::machine::queue::Queue;
use switchboard::routing::{Explanation, WhyWaits};

use crate::heard::Hearing;
use crate::picks::may_wait;
use crate::world::World;

/// One chat in so many steps of a queue is asked why it waits: each of them in turn.
const ASKED_EVERY: u64 = 16;

impl World {
    /// Asks the queue about one of its chats, now and then.
    pub fn ask_why(&mut self, queue: QueueId) {
        let (Some(hearing), Some(live)) = (self.heard.get(&queue), self.queues.get(&queue)) else {
            return;
        };
        if !self.steps.is_multiple_of(ASKED_EVERY) || hearing.line.is_empty() {
            return;
        }
        let nth = self.steps / ASKED_EVERY % hearing.line.len() as u64;
        let Some(at) = hearing.line.values().nth(nth as usize) else { return };
        let now = self.now();
        let Some(why) = live.machine.explain(at.chat, now) else {
            panic!("{queue:?} does not know {:?} of its line (seed {})", at.chat, self.seed)
        };
        let shown =
            |operator| may_wait(&self.checker, hearing, &live.machine, (at.chat, operator), now);
        let case = Asked { hearing, machine: &live.machine, at, now, seed: self.seed };
        let name = case.check(&why, &shown);
        self.coverage.count("reason", name);
    }
}

/// One question.
struct Asked<'a> {
    hearing: &'a Hearing,
    machine: &'a Queue,
    at: &'a ChatAt,
    now: Timestamp,
    seed: u64,
}

impl Asked<'_> {
    fn check(&self, why: &Explanation, shown: &dyn Fn(UserId) -> bool) -> &'static str {
        let (hearing, at, seed) = (self.hearing, self.at, self.seed);
        let rank = hearing.rank(at);
        let ahead = hearing.waiting().into_iter().filter(|other| hearing.rank(other) < rank);
        let told = (why.since, why.rank, why.position, why.rule, why.config_version);
        let config = &hearing.config;
        let true_ones = (at.since, rank.0, ahead.count() as u64 + 1, config.rule, config.version);
        assert_eq!(
            told, true_ones,
            "since, rank, position, rule and version in the explanation of {:?} at {} (seed {seed})",
            at.chat, self.now
        );
        let mut standings = BTreeMap::new();
        for member in &config.members {
            let (standing, _) = hearing.towards(*member, at, self.now);
            *standings.entry(standing).or_insert(0) += 1;
        }
        // Who was shown another chat of the visitor is free but for that.
        let mut said = why.standings.clone();
        let lately = said.remove(&Standing::ShownLately).unwrap_or_default();
        if lately > 0 {
            *said.entry(Standing::Free).or_insert(0) += lately;
            let free = |who: &&UserId| hearing.towards(**who, at, self.now).0 == Standing::Free;
            let may = config.members.iter().filter(free).filter(|who| shown(**who)).count();
            assert!(
                lately as usize <= may,
                "{lately} members were shown another chat of the visitor of {:?}, {may} may have been, \
                 at {} (seed {seed})",
                at.chat,
                self.now
            );
        }
        assert_eq!(
            said, standings,
            "how the members stand towards {:?} in the explanation at {} (seed {seed})",
            at.chat, self.now
        );
        self.reason(why, lately > 0)
    }

    /// The reason, by the same facts. Answers what it was, for the coverage.
    fn reason(&self, why: &Explanation, lately: bool) -> &'static str {
        let (hearing, at) = (self.hearing, self.at);
        let said = why.why;
        let must = |wanted: WhyWaits| {
            assert_eq!(
                said, wanted,
                "why {:?} waits in {:?} at {} (seed {})",
                at.chat, hearing.config.id, self.now, self.seed
            );
        };
        let asked = hearing.reserving.get(&at.chat).map(|asked| asked.offer);
        let asked = asked.or(hearing.offering.get(&at.chat).map(|offering| offering.offer));
        if let Some(offer) = asked {
            must(WhyWaits::BeingOffered { offer });
            return "being offered";
        }
        if let Some(live) = at.place.offer() {
            let full = |who: &UserId| {
                // Who is no member is not known to be full.
                hearing.config.members.contains(who) && hearing.standing(*who) == Standing::Full
            };
            if live.reach == Reach::ToAll && !live.to.is_empty() && live.to.iter().all(full) {
                must(WhyWaits::AllFull);
                return "offered to all, who are full";
            }
            must(WhyWaits::Offered { offer: live.id, expires_at: live.expires_at });
            return "offered";
        }
        self.waits(said, &must, lately)
    }

    fn waits(&self, said: WhyWaits, must: &dyn Fn(WhyWaits), lately: bool) -> &'static str {
        let (hearing, at) = (self.hearing, self.at);
        if hearing.config.members.is_empty() {
            must(WhyWaits::NoMembers);
            return "no members";
        }
        if hearing.config.rule == Rule::Manual {
            must(WhyWaits::Manual);
            return "manual";
        }
        let members = hearing.config.members.iter();
        let towards: Vec<_> = members.map(|who| hearing.towards(*who, at, self.now)).collect();
        let any = |wanted: Standing| towards.iter().any(|(standing, _)| *standing == wanted);
        let offers_out = WhyWaits::OffersOut { limit: TO_ALL_OFFERS_MAX as u32 };
        let room = match hearing.config.rule {
            Rule::ToAll => hearing.has_room_to_all(self.now),
            Rule::LeastLoaded | Rule::LongestIdle | Rule::Manual => Some(true),
        };
        let this_moment = match room {
            Some(false) => offers_out,
            None if said == offers_out => offers_out,
            Some(true) | None => WhyWaits::ThisMoment,
        };
        if any(Standing::Choosing) {
            must(this_moment);
            return "somebody is choosing";
        }
        if any(Standing::Free) {
            // A chat that somebody could have does not wait, but for its visitor.
            let until = match said {
                WhyWaits::ShownLately { until } if lately => until,
                said => return self.free(said, this_moment, must),
            };
            assert!(
                until > self.now,
                "{:?}: shown lately until {until} (seed {})",
                at.chat,
                self.seed
            );
            return "shown lately";
        }
        let refused = towards
            .iter()
            .filter(|(standing, _)| matches!(standing, Standing::CoolingDown | Standing::Declined));
        let until = refused.clone().filter_map(|(_, until)| *until).min();
        let (wanted, name) = if any(Standing::Kept) {
            (WhyWaits::RoomKept, "room is kept")
        } else if any(Standing::Full) {
            (WhyWaits::AllFull, "all are full")
        } else if refused.count() > 0 {
            (WhyWaits::AllRefused { until }, "all have refused")
        } else {
            (WhyWaits::NobodyReady, "nobody is ready")
        };
        must(wanted);
        name
    }

    fn free(&self, said: WhyWaits, this_moment: WhyWaits, must: &dyn Fn(WhyWaits)) -> &'static str {
        must(this_moment);
        assert!(
            matches!(said, WhyWaits::OffersOut { .. }),
            "{:?} waits in {:?} though somebody is free, after a step at {} (seed {})",
            self.at.chat,
            self.machine.config().id,
            self.now,
            self.seed
        );
        "offers are out"
    }
}

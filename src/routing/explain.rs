//! Why a chat waits, by the functions that decide.

use std::collections::BTreeMap;

use crate::domain::limits::EXPLAINED_CANDIDATES_MAX;
use crate::domain::operator::Standing;
use crate::domain::{ChatId, OfferId, QueueId, Rule, Timestamp, UserId};

use super::pool::{Case, Pool};
use super::rule::{Otherwise, describe};

/// Why a chat waits, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyWaits {
    /// Members take from this queue by hand.
    Manual,
    /// The queue has no members, whatever its rule.
    NoMembers,
    /// The queue does not exist, and nothing names another for the chat.
    NoQueue,
    /// An operator is being asked to hold a slot for it, or it is being told to offer itself.
    BeingOffered {
        /// The offer.
        offer: OfferId,
    },
    /// It is on the screens of operators.
    Offered {
        /// The offer.
        offer: OfferId,
        /// When it lapses.
        expires_at: Timestamp,
    },
    /// The queue has as many `to_all` offers out as it may.
    OffersOut {
        /// How many.
        limit: u32,
    },
    /// It has been offered as often as a chat may be: somebody has to take, move or end it.
    OfferedTooOften,
    /// No member is known to be ready and there.
    NobodyReady,
    /// Every ready member who has not refused it holds as many chats as fit.
    AllFull,
    /// Those who have room keep it, for a short while, for chats of smaller rank that are offered
    /// to all.
    RoomKept,
    /// Every ready member with room has refused it; the first may be asked again at this time.
    AllRefused {
        /// When; none when it depends on the others.
        until: Option<Timestamp>,
    },
    /// Those who have room were offered another chat of the same visitor, and others wait; the first
    /// may be asked for this one at this time, or once nobody else waits.
    ShownLately {
        /// When.
        until: Timestamp,
    },
    /// Somebody has room, or is choosing among its queues: it is being matched at this moment.
    ThisMoment,
}

/// One member, as it stands towards the chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub operator: UserId,
    /// How.
    pub standing: Standing,
    /// Until when, if time alone ends it.
    pub until: Option<Timestamp>,
    /// How old the belief is, ms; none when nothing is known.
    pub belief_age_ms: Option<u64>,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The chat.
    pub chat: ChatId,
    /// The queue.
    pub queue: QueueId,
    /// Its rule.
    pub rule: Rule,
    /// The version of its configuration.
    pub config_version: u64,
    /// Since when the chat waits.
    pub since: Timestamp,
    /// Its rank: smaller is served sooner.
    pub rank: i64,
    /// Its place among those who wait, from 1; 0 when there is no line.
    pub position: u64,
    /// Why it waits.
    pub why: WhyWaits,
    /// How many members stand how.
    pub standings: BTreeMap<Standing, u32>,
    /// The first [`EXPLAINED_CANDIDATES_MAX`] members.
    pub candidates: Vec<Candidate>,
}

impl Explanation {
    /// Of a chat that waits in a queue which is not there.
    pub fn without_queue(chat: ChatId, queue: QueueId, since: Timestamp) -> Self {
        Self {
            chat,
            queue,
            // Nobody is asked.
            rule: Rule::Manual,
            config_version: 0,
            since,
            rank: i64::try_from(since.0).unwrap_or(i64::MAX),
            position: 0,
            why: WhyWaits::NoQueue,
            standings: BTreeMap::new(),
            candidates: Vec::new(),
        }
    }
}

/// How every member stands towards a chat: the candidates, and the counts over all.
pub fn candidates(pool: &Pool, case: Case<'_>) -> (Vec<Candidate>, BTreeMap<Standing, u32>) {
    let mut standings = BTreeMap::new();
    let mut candidates = Vec::new();
    for (operator, standing, until) in pool.standings(case) {
        *standings.entry(standing).or_default() += 1;
        if candidates.len() < EXPLAINED_CANDIDATES_MAX {
            let belief_age_ms = pool.belief(operator).map(|state| case.now.since_ms(state.at));
            candidates.push(Candidate { operator, standing, until, belief_age_ms });
        }
    }
    (candidates, standings)
}

/// Why a chat that nobody is being asked for waits.
pub fn why(pool: &Pool, rule: Rule, case: Case<'_>) -> WhyWaits {
    let mut standings = pool.standings(case).peekable();
    if standings.peek().is_none() {
        return WhyWaits::NoMembers;
    }
    if describe(rule).otherwise == Otherwise::ByHand {
        return WhyWaits::Manual;
    }
    let (mut choosing, mut kept, mut full) = (false, false, false);
    let (mut refused, mut first, mut shown) = (false, None, None);
    for (_, standing, until) in standings {
        match (standing, until) {
            (Standing::Free, _) => return WhyWaits::ThisMoment,
            (Standing::Kept, _) => kept = true,
            (Standing::Choosing, _) => choosing = true,
            (Standing::Full, _) => full = true,
            (Standing::ShownLately, until) => shown = crate::domain::time::earliest(shown, until),
            (Standing::CoolingDown | Standing::Declined, ends) => {
                refused = true;
                first = crate::domain::time::earliest(first, ends);
            }
            (
                Standing::Unknown
                | Standing::Offline
                | Standing::Away
                | Standing::Busy
                | Standing::NotConnected
                | Standing::Asked
                | Standing::NotMember
                | Standing::Owner,
                _,
            ) => {}
        }
    }
    if choosing {
        WhyWaits::ThisMoment
    } else if let Some(until) = shown {
        WhyWaits::ShownLately { until }
    } else if kept {
        WhyWaits::RoomKept
    } else if full {
        WhyWaits::AllFull
    } else if refused {
        WhyWaits::AllRefused { until: first }
    } else {
        WhyWaits::NobodyReady
    }
}

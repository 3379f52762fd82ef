//! What a queue is: a rule, members and limits. A plain document that administrators change.

use std::collections::BTreeSet;

use super::chat::Priority;
use super::id::{QueueId, UserId};
use super::limits::{
    COOL_DOWN_MS, LAPSES_TO_AWAY, OFFER_TIMEOUT_MS, OFFER_TIMEOUT_RANGE_MS, PRIORITY_STEP_MS,
    QUEUE_MEMBERS_MAX, VISITOR_OFFER_EVERY_MS,
};

/// How a queue chooses among operators. Ties end at the smaller operator id, so
/// that the same facts always lead to the same choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Offered to every eligible free member at once; the first accept wins.
    ToAll,
    /// Fewest offered and active chats; tie: longest since the last accept.
    LeastLoaded,
    /// Longest without a change in what it holds or its readiness; tie: fewest chats.
    LongestIdle,
    /// Nobody is asked: members take from the line.
    Manual,
}

/// One queue as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its id.
    pub id: QueueId,
    /// Its name.
    pub name: String,
    /// Counts up with every change.
    pub version: u64,
    /// Whether it takes new chats; an inactive one serves what it has.
    pub active: bool,
    /// How it chooses.
    pub rule: Rule,
    /// Who may be asked.
    pub members: BTreeSet<UserId>,
    /// Added to the priority of each of its chats.
    pub priority: Priority,
    /// How long an offer stands, ms.
    pub offer_timeout_ms: u64,
    /// Most chats of this queue that one operator holds; no limit of its own when absent.
    pub per_operator_limit: Option<u32>,
    /// How long an owner may be absent (`offline` or not connected) before chats return to the
    /// line, ms; never when there is none.
    pub absent_owner_limit_ms: Option<u64>,
}

impl Queue {
    /// A queue with the defaults, active and without members.
    pub fn new(id: QueueId, name: &str, rule: Rule) -> Self {
        Self {
            id,
            name: name.to_owned(),
            version: 1,
            active: true,
            rule,
            members: BTreeSet::new(),
            priority: Priority::default(),
            offer_timeout_ms: OFFER_TIMEOUT_MS,
            per_operator_limit: None,
            absent_owner_limit_ms: None,
        }
    }

    /// Checks what is within one queue. Errors name the field and its bound.
    pub fn check(&self) -> Result<(), BadQueue> {
        let (least, most) = OFFER_TIMEOUT_RANGE_MS;
        if self.name.trim().is_empty() {
            return Err(BadQueue::NoName);
        }
        if !(least..=most).contains(&self.offer_timeout_ms) {
            return Err(BadQueue::OfferTimeout { got: self.offer_timeout_ms });
        }
        if self.members.len() > QUEUE_MEMBERS_MAX {
            return Err(BadQueue::TooManyMembers { got: self.members.len() });
        }
        if self.per_operator_limit == Some(0) {
            return Err(BadQueue::NoCapacity);
        }
        Ok(())
    }
}

/// A queue that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQueue {
    /// No name.
    #[error("a queue needs a name")]
    NoName,
    /// Out of range.
    #[error(
        "offer_timeout_ms is {} to {}, got {got}",
        OFFER_TIMEOUT_RANGE_MS.0,
        OFFER_TIMEOUT_RANGE_MS.1
    )]
    OfferTimeout {
        /// What was given.
        got: u64,
    },
    /// Too many.
    #[error("a queue has at most {QUEUE_MEMBERS_MAX} members, got {got}")]
    TooManyMembers {
        /// How many were given.
        got: usize,
    },
    /// A limit of zero would make every chat wait for ever.
    #[error("per_operator_limit is at least 1; leave it out for no limit")]
    NoCapacity,
}

/// What holds for all queues of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutingSettings {
    /// How much waiting a point of priority is worth, ms.
    pub priority_step_ms: u64,
    /// How long who declined is not asked again, ms.
    pub cool_down_ms: u64,
    /// How long an operator is not asked for another chat of the same visitor while others wait, ms.
    pub visitor_offer_every_ms: u64,
    /// Lapsed directed offers in a row after which an operator is set away.
    pub lapses_to_away: u32,
}

impl Default for RoutingSettings {
    fn default() -> Self {
        Self {
            priority_step_ms: PRIORITY_STEP_MS,
            cool_down_ms: COOL_DOWN_MS,
            visitor_offer_every_ms: VISITOR_OFFER_EVERY_MS,
            lapses_to_away: LAPSES_TO_AWAY,
        }
    }
}

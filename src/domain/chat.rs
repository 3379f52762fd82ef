//! Where a chat can be and what state that is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::id::{OfferId, Party, UserId};
use super::limits::{CHAT_WEIGHT, CHAT_WEIGHT_MAX, PRIORITY_MAX};
use super::name::Name;
use super::time::Timestamp;

/// The position of an event in its chat's log; the first is 1.
pub type Seq = u64;

/// Counts a chat's changes of place; the first place is 1. Every message between actors about a
/// chat carries the placement that it believes in.
pub type Placement = u64;

/// Which time an operator is in one and the same offer: 0 the first time, one more whenever it
/// comes back after it dropped out. What an operator says about an offer carries it, so that a late
/// word of an earlier time does not touch a later one.
pub type Stay = u32;

/// How much sooner something is served: 0 to [`PRIORITY_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Priority(u8);

impl Priority {
    /// Errors when above [`PRIORITY_MAX`].
    pub fn new(points: u8) -> Result<Self, BadPriority> {
        if points <= PRIORITY_MAX { Ok(Self(points)) } else { Err(BadPriority { points }) }
    }

    /// The points.
    pub fn points(self) -> u8 {
        self.0
    }
}

/// A priority out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a priority is 0 to {PRIORITY_MAX}, got {points}")]
pub struct BadPriority {
    /// What was given.
    pub points: u8,
}

/// How many slots of an operator a chat takes: 1 to [`CHAT_WEIGHT_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// Errors when it is 0, or above [`CHAT_WEIGHT_MAX`].
    pub fn new(slots: u32) -> Result<Self, BadWeight> {
        if (1..=CHAT_WEIGHT_MAX).contains(&slots) {
            Ok(Self(slots))
        } else {
            Err(BadWeight { slots })
        }
    }

    /// How many slots.
    pub fn slots(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(CHAT_WEIGHT)
    }
}

/// A weight out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a chat takes 1 to {CHAT_WEIGHT_MAX} slots, got {slots}")]
pub struct BadWeight {
    /// What was given.
    pub slots: u32,
}

/// What a customer's token says of the customer. Ordered by the time of its issue, so that the later
/// token counts, in whatever order they are heard of; of two of the same moment always the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Profile {
    /// When the token was issued; 0 when that is not known: any token is later.
    pub issued_at: Timestamp,
    /// How much sooner the customer's chats are served.
    pub priority: Priority,
    /// The name to show to operators, if the site gave one.
    pub name: Option<Name>,
}

impl Profile {
    /// Whether it counts where `known` counted, and that makes a difference. A later token that says
    /// the same leaves no trace.
    pub fn replaces(&self, known: &Self) -> bool {
        self > known && (self.priority, &self.name) != (known.priority, &known.name)
    }
}

/// The states that people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChatState {
    /// In a queue's line, nobody is asked.
    Waiting,
    /// Shown to one operator or several, none has accepted yet.
    Offered,
    /// Accepted or taken; the operator has not written yet.
    New,
    /// The operator has written, or said so by hand.
    InProgress,
    /// Ended, and some operator had it.
    Completed,
    /// Ended without ever having had an operator.
    Missed,
}

impl ChatState {
    /// Whether nothing more can happen to the chat.
    pub fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Missed => true,
            Self::Waiting | Self::Offered | Self::New | Self::InProgress => false,
        }
    }
}

/// How a chat ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Some operator had it.
    Completed,
    /// No operator ever had it.
    Missed,
}

/// How an offer reaches operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// To one operator, who holds a slot for it.
    Directed,
    /// To several, none of whom holds a slot; the first accept wins.
    ToAll,
}

/// A live offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// How it reaches operators.
    pub reach: Reach,
    /// Who may still accept it. Shared, since every one of them is told of it.
    pub to: Arc<BTreeSet<UserId>>,
    /// The stay of those among them who dropped out before and came back.
    pub returned: Arc<BTreeMap<UserId, Stay>>,
    /// When it lapses.
    pub expires_at: Timestamp,
}

impl Offer {
    /// The offer as far as it concerns this operator: whether it may still accept, and its stay.
    pub fn for_one(&self, operator: UserId) -> Self {
        let to = self.to.get(&operator).copied().into_iter().collect();
        let returned = self.returned.get_key_value(&operator).map(|(who, stay)| (*who, *stay));
        let returned = returned.into_iter().collect();
        Self { to: Arc::new(to), returned: Arc::new(returned), ..*self }
    }

    /// The operator's stay in the offer; none when it is not in it.
    pub fn stay(&self, operator: UserId) -> Option<Stay> {
        let stay = || self.returned.get(&operator).copied().unwrap_or_default();
        self.to.contains(&operator).then(stay)
    }
}

/// The one place in which a chat is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In its queue's line.
    Waiting,
    /// Still in its queue's care, shown to operators.
    Offered(Offer),
    /// Owned.
    Assigned {
        /// The one owner.
        owner: UserId,
        /// Whether the owner has begun to work on it (`new` before, `in_progress` after).
        begun: bool,
    },
    /// Over.
    Ended {
        /// How.
        outcome: Outcome,
        /// Who ended it.
        by: Party,
    },
}

impl Place {
    /// The state that people see.
    pub fn state(&self) -> ChatState {
        match self {
            Self::Waiting => ChatState::Waiting,
            Self::Offered(_) => ChatState::Offered,
            Self::Assigned { begun: false, .. } => ChatState::New,
            Self::Assigned { begun: true, .. } => ChatState::InProgress,
            Self::Ended { outcome: Outcome::Completed, .. } => ChatState::Completed,
            Self::Ended { outcome: Outcome::Missed, .. } => ChatState::Missed,
        }
    }

    /// The owner, when there is one.
    pub fn owner(&self) -> Option<UserId> {
        match self {
            Self::Assigned { owner, .. } => Some(*owner),
            Self::Waiting | Self::Offered(_) | Self::Ended { .. } => None,
        }
    }

    /// The live offer, when there is one.
    pub fn offer(&self) -> Option<&Offer> {
        match self {
            Self::Offered(offer) => Some(offer),
            Self::Waiting | Self::Assigned { .. } | Self::Ended { .. } => None,
        }
    }

    /// Whether it is in the care of its queue, waiting or on screens.
    pub fn waits(&self) -> bool {
        match self {
            Self::Waiting | Self::Offered(_) => true,
            Self::Assigned { .. } | Self::Ended { .. } => false,
        }
    }

    /// The operators whom this place concerns.
    pub fn operators(&self) -> impl Iterator<Item = UserId> {
        let (offered, owner) = match self {
            Self::Offered(offer) => (Some(&offer.to), None),
            Self::Assigned { owner, .. } => (None, Some(*owner)),
            Self::Waiting | Self::Ended { .. } => (None, None),
        };
        offered.into_iter().flat_map(|to| to.iter().copied()).chain(owner)
    }
}

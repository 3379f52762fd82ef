//! What REST says of a chat: where it is and why. Never a text.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::operator::Standing;
use crate::domain::{ChannelId, ChatId, ChatState, CustomerId, OfferId, QueueId, Rule, UserId};
use crate::protocol::event::{DecisionFrame, PartyFrame, PlacedCauseFrame};
use crate::protocol::value::{TimeFrame, Wire};

/// `GET /api/v1/chats/{chat}`. A customer gets id, state, channel, `since` and `continued_in`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatResponse {
    /// The chat.
    pub id: Wire<ChatId>,
    /// Its state.
    pub state: Wire<ChatState>,
    /// Its channel.
    pub channel: Wire<ChannelId>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Wire<CustomerId>>,
    /// What the customer is called, if the site says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// Its queue, or the last one it was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Wire<QueueId>>,
    /// The owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Wire<UserId>>,
    /// Its own priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Since when it waits, or waited first.
    pub since: TimeFrame,
    /// How many events its log has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// The chat in which it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued_in: Option<Wire<ChatId>>,
}

/// One of `GET /api/v1/chats`. A customer gets id, state, channel and times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryChatResponse {
    /// The chat.
    pub id: Wire<ChatId>,
    /// Its state.
    pub state: Wire<ChatState>,
    /// Its channel.
    pub channel: Wire<ChannelId>,
    /// When it was opened.
    pub started_at: TimeFrame,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<TimeFrame>,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<PartyFrame>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Wire<CustomerId>>,
    /// What the customer is called, as the chat knew it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// Its queue, or the last one it was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Wire<QueueId>>,
    /// All queues that it was in, at most 100; absent for a customer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<Wire<QueueId>>,
    /// Whoever owned it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Wire<UserId>>,
    /// All who owned it, at most 100; absent for a customer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<Wire<UserId>>,
}

/// `GET /api/v1/chats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatsResponse {
    /// The chats.
    pub items: Vec<HistoryChatResponse>,
    /// Give it as `after` for the next page, with the same filters and order; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether each chat since the beginning is in the list, but for what changed in the last seconds and for
    /// chats that are damaged, which the router's log names. `false` while the list is made from the logs, after
    /// an import or an update, and while what changed cannot be written down: chats may be missing, or late.
    pub complete: bool,
}

/// `GET /api/v1/chats/{chat}/explanation`: why it waits, and why it went where it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplanationResponse {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// What its customer is called, if the site says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// Its state.
    pub state: Wire<ChatState>,
    /// Why it waits; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitsBody>,
    /// The latest steps by which it went where it went, the last first, at most 20.
    pub routed: Vec<RoutedBody>,
}

/// A step by which a chat went where it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum RoutedBody {
    /// It went into a queue's line.
    Placed {
        /// When.
        at: TimeFrame,
        /// Which queue.
        queue: Wire<QueueId>,
        /// Why.
        cause: PlacedCauseFrame,
        /// `transferred`: who gave it to the queue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Wire<UserId>>,
        /// `owner_gone`: the owner that it left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Wire<UserId>>,
    },
    /// It was offered.
    Offered {
        /// When.
        at: TimeFrame,
        /// To whom; nobody when an offer to all that lapsed was made again to those who had it.
        to: Vec<Wire<UserId>>,
        /// Why so.
        decision: DecisionFrame,
    },
    /// It got an owner.
    Assigned {
        /// When.
        at: TimeFrame,
        /// Who.
        operator: Wire<UserId>,
        /// How.
        how: RoutedHow,
    },
}

/// How a chat got its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoutedHow {
    /// By accepting an offer.
    Accepted,
    /// Out of the line, by hand.
    Taken,
    /// From a colleague.
    Transferred,
}

/// Why a chat waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitsBody {
    /// In which queue.
    pub queue: Wire<QueueId>,
    /// That queue's rule.
    pub rule: Wire<Rule>,
    /// The version of its configuration.
    pub config_version: u64,
    /// Since when it waits, or waited first.
    pub since: TimeFrame,
    /// Its rank: smaller is served sooner.
    pub rank: i64,
    /// Its place among those who wait, from 1.
    pub position: u64,
    /// Why, in one word and what belongs to it.
    pub why: WhyBody,
    /// How many members stand how.
    pub standings: BTreeMap<Wire<Standing>, u32>,
    /// The members one by one, at most 50.
    pub candidates: Vec<CandidateBody>,
}

/// Why a chat waits, in one word and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "word", rename_all = "snake_case")]
pub enum WhyBody {
    /// Members take from this queue by hand.
    Manual,
    /// The queue has no members.
    NoMembers,
    /// The queue does not exist, and no active channel names another: transfer the chat.
    NoQueue,
    /// It is on its way to a screen.
    BeingOffered {
        /// The offer.
        offer: Wire<OfferId>,
    },
    /// It is on the screens of operators.
    Offered {
        /// The offer.
        offer: Wire<OfferId>,
        /// When it lapses.
        expires_at: TimeFrame,
    },
    /// The queue has as many `to_all` offers out as it may.
    OffersOut {
        /// How many.
        limit: u32,
    },
    /// It has been offered as often as a chat may be: a chat administrator takes, moves or ends it.
    OfferedTooOften,
    /// No member is known to be ready and there.
    NobodyReady,
    /// Every ready member holds as many chats as fit.
    AllFull,
    /// Who has room keeps it, for a short while, for chats of smaller rank that are offered to all.
    RoomKept,
    /// Every ready member with room has refused it.
    AllRefused {
        /// When the first may be asked again; absent when that depends on the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<TimeFrame>,
    },
    /// Who has room was offered another chat of the same visitor a short while ago, and others wait.
    ShownLately {
        /// When the first may be asked for this one, at the latest.
        until: TimeFrame,
    },
    /// Somebody has room, or is choosing what to do with it: it is being matched at this moment.
    ThisMoment,
}

/// How one member stands towards the chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateBody {
    /// Who.
    pub operator: Wire<UserId>,
    /// How.
    pub standing: Wire<Standing>,
    /// Until when, if time alone ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimeFrame>,
    /// How old this belief is, ms; absent when nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belief_age_ms: Option<u64>,
}

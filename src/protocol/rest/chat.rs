//! What REST says of a chat: where it is and why. Never a text.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::operator::Standing;
use crate::domain::{ChannelId, ChatId, ChatState, CustomerId, QueueId, Rule, UserId};
use crate::protocol::event::DecisionFrame;
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

/// `GET /api/v1/chats/{chat}/explanation`: why it waits, and why it went where it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplanationResponse {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// Its state.
    pub state: Wire<ChatState>,
    /// Why it waits; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<WaitsBody>,
    /// The last decision about it, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<DecisionFrame>,
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
    /// Its rank: smaller is served sooner.
    pub rank: i64,
    /// How many chats of the queue have a smaller rank.
    pub ahead: u64,
    /// How many members stand how.
    pub standings: BTreeMap<Wire<Standing>, u32>,
    /// The members one by one, at most 50.
    pub candidates: Vec<CandidateBody>,
}

/// How one member stands towards the chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateBody {
    /// Who.
    pub operator: Wire<UserId>,
    /// How.
    pub standing: Wire<Standing>,
    /// How old this belief is, ms; absent when nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belief_age_ms: Option<u64>,
}

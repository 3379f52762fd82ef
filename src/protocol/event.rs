//! The events of a chat as they stand in frames. Who sees which of them: [`view`](super::view).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::error::TargetReasonFrame;
use super::value::{TextFrame, TimeFrame, Wire};
use crate::domain::event::{Decision, OfferEnd, TransferFailure, Trigger, WithdrawReason};
use crate::domain::operator::Standing;
use crate::domain::{
    ChannelId, ChatId, CommandId, CustomerId, OfferId, Outcome, QueueId, Reach, Rule, Seq, UserId,
};

/// `chat.event`, and an entry of `chat.history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatEventFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// Keep it: it resumes behind this event.
    pub cursor: Wire<Cursor>,
    /// Its position in the chat. Positions that the session may not see are left out.
    pub seq: Seq,
    /// When it happened.
    pub at: TimeFrame,
    /// What happened.
    #[serde(flatten)]
    pub what: EventFrame,
}

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PartyFrame {
    /// The customer whose chat it is.
    Customer {
        /// Which; told to operators.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Wire<CustomerId>>,
        /// The name that the site gave at that time; told to operators.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// An operator or a chat administrator.
    Operator {
        /// Which; told to operators.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Wire<UserId>>,
        /// The name to show: the one of the time of the event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// The router itself: time limits, restarts.
    System,
}

/// What happened. Members that only operators see are absent for customers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventFrame {
    /// The customer opened the chat.
    Opened {
        /// By which channel.
        channel: Wire<ChannelId>,
        /// Who; operators only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        customer: Option<Wire<CustomerId>>,
        /// The name that the site gave; operators only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        customer_name: Option<String>,
        /// How much sooner it is served, 0 to 10; operators only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        priority: Option<u8>,
        /// The ended chat that it follows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        continues: Option<Wire<ChatId>>,
    },
    /// A later token of the customer has another name or priority; operators only.
    CustomerUpdated {
        /// The name from now on; absent when the site gives none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        customer_name: Option<String>,
        /// How much sooner the chat is served from now on, 0 to 10.
        priority: u8,
    },
    /// Somebody wrote.
    Message {
        /// Who.
        from: PartyFrame,
        /// The sender's id of the message.
        client_message_id: Wire<CommandId>,
        /// What.
        text: TextFrame,
    },
    /// It went into a line, with its age.
    Placed {
        /// Why.
        cause: PlacedCauseFrame,
        /// Which queue; operators only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        queue: Option<Wire<QueueId>>,
        /// Who transferred it, or the owner who was gone; operators only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<PartyFrame>,
    },
    /// It was offered; operators only.
    Offered {
        /// The offer.
        offer: Wire<OfferId>,
        /// How it reaches operators.
        reach: Wire<Reach>,
        /// To whom. Empty: an offer to all that lapsed is made again, to those who had it; who comes
        /// in addition follows as `offer_widened`.
        to: Vec<Wire<UserId>>,
        /// When it lapses.
        expires_at: TimeFrame,
        /// Why so.
        decision: DecisionFrame,
    },
    /// An offer reached more operators; operators only.
    OfferWidened {
        /// The offer.
        offer: Wire<OfferId>,
        /// Who came in addition.
        to: Vec<Wire<UserId>>,
    },
    /// An operator declined an offer; operators only.
    Declined {
        /// The offer.
        offer: Wire<OfferId>,
        /// Who.
        operator: PartyFrame,
    },
    /// An operator dropped out of an offer without declining it; operators only.
    OfferNarrowed {
        /// The offer.
        offer: Wire<OfferId>,
        /// Who.
        operator: PartyFrame,
        /// Why.
        reason: Wire<WithdrawReason>,
    },
    /// An offer ended without an owner; operators only.
    OfferEnded {
        /// The offer.
        offer: Wire<OfferId>,
        /// How.
        how: OfferEndFrame,
    },
    /// It got an owner.
    Assigned {
        /// The owner.
        operator: PartyFrame,
        /// How; operators only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        how: Option<AssignedHowFrame>,
        /// Who transferred it; operators only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<PartyFrame>,
    },
    /// The work was said to have begun; operators only.
    Begun {
        /// Who said it.
        by: PartyFrame,
    },
    /// A transfer to an operator was asked for; operators only.
    TransferAsked {
        /// Who asked.
        by: PartyFrame,
        /// To whom.
        to: PartyFrame,
        /// When it fails for want of an answer.
        expires_at: TimeFrame,
    },
    /// That transfer failed; operators only.
    TransferFailed {
        /// Why.
        reason: TargetReasonFrame,
    },
    /// The chat is over.
    Ended {
        /// Who ended it.
        by: PartyFrame,
        /// How.
        outcome: Wire<Outcome>,
    },
    /// The customer wrote again after the end: the conversation goes on in that chat.
    ContinuedIn {
        /// The chat that goes on. (`chat` is this one.)
        next: Wire<ChatId>,
    },
}

/// Why a chat went into a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlacedCauseFrame {
    /// It was opened.
    Opened,
    /// It was transferred to the queue.
    Transferred,
    /// Its owner was gone too long, or deactivated.
    OwnerGone,
}

/// How an offer ended without an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfferEndFrame {
    /// Everybody who was asked declined or dropped out.
    Declined,
    /// Nobody answered in time.
    Lapsed,
    /// The operator left `ready`.
    NotReady,
    /// The operator no longer held the slot when the offer came.
    NotReserved,
    /// The operator is no longer a member, or was deactivated.
    NotEligible,
    /// The server was restarted.
    Restart,
}

impl From<OfferEnd> for OfferEndFrame {
    fn from(end: OfferEnd) -> Self {
        match end {
            OfferEnd::Declined => Self::Declined,
            OfferEnd::Lapsed => Self::Lapsed,
            OfferEnd::Withdrawn(WithdrawReason::NotReady) => Self::NotReady,
            OfferEnd::Withdrawn(WithdrawReason::NotReserved) => Self::NotReserved,
            OfferEnd::Withdrawn(WithdrawReason::NotEligible) => Self::NotEligible,
            OfferEnd::Restart => Self::Restart,
        }
    }
}

/// How an operator came to own a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssignedHowFrame {
    /// Accepted an offer.
    Accepted,
    /// Took it out of the line.
    Taken,
    /// Got it from a colleague.
    Transferred,
}

/// Why a chat was offered to whom it was offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionFrame {
    /// The rule that decided.
    pub rule: Wire<Rule>,
    /// The version of the queue's configuration.
    pub config_version: u64,
    /// What caused it: the chat looked for an operator (`push`), or the other way round (`pull`).
    pub trigger: Wire<Trigger>,
    /// The best of those who could have had it besides, best first, at most 5.
    pub runners_up: Vec<Wire<UserId>>,
    /// How many members stood how.
    pub standings: BTreeMap<Wire<Standing>, u32>,
}

impl From<&Decision> for DecisionFrame {
    fn from(decision: &Decision) -> Self {
        let standings = &decision.standings;
        Self {
            rule: Wire(decision.rule),
            config_version: decision.config_version,
            trigger: Wire(decision.trigger),
            runners_up: decision.runners_up.iter().copied().map(Wire).collect(),
            standings: standings.iter().map(|(s, n)| (Wire(*s), *n)).collect(),
        }
    }
}

impl From<TransferFailure> for TargetReasonFrame {
    fn from(failure: TransferFailure) -> Self {
        match failure {
            TransferFailure::Refused(standing) => standing.into(),
            TransferFailure::NoAnswer => Self::NoAnswer,
            TransferFailure::Overtaken => Self::Overtaken,
        }
    }
}

//! The events of a chat's log: what happened, in past words. A chat is the fold over them.

use std::collections::BTreeMap;

use super::chat::{Outcome, Placement, Profile, Reach, Seq, Weight};
use super::id::{ChatId, CommandId, Customer, OfferId, Party, QueueId, UserId};
use super::name::Name;
use super::operator::Standing;
use super::queue::Rule;
use super::text::MessageText;
use super::time::Timestamp;

/// One durable entry of a log: of a chat's, if nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded<E = ChatEvent> {
    /// Its position, from 1, without gaps.
    pub seq: Seq,
    /// When it was decided; never before the entry in front of it.
    pub at: Timestamp,
    /// What happened.
    pub event: E,
    /// What those in it were called then.
    pub names: EventNames,
}

/// What those in an event were called when it happened. Kept with the event, so that any part of a
/// log can be shown without the rest of it. None where nobody is, or where nobody knew.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventNames {
    /// Whoever did it; for `Assigned` the owner, for `OwnerGone` the former one.
    pub by: Option<Name>,
    /// The target of a transfer; for `Assigned` whoever transferred.
    pub other: Option<Name>,
    /// The channel, if it spoke for its operators then.
    pub channel: Option<Name>,
}

/// What can happen to a chat. An event that changes the chat's place carries the placement that
/// it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatEvent {
    /// The customer opened it. Always the first, followed by `Placed` in the same append.
    Opened {
        /// Who, by which channel.
        customer: Customer,
        /// The customer's command.
        command: CommandId,
        /// The latest that is known of the customer.
        profile: Profile,
        /// The ended chat that it follows.
        continues: Option<ChatId>,
    },
    /// A later token of the customer says something else of it. No change of place; of the order in
    /// its line perhaps.
    CustomerUpdated {
        /// What counts from now on.
        profile: Profile,
    },
    /// Somebody wrote.
    Message {
        /// Who.
        from: Party,
        /// The client's message id.
        id: CommandId,
        /// What.
        text: MessageText,
    },
    /// It went into a queue's line. Its age is kept.
    Placed {
        /// The placement that this leads to.
        placement: Placement,
        /// Which queue.
        queue: QueueId,
        /// How many slots it takes from now on.
        weight: Weight,
        /// Why.
        cause: PlacedCause,
    },
    /// It was offered.
    Offered {
        /// The placement that this leads to.
        placement: Placement,
        /// The offer.
        offer: OfferId,
        /// How it reaches operators.
        reach: Reach,
        /// To whom. Nobody: an offer to all, made again to those who had the one that lapsed just
        /// before; who comes in addition follows as `OfferWidened`. Never the whole list again.
        to: Vec<UserId>,
        /// When it lapses.
        expires_at: Timestamp,
        /// The process that made it; an offer does not outlive its process.
        process: u64,
        /// Why so.
        decision: Decision,
    },
    /// A `to_all` offer reached more operators. No change of place.
    OfferWidened {
        /// The offer.
        offer: OfferId,
        /// Who came in addition.
        to: Vec<UserId>,
    },
    /// An operator declined the offer. When nobody is left, `OfferEnded` follows in the same
    /// append.
    Declined {
        /// The offer.
        offer: OfferId,
        /// Who.
        operator: UserId,
        /// The operator's command.
        command: CommandId,
    },
    /// An operator dropped out of a `to_all` offer without declining it. No change of place.
    OfferNarrowed {
        /// The offer.
        offer: OfferId,
        /// Who.
        operator: UserId,
        /// Why.
        reason: WithdrawReason,
    },
    /// The offer is over without an owner; the chat waits again, with its age.
    OfferEnded {
        /// The placement that this leads to.
        placement: Placement,
        /// The offer.
        offer: OfferId,
        /// How.
        how: OfferEnd,
    },
    /// It got an owner.
    Assigned {
        /// The placement that this leads to.
        placement: Placement,
        /// The owner.
        operator: UserId,
        /// How.
        how: AssignedHow,
        /// The owner's command; for a transfer, that of whoever transferred.
        command: CommandId,
    },
    /// The owner said by hand that the work has begun.
    Begun {
        /// Who.
        by: Party,
        /// The command.
        command: CommandId,
    },
    /// A transfer to an operator was asked for; the chat keeps its owner meanwhile.
    TransferAsked {
        /// Who.
        by: Party,
        /// The command.
        command: CommandId,
        /// To whom.
        to: UserId,
        /// The reservation that the target is asked for.
        reservation: OfferId,
        /// When it fails for want of an answer.
        expires_at: Timestamp,
    },
    /// That transfer failed; nothing changed.
    TransferFailed {
        /// The reservation that it was about.
        reservation: OfferId,
        /// Why.
        reason: TransferFailure,
    },
    /// The chat is over.
    Ended {
        /// The placement that this leads to.
        placement: Placement,
        /// Who ended it.
        by: Party,
        /// The command; none when the router ended it.
        command: Option<CommandId>,
        /// How.
        outcome: Outcome,
    },
    /// The customer wrote again after the end: messages follow into that chat.
    ContinuedIn {
        /// The chat that goes on.
        chat: ChatId,
    },
}

/// Why a chat went into a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacedCause {
    /// It was opened.
    Opened,
    /// Somebody transferred it to the queue.
    Transferred {
        /// Who.
        by: Party,
        /// The command.
        command: CommandId,
    },
    /// Its owner stayed away longer than the queue allows, or was deactivated.
    OwnerGone {
        /// The former owner.
        operator: UserId,
    },
}

/// How an offer ended without an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OfferEnd {
    /// Everybody who was asked declined or dropped out.
    Declined,
    /// Nobody answered in time.
    Lapsed,
    /// It was taken back.
    Withdrawn(WithdrawReason),
    /// The process that made it ended.
    Restart,
}

/// Why an offer was taken back from an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WithdrawReason {
    /// The operator left `ready`.
    NotReady,
    /// The operator no longer held the slot when the offer came.
    NotReserved,
    /// The operator is no longer a member, or was deactivated.
    NotEligible,
}

/// How an operator came to own a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssignedHow {
    /// Accepted an offer.
    Accepted {
        /// Which.
        offer: OfferId,
    },
    /// Took it out of the line by hand.
    Taken,
    /// Got it from a colleague.
    Transferred {
        /// Who transferred.
        by: Party,
        /// The reservation that the target held.
        reservation: OfferId,
    },
}

/// Why a transfer to an operator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferFailure {
    /// The target refused.
    Refused(Standing),
    /// The target did not answer in time.
    NoAnswer,
    /// The chat changed its place meanwhile.
    Overtaken,
}

/// Why a chat was offered to whom it was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The rule that decided.
    pub rule: Rule,
    /// The version of the queue's configuration.
    pub config_version: u64,
    /// What caused it.
    pub trigger: Trigger,
    /// The best of those who could have had it besides, best first.
    pub runners_up: Vec<UserId>,
    /// How many members stood how.
    pub standings: BTreeMap<Standing, u32>,
}

/// What caused a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// The chat looked for an operator.
    Push,
    /// A free operator looked for a chat.
    Pull,
}

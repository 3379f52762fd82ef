//! What goes into an operator and what comes out of it.

use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::operator::OperatorRecord;
use crate::domain::{ChatId, CommandId, OfferId, Place, QueueId, Reach, Status, Timestamp};
use crate::machine::CallId;
use crate::machine::chat::Refusal;
use crate::machine::message::{AssignedAt, ChatAt, ToChat, ToOperator, ToQueue};
use crate::storage::OpenChat;

use super::{Account, ConnectionId, OnScreen};

/// A client's call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorCall {
    /// Chooses a status.
    SetStatus(Status),
    /// The offer is on a screen.
    Shown {
        /// The chat.
        chat: ChatId,
        /// The offer.
        offer: OfferId,
    },
    /// Accepts.
    Accept {
        /// The chat.
        chat: ChatId,
        /// The offer.
        offer: OfferId,
        /// The command.
        command: CommandId,
    },
    /// Declines.
    Decline {
        /// The chat.
        chat: ChatId,
        /// The offer.
        offer: OfferId,
        /// The command.
        command: CommandId,
    },
    /// Takes a chat out of a line.
    Take {
        /// The chat.
        chat: ChatId,
        /// The command.
        command: CommandId,
        /// A chat administrator takes from any queue.
        chat_administrator: bool,
    },
}

/// The answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorAnswer {
    /// Done.
    Done,
    /// The chat is the operator's.
    Assigned(AssignedAt),
}

/// An input of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorInput {
    /// What the screens show at the start of a life: before all else.
    OnScreens(Vec<OnScreen>),
    /// The rows of the index that name it, as answer to [`OperatorEffect::ReadIndex`].
    Recovered(Vec<OpenChat>),
    /// The configuration changed.
    Account(Account),
    /// A connection came.
    Connected(ConnectionId),
    /// A connection went.
    Disconnected(ConnectionId),
    /// A connection answered its probe.
    ProbeAnswered(ConnectionId, u64),
    /// From a client.
    Call(CallId, OperatorCall),
    /// From a chat or a queue.
    Said(ToOperator),
    /// The record is durable, or is not.
    Saved(bool),
    /// A deadline came.
    Tick,
}

/// An effect of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorEffect {
    /// Say something to a chat.
    ToChat(ChatId, ToChat),
    /// Say something to a queue.
    ToQueue(QueueId, ToQueue),
    /// Answer a call.
    Answer(CallId, Result<OperatorAnswer, Refusal>),
    /// Save the record, then feed [`OperatorInput::Saved`]. One at a time.
    Save(OperatorRecord),
    /// Read the rows of the index that name the operator.
    ReadIndex,
    /// Ask a connection to prove that somebody is there.
    Probe(ConnectionId, u64),
    /// Show something on all connections.
    Show(Notice),
}

/// What an operator's connections are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An offer.
    OfferPresented {
        /// The chat.
        chat: ChatId,
        /// Its queue.
        queue: QueueId,
        /// The offer.
        offer: OfferId,
        /// How it reaches operators.
        reach: Reach,
        /// When it lapses.
        expires_at: Timestamp,
    },
    /// An offer is over.
    OfferWithdrawn {
        /// The chat.
        chat: ChatId,
        /// The offer.
        offer: OfferId,
        /// Why.
        reason: Gone,
    },
    /// Status, presence or load changed.
    Updated,
}

/// Why an offer is gone from the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gone {
    /// The operator accepted it, here or on another connection.
    Accepted,
    /// The operator declined it.
    Declined,
    /// Another operator has the chat.
    Taken,
    /// Nobody answered in time.
    Lapsed,
    /// It was taken back from the operator, or from all.
    Withdrawn(WithdrawReason),
    /// The chat went into another queue, or back into the line, without an end of this offer that
    /// is known here.
    Moved,
    /// The chat is over.
    ChatEnded,
    /// The process that made it is gone.
    Restart,
}

impl Gone {
    /// Why an offer of a queue is gone, by where its chat is now.
    pub(super) fn by(at: &ChatAt, offer: OfferId, queue: QueueId) -> Self {
        match &at.place {
            Place::Assigned { .. } => return Self::Taken,
            Place::Ended { .. } => return Self::ChatEnded,
            Place::Waiting => {}
            // It stands for others: the queue took this operator out of it.
            Place::Offered(live) if live.id == offer => {
                return Self::Withdrawn(WithdrawReason::NotEligible);
            }
            Place::Offered(_) => {}
        }
        match at.last_offer.filter(|(ended, _)| *ended == offer && at.queue == queue) {
            None => Self::Moved,
            Some((_, OfferEnd::Declined)) => Self::Declined,
            Some((_, OfferEnd::Lapsed)) => Self::Lapsed,
            Some((_, OfferEnd::Withdrawn(reason))) => Self::Withdrawn(reason),
            Some((_, OfferEnd::Restart)) => Self::Restart,
        }
    }

    /// Why an offer is gone that this operator was giving back for a reason of its own: that
    /// reason, unless the chat is with somebody or over.
    pub(super) fn given_back(at: &ChatAt, reason: WithdrawReason) -> Self {
        match at.place {
            Place::Assigned { .. } => Self::Taken,
            Place::Ended { .. } => Self::ChatEnded,
            Place::Waiting | Place::Offered(_) => Self::Withdrawn(reason),
        }
    }
}

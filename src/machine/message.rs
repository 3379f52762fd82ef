//! The words between chats, queues and operators.
//!
//! Chats say one thing only, [`ChatAt`]: where they are. It is true or old, never wrong, and its
//! receivers correct themselves by it. All else are requests that the receiver may refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::event::{Decision, OfferEnd, WithdrawReason};
use crate::domain::operator::{OperatorState, Standing};
use crate::domain::{
    ChatId, CommandId, Customer, OfferId, Party, Place, Placement, Priority, QueueId, Reach, Seq,
    Stay, Timestamp, UserId, Weight,
};
use crate::storage::OpenChat;

use super::chat::Refusal;

/// Who is told where a chat is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A queue.
    Queue(QueueId),
    /// An operator.
    Operator(UserId),
}

/// Where a chat is, from itself, after the event that brought it there was durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatAt {
    /// The chat.
    pub chat: ChatId,
    /// Its placement.
    pub placement: Placement,
    /// The position of the last event that touched its place. Finer than the placement: a `to_all`
    /// offer may gain and lose operators in one placement.
    pub version: Seq,
    /// Whose it is; none where only its row is known.
    pub customer: Option<Customer>,
    /// Its queue, or the last one.
    pub queue: QueueId,
    /// The first time of waiting.
    pub since: Timestamp,
    /// Its own priority.
    pub priority: Priority,
    /// How many slots it takes.
    pub weight: Weight,
    /// Who refused it, and when; for an operator, whether it did itself. Shared, since a word may be said
    /// again and again.
    pub refused_by: Arc<BTreeMap<UserId, Timestamp>>,
    /// Where it is.
    pub place: Place,
    /// Since when it is there.
    pub moved_at: Timestamp,
    /// The offer that ended last without an owner, and how.
    pub last_offer: Option<(OfferId, OfferEnd)>,
    /// It has been offered, moved and given back as often as may be: it makes no offer any more.
    pub spent: bool,
}

impl ChatAt {
    /// The version of what was read from the index, which does not know it: whatever the chat says
    /// of the placement is newer.
    pub const NOT_SAID: Seq = 0;

    /// Where a chat is by its row; none while it is being opened. What the row dates later than now
    /// counts as now.
    pub fn of_row(row: &OpenChat, now: Timestamp) -> Option<Self> {
        let since = row.since.min(now);
        let refused_by = row.refused_by.iter().map(|(who, at)| (*who, (*at).min(now)));
        Some(Self {
            chat: row.chat,
            placement: row.placement,
            version: Self::NOT_SAID,
            customer: None,
            queue: row.queue,
            since,
            priority: row.priority,
            weight: row.weight,
            refused_by: Arc::new(refused_by.collect()),
            place: row.place.clone()?,
            moved_at: since,
            last_offer: None,
            spent: false,
        })
    }

    /// Whether it is in the queue's care, waiting or on screens.
    pub fn waits_in(&self, queue: QueueId) -> bool {
        self.queue == queue && self.place.waits()
    }

    /// The answer to it in the stead of a queue that is not there, else the chat would tell it for
    /// as long as it lives. None: the chat waits there, and goes on telling until it is elsewhere.
    pub fn heard_by_nobody(&self, queue: QueueId) -> Option<ToChat> {
        let (peer, placement, version) = (Peer::Queue(queue), self.placement, self.version);
        (!self.waits_in(queue)).then_some(ToChat::Seen { peer, placement, version })
    }
}

/// To a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToChat {
    /// From its queue: offer yourself.
    Offer {
        /// The queue.
        queue: QueueId,
        /// The placement in which the queue believes the chat to wait.
        placement: Placement,
        /// The new offer.
        offer: OfferId,
        /// How it reaches operators.
        reach: Reach,
        /// To whom; one for a directed offer.
        to: Vec<UserId>,
        /// How long it shall stand, ms.
        timeout_ms: u64,
        /// Why so.
        decision: Decision,
    },
    /// From its queue: these, too, may accept.
    Widen {
        /// The placement of the offer.
        placement: Placement,
        /// The offer.
        offer: OfferId,
        /// Who comes in addition.
        to: Vec<UserId>,
    },
    /// From its queue: the offer's time is over.
    Lapse {
        /// The placement of the offer.
        placement: Placement,
        /// The offer.
        offer: OfferId,
        /// How long the queue lets offers stand, ms: one to all that was made for longer, since
        /// nobody answered, is over after that when the queue says so.
        stands_ms: u64,
    },
    /// From an operator, or from the queue about one: take the offer back.
    Withdraw {
        /// Who asks, to be answered.
        peer: Peer,
        /// The offer.
        offer: OfferId,
        /// From whom.
        operator: UserId,
        /// Which of its stays in the offer is meant.
        stay: Stay,
        /// Why.
        reason: WithdrawReason,
    },
    /// From an operator: declines the offer.
    Decline {
        /// The offer.
        offer: OfferId,
        /// Who.
        operator: UserId,
        /// Which of its stays in the offer is meant.
        stay: Stay,
        /// The client's command.
        command: CommandId,
    },
    /// From an operator who holds a slot for the chat: be mine.
    Assign {
        /// Who.
        operator: UserId,
        /// The client's command; none for a transfer, which has its own.
        command: Option<CommandId>,
        /// On what ground.
        by: AssignBy,
        /// After this it is void.
        valid_until: Timestamp,
    },
    /// From an operator: what became of this command?
    Recall {
        /// Who.
        operator: UserId,
        /// The client's command.
        command: CommandId,
        /// What it asked for.
        asked: Asked,
    },
    /// From an operator who is gone: find somebody else.
    OwnerGone {
        /// Who.
        operator: UserId,
        /// The placement of the ownership.
        placement: Placement,
    },
    /// From the target of a transfer: no.
    ReserveRefused {
        /// The reservation.
        reservation: OfferId,
        /// Why.
        standing: Standing,
    },
    /// From whom the chat told where it is: heard.
    Seen {
        /// Who.
        peer: Peer,
        /// The placement that was heard.
        placement: Placement,
        /// The version that was heard.
        version: Seq,
    },
    /// From the process: the queue in which the chat waits is not there; wait in that one.
    Rehome {
        /// The queue that is not there.
        queue: QueueId,
        /// The other.
        to: QueueId,
    },
    /// From anybody who is not sure: where are you?
    Ask {
        /// Who.
        peer: Peer,
    },
}

/// The ground of an [`ToChat::Assign`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignBy {
    /// An offer, in this stay in it.
    Offer(OfferId, Stay),
    /// A transfer's reservation.
    Transfer(OfferId),
    /// By hand, out of one of these queues, or out of any.
    Take {
        /// The placement that is meant: so a refusal is final, and a late repeat finds nothing. 0
        /// while it is not known; the refusal tells it.
        placement: Placement,
        /// The `manual` queues of which the operator is a member.
        queues: Vec<QueueId>,
        /// A chat administrator takes from any queue.
        any: bool,
    },
}

/// What a client's command asks of a chat through its operator. The same id with something else is
/// another call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    /// To accept this offer.
    Accept(OfferId),
    /// To decline this offer.
    Decline(OfferId),
    /// To take the chat out of the line.
    Take,
}

/// To a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToQueue {
    /// From a chat.
    At(ChatAt),
    /// From a member: my state, whenever it changes.
    State(OperatorState),
    /// From a member: the answer to a reservation.
    ReserveAnswer {
        /// The offer.
        offer: OfferId,
        /// The chat.
        chat: ChatId,
        /// Held, or why not.
        result: Result<(), Standing>,
        /// The state after it.
        state: OperatorState,
    },
    /// From a member with a free slot: which is your best chat for me?
    Pull {
        /// Numbers the pull.
        pull: u64,
        /// Chats offered to all that are not to be quoted: a slot is kept for them already, or was
        /// for long enough.
        except: Vec<ChatId>,
        /// The state during it.
        state: OperatorState,
    },
    /// From a member: I hold a slot for your best chat.
    Give {
        /// The offer to make; its slot is held.
        offer: OfferId,
        /// The rank that was quoted; a larger one is not wanted.
        rank: i64,
        /// How many slots are held; a heavier chat does not fit.
        weight: Weight,
        /// When the slot is free again unless the chat confirms.
        expires_at: Timestamp,
        /// The state after it.
        state: OperatorState,
    },
}

/// To an operator. What is said of where a chat is says of others in its offer and of their refusals
/// nothing ([`Chat::told_to`](super::chat::Chat::told_to)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToOperator {
    /// From a chat.
    At(ChatAt),
    /// From a chat: the answer to `Assign`. A refusal is final: the same `Assign` will never be
    /// granted, however late it is repeated.
    AssignAnswer {
        /// The command; none for a transfer.
        command: Option<CommandId>,
        /// The ground that was answered.
        by: AssignBy,
        /// When and to which placement it led, or why not.
        result: Result<AssignedAt, Refusal>,
        /// Where the chat is; none when it was never opened.
        at: Option<ChatAt>,
        /// The chat.
        chat: ChatId,
    },
    /// From a chat: the answer to `Recall`.
    Recalled {
        /// The chat.
        chat: ChatId,
        /// The command.
        command: CommandId,
        /// What it asked for.
        asked: Asked,
        /// What became of it; none when the chat knows nothing of it.
        result: Option<Result<AssignedAt, Refusal>>,
        /// Where the chat is; none when it was never opened.
        at: Option<ChatAt>,
    },
    /// From a queue: hold a slot for this chat.
    Reserve {
        /// The queue.
        queue: QueueId,
        /// The offer to come.
        offer: OfferId,
        /// The chat.
        chat: ChatId,
        /// The chat's rank.
        rank: i64,
        /// How many slots it takes.
        weight: Weight,
        /// When the slot is free again unless the chat confirms.
        expires_at: Timestamp,
    },
    /// From a queue: the slot held for this offer is not needed.
    Release {
        /// The offer.
        offer: OfferId,
    },
    /// From a chat that is being transferred: hold a slot and send `Assign`.
    ReserveTransfer {
        /// The chat.
        chat: ChatId,
        /// Its queue.
        queue: QueueId,
        /// How many slots it takes.
        weight: Weight,
        /// The reservation.
        reservation: OfferId,
        /// Who transfers.
        by: Party,
        /// When the chat gives up.
        expires_at: Timestamp,
    },
    /// From a queue: the answer to a pull.
    Best {
        /// The queue.
        queue: QueueId,
        /// The pull.
        pull: u64,
        /// The best chat that the operator could serve.
        best: Option<Quote>,
    },
    /// From a queue: whether the slot that was given will be used.
    GiveAnswer {
        /// The offer.
        offer: OfferId,
        /// The chat that it went to.
        chat: Option<ChatId>,
    },
    /// From a queue: the state is known.
    StateSeen {
        /// The queue.
        queue: QueueId,
        /// The life and version that are known.
        known: (u64, u64),
    },
    /// From a queue that started: what is your state?
    AskState {
        /// The queue.
        queue: QueueId,
    },
}

/// The best chat of a queue for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Its rank.
    pub rank: i64,
    /// How many slots it takes.
    pub weight: Weight,
    /// Which it is at present.
    pub chat: ChatId,
    /// How it reaches operators: a directed one wants to be given a slot, one for all wants a slot
    /// to be kept until somebody accepts.
    pub reach: Reach,
}

/// When a chat became an operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssignedAt {
    /// The position of the event.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::fixture::*;

    #[test]
    fn a_queue_that_is_not_there_is_answered_for_unless_the_chat_waits_in_it() {
        assert_eq!(at(CHAT, 2, Place::Waiting).heard_by_nobody(QUEUE), None);
        let left =
            ChatAt { version: 5, ..at(CHAT, 3, Place::Assigned { owner: ANN, begun: false }) };
        let peer = Peer::Queue(QUEUE);
        let seen = ToChat::Seen { peer, placement: 3, version: 5 };
        assert_eq!(left.heard_by_nobody(QUEUE), Some(seen));
        let elsewhere = ChatAt { queue: OTHER_QUEUE, ..at(CHAT, 4, Place::Waiting) };
        let seen = ToChat::Seen { peer, placement: 4, version: 4 };
        assert_eq!(elsewhere.heard_by_nobody(QUEUE), Some(seen));
    }
}

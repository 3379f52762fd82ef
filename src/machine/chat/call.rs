//! What comes into a chat and what goes out of it.

use crate::domain::{
    ChatEvent, ChatId, CommandId, Customer, MessageText, Party, Person, Profile, QueueId, Seq,
    Timestamp, UserId,
};
use crate::machine::message::{Peer, ToChat, ToOperator};
use crate::machine::{CallId, Life};
use crate::storage::Moving;

use super::answers::Answer;
use super::refusal::Refusal;
use super::search::Found;

/// An input of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatInput {
    /// The chat's actor has read its log.
    Started,
    /// From a client, by way of the edge.
    Call(CallId, ChatCall),
    /// From a queue or an operator.
    Said(ToChat),
    /// A deadline came.
    Tick,
}

/// Who calls, with what right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Author {
    /// Who.
    pub person: Person,
    /// May do everything within chats.
    pub chat_administrator: bool,
}

/// Where a transfer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Into a queue's line.
    Queue(QueueId),
    /// To an operator at once.
    Operator(UserId),
}

/// A client's call that changes a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatCall {
    /// Opens it and puts it into a line.
    Open {
        /// Who, by which channel.
        customer: Customer,
        /// The customer's command.
        command: CommandId,
        /// The channel's queue.
        queue: QueueId,
        /// What the customer's token says of it. An open chat takes it over, if it is later.
        profile: Profile,
        /// The ended chat that it follows.
        continues: Option<ChatId>,
    },
    /// Writes.
    Send {
        /// Who.
        by: Author,
        /// The client's message id.
        id: CommandId,
        /// What.
        text: MessageText,
        /// What the customer's token says of it; none when somebody else writes.
        profile: Option<Profile>,
    },
    /// The customer has another token. An open chat takes over what it says, if it is later.
    UpdateCustomer {
        /// The customer.
        by: Author,
        /// What it says.
        profile: Profile,
    },
    /// The customer wrote after the end: names the chat that goes on.
    Continue {
        /// That chat.
        chat: ChatId,
    },
    /// Ends it.
    End {
        /// Who.
        by: Author,
        /// The command.
        command: CommandId,
    },
    /// Says by hand that the work has begun (`new` to `in_progress`).
    Begin {
        /// Who.
        by: Author,
        /// The command.
        command: CommandId,
    },
    /// Moves it.
    Transfer {
        /// Who.
        by: Author,
        /// The command.
        command: CommandId,
        /// Whereto.
        to: Target,
    },
    /// A transfer to what does not exist, or takes no chats: refused, unless it repeats one that
    /// was carried out before.
    TransferNowhere {
        /// Who.
        by: Author,
        /// The command.
        command: CommandId,
        /// Whereto.
        to: Target,
    },
}

/// An effect of a chat, besides its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatEffect {
    /// Answers a call with the event at this position, now durable.
    AnswerRecorded(CallId, Seq),
    /// Answers a call.
    Answer(CallId, Result<Answer, Refusal>),
    /// Answers the call as soon as the command's answer is known; the command is pending.
    AnswerLater(CallId, Party, CommandId),
    /// Says something to an operator.
    ToOperator(UserId, Box<ToOperator>),
    /// Tells somebody where the chat is, though nothing changed.
    Tell(Peer),
}

/// What a chat decides by, besides its state and the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The present.
    pub now: Timestamp,
    /// The process's number: an offer of an earlier process is over.
    pub process: u64,
    /// The actor's life, for the ids of its reservations.
    pub life: Life,
    /// The operator to whom alone it is offered has not said that it heard of it.
    pub unheard: bool,
    /// What the log says of the input's command, when memory does not know it.
    pub found: Option<Found>,
}

/// What a chat decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decided {
    /// What happened, to be appended in one piece; then applied.
    pub events: Vec<ChatEvent>,
    /// To be carried out once the events are durable.
    pub effects: Vec<ChatEffect>,
    /// Set when the events change the chat's place: its row is marked before they are appended.
    pub moving: Option<Moving>,
}

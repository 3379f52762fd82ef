//! What comes into a chat and what goes out of it.

use crate::domain::{
    ChatEvent, ChatId, CommandId, Customer, MessageText, Person, Profile, QueueId, Timestamp,
    UserId,
};
use crate::machine::Life;
use crate::machine::driver;
use crate::machine::message::{Peer, ToOperator};

use super::fold::Chat;
use super::refusal::Refusal;

/// An input of a chat.
pub type ChatInput = driver::Input<Chat>;
/// An effect of a chat, besides its events.
pub type ChatEffect = driver::Effect<Chat>;
/// What a chat decided. An intent says that the events change the chat's place: its row is marked before
/// they are appended, or written with them.
pub type Decided = driver::Decided<Chat>;
/// What is known of a chat's command.
pub type Lookup = driver::Lookup<Refusal>;
/// What the log says of a chat's command.
pub type Found = driver::Found<Refusal>;
/// An event of a chat that is durable, and whom it concerns.
pub type Told = driver::Told<ChatEvent>;

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

/// What a chat says to somebody, besides what it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saying {
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

//! What the ledger is fed with.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use switchboard::domain::{ChatId, CommandId, CustomerId, Party, QueueId, Seq, UserId};

/// Stands for a text: equal texts have equal hashes, within one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextHash(u64);

impl TextHash {
    /// The hash of a text.
    pub fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl fmt::Debug for TextHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text {:016x}", self.0)
    }
}

/// A message, as it stands at one position of a chat's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it.
    pub from: Party,
    /// The client's id of it, which the run never uses twice for one sender.
    pub id: CommandId,
    /// What.
    pub text: TextHash,
}

/// What a client did or was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A customer's chat exists.
    Opened {
        /// The chat.
        chat: ChatId,
        /// Whose.
        customer: CustomerId,
    },
    /// Somebody was told that the chat is over.
    Ended {
        /// The chat.
        chat: ChatId,
    },
    /// A client is about to send, for the first time. In the order of sending for each sender.
    Sent {
        /// What, by whom.
        message: Message,
    },
    /// The server acknowledged; also for every repeat that it acknowledged again.
    Acknowledged {
        /// Where it went.
        chat: ChatId,
        /// Who sent it.
        from: Party,
        /// The client's id of it.
        id: CommandId,
        /// Its position.
        seq: Seq,
    },
    /// A client got a message, as an event or in the history that it loads when it enters a chat.
    /// What it keeps over a reconnection is fed once; a sender is shown its own messages too.
    Seen {
        /// The chat.
        chat: ChatId,
        /// Who sees.
        by: Party,
        /// The message's position.
        seq: Seq,
        /// The message.
        message: Message,
    },
    /// A client read all messages of a chat again, at the end.
    History {
        /// The chat.
        chat: ChatId,
        /// Who reads.
        by: Party,
        /// Positions and messages, as they were answered.
        messages: Vec<(Seq, Message)>,
    },
    /// A client was told who owns a chat from a position on.
    OwnerSeen {
        /// The chat.
        chat: ChatId,
        /// Who was told.
        by: Party,
        /// From which position on.
        seq: Seq,
        /// Whom it belongs to.
        owner: Option<UserId>,
    },
    /// An operator was told that it owns a chat.
    Gained {
        /// The chat.
        chat: ChatId,
        /// Who.
        operator: UserId,
        /// From which position on.
        seq: Seq,
    },
    /// An operator was told that it owns a chat no more: ended, or another's.
    Lost {
        /// The chat.
        chat: ChatId,
        /// Who.
        operator: UserId,
        /// From which position on.
        seq: Seq,
    },
    /// Who an operator is. Before any other observation of it; again when it changes.
    Operator {
        /// Who.
        operator: UserId,
        /// Since when, by the run, ms.
        at_ms: u64,
        /// How many chats it may hold.
        capacity: u32,
        /// The queues that it is a member of.
        queues: Vec<QueueId>,
    },
    /// A slot of an operator is taken: a directed offer, or an assignment without one.
    Held {
        /// Who.
        operator: UserId,
        /// By which chat. An offer that becomes an assignment is one hold.
        chat: ChatId,
        /// When, by the server, ms.
        at_ms: u64,
    },
    /// That slot is free.
    Released {
        /// Who.
        operator: UserId,
        /// Which chat.
        chat: ChatId,
        /// When, by the server, ms.
        at_ms: u64,
    },
    /// A chat began to wait in a line.
    WaitBegan {
        /// The chat.
        chat: ChatId,
        /// In which line.
        queue: QueueId,
        /// When, by the run, ms.
        at_ms: u64,
    },
    /// It waits no more: offered, owned or over.
    WaitOver {
        /// The chat.
        chat: ChatId,
        /// When, by the run, ms.
        at_ms: u64,
    },
    /// An operator is ready, proven present, and has a slot free.
    FreeBegan {
        /// Who.
        operator: UserId,
        /// When, by the run, ms.
        at_ms: u64,
    },
    /// It is not.
    FreeOver {
        /// Who.
        operator: UserId,
        /// When, by the run, ms.
        at_ms: u64,
    },
    /// An operator may not be asked for a chat: declined, let lapse, cooling down.
    Excluded {
        /// For which chat.
        chat: ChatId,
        /// Who.
        operator: UserId,
        /// From when, by the run, ms.
        at_ms: u64,
        /// Until when; none: until a later exclusion of the two says otherwise.
        until_ms: Option<u64>,
    },
    /// The server went down; nobody is served until it is up.
    Down {
        /// When, by the run, ms.
        at_ms: u64,
    },
    /// The server is up, and every client has its state again.
    Up {
        /// When, by the run, ms.
        at_ms: u64,
    },
    /// Time has passed.
    Tick {
        /// Up to when, by the run, ms.
        at_ms: u64,
    },
}

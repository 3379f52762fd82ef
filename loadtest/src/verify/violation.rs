//! What the ledger finds, with all that is needed to understand it.

use switchboard::domain::{ChatId, CommandId, Party, QueueId, Seq, UserId};

use super::Message;

/// Most violations that are kept; further ones are counted. A broken run repeats itself.
pub const VIOLATIONS_MAX: usize = 1_000;

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Nobody sent it.
    #[error("chat {chat}: a message {message:?} at {seq} that nobody sent so")]
    NeverSent {
        /// Where.
        chat: ChatId,
        /// Its position.
        seq: Seq,
        /// What.
        message: Message,
    },
    /// One message, two positions.
    #[error("chat {chat}: {id} of {from:?} stands at {first} and at {second}")]
    Doubled {
        /// Where.
        chat: ChatId,
        /// Whose.
        from: Party,
        /// Which.
        id: CommandId,
        /// One position.
        first: Seq,
        /// The other.
        second: Seq,
    },
    /// One position, two messages: the order is not one.
    #[error("chat {chat}: at {seq} stands {first:?}, and by {by:?} {second:?}")]
    Disagreement {
        /// Where.
        chat: ChatId,
        /// The position.
        seq: Seq,
        /// What was known to stand there.
        first: Message,
        /// What this client was told.
        second: Message,
        /// Which client.
        by: Party,
    },
    /// Acknowledged at a position that another message has.
    #[error("chat {chat}: {id} of {from:?} acknowledged at {seq}, where {other:?} stands")]
    SeqTaken {
        /// Where.
        chat: ChatId,
        /// Whose.
        from: Party,
        /// Which.
        id: CommandId,
        /// The position.
        seq: Seq,
        /// The other message's sender and id.
        other: (Party, CommandId),
    },
    /// A sender's messages stand in another order than sent.
    #[error(
        "chat {chat}: {from:?} sent {earlier} before {later}, they stand at {earlier_seq} and {later_seq}"
    )]
    Reordered {
        /// Where.
        chat: ChatId,
        /// Whose.
        from: Party,
        /// Sent first.
        earlier: CommandId,
        /// Its position.
        earlier_seq: Seq,
        /// Sent afterwards.
        later: CommandId,
        /// Its position.
        later_seq: Seq,
    },
    /// A client got the same message again.
    #[error("chat {chat}: {by:?} saw {seq} again")]
    SeenTwice {
        /// Where.
        chat: ChatId,
        /// Who.
        by: Party,
        /// Which.
        seq: Seq,
    },
    /// A client got an earlier message after a later one.
    #[error("chat {chat}: {by:?} saw {seq} after {after}")]
    SeenOutOfOrder {
        /// Where.
        chat: ChatId,
        /// Who.
        by: Party,
        /// Which.
        seq: Seq,
        /// After which.
        after: Seq,
    },
    /// An acknowledged message that one side never saw.
    #[error("chat {chat}: {by:?} never saw {id} of {from:?}, acknowledged at {seq}")]
    NotSeen {
        /// Where.
        chat: ChatId,
        /// Who.
        by: Party,
        /// Whose.
        from: Party,
        /// Which.
        id: CommandId,
        /// Its position.
        seq: Seq,
    },
    /// An acknowledged message that the history does not have.
    #[error(
        "chat {chat}: {by:?} does not find {id} of {from:?}, acknowledged at {seq}, in the history"
    )]
    Missing {
        /// Where.
        chat: ChatId,
        /// Who reads.
        by: Party,
        /// Whose.
        from: Party,
        /// Which.
        id: CommandId,
        /// Its position.
        seq: Seq,
    },
    /// A history whose positions do not grow.
    #[error("chat {chat}: the history of {by:?} has {seq} after {after}")]
    HistoryOrder {
        /// Where.
        chat: ChatId,
        /// Who reads.
        by: Party,
        /// Which.
        seq: Seq,
        /// After which.
        after: Seq,
    },
    /// Two clients were told two owners for one position.
    #[error(
        "chat {chat}: from {seq} on it belongs to {first:?}, and as {by:?} was told to {second:?}"
    )]
    OwnersDisagree {
        /// Where.
        chat: ChatId,
        /// From which position on.
        seq: Seq,
        /// What was known.
        first: Option<UserId>,
        /// What this client was told.
        second: Option<UserId>,
        /// Which client.
        by: Party,
    },
    /// Two operators own a chat at a time.
    #[error(
        "chat {chat}: {first:?} owns it from {first_from} to {first_to:?}, {second:?} from {second_from}"
    )]
    TwoOwners {
        /// Where.
        chat: ChatId,
        /// Who came first.
        first: UserId,
        /// From which position on.
        first_from: Seq,
        /// To before which; none when it was never told.
        first_to: Option<Seq>,
        /// Who came besides.
        second: UserId,
        /// From which position on.
        second_from: Seq,
    },
    /// An operator was told that it owns what the log gives to somebody else.
    #[error(
        "chat {chat}: {operator:?} was told that it owns it from {seq} on, the others {owner:?}"
    )]
    NotTheOwner {
        /// Where.
        chat: ChatId,
        /// Who.
        operator: UserId,
        /// From which position on.
        seq: Seq,
        /// Whom the others were told there; none inside: nobody.
        owner: Option<UserId>,
    },
    /// An operator's message was acknowledged while the chat was not its own.
    #[error("chat {chat}: {operator:?} wrote {seq} while the owner was {owner:?}")]
    WroteWithoutOwning {
        /// Where.
        chat: ChatId,
        /// Who.
        operator: UserId,
        /// The message's position.
        seq: Seq,
        /// Whose it was.
        owner: Option<UserId>,
    },
    /// An operator holds more than it may.
    #[error("{operator:?} held {} chats at {at_ms} of the server's ms, its capacity is {capacity}: {chats:?}", chats.len())]
    AboveCapacity {
        /// Who.
        operator: UserId,
        /// Since when, by the server, ms.
        at_ms: u64,
        /// What it holds.
        chats: Vec<ChatId>,
        /// What it may.
        capacity: u32,
    },
    /// A chat waited while somebody who could have had it was free.
    #[error(
        "chat {chat}: waited in {queue:?} beside {operator:?}, free and eligible, from {from_ms} for {for_ms} ms"
    )]
    IdleBesideWaiting {
        /// Which.
        chat: ChatId,
        /// Where.
        queue: QueueId,
        /// Beside whom.
        operator: UserId,
        /// Since when, by the run, ms.
        from_ms: u64,
        /// For how long, ms; when it is told while it lasts, so far.
        for_ms: u64,
    },
    /// A chat that never ended.
    #[error("chat {chat}: never ended")]
    Stuck {
        /// Which.
        chat: ChatId,
    },
}

/// Where the parts put what they found.
#[derive(Debug, Clone, Default)]
pub struct Violations {
    kept: Vec<Violation>,
    further: u64,
}

impl Violations {
    pub(super) fn add(&mut self, violation: Violation) {
        if self.kept.len() < VIOLATIONS_MAX {
            self.kept.push(violation);
        } else {
            self.further += 1;
        }
    }

    /// The first [`VIOLATIONS_MAX`], in the order in which they were found.
    pub fn kept(&self) -> &[Violation] {
        &self.kept
    }

    /// How many there were in all.
    pub fn count(&self) -> u64 {
        self.kept.len() as u64 + self.further
    }
}

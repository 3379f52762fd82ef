//! Names of things. Every id is a type of its own, so that none can stand in for another.
//!
//! Ids are made by the outermost layer (UUIDv7) and come into the machines as arguments.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::Timestamp;
use super::limits::COMMAND_ID_MAX_BYTES;

/// Bits of an id behind its time, which is in ms (RFC 9562, version 7).
const TIME_SHIFT: u32 = 80;

/// The last time that fits before them, ms since 1970: in the year 10889.
const TIME_MAX_MS: u64 = (1 << 48) - 1;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id with these 128 bits; for tests, simulation and storage.
            pub const fn from_u128(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }

            /// Reads the hyphenated form. Errors when the text is no UUID.
            pub fn parse(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            /// Short, since it stands in test failures: the low 64 bits.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}#{:x}", stringify!($name), self.0.as_u128() as u64)
            }
        }
    };
}

id! {
    /// One chat: a conversation from its opening to its end.
    ChatId
}
id! {
    /// A line in which chats wait, with its rule and members.
    QueueId
}
id! {
    /// A way by which customers reach us.
    ChannelId
}
id! {
    /// A reason to be away that operators choose from.
    AwayReasonId
}
id! {
    /// A person of the contact centre: operator, chat administrator or administrator.
    UserId
}
id! {
    /// A person who writes in from outside, by the id that a channel's site chose. Only within a channel
    /// does it name somebody: see [`Customer`].
    CustomerId
}
id! {
    /// One offer of a chat, or one reservation for a transfer; made by whoever makes the offer.
    OfferId
}

id! {
    /// One history of a store. A store that was restored or copied goes on as another one: what it
    /// holds under a position need not be what stood there before.
    Incarnation
}

impl ChatId {
    /// When it was made, by the clock of whoever made it: ids begin with the time.
    pub fn made_at(self) -> Timestamp {
        Timestamp((self.0.as_u128() >> TIME_SHIFT) as u64)
    }

    /// The first of the ids that can be made at this time.
    pub fn first_at(at: Timestamp) -> Self {
        Self::from_u128(u128::from(at.0.min(TIME_MAX_MS)) << TIME_SHIFT)
    }
}

impl OfferId {
    /// The `n`th offer of one life of one maker. Lives are numbered so that ids never repeat.
    pub const fn of(life: u64, n: u64) -> Self {
        Self::from_u128(((life as u128) << 64) | n as u128)
    }
}

/// The id by which a client names one changing call, so that its repeat is harmless.
/// 1 to [`COMMAND_ID_MAX_BYTES`] visible ASCII characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(Arc<str>);

impl CommandId {
    /// Errors with [`BadCommandId`] when empty, too long, or not visible ASCII.
    pub fn new(text: &str) -> Result<Self, BadCommandId> {
        let fits = (1..=COMMAND_ID_MAX_BYTES).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(BadCommandId { bytes: text.len() })
        }
    }

    /// The command by which a customer goes on after the end of a chat. A client's own id cannot
    /// claim anything under it before that chat is there, for nobody knows the chat's id sooner.
    pub fn after(ended: ChatId) -> Self {
        Self(format!("after-{ended}").into())
    }

    /// The command by which the chat of a customer who is erased is ended.
    pub fn erases(chat: ChatId) -> Self {
        Self(format!("erase-{chat}").into())
    }

    /// The command by which the router puts a chat, at its placement, into a queue that is there.
    pub fn rehomed(placement: u64) -> Self {
        Self(format!("rehomed-{placement}").into())
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

/// A command id that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a command id is 1 to {COMMAND_ID_MAX_BYTES} visible ASCII characters, got {bytes} bytes")]
pub struct BadCommandId {
    /// The length that was given.
    pub bytes: usize,
}

/// A person who writes in from outside: the id means whoever the channel's site means by it, so the
/// same id on another channel is somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Customer {
    /// By which channel.
    pub channel: ChannelId,
    /// Whom that channel's site calls so.
    pub id: CustomerId,
}

/// Somebody whom the router knows, whatever the chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Person {
    /// Who writes in from outside.
    Customer(Customer),
    /// An operator or a chat administrator.
    User(UserId),
    /// The router itself, which ends the chats of an erased customer. It has no connections.
    System,
}

/// Somebody who acts in a chat. It means somebody within that chat only, whose channel is the
/// customer's: the chat alone says which party a [`Person`] is in it, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The customer whose chat it is, as the log's first event says.
    Customer(CustomerId),
    /// An operator or a chat administrator.
    User(UserId),
    /// The router itself: time limits, restarts.
    System,
}

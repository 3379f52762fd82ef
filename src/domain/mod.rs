//! What a chat, a queue, an operator and a message are: plain values without I/O, clock or serde.
//!
//! Owns the vocabulary and every limit. Refuses to know how anything is stored, sent or decided.

pub mod audience;
pub mod audit;
pub mod chat;
pub mod event;
pub mod id;
pub mod limits;
pub mod name;
pub mod operator;
pub mod queue;
pub mod rights;
pub mod text;
pub mod time;

pub use audience::{Audience, OpenTo, Restricted, Shown};
pub use chat::{
    ChatState, Offer, Outcome, Place, Placement, Priority, Profile, Reach, Seq, Stay, Weight,
};
pub use event::{ChatEvent, EventNames, Recorded};
pub use id::{
    AwayReasonId, ChannelId, ChatId, CommandId, Customer, CustomerId, Incarnation, OfferId, Party,
    Person, QueueId, UserId,
};
pub use name::Name;
pub use operator::Status;
pub use queue::{Queue, RoutingSettings, Rule};
pub use text::MessageText;
pub use time::Timestamp;

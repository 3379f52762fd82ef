//! What can be said to the actors, each with the address of who waits for an answer.
//!
//! Below the shells and above nothing that runs: an actor names the messages of another, never the
//! other itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::{ChatId, Party, Person, Seq};
use crate::machine::chat::{Answer, ChatCall, Refusal};
use crate::machine::message::{ToChat, ToOperator, ToQueue};
use crate::machine::operator::{ConnectionId, OperatorAnswer, OperatorCall};
use crate::routing::{Explanation, Turn};
use crate::storage::{StoreError, Watermark};

use super::held::CallPermit;
use super::view::{ChatView, LinePage, OperatorView};
use super::watermarks::Batch;
use super::ways::Way;

/// What a caller waits for; a dropped sender says that the life has ended without an answer.
pub(super) type Reply<T> = oneshot::Sender<T>;

/// Who waits until its watermark is durable.
pub(super) type WatermarkReply = Reply<Result<(), Refusal>>;

/// What a read of the watermarks came to.
pub(super) type WatermarksRead = Result<BTreeMap<Party, Watermark>, StoreError>;

/// To a chat.
pub(super) enum ChatMessage {
    Begin,
    Calls(ChatCalls),
    /// Carry out the calls that have come so far.
    CarryOut,
    Said(ToChat),
    Look(Reply<ChatView>, CallPermit),
    RaiseWatermark {
        person: Person,
        up_to: Seq,
        read: bool,
        reply: WatermarkReply,
        permit: CallPermit,
    },
    Tick,
    /// The watermarks were read, or not.
    WatermarksRead(WatermarksRead),
    FlushWatermarks,
    /// They were written, or not.
    WatermarksWritten(Batch<WatermarkReply>, Result<(), StoreError>),
    /// The chat is to be forgotten: let go of it, if it has ended and everybody has heard so.
    LetGo(Reply<bool>, CallPermit),
    /// Stop if there is nothing to do: parked, or asleep.
    Rest,
    /// All that was sent before the directory let it stop has been handled: stop, unless there is something to
    /// do after all.
    Stop,
    /// For tests of supervision: panic, here and now.
    Crash,
}

/// Calls of one client that came together, to be carried out in this order: when one of them has to be made
/// again, so have those behind it.
pub(super) struct ChatCalls {
    pub wanted: Vec<ChatCall>,
    /// An answer for each.
    pub reply: Reply<Vec<Result<Answer, Refusal>>>,
    pub permit: CallPermit,
    /// The way that they go, if they lead into a queue.
    pub way: Option<Arc<Way>>,
}

/// To a queue.
pub(super) enum QueueMessage {
    Begin,
    Said(ToQueue),
    /// Its configuration has changed. Read when this is handled: of two changes the later one
    /// holds, in whatever order they are told.
    Configured,
    /// What holds for all queues has changed.
    Settings,
    Explain(ChatId, Reply<Option<Explanation>>, CallPermit),
    Line {
        after: Option<Turn>,
        limit: usize,
        reply: Reply<LinePage>,
        permit: CallPermit,
    },
    Tick,
    /// For tests of supervision: panic, here and now.
    Crash,
}

/// To a follower of the feed.
pub(super) enum FollowerMessage {
    /// Look what there is.
    Turn,
    /// For tests of supervision: panic, here and now.
    Crash,
}

/// To an operator.
pub(super) enum OperatorMessage {
    Begin,
    Call(OperatorCall, Reply<Result<OperatorAnswer, Refusal>>, CallPermit),
    Said(Box<ToOperator>),
    /// Its account has changed. Read when this is handled: of two changes the later one holds, in
    /// whatever order they are told.
    AccountChanged,
    Connected(ConnectionId),
    Disconnected(ConnectionId),
    ProbeAnswered(ConnectionId, u64),
    Look(Reply<Option<OperatorView>>, CallPermit),
    Saved(bool),
    /// The store is silent over its record.
    NotSaved(StoreError),
    Tick,
    /// Stop, parked, if there is nothing to do.
    Rest,
    /// As that of a chat.
    Stop,
    /// For tests of supervision: panic, here and now.
    Crash,
}

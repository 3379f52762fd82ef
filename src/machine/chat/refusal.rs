//! Why a call about a chat is refused: one list for all who may refuse.

use crate::domain::event::TransferFailure;
use crate::domain::operator::Standing;
use crate::domain::{ChatId, ChatState};

/// A refusal. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such chat, or it is not the caller's to know of.
    #[error("there is no such chat")]
    UnknownChat,
    /// The chat is over.
    #[error("the chat has ended")]
    Ended {
        /// Whether the customer ended it.
        visitor_left: bool,
        /// The chat in which it goes on.
        continued_in: Option<ChatId>,
    },
    /// Another operator owns the chat, or nobody does.
    #[error("the chat is not yours; take it or have it transferred first")]
    NotYours,
    /// The offer is over, was never made to the caller, or another accepted first.
    #[error("the offer is over")]
    OfferGone,
    /// The answer came after its time.
    #[error("the answer came too late")]
    Late,
    /// The same id was used for something else.
    #[error("the id was used for another call; use a new one")]
    IdReused,
    /// The state does not allow it.
    #[error("a chat that is {state:?} does not allow this")]
    WrongState {
        /// The present state.
        state: ChatState,
    },
    /// The transfer's target cannot take it.
    #[error("the operator cannot take the chat: {reason:?}")]
    TargetUnavailable {
        /// Why.
        reason: TransferFailure,
    },
    /// Another transfer is under way.
    #[error("another transfer of the chat is under way; wait for its end")]
    TransferPending,
    /// The target owns the chat already.
    #[error("the chat is there already")]
    AlreadyThere,
    /// The chat's log is full.
    #[error("the chat has as many entries as fit; end it and open another")]
    ChatFull,
    /// The operator cannot take on another chat now.
    #[error("you cannot take a chat now: {0:?}")]
    NoSlot(Standing),
    /// The router cannot say yet, or cannot store it now.
    #[error("not available at the moment; try again with the same id")]
    Unavailable,
}

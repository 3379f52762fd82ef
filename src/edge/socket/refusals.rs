//! The router's refusals as errors of the wire.

use crate::actors::{CallError, TooMany};
use crate::domain::operator::Standing;
use crate::edge::limits::{OVERLOADED_RETRY_MS, UNAVAILABLE_RETRY_MS};
use crate::machine::chat::Refusal;
use crate::protocol::error::TargetReasonFrame;
use crate::protocol::{ErrorFrame, ErrorKind, Wire};

/// The error that a client gets.
pub(super) fn refused(error: CallError) -> ErrorFrame {
    match error {
        CallError::Refused(refusal) => of_refusal(refusal),
        CallError::Overloaded(_) => ErrorFrame::later(ErrorKind::Overloaded, OVERLOADED_RETRY_MS),
        CallError::TooManyOpenings(TooMany { retry_after_ms }) => {
            let what = format!("too many chats opened; again in {} s", retry_after_ms / 1_000);
            let mut error = ErrorFrame::new(ErrorKind::TooManyCalls, what);
            error.data.retry_after_ms = Some(retry_after_ms);
            error
        }
        CallError::Unavailable => unavailable(),
        CallError::ChannelClosed => ErrorFrame::of(ErrorKind::ChannelInactive),
        CallError::UnknownQueue | CallError::UnknownOperator => ErrorFrame::of(ErrorKind::NotFound),
    }
}

/// Nothing is known of the outcome.
pub(super) fn unavailable() -> ErrorFrame {
    ErrorFrame::later(ErrorKind::Unavailable, UNAVAILABLE_RETRY_MS)
}

fn of_refusal(refusal: Refusal) -> ErrorFrame {
    match refusal {
        Refusal::UnknownChat | Refusal::UnknownTarget => ErrorFrame::of(ErrorKind::NotFound),
        Refusal::Ended { visitor_left: _, continued_in } => {
            let mut error = ErrorFrame::of(ErrorKind::ChatEnded);
            error.data.chat = continued_in.map(Wire);
            error
        }
        Refusal::NotYours => ErrorFrame::of(ErrorKind::NotYours),
        Refusal::OfferGone => ErrorFrame::of(ErrorKind::OfferGone),
        Refusal::Late => ErrorFrame::of(ErrorKind::Late),
        Refusal::IdReused => ErrorFrame::of(ErrorKind::IdReused),
        Refusal::WrongState { state } => ErrorFrame::wrong_state(state),
        Refusal::TargetUnavailable { reason } => ErrorFrame::target_unavailable(reason.into()),
        Refusal::TransferPending => ErrorFrame::of(ErrorKind::TransferPending),
        Refusal::AlreadyThere => ErrorFrame::target_unavailable(TargetReasonFrame::Owner),
        Refusal::ChatFull => ErrorFrame::of(ErrorKind::ChatFull),
        Refusal::NoSlot(Standing::Full) => ErrorFrame::of(ErrorKind::Full),
        Refusal::NoSlot(_) => ErrorFrame::of(ErrorKind::NotReady),
        Refusal::Unavailable => unavailable(),
    }
}

//! Every refusal is one that the table of its method names, in whatever state it is met.

use switchboard::domain::operator::Standing;
use switchboard::machine::chat::{ChatCall, Refusal};
use switchboard::machine::operator::OperatorCall;
use switchboard::protocol::{ErrorKind, Method};

/// The method by which a client makes the call; none for what the router calls itself.
pub fn of_chat(call: &ChatCall) -> Option<Method> {
    match call {
        ChatCall::Open { .. } => Some(Method::ChatOpen),
        ChatCall::Send { .. } => Some(Method::MessageSend),
        // A session goes on whatever becomes of it.
        ChatCall::UpdateCustomer { .. } | ChatCall::Continue { .. } => None,
        ChatCall::End { .. } => Some(Method::ChatEnd),
        ChatCall::Begin { .. } => Some(Method::ChatSetState),
        ChatCall::Transfer { .. } | ChatCall::TransferNowhere { .. } => Some(Method::ChatTransfer),
    }
}

/// Likewise.
pub fn of_operator(call: &OperatorCall) -> Option<Method> {
    match call {
        // One who was deactivated at this moment is told that it may not.
        OperatorCall::SetStatus(_) => None,
        OperatorCall::Shown { .. } => Some(Method::OfferShown),
        OperatorCall::Accept { .. } => Some(Method::OfferAccept),
        OperatorCall::Decline { .. } => Some(Method::OfferDecline),
        OperatorCall::Take { .. } => Some(Method::ChatTake),
    }
}

/// Panics when the method's table does not name the refusal.
pub fn check(method: Option<Method>, refusal: Refusal, seed: u64) {
    let Some(method) = method else { return };
    let kind = match refusal {
        Refusal::UnknownChat | Refusal::UnknownTarget => ErrorKind::NotFound,
        Refusal::Ended { .. } => ErrorKind::ChatEnded,
        Refusal::NotYours => ErrorKind::NotYours,
        Refusal::OfferGone => ErrorKind::OfferGone,
        Refusal::Late => ErrorKind::Late,
        Refusal::IdReused => ErrorKind::IdReused,
        Refusal::WrongState { .. } => ErrorKind::WrongState,
        Refusal::TargetUnavailable { .. } | Refusal::AlreadyThere => ErrorKind::TargetUnavailable,
        Refusal::TransferPending => ErrorKind::TransferPending,
        Refusal::ChatFull => ErrorKind::ChatFull,
        Refusal::NoSlot(Standing::Full) => ErrorKind::Full,
        Refusal::NoSlot(Standing::Offline) => ErrorKind::NotReady,
        Refusal::NoSlot(other) => panic!("{method:?} is refused as {other:?} (seed {seed})"),
        // Every method can meet it.
        Refusal::Unavailable => return,
    };
    assert!(
        method.errors().contains(&kind),
        "{method:?} is refused as {kind:?}, which its table does not name: {:?} (seed {seed})",
        method.errors()
    );
}

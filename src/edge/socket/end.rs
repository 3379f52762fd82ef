//! Why a connection ends.

use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};

use super::frames::TooManyFrames;
use crate::protocol::CloseKind;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client has gone.
    Gone,
    /// We close it.
    Close(CloseKind),
}

impl From<CloseKind> for End {
    fn from(kind: CloseKind) -> Self {
        Self::Close(kind)
    }
}

impl End {
    /// What a failed read means.
    pub fn of(error: &SocketError) -> Self {
        match error {
            SocketError::Capacity(CapacityError::MessageTooLong { .. }) => {
                CloseKind::FrameTooLarge.into()
            }
            // The connection is over without a close.
            SocketError::Protocol(
                ProtocolError::ResetWithoutClosingHandshake
                | ProtocolError::ReceivedAfterClosing
                | ProtocolError::SendAfterClosing,
            ) => Self::Gone,
            SocketError::Protocol(_) => CloseKind::BrokenFrame.into(),
            SocketError::Utf8(_) => CloseKind::NotUtf8.into(),
            SocketError::Io(error)
                if error.get_ref().is_some_and(|inner| inner.is::<TooManyFrames>()) =>
            {
                CloseKind::TooManyCalls.into()
            }
            _ => Self::Gone,
        }
    }
}

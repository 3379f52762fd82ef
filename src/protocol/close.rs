//! Why the server closes a socket, and what the client does next. One list, from which the
//! documents are made.

use schemars::JsonSchema;
use serde::Serialize;

/// What a client does after its socket was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterClose {
    /// Connect again after a random wait that doubles up to 30 s, open the session with its
    /// cursors, send the unanswered calls again.
    Resume,
    /// Get a new token first, then as `resume`.
    Renew,
    /// Ask the person to log in again.
    LogIn,
    /// Do not connect again by itself: it would be closed again.
    Stop,
}

impl AfterClose {
    /// The word on the wire documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Renew => "renew",
            Self::LogIn => "log_in",
            Self::Stop => "stop",
        }
    }
}

macro_rules! closes {
    ($($(#[doc = $meaning:literal])+ $kind:ident = $code:literal, $reason:literal, $then:ident;)*) => {
        /// Why the server closed a socket.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum CloseKind {
            $($(#[doc = $meaning])+ $kind,)*
        }

        impl CloseKind {
            /// All of them, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The close code.
            pub fn code(self) -> u16 {
                match self { $(Self::$kind => $code),* }
            }

            /// The reason that is sent with it, at most 123 bytes.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$kind => $reason),* }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$kind => concat!($($meaning),+).trim_ascii()),* }
            }

            /// What the client does next.
            pub fn then(self) -> AfterClose {
                match self { $(Self::$kind => AfterClose::$then),* }
            }
        }
    };
}

closes! {
    /// The server is stopping or being restarted.
    GoingAway = 1001, "going_away", Resume;
    /// Frames broke the rules of RFC 6455: not masked, reserved bits or codes, parts out of order.
    BrokenFrame = 1002, "broken_frame", Stop;
    /// A frame was not text.
    NotText = 1003, "not_text", Stop;
    /// A text was no UTF-8.
    NotUtf8 = 1007, "not_utf8", Stop;
    /// A frame was larger than 64 KiB.
    FrameTooLarge = 1009, "frame_too_large", Stop;
    /// The server failed in a way that it should not.
    Internal = 1011, "internal", Resume;
    /// No `session.open` came within 10 s, or others waited for the place.
    SessionNotOpened = 4000, "session_not_opened", Resume;
    /// The token came to its end and was not renewed.
    TokenExpired = 4001, "token_expired", Renew;
    /// The token was revoked: logged out, deactivated, a stolen refresh token was used, or the session gave way to a newer one of the same user.
    TokenRevoked = 4002, "token_revoked", LogIn;
    /// The client read too slowly; what it missed comes when it resumes.
    TooSlow = 4003, "too_slow", Resume;
    /// Too many malformed frames.
    BadFrames = 4004, "bad_frames", Stop;
    /// Too many calls a second, for too long; or too many pings or parts of messages.
    TooManyCalls = 4005, "too_many_calls", Resume;
    /// The person has too many connections; the oldest are closed.
    TooManyConnections = 4006, "too_many_connections", Stop;
    /// The store or the router cannot serve at the moment.
    Unavailable = 4007, "unavailable", Resume;
    /// Several `presence.probe`s in a row, or pings, were not answered: nobody seems to be there.
    NoPresence = 4008, "no_presence", Resume;
}

/// A line of the documents: a code that a client sees, and what it does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseRow {
    /// The close code.
    pub code: u16,
    /// The reason that comes with it.
    pub reason: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What the client does next.
    pub then: AfterClose,
}

/// What a client's own library reports when a connection ends without a close. Nobody sends it.
pub const LOST: CloseRow = CloseRow {
    code: 1006,
    reason: "",
    meaning: "Never sent: the connection broke off without a close, as a network or a killed server does it. \
              The same before the socket was open may be a refused handshake: ask `GET /ws` what is wrong.",
    then: AfterClose::Resume,
};

/// Every line, by code.
pub fn rows() -> Vec<CloseRow> {
    let row = |kind: &CloseKind| CloseRow {
        code: kind.code(),
        reason: kind.reason(),
        meaning: kind.meaning(),
        then: kind.then(),
    };
    let mut rows: Vec<_> = CloseKind::ALL.iter().map(row).chain([LOST]).collect();
    rows.sort_by_key(|row| row.code);
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a close frame can carry beside its code, bytes (RFC 6455, 5.5).
    const REASON_MAX_BYTES: usize = 123;

    #[test]
    fn codes_and_reasons_are_distinct_and_fit() {
        let codes: BTreeSet<_> = CloseKind::ALL.iter().map(|kind| kind.code()).collect();
        let reasons: BTreeSet<_> = CloseKind::ALL.iter().map(|kind| kind.reason()).collect();
        assert_eq!(codes.len(), CloseKind::ALL.len());
        assert_eq!(reasons.len(), CloseKind::ALL.len());
        assert!(reasons.iter().all(|reason| reason.len() <= REASON_MAX_BYTES));
        let allowed =
            |code: &u16| matches!(code, 1001 | 1002 | 1003 | 1007 | 1009 | 1011 | 4000..=4999);
        assert!(codes.iter().all(allowed));
    }
}

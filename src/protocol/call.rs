//! The methods: one list with name, params, answer and errors, from which parsing and the
//! documents are made.

use schemars::{Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};

use super::answer::{
    ChatHistoryPageFrame, ChatListedFrame, ChatOpenedFrame, ChatStateFrame, DoneFrame,
    MessageSentFrame, SessionOpenedFrame, SessionRenewedFrame,
};
use super::error::{ErrorFrame, ErrorKind, TextUnitFrame};
use super::limits::{HISTORY_LIMIT_MAX, RESUME_MAX, TEXT_ESCAPED_MAX_BYTES};
use super::params::{
    ChatCommandFrame, ChatHistoryFrame, ChatListFrame, ChatOpenFrame, ChatSetStateFrame,
    ChatTransferFrame, ListScope, MessageMarkFrame, MessageSendFrame, OfferAnswerFrame,
    OfferShownFrame, PresenceAnswerFrame, SessionOpenFrame, SessionRenewFrame, SetStatusFrame,
};
use super::strict::read_object;

/// Schemas of a method, for the documents.
pub(super) struct MethodSchemas {
    pub params: Schema,
    pub result: Schema,
}

macro_rules! methods {
    ($($(#[doc = $summary:literal])+ $method:ident = $name:literal, $params:ty => $result:ty, [$($error:ident),* $(,)?];)*) => {
        /// The methods that a client may call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Method {
            $($(#[doc = $summary])+ $method,)*
        }

        /// A call with its params.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Call {
            $($(#[doc = $summary])+ $method($params),)*
        }

        impl Method {
            /// All of them, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$method),*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$method => $name),* }
            }

            /// The method of that name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|method| method.name() == name)
            }

            /// What it does.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$method => concat!($($summary),+).trim_ascii()),* }
            }

            /// The errors of its own, beside those that every method can meet.
            pub fn errors(self) -> &'static [ErrorKind] {
                match self { $(Self::$method => &[$(ErrorKind::$error),*]),* }
            }

            pub(super) fn schemas(self, generator: &mut SchemaGenerator) -> MethodSchemas {
                match self {
                    $(Self::$method => MethodSchemas {
                        params: <$params as schemars::JsonSchema>::json_schema(generator),
                        result: generator.subschema_for::<$result>(),
                    }),*
                }
            }

            fn read_unchecked(self, params: &str) -> Result<Call, ErrorFrame> {
                match self { $(Self::$method => read(params).map(Call::$method)),* }
            }

            /// Whether `result` reads as this method's answer; for tests of the documents.
            pub fn answers_with(self, result: &str) -> Result<(), serde_json::Error> {
                match self { $(Self::$method => serde_json::from_str::<$result>(result).map(drop)),* }
            }
        }

        impl Call {
            /// Its method.
            pub fn method(&self) -> Method {
                match self { $(Self::$method(_) => Method::$method),* }
            }
        }

        impl Serialize for Call {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$method(params) => params.serialize(serializer)),* }
            }
        }
    };
}

methods! {
    /// Says who is there and what the client knows already. The first call of every socket.
    SessionOpen = "session.open", SessionOpenFrame => SessionOpenedFrame, [Unauthorized, SessionExists];
    /// Replaces the session's token by a newer one of the same person.
    SessionRenew = "session.renew", SessionRenewFrame => SessionRenewedFrame, [Unauthorized, SessionExists];
    /// Opens the customer's chat on a channel, or answers the one that is open.
    ChatOpen = "chat.open", ChatOpenFrame => ChatOpenedFrame, [NotFound, ChannelInactive, IdReused];
    /// Writes into a chat. The answer means that the message is durable.
    MessageSend = "message.send", MessageSendFrame => MessageSentFrame, [NotFound, NotYours, ChatEnded, VisitorLeft, IdReused, TextTooLong, TextEmpty, ChatFull];
    /// Says that events have reached the person's screen. The answer means that it is durable.
    MessageReceived = "message.received", MessageMarkFrame => DoneFrame, [NotFound, NotYours];
    /// Says that events have been read. The answer means that it is durable.
    MessageRead = "message.read", MessageMarkFrame => DoneFrame, [NotFound, NotYours];
    /// Ends a chat.
    ChatEnd = "chat.end", ChatCommandFrame => ChatStateFrame, [NotFound, NotYours, ChatEnded, IdReused, TransferPending];
    /// Reads a page of a chat.
    ChatHistory = "chat.history", ChatHistoryFrame => ChatHistoryPageFrame, [NotFound, CursorInvalid];
    /// Sets the operator's status. Takes effect each time that it is sent, whatever its id.
    OperatorSetStatus = "operator.set_status", SetStatusFrame => DoneFrame, [];
    /// Says that an offer has reached the operator's screen; one that never did does not count as lapsed.
    OfferShown = "offer.shown", OfferShownFrame => DoneFrame, [];
    /// Accepts an offer. The answer means that the chat is the operator's.
    OfferAccept = "offer.accept", OfferAnswerFrame => ChatStateFrame, [NotFound, OfferGone, ChatEnded, Full, Late, IdReused];
    /// Declines an offer.
    OfferDecline = "offer.decline", OfferAnswerFrame => ChatStateFrame, [NotFound, OfferGone, IdReused];
    /// Lists chats.
    ChatList = "chat.list", ChatListFrame => ChatListedFrame, [];
    /// Gives a chat to an operator or a queue.
    ChatTransfer = "chat.transfer", ChatTransferFrame => ChatStateFrame, [NotFound, NotYours, ChatEnded, TargetUnavailable, TransferPending, WrongState, IdReused];
    /// Takes a waiting chat out of the line: a member of a `manual` queue, or a chat administrator.
    ChatTake = "chat.take", ChatCommandFrame => ChatStateFrame, [NotFound, ChatEnded, WrongState, Full, NotReady, Late, TransferPending, IdReused];
    /// Says by hand that the work on a chat has begun.
    ChatSetState = "chat.set_state", ChatSetStateFrame => ChatStateFrame, [NotFound, NotYours, ChatEnded, WrongState, IdReused];
    /// Answers a `presence.probe`.
    PresenceAnswer = "presence.answer", PresenceAnswerFrame => DoneFrame, [];
}

impl Method {
    /// Reads the params of a call, strictly. Errors with `invalid_params`, which names the field.
    pub fn read(self, params: &str) -> Result<Call, ErrorFrame> {
        let call = self.read_unchecked(params)?;
        check(&call)?;
        Ok(call)
    }
}

fn read<P: DeserializeOwned>(params: &str) -> Result<P, ErrorFrame> {
    read_object(params, "params").map_err(|wrong| bad_param(&wrong.field, &wrong.cause))
}

fn bad_param(field: &str, cause: &str) -> ErrorFrame {
    ErrorFrame::field(ErrorKind::InvalidParams, field, format!("{field}: {cause}"))
}

/// What no type says. Texts are checked where they are turned into the domain's
/// ([`TextFrame::check`](super::value::TextFrame::check)).
fn check(call: &Call) -> Result<(), ErrorFrame> {
    match call {
        Call::SessionOpen(open) if open.resume.len() > RESUME_MAX => {
            let cause = format!("at most {RESUME_MAX} chats, got {}", open.resume.len());
            Err(bad_param("resume", &cause))
        }
        Call::MessageSend(send) => check_escaped(send),
        Call::ChatHistory(history) => check_history(history),
        Call::ChatList(list) if list.after.is_some() && list.scope != ListScope::Line => {
            Err(bad_param("after", "only the line has pages"))
        }
        Call::OperatorSetStatus(set) => match set.meant() {
            Ok(_) => Ok(()),
            Err(bad) => Err(bad_param("reason", &bad.to_string())),
        },
        Call::SessionOpen(_)
        | Call::SessionRenew(_)
        | Call::ChatOpen(_)
        | Call::MessageReceived(_)
        | Call::MessageRead(_)
        | Call::ChatEnd(_)
        | Call::OfferShown(_)
        | Call::OfferAccept(_)
        | Call::OfferDecline(_)
        | Call::ChatList(_)
        | Call::ChatTransfer(_)
        | Call::ChatTake(_)
        | Call::ChatSetState(_)
        | Call::PresenceAnswer(_) => Ok(()),
    }
}

fn check_escaped(send: &MessageSendFrame) -> Result<(), ErrorFrame> {
    let bytes = send.text.escaped_bytes();
    if bytes <= TEXT_ESCAPED_MAX_BYTES {
        return Ok(());
    }
    Err(ErrorFrame::text_too_long(
        format!("the text has {bytes} bytes as JSON, the limit is {TEXT_ESCAPED_MAX_BYTES}"),
        TextUnitFrame::Bytes,
        bytes,
        TEXT_ESCAPED_MAX_BYTES,
    ))
}

fn check_history(history: &ChatHistoryFrame) -> Result<(), ErrorFrame> {
    if history.before.is_some() && history.after.is_some() {
        return Err(bad_param("after", "`before` and `after` exclude each other"));
    }
    match history.limit {
        Some(limit) if !(1..=HISTORY_LIMIT_MAX).contains(&limit) => {
            let cause = format!("expected 1 to {HISTORY_LIMIT_MAX}, got {limit}");
            Err(bad_param("limit", &cause))
        }
        Some(_) | None => Ok(()),
    }
}

impl Method {
    /// Whether it changes anything beside the session that it comes by: a visitor's newer token is
    /// known to its chat from `session.open` and `session.renew` on.
    pub fn changes(self) -> bool {
        match self {
            Self::SessionOpen
            | Self::SessionRenew
            | Self::ChatOpen
            | Self::MessageSend
            | Self::MessageReceived
            | Self::MessageRead
            | Self::ChatEnd
            | Self::OperatorSetStatus
            | Self::OfferShown
            | Self::OfferAccept
            | Self::OfferDecline
            | Self::ChatTransfer
            | Self::ChatTake
            | Self::ChatSetState => true,
            Self::PresenceAnswer | Self::ChatHistory | Self::ChatList => false,
        }
    }
}

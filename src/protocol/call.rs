//! The methods: one list with name, params, answer, what each changes, in which lane it runs, by what
//! it keeps its place there, its errors and its checks. Parsing, the order of a socket's calls, the
//! rights that are asked and the documents are all made from it.

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
    ChatTransferFrame, ListScope, MessageSendFrame, OfferAnswerFrame, OfferShownFrame,
    PresenceAnswerFrame, RaiseWatermarkFrame, SessionOpenFrame, SessionRenewFrame, SetStatusFrame,
};
use super::strict::read_object;
use crate::domain::rights::Operation;
use crate::domain::{ChatId, CommandId};

/// Schemas of a method, for the documents.
pub(super) struct MethodSchemas {
    pub params: Schema,
    pub result: Schema,
}

/// With which other calls of its socket a call keeps the order of arrival. Those of different lanes
/// are carried out side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// A newer token of the session: [`Self::Conversation`] for a customer, whose chat hears of it in
    /// the order of what it does, else [`Self::Now`].
    Session,
    /// None: answered as it comes, without a wait.
    Now,
    /// What a customer does, in whatever chat: its chats follow each other, and what it sends into
    /// an ended one goes into the next, where it must stand before what is sent there afterwards.
    Conversation,
    /// What is said in a chat: [`Self::Conversation`] for a customer, else [`Self::Chat`].
    Said(ChatId),
    /// An operator's calls about one chat; a customer's readings of one.
    Chat(ChatId),
    /// The operator's status.
    Status,
    /// Lists.
    List,
    /// Watermarks, of whatever chat. They wait for a write that comes once a second, and only the
    /// highest of a chat counts: so they keep no order and hold up nobody, not even each other.
    Watermarks,
}

impl Lane {
    /// The chat, if it is that of one.
    pub fn chat(self) -> Option<ChatId> {
        match self {
            Self::Said(chat) | Self::Chat(chat) => Some(chat),
            Self::Session
            | Self::Now
            | Self::Conversation
            | Self::Status
            | Self::List
            | Self::Watermarks => None,
        }
    }

    /// Whether one call of it waits for another.
    pub fn keeps_order(self) -> bool {
        match self {
            Self::Conversation | Self::Said(_) | Self::Chat(_) | Self::Status | Self::List => true,
            Self::Session | Self::Now | Self::Watermarks => false,
        }
    }
}

macro_rules! methods {
    (@lane $params:ident Said) => { Lane::Said($params.chat.0) };
    (@lane $params:ident Chat) => { Lane::Chat($params.chat.0) };
    (@lane $params:ident $lane:ident) => { Lane::$lane };
    (@word Session) => { "the conversation; of staff: nothing" };
    (@word Conversation) => { "the conversation" };
    (@word Said) => { "the conversation; of staff: the chat" };
    (@word Chat) => { "the chat" };
    (@word Status) => { "the status" };
    (@word List) => { "lists" };
    (@word Now) => { "" };
    (@word Watermarks) => { "" };
    (@member) => { None };
    (@member $id:ident) => { Some(stringify!($id)) };
    (@id $params:ident) => { None };
    (@id $params:ident $id:ident) => { Some(&$params.$id.0) };
    (@check $params:ident) => { Ok(()) };
    (@check $params:ident $check:ident) => { $check($params) };
    (@changes changes) => { true };
    (@changes reads) => { false };
    ($($(#[doc = $summary:literal])+ $method:ident = $name:literal, $params:ty => $result:ty,
        $effect:ident in $lane:ident $(by $id:ident)?, [$($error:ident),* $(,)?] $(, check $check:ident)?;)*) => {
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

            /// The row of the table of rights that says who may call it.
            pub fn operation(self) -> Operation {
                match self { $(Self::$method => Operation::$method),* }
            }

            /// Whether it changes anything beside the session that it comes by: a visitor's newer
            /// token is known to its chat from `session.open` and `session.renew` on.
            pub fn changes(self) -> bool {
                match self { $(Self::$method => methods!(@changes $effect)),* }
            }

            /// With what it keeps the order of arrival, in words; empty: with nothing.
            pub fn in_order_with(self) -> &'static str {
                match self { $(Self::$method => methods!(@word $lane)),* }
            }

            /// The member of its params by which it keeps its place in that order when it is sent
            /// again.
            pub fn place_member(self) -> Option<&'static str> {
                match self { $(Self::$method => methods!(@member $($id)?)),* }
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

            /// The lane that it is carried out in.
            #[allow(unused_variables, reason = "not every lane is that of a chat")]
            pub fn lane(&self) -> Lane {
                match self { $(Self::$method(params) => methods!(@lane params $lane)),* }
            }

            /// By what a change of a conversation is known when it is sent again: then it has the
            /// place in its lane of the first time. None for what may be carried out out of order.
            #[allow(unused_variables, reason = "not every call has a place")]
            pub fn keeps_place_by(&self) -> Option<&CommandId> {
                match self { $(Self::$method(params) => methods!(@id params $($id)?)),* }
            }

            /// What no type says. Texts are checked where they are turned into the domain's
            /// ([`TextFrame::check`](super::value::TextFrame::check)).
            #[allow(unused_variables, reason = "most params are checked by their types alone")]
            fn check(&self) -> Result<(), ErrorFrame> {
                match self { $(Self::$method(params) => methods!(@check params $($check)?)),* }
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
    SessionOpen = "session.open", SessionOpenFrame => SessionOpenedFrame,
        changes in Now, [Unauthorized, SessionExists], check check_resume;
    /// Replaces the session's token by a newer one of the same person.
    SessionRenew = "session.renew", SessionRenewFrame => SessionRenewedFrame,
        changes in Session, [Unauthorized, SessionExists];
    /// Opens the customer's chat on a channel, or answers the one that is open.
    ChatOpen = "chat.open", ChatOpenFrame => ChatOpenedFrame,
        changes in Conversation by command_id, [NotFound, ChannelInactive, IdReused];
    /// Writes into a chat. The answer means that the message is durable.
    MessageSend = "message.send", MessageSendFrame => MessageSentFrame,
        changes in Said by client_message_id, [NotFound, NotYours, ChatEnded, VisitorLeft, IdReused, TextTooLong, TextEmpty, ChatFull], check check_escaped;
    /// Says that events have reached the person's screen. The answer means that it is durable.
    MessageReceived = "message.received", RaiseWatermarkFrame => DoneFrame,
        changes in Watermarks, [NotFound, NotYours];
    /// Says that events have been read. The answer means that it is durable.
    MessageRead = "message.read", RaiseWatermarkFrame => DoneFrame,
        changes in Watermarks, [NotFound, NotYours];
    /// Ends a chat.
    ChatEnd = "chat.end", ChatCommandFrame => ChatStateFrame,
        changes in Said by command_id, [NotFound, NotYours, ChatEnded, IdReused, TransferPending];
    /// Reads a page of a chat.
    ChatHistory = "chat.history", ChatHistoryFrame => ChatHistoryPageFrame,
        reads in Chat, [NotFound, CursorInvalid], check check_history;
    /// Sets the operator's status. Takes effect each time that it is sent, whatever its id.
    OperatorSetStatus = "operator.set_status", SetStatusFrame => DoneFrame,
        changes in Status, [], check check_reason;
    /// Says that an offer has reached the operator's screen; one that never did does not count as lapsed.
    OfferShown = "offer.shown", OfferShownFrame => DoneFrame,
        changes in Chat, [];
    /// Accepts an offer. The answer means that the chat is the operator's.
    OfferAccept = "offer.accept", OfferAnswerFrame => ChatStateFrame,
        changes in Chat, [NotFound, OfferGone, ChatEnded, Full, Late, IdReused];
    /// Declines an offer.
    OfferDecline = "offer.decline", OfferAnswerFrame => ChatStateFrame,
        changes in Chat, [NotFound, OfferGone, IdReused];
    /// Lists chats.
    ChatList = "chat.list", ChatListFrame => ChatListedFrame,
        reads in List, [], check check_page;
    /// Gives a chat to an operator or a queue.
    ChatTransfer = "chat.transfer", ChatTransferFrame => ChatStateFrame,
        changes in Said by command_id, [NotFound, NotYours, ChatEnded, TargetUnavailable, TransferPending, WrongState, IdReused];
    /// Takes a waiting chat out of the line: a member of a `manual` queue, or a chat administrator.
    ChatTake = "chat.take", ChatCommandFrame => ChatStateFrame,
        changes in Chat, [NotFound, ChatEnded, WrongState, Full, NotReady, Late, TransferPending, IdReused];
    /// Says by hand that the work on a chat has begun.
    ChatSetState = "chat.set_state", ChatSetStateFrame => ChatStateFrame,
        changes in Said by command_id, [NotFound, NotYours, ChatEnded, WrongState, IdReused];
    /// Answers a `presence.probe`.
    PresenceAnswer = "presence.answer", PresenceAnswerFrame => DoneFrame,
        reads in Now, [];
}

impl Method {
    /// Reads the params of a call, strictly. Errors with `invalid_params`, which names the field.
    pub fn read(self, params: &str) -> Result<Call, ErrorFrame> {
        let call = self.read_unchecked(params)?;
        call.check()?;
        Ok(call)
    }
}

fn read<P: DeserializeOwned>(params: &str) -> Result<P, ErrorFrame> {
    read_object(params, "params").map_err(|wrong| bad_param(&wrong.field, &wrong.cause))
}

fn bad_param(field: &str, cause: &str) -> ErrorFrame {
    ErrorFrame::field(ErrorKind::InvalidParams, field, format!("{field}: {cause}"))
}

fn check_resume(open: &SessionOpenFrame) -> Result<(), ErrorFrame> {
    if open.resume.len() <= RESUME_MAX {
        return Ok(());
    }
    let cause = format!("at most {RESUME_MAX} chats, got {}", open.resume.len());
    Err(bad_param("resume", &cause))
}

fn check_page(list: &ChatListFrame) -> Result<(), ErrorFrame> {
    if list.after.is_some() && list.scope != ListScope::Line {
        return Err(bad_param("after", "only the line has pages"));
    }
    Ok(())
}

fn check_reason(set: &SetStatusFrame) -> Result<(), ErrorFrame> {
    set.meant().map(drop).map_err(|bad| bad_param("reason", &bad.to_string()))
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

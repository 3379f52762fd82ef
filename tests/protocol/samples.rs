//! One example of every frame.

use serde::Serialize;
use serde_json::{Value, json};
use switchboard::domain::{
    Audience, ChannelId, ChatId, ChatState, CustomerId, Incarnation, MessageText, OfferId, QueueId,
    Reach, UserId,
};
use switchboard::protocol::answer::*;
use switchboard::protocol::call::Method;
use switchboard::protocol::error::{ErrorFrame, ErrorKind, TargetReasonFrame};
use switchboard::protocol::event::PartyFrame;
use switchboard::protocol::notify::*;
use switchboard::protocol::params::StatusWord;
use switchboard::protocol::value::{TimeFrame, WireText};
use switchboard::protocol::{Cursor, LineCursor, Notification, Wire};

use crate::log::events;

/// The chat of all examples.
pub const CHAT: ChatId = ChatId::from_u128(0x0193_4a00_0000_7000_8000_0000_0000_0c01);
pub const UNREACHABLE: ChatId = ChatId::from_u128(0x0193_4a00_0000_7000_8000_0000_0000_0c02);
pub const QUEUE: QueueId = QueueId::from_u128(0x0193_4a00_0000_7000_8000_0000_0000_0a01);
pub const CHANNEL: ChannelId = ChannelId::from_u128(0x0193_4a00_0000_7000_8000_0000_0000_0b01);
pub const ANNA: UserId = UserId::from_u128(0x0193_4a00_0000_7000_8000_0000_0000_0d01);
/// The incarnation of the store.
pub const STORE: Incarnation = Incarnation::from_u128(0x0193_4a00_0000_7000_8000_0000_0000_0901);
pub const BORIS: UserId = UserId::from_u128(0x0193_4a00_0000_7000_8000_0000_0000_0d02);
pub const CUSTOMER: CustomerId = CustomerId::from_u128(0x0193_4a00_0000_7000_8000_0000_0000_0e01);
pub const OFFER: OfferId = OfferId::from_u128(0x0193_4a00_0000_7000_8000_0000_0000_0f01);
pub const AT: u64 = 1_700_000_000_000;

fn line_cursor() -> Wire<LineCursor> {
    Wire(LineCursor { rank: 1_700_000_000_000, chat: CHAT })
}

fn cursor(seq: u64) -> Wire<Cursor> {
    Wire(Cursor::new(STORE, CHAT, seq))
}

fn to_value(frame: impl Serialize) -> Value {
    serde_json::to_value(frame).unwrap()
}

/// The params of a call of each method; some have several.
pub fn calls() -> Vec<(Method, &'static str, Value)> {
    let chat = CHAT.to_string();
    let cursor = Cursor::new(STORE, CHAT, 41).text().into_owned();
    let command_id = "c-1";
    let answer = json!({"command_id": command_id, "chat": chat, "offer": OFFER.to_string()});
    let chat_command = json!({"command_id": command_id, "chat": chat});
    let watermark = json!({"chat": chat, "up_to": 41});
    vec![
        (Method::SessionOpen, "", json!({"token": "sb1.key.payload.mac"})),
        (
            Method::SessionOpen,
            "resume",
            json!({"token": "sb1.key.payload.mac", "resume": [{"chat": chat, "cursor": cursor}]}),
        ),
        (Method::SessionRenew, "", json!({"token": "sb1.key.payload.mac"})),
        (Method::ChatOpen, "", json!({"command_id": command_id, "channel": CHANNEL.to_string()})),
        (
            Method::MessageSend,
            "",
            json!({"chat": chat, "client_message_id": "m-1", "text": "Привет 👋"}),
        ),
        (Method::MessageReceived, "", watermark.clone()),
        (Method::MessageRead, "", watermark),
        (Method::ChatEnd, "", chat_command.clone()),
        (Method::ChatHistory, "", json!({"chat": chat})),
        (Method::ChatHistory, "before", json!({"chat": chat, "before": cursor, "limit": 20})),
        (Method::ChatHistory, "after", json!({"chat": chat, "after": cursor})),
        (Method::OperatorSetStatus, "", json!({"command_id": command_id, "status": "ready"})),
        (
            Method::OperatorSetStatus,
            "away",
            json!({"command_id": command_id, "status": "away", "reason": "lunch"}),
        ),
        (Method::OfferShown, "", json!({"chat": chat, "offer": OFFER.to_string()})),
        (Method::OfferAccept, "", answer.clone()),
        (Method::OfferDecline, "", answer),
        (Method::ChatList, "mine", json!({"scope": "mine"})),
        (Method::ChatList, "line", json!({"scope": "line"})),
        (Method::ChatList, "page", json!({"scope": "line", "after": line_cursor().0.text()})),
        (Method::ChatList, "closed", json!({"scope": "closed"})),
        (
            Method::ChatTransfer,
            "operator",
            json!({"command_id": command_id, "chat": chat, "to": {"operator": BORIS.to_string()}}),
        ),
        (
            Method::ChatTransfer,
            "queue",
            json!({"command_id": command_id, "chat": chat, "to": {"queue": QUEUE.to_string()}}),
        ),
        (Method::ChatTake, "", chat_command),
        (
            Method::ChatSetState,
            "",
            json!({"command_id": command_id, "chat": chat, "state": "in_progress"}),
        ),
        (Method::PresenceAnswer, "", json!({"probe": 7})),
    ]
}

pub fn offer() -> OfferFrame {
    OfferFrame {
        chat: Wire(CHAT),
        offer: Wire(OFFER),
        queue: Wire(QUEUE),
        reach: Wire(Reach::Directed),
        customer_name: Some("Ольга".to_owned()),
        since: TimeFrame(AT),
        expires_at: TimeFrame(AT + 30_000),
    }
}

pub fn session_chat() -> SessionChatFrame {
    SessionChatFrame {
        id: Wire(CHAT),
        state: Wire(ChatState::InProgress),
        cursor: cursor(41),
        unread: 2,
        reload: false,
    }
}

pub fn brief() -> ChatBriefFrame {
    ChatBriefFrame {
        id: Wire(CHAT),
        state: Wire(ChatState::InProgress),
        channel: Wire(CHANNEL),
        queue: Wire(QUEUE),
        customer: Wire(CUSTOMER),
        customer_name: Some("Ольга".to_owned()),
        owner: Some(Wire(ANNA)),
        since: TimeFrame(AT),
        cursor: cursor(41),
        unread: 2,
    }
}

fn opened(role: RoleFrame) -> SessionOpenedFrame {
    let operator = role == RoleFrame::Operator;
    let id = if operator { ANNA.to_string() } else { CUSTOMER.to_string() };
    SessionOpenedFrame {
        me: MeFrame { role, id, name: operator.then(|| "Anna".to_owned()) },
        status: operator.then(|| StatusFrame {
            status: StatusWord::Away,
            reason: Some("missed_offers".to_owned()),
        }),
        away_reasons: if operator {
            vec!["Lunch".to_owned(), "Meeting".to_owned()]
        } else {
            vec![]
        },
        offers: if operator { vec![offer()] } else { vec![] },
        chats: vec![session_chat()],
        gone: vec![],
        unreachable: if operator { vec![Wire(UNREACHABLE)] } else { vec![] },
        expires_at: TimeFrame(AT + 600_000),
    }
}

/// An answer of each method; some have several.
pub fn answers() -> Vec<(Method, &'static str, Value)> {
    let state = |state| to_value(ChatStateFrame { chat: Wire(CHAT), state: Wire(state) });
    let done = to_value(DoneFrame {});
    vec![
        (Method::SessionOpen, "operator", to_value(opened(RoleFrame::Operator))),
        (Method::SessionOpen, "customer", to_value(opened(RoleFrame::Customer))),
        (Method::SessionRenew, "", to_value(SessionRenewedFrame { expires_at: TimeFrame(AT) })),
        (Method::ChatOpen, "", to_value(ChatOpenedFrame { chat: Wire(CHAT), cursor: cursor(2) })),
        (
            Method::MessageSend,
            "",
            to_value(MessageSentFrame { chat: Wire(CHAT), seq: 42, at: TimeFrame(AT) }),
        ),
        (Method::MessageReceived, "", done.clone()),
        (Method::MessageRead, "", done.clone()),
        (Method::ChatEnd, "", state(ChatState::Completed)),
        (
            Method::ChatHistory,
            "",
            to_value(ChatHistoryPageFrame {
                chat: Wire(CHAT),
                events: events(Audience::Customer).into_iter().map(|(_, event)| event).collect(),
                before: None,
                after: cursor(41),
                more: true,
            }),
        ),
        (Method::OperatorSetStatus, "", done.clone()),
        (Method::OfferShown, "", done.clone()),
        (Method::OfferAccept, "", state(ChatState::New)),
        (Method::OfferDecline, "", state(ChatState::Waiting)),
        (
            Method::ChatList,
            "",
            to_value(ChatListedFrame {
                chats: vec![brief()],
                total: 2,
                next: Some(line_cursor()),
                unreachable: vec![Wire(UNREACHABLE)],
            }),
        ),
        (Method::ChatTransfer, "operator", state(ChatState::InProgress)),
        (Method::ChatTransfer, "queue", state(ChatState::Waiting)),
        (Method::ChatTake, "", state(ChatState::New)),
        (Method::ChatSetState, "", state(ChatState::InProgress)),
        (Method::PresenceAnswer, "", done),
    ]
}

/// A notification of each kind, `chat.event` for each event and audience.
pub fn notifications() -> Vec<(String, Notification)> {
    let withdrawn =
        OfferWithdrawnFrame { chat: Wire(CHAT), offer: Wire(OFFER), reason: OfferOverReason::Lost };
    let watermark = WatermarkFrame {
        chat: Wire(CHAT),
        party: PartyFrame::Operator { id: None, name: Some("Anna".to_owned()) },
        delivered: 41,
        read: 40,
    };
    let updated = OperatorUpdatedFrame {
        operator: Wire(ANNA),
        status: StatusFrame { status: StatusWord::Ready, reason: None },
        load: 2,
        capacity: 5,
    };
    let probe = PresenceProbeFrame { probe: 7, limit_ms: 5_000 };
    let mut all = vec![
        (String::new(), Notification::OfferPresented(offer())),
        (String::new(), Notification::OfferWithdrawn(withdrawn)),
        (String::new(), Notification::ChatWatermark(watermark)),
        (String::new(), Notification::OperatorUpdated(updated)),
        (String::new(), Notification::PresenceProbe(probe)),
    ];
    for (audience, word) in [(Audience::Customer, "customer"), (Audience::Staff, "staff")] {
        let seen = events(audience).into_iter();
        all.extend(
            seen.map(|(name, event)| (format!("{name}.{word}"), Notification::ChatEvent(event))),
        );
    }
    all
}

/// An error of each kind, with its data.
pub fn errors() -> Vec<ErrorFrame> {
    let each = ErrorKind::ALL.iter().map(|kind| match kind {
        ErrorKind::TextTooLong => MessageText::new(&"x".repeat(2_001)).unwrap_err().into(),
        ErrorKind::TextEmpty => MessageText::new(" ").unwrap_err().into(),
        ErrorKind::FrameTooLarge => ErrorFrame::frame_too_large(1_048_576, 65_536),
        ErrorKind::TargetUnavailable => ErrorFrame::target_unavailable(TargetReasonFrame::Full),
        ErrorKind::WrongState => ErrorFrame::wrong_state(ChatState::Completed),
        ErrorKind::InvalidParams => {
            ErrorFrame::field(*kind, "chat", "chat: expected a hyphenated UUID")
        }
        ErrorKind::InvalidRequest => ErrorFrame::field(*kind, "id", "every call needs an `id`"),
        ErrorKind::Overloaded | ErrorKind::TooManyCalls | ErrorKind::Unavailable => {
            ErrorFrame::later(*kind, 250)
        }
        _ => ErrorFrame::of(*kind),
    });
    each.collect()
}

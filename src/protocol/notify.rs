//! What the server says unasked. Notifications have no id and want no answer.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::answer::StatusFrame;
use super::event::{ChatEventFrame, PartyFrame};
use super::value::{TimeFrame, Wire};
use crate::domain::{ChatId, OfferId, QueueId, Reach, Seq, UserId};

/// `offer.presented`: show it and call `offer.shown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfferFrame {
    /// The chat. The operator may read its history while the offer stands.
    pub chat: Wire<ChatId>,
    /// The offer.
    pub offer: Wire<OfferId>,
    /// The queue that offers it.
    pub queue: Wire<QueueId>,
    /// To this operator alone, or to several of whom the first gets it.
    pub reach: Wire<Reach>,
    /// What the customer is called, if the site says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<String>,
    /// Since when the customer waits.
    pub since: TimeFrame,
    /// When it lapses.
    pub expires_at: TimeFrame,
}

/// Why an offer is over for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfferOverReason {
    /// This operator accepted it, perhaps on another connection.
    Accepted,
    /// This operator declined it, perhaps on another connection.
    Declined,
    /// Another operator has the chat.
    Lost,
    /// Its time is over.
    Lapsed,
    /// This operator left `ready`.
    NotReady,
    /// This operator no longer held the slot when the offer came.
    NotReserved,
    /// This operator may no longer have chats of the queue.
    NotEligible,
    /// The chat was moved: into another queue, or back into the line.
    Moved,
    /// The chat is over.
    ChatEnded,
    /// The server was restarted since the offer was made.
    Restart,
}

/// `offer.withdrawn`: take it off the screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfferWithdrawnFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// The offer.
    pub offer: Wire<OfferId>,
    /// Why.
    pub reason: OfferOverReason,
}

/// `chat.watermark`: how far a participant has come. Both only grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatermarkFrame {
    /// The chat.
    pub chat: Wire<ChatId>,
    /// Who.
    pub party: PartyFrame,
    /// Delivered up to this `seq`.
    pub delivered: Seq,
    /// Read up to this `seq`.
    pub read: Seq,
}

/// `operator.updated`: the session's operator changed, perhaps on another connection or by the
/// router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorUpdatedFrame {
    /// Who.
    pub operator: Wire<UserId>,
    /// The status.
    #[serde(flatten)]
    pub status: StatusFrame,
    /// Reserved, offered and active chats.
    pub load: u32,
    /// How many fit.
    pub capacity: u32,
}

/// `presence.probe`: answer with `presence.answer` from the code that draws the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PresenceProbeFrame {
    /// Goes into the answer.
    pub probe: u64,
    /// How long the answer may take, ms.
    pub limit_ms: u64,
}

macro_rules! notifications {
    ($($(#[doc = $summary:literal])+ $kind:ident = $name:literal, $params:ty;)*) => {
        /// What the server says unasked.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Notification {
            $($(#[doc = $summary])+ $kind($params),)*
        }

        impl Notification {
            /// All names, in the order of the documents.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The method.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$kind(_) => $name),* }
            }

            /// Name, summary and schema of each, for the documents.
            pub(super) fn described(
                generator: &mut SchemaGenerator,
            ) -> Vec<(&'static str, &'static str, Schema)> {
                vec![$((
                    $name,
                    concat!($($summary),+).trim_ascii(),
                    generator.subschema_for::<$params>(),
                )),*]
            }

            /// Reads what a server sent, for clients; none when the method is unknown.
            pub(super) fn read(
                name: &str,
                params: &str,
            ) -> Option<Result<Self, serde_json::Error>> {
                match name {
                    $($name => Some(serde_json::from_str(params).map(Self::$kind)),)*
                    _ => None,
                }
            }
        }

        impl Serialize for Notification {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$kind(params) => params.serialize(serializer)),* }
            }
        }
    };
}

notifications! {
    /// A chat is offered to this operator.
    OfferPresented = "offer.presented", OfferFrame;
    /// An offer is over for this operator.
    OfferWithdrawn = "offer.withdrawn", OfferWithdrawnFrame;
    /// Something happened in a chat of the session.
    ChatEvent = "chat.event", ChatEventFrame;
    /// A participant received or read more of a chat.
    ChatWatermark = "chat.watermark", WatermarkFrame;
    /// The operator's status, load or capacity changed.
    OperatorUpdated = "operator.updated", OperatorUpdatedFrame;
    /// Is somebody there?
    PresenceProbe = "presence.probe", PresenceProbeFrame;
}

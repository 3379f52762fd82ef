//! How the router's own values stand in a frame: ids and words as text, points in time as numbers.
//!
//! [`Wire`] carries a value of the domain through serde, so that a frame holds the real type and
//! nothing is parsed twice.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::limits::COMMAND_ID_MAX_BYTES;
use crate::domain::operator::Standing;
use crate::domain::{
    AwayReasonId, ChannelId, ChatId, ChatState, CommandId, CustomerId, MessageText, OfferId,
    Outcome, QueueId, Reach, Rule, Timestamp, UserId,
    event::{Trigger, WithdrawReason},
    text::BadText,
};

/// A value of the domain that is a text on the wire.
pub trait WireText: Sized {
    /// Its name in the schema.
    const NAME: &'static str;

    /// Reads the text. Errors with what is wrong, without quoting the text.
    fn read(text: &str) -> Result<Self, String>;

    /// The text that [`read`](Self::read) takes back.
    fn text(&self) -> Cow<'_, str>;

    /// Its JSON Schema.
    fn schema() -> Schema;
}

/// A value of the domain inside a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wire<T>(pub T);

impl<T> From<T> for Wire<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: WireText> Serialize for Wire<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.text())
    }
}

impl<'de, T: WireText> Deserialize<'de> for Wire<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: WireText> Visitor<'_> for Text<T> {
            type Value = Wire<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a string ({})", T::NAME)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::read(text).map(Wire).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

impl<T: WireText> JsonSchema for Wire<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        T::schema()
    }
}

/// Length of the one form of a UUID that the wire takes: hyphenated.
const UUID_TEXT_BYTES: usize = 36;

macro_rules! uuids {
    ($($id:ident),* $(,)?) => {$(
        impl WireText for $id {
            const NAME: &'static str = stringify!($id);
            fn read(text: &str) -> Result<Self, String> {
                // The parser also takes braces, URNs and bare digits; one value has one text.
                match Self::parse(text) {
                    Ok(id) if text.len() == UUID_TEXT_BYTES => Ok(id),
                    Ok(_) | Err(_) => Err("expected a hyphenated UUID".to_owned()),
                }
            }
            fn text(&self) -> Cow<'_, str> {
                self.to_string().into()
            }
            fn schema() -> Schema {
                json_schema!({"type": "string", "format": "uuid"})
            }
        }
    )*};
}

uuids!(ChatId, QueueId, AwayReasonId, ChannelId, UserId, CustomerId, OfferId);

impl WireText for CommandId {
    const NAME: &'static str = "CommandId";
    fn read(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|error| error.to_string())
    }
    fn text(&self) -> Cow<'_, str> {
        self.as_str().into()
    }
    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[!-~]+$",
            "minLength": 1,
            "maxLength": COMMAND_ID_MAX_BYTES,
            "description": "An id of the client's own that makes a repeat of the call harmless.",
        })
    }
}

/// Gives an enum of the domain its words. The match is exhaustive, so a new variant asks for one.
macro_rules! words {
    ($type:ty, $name:literal, { $($variant:path => $word:literal),* $(,)? }) => {
        impl WireText for $type {
            const NAME: &'static str = $name;
            fn read(text: &str) -> Result<Self, String> {
                [$(($word, $variant)),*]
                    .into_iter()
                    .find_map(|(word, value)| (word == text).then_some(value))
                    .ok_or_else(|| concat!("expected one of" $(, " `", $word, "`")*).to_owned())
            }
            fn text(&self) -> Cow<'_, str> {
                match self { $($variant => $word.into()),* }
            }
            fn schema() -> Schema {
                json_schema!({"type": "string", "enum": [$($word),*]})
            }
        }
    };
}

words!(ChatState, "ChatState", {
    ChatState::Waiting => "waiting",
    ChatState::Offered => "offered",
    ChatState::New => "new",
    ChatState::InProgress => "in_progress",
    ChatState::Completed => "completed",
    ChatState::Missed => "missed",
});
words!(Outcome, "Outcome", {
    Outcome::Completed => "completed",
    Outcome::Missed => "missed",
});
words!(Reach, "Reach", {
    Reach::Directed => "directed",
    Reach::ToAll => "to_all",
});
words!(Rule, "Rule", {
    Rule::ToAll => "to_all",
    Rule::LeastLoaded => "least_loaded",
    Rule::LongestIdle => "longest_idle",
    Rule::Manual => "manual",
});
words!(Trigger, "Trigger", {
    Trigger::Push => "push",
    Trigger::Pull => "pull",
});
words!(WithdrawReason, "WithdrawReason", {
    WithdrawReason::NotReady => "not_ready",
    WithdrawReason::NotReserved => "not_reserved",
    WithdrawReason::NotEligible => "not_eligible",
});
words!(Standing, "Standing", {
    Standing::Free => "free",
    Standing::Unknown => "unknown",
    Standing::Offline => "offline",
    Standing::Away => "away",
    Standing::Busy => "busy",
    Standing::NotConnected => "not_connected",
    Standing::Full => "full",
    Standing::Kept => "kept",
    Standing::Choosing => "choosing",
    Standing::CoolingDown => "cooling_down",
    Standing::Declined => "declined",
    Standing::ShownLately => "shown_lately",
    Standing::Asked => "asked",
    Standing::NotMember => "not_member",
    Standing::Owner => "owner",
});

/// A point in time: UTC milliseconds since 1970.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct TimeFrame(pub u64);

impl From<Timestamp> for TimeFrame {
    fn from(at: Timestamp) -> Self {
        Self(at.0)
    }
}

/// Text of a message as it came. Not yet checked, so that a text too long gets an error of its
/// own with the count; [`check`](Self::check) is the one way on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TextFrame(String);

impl TextFrame {
    /// The text that may be sent. Errors with the counts.
    pub fn check(&self) -> Result<MessageText, BadText> {
        MessageText::new(&self.0)
    }

    /// How many bytes it takes as JSON, without the quotes.
    pub fn escaped_bytes(&self) -> usize {
        let escaped = |c: char| match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..'\u{20}' => 6,
            _ => c.len_utf8(),
        };
        self.0.chars().map(escaped).sum()
    }
}

impl From<&MessageText> for TextFrame {
    fn from(text: &MessageText) -> Self {
        Self(text.as_str().to_owned())
    }
}

impl From<&str> for TextFrame {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for TextFrame {
    /// Texts stay out of logs: only the length shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextFrame({} bytes)", self.0.len())
    }
}

/// A token as it came: 1 to [`TOKEN_MAX_BYTES`](super::limits::TOKEN_MAX_BYTES) visible ASCII
/// characters. It never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token itself, for whoever verifies it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

impl WireText for Token {
    const NAME: &'static str = "Token";
    fn read(text: &str) -> Result<Self, String> {
        let fits = (1..=super::limits::TOKEN_MAX_BYTES).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("this is no token".to_owned())
        }
    }
    fn text(&self) -> Cow<'_, str> {
        self.0.as_str().into()
    }
    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": super::limits::TOKEN_MAX_BYTES,
        })
    }
}

/// An object inside params that is written as an object. Derived structs also take arrays, which
/// would let a client rely on the order of our fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
                    .map(Object)
                    .map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_map(OnlyMap(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Object<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

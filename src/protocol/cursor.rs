//! Where a client is in one chat. Opaque to clients: they keep it and give it back.
//!
//! A cursor belongs to one chat; that of another chat, or a damaged one, is refused rather than
//! taken for a position. It is no secret and grants nothing.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::{Schema, json_schema};

use super::value::WireText;
use crate::domain::{ChatId, Seq};

/// The form of a cursor; another number is another form.
const FORM: u8 = 1;

/// Bytes of a cursor: form, position, check.
const CURSOR_BYTES: usize = 1 + 8 + 4;

/// Characters of a cursor as text.
const CURSOR_TEXT_BYTES: usize = 18;

/// A position in some chat as its text says. Only with the chat is it known to be sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    seq: Seq,
    check: u32,
}

/// A cursor of another chat, or a damaged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor does not belong to chat {chat}; open the chat's history without it")]
pub struct ForeignCursor {
    /// The chat that it was used for.
    pub chat: ChatId,
}

impl Cursor {
    /// The cursor that stands behind the event at `seq`; 0 is in front of the first.
    pub fn new(chat: ChatId, seq: Seq) -> Self {
        Self {
            seq,
            check: check(chat, seq),
        }
    }

    /// The position in `chat`. Errors when the cursor was made for another chat.
    pub fn seq(self, chat: ChatId) -> Result<Seq, ForeignCursor> {
        if check(chat, self.seq) == self.check {
            Ok(self.seq)
        } else {
            Err(ForeignCursor { chat })
        }
    }
}

/// FNV-1a over the chat and the position: finds mistakes, not attackers, who gain nothing.
fn check(chat: ChatId, seq: Seq) -> u32 {
    let bytes = [FORM]
        .into_iter()
        .chain(chat.0.into_bytes())
        .chain(seq.to_be_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

impl WireText for Cursor {
    const NAME: &'static str = "Cursor";

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || "this is no cursor of ours".to_owned();
        if text.len() != CURSOR_TEXT_BYTES {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().map_err(|_| wrong())?;
        let [form, rest @ ..] = bytes;
        let [a, b, c, d, e, f, g, h, w, x, y, z] = rest;
        if form != FORM {
            return Err(wrong());
        }
        Ok(Self {
            seq: Seq::from_be_bytes([a, b, c, d, e, f, g, h]),
            check: u32::from_be_bytes([w, x, y, z]),
        })
    }

    fn text(&self) -> Cow<'_, str> {
        let mut bytes = [0; CURSOR_BYTES];
        bytes[0] = FORM;
        bytes[1..9].copy_from_slice(&self.seq.to_be_bytes());
        bytes[9..].copy_from_slice(&self.check.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes).into()
    }

    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "minLength": CURSOR_TEXT_BYTES,
            "maxLength": CURSOR_TEXT_BYTES,
            "description": "A position in one chat. Keep it and give it back; its form may change.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back_for_its_chat_and_no_other(a: u128, b: u128, seq: u64) {
            let (mine, other) = (ChatId::from_u128(a), ChatId::from_u128(b));
            let cursor = Cursor::new(mine, seq);
            let read = Cursor::read(&cursor.text()).unwrap();
            prop_assert_eq!(read.seq(mine), Ok(seq));
            if a != b {
                prop_assert!(read.seq(other).is_err());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(cursor) = Cursor::read(&text) {
                prop_assert_eq!(cursor.text(), text);
            }
        }
    }

    #[test]
    fn a_changed_character_is_found() {
        let chat = ChatId::from_u128(7);
        let text = Cursor::new(chat, 300).text().into_owned();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            let sound = Cursor::read(&changed).is_ok_and(|cursor| cursor.seq(chat).is_ok());
            assert!(!sound, "{changed} passes for {text}");
        }
    }
}

//! Where a client is in one chat. Opaque to clients: they keep it and give it back.
//!
//! A cursor belongs to one chat in one incarnation of the store; that of another, or a damaged one,
//! is refused rather than taken for a position. It is no secret and grants nothing.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::{Schema, json_schema};

use super::value::WireText;
use crate::domain::{ChatId, Incarnation, Seq};

/// The form of a cursor; another number is another form.
const FORM: u8 = 2;

/// The form before stores had incarnations. It is still read, and never belongs to anything.
const FORMER_FORM: u8 = 1;

/// Bytes of a cursor: form, position, check.
const CURSOR_BYTES: usize = 1 + 8 + 4;

/// Characters of a cursor as text.
const CURSOR_TEXT_BYTES: usize = 18;

/// A position in some chat as its text says. Only with the chat is it known to be sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    form: u8,
    seq: Seq,
    check: u32,
}

/// A cursor of another chat or another incarnation of the store, or a damaged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cursor does not belong to chat {chat}, or the store was restored since; open the chat's \
     history without it"
)]
pub struct ForeignCursor {
    /// The chat that it was used for.
    pub chat: ChatId,
}

impl Cursor {
    /// The cursor that stands behind the event at `seq`; 0 is in front of the first.
    pub fn new(of: Incarnation, chat: ChatId, seq: Seq) -> Self {
        Self { form: FORM, seq, check: check(of, chat, seq) }
    }

    /// The position in `chat`. Errors when the cursor was made for another chat, or by another
    /// incarnation of the store.
    pub fn seq(self, of: Incarnation, chat: ChatId) -> Result<Seq, ForeignCursor> {
        let belongs = self.form == FORM && check(of, chat, self.seq) == self.check;
        if belongs { Ok(self.seq) } else { Err(ForeignCursor { chat }) }
    }
}

/// FNV-1a over the incarnation, the chat and the position: finds mistakes, not attackers, who gain
/// nothing. The incarnation comes first: each step is a bijection, so two incarnations share either
/// no cursor at all or, once in 2^32, all.
fn check(of: Incarnation, chat: ChatId, seq: Seq) -> u32 {
    let bytes = [FORM].into_iter().chain(of.0.into_bytes());
    let bytes = bytes.chain(chat.0.into_bytes()).chain(seq.to_be_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
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
        if form != FORM && form != FORMER_FORM {
            return Err(wrong());
        }
        Ok(Self {
            form,
            seq: Seq::from_be_bytes([a, b, c, d, e, f, g, h]),
            check: u32::from_be_bytes([w, x, y, z]),
        })
    }

    fn text(&self) -> Cow<'_, str> {
        let mut bytes = [0; CURSOR_BYTES];
        bytes[0] = self.form;
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

    const STORE: Incarnation = Incarnation::from_u128(7);

    /// Position 300 of chat 7, as the release before incarnations wrote it.
    const FORMER: &str = "AQAAAAAAAAEsHM4l9A";

    proptest! {
        #[test]
        fn comes_back_for_its_chat_and_no_other(a: u128, b: u128, seq: u64) {
            let (mine, other) = (ChatId::from_u128(a), ChatId::from_u128(b));
            let cursor = Cursor::new(STORE, mine, seq);
            let read = Cursor::read(&cursor.text()).unwrap();
            prop_assert_eq!(read.seq(STORE, mine), Ok(seq));
            if a != b {
                prop_assert!(read.seq(STORE, other).is_err());
            }
        }

        #[test]
        fn another_incarnation_of_the_store_does_not_know_it(chat: u128, seq: u64, n in 8_u128..) {
            let (chat, other) = (ChatId::from_u128(chat), Incarnation::from_u128(n));
            prop_assert!(Cursor::new(STORE, chat, seq).seq(other, chat).is_err());
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(cursor) = Cursor::read(&text) {
                prop_assert_eq!(cursor.text(), text);
            }
        }
    }

    #[test]
    fn the_former_form_is_read_and_belongs_to_nothing() {
        let former = Cursor::read(FORMER).unwrap();
        assert_eq!(former.text(), FORMER);
        assert!(former.seq(STORE, ChatId::from_u128(7)).is_err());
    }

    #[test]
    fn a_changed_character_is_found() {
        let chat = ChatId::from_u128(7);
        let text = Cursor::new(STORE, chat, 300).text().into_owned();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            let sound = Cursor::read(&changed).is_ok_and(|cursor| cursor.seq(STORE, chat).is_ok());
            assert!(!sound, "{changed} passes for {text}");
        }
    }
}

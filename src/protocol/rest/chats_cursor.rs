//! Where a page of chats ends. Opaque to clients, like the cursors of lines.
//!
//! It says a place in the order of the chats, not a number of them: chats that come meanwhile neither
//! repeat nor hide one. It belongs to what was asked: with other filters, or in another order, it is
//! refused rather than taken for a place. It is no secret and grants nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::domain::{ChatId, Timestamp};

/// The form of a cursor; another number is another form.
const FORM: u8 = 1;

/// Bytes of a cursor: form, start, chat, check.
const CURSOR_BYTES: usize = 1 + 8 + 16 + 4;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChatsCursor {
    /// When the last chat of the page was opened, or the last one that was looked at.
    pub started: Timestamp,
    /// That chat.
    pub chat: ChatId,
}

impl ChatsCursor {
    /// As a text, for whoever asked this.
    pub fn written(self, asked: &str) -> String {
        let mut bytes = Vec::with_capacity(CURSOR_BYTES);
        bytes.push(FORM);
        bytes.extend_from_slice(&self.started.0.to_be_bytes());
        bytes.extend_from_slice(self.chat.0.as_bytes());
        let check = check(&bytes, asked).to_be_bytes();
        bytes.extend_from_slice(&check);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the text of one that was made for whoever asked this; none: it was not.
    pub fn read(text: &str, asked: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let bytes: [u8; CURSOR_BYTES] = bytes.try_into().ok()?;
        let (place, checked) = bytes.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*checked) != check(place, asked) {
            return None;
        }
        let (form, place) = place.split_first()?;
        let (started, chat) = place.split_first_chunk::<8>()?;
        let chat = ChatId(Uuid::from_slice(chat).ok()?);
        let started = Timestamp(u64::from_be_bytes(*started));
        (*form == FORM).then_some(Self { started, chat })
    }
}

/// FNV-1a over what was asked and the place: finds mistakes, not attackers, who gain nothing.
fn check(place: &[u8], asked: &str) -> u32 {
    let bytes = asked.bytes().chain(place.iter().copied());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back_for_what_was_asked_and_for_nothing_else(at: u64, chat: u128, asked in ".{0,40}") {
            let cursor = ChatsCursor { started: Timestamp(at), chat: ChatId::from_u128(chat) };
            let text = cursor.written(&asked);
            prop_assert_eq!(ChatsCursor::read(&text, &asked), Some(cursor));
            prop_assert_eq!(ChatsCursor::read(&text, &format!("{asked}&")), None);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            if let Some(cursor) = ChatsCursor::read(&text, "") {
                prop_assert_eq!(cursor.written(""), text);
            }
        }
    }

    #[test]
    fn a_changed_character_is_found() {
        let cursor = ChatsCursor { started: Timestamp(1 << 40), chat: ChatId::from_u128(7) };
        let text = cursor.written("sort=-started_at");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(ChatsCursor::read(&changed, "sort=-started_at"), None, "{changed}");
        }
    }
}

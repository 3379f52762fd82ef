//! Where a page of the line ends. Opaque to clients, like the cursors of chats.
//!
//! It says a place in the order of lines, not a number of chats: chats that come and go meanwhile
//! neither repeat nor hide one.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::{Schema, json_schema};
use uuid::Uuid;

use super::value::WireText;
use crate::domain::ChatId;

/// The form of a cursor; another number is another form.
const FORM: u8 = 1;

/// Bytes of a cursor: form, rank, chat.
const CURSOR_BYTES: usize = 1 + 8 + 16;

/// Characters of a cursor as text.
const CURSOR_TEXT_BYTES: usize = 34;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineCursor {
    /// The rank of the last chat of the page.
    pub rank: i64,
    /// That chat.
    pub chat: ChatId,
}

impl WireText for LineCursor {
    const NAME: &'static str = "LineCursor";

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || "this is no cursor of a line; ask for the first page".to_owned();
        if text.len() != CURSOR_TEXT_BYTES {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let (&form, rest) = bytes.split_first().ok_or_else(wrong)?;
        let (rank, chat) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        if form != FORM {
            return Err(wrong());
        }
        let chat = Uuid::from_slice(chat).map_err(|_| wrong())?;
        Ok(Self { rank: i64::from_be_bytes(*rank), chat: ChatId(chat) })
    }

    fn text(&self) -> Cow<'_, str> {
        let mut bytes = [FORM; CURSOR_BYTES];
        bytes[1..9].copy_from_slice(&self.rank.to_be_bytes());
        bytes[9..].copy_from_slice(self.chat.0.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes).into()
    }

    fn schema() -> Schema {
        json_schema!({
            "type": "string",
            "minLength": CURSOR_TEXT_BYTES,
            "maxLength": CURSOR_TEXT_BYTES,
            "description": "A place in the line. Keep it and give it back; its form may change.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back(rank: i64, chat: u128) {
            let cursor = LineCursor { rank, chat: ChatId::from_u128(chat) };
            prop_assert_eq!(LineCursor::read(&cursor.text()), Ok(cursor));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(cursor) = LineCursor::read(&text) {
                prop_assert_eq!(cursor.text(), text);
            }
        }
    }
}

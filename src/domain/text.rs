//! The text of a message: validated once, at the door, and shared from then on.

use std::fmt;
use std::sync::Arc;

use super::limits::{TEXT_MAX_BYTES, TEXT_MAX_VISIBLE};

/// A text that may be sent: 1 to [`TEXT_MAX_VISIBLE`] Unicode scalar values that are not white
/// space, [`TEXT_MAX_BYTES`] in all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageText(Arc<str>);

impl MessageText {
    /// Errors with [`BadText`], which says the counts.
    pub fn new(text: &str) -> Result<Self, BadText> {
        if text.len() > TEXT_MAX_BYTES {
            return Err(BadText::TooManyBytes { bytes: text.len() });
        }
        let visible = text.chars().filter(|c| !c.is_whitespace()).count();
        match visible {
            0 => Err(BadText::Empty),
            1..=TEXT_MAX_VISIBLE => Ok(Self(text.into())),
            _ => Err(BadText::TooLong { visible }),
        }
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MessageText {
    /// Texts stay out of logs: only the length shows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageText({} bytes)", self.0.len())
    }
}

/// Why a text cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// Nothing but white space.
    #[error("the text is empty")]
    Empty,
    /// Too many visible characters.
    #[error(
        "the text has {visible} characters without white space, the limit is {TEXT_MAX_VISIBLE}"
    )]
    TooLong {
        /// How many it has.
        visible: usize,
    },
    /// Too long in all.
    #[error("the text has {bytes} bytes, the limit is {TEXT_MAX_BYTES}")]
    TooManyBytes {
        /// How many it has.
        bytes: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_visible_and_nothing_else() {
        let full = "é ".repeat(TEXT_MAX_VISIBLE);
        assert!(MessageText::new(&full).is_ok());
        let over = format!("{full}x");
        assert_eq!(MessageText::new(&over), Err(BadText::TooLong { visible: 2_001 }));
    }

    #[test]
    fn refuses_the_empty_and_the_huge() {
        assert_eq!(MessageText::new(" \n\u{2003}"), Err(BadText::Empty));
        let spaces = format!("a{}", " ".repeat(TEXT_MAX_BYTES));
        assert_eq!(
            MessageText::new(&spaces),
            Err(BadText::TooManyBytes { bytes: TEXT_MAX_BYTES + 1 })
        );
    }

    #[test]
    fn a_log_line_never_shows_the_text() {
        let text = MessageText::new("my card is 4111").unwrap();
        assert_eq!(format!("{text:?}"), "MessageText(15 bytes)");
    }
}

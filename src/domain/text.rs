//! The text of a message: validated once, at the door, and shared from then on.

use std::fmt;
use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation as _;

use super::limits::{TEXT_MAX_BYTES, TEXT_MAX_VISIBLE};

/// A text that may be sent: 1 to [`TEXT_MAX_VISIBLE`] visible characters, [`TEXT_MAX_BYTES`] in
/// all. A character is what a reader takes for one: an extended grapheme cluster (Unicode Standard
/// Annex 29), so that a family emoji is one. It is visible when anything of it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageText(Arc<str>);

impl MessageText {
    /// Errors with [`BadText`], which says the counts.
    pub fn new(text: &str) -> Result<Self, BadText> {
        let kept = Self::kept(text)?;
        match visible_characters(text) {
            0 => Err(BadText::Empty),
            1..=TEXT_MAX_VISIBLE => Ok(kept),
            visible => Err(BadText::TooLong { visible }),
        }
    }

    /// A text that was taken earlier, and counted by the rules of its time: what is stored stays
    /// readable whatever Unicode says later. Errors when it has too many bytes.
    pub fn kept(text: &str) -> Result<Self, BadText> {
        if text.len() > TEXT_MAX_BYTES {
            return Err(BadText::TooManyBytes { bytes: text.len() });
        }
        Ok(Self(text.into()))
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

/// How many characters of a text somebody who looks at it can see.
pub fn visible_characters(text: &str) -> usize {
    if text.is_ascii() {
        return text.bytes().filter(u8::is_ascii_graphic).count();
    }
    text.graphemes(true).filter(|one| one.chars().any(is_visible)).count()
}

/// Whether a character shows anything: it is no white space, no control and none of those that
/// Unicode 17 calls `Default_Ignorable_Code_Point` (zero-width and formatting characters, Hangul
/// fillers, variation selectors, tags).
fn is_visible(c: char) -> bool {
    !c.is_whitespace()
        && !c.is_control()
        && !matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fff8}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Why a text cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// Nothing that anybody could see.
    #[error("the text is empty")]
    Empty,
    /// Too many visible characters.
    #[error("the text has {visible} visible characters, the limit is {TEXT_MAX_VISIBLE}")]
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
    use proptest::prelude::*;

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
    fn what_a_reader_takes_for_one_character_counts_as_one() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466}";
        assert_eq!(visible_characters(family), 1);
        assert_eq!(visible_characters("e\u{301}\u{1f1fa}\u{1f1e6}\r\n\u{926}\u{94d}\u{926}"), 3);
        let many = family.repeat(TEXT_MAX_BYTES / family.len());
        assert!(MessageText::new(&many).is_ok());
    }

    #[test]
    fn a_text_that_nobody_can_see_is_empty() {
        for unseen in [
            "\u{200b}",
            "\u{2060}\u{feff} ",
            "\u{202e}\u{200f}",
            "\u{3164}",
            "\0\u{1b}",
            "\u{e0041}",
        ] {
            assert_eq!(MessageText::new(unseen), Err(BadText::Empty), "{unseen:?}");
        }
        // A mark on nothing is drawn, and so is a braille cell without dots in many fonts.
        assert!(MessageText::new("\u{301}").is_ok());
    }

    #[test]
    fn what_was_taken_by_earlier_rules_stays_readable() {
        assert_eq!(MessageText::kept("\u{200b}").unwrap().as_str(), "\u{200b}");
        let long = "x".repeat(TEXT_MAX_BYTES + 1);
        assert!(MessageText::kept(&long).is_err());
    }

    proptest! {
        #[test]
        fn the_short_way_for_ascii_counts_the_same(text in "[\\x00-\\x7f]{0,40}") {
            let long = text.graphemes(true).filter(|one| one.chars().any(is_visible)).count();
            prop_assert_eq!(visible_characters(&text), long);
        }
    }

    #[test]
    fn a_log_line_never_shows_the_text() {
        let text = MessageText::new("my card is 4111").unwrap();
        assert_eq!(format!("{text:?}"), "MessageText(15 bytes)");
    }
}

//! Names of people and things: they stand in lists, beside buttons and in the middle of sentences,
//! so that nothing in them may change what stands around them.

use std::sync::Arc;

use super::limits::NAME_MAX_BYTES;
use super::text::visible_characters;

/// What somebody or something is called where it is shown: at most [`NAME_MAX_BYTES`]. Shared, since
/// it goes to whoever looks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name without the white space around it. Errors when it cannot be shown as one.
    pub fn new(text: &str) -> Result<Self, BadName> {
        Ok(Self(name(text, NAME_MAX_BYTES)?.into()))
    }

    /// A name that was taken earlier, by the rules of its time: what is stored stays readable. Errors
    /// when it has too many bytes.
    pub fn kept(text: &str) -> Result<Self, BadName> {
        if text.len() > NAME_MAX_BYTES {
            return Err(BadName::TooLong { most: NAME_MAX_BYTES });
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Name {
    /// What people are called stays out of logs: only the length shows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Name({} bytes)", self.0.len())
    }
}

/// Why a name cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nobody could see it.
    #[error("a name has at least one character that can be seen")]
    Empty,
    /// Too long.
    #[error("a name has at most {most} bytes")]
    TooLong {
        /// The limit, bytes.
        most: usize,
    },
    /// It would change what stands around it.
    #[error(
        "a name has no control characters, line breaks, or characters that turn the direction of writing"
    )]
    Control,
}

/// The name without the white space around it. Errors when it cannot be shown as one.
fn name(text: &str, most_bytes: usize) -> Result<String, BadName> {
    let text = text.trim();
    if text.len() > most_bytes {
        return Err(BadName::TooLong { most: most_bytes });
    }
    if has_control(text) {
        return Err(BadName::Control);
    }
    if visible_characters(text) == 0 {
        return Err(BadName::Empty);
    }
    Ok(text.to_owned())
}

/// Whether a text has characters that break the line or turn the direction of what follows:
/// controls, line and paragraph separators, and what embeds, overrides or isolates. Marks of
/// direction are no such: names in Arabic and Hebrew have them.
pub fn has_control(text: &str) -> bool {
    text.chars().any(|c| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_kept() {
        for text in ["Anna", "  Anna\t", "\u{2003}Anna\n"] {
            assert_eq!(name(text, 128).as_deref(), Ok("Anna"), "{text:?}");
        }
        for text in ["Łukasz O’Neil-Ż", "田中 太郎", "\u{200f}דנה", "👩\u{200d}👧", "a\u{200d}b"]
        {
            assert_eq!(name(text, 128).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_name_that_was_taken_earlier_stays_readable_and_none_stands_in_a_log() {
        assert_eq!(Name::new(" Anna ").unwrap().as_str(), "Anna");
        assert_eq!(Name::new("a\u{202e}b"), Err(BadName::Control));
        assert_eq!(Name::kept("a\u{202e}b").unwrap().as_str(), "a\u{202e}b");
        let long = "a".repeat(NAME_MAX_BYTES + 1);
        assert_eq!(Name::kept(&long), Err(BadName::TooLong { most: NAME_MAX_BYTES }));
        assert_eq!(format!("{:?}", Name::new("Anna").unwrap()), "Name(4 bytes)");
    }

    #[test]
    fn what_changes_its_surroundings_or_cannot_be_seen_is_refused() {
        for text in
            ["a\u{202e}b", "a\nb", "a\0", "\u{1b}[2J", "x\u{2066}y", "a\u{2028}b", "\u{85}b\u{85}c"]
        {
            assert_eq!(name(text, 128), Err(BadName::Control), "{text:?}");
        }
        for text in ["", "  ", "\u{200b}", "\u{feff}\u{2060}", "\u{3164}"] {
            assert_eq!(name(text, 128), Err(BadName::Empty), "{text:?}");
        }
        assert_eq!(name("abcd", 3), Err(BadName::TooLong { most: 3 }));
        assert_eq!(name(" abc ", 3).as_deref(), Ok("abc"), "counted without what is cut off");
    }
}

//! Passwords that are tried first, because so many people have them.
//!
//! `common_passwords.txt` is a list of our own of well-known ones: what the yearly lists of the
//! commonest passwords in published leaks have in common (rows of keys, rising numbers, a word with
//! a number behind it, in some languages), and a few that suggest themselves here. Shorter ones than
//! a password may be are not in it. It is short on purpose: bounded guessing does the rest.

use std::collections::HashSet;
use std::sync::LazyLock;

static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// Whether a password is among the commonest, in whatever case, or one character again and again.
pub(super) fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    let mut characters = lower.chars();
    let first = characters.next();
    COMMON.contains(lower.as_str()) || characters.all(|next| Some(next) == first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::limits::PASSWORD_MIN_CHARS;

    #[test]
    fn every_line_of_the_list_counts() {
        for line in include_str!("common_passwords.txt").lines() {
            assert!(is_common(line) && line.chars().count() >= PASSWORD_MIN_CHARS, "{line}");
            assert_eq!(line, line.to_lowercase().trim());
        }
        assert!(COMMON.len() > 300, "doubled lines");
    }

    #[test]
    fn case_and_one_character_again_and_again_help_nobody() {
        for common in ["Password1234", "QWERTYUIOP", "zzzzzzzzzzzz", "ÄÄÄÄÄÄÄÄÄÄ", "ääääääÄÄÄÄ"]
        {
            assert!(is_common(common), "{common}");
        }
        for fine in ["a long and boring one", "demo-anna-01", "zzzzzzzzzzzy"] {
            assert!(!is_common(fine), "{fine}");
        }
    }
}

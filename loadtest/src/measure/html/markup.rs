//! Markup that cannot hold a word of a report as anything but text.
//!
//! Owns what is escaped and how. It is XML as much as HTML, so that a strict reader of either takes it.

use std::fmt::Write;

/// Elements of a page. There is no way from a text to it but [`Markup::text`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Markup(String);

/// The only element here that has no end in HTML.
const VOID: &str = "meta";

impl Markup {
    /// Text.
    pub fn text(text: &str) -> Self {
        Self(escaped(text))
    }

    /// A style of our own: neither HTML nor XML may find an end or a reference in it.
    pub fn style(style: &'static str) -> Self {
        debug_assert!(!style.contains(['<', '&']));
        Self(format!("<style>{style}</style>"))
    }

    /// An element with attributes and what is in it.
    pub fn element(
        name: &'static str,
        attributes: &[(&'static str, &str)],
        inside: impl IntoIterator<Item = Self>,
    ) -> Self {
        let mut written = format!("<{name}");
        for (attribute, value) in attributes {
            // Writing to a string cannot fail.
            let _ = write!(written, " {attribute}=\"{}\"", escaped(value));
        }
        if name == VOID {
            written += "/>";
            return Self(written);
        }
        written.push('>');
        inside.into_iter().for_each(|inner| written += &inner.0);
        let _ = write!(written, "</{name}>");
        Self(written)
    }

    /// An element without attributes that holds one text.
    pub fn of(name: &'static str, text: &str) -> Self {
        Self::element(name, &[], [Self::text(text)])
    }

    /// The page with this root.
    pub fn into_page(self) -> String {
        format!("<!DOCTYPE html>\n{}\n", self.0)
    }
}

fn escaped(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => written += "&amp;",
            '<' => written += "&lt;",
            '>' => written += "&gt;",
            '"' => written += "&quot;",
            '\'' => written += "&#39;",
            // XML has no way to write these, and HTML takes some of them for others.
            '\u{fffe}' | '\u{ffff}' => written.push(char::REPLACEMENT_CHARACTER),
            letter if letter.is_control() && !['\n', '\t'].contains(&letter) => {
                written.push(char::REPLACEMENT_CHARACTER);
            }
            letter => written.push(letter),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup_wherever_it_stands() {
        let Markup(written) = Markup::element(
            "p",
            &[("title", "\"><script>'")],
            [Markup::text("</p><img src=x onerror=alert(1)>&amp;\u{0}\u{1b}")],
        );
        assert_eq!(
            written,
            "<p title=\"&quot;&gt;&lt;script&gt;&#39;\">&lt;/p&gt;&lt;img src=x onerror=alert(1)&gt;\
             &amp;amp;\u{fffd}\u{fffd}</p>"
        );
    }
}

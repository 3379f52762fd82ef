//! Ways by which customers reach us.

use std::net::IpAddr;

use super::limits::{IMAGE_MAX_BYTES, LANGUAGE_MAX_BYTES, REFERENCE_MAX_BYTES, RETENTION_DAYS};
use crate::domain::limits::NAME_MAX_BYTES;
use crate::domain::name::has_control;
use crate::domain::{ChannelId, QueueId};

/// What connects a channel to its customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Employees and portal users.
    Internal,
    /// Visitors of a site.
    WebChat,
}

impl Provider {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Internal, Self::WebChat];

    /// The word in documents and files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::WebChat => "web_chat",
        }
    }

    /// The provider of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == word)
    }
}

/// Whose name the customer sees at an operator's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sender {
    /// The channel's.
    Channel,
    /// The operator's own.
    Operator,
}

impl Sender {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Channel, Self::Operator];

    /// The word in documents and files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Operator => "operator",
        }
    }

    /// The sender of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == word)
    }
}

/// A channel as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Counts up with every change; 0 before it is stored.
    pub version: u64,
    /// Its name.
    pub name: String,
    /// What connects it to its customers.
    pub provider: Provider,
    /// Whether it takes new chats.
    pub active: bool,
    /// Where its chats wait.
    pub queue: QueueId,
    /// The language of its customers, a tag as `en` or `pt-BR`.
    pub language: Option<String>,
    /// The address of its image.
    pub image: Option<String>,
    /// Whose name the customer sees.
    pub sender: Sender,
    /// What it belongs to elsewhere: a shop, a site.
    pub reference: Option<String>,
    /// How many days a chat is kept after its end, then it is forgotten; none: for ever.
    pub retention_days: Option<u16>,
    /// Counts up when its site key is made anew; a key of another number is refused.
    pub site_key: u64,
    /// Counts up when all its visitors' tokens are revoked.
    pub visitor_epoch: u64,
}

impl Channel {
    /// An active channel with the defaults.
    pub fn new(id: ChannelId, name: &str, provider: Provider, queue: QueueId) -> Self {
        Self {
            id,
            version: 0,
            name: name.to_owned(),
            provider,
            active: true,
            queue,
            language: None,
            image: None,
            sender: Sender::Operator,
            reference: None,
            retention_days: None,
            site_key: 0,
            visitor_epoch: 0,
        }
    }

    /// Checks what is within one channel. Errors name the field and its bound.
    pub fn check(&self) -> Result<(), BadChannel> {
        if self.name.trim().is_empty() || self.name.len() > NAME_MAX_BYTES {
            return Err(BadChannel::Name);
        }
        let short = |text: &Option<String>, most: usize| {
            text.as_ref().is_none_or(|text| (1..=most).contains(&text.len()))
        };
        let tag =
            |text: &String| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !short(&self.language, LANGUAGE_MAX_BYTES) || !self.language.as_ref().is_none_or(tag) {
            return Err(BadChannel::Language);
        }
        if !short(&self.image, IMAGE_MAX_BYTES) {
            return Err(BadChannel::Image);
        }
        if !short(&self.reference, REFERENCE_MAX_BYTES) {
            return Err(BadChannel::Reference);
        }
        if self.retention_days.is_some_and(|days| !RETENTION_DAYS.contains(&days)) {
            return Err(BadChannel::RetentionDays);
        }
        Ok(())
    }

    /// Checks what is written anew, over what was there: an image or a reference that was stored
    /// before there was a rule for it may stay. Errors name the field.
    pub fn check_change(&self, former: Option<&Self>) -> Result<(), BadChannel> {
        let image = self.image.as_deref().is_none_or(is_image);
        if !image && former.is_none_or(|former| former.image != self.image) {
            return Err(BadChannel::Image);
        }
        let reference = self.reference.as_deref().is_some_and(has_control);
        if reference && former.is_none_or(|former| former.reference != self.reference) {
            return Err(BadChannel::Reference);
        }
        Ok(())
    }
}

/// Whether a text is an address that a page of whatever origin may show an image from: https, or
/// http to this machine itself. Nothing in it can end an attribute or hide whose address it is.
fn is_image(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&byte);
    let host = |rest: &str| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
        (!name.is_empty() && !authority.contains('@')).then(|| name.to_ascii_lowercase())
    };
    let loopback = |name: String| {
        let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
        name == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    text.bytes().all(plain)
        && match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => host(rest).is_some(),
            (None, Some(rest)) => host(rest).is_some_and(loopback),
            (None, None) => false,
        }
}

/// A channel that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadChannel {
    /// None, or too long.
    #[error("name is 1 to {NAME_MAX_BYTES} bytes, not only white space")]
    Name,
    /// Not of the form.
    #[error("language is a tag as `en` or `pt-BR`, at most {LANGUAGE_MAX_BYTES} bytes")]
    Language,
    /// Not of the form: a script or a foreign scheme has no place in a page.
    #[error(
        "image is an https:// address (http:// only of this machine) without spaces, quotes or a \
         user, at most {IMAGE_MAX_BYTES} bytes"
    )]
    Image,
    /// Too long, or not for one line.
    #[error("reference is 1 to {REFERENCE_MAX_BYTES} bytes without control characters")]
    Reference,
    /// Out of its bounds.
    #[error(
        "retention_days is {} to {} days after the end of a chat; leave it out to keep chats for ever",
        RETENTION_DAYS.start(), RETENTION_DAYS.end()
    )]
    RetentionDays,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Channel {
        let (id, queue) = (ChannelId::from_u128(1), QueueId::from_u128(2));
        Channel::new(id, "Shop", Provider::WebChat, queue)
    }

    #[test]
    fn images_are_https_and_http_only_at_home() {
        for good in [
            "https://shop.example/logo.png?v=2#x",
            "https://shop.example:8443/a(b),c;d",
            "http://localhost:8080/logo.png",
            "http://127.0.0.1/x",
            "http://[::1]:80/x",
        ] {
            assert!(is_image(good), "{good}");
        }
        for bad in [
            "http://shop.example/logo.png",
            "http://localhost.evil.example/x",
            "/logo.png",
            "//shop.example/x",
            "javascript:alert(1)",
            "data:image/png;base64,AA==",
            "https://",
            "https:///x",
            "https://shop.example@evil.example/x",
            "https://shop.example/a b",
            "https://shop.example/\"onload=",
            "https://shop.example/\u{202e}",
            "",
        ] {
            assert!(!is_image(bad), "{bad}");
        }
    }

    #[test]
    fn what_was_stored_by_earlier_rules_may_stay_and_nothing_else_like_it() {
        let old =
            Channel { image: Some("/logo.png".into()), reference: Some("a\nb".into()), ..shop() };
        assert_eq!(old.check_change(Some(&old)), Ok(()));
        let renamed = Channel { name: "Store".into(), ..old.clone() };
        assert_eq!(renamed.check_change(Some(&old)), Ok(()));
        assert_eq!(old.check_change(None), Err(BadChannel::Image));
        let moved = Channel { image: Some("/other.png".into()), ..old.clone() };
        assert_eq!(moved.check_change(Some(&old)), Err(BadChannel::Image));
        let other = Channel { image: None, reference: Some("c\u{202e}".into()), ..old.clone() };
        assert_eq!(other.check_change(Some(&old)), Err(BadChannel::Reference));
    }
}

//! Ways by which customers reach us (features.md A1).

use super::limits::{IMAGE_MAX_BYTES, LANGUAGE_MAX_BYTES, NAME_MAX_BYTES, REFERENCE_MAX_BYTES};
use crate::domain::{ChannelId, QueueId};

/// What connects a channel to its customers (features.md A2).
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
            text.as_ref()
                .is_none_or(|text| (1..=most).contains(&text.len()))
        };
        let tag = |text: &String| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !short(&self.language, LANGUAGE_MAX_BYTES) || !self.language.as_ref().is_none_or(tag) {
            return Err(BadChannel::Language);
        }
        let web = |text: &String| text.starts_with("https://") || text.starts_with('/');
        if !short(&self.image, IMAGE_MAX_BYTES) || !self.image.as_ref().is_none_or(web) {
            return Err(BadChannel::Image);
        }
        if !short(&self.reference, REFERENCE_MAX_BYTES) {
            return Err(BadChannel::Reference);
        }
        Ok(())
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
    #[error("image begins with https:// or /, at most {IMAGE_MAX_BYTES} bytes")]
    Image,
    /// Too long.
    #[error("reference is 1 to {REFERENCE_MAX_BYTES} bytes")]
    Reference,
}

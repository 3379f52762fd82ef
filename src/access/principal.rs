//! Who somebody is, what they hold, and why they are not let in.

use super::act::{ActError, Lost};
use super::limits::{ACCESS_TOKEN_MS, REFRESH_TOKEN_MS, REVOCATION_KEPT_MS, VISITOR_TOKEN_MS};
use super::password::PasswordError;
use super::throttle::Throttled;
use super::token::Claims;
use crate::catalog::{CatalogError, Role};
use crate::domain::name::BadName;
use crate::domain::rights::{Forbidden, Subject};
use crate::domain::{ChannelId, Customer, CustomerId, Priority, Profile, Timestamp, UserId};
use crate::storage::StoreError;

/// How long tokens live, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLives {
    /// Access tokens.
    pub access_ms: u64,
    /// Refresh tokens.
    pub refresh_ms: u64,
    /// Visitors' tokens.
    pub visitor_ms: u64,
}

impl Default for TokenLives {
    fn default() -> Self {
        Self {
            access_ms: ACCESS_TOKEN_MS,
            refresh_ms: REFRESH_TOKEN_MS,
            visitor_ms: VISITOR_TOKEN_MS,
        }
    }
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not ours, damaged, or of a use that does not fit.
    #[error("this is no valid token")]
    Token,
    /// Its time is over: renew it.
    #[error("the token has expired")]
    Expired,
    /// Logged out, deactivated, replaced: log in again.
    #[error("the token was revoked")]
    Revoked,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The token.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No such user, inactive, without a password, or another password: nobody learns which.
    #[error("the login or the password is wrong")]
    Credentials,
    /// Too many attempts.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The password itself.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The channel is not there, or takes no visitors.
    #[error("there is no active channel {channel}")]
    NoChannel {
        /// The channel.
        channel: ChannelId,
    },
    /// A visitor's name.
    #[error(transparent)]
    VisitorName(#[from] BadName),
    /// Too many customers of the channel are revoked.
    #[error(
        "the channel has as many revoked customers as it may; entries end {} days after their revocation: \
         try again then",
        REVOCATION_KEPT_MS / (24 * 3_600_000)
    )]
    TooManyRevoked,
    /// The right to do it was taken away meanwhile.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The catalog does not change.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store failed; what was asked may not have happened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness, or a token that cannot be written.
    #[error("no token can be made: {reason}")]
    Making {
        /// What is wrong.
        reason: String,
    },
}

impl From<Lost> for AccessError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Invalid(invalid) => invalid.into(),
            Lost::Forbidden(no) => no.into(),
        }
    }
}

impl From<ActError> for AccessError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Lost(lost) => lost.into(),
            ActError::Store(error) => error.into(),
        }
    }
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A user.
    User {
        /// Which.
        id: UserId,
        /// What it is.
        role: Role,
    },
    /// A customer.
    Customer {
        /// Which.
        customer: Customer,
        /// What the site said of it in the token.
        profile: Profile,
    },
    /// The server of a channel's site.
    Site {
        /// The channel.
        channel: ChannelId,
    },
}

/// Whose tokens something was revoked of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A user.
    User(UserId),
    /// A customer.
    Customer(Customer),
}

impl Who {
    /// The holder; none for a site, which opens no session.
    pub fn holder(&self) -> Option<Holder> {
        match self {
            Self::User { id, .. } => Some(Holder::User(*id)),
            Self::Customer { customer, .. } => Some(Holder::Customer(*customer)),
            Self::Site { .. } => None,
        }
    }
}

/// Somebody whose token counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub who: Who,
    /// When the token ends; none: never.
    pub until: Option<Timestamp>,
    pub(super) claims: Claims,
}

impl Who {
    /// The column of the table of rights.
    pub fn subject(&self) -> Subject {
        match self {
            Self::User { role, .. } => (*role).into(),
            Self::Customer { .. } => Subject::Customer,
            Self::Site { .. } => Subject::Site,
        }
    }
}

impl Principal {
    /// The column of the table of rights.
    pub fn subject(&self) -> Subject {
        self.who.subject()
    }
}

/// What a log-in or a refresh gives. It does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Whose they are.
    pub user: UserId,
    /// For calls and sockets.
    pub access: String,
    /// When that ends.
    pub access_until: Timestamp,
    /// For the next tokens, once.
    pub refresh: String,
    /// When that ends.
    pub refresh_until: Timestamp,
    /// After a log-in: to be sent with the next one from this device, also after a log-out.
    pub device_mark: Option<String>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({:?})", self.user)
    }
}

/// A visitor's token. It does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct VisitorToken {
    /// For the visitor's page.
    pub token: String,
    /// The customer; give it again for the same person's next token.
    pub customer: CustomerId,
    /// When it ends.
    pub until: Timestamp,
}

impl std::fmt::Debug for VisitorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VisitorToken({:?})", self.customer)
    }
}

/// What a site wants in a visitor's token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visitor {
    /// A customer who was here before; none: a new one.
    pub customer: Option<CustomerId>,
    /// The priority of its chats.
    pub priority: Priority,
    /// The name to show to operators.
    pub name: Option<String>,
}
